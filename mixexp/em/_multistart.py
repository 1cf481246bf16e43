"""Several starts, one winner: poor ones are dropped early."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from mixexp.em._effort import USUAL, WEAK, Course, Effort, finish, for_given_starts
from mixexp.em._exchanges import draw_exchanges, draw_relabelings
from mixexp.em._iteration import Run, Watch, advance, begin
from mixexp.em._monitor import ASKED_TO_STOP, Monitor
from mixexp.em._moves import Tactic, split_and_merge
from mixexp.em._nestings import draw_moves_of_tree
from mixexp.em._objective import Problem
from mixexp.em._reflections import draw_reflections
from mixexp.em._results import (
    SAME_OPTIMUM,
    EMResult,
    Options,
    Restart,
    Search,
    rank_of,
    slack_of,
)
from mixexp.em._subsample import draw_sample
from mixexp.model import Parameters

# Iterations until finalists are looked at again, which climb.
_NEXT_LOOK = 4
# On a sample of the rows an optimum need not be known well, and so many are followed on all rows.
_SAMPLE_TOL = 1e-6
_N_JUDGED = 3
# Every exchange of a level's rows leads higher or ends the exchanges; so many at most.
_N_EXCHANGES = 10
_EXCHANGES = Tactic(draw_exchanges, is_plain=True)
# So do other nestings of a tree's experts, and moves beside them. Where many of them end does not
# show until EM has gone on for long, when it tells which are not to.
_N_NESTINGS = 8
_NESTINGS = Tactic(draw_moves_of_tree, looks=((6, 16), (20, 1)), is_plain=True)
# Relabelings are drawn by chance, and end after some rounds that led nowhere.
_N_RELABELINGS = 20
_RELABELINGS = Tactic(draw_relabelings, looks=((8, 24), (20, 1)), is_plain=True, n_tries=3)
# Rounds of reflections. Where one leads shows late: the expert narrows slowly.
_N_REFLECTIONS = 10
_REFLECTIONS = Tactic(draw_reflections, looks=((20, 3), (60, 1)))


def search(
    problem: Problem,
    course: Course,
    starts: Sequence[tuple[str, Parameters]],
    options: Options,
    monitor: Monitor,
    n_moves: int,
) -> Search:
    """Run EM from many starts and keep the highest penalised log-likelihood.

    Where the starts compete on a sample of the rows, the best optima that they find are followed to
    those of all rows. The monitor follows the latter alone.

    Parameters
    ----------
    problem : Problem
    course : Course
    starts : sequence of (str, Parameters)
        With their names.
    options : Options
    monitor : Monitor
    n_moves : int
        Rounds of split-and-merge moves, see `split_and_merge`.
    """
    if problem.model.tree.n_leaves == 1:  # it starts at its optimum, or next to it
        return _reflect(problem, compete(problem, starts, options, monitor), options, n_moves)
    sample, raced, weak, way, effort, seed = course
    n_exchanges, n_relabelings = (_N_EXCHANGES, _N_RELABELINGS) if n_moves else (0, 0)
    n_reflections = _N_REFLECTIONS if n_moves else 0
    n_nestings = max(_N_NESTINGS, n_moves) if n_moves and effort.nests else 0
    rough = way._replace(tol=max(way.tol, _SAMPLE_TOL))
    beaten: frozenset[int] = frozenset()
    if weak is not raced and len(starts) > 1 and effort.weak is not None:
        starts, beaten = start_from_weak_priors(weak, starts, seed, effort, n_moves)
        n_moves *= effort.n_late_rounds
    elif effort.weak is None or effort.nests:
        n_moves *= effort.n_rounds
    if sample.n_rows == problem.n_rows:  # all rows, in memory
        of_sample = monitor if sample is problem else Monitor()
        found = compete(raced, starts, way, of_sample, beaten, effort)
        found = split_and_merge(raced, found, seed, way, n_moves, effort)
        found = split_and_merge(raced, found, seed, way, n_reflections, effort, _REFLECTIONS)
        found = split_and_merge(raced, found, seed, way, n_nestings, effort, _NESTINGS)
        found = split_and_merge(raced, found, seed, way, n_exchanges, effort, _EXCHANGES)
        found = split_and_merge(raced, found, seed, way, n_relabelings, effort, _RELABELINGS)
        if effort.is_rough:
            found = _finish_best(sample, found, options)
        if sample is problem:
            return found
        return _follow(problem, found, options, monitor, "on all rows in memory")
    tried = compete(raced, starts, rough, Monitor(), beaten, effort)
    tried = split_and_merge(raced, tried, seed, rough, n_moves, effort)
    tried = split_and_merge(raced, tried, seed, rough, n_reflections, effort, _REFLECTIONS)
    tried = split_and_merge(raced, tried, seed, rough, n_nestings, effort, _NESTINGS)
    return _follow(problem, tried, options, monitor, f"on a sample of {sample.n_rows} rows")


def follow_given(
    problem: Problem,
    starts: Sequence[tuple[str, Parameters]],
    options: Options,
    monitor: Monitor,
    n_moves: int,
) -> Search:
    """Run EM from starts that somebody gave, which have no moves but reflections.

    Parameters
    ----------
    problem : Problem
    starts : sequence of (str, Parameters)
        With their names.
    options : Options
    monitor : Monitor
    n_moves : int
        No reflections if it is 0.
    """
    options = for_given_starts(problem, options)
    return _reflect(problem, compete(problem, starts, options, monitor), options, n_moves)


def _reflect(problem: Problem, found: Search, options: Options, n_moves: int) -> Search:
    if not n_moves or not found.best.is_converged:
        return found
    return split_and_merge(problem, found, 0, options, _N_REFLECTIONS, USUAL, _REFLECTIONS)


def _finish_best(problem: Problem, found: Search, options: Options) -> Search:
    """Finish the best optimum of a rough race, unless it was stopped; measure the others."""
    finals = [
        final._replace(evaluation=problem.evaluate(final.evaluation.params))
        for final in found.finals
    ]
    restarts, best = list(found.restarts), found.best
    if best.reason != ASKED_TO_STOP:
        finals[0] = finish(problem, best, options)
        at = [restart.objective for restart in restarts].index(best.objective)
        restarts[at] = Restart.of(restarts[at].start, finals[0])
    return Search(finals, found.places, restarts)


def _follow(
    problem: Problem, tried: Search, options: Options, monitor: Monitor, where: str
) -> Search:
    """Carry the best optima of a sample on to those of all rows."""
    restarts = tried.restarts
    race = _Race([restart.start for restart in restarts], monitor)
    judged: dict[int, EMResult] = {}
    for place, end in zip(tried.places, tried.finals, strict=True):
        if len(judged) < _N_JUDGED:
            judged.setdefault(place, end)  # the best that it came to, by moves if there were any
    ends = {i: end.evaluation.params for i, end in judged.items()}
    race.begin(problem, ends, for_given_starts(problem, options))
    for i, restart in enumerate(restarts):
        if i not in judged:
            race.end(i, restart._replace(reason=f"{restart.reason}; {where}", n_starts=0))
    race.finish(list(judged), options.max_iter)
    found = race.result(list(judged))
    for i, end in judged.items():
        slack = slack_of(end.objective)
        n_alike = sum(r.converged and abs(r.objective - end.objective) <= slack for r in restarts)
        found.restarts[i] = found.restarts[i]._replace(n_starts=max(n_alike, 1))
    return found


def start_from_weak_priors(
    weak: Problem,
    starts: Sequence[tuple[str, Parameters]],
    seed: int,
    effort: Effort,
    n_moves: int,
) -> tuple[list[tuple[str, Parameters]], frozenset[int]]:
    """Let some starts compete under weak priors first, for those that win to go on from there.

    Continuation in the strength of the priors: strong ones hold experts together until they are
    apart, so that EM may not get away from a start that mixes regimes, nor moves help. Half of
    the starts have this phase; a start that came higher than all before it is replaced by where it
    led to, and the others are beaten, unless experts of a tree change places later. Only earlier
    starts count, so that one more start changes none of the others.

    Parameters
    ----------
    weak : Problem
        With weak priors.
    starts : sequence of (str, Parameters)
    seed : int
        Of the directions that experts are split along.
    effort : Effort
    n_moves : int
        Rounds of split-and-merge moves, see `split_and_merge`.

    Returns
    -------
    starts : list of (str, Parameters)
    beaten : frozenset of int
        Numbers of the starts that were.
    """
    numbers = [i for i in range(len(starts)) if i % 4 < 2]
    options = effort.weak or WEAK
    if effort.weak_rows is not None:
        weak = draw_sample(weak, np.random.default_rng(seed), effort.weak_rows, 1.0)
    tried = compete(weak, [starts[i] for i in numbers], options, Monitor(), effort=effort)
    n_rounds = n_moves * effort.n_rounds
    tried = split_and_merge(weak, tried, seed, options, n_rounds, effort)
    out, beaten, best = list(starts), set(numbers), -np.inf
    ends = zip(tried.places, tried.finals, strict=True)
    for place, final in sorted(ends, key=lambda end: (end[0], end[1].objective)):
        if final.objective > best:
            best, at = final.objective, numbers[place]
            out[at] = (starts[at][0], final.evaluation.params)
            beaten.discard(at)
    return out, frozenset() if effort.nests else frozenset(beaten)


def compete(
    problem: Problem,
    starts: Sequence[tuple[str, Parameters]],
    options: Options,
    monitor: Monitor,
    beaten: Collection[int] = (),
    effort: Effort = USUAL,
) -> Search:
    """Run EM from every start, on all rows, and drop those that fall behind.

    All starts run together for 20, 40, 80, ... iterations, and those that two earlier starts (or
    one) have left behind by then are dropped. Only earlier starts count, so that one more start
    never changes what the others come to: more starts are never worse.

    Parameters
    ----------
    problem : Problem
    starts : sequence of (str, Parameters)
    options : Options
    monitor : Monitor
    beaten : collection of int
        Numbers of starts that are dropped at once.
    effort : Effort
        How soon starts are dropped.
    """
    race = _Race([name for name, _ in starts], monitor)
    race.begin(problem, {i: params for i, (_, params) in enumerate(starts)}, options)
    race.drop(beaten)
    finalists = race.drop_those_behind(options.max_iter, effort)
    if effort.drops_hopeless:
        finalists = race.finish_hopeful(finalists, options.max_iter)
    else:
        race.finish(finalists, options.max_iter)
    return race.result(finalists)


class _Race:
    """The runs of a search, by the number of their start, and what they have come to.

    Parameters
    ----------
    names : sequence of str
        Of all starts.
    monitor : Monitor
    """

    def __init__(self, names: Sequence[str], monitor: Monitor) -> None:
        self._names, self._monitor = names, monitor
        self.runs: dict[int, Run] = {}
        self._restarts: dict[int, Restart] = {}

    def begin(self, problem: Problem, starts: Mapping[int, Parameters], options: Options) -> None:
        """Measure the starts that run, and tell the monitor of all."""
        self._problem = problem
        self._monitor.begin(self._names)
        runs = begin(problem, list(starts.values()), [self._watch(i) for i in starts], options)
        self.runs = dict(zip(starts, runs, strict=True))

    def _watch(self, i: int) -> Watch | None:
        monitor = self._monitor
        if not monitor.follows_iterations:
            return None
        return lambda run: monitor.iterated(i, run.n_iter, run.objective, self._outcome)

    def _outcome(self, i: int) -> EMResult:
        return self.runs[i].outcome("")

    def drop(self, beaten: Collection[int]) -> None:
        """End some runs where they start."""
        for i in beaten:
            self._end_run(i, "dropped: earlier starts led higher under weak priors")

    def drop_those_behind(self, max_iter: int, effort: Effort) -> list[int]:
        """Carry runs on in rounds, and return those that are to be finished."""
        alive, n_iter = [i for i in self.runs if i not in self._restarts], effort.first_round
        n_rivals = effort.n_rivals
        while len(alive) > n_rivals and n_iter < max_iter:
            self._advance(alive, n_iter)
            # A spurious run stands for nothing: it neither beats another nor survives.
            objectives = {
                i: -np.inf if self.runs[i].is_spurious else self.runs[i].objective for i in alive
            }
            for i in alive:
                if (
                    _n_earlier_and_better(self._problem, objectives, i) >= n_rivals
                    and i not in self._restarts
                ):
                    self._end_run(i, "dropped: earlier starts were better by then")
            alive = [
                i for i in alive if _n_earlier_and_better(self._problem, objectives, i) < n_rivals
            ]
            n_iter *= 2
            if all(self.runs[i].is_over for i in alive):
                break
        return alive

    def finish(self, finalists: Sequence[int], max_iter: int) -> None:
        """Carry the finalists on to the end."""
        self._advance(finalists, max_iter)
        for i in finalists:
            if i not in self._restarts:
                self._end_run(i, f"stopped after max_iter={max_iter}")

    def finish_hopeful(self, finalists: Sequence[int], max_iter: int) -> list[int]:
        """Carry the best finalist on to the end, and others while they may pass it.

        Returns
        -------
        list of int
            Those that were carried to the end.
        """
        ended: list[int] = []
        for i in sorted(finalists, key=lambda i: rank_of(self._outcome(i))):
            run, best = self.runs[i], max((self.runs[j].objective for j in ended), default=-np.inf)
            while not run.is_over and run.n_iter < max_iter and run.hope >= best:
                self._advance([i], min(run.n_iter + _NEXT_LOOK, max_iter))
            if run.is_over or run.n_iter >= max_iter:
                ended.append(i)
        self.finish(ended, max_iter)
        for i in set(finalists) - set(ended):
            self._end_run(i, "dropped: another start had left it behind")
        return sorted(ended)

    def _advance(self, numbers: Sequence[int], max_iter: int) -> None:
        number_of = {id(self.runs[i]): i for i in numbers}
        runs = [self.runs[i] for i in numbers]
        advance(self._problem, runs, max_iter, lambda run: self._end_run(number_of[id(run)], ""))

    def _end_run(self, i: int, reason: str) -> None:
        outcome = self.runs[i].outcome(reason)
        self.end(i, Restart.of(self._names[i], outcome))

    def end(self, i: int, restart: Restart) -> None:
        """Note what a start has come to, and tell the monitor."""
        self._restarts[i] = restart
        self._monitor.ended(i, restart, self._outcome)

    def result(self, finalists: Sequence[int]) -> Search:
        """Return what all starts have come to."""
        outcomes = {i: self.runs[i].outcome(self._restarts[i].reason) for i in finalists}
        places = _distinct_optima(self._problem, outcomes)
        restarts = [self._restarts[i] for i in range(len(self._names))]
        return Search([outcomes[i] for i in places], places, restarts)


def _n_earlier_and_better(problem: Problem, objectives: dict[int, float], i: int) -> int:
    own = objectives[i]
    slack = SAME_OPTIMUM * (1.0 + problem.magnitude(own))
    least = own + slack if np.isfinite(own) else own
    return sum(value > least for j, value in objectives.items() if j < i)


def _distinct_optima(problem: Problem, outcomes: Mapping[int, EMResult]) -> list[int]:
    """Return the earliest start of every optimum that was found, the best optimum first."""
    places: list[int] = []
    for i in sorted(outcomes, key=lambda i: rank_of(outcomes[i])):
        slack = SAME_OPTIMUM * (1.0 + problem.magnitude(outcomes[i].objective))
        is_same = places and outcomes[i].is_spurious == outcomes[places[-1]].is_spurious
        if is_same and outcomes[i].objective >= outcomes[places[-1]].objective - slack:
            places[-1] = min(places[-1], i)
        else:
            places.append(i)
    return places
