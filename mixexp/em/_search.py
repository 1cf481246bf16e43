"""Several starts, one winner: poor ones are dropped early."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from mixexp.em._driver import Outcome, Run, advance, begin
from mixexp.em._problem import Problem
from mixexp.em._sample import sample_problem
from mixexp.model import Parameters

# Objectives closer than this, relative, are one optimum: then the earliest start wins, so that
# rounding does not choose.
_SAME_OPTIMUM = 1e-8
# Iterations of the first round; each round doubles them. A start is dropped at the end of a
# round if so many earlier starts were better by then.
_FIRST_ROUND = 20
_N_RIVALS = 2
# On a sample of the rows an optimum need not be known well, and so many are judged by all rows.
_SAMPLE_TOL = 1e-6
_N_JUDGED = 3


class Restart(NamedTuple):
    """What one start came to.

    Parameters
    ----------
    start : str
        Name of the start.
    log_likelihood : float
        Where it ended.
    objective : float
        The same with the penalty.
    n_iter : int
    converged : bool
    reason : str
        Why it ended.
    """

    start: str
    log_likelihood: float
    objective: float
    n_iter: int
    converged: bool
    reason: str


class Search(NamedTuple):
    """What several starts came to.

    Parameters
    ----------
    finals : list of Outcome
        Distinct optima, the best first.
    places : list of int
        Number of the start that led to each.
    restarts : list of Restart
        In the order of the starts.
    """

    finals: list[Outcome]
    places: list[int]
    restarts: list[Restart]

    @property
    def best(self) -> Outcome:
        return self.finals[0]


class Options(NamedTuple):
    """How every start is run.

    Parameters
    ----------
    max_iter : int
        Iterations per start.
    tol : float
    acceleration : str
        See `Run`.
    """

    max_iter: int
    tol: float
    acceleration: str


def search(
    problem: Problem,
    draw: Callable[[Problem], Sequence[tuple[str, Parameters]]],
    rng: np.random.Generator,
    options: Options,
) -> Search:
    """Run EM from many starts and keep the highest penalised log-likelihood.

    Where there are many rows, the starts compete on a sample of them, and the best are judged
    by all rows: the one that is best there goes on.

    Parameters
    ----------
    problem : Problem
    draw : callable
        Returns starts with their names for a problem.
    rng : Generator
        Draws the sample.
    options : Options
    """
    sample = sample_problem(problem, rng)
    if sample is problem:
        return compete(problem, draw(problem), options)
    tried = compete(sample, draw(sample), options._replace(tol=max(options.tol, _SAMPLE_TOL)))
    finals = [outcome.evaluation.params for outcome in tried.finals[:_N_JUDGED]]
    runs = begin(problem, finals, tol=options.tol, acceleration=options.acceleration)
    best = max(runs, key=lambda run: run.objective)
    advance(problem, [best], options.max_iter)
    outcome = best.outcome(f"stopped after max_iter={options.max_iter}")
    place = tried.places[runs.index(best)]
    restarts = [
        _restart(restart.start, outcome)
        if i == place
        else restart._replace(reason=f"{restart.reason}; on a sample of {sample.n_rows} rows")
        for i, restart in enumerate(tried.restarts)
    ]
    return Search([outcome], [place], restarts)


def compete(problem: Problem, starts: Sequence[tuple[str, Parameters]], options: Options) -> Search:
    """Run EM from every start, on all rows, and drop those that fall behind.

    All starts run together for 20, 40, 80, ... iterations, and those that two earlier starts have
    left behind by then are dropped. Only earlier starts count, so that one more start never
    changes what the others come to: more starts are never worse.

    Parameters
    ----------
    problem : Problem
    starts : sequence of (str, Parameters)
    options : Options
    """
    max_iter = options.max_iter
    params = [start for _, start in starts]
    runs = begin(problem, params, tol=options.tol, acceleration=options.acceleration)
    finalists = _race(problem, runs, max_iter)
    advance(problem, [runs[i] for i in finalists], max_iter)
    outcomes = [
        run.outcome(
            f"stopped after max_iter={max_iter}"
            if i in finalists
            else "dropped: earlier starts were better by then"
        )
        for i, run in enumerate(runs)
    ]
    restarts = [
        _restart(name, outcome) for (name, _), outcome in zip(starts, outcomes, strict=True)
    ]
    places = _distinct_optima(outcomes, finalists)
    return Search([outcomes[i] for i in places], places, restarts)


def _race(problem: Problem, runs: list[Run], max_iter: int) -> list[int]:
    """Carry runs on in rounds, and return those that are to be finished."""
    alive, n_iter = list(range(len(runs))), _FIRST_ROUND
    while len(alive) > _N_RIVALS and n_iter < max_iter:
        advance(problem, [runs[i] for i in alive], n_iter)
        objectives = {i: runs[i].objective for i in alive}
        alive = [i for i in alive if _n_earlier_and_better(objectives, i) < _N_RIVALS]
        n_iter *= 2
        if all(runs[i].is_over for i in alive):
            break
    return alive


def _n_earlier_and_better(objectives: dict[int, float], i: int) -> int:
    slack = _SAME_OPTIMUM * (1.0 + abs(objectives[i]))
    return sum(value > objectives[i] + slack for j, value in objectives.items() if j < i)


def _restart(name: str, outcome: Outcome) -> Restart:
    return Restart(
        name,
        float(outcome.evaluation.stats.log_likelihood),
        outcome.objective,
        outcome.n_iter,
        outcome.is_converged,
        outcome.reason,
    )


def _distinct_optima(outcomes: Sequence[Outcome], finalists: Sequence[int]) -> list[int]:
    """Return the earliest start of every optimum that was found, the best optimum first."""
    places: list[int] = []
    for i in sorted(finalists, key=lambda i: -outcomes[i].objective):
        slack = _SAME_OPTIMUM * (1.0 + abs(outcomes[i].objective))
        if places and outcomes[i].objective >= outcomes[places[-1]].objective - slack:
            places[-1] = min(places[-1], i)
        else:
            places.append(i)
    return places
