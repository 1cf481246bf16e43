"""Diagnostics of a fit in figures: how experts are used, and how good the optimum is.

What deserves a warning is in `_warnings`; here nothing is judged.
"""

from collections.abc import Sequence
from functools import partial
from operator import add
from typing import NamedTuple

import numpy as np
from scipy.linalg import eigvalsh
from scipy.special import entr

from mixexp.em import EMResult, Problem, is_small
from mixexp.model import Parameters, movable_basis, posterior_of_block, pressing_rows
from mixexp.tree import GatingTree


class Diagnostics(NamedTuple):
    """How experts are used, and how good the optimum is.

    Parameters
    ----------
    importance : ndarray of shape (n_experts,)
        Mean gate probability of each expert over weighted rows; sums to one.
    load : ndarray of shape (n_experts,)
        Share of weighted rows for which it is the most probable expert by the gate; sums to one.
    entropy : float
        Mean entropy per row of the gate's distribution over experts, natural log: 0 where
        gates are sure, ``log(n_experts)`` where they are uniform.
    n_unexplained_rows : int
        Rows of positive weight whose y has density zero under every expert, by underflow; they
        keep the gate's probabilities as responsibilities.
    gradient_norm : float
        Euclidean norm of the gradient of what was maximised, per unit of weight, with respect
        to the free coefficients for standardised features; none of those that a bound holds.
    smallest_eigenvalue : float or None
        Of the penalised observed information in the same coordinates, per unit of weight; not
        positive where the optimum is none or not determined. None where there is no
        such matrix or it is dear: for ``EM(variant="cem")``, whose objective has kinks, where
        nothing is free, and beyond 600 parameters or 64 linear predictors.
    monotonicity_margin : float
        The least step of ``history_``, relative to one plus the objective's size: no less than
        0 but for rounding. 0 where there was no step.
    """

    importance: np.ndarray
    load: np.ndarray
    entropy: float
    n_unexplained_rows: int
    gradient_norm: float
    smallest_eigenvalue: float | None
    monotonicity_margin: float

    def __repr__(self) -> str:
        lowest = self.smallest_eigenvalue
        rows = {
            "importance": _listed(self.importance),
            "load": _listed(self.load),
            "entropy": f"{self.entropy:.4g}",
            "n_unexplained_rows": str(self.n_unexplained_rows),
            "gradient_norm": f"{self.gradient_norm:.2e}",
            "smallest_eigenvalue": "None" if lowest is None else f"{lowest:.2e}",
            "monotonicity_margin": f"{self.monotonicity_margin:.2e}",
        }
        width = max(map(len, rows))
        lines = [f"    {name:<{width}} = {value}," for name, value in rows.items()]
        return "\n".join(["Diagnostics(", *lines, ")"])


def _listed(values: np.ndarray) -> str:
    return "[" + ", ".join(f"{value:.3f}" for value in values) + "]"


def diagnose(problem: Problem, best: EMResult, params: Parameters) -> Diagnostics:
    """Return the diagnostics of a fit, in one pass over the data and one information matrix.

    Parameters
    ----------
    problem : Problem
    best : EMResult
    params : Parameters
        The same coefficients with experts in their canonical order.
    """
    gradient, is_held = _free_gradient(problem, best)
    return Diagnostics(
        *_gate_use(problem, params),
        float(np.linalg.norm(gradient)) / problem.total_weight,
        _smallest_eigenvalue(problem, best, is_held),
        _least_step(best.history),
    )


def gate_shares(problem: Problem, params: Parameters) -> np.ndarray:
    """Return the mean gate probability of each expert over the weighted rows, (n_experts,)."""
    return _gate_use(problem, params)[0]


def _gate_use(problem: Problem, params: Parameters) -> tuple[np.ndarray, np.ndarray, float, int]:
    """Return importance, load, entropy and the number of unexplained rows."""
    return problem.total(partial(_use_by_rows, params=params), _use_by_both)


