"""The pass: from parameters and a block of rows to the sums that an EM step needs.

Fisher's identity gives the gradient of the observed log-likelihood from responsibilities:
for a gate's child c of node v ``resp_c - resp_v * gate_c``, for an expert's head
``resp_k * score``. Every block of curvature is a Gram matrix of the features with some
weight per row, and all of them are one matrix product.

Several sets of coefficients are evaluated at once where the parameters have a leading axis
of them. Inside of the pass that axis stands just before the rows, (heads, ..., rows): to a
kernel they are more rows, and to a matrix product more heads.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import reduce
from typing import NamedTuple

import numpy as np
from scipy.linalg import blas

from mixexp import kernels
from mixexp.data import Block
from mixexp.experts import Derivatives
from mixexp.model._balance import add_balance, balance_value
from mixexp.model._model import Model, Parameters, flatten_slots
from mixexp.model._sums import (
    PRODUCT_ROWS,
    GroupStatistics,
    HeadSums,
    few_columns,
    sum_heads,
    unpacking,
)
from mixexp.tree import GatingTree

Product = Callable[[np.ndarray, np.ndarray], np.ndarray]
# From the leaves' responsibilities (n_leaves, ..., rows) to those to use in their place, and what
# the objective gains by it, (..., rows) or a number.
Reassign = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray | float]]
# Weights for the Gram matrix between two designs: (design a, design b, weights (m, ..., rows)).
GramRequest = tuple[int, int, np.ndarray]


class Posterior(NamedTuple):
    """Where the rows of a block go.

    Parameters
    ----------
    log_density : ndarray of shape (..., rows)
        Log density of y; -inf where no expert explains the row.
    gate : ndarray of shape (n_edges, ..., rows)
        Conditional gate probabilities; siblings sum to one.
    node_resp : ndarray of shape (n_nodes, ..., rows)
        Responsibility of every node, 1 at the root.
    """

    log_density: np.ndarray
    gate: np.ndarray
    node_resp: np.ndarray


class Statistics(NamedTuple):
    """Sums over rows: all that an EM step needs to know of the data.

    Parameters
    ----------
    log_likelihood : ndarray of shape (...)
        Of the parameters that the pass was given.
    excess : ndarray of shape (...)
        What else the objective has that is a sum over rows: `balance_value`, `classify`.
    node_mass : ndarray of shape (..., n_nodes)
        Weighted responsibility of every node.
    gate_gradient : tuple of ndarray of shape (..., n_edges, q)
        Per group of gates.
    gate_pairs : tuple of ndarray of shape (..., n_pairs, q, q)
        ``X' diag(weight * resp * gate_a * gate_b) X`` by pair of siblings, per group of gates.
    groups : tuple of GroupStatistics
    """

    log_likelihood: np.ndarray
    excess: np.ndarray
    node_mass: np.ndarray
    gate_gradient: tuple[np.ndarray, ...]
    gate_pairs: tuple[np.ndarray, ...]
    groups: tuple[GroupStatistics, ...]


def linear_predictors(
    model: Model, params: Parameters, block: Block, product: Product = np.matmul
) -> list[np.ndarray]:
    """Return the linear predictors slot by slot, (n_heads, ..., rows) or (n_heads, ..., 1).

    A head that sees nothing but the intercept is constant over rows and stays a column, so
    that families take one exponential of it, not one per row.
    """
    slots = [_swap_lead(slot, 2) for slot in model.slots(params)]
    eta = list(slots)
    for design in range(len(model.designs)):
        if model.sees_intercept_only(design):
            continue
        members = [slot for slot, d in enumerate(model.slot_designs) if d == design]
        if members:
            parts = [slots[slot] for slot in members]
            stacked = np.concatenate(parts)
            values = product(_narrow(stacked), model.design(block, design))
            values = values.reshape(*stacked.shape[:-1], values.shape[-1])
            for slot, own in zip(members, _split_like(values, parts), strict=True):
                eta[slot] = own
    return eta if block.offset is None else _add_offset(model, eta, block.offset)


def _swap_lead(array: np.ndarray, n_own: int) -> np.ndarray:
    """Swap (..., heads, *own) and (heads, ..., *own), where ... is one axis or none.

    Parameters
    ----------
    array : ndarray
    n_own : int
        Axes without the leading one, that of the heads included.
    """
    return array if array.ndim == n_own else array.swapaxes(0, 1)


def _split_like(array: np.ndarray, parts: Sequence[np.ndarray]) -> Iterator[np.ndarray]:
    """Yield pieces of an array that are as long as the parts."""
    start = 0
    for part in parts:
        yield array[start : start + len(part)]
        start += len(part)


def _add_offset(model: Model, eta: list[np.ndarray], offset: np.ndarray) -> list[np.ndarray]:
    out = list(eta)
    for (g, h), slot in model.slot_of.items():
        out[slot] = model.groups[g].add_offset(h, eta[slot], offset)
    return out


def group_heads(model: Model, eta: Sequence[np.ndarray]) -> list[tuple[np.ndarray, ...]]:
    """Return the linear predictors of each group of experts, head by head."""
    rest = iter(eta[len(model.gates) :])
    return [tuple(next(rest) for _ in group.designs) for group in model.groups]


def gate_logits(model: Model, eta: Sequence[np.ndarray], n_rows: int) -> np.ndarray:
    """Return the logits of all edges, (n_edges, ..., rows), or (n_edges, ..., 1) where constant."""
    if len(model.gates) == 1:
        return eta[0]
    out = np.empty((model.tree.n_edges, *eta[0].shape[1:-1], n_rows))
    for gates, own in zip(model.gates, eta, strict=False):
        out[gates.edges] = own
    return out


def leaf_log_density(model: Model, eta: Sequence[np.ndarray], block: Block) -> np.ndarray:
    """Return the log density of every row under every leaf, shape (n_leaves, ..., rows)."""
    out = np.empty((model.tree.n_leaves, *eta[0].shape[1:-1], block.features.shape[1]))
    for g, heads in enumerate(group_heads(model, eta)):
        log_kernel = model.groups[g].family.log_kernel(block.targets[g], heads)
        out[model.group_rows[g]] = log_kernel + block.bases[g]
    return out


def gate_probabilities(tree: GatingTree, logits: np.ndarray, n_rows: int) -> tuple[np.ndarray, ...]:
    """Return gates, shifted logits and the inner nodes' log normalisers, each (..., rows).

    Parameters
    ----------
    tree : GatingTree
    logits : ndarray of shape (n_edges, ..., n_rows) or (n_edges, ..., 1)
    n_rows : int
    """
    lead = (*logits.shape[1:-1], n_rows)
    logits = _over_rows(logits, n_rows)
    shifted, top = np.empty_like(logits), np.empty(lead)
    nodes = tree.inner_nodes, tree.first_child, tree.n_children
    kernels.shift_siblings(_wide(logits), *nodes, top.ravel(), _wide(shifted))
    gate, total = np.exp(shifted), np.empty((len(tree.inner_nodes), *lead))
    kernels.normalize_siblings(_wide(gate), *nodes, _wide(total))
    return gate, shifted, np.log(total, out=total)


def _wide(array: np.ndarray) -> np.ndarray:
    """Return a view with all axes after the first in one, as kernels see them."""
    return array.reshape(len(array), math.prod(array.shape[1:]))


def posterior(tree: GatingTree, logits: np.ndarray, log_density: np.ndarray) -> Posterior:
    """Combine gates and experts: Bayes' rule at every node of the tree.

    Parameters
    ----------
    tree : GatingTree
    logits : ndarray of shape (n_edges, ..., rows) or (n_edges, ..., 1)
    log_density : ndarray of shape (n_leaves, ..., rows)
    """
    lead = log_density.shape[1:]
    gate, node_resp = np.empty((tree.n_edges, *lead)), np.empty((tree.n_nodes, *lead))
    row_log_density = np.empty(lead)
    kernels.share_rows(
        _wide(_over_rows(logits, lead[-1])),
        _wide(log_density),
        tree.parent,
        tree.inner_nodes,
        tree.first_child,
        tree.n_children,
        tree.leaves,
        np.empty((tree.n_nodes, kernels.CHUNK)),
        _wide(gate),
        _wide(node_resp),
        row_log_density.ravel(),
    )
    return Posterior(row_log_density, gate, node_resp)


def _over_rows(array: np.ndarray, n_rows: int) -> np.ndarray:
    """Return an array of shape (..., rows), copies of its only column where it has but one."""
    if array.shape[-1] == n_rows:
        return array
    return np.ascontiguousarray(np.broadcast_to(array, (*array.shape[:-1], n_rows)))


def posterior_of_block(
    model: Model, params: Parameters, block: Block, product: Product = np.matmul
) -> Posterior:
    """Return densities, gates and responsibilities of a block's rows."""
    eta = linear_predictors(model, params, block, product)
    logits = gate_logits(model, eta, block.features.shape[1])
    return posterior(model.tree, logits, leaf_log_density(model, eta, block))


