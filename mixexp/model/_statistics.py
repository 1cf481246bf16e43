"""The pass: from parameters and a block of rows to the sums that an M-step needs.

Fisher's identity gives the gradient of the observed log-likelihood from responsibilities:
for a gate's child c of node v ``resp_c - resp_v * gate_c``, for an expert's head
``resp_k * score``. Every block of curvature is a Gram matrix of the features with some
weight per row, and all of them are one matrix product.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import reduce
from typing import NamedTuple

import numpy as np

from mixexp import kernels
from mixexp.data import Block, Design
from mixexp.experts import Derivatives
from mixexp.model._balance import NO_PAIRS, SiblingPairs, add_balance, balance_value
from mixexp.model._e_step import (
    allocate,
    evaluate_experts,
    gate_logits,
    gate_probabilities,
    linear_predictors,
    log_evidence,
    wide,
)
from mixexp.model._grams import GramRequest, narrow, swap_lead, weighted_grams
from mixexp.model._model import Model
from mixexp.model._parameters import Parameters, flatten_slots
from mixexp.model._sums import GroupStatistics, HeadSums, sum_heads
from mixexp.tree import GatingTree

# What adds up over the heads of a block: from the model, the block, gates, responsibilities of
# nodes, derivatives, masses of nodes and weights of pseudo-rows.
SumHeads = Callable[
    [
        Model,
        Block,
        np.ndarray,
        np.ndarray,
        Sequence[Derivatives],
        np.ndarray,
        np.ndarray | None,
    ],
    HeadSums,
]

# From the leaves' responsibilities (n_leaves, ..., rows) to those to use in their place, and what
# the objective gains by it, (..., rows) or a number.
TransformResp = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray | float]]


class Statistics(NamedTuple):
    """Sums over rows: all that an EM step needs to know of the data.

    Parameters
    ----------
    log_likelihood : ndarray of shape (...)
        Of the parameters that the pass was given.
    objective_offset : ndarray of shape (...)
        What else the objective has that is a sum over rows: `balance_value`, `classify`.
    node_mass : ndarray of shape (..., n_nodes)
        Weighted responsibility of every node.
    gate_gradient : tuple of ndarray of shape (..., n_edges, q)
        Per group of gates.
    gate_pairs : tuple of ndarray of shape (..., n_pairs, q, q)
        ``X' diag(weight * resp * gate_a * gate_b) X`` by pair of siblings, per group of gates.
    groups : tuple of GroupStatistics
    others : tuple of ndarray of object of shape (...)
        Sums of each submodel of one's own.
    """

    log_likelihood: np.ndarray
    objective_offset: np.ndarray
    node_mass: np.ndarray
    gate_gradient: tuple[np.ndarray, ...]
    gate_pairs: tuple[np.ndarray, ...]
    groups: tuple[GroupStatistics, ...]
    others: tuple[np.ndarray, ...] = ()

    @property
    def head_sums(self) -> HeadSums:
        """What the heads of gates and experts contribute."""
        return HeadSums(self.gate_gradient, self.gate_pairs, self.groups)


def gradients_and_grams(
    model: Model,
    block: Block,
    gate: np.ndarray,
    node_weight: np.ndarray,
    derivatives: Sequence[Derivatives],
    mass: np.ndarray,
    pseudo_weight: np.ndarray | None,
) -> HeadSums:
    """Return gradients and curvature of all heads; node_weight may be overwritten."""
    sums = None
    if pseudo_weight is None:
        sums = sum_heads(model, block, gate, node_weight, derivatives, mass)
    if sums is None:
        sums = sum_by_head(model, block, gate, node_weight, derivatives, pseudo_weight)
    return sums


def gradients_alone(
    model: Model,
    block: Block,
    gate: np.ndarray,
    node_weight: np.ndarray,
    derivatives: Sequence[Derivatives],
    mass: np.ndarray,
    pseudo_weight: np.ndarray | None,
) -> HeadSums:
    """Return gradients of all heads without curvature: one product per design, O(rows * p)."""
    residual, _ = _weigh_gates(model, block, gate, node_weight, pseudo_weight, NO_PAIRS)
    leaf_weight = node_weight[model.tree.leaf_rows]
    designs = [model.design(block, design) for design in range(len(model.designs))]
    return HeadSums(
        _gate_gradients(model, residual, designs),
        (),
        tuple(
            GroupStatistics(_head_gradients(leaf_weight[rows], d, group.designs, designs), {})
            for group, rows, d in zip(model.groups, model.group_rows, derivatives, strict=True)
        ),
    )


def em_statistics(
    model: Model,
    params: Parameters,
    block: Block,
    transform_resp: TransformResp | None = None,
    pseudo_weight: np.ndarray | None = None,
    sum_all: SumHeads = gradients_and_grams,
) -> Statistics:
    """Pass once over a block: log-likelihood, gradient and EM curvature.

    Parameters
    ----------
    model : Model
    params : Parameters
    block : Block
    transform_resp : callable, optional
        Takes the leaves' responsibilities, shape (n_leaves, ..., rows), and returns those to use
        in their place with what the objective gains by it, per row.
    pseudo_weight : ndarray of shape (rows,), optional
        Weight of pseudo-rows that belong to all children of a gate in equal shares.
    sum_all : callable
        What is to be summed over heads.

    Returns
    -------
    Statistics

    Notes
    -----
    Costs O(rows * (K + n_pairs) * p**2 / 2) in one matrix product, and 2 K exponentials
    per row in a flat model.
    """
    eta = linear_predictors(model, params, block)
    log_density, derivatives = evaluate_experts(model, params, eta, block)
    logits = gate_logits(model, params, eta, block)
    starts = None if block.known.groups is None else block.group_starts
    found = allocate(model.tree, logits, log_density, starts)
    node_weight, excess = found.node_resp, np.zeros(found.log_density.shape[:-1])
    if transform_resp is not None:
        resp, gain = transform_resp(node_weight[model.tree.leaf_rows])
        node_weight = np.tensordot(model.tree.covers.astype(float), resp, axes=1)
        excess = np.broadcast_to(gain, found.log_density.shape) @ block.gate_weight
    if model.others:
        excess = excess + log_evidence(model, logits, block)
    mass = node_weight @ block.known.weight
    others = tuple(
        other.statistics(
            own,
            model.view(other, block),
            node_weight[other.nodes] * (block.gate_weight if other.is_gate else block.weight),
        )
        for other, own in zip(model.others, params.others, strict=True)
    )
    if pseudo_weight is not None:
        _, shifted, log_total = gate_probabilities(model.tree, logits, logits.shape[-1])
        excess = excess + balance_value(model.tree, shifted, log_total, pseudo_weight)
    sums = sum_all(model, block, found.gate, node_weight, derivatives, mass, pseudo_weight)
    log_likelihood = found.log_density @ block.known.weight
    return Statistics(log_likelihood, excess, mass.T, *sums, others)


def sum_by_head(
    model: Model,
    block: Block,
    gate: np.ndarray,
    node_weight: np.ndarray,
    derivatives: Sequence[Derivatives],
    pseudo_weight: np.ndarray | None,
) -> HeadSums:
    """Return what `sum_heads` does, whatever features heads see; node_weight is overwritten."""
    pairs = model.tree.sibling_pairs
    residual, pair_weight = _weigh_gates(model, block, gate, node_weight, pseudo_weight, pairs)
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
        _gate_gradients(model, residual, designs),
        tuple(next(grams) for _ in model.gates),
        tuple(
            _group_statistics(leaf_weight[rows], d, group.designs, designs, grams)
            for group, rows, d in zip(model.groups, model.group_rows, derivatives, strict=True)
        ),
    )


def _weigh_gates(
    model: Model,
    block: Block,
    gate: np.ndarray,
    node_weight: np.ndarray,
    pseudo_weight: np.ndarray | None,
    pairs: SiblingPairs,
) -> tuple[np.ndarray, np.ndarray]:
    """Weigh the gates' sums; node_weight is multiplied by sample weights, in place."""
    residual, pair_weight = _gate_weights(model.tree, gate, node_weight, block.weight, pairs)
    is_first = block.is_first
    if is_first is not None:
        residual *= is_first
        pair_weight *= is_first
    if pseudo_weight is None:
        return residual, pair_weight
    return add_balance(model.tree, gate, pseudo_weight, residual, pair_weight, pairs)


