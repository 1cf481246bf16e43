"""Gradients of E[y | x] in coefficients (delta method) and in features (marginal effects).

The mean is ``M = sum_k prior_k mu_k``. Its slope in the logit of an edge from v to c is
``S_c - gate_c S_v`` with S the part of M from the experts below a node; in a head of expert k
it is ``prior_k dmu_k``. A feature moves all heads by its coefficients: through the experts'
heads it acts within experts, through the gates' it re-routes rows from one to another.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from mixexp.data import Block, RowBlocks
from mixexp.inference._scores import spread_over_features
from mixexp.model import Model, Parameters, predict_block

# Central differences: of means, with errors of 1e-11, and of their slopes, of 1e-7.
_STEP = 6e-6
_LONG_STEP = 1e-4
# Derivatives in the flat vector that are formed at a time: 32 MB.
_MOST_DERIVATIVES = 1 << 22


class MeanSlopes(NamedTuple):
    """The mean of y in rows, and its slopes.

    Parameters
    ----------
    mean : ndarray of shape (n_outcomes, rows)
        One outcome, or the probability of every class.
    by_head : ndarray of shape (n_heads, n_outcomes, rows)
        Derivative in each linear predictor, in the order of the slots.
    """

    mean: np.ndarray
    by_head: np.ndarray


class Effect(NamedTuple):
    """A quantity with its derivative in the flat vector.

    Parameters
    ----------
    value : ndarray of shape (n_outcomes, rows)
    gradient : ndarray of shape (n_flat, n_outcomes, rows)
    """

    value: np.ndarray
    gradient: np.ndarray


def mean_slopes(model: Model, params: Parameters, block: Block, slots: Sequence[int]) -> MeanSlopes:
    """Return the mean of y and its slopes in all linear predictors.

    Parameters
    ----------
    model : Model
    params : Parameters
    block : Block
    slots : sequence of int
        Those of experts that means depend on; slopes in others are zero.
    """
    tree, rows = model.tree, block.features.shape[1]
    model, shift = _without_shift(model)
    here = predict_block(model, params, block)
    parts = here.prior[:, None] * _by_outcome(here.mean)
    below = np.tensordot(tree.covers.astype(float), parts, axes=1)
    by_edge = below[1:] - here.gate[:, None] * below[tree.parent[1:]]
    found = [by_edge[:0], *(by_edge[gates.edges] for gates in model.gates)]
    for slot in model.expert_slots:
        g, _ = model.head_of(slot)
        leaves = model.groups[g].leaves
        slope = np.zeros((len(leaves), parts.shape[1], rows))
        if slot in slots:
            slope[:] = here.prior[leaves, None] * _mean_slope(model, params, block, slot)[leaves]
        found.append(slope)
    return MeanSlopes(parts.sum(axis=0) + shift, np.concatenate(found))


def _without_shift(model: Model) -> tuple[Model, float]:
    """Return a model whose means are less by a number, and that number.

    Slopes are as they were, but y of 1e9 give or take one leaves no digits to differences.
    """
    shift = next((group.shift for group in model.groups if group.shift != 0.0), 0.0)
    has_others = any(not other.is_gate for other in model.others)  # which know no shift
    if shift == 0.0 or has_others or any(group.family.uses_trials for group in model.groups):
        return model, 0.0
    groups = tuple(group._replace(shift=group.shift - shift) for group in model.groups)
    return replace(model, groups=groups), shift


def _by_outcome(mean: np.ndarray) -> np.ndarray:
    """Return experts' means as (n_leaves, n_outcomes, rows)."""
    return mean if mean.ndim == 3 else mean[:, None]


def _mean_slope(model: Model, params: Parameters, block: Block, slot: int) -> np.ndarray:
    """Return the derivative of the experts' means in their heads of one slot, by difference.

    That of a location, which moves y, is known.
    """
    (g, h), rows = model.head_of(slot), block.features.shape[1]
    if model.groups[g].units and model.groups[g].units[h].moves:
        return np.full((model.tree.n_leaves, 1, rows), model.groups[g].scale)
    intercepts = model.slots(params)[slot][:, 0]
    step = _STEP * max(1.0, float(np.abs(intercepts).max()))
    shifts = np.zeros(_n_heads(model))
    start = sum(n for n, _ in model.slot_shapes[:slot])
    shifts[start : start + model.slot_shapes[slot][0]] = step
    above = predict_block(model, _shift(model, params, shifts), block).mean
    below = predict_block(model, _shift(model, params, -shifts), block).mean
    return _by_outcome(above - below) / (2.0 * step)


