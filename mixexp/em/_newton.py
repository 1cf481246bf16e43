"""Newton steps on the log-likelihood itself, once EM has found the basin of an optimum.

EM gains a fixed share of what is left per iteration, which is next to nothing where
experts overlap; Newton's method doubles the digits. It is trusted only where the observed
information is positive definite, and only as far as the objective rises.
"""

from typing import Any, NamedTuple

import numpy as np
from scipy.linalg import LinAlgError, eigh, lapack
from scipy.sparse import csr_array

from mixexp.em._held import is_held as is_in_held_node
from mixexp.em._linear_systems import solve_definite
from mixexp.em._objective import Evaluation, Problem
from mixexp.em._reach import move_within_reach
from mixexp.model import Model, complete_information, movable_basis, pressing_rows

# EM is in the basin when a whole iteration gains less than this share of the objective: of many
# starts most are dropped on the way, and Newton's steps, one start at a time, are dear; a start
# that is known to be near an optimum is worth trying earlier.
BASIN_GAIN = 1e-4
NEAR_BASIN_GAIN = 1e-2
_FIRST_ITERATION = 3
_SHORTEST_LENGTH = 0.25
# Of the gain that the quadratic model promises, this share must arrive (Armijo's rule).
_LEAST_SHARE = 0.1
# The last information serves again while a step promises at most this share of the one before.
_LARGEST_CHORD_RATIO = 0.01
# Beyond these the full matrix costs more than the EM iterations that it saves.
_MOST_PARAMETERS = 600
_MOST_HEADS = 64
# With an L1 penalty; formed for all of them, solved for those that are not zero.
_MOST_SPARSE_PARAMETERS = 1500
# EM's steps are lengthened at most so many times, by the inverse, along a ridge.
_SMALLEST_RATE = 0.02
# A step along a ridge is doubled at most so many times.
_MOST_DOUBLINGS = 12
# A basis with fewer than this share of its numbers is multiplied without its zeros.
_DENSE = 0.1
# Curvature, and gain, per unit of weight that counts as none.
_FLAT = 1e-9
# Squared pivots, in these units, that tell without eigenvalues that no direction is flat.
_SAFELY_BENT = 1e3


class NewtonStep(NamedTuple):
    """An accepted step.

    Parameters
    ----------
    evaluation : Evaluation
        With a leading axis of one start.
    predicted_gain : float
        What the quadratic model said that the step would gain.
    is_definite : bool
        Whether that model has a top, which the step then aimed at.
    """

    evaluation: Evaluation
    predicted_gain: float
    is_definite: bool


class _Chord(NamedTuple):
    """An information matrix to step with again.

    Parameters
    ----------
    basis : ndarray of shape (n_flat, n_movable)
    information : ndarray of shape (n_movable, n_movable)
    predicted_gain : float
        Of the last step with it.
    is_polished : bool
        Whether that step was Newton's own and had next to nothing to gain.
    """

    basis: np.ndarray
    information: np.ndarray
    predicted_gain: float
    is_polished: bool


def is_small(problem: Problem) -> bool:
    """Tell whether the full information matrix costs less than the iterations that it saves."""
    return problem.model.n_parameters <= _MOST_PARAMETERS and _n_heads(problem) <= _MOST_HEADS


def _n_heads(problem: Problem) -> int:
    return sum(rows for rows, _ in problem.model.slot_shapes)


def affords_newton(problem: Problem) -> bool:
    """Tell the same of Newton's steps, which solve for coefficients that are not zero alone."""
    is_sparse = problem.model.penalty.has_l1
    most = _MOST_SPARSE_PARAMETERS if is_sparse else _MOST_PARAMETERS
    return problem.model.n_parameters <= most and _n_heads(problem) <= _MOST_HEADS


