"""The EM iteration: M-step, E-step at the proposal, accept it or shorten the step.

Starts run together: one pass measures the proposals of all, and one call solves their systems.
What one start comes to does not depend on which others run beside it, but for rounding.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from mixexp.em._anderson import AndersonMemory
from mixexp.em._block_curvature import has_blocks
from mixexp.em._climb import Climb
from mixexp.em._convergence import (
    allowed_gain,
    is_stationary,
    remaining_gain,
    rounding_noise,
    slope_gains,
)
from mixexp.em._degeneracy import collapsed_experts, is_spurious
from mixexp.em._iterate import Iterate, gather
from mixexp.em._m_step import em_step
from mixexp.em._monitor import ASKED_TO_STOP
from mixexp.em._newton import NewtonFinish, affords_newton
from mixexp.em._objective import Evaluation, Problem
from mixexp.em._reach import move_within_reach
from mixexp.em._results import EMResult, Options
from mixexp.model import Parameters, map_parameters

Item = TypeVar("Item")
# Where M-steps may lower the objective: it stands still after so many moves within the tolerance,
# and nothing more is hoped for after so many iterations below the best.
_STILL = 2
_PATIENCE = 8

# (halvings, bound?) of successive proposals after one that lowered the objective. Newton's
# direction rises, so halving helps; the bound cannot fall, should the halves be too few.
_FIRST_PROPOSAL = (0, False)
_SHORTER_PROPOSALS = ((1, False), (2, False), (2, True), (4, True), (7, True), (12, True))
# Responsibilities of a block that are computed together, starts times leaves times rows: more
# would leave the second-level cache.
_MOST_TOGETHER = 1 << 17
# What a run is given up for: that others are ahead by more than so many times what its own pace
# promises.
_HOPE = 10.0


#: Told of a run after every iteration that was accepted; returns whether it is to stop there.
Watch = Callable[["Run"], bool]


class Run:
    """The iteration of one start, carried on by `advance`, alone or beside others.

    Parameters
    ----------
    problem : Problem
    standing : Iterate
        Of the start.
    watch : callable
        Told of every iteration that was accepted; returns whether to stop there.
    options : Options
    """

    def __init__(
        self,
        problem: Problem,
        standing: Iterate,
        watch: Watch | None,
        options: Options,
    ) -> None:
        self.problem = self._problem = problem
        self._watch = watch
        self._tol = options.tol
        # What shortens the way is made for the likelihood, and for linear predictors.
        model = problem.model
        is_plain = problem.is_classification or not model.is_linear
        acceleration = "none" if is_plain else options.acceleration
        use_newton = acceleration == "newton" or (
            acceleration == "auto" and affords_newton(problem)
        )
        use_anderson = acceleration == "anderson" or (acceleration == "auto" and not use_newton)
        use_anderson = use_anderson and not problem.model.penalty.has_l1  # for zeros are exact
        self._finish = NewtonFinish(problem, options.basin_gain) if use_newton else None
        self._memory = AndersonMemory() if use_anderson else None
        self._climb = None
        may_climb = not model.penalty.has_l1 and not problem.is_classification
        if options.climbs_after is not None and may_climb and has_blocks(model):
            self._climb = Climb(problem, options.climbs_after)
        self._is_polished = False
        self._is_converged = False
        self._is_deficient = False
        self._reason = ""
        #: Whether it has converged or can go no further.
        self.is_over = False
        self._promised = np.inf
        self.history = [float(standing.batch.objective[standing.row])]
        #: The best iterate, which is the present one where no step falls, and its objective.
        self.standing = self.best = standing
        self.objective = self.history[0]
        # What tolerances go by, of the rows: none of it changes from one iteration to the next.
        self._weight, self._log_unit = problem.total_weight, problem.log_unit

    @property
    def n_iter(self) -> int:
        return len(self.history) - 1

    @property
    def hope(self) -> float:
        """What it may come to: so many times what its pace promises."""
        return self.objective + _HOPE * remaining_gain(self.history)

    def state(self) -> dict[str, Any]:
        """Return all that it knows beside its iterates, as plain values and arrays."""
        return {
            "history": list(self.history),
            "objective": self.objective,
            "is_polished": self._is_polished,
            "is_converged": self._is_converged,
            "is_deficient": bool(self._is_deficient),
            "reason": self._reason,
            "promised": float(self._promised),
            "finish": None if self._finish is None or self.is_over else self._finish.state(),
            "memory": None if self._memory is None or self.is_over else self._memory.state(),
            "climb": None if self._climb is None or self.is_over else self._climb.state(),
        }

    def restore(self, state: dict[str, Any], standing: Iterate, best: Iterate) -> None:
        """Undo `state`: stand where it stood then."""
        self.standing, self.best = standing, best
        self.history, self.objective = list(state["history"]), state["objective"]
        self._is_polished, self._is_converged = state["is_polished"], state["is_converged"]
        self._is_deficient, self._reason = state["is_deficient"], state["reason"]
        self.is_over = bool(self._reason)
        self._promised = state["promised"]
        if self._finish is not None and state["finish"] is not None:
            self._finish.restore(state["finish"])
        if self._memory is not None and state["memory"] is not None:
            self._memory.restore(state["memory"])
        if self._climb is not None and state["climb"] is not None:
            self._climb.restore(state["climb"])

    @property
    def least_objective(self) -> float:
        """What the next iteration has to reach: as much as now, but for rounding.

        Nothing where M-steps may lower the objective: the best iterate is kept.
        """
        if np.isneginf(self.objective) or not self._problem.model.is_monotone:
            return -np.inf
        return self.objective - rounding_noise(self._problem, self.objective)

    def outcome(self, reason: str) -> EMResult:
        """Return where it stands; the reason is used if it has none of its own."""
        model, current = self._problem.model, self.best.alone()
        return EMResult(
            current,
            list(self.history),
            self._is_converged,
            self._reason or reason,
            self._is_deficient,
            collapsed_experts(model, current.params, self._n_rows_of_nodes(current)),
            self.is_spurious,
        )

    @property
    def is_spurious(self) -> bool:
        """Whether an expert only passes through a few rows, as yet."""
        current = self.best.alone()
        return is_spurious(self._problem.model, current.params, self._n_rows_of_nodes(current))

    def _n_rows_of_nodes(self, current: Evaluation) -> np.ndarray:
        return self._problem.n_weighed * current.stats.node_mass

    def move(self, standing: Iterate) -> None:
        """Go on from new parameters."""
        self.standing = standing
        self.history.append(float(standing.batch.objective[standing.row]))
        if self._problem.model.is_monotone or self.history[-1] > self.objective:
            self.best, self.objective = standing, self.history[-1]
        if self._watch is not None and self._watch(self):
            self.end(ASKED_TO_STOP, is_converged=False)

    def end(self, reason: str, *, is_converged: bool) -> None:
        """Stop here, for good."""
        self._reason, self._is_converged, self.is_over = reason, is_converged, True

    def take_due_newton_step(self) -> bool:
        """Take a Newton step if EM's gains say that it is time, and tell whether it was."""
        return (
            self._finish is not None
            and self._finish.is_due(self.history, self._allowed_gain())
            and self._take_newton_step(self._finish)
        )

    def _take_newton_step(self, finish: NewtonFinish) -> bool:
        """Take a Newton step, or tell that there is none to be had.

        It has converged once what the step promises is rounding, or once Newton's method
        promises something negligible twice in a row: the second step doubles the digits of the
        coefficients, which lag behind.
        """
        noise = rounding_noise(self._problem, self.objective)
        newton = finish.advance(self.standing.alone(), noise, self._allowed_gain())
        if newton is None:
            finish.postpone(self.history)
            return False
        self.move(Iterate(newton.evaluation, 0))
        is_negligible = newton.is_definite and newton.predicted_gain <= self._allowed_gain()
        is_exhausted = newton.predicted_gain <= self._noise_of_gain()
        if (is_exhausted or (is_negligible and self._is_polished)) and self._has_settled():
            reason = f"Newton's method had {newton.predicted_gain:.1e} left to gain"
            self.end(reason, is_converged=True)
        self._is_polished = is_negligible
        return True

    def take_due_climb(self) -> bool:
        """Climb by quasi-Newton steps if that is due, and tell whether it led anywhere."""
        if self._climb is None or not self._climb.is_due(self.n_iter):
            return False
        reached = self._climb.advance(self.standing.alone(), self._allowed_gain())
        if reached is None or reached.objective[0] < self.least_objective:
            return False
        self.forget_steps()
        self.move(Iterate(reached, 0))
        return True

    def note_em_step(self, slope_gain: float, is_deficient: bool) -> bool:
        """Note what EM's next step is like, and tell whether it is to be taken.

        Parameters
        ----------
        slope_gain : float
            See `slope_gains`.
        is_deficient : bool
            Whether the step left some coefficients undetermined.
        """
        self._is_deficient, self._promised = is_deficient, slope_gain
        if not self._problem.model.is_monotone:
            return self._note_uncertain_step()
        remaining, allowed = remaining_gain(self.history), self._allowed_gain()
        if remaining > allowed or slope_gain > max(allowed, self._noise_of_gain()):
            return True
        if self._finish is not None and self._take_newton_step(self._finish):
            return False
        if self._has_settled():
            self._end_at_rest(remaining)
        return not self.is_over

    def has_arrived(self) -> bool:
        """Tell, and note, that a single expert's last step had next to nothing to gain.

        With no shares to be found an EM step is Newton's own or Fisher's, so that no further one
        need be formed to see what is left.
        """
        model = self._problem.model
        is_single = model.tree.n_leaves == 1 and model.is_monotone and self._finish is None
        remaining, allowed = remaining_gain(self.history), self._allowed_gain()
        if not is_single or max(remaining, self._promised) > allowed or not self._has_settled():
            return False
        self._end_at_rest(remaining)
        return True

    def _end_at_rest(self, remaining: float) -> None:
        why = self._problem.model.unfinished
        self.end(f"EM had {remaining:.1e} left to gain{why}", is_converged=True)

    def _has_settled(self) -> bool:
        """Whether slopes with an L1 penalty meet the conditions of an optimum; others may rest."""
        noise, allowed = self._noise_of_gain(), self._allowed_gain()
        return is_stationary(self._problem.model, self.standing.alone(), noise, allowed)

    def _note_uncertain_step(self) -> bool:
        """Note a step that may fall, and tell whether it is to be taken.

        It has converged once the objective stands still, or has not been as high for a while.
        """
        recent = np.array(self.history[-1 - _STILL :])
        is_still = (
            len(recent) > _STILL
            and bool(np.isfinite(recent).all())
            and bool(np.ptp(recent) <= self._allowed_gain())
        )
        n_since = len(self.history) - 1 - int(np.argmax(self.history))
        if not is_still and n_since < _PATIENCE:
            return True
        names = " and ".join(self._problem.model.falling_names)
        what = "EM stood still" if is_still else f"EM rose no more for {n_since} iterations"
        kept = f"; the best of {len(self.history)} iterates is kept" if n_since else ""
        reason = f"{what}{kept} (the M-step of {names} may lower the objective: no Newton finish)"
        self.end(reason, is_converged=bool(np.isfinite(self.objective)))
        return False

    def extrapolate(self, point: np.ndarray, step: np.ndarray) -> np.ndarray | None:
        """Return where to go instead of EM's step, or None if that is to be taken."""
        if self._memory is None:
            return None
        proposal = self._memory.propose(point, step)
        return None if proposal is None else move_within_reach(self._problem.model, point, proposal)

    def forget_steps(self) -> None:
        """Start extrapolation afresh."""
        if self._memory is not None:
            self._memory.forget()

    def _noise_of_gain(self) -> float:
        """Return the rounding of a gain that is told by slopes, which know no unit of y."""
        return rounding_noise(self._problem, abs(self.objective - self._log_unit))

    def _allowed_gain(self) -> float:
        return allowed_gain(self._tol, abs(self.objective - self._log_unit), self._weight)


