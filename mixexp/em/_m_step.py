"""The M-step: new parameters from the sums of one pass. Pure functions.

Gates take a full Newton step per node, or one on Bohning's bound (majorize-minimize). Experts
solve for the increment of their location from the score, which is exact for a linear model and one
step of Fisher scoring (IRLS) for others, and doubles as iterative refinement; dispersions follow in
closed form or by a safeguarded Newton step. Several starts step at once: their systems are solved
in one call.
"""

from typing import NamedTuple

import numpy as np

from mixexp.contrast import contrast, null_directions
from mixexp.em._block_curvature import coarse_steps
from mixexp.em._grouped import ExpertSystem, grouped_gate_steps, grouped_location_aims
from mixexp.em._held import keep_held
from mixexp.em._inequalities import Inequalities, inequalities_of, solve_inside_each
from mixexp.em._linear_systems import (
    solve_semidefinite_each,
    solve_semidefinite_shared,
    solve_within_each,
)
from mixexp.em._objective import Evaluation, Problem
from mixexp.em._proximal import smooth_gradient, sparse_gate_step
from mixexp.em._reach import keep_gate_within_reach
from mixexp.em._tied import TiedExperts
from mixexp.gates import node_information
from mixexp.model import Model, Parameters, Prior

# A dispersion moves by at most e per Newton step, for its likelihood is far from quadratic.
_LARGEST_DISPERSION_STEP = 1.0
# A node's Newton step factors ((m - 1) q)**2 numbers; beyond this the bound is cheaper.
_MOST_NODE_PARAMETERS = 600


class Step(NamedTuple):
    """Proposals for the next parameters of several starts.

    Parameters
    ----------
    params : Parameters
        With one leading axis, as those that the step began at.
    is_deficient : ndarray of shape (n_starts,), bool
        Whether some coefficients were not determined by data and penalty.
    """

    params: Parameters
    is_deficient: np.ndarray


def em_step(problem: Problem, current: Evaluation, n_halvings: int, use_bound: bool) -> Step:
    """Return the parameters of the next EM iteration.

    Parameters
    ----------
    problem : Problem
    current : Evaluation
        Of parameters with one leading axis.
    n_halvings : int
        How often steps that may overshoot are halved; closed-form ones are not.
    use_bound : bool
        Whether gates step on Bohning's bound, which cannot overshoot.
    """
    model, length = problem.model, 0.5**n_halvings
    deficient = np.zeros(len(current.gradient), dtype=bool)
    gates, experts = [], []
    is_grouped = model.penalty.gate_l1 > 0.0 and model.penalty.gate_l1_groups
    if is_grouped:
        bounded = [use_bound or is_large_node(model, slot) for slot in range(len(model.gates))]
        gates = grouped_gate_steps(problem, current, length, bounded)
    for slot in range(0 if is_grouped else len(model.gates)):
        if model.penalty.gate_l1 > 0.0:
            on_bound = use_bound or is_large_node(model, slot)
            gates.append(sparse_gate_step(problem, current, slot, length, on_bound))
            continue
        gate, is_deficient = _gate_step(problem, current, slot, length, use_bound)
        gates.append(gate)
        deficient = deficient | is_deficient
    gates = [keep_gate_within_reach(model, slot, gate) for slot, gate in enumerate(gates)]
    has_groups = model.penalty.l1 > 0.0 and model.penalty.l1_groups
    aims = _grouped_aims(model, current, length) if has_groups else None
    for g in range(len(model.groups)):
        heads, is_deficient = _expert_step(model, current, g, length, aims)
        experts.append(heads)
        deficient = deficient | is_deficient
    parts = zip(model.others, current.params.others, current.stats.others, strict=True)
    others = tuple(other.m_step(own, sums) for other, own, sums in parts)
    proposed = Parameters(tuple(gates), tuple(experts), others)
    if model.held:
        proposed = keep_held(model, current.params, proposed)
    return Step(proposed, deficient)


