"""Scores and diagnostics of predicted distributions, quantiles and intervals.

As scikit-learn's metrics they take the truth first, and average over rows. Where a distribution
is asked for, what ``predict_dist`` returns is meant; its methods give the same per row.
"""

from typing import Any

import numpy as np

from mixexp.arguments import as_finite, as_numbers
from mixexp.text import shown


def log_score(y_true: Any, dist: Any, *, sample_weight: Any = None) -> float:
    """Return minus the mean log density of y, natural log; lower is better.

    Parameters
    ----------
    y_true : array-like of shape (n,)
    dist : MixtureDistribution
        Of the same rows.
    sample_weight : array-like of shape (n,), default=None

    Returns
    -------
    float
        Natural log, per unit of y.

    Raises
    ------
    ValueError
        If an argument is not as described; the message names it.
    TypeError
        If ``dist`` is no distribution.

    References
    ----------
    Good (1952), Rational decisions, J. R. Statist. Soc. B 14.
    """
    y = per_row(y_true, "y_true")
    return -_average(_check_dist(dist, "logpdf", len(y)).logpdf(y), sample_weight)


def crps_score(y_true: Any, dist: Any, *, sample_weight: Any = None) -> float:
    """Return the mean continuous ranked probability score, in the unit of y; lower is better.

    The absolute error of a forecast that is a distribution: proper, and finite where the log
    score is not. See `MixtureDistribution.crps`.

    Parameters
    ----------
    y_true : array-like of shape (n,)
    dist : MixtureDistribution
        Of the same rows.
    sample_weight : array-like of shape (n,), default=None

    Returns
    -------
    float
        In the unit of y.

    Raises
    ------
    ValueError
        If an argument is not as described; the message names it.
    TypeError
        If ``dist`` is no distribution.
    """
    y = per_row(y_true, "y_true")
    return _average(_check_dist(dist, "crps", len(y)).crps(y), sample_weight)


def pinball_loss(y_true: Any, quantiles: Any, q: Any, *, sample_weight: Any = None) -> float:
    """Return the mean pinball loss of quantiles, over rows and levels; lower is better.

    ``q * max(y - quantile, 0) + (1 - q) * max(quantile - y, 0)``.

    Parameters
    ----------
    y_true : array-like of shape (n,)
    quantiles : array-like of shape (n,) or (n, m)
        What ``predict_quantile(X, q)`` returns.
    q : float or array-like of shape (m,)
        Levels in [0, 1].
    sample_weight : array-like of shape (n,), default=None

    Returns
    -------
    float
        In the unit of y.

    Raises
    ------
    ValueError
        If an argument is not as described; the message names it.

    References
    ----------
    Koenker & Bassett (1978), Regression quantiles, Econometrica 46.
    """
    y = per_row(y_true, "y_true")
    levels = np.atleast_1d(as_finite(q, "q"))
    if levels.ndim > 1 or levels.size == 0 or not np.all((levels >= 0.0) & (levels <= 1.0)):
        raise ValueError(f"q must lie in [0, 1], one or several levels; got {shown(q)}.")
    values = as_numbers(quantiles, "quantiles")
    if values.ndim not in (1, 2) or len(values) != len(y):
        raise ValueError(
            f"quantiles has shape {values.shape}; expected ({len(y)},) or ({len(y)}, m), for "
            f"y_true has {len(y)} values."
        )
    values = values.reshape(len(y), -1)
    if values.shape[1] != len(levels):
        raise ValueError(
            f"quantiles has {values.shape[1]} columns, but q has {len(levels)} levels; give what "
            "predict_quantile(X, q) returned for the same q."
        )
    above = y[:, None] - values
    if not np.isfinite(values).all():
        raise ValueError(
            "quantiles must be finite; those of the levels 0 and 1 are the limits of y, and have "
            "no loss. Leave these levels out of q."
        )
    return _average(np.maximum(levels * above, (levels - 1.0) * above).mean(axis=1), sample_weight)


