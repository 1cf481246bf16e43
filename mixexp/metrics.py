"""Scorers for model selection: held-out log density, and BIC.

Both are callables ``scorer(estimator, X, y)`` as `GridSearchCV` and `cross_val_score` take
them, and greater is better.
"""

from typing import Any

import numpy as np


def log_density_scorer(estimator: Any, X: Any, y: Any, sample_weight: Any = None) -> float:
    """Return the mean log density of y given x: the score to choose a model by.

    Parameters
    ----------
    estimator : fitted MoERegressor, MoEClassifier, HMERegressor or HMEClassifier
        Or a pipeline that ends in one.
    X : array-like of shape (n, n_features)
    y : array-like of shape (n,)
    sample_weight : array-like of shape (n,), default=None

    Returns
    -------
    float
        Natural log, per row; proper (Good 1952), so that it rewards honest uncertainty.

    Examples
    --------
    >>> from sklearn.model_selection import cross_val_score
    >>> import numpy as np
    >>> from mixexp import MoERegressor
    >>> from mixexp.metrics import log_density_scorer
    >>> x = np.linspace(-1.0, 1.0, 90)[:, None]
    >>> y = np.abs(x[:, 0]) + 0.05 * np.sin(50.0 * x[:, 0])
    >>> scores = cross_val_score(
    ...     MoERegressor(n_experts=2, random_state=0), x[::-1], y, scoring=log_density_scorer, cv=3
    ... )
    >>> scores.shape
    (3,)
    """
    steps, model = _split_pipeline(estimator)
    density = model.log_density(_transform(steps, X), y)
    return float(np.average(density, weights=sample_weight))


def negative_bic_scorer(estimator: Any, X: Any, y: Any, sample_weight: Any = None) -> float:
    """Return minus the BIC of a fitted estimator on the rows it is given.

    Meant for the rows that it was fitted to; see `MoERegressor.bic`.

    Parameters
    ----------
    estimator, X, y, sample_weight
        As for `log_density_scorer`.
    """
    steps, model = _split_pipeline(estimator)
    return -float(model.bic(_transform(steps, X), y, sample_weight))


def _split_pipeline(estimator: Any) -> tuple[list[Any], Any]:
    if hasattr(estimator, "steps"):
        return [step for _, step in estimator.steps[:-1]], estimator.steps[-1][1]
    return [], estimator


def _transform(steps: list[Any], X: Any) -> Any:
    for step in steps:
        if step is not None and step != "passthrough":
            X = step.transform(X)
    return X
