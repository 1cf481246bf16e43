"""Link functions: how the linear predictor of an expert maps to its mean.

Each is stateless and elementwise. McCullagh & Nelder (1989), Generalized Linear Models,
section 2.2.3. Means on a log scale are those of predictors cut at +-170, and reciprocals are cut
where they would leave 1e-73 ... 1e73, so that no power which a family forms can overflow.

A log density must not be made of cut means alone: where one of its terms is cut and another is
not, it grows without end. Densities are written in logarithms of means, which need no cut, and an
exponential in them goes on as a straight line beyond 170 (`extended_exp`): a log density is exact
down to -1e70, and below that some finite number of at most that size, which still falls.
"""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Protocol

import numpy as np
from scipy.special import erfcx, log_ndtr, ndtr, ndtri

# exp(170) = 7e73: its cube, times another such number, is still finite.
LARGEST_LOG = 170.0
_LARGEST = 1e73
#: Predictors below leave the domain of links that want them positive; they count as this.
DOMAIN_EDGE = 1.0 / _LARGEST
_SQRT_2 = math.sqrt(2.0)
_HALF_LOG_2PI = 0.5 * math.log(2.0 * math.pi)
# Below, the Taylor series of 1 - x / (exp(x) - 1) to x**8 is exact to rounding.
_SMALL = 0.2
# From here on four terms of Mills' ratio, in 1 / x, are exact to rounding.
_FAR_TAIL = 100.0


def safe_exp(eta: np.ndarray) -> np.ndarray:
    """Return ``exp(eta)`` with eta cut at +-170, so that products stay finite."""
    return np.exp(np.clip(eta, -LARGEST_LOG, LARGEST_LOG))


def capped_exp(x: np.ndarray) -> np.ndarray:
    """Return ``exp(x)`` with x cut at 170 from above alone: the derivative of `extended_exp`."""
    return np.exp(np.minimum(x, LARGEST_LOG))


def extended_exp(x: np.ndarray) -> np.ndarray:
    """Return ``exp(x)``, beyond 170 its tangent there: convex, rising, and finite."""
    return capped_exp(x) * (1.0 + np.maximum(x - LARGEST_LOG, 0.0))


def inverse_odds_gap(x: np.ndarray) -> np.ndarray:
    """Return ``1 - x / (exp(x) - 1)`` for 0 < x, which is x / 2 for small x."""
    small = np.minimum(x, _SMALL)
    square = small * small
    series = 1 / 12 - square * (1 / 720 - square * (1 / 30240 - square / 1209600))
    exact = 1.0 - x * np.exp(-x) / -np.expm1(-x)
    return np.where(x < _SMALL, small * (0.5 - small * series), exact)


def softplus(eta: np.ndarray) -> np.ndarray:
    """Return ``log(1 + exp(eta))``, ten times faster than np.logaddexp(0, eta)."""
    return np.maximum(eta, 0.0) + np.log1p(np.exp(-np.abs(eta)))


def logistic(eta: np.ndarray) -> np.ndarray:
    """Return ``1 / (1 + exp(-eta))`` with full relative precision in both tails."""
    decay = np.exp(-np.abs(eta))
    return np.where(eta >= 0.0, 1.0, decay) / (1.0 + decay)


class Link(Protocol):
    """What a family asks of a link."""

    name: str

    def mean(self, eta: np.ndarray) -> np.ndarray:
        """Return the mean at linear predictor ``eta``."""

    def mean_derivative(self, eta: np.ndarray, mean: np.ndarray) -> np.ndarray:
        """Return d mean / d eta."""

    def mean_second_derivative(self, eta: np.ndarray, mean: np.ndarray) -> np.ndarray:
        """Return d2 mean / d eta2."""

    def predictor(self, mean: np.ndarray | float) -> np.ndarray:
        """Return the linear predictor at a mean."""


