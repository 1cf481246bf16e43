"""Ways out of an optimum where an expert leans to the wrong side.

Given its rows, a skewed expert has an optimum for either sign of its skewness, and EM never crosses
from one to the other: between them lies the symmetric expert, a saddle.
"""

import numpy as np

from mixexp.em._objective import Problem
from mixexp.experts import Expert
from mixexp.model import Parameters


def draw_reflections(
    problem: Problem, params: Parameters, rng: np.random.Generator
) -> list[tuple[str, Parameters]]:
    """Return the parameters with one expert reflected, for each of its reflections.

    Parameters
    ----------
    problem : Problem
    params : Parameters
        Of the optimum to leave, without a leading axis.
    rng : Generator
        Unused.
    """
    model, out = problem.model, []
    lower, upper = model.flat_bounds
    for g, group in enumerate(model.groups):
        coefs = params.experts[g]
        heads = tuple(own[:, :1].copy() for own in coefs)
        facts = [model.slot_facts[model.slot_of[g, h]] for h in range(len(heads))]
        are_own = [not own.is_shared and own.known_log_dispersion is None for own in facts]
        for reflected in group.family.reflections(heads):
            _check_reflection(group.family, heads, reflected)
            for k, leaf in enumerate(group.leaves.tolist()):
                shifts = [
                    (after[k] - own[k]) * is_own
                    for own, after, is_own in zip(heads, reflected, are_own, strict=True)
                ]
                if not np.any(shifts):
                    continue
                moved = tuple(own.copy() for own in coefs)
                for own, shift in zip(moved, shifts, strict=True):
                    own[k, :1] += shift
                experts = (*params.experts[:g], moved, *params.experts[g + 1 :])
                flat = model.flatten(params._replace(experts=experts))
                start = model.unflatten(np.clip(flat, lower, upper))
                out.append((f"expert {leaf} reflected", model.project(start)))
    return out


def _check_reflection(
    family: Expert, heads: tuple[np.ndarray, ...], reflected: tuple[np.ndarray, ...]
) -> None:
    shapes = [np.shape(own) for own in reflected]
    if shapes != [own.shape for own in heads] or not all(map(np.all, map(np.isfinite, reflected))):
        raise ValueError(
            f"{type(family).__name__}.reflections must return finite heads of the shapes "
            f"{[own.shape for own in heads]} of those that it is given. Got shapes {shapes}."
        )
