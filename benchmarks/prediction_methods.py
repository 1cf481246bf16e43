"""What `prediction.py` compares: mixtures, and the rest behind the same two methods.

Every method has `fit`, `predict` and, for a real target, `log_density`.
"""

from collections.abc import Callable
from contextlib import redirect_stdout
from functools import partial
from importlib import import_module
from io import StringIO
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeCV
from sklearn.model_selection import GridSearchCV, KFold, StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from mixexp import HMEClassifier, HMERegressor, MoEClassifier, MoERegressor
from mixexp.metrics import log_density_scorer

INNER = KFold(3, shuffle=True, random_state=0)

Method = Callable[[], Any]


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
