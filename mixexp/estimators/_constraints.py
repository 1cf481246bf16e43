"""Constraints as users write them, turned into ties and bounds of the coefficients of a model.

Linear equations are read in `_equations`, orders and bounds of intercepts in `_inequalities`.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from mixexp.arguments import is_listed, is_real, is_whole
from mixexp.constraints import Bounded, Fixed, Linear, Ordered, Shared
from mixexp.data import Scaling
from mixexp.estimators._equations import with_equations
from mixexp.estimators._features import select_columns
from mixexp.estimators._inequalities import (
    Inequality,
    check_ends,
    intercept_bounds,
    of_gate,
    orders,
    sort_rows,
    with_inequalities,
)
from mixexp.estimators._validation import LARGEST_SHIFT
from mixexp.model import EqualityConstraints, Model
from mixexp.text import shown

_KINDS = (Shared, Fixed, Bounded, Ordered, Linear)
_Slopes = Shared | Fixed | Bounded
_INTERCEPT = "intercept"


def make_ties(
    constraints: Any, model: Model, scaling: Scaling, names: np.ndarray | None
) -> EqualityConstraints | None:
    """Return which coefficients of a model are one, and which are known.

    Parameters
    ----------
    constraints : None, Shared, Fixed, Bounded, Ordered, Linear, or a list of these
    model : Model
        Without ties.
    scaling : Scaling
    names : ndarray of str or None
        Names of the columns of X.

    Raises
    ------
    ValueError
        If they are not as described, or do not fit the model or each other.
    """
    listed = list_constraints(constraints)
    if not listed:
        return None
    if model.penalty.l1 > 0.0 and model.penalty.l1_groups:
        raise ValueError(
            "The 'constraints' parameter must be None where l1 is a GroupedL1, which groups the "
            f"slopes of all experts. Got {shown(constraints)}. Use a number for l1."
        )
    slopes, named, inequalities = [], [], list[Inequality]()
    for constraint in listed:
        if isinstance(constraint, Linear):
            continue
        columns, has_intercept = features_of(constraint, scaling, names)
        edges = gate_rows_of(constraint, model)
        if edges is not None:
            inequalities += of_gate(constraint, columns, has_intercept, edges)
            below = (model.tree.covers[edge + 1] for edge in edges)
            named += [frozenset(np.flatnonzero(leaves).tolist()) for leaves in below]
            continue
        leaves = experts_of(constraint, model)
        named.append(frozenset(leaves))
        if isinstance(constraint, Ordered):
            inequalities += orders(constraint, columns, leaves)
            named += [frozenset([leaf]) for leaf in leaves] if len(columns) == 1 else []
            continue
        if isinstance(constraint, Bounded) and has_intercept:
            inequalities += intercept_bounds(constraint, leaves)
        slopes.append((constraint, columns, leaves))
    ties = _tie_slopes(slopes, model, scaling, constraints)._replace(named=tuple(named))
    equations = [constraint for constraint in listed if isinstance(constraint, Linear)]
    if equations:
        ties = with_equations(equations, ties, model, scaling, names)
    if inequalities or _bounds_meet_equations(ties, model.penalty.l1 > 0.0):
        ties = with_inequalities(inequalities, ties, model, scaling, listed)
        ties = ties._replace(sort_rows=sort_rows(listed, inequalities, model, scaling))
    return ties


def _bounds_meet_equations(ties: EqualityConstraints, has_l1: bool) -> bool:
    """Whether some coefficient has a bound and is in an equation.

    With an L1 penalty, whether there are bounds and equations: steps then know of one kind.
    """
    lower, upper = ties.bounds()
    has_bound = np.isfinite(lower) | np.isfinite(upper)
    if ties.rows is None or not has_bound.any():
        return False
    return has_l1 or bool(np.any(ties.rows[:, has_bound] != 0.0))


def _tie_slopes(
    slopes: Sequence[tuple[_Slopes, list[int], list[int]]],
    model: Model,
    scaling: Scaling,
    constraints: Any,
) -> EqualityConstraints:
    """Return which slopes are one, known or bounded.

    Parameters
    ----------
    slopes : sequence of (Shared, Fixed or Bounded, list of int, list of int)
        With columns and experts of each.
    model : Model
    scaling : Scaling
    constraints : object
        As they were given, for messages.
    """
    owner, known = np.arange(model.n_flat), np.full(model.n_flat, np.nan)
    is_shared = np.zeros(model.n_flat, dtype=bool)
    lower, upper = np.full(model.n_flat, -np.inf), np.full(model.n_flat, np.inf)
    for constraint, columns, leaves in slopes:
        for column in columns:
            for same in _coefficients(constraint, model, column, leaves):
                if isinstance(constraint, Shared):
                    is_shared[same] = True
                    roots = owner[same]
                    owner[np.isin(owner, roots)] = roots.min()
                elif isinstance(constraint, Bounded):
                    ends = _standard_bounds(constraint, model, scaling, column, same[0])
                    lower[same] = np.maximum(lower[same], ends[0])
                    upper[same] = np.minimum(upper[same], ends[1])
                else:
                    _check_known_once(constraint, known[same])
                    known[same] = _standard_value(
                        constraint, constraint.value, model, scaling, column, same[0]
                    )
    if np.any(is_shared & ~np.isnan(known)):
        raise ValueError(
            "The 'constraints' parameter fixes a slope that it also shares; fix it for all of the "
            f"experts, or share it. Got {shown(constraints)}."
        )
    ties = EqualityConstraints(owner, known, ())
    if any(isinstance(constraint, Bounded) for constraint, _, _ in slopes):
        ties = _with_bounds(ties, lower, upper, constraints)
    return ties


def _with_bounds(
    ties: EqualityConstraints, lower: np.ndarray, upper: np.ndarray, constraints: Any
) -> EqualityConstraints:
    """Return the ties with bounds: shared slopes have those of all experts that share them."""
    low, high = lower.copy(), upper.copy()
    np.maximum.at(low, ties.owner, lower)
    np.minimum.at(high, ties.owner, upper)
    low, high = low[ties.owner], high[ties.owner]
    is_outside = (ties.known < low) | (ties.known > high)
    if np.any(low >= high) or np.any(is_outside):
        raise ValueError(
            "The 'constraints' parameter bounds a slope from below at or above its upper bound, or "
            f"fixes one beyond its bounds; Fixed gives one value. Got {shown(constraints)}."
        )
    is_known = ~np.isnan(ties.known)
    low[is_known], high[is_known] = -np.inf, np.inf
    return ties._replace(lower=low, upper=high)


def _standard_bounds(
    constraint: Bounded, model: Model, scaling: Scaling, column: int, at: int
) -> tuple[float, float]:
    """Return the bounds of a slope for the standardised feature and y as the family sees it."""
    low, high = check_ends(constraint)
    found = [
        end if np.isinf(end) else _standard_value(constraint, end, model, scaling, column, at)
        for end in (low, high)
    ]
    return found[0], found[1]


def list_constraints(constraints: Any) -> list[Any]:
    """Return the ``constraints`` parameter, which may be a single one or None, as a list."""
    if constraints is None:
        return []
    listed = [constraints] if isinstance(constraints, _KINDS) else constraints
    if not isinstance(listed, list | tuple) or not all(
        isinstance(entry, _KINDS) for entry in listed
    ):
        raise ValueError(
            "The 'constraints' parameter must be None or a list of Shared, Fixed, Bounded, Ordered "
            f"and Linear of mixexp.constraints. Got {shown(constraints)} instead."
        )
    return list(listed)


def features_of(
    constraint: _Slopes | Ordered, scaling: Scaling, names: np.ndarray | None
) -> tuple[list[int], bool]:
    """Return the columns that a constraint is about, and whether intercepts are bounded too."""
    features = constraint.features
    if isinstance(features, str) or is_whole(features):
        features = [features]
    if features is None:
        raise ValueError(
            f"{shown(constraint)} in 'constraints' must name features, or column numbers."
        )
    is_column = names is not None and _INTERCEPT in list(names)
    if not isinstance(constraint, Bounded) or is_column or not is_listed(features):
        return select_columns(features, "constraints", names, len(scaling.scale)), False
    slopes = [name for name in features if not (isinstance(name, str) and name == _INTERCEPT)]
    columns = select_columns(slopes, "constraints", names, len(scaling.scale))
    return columns, len(slopes) < len(features)


def gate_rows_of(constraint: Any, model: Model) -> list[int] | None:
    """Return the rows of gates' coefficients that a constraint is about, None if of experts."""
    gate = getattr(constraint, "gate", None)
    if gate is None:
        return None
    listed, n_edges = [gate] if is_whole(gate) else gate, model.tree.n_edges
    if not is_listed(listed) or not len(listed) or not all(is_whole(row) for row in listed):
        raise ValueError(
            f"gate of {shown(constraint)} in 'constraints' must be a row of gate_coef_, a list of "
            "these, or None for experts."
        )
    rows = [int(row) for row in listed]
    if len(set(rows)) < len(rows) or min(rows) < 0 or max(rows) >= n_edges:
        raise ValueError(
            f"gate of {shown(constraint)} in 'constraints' must be different rows of gate_coef_, "
            f"in the range [0, {n_edges})."
        )
    if constraint.experts is not None:
        raise ValueError(
            f"{shown(constraint)} in 'constraints' is about experts or about a gate; leave one out."
        )
    return rows


