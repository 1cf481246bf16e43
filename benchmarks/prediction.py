"""How well mixtures of experts predict held-out rows, beside what else one would try.

Repeated 5-fold cross-validation: root mean squared error and mean log density per held-out row for
a real target, log loss and accuracy for classes. All figures are relative to the linear (logistic)
model. Sets of fewer than 60 rows are cut twice, others once; rows beyond 200 are left out, at
random.

Rivals that have no density of their own get a Gaussian one around their prediction, with the mean
squared residual of a 3-fold cross-validation on the training rows as variance: residuals of the
rows that a tree was grown on say nothing. "Tuned" is `GridSearchCV` over number of experts and
penalties, scored by log density in three folds of the training rows, with two starts per fit.
All else has the defaults of its package; those of mixexp's penalties were chosen on 46 sets, some
of these among them.

With ``--splits 20`` it is the public protocol of probabilistic regression instead: random 90/10
splits of all rows, mean negative log density and root mean squared error in units of y over the
splits with their standard errors, and processor time; the default, "auto" and its bag, an average
over sizes of ten resamples, beside a linear model, NGBoost, XGBoost-distribution (extra
``benchmarks``), a random forest with out-of-bag variance, and boosting with cross-validated
variance.

    OMP_NUM_THREADS=1 python benchmarks/prediction.py [--quick] [--sets diabetes wine]
    OMP_NUM_THREADS=1 python benchmarks/prediction.py --splits 20 [--sets diabetes kinked]
"""

import argparse
import warnings
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import numpy as np
from prediction_methods import Method, class_methods, regression_methods
from prediction_protocol import EIGHT, is_for_protocol, protocol_methods, run_protocol
from prediction_sets import Table, load_classes, load_regressions, thin_out
from sklearn.metrics import log_loss
from sklearn.model_selection import RepeatedKFold, RepeatedStratifiedKFold

# Worse by more than this share of RMSE, or share of rows, or this log density, is counted.
WORSE_ERROR = 0.01
WORSE_LOG_DENSITY = 0.02
QUICK_SETS = ("linnerud", "stackloss", "copper", "kinked", "linear", "iris")

# What a rival may raise on a set that is too small for it.
FAILURES = (ValueError, IndexError, np.linalg.LinAlgError)


# The trial.


class Held(NamedTuple):
    """Means over all held-out rows: error (squared, or of class) and log density."""

    error: float
    log_density: float


def n_repeats(n: int) -> int:
    return 2 if n < 60 else 1


def try_regression(make: Method, X: np.ndarray, y: np.ndarray) -> Held:
    """Return root mean squared error and mean log density of held-out rows."""
    squared, density = [], []
    for train, test in RepeatedKFold(n_splits=5, n_repeats=n_repeats(len(y)), random_state=0).split(
        X
    ):
        model = make().fit(X[train], y[train])
        squared.append((model.predict(X[test]) - y[test]) ** 2)
        best = getattr(model, "best_estimator_", model)
        density.append(best.log_density(X[test], y[test]))
    return Held(
        float(np.sqrt(np.concatenate(squared).mean())), float(np.concatenate(density).mean())
    )


def try_classes(make: Method, X: np.ndarray, y: np.ndarray) -> Held:
    """Return share of held-out rows in the wrong class and minus the log loss."""
    wrong, density = [], []
    labels = np.unique(y)
    folds = RepeatedStratifiedKFold(n_splits=5, n_repeats=n_repeats(len(y)), random_state=0)
    for train, test in folds.split(X, y):
        model = make().fit(X[train], y[train])
        proba = model.predict_proba(X[test])
        wrong.append(labels[proba.argmax(axis=1)] != y[test])
        density.append(-log_loss(y[test], proba, labels=labels) * len(test))
    n = sum(map(len, wrong))
    return Held(float(np.concatenate(wrong).mean()), sum(density) / n)


class Trial(NamedTuple):
    """What is compared on one kind of target.

    Parameters
    ----------
    run : callable
    methods : dict
    is_relative : bool
        Whether errors are given as ratios to those of the first method, or as differences.
    """

    run: Callable[[Method, np.ndarray, np.ndarray], Held]
    methods: dict[str, Method]
    is_relative: bool


def run_trial(trial: Trial, tables: dict[str, Table]) -> dict[str, dict[str, Held]]:
    """Return results by set and method, and print them as they come."""
    print("\n| set (n, p) | " + " | ".join(trial.methods) + " |", flush=True)
    print("|---|" + "---:|" * len(trial.methods), flush=True)
    found = {}
    for name, (X, y) in tables.items():
        results = {method: try_one(trial, make, X, y) for method, make in trial.methods.items()}
        found[name] = results
        cells = " | ".join(cell(trial, results, method) for method in results)
        print(f"| {name} ({len(y)}, {X.shape[1]}) | {cells} |", flush=True)
    return found


