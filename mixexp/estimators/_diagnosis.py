"""What a user should know about a fit before believing it, as named warnings."""

import warnings
from typing import Any

import numpy as np

from mixexp.em import Outcome, Problem
from mixexp.exceptions import (
    ConvergenceWarning,
    DegenerateExpertWarning,
    RankDeficientWarning,
    SeparationWarning,
)
from mixexp.experts import Expert
from mixexp.model import Parameters, posterior_of_block
from mixexp.model._statistics import group_heads, linear_predictors

# Where nearly every row is given to one child with more than this certainty, the gate separates.
_CERTAIN = 1.0 - 1e-6
_NEARLY_ALL = 0.99
# Distance of a log dispersion from its floor that counts as being there.
_AT_FLOOR = 1e-6


def warn_of_trouble(estimator: Any, problem: Problem, best: Outcome, order: np.ndarray) -> None:
    """Warn of a fit that has not converged, is not determined, degenerate or separating."""
    name = type(estimator).__name__
    _warn_of_constant_columns(estimator)
    if not best.is_converged:
        _warn(
            f"{name} did not converge: {best.reason}. Raise max_iter, or a larger tol, alpha or "
            "gate_alpha makes it stop earlier.",
            ConvergenceWarning,
        )
    if best.is_deficient:
        _warn(
            f"{name}: the data do not determine all coefficients (collinear columns, or fewer "
            "rows than columns); those of least norm are given. A positive alpha and gate_alpha "
            "determine them.",
            RankDeficientWarning,
        )
    _warn_of_degenerate_experts(estimator, problem, best, order)
    _warn_of_separation(name, problem, best.evaluation.params)


def _warn(message: str, category: type[Warning]) -> None:
    warnings.warn(message, category, stacklevel=5)


def _warn_of_constant_columns(estimator: Any) -> None:
    constant = np.flatnonzero(estimator._state.scaling.is_constant)
    if len(constant):
        names = getattr(estimator, "feature_names_in_", None)
        listed = [int(c) if names is None else str(names[c]) for c in constant]
        _warn(
            f"{type(estimator).__name__}: columns {listed} of X are constant; their coefficients "
            "are zero.",
            RankDeficientWarning,
        )


def _warn_of_degenerate_experts(
    estimator: Any, problem: Problem, best: Outcome, order: np.ndarray
) -> None:
    model, params = problem.model, best.evaluation.params
    place = np.argsort(order)
    mass = best.evaluation.stats.node_mass
    at_floor = set()
    for g, h in model.slot_heads:
        group, intercept = model.groups[g], params.experts[g][h][:, 0]
        head = group.family.heads[h]
        if head.kind == "dispersion" and not head.at_lower:
            is_low = intercept <= head.lower + _AT_FLOOR
            at_floor |= set(group.leaves[is_low])
    # Mass below one row leaves an expert nothing but its prior.
    starved = set(np.flatnonzero(mass[model.tree.leaves] < 1.0 - _AT_FLOOR))
    if model.tree.n_leaves == 1 or problem.total_weight <= model.tree.n_leaves:
        starved = set()
    numbers = sorted(
        model.tree.leaf_position(int(place[model.tree.leaves[leaf]])) for leaf in at_floor | starved
    )
    if numbers:
        _warn(
            f"{type(estimator).__name__}: experts {numbers} are degenerate: they fit their rows "
            "exactly, or have less than one row. Ask for fewer experts, or raise "
            "dispersion_prior or alpha.",
            DegenerateExpertWarning,
        )


def _warn_of_separation(name: str, problem: Problem, params: Parameters) -> None:
    penalty = problem.model.penalty
    if penalty.gate_alpha == 0.0 and _gates_separate(problem, params):
        _warn(
            f"{name}: a gate separates its rows, so that its coefficients have no finite "
            "optimum. A positive gate_alpha makes them finite.",
            SeparationWarning,
        )
    if penalty.alpha == 0.0 and _classes_separate(problem, params):
        _warn(
            f"{name}: the classes are separated, so that the experts' coefficients have no "
            "finite optimum. A positive alpha makes them finite.",
            SeparationWarning,
        )


def _gates_separate(problem: Problem, params: Parameters) -> bool:
    tree = problem.model.tree
    certain, total = np.zeros(tree.n_nodes), np.zeros(tree.n_nodes)
    for block in problem.blocks:
        found = posterior_of_block(problem.model, params, block)
        weight = found.node_resp * block.weight
        for node in tree.inner_nodes:
            largest = found.gate[tree.edges(node)].max(axis=0)
            certain[node] += weight[node] @ (largest > _CERTAIN)
            total[node] += weight[node].sum()
    inner = [node for node in tree.inner_nodes if tree.n_children[node] > 1]
    return any(certain[node] > _NEARLY_ALL * total[node] > 0.0 for node in inner)


def _classes_separate(problem: Problem, params: Parameters) -> bool:
    certain, total = 0.0, 0.0
    for block in problem.blocks:
        resp = posterior_of_block(problem.model, params, block).node_resp[problem.model.tree.leaves]
        eta = group_heads(problem.model, linear_predictors(problem.model, params, block))
        for group, heads in zip(problem.model.groups, eta, strict=True):
            by_class = _class_probabilities(group.family, heads)
            if by_class is None:
                continue
            weight = resp[group.leaves] * block.weight
            is_certain = by_class.max(axis=0) > _CERTAIN
            certain += float((weight * is_certain).sum())
            total += float(weight.sum())
    return certain > _NEARLY_ALL * total > 0.0


def _class_probabilities(family: Expert, heads: tuple[np.ndarray, ...]) -> np.ndarray | None:
    """Return probabilities with outcomes in the first axis, or None if y has no outcomes."""
    if family.uses_trials:
        mean = family.mean(heads)
        return np.stack([mean, 1.0 - mean])
    return None if family.target == "regression" else family.predict(heads)