def experts_of(constraint: _Slopes | Ordered, model: Model) -> list[int]:
    """Return the experts that a constraint is about."""
    n_leaves, experts = model.tree.n_leaves, constraint.experts
    if experts is None:
        return list(range(n_leaves))
    listed = [experts] if is_whole(experts) else experts
    if not is_listed(listed) or not all(is_whole(leaf) and 0 <= leaf < n_leaves for leaf in listed):
        raise ValueError(
            f"experts of {shown(constraint)} in 'constraints' must be numbers in the range "
            f"[0, {n_leaves}), or None for all."
        )
    leaves = sorted({int(leaf) for leaf in listed})
    if len(leaves) < len(listed) or len(leaves) < (2 if isinstance(constraint, Shared) else 1):
        raise ValueError(
            f"experts of {shown(constraint)} in 'constraints' must be different ones, at least two "
            "where a slope is shared."
        )
    return leaves


def _coefficients(
    constraint: _Slopes, model: Model, column: int, leaves: Sequence[int]
) -> list[np.ndarray]:
    """Return, per head of the location, where the slopes of some experts stand in the vector."""
    per_head: dict[int, list[int]] = {}
    for leaf in leaves:
        g = model.kind_of(leaf)[0]
        if g < 0:
            raise ValueError(
                f"{shown(constraint)} in 'constraints' is about slopes, which expert {leaf}, an "
                "estimator or a submodel, does not show; name other experts by 'experts'."
            )
        group = model.groups[g]
        row = int(np.flatnonzero(group.leaves == leaf)[0])
        found = False
        for h, head in enumerate(group.family.heads):
            at = np.flatnonzero(model.designs[group.designs[h]] == 1 + column)
            if head.kind == "location" and len(at):
                slot = model.slot_of[g, h]
                index = model.flat_index(slot, row).start + int(at[0])
                # Experts of several families are fixed together, but share nothing.
                per_head.setdefault(slot, []).append(index)
                found = True
        if not found:
            raise ValueError(
                f"{shown(constraint)} in 'constraints' is about a slope that expert {leaf} "
                f"({group.family.name}) does not have; see 'expert_features'."
            )
    if isinstance(constraint, Shared) and len({model.kind_of(leaf)[0] for leaf in leaves}) > 1:
        raise ValueError(
            f"{shown(constraint)} in 'constraints' is about experts of several families, whose "
            "slopes "
            "are in different units; give the experts of one family."
        )
    return [np.array(indices) for indices in per_head.values()]


