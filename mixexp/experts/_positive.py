"""What families of positive y share: their support, and variance as a power of the mean."""

import numpy as np

from mixexp.experts._base import Expert
from mixexp.experts._glm import UNITS_OF_LINKS, DispersionModel
from mixexp.experts._units import Unit
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

    @property
    def head_units(self) -> tuple[Unit, Unit]:
        return UNITS_OF_LINKS[self.link], Unit(log_power=2.0 - self.variance_power)

    def find_unsupported(self, y: np.ndarray) -> np.ndarray:
        return ~(np.isfinite(y) & (y > 0.0))

    def unit_variance(self, mean: np.ndarray) -> np.ndarray:
        return mean**self.variance_power

    def unit_variance_derivative(self, mean: np.ndarray) -> np.ndarray:
        return self.variance_power * mean ** (self.variance_power - 1.0)

    def fixed_to(self, y: np.ndarray, weight: np.ndarray) -> Expert:
        """Return the family itself; see `Expert.fixed_to`.

        Raises
        ------
        ValueError
            If the mean of y is beyond what the variance function can take.
        """
        is_inside = (weight > 0.0) & ~self.find_unsupported(y)
        lowest, highest = self.mean_limits
        if is_inside.any():
            mean, _ = weighted_moments(y[is_inside] / y[is_inside].max(), weight[is_inside])
            mean *= y[is_inside].max()
            if not lowest < mean < highest:
                raise ValueError(
                    f"y has mean {mean:.3g}, which must be between {lowest:g} and {highest:g} for "
                    f"the {self.name} expert; give y in another unit."
                )
        return self

    def start(self, y: np.ndarray, weight: np.ndarray) -> tuple[float, ...]:
        mean, variance = weighted_moments(y, weight)
        dispersion = variance / mean**self.variance_power
        return float(self.link_function.predictor(mean)), log_or_zero(dispersion)
