"""Whether a fit makes sense of the rows it was made from, and starts from which one can."""

from collections.abc import Sequence
from functools import partial
from operator import add

import numpy as np

from mixexp.em import Evaluation, Problem
from mixexp.estimators._warnings import FitWarning
from mixexp.exceptions import ImplausibleFitWarning
from mixexp.experts import Expert
from mixexp.model import (
    ExpertGroup,
    Parameters,
    block_priors,
    leaf_means,
    mean_of_block,
    posterior_of_block,
)
from mixexp.submodels._around import AroundExpert

# Means that leave the range of y by more than so many of its widths are no description of it.
_MOST_WIDTHS = 1e3
# Natural log units per row by which a fit may fall short of one expert for all rows; EM itself
# ends above that, so that only starts from far away leave it there.
_MOST_SHORT = 10.0
# A start that explains rows by so much less is no description of them, but numbers that
# overflowed or came from other data; each halving takes half of its distance away.
_MOST_SHORT_OF_START = 1e4
_MOST_HALVINGS = 1100


def find_implausible(
    name: str, problem: Problem, best: Evaluation, pooled: Parameters
) -> list[FitWarning]:
    """Return what is to be said of a fit that makes no sense of its rows.

    Parameters
    ----------
    name : str
        Of the estimator.
    problem : Problem
    best : Evaluation
        Of the fit.
    pooled : Parameters
        Of one expert for all rows.
    """
    n_beyond, reach = _means_beyond(problem, best.params)
    if n_beyond and _range_of_y(problem) == (0.0, 0.0):
        message = (
            f"{name}: every y is 0, so that the log means have no finite optimum: means of the fit "
            f"are at most {reach:.1e}. Use 'point_mass' for what is always zero."
        )
        return [FitWarning(message, ImplausibleFitWarning)]
    if n_beyond:
        message = (
            f"{name}: the means of {n_beyond} rows of the fit are beyond any plausible range of "
            f"y, up to {reach:.1e}. Look for extreme values of X or y; positive alpha, gate_alpha "
            "and dispersion_prior hold coefficients, as does another link or a log of y."
        )
        return [FitWarning(message, ImplausibleFitWarning)]
    short = _log_likelihood(problem, pooled) - float(best.stats.log_likelihood)
    if short > _MOST_SHORT * problem.total_weight:
        message = (
            f"{name}: the log-likelihood is {short:.1e} below that of a single expert. The start "
            "was too far from the data: use another 'init', or standardise what it was fitted to."
        )
        return [FitWarning(message, ImplausibleFitWarning)]
    return []


def find_cut_predictions(name: str, problem: Problem, params: Parameters) -> list[FitWarning]:
    """Return what is to be said of experts that predict means which their family has not.

    Rows count by the probability that the gate gives the expert there: what it would predict for
    the rows of others does no harm.

    Parameters
    ----------
    name : str
        Of the estimator.
    problem : Problem
    params : Parameters
        Of the fit.
    """
    others = problem.model.others
    places = [n for n, other in enumerate(others) if isinstance(other.submodel, AroundExpert)]
    if not places:
        return []
    cut = problem.total(partial(_rows_cut, params=params, places=places), add)
    found = []
    for place, share in zip(places, cut, strict=True):
        expert, leaf = others[place].submodel, problem.model.tree.leaf_position
        if share >= 1.0:
            message = (
                f"{name}: {expert.title}, expert {leaf(int(others[place].nodes[0]))}, predicts "
                f"zero or less for {share:.0f} of its rows, but means with "
                f"family={expert.measure.name!r} are positive: they are cut at next to nothing, "
                "where such rows have hardly any density. Use an estimator whose predictions are "
                "positive, such as one of log y in a TransformedTargetRegressor, or "
                "family='gaussian'."
            )
            found.append(FitWarning(message, UserWarning))
    return found


