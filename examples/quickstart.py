"""Which patients follow which line?

Ten measurements of 442 diabetes patients, and how far their disease had progressed a year
later (Efron, Hastie, Johnstone & Tibshirani 2004). A mixture of experts asks two questions at
once: does one linear model hold for all of them, and if not, who follows which? The run
chooses the number of experts by what held-out patients say, reads the winner, sets a tree of
experts beside it, and draws who is responsible for whom.

Run it from anywhere; it writes quickstart-map.png and quickstart-trace.png where it is run.
"""

# %% The data, in the units they were measured in
import matplotlib

matplotlib.use("Agg")  # write files, open no windows

import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import norm
from sklearn.base import clone
from sklearn.datasets import load_diabetes
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from mixexp import HMERegressor, MoERegressor
from mixexp.displays import ResponsibilityMapDisplay
from mixexp.metrics import log_density_scorer

data = load_diabetes(as_frame=True, scaled=False)
X, y = data.data, data.target

# %% How many experts, and what may the gate look at?
#
# Experts are linear in all ten features. The gate, which hands patients to experts, may look
# at all ten as well, or only at body mass index and s5 (probably the log of serum
# triglycerides), the two that the authors' own method takes first. Models are compared by the
# log density of patients they have not seen: the higher, the less an outcome surprises them.

pipeline = Pipeline(
    [
        ("scale", StandardScaler().set_output(transform="pandas")),
        ("model", MoERegressor(random_state=0)),
    ]
)
bmi_and_s5 = ["bmi", "s5"]
folds = KFold(n_splits=5, shuffle=True, random_state=0)
search = GridSearchCV(
    pipeline,
    {"model__n_experts": [1, 2, 3], "model__gate_features": [None, bmi_and_s5]},
    scoring=log_density_scorer,
    cv=folds,
)
search.fit(X, y)


def fold_scores(search, candidate):
    """Return one score per fold of one candidate of a search."""
    results = search.cv_results_
    return np.array([results[f"split{f}_test_score"][candidate] for f in range(search.n_splits_)])


print("\nHeld-out log density per patient (5 folds; higher is better)\n")
print("experts  gate looks at  log density  spread over folds")
for candidate, options in enumerate(search.cv_results_["params"]):
    gate = "bmi, s5" if options["model__gate_features"] else "all ten"
    scores = fold_scores(search, candidate)
    chosen = "  <- chosen" if candidate == search.best_index_ else ""
    print(
        f"{options['model__n_experts']:7d}  {gate:13s}  {scores.mean():11.3f}  "
        f"{scores.std():17.3f}{chosen}"
    )
print(
    "\nWhat to see: two and three experts describe new patients better than one. Whether the\n"
    "gate looks at two measurements or at ten matters less than which patients are left out."
)

# %% Reading the winner
#
# Features were standardised, so a slope is the change of the outcome per standard deviation.

winner = search.best_estimator_.named_steps["model"]
print("\n" + winner.summary())
print(
    "\nWhat to see: the experts differ in their slopes and in dispersion (variance), and the\n"
    "gate's logits say who goes where: a positive slope draws patients with high values."
)

# %% How the fit got there

trace = winner.history_
shown = sorted({0, 1, 2, 5, 10, 20, 50, 100, 200, len(trace) - 1} & set(range(len(trace))))
print("\niteration  penalised log-likelihood")
for iteration in shown:
    print(f"{iteration:9d}  {trace[iteration]:.6f}")
print(f"What to see: it never falls. Smallest step: {np.diff(trace).min():.1e}.")

# %% A tree of experts, and plain linear regression, on the same folds


def linear_regression_scores(X, y, folds):
    """Return the held-out Gaussian log density of ordinary least squares, one per fold."""
    X, y = np.asarray(X), np.asarray(y)
    scores = []
    for train, test in folds.split(X):
        line = LinearRegression().fit(X[train], y[train])
        spread = np.std(y[train] - line.predict(X[train]))
        scores.append(norm.logpdf(y[test], line.predict(X[test]), spread).mean())
    return np.array(scores)


tree = clone(pipeline).set_params(
    model=HMERegressor(tree=[[1, 1], 1], gate_features=bmi_and_s5, random_state=0)
)
linear = linear_regression_scores(X, y, folds)
rivals = {
    "linear regression": linear,
    f"{winner.tree_.n_leaves} experts, flat": fold_scores(search, search.best_index_),
    "3 experts, tree": cross_val_score(tree, X, y, scoring=log_density_scorer, cv=folds),
}
print("\nHeld-out log density per patient, and what is gained on linear regression\n")
for name, scores in rivals.items():
    gain = scores - linear
    error = gain.std(ddof=1) / np.sqrt(len(gain))
    gained = "" if scores is linear else f"  {gain.mean():+.3f} +- {error:.3f}"
    print(f"{name:24s}{scores.mean():8.3f}{gained}")
print(
    "\nWhat to see: both mixtures beat the single line (+- is the standard error over folds).\n"
    "The tree's gates look at bmi and s5 alone; the flat mixture whose gate does so, in the table\n"
    "above, does as well."
)

# %% Who is responsible for whom

#
# A map has two axes: of mixtures whose gates look at two measurements it shows all there is.

tree.fit(X, y)
flat = clone(pipeline).set_params(model__n_experts=3, model__gate_features=bmi_and_s5).fit(X, y)

figure, axes = plt.subplots(1, 2, figsize=(12.0, 4.6), layout="constrained")
for ax, title, model in zip(axes, ["Flat mixture", "Tree [[1, 1], 1]"], [flat, tree], strict=True):
    ResponsibilityMapDisplay.from_estimator(
        model, X, y, features=bmi_and_s5, ax=ax, xlabel="body mass index", ylabel="s5"
    )
    ax.set_title(title)
figure.savefig("quickstart-map.png", dpi=120)

figure, ax = plt.subplots(figsize=(6.0, 3.6), layout="constrained")
left = np.maximum(trace[-1] - trace[:-1], 1e-10)
ax.semilogy(left, color="black", marker="o", markersize=4)
ax.xaxis.get_major_locator().set_params(integer=True)
ax.set(xlabel="iteration", ylabel="log-likelihood still to gain", title="EM, then Newton")
figure.savefig("quickstart-trace.png", dpi=120)
print(
    "\nWrote quickstart-map.png: colour is the expert that the gate expects, the paler the less\n"
    "sure; marks are patients, by the expert that fits their outcome best, ringed where that is\n"
    "not the one expected. Wrote quickstart-trace.png: EM creeps, then Newton's method finishes."
)
