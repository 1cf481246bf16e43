"""When to stop: what is still to be gained, and how steep the slope still is."""

from collections.abc import Sequence

import numpy as np

from mixexp.em._objective import Evaluation, Problem
from mixexp.model import Model, Parameters

# Aitken's ratio of successive gains is held below this, so that a plateau of equal tiny gains
# counts for a hundred times its last gain and no more.
_LARGEST_RATIO = 0.99
# Sums of n log densities are good to some 1e-13 of their magnitude.
_ROUNDING = 1e-13
# Subgradients of slopes with an L1 penalty, as a share of its strength, where EM may end.
_LARGEST_VIOLATION = 1e-6


def allowed_gain(tol: float, magnitude: float, total_weight: float) -> float:
    """Return the gain that is too small to matter; weights may be far below one."""
    return tol * (min(1.0, total_weight) + magnitude)


def remaining_gain(history: Sequence[float]) -> float:
    """Estimate what EM has still to gain: its last gain over one less Aitken's ratio.

    Gains of EM shrink geometrically, and near one where experts overlap: the last gain
    alone would stop far from the optimum. Bohning et al. (1994), section 2.

    Parameters
    ----------
    history : sequence of float
        The objective after every iteration, the start first.
    """
    if len(history) < 2:
        return np.inf
    last = history[-1] - history[-2]
    if last <= 0.0:
        return 0.0
    if len(history) < 3:
        return last / (1.0 - _LARGEST_RATIO)
    before = history[-2] - history[-3]
    ratio = min(last / before, _LARGEST_RATIO) if before > 0.0 else _LARGEST_RATIO
    return last / (1.0 - ratio)


def left_after(gains: Sequence[float]) -> float:
    """Estimate what is left after a step from the gains it and the one before promise.

    Parameters
    ----------
    gains : sequence of float
        See `slope_gains`, one per step, that in question last.
    """
    ratio = gains[-1] / gains[-2] if len(gains) > 1 and gains[-2] > 0.0 else _LARGEST_RATIO
    ratio = min(ratio, _LARGEST_RATIO)
    return gains[-1] * ratio / (1.0 - ratio)


def rounding_noise(problem: Problem, objective: float) -> float:
    """Return what rounding alone may change the objective by."""
    n_rows = problem.total_weight + problem.model.penalty.balance
    return _ROUNDING * (n_rows + abs(objective))


def slope_gains(problem: Problem, current: Evaluation, following: Parameters) -> np.ndarray:
    """Return half the squared gradient in the metric of EM's curvature, per start.

    An EM step is the gradient over that curvature, so this is gradient times step: free of
    units, and what the step would gain on EM's quadratic model.
    """
    flatten = problem.model.flatten
    moved = flatten(following) - flatten(current.params)
    return 0.5 * np.abs(np.einsum("si,si->s", current.gradient, moved))


def is_stationary(model: Model, current: Evaluation, noise: float, allowed: float) -> bool:
    """Tell whether slopes with an L1 penalty meet the conditions of an optimum.

    Nothing is asked of strengths by which a slope of one costs less than gains that do not matter.

    Parameters
    ----------
    model : Model
    current : Evaluation
        Of one start, without a leading axis.
    noise : float
        What rounding changes a gradient by: of features of unit size as much as the objective.
    allowed : float
        Gain that is too small to matter.
    """
    if not model.penalty.has_l1:
        return True
    flat, least = model.flatten(current.params), noise / _LARGEST_VIOLATION
    found = model.prior.violation(current.gradient, flat, least, allowed)
    return found <= _LARGEST_VIOLATION
