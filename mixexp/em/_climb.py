"""Quasi-Newton steps between EM steps: passes without curvature, which most of a pass goes into.

EM's step is the gradient over the complete-data information, and that matrix changes slowly. So
it serves for several steps, corrected by the changes of the gradient along them: L-BFGS with EM's
curvature where it usually has a multiple of the identity (Jamshidian & Jennrich 1997, J. R.
Statist. Soc. B 59, section 3; Nocedal & Wright 2006, algorithm 7.4). It leads along ridges, where
EM's steps are short; EM is better far from an optimum, where its steps are bold and never fall.
"""

from typing import Any

import numpy as np

from mixexp.em._block_curvature import BlockCurvature
from mixexp.em._objective import Evaluation, Problem
from mixexp.em._reach import move_within_reach

# Steps until the curvature is measured again, and changes of the gradient that are remembered.
_N_STEPS = 15
_MOST_CHANGES = 15
# Of the gain that the slope promises, this share must arrive (Armijo's rule).
_LEAST_SHARE = 1e-4
_SHORTEST_LENGTH = 2.0**-6
# Changes that are less convex than this tell of no curvature.
_LEAST_CONVEX = 1e-8


class Climb:
    """Climbs with the curvature of one pass, and remembers how the gradient changed.

    Parameters
    ----------
    problem : Problem
        A plain likelihood of linear predictors, without an L1 penalty and constraints.
    n_before : int
        EM steps that come first.
    """

    def __init__(self, problem: Problem, n_before: int) -> None:
        self._problem, self._n_before = problem, n_before
        self._changes: list[tuple[np.ndarray, np.ndarray]] = []
        self._is_spent = False

    def state(self) -> dict[str, Any]:
        """Return all that it knows, as plain values and arrays."""
        return {
            "moves": [move for move, _ in self._changes],
            "falls": [fall for _, fall in self._changes],
            "is_spent": self._is_spent,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Undo `state`."""
        self._changes = list(zip(state["moves"], state["falls"], strict=True))
        self._is_spent = state["is_spent"]

    def is_due(self, n_iter: int) -> bool:
        """Whether EM has taken its first steps, and the last climb led anywhere."""
        was_spent, self._is_spent = self._is_spent, False
        return n_iter >= self._n_before and not was_spent

    def advance(self, current: Evaluation, allowed_gain: float) -> Evaluation | None:
        """Take some steps, and measure where they lead.

        Parameters
        ----------
        current : Evaluation
            Of one start, without a leading axis.
        allowed_gain : float
            What is too little to matter.

        Returns
        -------
        Evaluation or None
            With a leading axis of one start; None if there is nothing to be gained.
        """
        problem, model = self._problem, self._problem.model
        try:
            curvature = BlockCurvature(model, current)
        except np.linalg.LinAlgError:
            self._is_spent = True
            return None
        is_held = self._is_held(current)
        first = current.objective
        for _ in range(_N_STEPS):
            step = self._direction(current.gradient, curvature, is_held)
            promised = float(current.gradient @ step)
            if not promised > 2.0 * allowed_gain:
                break
            candidate = self._line_search(current, step, promised)
            if candidate is None:
                self._changes = []
                break
            self._note(current, candidate)
            current = candidate
            if not np.array_equal(is_held, self._is_held(current)):  # other directions
                self._changes = []
                break
        self._is_spent = not current.objective - first > allowed_gain
        if current.objective == first:
            return None
        return problem.evaluate(model.unflatten(model.flatten(current.params)[None]))

    def _is_held(self, current: Evaluation) -> np.ndarray:
        """Tell which coefficients are held by their bounds, as those that are known are."""
        lower, upper = self._problem.model.flat_bounds
        flat = self._problem.model.flatten(current.params)
        return ((flat <= lower) & (current.gradient <= 0.0)) | (
            (flat >= upper) & (current.gradient >= 0.0)
        )

    def _direction(
        self, gradient: np.ndarray, curvature: BlockCurvature, is_held: np.ndarray
    ) -> np.ndarray:
        """Return the gradient times the inverse of the corrected curvature: two loops."""
        rest, shares = np.where(is_held, 0.0, gradient), list[float]()
        for move, fall in reversed(self._changes):
            shares.append(float(move @ rest) / float(move @ fall))
            rest -= shares[-1] * fall
        step = np.where(is_held, 0.0, curvature.solve(np.where(is_held, 0.0, rest)))
        for (move, fall), share in zip(self._changes, reversed(shares), strict=True):
            step += (share - float(fall @ step) / float(move @ fall)) * move
        return np.asarray(step)

    def _line_search(
        self, current: Evaluation, step: np.ndarray, promised: float
    ) -> Evaluation | None:
        """Return where some share of a step leads, measured without curvature."""
        model, length = self._problem.model, 1.0
        flat = model.flatten(current.params)
        while length >= _SHORTEST_LENGTH:
            moved = move_within_reach(model, flat, flat + length * step)
            candidate = self._problem.gradients(model.unflatten(moved[None])).take(0)
            gain = float(candidate.objective - current.objective)
            if gain >= _LEAST_SHARE * length * promised:
                return candidate
            length *= 0.5
        return None

    def _note(self, before: Evaluation, after: Evaluation) -> None:
        """Remember how the gradient changed along a step, if it fell."""
        flatten = self._problem.model.flatten
        move, fall = (
            flatten(after.params) - flatten(before.params),
            before.gradient - after.gradient,
        )
        size = float(np.linalg.norm(move) * np.linalg.norm(fall))
        if float(move @ fall) > _LEAST_CONVEX * size:
            self._changes = [*self._changes[1 - _MOST_CHANGES :], (move, fall)]
