"""What is counted once of the rows of a problem: weights, and what y's unit adds up to."""

from typing import NamedTuple

import numpy as np

from mixexp.data import RowBlocks
from mixexp.model import Model


class Totals(NamedTuple):
    """Sums over all rows that know no coefficients.

    Parameters
    ----------
    n_rows : int
    n_classes : int
        Rows, or groups of rows, that have a class of their own.
    n_positive : int
        Rows of positive weight.
    weight : float
    gate_weight : float
        With which gates see the rows: one row per group.
    log_unit : float
        What the log-likelihood owes to y's unit: that of the first family that has one. A row at a
        value that has a probability owes nothing, for that has no unit.
    """

    n_rows: int
    n_classes: int
    n_positive: int
    weight: float
    gate_weight: float
    log_unit: float

    def plus(self, other: "Totals") -> "Totals":
        """Return the totals of both."""
        return Totals(
            self.n_rows + other.n_rows,
            self.n_classes + other.n_classes,
            self.n_positive + other.n_positive,
            self.weight + other.weight,
            self.gate_weight + other.gate_weight,
            self.log_unit + other.log_unit,
        )

    @property
    def rows_per_weight(self) -> float:
        """See `rows_per_weight`."""
        return max(1.0, self.n_positive / self.weight) if self.weight > 0.0 else 1.0


def totals_of(model: Model, blocks: RowBlocks) -> Totals:
    """Count the rows of a model.

    Parameters
    ----------
    model : Model
    blocks : RowBlocks
    """
    n_rows = blocks.partition[-1].stop
    weights = [block.known.weight for block in blocks.without_features]
    gate_weights = weights
    if blocks.has_groups:
        gate_weights = [block.gate_weight for block in blocks.without_features]
    return Totals(
        n_rows,
        sum(map(int, map(np.count_nonzero, gate_weights))) if blocks.has_groups else n_rows,
        sum(map(int, map(np.count_nonzero, weights))),
        float(sum(weight.sum() for weight in weights)),
        float(sum(weight.sum() for weight in gate_weights)),
        _log_unit(model, blocks),
    )


def _log_unit(model: Model, blocks: RowBlocks) -> float:
    groups = model.groups
    log_scale = next((own for group in groups if (own := group.log_scale) != 0.0), 0.0)
    n_dense = 0.0
    for block in blocks.without_features if log_scale != 0.0 else ():
        is_dense = np.zeros(len(block.known.weight), dtype=bool)
        for group, target, base in zip(groups, block.targets, block.bases, strict=True):
            is_dense |= np.isfinite(base) & ~group.family.has_mass(target)
        n_dense += float(block.known.weight @ is_dense)
    return -n_dense * log_scale


def rows_per_weight(weight: np.ndarray) -> float:
    """Return the rows that a unit of weight counts for: one, or more where weights are small.

    Weights are numbers of rows, so that integers are repeated rows. Where they are less than one
    on average they only say how rows compare, as weights that sum to one do.
    """
    total = float(weight.sum())
    return max(1.0, np.count_nonzero(weight) / total) if total > 0.0 else 1.0
