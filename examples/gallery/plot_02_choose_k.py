"""
How many experts do 442 patients support?
=========================================

Held-out log density by cross-validation in a pipeline beside two criteria that need one fit
each. The data: how far diabetes had progressed after a year, from ten measurements.
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

from mixexp import MoERegressor
from mixexp.exceptions import DegenerateExpertWarning
from mixexp.metrics import log_density_scorer

# An expert too many ends without rows. That is an answer here, and not trouble.
warnings.simplefilter("ignore", DegenerateExpertWarning)

X, y = load_diabetes(return_X_y=True, as_frame=True, scaled=False)
pipeline = make_pipeline(
    StandardScaler().set_output(transform="pandas"),
    MoERegressor(gate_features=["bmi", "s5"], random_state=0),
)
counts = [1, 2, 3, 4]
search = GridSearchCV(
    pipeline,
    {"moeregressor__n_experts": counts},
    scoring=log_density_scorer,
    cv=KFold(5, shuffle=True, random_state=0),
).fit(X, y)

# %%
# Criteria of the fit to all rows
# -------------------------------
fits = [
    MoERegressor(count, gate_features=["bmi", "s5"], random_state=0).fit(X, y) for count in counts
]
bic = np.array([fit.bic(X, y) for fit in fits])
icl = np.array([fit.icl(X, y) for fit in fits])

# %%
# The answer
# ----------
# What to see: held-out patients are least surprised by the count at the top of the left curve,
# but its lead over the neighbours is small beside the bars, which are standard errors of the
# *difference* to one expert over the folds. BIC counts every coefficient as if it were free,
# though the ridge holds them, so it asks for fewer; ICL also wants patients to be told apart, and
# charges most. Where they disagree, predict by the first and tell stories by the last.
results = search.cv_results_
folds = np.array([results[f"split{fold}_test_score"] for fold in range(search.n_splits_)])
gain = folds - folds[:, [0]]
error = gain.std(axis=0, ddof=1) / np.sqrt(len(gain))

figure, (left, right) = plt.subplots(1, 2, figsize=(9.0, 3.8), layout="constrained")
left.errorbar(counts, gain.mean(axis=0), yerr=error, marker="o", capsize=3, color="black")
left.axhline(0.0, color="0.6", linewidth=0.8)
left.set(
    xlabel="experts",
    ylabel="gain over one expert per patient",
    title="Held-out log density",
    xticks=counts,
)
right.plot(counts, bic - bic[0], marker="o", color="#0072B2", label="BIC")
right.plot(counts, icl - icl[0], marker="s", color="#D55E00", label="ICL")
right.set(
    xlabel="experts",
    ylabel="over that of one expert; lower is better",
    title="Criteria",
    xticks=counts,
)
right.legend()
print("chosen by held-out log density:", search.best_params_)
print("chosen by BIC:", counts[int(bic.argmin())], " by ICL:", counts[int(icl.argmin())])
