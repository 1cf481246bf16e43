"""Link functions: how the linear predictor of an expert maps to its mean.

Each is stateless and elementwise. McCullagh & Nelder (1989), Generalized Linear Models,
section 2.2.3.
"""

from typing import Protocol

import numpy as np
from scipy.special import expit


class Link(Protocol):
    """What a family asks of a link."""

    name: str

    def mean(self, eta: np.ndarray) -> np.ndarray:
        """Return the mean at linear predictor ``eta``."""

    def mean_derivative(self, eta: np.ndarray, mean: np.ndarray) -> np.ndarray:
        """Return d mean / d eta."""

    def predictor(self, mean: np.ndarray) -> np.ndarray:
        """Return the linear predictor at a mean."""


class Identity:
    """``mean = eta``."""

    name = "identity"

    def mean(self, eta: np.ndarray) -> np.ndarray:
        return eta

    def mean_derivative(self, eta: np.ndarray, mean: np.ndarray) -> np.ndarray:
        return np.ones_like(eta)

    def predictor(self, mean: np.ndarray) -> np.ndarray:
        return np.asarray(mean, dtype=float)


class Logit:
    """``mean = 1 / (1 + exp(-eta))``."""

    name = "logit"

    def mean(self, eta: np.ndarray) -> np.ndarray:
        return expit(eta)

    def mean_derivative(self, eta: np.ndarray, mean: np.ndarray) -> np.ndarray:
        return mean * (1.0 - mean)

    def predictor(self, mean: np.ndarray) -> np.ndarray:
        return np.log(mean) - np.log1p(-mean)
