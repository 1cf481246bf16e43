"""Tails of families that give no formulas for them, by quadrature."""

import itertools
from typing import Protocol

import numpy as np

Heads = tuple[np.ndarray, ...]

# Between these quantiles a survival function is smooth enough for so many Gauss-Legendre nodes.
_LEVELS = (1e-12, 1e-8, 1e-5, 1e-3, 0.03, 0.2, 0.5, 0.8, 0.97, 1 - 1e-3, 1 - 1e-5, 1 - 1e-8)
_LAST_LEVEL = 1.0 - 1e-12
_N_NODES = 20


class HasTail(Protocol):
    """What the log of a tail asks of a family."""

    is_discrete: bool

    def find_unsupported(self, y: np.ndarray) -> np.ndarray:
        """Return where y lies outside of the support."""

    def log_density(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        """Return the log density of y."""


class HasQuantiles(Protocol):
    """What the integral asks of a family."""

    name: str
    is_discrete: bool

    def survival(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        """Return the probability of a value above y."""

    def quantile(self, q: np.ndarray, heads: Heads) -> np.ndarray:
        """Return the least y whose cdf reaches q."""


class HasMean(HasQuantiles, Protocol):
    """What the limited mean asks of a family."""

    @property
    def support_limits(self) -> tuple[float, float]:
        """Limits of y."""

    def mean(self, heads: Heads) -> np.ndarray:
        """Return the mean of y."""

    def expected_excess(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        """Return the mean of ``max(Y - y, 0)``."""


def integrate_survival(family: HasQuantiles, y: np.ndarray, heads: Heads) -> np.ndarray:
    """Return the integral of the survival function from y on, the mean of ``max(Y - y, 0)``.

    Parameters
    ----------
    family : Expert
        Of continuous y.
    y : ndarray of shape (rows,)
    heads : tuple of ndarray of shape (..., rows) or (..., 1)

    Raises
    ------
    NotImplementedError
        If y is discrete: the family must then give a formula.

    Notes
    -----
    240 evaluations, good to some 1e-10 of the standard deviation; what lies beyond the quantile
    of 1 - 1e-12 is left out.
    """
    if family.is_discrete:
        raise NotImplementedError(
            f"The {family.name} expert has no expected excess; write its method 'expected_excess'."
        )
    at, weight = np.polynomial.legendre.leggauss(_N_NODES)
    # Below the first of these quantiles a larger y is next to certain.
    start = np.maximum(y, family.quantile(np.array(_LEVELS[0]), heads))
    total = start - y
    for level in (*_LEVELS[1:], _LAST_LEVEL):
        end = np.maximum(start, family.quantile(np.array(level), heads))
        half = 0.5 * (end - start)
        for node, share in zip(at, weight, strict=True):
            total = total + half * share * family.survival(start + half * (1.0 + node), heads)
        start = end
    return total


# Pieces of log(t / y) for the integral of a survival function over t from 0 to y; what is below
# e**-40 is less than the rounding of y.
_LOG_PIECES = (-40.0, -20.0, -10.0, -5.0, -2.5, -1.0, 0.0)
# Means so many times larger than y are no number to subtract from.
_FAR_ABOVE = 1e3


def limit_mean(family: HasMean, y: np.ndarray, heads: Heads) -> np.ndarray:
    """Return the mean of ``min(Y, y)``: the mean less what is above y, in the mean.

    Where the mean of positive Y is far above y, or infinite, hardly a digit is left of that
    difference: there it is the integral of the survival function from 0 to y.

    Parameters
    ----------
    family : Expert
    y : ndarray of shape (rows,)
    heads : tuple of ndarray of shape (..., rows) or (..., 1)

    Notes
    -----
    The integral takes 120 evaluations, and is good to some 1e-10 of y.
    """
    mean = family.mean(heads)
    found = np.minimum(mean - family.expected_excess(y, heads), y)
    if family.is_discrete or family.support_limits[0] != 0.0:
        return found
    found = np.where(y <= 0.0, y, found)
    is_far = (mean > _FAR_ABOVE * y) & (y > 0.0)
    if not is_far.any():
        return found
    at, weight = np.polynomial.legendre.leggauss(_N_NODES)
    share = np.zeros(found.shape)
    inside = np.where((y > 0.0) & np.isfinite(y), y, 1.0)
    for start, end in itertools.pairwise(_LOG_PIECES):
        half = 0.5 * (end - start)
        for below, part in zip(np.exp(start + half * (1.0 + at)), half * weight, strict=True):
            share = share + part * below * family.survival(below * inside, heads)
    return np.where(is_far, share * inside, found)


# Probabilities from here on are numbers with all of their digits.
_LEAST_PROBABILITY = 1e-290
# Share of y that its log density is compared at, for the rate at which it falls.
_NEAR = 1e-4


def log_tail(
    family: HasTail, tail: np.ndarray, y: np.ndarray, heads: tuple[np.ndarray, ...], sign: float
) -> np.ndarray:
    """Return the log of a tail's probability, also where it is less than the smallest number.

    There it is the density over the rate at which the log density falls, the first term of the
    asymptotic series of Mills' ratio; of counts the probability of the next one.

    Parameters
    ----------
    family : Expert
    tail : ndarray of shape (..., rows)
        Probability below y or above.
    y : ndarray of shape (rows,)
    heads : tuple of ndarray
    sign : float
        1 for the tail above y and -1 for that below.
    """
    with np.errstate(divide="ignore"):
        found = np.log(tail)
    is_lost = tail < _LEAST_PROBABILITY
    if not is_lost.any():
        return found
    step = 1.0 if family.is_discrete else _NEAR * np.maximum(np.abs(y), _NEAR)
    near = np.floor(y) + sign * 0.5 + 0.5 if family.is_discrete else y
    far = near + sign * step
    is_inside = ~(family.find_unsupported(near) | family.find_unsupported(far))
    if not is_inside.any():
        return found
    some = near[is_inside][0]
    at, beyond = np.where(is_inside, near, some), np.where(is_inside, far, some + sign * step)
    density = family.log_density(at, heads)
    if family.is_discrete:
        return np.where(is_lost & is_inside, density, found)
    rate = (density - family.log_density(beyond, heads)) / step
    with np.errstate(divide="ignore", invalid="ignore"):
        further = density - np.log(rate)
    return np.where(is_lost & is_inside & (rate > 0.0), further, found)
