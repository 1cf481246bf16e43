"""Quantiles of families whose distribution function has no closed inverse.

Both searches bracket by steps that grow and then halve, on all elements at once.
"""

from collections.abc import Callable

import numpy as np

Cdf = Callable[[np.ndarray], np.ndarray]

# Factors from 1 that reach the largest float, each the square of the one before, and halvings that
# exhaust its digits.
_N_FACTORS = 11
_LARGEST = 2.0**1023
_N_HALVINGS = 200
# Integers beyond are not told apart from their neighbours.
_LARGEST_INTEGER = 2.0**53


def least_integer(cdf: Cdf, q: np.ndarray, lower: float, upper: float) -> np.ndarray:
    """Return the least integer whose cdf reaches q.

    Parameters
    ----------
    cdf : callable
        Of an array of the shape of ``q``.
    q : ndarray of shape (...)
        Probabilities in [0, 1].
    lower, upper : float
        Least and largest integer to return; ``upper`` may be infinite, and is where q = 1.

    Returns
    -------
    ndarray of shape (...)

    Notes
    -----
    Evaluates ``cdf`` some 2 log2(quantile) times.
    """
    below = np.full(q.shape, lower - 1.0)
    above = np.full(q.shape, float(lower))
    step = 1.0
    while step <= _LARGEST_INTEGER:
        is_short = (cdf(above) < q) & (above < upper)
        if not is_short.any():
            break
        below = np.where(is_short, above, below)
        above = np.where(is_short, np.minimum(above + step, upper), above)
        step *= 2.0
    while np.any(above - below > 1.0):
        middle = np.floor(0.5 * (below + above))
        reaches = cdf(middle) >= q
        above = np.where(reaches & (middle > below), middle, above)
        below = np.where(reaches, below, middle)
    return np.where(q >= 1.0, upper, above)


def invert_cdf(cdf: Cdf, q: np.ndarray, lower: float, upper: float) -> np.ndarray:
    """Return the least y whose cdf reaches q, to the last digits of y.

    Parameters
    ----------
    cdf : callable
        Of an array of the shape of ``q``.
    q : ndarray
    lower, upper : float
        Limits of the support, returned where q is 0 and 1.

    Notes
    -----
    Halves on the scale of ``sinh``: linear around zero and logarithmic away from it, so that
    small quantiles have their digits too. Evaluates ``cdf`` some 70 to 200 times.
    """
    below, above = _bracket(cdf, q, lower, upper)
    for _ in range(_N_HALVINGS):
        middle = middle_of(below, above)
        if not np.any((middle > below) & (middle < above)):
            break
        reaches = cdf(middle) >= q
        above = np.where(reaches, middle, above)
        below = np.where(reaches, below, middle)
    is_lowest = (q <= 0.0) | (np.isfinite(lower) & (cdf(np.full(q.shape, lower)) >= q))
    return np.where(is_lowest, lower, np.where(q >= 1.0, upper, above))


def cantelli_bracket(
    q: np.ndarray, mean: np.ndarray, variance: np.ndarray, lower: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return values that a quantile of y >= lower lies between, whatever the distribution.

    ``mean - sd * sqrt((1 - q) / q)`` and ``mean + sd * sqrt(q / (1 - q))``, by Cantelli's
    inequality; the latter is infinite where q is 1.
    """
    deviation = np.sqrt(variance)
    odds = q / np.maximum(1.0 - q, np.finfo(float).tiny)
    below = mean - deviation / np.sqrt(np.maximum(odds, np.finfo(float).tiny))
    above = np.where(q < 1.0, mean + deviation * np.sqrt(odds), np.inf)
    return np.where(q > 0.0, np.maximum(below, lower), lower), above


def _bracket(cdf: Cdf, q: np.ndarray, lower: float, upper: float) -> tuple[np.ndarray, np.ndarray]:
    below = np.full(q.shape, lower if np.isfinite(lower) else -1.0)
    above = np.full(q.shape, upper if np.isfinite(upper) else max(1.0, lower + 1.0))
    inside = (q > 0.0) & (q < 1.0)
    factor = 2.0
    for _ in range(_N_FACTORS):
        is_short = inside & (cdf(above) < q) & (above < upper)
        is_long = inside & (cdf(below) >= q) & (below > lower)
        if not (is_short.any() or is_long.any()):
            break
        # Beyond zero, both.
        above = np.where(is_short, np.minimum(above, _LARGEST / factor) * factor, above)
        below = np.where(is_long, np.maximum(below, -_LARGEST / factor) * factor, below)
        factor = min(factor * factor, _LARGEST)
    return below, above


def middle_of(below: np.ndarray, above: np.ndarray) -> np.ndarray:
    """Halve by the geometric mean where both ends have one sign and differ in magnitude.

    Parameters
    ----------
    below, above : ndarray of shape (...)
        Ends of intervals.

    Returns
    -------
    ndarray of shape (...)
        Between them.
    """
    same_sign = (below > 0.0) | (above < 0.0)
    size = np.sqrt(np.abs(below)) * np.sqrt(np.abs(above))
    geometric = np.where(below > 0.0, size, -size)
    arithmetic = below + 0.5 * (above - below)
    # From zero a thousandth is as good as a half, and reaches small quantiles soon.
    from_zero = np.where(below == 0.0, above * 1e-3, arithmetic)
    return np.where(same_sign, geometric, from_zero)
