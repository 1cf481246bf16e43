"""Survival functions ``(1 + shape * exp(z))**(-1 / shape)``, whose tails are powers.

With ``shape = exp(s)`` and z a logarithm of y on its scale. A shape of zero is the exponential of
``-exp(z)``; so the generalized Pareto distribution has the exponential as its limit, and Burr's the
Weibull distribution. Everything is in logarithms of shape and odds: either may be tiny, or huge.
"""

import math

import numpy as np

from mixexp.arguments import is_in_range
from mixexp.experts._base import Expert, Heads
from mixexp.links import LARGEST_LOG, capped_exp, extended_exp, logistic, softplus

#: Bounds of the log of the shape: below it is next to none, beyond there is no mean.
LOG_SHAPE_LIMITS = (math.log(1e-3), math.log(0.99))
# Logs of odds below are so small that a series has all digits.
_SMALL = -4.0
# Taylor coefficients of (log(1 + w) - w / (1 + w)) / w**2, the highest power first.
_SERIES = tuple((-1.0) ** k * (k - 1) / k for k in range(14, 1, -1))


def log_hazard(z: np.ndarray, s: np.ndarray) -> np.ndarray:
    """Return the log of minus the log survival function, ``log(1 + shape * exp(z)) / shape``."""
    odds = z + s
    small = capped_exp(np.minimum(odds, 0.0))
    near = odds + np.log1p(-0.5 * small)  # of next to nothing, where softplus has no digits
    with np.errstate(divide="ignore"):
        inside = np.log(softplus(odds))
    return np.where(odds < -18.0, near, inside) - s


def hazard(z: np.ndarray, s: np.ndarray) -> np.ndarray:
    """Return minus the log survival function."""
    odds = z + s
    return np.where(odds > 0.0, softplus(odds) * extended_exp(-s), extended_exp(log_hazard(z, s)))


def log_decay(z: np.ndarray, s: np.ndarray) -> np.ndarray:
    """Return the log density of z less z itself."""
    return -softplus(z + s) - hazard(z, s)


def slopes(z: np.ndarray, s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the derivatives of the log density of z, in z and in s."""
    share, log_share = logistic(z + s), -softplus(-z - s)
    return 1.0 - capped_exp(log_share - s) - share, capped_exp(_log_gap(z + s) - s) - share


def bends(z: np.ndarray, s: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return minus the second derivatives of the same: in z, in both, and in s."""
    odds = z + s
    share, rest, log_share = logistic(odds), logistic(-odds), -softplus(-odds)
    product, square = share * rest, capped_exp(2.0 * log_share - s)
    in_z = capped_exp(log_share - s) * rest + product
    return in_z, product - square, capped_exp(_log_gap(odds) - s) - square + product


def _log_gap(odds: np.ndarray) -> np.ndarray:
    """Return the log of ``log(1 + w) - w / (1 + w)``, of the log of w."""
    w = np.exp(np.minimum(odds, _SMALL))
    series = np.zeros_like(w)
    for coefficient in _SERIES:
        series = series * w + coefficient
    held = np.maximum(odds, _SMALL)
    return np.where(
        odds < _SMALL, 2.0 * odds + np.log(series), np.log(softplus(held) - logistic(held))
    )


def log_survival(z: np.ndarray, s: np.ndarray) -> np.ndarray:
    """Return the log of the probability of more."""
    return -hazard(z, s)


def log_cdf(z: np.ndarray, s: np.ndarray) -> np.ndarray:
    """Return the log of the probability of at most this."""
    log_rate = log_hazard(z, s)
    with np.errstate(divide="ignore"):
        inside = np.log(-np.expm1(-capped_exp(np.maximum(log_rate, -30.0))))
    return np.where(log_rate < -30.0, log_rate, inside)


def log_quantile(hazard: np.ndarray, s: np.ndarray) -> np.ndarray:
    """Return z where minus the log survival function is so much; -inf at 0, inf at inf."""
    shape = np.exp(np.clip(s, -LARGEST_LOG, LARGEST_LOG))
    with np.errstate(divide="ignore", over="ignore"):
        rise = shape * hazard
        # log(expm1(x)), which overflows for large x.
        grown = np.where(rise > 30.0, rise, np.log(np.expm1(np.minimum(rise, 30.0))))
    return grown - s


class PowerTail(Expert):
    """Base of families of positive y whose survival functions are of this kind.

    They have an option ``shape``, None if it is a head.
    """

    links = ("log",)
    support = "> 0"
    support_limits = (0.0, np.inf)
    shape: float | None

    def check_options(self) -> None:
        super().check_options()
        is_valid = self.shape is None or is_in_range(self.shape, 0.0, math.inf)
        self._check_range("shape", is_valid, "a positive number or None")

    def find_unsupported(self, y: np.ndarray) -> np.ndarray:
        return ~(np.isfinite(y) & (y > 0.0))

    def _terms(self, y: np.ndarray, heads: Heads) -> tuple[np.ndarray, np.ndarray]:
        """Return z, and the log of the shape."""
        raise NotImplementedError

    def cdf(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        inside = -np.expm1(log_survival(*self._terms(y, heads)))
        return np.where(y <= 0.0, 0.0, inside)

    def survival(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        return np.exp(self.log_survival(y, heads))

    def log_cdf(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        return np.where(y <= 0.0, -np.inf, log_cdf(*self._terms(y, heads)))

    def log_survival(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        return np.where(y <= 0.0, 0.0, log_survival(*self._terms(y, heads)))
