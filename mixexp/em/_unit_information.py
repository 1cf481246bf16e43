"""What one row tells of a linear predictor: the unit that slopes are compared in.

A Gaussian's slopes are compared in residual deviations per deviation of the feature. For other
families one over the root of a row's information is that deviation (the unit information prior of
Kass & Wasserman 1995, section 2).
"""

from functools import partial

import numpy as np

from mixexp.em._objective import Problem
from mixexp.experts import Expert, IntervalExpert
from mixexp.model import ExpertGroup, Parameters, group_heads, linear_predictors

_SMALLEST_UNIT, _LARGEST_UNIT = 1e-6, 1e6
_LARGE_Y = 1e6


def slope_unit(problem: Problem, g: int, params: Parameters) -> float:
    """Return the deviation of a family's linear predictor that a row alone leaves, on average.

    Parameters
    ----------
    problem : Problem
    g : int
        Number of the family.
    params : Parameters
        The pooled fit.

    Returns
    -------
    float
        1 where y is in the unit already; for y between two limits, classes among them, whose
        predictors may run to infinity, where rows tell nothing; and for several locations.
    """
    if not _has_unit(problem.model.groups[g]):
        return 1.0
    information, weight = problem.total(partial(_sum_information, g=g, params=params), np.add)
    if not (np.isfinite(information) and information > 0.0 and weight > 0.0):
        return 1.0
    return float(np.clip(np.sqrt(weight / information), _SMALLEST_UNIT, _LARGEST_UNIT))


def _has_unit(group: ExpertGroup) -> bool:
    """Whether there is one location, and y goes on above zero, but not below it."""
    locations = [h for h in range(len(group.designs)) if group.is_location(h)]
    if len(locations) != 1 or group.is_location_scale or group.family.uses_trials:
        return False
    below, above = _base_of(group).find_unsupported(np.array([-1.0, _LARGE_Y]))
    return bool(below and not above)


def _base_of(group: ExpertGroup) -> Expert:
    """Return the family of y that is known exactly: the others tell less of it, or nothing."""
    family = group.family
    return family.base if isinstance(family, IntervalExpert) else family


def _sum_information(problem: Problem, g: int, params: Parameters) -> np.ndarray:
    """Return the weighted sum of curvatures over rows that a family may explain, and of weights."""
    model, group, out = problem.model, problem.model.groups[g], np.zeros(2)
    head = next(h for h in range(len(group.designs)) if group.is_location(h))
    for block in problem.held:
        heads = group_heads(model, linear_predictors(model, params, block))[g]
        first = tuple(values[:1] for values in heads)  # the pooled fit is that of all its experts
        y, family = block.targets[g], _base_of(group)
        _, derivatives = family.evaluate(y if family is group.family else y[0], first)
        is_own = (block.weight > 0.0) & ~np.isneginf(block.bases[g])
        curvature = np.broadcast_to(derivatives.curvature[head, head][0], is_own.shape)
        weight = block.weight[is_own]
        out += np.array([curvature[is_own] @ weight, weight.sum()])
    return out
