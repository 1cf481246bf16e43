"""Moves from optima that starts came to: the best of some is followed, if it leads higher."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from mixexp.em._effort import SCOUT_PAIRED, WEAK, Effort, coarsened
from mixexp.em._iteration import Run, advance, begin
from mixexp.em._monitor import ASKED_TO_STOP
from mixexp.em._objective import Problem
from mixexp.em._results import SAME_OPTIMUM, EMResult, Options, Restart, Search, rank_of
from mixexp.em._split_merge import draw_moves
from mixexp.em._subsample import draw_sample
from mixexp.model import Parameters

# Iterations that moves are given on all rows, where they were chosen on a sample.
_N_AGAIN = 3

#: From a problem, the optimum to leave and a source of randomness to starts with their names.
DrawMoves = Callable[[Problem, Parameters, np.random.Generator], list[tuple[str, Parameters]]]


class Tactic(NamedTuple):
    """How moves are drawn, and how far they are looked at.

    Parameters
    ----------
    draw : callable
    looks : tuple of (int, int) or None
        Iterations after which moves are looked at, and how many are then followed further; None
        for those of the effort.
    is_plain : bool
        Whether they are looked at after EM steps alone, and no optimum is left twice: for moves so
        many that Newton's steps for each would be most of their cost.
    n_tries : int
        Rounds without success that end the moves from an optimum: more than one where moves are
        drawn by chance.
    """

    draw: DrawMoves
    looks: tuple[tuple[int, int], ...] | None = None
    is_plain: bool = False
    n_tries: int = 1


SPLIT_AND_MERGE = Tactic(draw_moves)


def split_and_merge(
    problem: Problem,
    found: Search,
    seed: int,
    options: Options,
    n_moves: int,
    effort: Effort,
    tactic: Tactic = SPLIT_AND_MERGE,
) -> Search:
    """Try split-and-merge moves, or others, from the best optimum as long as they lead higher.

    Every optimum that was the best when its start came to it has its moves, not only the last: so
    that, here too, more starts are never worse. Where finalists are dropped that others have left
    behind, the best optimum alone has moves.

    Parameters
    ----------
    problem : Problem
    found : Search
    seed : int
        Of the directions that experts are split along.
    options : Options
    n_moves : int
        Rounds at most, per optimum.
    effort : Effort
        How soon moves are looked at, and on which rows.
    tactic : Tactic
        Other moves than these.
    """
    if not problem.model.is_linear:
        return found
    finals, places, restarts = list(found.finals), list(found.places), list(found.restarts)
    best, left = -np.inf, _Left(problem) if tactic.is_plain else None
    ends = list(zip(found.places, found.finals, strict=True))
    for place, final in ends[:1] if effort.drops_hopeless else sorted(ends, key=lambda end: end[0]):
        if final.objective <= best or final.is_spurious:
            continue
        best, rng = final.objective, np.random.default_rng([seed, place])
        for moved in _rounds(problem, final, rng, options, n_moves, effort, tactic, left):
            places.append(place)
            finals.append(moved[1])
            name = f"{restarts[place].start}: {moved[0]}"
            restarts.append(Restart.of(name, moved[1]))
    order = sorted(range(len(finals)), key=lambda i: rank_of(finals[i]))
    return Search([finals[i] for i in order], [places[i] for i in order], restarts)


def _rounds(
    problem: Problem,
    final: EMResult,
    rng: np.random.Generator,
    options: Options,
    n_moves: int,
    effort: Effort,
    tactic: Tactic,
    left: "_Left | None",
) -> Iterator[tuple[str, EMResult]]:
    """Yield what every move that led higher came to, with its name."""
    n_failed = 0
    for _ in range(n_moves):
        if n_failed == 0 and left is not None and left.knows(final):
            return
        # A fit that max_iter cut short ends there; under weak priors only the way is sought.
        if not final.is_converged and (options.tol < WEAK.tol or final.reason == ASKED_TO_STOP):
            return
        chosen = _most_hopeful(problem, final, rng, options, effort, tactic)
        if chosen is None:
            return
        outcome = _lead_higher(problem, final, chosen[1], options)
        if outcome is not None:
            final, n_failed = outcome, 0
            yield chosen[0], final
            continue
        n_failed += 1
        if n_failed == tactic.n_tries:
            return


def _lead_higher(problem: Problem, final: EMResult, run: Run, options: Options) -> EMResult | None:
    """Follow a move to its end; None if that is no higher than where it left, or spurious."""
    if run.hope < final.objective:
        return None
    advance(problem, [run], options.max_iter)
    outcome = run.outcome(f"stopped after max_iter={options.max_iter}")
    least = final.objective + SAME_OPTIMUM * (1.0 + problem.magnitude(final.objective))
    return None if outcome.is_spurious or outcome.objective <= least else outcome


def _most_hopeful(
    problem: Problem,
    final: EMResult,
    rng: np.random.Generator,
    options: Options,
    effort: Effort,
    tactic: Tactic,
) -> tuple[str, Run] | None:
    """Return the move that is ahead after some iterations, with its name; None if there is none."""
    scout = problem
    if effort.scout_rows is not None:
        scout = coarsened(draw_sample(problem, rng, effort.scout_rows, 1.0), SCOUT_PAIRED)
    moves = tactic.draw(scout, final.evaluation.params, rng)
    if not moves:
        return None
    way = options._replace(acceleration="none") if tactic.is_plain else options
    runs = begin(scout, [start for _, start in moves], [None] * len(moves), way)
    hopeful = list(range(len(runs)))
    for n_iter, n_kept in tactic.looks or effort.looks:
        advance(scout, [runs[i] for i in hopeful], min(n_iter, options.max_iter))
        hopeful = sorted(sorted(hopeful, key=lambda i: -runs[i].objective)[:n_kept])
    names, ahead = [moves[i][0] for i in hopeful], [runs[i] for i in hopeful]
    if scout is not problem:
        reached = [run.standing.alone().params for run in ahead]
        near = options._replace(climbs_after=1)
        ahead = begin(problem, reached, [None] * len(reached), near)
        advance(problem, ahead, min(_N_AGAIN, options.max_iter))
    winner = max(range(len(ahead)), key=lambda i: ahead[i].objective)
    if tactic.is_plain and scout is problem and ahead[winner].hope >= final.objective:
        reached = [ahead[winner].standing.alone().params]
        return names[winner], begin(problem, reached, [None], options)[0]
    return names[winner], ahead[winner]


class _Left:
    """Optima that moves have been tried from, by their objectives."""

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self._objectives: list[float] = []

    def knows(self, final: EMResult) -> bool:
        """Tell whether an optimum was left before, and note that it is now."""
        slack = SAME_OPTIMUM * (1.0 + self._problem.magnitude(final.objective))
        is_known = any(abs(final.objective - value) <= slack for value in self._objectives)
        self._objectives.append(final.objective)
        return is_known