class PositiveLink(Link, Protocol):
    """What families of positive y ask as well: the logarithm of the mean, which needs no cut."""

    def log_mean(self, eta: np.ndarray) -> np.ndarray:
        """Return the log of the mean."""

    def log_mean_derivatives(self, eta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the first and second derivative of `log_mean`."""


class ProbabilityLink(Link, Protocol):
    """What families of events ask as well, in forms that neither tail cancels."""

    def log_mean(self, eta: np.ndarray) -> np.ndarray:
        """Return the log of the mean."""

    def log_complement(self, eta: np.ndarray) -> np.ndarray:
        """Return the log of one less the mean."""

    def rates(self, eta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return d log_mean / d eta and -d log_complement / d eta; neither is negative."""

    def rate_derivatives(self, eta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the derivatives of both rates."""


class Identity:
    """``mean = eta``; where that is to be positive and is not, it is taken as 1e-73."""

    name = "identity"

    def mean(self, eta: np.ndarray) -> np.ndarray:
        return eta

    def mean_derivative(self, eta: np.ndarray, mean: np.ndarray) -> np.ndarray:
        return np.ones_like(eta)

    def mean_second_derivative(self, eta: np.ndarray, mean: np.ndarray) -> np.ndarray:
        return np.zeros_like(eta)

    def predictor(self, mean: np.ndarray | float) -> np.ndarray:
        return np.asarray(mean, dtype=float)

    def log_mean(self, eta: np.ndarray) -> np.ndarray:
        return np.log(np.maximum(eta, 1.0 / _LARGEST))

    def log_mean_derivatives(self, eta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rate = 1.0 / np.maximum(eta, 1.0 / _LARGEST)
        return rate, -rate * rate


class Log:
    """``mean = exp(eta)``."""

    name = "log"

    def mean(self, eta: np.ndarray) -> np.ndarray:
        return safe_exp(eta)

    def mean_derivative(self, eta: np.ndarray, mean: np.ndarray) -> np.ndarray:
        return mean

    def mean_second_derivative(self, eta: np.ndarray, mean: np.ndarray) -> np.ndarray:
        return mean

    def predictor(self, mean: np.ndarray | float) -> np.ndarray:
        return np.log(mean)

    def log_mean(self, eta: np.ndarray) -> np.ndarray:
        return eta

    def log_mean_derivatives(self, eta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.ones_like(eta), np.zeros_like(eta)


class Inverse:
    """``mean = 1 / eta`` for positive means; where eta <= 0 the mean is taken as 1e73."""

    name = "inverse"

    def mean(self, eta: np.ndarray) -> np.ndarray:
        return 1.0 / np.clip(eta, 1.0 / _LARGEST, _LARGEST)

    def mean_derivative(self, eta: np.ndarray, mean: np.ndarray) -> np.ndarray:
        return -mean * mean

    def mean_second_derivative(self, eta: np.ndarray, mean: np.ndarray) -> np.ndarray:
        return 2.0 * mean**3

    def predictor(self, mean: np.ndarray | float) -> np.ndarray:
        return 1.0 / np.asarray(mean, dtype=float)

    def log_mean(self, eta: np.ndarray) -> np.ndarray:
        return -np.log(np.maximum(eta, 1.0 / _LARGEST))

    def log_mean_derivatives(self, eta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        mean = 1.0 / np.maximum(eta, 1.0 / _LARGEST)
        return -mean, mean * mean


class InverseSquared:
    """``mean = 1 / sqrt(eta)``; where eta <= 0 the mean is taken as 3e36."""

    name = "inverse_squared"

    def mean(self, eta: np.ndarray) -> np.ndarray:
        return 1.0 / np.sqrt(np.clip(eta, 1.0 / _LARGEST, _LARGEST))

    def mean_derivative(self, eta: np.ndarray, mean: np.ndarray) -> np.ndarray:
        return -0.5 * mean**3

    def mean_second_derivative(self, eta: np.ndarray, mean: np.ndarray) -> np.ndarray:
        return 0.75 * mean**5

    def predictor(self, mean: np.ndarray | float) -> np.ndarray:
        return 1.0 / np.square(mean)

    def log_mean(self, eta: np.ndarray) -> np.ndarray:
        return -0.5 * np.log(np.maximum(eta, 1.0 / _LARGEST))

    def log_mean_derivatives(self, eta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        square = 1.0 / np.maximum(eta, 1.0 / _LARGEST)
        return -0.5 * square, 0.5 * square * square


class Logit:
    """``mean = 1 / (1 + exp(-eta))``."""

    name = "logit"

    def mean(self, eta: np.ndarray) -> np.ndarray:
        return logistic(eta)

    def mean_derivative(self, eta: np.ndarray, mean: np.ndarray) -> np.ndarray:
        return mean * (1.0 - mean)

    def mean_second_derivative(self, eta: np.ndarray, mean: np.ndarray) -> np.ndarray:
        return mean * (1.0 - mean) * (1.0 - 2.0 * mean)

    def predictor(self, mean: np.ndarray | float) -> np.ndarray:
        return np.log(mean) - np.log1p(-mean)

    def log_mean(self, eta: np.ndarray) -> np.ndarray:
        return -softplus(-eta)

    def log_complement(self, eta: np.ndarray) -> np.ndarray:
        return -softplus(eta)

    def rates(self, eta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return logistic(-eta), logistic(eta)

    def rate_derivatives(self, eta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        slope = logistic(-eta) * logistic(eta)
        return -slope, slope


class Probit:
    """``mean = Phi(eta)``, the standard normal distribution function."""

    name = "probit"

    def mean(self, eta: np.ndarray) -> np.ndarray:
        return ndtr(eta)

    def mean_derivative(self, eta: np.ndarray, mean: np.ndarray) -> np.ndarray:
        return np.exp(-0.5 * eta * eta - _HALF_LOG_2PI)

    def mean_second_derivative(self, eta: np.ndarray, mean: np.ndarray) -> np.ndarray:
        return -eta * self.mean_derivative(eta, mean)

    def predictor(self, mean: np.ndarray | float) -> np.ndarray:
        return ndtri(mean)

    def log_mean(self, eta: np.ndarray) -> np.ndarray:
        return log_ndtr(eta)

    def log_complement(self, eta: np.ndarray) -> np.ndarray:
        return log_ndtr(-eta)

    def rates(self, eta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        # Mills' ratio; erfcx is infinite, and the rate zero, where the tail is certain.
        factor = math.sqrt(2.0 / math.pi)
        return factor / erfcx(-eta / _SQRT_2), factor / erfcx(eta / _SQRT_2)

    def rate_derivatives(self, eta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        below, above = self.rates(eta)
        return -below * _over_tail(below, eta), above * _over_tail(above, -eta)


def _over_tail(rate: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Return ``rate + z`` for the rate of log Phi at z, which cancels in the left tail.

    There by the asymptotic series of Mills' ratio, Abramowitz & Stegun (1964), eq. 26.2.12.
    """
    inverse = 1.0 / np.maximum(-z, _FAR_TAIL)
    square = inverse * inverse
    series = inverse * (1.0 - square * (2.0 - square * (10.0 - 74.0 * square)))
    return np.where(z < -_FAR_TAIL, series, rate + z)


class ComplementaryLogLog:
    """``mean = 1 - exp(-exp(eta))``."""

    name = "cloglog"

    def mean(self, eta: np.ndarray) -> np.ndarray:
        return -np.expm1(-safe_exp(eta))

    def mean_derivative(self, eta: np.ndarray, mean: np.ndarray) -> np.ndarray:
        rate = safe_exp(eta)
        return rate * np.exp(-rate)

    def mean_second_derivative(self, eta: np.ndarray, mean: np.ndarray) -> np.ndarray:
        return self.mean_derivative(eta, mean) * (1.0 - safe_exp(eta))

    def predictor(self, mean: np.ndarray | float) -> np.ndarray:
        return np.log(-np.log1p(-mean))

    def log_mean(self, eta: np.ndarray) -> np.ndarray:
        rate = safe_exp(eta)
        # What is left of a small mean when the rate is taken out, which may underflow.
        left = np.log(-np.expm1(-rate) / rate)
        return np.where(eta < 0.0, eta + left, np.log1p(-np.exp(-np.maximum(rate, 1.0))))

    def log_complement(self, eta: np.ndarray) -> np.ndarray:
        return -extended_exp(eta)

    def rates(self, eta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rate = safe_exp(eta)
        return -rate * np.exp(-rate) / np.expm1(-rate), rate

    def rate_derivatives(self, eta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        below, above = self.rates(eta)
        return below * (inverse_odds_gap(above) - above), above


LINKS: Mapping[str, Link] = MappingProxyType(
    {
        "identity": Identity(),
        "log": Log(),
        "inverse": Inverse(),
        "inverse_squared": InverseSquared(),
        "logit": Logit(),
        "probit": Probit(),
        "cloglog": ComplementaryLogLog(),
    }
)

PROBABILITY_LINKS: Mapping[str, ProbabilityLink] = MappingProxyType(
    {"logit": Logit(), "probit": Probit(), "cloglog": ComplementaryLogLog()}
)
