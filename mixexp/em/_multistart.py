"""Several starts, one winner: poor ones are dropped early."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

import numpy as np

from mixexp.em._convergence import remaining_gain
from mixexp.em._effort import USUAL, WEAK, Course, Effort, finish
from mixexp.em._exchanges import draw_exchanges
from mixexp.em._iteration import Run, Watch, advance, begin
from mixexp.em._monitor import ASKED_TO_STOP, Monitor
from mixexp.em._objective import Problem
from mixexp.em._results import EMResult, Options, Restart, Search, slack_of
from mixexp.em._split_merge import draw_moves
from mixexp.em._subsample import draw_sample
from mixexp.model import Parameters

# Objectives closer than this, relative, are one optimum: then the earliest start wins, so that
# rounding does not choose.
_SAME_OPTIMUM = 1e-8
# Iterations until finalists are looked at again.
_FIRST_ROUND = 20
# A move, or a finalist of a dear search, is given up that is further behind than so many times
# what its own pace promises.
_HOPE = 10.0
# On a sample of the rows an optimum need not be known well, and so many are followed on all rows.
_SAMPLE_TOL = 1e-6
_N_JUDGED = 3
# Every exchange of a level's rows leads higher or ends the exchanges; so many at most.
_N_EXCHANGES = 10

#: From a problem, the optimum to leave and a source of randomness to starts with their names.
DrawMoves = Callable[[Problem, Parameters, np.random.Generator], list[tuple[str, Parameters]]]


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
        return compete(problem, starts, options, monitor)
    sample, raced, weak, way, effort, seed = course
    n_exchanges = _N_EXCHANGES if n_moves else 0
    rough = way._replace(tol=max(way.tol, _SAMPLE_TOL))
    beaten: frozenset[int] = frozenset()
    if weak is not raced and len(starts) > 1 and effort.weak is not None:
        starts, beaten = start_from_weak_priors(weak, starts, seed, effort, n_moves)
        n_moves = 0
    elif effort.weak is None:
        n_moves *= effort.n_rounds
    if sample.n_rows == problem.n_rows:  # all rows, in memory
        of_sample = monitor if sample is problem else Monitor()
        found = compete(raced, starts, way, of_sample, beaten, effort)
        found = split_and_merge(raced, found, seed, way, n_moves, effort.looks)
        found = split_and_merge(raced, found, seed, way, n_exchanges, effort.looks, draw_exchanges)
        if effort.is_rough:
            found = _finish_best(sample, found, options)
        if sample is problem:
            return found
        return _follow(problem, found, options, monitor, "on all rows in memory")
    tried = compete(raced, starts, rough, Monitor(), beaten, effort)
    tried = split_and_merge(raced, tried, seed, rough, n_moves, effort.looks)
    return _follow(problem, tried, options, monitor, f"on a sample of {sample.n_rows} rows")


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
    judged = dict(list(zip(tried.places, tried.finals, strict=True))[:_N_JUDGED])
    race.begin(problem, {i: end.evaluation.params for i, end in judged.items()}, options.near())
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
    led to, and the others are beaten. Only earlier starts count, so that one more start changes
    none of the others.

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
    tried = split_and_merge(weak, tried, seed, options, n_rounds, effort.looks)
    out, beaten, best = list(starts), set(numbers), -np.inf
    ends = zip(tried.places, tried.finals, strict=True)
    for place, final in sorted(ends, key=lambda end: (end[0], end[1].objective)):
        if final.objective > best:
            best, at = final.objective, numbers[place]
            out[at] = (starts[at][0], final.evaluation.params)
            beaten.discard(at)
    return out, frozenset(beaten)


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


def split_and_merge(
    problem: Problem,
    found: Search,
    seed: int,
    options: Options,
    n_moves: int,
    looks: Sequence[tuple[int, int]],
    draw: DrawMoves = draw_moves,
) -> Search:
    """Try split-and-merge moves from the best optimum as long as they lead higher.

    Every optimum that was the best when its start came to it has its moves, not only the last: so
    that, here too, more starts are never worse.

    Parameters
    ----------
    problem : Problem
    found : Search
    seed : int
        Of the directions that experts are split along.
    options : Options
    n_moves : int
        Rounds at most, per optimum.
    looks : sequence of (int, int)
        See `Effort`.
    draw : callable
        Draws other moves than these.
    """
    if not problem.model.is_linear:
        return found
    finals, places, restarts = list(found.finals), list(found.places), list(found.restarts)
    best = -np.inf
    for place, final in sorted(zip(found.places, found.finals, strict=True), key=lambda p: p[0]):
        if final.objective <= best or final.is_spurious:
            continue
        best, rng = final.objective, np.random.default_rng([seed, place])
        for moved in _split_merge_rounds(problem, final, rng, options, n_moves, looks, draw):
            places.append(place)
            finals.append(moved[1])
            name = f"{restarts[place].start}: {moved[0]}"
            restarts.append(Restart.of(name, moved[1]))
    order = sorted(range(len(finals)), key=lambda i: _rank(finals[i]))
    return Search([finals[i] for i in order], [places[i] for i in order], restarts)


def _split_merge_rounds(
    problem: Problem,
    final: EMResult,
    rng: np.random.Generator,
    options: Options,
    n_moves: int,
    looks: Sequence[tuple[int, int]],
    draw: DrawMoves,
) -> Iterator[tuple[str, EMResult]]:
    """Yield what every move that led higher came to, with its name."""
    for _ in range(n_moves):
        # A fit that max_iter cut short ends there; under weak priors only the way is sought.
        if not final.is_converged and options.tol < WEAK.tol:
            return
        moves = draw(problem, final.evaluation.params, rng)
        if not moves:
            return
        runs = begin(problem, [start for _, start in moves], [None] * len(moves), options)
        hopeful = list(range(len(runs)))
        for n_iter, n_kept in looks:
            advance(problem, [runs[i] for i in hopeful], min(n_iter, options.max_iter))
            hopeful = sorted(sorted(hopeful, key=lambda i: -runs[i].objective)[:n_kept])
        winner = hopeful[0]
        if _hoped(runs[winner]) < final.objective:
            return
        advance(problem, [runs[winner]], options.max_iter)
        outcome = runs[winner].outcome(f"stopped after max_iter={options.max_iter}")
        least = final.objective + _SAME_OPTIMUM * (1.0 + problem.magnitude(final.objective))
        if outcome.is_spurious or outcome.objective <= least:
            return
        final = outcome
        yield moves[winner][0], final


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
        for i in sorted(finalists, key=lambda i: _rank(self._outcome(i))):
            run, best = self.runs[i], max((self.runs[j].objective for j in ended), default=-np.inf)
            while not run.is_over and run.n_iter < max_iter and _hoped(run) >= best:
                self._advance([i], min(run.n_iter + _FIRST_ROUND, max_iter))
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
    slack = _SAME_OPTIMUM * (1.0 + problem.magnitude(own))
    least = own + slack if np.isfinite(own) else own
    return sum(value > least for j, value in objectives.items() if j < i)


def _hoped(run: Run) -> float:
    """Return what a run may come to: so many times what its pace promises."""
    return run.objective + _HOPE * remaining_gain(run.history)


def _rank(outcome: EMResult) -> tuple[bool, float]:
    """Return what outcomes are sorted by, regular ones and high objectives first."""
    return outcome.is_spurious, -outcome.objective


def _distinct_optima(problem: Problem, outcomes: Mapping[int, EMResult]) -> list[int]:
    """Return the earliest start of every optimum that was found, the best optimum first."""
    places: list[int] = []
    for i in sorted(outcomes, key=lambda i: _rank(outcomes[i])):
        slack = _SAME_OPTIMUM * (1.0 + problem.magnitude(outcomes[i].objective))
        is_same = places and outcomes[i].is_spurious == outcomes[places[-1]].is_spurious
        if is_same and outcomes[i].objective >= outcomes[places[-1]].objective - slack:
            places[-1] = min(places[-1], i)
        else:
            places.append(i)
    return places
