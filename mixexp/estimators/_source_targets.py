"""y of a source as its families see it: what `_groups` measures of y in memory, by partition."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mixexp.data import ColumnMoments, RowArguments, RowBlocks
from mixexp.estimators._groups import FixedFamily, TargetUnit, is_taken, no_row_left, own_rows
from mixexp.text import shown

# Weight of the ends of y among rows that stand for all, as a share of the least of these.
_TINY = 1e-9


class FreeRange(NamedTuple):
    """Rows that are left to a family by those beside it.

    Parameters
    ----------
    is_any : bool
    lowest, highest : float
        Of their y.
    """

    is_any: bool
    lowest: float
    highest: float

    @classmethod
    def of(cls, found: FixedFamily, y: np.ndarray, known: RowArguments) -> "FreeRange":
        """Look at the rows of a partition."""
        free = y[~is_taken(found, y, known)] if found.rivals else y
        if not len(free):
            return cls(False, np.inf, -np.inf)
        return cls(True, float(free.min()), float(free.max()))

    def plus(self, other: "FreeRange") -> "FreeRange":
        """Return the range of both."""
        return FreeRange(
            self.is_any or other.is_any,
            min(self.lowest, other.lowest),
            max(self.highest, other.highest),
        )


def fix_by_sample(found: FixedFamily, free: FreeRange, sample: RowBlocks) -> FixedFamily:
    """Return a family with what is to come from the data, of a sample and the ends of y.

    Raises
    ------
    ValueError
        If no row is left to it.
    """
    if not free.is_any:
        raise ValueError(no_row_left(found.family.name, found.rivals))
    y = np.concatenate([np.asarray(block.y) for block in sample.without_features])
    known = RowArguments.joined([block.known for block in sample.without_features])
    weight = known.weight
    if found.rivals:
        weight = np.where(is_taken(found, y, known), 0.0, weight)
    ends = np.array([free.lowest, free.highest])
    tiny = np.full(2, _TINY * float(known.weight.min()))
    fixed = found.family.fixed_to(np.concatenate([y, ends]), np.concatenate([weight, tiny]))
    return found._replace(family=fixed)


class TargetMoments(NamedTuple):
    """What the unit of y goes by, of the rows in a family's support.

    Parameters
    ----------
    y : ColumnMoments
    size : ColumnMoments
        Of the size of y, without its sign.
    first : tuple
        y, trials and ends of one of the rows.
    """

    y: ColumnMoments
    size: ColumnMoments
    first: tuple[np.ndarray, np.ndarray | None, np.ndarray | None]

    @classmethod
    def of(cls, found: FixedFamily, y: np.ndarray, known: RowArguments) -> "TargetMoments | None":
        """Look at the rows of a partition; None if none is in the support."""
        own, weight, first = own_rows(found.group(), y, known)
        if not len(own):
            return None
        return cls(
            ColumnMoments.of(own[:, None], weight),
            ColumnMoments.of(np.abs(own)[:, None], weight),
            first,
        )

    def plus(self, other: "TargetMoments") -> "TargetMoments":
        """Return the moments of both."""
        return TargetMoments(self.y.plus(other.y), self.size.plus(other.size), self.first)

    def unit(self) -> TargetUnit:
        """Return the unit of y."""
        scaling = self.y.scaling()
        return TargetUnit(
            float(scaling.center[0]),
            float(scaling.scale[0]),
            bool(scaling.is_constant[0]),
            float(self.size.center[0]) or 1.0,
            self.first,
        )


def merge_targets(
    found: Sequence[Sequence[TargetMoments | None]], families: Sequence[FixedFamily]
) -> list[TargetUnit]:
    """Return the unit of y for every family, from what each partition tells.

    Raises
    ------
    ValueError
        If no row is in the support of one.
    """
    units = []
    for family, parts in zip(families, zip(*found, strict=True), strict=True):
        known = [part for part in parts if part is not None]
        if not known:
            raise ValueError(
                f"No row of y is {family.family.support}, which the {shown(family.family.name)} "
                "expert needs; leave it out, or use another family."
            )
        total = known[0]
        for part in known[1:]:
            total = total.plus(part)
        units.append(total.unit())
    return units
