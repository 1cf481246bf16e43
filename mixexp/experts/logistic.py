"""Logistic expert: a binary logistic regression for y in {0, 1}.

``log f(y) = y * eta - log(1 + exp(eta))``.
"""

import numpy as np

from mixexp.experts._base import LARGEST_LOG_ODDS, Curvature, Derivatives, Head, Heads
from mixexp.experts._fused import logistic_terms
from mixexp.experts._glm import GLM


class Logistic(GLM):
    """Binary logistic expert; ``mean`` is the probability of class 1.

    Examples
    --------
    >>> import numpy as np
    >>> Logistic().log_density(np.array([1.0]), (np.array([[0.0]]),)).round(4)
    array([[-0.6931]])
    """

    name = "logistic"
    target = "binary"
    support = "0 or 1"
    link = "logit"
    is_discrete = True
    has_observed_curvature = True
    support_limits = (0.0, 1.0)

    @property
    def heads(self) -> tuple[Head, ...]:
        return (Head("location", "location", -LARGEST_LOG_ODDS, LARGEST_LOG_ODDS),)

    def unit_variance(self, mean: np.ndarray) -> np.ndarray:
        return mean * (1.0 - mean)

    def find_unsupported(self, y: np.ndarray) -> np.ndarray:
        return (y != 0.0) & (y != 1.0)

    def log_kernel(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        # The large terms cancel first, so that a certain class keeps its digits.
        eta = heads[0]
        return (y * eta - np.maximum(eta, 0.0)) - np.log1p(np.exp(-np.abs(eta)))

    def derivatives(self, y: np.ndarray, heads: Heads) -> Derivatives:
        return Logistic.evaluate(self, y, heads)[1]

    def evaluate(self, y: np.ndarray, heads: Heads) -> tuple[np.ndarray, Derivatives]:
        # Logit is the canonical link: slope and variance cancel, also where both underflow.
        log_kernel, score, curvature = logistic_terms(y, heads[0])
        return log_kernel, Derivatives((score,), {(0, 0): curvature})

    def observed_curvature(self, y: np.ndarray, heads: Heads) -> Curvature:
        return self.derivatives(y, heads).curvature

    def predict(self, heads: Heads) -> np.ndarray:
        return np.stack([self.link_function.mean(-heads[0]), self.link_function.mean(heads[0])])

    def variance(self, heads: Heads) -> np.ndarray:
        return self.unit_variance(self.mean(heads))

    def cdf(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        return np.where(y < 0.0, 0.0, np.where(y < 1.0, self.link_function.mean(-heads[0]), 1.0))

    def sample(self, heads: Heads, rng: np.random.Generator) -> np.ndarray:
        return (rng.random(heads[0].shape) < self.mean(heads)).astype(float)

    def start(self, y: np.ndarray, weight: np.ndarray) -> tuple[float, ...]:
        # Half a pseudo-row of each class keeps the logit finite.
        mean = (weight @ y + 0.5) / (weight.sum() + 1.0)
        return (float(self.link_function.predictor(mean)),)
