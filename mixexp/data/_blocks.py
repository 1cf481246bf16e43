"""Blocks of rows: what one call of the model sees.

The partition depends on the number of rows alone, so that sums over blocks have the same
bits whatever the number of threads.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from mixexp.data._scaling import Scaling

# A block's feature products (some 70 x 4096 doubles for ten features) stay in a core's cache.
BLOCK_ROWS = 4096


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
    """

    features: np.ndarray
    weight: np.ndarray
    targets: tuple[np.ndarray, ...] = ()
    bases: tuple[np.ndarray | float, ...] = ()
    offset: np.ndarray | None = None
    trials: np.ndarray | None = None


def cut_rows(n: int, rows: int = BLOCK_ROWS) -> Iterator[slice]:
    """Yield the fixed partition of n rows."""
    for start in range(0, n, rows):
        yield slice(start, min(start + rows, n))


class PerRow(NamedTuple):
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

    def take(self, rows: np.ndarray | slice) -> "PerRow":
        """Return the same for some of the rows."""
        offset = None if self.offset is None else self.offset[rows]
        trials = None if self.trials is None else self.trials[rows]
        return PerRow(self.weight[rows], offset, trials)


def cut_features(X: np.ndarray, scaling: Scaling, per_row: PerRow) -> Iterator[Block]:
    """Yield blocks of standardised features with no target."""
    for rows in cut_rows(X.shape[0]):
        known = per_row.take(rows)
        yield Block(
            scaling.standardize(X[rows]), known.weight, offset=known.offset, trials=known.trials
        )
