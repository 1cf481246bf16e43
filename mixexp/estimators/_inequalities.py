"""Orders of coefficients and bounds as linear inequalities of the flat vector.

A sum of coefficients in the user's units that is at least a number is ``row @ flat >= value``:
intercepts take the slopes along, for features are centred inside. Bounds of slopes are such, too,
wherever there are others, so that steps know of one kind.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from mixexp.arguments import is_real
from mixexp.constraints import Bounded, Ordered
from mixexp.data import Scaling
from mixexp.estimators._equations import expert_place, gate_place, raw_row, refusal
from mixexp.model import EqualityConstraints, Model
from mixexp.text import shown


class Inequality(NamedTuple):
    """``sum(times * coefficient) >= value`` in the user's units.

    Parameters
    ----------
    constraint : Bounded or Ordered
        That asks for it.
    terms : tuple of (float, int, int or None)
        Multiple, expert, and column of X, None for the intercept.
    value : float
    is_of_gate : bool
        Whether rows of gates stand in the place of experts.
    """

    constraint: Bounded | Ordered
    terms: tuple[tuple[float, int, int | None], ...]
    value: float
    is_of_gate: bool = False


def orders(constraint: Ordered, columns: Sequence[int], leaves: Sequence[int]) -> list[Inequality]:
    """Return what an order asks for.

    Raises
    ------
    ValueError
        If there is nothing to be ordered.
    """
    if not isinstance(constraint.decreasing, bool | np.bool_):
        raise ValueError(
            f"decreasing of {shown(constraint)} in 'constraints' must be True or False."
        )
    if not columns:
        raise ValueError(f"{shown(constraint)} in 'constraints' must name at least one column.")
    if len(columns) == 1 and len(leaves) < 2:
        over, example = ("experts", "") if constraint.gate is None else ("rows of a gate", "[0, 1]")
        raise ValueError(
            f"{shown(constraint)} in 'constraints' orders one slope over {over}, of which there "
            f"must be two at least{example and ', such as gate=' + example}; a list of columns is "
            "ordered within each."
        )
    if len(columns) == 1:
        pairs = [((a, columns[0]), (b, columns[0])) for a, b in pairwise(leaves)]
    else:
        pairs = [((k, i), (k, j)) for k in leaves for i, j in pairwise(columns)]
    sign = -1.0 if constraint.decreasing else 1.0
    return [
        Inequality(constraint, ((-sign, *below), (sign, *above)), 0.0) for below, above in pairs
    ]


def of_gate(
    constraint: Bounded | Ordered, columns: Sequence[int], has_intercept: bool, rows: Sequence[int]
) -> list[Inequality]:
    """Return what a bound or order of coefficients of gates asks for."""
    if isinstance(constraint, Ordered):
        found = orders(constraint, columns, rows)
    else:
        low, high = check_ends(constraint)
        found = [
            Inequality(constraint, ((sign, row, column),), sign * end)
            for row in rows
            for column in [*([None] if has_intercept else []), *columns]
            for sign, end in ((1.0, low), (-1.0, high))
            if np.isfinite(end)
        ]
    return [own._replace(is_of_gate=True) for own in found]


def intercept_bounds(constraint: Bounded, leaves: Sequence[int]) -> list[Inequality]:
    """Return what bounds on intercepts ask for."""
    low, high = check_ends(constraint)
    return [
        Inequality(constraint, ((sign, leaf, None),), sign * end)
        for leaf in leaves
        for sign, end in ((1.0, low), (-1.0, high))
        if np.isfinite(end)
    ]


def check_ends(constraint: Bounded) -> tuple[float, float]:
    """Return the bounds, infinite where there is none.

    Raises
    ------
    ValueError
        If they are no numbers, or not in order.
    """
    ends = [constraint.lower, constraint.upper]
    is_fine = all(end is None or (is_real(end) and not np.isnan(float(end))) for end in ends)
    low, high = (-np.inf if ends[0] is None else ends[0]), (np.inf if ends[1] is None else ends[1])
    if not is_fine or ends == [None, None] or not float(low) < float(high):
        raise ValueError(
            f"{shown(constraint)} in 'constraints' must have a lower bound below its upper one, at "
            "least one of them a number."
        )
    return float(low), float(high)


def with_inequalities(
    asked: Sequence[Inequality],
    ties: EqualityConstraints,
    model: Model,
    scaling: Scaling,
    constraints: Sequence[Any],
) -> EqualityConstraints:
    """Return ties with linear inequalities, of which bounds of slopes are some.

    Parameters
    ----------
    asked : sequence of Inequality
    ties : EqualityConstraints
    model : Model
    scaling : Scaling
    constraints : sequence of object
        As they were given, for messages.

    Raises
    ------
    ValueError
        If one is about what is not there, or they cannot all be met.
    """
    placed = [_place(inequality, model, scaling) for inequality in asked]
    lower, upper = ties.bounds()
    single = np.eye(model.n_flat)[ties.is_free]
    low, high = lower[ties.is_free], upper[ties.is_free]
    has_low, has_high = np.isfinite(low), np.isfinite(high)
    stacked = np.vstack([*(row for row, _ in placed), single[has_low], -single[has_high]])
    least = np.concatenate([[value for _, value in placed], low[has_low], -high[has_high]])
    ties = ties._replace(lower=None, upper=None)
    basis = np.linalg.qr(replace(model, ties=ties).free_basis)[0]
    lift = basis @ (basis.T @ stacked.T)
    ties = ties._replace(least_rows=stacked, least=least, lift=lift)
    try:
        ties.project_flat(np.zeros(model.n_flat))
    except ValueError:
        raise ValueError(
            "The bounds, orders and equations in 'constraints' cannot all be met: "
            f"{shown(list(constraints))}. Leave out what contradicts the rest."
        ) from None
    return ties


def sort_rows(
    constraints: Sequence[Any], asked: Sequence[Inequality], model: Model, scaling: Scaling
) -> np.ndarray | None:
    """Return what does not fall from expert to expert, if nothing else tells them apart.

    Parameters
    ----------
    constraints : sequence of object
        As they were given.
    asked : sequence of Inequality
        The first between experts is that by which they are sorted.
    model : Model
    scaling : Scaling

    Returns
    -------
    ndarray of shape (n_leaves, n_flat), or None
        See `EqualityConstraints`.
    """
    tells_experts = any(
        getattr(own, "experts", 0) is not None or getattr(own, "gate", None) is not None
        for own in constraints
    )
    between = [own for own in asked if len({leaf for _, leaf, _ in own.terms}) > 1]
    if tells_experts or not between:
        return None
    first = between[0]
    sign, _, column = first.terms[-1]
    rows = [
        _place(Inequality(first.constraint, ((sign, leaf, column),), 0.0), model, scaling)[0]
        for leaf in range(model.tree.n_leaves)
    ]
    return np.array(rows)


def _place(inequality: Inequality, model: Model, scaling: Scaling) -> tuple[np.ndarray, float]:
    """Return the row of an inequality, of unit length, and its least value."""
    constraint, row, value = inequality.constraint, np.zeros(model.n_flat), inequality.value
    slots = set()
    for times, leaf, column in inequality.terms:
        find = gate_place if inequality.is_of_gate else expert_place
        slot, place, factor, shift = find(constraint, leaf, model)
        design = model.designs[model.slot_designs[slot]]
        at = np.flatnonzero(design == (0 if column is None else 1 + column))
        if not len(at):
            whose = "the gate" if inequality.is_of_gate else f"expert {leaf}"
            raise refusal(constraint, f"{whose} does not see the column")
        if column is not None and scaling.is_constant[column]:
            raise refusal(constraint, "the column is constant, and its slope is zero")
        own = raw_row(scaling, design, int(at[0]))
        row[model.flat_index(slot, place)] += times * factor * own
        value -= times * shift if column is None else 0.0
        slots.add(int(model.tree.parent[leaf + 1]) if inequality.is_of_gate else slot)
    if len(slots) > 1:
        whose = "rows of one gate" if inequality.is_of_gate else "experts of one family"
        raise refusal(constraint, f"it must be about {whose}")
    size = float(np.linalg.norm(row))
    return row / size, value / size
