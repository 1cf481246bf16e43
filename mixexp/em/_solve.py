"""Solves with symmetric positive semi-definite matrices that may be singular."""

from typing import NamedTuple

import numpy as np
from scipy.linalg import lapack

# Scaled to a unit diagonal. Below this reciprocal condition a Cholesky solve has fewer than
# two digits, too few for refinement by increments; eigenvalues then decide what is determined.
_SMALLEST_RCOND = 1e-14
_SMALLEST_EIGENVALUE = 1e-13


class Solution(NamedTuple):
    """Solution of a linear system.

    Parameters
    ----------
    x : ndarray of shape (p,)
    is_deficient : bool
        Whether some direction was not determined, and left at zero.
    """

    x: np.ndarray
    is_deficient: bool


def solve_semidefinite(matrix: np.ndarray, right: np.ndarray) -> Solution:
    """Solve by Cholesky on a unit diagonal, by eigenvalues where that is singular.

    Parameters
    ----------
    matrix : ndarray of shape (p, p)
        Symmetric, positive semi-definite up to rounding.
    right : ndarray of shape (p,)

    Returns
    -------
    Solution
        Of least norm, on the scaled diagonal, where the matrix is singular.
    """
    if len(right) == 0:
        return Solution(np.zeros(0), False)
    diagonal = np.diagonal(matrix)
    scale = 1.0 / np.sqrt(np.where(diagonal > 0.0, diagonal, 1.0))
    scaled = matrix * scale * scale[:, None]
    factor, x, info = lapack.dposv(scaled, right * scale)
    if info == 0:
        norm = np.abs(scaled).sum(axis=0).max()
        rcond, _ = lapack.dpocon(factor, norm)
        if rcond > _SMALLEST_RCOND:
            return Solution(x * scale, False)
    return _solve_by_eigenvalues(scaled, right * scale, scale)


def _solve_by_eigenvalues(scaled: np.ndarray, right: np.ndarray, scale: np.ndarray) -> Solution:
    values, vectors = np.linalg.eigh(scaled)
    is_kept = values > _SMALLEST_EIGENVALUE * max(values[-1], 0.0)
    kept = vectors[:, is_kept]
    return Solution(kept @ ((kept.T @ right) / values[is_kept]) * scale, not is_kept.all())


def solve_within(
    matrix: np.ndarray,
    gradient: np.ndarray,
    at: np.ndarray,
    bounds: tuple[np.ndarray, np.ndarray],
) -> Solution:
    """Return an uphill step that does not leave the bounds.

    Coordinates that a bound holds back do not move, and the step is shortened as a whole to
    the first bound that it meets: to cut single coordinates could turn it downhill.

    Parameters
    ----------
    matrix : ndarray of shape (p, p)
        Symmetric, positive semi-definite.
    gradient, at : ndarray of shape (p,)
        Slope and present point.
    bounds : tuple of ndarray of shape (p,)
        Least and largest values.
    """
    lower, upper = bounds
    if not (np.isfinite(lower).any() or np.isfinite(upper).any()):
        return solve_semidefinite(matrix, gradient)
    is_held = ((at <= lower) & (gradient <= 0.0)) | ((at >= upper) & (gradient >= 0.0))
    free = np.flatnonzero(~is_held)
    solution = solve_semidefinite(matrix[np.ix_(free, free)], gradient[free])
    step = np.zeros_like(at)
    step[free] = solution.x
    moving = np.flatnonzero(step)
    limit = np.where(step > 0.0, upper, lower)[moving]
    share = np.min((limit - at[moving]) / step[moving], initial=1.0)
    return Solution(max(share, 0.0) * step, solution.is_deficient)


def solve_definite(matrix: np.ndarray, right: np.ndarray) -> np.ndarray | None:
    """Solve, or return None unless the matrix is safely positive definite."""
    diagonal = np.diagonal(matrix)
    if len(right) == 0 or not np.all(diagonal > 0.0):
        return None
    scale = 1.0 / np.sqrt(diagonal)
    scaled = matrix * scale * scale[:, None]
    factor, x, info = lapack.dposv(scaled, right * scale)
    if info != 0 or not np.all(np.isfinite(x)):
        return None
    rcond, _ = lapack.dpocon(factor, np.abs(scaled).sum(axis=0).max())
    return x * scale if rcond > _SMALLEST_RCOND else None
