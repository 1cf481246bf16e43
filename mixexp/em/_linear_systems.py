"""Solves with symmetric positive semi-definite matrices that may be singular."""

from typing import NamedTuple

import numpy as np
from scipy.linalg import lapack

from mixexp import kernels
from mixexp.symmetric import eigh

# Scaled to a unit diagonal. Below this reciprocal condition a Cholesky solve has fewer than
# two digits, too few for refinement by increments; eigenvalues then decide what is determined.
_SMALLEST_RCOND = 1e-14
_SMALLEST_EIGENVALUE = 1e-13
# Systems larger than this are solved faster one by one in LAPACK than in the compiled loop,
# as are those whose factor has a squared pivot below the second number: more carefully.
_MOST_COLUMNS = 64
_SMALLEST_PIVOT = 1e-10
# Where an expert is sure of the wrong class, next to no curvature meets a finite slope: a step of
# this length is as good as one that overflows, and bounds and the objective cut either short.
_LONGEST_STEP = 1e200


class Solution(NamedTuple):
    """Solution of a linear system.

    Parameters
    ----------
    x : ndarray of shape (p,) or (p, n_sides)
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
    right : ndarray of shape (p,) or (p, n_sides)

    Returns
    -------
    Solution
        Of least norm, on the scaled diagonal, where the matrix is singular.
    """
    if len(right) == 0:
        return Solution(np.zeros(right.shape), False)
    diagonal = np.diagonal(matrix)
    is_bent = diagonal > kernels.SMALLEST_DIAGONAL
    scale = np.where(is_bent, 1.0 / np.sqrt(np.where(is_bent, diagonal, 1.0)), 0.0)
    scaled_right = (right.T * scale).T
    # Large ones pass through memory as seldom as may be, in LAPACK's order and in place.
    scaled = _scaled(matrix, scale).T
    norm = lapack.dlange("1", scaled)
    factor, x, info = lapack.dposv(scaled, scaled_right, lower=1, overwrite_a=1)
    if info == 0:
        rcond, _ = lapack.dpocon(factor, norm, uplo="L")
        if rcond > _SMALLEST_RCOND:
            return Solution(_unscale(x, scale), False)
    return _solve_by_eigenvalues(_scaled(matrix, scale), scaled_right, scale)


def _scaled(matrix: np.ndarray, scale: np.ndarray) -> np.ndarray:
    scaled = np.multiply(matrix, scale, order="C")
    scaled *= scale[:, None]
    return scaled


def _solve_by_eigenvalues(scaled: np.ndarray, right: np.ndarray, scale: np.ndarray) -> Solution:
    values, vectors = eigh(scaled)
    is_kept = values > _SMALLEST_EIGENVALUE * max(values[-1], 0.0)
    kept = vectors[:, is_kept]
    x = kept @ ((kept.T @ right).T / values[is_kept]).T
    return Solution(_unscale(x, scale), not is_kept.all())


def _unscale(x: np.ndarray, scale: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        return np.clip((x.T * scale).T, -_LONGEST_STEP, _LONGEST_STEP)


class Solutions(NamedTuple):
    """Solutions of several linear systems.

    Parameters
    ----------
    x : ndarray of shape (..., p)
    is_deficient : ndarray of shape (...), bool
        Whether some direction was not determined, and left at zero.
    """

    x: np.ndarray
    is_deficient: np.ndarray


def solve_semidefinite_shared(matrix: np.ndarray, right: np.ndarray) -> Solutions:
    """Solve one system for several right-hand sides, with one factor.

    Parameters
    ----------
    matrix : ndarray of shape (p, p)
    right : ndarray of shape (..., p)
    """
    sides = right.reshape(-1, right.shape[-1])
    solution = solve_semidefinite(matrix, np.asfortranarray(sides.T))
    deficient = np.full(right.shape[:-1], solution.is_deficient)
    return Solutions(solution.x.T.reshape(right.shape), deficient)


def solve_semidefinite_each(matrices: np.ndarray, right: np.ndarray) -> Solutions:
    """Solve every system as `solve_semidefinite` does, the regular ones all in one call.

    Parameters
    ----------
    matrices : ndarray of shape (..., p, p)
    right : ndarray of shape (..., p)
    """
    lead, p = right.shape[:-1], right.shape[-1]
    # Copies, for the kernel works in place.
    x = np.array(right, order="C").reshape(-1, p)
    pivot = np.zeros(len(x))
    if p <= _MOST_COLUMNS:
        systems = np.array(matrices, order="C").reshape(len(x), p, p)
        kernels.solve_definite_each(systems, x, np.empty(p), pivot)
    deficient = np.zeros(len(x), dtype=bool)
    for i in np.flatnonzero(pivot < _SMALLEST_PIVOT):
        at = np.unravel_index(i, lead)
        x[i], deficient[i] = solve_semidefinite(matrices[at], right[at])
    return Solutions(x.reshape(right.shape), deficient.reshape(lead))


def solve_within_each(
    matrices: np.ndarray,
    gradient: np.ndarray,
    at: np.ndarray,
    bounds: tuple[np.ndarray, np.ndarray],
) -> Solutions:
    """Return uphill steps that do not leave the bounds, one per system; see `solve_within`.

    Parameters
    ----------
    matrices : ndarray of shape (..., p, p)
    gradient, at : ndarray of shape (..., p)
    bounds : tuple of ndarray of shape (p,)
    """
    lower, upper = bounds
    free = solve_semidefinite_each(matrices, gradient)
    target = at + free.x
    # Strictly, so that a step that overflowed is not inside of infinite bounds.
    is_inside = (lower < at) & (at < upper) & (lower < target) & (target < upper)
    x, deficient = free
    for i in zip(*np.nonzero(~is_inside.all(axis=-1)), strict=True):
        x[i], deficient[i] = solve_within(matrices[i], gradient[i], at[i], bounds)
    return Solutions(x, deficient)


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
