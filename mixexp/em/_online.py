"""Online EM: sums over rows that are carried on from mini-batch to mini-batch, and steps from them.

Stepwise EM after Cappe & Moulines (2009, J. R. Stat. Soc. B 71, section 2.3): what an M-step needs
is a sum ``S``, and a mini-batch moves it by ``S + rate * (s - S)``, s being the sum of the batch at
the present parameters. Sums are absolute: those of a Gaussian expert are moments of its rows, and
for others ``A = sum w curvature x x'`` and ``b = A theta + score``. They are stored as gradient
and curvature *at the present parameters*, ``b - A theta`` and ``A``, and carried to the next ones
after every step (`carry_statistics`): the same numbers, without the digits that ``b`` would lose,
and what the M-step of a whole pass takes. Priors, constraints and bounds are so those of a fit.

Where experts overlap EM gains next to nothing per step, online as in a fit. Models of few
parameters therefore take Newton's steps on the log-likelihood itself, with its own running sums:
gradient and Louis's observed information, in the metric of EM's curvature and no more than fifty
times as long as EM's (`cautious_newton_move`).
"""

from dataclasses import dataclass, replace
from itertools import combinations
from typing import NamedTuple

import numpy as np

from mixexp.em._m_step import em_step
from mixexp.em._newton import cautious_newton_move, is_small
from mixexp.em._objective import Evaluation, Problem, evaluation_of
from mixexp.model import (
    GroupStatistics,
    Model,
    Parameters,
    Statistics,
    flat_gradient,
    map_parameters,
    map_statistics,
)

#: Rows of a mini-batch at least, and per column of the widest design.
BATCH_ROWS = 512
_ROWS_PER_COLUMN = 4
# The step of mini-batch t is t**-0.6: the sums then stand for the last t**0.6 batches, so that what
# was learned at poor parameters is forgotten, and the average of the iterates has the variance
# of an estimate from all rows (Cappe & Moulines 2009, section 2.4; Polyak & Juditsky 1992).
_EXPONENT = 0.6
# Beyond so many parameters an information matrix per mini-batch is too dear.
_MOST_PARAMETERS = 200
# Squared length of a Newton step in EM's metric, per row: about twice the divergence, in nats,
# between the models before and after.
_LONGEST = 0.02
# The average weighs iterate t by t**3 (Shamir & Zhang 2013): half of it is of the last sixth.
_LATENESS = 3.0


class RunningSums(NamedTuple):
    """What online EM knows of the rows that it has seen.

    Parameters
    ----------
    params : Parameters
        With a leading axis of one.
    stats : Statistics
        Of these parameters, as if all rows had been seen at them.
    weight : float
        Rows that the sums stand for: all so far, or as many as a constant rate remembers.
    n_batches : float
        Mini-batches so far, smaller ones as a part.
    slope : ndarray of shape (n_flat,) or None
        Gradient of the log-likelihood there; None where steps are EM's.
    information : ndarray of shape (n_flat, n_flat) or None
        Observed information.
    average : ndarray of shape (n_flat,) or None
        Average of the parameters; None before the first step.
    n_averaged : float
        Mini-batches that it is of.
    """

    params: Parameters
    stats: Statistics
    weight: float
    n_batches: float
    slope: np.ndarray | None = None
    information: np.ndarray | None = None
    average: np.ndarray | None = None
    n_averaged: float = 0.0


@dataclass(frozen=True, eq=False)
class _MiniBatch(Problem):
    """Rows that stand for more rows.

    Parameters
    ----------
    share : float
        Their weight, as a share of what they stand for.
    """

    share: float = 1.0

    def gate_gram(self, design: int) -> np.ndarray:
        return super().gate_gram(design) / self.share


def batch_rows(model: Model) -> int:
    """Return how many rows online EM takes for one step."""
    widest = max((columns for _, columns in model.slot_shapes), default=1)
    return max(BATCH_ROWS, _ROWS_PER_COLUMN * widest)


def begin_sums(problem: Problem, params: Parameters) -> RunningSums:
    """Return the sums of rows that a model was fitted to.

    Parameters
    ----------
    problem : Problem
    params : Parameters
        Without a leading axis.
    """
    model, first = problem.model, map_parameters(lambda array: array[None], params)
    weight, stats = problem.total_weight, problem.evaluate(first).stats
    found = RunningSums(first, stats, weight, weight / batch_rows(model))
    if not _takes_newton_steps(problem):
        return found
    slope, information = flat_gradient(model, stats)[0], problem.information(params)
    return found._replace(slope=slope, information=information)


