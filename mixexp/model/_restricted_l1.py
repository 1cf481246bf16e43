"""An L1 penalty beside linear equations and inequalities: steps, and the least subgradient.

The multipliers solve a quadratic program in a box: one of each slope with a penalty, between minus
its strength and its strength, and one of each inequality, at least zero. The coefficients follow
from them. A slope whose multiplier lies within its interval is zero, an inequality whose multiplier
is positive holds with equality: the conditions of Karush, Kuhn and Tucker.
"""

from typing import NamedTuple

import numpy as np
from scipy.linalg import cholesky, solve_triangular
from scipy.optimize import lsq_linear

from mixexp import kernels
from mixexp.model._polyhedron import allowed_share
from mixexp.model._ties import EqualityConstraints

# Share of the scaled curvature that is added to it: nothing that an optimum would know of.
_LEAST_CURVATURE = 1e-10
# Share of its interval that a multiplier is at least away from an end that it is not at.
_AT_END = 1e-9
# Distance beyond a boundary, beside the coefficients, that is rounding.
_ROUNDING = 1e-12
# Share of its terms by which an equation fails that cannot hold together with others.
_NOT_BOTH = 1e-6
# Directions that are held are units long; below this they say nothing new.
_NO_RANK = 1e-9
# Changes of what is held, each of which solves one more system; a few are usual.
_MOST_CHANGES = 50


