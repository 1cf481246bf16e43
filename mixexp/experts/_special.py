"""Differences of special functions that cancel when written down naively.

Densities near their limits (gamma with a large shape, negative binomial close to Poisson)
are differences of log gamma functions of size a * log(a); what remains of them is of order
one. Abramowitz & Stegun (1964), eqs. 6.1.40, 6.3.18 and 6.4.11.
"""

import math

import numpy as np
from scipy.special import digamma, gammaln, polygamma

_HALF_LOG_2PI = 0.5 * math.log(2.0 * math.pi)
# From here on the asymptotic series below are exact to rounding.
_LARGE = 20.0
# Bernoulli numbers B_2, B_4, ..., B_12.
_BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730)
_SMALL_EXCESS = 0.01


def _split(a: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return a >= _LARGE, np.minimum(a, _LARGE), 1.0 / np.maximum(a, _LARGE)


def _series(inverse: np.ndarray, coefficients: list[float]) -> np.ndarray:
    """Return ``sum of coefficient * inverse**(2 k)`` over k = 0, 1, ..."""
    square, total = inverse * inverse, np.zeros_like(inverse)
    for coefficient in reversed(coefficients):
        total = total * square + coefficient
    return total


def stirling_error(a: np.ndarray) -> np.ndarray:
    """Return ``gammaln(a) - (a - 1/2) log(a) + a - log(2 pi) / 2`` for a > 0."""
    is_large, small, inverse = _split(a)
    coefficients = [b / (2 * k * (2 * k - 1)) for k, b in enumerate(_BERNOULLI, start=1)]
    exact = gammaln(small) - (small - 0.5) * np.log(small) + small - _HALF_LOG_2PI
    return np.where(is_large, inverse * _series(inverse, coefficients), exact)


def digamma_gap(a: np.ndarray) -> np.ndarray:
    """Return ``log(a) - digamma(a)`` for a > 0; positive, ``1 / (2 a)`` for large a."""
    is_large, small, inverse = _split(a)
    coefficients = [b / (2 * k) for k, b in enumerate(_BERNOULLI, start=1)]
    series = inverse * (0.5 + inverse * _series(inverse, coefficients))
    return np.where(is_large, series, np.log(small) - digamma(small))


def trigamma_gap(a: np.ndarray) -> np.ndarray:
    """Return ``a * trigamma(a) - 1`` for a > 0; positive, ``1 / (2 a)`` for large a."""
    is_large, small, inverse = _split(a)
    series = inverse * (0.5 + inverse * _series(inverse, list(_BERNOULLI)))
    return np.where(is_large, series, small * polygamma(1, small) - 1.0)


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