def begin(
    problem: Problem,
    starts: Sequence[Parameters],
    watches: Sequence[Watch | None],
    options: Options,
) -> list[Run]:
    """Measure all starts, and return one `Run` for each."""
    standings: list[Iterate] = []
    for some in in_batches(problem, starts):
        batch = problem.evaluate(stack_parameters(problem, some))
        standings += [Iterate(batch, row) for row in range(len(some))]
    return [
        Run(problem, standing, watch, options)
        for standing, watch in zip(standings, watches, strict=True)
    ]


def advance(
    problem: Problem,
    runs: Sequence[Run],
    max_iter: int,
    on_over: Callable[[Run], None] = lambda run: None,
) -> None:
    """Carry runs on until each is over or has done ``max_iter`` iterations in all.

    Parameters
    ----------
    problem : Problem
    runs : sequence of Run
    max_iter : int
    on_over : callable
        Told of each run that is over, as soon as it is.
    """
    was_over = {id(run) for run in runs if run.is_over}
    problem.journal.enter(runs)
    for run in runs:  # over by what the journal knew
        if run.is_over and id(run) not in was_over:
            on_over(run)
    while active := [run for run in runs if not run.is_over and run.n_iter < max_iter]:
        waiting = [
            run for run in active if not (run.take_due_newton_step() or run.take_due_climb())
        ]
        for some in in_batches(problem, waiting):
            _take_em_steps(problem, some)
        for run in active:
            if run.is_over:
                on_over(run)
        problem.journal.iterated(runs)
    problem.journal.leave(runs)


