"""
How many experts do 442 patients support?
=========================================

Held-out log density by cross-validation in a pipeline beside criteria that need one fit each.
The data: how far diabetes had progressed after a year, from ten measurements.
"""

# %%
# A search over the number of experts
# -----------------------------------
# The scaler is in the pipeline only to show that it can be; mixexp standardises by itself. A
# superfluous expert ends without rows, which is informative here and no error.
import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mixexp import MoERegressor, select_n_experts
from mixexp.displays import SelectionDisplay
from mixexp.exceptions import DegenerateExpertWarning
from mixexp.metrics import log_density_scorer

# An expert too many ends without rows. That is an answer here, and not trouble.
warnings.simplefilter("ignore", DegenerateExpertWarning)

X, y = load_diabetes(return_X_y=True, as_frame=True, scaled=False)
pipeline = make_pipeline(
    StandardScaler().set_output(transform="pandas"),
    MoERegressor(gate_features=["bmi", "s5"], n_init=5, random_state=0),
)
counts = [1, 2, 3, 4]
search = GridSearchCV(
    pipeline,
    {"moeregressor__n_experts": counts},
    scoring=log_density_scorer,
    cv=KFold(5, shuffle=True, random_state=0),
).fit(X, y)

# %%
# Criteria of the fits to all rows
# --------------------------------

selection = select_n_experts(
    MoERegressor(gate_features=["bmi", "s5"], n_init=5, random_state=0),
    X,
    y,
    counts,
    criterion="bic",
)
print(selection.table[["n_experts", "n_parameters", "aic", "bic", "icl", "n_found"]].round(1))

# %%
# The answer
# ----------
# What to see: the held-out log density is higher with two experts than with one, by three standard
# errors (bars: of the *difference* to one expert, over the folds). With three and four the gain is
# smaller and less certain. AIC chooses two as well. BIC counts every coefficient as free, although
# the prior shrinks most of them towards one expert, and chooses one; ICL also penalises uncertain
# assignments. So two experts predict better, but the data do not support two separate kinds of
# patients.

results = search.cv_results_
folds = np.array([results[f"split{fold}_test_score"] for fold in range(search.n_splits_)])
gain = folds - folds[:, [0]]
error = gain.std(axis=0, ddof=1) / np.sqrt(len(gain))

figure, (left, right) = plt.subplots(1, 2, figsize=(9.0, 3.8), layout="constrained")
left.errorbar(counts, gain.mean(axis=0), yerr=error, marker="o", capsize=3, color="black")
left.axhline(0.0, color="0.6", linewidth=0.8)
left.set(
    xlabel="number of experts",
    ylabel="gain over one expert per patient",
    title="Held-out log density",
    xticks=counts,
)
SelectionDisplay.from_selection(selection, ax=right)
right.set_title("Criteria")
print("chosen by held-out log density:", search.best_params_)
