"""Roots of many functions of one variable at once, each kept in a bracket.

Chandrupatla (1997), A new hybrid quadratic/bisection algorithm for finding the zero of a
nonlinear function without using derivatives, Adv. Eng. Software 28, pp. 145-149.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

Array = np.ndarray
# Values of the functions numbered by the first argument, at the second.
Functions = Callable[[Array, Array], Array]

_MOST_STEPS = 120
_EPSILON = np.finfo(float).eps
# Logarithms of densities may be infinite; inverse interpolation needs numbers.
_LARGEST = 1e6


class Brackets(NamedTuple):
    """Ends between which functions change sign.

    Parameters
    ----------
    lower, upper : ndarray of shape (m,)
    at_lower, at_upper : ndarray of shape (m,)
        Values there, of opposite sign or zero.
    """

    lower: Array
    upper: Array
    at_lower: Array
    at_upper: Array


class _State(NamedTuple):
    """The last two points and the end across the root, and where between them to go next."""

    number: Array
    last: Array
    across: Array
    before: Array
    at_last: Array
    at_across: Array
    at_before: Array
    share: Array

    def take(self, rows: Array) -> "_State":
        return _State(*(values[rows] for values in self))


def find_roots(functions: Functions, brackets: Brackets, tol: float) -> tuple[Array, Array]:
    """Return both ends of brackets that hold nothing but the root, on the side of each sign.

    Parameters
    ----------
    functions : callable
    brackets : Brackets
    tol : float
        A value so close to zero ends the search, both ends then being there.

    Returns
    -------
    not_above, not_below : ndarray of shape (m,)
        Where the function is at most and at least zero: the same number but where it leaps.
    """
    at_lower = np.clip(brackets.at_lower, -_LARGEST, _LARGEST)
    at_upper = np.clip(brackets.at_upper, -_LARGEST, _LARGEST)
    m = len(at_lower)
    half = np.full(m, 0.5)
    state = _State(
        np.arange(m),
        brackets.lower,
        brackets.upper,
        brackets.lower,
        at_lower,
        at_upper,
        at_lower,
        half,
    )
    not_above, not_below = np.empty(m), np.empty(m)
    for step in range(_MOST_STEPS):
        state, is_done, is_hit = _advance(functions, state, tol)
        is_done |= step == _MOST_STEPS - 1
        rows = state.number[is_done]
        own = state.take(np.flatnonzero(is_done))
        hit = is_hit[is_done]
        last_is_above = own.at_last > 0.0
        not_above[rows] = np.where(hit | ~last_is_above, own.last, own.across)
        not_below[rows] = np.where(hit | last_is_above, own.last, own.across)
        if is_done.all():
            break
        state = state.take(np.flatnonzero(~is_done))
    return not_above, not_below


def _advance(functions: Functions, state: _State, tol: float) -> tuple[_State, Array, Array]:
    """Take one step; say which searches are over, and which of them have hit the root."""
    number, last, across, _, at_last, at_across, _, share = state
    point = last + share * (across - last)
    value = np.clip(functions(number, point), -_LARGEST, _LARGEST)
    is_same_side = (value > 0.0) == (at_last > 0.0)
    before = np.where(is_same_side, last, across)
    at_before = np.where(is_same_side, at_last, at_across)
    across = np.where(is_same_side, across, last)
    at_across = np.where(is_same_side, at_across, at_last)
    is_hit = np.abs(value) <= tol
    width = np.abs(across - point)
    least = 2.0 * _EPSILON * np.maximum(np.abs(across), np.abs(point)) + np.finfo(float).tiny
    share = _next_share(point, across, before, value, at_across, at_before)
    # At least one digit away from either end, so that the last digits are used up.
    edge = np.minimum(least / np.maximum(width, least), 0.5)
    share = np.clip(share, edge, 1.0 - edge)
    moved = _State(number, point, across, before, value, at_across, at_before, share)
    return moved, is_hit | (width <= 2.0 * least), is_hit


def _next_share(
    point: Array, across: Array, before: Array, value: Array, at_across: Array, at_before: Array
) -> Array:
    """Return where to go between the point and the end across, by interpolation or halves."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        position = (point - across) / (before - across)
        height = (value - at_across) / (at_before - at_across)
        is_smooth = (height**2 < position) & ((1.0 - height) ** 2 < 1.0 - position)
        first = value / (at_across - value) * at_before / (at_across - at_before)
        slope = (before - point) / (across - point)
        second = slope * value / (at_before - value) * at_across / (at_before - at_across)
        share = first + second
    return np.where(is_smooth & np.isfinite(share), share, 0.5)
