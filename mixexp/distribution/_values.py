"""Counts one by one: the values that have next to all of the probability."""

from typing import NamedTuple

import numpy as np

from mixexp.distribution._block import BlockMixture
from mixexp.distribution._quantile import mixture_quantile, upper_quantile

Array = np.ndarray

# Values beyond have less than this probability on either side.
_LEFT_OUT = 1e-14
# Counts are looked at one by one up to so many, and in so many cells if there are more.
MOST_CELLS = 4096


class Cells(NamedTuple):
    """Runs of integers, from the least that matters to the largest.

    Parameters
    ----------
    first : ndarray of shape (rows,)
        The first integer of the first cell.
    width : ndarray of shape (rows,)
        Integers per cell; 1 but for distributions wider than the number of cells.
    n_cells : int
    """

    first: Array
    width: Array
    n_cells: int

    def lower(self, at: int | Array) -> Array:
        """Return the least integer of a cell."""
        return self.first + self.width * at


def integer_cells(block: BlockMixture) -> Cells:
    """Return cells that cover next to all of the probability, at most `MOST_CELLS`."""
    tail = np.full(block.n_rows, _LEFT_OUT)
    first = np.floor(mixture_quantile(block, tail))
    last = np.ceil(upper_quantile(block, tail))
    width = np.maximum(np.ceil((last - first + 1.0) / MOST_CELLS), 1.0)
    n_cells = int(np.max(np.ceil((last - first + 1.0) / width)))
    return Cells(first, width, n_cells)


def cell_masses(block: BlockMixture, cells: Cells) -> Array:
    """Return the probability of every cell, shape (n_cells, rows)."""
    out = np.empty((cells.n_cells, block.n_rows))
    is_single = bool(np.all(cells.width == 1.0))
    below = np.zeros(block.n_rows) if is_single else block.cdf(cells.first - 1.0)
    for at in range(cells.n_cells):
        if is_single:
            out[at] = block.mass(cells.lower(at))
        else:
            reached = block.cdf(cells.lower(at + 1) - 1.0)
            out[at], below = np.maximum(reached - below, 0.0), reached
    return out
