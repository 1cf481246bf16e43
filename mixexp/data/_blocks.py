"""Blocks of rows: what one call of the model sees, made when it is asked for.

Where the partition of the rows comes from is in `mixexp.data._rows`.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from mixexp.data._rows import Rows, cut_rows, take_rows
from mixexp.data._scaling import Scaling

# Standardised features up to here are kept, for small data are visited hundreds of times and
# the copy is small beside the interpreter and its libraries. Beyond, memory would grow with
# the rows, to save the few percent of a pass that standardising costs.
KEPT_BYTES = 32 * 2**20


class Block(NamedTuple):
    """Rows of standardised data.

    Parameters
    ----------
    features : ndarray of shape (1 + p, rows)
        Intercept first, then standardised features; C order, so rows are contiguous.
    weight : ndarray of shape (rows,)
        Sample weights.
    targets : tuple of ndarray of shape (rows,)
        y as each group of experts sees it; empty where y is unknown.
    bases : tuple of ndarray or float
        Part of the log density that depends on y alone, per group of experts; -inf where y
        is outside of the support.
    offset : ndarray of shape (rows,) or None
        Added to the linear predictor of every location, in the unit of the predictor.
    trials : ndarray of shape (rows,) or None
        Trials of which y counts the successes.
    y : ndarray of shape (rows,) or None
        Target in its own unit; None where it is unknown.
    read_raw : callable or None
        Returns the features as they were given, shape (rows, p).
    """

    features: np.ndarray
    weight: np.ndarray
    targets: tuple[np.ndarray, ...] = ()
    bases: tuple[np.ndarray | float, ...] = ()
    offset: np.ndarray | None = None
    trials: np.ndarray | None = None
    y: np.ndarray | None = None
    read_raw: Callable[[], np.ndarray] | None = None

    def take(self, rows: np.ndarray | slice) -> "Block":
        """Return some of the rows."""
        return Block(
            np.ascontiguousarray(self.features[:, rows]),
            self.weight[rows],
            tuple(np.ascontiguousarray(target[..., rows]) for target in self.targets),
            tuple(np.asarray(base)[rows] if np.ndim(base) else base for base in self.bases),
            None if self.offset is None else self.offset[rows],
            None if self.trials is None else self.trials[rows],
            None if self.y is None else self.y[rows],
            None if self.read_raw is None else partial(_some_rows, self.read_raw, rows),
        )


def _some_rows(read_raw: Callable[[], np.ndarray], rows: np.ndarray | slice) -> np.ndarray:
    return read_raw()[rows]


class RowArguments(NamedTuple):
    """What is known of each row beside its features.

    Parameters
    ----------
    weight : ndarray of shape (n,)
    offset, trials : ndarray of shape (n,) or None
        See `Block`.
    """

    weight: np.ndarray
    offset: np.ndarray | None = None
    trials: np.ndarray | None = None

    def take(self, rows: np.ndarray | slice) -> "RowArguments":
        """Return the same for some of the rows."""
        offset = None if self.offset is None else self.offset[rows]
        trials = None if self.trials is None else self.trials[rows]
        return RowArguments(self.weight[rows], offset, trials)


class RowBlocks(Sequence[Block]):
    """All blocks of the data, whose features are made whenever a block is asked for.

    Parameters
    ----------
    read_features : callable
        Returns the features of the block with a given number, shape (1 + p, rows).
    bare : sequence of Block
        The blocks without features (an array of shape (0, rows)): vectors, kept in memory, for
        the base measure of a target may cost a gamma function per row.

    Notes
    -----
    A loop holds one block at a time, `map_blocks` one per thread. Visit ``bare`` where no
    features are needed.
    """

    def __init__(self, read_features: Callable[[int], np.ndarray], bare: Sequence[Block]) -> None:
        self._read_features = read_features
        self.bare = bare

    def __len__(self) -> int:
        return len(self.bare)

    def __getitem__(self, at: int) -> Block:  # type: ignore[override]  # one block, no slices
        number = range(len(self.bare))[at]
        return self.bare[number]._replace(features=self._read_features(number))

    def refine(self, function: Callable[..., Block], *parts: Iterable[Any]) -> "RowBlocks":
        """Return the same rows with a function of each bare block in its place.

        Parameters
        ----------
        function : callable
            Takes a bare block, and one item of each of the parts.
        *parts : iterable
            One item per block.
        """
        bare = [function(*items) for items in zip(self.bare, *parts, strict=True)]
        return RowBlocks(self._read_features, bare)

    def keep_features(self) -> "RowBlocks":
        """Return the same blocks with all features made now, and kept."""
        features = [block.features for block in self]
        return RowBlocks(features.__getitem__, self.bare)

    def keep_small(self) -> "RowBlocks":
        """Return the same blocks, their features kept if `KEPT_BYTES` hold them."""
        n_rows = sum(len(block.weight) for block in self.bare)
        n_bytes = 8 * n_rows * len(self[0].features)
        return self.keep_features() if n_bytes <= KEPT_BYTES else self


def cut_features(
    X: Rows,
    scaling: Scaling,
    per_row: RowArguments,
    chosen: np.ndarray | None = None,
    block_rows: int | None = None,
) -> RowBlocks:
    """Return blocks of standardised features with no target.

    Parameters
    ----------
    X : ndarray of shape (n, p), or ColumnRows
        float64 or float32, in any memory layout; read block by block, never copied whole.
    scaling : Scaling
    per_row : RowArguments
        Of the rows that are used.
    chosen : ndarray of shape (n_used,), int, optional
        Numbers of the rows that are used; all of them by default.
    block_rows : int, optional
        Rows per block, if not those of the fixed partition.
    """
    partition = list(cut_rows(len(per_row.weight), block_rows))

    def read_features(at: int) -> np.ndarray:
        return scaling.standardize(take_rows(X, partition[at], chosen))

    bare = []
    for rows in partition:
        known = per_row.take(rows)
        no_features = np.empty((0, len(known.weight)))
        block = Block(no_features, known.weight, offset=known.offset, trials=known.trials)
        bare.append(block._replace(read_raw=partial(take_rows, X, rows, chosen)))
    return RowBlocks(read_features, bare)
