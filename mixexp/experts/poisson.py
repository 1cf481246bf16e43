"""Poisson expert: a log-linear model for counts.

``log f(y) = y * eta - exp(eta) - log(y!)`` with mean = variance = ``exp(eta)``.
"""

import numpy as np
from scipy.special import pdtr, pdtrc

from mixexp.experts._base import Curvature, Derivatives, Heads
from mixexp.experts._counts import CountGLM, poisson_kernel, with_large_counts
from mixexp.experts._fused import exponential_terms


class Poisson(CountGLM):
    """Poisson expert.

    Parameters
    ----------
    link : {"log"}, default="log"

    Examples
    --------
    >>> import numpy as np
    >>> Poisson().log_density(np.array([2.0]), (np.array([[0.0]]),)).round(4)
    array([[-1.6931]])
    """

    name = "poisson"
    has_observed_curvature = True

    def unit_variance(self, mean: np.ndarray) -> np.ndarray:
        return mean

    def unit_variance_derivative(self, mean: np.ndarray) -> np.ndarray:
        return np.ones_like(mean)

    def log_kernel(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        return poisson_kernel(y, heads[0])

    def derivatives(self, y: np.ndarray, heads: Heads) -> Derivatives:
        return Poisson.evaluate(self, y, heads)[1]

    def evaluate(self, y: np.ndarray, heads: Heads) -> tuple[np.ndarray, Derivatives]:
        # Log is the canonical link: slope and variance cancel.
        log_kernel, score, mean = exponential_terms(y, heads[0])
        kernel = with_large_counts(log_kernel, y, heads[0])
        return kernel, Derivatives((score,), {(0, 0): mean})

    def observed_curvature(self, y: np.ndarray, heads: Heads) -> Curvature:
        return {(0, 0): self.mean(heads)}

    def cdf(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        return np.where(y < 0.0, 0.0, pdtr(np.maximum(np.floor(y), 0.0), self.mean(heads)))

    def survival(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        return np.where(y < 0.0, 1.0, pdtrc(np.maximum(np.floor(y), 0.0), self.mean(heads)))

    def expected_excess(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        mean, count = self.mean(heads), np.maximum(np.floor(y), 0.0)
        beyond = (mean - y) * pdtrc(count, mean) + mean * np.exp(self.log_density(count, heads))
        return np.where(y < 0.0, mean - y, np.maximum(beyond, 0.0))

    def sample(self, heads: Heads, rng: np.random.Generator) -> np.ndarray:
        return rng.poisson(self.mean(heads)).astype(float)
