"""Centre and spread of columns that are seen in parts, merged by Chan, Golub & LeVeque (1983)."""

from typing import NamedTuple

import numpy as np

from mixexp.data._rows import RowSource
from mixexp.data._scaling import CONSTANT, SMALLEST_SPREAD, Scaling, weighted_scaling


class ColumnMoments(NamedTuple):
    """What the rows of a part tell of every column.

    Parameters
    ----------
    weight : float
    center : ndarray of shape (p,)
        Weighted mean.
    spread : ndarray of shape (p,)
        Weighted standard deviation, 0 where the column does not vary.
    lowest, highest : ndarray of shape (p,)
    """

    weight: float
    center: np.ndarray
    spread: np.ndarray
    lowest: np.ndarray
    highest: np.ndarray

    @classmethod
    def of(
        cls, X: RowSource, weight: np.ndarray, chosen: np.ndarray | None = None
    ) -> "ColumnMoments":
        """Measure the columns of some rows, of which one has a weight at least."""
        scaling = weighted_scaling(X, weight, chosen)
        spread = np.where(scaling.is_constant, 0.0, scaling.scale)
        lowest, highest = np.asarray(scaling.lowest), np.asarray(scaling.highest)
        return cls(float(weight.sum()), scaling.center, spread, lowest, highest)

    def plus(self, other: "ColumnMoments") -> "ColumnMoments":
        """Return the moments of both parts; deviations are not squared, so none overflows."""
        weight = self.weight + other.weight
        own, others = self.weight / weight, other.weight / weight
        apart = other.center - self.center
        within = np.hypot(np.sqrt(own) * self.spread, np.sqrt(others) * other.spread)
        return ColumnMoments(
            weight,
            self.center + others * apart,
            np.hypot(within, np.sqrt(own * others) * apart),
            np.minimum(self.lowest, other.lowest),
            np.maximum(self.highest, other.highest),
        )

    def scaling(self) -> Scaling:
        """Return the scaling of the columns."""
        magnitude = np.maximum(np.abs(self.lowest), np.abs(self.highest))
        largest = np.maximum(self.highest - self.center, self.center - self.lowest)
        is_constant = largest <= np.maximum(CONSTANT * magnitude, SMALLEST_SPREAD)
        scale = np.where(is_constant, 1.0, self.spread)
        return Scaling(self.center, scale, is_constant, self.lowest, self.highest)