def interval_coverage(y_true: Any, intervals: Any, *, sample_weight: Any = None) -> float:
    """Return the share of rows whose y lies inside, ends included.

    Parameters
    ----------
    y_true : array-like of shape (n,)
    intervals : array-like of shape (n, 2) or (n, m, 2)
        What ``predict_interval`` returns; NaN stands for intervals that a row lacks.
    sample_weight : array-like of shape (n,), default=None

    Returns
    -------
    float
        Between 0 and 1.

    Raises
    ------
    ValueError
        If an argument is not as described; the message names it.
    """
    y = per_row(y_true, "y_true")
    ends = _as_intervals(intervals)
    if len(ends) != len(y):
        raise ValueError(f"intervals has {len(ends)} rows, but y_true has {len(y)}.")
    is_inside = np.any((y[:, None] >= ends[..., 0]) & (y[:, None] <= ends[..., 1]), axis=1)
    return _average(is_inside.astype(np.float64), sample_weight)


def interval_width(intervals: Any, *, sample_weight: Any = None) -> float:
    """Return the mean length of intervals, in the unit of y; of several per row, their sum.

    Parameters
    ----------
    intervals : array-like of shape (n, 2) or (n, m, 2)
        What ``predict_interval`` returns; NaN stands for intervals that a row lacks.
    sample_weight : array-like of shape (n,), default=None

    Returns
    -------
    float
        In the unit of y.

    Raises
    ------
    ValueError
        If an argument is not as described; the message names it.
    """
    ends = _as_intervals(intervals)
    return _average(np.nansum(ends[..., 1] - ends[..., 0], axis=1), sample_weight)


def pit_values(y_true: Any, dist: Any, *, random_state: Any = None) -> np.ndarray:
    """Return probability integral transforms, shape (n,): uniform if the distributions are true.

    Randomised where y has a probability of its own, as counts have; see
    `MixtureDistribution.pit`.

    Parameters
    ----------
    y_true : array-like of shape (n,)
    dist : MixtureDistribution
        Of the same rows.
    random_state : int, Generator, RandomState or None, default=None

    Returns
    -------
    ndarray of shape (n,)
        Between 0 and 1.

    Raises
    ------
    ValueError
        If an argument is not as described; the message names it.
    TypeError
        If ``dist`` is no distribution.
    """
    y = per_row(y_true, "y_true")
    return _check_dist(dist, "pit", len(y)).pit(y, random_state)


def per_row(values: Any, name: str) -> np.ndarray:
    array = as_finite(values, name)
    if array.ndim != 1 or len(array) == 0:
        raise ValueError(f"{name} has shape {array.shape}; expected (n,), one value per row.")
    return array


def _as_intervals(intervals: Any) -> np.ndarray:
    """Return intervals as an array (n, m, 2)."""
    ends = as_numbers(intervals, "intervals")
    if ends.ndim not in (2, 3) or ends.shape[-1] != 2 or len(ends) == 0:
        raise ValueError(
            f"intervals has shape {ends.shape}; expected (n, 2) or (n, m, 2), as predict_interval "
            "returns it."
        )
    return ends.reshape(len(ends), -1, 2)


def _average(values: np.ndarray, sample_weight: Any) -> float:
    return float(np.average(values, weights=check_row_weights(sample_weight, len(values))))


def check_row_weights(sample_weight: Any, n: int) -> np.ndarray | None:
    """Return one non-negative weight per row, not all zero, or None where none are given.

    Raises
    ------
    ValueError, TypeError
        Naming ``sample_weight``.
    """
    if sample_weight is None:
        return None
    weight = as_finite(sample_weight, "sample_weight")
    if weight.shape != (n,) or weight.min() < 0.0 or weight.max() == 0.0:
        raise ValueError(
            f"sample_weight must have shape ({n},), one non-negative weight per row, not all of "
            f"them zero; got shape {weight.shape}, {shown(sample_weight)}."
        )
    # Sums of the largest numbers overflow.
    return weight / weight.max() if weight.max() > 1e100 else weight


def _check_dist(dist: Any, method: str, n: int) -> Any:
    """Return a distribution of n rows.

    Raises
    ------
    TypeError, ValueError
        Naming ``dist``.
    """
    if isinstance(dist, type) or not hasattr(dist, method):
        raise TypeError(
            f"dist must be a distribution as predict_dist(X) returns it. Got {shown(dist)} instead."
        )
    if len(dist) != n:
        raise ValueError(f"dist has {len(dist)} rows, but y_true has {n}; give the same rows.")
    return dist
