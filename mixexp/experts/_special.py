"""Differences of special functions that cancel when written down naively.

Densities near their limits (gamma with a large shape, negative binomial close to Poisson)
are differences of log gamma functions of size a * log(a); what remains of them is of order
one. Abramowitz & Stegun (1964), eqs. 6.1.40, 6.3.18 and 6.4.11.
"""

import math

import numpy as np

from mixexp import kernels
from mixexp.links import extended_exp

HALF_LOG_2PI = 0.5 * math.log(2.0 * math.pi)
_SMALL_EXCESS = 0.01
_LARGEST_USUAL_LOG = 60.0
# From here on exp(x) - 1 - x is exp(x) to rounding; log of the least number that is looked at.
_LARGE_EXPONENT = 100.0
_LEAST_LOG = -690.0
# Taylor coefficients of (exp(x) - 1 - x) / x**2, the highest power first.
_EXCESS_SERIES = tuple(1.0 / math.factorial(k) for k in range(9, 1, -1))


def are_usual_logs(log_precision: np.ndarray, *log_means: np.ndarray) -> bool:
    """Return whether products of precisions, means and data need no cut: within exp(-120 ... 120).

    Parameters
    ----------
    log_precision : ndarray
    *log_means : ndarray
        Not positive.
    """
    least = min(own.min(initial=0.0) for own in log_means)
    size = np.abs(log_precision).max(initial=0.0)
    return bool(size <= _LARGEST_USUAL_LOG and least >= -_LARGEST_USUAL_LOG)


def gamma_remainders(a: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return `stirling_error`, `digamma_gap` and `trigamma_gap` of a > 0."""
    spread = np.ascontiguousarray(a, dtype=np.float64).reshape(-1)
    ratio, rise, stirling, first, second = (np.empty_like(spread) for _ in range(5))
    kernels.gamma_remainders(spread, ratio, rise, stirling, first, second)
    log_ratio = np.log(ratio)
    stirling += (np.minimum(spread, 10.0) - 0.5) * log_ratio + np.log(rise)  # 0 from 10 on
    first -= log_ratio
    return stirling.reshape(a.shape), first.reshape(a.shape), second.reshape(a.shape)


def stirling_error(a: np.ndarray) -> np.ndarray:
    """Return ``gammaln(a) - (a - 1/2) log(a) + a - log(2 pi) / 2`` for a > 0."""
    return gamma_remainders(a)[0]


def digamma_gap(a: np.ndarray) -> np.ndarray:
    """Return ``log(a) - digamma(a)`` for a > 0; positive, ``1 / (2 a)`` for large a."""
    return gamma_remainders(a)[1]


def trigamma_gap(a: np.ndarray) -> np.ndarray:
    """Return ``a * trigamma(a) - 1`` for a > 0; positive, ``1 / (2 a)`` for large a."""
    return gamma_remainders(a)[2]


def log_excess(excess: np.ndarray, ratio: np.ndarray) -> np.ndarray:
    """Return ``log(ratio) - excess`` where ``excess = ratio - 1``; never positive.

    Both are asked for, since the excess cannot be had from a ratio close to one, nor the
    ratio from an excess close to -1.
    """
    near = np.clip(excess, -_SMALL_EXCESS, _SMALL_EXCESS)
    series = np.zeros_like(near)
    for k in range(9, 1, -1):
        series = series * near + (-1.0) ** (k + 1) / k
    exact = np.log(np.maximum(ratio, 1e-300)) - excess
    return np.where(np.abs(excess) < _SMALL_EXCESS, series * near * near, exact)


def exponential_excess(x: np.ndarray) -> np.ndarray:
    """Return ``exp(x) - 1 - x``, never negative, with its digits near zero; see `extended_exp`."""
    exact = np.expm1(np.minimum(x, 0.5)) - x
    exact = np.where(x < 0.5, exact, extended_exp(x) - 1.0 - x)
    return np.where(np.abs(x) < _SMALL_EXCESS, _excess_share(x) * np.square(_near(x)), exact)


def log_exponential_excess(x: np.ndarray) -> np.ndarray:
    """Return the log of ``exp(x) - 1 - x`` for any x, -inf at zero."""
    with np.errstate(divide="ignore"):
        near = 2.0 * np.log(np.abs(_near(x))) + np.log(_excess_share(x))
        held = np.minimum(x, _LARGE_EXPONENT)
        away = np.log(np.where(np.abs(x) < _SMALL_EXCESS, 1.0, np.expm1(held) - held))
    away = np.where(x > _LARGE_EXPONENT, x, away)
    return np.where(np.abs(x) < _SMALL_EXCESS, near, away)


def _near(x: np.ndarray) -> np.ndarray:
    return np.clip(x, -_SMALL_EXCESS, _SMALL_EXCESS)


def _excess_share(x: np.ndarray) -> np.ndarray:
    """Return ``(exp(x) - 1 - x) / x**2`` for small x."""
    near = _near(x)
    series = np.zeros_like(near)
    for coefficient in _EXCESS_SERIES:
        series = series * near + coefficient
    return series


def stirling_error_of_log(log_a: np.ndarray) -> np.ndarray:
    """Return `stirling_error` of ``exp(log_a)``, which may under- or overflow."""
    a = np.exp(np.clip(log_a, _LEAST_LOG, -_LEAST_LOG))
    return stirling_error(a) - 0.5 * np.minimum(log_a - _LEAST_LOG, 0.0)


def scaled_digamma_gap(a: np.ndarray) -> np.ndarray:
    """Return ``a * (log(a) - digamma(a))`` for a >= 0: 1 at zero, 1/2 for large a."""
    held = np.maximum(a, 1e-300)
    return held * digamma_gap(held)


def scaled_trigamma_gap(a: np.ndarray) -> np.ndarray:
    """Return ``a * (a * trigamma(a) - 1)`` for a >= 0: 1 at zero, 1/2 for large a."""
    held = np.maximum(a, 1e-150)
    return held * trigamma_gap(held)