def _use_by_rows(problem: Problem, params: Parameters) -> tuple[np.ndarray, np.ndarray, float, int]:
    n_leaves = problem.model.tree.n_leaves
    importance, load, entropy, n_unexplained = np.zeros(n_leaves), np.zeros(n_leaves), 0.0, 0
    for block in problem.held:
        weight = block.weight / problem.total_weight
        found = posterior_of_block(problem.model, params, block)
        prior = _leaf_prior(problem.model.tree, found.gate)
        importance += prior @ weight
        load += np.bincount(prior.argmax(axis=0), weight, n_leaves)
        entropy += float(entr(prior).sum(axis=0) @ weight)
        n_unexplained += int(np.isneginf(found.log_density).sum())
    return importance, load, entropy, n_unexplained


def _use_by_both(
    one: tuple[np.ndarray, np.ndarray, float, int], other: tuple[np.ndarray, np.ndarray, float, int]
) -> tuple[np.ndarray, np.ndarray, float, int]:
    importance, load, entropy, n_unexplained = map(add, one, other)
    return importance, load, entropy, n_unexplained


def _leaf_prior(tree: GatingTree, gate: np.ndarray) -> np.ndarray:
    """Multiply conditional gate probabilities along the path to each leaf."""
    prior = np.ones((tree.n_nodes, gate.shape[1]))
    for node in range(1, tree.n_nodes):
        prior[node] = prior[tree.parent[node]] * gate[node - 1]
    return prior[tree.leaves]


def _free_gradient(problem: Problem, best: EMResult) -> tuple[np.ndarray, np.ndarray]:
    """Return the gradient of what is free, and which coefficients a bound holds.

    Of gates its part that sums to zero over siblings, which has the norm of orthonormal
    contrasts. A shared dispersion counts once.
    """
    model, evaluation = problem.model, best.evaluation
    gradient, is_copy = evaluation.gradient.copy(), np.zeros(model.n_flat, dtype=bool)
    for gates, at, shape in zip(model.gates, model.slot_slices, model.slot_shapes, strict=False):
        gradient[at] = gates.centered(gradient[at].reshape(shape)).ravel()
    for slot, (at, shape) in enumerate(zip(model.slot_slices, model.slot_shapes, strict=True)):
        if model.slot_facts[slot].is_shared:
            gradient[at] = np.tile(gradient[at].reshape(shape).sum(axis=0), shape[0])
            is_copy[at.start + shape[1] : at.stop] = True
    flat, (lower, upper) = model.flatten(evaluation.params), model.flat_bounds
    is_held = ((flat <= lower) & (gradient <= 0.0)) | ((flat >= upper) & (gradient >= 0.0))
    if model.prior.restricted is not None:  # equations tell of zeros too
        is_held |= model.prior.is_zero(flat) & (evaluation.gradient == 0.0)
    if model.ties is not None:
        rows = pressing_rows(model, flat, evaluation.gradient, is_held)
        return movable_basis(model, is_held, rows).T @ evaluation.gradient, is_held
    return gradient[~is_held & ~is_copy], is_held


def _smallest_eigenvalue(problem: Problem, best: EMResult, is_held: np.ndarray) -> float | None:
    if problem.is_classification or not problem.model.is_linear or not is_small(problem):
        return None
    model, evaluation = problem.model, best.evaluation
    flat = model.flatten(evaluation.params)
    rows = pressing_rows(model, flat, evaluation.gradient, is_held)
    basis = movable_basis(model, is_held, rows)
    if basis.shape[1] == 0:
        return None
    information = problem.information(evaluation.params)
    information += evaluation.penalty.information()
    lowest = eigvalsh(basis.T @ information @ basis, subset_by_index=[0, 0])
    return float(lowest[0]) / problem.total_weight


def _least_step(history: Sequence[float]) -> float:
    reached = np.array(history)
    steps = np.diff(reached[np.isfinite(reached)])  # a start may be impossible: -inf
    return float(steps.min() / (1.0 + abs(reached[-1]))) if len(steps) else 0.0
