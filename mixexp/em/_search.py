"""Several starts, one winner: poor ones are dropped early."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from mixexp.em._driver import Outcome, Run, stopped
from mixexp.em._problem import Problem
from mixexp.model import Parameters

# Objectives closer than this, relative, are one optimum: then the earliest start wins, so that
# rounding does not choose.
_SAME_OPTIMUM = 1e-8
# Successive halving: iterations of the first round, doubled in each, until so many are left.
_FIRST_ROUND = 20
_N_FINALISTS = 3


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
    starts: Iterable[tuple[str, Parameters]],
    *,
    max_iter: int,
    tol: float,
    use_newton: bool,
    report: Callable[[Restart], None],
) -> Search:
    """Run EM from every start and keep the highest penalised log-likelihood.

    All starts run for 20 iterations; the better half goes on for as many again, and so on
    until three are left, which run to the end. Halving is by the penalised log-likelihood.
    Successive halving: Jamieson & Talwalkar (2016), algorithm 1.

    Parameters
    ----------
    problem : Problem
    starts : iterable of (str, Parameters)
    max_iter : int
        Per start.
    tol, use_newton
        As for `Run`.
    report : callable
        Told of each start when it has ended.
    """
    names, runs = [], []
    for name, params in starts:
        names.append(name)
        runs.append(Run(problem, params, tol=tol, use_newton=use_newton))
    dropped = _drop_poor_runs(runs, max_iter)
    outcomes = [
        run.outcome._replace(reason="dropped: others were better by then")
        if i in dropped and not run.is_over
        else stopped(run.advance(max_iter))
        for i, run in enumerate(runs)
    ]
    restarts = [_restart(name, outcome) for name, outcome in zip(names, outcomes, strict=True)]
    for restart in restarts:
        report(restart)
    return Search(outcomes[_earliest_best([o.objective for o in outcomes])], restarts)


def _drop_poor_runs(runs: list[Run], max_iter: int) -> set[int]:
    """Carry runs on in rounds, and return those that are not to be finished."""
    alive, n_iter = list(range(len(runs))), _FIRST_ROUND
    while len(alive) > _N_FINALISTS and n_iter < max_iter:
        for i in alive:
            runs[i].advance(n_iter)
        # A stable sort: of equals the earlier start stays.
        ranked = sorted(alive, key=lambda i: -runs[i].outcome.objective)
        alive = ranked[: max(_N_FINALISTS, len(alive) // 2)]
        n_iter *= 2
    return set(range(len(runs))) - set(alive)


def _restart(name: str, outcome: Outcome) -> Restart:
    return Restart(
        name,
        outcome.evaluation.stats.log_likelihood,
        outcome.objective,
        outcome.n_iter,
        outcome.is_converged,
        outcome.reason,
    )


def _earliest_best(objectives: list[float]) -> int:
    best = np.nanmax(objectives)
    slack = _SAME_OPTIMUM * (1.0 + abs(best))
    return next(i for i, value in enumerate(objectives) if value >= best - slack)
