"""Scorers for model selection: held-out log density, CRPS, pinball loss, and criteria.

All are called as ``scorer(estimator, X, y)``, as `GridSearchCV` and `cross_val_score` do, and
greater is better. With metadata routing enabled, per-row arguments reach them on request:
``LogDensityScorer().set_score_request(exposure=True)``.
"""

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from mixexp.arguments import as_array, in_memory, is_lazy, is_word, replace_absent
from mixexp.docstrings import fill_sections
from mixexp.metrics._scores import check_row_weights, crps_score, per_row, pinball_loss
from mixexp.text import shown

_PER_ROW = "array-like of shape (n,), default=None"
_scorer_docs = fill_sections(
    {
        "estimator": "estimator or Pipeline\nFitted, of this package, or a pipeline that ends so.",
        "X": "array-like of shape (n, n_features)",
        "y": "array-like of shape (n,)",
        "sample_weight": _PER_ROW,
        "offset": f"{_PER_ROW}\nAs for the estimator's `predict`.",
        "exposure": f"{_PER_ROW}\nAs for the estimator's `predict`.",
        "trials": f"{_PER_ROW}\nAs for the estimator's `predict`.",
        "groups": f"{_PER_ROW}\nGroups of rows that share an expert, as for `fit`.",
        "censoring": f"{_PER_ROW}\nOf y, as for `fit`.",
        "y_upper": f"{_PER_ROW}\nUpper ends of what y is known to lie in, as for `fit`.",
        "y_resolution": "float or array-like of shape (n,), default=None\nAs for `fit`.",
        "truncation": "float, or array-like of shape (n,) or (n, 2), default=None\nAs for `fit`.",
    },
    {},
)
_CRITERIA = ("aic", "aicc", "bic", "sabic", "caic", "icl", "icl_bic")


class _Scorer(BaseEstimator):
    """What all scorers share: searches over several metrics ask whether one takes weights."""

    def _accept_sample_weight(self) -> bool:
        return True


@_scorer_docs
class LogDensityScorer(_Scorer):
    """Mean log density of y given x: the score to choose a model by.

    Natural log, per row; proper (Good 1952), so that it is best for the true distribution. Call it,
    or its `score`, with a fitted estimator of this package or a pipeline that ends in one.

    Examples
    --------
    >>> from sklearn.model_selection import cross_val_score
    >>> import numpy as np
    >>> from mixexp import MoERegressor
    >>> from mixexp.metrics import log_density_scorer
    >>> x = np.linspace(-1.0, 1.0, 90)[:, None]
    >>> y = np.abs(x[:, 0]) + 0.05 * np.sin(50.0 * x[:, 0])
    >>> scores = cross_val_score(
    ...     MoERegressor(n_experts=2, random_state=0), x, y[::-1], scoring=log_density_scorer, cv=3
    ... )
    >>> scores.shape
    (3,)
    """

    def score(
        self,
        estimator: Any,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        offset: Any = None,
        exposure: Any = None,
        trials: Any = None,
        groups: Any = None,
        censoring: Any = None,
        y_upper: Any = None,
        y_resolution: Any = None,
        truncation: Any = None,
    ) -> float:
        """Return the weighted mean of ``estimator.log_density(X, y)``.

        Returns
        -------
        float
            Natural log, per unit of y. Greater is better.

        Raises
        ------
        NotFittedError
            If the estimator has not been fitted.
        TypeError
            If it has not the method that is needed.
        ValueError
            If an argument is not as described; the message names it.
        """
        steps, model = _split_pipeline(estimator, "log_density")
        known = {
            "offset": offset,
            "exposure": exposure,
            "trials": trials,
            "groups": groups,
            "censoring": censoring,
            "y_upper": y_upper,
            "y_resolution": y_resolution,
            "truncation": truncation,
        }
        y = _of_known_classes(model, y, sample_weight)
        density = in_memory(model.log_density(_transform(steps, X), y, **known))
        weight = check_row_weights(in_memory(sample_weight), len(density))
        return float(np.average(density, weights=weight))

    __call__ = score


@_scorer_docs
class NegativeCriterionScorer(_Scorer):
    """Minus an information criterion of a fitted estimator on the rows it is given.

    Meant for the rows that the estimator was fitted to.

    Parameters
    ----------
    criterion : {"aic", "aicc", "bic", "sabic", "caic", "icl", "icl_bic"}, default="bic"
        Attribute of `mixexp.inference.Criteria`.
    """

    def __init__(self, criterion: str = "bic") -> None:
        self.criterion = criterion

    def score(
        self,
        estimator: Any,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        offset: Any = None,
        exposure: Any = None,
        trials: Any = None,
        groups: Any = None,
        censoring: Any = None,
        y_upper: Any = None,
        y_resolution: Any = None,
        truncation: Any = None,
    ) -> float:
        """Return minus the criterion, so that greater is better.

        Returns
        -------
        float
            On the scale of a deviance. Greater is better.

        Raises
        ------
        NotFittedError
            If the estimator has not been fitted.
        TypeError
            If it has not the method that is needed.
        ValueError
            If an argument is not as described, or no such criterion; the message names it.
        """
        if not is_word(self.criterion, _CRITERIA):
            raise ValueError(
                f"The 'criterion' parameter must be one of {_CRITERIA}. Got "
                f"{shown(self.criterion)}."
            )
        steps, model = _split_pipeline(estimator, "criteria")
        known = {
            "offset": offset,
            "exposure": exposure,
            "trials": trials,
            "groups": groups,
            "censoring": censoring,
            "y_upper": y_upper,
            "y_resolution": y_resolution,
            "truncation": truncation,
        }
        found = model.criteria(_transform(steps, X), y, sample_weight, **known)
        return -float(getattr(found, self.criterion))

    __call__ = score


