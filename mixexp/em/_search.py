"""Several starts, one winner."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from mixexp.em._driver import Outcome, run_em
from mixexp.em._problem import Problem
from mixexp.model import Parameters

# Objectives closer than this, relative, are one optimum: then the earliest start wins, so that
# rounding does not choose.
_SAME_OPTIMUM = 1e-8


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

    Parameters
    ----------
    problem : Problem
    starts : iterable of (str, Parameters)
    max_iter, tol, use_newton
        As for `run_em`.
    report : callable
        Told of each start when it has ended.
    """
    outcomes: list[Outcome] = []
    restarts: list[Restart] = []
    for name, params in starts:
        outcome = run_em(problem, params, max_iter=max_iter, tol=tol, use_newton=use_newton)
        outcomes.append(outcome)
        restarts.append(
            Restart(
                name,
                outcome.evaluation.stats.log_likelihood,
                outcome.objective,
                outcome.n_iter,
                outcome.is_converged,
                outcome.reason,
            )
        )
        report(restarts[-1])
    return Search(outcomes[_earliest_best([o.objective for o in outcomes])], restarts)


def _earliest_best(objectives: list[float]) -> int:
    best = np.nanmax(objectives)
    slack = _SAME_OPTIMUM * (1.0 + abs(best))
    return next(i for i, value in enumerate(objectives) if value >= best - slack)
