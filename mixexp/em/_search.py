"""Several starts, one winner: poor ones are dropped early."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from mixexp.em._driver import Outcome, Run, advance, begin
from mixexp.em._problem import Problem
from mixexp.model import Parameters

# Objectives closer than this, relative, are one optimum: then the earliest start wins, so that
# rounding does not choose.
_SAME_OPTIMUM = 1e-8
# Iterations of the first round; each round doubles them. A start is dropped at the end of a
# round if so many earlier starts were better by then.
_FIRST_ROUND = 20
_N_RIVALS = 2


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
    """Best outcome of several starts.

    Parameters
    ----------
    best : Outcome
    restarts : list of Restart
        In the order of the starts.
    """

    best: Outcome
    restarts: list[Restart]


def search(
    problem: Problem,
    starts: Sequence[tuple[str, Parameters]],
    *,
    max_iter: int,
    tol: float,
    use_newton: bool,
    report: Callable[[Restart], None],
) -> Search:
    """Run EM from every start and keep the highest penalised log-likelihood.

    All starts run together for 20, 40, 80, ... iterations, and those that two earlier starts have
    left behind by then are dropped. Only earlier starts count, so that one more start never
    changes what the others come to: more starts are never worse.

    Parameters
    ----------
    problem : Problem
    starts : sequence of (str, Parameters)
    max_iter : int
        Per start.
    tol, use_newton
        As for `Run`.
    report : callable
        Told of each start when it has ended.
    """
    runs = begin(problem, [params for _, params in starts], tol=tol, use_newton=use_newton)
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
    for restart in restarts:
        report(restart)
    return Search(_earliest_best([outcomes[i] for i in finalists]), restarts)


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


def _earliest_best(outcomes: list[Outcome]) -> Outcome:
    best = max(outcome.objective for outcome in outcomes)
    slack = _SAME_OPTIMUM * (1.0 + abs(best))
    return next(outcome for outcome in outcomes if outcome.objective >= best - slack)