def _takes_newton_steps(problem: Problem) -> bool:
    model = problem.model
    is_plain = not problem.is_classification and not model.penalty.has_l1
    return is_plain and is_small(problem) and model.n_parameters <= _MOST_PARAMETERS


def resume_sums(problem: Problem, params: Parameters, weight: float) -> RunningSums:
    """Return the sums of rows that are gone, at the optimum that a fit found for them.

    There the gradient of the log-likelihood is what the priors pull. The curvature is taken from
    other rows.

    Parameters
    ----------
    problem : Problem
        Of these other rows.
    params : Parameters
        Without a leading axis.
    weight : float
        Of the rows that are gone.
    """
    model, seen = problem.model, begin_sums(problem, params)
    factor = weight / seen.weight
    stats = map_statistics(lambda array: factor * array, seen.stats)
    found = seen._replace(stats=stats, weight=weight, n_batches=weight / batch_rows(model))
    if model.penalty.has_l1:  # where slopes are zero no gradient is known
        return found
    pull = -model.prior.at(model.flatten(seen.params)).gradient
    slots = model.slots(model.unflatten(pull))
    groups = tuple(
        GroupStatistics(
            tuple(slots[model.slot_of[g, h]] for h in range(len(group.gradient))), group.curvature
        )
        for g, group in enumerate(stats.groups)
    )
    gates = tuple(slots[: len(model.gates)])
    found = found._replace(stats=stats._replace(gate_gradient=gates, groups=groups))
    if seen.information is None:
        return found
    return found._replace(slope=pull[0], information=factor * seen.information)


def learn_batch(problem: Problem, known: RunningSums, forget: float | None) -> RunningSums:
    """Take one step of stepwise EM.

    Parameters
    ----------
    problem : Problem
        Of the rows of the mini-batch.
    known : RunningSums
    forget : float or None
        Share of what is known that each row replaces; None for steps that decay.

    Notes
    -----
    Costs a pass over the rows and one M-step; three passes where it takes Newton's steps.
    """
    model = problem.model
    own = problem.total_weight
    part = own / batch_rows(model)
    if forget is None:
        weight = known.weight + own
        rate = -np.expm1(part * np.log1p(-((2.0 + known.n_batches) ** -_EXPONENT)))
    else:
        weight = min(known.weight + own, max(1.0 / forget, own))
        rate = -np.expm1(own * np.log1p(-forget))
    share = own / weight
    penalty = model.penalty._replace(balance=model.penalty.balance * share)
    balanced = _MiniBatch(
        replace(model, penalty=penalty),
        problem.blocks,
        problem.n_threads,
        problem.is_classification,
        share=share,
    )
    kept, taken = (1.0 - rate) * weight / known.weight, rate / share
    moved = _step(model, balanced, known, kept, taken)
    moved = moved._replace(weight=weight, n_batches=known.n_batches + part)
    return _averaged(model, moved, part) if forget is None else moved._replace(average=None)


def _step(
    model: Model, batch: Problem, known: RunningSums, kept: float, taken: float
) -> RunningSums:
    """Mix what is known with a mini-batch, and step from there."""
    seen = batch.evaluate(known.params)
    stats = map_statistics(lambda old, new: kept * old + taken * new, known.stats, seen.stats)
    current = evaluation_of(model, known.params, stats)
    after, slope, information = None, known.slope, known.information
    if slope is not None and information is not None:
        alone = map_parameters(lambda array: array[0], known.params)
        slope = kept * slope + taken * flat_gradient(model, seen.stats)[0]
        information = kept * information + taken * batch.information(alone)
        steep = current._replace(gradient=slope + current.penalty.gradient)
        after = _newton_step(batch, seen, steep.take(0), information)
    params = after or em_step(batch, current, 0, False).params
    if slope is not None:
        slope = slope - information @ (model.flatten(params) - model.flatten(known.params))[0]
    stats = carry_statistics(model, stats, known.params, params)
    return known._replace(params=params, stats=stats, slope=slope, information=information)


def _newton_step(
    batch: Problem, seen: Evaluation, current: Evaluation, information: np.ndarray
) -> Parameters | None:
    """Return where Newton's step leads, or None if the mini-batch says that it is too far.

    The batch's log-likelihood changes by about as much as the step is long in its metric, up or
    down; by no more than three times that.
    """
    weight = float(current.stats.node_mass[0])
    found = cautious_newton_move(batch, current, information, _LONGEST * weight)
    if found is None:
        return None
    flat, length = found
    params = batch.model.unflatten(flat[None])
    own = length * batch.total_weight / weight
    least = seen.stats.log_likelihood[0] - 3.0 * own**0.5 - own
    return params if batch.evaluate(params).stats.log_likelihood[0] >= least else None


