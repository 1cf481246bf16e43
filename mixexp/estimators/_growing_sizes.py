"""Models of one size after another: flat, trees whose leaves are split, or of one size alone."""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from mixexp.estimators._initial_guess import SeveralStarts
from mixexp.estimators._splitting import SplitRows, split_leaf

# Experts whose coefficients are least stable are split, so many of them.
_N_SPLITS = 3
# Starts of its own that a model of few experts has beside those: the least stable cut need not
# be the one that parts two regimes, but once some are apart the others are found by splitting.
_N_OWN, _FEW = 2, 3


class Sizes(Protocol):
    """What comes after a fit, one expert larger."""

    #: Whether the shape of the model is found on its rows, so that all rows need a fit too.
    is_found_on_rows: bool

    def first(self) -> dict[str, Any]:
        """Return the parameters of the smallest model."""

    def tries(self, fitted: Any, split: SplitRows | None) -> Iterator[dict[str, Any]]:
        """Yield parameters, with a start, of models with one expert more."""


class FlatSizes:
    """1, 2, 3, ... experts below one gate."""

    is_found_on_rows = False

    def first(self) -> dict[str, Any]:
        return {"n_experts": 1}

    def tries(self, fitted: Any, split: SplitRows | None) -> Iterator[dict[str, Any]]:
        n_experts = fitted.tree_.n_leaves
        if split is None or n_experts < _FEW:
            yield {"n_experts": n_experts + 1, "n_init": _N_OWN}
        if split is not None:
            starts = [
                split.start(leaf, np.insert(np.arange(n_experts), leaf, leaf))
                for leaf in _least_stable(split, range(n_experts))
            ]
            yield {"n_experts": n_experts + 1, "init": SeveralStarts(starts)}


class TreeSizes:
    """Trees of gates over two, grown by splitting one leaf at a time.

    Parameters
    ----------
    max_depth : int
    """

    is_found_on_rows = True

    def __init__(self, max_depth: int) -> None:
        self._max_depth = max_depth

    def first(self) -> dict[str, Any]:
        return {"tree": (1,)}

    def tries(self, fitted: Any, split: SplitRows | None) -> Iterator[dict[str, Any]]:
        tree = fitted.tree_
        depth = tree.level[tree.leaves] if tree.n_leaves > 1 else np.zeros(1, dtype=np.int64)
        open_leaves = [leaf for leaf in range(tree.n_leaves) if depth[leaf] < self._max_depth]
        if open_leaves and (split is None or tree.n_leaves < _FEW):
            # Starts of its own know no leaf from another.
            leaf = min(open_leaves, key=lambda leaf: depth[leaf])
            yield {"tree": split_leaf(tree, leaf), "n_init": _N_OWN}
        if split is None:
            return
        for leaf in _least_stable(split, open_leaves):
            from_leaf = np.insert(np.arange(tree.n_leaves), leaf, leaf)
            yield {"tree": split_leaf(tree, leaf), "init": split.start(leaf, from_leaf)}


class OneSize:
    """The model as it is."""

    is_found_on_rows = False

    def first(self) -> dict[str, Any]:
        return {}

    def tries(self, fitted: Any, split: SplitRows | None) -> Iterator[dict[str, Any]]:
        yield from ()


def _least_stable(split: SplitRows, among: Sequence[int]) -> list[int]:
    return sorted(among, key=lambda leaf: -split.instability[leaf])[:_N_SPLITS]
