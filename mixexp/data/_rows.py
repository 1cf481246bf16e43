"""The fixed partition of the rows, and how a part of a matrix is read.

The partition depends on the number of rows alone, and of a sparse matrix on its shape and how full
it is, so that sums over its parts have the same bits whatever the number of threads.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

# What is computed of a block of so many rows stays in a core's cache. Of many rows larger blocks
# are taken, which cost about the same per row on one thread: two threads pass the interpreter's
# lock on at every NumPy call, and gain the more, the longer the calls are.
BLOCK_ROWS = 4096
LARGE_BLOCK_ROWS = 16384
_MANY_BLOCKS = 8


def cut_rows(n: int, rows: int | None = None, groups: np.ndarray | None = None) -> list[slice]:
    """Return the fixed partition of n rows, or one into pieces of so many.

    Parameters
    ----------
    n : int
    rows : int, optional
    groups : ndarray of shape (n,), int, optional
        Numbers of groups of neighbouring rows, none of which is parted: a piece ends with the
        group that its last row belongs to.
    """
    if rows is None:
        rows = usual_rows(n)
    if groups is None:
        return [slice(start, min(start + rows, n)) for start in range(0, n, rows)]
    ends = np.append(np.flatnonzero(np.diff(groups)) + 1, n)
    found, start = [], 0
    while start < n:
        stop = int(ends[np.searchsorted(ends, min(start + rows, n))])
        found.append(slice(start, stop))
        start = stop
    return found


def usual_rows(n: int) -> int:
    """Return the rows of a block of the fixed partition of n rows."""
    return LARGE_BLOCK_ROWS if n >= _MANY_BLOCKS * LARGE_BLOCK_ROWS else BLOCK_ROWS


class ColumnRows:
    """A matrix whose columns lie apart, as those of a frame do; some rows are made an array.

    Parameters
    ----------
    columns : sequence of ndarray of shape (n,)
        Numbers of any type; not copied.
    """

    def __init__(self, columns: Sequence[np.ndarray]) -> None:
        self._columns = columns
        self.shape = len(columns[0]), len(columns)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
        """Return rows as float64, features contiguous, in one copy."""
        taken = [column[rows] for column in self._columns]
        out = np.empty((len(taken), len(taken[0])))
        for place, values in zip(out, taken, strict=True):
            place[:] = values
        return out.T


class RowSource(Protocol):
    """Rows of features: an array, columns that are not to be copied whole, a sparse matrix."""

    @property
    def shape(self) -> tuple[int, ...]:
        """``(n, p)``."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Any, /) -> Any: ...


def take_rows(X: RowSource, rows: slice, chosen: np.ndarray | None = None) -> Any:
    """Return some rows of a matrix that may be too large to be copied.

    Parameters
    ----------
    X : ndarray of shape (n, p), ColumnRows or SparseRows
        An array may be float64 or float32, in any memory layout.
    rows : slice
        Of the rows that are used.
    chosen : ndarray of shape (n_used,), int, optional
        Numbers of the rows that are used; all of them by default.
    """
    return X[rows] if chosen is None else X[chosen[rows]]