def _rows_cut(problem: Problem, params: Parameters, places: Sequence[int]) -> np.ndarray:
    """Return how many rows have predictions that are cut, expert by expert."""
    model, total = problem.model, np.zeros(len(places))
    for block in problem.held:
        prior = block_priors(model, params, block)[1]
        for at, place in enumerate(places):
            other, expert = model.others[place], model.others[place].submodel
            assert isinstance(expert, AroundExpert)
            is_cut = expert.is_cut(params.others[place].item(), model.view(other, block))
            leaf = model.tree.leaf_position(int(other.nodes[0]))
            total[at] += float(prior[leaf][is_cut & (block.weight > 0.0)].sum())
    return total


def bring_near(problem: Problem, start: Parameters, pooled: Parameters) -> Parameters:
    """Return a start, drawn toward the pooled fit by halves where it explains rows not at all."""
    model = problem.model
    if not model.is_linear:  # what lies between other parameters is not known
        return start
    worst = _log_likelihood(problem, pooled) - _MOST_SHORT_OF_START * problem.total_weight
    center, flat = model.flatten(pooled), model.flatten(start)
    for _ in range(_MOST_HALVINGS):
        near = model.unflatten(flat)
        if _log_likelihood(problem, near) >= worst or not np.isfinite(worst):
            break
        flat = center + 0.5 * (flat - center)
    return near


def _log_likelihood(problem: Problem, params: Parameters) -> float:
    return problem.total(partial(_sum_densities, params=params), add)


def _sum_densities(problem: Problem, params: Parameters) -> float:
    return float(
        sum(
            posterior_of_block(problem.model, params, block).log_density @ block.weight
            for block in problem.held
        )
    )


def _means_beyond(problem: Problem, params: Parameters) -> tuple[int, float]:
    """Return how many rows have means far from any y, and the largest of these means."""
    model = problem.model
    if not model.is_linear or not all(_has_mean(group.family) for group in model.groups):
        return 0, 0.0
    lowest, highest = _range_of_y(problem)
    width = (highest - lowest) or max(abs(lowest), abs(highest))
    look = partial(_look_beyond, params=params, lowest=lowest, highest=highest, width=width)
    return problem.total(look, _beyond_in_both)


def _look_beyond(
    problem: Problem, params: Parameters, lowest: float, highest: float, width: float
) -> tuple[int, float]:
    n_beyond, reach, slack = 0, 0.0, _MOST_WIDTHS * width
    for block in problem.held:
        means = leaf_means(problem.model, params, block)
        if means.min() >= lowest - slack and means.max() <= highest + slack:
            continue  # and so are averages of them
        mean = mean_of_block(problem.model, params, block)
        beyond = np.maximum(mean - highest, lowest - mean)
        is_beyond = ~(beyond <= slack)
        n_beyond += int(is_beyond.sum())
        reach = max(reach, float(np.abs(mean[is_beyond]).max(initial=0.0)))
    return n_beyond, reach


def _beyond_in_both(one: tuple[int, float], other: tuple[int, float]) -> tuple[int, float]:
    return one[0] + other[0], max(one[1], other[1])


def _has_mean(family: Expert) -> bool:
    """Tell whether a family predicts numbers; one of a user's own need not."""
    if family.has_outputs:
        return False
    return family.target == "regression" and type(family).mean is not Expert.mean


def _range_of_y(problem: Problem) -> tuple[float, float]:
    """Return least and largest y, in its unit."""
    return problem.total(_ends_of_rows, _range_of_both)


def _ends_of_rows(problem: Problem) -> tuple[float, float]:
    ends = [
        end
        for block in problem.held.without_features
        for group, target in zip(problem.model.groups, block.targets, strict=True)
        for end in _ends(group, target)
    ]
    return min(ends), max(ends)


def _range_of_both(one: tuple[float, float], other: tuple[float, float]) -> tuple[float, float]:
    return min(one[0], other[0]), max(one[1], other[1])


def _ends(group: ExpertGroup, target: np.ndarray) -> tuple[float, float]:
    seen = target[0] if target.ndim == 2 else target  # successes, of trials
    return (
        float(seen.min()) * group.scale + group.shift,
        float(seen.max()) * group.scale + group.shift,
    )
