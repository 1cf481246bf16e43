"""Which coefficients are one, and which are known: equality constraints on the flat vector."""

from typing import NamedTuple

import numpy as np


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
    """

    owner: np.ndarray
    known: np.ndarray
    named: tuple[frozenset[int], ...]

    @property
    def is_free(self) -> np.ndarray:
        """Whether each coefficient is estimated, and equal to none before it."""
        return (self.owner == np.arange(len(self.owner))) & np.isnan(self.known)

    @property
    def n_sharing(self) -> np.ndarray:
        """How many coefficients each is equal to, itself included, shape (n_flat,)."""
        return np.bincount(self.owner, minlength=len(self.owner))[self.owner]

    def fold(self, basis: np.ndarray, coordinates: np.ndarray) -> np.ndarray:
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
        return np.delete(out, column[bound], axis=1)

    def project_flat(self, flat: np.ndarray) -> np.ndarray:
        """Return coefficients that project: means of those that are one, values that are given.

        Parameters
        ----------
        flat : ndarray of shape (n_flat,)
        """
        sums = np.bincount(self.owner, weights=flat, minlength=len(flat))
        mean = sums[self.owner] / self.n_sharing
        settled = np.where(self.n_sharing > 1, mean, flat)
        return np.where(np.isnan(self.known), settled, self.known)

    def copies(self, coordinates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return what maps the distinct ones of some coefficients to all of them.

        Parameters
        ----------
        coordinates : ndarray of shape (m,), int

        Returns
        -------
        copies : ndarray of shape (m, n_distinct)
            Of zeros and ones.
        first : ndarray of shape (n_distinct,), int
            Place of the first copy of each.
        """
        _, first, which = np.unique(self.owner[coordinates], return_index=True, return_inverse=True)
        return np.eye(len(first))[which], first
