"""What families of positive y share: their support, and variance as a power of the mean."""

import numpy as np

from mixexp.experts._glm import DispersionModel
from mixexp.experts._weighted import log_or_zero, weighted_moments


class PositiveModel(DispersionModel):
    """A GLM of y > 0 with variance = dispersion * mean**variance_power."""

    support = "> 0"
    support_limits = (0.0, np.inf)
    # Beyond, the variance function or its inverse overflows.
    mean_limits = (1e-73, 1e73)

    @property
    def variance_power(self) -> float:
        raise NotImplementedError

    def find_unsupported(self, y: np.ndarray) -> np.ndarray:
        return ~(np.isfinite(y) & (y > 0.0))

    def unit_variance(self, mean: np.ndarray) -> np.ndarray:
        return mean**self.variance_power

    def unit_variance_derivative(self, mean: np.ndarray) -> np.ndarray:
        return self.variance_power * mean ** (self.variance_power - 1.0)

    def start(self, y: np.ndarray, weight: np.ndarray) -> tuple[float, ...]:
        mean, variance = weighted_moments(y, weight)
        dispersion = variance / mean**self.variance_power
        return float(self.link_function.predictor(mean)), log_or_zero(dispersion)
