"""Where to look at a mixture: points that leave no expert unseen, however narrow.

The quantiles of every expert, so that between two neighbours nothing changes by much.
"""

from collections.abc import Iterator

import numpy as np

from mixexp.distribution._block import BlockMixture
from mixexp.distribution._quantile import mixture_quantile

Array = np.ndarray

# Most numbers that an array over rows and nodes may hold.
MOST_NUMBERS = 2**20


def expert_nodes(block: BlockMixture, levels: tuple[float, ...]) -> Array:
    """Return quantiles of all experts at some levels, ascending, shape (n_nodes, rows).

    Levels 0 and 1 stand for the limits of y, where these are finite.
    """
    found = []
    for expert in block.experts():
        for level in levels:
            y = mixture_quantile(expert, np.full(block.n_rows, level))
            if np.isfinite(y).all():
                found.append(y)
    return np.sort(np.stack(found), axis=0)


def row_chunks(block: BlockMixture, n_nodes: int) -> Iterator[BlockMixture]:
    """Yield parts of a block so small that arrays over their rows and nodes are bounded."""
    step = max(MOST_NUMBERS // n_nodes, 1)
    for start in range(0, block.n_rows, step):
        yield block.take(slice(start, start + step))
