"""Newton steps on the log-likelihood itself, once EM has found the basin of an optimum.

EM gains a fixed share of what is left per iteration, which is next to nothing where
experts overlap; Newton's method doubles the digits. It is trusted only where the observed
information is positive definite, and only as far as the objective rises.
"""

from typing import NamedTuple

import numpy as np

from mixexp.em._problem import Evaluation, Problem
from mixexp.em._solve import solve_definite

# EM is in the basin when a whole iteration gains less than this share of the objective.
_BASIN_GAIN = 1e-4
_FIRST_ITERATION = 5
_SHORTEST_LENGTH = 0.25
# Of the gain that the quadratic model promises, this share must arrive (Armijo's rule).
_LEAST_SHARE = 0.1
# Beyond these the full matrix costs more than the EM iterations that it saves.
_MOST_PARAMETERS = 400
_MOST_HEADS = 64


class NewtonStep(NamedTuple):
    """An accepted step.

    Parameters
    ----------
    evaluation : Evaluation
    promised_gain : float
        What the quadratic model said was left to gain before the step.
    """

    evaluation: Evaluation
    promised_gain: float


class NewtonFinish:
    """Decides when to leave EM for Newton's method, and when to return.

    Parameters
    ----------
    problem : Problem
    """

    def __init__(self, problem: Problem) -> None:
        n_heads = sum(rows for rows, _ in problem.model.slot_shapes)
        self._problem = problem
        self._is_affordable = (
            problem.model.n_parameters <= _MOST_PARAMETERS and n_heads <= _MOST_HEADS
        )
        self._next_try = _FIRST_ITERATION
        self._patience = _FIRST_ITERATION

    def is_due(self, history: list[float]) -> bool:
        """Whether EM's gains say that the basin is reached."""
        n_iter = len(history) - 1
        if not self._is_affordable or n_iter < self._next_try:
            return False
        return history[-1] - history[-2] <= _BASIN_GAIN * (1.0 + abs(history[-1]))

    def postpone(self, history: list[float]) -> None:
        """Leave EM alone for a while after a step that was not to be had."""
        self._next_try = len(history) - 1 + self._patience
        self._patience *= 2

    def advance(self, current: Evaluation, noise: float) -> NewtonStep | None:
        """Return an accepted step, or None where the basin's bottom is not in sight."""
        problem, model = self._problem, self._problem.model
        if _is_at_bound(problem, current):
            return None
        basis = model.free_basis
        information = problem.information(current.params)
        information[np.diag_indices(model.n_flat)] += current.penalty.curvature
        gradient = basis.T @ current.gradient
        direction = solve_definite(basis.T @ information @ basis, gradient)
        if direction is None:
            return None
        promised = 0.5 * float(gradient @ direction)
        flat, length = model.flatten(current.params), 1.0
        while length >= _SHORTEST_LENGTH:
            candidate = problem.evaluate(model.unflatten(flat + length * (basis @ direction)))
            gain = candidate.objective - current.objective
            if gain >= _LEAST_SHARE * length * promised - noise:
                return NewtonStep(candidate, promised)
            length *= 0.5
        return None


def _is_at_bound(problem: Problem, current: Evaluation) -> bool:
    """Whether some head's intercept is held by a bound, or was about to be."""
    model, params = problem.model, current.params
    for g, h in model.slot_heads:
        head, intercept = model.groups[g].family.heads[h], params.experts[g][h][:, 0]
        if np.any(intercept < head.lower + 1.0) or np.any(intercept > head.upper - 1.0):
            return True
    return False
