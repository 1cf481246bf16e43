"""Learned attributes: coefficients in the user's units, and how the fit went."""

from typing import Any

import numpy as np

from mixexp.data import Scaling
from mixexp.em import EMResult, Search, canonical_order, reorder
from mixexp.estimators._build import Columns
from mixexp.estimators._constraints import gate_rows_of
from mixexp.estimators._exact import without_rounding
from mixexp.estimators._outputs import set_joint_attributes
from mixexp.model import FittedModel, Model, PlacedSubmodel, count_nonzero

# Of a negative binomial's dispersion without end: the largest number is told.
_LARGEST_LOG = float(np.log(np.finfo(float).max))


def set_fitted_attributes(
    estimator: Any,
    found: Search,
    model: Model,
    scaling: Scaling,
    columns: Columns,
    *,
    n_samples: float,
    is_sorted: bool = True,
    settings: Any = None,
) -> np.ndarray:
    """Set the learned state and attributes of an estimator from its search.

    Parameters
    ----------
    estimator : estimator
    found : Search
    model : Model
    scaling : Scaling
    columns : Columns
    n_samples : float
        Rows that it is fitted to, by weight.
    is_sorted : bool, default=True
        Whether experts are put into their canonical order, or stay where they are.
    settings : estimator, optional
        Whose constraints and names of columns these are; the same estimator by default.

    Returns
    -------
    ndarray of shape (n_nodes,), int
        The canonical order that its nodes have been put into.
    """
    best = found.best
    order = np.arange(model.tree.n_nodes)
    if is_sorted:
        order = canonical_order(model, best.evaluation.params)
    model = model.of_intervals(False)
    state = FittedModel(model, reorder(model, best.evaluation.params, order), scaling)
    slots = state.raw_slots()
    estimator.fitted_model_ = state
    estimator.tree_ = model.tree
    estimator.experts_ = _families(state)
    estimator.limits_ = _limits(state)
    estimator.submodel_params_ = {
        f"{'gate' if other.is_gate else 'expert'} {_place_of(model, other)}": own
        for other, own in zip(model.others, state.raw_others(), strict=True)
    }
    estimator.n_parameters_ = count_nonzero(model, model.flatten(state.params))
    gate = _over_gate_features(state, slots, columns)
    location = _collect(state, slots, "location", 1 + len(columns.expert))
    settings = estimator if settings is None else settings
    names = getattr(settings, "feature_names_in_", None)
    given = settings.constraints
    location = without_rounding(location, given, model, scaling, columns.expert, names)
    gate = without_rounding(gate, given, model, scaling, columns.gate, names, gate_rows_of)
    estimator.gate_intercept_, estimator.gate_coef_ = gate[:, 0], gate[:, 1:]
    estimator.intercept_, estimator.coef_ = location[..., 0], location[..., 1:]
    if all(family.target == "regression" for family in estimator.experts_):  # classes have none
        estimator.dispersion_features_ = list(columns.dispersion)
    if model.n_outputs > 1:
        set_joint_attributes(estimator, slots)
    elif hasattr(estimator, "dispersion_features_"):
        dispersion = _collect(state, slots, "dispersion", 1 + len(columns.dispersion))
        estimator.dispersion_, estimator.dispersion_coef_ = (
            np.exp(np.minimum(dispersion[:, 0], _LARGEST_LOG)),
            dispersion[:, 1:],
        )
    estimator.shape_ = _shapes(state, slots)
    estimator.n_samples_seen_ = n_samples
    estimator.log_likelihood_ = float(best.evaluation.stats.log_likelihood)
    estimator.penalized_log_likelihood_ = best.objective
    if any(other.submodel.is_joint and model.is_root_gate(other) for other in model.others):
        estimator.joint_log_likelihood_ = _joint_log_likelihood(state, best)
    estimator.history_ = np.array(best.history)
    estimator.n_iter_ = best.n_iter
    estimator.converged_ = best.is_converged
    estimator.convergence_reason_ = best.reason
    estimator.restarts_ = found.restarts
    estimator.optima_ = found.optima()
    estimator.degenerate_ = _degenerate(model, best, order)
    estimator.expert_features_, estimator.gate_features_ = columns.expert, columns.gate
    return order


