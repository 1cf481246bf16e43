"""The iteration: propose, measure, accept or shorten, until nothing is left to gain."""

from typing import NamedTuple

import numpy as np

from mixexp.em._convergence import allowed_gain, remaining_gain
from mixexp.em._newton import NewtonFinish
from mixexp.em._problem import Evaluation, Problem
from mixexp.em._steps import Step, em_step
from mixexp.model import Parameters

# Sums of n log densities are good to some 1e-13 of their magnitude.
_ROUNDING = 1e-13
# (halvings, bound?) of successive proposals after one that lowered the objective. Newton's
# direction rises, so halving helps; the bound cannot fall, should the halves be too few.
_PROPOSALS = ((0, False), (1, False), (2, False), (2, True), (4, True), (7, True), (12, True))


class Outcome(NamedTuple):
    """Where an iteration stands or ended.

    Parameters
    ----------
    evaluation : Evaluation
        Of the present parameters.
    history : list of float
        Penalised log-likelihood, the start first; never falls.
    is_converged : bool
        Whether a criterion was met.
    reason : str
        Which, or why not, in words; empty while there is more to do.
    is_deficient : bool
        Whether the last EM step left some coefficients undetermined.
    """

    evaluation: Evaluation
    history: list[float]
    is_converged: bool
    reason: str
    is_deficient: bool

    @property
    def n_iter(self) -> int:
        return len(self.history) - 1

    @property
    def objective(self) -> float:
        return self.evaluation.objective


class Run:
    """An iteration that can be carried on a stretch at a time.

    Parameters
    ----------
    problem : Problem
    start : Parameters
    tol : float
        Stop when the gain still to be had is below ``tol * (1 + |objective|)``, judged both
        by the iteration's progress and by the gradient.
    use_newton : bool
        Whether to finish by Newton's method.
    """

    def __init__(self, problem: Problem, start: Parameters, *, tol: float, use_newton: bool):
        self._problem = problem
        self._tol = tol
        self._finish = NewtonFinish(problem) if use_newton else None
        self._is_polished = False
        evaluation = problem.evaluate(start)
        self.outcome = Outcome(evaluation, [evaluation.objective], False, "", False)

    @property
    def is_over(self) -> bool:
        """Whether it has converged or can go no further."""
        return bool(self.outcome.reason)

    def advance(self, max_iter: int) -> Outcome:
        """Iterate until it is over, or until ``max_iter`` iterations have been done in all."""
        while not self.is_over and self.outcome.n_iter < max_iter:
            self.outcome = self._try_newton() or self._take_em_step()
        return self.outcome

    def _allowed_gain(self, evaluation: Evaluation) -> float:
        return allowed_gain(self._tol, evaluation.objective, self._problem.total_weight)

    def _try_newton(self) -> Outcome | None:
        """Return the outcome of a Newton step, or None if it is EM's turn."""
        now = self.outcome
        if self._finish is None or not self._finish.is_due(now.history):
            return None
        return self._take_newton_step(self._finish)

    def _take_newton_step(self, finish: NewtonFinish) -> Outcome | None:
        """Return the outcome of a Newton step, or None if there is none to be had.

        It has converged once what the step promises is rounding, or once Newton's method
        promises something negligible twice in a row: the second step doubles the digits of the
        coefficients, which lag behind.
        """
        problem, now = self._problem, self.outcome
        noise = rounding_noise(problem, now.objective)
        newton = finish.advance(now.evaluation, noise)
        if newton is None:
            finish.postpone(now.history)
            return None
        after = newton.evaluation
        is_negligible = newton.is_definite and newton.promised_gain <= self._allowed_gain(after)
        is_converged = newton.promised_gain <= noise or (is_negligible and self._is_polished)
        self._is_polished = is_negligible
        reason = f"Newton's method had {newton.promised_gain:.1e} left to gain"
        return Outcome(
            after,
            [*now.history, after.objective],
            is_converged,
            reason if is_converged else "",
            now.is_deficient,
        )

    def _take_em_step(self) -> Outcome:
        problem, now = self._problem, self.outcome
        step = em_step(problem, now.evaluation, *_PROPOSALS[0])
        slope_gain = _slope_gain(problem, now.evaluation, step.params)
        remaining, allowed = remaining_gain(now.history), self._allowed_gain(now.evaluation)
        noise = rounding_noise(problem, now.objective)
        if remaining <= allowed and slope_gain <= max(allowed, noise):
            if self._finish is not None and self._finish.is_affordable:
                polished = self._take_newton_step(self._finish)
                if polished is not None:
                    return polished._replace(is_deficient=step.is_deficient)
            reason = f"EM had {remaining:.1e} left to gain"
            return now._replace(is_converged=True, reason=reason, is_deficient=step.is_deficient)
        after = _rising_evaluation(problem, now.evaluation, step)
        if after is None:
            return now._replace(
                reason="no EM step raised the penalised log-likelihood",
                is_deficient=step.is_deficient,
            )
        return Outcome(after, [*now.history, after.objective], False, "", step.is_deficient)


def run_em(
    problem: Problem, start: Parameters, *, max_iter: int, tol: float, use_newton: bool = True
) -> Outcome:
    """Maximise the penalised log-likelihood from a start; see `Run`."""
    return stopped(Run(problem, start, tol=tol, use_newton=use_newton).advance(max_iter))


def stopped(outcome: Outcome) -> Outcome:
    """Return the outcome with a reason, if there is none yet."""
    if outcome.reason:
        return outcome
    return outcome._replace(reason=f"stopped after max_iter={outcome.n_iter}")


def rounding_noise(problem: Problem, objective: float) -> float:
    """Return what rounding alone may change the objective by."""
    return _ROUNDING * (problem.total_weight + abs(objective))


def _slope_gain(problem: Problem, current: Evaluation, following: Parameters) -> float:
    """Return half the squared gradient in the metric of EM's curvature.

    An EM step is the gradient over that curvature, so this is gradient times step: free of
    units, and what the step would gain on EM's quadratic model.
    """
    flatten = problem.model.flatten
    return 0.5 * abs(float(current.gradient @ (flatten(following) - flatten(current.params))))


def _rising_evaluation(problem: Problem, current: Evaluation, first: Step) -> Evaluation | None:
    """Measure the proposal; shorten it until the objective does not fall."""
    least = current.objective - rounding_noise(problem, current.objective)
    if np.isneginf(current.objective):
        least = -np.inf
    for attempt, (n_halvings, use_bound) in enumerate(_PROPOSALS):
        step = first if attempt == 0 else em_step(problem, current, n_halvings, use_bound)
        candidate = problem.evaluate(step.params)
        if candidate.objective >= least:
            return candidate
    return None
