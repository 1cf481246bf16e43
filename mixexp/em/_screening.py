"""Fits with an L1 penalty on some of many columns: working sets, and a check of all others.

Most slopes are zero, so that a fit needs the Gram matrices of few columns. It is carried out on
those that may be in, gradients of all others are looked at where it ends, those that break the
conditions of an optimum come in, and it goes on from there, until none does (Tibshirani et al.
2012, section 7, with blocks of columns). No array has the square of all columns.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from mixexp.data import Design, RowBlocks
from mixexp.em._initial_params import pooled_params, smooth_labels
from mixexp.em._initial_partitions import draw_partitions
from mixexp.em._iteration import Watch, advance, begin, in_batches, stack_parameters
from mixexp.em._monitor import ASKED_TO_STOP, Monitor
from mixexp.em._objective import Evaluation, Problem
from mixexp.em._proximal import smooth_gradient
from mixexp.em._results import EMResult, Options, Restart, Search, slack_of
from mixexp.model import (
    Model,
    NarrowModel,
    Parameters,
    columns_of,
    indispensable_columns,
    narrow_model,
    seen_by,
)

# With fewer columns that may be left out Gram matrices of all cost next to nothing.
_FEWEST_COLUMNS = 64
# A first working set has at most so many columns; as many come in at once, or as many as there are.
_FIRST_COLUMNS = 100
# Iterations after which columns may leave first; as many again each time.
_FIRST_BURST = 8
# Optima that are followed once columns come in: as many as on a sample of the rows.
_N_JUDGED = 3
# A subgradient that is beyond the strength by less than this share of it keeps its column out.
_SLACK = 1e-7
# Where a start is given, columns whose gradients have this share of the strength may come in soon.
_SOON_IN = 0.9
# Partitions that first columns are sought with.
_N_PARTITIONS = 10

#: From a problem of some columns, its pooled fit, starts with their names, a monitor and options.
Find = Callable[[Problem, Parameters, Sequence[tuple[str, Parameters]], Monitor, Options], Search]


def find_on_columns(
    problem: Problem,
    pooled: Parameters,
    first: Sequence[tuple[str, Parameters]],
    is_given: bool,
    monitor: Monitor,
    options: Options,
    find: Find,
) -> Search:
    """Search for the best optimum on columns that may be in, and bring in those that have to be.

    Parameters
    ----------
    problem : Problem
        That `has_many_columns`.
    pooled : Parameters
    first : sequence of (str, Parameters)
        Starts that are given, with their names.
    is_given : bool
        Whether there are no other starts.
    monitor : Monitor
    options : Options
    find : callable
        Carries the search out on some columns.

    Returns
    -------
    Search
        Of the problem itself. What starts came to that were not carried on is told of their
        columns, as on a sample of the rows.

    Notes
    -----
    O(n p) per round for the check of all p columns, beside a fit on those that are in.
    """
    columns = _first_columns(problem, pooled, [start for _, start in first], is_given)
    narrow, model = _narrow(problem, columns)
    if is_given:  # nothing is drawn around the pooled fit
        near = model.take(pooled)
    else:
        near = model.project(pooled_params(replace(narrow, model=model.apart)))
    starts = [(name, model.take(start)) for name, start in first]
    # Of a start that is given more columns may leave at once than come in.
    burst = options._replace(max_iter=min(_FIRST_BURST, options.max_iter)) if is_given else options
    follower = _Follower(monitor)
    follower.model = model
    found = find(narrow, near, starts, follower, burst)
    finals = []
    for place, final in zip(found.places[:_N_JUDGED], found.finals, strict=False):
        evaluation = problem.gradients(model.widen(final.evaluation.params))
        wide = final._replace(evaluation=_told_objective(evaluation, final))
        finals.append(_settle(problem, wide, columns, options, follower, place))
    restarts = [
        _told(restart, found.finals, finals, len(model.columns) - 1) for restart in found.restarts
    ]
    follower.tell(restarts, dict(zip(found.places, finals, strict=False)))
    order = sorted(range(len(finals)), key=lambda i: (finals[i].is_spurious, -finals[i].objective))
    return Search([finals[i] for i in order], [found.places[i] for i in order], restarts)


def has_many_columns(problem: Problem) -> bool:
    """Tell whether many columns may be left out, of rows that are in memory, and none is yet."""
    model = problem.model
    if model.in_full is not model:  # it has columns left out already
        return False
    is_here = isinstance(problem.blocks, RowBlocks) and problem.blocks.sample is None
    if not (model.penalty.has_l1 and is_here and model.is_linear and not model.held):
        return False
    may_be_seen = seen_by(model, np.ones(model.n_flat, dtype=bool))
    may_be_left = may_be_seen & ~indispensable_columns(model)
    return bool(may_be_left.any(axis=0).sum() >= _FEWEST_COLUMNS)


def _narrow(problem: Problem, columns: np.ndarray) -> tuple[Problem, NarrowModel]:
    """Return the problem of some columns, which are kept if they are small.

    Gates and experts see the same, for one loop over both, unless one sees many more.
    """
    each = columns.sum(axis=1)
    if each.max() < _FEWEST_COLUMNS or 2 * each.min() > each.max():
        both = columns.any(axis=0) & seen_by(problem.model, np.ones(problem.model.n_flat, bool))
        columns = np.where(each[:, None] > 0, both, columns)
    model, held = narrow_model(problem.model, columns), problem.held
    seen = model.columns

    def read_features(at: int) -> Design:
        return held[at].features.select(seen)

    blocks = RowBlocks(read_features, held.without_features).keep_small()
    return replace(problem, model=model, blocks=blocks, whole=problem.totals), model


def _first_columns(
    problem: Problem, pooled: Parameters, given: Sequence[Parameters], is_given: bool
) -> np.ndarray:
    """Return columns that starts have, or that would come in first from them."""
    model = problem.model
    columns = indispensable_columns(model)
    for start in given:
        columns = columns | seen_by(model, model.flatten(start) != 0.0)
    ends = [problem.gradients(start) for start in given]
    if is_given:
        columns = columns | _soon_in(model, ends)
    else:
        ends += _at_partitions(problem, pooled)
    return columns | _violators(model, ends, _FIRST_COLUMNS)


def _soon_in(model: Model, ends: Sequence[Evaluation]) -> np.ndarray:
    """Return the columns whose gradients are close to the strength, as `seen_by` does.

    The sequential strong rule of Tibshirani et al. (2012), for steps on a path of up to a tenth.
    """
    gradients = [smooth_gradient(model, end).reshape(-1, model.n_flat) for end in ends]
    shares = model.prior.shares(np.concatenate(gradients)).max(axis=0)
    return seen_by(model, shares >= _SOON_IN)


def _at_partitions(problem: Problem, pooled: Parameters) -> list[Evaluation]:
    """Return gradients at experts without slopes, of rows as starts divide them."""
    model = problem.model
    flat = np.where(model.prior.l1 > 0.0, 0.0, model.flatten(pooled))
    bare = model.unflatten(flat)
    drawn = draw_partitions(problem, pooled, "auto", list(range(_N_PARTITIONS)))
    ends = []
    for some in in_batches(problem, [labels[0] for labels in drawn]):
        resp = partial(_own_rows, np.stack(some), model.tree.n_leaves)
        ends.append(problem.gradients(stack_parameters(problem, [bare] * len(some)), resp))
    return ends


def _own_rows(labels: np.ndarray, n_leaves: int, rows: slice, found: np.ndarray) -> np.ndarray:
    return smooth_labels(labels[..., rows], n_leaves)


def _violators(model: Model, ends: Sequence[Evaluation], n_most: int) -> np.ndarray:
    """Return the columns whose subgradients are not zero, the ``n_most`` that are furthest.

    Of gates and of experts, as `seen_by` does.
    """
    excess = np.zeros(model.n_flat)
    for end in ends:
        shares = model.prior.shares(end.gradient).reshape(-1, model.n_flat)
        excess = np.maximum(excess, shares.max(axis=0))
    column = columns_of(model)
    by_column = np.zeros(1 + int(column.max()))
    np.maximum.at(by_column, column, excess)
    least = np.sort(by_column)[::-1][min(n_most, len(by_column) - 1)]
    return seen_by(model, (excess > _SLACK) & (by_column[column] >= least))


def _settle(
    problem: Problem,
    end: EMResult,
    columns: np.ndarray,
    options: Options,
    follower: "_Follower",
    place: int,
) -> EMResult:
    """Carry an optimum of some columns on until it is one of all, or can go no further.

    Columns leave whose slopes have become zero, at first after a few iterations.

    Parameters
    ----------
    problem : Problem
        Of all columns, as is the end.
    end : EMResult
    columns : ndarray of shape (2, 1 + p), bool
        Those that it is of, of gates and of experts.
    options : Options
    follower : _Follower
    place : int
        Number of the start.
    """
    n_burst = _FIRST_BURST
    while end.n_iter < options.max_iter and end.reason != ASKED_TO_STOP:
        flat = problem.model.flatten(end.evaluation.params)
        present = seen_by(problem.model, flat != 0.0) | indispensable_columns(problem.model)
        most = max(_FIRST_COLUMNS, int(present.any(axis=0).sum()))
        missing = _violators(problem.model, [end.evaluation], most)
        if end.is_converged and columns[missing].all():
            break
        columns = present | missing
        budget = min(n_burst, options.max_iter - end.n_iter)
        following = _go_on(problem, columns, end, budget, options, follower, place)
        is_stuck = not following.is_converged and following.n_iter < end.n_iter + budget
        end, n_burst = following, 2 * n_burst
        if is_stuck:
            break
    return end


def _go_on(
    problem: Problem,
    columns: np.ndarray,
    end: EMResult,
    budget: int,
    options: Options,
    follower: "_Follower",
    place: int,
) -> EMResult:
    """Take so many iterations more on some columns, and measure where they lead with all."""
    narrow, follower.model = _narrow(problem, columns)
    model, start = follower.model, follower.model.take(end.evaluation.params)
    (run,) = begin(narrow, [start], [follower.watch(place, end.n_iter)], options.near())
    advance(narrow, [run], budget)
    found = run.outcome(f"stopped after max_iter={options.max_iter}")
    evaluation = problem.gradients(model.widen(found.evaluation.params))
    history = [*end.history[:-1], *found.history]
    return found._replace(evaluation=_told_objective(evaluation, found), history=history)


def _told_objective(evaluation: Evaluation, found: EMResult) -> Evaluation:
    """Return an evaluation with the bits of the objective that the last iteration came to."""
    return evaluation._replace(objective=found.evaluation.objective)


def _told(
    restart: Restart, before: Sequence[EMResult], after: Sequence[EMResult], n_columns: int
) -> Restart:
    """Return what is told of a start: what its optimum came to with more columns."""
    for old, new in zip(before, after, strict=False):
        is_alike = abs(restart.objective - old.objective) <= slack_of(old.objective)
        if restart.objective == old.objective or (restart.converged and is_alike):
            return Restart.of(restart.start, new)
    if not restart.converged:
        return restart
    return restart._replace(reason=f"{restart.reason}; with {n_columns} columns", n_starts=0)


class _Follower(Monitor):
    """Tells a monitor of searches on some columns in coefficients of all.

    Parameters
    ----------
    monitor : Monitor

    Attributes
    ----------
    model : NarrowModel
        Of the columns that are in at present.
    """

    model: NarrowModel

    def __init__(self, monitor: Monitor) -> None:
        self._monitor, self._ended = monitor, list[int]()
        self.follows_iterations = monitor.follows_iterations

    def begin(self, names: Sequence[str]) -> None:
        self._monitor.begin(names)

    def iterated(
        self, start: int, n_iter: int, objective: float, outcome: Callable[[int], EMResult]
    ) -> bool:
        return self._monitor.iterated(start, n_iter, objective, partial(self._widen, outcome))

    def ended(self, start: int, restart: Restart, outcome: Callable[[int], EMResult]) -> None:
        self._ended.append(start)  # of these columns: it may go on with others

    def tell(self, restarts: Sequence[Restart], finals: Mapping[int, EMResult]) -> None:
        """Tell the monitor of all starts that have ended."""
        best = next(iter(finals.values()))
        for start in self._ended:
            self._monitor.ended(start, restarts[start], lambda i: finals.get(i, best))

    def watch(self, start: int, n_before: int) -> Watch | None:
        """Return what follows a start that goes on after so many iterations."""
        if not self.follows_iterations:
            return None
        return lambda run: self.iterated(
            start, n_before + run.n_iter, run.objective, lambda i: run.outcome("")
        )

    def _widen(self, outcome: Callable[[int], EMResult], start: int) -> EMResult:
        found = outcome(start)
        params = self.model.widen(found.evaluation.params)
        return found._replace(evaluation=found.evaluation._replace(params=params))
