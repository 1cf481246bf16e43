"""Tails of families that give no formulas for them, by quadrature."""

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
