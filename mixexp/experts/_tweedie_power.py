"""Derivatives of a Tweedie density in its power, for `Tweedie(power="estimate")`.

With below = power - 1, rest = 2 - power, half deviance H over the dispersion, and jumps j of which
the most probable number is the peak, the log of a term of the density changes with the power by
``-H' + bend * (j - peak) + v_j / below**2``, where

``bend = (1 / rest - log(y)) / below`` and ``v_j = j * log(j / peak) - (j - peak) - j * gap(index *
j)`` with ``gap(x) = log(x) - digamma(x)``.

So score and curvature are moments of ``j - peak`` and v, of order one however many jumps there are.
"""

from typing import NamedTuple

import numpy as np

from mixexp.experts._jumps import (
    LOG_MANY,
    JumpMoments,
    add_all,
    by_index,
    fall_from_peak,
    jump_nodes,
)
from mixexp.experts._special import (
    digamma_gap,
    exponential_excess,
    stirling_error,
    trigamma_gap,
)
from mixexp.links import capped_exp

# Limits of the moments for many jumps are reached to seven digits, which beyond are lost.
_LARGEST_LOG_PEAK = 16.0
_N_MOMENTS = 4


class PowerMoments(NamedTuple):
    """Moments of v, each number of jumps weighted by its term.

    Parameters
    ----------
    mean, variance : ndarray
    covariance : ndarray
        With ``j - peak``.
    trigamma : ndarray
        Mean of ``j * (x * trigamma(x) - 1)`` at ``x = index * j``.
    """

    mean: np.ndarray
    variance: np.ndarray
    covariance: np.ndarray
    trigamma: np.ndarray


def power_moments(log_peak: np.ndarray, index: np.ndarray) -> PowerMoments:
    """Return the moments, zero where there are no jumps."""
    return PowerMoments(*by_index(_moments_of_one, _N_MOMENTS, log_peak, index))


def _moments_of_one(log_peak: np.ndarray, index: float) -> np.ndarray:
    out = np.zeros((_N_MOMENTS, *log_peak.shape))
    is_many = log_peak >= LOG_MANY
    is_few = np.isfinite(log_peak) & ~is_many
    if is_few.any():
        out[:, is_few] = _moments_of_few(log_peak[is_few], index)
    if is_many.any():
        out[:, is_many] = _moments_of_many(log_peak[is_many], index)
    return out


def _moments_of_few(log_peak: np.ndarray, index: float) -> np.ndarray:
    found = add_all(log_peak, index)
    variance = np.maximum(found.value_square - found.value**2, 0.0)
    mean = _deviation(found.center, log_peak, index) + found.value
    return np.stack([mean, variance, found.product - found.away * found.value, found.trigamma])


def _moments_of_many(log_peak: np.ndarray, index: float) -> np.ndarray:
    log_peak = np.minimum(log_peak, _LARGEST_LOG_PEAK)
    peak = np.exp(log_peak)
    top = np.round(peak)
    highest, from_top = _log_term(top, log_peak, index), _deviation(top, log_peak, index)
    sums = np.zeros((6, len(peak)))
    for j, step in jump_nodes(peak, np.sqrt(peak / (1.0 + index)), np.inf):
        term = step * np.exp(np.minimum(_log_term(j, log_peak, index) - highest, 0.5))
        v, away = _deviation(j, log_peak, index) - from_top, j - top
        of_trigamma = j * trigamma_gap(index * j)
        for at, value in enumerate((1.0, v, v * v, away, away * v, of_trigamma)):
            sums[at] += term * value
    mean, square, away, product, of_trigamma = sums[1:] / sums[0]
    variance = np.maximum(square - mean**2, 0.0)
    return np.stack([from_top + mean, variance, product - away * mean, of_trigamma])


def _log_term(j: np.ndarray, log_peak: np.ndarray, index: float) -> np.ndarray:
    errors = stirling_error(j) + stirling_error(index * j)
    return -(1.0 + index) * fall_from_peak(j, np.exp(log_peak), log_peak) - errors


