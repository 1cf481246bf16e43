"""What resamples are drawn among: rows, or groups of rows, class by class where y has classes."""

from typing import NamedTuple

import numpy as np


class Units(NamedTuple):
    """Rows or groups that can be drawn, and the classes that they have.

    Units are drawn with replacement within strata, of a unit's rarest class, so that every class
    is as frequent in a resample as in all rows: of rows, to the row. A fit to a resample without
    a class could not say how probable it is. Without classes there is one stratum.

    Parameters
    ----------
    codes : ndarray of shape (n,), int
        Number of the unit of each row.
    strata : list of ndarray, int
        Numbers of units.
    unit, label : ndarray of shape (n_pairs,), int
        Every class of every unit, as pairs.
    """

    codes: np.ndarray
    strata: list[np.ndarray]
    unit: np.ndarray
    label: np.ndarray

    @classmethod
    def of_rows(cls, codes: np.ndarray, weight: np.ndarray, labels: np.ndarray | None) -> "Units":
        """Return the units that have a row of positive weight; others are as if absent.

        Parameters
        ----------
        codes : ndarray of shape (n,), int
        weight : ndarray of shape (n,)
        labels : ndarray of shape (n,) or None
            Classes.
        """
        is_used = weight > 0.0
        if labels is None:
            of_row = np.zeros(np.count_nonzero(is_used), dtype=np.int64)
        else:
            of_row = np.unique(labels[is_used], return_inverse=True)[1]
        n_labels = int(of_row.max()) + 1
        unit, label = np.divmod(np.unique(codes[is_used] * n_labels + of_row), n_labels)
        by_rarity = np.lexsort((label, np.bincount(label)[label], unit))
        is_first = np.diff(unit[by_rarity], prepend=-1) != 0
        rarest = label[by_rarity][is_first]
        in_order = np.argsort(rarest, kind="stable")
        sizes = np.bincount(rarest)
        strata = np.split(np.unique(unit)[in_order], np.cumsum(sizes[sizes > 0])[:-1])
        return cls(codes, strata, unit, label)

    def draw(self, seed: int) -> np.ndarray:
        """Return how often each row is drawn.

        Parameters
        ----------
        seed : int

        Returns
        -------
        ndarray of shape (n,)
        """
        rng = np.random.default_rng(seed)
        drawn = np.concatenate([own[rng.integers(len(own), size=len(own))] for own in self.strata])
        times = np.bincount(drawn, minlength=int(self.codes.max()) + 1)
        # Of a class that is nowhere the rarest of its group, none may have been drawn.
        for label in np.flatnonzero(np.bincount(self.label, times[self.unit]) == 0):
            having = self.unit[self.label == label]
            times[having[rng.integers(len(having))]] += 1
        return times[self.codes].astype(float)

    def hold_out(self, n_folds: int, seed: int) -> np.ndarray:
        """Return the fold that each row is held out by, -1 for rows that none holds out.

        Those are rows of a unit without which the fit of a fold would lack a class, or all rows.

        Parameters
        ----------
        n_folds : int
        seed : int

        Returns
        -------
        ndarray of shape (n,), int
        """
        rng = np.random.default_rng(seed)
        order = np.concatenate([rng.permutation(own) for own in self.strata])
        fold = np.zeros(int(self.codes.max()) + 1, dtype=np.int64)  # of units of weight zero, too
        fold[order] = np.arange(len(order)) % n_folds
        for label in np.unique(self.label):
            having = self.unit[self.label == label]
            if np.ptp(fold[having]) == 0:
                fold[having[0]] = -1
        return fold[self.codes]