def _gate_weights(
    tree: GatingTree,
    gate: np.ndarray,
    node_weight: np.ndarray,
    weight: np.ndarray,
    pairs: SiblingPairs,
) -> tuple[np.ndarray, np.ndarray]:
    """Multiply responsibilities by sample weights, in place, and weigh the gates' sums."""
    pair_a, pair_b = pairs
    residual = np.empty_like(gate)
    pair_weight = np.empty((len(pair_a), *gate.shape[1:]))
    kernels.gate_weights(
        wide(gate),
        wide(node_weight),
        weight,
        tree.parent,
        pair_a,
        pair_b,
        wide(residual),
        wide(pair_weight),
    )
    return residual, pair_weight


def _gate_gradients(
    model: Model, residual: np.ndarray, designs: Sequence[Design]
) -> tuple[np.ndarray, ...]:
    if not len(model.tree.sibling_pairs[0]):  # nothing to choose from
        shapes = [(len(own.edges), len(model.designs[own.design])) for own in model.gates]
        return tuple(np.zeros((*residual.shape[1:-1], *shape)) for shape in shapes)
    return tuple(_gradient(residual[own.edge_rows], designs[own.design]) for own in model.gates)


def _gradient(residual: np.ndarray, design: Design) -> np.ndarray:
    """Return sums of (heads, ..., rows) times features (p, rows), shape (..., heads, p)."""
    sums = design.adjoint(narrow(residual))
    return swap_lead(sums.reshape(*residual.shape[:-1], design.shape[0]), 2)


