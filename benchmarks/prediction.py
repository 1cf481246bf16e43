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
splits with their standard errors, and processor time; the default, "auto" and ten bagged fits of
"auto" beside a linear model, NGBoost, XGBoost-distribution (extra ``benchmarks``), a random forest
with out-of-bag variance, and boosting with cross-validated variance.

    OMP_NUM_THREADS=1 python benchmarks/prediction.py [--quick] [--sets diabetes wine]
    OMP_NUM_THREADS=1 python benchmarks/prediction.py --splits 20 [--sets diabetes kinked]
"""

import argparse
import time
import warnings
from collections.abc import Callable
from contextlib import redirect_stdout
from functools import partial
from importlib import import_module, metadata
from io import StringIO
from typing import Any, NamedTuple

import numpy as np
from sklearn import datasets
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeCV
from sklearn.metrics import log_loss
from sklearn.model_selection import (
    GridSearchCV,
    KFold,
    RepeatedKFold,
    RepeatedStratifiedKFold,
    StratifiedKFold,
    cross_val_predict,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from mixexp import HMEClassifier, HMERegressor, MoEClassifier, MoERegressor
from mixexp.ensemble import BaggedMixture
from mixexp.metrics import log_density_scorer

MOST_ROWS = 200
# Worse by more than this share of RMSE, or share of rows, or this log density, is counted.
WORSE_ERROR = 0.01
WORSE_LOG_DENSITY = 0.02
INNER = KFold(3, shuffle=True, random_state=0)
QUICK_SETS = ("linnerud", "stackloss", "copper", "kinked", "linear", "iris")

Table = tuple[np.ndarray, np.ndarray]
Method = Callable[[], Any]
# What a rival may raise on a set that is too small for it.
FAILURES = (ValueError, IndexError, np.linalg.LinAlgError)


# The data.


def load_regressions() -> dict[str, Table]:
    """Return the sets with a real target, by name, whole."""
    found: dict[str, Table] = {"diabetes": datasets.load_diabetes(return_X_y=True)}
    exercise = datasets.load_linnerud()
    found["linnerud"] = exercise.data, exercise.target[:, 1]
    found |= load_statsmodels()
    found |= {
        "friedman1": datasets.make_friedman1(300, noise=1.0, random_state=0),
        "friedman2": datasets.make_friedman2(300, noise=100.0, random_state=0),
        "friedman3": datasets.make_friedman3(300, noise=0.1, random_state=0),
    }
    return found | simulate()


def load_statsmodels() -> dict[str, Table]:
    """Return the regression sets that come with statsmodels, numeric columns as they are."""
    try:
        bundled = import_module("statsmodels.datasets")
    except ImportError:
        print("statsmodels is not installed: its data sets are left out")
        return {}
    names = ["engel", "ccard", "stackloss", "statecrime", "copper", "scotland", "star98"]
    names += ["grunfeld", "strikes", "fair", "longley"]
    found = {}
    for name in names:
        data = getattr(bundled, name).load_pandas()
        X = data.exog.select_dtypes("number").to_numpy(float)
        y = np.asarray(data.endog, dtype=float)
        # star98 counts those above and below a median: the share above is predicted.
        found[name] = X, y if y.ndim == 1 else y[:, 0] / y.sum(axis=1)
    return found


def simulate() -> dict[str, Table]:
    """Return simulated sets, from none to all of what experts are for."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((300, 4))
    noise = rng.standard_normal(300)
    group = rng.random(300) < 1.0 / (1.0 + np.exp(-2.0 * X[:, 1]))
    by_group = np.where(group, 2.0 + X[:, 0], -1.0 - 2.0 * X[:, 0])
    return {
        "kinked": (X, 2.0 * np.abs(X[:, 0]) + X[:, 1] + 0.5 * noise),
        "heteroscedastic": (X, X[:, 0] - X[:, 1] + np.exp(X[:, 0] - 0.5) * noise),
        "regimes": (X, by_group + 0.5 * noise),
        "linear": (X, X @ [1.0, -1.0, 0.5, 0.0] + noise),
        "linear, few rows": (X[:60], (X @ [1.0, -1.0, 0.5, 0.0] + noise)[:60]),
        "no signal": (X[:150], noise[:150]),
    }


