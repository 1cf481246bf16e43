"""Steps and projections under linear inequalities.

Both are a point of least distance: the shortest x with ``columns.T @ x >= needed`` is
``columns @ multipliers`` with multipliers of at least zero, a least-squares problem in
non-negative numbers (Lawson & Hanson 1995, chapter 23.4).
"""

import numpy as np
from scipy.linalg import cholesky, solve_triangular
from scipy.optimize import nnls

# Share of the scaled curvature that is added to it: nothing that an optimum would know of.
_LEAST_CURVATURE = 1e-10
# What rounding leaves of a unit that is needed and cannot be had.
_INFEASIBLE = 1e-9
# Distance from the boundary, in units of standardised coefficients, that counts as none.
AT_BOUNDARY = 1e-9
_ROUNDING = 1e-12


def least_multipliers(columns: np.ndarray, needed: np.ndarray) -> np.ndarray | None:
    """Return the multipliers of the shortest x with ``columns.T @ x >= needed``.

    Parameters
    ----------
    columns : ndarray of shape (n, m)
    needed : ndarray of shape (m,)

    Returns
    -------
    ndarray of shape (m,), or None
        ``x = columns @ multipliers``; None if no x is long enough.
    """
    sizes = np.linalg.norm(columns, axis=0)
    has_way = sizes > _ROUNDING * max(sizes.max(initial=0.0), 1.0)
    if np.any(needed[~has_way] > AT_BOUNDARY):
        return None
    per_size = np.where(has_way, needed / np.where(has_way, sizes, 1.0), 0.0)
    out = np.zeros(len(needed))
    reach = per_size.max(initial=0.0)
    if reach <= 0.0:
        return out
    # Distances in units of what is needed, for precision; those that are met by far count less.
    units = columns[:, has_way] / sizes[has_way]
    stacked = np.vstack([units, np.maximum(per_size[has_way] / reach, -1.0 / _ROUNDING)])
    target = np.zeros(len(stacked))
    target[-1] = 1.0
    found, _ = nnls(stacked, target)
    left = 1.0 - float(stacked[-1] @ found)
    if left <= _INFEASIBLE:
        return None
    out[has_way] = found * reach / left / sizes[has_way]
    return out


def step_within(
    matrix: np.ndarray, gradient: np.ndarray, rows: np.ndarray, slack: np.ndarray
) -> np.ndarray:
    """Return the step to the top of a quadratic model under ``rows @ step >= -slack``.

    Parameters
    ----------
    matrix : ndarray of shape (p, p)
        Minus the Hessian: symmetric, positive semi-definite.
    gradient : ndarray of shape (p,)
    rows : ndarray of shape (m, p)
    slack : ndarray of shape (m,)
        At least zero, so that no step at all is allowed.

    Notes
    -----
    Costs a Cholesky factor and O(p m) for each inequality that comes to hold with equality.
    """
    diagonal = np.diagonal(matrix)
    scale = 1.0 / np.sqrt(np.where(diagonal > 0.0, diagonal, 1.0))
    scaled = matrix * scale * scale[:, None]
    scaled[np.diag_indices_from(scaled)] += _LEAST_CURVATURE
    factor = cholesky(scaled, lower=True)
    aim = solve_triangular(factor, gradient * scale, lower=True)
    columns = solve_triangular(factor, (rows * scale).T, lower=True)
    needed = -slack - columns.T @ aim
    multipliers = least_multipliers(columns, needed)
    if multipliers is None:  # rounding alone: no step meets all of them
        return np.zeros(len(gradient))
    is_met = multipliers > 0.0
    # Which hold with equality is known now; how hard they press follows with all of its digits.
    own = columns[:, is_met]
    pressed = aim + own @ np.linalg.lstsq(own.T @ own, needed[is_met], rcond=None)[0]
    step = scale * solve_triangular(factor.T, pressed, lower=False)
    return step * allowed_share(rows[~is_met] @ step, slack[~is_met], float(np.abs(step).max()))


def allowed_share(change: np.ndarray, slack: np.ndarray, size: float) -> float:
    """Return the share of a step that leaves no slack below zero.

    Parameters
    ----------
    change : ndarray of shape (m,)
        Of the slack, along all of the step.
    slack : ndarray of shape (m,)
    size : float
        Of the step; changes that are rounding beside it count as none.
    """
    room = np.maximum(slack, 0.0)
    is_short = change < -room - _ROUNDING * (1.0 + size)
    return float(np.min(room[is_short] / -change[is_short], initial=1.0))


def pressing(columns: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """Return which inequalities that hold with equality keep a point from moving uphill.

    Those with a positive multiplier: without them the part of the gradient along which one may
    move would be longer.

    Parameters
    ----------
    columns : ndarray of shape (n, m)
        Directions into the allowed side.
    gradient : ndarray of shape (n,)

    Returns
    -------
    ndarray of shape (m,), bool
    """
    size = float(np.linalg.norm(gradient))
    if columns.shape[1] == 0 or size == 0.0:
        return np.zeros(columns.shape[1], dtype=bool)
    return np.asarray(nnls(columns, -gradient / size)[0] > 0.0)
