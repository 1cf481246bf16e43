"""What families have in common that are a location, a scale, and some shape."""

import math

import numpy as np

from mixexp.arguments import is_in_range
from mixexp.experts._base import LOG_DISPERSION_FLOOR, Expert, Head, Heads
from mixexp.experts._units import Unit

# Below 1 there is no mean; 1000 differs from a Gaussian by less than 1e-3 within 3 scales
# of the location in log density.
_LOG_DF_LIMITS = (0.0, math.log(1000.0))
# Heads may leave the limits of their intercept by rounding, or when probed.
_LARGEST_LOG_DF = 20.0
START_DF = 5.0


def location_scale_heads() -> tuple[Head, Head]:
    """Return a location, which moves with y, and the log of a squared scale."""
    square = Unit(log_power=2.0)
    return (
        Head("location", "location", unit=Unit(power=1.0, moves=True)),
        Head("log_dispersion", "dispersion", lower=LOG_DISPERSION_FLOOR, unit=square),
    )


class WithDegrees(Expert):
    """Base of families with degrees of freedom, an option ``df``; None if a last head is these."""

    df: float | None

    def check_options(self) -> None:
        super().check_options()
        is_valid = self.df is None or is_in_range(self.df, 0.0, math.inf)
        self._check_range("df", is_valid, "a positive number or None")

    def _with_df(self, heads: tuple[Head, ...], at_upper: str) -> tuple[Head, ...]:
        """Return heads, and that of the degrees of freedom where they are estimated."""
        if self.df is not None:
            return heads
        return *heads, Head("log_df", "shape", *_LOG_DF_LIMITS, at_upper=at_upper)

    def _df(self, heads: Heads) -> np.ndarray:
        if self.df is not None:
            return np.full((1, 1), float(self.df))
        return np.exp(np.clip(heads[-1], -_LARGEST_LOG_DF, _LARGEST_LOG_DF))
