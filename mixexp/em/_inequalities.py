"""Uphill steps of an M-step that do not break linear inequalities between coefficients."""

from typing import NamedTuple

import numpy as np

from mixexp.em._linear_systems import Solutions, solve_within_each
from mixexp.model import EqualityConstraints, step_with_l1, step_within

# Changes of a slack that count as none beside the step.
_ROUNDING = 1e-12


class Inequalities(NamedTuple):
    """Linear inequalities of some coefficients, for several starts.

    Parameters
    ----------
    rows : ndarray of shape (m, p)
    slack : ndarray of shape (n_starts, m)
        By how much each is more than met where the step begins.
    """

    rows: np.ndarray
    slack: np.ndarray


def inequalities_of(
    ties: EqualityConstraints, coordinates: np.ndarray, at: np.ndarray
) -> Inequalities | None:
    """Return the inequalities of some coefficients, None if there are none.

    Parameters
    ----------
    ties : EqualityConstraints
    coordinates : ndarray of shape (p,), int
        Numbers of the coefficients in the flat vector.
    at : ndarray of shape (n_starts, p)
        Where the step begins.
    """
    if ties.least_rows is None or ties.least is None:
        return None
    rows = ties.least_rows[:, coordinates]
    is_own = np.any(rows != 0.0, axis=1)
    if not is_own.any():
        return None
    return Inequalities(rows[is_own], at @ rows[is_own].T - ties.least[is_own])


def solve_inside_each(
    matrices: np.ndarray,
    gradient: np.ndarray,
    at: np.ndarray,
    bounds: tuple[np.ndarray, np.ndarray],
    inside: Inequalities,
) -> Solutions:
    """Return the steps to the top of quadratic models under inequalities and bounds.

    Where the step without inequalities breaks none it is the answer.

    Parameters
    ----------
    matrices : ndarray of shape (n_starts, p, p)
    gradient, at : ndarray of shape (n_starts, p)
    bounds : tuple of ndarray of shape (p,)
        Least and largest values, equal for what is known.
    inside : Inequalities
        In the coordinates of the steps.
    """
    free = solve_within_each(matrices, gradient, at, bounds)
    x = free.x.copy()
    slack = np.maximum(inside.slack, 0.0)
    room = slack + _ROUNDING * (1.0 + np.abs(x).max(axis=-1, keepdims=True))
    is_broken = np.any(x @ inside.rows.T < -room, axis=-1)
    for start in np.flatnonzero(is_broken):
        rows, own = _with_bounds(inside.rows, slack[start], at[start], bounds)
        moving = np.flatnonzero(bounds[0] < bounds[1])
        x[start] = 0.0
        x[start, moving] = step_within(
            matrices[start][np.ix_(moving, moving)], gradient[start, moving], rows[:, moving], own
        )
    return Solutions(x, free.is_deficient)


def _with_bounds(
    rows: np.ndarray, slack: np.ndarray, at: np.ndarray, bounds: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the inequalities and those that finite bounds are."""
    lower, upper = bounds
    unit = np.eye(len(at))
    low, high = np.isfinite(lower) & (lower < upper), np.isfinite(upper) & (lower < upper)
    own = np.concatenate([slack, (at - lower)[low], (upper - at)[high]])
    return np.vstack([rows, unit[low], -unit[high]]), np.maximum(own, 0.0)


def solve_with_l1_each(
    matrices: np.ndarray,
    gradient: np.ndarray,
    coef: tuple[np.ndarray, np.ndarray, np.ndarray],
    bounds: tuple[np.ndarray, np.ndarray],
    inside: Inequalities | None,
) -> tuple[Solutions, np.ndarray]:
    """Return the steps to the top of quadratic models with an L1 penalty, and what is zero then.

    Parameters
    ----------
    matrices : ndarray of shape (n_starts, q, q)
    gradient : ndarray of shape (n_starts, q)
        Without the L1 penalty.
    coef : tuple of ndarray
        Coefficients (n_starts, p) where steps begin, how they move (p, q), and L1 strengths (p,).
    bounds : tuple of ndarray of shape (q,)
        Least and largest values, equal for what is known, else infinite.
    inside : Inequalities or None
        In the coordinates of the steps.
    """
    flat, basis, l1 = coef
    moving = np.flatnonzero(bounds[0] < bounds[1])
    x, is_zero = np.zeros_like(gradient), np.zeros(flat.shape, dtype=bool)
    for start in range(len(flat)):
        rows, slack = np.zeros((0, len(moving))), np.zeros(0)
        if inside is not None:
            rows, slack = inside.rows[:, moving], np.maximum(inside.slack[start], 0.0)
        x[start, moving], is_zero[start] = step_with_l1(
            matrices[start][np.ix_(moving, moving)],
            gradient[start, moving],
            (flat[start], basis[:, moving], l1),
            (rows, slack),
        )
    return Solutions(x, np.zeros(len(flat), dtype=bool)), is_zero