def is_large_node(model: Model, slot: int) -> bool:
    """Whether some gate of a slot has too many parameters for Newton's step."""
    most = max(model.gates[slot].n_siblings, default=0)
    return most * model.slot_shapes[slot][1] > _MOST_NODE_PARAMETERS


def _gate_step(
    problem: Problem, current: Evaluation, slot: int, length: float, use_bound: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return the coefficients of the gates of a slot, and whether some were not determined."""
    model, gates, gate = problem.model, problem.model.gates[slot], current.params.gates[slot]
    at, first = model.slot_slices[slot], model.flat_index(slot, 0)
    gradient = current.gradient[:, at].reshape(gate.shape)
    idle = model.flat_idle[first]
    ridge = model.prior.strength[first] + idle
    prior = current.penalty.majorizer[:, at].reshape(gate.shape) + idle
    out, deficient = gate.copy(), np.zeros(len(gate), dtype=bool)
    for m, edges, pairs in zip(gates.n_siblings, gates.spans, gates.pair_spans, strict=True):
        if m == 1:
            continue
        free = _free_of_node(model, slot, edges, m)
        if free is not None and free.shape[1] == 0:  # it is known
            continue
        inside = _inequalities_of_node(model, slot, edges, m, gate)
        is_ruled = free is not None or inside is not None
        own, is_deficient = (gradient[:, edges], prior[:, edges]), np.zeros(len(gate), dtype=bool)
        if is_ruled and use_bound:
            blocks = _bound_of_pairs(problem.gate_gram(gates.design), m, len(gate))
            step, is_deficient = _newton_step(blocks, *own, free, inside)
        elif not use_bound and not model.tree.has_pairs(m):
            blocks = current.stats.gate_pairs[slot][:, pairs]
            step = length * coarse_steps(blocks, *own)
        elif not is_ruled and (use_bound or (m - 1) * gate.shape[-1] > _MOST_NODE_PARAMETERS):
            gram = problem.gate_gram(gates.design)
            step, is_deficient = _bound_step(gram, gradient[:, edges], ridge)
        else:
            blocks = current.stats.gate_pairs[slot][:, pairs]
            step, is_deficient = _newton_step(blocks, *own, free, inside)
            step *= length
        out[:, edges] += step
        deficient |= is_deficient
    return out, deficient


def _bound_of_pairs(gram: np.ndarray, m: int, n_starts: int) -> np.ndarray:
    """Return the blocks of pairs of siblings of which `_bound_step`'s bound is the Laplacian."""
    return np.broadcast_to(0.5 * gram / m, (n_starts, m * (m - 1) // 2, *gram.shape))


def _free_of_node(model: Model, slot: int, edges: slice, m: int) -> np.ndarray | None:
    """Return the contrasts of a gate that linear restrictions leave, None if it has none.

    Returns
    -------
    ndarray of shape ((m - 1) * q, n_free), or None
    """
    if model.ties is None or model.ties.rows is None:
        return None
    q = model.slot_shapes[slot][1]
    start = model.slot_slices[slot].start
    rows = model.ties.rows[:, start + edges.start * q : start + edges.stop * q]
    return null_directions(rows @ np.kron(contrast(m), np.eye(q))) if rows.any() else None


def _inequalities_of_node(
    model: Model, slot: int, edges: slice, m: int, gate: np.ndarray
) -> Inequalities | None:
    """Return the inequalities of a gate in its contrasts, None if it has none."""
    if model.ties is None:
        return None
    q = model.slot_shapes[slot][1]
    numbers = model.slot_slices[slot].start + np.arange(edges.start * q, edges.stop * q)
    inside = inequalities_of(model.ties, numbers, gate[:, edges].reshape(len(gate), -1))
    if inside is None:
        return None
    return inside._replace(rows=inside.rows @ np.kron(contrast(m), np.eye(q)))


def _newton_step(
    pairs: np.ndarray,
    gradient: np.ndarray,
    prior: np.ndarray,
    free: np.ndarray | None = None,
    inside: Inequalities | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    n_starts, m, q = gradient.shape
    basis = contrast(m)
    information = node_information(pairs, m)
    by_feature = information.reshape(n_starts, m - 1, q, m - 1, q)
    np.einsum("sajbj->sjab", by_feature)[...] += np.einsum("ea,sej,eb->sjab", basis, prior, basis)
    right = (basis.T @ gradient).reshape(n_starts, (m - 1) * q)
    if free is not None:
        information, right = free.T @ information @ free, right @ free
    if inside is None:
        solutions = solve_semidefinite_each(information, right)
    else:
        rows = inside.rows if free is None else inside.rows @ free
        ends = np.full(right.shape[1], -np.inf), np.full(right.shape[1], np.inf)
        inside = inside._replace(rows=rows)
        solutions = solve_inside_each(information, right, np.zeros_like(right), ends, inside)
    step = solutions.x if free is None else solutions.x @ free.T
    return basis @ step.reshape(n_starts, m - 1, q), solutions.is_deficient


def _bound_step(
    gram: np.ndarray, gradient: np.ndarray, ridge: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Step where the Hessian's bound is largest: Bohning (1992), theorem 1.

    ``1/2 (I - 11'/m)`` times the Gram matrix with full row weights bounds the Hessian of a
    multinomial logit, so that one small matrix serves all children and the objective rises.
    """
    centred = gradient - gradient.mean(axis=1, keepdims=True)
    solutions = solve_semidefinite_shared(0.5 * gram + np.diag(ridge), centred)
    return solutions.x, np.logical_or.reduce(solutions.is_deficient, axis=-1)


def _add_to_diagonals(matrices: np.ndarray, values: np.ndarray) -> None:
    np.einsum("...ii->...i", matrices)[...] += values


def _grouped_aims(model: Model, current: Evaluation, length: float) -> np.ndarray:
    """Return where locations that a penalty groups go, (n_starts, n_flat).

    A share of the way, for all experts alike, unless each has its maximum in closed form.
    """
    systems = []
    for g, group in enumerate(model.groups):
        blocks = current.stats.groups[g].curvature
        location = [h for h, head in enumerate(group.family.heads) if head.kind == "location"]
        for coupled in _coupled_heads(location, blocks) if location else []:
            slots = [model.slot_of[g, h] for h in coupled]
            systems.append(ExpertSystem(slots, _location_curvature(blocks, coupled)))
    at = model.flatten(current.params)
    if not systems:
        return at
    aims = grouped_location_aims(model, current, systems, _by_expert)
    if all(group.family.has_mean_deviance_dispersion for group in model.groups):
        return aims
    return at + length * (aims - at)


def _expert_step(
    model: Model, current: Evaluation, g: int, length: float, aims: np.ndarray | None
) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
    group, coefs = model.groups[g], current.params.experts[g]
    slots = [model.slot_of[g, h] for h in range(len(coefs))]
    location = [h for h, at in enumerate(slots) if model.slot_facts[at].kind == "location"]
    is_closed_form = group.family.has_mean_deviance_dispersion
    out, deficient = [coef.copy() for coef in coefs], np.zeros(len(current.gradient), dtype=bool)
    gains = np.zeros((len(current.gradient), len(group.leaves)))
    for coupled in _coupled_heads(location, current.stats.groups[g].curvature):
        steps, gain, is_deficient = _location_steps(model, current, g, coupled, aims)
        for h, increment in zip(coupled, steps, strict=True):
            is_whole = is_closed_form or aims is not None
            out[h] += increment if is_whole else length * increment
        gains += gain
        deficient |= is_deficient
    lower, upper = model.flat_bounds
    for h, slot in enumerate(slots):
        if h in location or model.slot_facts[slot].known_log_dispersion is not None:
            pass
        elif _has_closed_form(model, g, h):
            out[h] = _mean_deviance_dispersion(model, current, g, h, gains)
        else:
            out[h] = _newton_dispersion(model, current, g, h, length)
        # Rounding of a step that ends at a bound, the closed form, and what is known.
        at, shape = model.slot_slices[slot], model.slot_shapes[slot]
        out[h] = np.clip(out[h], lower[at].reshape(shape), upper[at].reshape(shape))
    return tuple(out), deficient


def has_limited_steps(model: Model) -> bool:
    """Whether some expert has a dispersion or shape to be found that has no closed form."""
    return any(
        model.slot_facts[slot].kind != "location"
        and model.slot_facts[slot].known_log_dispersion is None
        and not _has_closed_form(model, g, h)
        for (g, h), slot in model.slot_of.items()
    )


def _has_closed_form(model: Model, g: int, h: int) -> bool:
    """Whether a dispersion is the mean deviance, and needs no limited steps towards it."""
    group = model.groups[g]
    return group.family.has_mean_deviance_dispersion and bool(model.is_narrow[group.designs[h]])


def _coupled_heads(
    location: list[int], curvature: dict[tuple[int, int], np.ndarray]
) -> list[list[int]]:
    """Return the location heads that are to be solved for together: all, or each alone."""
    if any(a != b for a, b in curvature):
        return [location]
    return [[h] for h in location]


def _location_steps(
    model: Model, current: Evaluation, g: int, location: list[int], aims: np.ndarray | None
) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Return increments per head, by how much they lower scaled deviances, and deficiency."""
    slots = [model.slot_of[g, h] for h in location]
    curvature = _location_curvature(current.stats.groups[g].curvature, location)
    penalised = curvature.copy()
    prior = current.penalty.majorizer + model.flat_idle
    has_l1 = model.penalty.l1 > 0.0
    smooth = smooth_gradient(model, current) if has_l1 else current.gradient
    together = np.stack([prior, smooth, current.penalty.gradient])
    bend, gradient, prior_gradient = _by_expert(model, together, slots)
    _add_to_diagonals(penalised, bend)
    flat = np.concatenate([current.params.experts[g][h] for h in location], axis=-1)
    lower, upper = _by_expert(model, np.stack(model.flat_bounds), slots)
    # Bounds on slopes are met exactly by coordinate descent, as an L1 penalty is.
    by_coordinates = has_l1 or (model.ties is not None and model.ties.lower is not None)
    l1 = _by_expert(model, model.prior.l1, slots) if by_coordinates else None
    if aims is not None:
        steps = _by_expert(model, aims, slots) - flat
        deficient = np.zeros(flat.shape[:2], dtype=bool)
    elif model.ties is None and l1 is not None:
        aim = Prior.prox(penalised, gradient, l1, (lower, upper), flat)
        steps, deficient = aim - flat, np.zeros(flat.shape[:2], dtype=bool)
    elif model.ties is None:
        steps, deficient = solve_within_each(penalised, gradient, flat, (lower[0], upper[0]))
    else:
        own = _by_expert(model, np.arange(model.n_flat), slots).ravel()
        tied = TiedExperts.of(model.ties, own, flat, (lower, upper))
        steps, deficient = tied.solve(penalised, gradient, l1)
    data_gradient = gradient - prior_gradient
    gains = np.zeros(steps.shape[:-1])
    if model.groups[g].family.has_mean_deviance_dispersion:  # nothing else has a use for them
        bent = (curvature @ steps[..., None])[..., 0]
        gains = ((2.0 * data_gradient - bent) * steps).sum(axis=-1)
    p = steps.shape[-1] // len(location)
    by_head = [steps[..., a * p : (a + 1) * p] for a in range(len(location))]
    return by_head, gains, np.logical_or.reduce(deficient, axis=-1)


def _location_curvature(
    blocks: dict[tuple[int, int], np.ndarray], location: list[int]
) -> np.ndarray:
    """Put the blocks of coupled heads together, shape (..., n_group, p_all, p_all)."""
    if len(location) == 1:
        return blocks[location[0], location[0]]
    p = blocks[location[0], location[0]].shape[-1]
    lead = blocks[location[0], location[0]].shape[:-2]
    out = np.zeros((*lead, p * len(location), p * len(location)))
    for a in range(len(location)):
        for b in range(a, len(location)):
            block = blocks.get((location[a], location[b]))
            if block is not None:
                first, second = slice(a * p, (a + 1) * p), slice(b * p, (b + 1) * p)
                out[..., first, second] = block
                out[..., second, first] = np.swapaxes(block, -2, -1)
    return out


def _by_expert(model: Model, flat: np.ndarray, slots: list[int]) -> np.ndarray:
    """Return the part of flat vectors that belongs to some heads, (..., n_group, p_all)."""
    lead = flat.shape[:-1]
    parts = [flat[..., model.slot_slices[s]].reshape(*lead, *model.slot_shapes[s]) for s in slots]
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=-1)


def _mean_deviance_dispersion(
    model: Model, current: Evaluation, g: int, h: int, gains: np.ndarray
) -> np.ndarray:
    """Return log dispersions that are the mean deviance at the new location.

    The sums of squares are those of residuals at the current location, less what the step
    takes off; both in units of the current dispersion, so nothing large cancels.
    """
    group = model.groups[g]
    slot = model.slot_of[g, h]
    log_dispersion = current.params.experts[g][h][..., 0]
    mass = current.stats.node_mass[..., model.tree.leaves[group.leaves]]
    score = current.stats.groups[g].gradient[h][..., 0]
    deviance = np.maximum(2.0 * score + mass - gains, 0.0)
    if model.slot_facts[slot].is_shared:
        deviance = deviance.sum(axis=-1, keepdims=True)
        mass = mass.sum(axis=-1, keepdims=True)
    pseudo_rows = model.prior.dispersion_rows(slot)
    move = _log_ratio(deviance, mass)
    if pseudo_rows > 0.0:
        away = group.prior_log_dispersion - log_dispersion
        move = model.prior.prox_of_dispersion(move, mass / pseudo_rows, away)
    # An expert without rows or prior keeps its dispersion.
    has_moved = mass + pseudo_rows > np.finfo(float).tiny
    return (log_dispersion + np.where(has_moved, move, 0.0))[..., None]


def _log_ratio(deviance: np.ndarray, mass: np.ndarray) -> np.ndarray:
    tiny = np.finfo(float).tiny
    return np.log(np.maximum(deviance, tiny)) - np.log(np.maximum(mass, tiny))


def _newton_dispersion(
    model: Model, current: Evaluation, g: int, h: int, length: float
) -> np.ndarray:
    """Return coefficients of a dispersion or shape head after one clipped Newton step."""
    slot = model.slot_of[g, h]
    coef = current.params.experts[g][h]
    gradient = _by_expert(model, current.gradient, [slot])
    penalised = current.stats.groups[g].curvature[h, h].copy()
    _add_to_diagonals(penalised, _by_expert(model, current.penalty.majorizer, [slot]))
    if model.slot_facts[slot].is_shared:
        gradient = gradient.sum(axis=-2, keepdims=True)
        penalised = penalised.sum(axis=-3, keepdims=True)
    bounds = tuple(bound[model.flat_index(slot, 0)] for bound in model.flat_bounds)
    at = coef[..., : gradient.shape[-2], :]
    step = solve_within_each(penalised, gradient, at, (bounds[0], bounds[1])).x
    largest = np.abs(step).max(axis=-1, keepdims=True, initial=0.0)
    step *= length * np.minimum(1.0, _LARGEST_DISPERSION_STEP / np.maximum(largest, 1e-300))
    return coef + step
