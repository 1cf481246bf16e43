"""Beta expert: shares strictly between 0 and 1.

With dispersion = ``exp(log_dispersion)`` and precision = 1 / dispersion, y has the beta
distribution with parameters ``mean * precision`` and ``(1 - mean) * precision``, so that
variance = mean * (1 - mean) / (1 + precision).
Ferrari & Cribari-Neto (2004), Beta regression, J. Appl. Statist. 31, eqs. 3 and 4.
"""

import math

import numpy as np
from scipy.special import betainc, betaincc, betaincinv

from mixexp.experts._base import Curvature, Derivatives, Heads
from mixexp.experts._glm import DispersionModel
from mixexp.experts._special import digamma_gap, log_excess, stirling_error, trigamma_gap
from mixexp.experts._weighted import log_or_zero, weighted_moments
from mixexp.links import safe_exp

_HALF_LOG_2PI = 0.5 * math.log(2.0 * math.pi)


class Beta(DispersionModel):
    """Beta expert; not an exponential dispersion model, so its derivatives are its own.

    Parameters
    ----------
    link : {"logit", "probit"}, default="logit"
        Means are cut to [1e-12, 1 - 1e-12].
    dispersion : {"own", "shared"} or float, default="own"
        Whether every expert has a dispersion of its own, all have the same, or it is known.

    Examples
    --------
    >>> import numpy as np
    >>> heads = np.array([[0.0]]), np.array([[-np.log(2.0)]])
    >>> np.abs(Beta().log_density(np.array([0.3]), heads)).round(6)
    array([[0.]])
    """

    name = "beta"
    links = ("logit", "probit")
    support = "between 0 and 1, both excluded"
    support_limits = (0.0, 1.0)
    mean_limits = (1e-12, 1.0 - 1e-12)

    def __init__(self, link: str = "logit", dispersion: str | float = "own") -> None:
        self.dispersion = dispersion
        self.link = link

    def find_unsupported(self, y: np.ndarray) -> np.ndarray:
        return ~((y > 0.0) & (y < 1.0))

    def log_base(self, y: np.ndarray) -> np.ndarray:
        return -np.log(y) - np.log1p(-y) - _HALF_LOG_2PI

    def _divergence(self, y: np.ndarray, mean: np.ndarray) -> np.ndarray:
        """Return ``mean * log(y / mean) + (1 - mean) * log((1 - y) / (1 - mean))``."""
        rest = 1.0 - mean
        first = log_excess((y - mean) / mean, y / mean)
        return mean * first + rest * log_excess((mean - y) / rest, (1.0 - y) / rest)

    def log_kernel(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        mean, precision = self.mean(heads), safe_exp(-heads[1])
        rest = 1.0 - mean
        errors = stirling_error(mean * precision) + stirling_error(rest * precision)
        scale = 0.5 * (np.log(mean) + np.log(rest) + np.log(precision))
        return precision * self._divergence(y, mean) + scale + stirling_error(precision) - errors

    def _scores(
        self, y: np.ndarray, mean: np.ndarray, precision: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the score of the mean and of the log dispersion."""
        rest = 1.0 - mean
        gap, rest_gap = digamma_gap(mean * precision), digamma_gap(rest * precision)
        log_odds = np.log(y / mean) - np.log((1.0 - y) / rest)
        spread = self._divergence(y, mean) - digamma_gap(precision) + mean * gap + rest * rest_gap
        return precision * (log_odds + gap - rest_gap), -precision * spread

    def _information(
        self, mean: np.ndarray, precision: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return that of the mean, mean by log dispersion, and log dispersion."""
        rest = 1.0 - mean
        gap, rest_gap = trigamma_gap(mean * precision), trigamma_gap(rest * precision)
        in_mean = precision * ((1.0 + gap) / mean + (1.0 + rest_gap) / rest)
        in_dispersion = precision * (mean * gap + rest * rest_gap - trigamma_gap(precision))
        return in_mean, precision * (rest_gap - gap), np.maximum(in_dispersion, 0.0)

    def derivatives(self, y: np.ndarray, heads: Heads) -> Derivatives:
        mean, precision = self.mean(heads), safe_exp(-heads[1])
        slope = self.link_function.mean_derivative(heads[0], mean)
        score, dispersion_score = self._scores(y, mean, precision)
        in_mean, _, in_dispersion = self._information(mean, precision)
        curvature = {(0, 0): in_mean * slope**2, (1, 1): in_dispersion}
        return Derivatives((score * slope, dispersion_score), curvature)

    def observed_curvature(self, y: np.ndarray, heads: Heads) -> Curvature:
        mean, precision, link = self.mean(heads), safe_exp(-heads[1]), self.link_function
        slope = link.mean_derivative(heads[0], mean)
        score, dispersion_score = self._scores(y, mean, precision)
        in_mean, mixed, in_dispersion = self._information(mean, precision)
        bend = link.mean_second_derivative(heads[0], mean)
        return {
            (0, 0): in_mean * slope**2 - score * bend,
            (0, 1): (score + mixed) * slope,
            (1, 1): dispersion_score + in_dispersion,
        }

    def variance(self, heads: Heads) -> np.ndarray:
        mean = self.mean(heads)
        return mean * (1.0 - mean) / (1.0 + safe_exp(-heads[1]))

    def _parameters(self, heads: Heads) -> tuple[np.ndarray, np.ndarray]:
        mean, precision = self.mean(heads), safe_exp(-heads[1])
        return mean * precision, (1.0 - mean) * precision

    def cdf(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        return betainc(*self._parameters(heads), np.clip(y, 0.0, 1.0))

    def survival(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        return betaincc(*self._parameters(heads), np.clip(y, 0.0, 1.0))

    def expected_excess(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        first, second = self._parameters(heads)
        inside = np.clip(y, 0.0, 1.0)
        beyond = self.mean(heads) * betaincc(first + 1.0, second, inside)
        return np.maximum(beyond - y * betaincc(first, second, inside), 0.0)

    def quantile(self, q: np.ndarray, heads: Heads) -> np.ndarray:
        return betaincinv(*self._parameters(heads), q)

    def sample(self, heads: Heads, rng: np.random.Generator) -> np.ndarray:
        # Draws next to a limit round to it, where the density is not defined.
        return np.clip(rng.beta(*self._parameters(heads)), 1e-300, 1.0 - 2.0**-53)

    def start(self, y: np.ndarray, weight: np.ndarray) -> tuple[float, ...]:
        mean, variance = weighted_moments(y, weight)
        dispersion = variance / max(mean * (1.0 - mean) - variance, 1e-6)
        return float(self.link_function.predictor(mean)), log_or_zero(dispersion)
