"""The shape of a hierarchy of gates: which node is whose child, and which are leaves.

A flat mixture of experts is the tree with one inner node. Nothing here knows of data,
coefficients or families.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np

from mixexp.arguments import is_whole
from mixexp.text import shown

#: What is kept of a tree grows with the square of its leaves, and a gate's curvature with that of
#: its children: 0.3 and 0.3 GB.
MOST_LEAVES, MOST_SIBLINGS = 1 << 14, 1 << 12
#: Beyond so many children, pairs of siblings are most of what a pass costs: 120 of 136 Gram
#: matrices for 16 linear experts, which their better steps are worth, 496 of 528 for 32.
MOST_PAIRED = 16
#: Methods of a tree call themselves once per level.
MOST_LEVELS = 100


@dataclass(frozen=True, eq=False)
class GatingTree:
    """A rooted tree whose inner nodes are gates and whose leaves are experts.

    Nodes are numbered level by level from the root 0; the children of a node are
    contiguous; the edge into node v has number v - 1. Leaves are listed from left to
    right, as they are read in the nested notation.

    Parameters
    ----------
    parent : ndarray of shape (n_nodes,), int64
        -1 for the root.
    first_child, n_children : ndarray of shape (n_nodes,), int64
        0 children at leaves.
    leaves : ndarray of shape (n_leaves,), int64
        Node numbers of the leaves, left to right.
    leaf_names : tuple of str, default=()
        What the leaves are called, left to right; "expert 0", ... if nothing is said.

    Examples
    --------
    >>> tree = GatingTree.from_spec([[1, 1], 1])
    >>> tree.n_leaves, tree.n_nodes, tree.depth
    (3, 5, 2)
    >>> tree.leaves
    array([3, 4, 2])
    """

    parent: np.ndarray
    first_child: np.ndarray
    n_children: np.ndarray
    leaves: np.ndarray
    leaf_names: tuple[str, ...] = ()

    @classmethod
    def flat(cls, n_leaves: int) -> "GatingTree":
        """Return the tree with one gate over ``n_leaves`` experts."""
        return cls.from_nested([1] * n_leaves)

    @classmethod
    def balanced(cls, branching: Sequence[int]) -> "GatingTree":
        """Return the tree whose nodes at level l all have ``branching[l]`` children."""
        nested: Any = 1
        for n_children in reversed(branching):
            nested = [nested] * n_children
        return cls.from_nested(nested)

    @classmethod
    def from_nested(cls, nested: Any) -> "GatingTree":
        """Return the tree of a nested list, in which 1 stands for an expert."""
        parent, first_child, n_children = [-1], [0], [0]
        queue, node = [nested], 0
        while node < len(queue):
            if isinstance(queue[node], list):
                first_child[node] = len(queue)
                n_children[node] = len(queue[node])
                for child in queue[node]:
                    queue.append(child)
                    parent.append(node)
                    first_child.append(0)
                    n_children.append(0)
            node += 1
        leaves, waiting = [], [0]
        while waiting:
            node = waiting.pop()
            below = range(first_child[node], first_child[node] + n_children[node])
            waiting += reversed(below)
            leaves += [] if below else [node]
        as_array = partial(np.array, dtype=np.int64)
        arrays = as_array(parent), as_array(first_child), as_array(n_children)
        return cls(*arrays, as_array(leaves))

    @classmethod
    def from_spec(cls, spec: Any) -> "GatingTree":
        """Return the tree of a user's ``tree=``: branching factors or a nested list.

        Parameters
        ----------
        spec : tuple of int or nested list of 1
            ``(2, 2)``: two gates below one, two experts each. ``[[1, 1], 1]``: a gate
            over two experts, beside a third expert.

        Raises
        ------
        ValueError
            If it is neither, or has more experts than can be fitted.
        """
        if isinstance(spec, GatingTree):
            return spec
        if isinstance(spec, tuple) and spec and all(_is_count(b) for b in spec):
            _refuse_large(spec, math.prod(map(int, spec)), max(map(int, spec)))
            return cls.balanced(spec)
        shape = _measure_nested(spec) if isinstance(spec, list) else None
        if shape is not None:
            _refuse_large(spec, *shape)
            return cls.from_nested(spec)
        raise ValueError(
            f"The 'tree' parameter must be a tuple of branching factors such as (2, 2), or a "
            f"nested list in which 1 stands for an expert such as [[1, 1], 1]. "
            f"Got {shown(spec)} instead."
        )

    @cached_property
    def n_nodes(self) -> int:
        return len(self.parent)

    @cached_property
    def n_edges(self) -> int:
        return len(self.parent) - 1

    @cached_property
    def n_leaves(self) -> int:
        return len(self.leaves)

    @property
    def names_of_leaves(self) -> tuple[str, ...]:
        """What the leaves are called, left to right."""
        return self.leaf_names or tuple(f"expert {k}" for k in range(self.n_leaves))

    @cached_property
    def leaf_rows(self) -> slice | np.ndarray:
        """Where the leaves stand among the nodes; a slice, which copies nothing, if it can be."""
        return as_slice(self.leaves)

    @cached_property
    def inner_nodes(self) -> np.ndarray:
        """Nodes with children, from the root down."""
        return np.flatnonzero(self.n_children > 0)

    @cached_property
    def inner_row(self) -> np.ndarray:
        """Place of each inner node among the inner nodes, -1 at leaves."""
        place = np.full(self.n_nodes, -1, dtype=np.int64)
        place[self.inner_nodes] = np.arange(len(self.inner_nodes))
        return place

    @cached_property
    def first_leaf(self) -> np.ndarray:
        """Place, among the leaves, of the leftmost leaf at or below each node."""
        place = np.empty(self.n_nodes, dtype=np.int64)
        place[self.leaves] = np.arange(self.n_leaves)
        for node in self.inner_nodes[::-1]:
            place[node] = place[self.first_child[node]]
        return place

    @cached_property
    def level(self) -> np.ndarray:
        """Edges between each node and the root."""
        level = np.zeros(self.n_nodes, dtype=np.int64)
        for node in range(1, self.n_nodes):
            level[node] = level[self.parent[node]] + 1
        return level

    @property
    def depth(self) -> int:
        return int(self.level.max())

    def edges(self, node: int) -> slice:
        """Return the edges from a node to its children."""
        start = int(self.first_child[node]) - 1
        return slice(start, start + int(self.n_children[node]))

    @cached_property
    def sibling_pairs(self) -> tuple[np.ndarray, np.ndarray]:
        """Edges a < b of every pair of siblings, node by node."""
        pairs = [
            (edges.start + a, edges.start + b)
            for edges in map(self.edges, self.inner_nodes)
            for a in range(edges.stop - edges.start)
            for b in range(a + 1, edges.stop - edges.start)
        ]
        columns = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
        return np.ascontiguousarray(columns[0]), np.ascontiguousarray(columns[1])

    @cached_property
    def covers(self) -> np.ndarray:
        """Whether each leaf lies at or below each node, shape (n_nodes, n_leaves)."""
        covers = np.zeros((self.n_nodes, self.n_leaves), dtype=bool)
        for position, leaf in enumerate(self.leaves):
            node = int(leaf)
            while node >= 0:
                covers[node, position] = True
                node = int(self.parent[node])
        return covers

    def has_pairs(self, m: int) -> bool:
        """Whether the curvature of a gate over m children is known pair by pair."""
        return True

    def coarse(self, most_paired: int = MOST_PAIRED) -> "GatingTree":
        """Return the tree whose larger gates have one weight of curvature per child, not per pair.

        A softmax's Hessian is the Laplacian L of the graph of siblings whose edges weigh
        ``gate[a] * gate[b]``. In its place stands the diagonal ``D[a] = gate[a] * min(1, 2 * (1 -
        gate[a]))``, which is no less than the degree ``gate[a] * (1 - gate[a])``: twice the
        degrees bound a Laplacian, so that ``2 D >= L`` and a step with D never lowers the
        quadratic model. Between two children that are as likely, D is L along the contrast;
        Bohning's bound, half the identity, has steps a sixteenth as long for 32 children.
        """
        parts = self.parent, self.first_child, self.n_children, self.leaves, self.leaf_names
        return _CoarseTree(*parts, most_paired)

    def leaf_position(self, node: int) -> int:
        """Return the place of a leaf among the leaves, counted from the left."""
        return int(np.flatnonzero(self.leaves == node)[0])

    def children(self, node: int) -> range:
        """Return the children of a node."""
        first = int(self.first_child[node])
        return range(first, first + int(self.n_children[node]))

    def without(self, leaves: Collection[int]) -> tuple["GatingTree", np.ndarray]:
        """Return the tree without some leaves, and the present number of each of its nodes.

        A gate with one child left makes way for that child.

        Parameters
        ----------
        leaves : collection of int
            Places among the leaves; not all of them.

        Examples
        --------
        >>> tree, origin = GatingTree.from_spec([[1, 1], 1]).without([0])
        >>> tree.to_nested(), origin
        ([1, 1], array([0, 4, 2]))
        """
        is_kept = self.covers.copy()
        is_kept[:, list(leaves)] = False
        nested, origin = self._kept_below(0, np.asarray(is_kept.any(axis=1)))
        if not isinstance(nested, list):  # one expert, below a gate of its own
            nested, origin = [nested], [0, [origin]]
        numbers, level = [], [origin]
        while level:
            numbers += [node[0] if isinstance(node, list) else node for node in level]
            level = [child for node in level if isinstance(node, list) for child in node[1]]
        return GatingTree.from_nested(nested), np.array(numbers, dtype=np.int64)

    def _kept_below(self, node: int, is_kept: np.ndarray) -> tuple[Any, Any]:
        """Return what is left at and below a node, nested, and the same with node numbers."""
        if self.n_children[node] == 0:
            return 1, node
        below = [
            self._kept_below(child, is_kept) for child in self.children(node) if is_kept[child]
        ]
        if len(below) == 1:
            return below[0]
        return [nested for nested, _ in below], [node, [numbers for _, numbers in below]]

    def to_nested(self, node: int = 0) -> Any:
        """Return the nested-list notation of the tree below a node."""
        if self.n_children[node] == 0:
            return 1
        return [self.to_nested(child) for child in self.children(node)]


def as_slice(indices: np.ndarray) -> slice | np.ndarray:
    """Return a slice for consecutive indices, which needs no copy, else the indices."""
    first = int(indices[0]) if len(indices) else 0
    if np.array_equal(indices, np.arange(first, first + len(indices))):
        return slice(first, first + len(indices))
    return indices


@dataclass(frozen=True, eq=False)
class _CoarseTree(GatingTree):
    """See `GatingTree.coarse`."""

    most_paired: int = MOST_PAIRED

    def has_pairs(self, m: int) -> bool:
        return m <= self.most_paired

    @cached_property
    def sibling_pairs(self) -> tuple[np.ndarray, np.ndarray]:
        """Edges a < b of every pair of siblings, a = b for every child of a larger gate."""
        first, second = super().sibling_pairs
        is_kept = np.array([self.has_pairs(m) for m in self.n_children[self.parent[first + 1]]])
        own = [
            np.arange(edges.start, edges.stop)
            for edges in map(self.edges, self.inner_nodes)
            if not self.has_pairs(edges.stop - edges.start)
        ]
        alone = np.concatenate([np.empty(0, dtype=np.int64), *own])
        first = np.concatenate([first[is_kept.astype(bool)], alone])
        second = np.concatenate([second[is_kept.astype(bool)], alone])
        order = np.argsort(self.parent[first + 1], kind="stable")
        return first[order], second[order]


def _is_count(value: Any) -> bool:
    return is_whole(value) and int(value) >= 1


def _measure_nested(spec: list[Any]) -> tuple[int, int] | None:
    """Return leaves and most siblings of a nested list, level by level; None if it is none.

    A list that holds itself has no end: the search ends where there are too many leaves, or
    more levels than a tree may have.
    """
    level, n_leaves, widest = [spec], 0, 0
    for _ in range(MOST_LEVELS):
        if not all(level):
            return None  # a gate over nothing
        children = [child for node in level for child in node]
        widest = max(widest, *map(len, level))
        level = [child for child in children if isinstance(child, list)]
        experts = [child for child in children if not isinstance(child, list)]
        if not all(_is_count(child) and child == 1 for child in experts):
            return None
        n_leaves += len(experts)
        if not level or n_leaves + len(level) > MOST_LEAVES:
            return n_leaves + len(level), widest
    raise ValueError(
        f"The 'tree' parameter has more than {MOST_LEVELS} levels, or is a list that holds "
        f"itself. Got {shown(spec)}."
    )


def _refuse_large(spec: Any, n_leaves: int, n_siblings: int) -> None:
    """Refuse what no memory holds, before any of it is made.

    Raises
    ------
    ValueError
        Naming ``tree``.
    """
    if n_leaves > MOST_LEAVES or n_siblings > MOST_SIBLINGS:
        raise ValueError(
            f"The 'tree' parameter has too many experts: at most {MOST_LEAVES}, and "
            f"{MOST_SIBLINGS} below one gate, can be held in memory, and each needs rows of its "
            f"own. Got {shown(spec)}; use a smaller tree."
        )
