"""A scikit-learn classifier as a gate: its soft targets are rows, repeated and weighted.

Every row stands once for each child, with the child for its class and its responsibility for its
weight: the cross entropy that a gate minimises.
"""

from typing import Any, NamedTuple

import numpy as np
from sklearn.base import BaseEstimator, is_classifier

from mixexp.arguments import is_real, is_word
from mixexp.submodel import Setting, Submodel, SubmodelRows
from mixexp.submodels._learning import (
    Told,
    as_table,
    check_predicted,
    check_weighting,
    counted_rows,
    fit_weighted,
    has_probabilities,
    is_estimator,
    take_rows,
    title_of,
)
from mixexp.submodels.estimator_expert import WEIGHTINGS
from mixexp.text import shown


class LearnedGate(NamedTuple):
    """Parameters of a gate that a classifier is; never changed in place.

    Parameters
    ----------
    classifier : fitted classifier, int or None
        None for equal probabilities, before the first fit; an int where all rows are one child's.
    n_children : int
    n_fits : int
    """

    classifier: Any
    n_children: int
    n_fits: int = 0


class EstimatorGate(Submodel, BaseEstimator):
    """A scikit-learn classifier as a gate.

    Given as ``gate=``, for all nodes or in a nested list; a classifier that is given there itself
    is wrapped in one with the default options.

    Parameters
    ----------
    estimator : classifier
        With ``predict_proba``. Copies are fitted; it is left as it is. Where its ``random_state``
        is None, a fixed seed is used.
    weighting : {"sample_weight", "resample"}, default="sample_weight"
        As for `EstimatorExpert`.
    smoothing : float, default=1e-9
        Share of an equal probability for all children: a child that the gate holds for impossible
        would never get the row back.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.tree import DecisionTreeClassifier
    >>> from mixexp import MoERegressor
    >>> x = np.linspace(-1.0, 1.0, 400)[:, None]
    >>> y = np.where(np.abs(x[:, 0]) < 0.5, 1.0, x[:, 0]) + 0.01 * np.sin(99.0 * x[:, 0])
    >>> gate = DecisionTreeClassifier(min_samples_leaf=20)
    >>> model = MoERegressor(2, gate=gate, n_init=3, random_state=0).fit(x, y)
    >>> model.score(x, y) > 0.99
    True
    """

    sees_raw = True
    is_monotone = False
    _setting = Setting("a gate", None, 0, None)

    def __init__(
        self, estimator: Any, *, weighting: str = "sample_weight", smoothing: float = 1e-9
    ) -> None:
        self.estimator = estimator
        self.weighting = weighting
        self.smoothing = smoothing

    @property
    def title(self) -> str:
        return title_of(self.estimator)

    def check_options(self) -> None:
        is_able = is_estimator(self.estimator) and is_classifier(self.estimator)
        if not is_able or not has_probabilities(self.estimator):
            raise ValueError(
                "A gate must be a classifier with predict_proba. Got "
                f"{shown(self.estimator)} instead."
            )
        if not is_word(self.weighting, WEIGHTINGS):
            raise ValueError(
                "The 'weighting' parameter of EstimatorGate must be 'sample_weight' or "
                f"'resample'. Got {shown(self.weighting)} instead."
            )
        if not (is_real(self.smoothing) and 0.0 < self.smoothing < 1.0):
            raise ValueError(
                "The 'smoothing' parameter of EstimatorGate must be a float between 0 and 1. "
                f"Got {shown(self.smoothing)} instead."
            )

    def bind(self, setting: Setting) -> "EstimatorGate":
        self.check_options()
        check_weighting(self.estimator, self.weighting, setting.where, "mixexp.gates.Estimator")
        if setting.n_features == 0:
            raise ValueError(
                f"{self.title}, {setting.where}, sees no features; use gate='constant'."
            )
        bound = EstimatorGate(**self.get_params(deep=False))
        bound._setting = setting
        return bound

    def log_terms(self, params: LearnedGate, rows: SubmodelRows) -> np.ndarray:
        m, n = params.n_children, len(rows.X)
        proba = np.zeros((n, m))
        if params.classifier is None:
            proba[:] = 1.0 / m
        elif isinstance(params.classifier, int):
            proba[:, params.classifier] = 1.0
        else:
            known, table = params.classifier.classes_, as_table(rows.X, self._setting.feature_names)
            proba[:, known] = check_predicted(
                params.classifier.predict_proba(table),
                (n, len(known)),
                self.title,
                self._setting.where,
            )
        mixed = (1.0 - self.smoothing) * proba.T + self.smoothing / m
        return np.log(mixed / mixed.sum(axis=0))

    def statistics(self, params: Any, rows: SubmodelRows, weight: np.ndarray) -> Any:
        return [(rows.X, weight)]

    def m_step(self, params: LearnedGate | None, stats: Any) -> LearnedGate:
        X = np.concatenate([part for part, _ in stats])
        weight = np.concatenate([part for _, part in stats], axis=1)
        m, n = weight.shape
        if params is None:  # equal shares for all, which nothing can be learned from
            return LearnedGate(None, m)
        if not weight.max() > 0.0:
            return params
        flat, child = weight.ravel(), np.repeat(np.arange(m), n)
        counted = counted_rows(flat)
        child, n_fits = child[counted], params.n_fits + 1
        if child[0] == child[-1]:
            return LearnedGate(int(child[0]), m, n_fits)
        table = take_rows(as_table(X, self._setting.feature_names), counted % n)
        with Told(f"{self.title}, {self._setting.where}, in its fit number {n_fits} of a start"):
            found = fit_weighted(self.estimator, table, child, flat[counted], self.weighting)
        return LearnedGate(found, m, n_fits)