def em_statistics(
    model: Model,
    params: Parameters,
    block: Block,
    reassign: Reassign | None = None,
    pseudo_weight: np.ndarray | None = None,
) -> Statistics:
    """Pass once over a block: log-likelihood, gradient and EM curvature.

    Parameters
    ----------
    model : Model
    params : Parameters
    block : Block
    reassign : callable, optional
        Takes the leaves' responsibilities, shape (n_leaves, ..., rows), and returns those to use
        in their place with what the objective gains by it, per row.
    pseudo_weight : ndarray of shape (rows,), optional
        Weight of pseudo-rows that belong to all children of a gate in equal shares.

    Returns
    -------
    Statistics

    Notes
    -----
    Costs O(rows * (K + n_pairs) * p**2 / 2) in one matrix product, and 2 K exponentials
    per row in a flat model.
    """
    eta = linear_predictors(model, params, block)
    log_density, derivatives = evaluate_experts(model, eta, block)
    logits = gate_logits(model, eta, block.features.shape[1])
    found = posterior(model.tree, logits, log_density)
    node_weight, excess = found.node_resp, np.zeros(found.log_density.shape[:-1])
    if reassign is not None:
        resp, gain = reassign(node_weight[model.tree.leaf_rows])
        node_weight = np.tensordot(model.tree.covers.astype(float), resp, axes=1)
        excess = np.broadcast_to(gain, found.log_density.shape) @ block.weight
    mass, sums = node_weight @ block.weight, None
    if pseudo_weight is None:
        sums = sum_heads(model, block, found.gate, node_weight, derivatives, mass)
    else:
        _, shifted, log_total = gate_probabilities(model.tree, logits, logits.shape[-1])
        excess = excess + balance_value(model.tree, shifted, log_total, pseudo_weight)
    if sums is None:
        sums = _sum_by_head(model, block, found.gate, node_weight, derivatives, pseudo_weight)
    return Statistics(found.log_density @ block.weight, excess, mass.T, *sums)