def _n_heads(model: Model) -> int:
    return sum(n for n, _ in model.slot_shapes)


def _shift(model: Model, params: Parameters, shifts: np.ndarray) -> Parameters:
    """Return parameters with something added to every linear predictor, shape (n_heads,)."""
    moved, at = [slot.copy() for slot in model.slots(params)], 0
    for slot in moved:
        slot[:, 0] += shifts[at : at + len(slot)]
        at += len(slot)
    return model.from_slots(moved)._replace(others=params.others)


def moving_slots(model: Model, params: Parameters, block: Block) -> list[int]:
    """Return the slots of experts that means depend on: a variance moves none."""
    model, _ = _without_shift(model)
    return [
        slot
        for slot in model.expert_slots
        if np.any(_mean_slope(model, params, block, slot) != 0.0)
    ]


def pieces(blocks: RowBlocks, n_each: int) -> Iterator[Block]:
    """Yield the rows in parts for which n_each numbers per row are not too many."""
    size = max(1, _MOST_DERIVATIVES // max(n_each, 1))
    for block in blocks:
        for start in range(0, len(block.weight), size):
            yield block.take(slice(start, start + size))


def mean_effect(model: Model, params: Parameters, block: Block, slots: Sequence[int]) -> Effect:
    """Return the mean of y with its gradient."""
    found = mean_slopes(model, params, block, slots)
    return Effect(found.mean, spread_over_features(model, block, found.by_head))


class Slope(NamedTuple):
    """What one unit of a feature does to every linear predictor.

    Parameters
    ----------
    by_head : ndarray of shape (n_heads,)
    at : ndarray of shape (n_heads,), int
        Where its coefficient stands in the flat vector, -1 for heads that do not see it.
    unit : float
        Its standard deviation: flat coefficients are per so many units.
    """

    by_head: np.ndarray
    at: np.ndarray
    unit: float


def feature_slope(model: Model, params: Parameters, column: int, unit: float) -> Slope:
    """Return the slopes of all linear predictors in one column of X."""
    flat, at = model.flatten(params), []
    for slot, design in enumerate(model.slot_designs):
        place = np.flatnonzero(model.designs[design] == column + 1)
        for row in range(model.slot_shapes[slot][0]):
            start = model.flat_index(slot, row).start
            at.append(start + int(place[0]) if len(place) else -1)
    where = np.array(at)
    return Slope(np.where(where >= 0, flat[where], 0.0) / unit, where, unit)


def marginal_effects(
    model: Model, params: Parameters, block: Block, slots: Sequence[int], slope: Slope
) -> tuple[Effect, Effect]:
    """Return the derivative of the mean in a feature, within experts and by re-routing.

    Parameters
    ----------
    model, params, block, slots
        As for `mean_slopes`.
    slope : Slope

    Notes
    -----
    With b the slopes, ``effect = sum_h b_h M_h``; its gradient is that in b, plus the change of
    M's slopes along b, a central difference with errors of about 1e-7.
    """
    here = mean_slopes(model, params, block, slots)
    is_gate = np.arange(_n_heads(model)) < model.tree.n_edges
    found = []
    for part in (~is_gate, is_gate):
        along = np.where(part, slope.by_head, 0.0)
        gradient = spread_over_features(model, block, _bend(model, params, block, slots, along))
        sees = part & (slope.at >= 0)
        gradient[slope.at[sees]] += here.by_head[sees] / slope.unit
        found.append(Effect(np.tensordot(along, here.by_head, axes=1), gradient))
    return found[0], found[1]


def _bend(
    model: Model, params: Parameters, block: Block, slots: Sequence[int], along: np.ndarray
) -> np.ndarray:
    """Return the change of `MeanSlopes.by_head` per unit of a move of all linear predictors."""
    length = float(np.abs(along).max(initial=0.0))
    step = _LONG_STEP / length if length > 0.0 else 1.0  # no move, no change
    above = mean_slopes(model, _shift(model, params, step * along), block, slots)
    below = mean_slopes(model, _shift(model, params, -step * along), block, slots)
    return (above.by_head - below.by_head) / (2.0 * step)


def standard_errors(gradient: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """Return ``sqrt(g' V g)`` for gradients along the first axis."""
    flat = gradient.reshape(len(gradient), math.prod(gradient.shape[1:]))
    variance = np.einsum("ar,ar->r", flat, covariance @ flat)
    return np.sqrt(np.maximum(variance, 0.0)).reshape(gradient.shape[1:])