def learned_parameters(model: Model, known: RunningSums) -> Parameters:
    """Return the parameters to predict with: the average of the iterates, if there is one.

    Not with L1 penalties, for an average has no zeros.
    """
    if known.average is None or model.penalty.has_l1:
        return map_parameters(lambda array: array[0], known.params)
    return model.unflatten(known.average)


def _averaged(model: Model, moved: RunningSums, part: float) -> RunningSums:
    point = model.flatten(moved.params)[0]
    n_averaged = moved.n_averaged + part
    if moved.average is None:
        return moved._replace(average=point, n_averaged=part)
    newest = min((1.0 + _LATENESS) * part / (n_averaged + _LATENESS * part), 1.0)
    average = moved.average + newest * (point - moved.average)
    return moved._replace(average=average, n_averaged=n_averaged)


def carry_statistics(
    model: Model, stats: Statistics, before: Parameters, after: Parameters
) -> Statistics:
    """Return sums at other parameters, responsibilities as they were.

    Exact for Gaussian experts, whose sums are quadratic in the coefficients; for gates and other
    experts the quadratic model that an M-step maximises.

    Parameters
    ----------
    model : Model
    stats : Statistics
        At the parameters before.
    before, after : Parameters
        With a leading axis.
    """
    gates = tuple(
        _carry_gates(model, slot, stats, after.gates[slot] - before.gates[slot])
        for slot in range(len(model.gates))
    )
    groups = tuple(
        _carry_group(model, g, stats, before.experts[g], after.experts[g])
        for g in range(len(model.groups))
    )
    return stats._replace(gate_gradient=gates, groups=groups)


def _carry_gates(model: Model, slot: int, stats: Statistics, moved: np.ndarray) -> np.ndarray:
    """Return the gradient after a move: the information of a node is a graph Laplacian."""
    gates, out = model.gates[slot], stats.gate_gradient[slot].copy()
    for edges, pairs in zip(gates.spans, gates.pair_spans, strict=True):
        siblings = combinations(range(edges.start, edges.stop), 2)
        for (a, b), pair in zip(siblings, range(pairs.start, pairs.stop), strict=True):
            block = stats.gate_pairs[slot][:, pair]
            flow = (block @ (moved[:, a] - moved[:, b])[..., None])[..., 0]
            out[:, a] -= flow
            out[:, b] += flow
    return out


def _carry_group(
    model: Model,
    g: int,
    stats: Statistics,
    before: tuple[np.ndarray, ...],
    after: tuple[np.ndarray, ...],
) -> GroupStatistics:
    group, sums = model.groups[g], stats.groups[g]
    moved = [new - old for new, old in zip(after, before, strict=True)]
    gradient = [own.copy() for own in sums.gradient]
    for (a, b), block in sums.curvature.items():
        gradient[a] -= (block @ moved[b][..., None])[..., 0]
        if a != b:
            gradient[b] -= (np.swapaxes(block, -2, -1) @ moved[a][..., None])[..., 0]
    carried = GroupStatistics(tuple(gradient), sums.curvature)
    kinds = [head.kind for head in group.family.heads]
    if not group.family.has_mean_deviance_dispersion:
        return carried
    h = kinds.index("dispersion")
    if not model.is_narrow[group.designs[h]]:
        return carried
    return _carry_dispersion(carried, sums, h, moved, _mass_of(model, g, stats))


def _mass_of(model: Model, g: int, stats: Statistics) -> np.ndarray:
    return stats.node_mass[..., model.tree.leaves[model.groups[g].leaves]]


def _carry_dispersion(
    carried: GroupStatistics,
    sums: GroupStatistics,
    h: int,
    moved: list[np.ndarray],
    mass: np.ndarray,
) -> GroupStatistics:
    """Return the sums of experts whose log density is quadratic in the location.

    Their score of the log dispersion holds the sum of squares, which the location's move lowers
    by what it gains; all of them are in units of the dispersion, which has moved too.
    """
    gain = np.zeros_like(mass)
    for at in range(len(moved)):
        if at != h:
            gain += ((sums.gradient[at] + carried.gradient[at]) * moved[at]).sum(axis=-1)
    shrunk = np.exp(-moved[h][..., 0])
    deviance = shrunk * np.maximum(2.0 * sums.gradient[h][..., 0] + mass - gain, 0.0)
    gradient = [
        0.5 * (deviance - mass)[..., None] if at == h else own * shrunk[..., None]
        for at, own in enumerate(carried.gradient)
    ]
    curvature = {
        pair: block if h in pair else block * shrunk[..., None, None]
        for pair, block in carried.curvature.items()
    }
    return GroupStatistics(tuple(gradient), curvature)
