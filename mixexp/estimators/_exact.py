"""Coefficients in the user's units that meet their constraints to the last digit.

The fit meets them for standardised features; the way back rounds, so that an intercept bounded by 0
came out as -2e-15, and neighbours in an order that are one differed by as much.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from mixexp.constraints import Bounded, Fixed, Linear, Ordered, Shared
from mixexp.data import Scaling
from mixexp.estimators._constraints import (
    experts_of,
    features_of,
    gate_rows_of,
    list_constraints,
)
from mixexp.estimators._inequalities import check_ends, orders
from mixexp.model import Model

_Place = tuple[int, int]
# Of the terms that a coefficient is summed up from.
_ROUNDING = 1e-13


def rows_of_experts(constraint: Any, model: Model) -> list[int] | None:
    """Return the experts that a constraint is about, None if it is about a gate."""
    return experts_of(constraint, model) if gate_rows_of(constraint, model) is None else None


def without_rounding(
    location: np.ndarray,
    constraints: Any,
    model: Model,
    scaling: Scaling,
    columns: Sequence[int],
    names: np.ndarray | None,
    rows_of: Callable[[Any, Model], list[int] | None] = rows_of_experts,
) -> np.ndarray:
    """Return intercepts and slopes with what rounding has put beyond a bound or order put back.

    Parameters
    ----------
    location : ndarray of shape (n_leaves, 1 + n_columns)
        Intercepts and slopes in the user's units. Those of several classes have no such bounds
        and are returned as they are.
    constraints : object
        As they were given to the estimator.
    model : Model
        With their ties.
    scaling : Scaling
    columns : sequence of int
        Of the slopes.
    names : ndarray of str or None
        Names of the columns of X.
    rows_of : callable
        Returns the rows of ``location`` that a constraint is about, None if it is about others:
        `rows_of_experts`, or of gates `gate_rows_of`.
    """
    if model.ties is None or location.ndim != 2:
        return location
    out, place_of = location.copy(), {column: 1 + at for at, column in enumerate(columns)}
    digits = _last_digits(out, scaling, columns)
    pinned, pairs = np.zeros(out.shape, dtype=bool), list[tuple[_Place, _Place]]()
    for constraint in list_constraints(constraints):
        if isinstance(constraint, Linear):
            continue
        seen, has_intercept = features_of(constraint, scaling, names)
        leaves = rows_of(constraint, model)
        if leaves is None:
            continue
        seen = [column for column in seen if not scaling.is_constant[column]]
        own = np.ix_(leaves, ([0] if has_intercept else []) + [place_of[at] for at in seen])
        if isinstance(constraint, Fixed):
            pinned[own] = True
        elif isinstance(constraint, Bounded):
            low, high = check_ends(constraint)
            out[own] = _clip_rounded(out[own], low, high, digits[own])
            pinned[own] |= (out[own] == low) | (out[own] == high)
        elif isinstance(constraint, Shared):
            same = [
                ((a, place_of[at]), (b, place_of[at])) for at in seen for a, b in pairwise(leaves)
            ]
            pairs += [*same, *((b, a) for a, b in same)]
        else:
            pairs += _pairs(constraint, seen, leaves, place_of)
    return _in_order(out, pinned, pairs)


def _last_digits(location: np.ndarray, scaling: Scaling, columns: Sequence[int]) -> np.ndarray:
    """Return what rounding may have changed each intercept and slope by, on the way back."""
    scale, center = scaling.scale[list(columns)], np.abs(scaling.center[list(columns)])
    slopes = np.abs(location[:, 1:])
    largest = (slopes * scale).max(axis=1, keepdims=True, initial=0.0)
    intercepts = np.abs(location[:, :1]) + largest + (slopes @ center)[:, None]
    return _ROUNDING * np.concatenate([intercepts, largest / scale], axis=1)


def _clip_rounded(values: np.ndarray, low: float, high: float, digits: np.ndarray) -> np.ndarray:
    """Return values within bounds, and at one of them if they are but for rounding."""
    for end in (low, high):
        if np.isfinite(end):
            values = np.where(np.abs(values - end) <= digits, end, values)
    return np.clip(values, low, high)


def _pairs(
    constraint: Ordered, columns: list[int], leaves: list[int], place_of: dict[int, int]
) -> list[tuple[_Place, _Place]]:
    """Return places of coefficients of which the second is not smaller."""
    out = []
    for inequality in orders(constraint, columns, leaves):
        ends = {
            times: (leaf, place_of[column])
            for times, leaf, column in inequality.terms
            if column is not None
        }
        out.append((ends[-1.0], ends[1.0]))
    return out


def _in_order(
    out: np.ndarray, pinned: np.ndarray, pairs: Sequence[tuple[_Place, _Place]]
) -> np.ndarray:
    """Raise the second of each pair to the first, or lower the first where the second is pinned."""
    has_moved = True
    while has_moved:
        has_moved = False
        for below, above in pairs:
            if out[below] <= out[above] or (pinned[below] and pinned[above]):
                continue
            if pinned[above]:
                out[below], pinned[below] = out[above], True
            else:
                out[above], pinned[above] = out[below], pinned[below]
            has_moved = True
    return out