def load_classes() -> dict[str, Table]:
    """Return the sets with classes, by name."""
    images, digit = datasets.load_digits(return_X_y=True)
    is_kept = np.isin(digit, (3, 5, 8))
    # Means of 2 x 2 pixels: sixteen features of the three digits that are most alike.
    coarse = images.reshape(-1, 4, 2, 4, 2).mean(axis=(2, 4)).reshape(-1, 16)
    found = {
        "breast cancer": datasets.load_breast_cancer(return_X_y=True),
        "wine": datasets.load_wine(return_X_y=True),
        "iris": datasets.load_iris(return_X_y=True),
        "digits 3, 5, 8": (coarse[is_kept], digit[is_kept]),
    }
    return {name: thin_out(*table) for name, table in found.items()}


def thin_out(X: np.ndarray, y: np.ndarray) -> Table:
    if len(y) <= MOST_ROWS:
        return X, y
    rows = np.random.default_rng(0).choice(len(y), MOST_ROWS, replace=False)
    return X[rows], y[rows]


# The methods.


class WithGaussian(RegressorMixin, BaseEstimator):
    """A regressor with a Gaussian density around what it predicts.

    Parameters
    ----------
    regressor : estimator
    """

    def __init__(self, regressor: Any) -> None:
        self.regressor = regressor

    def fit(self, X: np.ndarray, y: np.ndarray) -> "WithGaussian":
        held_out = cross_val_predict(self.regressor, X, y, cv=INNER)
        self.variance_ = np.mean((y - held_out) ** 2)
        self.regressor_ = clone(self.regressor).fit(X, y)
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        return self.regressor_.predict(X)

    def log_density(self, X: np.ndarray, y: np.ndarray) -> np.ndarray:
        squared = (y - self.predict(X)) ** 2
        return -0.5 * (np.log(2.0 * np.pi * self.variance_) + squared / self.variance_)


class PrunedTree(BaseEstimator):
    """CART, pruned to the cost per leaf that cross-validation prefers.

    Parameters
    ----------
    tree : DecisionTreeRegressor or DecisionTreeClassifier
    """

    def __init__(self, tree: Any) -> None:
        self.tree = tree

    def __sklearn_tags__(self) -> Any:
        return self.tree.__sklearn_tags__()

    def fit(self, X: np.ndarray, y: np.ndarray) -> "PrunedTree":
        costs = np.maximum(self.tree.cost_complexity_pruning_path(X, y).ccp_alphas, 0.0)
        few = np.unique(np.quantile(costs, np.linspace(0.0, 1.0, 6)))
        folds = StratifiedKFold(3, shuffle=True, random_state=0) if is_classes(self.tree) else INNER
        self.search_ = GridSearchCV(self.tree, {"ccp_alpha": few}, cv=folds).fit(X, y)
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        return self.search_.predict(X)

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        return self.search_.predict_proba(X)


class Pilot(RegressorMixin, BaseEstimator):
    """PILOT of the package fast-model-trees behind ``fit``."""

    def fit(self, X: np.ndarray, y: np.ndarray) -> "Pilot":
        self.tree_ = import_module("pilot").PILOT()
        self.tree_.train(X, y)
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        return np.asarray(self.tree_.predict(X)).ravel()


class SmtMixture(RegressorMixin, BaseEstimator):
    """SMT's mixture of two surrogate models, linear or quadratic.

    Its default candidates are krigings, which take minutes for 300 noisy rows. A quadratic one
    fails in clusters of fewer rows than terms, and any where a cluster is small: few rows are
    one cluster.
    """

    def fit(self, X: np.ndarray, y: np.ndarray) -> "SmtMixture":
        mixture = import_module("smt.applications").MOE
        n_terms = (X.shape[1] + 1) * (X.shape[1] + 2) // 2
        candidates = ["LS", "QP"] if len(y) > 12 * n_terms else ["LS"]
        fewest = 8 * (X.shape[1] + 2)
        for n_clusters in (2, 1) if len(y) >= fewest else (1,):
            self.surrogate_ = mixture(n_clusters=n_clusters, allow=candidates)
            self.surrogate_.set_training_values(X, y)
            try:
                with redirect_stdout(StringIO()):
                    self.surrogate_.train()
                break
            except IndexError:
                if n_clusters == 1:
                    raise
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        return self.surrogate_.predict_values(X).ravel()


def is_classes(estimator: Any) -> bool:
    return hasattr(estimator, "predict_proba")


