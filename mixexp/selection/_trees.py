"""Trees that are one split apart: which expert of the smaller one became two.

A split gives an expert a twin beside it, or puts a gate over the two in its place. Siblings
have no order, so that trees are compared, and their nodes matched, after sorting.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from mixexp.tree import GatingTree


class _Node(NamedTuple):
    """A node with the number it has, or comes from, and its children."""

    number: int
    children: tuple["_Node", ...]


def find_splits(smaller: GatingTree, larger: GatingTree) -> dict[int, np.ndarray]:
    """Return how each expert of a tree could be split to make another tree.

    Parameters
    ----------
    smaller, larger : GatingTree

    Returns
    -------
    dict of int to ndarray of shape (n_nodes,), int
        Per leaf of the smaller tree that may be split, the node of the smaller tree that each
        node of the larger one comes from. Empty if the trees are not one split apart.
    """
    if larger.n_leaves != smaller.n_leaves + 1:
        return {}
    whole, target = _sorted(_read(smaller, 0)), _sorted(_read(larger, 0))
    found = {}
    for leaf, node in enumerate(smaller.leaves.tolist()):
        for grown in map(_sorted, _grow(whole, node)):
            if _shape(grown) == _shape(target):
                found[leaf] = _match(grown, target, larger.n_nodes)
    return found


def _read(tree: GatingTree, node: int) -> _Node:
    return _Node(node, tuple(_read(tree, child) for child in tree.children(node)))


def _shape(node: _Node) -> tuple:
    return tuple(_shape(child) for child in node.children)


def _sorted(node: _Node) -> _Node:
    """Return the tree with siblings in an order that depends on nothing but their shape."""
    children = sorted(map(_sorted, node.children), key=_shape)
    return _Node(node.number, tuple(children))


def _grow(node: _Node, leaf: int) -> Iterator[_Node]:
    """Yield the trees in which a leaf has a twin, or is a gate over two."""
    for place, child in enumerate(node.children):
        before, after = node.children[:place], node.children[place + 1 :]
        if child.number == leaf:
            yield _Node(node.number, (*before, child, child, *after))
            yield _Node(node.number, (*before, _Node(leaf, (child, child)), *after))
        else:
            for grown in _grow(child, leaf):
                yield _Node(node.number, (*before, grown, *after))


def _match(grown: _Node, target: _Node, n_nodes: int) -> np.ndarray:
    """Return, by node of the target, the number of the node in the same place."""
    origin = np.full(n_nodes, -1, dtype=np.int64)
    pairs = [(grown, target)]
    while pairs:
        own, other = pairs.pop()
        origin[other.number] = own.number
        pairs += zip(own.children, other.children, strict=True)
    return origin
