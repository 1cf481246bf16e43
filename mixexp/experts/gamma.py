"""Gamma expert: positive y whose standard deviation is in proportion to its mean.

With dispersion = ``exp(log_dispersion)`` = 1 / shape,
``log f(y) = shape * log(shape * y / mean) - shape * y / mean - log(y) - log Gamma(shape)``,
so that variance = dispersion * mean**2.
"""

import numpy as np
from scipy.special import gammainc, gammaincc, gammaincinv

from mixexp.experts._base import Curvature, Derivatives, Heads
from mixexp.experts._positive import PositiveModel
from mixexp.experts._special import (
    HALF_LOG_2PI,
    log_exponential_excess,
    scaled_digamma_gap,
    scaled_trigamma_gap,
    stirling_error_of_log,
)
from mixexp.links import capped_exp, extended_exp, safe_exp


class Gamma(PositiveModel):
    """Gamma expert; its dispersion is fitted by maximum likelihood, not by moments.

    Parameters
    ----------
    link : {"log", "inverse", "identity"}, default="log"
        The last two can leave the domain; there the mean is taken as 1e73 and 1e-73, and the
        density falls steeply.
    dispersion : {"own", "shared"} or float, default="own"
        Whether every expert has a dispersion of its own, all have the same, or it is known.

    Examples
    --------
    >>> import numpy as np
    >>> heads = np.array([[0.0]]), np.array([[0.0]])
    >>> Gamma().log_density(np.array([2.0]), heads)
    array([[-2.]])
    """

    name = "gamma"
    links = ("log", "inverse", "identity")
    variance_power = 2.0

    def __init__(self, link: str = "log", dispersion: str | float = "own") -> None:
        self.dispersion = dispersion
        self.link = link

    def log_base(self, y: np.ndarray) -> np.ndarray:
        return -np.log(y) - HALF_LOG_2PI

    def log_kernel(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        half_deviance = extended_exp(log_exponential_excess(self.log_ratio(y, heads)) - heads[1])
        constant = -0.5 * heads[1] - stirling_error_of_log(-heads[1])
        return constant - half_deviance - self.domain_loss(y, heads)

    def dispersion_terms(
        self, y: np.ndarray, heads: Heads
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        shape = capped_exp(-heads[1])
        half_deviance = capped_exp(log_exponential_excess(self.log_ratio(y, heads)) - heads[1])
        score = half_deviance - scaled_digamma_gap(shape)
        expected = scaled_trigamma_gap(shape)
        return score, expected, score + expected

    def evaluate(self, y: np.ndarray, heads: Heads) -> tuple[np.ndarray, Derivatives]:
        found = self._usual_terms(y, heads)
        if found is None:
            return super().evaluate(y, heads)
        shape, _, surplus, half_deviance = found
        constant = -0.5 * heads[1] - stirling_error_of_log(-heads[1])
        score = (surplus, half_deviance - scaled_digamma_gap(shape))
        curvature = {(0, 0): shape, (1, 1): scaled_trigamma_gap(shape)}
        return constant - half_deviance, Derivatives(score, curvature)

    def observed_curvature(self, y: np.ndarray, heads: Heads) -> Curvature:
        found = self._usual_terms(y, heads)
        if found is None:
            return super().observed_curvature(y, heads)
        shape, pull, surplus, half_deviance = found
        in_dispersion = half_deviance + (scaled_trigamma_gap(shape) - scaled_digamma_gap(shape))
        return {(0, 0): pull, (0, 1): surplus, (1, 1): in_dispersion}

    def _usual_terms(
        self, y: np.ndarray, heads: Heads
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray] | None:
        """Return the shape, and with it ``y / mean``, that less 1, and half the deviance.

        None where not every expert has one shape, or numbers leave what fits come to.
        """
        found = self.usual_excesses(Gamma, y, heads)
        if found is None:
            return None
        shape = np.exp(-heads[1])
        ratio, growth, excess = found
        ratio *= shape
        growth *= shape
        excess *= shape
        return shape, ratio, growth, excess

    def _reach(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        """Return y in units of the scale."""
        with np.errstate(over="ignore"):  # to infinity, whose probabilities are right
            return np.maximum(y, 0.0) * (safe_exp(-heads[1]) / self.mean(heads))

    def cdf(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        return np.minimum(gammainc(safe_exp(-heads[1]), self._reach(y, heads)), 1.0)

    def survival(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        return np.minimum(gammaincc(safe_exp(-heads[1]), self._reach(y, heads)), 1.0)

    def expected_excess(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        shape, mean = safe_exp(-heads[1]), self.mean(heads)
        reach = self._reach(y, heads)
        return np.maximum(mean * gammaincc(shape + 1.0, reach) - y * gammaincc(shape, reach), 0.0)

    def quantile(self, q: np.ndarray, heads: Heads) -> np.ndarray:
        shape = safe_exp(-heads[1])
        return gammaincinv(shape, q) * self.mean(heads) / shape

    def sample(self, heads: Heads, rng: np.random.Generator) -> np.ndarray:
        shape, mean = safe_exp(-heads[1]), self.mean(heads)
        # Small shapes draw numbers that round to zero, where the density is not defined.
        return np.maximum(rng.gamma(np.broadcast_to(shape, mean.shape)) * mean / shape, 1e-300)