def _group_statistics(
    weight: np.ndarray,
    derivatives: Derivatives,
    head_designs: tuple[int, ...],
    designs: Sequence[Design],
    grams: Iterable[np.ndarray],
) -> GroupStatistics:
    gradient = _head_gradients(weight, derivatives, head_designs, designs)
    # zip asks for a pair of heads first, and so takes no Gram matrix too many.
    pairs = zip(derivatives.curvature.items(), grams, strict=False)
    return GroupStatistics(gradient, {pair: _scaled(gram, c) for (pair, c), gram in pairs})


def _head_gradients(
    weight: np.ndarray,
    derivatives: Derivatives,
    head_designs: tuple[int, ...],
    designs: Sequence[Design],
) -> tuple[np.ndarray, ...]:
    return tuple(
        _gradient(weight * score, designs[design])
        for score, design in zip(derivatives.score, head_designs, strict=True)
    )


def _scaled(gram: np.ndarray, curvature: np.ndarray) -> np.ndarray:
    """Multiply (..., m, p, p) by a curvature (m, ..., 1) that its weights left out."""
    if curvature.shape[-1] != 1:
        return gram
    return gram * swap_lead(curvature, 2)[..., None]


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
        function(*(part.objective_offset for part in parts)),
        function(*(part.node_mass for part in parts)),
        tuple(function(*same) for same in zip(*(p.gate_gradient for p in parts), strict=True)),
        tuple(function(*same) for same in zip(*(p.gate_pairs for p in parts), strict=True)),
        groups,
        tuple(function(*same) for same in zip(*(p.others for p in parts), strict=True)),
    )


def add_statistics(parts: Sequence[Statistics]) -> Statistics:
    """Sum the statistics of several blocks, in order."""
    return parts[0] if len(parts) == 1 else map_statistics(_total, *parts)


def _total(*arrays: np.ndarray) -> np.ndarray:
    return reduce(np.add, arrays)


def flat_gradient(model: Model, stats: Statistics) -> np.ndarray:
    """Return the gradient of log-likelihood plus excess in the flat vector, (..., n_flat)."""
    return flatten_slots(
        [*stats.gate_gradient, *(stats.groups[g].gradient[h] for g, h in model.slot_heads)],
        stats.log_likelihood.shape,
    )
