"""The rows of a source as a problem sees them: partitions that are in memory one at a time."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple, Protocol, TypeVar

from mixexp.data._blocks import Block, RowBlocks
from mixexp.data._sources import Batch, Source

Result = TypeVar("Result")


class OpenPartition(Protocol):
    """Makes blocks of the rows of a partition; None if none of them has a weight."""

    def __call__(self, number: int, batch: Batch, /) -> RowBlocks | None: ...


class SourceBlocks:
    """All rows of a source, in partitions that are opened whenever they are passed over.

    Parameters
    ----------
    source : Source
    open_partition : callable
        See `OpenPartition`; may be sent to other processes.
    sample : RowBlocks
        Rows in memory that stand for all, with weights to match: what starts are drawn from.
    n_partitions : int
        In the first pass, and so in all.
    """

    def __init__(
        self, source: Source, open_partition: OpenPartition, sample: RowBlocks, n_partitions: int
    ) -> None:
        self._source = source
        self._open = open_partition
        self.sample = sample
        self._n_partitions = n_partitions

    @property
    def is_local(self) -> bool:
        """Whether partitions are passed over in this process, one at a time."""
        return self._source.is_local

    @property
    def pattern(self) -> Block:
        """A block without features that tells what is known of the rows."""
        return self.sample.without_features[0]

    @property
    def has_groups(self) -> bool:
        """Whether rows share classes."""
        return self.sample.has_groups

    def total(
        self, function: Callable[[RowBlocks], Result], add: Callable[[Result, Result], Result]
    ) -> Result:
        """Return the sum of what a function returns for the rows of each partition.

        Raises
        ------
        ValueError
            If there are other partitions than in the first pass.
        """
        n_found, found = self._source.total(
            partial(_apply, self._open, function), partial(_add_if_any, add)
        )
        check_count(n_found, self._n_partitions)
        if found is None:
            raise ValueError("The source has no row any more: every pass has to give the same.")
        return found

    def map_blocks(self, function: Callable[[Block], Block]) -> "SourceBlocks":
        """Return the same rows with a function of each block without features in its place."""
        opened = _Refined(self._open, function)
        sample = self.sample.map_blocks(function)
        return SourceBlocks(self._source, opened, sample, self._n_partitions)


class _Refined(NamedTuple):
    """Opens partitions with a function of each block without features in its place."""

    opened: OpenPartition
    function: Callable[[Block], Block]

    def __call__(self, number: int, batch: Batch) -> RowBlocks | None:
        blocks = self.opened(number, batch)
        return None if blocks is None else blocks.map_blocks(self.function)


def check_count(n_found: int, n_before: int) -> None:
    """Refuse a pass with fewer partitions than the first had.

    Raises
    ------
    ValueError
        With both numbers.
    """
    if n_found != n_before:
        raise ValueError(
            f"The source gave {n_found} partitions, but {n_before} in its first pass: every pass "
            "has to give the same rows. An iterator can be passed over once only; give an object "
            "whose __iter__ starts anew."
        )


def _apply(
    opened: OpenPartition, function: Callable[[RowBlocks], Result], number: int, batch: Batch
) -> tuple[int, Result | None]:
    blocks = opened(number, batch)
    return 1, None if blocks is None else function(blocks)


def _add_if_any(
    add: Callable[[Result, Result], Result],
    first: tuple[int, Result | None],
    second: tuple[int, Result | None],
) -> tuple[int, Result | None]:
    count, one, other = first[0] + second[0], first[1], second[1]
    if one is None or other is None:
        return count, other if one is None else one
    return count, add(one, other)