def regression_methods() -> dict[str, Method]:
    """Return what is tried on a real target, by name; the linear model first."""
    penalties = {"alpha": [10.0, 100.0]}
    tuned = partial(GridSearchCV, scoring=log_density_scorer, cv=INNER)
    moe, hme = MoERegressor(random_state=0), HMERegressor(random_state=0)
    short: dict[str, Any] = {"n_init": 2, "random_state": 0}
    forest, boosting = RandomForestRegressor(random_state=0), HistGradientBoostingRegressor()
    found = {
        "linear": LinearRegression(),
        "ridge": make_pipeline(StandardScaler(), RidgeCV(np.logspace(-2, 3, 11))),
        "CART": PrunedTree(DecisionTreeRegressor(random_state=0)),
        "boosting": boosting,
        "forest": forest,
        **optional_rivals(),
    }
    methods: dict[str, Method] = {name: partial(WithGaussian, m) for name, m in found.items()}
    return methods | {
        "MoE": partial(clone, moe),
        "HME": partial(clone, hme),
        "MoE tuned": partial(tuned, MoERegressor(**short), penalties | {"n_experts": [1, 2, 4]}),
        "HME tuned": partial(tuned, HMERegressor(**short), penalties | {"tree": [(1,), (2, 2)]}),
    }


def optional_rivals() -> dict[str, Any]:
    """Return the linear model trees and SMT's mixture, as far as they are there and run."""
    rivals = {}
    if is_installed("pilot", "fast-model-trees"):
        rivals["PILOT"] = Pilot()
    if is_installed("lineartree", "linear-tree"):
        tree = import_module("lineartree").LinearTreeRegressor(LinearRegression())
        X = np.linspace(0.0, 1.0, 50)[:, None]
        try:
            rivals["linear-tree"] = tree.fit(X, np.abs(X[:, 0] - 0.5))
        except AttributeError as error:  # it calls what scikit-learn 1.6 has removed
            print(f"linear-tree does not run with this scikit-learn ({error}): left out")
    if is_installed("smt", "smt"):
        rivals["SMT"] = make_pipeline(StandardScaler(), SmtMixture())
    return rivals


def is_installed(module: str, package: str) -> bool:
    try:
        import_module(module)
    except ImportError:
        print(f"{package} is not installed: left out")
        return False
    return True


def class_methods() -> dict[str, Method]:
    """Return what is tried on classes, by name; the logistic model first."""
    cv = StratifiedKFold(3, shuffle=True, random_state=0)
    tuned = partial(GridSearchCV, scoring=log_density_scorer, cv=cv)
    penalties = {"alpha": [10.0, 100.0]}
    short: dict[str, Any] = {"n_init": 2, "random_state": 0}
    found = {
        "logistic": make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)),
        "CART": PrunedTree(DecisionTreeClassifier(random_state=0)),
        "boosting": HistGradientBoostingClassifier(),
        "forest": RandomForestClassifier(random_state=0),
        "MoE": MoEClassifier(random_state=0),
        "HME": HMEClassifier(random_state=0),
        "MoE tuned": tuned(MoEClassifier(**short), penalties | {"n_experts": [1, 2]}),
    }
    return {name: partial(clone, method) for name, method in found.items()}


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


# The public protocol.


class WithOutOfBag(WithGaussian):
    """A forest with a Gaussian density of the mean squared out-of-bag residual."""

    def fit(self, X: np.ndarray, y: np.ndarray) -> "WithOutOfBag":
        self.regressor_ = clone(self.regressor).fit(X, y)
        self.variance_ = np.mean((y - self.regressor_.oob_prediction_) ** 2)
        return self


class WithMaximumLikelihood(WithGaussian):
    """A regressor with a Gaussian density of the mean squared residual of its own rows."""

    def fit(self, X: np.ndarray, y: np.ndarray) -> "WithMaximumLikelihood":
        self.regressor_ = clone(self.regressor).fit(X, y)
        self.variance_ = np.mean((y - self.regressor_.predict(X)) ** 2)
        return self


