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
        Part of the log density that depends on y alone, per group of experts.
    """

    features: np.ndarray
    weight: np.ndarray
    targets: tuple[np.ndarray, ...] = ()
    bases: tuple[np.ndarray | float, ...] = ()


def cut_rows(n: int, rows: int = BLOCK_ROWS) -> Iterator[slice]:
    """Yield the fixed partition of n rows."""
    for start in range(0, n, rows):
        yield slice(start, min(start + rows, n))


def cut_features(X: np.ndarray, scaling: Scaling) -> Iterator[Block]:
    """Yield blocks of standardised features with unit weights and no target."""
    for rows in cut_rows(X.shape[0]):
        features = scaling.standardize(X[rows])
        yield Block(features, np.ones(features.shape[1]))
