"""Steps of all experts of a family at once, whose coefficients constraints tie to each other."""

from typing import NamedTuple

import numpy as np

from mixexp.em._inequalities import (
    Inequalities,
    inequalities_of,
    solve_inside_each,
    solve_with_l1_each,
)
from mixexp.em._linear_systems import Solutions, solve_within_each
from mixexp.model import EqualityConstraints, Prior


class TiedExperts(NamedTuple):
    """Where experts stand, and how their coefficients may move together.

    Parameters
    ----------
    at : ndarray of shape (n_starts, n_group, p)
    copies : ndarray of shape (n_group * p, n_free)
        See `EqualityConstraints.copies`, of the coefficients of all experts.
    first : ndarray of shape (n_free,), int
    limits : tuple of ndarray of shape (n_free,)
        Least and largest values.
    inside : Inequalities or None
        In the coordinates that are free.
    owner : ndarray of shape (n_group * p,), int
        Equal numbers for coefficients that are one.
    has_equations : bool
        Whether linear restrictions are about these coefficients.
    """

    at: np.ndarray
    copies: np.ndarray
    first: np.ndarray
    limits: tuple[np.ndarray, np.ndarray]
    inside: Inequalities | None
    owner: np.ndarray
    has_equations: bool

    @classmethod
    def of(
        cls,
        ties: EqualityConstraints,
        own: np.ndarray,
        at: np.ndarray,
        bounds: tuple[np.ndarray, np.ndarray],
    ) -> "TiedExperts":
        """Look at the coefficients with some numbers in the flat vector.

        Parameters
        ----------
        ties : EqualityConstraints
        own : ndarray of shape (n_group * p,), int
        at : ndarray of shape (n_starts, n_group, p)
        bounds : tuple of ndarray of shape (n_group, p)
        """
        copies, first = ties.copies(own)
        inside = inequalities_of(ties, own, at.reshape(len(at), -1))
        if inside is not None:
            inside = inside._replace(rows=inside.rows @ copies)
        limits = bounds[0].ravel()[first], bounds[1].ravel()[first]
        has_equations = ties.rows is not None and bool(ties.rows[:, own].any())
        return cls(at, copies, first, limits, inside, ties.owner[own], has_equations)

    def solve(
        self, matrices: np.ndarray, gradient: np.ndarray, l1: np.ndarray | None = None
    ) -> Solutions:
        """Return the steps to the top of the quadratic models of all experts.

        Costs the square of the number of experts more than to solve for each alone.

        Parameters
        ----------
        matrices : ndarray of shape (n_starts, n_group, p, p)
        gradient : ndarray of shape (n_starts, n_group, p)
        l1 : ndarray of shape (n_group, p), optional
            Strengths of an L1 penalty; zeros where slopes have bounds alone.
        """
        n_starts, n_group, p = gradient.shape
        by_expert = self.copies.reshape(n_group, p, -1)
        joint = np.einsum("kia,skij,kjb->sab", by_expert, matrices, by_expert, optimize=True)
        right = gradient.reshape(n_starts, -1) @ self.copies
        if l1 is not None and l1.any() and (self.inside is not None or self.has_equations):
            return self._solve_with_l1(joint, right, l1.ravel())
        where = self.at.reshape(n_starts, -1)[:, self.first]
        if self.inside is not None:
            solutions = solve_inside_each(joint, right, where, self.limits, self.inside)
        elif l1 is None:
            solutions = solve_within_each(joint, right, where, self.limits)
        else:
            aim = Prior.prox(joint, right, l1.ravel() @ self.copies, self.limits, where)
            solutions = Solutions(aim - where, np.zeros(n_starts, dtype=bool))
        return self._spread(solutions)

    def _solve_with_l1(self, joint: np.ndarray, right: np.ndarray, l1: np.ndarray) -> Solutions:
        _, first, which = np.unique(self.owner, return_index=True, return_inverse=True)
        whole = np.zeros(len(l1))
        whole[first] = np.bincount(which, weights=l1)  # coefficients that are one count once
        flat = self.at.reshape(len(self.at), -1)
        solutions, is_zero = solve_with_l1_each(
            joint, right, (flat, self.copies, whole), self.limits, self.inside
        )
        steps, deficient = self._spread(solutions)
        is_zero = is_zero[:, first[which]].reshape(self.at.shape)
        return Solutions(np.where(is_zero, -self.at, steps), deficient)

    def _spread(self, solutions: Solutions) -> Solutions:
        """Return steps of all coefficients from those of the free ones."""
        steps = (solutions.x @ self.copies.T).reshape(self.at.shape)
        return Solutions(steps, solutions.is_deficient[:, None])
