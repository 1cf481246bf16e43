"""Phases in front of EM that are to find better starts: drawn labels, and annealing.

Each takes starts and returns as many, from which plain EM goes on. What a start becomes does not
depend on which others are beside it.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from mixexp.em._driver import Options, Run, advance, begin, in_batches, stack_parameters
from mixexp.em._problem import Problem
from mixexp.em._steps import em_step
from mixexp.model import Parameters, assign, draw_labels

#: Iterations with drawn labels.
N_DRAWS = 30
#: Powers of the responsibilities in annealing, and iterations with each. From 0.3 on or less all
#: experts became alike, a saddle that they hardly left again.
POWERS = (*(0.5 * 1.1**i for i in range(8)), 1.0)
N_PER_POWER = 5
# Steps with drawn labels are not judged one by one, and may run off where rows come to be
# separated: so far below the best point, per unit of weight, none comes back by itself.
_LARGEST_FALL = 1.0

Phase = Callable[[Problem, Sequence[Parameters], Sequence[int]], list[Parameters]]


def keep_starts(
    problem: Problem, starts: Sequence[Parameters], seeds: Sequence[int]
) -> list[Parameters]:
    """Return the starts as they are."""
    return list(starts)


def anneal(
    problem: Problem, starts: Sequence[Parameters], seeds: Sequence[int]
) -> list[Parameters]:
    """Run EM with responsibilities to a power that rises to one.

    Deterministic annealing: Ueda & Nakano (1998), section 3. With a small power experts
    share rows and the objective has fewer optima; they part as it rises. Every power has
    `N_PER_POWER` iterations of the usual, monotone kind, on the objective that goes with it.
    Forgetting where a start stood can harm: where as many iterations of plain EM lead higher,
    these are kept, which is not in the paper.

    Parameters
    ----------
    problem : Problem
    starts : sequence of Parameters
    seeds : sequence of int
        Not used: nothing is random here.
    """
    annealed = list(starts)
    for power in POWERS:
        runs = _run(replace(problem, power=power), annealed, N_PER_POWER)
        annealed = [run.standing.alone().params for run in runs]
    plain = _run(problem, starts, N_PER_POWER * len(POWERS))
    pairs = zip(runs, plain, strict=True)
    return [max(pair, key=lambda run: run.objective).standing.alone().params for pair in pairs]


def _run(problem: Problem, starts: Sequence[Parameters], n_iter: int) -> list[Run]:
    options = Options(max_iter=n_iter, tol=0.0, acceleration="none")
    runs = begin(problem, starts, [None] * len(starts), options)
    advance(problem, runs, n_iter)
    return runs


def draw_and_climb(
    problem: Problem, starts: Sequence[Parameters], seeds: Sequence[int]
) -> list[Parameters]:
    """Run `N_DRAWS` iterations with labels drawn from responsibilities, and return the best point.

    Stochastic EM: Celeux & Diebolt (1985). Labels are noise that carries EM out of poor optima and
    saddles; what it visits is judged by the objective itself, the start included. From far below
    the best point it returns there.

    Parameters
    ----------
    problem : Problem
    starts : sequence of Parameters
    seeds : sequence of int
        One per start.
    """
    flatten, out = problem.model.flatten, []
    for some in in_batches(problem, range(len(starts))):
        params = stack_parameters(problem, [starts[i] for i in some])
        best, highest = flatten(params), np.full(len(some), -np.inf)
        for iteration in range(N_DRAWS + 1):
            draw = _label_drawer([seeds[i] for i in some], iteration)
            evaluation = problem.evaluate(params, draw)
            is_higher = evaluation.objective > highest
            best[is_higher] = flatten(params)[is_higher]
            highest = np.where(is_higher, evaluation.objective, highest)
            following = flatten(em_step(problem, evaluation, 0, False).params)
            is_near = evaluation.objective >= highest - _LARGEST_FALL * problem.total_weight
            params = problem.model.unflatten(np.where(is_near[:, None], following, best))
        out += [problem.model.unflatten(flat) for flat in best]
    return out


def _label_drawer(
    seeds: Sequence[int], iteration: int
) -> Callable[[slice, np.ndarray], np.ndarray]:
    """Return what draws labels; the numbers of a block do not depend on when its turn is."""

    def draw(rows: slice, resp: np.ndarray) -> np.ndarray:
        n_rows = resp.shape[-1]
        generators = [np.random.default_rng([seed, iteration, rows.start]) for seed in seeds]
        uniform = np.stack([rng.random(n_rows) for rng in generators])
        return assign(draw_labels(resp, uniform), len(resp))

    return draw


class Variant(NamedTuple):
    """A variant of EM.

    Parameters
    ----------
    prepare : callable
        What is done with starts in front of it.
    power : float
        Of its responsibilities, see `Problem`.
    """

    prepare: Phase
    power: float


#: Variants of EM by what they do with responsibilities.
RESPONSIBILITIES = {
    "soft": Variant(keep_starts, 1.0),
    "hard": Variant(keep_starts, np.inf),
    "stochastic": Variant(draw_and_climb, 1.0),
    "annealed": Variant(anneal, 1.0),
}