def _sum_by_head(
    model: Model,
    block: Block,
    gate: np.ndarray,
    node_weight: np.ndarray,
    derivatives: Sequence[Derivatives],
    pseudo_weight: np.ndarray | None,
) -> HeadSums:
    """Return what `sum_heads` does, whatever features heads see; node_weight is overwritten."""
    residual, pair_weight = _gate_weights(model.tree, gate, node_weight, block.weight)
    if pseudo_weight is not None:
        residual, pair_weight = add_balance(model.tree, gate, pseudo_weight, residual, pair_weight)
    leaf_weight = node_weight[model.tree.leaf_rows]
    designs = [model.design(block, design) for design in range(len(model.designs))]
    requests: list[GramRequest] = [
        (gates.design, gates.design, pair_weight[gates.pair_rows]) for gates in model.gates
    ]
    for g, group in enumerate(model.groups):
        weight = leaf_weight[model.group_rows[g]]
        for (a, b), curvature in derivatives[g].curvature.items():
            # A curvature that is the same in all rows is multiplied in afterwards.
            is_constant = curvature.shape[-1] == 1
            weighted = weight if is_constant else weight * curvature
            requests.append((group.designs[a], group.designs[b], weighted))
    grams = iter(weighted_grams(designs, requests))
    return HeadSums(
        tuple(_gradient(residual[own.edge_rows], designs[own.design]) for own in model.gates),
        tuple(next(grams) for _ in model.gates),
        tuple(
            _group_statistics(leaf_weight[rows], d, group.designs, designs, grams)
            for group, rows, d in zip(model.groups, model.group_rows, derivatives, strict=True)
        ),
    )


