"""What a user should know about a fit before believing it, as named warnings."""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from mixexp.data import Block
from mixexp.em import (
    ASKED_TO_STOP,
    EMResult,
    Problem,
    experts_at_floor,
    experts_without_rows,
)
from mixexp.estimators._collinear import collinear_columns
from mixexp.exceptions import (
    ConvergenceWarning,
    DegenerateExpertError,
    DegenerateExpertWarning,
    RankDeficientWarning,
    RoundedTargetWarning,
    SeparationWarning,
)
from mixexp.experts import Expert
from mixexp.model import Parameters, group_heads, linear_predictors, posterior_of_block
from mixexp.text import shown

# Where nearly every row is given to one child with more than this certainty, the gate separates.
_CERTAIN = 1.0 - 1e-6
_NEARLY_ALL = 0.99
# A value of y repeats from so many rows on, if there are so many rows per distinct value. An expert
# whose deviation is less than this share of the gap to the next value has shrunk onto it: that of
# rounding itself is 0.29.
_LEAST_REPEATS = 5
_ROWS_PER_VALUE = 5
_SPIKE = 0.05


class FitWarning(NamedTuple):
    """A warning that a fit is to give.

    Parameters
    ----------
    message : str
    category : type of Warning
    """

    message: str
    category: type[Warning]


def collect_warnings(
    estimator: Any, problem: Problem, best: EMResult, order: np.ndarray
) -> list[FitWarning]:
    """Return what is to be said of a fit: not converged, not determined, degenerate, separating."""
    name = type(estimator).__name__
    return [
        *_constant_columns(estimator),
        *_convergence(name, best),
        *_deficiency(estimator, problem, best),
        *_degenerate_experts(name, problem, best, order),
        *_separation(name, problem, best.evaluation.params),
        *_spikes(name, problem, best.evaluation.params, order),
    ]


def _constant_columns(estimator: Any) -> list[FitWarning]:
    model, is_constant = estimator.fitted_model_.model, estimator.fitted_model_.scaling.is_constant
    seen = {int(column) for design in model.slot_designs for column in model.designs[design]}
    constant = [column - 1 for column in sorted(seen - {0}) if is_constant[column - 1]]
    if not constant:
        return []
    names = getattr(estimator, "feature_names_in_", None)
    listed = [int(c) if names is None else str(names[c]) for c in constant]
    message = (
        f"{type(estimator).__name__}: columns {listed} of X are constant; their coefficients "
        "are zero."
    )
    return [FitWarning(message, RankDeficientWarning)]


def _convergence(name: str, best: EMResult) -> list[FitWarning]:
    if best.is_converged or best.reason == ASKED_TO_STOP:
        return []
    message = (
        f"{name} did not converge: {best.reason}. Raise max_iter, or a larger tol, alpha or "
        "gate_alpha makes it stop earlier."
    )
    return [FitWarning(message, ConvergenceWarning)]


def _deficiency(estimator: Any, problem: Problem, best: EMResult) -> list[FitWarning]:
    penalty = problem.model.penalty
    # With both ridges an intercept alone can be undetermined, of an expert that is sure of a
    # class or of a node without rows: nothing that least norm would have chosen for it.
    if not best.is_deficient or (penalty.alpha > 0.0 and penalty.gate_alpha > 0.0):
        return []
    columns = collinear_columns(problem)
    names = getattr(estimator, "feature_names_in_", None)
    listed = [column if names is None else str(names[column]) for column in columns]
    named = f" {shown(listed)}" if listed else ""
    message = (
        f"{type(estimator).__name__}: the data do not determine all coefficients (collinear "
        f"columns{named}, or fewer rows than columns); those of least norm are given. A positive "
        "alpha and gate_alpha determine them."
    )
    return [FitWarning(message, RankDeficientWarning)]


def _degenerate_experts(
    name: str, problem: Problem, best: EMResult, order: np.ndarray
) -> list[FitWarning]:
    tree, place = problem.model.tree, np.argsort(order)
    n_rows = problem.n_weighed * best.evaluation.stats.node_mass
    causes = {
        "fit their rows exactly; raise dispersion_prior or alpha, or ask for fewer experts": (
            experts_at_floor(problem.model, best.evaluation.params)
        ),
        "are not used, with one row or less left to each; ask for fewer experts": (
            experts_without_rows(problem.model, n_rows)
        ),
    }
    found = []
    for cause, leaves in causes.items():
        numbers = sorted(tree.leaf_position(int(place[tree.leaves[leaf]])) for leaf in leaves)
        if numbers:
            found.append(FitWarning(f"{name}: experts {numbers} {cause}.", DegenerateExpertWarning))
    return found


def dropped_experts(name: str, n_asked: int, n_left: int) -> list[FitWarning]:
    """Return what is to be said of experts that were dropped."""
    if n_left == n_asked:
        return []
    message = (
        f"{name}: {n_asked - n_left} of {n_asked} experts collapsed and were dropped; what is "
        f"fitted has {n_left}."
    )
    return [FitWarning(message, DegenerateExpertWarning)]


def refuse_collapsed(warnings: Sequence[FitWarning]) -> None:
    """Raise DegenerateExpertError if experts have collapsed."""
    found = [each.message for each in warnings if each.category is DegenerateExpertWarning]
    if found:
        raise DegenerateExpertError(
            " ".join(found)
            + " The 'on_collapse' parameter of EM is 'error': use 'respawn', 'drop' or "
            "'warn' to get a fit all the same."
        )


