"""Softmax gates: multinomial logits of the features, or of nothing but the intercept.

At a node v with children c, ``log gate_c = logit_c - logsumexp(logits of v's children)``; the
logits of siblings sum to zero. In the M-step a node is a multinomial logit with soft targets,
whose Hessian is put together here from sums over rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from mixexp.contrast import contrast
from mixexp.tree import GatingTree, as_slice

#: Names of softmax gates; a constant one is a softmax of nothing but the intercept.
SOFTMAX_GATES = ("softmax", "constant")


@dataclass(frozen=True, eq=False)
class SoftmaxGates:
    """The softmax gates of a tree that see the same features.

    Parameters
    ----------
    tree : GatingTree
    nodes : ndarray of int
        Inner nodes of these gates, from the root down.
    design : int
        Features that they see, as a position in ``Model.designs``.
    """

    tree: GatingTree
    nodes: np.ndarray
    design: int

    @classmethod
    def everywhere(cls, tree: GatingTree, design: int) -> tuple["SoftmaxGates"]:
        """Return the gates of a tree where all see the same features."""
        return (cls(tree, tree.inner_nodes, design),)

    @cached_property
    def is_everywhere(self) -> bool:
        """Whether there are no gates but these."""
        return len(self.nodes) == len(self.tree.inner_nodes)

    @cached_property
    def edges(self) -> np.ndarray:
        """Edges from these nodes, node by node: the rows of the gates' coefficients."""
        spans = [self.tree.edges(node) for node in self.nodes]
        return np.concatenate([np.arange(span.start, span.stop) for span in spans])

    @cached_property
    def n_siblings(self) -> list[int]:
        """Children of each of the nodes."""
        return self.tree.n_children[self.nodes].tolist()

    @cached_property
    def spans(self) -> list[slice]:
        """Where the edges of each node stand among `edges`."""
        return _consecutive(self.n_siblings)

    @cached_property
    def pairs(self) -> np.ndarray:
        """Numbers, among all pairs of siblings in the tree, of those below these nodes."""
        return np.flatnonzero(np.isin(self.tree.sibling_pairs[0], self.edges))

    @cached_property
    def pair_spans(self) -> list[slice]:
        """Where the pairs of each node stand among `pairs`."""
        nodes = self.tree.parent[self.tree.sibling_pairs[0] + 1]
        return _consecutive([int(np.count_nonzero(nodes == node)) for node in self.nodes])

    @cached_property
    def edge_rows(self) -> slice | np.ndarray:
        """`edges` as a slice if they are consecutive."""
        return as_slice(self.edges)

    @cached_property
    def pair_rows(self) -> slice | np.ndarray:
        """`pairs` as a slice if they are consecutive."""
        return as_slice(self.pairs)

    def centered(self, coef: np.ndarray) -> np.ndarray:
        """Return coefficients (..., n_edges, q) less their means over siblings."""
        out = coef.copy()
        for span in self.spans:
            out[..., span, :] -= out[..., span, :].mean(axis=-2, keepdims=True)
        return out


def _consecutive(sizes: Sequence[int]) -> list[slice]:
    ends = np.cumsum(sizes).tolist()
    return [slice(end - size, end) for end, size in zip(ends, sizes, strict=True)]


def node_information(pair_blocks: np.ndarray, m: int) -> np.ndarray:
    """Return the information of one node in contrast coordinates.

    Parameters
    ----------
    pair_blocks : ndarray of shape (..., m * (m - 1) // 2, q, q)
        ``X' diag(weight * gate_a * gate_b) X`` for siblings a < b.
    m : int
        Number of children.

    Returns
    -------
    ndarray of shape (..., (m - 1) * q, (m - 1) * q)
        Contrast-major.
    """
    *lead, n_pairs, q, _ = pair_blocks.shape
    # The Hessian is a graph Laplacian: each pair adds its block between the two children.
    reduced = _pair_products(m) @ pair_blocks.reshape(*lead, n_pairs, q * q)
    blocks = np.swapaxes(reduced.reshape(*lead, m - 1, m - 1, q, q), -3, -2)
    return blocks.reshape(*lead, (m - 1) * q, (m - 1) * q)


def node_laplacian(pair_blocks: np.ndarray, m: int) -> np.ndarray:
    """Return the information of a node in its m symmetric columns, (..., m * q, m * q).

    Parameters
    ----------
    pair_blocks : ndarray of shape (..., m * (m - 1) // 2, q, q)
        See `node_information`.
    m : int
    """
    *lead, _, q, _ = pair_blocks.shape
    out = np.zeros((*lead, m, q, m, q))
    for t, (a, b) in enumerate(zip(*np.triu_indices(m, 1), strict=True)):
        block = pair_blocks[..., t, :, :]
        out[..., a, :, a, :] += block
        out[..., b, :, b, :] += block
        out[..., a, :, b, :] -= block
        out[..., b, :, a, :] -= block
    return out.reshape(*lead, m * q, m * q)


@lru_cache(maxsize=256)
def _pair_products(m: int) -> np.ndarray:
    """Outer products of contrasts' differences, shape ((m - 1)**2, m * (m - 1) // 2)."""
    basis = contrast(m)
    first, second = np.triu_indices(m, 1)
    difference = basis[first] - basis[second]
    return np.einsum("ti,tj->ijt", difference, difference).reshape(-1, len(first))
