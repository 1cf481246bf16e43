"""The sum over the number of jumps in a Tweedie density, and its moments.

``sum over j = 1, 2, ... of exp((1 + index) * (j - peak - j * log(j / peak)) - stirling_error(j)
- stirling_error(index * j))``, which depends on y and the dispersion through its peak alone.
Few jumps are added one by one; many jumps make a smooth bump whose sum is its integral.
"""

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from mixexp.experts._special import log_excess, stirling_error

# From here on a bump is far enough from j = 0 for the trapezoid rule, which is exact to
# rounding from 2.5 nodes per standard deviation (test_tweedie_coarse_nodes).
_MANY = 64.0
_LOG_MANY = math.log(_MANY)
_NODES_PER_DEVIATION = 2.5
# Beyond exp(23) jumps the sum is that of a Gaussian bump to rounding; beyond exp(14) the variance
# differs from its limit by less than it is good to.
_LARGEST_LOG_PEAK = 23.0
_LARGEST_LOG_PEAK_OF_VARIANCE = 14.0
# Numbers of jumps that a sum with a peak below 64 can need, and terms that do not matter.
_MOST_ADDED = 256
_LEAST_LOG_TERM = -40.0


class JumpMoments(NamedTuple):
    """A sum over jumps.

    Parameters
    ----------
    log_sum : ndarray
    deviation : ndarray
        Mean of ``j - peak``, each j weighted by its term.
    shortfall : ndarray
        ``peak - (1 + index) * variance`` of j weighted so, which is small for large peaks.
    """

    log_sum: np.ndarray
    deviation: np.ndarray
    shortfall: np.ndarray


def jump_moments(log_peak: np.ndarray, index: np.ndarray | float) -> JumpMoments:
    """Sum over jumps; zero jumps, with moments zero, where the peak is zero.

    Parameters
    ----------
    log_peak : ndarray
        Log of the number of jumps of the largest term; -inf where y is zero.
    index : ndarray or float
        Shape of the gamma jumps.
    """
    return JumpMoments(*by_index(_moments_of_one, 3, log_peak, index))


def by_index(
    function: Callable[[np.ndarray, float], np.ndarray],
    n: int,
    log_peak: np.ndarray,
    index: np.ndarray | float,
) -> np.ndarray:
    """Return n sums of `function` of peaks and one index, for each index that there is.

    One per expert, so that what depends on the number of jumps and the index alone is found once.
    """
    log_peak, index = np.broadcast_arrays(log_peak, index)
    values = np.unique(index)
    if len(values) == 1:
        return function(log_peak, float(values[0]))
    out = np.zeros((n, *log_peak.shape))
    for value in values.tolist():
        where = index == value
        out[:, where] = function(log_peak[where], value)
    return out


def _moments_of_one(log_peak: np.ndarray, index: float) -> np.ndarray:
    out = np.zeros((3, *log_peak.shape))
    held = np.minimum(log_peak, _LARGEST_LOG_PEAK)
    is_many = held >= _LOG_MANY
    is_few = np.isfinite(log_peak) & ~is_many
    if is_few.any():
        out[:, is_few] = _add_all(held[is_few], index)
    if is_many.any():
        out[:, is_many] = _integrate(np.exp(held[is_many]), index)
    # A bump's standard deviation, and so its sum, goes on to grow with the root of its peak.
    out[0, is_many] += 0.5 * (log_peak[is_many] - held[is_many])
    out[2, log_peak > _LARGEST_LOG_PEAK_OF_VARIANCE] = 0.0
    return out


def _add_all(log_peak: np.ndarray, index: float) -> np.ndarray:
    j = np.arange(1.0, _MOST_ADDED + 1.0)
    constant = (1.0 + index) * j * (1.0 - np.log(j)) - stirling_error(j) - stirling_error(index * j)
    peak = np.exp(log_peak)
    # The largest term is the unit, so that sums neither over- nor underflow.
    center = np.maximum(np.round(peak), 1.0)
    slope = (1.0 + index) * log_peak
    top = slope * center + constant[center.astype(np.intp) - 1]
    first = _needed(float(log_peak.min()), index)[0]
    last = _needed(float(log_peak.max()), index)[1]
    total, mean, square = np.zeros_like(peak), np.zeros_like(peak), np.zeros_like(peak)
    term, away = np.empty_like(peak), np.empty_like(peak)
    for k in range(first, last + 1):
        np.multiply(slope, k, out=term)
        term += constant[k - 1]
        term -= top
        np.exp(term, out=term)
        np.subtract(k, center, out=away)
        total += term
        term *= away
        mean += term
        term *= away
        square += term
    mean /= total
    log_sum = top - (1.0 + index) * peak + np.log(total)
    variance = square / total - mean**2
    return np.stack([log_sum, center - peak + mean, peak - (1.0 + index) * variance])


def _needed(log_peak: float, index: float) -> tuple[int, int]:
    """Return the least and largest number of jumps that matter at a peak."""
    j = np.arange(1.0, _MOST_ADDED + 1.0)
    fall = (1.0 + index) * (j - j * (np.log(j) - log_peak))
    matters = np.flatnonzero(fall - fall.max() > _LEAST_LOG_TERM)
    return int(matters[0]) + 1, int(matters[-1]) + 1


def _integrate(peak: np.ndarray, index: float) -> np.ndarray:
    total, mean, square = np.zeros_like(peak), np.zeros_like(peak), np.zeros_like(peak)
    for j, step in jump_nodes(peak, np.sqrt(peak / (1.0 + index)), np.inf):
        away = j - peak
        fall = away - j * np.log1p(away / peak)
        errors = stirling_error(j) + stirling_error(index * j)
        term = step * np.exp((1.0 + index) * fall - errors)
        total += term
        mean += term * away
        square += term * away**2
    mean /= total
    variance = square / total - mean**2
    return np.stack([np.log(total), mean, peak - (1.0 + index) * variance])


def jump_nodes(
    peak: np.ndarray, deviation: np.ndarray, other_deviation: np.ndarray | float
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield numbers of jumps that cover a bump, and their distance.

    Parameters
    ----------
    peak, deviation : ndarray
        Where the bump is, and its standard deviation.
    other_deviation : ndarray or float
        Scale on which a factor of the summand changes, if that is smaller.
    """
    narrowest = np.minimum(deviation, other_deviation)
    coarse = np.maximum(1.0, narrowest / _NODES_PER_DEVIATION)
    step = np.where(peak < _MANY, 1.0, coarse)
    first = np.maximum(np.floor(peak - 9.5 * deviation), 1.0)
    last = peak + 10.0 * deviation + 15.0
    for k in range(int(np.max((last - first) / step, initial=0.0)) + 1):
        yield first + k * step, step


def fall_from_peak(j: np.ndarray, peak: np.ndarray, log_peak: np.ndarray) -> np.ndarray:
    """Return ``j * log(j / peak) - (j - peak)``, of which nothing cancels near the peak.

    The log has no digits of a large peak, and the peak may be less than the smallest number.
    """
    held = np.maximum(peak, 1.0)
    x = (j - held) / held
    near = j * log_excess(x, 1.0 + x) + (j - held) * x
    return np.where(log_peak < 0.0, j * (np.log(j) - log_peak) - (j - peak), near)