def _separation(name: str, problem: Problem, params: Parameters) -> list[FitWarning]:
    penalty, found = problem.model.penalty, []
    if max(penalty.gate_alpha, penalty.gate_l1) == 0.0 and _gates_separate(problem, params):
        message = (
            f"{name}: a gate separates its rows, so that its coefficients have no finite "
            "optimum. A positive gate_alpha makes them finite."
        )
        found.append(FitWarning(message, SeparationWarning))
    if max(penalty.alpha, penalty.l1) == 0.0 and _classes_separate(problem, params):
        message = (
            f"{name}: the classes are separated, so that the experts' coefficients have no "
            "finite optimum. A positive alpha makes them finite."
        )
        found.append(FitWarning(message, SeparationWarning))
    return found


def _spikes(name: str, problem: Problem, params: Parameters, order: np.ndarray) -> list[FitWarning]:
    """Return what is to be said of experts that have shrunk onto values of y that repeat."""
    held = problem.held if problem.blocks.sample is None else problem.blocks.sample
    gaps = _gaps_between_values(problem, list(held.without_features))
    if gaps is None:
        return []
    tree, place = problem.model.tree, np.argsort(order)
    on_value, total = np.zeros(tree.n_leaves), np.zeros(tree.n_leaves)
    start = 0
    for block in held:
        gap = gaps[start : start + len(block.weight)]
        start += len(block.weight)
        resp = posterior_of_block(problem.model, params, block).node_resp[tree.leaves]
        heads = group_heads(problem.model, linear_predictors(problem.model, params, block))
        for group, own in zip(problem.model.groups, heads, strict=True):
            weight = resp[group.leaves] * block.weight
            total[group.leaves] += weight.sum(axis=1)
            if not group.family.is_discrete and group.family.has_dispersion:
                # One beyond all numbers is no spike.
                with np.errstate(over="ignore", invalid="ignore"):
                    deviation = group.scale * np.sqrt(group.family.variance(own))
                on_value[group.leaves] += (weight * (deviation < _SPIKE * gap)).sum(axis=1)
    numbers = sorted(
        tree.leaf_position(int(place[tree.leaves[leaf]]))
        for leaf in np.flatnonzero((on_value > 0.5 * total) & (total > 0.0))
    )
    if not numbers:
        return []
    message = (
        f"{name}: experts {numbers} have shrunk onto single values of y, of which many rows share "
        "each, so that the log density is as high as one likes and says nothing. If y is rounded, "
        "give y_resolution=, the step that it is rounded to; if a value stands for itself, such as "
        "zero, a 'point_mass' expert."
    )
    return [FitWarning(message, RoundedTargetWarning)]


def _gaps_between_values(problem: Problem, blocks: Sequence[Block]) -> np.ndarray | None:
    """Return the distance of each y to the nearest other value, 0 where it does not repeat.

    Infinite if there is no other value; None if y has no more rows than usual per value, or is not
    known exactly, or is no number.
    """
    families = [group.family for group in problem.model.groups]
    if not any(family.has_dispersion and not family.is_discrete for family in families):
        return None
    if any(block.y is None or block.known.ends is not None for block in blocks):
        return None
    y = np.concatenate([np.asarray(block.y) for block in blocks])
    if y.ndim > 1:
        return None
    values, number, counts = np.unique(y, return_inverse=True, return_counts=True)
    if len(y) < _ROWS_PER_VALUE * len(values):
        return None
    gap = np.diff(values)
    nearest = np.minimum(np.append(gap, np.inf), np.append(np.inf, gap))
    return np.where(counts >= _LEAST_REPEATS, nearest, 0.0)[number]


def _gates_separate(problem: Problem, params: Parameters) -> bool:
    tree = problem.model.tree
    certain, total = problem.total(partial(_certainty_of_gates, params=params), np.add)
    inner = [node for node in tree.inner_nodes if tree.n_children[node] > 1]
    return any(certain[node] > _NEARLY_ALL * total[node] > 0.0 for node in inner)


def _certainty_of_gates(problem: Problem, params: Parameters) -> np.ndarray:
    """Return the weight of rows of which each node is certain, and of all, (2, n_nodes)."""
    tree = problem.model.tree
    certain, total = np.zeros(tree.n_nodes), np.zeros(tree.n_nodes)
    for block in problem.held:
        found = posterior_of_block(problem.model, params, block)
        weight = found.node_resp * block.weight
        for node in tree.inner_nodes:
            largest = found.gate[tree.edges(node)].max(axis=0)
            certain[node] += weight[node] @ (largest > _CERTAIN)
            total[node] += weight[node].sum()
    return np.array([certain, total])


def _classes_separate(problem: Problem, params: Parameters) -> bool:
    if not any(_has_outcomes(group.family) for group in problem.model.groups):
        return False
    certain, total = problem.total(partial(_certainty_of_classes, params=params), np.add)
    return bool(certain > _NEARLY_ALL * total > 0.0)


def _certainty_of_classes(problem: Problem, params: Parameters) -> np.ndarray:
    """Return the weight of rows of whose class its expert is certain, and of all, (2,)."""
    certain, total = 0.0, 0.0
    for block in problem.held:
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
    return np.array([certain, total])


def _has_outcomes(family: Expert) -> bool:
    """Tell whether y is one of a few outcomes, of which an expert could be certain."""
    return family.uses_trials or family.target != "regression"


def _class_probabilities(family: Expert, heads: tuple[np.ndarray, ...]) -> np.ndarray | None:
    """Return probabilities with outcomes in the first axis, or None if y has no outcomes."""
    if family.uses_trials:
        mean = family.mean(heads)
        return np.stack([mean, 1.0 - mean])
    return family.predict(heads) if _has_outcomes(family) else None
