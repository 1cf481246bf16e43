"""M-steps with an L1 penalty on groups: all experts, or all gates, step together.

The quadratic models are those of `_m_step`, one block per expert, and per node in contrast
coordinates; the penalty on the norm of a column's slopes reaches over them (`ColumnGroups.prox`).
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from mixexp.contrast import contrast
from mixexp.em._objective import Evaluation, Problem
from mixexp.em._proximal import smooth_gradient
from mixexp.gates import node_information
from mixexp.model import Blocks, ColumnGroups, Model, join_blocks


class ExpertSystem(NamedTuple):
    """Quadratic models of the location heads of a group of experts that are coupled.

    Parameters
    ----------
    slots : list of int
        Of the heads.
    curvature : ndarray of shape (n_starts, n_group, p_all, p_all)
        Of the log-likelihood.
    """

    slots: list[int]
    curvature: np.ndarray


def grouped_location_aims(
    model: Model,
    current: Evaluation,
    systems: Sequence[ExpertSystem],
    by_expert: Callable[[Model, np.ndarray, list[int]], np.ndarray],
) -> np.ndarray:
    """Return coefficients with all locations at the top of their joint model, (n_starts, n_flat).

    Parameters
    ----------
    model : Model
    current : Evaluation
        With one leading axis.
    systems : sequence of ExpertSystem
        Of all families.
    by_expert : callable
        Returns the part of flat vectors that belongs to some slots, (..., n_group, p_all).
    """
    groups = model.prior.groups
    assert groups is not None
    flat = model.flatten(current.params)
    smooth, prior = smooth_gradient(model, current), current.penalty.majorizer + model.flat_idle
    blocks = []
    for slots, curvature in systems:
        matrices = curvature.copy()
        np.einsum("...ii->...i", matrices)[...] += by_expert(model, prior, slots)
        vectors = [by_expert(model, part, slots) for part in (smooth, flat)]
        rest = [by_expert(model, part, slots) for part in (groups.label, *model.flat_bounds)]
        blocks.append(Blocks(matrices, *vectors, *rest))
    aims = groups.prox(join_blocks(blocks))
    out, at = flat.copy(), 0
    for slots, _ in systems:
        places = by_expert(model, np.arange(model.n_flat), slots)
        n_experts, p = places.shape
        out[:, places] = aims[:, at : at + n_experts, :p]
        at += n_experts
    return out


def grouped_gate_steps(
    problem: Problem, current: Evaluation, length: float, on_bound: Sequence[bool]
) -> list[np.ndarray]:
    """Return the coefficients of all gates after a proximal step.

    Parameters
    ----------
    problem : Problem
    current : Evaluation
    length : float
        Share of Newton's step that is taken; of steps on the bound all is.
    on_bound : sequence of bool
        Whether the gates of each slot step on Bohning's bound.
    """
    model, groups = problem.model, problem.model.prior.groups
    assert groups is not None
    flat = model.flatten(current.params)
    nodes = [
        (slot, m, edges, pairs)
        for slot, gates in enumerate(model.gates)
        for m, edges, pairs in zip(gates.n_siblings, gates.spans, gates.pair_spans, strict=True)
        if m > 1
    ]
    if nodes:
        blocks = [
            _node_block(problem, current, groups, (slot, m, edges, pairs), on_bound[slot])
            for slot, m, edges, pairs in nodes
        ]
        share = 1.0 if all(on_bound) else length
        joined = join_blocks(blocks)
        aims = joined.coef + share * (groups.prox(joined) - joined.coef)
        for at, (slot, m, edges, _) in enumerate(nodes):
            q = model.slot_shapes[slot][1]
            free = aims[:, at, : (m - 1) * q].reshape(-1, m - 1, q)
            own = flat[:, model.slot_slices[slot]].reshape(len(flat), -1, q)
            own[:, edges] = contrast(m) @ free
            flat[:, model.slot_slices[slot]] = own.reshape(len(flat), -1)
    settled = model.prior.settle_gates(flat)
    return [
        settled[:, model.slot_slices[slot]].reshape(gate.shape)
        for slot, gate in enumerate(current.params.gates)
    ]


def _node_block(
    problem: Problem,
    current: Evaluation,
    groups: ColumnGroups,
    node: tuple[int, int, slice, slice],
    on_bound: bool,
) -> Blocks:
    """Return the quadratic model of a node in contrast coordinates, as one block."""
    model, (slot, m, edges, pairs) = problem.model, node
    at, gate = model.slot_slices[slot], current.params.gates[slot]
    n_starts, q, basis = len(gate), gate.shape[-1], contrast(m)
    if on_bound:
        half = np.kron(np.eye(m - 1), 0.5 * problem.gate_gram(model.gates[slot].design))
        matrices = np.repeat(half[None], n_starts, axis=0)
    else:
        matrices = node_information(current.stats.gate_pairs[slot][:, pairs], m)
    prior = (current.penalty.majorizer[:, at] + model.flat_idle[at]).reshape(gate.shape)
    by_feature = matrices.reshape(n_starts, m - 1, q, m - 1, q)
    np.einsum("sajbj->sjab", by_feature)[...] += np.einsum(
        "ea,sej,eb->sjab", basis, prior[:, edges], basis
    )
    slopes = smooth_gradient(model, current)[:, at].reshape(gate.shape)[:, edges]
    size = (m - 1) * q
    label = np.tile(groups.label[at].reshape(-1, q)[edges.start], m - 1)[None]
    return Blocks(
        matrices[:, None],
        (basis.T @ slopes).reshape(n_starts, 1, size),
        (basis.T @ gate[:, edges]).reshape(n_starts, 1, size),
        label,
        np.full((1, size), -np.inf),
        np.full((1, size), np.inf),
    )
