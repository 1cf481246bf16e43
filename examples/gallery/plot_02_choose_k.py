"""
How many experts do 442 patients support?
=========================================

Held-out log density by cross-validation in a pipeline beside criteria that need one fit each.
The data: how far diabetes had progressed after a year, from ten measurements.
"""

# %%
# A search over the number of experts
# -----------------------------------
# The scaler stands in the pipeline to show that it may; mixexp standardises by itself.
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
# What to see: held-out patients are less surprised by two experts than by one, by three standard
# errors (bars: of the *difference* to one expert, over the folds). Three and four gain less, and
# less surely. AIC says two as well. BIC counts every coefficient as if it were free, though the
# prior holds most of them to those of one expert, and stays with one; ICL also wants patients to
# be told apart, and charges most. So two experts predict better, and nobody should tell stories
# of two kinds of patients.

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
