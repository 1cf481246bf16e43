"""Families from a log density alone, with derivatives by differences, and a check of them.

`NumericalExpert` is for trying out a family; `check_derivatives` for trusting one whose
derivatives were written by hand.
"""

import numpy as np
from scipy.optimize import minimize

from mixexp.experts._base import Curvature, Derivatives, Expert, Heads
from mixexp.experts._units import NO_UNIT, changes_with_y
from mixexp.text import shown

_EPSILON = np.finfo(float).eps
# Central differences lose step**2 to curvature and eps / step**order to rounding; these balance.
_FIRST_STEP = _EPSILON ** (1.0 / 3.0)
_SECOND_STEP = _EPSILON**0.25
# Where the log density is flat a step is still to be had from what little slope there is.
_LEAST_CURVATURE = 1e-8
_WORST_LOG_DENSITY = -1e100


class NumericalExpert(Expert):
    """Base of families that give only ``name``, ``heads`` and ``log_kernel``.

    Score and observed curvature are central differences of the log density, good to some
    1e-10 and 1e-7 of its magnitude; EM steps use the absolute value of the curvature of every
    head, which points uphill and never farther than Newton's method. Add ``mean`` to predict,
    ``cdf`` to have quantiles.

    Notes
    -----
    ``2 + 2 n_heads**2`` evaluations of the log density per pass.
    """

    def derivatives(self, y: np.ndarray, heads: Heads) -> Derivatives:
        heads_range = range(len(heads))
        score = tuple(_first_difference(self, y, heads, a) for a in heads_range)
        bends = [_second_difference(self, y, heads, a, a) for a in heads_range]
        curvature = {(a, a): np.maximum(np.abs(bends[a]), _LEAST_CURVATURE) for a in heads_range}
        return Derivatives(score, curvature)

    def observed_curvature(self, y: np.ndarray, heads: Heads) -> Curvature:
        return {
            (a, b): -_second_difference(self, y, heads, a, b)
            for a in range(len(heads))
            for b in range(a, len(heads))
        }

    def start(self, y: np.ndarray, weight: np.ndarray) -> tuple[float, ...]:
        """Maximise the log density of y with constant heads, from zero."""

        def loss(at: np.ndarray) -> float:
            log_density = self.log_density(y, tuple(np.full((1, 1), value) for value in at))
            return -float(weight @ np.maximum(log_density[0], _WORST_LOG_DENSITY))

        lower, upper = zip(*((head.lower, head.upper) for head in self.heads), strict=True)
        origin = np.clip(np.zeros(len(lower)), lower, upper)
        bounds = list(zip(lower, upper, strict=True))
        found = minimize(loss, origin, method="Nelder-Mead", bounds=bounds)
        return tuple(float(value) for value in found.x)


def check_derivatives(family: Expert, y: np.ndarray, heads: Heads, tol: float = 1e-5) -> float:
    """Compare the derivatives of a family with central differences.

    The score is compared with differences of the log density, the observed curvature with
    differences of the score.

    Parameters
    ----------
    family : Expert
    y : ndarray of shape (rows,)
    heads : tuple of ndarray of shape (n, rows) or (n, 1)
    tol : float, default=1e-5
        Largest relative error that passes. Differences of the log density are good to some
        1e-10 of its magnitude over that of the score.

    Returns
    -------
    float
        The largest error, relative to 1 + the magnitude of what is compared.

    Raises
    ------
    AssertionError
        If that exceeds ``tol``, if the curvature for EM steps is negative, naming the head, or if
        the density does not change with y as heads declare.
    """
    found, observed = family.derivatives(y, heads), family.observed_curvature(y, heads)
    largest = 0.0
    for a, head in enumerate(family.heads):
        expected = _first_difference(family, y, heads, a)
        name = f"the score of head {shown(head.name)}"
        largest = max(largest, _checked_error(found.score[a], expected, tol, name))
        if (a, a) not in found.curvature or np.any(found.curvature[a, a] < 0.0):
            raise AssertionError(
                f"the EM curvature of head {shown(head.name)} is missing or negative"
            )
        for b in range(a, len(family.heads)):
            expected = -_score_difference(family, y, heads, a, b)
            name = f"the observed curvature of heads {a} and {b}"
            actual = observed.get((a, b), np.zeros_like(expected))
            largest = max(largest, _checked_error(actual, expected, tol, name))
    is_declared = any(head.unit not in (None, NO_UNIT) for head in family.heads)
    if is_declared and not family.has_outputs and not changes_with_y(family, family.units):
        raise AssertionError(
            f"the density does not change with y as the units of the heads say: {family.units}"
        )
    return largest


def _checked_error(actual: np.ndarray, expected: np.ndarray, tol: float, name: str) -> float:
    error = float(np.max(np.abs(actual - expected) / (1.0 + np.abs(expected)), initial=0.0))
    if not error <= tol:
        raise AssertionError(f"{name} differs from central differences by {error:.1e} > {tol:.1e}")
    return error


def _moved(heads: Heads, a: int, step: np.ndarray) -> Heads:
    return (*heads[:a], heads[a] + step, *heads[a + 1 :])


def _step(head: np.ndarray, relative: float) -> np.ndarray:
    """Return a step that is exact in floating point at this head."""
    wanted = relative * np.maximum(1.0, np.abs(head))
    return (head + wanted) - head


def _first_difference(family: Expert, y: np.ndarray, heads: Heads, a: int) -> np.ndarray:
    step = _step(heads[a], _FIRST_STEP)
    above = family.log_density(y, _moved(heads, a, step))
    return (above - family.log_density(y, _moved(heads, a, -step))) / (2.0 * step)


def _second_difference(family: Expert, y: np.ndarray, heads: Heads, a: int, b: int) -> np.ndarray:
    step_a, step_b = _step(heads[a], _SECOND_STEP), _step(heads[b], _SECOND_STEP)
    total = np.zeros(())
    for sign_a in (1.0, -1.0):
        for sign_b in (1.0, -1.0):
            moved = _moved(_moved(heads, a, sign_a * step_a), b, sign_b * step_b)
            total = total + sign_a * sign_b * family.log_density(y, moved)
    return total / (4.0 * step_a * step_b)


def _score_difference(family: Expert, y: np.ndarray, heads: Heads, a: int, b: int) -> np.ndarray:
    step = _step(heads[b], _FIRST_STEP)
    above = family.derivatives(y, _moved(heads, b, step)).score[a]
    return (above - family.derivatives(y, _moved(heads, b, -step)).score[a]) / (2.0 * step)