def try_one(trial: Trial, make: Method, X: np.ndarray, y: np.ndarray) -> Held:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return trial.run(make, X, y)
        except FAILURES:
            return Held(np.nan, np.nan)


def cell(trial: Trial, results: dict[str, Held], method: str) -> str:
    """Return error and log density against the first method, whose own are given as they are."""
    base, held = next(iter(results.values())), results[method]
    if held is base:
        return f"{base.error:.3g}, {base.log_density:.3f}"
    if np.isnan(held.error):
        return "failed"
    error = f"{held.error / base.error:.2f}" if trial.is_relative else f"{held.error:.3f}"
    return f"{error}, {held.log_density - base.log_density:+.2f}"


# The counts.


def print_counts(trial: Trial, found: dict[str, dict[str, Held]], rivals: list[str]) -> None:
    """Print where ours are worse than the linear model, and whom tuned models beat."""
    base = next(iter(trial.methods))
    ours = [name for name in trial.methods if name.startswith(("MoE", "HME"))]
    print()
    for method in ours:
        worse = [name for name, held in found.items() if is_worse(trial, held[method], held[base])]
        print(f"{method} worse than {base} on {len(worse)} of {len(found)}: {', '.join(worse)}")
    for method in [name for name in ours if name.endswith("tuned")]:
        for rival in rivals:
            pairs = [(held[method], held[rival]) for held in found.values()]
            known = [(our, other) for our, other in pairs if not np.isnan(other.error)]
            by_error = sum(our.error < other.error for our, other in known)
            by_density = sum(our.log_density > other.log_density for our, other in known)
            print(
                f"{method} beats {rival}: by error on {by_error}, by log density on {by_density} "
                f"of {len(known)}"
            )


def is_worse(trial: Trial, held: Held, base: Held) -> bool:
    excess = held.error / base.error - 1.0 if trial.is_relative else held.error - base.error
    return excess > WORSE_ERROR or held.log_density < base.log_density - WORSE_LOG_DENSITY


def print_versions() -> None:
    packages = ["mixexp", "numpy", "scikit-learn", "statsmodels", "fast-model-trees", "smt"]
    packages += ["ngboost", "xgboost-distribution"]
    known = {d.metadata["Name"].lower(): d.version for d in metadata.distributions()}
    print(", ".join(f"{name} {known[name]}" for name in packages if name in known))


def choose(methods: dict[str, Method], names: list[str] | None) -> dict[str, Method]:
    """Return the first method, which others are compared with, and those named; all for None."""
    base = next(iter(methods))
    return {name: make for name, make in methods.items() if not names or name in (base, *names)}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help=f"only {', '.join(QUICK_SETS)}")
    parser.add_argument("--sets", nargs="*", help="names of data sets; all by default")
    parser.add_argument("--methods", nargs="*", help="names of methods; all by default")
    parser.add_argument("--splits", type=int, help="random 90/10 splits, the public protocol")
    parser.add_argument("--save", type=Path, help="CSV of what splits came to; goes on from it")
    arguments = parser.parse_args()
    wanted = QUICK_SETS if arguments.quick else arguments.sets
    print_versions()
    if arguments.splits:
        tables = {
            name: table
            for name, table in load_regressions().items()
            if (name in wanted if wanted else is_for_protocol(table[1]))
        }
        known = protocol_methods()
        methods = choose(known, arguments.methods or [name for name in known if name != EIGHT])
        run_protocol(arguments.splits, methods, tables, arguments.save)
        return
    thinned = {name: thin_out(*table) for name, table in load_regressions().items()}
    regression = Trial(try_regression, choose(regression_methods(), arguments.methods), True)
    classes = Trial(try_classes, choose(class_methods(), arguments.methods), False)
    rivals: list[str] = [
        name
        for name in ("linear", "CART", "PILOT", "linear-tree", "SMT", "forest")
        if name in regression.methods
    ]
    class_rivals: list[str] = [m for m in ("logistic", "CART", "forest") if m in classes.methods]
    for trial, tables, compared in (
        (regression, thinned, rivals),
        (classes, load_classes(), class_rivals),
    ):
        chosen = {name: table for name, table in tables.items() if not wanted or name in wanted}
        if chosen:
            print_counts(trial, run_trial(trial, chosen), compared)


if __name__ == "__main__":
    main()