class Boosted(RegressorMixin, BaseEstimator):
    """NGBoost or XGBoost-distribution, Gaussian, with the defaults of its package.

    Parameters
    ----------
    package : {"ngboost", "xgboost_distribution"}
    """

    def __init__(self, package: str) -> None:
        self.package = package

    def fit(self, X: np.ndarray, y: np.ndarray) -> "Boosted":
        module = import_module(self.package)
        if self.package == "ngboost":
            self.model_ = module.NGBRegressor(n_estimators=500, verbose=False, random_state=0)
        else:
            self.model_ = module.XGBDistribution(distribution="normal", random_state=0)
        self.model_.fit(X, y)
        return self

    def _moments(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        found = self.model_.pred_dist(X) if self.package == "ngboost" else self.model_.predict(X)
        return np.asarray(found.loc, dtype=float), np.asarray(found.scale, dtype=float)

    def predict(self, X: np.ndarray) -> np.ndarray:
        return self._moments(X)[0]

    def log_density(self, X: np.ndarray, y: np.ndarray) -> np.ndarray:
        mean, deviation = self._moments(X)
        standard = (y - mean) / deviation
        return -0.5 * (np.log(2.0 * np.pi) + standard**2) - np.log(deviation)


def protocol_methods() -> dict[str, Method]:
    """Return what the public protocol compares, by name; the linear model first."""
    forest = RandomForestRegressor(random_state=0, oob_score=True)
    auto = MoERegressor("auto", random_state=0)
    models: dict[str, Any] = {
        "linear": WithMaximumLikelihood(LinearRegression()),
        "forest": WithOutOfBag(forest),
        "boosting": WithGaussian(HistGradientBoostingRegressor(random_state=0)),
    }
    for name, module in (("ngboost", "ngboost"), ("xgboost-distribution", "xgboost_distribution")):
        if is_installed(module, name):
            models[name] = Boosted(module)
    models |= {
        "default": MoERegressor(random_state=0),
        "auto": auto,
        "auto bagged": BaggedMixture(auto, random_state=0),
    }
    return {name: partial(clone, model) for name, model in models.items()}


class Split(NamedTuple):
    """What a method came to on one split: held-out figures, and seconds of processor time."""

    error: float
    loss: float
    seconds: float


def run_protocol(n_splits: int, methods: dict[str, Method], wanted: Any) -> None:
    """Print RMSE, NLL and time of every method on every set, and who is best how often."""
    best = dict.fromkeys(methods, 0)
    near, behind = dict.fromkeys(methods, 0), dict.fromkeys(methods, 0)
    tables = {
        name: table
        for name, table in load_regressions().items()
        if (name in wanted if wanted else len(table[1]) >= 100)
    }
    print("\n| set (n, p) | method | RMSE | NLL | seconds |\n|---|---|---:|---:|---:|")
    for name, (X, y) in tables.items():
        rng = np.random.default_rng(0)
        orders = [rng.permutation(len(y)) for _ in range(n_splits)]
        found = {}
        for method, make in methods.items():
            splits = [try_split(make, X, y, order) for order in orders]
            found[method] = Split(*np.mean(splits, axis=0))
            error = np.std(splits, axis=0, ddof=min(1, n_splits - 1)) / np.sqrt(n_splits)
            print(
                f"| {name} ({len(y)}, {X.shape[1]}) | {method} | {found[method].error:.4g} +- "
                f"{error[0]:.2g} | {found[method].loss:.3f} +- {error[1]:.2g} | "
                f"{found[method].seconds:.2f} |",
                flush=True,
            )
        linear = found[next(iter(methods))]
        best[min(found, key=lambda method: found[method].loss)] += 1
        least = min(split.error for split in found.values())
        for method, split in found.items():
            near[method] += split.error <= 1.1 * least
            behind[method] += (
                split.error > (1.0 + WORSE_ERROR) * linear.error
                or split.loss > linear.loss + WORSE_LOG_DENSITY
            )
    for method in methods:
        print(
            f"{method}: best NLL on {best[method]} of {len(tables)}, RMSE within 10 % of the best "
            f"on {near[method]}, behind the linear model on {behind[method]}"
        )


def try_split(make: Method, X: np.ndarray, y: np.ndarray, order: np.ndarray) -> Split:
    """Fit to nine tenths of the rows, and ask about the others."""
    n_held = max(1, round(0.1 * len(y)))
    test, train = order[:n_held], order[n_held:]
    begun = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = make().fit(X[train], y[train])
        error = float(np.sqrt(np.mean((model.predict(X[test]) - y[test]) ** 2)))
        loss = -float(np.mean(model.log_density(X[test], y[test])))
    return Split(error, loss, time.process_time() - begun)


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
    arguments = parser.parse_args()
    wanted = QUICK_SETS if arguments.quick else arguments.sets
    print_versions()
    if arguments.splits:
        run_protocol(arguments.splits, choose(protocol_methods(), arguments.methods), wanted)
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
