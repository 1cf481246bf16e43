"""EM's curvature at a point, factored block by block: each gate's, and each expert's."""

from typing import NamedTuple

import numpy as np

from mixexp.contrast import contrast
from mixexp.em._objective import Evaluation
from mixexp.gates import node_information
from mixexp.model import Model

# What is added to the curvature of each child of a coarse gate, as a share of the mean, and of the
# largest of a block on its diagonal, so that none is singular.
_LEAST_BEND, _FAINTEST = 1e-2, 1e-10


class _Expert(NamedTuple):
    """Places of the coefficients of a family's experts, (leaves, p), and the inverse of each."""

    at: np.ndarray
    inverse: np.ndarray


class _Gate(NamedTuple):
    """Places of a gate's coefficients, (m, q), and the inverse of its curvature.

    In contrasts, ((m - 1) * q, (m - 1) * q); of a coarse gate that of each child, (m, q, q).
    """

    at: np.ndarray
    inverse: np.ndarray
    is_coarse: bool


def has_blocks(model: Model) -> bool:
    """Whether EM's curvature has a block for each gate and expert: nothing is tied or shared."""
    is_free = model.is_linear and model.ties is None
    return is_free and not any(own.is_shared for own in model.slot_facts)


class BlockCurvature:
    """The inverse of EM's curvature, that of the prior included.

    Parameters
    ----------
    model : Model
        Of linear predictors; no coefficients are tied or shared.
    current : Evaluation
        Of one start, without a leading axis.
    """

    def __init__(self, model: Model, current: Evaluation) -> None:
        prior = current.penalty.majorizer + model.flat_idle
        self._gates = [
            _gate_inverse(model, current, slot, prior, node)
            for slot, own in enumerate(model.gates)
            for node, m in enumerate(own.n_siblings)
            if m > 1
        ]
        self._experts = [
            _expert_inverses(model, current, g, prior)
            for g, group in enumerate(model.groups)
            if group.designs
        ]

    def solve(self, gradient: np.ndarray) -> np.ndarray:
        """Return EM's step, but for closed forms, for a gradient of shape (n_flat,)."""
        step = np.zeros_like(gradient)
        for gate in self._gates:
            step[gate.at] = _solve_gate(gate, gradient[gate.at])
        for expert in self._experts:
            step[expert.at] = (expert.inverse @ gradient[expert.at][..., None])[..., 0]
        return step


def coarse_steps(blocks: np.ndarray, gradient: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """Return the steps of a coarse gate, (..., m, q), see `GatingTree.coarse`.

    The maximum over steps that sum to zero. A share of the mean block is added to each, for a
    child that is next to never chosen bends next to nothing, and would be sent as far as no number
    goes.

    Parameters
    ----------
    blocks : ndarray of shape (..., m, q, q)
    gradient, prior : ndarray of shape (..., m, q)
    """
    return _sum_to_zero(_child_inverses(blocks, prior), gradient)


def _child_inverses(blocks: np.ndarray, prior: np.ndarray) -> np.ndarray:
    return _inverses(blocks + _LEAST_BEND * blocks.mean(axis=-3, keepdims=True), prior)


def _sum_to_zero(inverse: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """Return ``inverse_a (gradient_a - shift)`` per child, so that their sum is zero."""
    own = (inverse @ gradient[..., None])[..., 0]
    shift = np.linalg.solve(inverse.sum(axis=-3), own.sum(axis=-2)[..., None])
    step = own - (inverse @ shift[..., None, :, :])[..., 0]
    return np.asarray(step - step.mean(axis=-2, keepdims=True))


def _inverses(blocks: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """Return the inverses of matrices (..., p, p) with something added to each diagonal."""
    bent = blocks.copy()
    diagonal = np.einsum("...ii->...i", bent)
    diagonal += prior
    diagonal += np.maximum(_FAINTEST * diagonal.max(axis=-1, keepdims=True), np.finfo(float).tiny)
    return np.linalg.inv(bent)


def _gate_inverse(
    model: Model, current: Evaluation, slot: int, prior: np.ndarray, node: int
) -> _Gate:
    own, (_, q) = model.gates[slot], model.slot_shapes[slot]
    m, span = own.n_siblings[node], own.spans[node]
    first = model.slot_slices[slot].start + q * span.start
    at = first + np.arange(m * q).reshape(m, q)
    blocks = current.stats.gate_pairs[slot][own.pair_spans[node]]
    if not model.tree.has_pairs(m):
        return _Gate(at, _child_inverses(blocks, prior[at]), is_coarse=True)
    basis = contrast(m)
    information = node_information(blocks, m)
    by_feature = information.reshape(m - 1, q, m - 1, q)
    np.einsum("ajbj->jab", by_feature)[...] += np.einsum("ea,ej,eb->jab", basis, prior[at], basis)
    return _Gate(at, _inverses(information, np.zeros(len(information))), is_coarse=False)


def _solve_gate(gate: _Gate, gradient: np.ndarray) -> np.ndarray:
    if gate.is_coarse:
        return _sum_to_zero(gate.inverse, gradient)
    basis = contrast(len(gradient))
    step = gate.inverse @ (basis.T @ gradient).ravel()
    return np.asarray(basis @ step.reshape(-1, gradient.shape[1]))


def _expert_inverses(model: Model, current: Evaluation, g: int, prior: np.ndarray) -> _Expert:
    group = model.groups[g]
    slots = [model.slot_of[g, h] for h in range(len(group.designs))]
    widths = [model.slot_shapes[slot][1] for slot in slots]
    ends, n_leaves = np.cumsum([0, *widths]), len(group.leaves)
    blocks = np.zeros((n_leaves, ends[-1], ends[-1]))
    for (a, b), block in current.stats.groups[g].curvature.items():
        rows, columns = slice(ends[a], ends[a + 1]), slice(ends[b], ends[b + 1])
        blocks[:, rows, columns] = block
        blocks[:, columns, rows] = np.swapaxes(block, -1, -2)
    at = np.concatenate(
        [
            model.slot_slices[slot].start + np.arange(n_leaves * width).reshape(n_leaves, width)
            for slot, width in zip(slots, widths, strict=True)
        ],
        axis=1,
    )
    return _Expert(at, _inverses(blocks, prior[at]))