def _deviation(j: np.ndarray, log_peak: np.ndarray, index: float) -> np.ndarray:
    """Return v of so many jumps."""
    return fall_from_peak(j, np.exp(log_peak), log_peak) - j * digamma_gap(index * j)


class _Excess(NamedTuple):
    """Half the deviance over the dispersion, and its derivatives in the power."""

    slope: np.ndarray
    bend: np.ndarray


def _of_deviance(
    y: np.ndarray, log_mean: np.ndarray, log_dispersion: np.ndarray, power: np.ndarray
) -> _Excess:
    below, rest = power - 1.0, 2.0 - power
    log_y = np.log(np.where(y > 0.0, y, 1.0))
    u = log_y - log_mean
    # exp(x) - 1 and exp(x) - 1 - x at -rest * u and at below * u, over the dispersion.
    weight = capped_exp(rest * log_y - log_dispersion)
    first, second = -rest * u, below * u
    rise = [_scaled(rest * log_y - log_dispersion, weight, x) for x in (first, second)]
    (x1, e1), (x2, e2) = rise
    total = e1 / rest + e2 / below
    slope = u * x1 / rest + e1 / rest**2 + u * x2 / below - e2 / below**2
    bend = u * u * (x1 + weight) / rest + 2.0 * (u * x1 / rest**2 + e1 / rest**3)
    bend = bend + u * u * (x2 + weight) / below - 2.0 * (u * x2 / below**2 - e2 / below**3)
    none = capped_exp(rest * log_mean - log_dispersion) / rest
    away = 1.0 / rest - log_mean
    return _Excess(
        np.where(y > 0.0, slope - log_y * total, none * away),
        np.where(
            y > 0.0,
            log_y * log_y * total - 2.0 * log_y * slope + bend,
            none * (away * away + 1.0 / rest**2),
        ),
    )


def _scaled(
    log_weight: np.ndarray, weight: np.ndarray, x: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return ``exp(x) - 1`` and ``exp(x) - 1 - x`` times a weight, which may overflow alone."""
    near = np.clip(x, -1.0, 1.0)
    far = capped_exp(log_weight + x) - weight
    is_near = np.abs(x) < 1.0
    rise = np.where(is_near, weight * np.expm1(near), far)
    excess = np.where(is_near, weight * exponential_excess(near), far - weight * x)
    return rise, excess


class PowerTerms(NamedTuple):
    """Derivatives of the log density.

    Parameters
    ----------
    score, observed : ndarray
        In the power.
    across : ndarray
        Minus the second derivative in power and log dispersion.
    """

    score: np.ndarray
    observed: np.ndarray
    across: np.ndarray


def power_terms(
    y: np.ndarray,
    log_mean: np.ndarray,
    log_dispersion: np.ndarray,
    power: np.ndarray,
    jumps: JumpMoments,
    log_peak: np.ndarray,
) -> PowerTerms:
    """Return the derivatives in the power, given the moments that the density is made of."""
    below, rest = power - 1.0, 2.0 - power
    log_y = np.where(y > 0.0, np.log(np.where(y > 0.0, y, 1.0)), 0.0)
    excess = _of_deviance(y, log_mean, log_dispersion, power)
    found = power_moments(log_peak, rest / below)
    bend = (1.0 / rest - log_y) / below
    score = bend * jumps.deviation + found.mean / below**2
    kappa = 1.0 / rest**2 + 1.0 / below**2 + 2.0 * rest / below**3 + log_y / below**2
    # The number of jumps varies by peak * below, of which the shortfall is what is left.
    second = 2.0 * bend * found.covariance / below**2 + found.variance / below**4
    second = second - bend**2 * below * jumps.shortfall
    second = second + jumps.deviation * (kappa - bend / below - 2.0 / below**3)
    second = second - found.trigamma / (below**3 * rest) - 2.0 * found.mean / below**3
    across = bend * jumps.shortfall + jumps.deviation / below**2 - found.covariance / below**3
    has_jumps = y > 0.0
    return PowerTerms(
        np.where(has_jumps, score, 0.0) - excess.slope,
        excess.bend - np.where(has_jumps, second, 0.0),
        -(excess.slope + np.where(has_jumps, across, 0.0)),
    )
