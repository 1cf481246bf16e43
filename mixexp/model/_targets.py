"""y as the families of a model see it, put beside the features of its rows."""

from collections.abc import Sequence

import numpy as np

from mixexp.data import Block, RowBlocks
from mixexp.model._group import ExpertGroup
from mixexp.model._model import Model


def with_targets(model: Model, blocks: RowBlocks, y: np.ndarray) -> RowBlocks:
    """Return blocks of rows with y as each family sees it.

    Parameters
    ----------
    model : Model
    blocks : RowBlocks
    y : ndarray of shape (n_rows,)
        As numbers, in its own unit.
    """

    def of_block(block: Block, own: np.ndarray) -> Block:
        return _with_windows(model.groups, _with_target(model.groups, block, own))

    return blocks.map_blocks(of_block, (y[rows] for rows in blocks.partition))


def _with_target(groups: Sequence[ExpertGroup], block: Block, y: np.ndarray) -> Block:
    seen = [group.safe_target(y, block.known.trials, block.known.ends) for group in groups]
    targets, bases = tuple(target for target, _ in seen), tuple(base for _, base in seen)
    return block._replace(targets=targets, bases=bases, y=y, window=None, outside=())


def _with_windows(groups: Sequence[ExpertGroup], block: Block) -> Block:
    """Add the rows as such of which no more is known than that y is in its window, or outside."""
    if block.known.window is None or block.y is None:
        return block
    lower, upper = block.known.window
    below, above = np.full_like(lower, -np.inf), np.full_like(upper, np.inf)
    window, *outside = (
        _between(groups, block, block.y, *ends)
        for ends in ((lower, upper), (below, lower), (upper, above))
    )
    has_upper = bool(np.isfinite(upper).any())
    return block._replace(window=window, outside=tuple(outside[: 1 + has_upper]))


def _between(
    groups: Sequence[ExpertGroup],
    block: Block,
    y: np.ndarray,
    lower: np.ndarray,
    upper: np.ndarray,
) -> Block:
    """Return the block with y in an interval; where it is empty nothing has a probability."""
    is_empty = lower == upper
    ends = np.stack([np.where(is_empty, -np.inf, lower), np.where(is_empty, y, upper)])
    known = block.known._replace(ends=ends, window=None)
    found = _with_target(groups, block._replace(known=known), y)
    if not is_empty.any():
        return found
    bases = tuple(np.where(is_empty, -np.inf, base) for base in found.bases)
    return found._replace(bases=bases)
