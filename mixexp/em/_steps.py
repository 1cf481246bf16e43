"""One EM step: new parameters from the sums of one pass. Pure functions.

Gates take a full Newton step per node, or one on Bohning's bound. Experts solve for the
increment of their location from the score, which is exact for a linear model and one Fisher
step for others, and doubles as iterative refinement; dispersions follow in closed form or by
a safeguarded Newton step.
"""

from typing import NamedTuple

import numpy as np

from mixexp.contrast import contrast
from mixexp.em._problem import Evaluation, Problem
from mixexp.em._solve import solve_semidefinite, solve_within
from mixexp.gates import node_information
from mixexp.model import Model, Parameters, dispersion_pseudo_rows

# A dispersion moves by at most e per Newton step, for its likelihood is far from quadratic.
_LARGEST_DISPERSION_STEP = 1.0
# A node's Newton step factors ((m - 1) q)**2 numbers; beyond this the bound is cheaper.
_MOST_NODE_PARAMETERS = 600


class Step(NamedTuple):
    """A proposal for the next parameters.

    Parameters
    ----------
    params : Parameters
    is_deficient : bool
        Whether some coefficients were not determined by data and penalty.
    """

    params: Parameters
    is_deficient: bool


def em_step(problem: Problem, current: Evaluation, n_halvings: int, use_bound: bool) -> Step:
    """Return the parameters of the next EM iteration.

    Parameters
    ----------
    problem : Problem
    current : Evaluation
    n_halvings : int
        How often steps that may overshoot are halved; closed-form ones are not.
    use_bound : bool
        Whether gates step on Bohning's bound, which cannot overshoot.
    """
    model, length = problem.model, 0.5**n_halvings
    gate, gate_deficient = _gate_step(problem, current, length, use_bound)
    experts, deficient = [], gate_deficient
    for g in range(len(model.groups)):
        heads, is_deficient = _expert_step(model, current, g, length)
        experts.append(heads)
        deficient = deficient or is_deficient
    return Step(Parameters(gate, tuple(experts)), deficient)


def _gate_step(
    problem: Problem, current: Evaluation, length: float, use_bound: bool
) -> tuple[np.ndarray, bool]:
    model, gate = problem.model, current.params.gate
    gradient = current.gradient[model.slot_slices[0]].reshape(gate.shape)
    ridge = current.penalty.curvature[model.slot_slices[0]].reshape(gate.shape)
    out, deficient, first_pair = gate.copy(), False, 0
    for node in model.tree.inner_nodes:
        edges = model.tree.edges(node)
        m = edges.stop - edges.start
        n_pairs = m * (m - 1) // 2
        pairs = current.stats.gate_pairs[first_pair : first_pair + n_pairs]
        first_pair += n_pairs
        if m == 1:
            continue
        if use_bound or (m - 1) * gate.shape[1] > _MOST_NODE_PARAMETERS:
            step, is_deficient = _bound_step(problem.gate_gram, gradient[edges], ridge[edges])
        else:
            step, is_deficient = _newton_step(pairs, gradient[edges], ridge[edges])
            step *= length
        out[edges] += step
        deficient = deficient or is_deficient
    return out, deficient


def _newton_step(
    pairs: np.ndarray, gradient: np.ndarray, ridge: np.ndarray
) -> tuple[np.ndarray, bool]:
    m, q = gradient.shape
    basis = contrast(m)
    information = node_information(pairs, m) + np.diag(np.tile(ridge[0], m - 1))
    solution = solve_semidefinite(information, (basis.T @ gradient).ravel())
    return basis @ solution.x.reshape(m - 1, q), solution.is_deficient


def _bound_step(
    gram: np.ndarray, gradient: np.ndarray, ridge: np.ndarray
) -> tuple[np.ndarray, bool]:
    """Step where the Hessian's bound is largest: Bohning (1992), theorem 1.

    ``1/2 (I - 11'/m)`` times the Gram matrix with full row weights bounds the Hessian of a
    multinomial logit, so that one small matrix serves all children and the objective rises.
    """
    centred = gradient - gradient.mean(axis=0)
    bound = 0.5 * gram + np.diag(ridge[0])
    solutions = [solve_semidefinite(bound, slope) for slope in centred]
    return np.stack([s.x for s in solutions]), any(s.is_deficient for s in solutions)


