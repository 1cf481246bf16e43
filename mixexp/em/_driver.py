"""The iteration: propose, measure, accept or shorten, until nothing is left to gain."""

from typing import NamedTuple

import numpy as np

from mixexp.em._convergence import allowed_gain, remaining_gain
from mixexp.em._newton import NewtonFinish
from mixexp.em._problem import Evaluation, Problem
from mixexp.em._steps import em_step
from mixexp.model import Parameters

# Sums of n log densities are good to some 1e-13 of their magnitude.
_ROUNDING = 1e-13
# (halvings, bound?) of successive proposals after one that lowered the objective. Newton's
# direction rises, so halving helps; the bound cannot fall, should the halves be too few.
_PROPOSALS = ((0, False), (1, False), (2, False), (2, True), (4, True), (7, True), (12, True))


class Outcome(NamedTuple):
    """Where an iteration ended.

    Parameters
    ----------
    evaluation : Evaluation
        Of the final parameters.
    history : list of float
        Penalised log-likelihood, the start first; never falls.
    is_converged : bool
        Whether a criterion was met.
    reason : str
        Which, or why not, in words.
    is_deficient : bool
        Whether the last step left some coefficients undetermined.
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


def run_em(
    problem: Problem, start: Parameters, *, max_iter: int, tol: float, use_newton: bool = True
) -> Outcome:
    """Maximise the penalised log-likelihood from a start.

    Parameters
    ----------
    problem : Problem
    start : Parameters
    max_iter : int
    tol : float
        Stop when the gain still to be had is below ``tol * (1 + |objective|)``, judged both
        by the iteration's progress and by the gradient.
    use_newton : bool
        Whether to finish by Newton's method.

    Returns
    -------
    Outcome
    """
    current = problem.evaluate(start)
    history, is_deficient = [current.objective], False
    finish = NewtonFinish(problem)
    while len(history) <= max_iter:
        if use_newton and finish.is_due(history):
            newton = finish.advance(current, rounding_noise(problem, current.objective))
            if newton is not None:
                current = newton.evaluation
                history.append(current.objective)
                if newton.promised_gain <= allowed_gain(tol, current.objective):
                    reason = f"Newton's method had {newton.promised_gain:.1e} left to gain"
                    return Outcome(current, history, True, reason, False)
                continue
            finish.postpone(history)
        proposal = em_step(problem, current, *_PROPOSALS[0])
        is_deficient = proposal.is_deficient
        slope_gain = _slope_gain(problem, current, proposal.params)
        if _is_converged(history, slope_gain, tol):
            reason = f"EM had {remaining_gain(history):.1e} left to gain"
            return Outcome(current, history, True, reason, is_deficient)
        following = _rising_evaluation(problem, current, proposal.params)
        if following is None:
            reason = "no EM step raised the penalised log-likelihood"
            return Outcome(current, history, False, reason, is_deficient)
        current = following
        history.append(current.objective)
    return Outcome(current, history, False, f"stopped after max_iter={max_iter}", is_deficient)


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


def _is_converged(history: list[float], slope_gain: float, tol: float) -> bool:
    allowed = allowed_gain(tol, history[-1])
    return remaining_gain(history) <= allowed and slope_gain <= max(allowed, _ROUNDING)


def _rising_evaluation(
    problem: Problem, current: Evaluation, first: Parameters
) -> Evaluation | None:
    """Measure the proposal; shorten it until the objective does not fall."""
    least = current.objective - rounding_noise(problem, current.objective)
    if np.isneginf(current.objective):
        least = -np.inf
    for attempt, (n_halvings, use_bound) in enumerate(_PROPOSALS):
        params = first if attempt == 0 else em_step(problem, current, n_halvings, use_bound).params
        candidate = problem.evaluate(params)
        if candidate.objective >= least:
            return candidate
    return None
