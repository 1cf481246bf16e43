"""
Does one rule tell the wines of three growers apart?
====================================================

Classification with more than two classes: three growers' wines by alcohol and colour. Multinomial
experts, one against two, and what each of them says of a class.
"""

# %%
# One rule for all wines, or two
# ------------------------------
import warnings

import matplotlib.pyplot as plt
from sklearn.datasets import load_wine
from sklearn.model_selection import StratifiedKFold, cross_val_score

from mixexp import MoEClassifier
from mixexp.displays import ExpertFitDisplay
from mixexp.exceptions import DegenerateExpertWarning
from mixexp.metrics import log_density_scorer

warnings.simplefilter("ignore", DegenerateExpertWarning)  # an expert too many is an answer here

data = load_wine(as_frame=True)
X, y = data.data[["color_intensity", "alcohol"]], data.target.map("grower {}".format)
folds = StratifiedKFold(5, shuffle=True, random_state=0)
for count in (1, 2):
    scores = cross_val_score(
        MoEClassifier(count, random_state=0), X, y, cv=folds, scoring=log_density_scorer
    )
    print(f"{count} expert(s): held-out log density {scores.mean():.3f} +- {scores.std():.3f}")

# %%
# Two rules all the same
# ----------------------
# What to see: the probability of a grower along the wine's colour, for alcohol held at its median,
# by each expert (coloured) and by the mixture (black). Of grower 2 both experts say much the same;
# of grower 0 they differ, but expert 0 is the most probable one of two wines in all. The scores
# above say what that is worth: nothing. One rule is enough.
model = MoEClassifier(2, random_state=0).fit(X, y)
figure, axes = plt.subplots(1, 2, figsize=(10.5, 4.2), layout="constrained")
for ax, grower in zip(axes, ["grower 0", "grower 2"], strict=True):
    ExpertFitDisplay.from_estimator(
        model, X, y, features="color_intensity", class_of_interest=grower, ax=ax
    )
    ax.set_title(grower)
