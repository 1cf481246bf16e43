"""Inverse Gaussian expert: positive y with a heavier tail than gamma.

``log f(y) = -(log(2 pi) + log dispersion + 3 log y
+ (y - mean)**2 / (dispersion * mean**2 * y)) / 2``, so that variance = dispersion * mean**3.
Tweedie (1957), Statistical properties of inverse Gaussian distributions, eq. 1.
"""

import math

import numpy as np
from scipy.special import erfcx, ndtr

from mixexp.experts._base import Derivatives, Heads
from mixexp.experts._positive import PositiveModel
from mixexp.experts._quantile import cantelli_bracket
from mixexp.experts._special import HALF_LOG_2PI
from mixexp.links import capped_exp, extended_exp, safe_exp


class InverseGaussian(PositiveModel):
    """Inverse Gaussian expert.

    Parameters
    ----------
    link : {"log", "inverse_squared"}, default="log"
        The latter can leave the domain; there the mean is taken as 3e36, and the density falls
        steeply.
    dispersion : {"own", "shared"} or float, default="own"
        Whether every expert has a dispersion of its own, all have the same, or it is known.

    Examples
    --------
    >>> import numpy as np
    >>> heads = np.array([[0.0]]), np.array([[0.0]])
    >>> InverseGaussian().log_density(np.array([1.0]), heads).round(4)
    array([[-0.9189]])
    """

    name = "inverse_gaussian"
    links = ("log", "inverse_squared")
    variance_power = 3.0

    def __init__(self, link: str = "log", dispersion: str | float = "own") -> None:
        self.dispersion = dispersion
        self.link = link

    def log_base(self, y: np.ndarray) -> np.ndarray:
        return -HALF_LOG_2PI - 1.5 * np.log(y)

    def log_kernel(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        deviance = extended_exp(self._log_scaled_deviance(y, heads))
        return -0.5 * (deviance + heads[1]) - self.domain_loss(y, heads)

    def _log_scaled_deviance(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        """Return the log of ``(y / mean - 1)**2 / (dispersion * y)``."""
        log_ratio = self.log_ratio(y, heads)
        with np.errstate(divide="ignore"):
            log_distance = np.maximum(log_ratio, 0.0) + np.log(-np.expm1(-np.abs(log_ratio)))
        return 2.0 * log_distance - np.log(y) - heads[1]

    def dispersion_terms(
        self, y: np.ndarray, heads: Heads
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        half_deviance = 0.5 * capped_exp(self._log_scaled_deviance(y, heads))
        return half_deviance - 0.5, np.full_like(heads[1], 0.5), half_deviance

    def evaluate(self, y: np.ndarray, heads: Heads) -> tuple[np.ndarray, Derivatives]:
        found = self.usual_excesses(InverseGaussian, y, heads)
        if found is None:
            return super().evaluate(y, heads)
        _, growth, _ = found
        weight = capped_exp(-heads[0] - heads[1])
        half_deviance = growth * growth
        half_deviance *= 0.5 * np.exp(-heads[1]) / y
        score = (np.multiply(growth, weight, out=growth), half_deviance - 0.5)
        curvature = {(0, 0): weight, (1, 1): np.full_like(heads[1], 0.5)}
        return -0.5 * heads[1] - half_deviance, Derivatives(score, curvature)

    def _terms(self, y: np.ndarray, heads: Heads) -> tuple[np.ndarray, np.ndarray]:
        """Return ``below``, and ``exp(2 / (dispersion * mean)) * Phi(-above)``.

        The cdf is the sum of ``Phi(below)`` and the latter, whose factors may over- and underflow.
        """
        mean, positive = self.mean(heads), np.maximum(y, 1e-300)
        scale = safe_exp(-0.5 * heads[1]) / np.sqrt(positive)
        with np.errstate(over="ignore"):  # to infinity, whose probabilities are right
            ratio = positive / mean
            below, above = scale * (ratio - 1.0), scale * (ratio + 1.0)
            return below, 0.5 * erfcx(above / math.sqrt(2.0)) * np.exp(-0.5 * below**2)

    def cdf(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        below, tail = self._terms(y, heads)
        return np.where(y <= 0.0, 0.0, np.minimum(ndtr(below) + tail, 1.0))

    def survival(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        below, tail = self._terms(y, heads)
        return np.where(y <= 0.0, 1.0, np.maximum(ndtr(-below) - tail, 0.0))

    def bracket(self, q: np.ndarray, heads: Heads) -> tuple[np.ndarray, np.ndarray]:
        return cantelli_bracket(q, self.mean(heads), self.variance(heads), 0.0)

    def expected_excess(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        mean = self.mean(heads)
        below, tail = self._terms(y, heads)
        inside = mean * (ndtr(-below) + tail) - y * (ndtr(-below) - tail)
        return np.where(y <= 0.0, mean - y, np.maximum(inside, 0.0))

    def sample(self, heads: Heads, rng: np.random.Generator) -> np.ndarray:
        mean = self.mean(heads)
        return rng.wald(mean, np.broadcast_to(safe_exp(-heads[1]), mean.shape))
