"""The sums over rows of a pass where all heads see the same features, or none: one compiled loop.

What each row adds to gradients and Gram matrices is formed piece by piece, in cache, and added up
at once. Where heads see different features, features are many, or gates are balanced, the pass
takes the arrays of all rows instead (`_statistics`), which costs up to half as much again.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mixexp import kernels
from mixexp.data import PRODUCT_ROWS, Block, unpacking, use_packed_products
from mixexp.experts import Derivatives
from mixexp.model._model import Model
from mixexp.tree import GatingTree


class GroupStatistics(NamedTuple):
    """Sums over rows for the experts of one family.

    Parameters
    ----------
    gradient : tuple of ndarray of shape (..., n_group, p_head)
        Per head.
    curvature : dict of ndarray of shape (..., n_group, p_a, p_b)
        By pair of heads (a, b).
    """

    gradient: tuple[np.ndarray, ...]
    curvature: dict[tuple[int, int], np.ndarray]


class HeadSums(NamedTuple):
    """What the heads of gates and experts contribute.

    Parameters
    ----------
    gate_gradient : tuple of ndarray of shape (..., n_edges, q)
    gate_pairs : tuple of ndarray of shape (..., n_pairs, q, q)
    groups : tuple of GroupStatistics
    """

    gate_gradient: tuple[np.ndarray, ...]
    gate_pairs: tuple[np.ndarray, ...]
    groups: tuple[GroupStatistics, ...]


class _Rows(NamedTuple):
    """Rows (experts, ..., rows) of several families, to be stacked, and the leaves they are of."""

    parts: list[np.ndarray]
    nodes: list[np.ndarray]

    def add(self, part: np.ndarray, nodes: np.ndarray) -> slice:
        """Append a part, and return where it will stand."""
        n = sum(map(len, self.nodes))
        self.parts.append(part)
        self.nodes.append(nodes)
        return slice(n, n + len(nodes))

    def stacked(self, n_starts: int, n_rows: int) -> tuple[np.ndarray, np.ndarray]:
        """Return all parts as (n, n_starts, rows), and the leaf of each.

        A part may have one column for all rows.
        """
        nodes = np.concatenate([np.empty(0, dtype=np.int64), *self.nodes])
        if len(self.parts) == 1 and self.parts[0].shape[-1] == n_rows:
            own = np.ascontiguousarray(self.parts[0])
            return own.reshape(len(nodes), n_starts, n_rows), nodes
        out, at = np.empty((len(nodes), n_starts, n_rows)), 0
        for part in self.parts:
            out[at : at + len(part)] = part.reshape(len(part), n_starts, part.shape[-1])
            at += len(part)
        return out, nodes


class _Source(NamedTuple):
    """Where the sums of one pair of heads come from, and what they are to be multiplied by."""

    source: str
    at: slice
    factor: np.ndarray | None = None


class _GramPlan:
    """What is to be summed: values times features, and weights of products of features."""

    def __init__(self, model: Model, derivatives: Sequence[Derivatives]) -> None:
        self.values, self.varying, self.constant = _Rows([], []), _Rows([], []), _Rows([], [])
        self.scores: list[list[slice]] = []
        self.curvatures: list[dict[tuple[int, int], _Source]] = []
        for group, found in zip(model.groups, derivatives, strict=True):
            nodes = model.tree.leaves[group.leaves]
            is_narrow = [model.is_narrow[design] for design in group.designs]
            self.scores.append([self.values.add(score, nodes) for score in found.score])
            own: dict[tuple[int, int], _Source] = {}
            for (a, b), curvature in found.curvature.items():
                # A curvature that is the same in all rows is multiplied in afterwards.
                is_constant = curvature.shape[-1] == 1
                if is_narrow[a] and is_narrow[b] and is_constant:
                    own[a, b] = _Source("mass", slice(0), curvature)
                elif is_narrow[a] or is_narrow[b]:
                    own[a, b] = _Source("sums", self.values.add(curvature, nodes))
                elif is_constant:
                    at = self.constant.add(curvature, nodes)
                    own[a, b] = _Source("constant", at, curvature)
                else:
                    own[a, b] = _Source("varying", self.varying.add(curvature, nodes))
            self.curvatures.append(own)


def sum_heads(
    model: Model,
    block: Block,
    gate: np.ndarray,
    node_resp: np.ndarray,
    derivatives: Sequence[Derivatives],
    mass: np.ndarray,
) -> HeadSums | None:
    """Return what all heads contribute, or None if they see different, many or sparse features.

    Parameters
    ----------
    model : Model
    block : Block
    gate : ndarray of shape (n_edges, ..., rows)
    node_resp : ndarray of shape (n_nodes, ..., rows)
    derivatives : sequence of Derivatives
        Of each group.
    mass : ndarray of shape (n_nodes, ...)
        Weighted responsibility of every node.
    """
    design = model.common_design
    if design is None or not block.features.is_dense:
        return None
    plan, n_starts = _GramPlan(model, derivatives), math.prod(gate.shape[1:-1])
    nodes = [model.tree.sibling_pairs[0], *plan.varying.nodes, *plan.constant.nodes]
    n_grams = sum(map(len, nodes))
    if not use_packed_products(len(model.designs[design]), n_starts * n_grams):
        return None
    features = model.design(block, design).to_array()
    sums, packed = _run(model.tree, features, block, gate, node_resp, plan)
    p, lead = len(features), gate.shape[1:-1]
    grams = packed[:, unpacking(p)].reshape(*lead, n_grams, p, p)
    return _hand_out(model, plan, sums.reshape(*lead, -1, p), grams, mass)


def _run(
    tree: GatingTree,
    features: np.ndarray,
    block: Block,
    gate: np.ndarray,
    node_resp: np.ndarray,
    plan: _GramPlan,
) -> tuple[np.ndarray, np.ndarray]:
    p, n_rows = features.shape
    n_starts, size = math.prod(gate.shape[1:-1]), min(n_rows, PRODUCT_ROWS)
    pair_a, pair_b = tree.sibling_pairs
    values, value_nodes = plan.values.stacked(n_starts, n_rows)
    varying, varying_nodes = plan.varying.stacked(n_starts, n_rows)
    curvature_nodes = np.concatenate([varying_nodes, *plan.constant.nodes])
    n_grams, n_products = n_starts * (len(pair_a) + len(curvature_nodes)), p * (p + 1) // 2
    n_sums = n_starts * (tree.n_edges + len(value_nodes))
    grams, sums = np.zeros((n_grams, n_products)), np.zeros((n_sums, p))
    is_first = None if block.known.groups is None else block.is_first
    kernels.head_sums(
        features,
        gate.reshape(tree.n_edges, n_starts, n_rows),
        node_resp.reshape(tree.n_nodes, n_starts, n_rows),
        values,
        varying,
        block.known.weight,
        np.empty(0) if is_first is None else is_first,
        tree.parent,
        pair_a,
        pair_b,
        value_nodes,
        curvature_nodes,
        np.empty((tree.n_nodes, size)),
        np.empty((tree.n_edges, size)),
        np.zeros((n_grams, size)),
        np.zeros((n_sums, size)),
        np.empty((p, size)),
        np.empty((n_products, size)),
        np.empty_like(grams),
        np.empty_like(sums),
        grams,
        sums,
    )
    return sums, grams


def _hand_out(
    model: Model, plan: _GramPlan, sums: np.ndarray, grams: np.ndarray, mass: np.ndarray
) -> HeadSums:
    """Return the sums by gates, and by family, head and pair of heads.

    Parameters
    ----------
    sums : ndarray of shape (..., n_edges + n_values, p)
    grams : ndarray of shape (..., n_pairs + n_curvatures, p, p)
    mass : ndarray of shape (n_nodes, ...)
    """
    tree, n_pairs = model.tree, len(model.tree.sibling_pairs[0])
    values, curvatures = sums[..., tree.n_edges :, :], grams[..., n_pairs:, :, :]
    constant = curvatures[..., sum(map(len, plan.varying.nodes)) :, :, :]
    groups = []
    for group, scores, places in zip(model.groups, plan.scores, plan.curvatures, strict=True):
        width = [len(model.designs[design]) for design in group.designs]
        found = {}
        for (a, b), (source, at, factor) in places.items():
            if source == "mass":
                own = mass[tree.leaves[group.leaves]][..., None]
            elif source == "sums":
                own = values[..., at, : max(width[a], width[b])]
                own = own.reshape(*own.shape[:-1], width[a], width[b])
            else:
                own = (constant if source == "constant" else curvatures)[..., at, :, :]
            found[a, b] = own if factor is None else _scaled(own, factor, source == "mass")
        gradient = tuple(values[..., at, : width[h]] for h, at in enumerate(scores))
        groups.append(GroupStatistics(gradient, found))
    gates = [(own, len(model.designs[own.design])) for own in model.gates]
    return HeadSums(
        tuple(sums[..., own.edge_rows, :q] for own, q in gates),
        tuple(grams[..., own.pair_rows, :q, :q] for own, q in gates),
        tuple(groups),
    )


def _scaled(sums: np.ndarray, factor: np.ndarray, is_mass: bool) -> np.ndarray:
    """Multiply sums by factors (experts, ..., 1); masses are (experts, ..., 1), too."""
    if is_mass:
        scaled = sums * factor
        return (scaled if scaled.ndim == 2 else scaled.swapaxes(0, 1))[..., None]
    return sums * (factor if factor.ndim == 2 else factor.swapaxes(0, 1))[..., None]