def _joint_log_likelihood(state: FittedModel, best: EMResult) -> float:
    """Return the log-likelihood of y and of the features that the gate at the root sees.

    In their own units; features that do not vary have no density.
    """
    model, stats = state.model, best.evaluation.stats
    root = next(other for other in model.others if model.is_root_gate(other))
    at = model.designs[root.design][1:] - 1
    log_scale = np.log(state.scaling.scale[at][~state.scaling.is_constant[at]]).sum()
    total = float(stats.node_mass[0])
    return float(stats.log_likelihood + stats.objective_offset - total * log_scale)


def _degenerate(model: Model, best: EMResult, order: np.ndarray) -> np.ndarray:
    """Return which experts are at their floor, or without rows."""
    tree = model.tree
    is_degenerate = np.zeros(tree.n_nodes, dtype=bool)
    is_degenerate[tree.leaves[sorted(best.collapsed)]] = True
    return is_degenerate[order][tree.leaves]


def _place_of(model: Model, other: PlacedSubmodel) -> int:
    """Return the node of a gate of one's own, or the number of an expert."""
    node = int(other.nodes[0])
    return int(model.tree.parent[node]) if other.is_gate else model.tree.leaf_position(node)


def _families(state: FittedModel) -> list[Any]:
    families: list[Any] = [None] * state.model.tree.n_leaves
    for group in state.model.groups:
        for leaf in group.leaves:
            families[leaf] = group.family
    for other in state.model.others:
        if not other.is_gate:
            families[state.model.tree.leaf_position(int(other.nodes[0]))] = other.submodel
    return families


def _limits(state: FittedModel) -> list[str]:
    """Return the family that each expert has become at a bound, "" for none."""
    model, limits = state.model, [""] * state.model.tree.n_leaves
    for g, h in model.slot_heads:
        head, intercept = model.groups[g].family.heads[h], state.params.experts[g][h][:, 0]
        for leaf, value in zip(model.groups[g].leaves, intercept, strict=True):
            at_bound = head.at_lower if value <= head.lower else head.at_upper
            if value <= head.lower or value >= head.upper:
                limits[leaf] = at_bound
    return limits


def _over_gate_features(
    state: FittedModel, slots: list[np.ndarray], columns: Columns
) -> np.ndarray:
    """Return all gates' coefficients, (n_edges, 1 + n_gate_features), zero where none is seen."""
    model, seen = state.model, [0, *(1 + column for column in columns.gate)]
    out = np.zeros((model.tree.n_edges, len(seen)))
    for gates, coef in zip(model.gates, slots, strict=False):
        number_of = {int(column): at for at, column in enumerate(model.designs[gates.design])}
        known = np.flatnonzero([column in number_of for column in seen])
        out[np.ix_(gates.edges, known)] = coef[:, [number_of[seen[at]] for at in known]]
    return out


def _collect(state: FittedModel, slots: list[np.ndarray], kind: str, p: int) -> np.ndarray:
    """Return the coefficients of the heads of one kind, in the order of the leaves.

    One head per family gives (n_leaves, p); several are class logits, mapped to
    (n_leaves, n_classes, p). Zero for experts that have no such head.
    """
    model = state.model
    rows: dict[int, np.ndarray] = {}
    for g, group in enumerate(model.groups):
        of_kind = [h for h, head in enumerate(group.family.heads) if head.kind == kind]
        if of_kind:
            coefs = [slots[model.slot_of[g, h]] for h in of_kind]
            by_expert = group.family.location_coef(coefs) if kind == "location" else coefs[0]
            rows.update(zip(group.leaves.tolist(), by_expert, strict=True))
    absent = np.zeros_like(next(iter(rows.values()))) if rows else np.zeros(p)
    return np.stack([rows.get(leaf, absent) for leaf in range(model.tree.n_leaves)])


def _shapes(state: FittedModel, slots: list[np.ndarray]) -> list[dict[str, float]]:
    """Return each expert's shape parameters by name; logarithms are undone."""
    out: list[dict[str, float]] = [{} for _ in range(state.model.tree.n_leaves)]
    for (g, h), slot in state.model.slot_of.items():
        group = state.model.groups[g]
        head = group.family.heads[h]
        if head.kind != "shape" or head.name.startswith("residual of"):
            continue
        for leaf, value in zip(group.leaves, slots[slot][:, 0], strict=True):
            is_log = head.name.startswith("log_")
            out[leaf][head.name.removeprefix("log_")] = float(np.exp(value) if is_log else value)
    return out
