"""The sum over the number of jumps in a Tweedie density, and its moments.

``sum over j = 1, 2, ... of exp((1 + index) * (j - peak - j * log(j / peak)) - stirling_error(j)
- stirling_error(index * j))``, which depends on y and the dispersion through its peak alone.
Few jumps are added one by one; many jumps make a smooth bump whose sum is its integral.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from mixexp.experts._special import stirling_error

# From here on a bump is far enough from j = 0 for the trapezoid rule, which is exact to
# rounding from 2.5 nodes per standard deviation (test_tweedie_coarse_nodes).
_MANY = 64.0
_NODES_PER_DEVIATION = 2.5
_LARGEST_PEAK = 1e20
# Numbers of jumps that a sum with a peak below 64 can need, and terms that do not matter.
_MOST_ADDED = 256
_LEAST_LOG_TERM = -40.0


class JumpMoments(NamedTuple):
    """A sum over jumps.

    Parameters
    ----------
    log_sum : ndarray
    deviation, variance : ndarray
        Mean of ``j - peak`` and variance of j, each j weighted by its term.
    """

    log_sum: np.ndarray
    deviation: np.ndarray
    variance: np.ndarray


def jump_moments(peak: np.ndarray, index: float) -> JumpMoments:
    """Sum over jumps; zero jumps, with moments zero, where the peak is zero.

    Parameters
    ----------
    peak : ndarray
        Number of jumps of the largest term, at least 0.
    index : float
        Shape of the gamma jumps.
    """
    out = np.zeros((3, *peak.shape))
    is_few, is_many = (peak > 0.0) & (peak < _MANY), peak >= _MANY
    if is_few.any():
        out[:, is_few] = _add_all(peak[is_few], index)
    if is_many.any():
        out[:, is_many] = _integrate(np.minimum(peak[is_many], _LARGEST_PEAK), index)
    return JumpMoments(*out)


def _add_all(peak: np.ndarray, index: float) -> np.ndarray:
    j = np.arange(1.0, _MOST_ADDED + 1.0)
    constant = (1.0 + index) * j * (1.0 - np.log(j)) - stirling_error(j) - stirling_error(index * j)
    log_peak = np.log(peak)
    # The largest term is the unit, so that sums neither over- nor underflow.
    center = np.maximum(np.round(peak), 1.0)
    slope = (1.0 + index) * log_peak
    top = slope * center + constant[center.astype(np.intp) - 1]
    first, last = _needed(float(peak.min()), index)[0], _needed(float(peak.max()), index)[1]
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
    return np.stack([log_sum, center - peak + mean, square / total - mean**2])


def _needed(peak: float, index: float) -> tuple[int, int]:
    """Return the least and largest number of jumps that matter at a peak."""
    j = np.arange(1.0, _MOST_ADDED + 1.0)
    fall = (1.0 + index) * (j - peak - j * np.log(j / peak))
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
    return np.stack([np.log(total), mean, square / total - mean**2])


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
