"""Where to look at a mixture: points that leave no expert unseen, however narrow.

The quantiles of every expert, so that between two neighbours nothing changes by much.
"""

from collections.abc import Iterator

import numpy as np

from mixexp.distribution._block import BlockMixture, over_columns
from mixexp.distribution._quantile import mixture_quantile

Array = np.ndarray

# Most numbers that an array over rows and nodes may hold.
MOST_NUMBERS = 2**20


def expert_nodes(block: BlockMixture, levels: tuple[float, ...]) -> Array:
    """Return quantiles of all experts at some levels, ascending, shape (n_nodes, rows).

    Levels 0 and 1 stand for the limits of y, where these are finite.
    """
    at = np.broadcast_to(np.array(levels), (block.n_rows, len(levels)))
    found = np.concatenate(
        [over_columns(mixture_quantile, expert, at) for expert in block.experts()], axis=1
    )
    is_finite = np.isfinite(found).all(axis=0)
    return np.sort(found[:, is_finite], axis=1).T.copy()


def row_chunks(block: BlockMixture, n_nodes: int) -> Iterator[BlockMixture]:
    """Yield parts of a block so small that arrays over their rows and nodes are bounded."""
    step = max(MOST_NUMBERS // n_nodes, 1)
    for start in range(0, block.n_rows, step):
        yield block.take(slice(start, start + step))
