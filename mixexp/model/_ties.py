"""Constraints on the flat vector: coefficients that are one, known, bounded, or in an equation."""

from typing import NamedTuple

import numpy as np

from mixexp.contrast import null_directions
from mixexp.model._polyhedron import AT_BOUNDARY, allowed_share, least_multipliers, pressing

# A second projection takes what rounding left of the first, a third makes sure.
_MOST_PROJECTIONS = 3


class EqualityConstraints(NamedTuple):
    """Constraints on the coefficients of a model.

    Parameters
    ----------
    owner : ndarray of shape (n_flat,), int
        Number of the first coefficient that each is equal to; its own if there is no other.
    known : ndarray of shape (n_flat,)
        Values of the coefficients that are given, NaN for those that are estimated.
    named : tuple of frozenset of int
        Leaves that each constraint is about.
    lower, upper : ndarray of shape (n_flat,), optional
        Bounds of coefficients, infinite where there is none.
    rows : ndarray of shape (m, n_flat), optional
        Linear restrictions ``rows @ flat = values``, of full rank on what is free beside them.
    values : ndarray of shape (m,), optional
    repair : ndarray of shape (n_flat, m), optional
        What to add to the flat vector, per unit that a restriction is missed by.
    least_rows : ndarray of shape (m, n_flat), optional
        Linear inequalities ``least_rows @ flat >= least``. Where there are any, bounds of slopes
        are such too, and `lower` and `upper` are None.
    least : ndarray of shape (m,), optional
    lift : ndarray of shape (n_flat, m), optional
        ``least_rows.T`` along the directions that all else leaves: the shortest ways inside.
    sort_rows : ndarray of shape (n_leaves, n_flat), optional
        ``sort_rows @ flat`` does not fall from leaf to leaf, and no other constraint tells one
        leaf from another: starts may be sorted by it.
    """

    owner: np.ndarray
    known: np.ndarray
    named: tuple[frozenset[int], ...]
    lower: np.ndarray | None = None
    upper: np.ndarray | None = None
    rows: np.ndarray | None = None
    values: np.ndarray | None = None
    repair: np.ndarray | None = None
    least_rows: np.ndarray | None = None
    least: np.ndarray | None = None
    lift: np.ndarray | None = None
    sort_rows: np.ndarray | None = None

    @property
    def is_free(self) -> np.ndarray:
        """Whether each coefficient is estimated, and equal to none before it."""
        return (self.owner == np.arange(len(self.owner))) & np.isnan(self.known)

    @property
    def n_sharing(self) -> np.ndarray:
        """How many coefficients each is equal to, itself included, shape (n_flat,)."""
        return np.bincount(self.owner, minlength=len(self.owner))[self.owner]

    def reduce_basis(self, basis: np.ndarray, coordinates: np.ndarray) -> np.ndarray:
        """Return a basis in which coefficients that are one move together, and known ones not.

        Parameters
        ----------
        basis : ndarray of shape (n_flat, n_columns)
            In which each of the coordinates has a column of its own, with a 1.
        coordinates : ndarray of int
            Coefficients that may be tied or known.
        """
        out, column = basis.copy(), np.argmax(basis, axis=1)
        is_free = self.is_free
        bound = coordinates[~is_free[coordinates]]
        tied = bound[np.isnan(self.known[bound])]
        out[tied, column[self.owner[tied]]] = 1.0
        out = np.delete(out, column[bound], axis=1)
        return out if self.rows is None else out @ null_directions(self.rows @ out)

    @property
    def n_restrictions(self) -> int:
        """Number of linear restrictions."""
        return 0 if self.rows is None else len(self.rows)

    def at_bound(self, flat: np.ndarray) -> np.ndarray:
        """Return which coefficients lie at a bound of their own, shape (n_flat,), bool."""
        lower, upper = self.bounds()
        return (flat <= lower) | (flat >= upper)

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Return least and largest values, infinite where there is no bound."""
        if self.lower is None or self.upper is None:
            return np.full(len(self.owner), -np.inf), np.full(len(self.owner), np.inf)
        return self.lower, self.upper

    def project_flat(self, flat: np.ndarray) -> np.ndarray:
        """Return coefficients that meet the constraints: means of those that are one, values given.

        What lies beyond a bound goes to it; what misses a restriction by the shortest way.

        Parameters
        ----------
        flat : ndarray of shape (n_flat,)
        """
        sums = np.bincount(self.owner, weights=flat, minlength=len(flat))
        mean = sums[self.owner] / self.n_sharing
        settled = np.where(self.n_sharing > 1, mean, flat)
        settled = np.where(np.isnan(self.known), settled, self.known)
        settled = np.clip(settled, *self.bounds())
        if self.rows is not None and self.repair is not None:
            settled = settled + self.repair @ (self.values - self.rows @ settled)
        return self._move_inside(settled)

    def _move_inside(self, flat: np.ndarray) -> np.ndarray:
        """Return the nearest coefficients that meet the inequalities.

        Raises
        ------
        ValueError
            If there are none.
        """
        if self.least_rows is None or self.lift is None:
            return flat
        sizes, vectors = np.linalg.eigh(self.least_rows @ self.lift)
        columns = np.sqrt(np.maximum(sizes, 0.0))[:, None] * vectors.T
        for _ in range(_MOST_PROJECTIONS):
            multipliers = least_multipliers(columns, -self.slack(flat))
            if multipliers is None:
                raise ValueError("The inequalities cannot all be met.")
            flat = flat + self.lift @ multipliers
        return flat

    def without_inequalities(self) -> "EqualityConstraints":
        """Return all else, which names no leaf."""
        return self._replace(least_rows=None, least=None, lift=None, named=())

    def slack(self, flat: np.ndarray) -> np.ndarray:
        """Return by how much each inequality is more than met, shape (m,).

        Parameters
        ----------
        flat : ndarray of shape (n_flat,)
        """
        if self.least_rows is None or self.least is None:
            return np.zeros(0)
        return self.least_rows @ flat - self.least

    def rows_at_boundary(self, flat: np.ndarray) -> np.ndarray:
        """Return the inequalities that hold with equality, shape (n_held, n_flat)."""
        if self.least_rows is None or self.least is None:
            return np.zeros((0, len(self.owner)))
        return self.least_rows[self.slack(flat) <= AT_BOUNDARY * (1.0 + np.abs(self.least))]

    def rows_pressing(
        self, flat: np.ndarray, gradient: np.ndarray, basis: np.ndarray
    ) -> np.ndarray:
        """Return those of `rows_at_boundary` that keep coefficients from moving uphill.

        Parameters
        ----------
        flat, gradient : ndarray of shape (n_flat,)
        basis : ndarray of shape (n_flat, n_free)
            Of the directions that all else leaves.
        """
        rows = self.rows_at_boundary(flat)
        return rows[pressing((rows @ basis).T, gradient @ basis)] if len(rows) else rows

    def stay_inside(self, flat: np.ndarray, moved: np.ndarray) -> np.ndarray:
        """Return where a move ends at the first inequality that it would break."""
        if self.least_rows is None:
            return moved
        step = moved - flat
        change = self.least_rows @ step
        share = allowed_share(change, self.slack(flat), float(np.abs(step).max()))
        return moved if share == 1.0 else flat + share * step

    def copies(self, coordinates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return what maps the free ones of some coefficients to all of them.

        The distinct ones are free; where restrictions tie some of these, combinations of them.

        Parameters
        ----------
        coordinates : ndarray of shape (m,), int

        Returns
        -------
        copies : ndarray of shape (m, n_free)
            Of zeros and ones without restrictions.
        first : ndarray of shape (n_free,), int
            Place of the first copy of each; of a combination, that of a coefficient in it, which
            has no bounds.
        """
        _, first, which = np.unique(self.owner[coordinates], return_index=True, return_inverse=True)
        copies = np.eye(len(first))[which]
        if self.rows is None:
            return copies, first
        rows = self.rows[:, coordinates] @ copies
        rows[:, ~np.isnan(self.known[coordinates[first]])] = 0.0
        free = null_directions(rows)
        return copies @ free, first[np.abs(free).argmax(axis=0)]