class NewtonFinish:
    """Decides when to leave EM for Newton's method, and when to return.

    Parameters
    ----------
    problem : Problem
    basin_gain : float
        Share of the objective that an iteration gains at most once EM is in the basin.
    """

    def __init__(self, problem: Problem, basin_gain: float) -> None:
        self._problem = problem
        self._basin_gain = basin_gain
        self._next_try = _FIRST_ITERATION
        self._patience = _FIRST_ITERATION
        self._chord: _Chord | None = None
        self._zeros = np.zeros(0, dtype=bool)

    def state(self) -> dict[str, Any]:
        """Return all that it knows, as plain values and arrays; layouts of arrays count."""
        chord = None
        if self._chord is not None:
            basis, information, *rest = self._chord
            chord = [basis.ravel(order="K"), basis.shape, basis.flags.c_contiguous]
            chord += [information.ravel(order="K"), information.flags.c_contiguous, *rest]
        return {
            "next_try": self._next_try,
            "patience": self._patience,
            "zeros": self._zeros,
            "chord": chord,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Undo `state`."""
        self._next_try, self._patience = state["next_try"], state["patience"]
        self._zeros, self._chord = state["zeros"], None
        if state["chord"] is not None:
            basis, shape, is_c, information, is_c_too, gain, is_polished = state["chord"]
            n = shape[1]
            self._chord = _Chord(
                basis.reshape(shape, order="C" if is_c else "F"),
                information.reshape((n, n), order="C" if is_c_too else "F"),
                gain,
                is_polished,
            )

    def is_due(self, history: list[float], allowed_gain: float) -> bool:
        """Whether EM's gains say that the basin is reached, or at once that it is at the bottom.

        Parameters
        ----------
        history : list of float
            The objective after every iteration, the start first.
        allowed_gain : float
            What is too little to matter.
        """
        n_iter = len(history) - 1
        if n_iter == 0:
            return False
        gain = history[-1] - history[-2]
        if n_iter == 1 and gain <= allowed_gain:  # it began at an optimum
            return True
        basin_gain = self._basin_gain * (1.0 + self._problem.magnitude(history[-1]))
        return n_iter >= self._next_try and gain <= basin_gain

    def postpone(self, history: list[float]) -> None:
        """Leave EM alone for a while after a step that was not to be had."""
        self._next_try = len(history) - 1 + self._patience
        self._patience *= 2

    def advance(self, current: Evaluation, noise: float, allowed_gain: float) -> NewtonStep | None:
        """Take one safeguarded Newton step on the observed log-likelihood.

        A chord step with the last information if it contracts, else one with a fresh information
        matrix; Armijo backtracking. None if no step was accepted.

        Parameters
        ----------
        current : Evaluation
            Of one start, without a leading axis.
        noise : float
            What rounding alone may change the objective by.
        allowed_gain : float
            What is too little to matter.
        """
        if self._problem.model.penalty.has_l1:  # a basis is for coefficients that are not zero
            zeros = self._problem.model.flatten(current.params) == 0.0
            self._chord = self._chord if np.array_equal(zeros, self._zeros) else None
            self._zeros = zeros
        return self._take_chord(current, noise, allowed_gain) or self._take_newton_step(
            current, noise, allowed_gain
        )

    def _take_chord(
        self, current: Evaluation, noise: float, allowed_gain: float
    ) -> NewtonStep | None:
        """Step with the last information once more, as long as that shrinks what is left.

        Not at the end: a chord shrinks what is left by a factor, where Newton's step squares it,
        and coefficients are to be known to more digits than the objective tells. Once a Newton
        step had next to nothing to gain, a chord is as good.

        An evaluation costs a third of an information matrix, and near the optimum the matrix
        hardly changes: the chord method, Kelley (1995), section 5.4.
        """
        chord, self._chord = self._chord, None
        if chord is None:
            return None
        direction = solve_definite(chord.information, chord.basis.T @ current.gradient)
        if direction is None:
            return None
        step = chord.basis @ direction
        promised = 0.5 * float(current.gradient @ step)
        if promised > _LARGEST_CHORD_RATIO * chord.predicted_gain:
            return None
        if promised <= allowed_gain and not chord.is_polished:
            return None
        climbed = self._line_search(current, step, noise, shortest=1.0)
        if climbed is None:
            return None
        self._chord = chord._replace(predicted_gain=promised, is_polished=False)
        return NewtonStep(*climbed, is_definite=True)

    def _take_newton_step(
        self, current: Evaluation, noise: float, allowed_gain: float
    ) -> NewtonStep | None:
        problem, model = self._problem, self._problem.model
        metric = complete_information(model, current.stats.head_sums)
        metric[np.diag_indices(model.n_flat)] += current.penalty.majorizer
        basis = _identified_basis(problem, current, metric)
        observed = problem.information(current.params) + current.penalty.information()
        gradient, information = basis.T @ current.gradient, _congruence(basis, observed)
        direction = solve_definite(information, gradient)
        if direction is not None:
            step = self._line_search(current, basis @ direction, noise)
            if step is not None:
                self._chord = _Chord(basis, information, step[1], step[1] <= allowed_gain)
                return NewtonStep(*step, is_definite=True)
        # Indefinite, or so nearly singular that Newton's step leads far beyond where the
        # quadratic model holds.
        direction = _saddle_free_direction(_congruence(basis, metric), information, gradient)
        step = None if direction is None else self._line_search(current, basis @ direction, noise)
        if step is None:
            return None
        reached = self._expand_step(current, basis @ direction, step[0])
        return NewtonStep(reached, step[1], is_definite=False)

    def _line_search(
        self,
        current: Evaluation,
        direction: np.ndarray,
        noise: float,
        shortest: float = _SHORTEST_LENGTH,
    ) -> tuple[Evaluation, float] | None:
        """Return where some share of a direction leads, and the gain that all of it promised."""
        model, length = self._problem.model, 1.0
        promised = 0.5 * float(current.gradient @ direction)
        while length >= shortest:
            moved = _moved(model, current, length * direction)
            candidate = self._problem.evaluate(model.unflatten(moved[None]))
            gain = float(candidate.objective[0] - current.objective)
            if gain >= _LEAST_SHARE * length * promised - noise:
                return candidate, promised
            length *= 0.5
        return None

    def _expand_step(
        self, current: Evaluation, direction: np.ndarray, reached: Evaluation
    ) -> Evaluation:
        """Go on along a ridge, twice as far each time, as long as that leads higher.

        Near a saddle it bends up, and steps that are in proportion to its slope would take
        hundreds of iterations to leave.
        """
        model, length = self._problem.model, 1.0
        for _ in range(_MOST_DOUBLINGS):
            length *= 2.0
            moved = _moved(model, current, length * direction)
            candidate = self._problem.evaluate(model.unflatten(moved[None]))
            if not candidate.objective[0] > reached.objective[0]:
                break
            reached = candidate
        return reached


def _moved(model: Model, current: Evaluation, step: np.ndarray) -> np.ndarray:
    """Return where a step leads, within bounds, and no further than to zero with an L1 penalty."""
    flat = model.flatten(current.params)
    moved = move_within_reach(model, flat, flat + step)
    return model.prior.move_within_orthant(flat, current.gradient, moved)


def cautious_newton_move(
    problem: Problem, current: Evaluation, information: np.ndarray, longest: float
) -> tuple[np.ndarray, float] | None:
    """Return where a Newton step with sums of other passes leads, unmeasured.

    Newton's step along the eigenvectors of the observed information in EM's metric where that
    bends by at least a fiftieth as much as EM takes it to; EM's step along the others, where the
    sums do not tell an optimum from a ridge. With its squared length in that metric. None where
    the metric is singular.

    Parameters
    ----------
    problem : Problem
    current : Evaluation
        Of one start, without a leading axis.
    information : ndarray of shape (n_flat, n_flat)
        Of the log-likelihood, without the penalty.
    longest : float
        Squared length that the step is cut to, unless EM's is longer.
    """
    model = problem.model
    metric = complete_information(model, current.stats.head_sums)
    metric[np.diag_indices(model.n_flat)] += current.penalty.majorizer
    basis = _identified_basis(problem, current, metric)
    observed = basis.T @ (information + current.penalty.information()) @ basis
    try:
        rates, vectors = eigh(observed, basis.T @ metric @ basis)
    except LinAlgError:
        return None
    along = vectors.T @ (basis.T @ current.gradient)  # EM's step; the metric's norm is plain here
    longest = max(longest, float(along @ along))
    along /= np.where(rates < _SMALLEST_RATE, 1.0, rates)
    length = float(along @ along)
    share = min(1.0, (longest / length) ** 0.5) if length > 0.0 else 1.0
    return _moved(model, current, basis @ (vectors @ (share * along))), share**2 * length


def _saddle_free_direction(
    metric: np.ndarray, information: np.ndarray, gradient: np.ndarray
) -> np.ndarray | None:
    """Return the saddle-free Newton direction in the metric of EM's complete-data information.

    Dauphin et al. (2014), section 4. In that metric the eigenvalues of the observed information
    are one less EM's rate of convergence along each eigenvector. Each component of the gradient
    is divided by the eigenvalue's magnitude, at least 0.02: Newton's method where the
    surface is concave, and uphill also where it is not.
    """
    try:
        rates, vectors = eigh(information, metric)
    except LinAlgError:  # EM's curvature is singular: some coefficients are not determined
        return None
    return vectors @ ((vectors.T @ gradient) / np.maximum(np.abs(rates), _SMALLEST_RATE))


def _congruence(basis: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Return ``basis' matrix basis``; of a basis of contrasts most is zero."""
    is_used = basis != 0.0
    if np.count_nonzero(is_used) > _DENSE * basis.size:
        return basis.T @ matrix @ basis
    rows, columns = np.nonzero(is_used)
    few = csr_array((basis[rows, columns], (columns, rows)), shape=basis.shape[::-1])
    return few @ (few @ matrix).T


def _identified_basis(problem: Problem, current: Evaluation, metric: np.ndarray) -> np.ndarray:
    """Return a basis of the directions along which there is an optimum to be found.

    A variance at its floor is held by its bound. An expert that gives its rows one class runs
    to infinity along a line, for gains as small as the curvature there, which is lost in the
    rounding of the rest: with such lines left out the other directions have an optimum.
    """
    model = problem.model
    lower, upper = model.flat_bounds
    flat = model.flatten(current.params)
    is_held = ((flat <= lower) & (current.gradient <= 0.0)) | (
        (flat >= upper) & (current.gradient >= 0.0)
    )
    is_held |= model.prior.is_zero(flat) & (current.gradient == 0.0)
    if model.held:
        is_held |= is_in_held_node(model)
    basis = movable_basis(model, is_held, pressing_rows(model, flat, current.gradient, is_held))
    metric = _congruence(basis, metric)
    nothing = _FLAT * problem.total_weight
    factor, info = lapack.dpotrf(metric, lower=1)
    if info == 0 and np.diagonal(factor).min(initial=np.inf) ** 2 > _SAFELY_BENT * nothing:
        return basis
    curvatures, vectors = eigh(metric)
    basis = basis @ vectors
    gains = 0.5 * (basis.T @ current.gradient) ** 2 / np.maximum(curvatures, _FLAT * nothing)
    return basis[:, (curvatures > nothing) | (gains > nothing)]