class NegativeBICScorer(NegativeCriterionScorer):
    """Minus the BIC of a fitted estimator on the rows it is given; see `MoERegressor.bic`.

    Meant for the rows that the estimator was fitted to.
    """

    def __init__(self) -> None:
        super().__init__("bic")


@_scorer_docs
class CRPSScorer(_Scorer):
    """Minus the mean continuous ranked probability score of y, in its unit.

    Proper, as the log density, but forgiving to outliers: it grows as their distance.
    """

    def score(
        self,
        estimator: Any,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        offset: Any = None,
        exposure: Any = None,
        trials: Any = None,
    ) -> float:
        """Return minus the weighted mean of ``estimator.predict_dist(X).crps(y)``.

        Returns
        -------
        float
            In the unit of y. Greater is better.

        Raises
        ------
        NotFittedError
            If the estimator has not been fitted.
        TypeError
            If it has not the method that is needed.
        ValueError
            If an argument is not as described; the message names it.
        """
        steps, model = _split_pipeline(estimator, "predict_dist")
        known = {"offset": offset, "exposure": exposure, "trials": trials}
        dist = model.predict_dist(_transform(steps, X), **known)
        return -crps_score(_as_many(y, len(dist)), dist, sample_weight=sample_weight)

    __call__ = score


@_scorer_docs
class PinballScorer(_Scorer):
    """Minus the mean pinball loss of predicted quantiles, in the unit of y.

    Parameters
    ----------
    q : float or array-like of shape (m,), default=0.5
        Levels in [0, 1]; of several the mean is taken.
    """

    def __init__(self, q: Any = 0.5) -> None:
        self.q = q

    def score(
        self,
        estimator: Any,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        offset: Any = None,
        exposure: Any = None,
        trials: Any = None,
    ) -> float:
        """Return minus the weighted mean loss of ``estimator.predict_quantile(X, q)``.

        Returns
        -------
        float
            In the unit of y. Greater is better.

        Raises
        ------
        NotFittedError
            If the estimator has not been fitted.
        TypeError
            If it has not the method that is needed.
        ValueError
            If an argument is not as described; the message names it.
        """
        steps, model = _split_pipeline(estimator, "predict_quantile")
        known = {"offset": offset, "exposure": exposure, "trials": trials}
        found = model.predict_quantile(_transform(steps, X), self.q, **known)
        return -pinball_loss(_as_many(y, len(found)), found, self.q, sample_weight=sample_weight)

    __call__ = score


log_density_scorer = LogDensityScorer()
negative_bic_scorer = NegativeBICScorer()
negative_crps_scorer = CRPSScorer()


def _split_pipeline(estimator: Any, method: str) -> tuple[list[Any], Any]:
    """Return transformers, and the model that has a method.

    Raises
    ------
    TypeError
        Naming ``estimator``, if there is no such model.
    """
    steps, model = [], estimator
    if hasattr(estimator, "steps"):
        steps, model = [step for _, step in estimator.steps[:-1]], estimator.steps[-1][1]
    if isinstance(model, type) or not hasattr(model, method):
        raise TypeError(
            f"estimator must be a fitted estimator with a method {method}, such as MoERegressor, "
            f"or a Pipeline that ends in one. Got {shown(estimator)} instead."
        )
    return steps, model


def _of_known_classes(model: Any, y: Any, sample_weight: Any) -> Any:
    """Return y with classes that a classifier knows in rows of weight zero, which do not count."""
    if sample_weight is None or not hasattr(model, "classes_") or is_lazy(y):
        return y
    labels = as_array(y, "y")
    if labels.ndim != 1:
        return y  # refused by the model
    weight = check_row_weights(sample_weight, len(labels))
    assert weight is not None
    return replace_absent(y, labels, model.classes_, weight)


def _transform(steps: list[Any], X: Any) -> Any:
    for step in steps:
        if step is not None and step != "passthrough":
            X = step.transform(X)
    return X


def _as_many(y: Any, n: int) -> np.ndarray:
    """Return y as numbers, one per row of X.

    Raises
    ------
    ValueError, TypeError
        Naming y.
    """
    values = per_row(y, "y")
    if len(values) != n:
        raise ValueError(
            f"Found input variables with inconsistent numbers of samples: X has {n} rows, y has "
            f"{len(values)}."
        )
    return values
