"""
Do all tumours follow the same rule?
====================================

Classification by local logistic models: the breast cancer data of Wisconsin, two of its
measurements, one logistic regression against a mixture of two.
"""

# %%
# Held-out log density
# --------------------
import warnings

import matplotlib.pyplot as plt
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import StratifiedKFold, cross_val_score

from mixexp import MoEClassifier
from mixexp.displays import ResponsibilityMapDisplay
from mixexp.exceptions import DegenerateExpertWarning
from mixexp.metrics import log_density_scorer

warnings.simplefilter("ignore", DegenerateExpertWarning)  # an expert too many is an answer here

data = load_breast_cancer(as_frame=True)
X = data.data[["mean radius", "mean texture"]]
y = data.target.map({0: "malignant", 1: "benign"})
folds = StratifiedKFold(5, shuffle=True, random_state=0)
for count in (1, 2):
    model = MoEClassifier(count, random_state=0)
    scores = cross_val_score(model, X, y, cv=folds, scoring=log_density_scorer)
    print(f"{count} expert(s): held-out log density {scores.mean():.4f}")

# %%
# Two rules
# ---------
# What to see: colour is the expert that the gate expects, marks are tumours by the expert that
# fits their diagnosis best. On the left a larger radius and a coarser texture both raise the odds
# of malignancy. On the right, where texture is coarse, radius alone decides, and at 14 to 15 it
# decides nearly at once. That so sharp a rule rests on some sixty tumours is to be kept in mind:
# held-out tumours are a little less surprising by two rules than by one, and no more than that.
model = MoEClassifier(2, random_state=0).fit(X, y)
print(model.summary())
figure, ax = plt.subplots(figsize=(6.5, 4.6), layout="constrained")
ResponsibilityMapDisplay.from_estimator(model, X, y, ax=ax)