def _expert_step(
    model: Model, current: Evaluation, g: int, length: float
) -> tuple[tuple[np.ndarray, ...], bool]:
    group, coefs = model.groups[g], current.params.experts[g]
    heads = group.family.heads
    location = [h for h, head in enumerate(heads) if head.kind == "location"]
    is_closed_form = group.family.has_mean_deviance_dispersion
    out, deficient = [coef.copy() for coef in coefs], False
    gains = np.zeros(len(group.leaves))
    for coupled in _coupled_heads(location, current.stats.groups[g].curvature):
        for row in range(len(group.leaves)):
            step, gain, is_deficient = _location_step(model, current, g, coupled, row)
            for h, increment in zip(coupled, step, strict=True):
                out[h][row] += increment if is_closed_form else length * increment
            gains[row] += gain
            deficient = deficient or is_deficient
    lower, upper = model.flat_bounds
    for h, head in enumerate(heads):
        slot = model.slot_of[g, h]
        if head.kind == "location" or model.known_log_dispersion(slot) is not None:
            pass
        elif is_closed_form and model.sees_intercept_only(group.designs[h]):
            out[h] = _mean_deviance_dispersion(model, current, g, h, gains)
        else:
            out[h] = _newton_dispersion(model, current, g, h, length)
        # Rounding of a step that ends at a bound, the closed form, and what is known.
        at, shape = model.slot_slices[slot], model.slot_shapes[slot]
        out[h] = np.clip(out[h], lower[at].reshape(shape), upper[at].reshape(shape))
    return tuple(out), deficient


def _coupled_heads(
    location: list[int], curvature: dict[tuple[int, int], np.ndarray]
) -> list[list[int]]:
    """Return the location heads that are to be solved for together: all, or each alone."""
    if any(a != b for a, b in curvature):
        return [location]
    return [[h] for h in location]


def _location_step(
    model: Model, current: Evaluation, g: int, location: list[int], row: int
) -> tuple[list[np.ndarray], float, bool]:
    """Return one expert's increments, and by how much they lower its scaled deviance."""
    stats = current.stats.groups[g]
    slots = [model.slot_of[g, h] for h in location]
    indices = [model.flat_index(slot, row) for slot in slots]
    at = indices[0] if len(indices) == 1 else np.r_[tuple(indices)]
    p = model.slot_shapes[slots[0]][1]
    curvature = np.zeros((p * len(slots), p * len(slots)))
    for a in range(len(location)):
        for b in range(a, len(location)):
            block = stats.curvature.get((location[a], location[b]))
            if block is not None:
                curvature[a * p : (a + 1) * p, b * p : (b + 1) * p] = block[row]
                curvature[b * p : (b + 1) * p, a * p : (a + 1) * p] = block[row].T
    penalised = curvature.copy()
    np.einsum("ii->i", penalised)[:] += current.penalty.curvature[at]
    lower, upper = model.flat_bounds
    flat = np.concatenate([current.params.experts[g][h][row] for h in location])
    step, is_deficient = solve_within(penalised, current.gradient[at], flat, (lower[at], upper[at]))
    data_gradient = current.gradient[at] - current.penalty.gradient[at]
    gain = 2.0 * data_gradient @ step - step @ curvature @ step
    return list(step.reshape(len(location), p)), float(gain), is_deficient


def _mean_deviance_dispersion(
    model: Model, current: Evaluation, g: int, h: int, gains: np.ndarray
) -> np.ndarray:
    """Return log dispersions that are the mean deviance at the new location.

    The sums of squares are those of residuals at the current location, less what the step
    takes off; both in units of the current dispersion, so nothing large cancels.
    """
    group = model.groups[g]
    slot = model.slot_of[g, h]
    log_dispersion = current.params.experts[g][h][:, 0]
    mass = current.stats.node_mass[model.tree.leaves[group.leaves]]
    score = current.stats.groups[g].gradient[h][:, 0]
    deviance = np.maximum(2.0 * score + mass - gains, 0.0)
    pseudo_rows = dispersion_pseudo_rows(model, slot)
    numerator = deviance + pseudo_rows * np.exp(group.log_anchor - log_dispersion)
    denominator = mass + pseudo_rows
    if model.is_shared(slot):
        numerator, denominator = np.array([numerator.sum()]), np.array([denominator.sum()])
    tiny = np.finfo(float).tiny
    ratio = np.log(np.maximum(numerator, tiny)) - np.log(np.maximum(denominator, tiny))
    # An expert without rows or prior keeps its dispersion.
    return np.where(denominator > tiny, log_dispersion + ratio, log_dispersion)[:, None]


def _newton_dispersion(
    model: Model, current: Evaluation, g: int, h: int, length: float
) -> np.ndarray:
    """Return coefficients of a dispersion or shape head after one clipped Newton step."""
    slot = model.slot_of[g, h]
    coef = current.params.experts[g][h]
    at = model.slot_slices[slot]
    gradient = current.gradient[at].reshape(coef.shape)
    curvature = current.stats.groups[g].curvature[h, h]
    ridge = current.penalty.curvature[at].reshape(coef.shape)
    penalised = curvature + np.stack([np.diag(row) for row in ridge])
    if model.is_shared(slot):
        gradient, penalised = gradient.sum(axis=0)[None], penalised.sum(axis=0)[None]
    lower, upper = (bound[model.flat_index(slot, 0)] for bound in model.flat_bounds)
    step = np.stack(
        [
            solve_within(H, s, c, (lower, upper)).x
            for H, s, c in zip(penalised, gradient, coef, strict=False)
        ]
    )
    largest = np.abs(step).max(axis=1, keepdims=True, initial=0.0)
    step *= length * np.minimum(1.0, _LARGEST_DISPERSION_STEP / np.maximum(largest, 1e-300))
    return coef + step
