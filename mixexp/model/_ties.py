"""Constraints on the flat vector: coefficients that are one, known, bounded, or in an equation."""

from typing import NamedTuple

import numpy as np

from mixexp.contrast import null_directions


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
    """

    owner: np.ndarray
    known: np.ndarray
    named: tuple[frozenset[int], ...]
    lower: np.ndarray | None = None
    upper: np.ndarray | None = None
    rows: np.ndarray | None = None
    values: np.ndarray | None = None
    repair: np.ndarray | None = None

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
        return settled

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