class _Boxed(NamedTuple):
    """``-norm(aim + columns @ x)**2 / 2 + linear @ x`` over a box of multipliers x.

    Parameters
    ----------
    aim : ndarray of shape (q,)
    columns : ndarray of shape (q, m)
    linear, lower, upper : ndarray of shape (m,)
    """

    aim: np.ndarray
    columns: np.ndarray
    linear: np.ndarray
    lower: np.ndarray
    upper: np.ndarray

    def top(self, start: np.ndarray) -> np.ndarray:
        """Return the multipliers at the top, by coordinate descent from a point in the box."""
        x = start[None].copy()
        if not len(start):
            return start
        slopes = self.linear - self.columns.T @ (self.aim + self.columns @ start)
        ends = np.ascontiguousarray(self.lower[None]), np.ascontiguousarray(self.upper[None])
        matrices = np.ascontiguousarray((self.columns.T @ self.columns)[None])
        kernels.lasso_each(matrices, slopes[None].copy(), np.zeros_like(x), *ends, x)
        return np.asarray(x[0])

    def nearest(self) -> np.ndarray:
        """Return the multipliers at the top where there is no linear term: least squares in a box.

        Exactly, by an active set (Stark & Parker 1995, Comput. Statist. 10): coordinate descent
        hardly moves where columns are nearly parallel, as those of a feature far from zero and of
        the intercept are.
        """
        if not self.columns.shape[1]:
            return self.linear
        unit = float(np.abs(self.aim).max()) or 1.0
        ends = self.lower / unit, self.upper / unit
        most = 10 * (10 + len(self.linear))
        found = lsq_linear(self.columns, -self.aim / unit, ends, "bvls", max_iter=most)
        return np.asarray(unit * found.x)

    def is_inside(self, x: np.ndarray) -> np.ndarray:
        """Return which multipliers are at no end of their intervals."""
        room = _AT_END * np.minimum(self.upper - self.lower, 1.0 + np.abs(x))
        return (x > self.lower + room) & (x < self.upper - room)

    def settle(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """Return the point that multipliers near the top stand for, and which are inside.

        With all digits: of what is held ``columns.T @ point = linear`` is solved, and what is held
        is changed until nothing is on the wrong side. None if that comes to no end.
        """
        x, inside = x.copy(), self.is_inside(x)
        for _ in range(_MOST_CHANGES):
            own = self.columns[:, inside]
            rest = self.aim + self.columns[:, ~inside] @ x[~inside]
            needed = self.linear[inside] - own.T @ rest
            found, _, rank, _ = np.linalg.lstsq(own.T @ own, needed, rcond=None)
            point = rest + own @ found
            slope = self.linear - self.columns.T @ point
            terms = 1.0 + np.abs(self.linear) + np.abs(self.columns.T) @ np.abs(point)
            size = _ROUNDING * terms
            if np.any(np.abs(slope[inside]) > _NOT_BOTH * terms[inside]):
                x, inside = self._at_first_end(x, inside, np.where(inside, slope, 0.0))
                continue
            # A multiplier at its upper end is to push up, at its lower end down.
            is_wrong = np.where(x >= self.upper, slope < -size, slope > size) & ~inside
            is_wrong &= self.upper > self.lower
            has_left = np.zeros(len(x), dtype=bool)
            if rank == len(found):  # others are told by no one
                low, high = self.lower[inside], self.upper[inside]
                has_left[inside] = (found < low - _AT_END) | (found > high + _AT_END)
                x[inside] = np.clip(found, low, high)
            if not (is_wrong | has_left).any():
                return point, inside
            inside = (inside | is_wrong) & ~has_left
        return None

    def _at_first_end(
        self, x: np.ndarray, inside: np.ndarray, slope: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return multipliers moved up a slope until the first is at an end, and which are inside.

        Of what cannot hold together the slope is the same all the way: that which is at its end
        first does not hold. Two slopes of given sum are not both zero, however strong the penalty.
        """
        end = np.where(slope > 0.0, self.upper, self.lower)
        far = np.full(len(x), np.inf)
        np.divide(end - x, slope, out=far, where=slope != 0.0)
        at = int(far.argmin())
        moved = x + far[at] * slope
        moved[at] = end[at]
        return moved, inside & (np.arange(len(x)) != at)


def step_with_l1(
    matrix: np.ndarray,
    gradient: np.ndarray,
    coef: tuple[np.ndarray, np.ndarray, np.ndarray],
    inside: tuple[np.ndarray, np.ndarray],
) -> tuple[np.ndarray, np.ndarray]:
    """Return the step to the top of a quadratic model less an L1 penalty, under inequalities.

    Parameters
    ----------
    matrix : ndarray of shape (q, q)
        Minus the Hessian: symmetric, positive semi-definite.
    gradient : ndarray of shape (q,)
        Without the penalty.
    coef : tuple of ndarray
        Coefficients (p,) where the step begins, how they move with it (p, q), and their L1
        strengths (p,).
    inside : tuple of ndarray
        Rows (m, q) and slack (m,) of at least zero: ``rows @ step >= -slack``.

    Returns
    -------
    step : ndarray of shape (q,)
    is_zero : ndarray of shape (p,), bool
        Coefficients with a penalty that are zero after it, or as good as zero: those that
        inequalities hold at others that are.

    Notes
    -----
    Costs a Cholesky factor, and sweeps over the square of the number of multipliers.
    """
    (flat, basis, l1), (rows, slack) = coef, inside
    diagonal = np.diagonal(matrix)
    scale = 1.0 / np.sqrt(np.where(diagonal > 0.0, diagonal, 1.0))
    scaled = matrix * scale * scale[:, None]
    scaled[np.diag_indices_from(scaled)] += _LEAST_CURVATURE
    factor = cholesky(scaled, lower=True)
    has_l1 = l1 > 0.0
    at, strength = flat[has_l1], l1[has_l1]
    directions = np.vstack([-basis[has_l1], rows])
    boxed = _Boxed(
        solve_triangular(factor, gradient * scale, lower=True),
        solve_triangular(factor, (directions * scale).T, lower=True),
        np.concatenate([at, -slack]),
        np.concatenate([-strength, np.zeros(len(slack))]),
        np.concatenate([strength, np.full(len(slack), np.inf)]),
    )
    x = boxed.top(np.concatenate([strength * np.sign(at), np.zeros(len(slack))]))
    settled, is_zero = boxed.settle(x), np.zeros(len(flat), dtype=bool)
    point = boxed.aim + boxed.columns @ x if settled is None else settled[0]
    step = scale * solve_triangular(factor.T, point, lower=False)
    share = allowed_share(rows @ step, slack, float(np.abs(step).max(initial=0.0)))
    if settled is not None and share == 1.0:
        moved = np.abs(flat + basis @ step)
        is_nothing = moved[has_l1] <= _ROUNDING * moved.max(initial=0.0)
        is_zero[has_l1] = settled[1][: len(at)] | is_nothing
    return share * step, is_zero


class RestrictedL1:
    """What restrictions make of the conditions of an optimum with an L1 penalty.

    Parameters
    ----------
    ties : EqualityConstraints
    l1 : ndarray of shape (n_flat,)
        Strengths; those that are one share it.
    """

    def __init__(self, ties: EqualityConstraints, l1: np.ndarray) -> None:
        n_flat = len(l1)
        parts = [rows for rows in (ties.rows, ties.least_rows) if rows is not None]
        rows = np.vstack([np.zeros((0, n_flat)), *parts])
        is_asked = np.any(rows[np.any(rows[:, l1 > 0.0] != 0.0, axis=1)] != 0.0, axis=0)
        is_asked = np.bincount(ties.owner, weights=is_asked, minlength=n_flat)[ties.owner] > 0.0
        self._ties, self._l1 = ties, l1
        #: Coefficients that restrictions of slopes with a penalty are about.
        self.asked = np.flatnonzero(is_asked)
        copies, first = ties.copies(self.asked)
        is_known = ~np.isnan(ties.known[self.asked[first]])
        self._basis = np.linalg.qr(copies[:, ~is_known])[0]

    def least_gradient(self, flat: np.ndarray, smooth: np.ndarray) -> np.ndarray:
        """Return the subgradient of the asked that is least, without what holds zeros.

        Zero for coefficients that are zero and stay so. What inequalities and equations press with
        is in it, as it is in gradients without an L1 penalty.

        Parameters
        ----------
        flat, smooth : ndarray of shape (n_flat,)
            Coefficients, and the gradient without the L1 penalty.
        """
        at, slope, l1 = flat[self.asked], smooth[self.asked], self._l1[self.asked]
        out = slope - l1 * np.sign(at)
        zero = np.flatnonzero((at == 0.0) & (l1 > 0.0))
        if not len(zero):
            return out
        # Coefficients that are one have one multiplier, up to what they share of the strength.
        _, first, which, n = np.unique(
            self._ties.owner[self.asked[zero]],
            return_index=True,
            return_inverse=True,
            return_counts=True,
        )
        boxed = self._boxed(flat, out, zero[first], n * l1[zero[first]])
        x = boxed.nearest()
        is_inside, side = boxed.is_inside(x)[which], np.sign(x)[which]
        out[zero] = np.where(is_inside, 0.0, slope[zero] - side * l1[zero])
        return out

    def shares(self, flat: np.ndarray, gradient: np.ndarray, least: float) -> np.ndarray:
        """Return what nothing presses against of `least_gradient`, as shares of the strengths.

        Parameters
        ----------
        flat, gradient : ndarray of shape (n_flat,)
        least : float
            What strengths below it count as.
        """
        own, l1 = gradient[self.asked], self._l1[self.asked]
        held = np.flatnonzero((flat[self.asked] == 0.0) & (l1 > 0.0) & (own == 0.0))
        boxed = self._boxed(flat, own, held, np.full(len(held), np.inf))
        x = boxed.nearest()
        left = np.abs(self._basis @ (boxed.aim + boxed.columns @ x))
        with np.errstate(over="ignore"):
            return np.divide(left, np.maximum(l1, least), out=np.zeros(len(l1)), where=l1 > 0.0)

    def count_held(self, rows: np.ndarray, is_held: np.ndarray) -> int:
        """Return how many directions of the asked inequalities and held coefficients take.

        Parameters
        ----------
        rows : ndarray of shape (m, n_flat)
        is_held : ndarray of shape (n_flat,), bool
        """
        held = np.vstack([rows[:, self.asked] @ self._basis, self._basis[is_held[self.asked]]])
        return int(np.linalg.matrix_rank(held, tol=_NO_RANK)) if len(held) else 0

    def _boxed(
        self, flat: np.ndarray, gradient: np.ndarray, zero: np.ndarray, most: np.ndarray
    ) -> _Boxed:
        """Return the multipliers of zeros, up to so much, and of inequalities that hold."""
        rows = self._ties.rows_at_boundary(flat)[:, self.asked]
        rows = rows[np.any(rows != 0.0, axis=1)]
        columns = np.concatenate([-self._basis[zero].T, self._basis.T @ rows.T], axis=1)
        n = columns.shape[1]
        return _Boxed(
            self._basis.T @ gradient,
            columns,
            np.zeros(n),
            np.concatenate([-most, np.zeros(len(rows))]),
            np.concatenate([most, np.full(len(rows), np.inf)]),
        )

    def move(self, flat: np.ndarray, gradient: np.ndarray, moved: np.ndarray) -> np.ndarray:
        """Return where a move ends at the first slope with a penalty that becomes zero.

        As a whole, for to stop that slope alone would break a restriction.

        Parameters
        ----------
        flat, gradient, moved : ndarray of shape (n_flat,)
            Where the move begins, `least_gradient` there, and where it would end.
        """
        is_held = (flat == 0.0) & (gradient == 0.0) & (self._l1 > 0.0)
        moved = moved.copy()
        moved[self.asked[is_held[self.asked]]] = 0.0  # as they are but for rounding
        at, step = flat[self.asked], (moved - flat)[self.asked]
        crosses = (self._l1[self.asked] > 0.0) & (at != 0.0) & (at * (at + step) <= 0.0)
        if not crosses.any():
            return moved
        shares = np.full(len(at), np.inf)
        shares[crosses] = -at[crosses] / step[crosses]
        out = flat + shares.min() * (moved - flat)
        out[self.asked[shares == shares.min()]] = 0.0
        return out