def _check_known_once(constraint: Fixed, known: np.ndarray) -> None:
    if not is_real(constraint.value) or not np.isfinite(float(constraint.value)):
        raise ValueError(f"value of {shown(constraint)} in 'constraints' must be a finite number.")
    if not np.isnan(known).all():
        raise ValueError(
            f"{shown(constraint)} in 'constraints' fixes a slope that is fixed before."
        )


def _standard_value(
    constraint: Fixed | Bounded,
    value: float,
    model: Model,
    scaling: Scaling,
    column: int,
    at: int,
) -> float:
    """Return a slope for the standardised feature and y as the family sees it.

    Parameters
    ----------
    constraint : Fixed or Bounded
        For messages.
    value : float
        The slope, or a bound of it, in the user's units.
    model : Model
    scaling : Scaling
    column : int
        Of X.
    at : int
        Where the slope stands in the flat vector; the family is that of its slot.
    """
    slot = next(s for s, part in enumerate(model.slot_slices) if part.start <= at < part.stop)
    g, h = model.head_of(slot)
    group = model.groups[g]
    if value == 0.0:
        return 0.0
    if scaling.is_constant[column]:
        raise ValueError(
            f"{shown(constraint)} in 'constraints' is about the slope of a column that is "
            "constant, which is zero; give a value of 0, or the product as an offset."
        )
    if sum(head.kind == "location" for head in group.family.heads) > 1:
        raise ValueError(
            f"{shown(constraint)} in 'constraints' must have a value of 0 where there are "
            "more than two classes, or several targets."
        )
    # Products of extremes overflow: factors are compared as logarithms.
    change = group.change(h)[0]
    size = np.log([abs(float(value)), scaling.scale[column], 1.0 / change]).sum()
    if size > np.log(LARGEST_SHIFT):
        raise ValueError(
            f"{shown(constraint)} in 'constraints' asks for a slope that leaves no digit of y to "
            f"be explained: more than {LARGEST_SHIFT:g} spreads of y per spread of the feature."
        )
    return float(value) / change * float(scaling.scale[column])