def evaluate_experts(
    model: Model, eta: Sequence[np.ndarray], block: Block
) -> tuple[np.ndarray, list[Derivatives]]:
    """Return log densities as `leaf_log_density` does, and the derivatives of every group."""
    out = np.empty((model.tree.n_leaves, *eta[0].shape[1:-1], block.features.shape[1]))
    found = []
    for g, heads in enumerate(group_heads(model, eta)):
        family = model.groups[g].family
        log_kernel, derivatives = family.evaluate(block.targets[g], heads)
        out[model.group_rows[g]] = log_kernel + block.bases[g]
        found.append(derivatives)
    return out, found


def _gate_weights(
    tree: GatingTree, gate: np.ndarray, node_weight: np.ndarray, weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Multiply responsibilities by sample weights, in place, and weigh the gates' sums."""
    pair_a, pair_b = tree.sibling_pairs
    residual = np.empty_like(gate)
    pair_weight = np.empty((len(pair_a), *gate.shape[1:]))
    kernels.gate_weights(
        _wide(gate),
        _wide(node_weight),
        weight,
        tree.parent,
        pair_a,
        pair_b,
        _wide(residual),
        _wide(pair_weight),
    )
    return residual, pair_weight


def _gradient(residual: np.ndarray, features: np.ndarray) -> np.ndarray:
    """Return sums of (heads, ..., rows) times features (p, rows), shape (..., heads, p)."""
    sums = _narrow(residual) @ features.T
    return _swap_lead(sums.reshape(*residual.shape[:-1], len(features)), 2)


def _group_statistics(
    weight: np.ndarray,
    derivatives: Derivatives,
    head_designs: tuple[int, ...],
    designs: Sequence[np.ndarray],
    grams: Iterable[np.ndarray],
) -> GroupStatistics:
    gradient = tuple(
        _gradient(weight * score, designs[design])
        for score, design in zip(derivatives.score, head_designs, strict=True)
    )
    # zip asks for a pair of heads first, and so takes no Gram matrix too many.
    pairs = zip(derivatives.curvature.items(), grams, strict=False)
    return GroupStatistics(gradient, {pair: _scaled(gram, c) for (pair, c), gram in pairs})


def _scaled(gram: np.ndarray, curvature: np.ndarray) -> np.ndarray:
    """Multiply (..., m, p, p) by a curvature (m, ..., 1) that its weights left out."""
    if curvature.shape[-1] != 1:
        return gram
    return gram * _swap_lead(curvature, 2)[..., None]


def map_statistics(function: Callable[..., np.ndarray], *parts: Statistics) -> Statistics:
    """Apply a function to the arrays that stand in the same place in all parts."""
    groups = tuple(
        GroupStatistics(
            tuple(function(*same) for same in zip(*(g.gradient for g in members), strict=True)),
            {key: function(*(g.curvature[key] for g in members)) for key in members[0].curvature},
        )
        for members in zip(*(part.groups for part in parts), strict=True)
    )
    return Statistics(
        function(*(part.log_likelihood for part in parts)),
        function(*(part.excess for part in parts)),
        function(*(part.node_mass for part in parts)),
        tuple(function(*same) for same in zip(*(p.gate_gradient for p in parts), strict=True)),
        tuple(function(*same) for same in zip(*(p.gate_pairs for p in parts), strict=True)),
        groups,
    )


def add_statistics(parts: Sequence[Statistics]) -> Statistics:
    """Sum the statistics of several blocks, in order."""
    return parts[0] if len(parts) == 1 else map_statistics(_total, *parts)


def _total(*arrays: np.ndarray) -> np.ndarray:
    return reduce(np.add, arrays)


def flat_gradient(model: Model, stats: Statistics) -> np.ndarray:
    """Return the gradient of log-likelihood plus excess in the flat vector, (..., n_flat)."""
    return flatten_slots(
        [*stats.gate_gradient, *(stats.groups[g].gradient[h] for g, h in model.slot_heads)]
    )


def weighted_grams(
    designs: Sequence[np.ndarray], requests: Sequence[GramRequest]
) -> list[np.ndarray]:
    """Return ``X_a diag(w) X_b'`` for all weights, those of like designs in one product.

    Parameters
    ----------
    designs : sequence of ndarray of shape (p, rows)
    requests : sequence of (int, int, ndarray of shape (m, ..., rows))
        Two designs, and weights for the Gram matrices between them.

    Returns
    -------
    list of ndarray of shape (..., m, p_a, p_b)
        One per request.
    """
    out: list[np.ndarray] = [np.empty(0)] * len(requests)
    by_designs: dict[tuple[int, int], list[int]] = {}
    for position, (a, b, _) in enumerate(requests):
        by_designs.setdefault((a, b), []).append(position)
    for (a, b), positions in by_designs.items():
        weights = [_narrow(requests[position][2]) for position in positions]
        stacked = weights[0] if len(weights) == 1 else np.concatenate(weights)
        grams = (
            _symmetric_grams(designs[a], stacked)
            if a == b
            else _rectangular_grams(designs[a], designs[b], stacked)
        )
        for position, part in zip(positions, _split_like(grams, weights), strict=True):
            lead = requests[position][2].shape[:-1]
            out[position] = _swap_lead(part.reshape(*lead, *part.shape[1:]), 3)
    return out


def _narrow(array: np.ndarray) -> np.ndarray:
    """Return a view with all axes before the last in one."""
    return array.reshape(math.prod(array.shape[:-1]), array.shape[-1])


def _symmetric_grams(features: np.ndarray, weights: np.ndarray) -> np.ndarray:
    p, rows = features.shape
    if p == 1:
        return (weights @ (features * features).T)[:, :, None]
    m, n_products, size = len(weights), p * (p + 1) // 2, min(rows, PRODUCT_ROWS)
    if not few_columns(p, m):
        return np.stack([_weighted_gram(features, weight) for weight in weights])
    packed, part = np.zeros((m, n_products)), np.empty((m, n_products))
    scratch = np.zeros((m, size)), np.empty((n_products, size)), part
    kernels.packed_grams(features, np.ascontiguousarray(weights), *scratch, packed)
    return packed[:, unpacking(p)]


def _weighted_gram(features: np.ndarray, weight: np.ndarray) -> np.ndarray:
    if weight.min() < 0.0:  # of the observed information
        return (features * weight) @ features.T
    upper = blas.dsyrk(1.0, (features * np.sqrt(weight)).T, trans=1)
    return upper + upper.T - np.diag(np.diagonal(upper))


def _rectangular_grams(first: np.ndarray, second: np.ndarray, weights: np.ndarray) -> np.ndarray:
    if len(first) < len(second):
        return np.stack([weights @ (feature * second).T for feature in first], axis=1)
    return np.stack([weights @ (first * feature).T for feature in second], axis=2)