def run_em(problem: Problem, start: Parameters, options: Options) -> EMResult:
    """Maximise the penalised log-likelihood from one start; see `Run`."""
    (run,) = begin(problem, [start], [None], options)
    advance(problem, [run], options.max_iter)
    return run.outcome(f"stopped after max_iter={options.max_iter}")


def in_batches(problem: Problem, items: Sequence[Item]) -> list[Sequence[Item]]:
    """Cut a list of starts into such as are worth a common pass."""
    n_rows = len(problem.blocks.pattern.known.weight)
    size = max(1, _MOST_TOGETHER // (problem.model.tree.n_nodes * n_rows))
    return [items[at : at + size] for at in range(0, len(items), size)]


def stack_parameters(problem: Problem, starts: Sequence[Parameters]) -> Parameters:
    """Return several sets of coefficients as one with a leading axis."""
    return map_parameters(lambda *same: np.stack(same), *starts)


def _take_em_steps(problem: Problem, runs: Sequence[Run]) -> None:
    """Take one EM step from where each run stands, if it has not converged there."""
    runs = [run for run in runs if not run.has_arrived()]
    if not runs:
        return
    current = gather([run.standing for run in runs])
    step = em_step(problem, current, *_FIRST_PROPOSAL)
    gains = slope_gains(problem, current, step.params)
    going = [
        i
        for i, run in enumerate(runs)
        if run.note_em_step(float(gains[i]), bool(step.is_deficient[i]))
    ]
    before, after = problem.model.flatten(current.params), problem.model.flatten(step.params)
    extrapolated = {}
    for i in going:
        proposal = runs[i].extrapolate(before[i], after[i] - before[i])
        if proposal is not None:
            extrapolated[i] = proposal
    fallen = []
    if extrapolated:
        proposals = problem.model.unflatten(np.stack(list(extrapolated.values())))
        fallen = _move_if_higher(problem, runs, list(extrapolated), proposals)
    for i in fallen:
        runs[i].forget_steps()
    plain = [i for i in going if i not in extrapolated or i in fallen]
    if plain:
        proposals = map_parameters(lambda array: array[plain], step.params)
        for i in _move_if_higher(problem, runs, plain, proposals):
            _take_shorter_step(problem, runs[i])


def _move_if_higher(
    problem: Problem, runs: Sequence[Run], numbers: Sequence[int], proposals: Parameters
) -> list[int]:
    """Measure proposals, one per number of a run, and return those that lower the objective."""
    batch = problem.evaluate(proposals)
    fallen = []
    for row, i in enumerate(numbers):
        if batch.objective[row] >= runs[i].least_objective:
            runs[i].move(Iterate(batch, row))
        else:
            fallen.append(i)
    return fallen


def _take_shorter_step(problem: Problem, run: Run) -> None:
    """Shorten a step that overshot until the objective does not fall."""
    current = run.standing.batch.take([run.standing.row])
    # Draws that were not seen are in no bound.
    bound_holds = problem.blocks.pattern.window is None
    for n_halvings, use_bound in _SHORTER_PROPOSALS:
        proposal = n_halvings, use_bound and bound_holds
        step = em_step(problem, current, *proposal)
        candidate = problem.evaluate(step.params)
        if candidate.objective[0] >= run.least_objective:
            run.move(Iterate(candidate, 0))
            return
    run.end("no EM step raised the penalised log-likelihood", is_converged=False)
