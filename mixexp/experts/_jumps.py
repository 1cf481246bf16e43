"""The sum over the number of jumps in a Tweedie density, and its moments.

``sum over j = 1, 2, ... of exp((1 + index) * (j - peak - j * log(j / peak)) - stirling_error(j)
- stirling_error(index * j))``, which depends on y and the dispersion through its peak alone.
Few jumps are added one by one; many jumps make a smooth bump whose sum is its integral.
"""

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from mixexp import kernels
from mixexp.experts._special import gamma_remainders, log_excess, stirling_error

# From here on a bump is far enough from j = 0 for the trapezoid rule, which is exact to
# rounding from 2.5 nodes per standard deviation (test_tweedie_coarse_nodes).
_MANY = 64.0
LOG_MANY = math.log(_MANY)
_NODES_PER_DEVIATION = 2.5
# Beyond exp(23) jumps the sum is that of a Gaussian bump to rounding; beyond exp(14) the variance
# differs from its limit by less than it is good to.
_LARGEST_LOG_PEAK = 23.0
_LARGEST_LOG_PEAK_OF_VARIANCE = 14.0
# Numbers of jumps that a sum with a peak below 64 can need.
_MOST_ADDED = 256


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
    is_many = held >= LOG_MANY
    is_few = np.isfinite(log_peak) & ~is_many
    if is_few.any():
        out[:, is_few] = _moments_of_few(held[is_few], index)
    if is_many.any():
        out[:, is_many] = _integrate(np.exp(held[is_many]), index)
    # A bump's standard deviation, and so its sum, goes on to grow with the root of its peak.
    out[0, is_many] += 0.5 * (log_peak[is_many] - held[is_many])
    out[2, log_peak > _LARGEST_LOG_PEAK_OF_VARIANCE] = 0.0
    return out


class FewSums(NamedTuple):
    """Means over the number of jumps j, each weighted by its term, of a few jumps.

    Parameters
    ----------
    center : ndarray
        Next to the largest term.
    log_sum : ndarray
    away, square : ndarray
        Means of ``a = j - center`` and of its square.
    value, value_square, product : ndarray
        Means of ``v = v_j - v_center``, of its square, and of ``a * v``, where ``v_j = j * log(j /
        peak) - j - j * digamma_gap(index * j)``.
    trigamma : ndarray
        Mean of ``j * trigamma_gap(index * j)``.
    """

    center: np.ndarray
    log_sum: np.ndarray
    away: np.ndarray
    square: np.ndarray
    value: np.ndarray
    value_square: np.ndarray
    product: np.ndarray
    trigamma: np.ndarray


def add_all(log_peak: np.ndarray, index: float) -> FewSums:
    """Add the terms of all numbers of jumps that matter, for log_peak of shape (m,) below 4.2."""
    peak, j = np.exp(log_peak), np.arange(1.0, _MOST_ADDED + 2.0)
    error, gap, bend_of = gamma_remainders(index * j)
    per_jump, errors = 1.0 + index, stirling_error(j) + error
    # Logs of the ratios of terms j + 1 and j to each other, where log_peak is zero.
    logs = per_jump * (1.0 - j * np.log1p(1.0 / j) - np.log(j + 1.0))
    logs[:-1] -= np.diff(errors)
    bend, value, other = np.zeros((3, _MOST_ADDED + 2))
    bend[2:-1] = np.exp(np.diff(logs[:-1]))
    value[1:], other[1:] = j * (np.log(j) - 1.0 - gap), j * bend_of
    # The largest term is the unit, so that sums neither over- nor underflow: next to the peak.
    at, slope = np.maximum(np.floor(peak), 1.0).astype(np.int64), per_jump * log_peak
    at += slope + logs[at - 1] > 0.0
    center, up = at.astype(np.float64), np.exp(slope + logs[at - 1])
    down = np.exp(np.where(at > 1, -slope - logs[np.maximum(at, 2) - 2], -np.inf))
    sums = np.empty((7, len(peak)))
    kernels.jump_sums(at, up, down, bend, log_peak, value, other, sums)
    top = slope * center + (per_jump * center * (1.0 - np.log(center)) - errors[at - 1])
    log_sum = top - per_jump * peak + np.log(sums[0])
    return FewSums(center, log_sum, *(sums[1:] / sums[0]))


def _moments_of_few(log_peak: np.ndarray, index: float) -> np.ndarray:
    found, peak = add_all(log_peak, index), np.exp(log_peak)
    shortfall = peak - (1.0 + index) * (found.square - found.away**2)
    return np.stack([found.log_sum, found.center - peak + found.away, shortfall])


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
