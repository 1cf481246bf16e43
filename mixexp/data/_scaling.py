"""Centre and scale of the features, so that their units do not matter to the fit."""

from collections.abc import Iterable, Iterator
from functools import reduce
from typing import NamedTuple

import numpy as np

from mixexp import kernels
from mixexp.data._design import DenseDesign, Design
from mixexp.data._rows import RowSource, cut_rows, take_rows
from mixexp.data._sparse import SparseColumns, SparseRows, sparse_design

# A column whose spread is below this share of its magnitude is rounding noise about a constant.
CONSTANT = 1e-13
# Slopes per unit of a column that spreads less than this would not be representable.
SMALLEST_SPREAD = 1e-290
# Deviations beyond the range from which on rows are far, if it is not narrower. That of a column
# that is spread evenly is 3.5 wide; one with a mistyped row in it is wider, and says little.
_FARTHEST = 4.0


class Scaling(NamedTuple):
    """Location and spread per column.

    Parameters
    ----------
    center : ndarray of shape (p,)
        Weighted mean, in the column's unit.
    scale : ndarray of shape (p,)
        Weighted standard deviation, in the column's unit; 1 where the column is constant.
    is_constant : ndarray of shape (p,), bool
    lowest, highest : ndarray of shape (p,), optional
        Least and largest value, in the column's unit; None where they are not known.
    """

    center: np.ndarray
    scale: np.ndarray
    is_constant: np.ndarray
    lowest: np.ndarray | None = None
    highest: np.ndarray | None = None

    @property
    def limits(self) -> np.ndarray | None:
        """What rows are far beyond, for the design, shape (2, 1 + p).

        As far from the range as this is wide, or `_FARTHEST` deviations if that is less. None where
        ranges are not known. There is no limit to a column that is constant, for it is zero in the
        design whatever its value.
        """
        if self.lowest is None or self.highest is None:
            return None
        first = (self.lowest - self.center) * self._inverse_scale
        last = (self.highest - self.center) * self._inverse_scale
        margin = np.where(self.is_constant, np.inf, np.minimum(last - first, _FARTHEST))
        out = np.array([[-np.inf], [np.inf]]).repeat(1 + len(margin), axis=1)
        out[:, 1:] = first - margin, last + margin
        return out

    def reaching(
        self, X: RowSource, weight: np.ndarray, chosen: np.ndarray | None = None
    ) -> "Scaling":
        """Return the same with ranges that hold further rows, too.

        Parameters
        ----------
        X : ndarray of shape (n, p), ColumnRows or SparseRows
        weight : ndarray of shape (n_used,)
            Rows of weight zero are left out.
        chosen : ndarray of shape (n_used,), int, optional
            Numbers of the rows that are used; all of them by default.

        Returns
        -------
        Scaling
        """
        used = np.flatnonzero(weight)
        if self.lowest is None or self.highest is None or not len(used):
            return self
        chosen = used if chosen is None else chosen[used]
        lowest, highest = _columns_of(X, chosen, weight[used]).extremes()
        return self._replace(
            lowest=np.minimum(self.lowest, lowest), highest=np.maximum(self.highest, highest)
        )

    def standardize(self, X: np.ndarray) -> np.ndarray:
        """Return ``[1, (X - center) / scale]`` with rows last, shape (1 + p, rows).

        Constant columns become zero.
        """
        out = np.empty((X.shape[1] + 1, X.shape[0]))
        out[0] = 1.0
        if abs(X.strides[0]) < abs(X.strides[1]):  # features are contiguous already
            np.subtract(X.T, self.center[:, None], out=out[1:])
            out[1:] *= self._inverse_scale[:, None]
        else:
            kernels.standardize_transposed(_plain(X), self.center, self._inverse_scale, out[1:])
        if self.is_constant.any():
            out[1:][self.is_constant] = 0.0
        return out

    def design(self, rows: np.ndarray | SparseRows) -> Design:
        """Return the design of some rows of X, shape (1 + p, rows)."""
        if isinstance(rows, SparseRows):
            factor = np.where(self.is_constant, 0.0, self._inverse_scale)
            return sparse_design(rows, self.center, factor)
        return DenseDesign(self.standardize(rows))

    def standardize_rows(self, X: np.ndarray | SparseRows) -> np.ndarray:
        """Return the numbers of `standardize` with features last, shape (rows, 1 + p)."""
        if isinstance(X, SparseRows):
            return np.ascontiguousarray(self.design(X).to_array().T)
        out = np.empty((X.shape[0], X.shape[1] + 1))
        kernels.standardize_rows(_plain(X), self.center, self._inverse_scale, out)
        if self.is_constant.any():
            out[:, 1:][:, self.is_constant] = 0.0
        return out

    @property
    def _inverse_scale(self) -> np.ndarray:
        # Neither end overflows: the scale of a column that is not constant is at least 1e-290.
        return 1.0 / self.scale

    def unstandardize(self, coef: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Return intercept and slopes for raw features.

        Parameters
        ----------
        coef : ndarray of shape (..., q)
            Intercept first, for standardised features.
        columns : ndarray of shape (q,), int
            Columns of the standardised design, 0 for the intercept.
        """
        at = columns[1:] - 1
        slopes = coef[..., 1:] / self.scale[at]
        # Summed expert by expert: the bits of one do not depend on how many there are.
        intercept = coef[..., :1] - (slopes * self.center[at]).sum(axis=-1, keepdims=True)
        return np.concatenate([intercept, slopes], axis=-1)

    def restandardize(self, coef: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Return intercept and slopes for standardised features: undo `unstandardize`."""
        at = columns[1:] - 1
        intercept = coef[..., :1] + coef[..., 1:] @ self.center[at, None]
        return np.concatenate([intercept, coef[..., 1:] * self.scale[at]], axis=-1)


def _plain(X: np.ndarray) -> np.ndarray:
    """Return rows as kernels were compiled for them: float64, C order, writable."""
    is_plain = X.flags.carray and X.dtype == np.float64
    return X if is_plain else np.array(X, dtype=np.float64, order="C")


def weighted_scaling(X: RowSource, weight: np.ndarray, chosen: np.ndarray | None = None) -> Scaling:
    """Measure weighted mean, standard deviation and range of every column.

    Parameters
    ----------
    X : ndarray of shape (n, p), ColumnRows or SparseRows
    weight : ndarray of shape (n_used,)
    chosen : ndarray of shape (n_used,), int, optional
        Numbers of the rows that are used; all of them by default.

    Returns
    -------
    Scaling

    Notes
    -----
    Four passes, block by block. Deviations are divided by the largest of them before they
    are squared, so that columns at 1e-200 or 1e200 neither vanish nor overflow.
    """
    share = weight / weight.sum()
    columns = _columns_of(X, chosen, share)
    lowest, highest = columns.extremes()
    magnitude = np.maximum(np.abs(lowest), np.abs(highest))
    center = _weighted_mean(columns, magnitude)
    largest = np.maximum(highest - center, center - lowest)
    is_constant = largest <= np.maximum(CONSTANT * magnitude, SMALLEST_SPREAD)
    unit = np.where(is_constant, 1.0, largest)
    scale = unit * np.sqrt(columns.average_square(center, unit))
    return Scaling(center, np.where(is_constant, 1.0, scale), is_constant, lowest, highest)


def _columns_of(
    X: RowSource, chosen: np.ndarray | None, share: np.ndarray
) -> "_Columns | SparseColumns":
    if isinstance(X, SparseRows):
        return SparseColumns(X, chosen, share)
    return _Columns(X, chosen, share)


class _Columns:
    """Columns whose rows are read block by block, with each row's share of the weight."""

    def __init__(self, X: RowSource, chosen: np.ndarray | None, share: np.ndarray) -> None:
        self._X, self._chosen, self._share = X, chosen, share
        self._partition = cut_rows(len(share))
        self._kept = list(self) if len(self._partition) == 1 else None

    @property
    def _parts(self) -> Iterable[tuple[np.ndarray, np.ndarray]]:
        """Shares and rows of every block, made anew each time if there are several."""
        return self if self._kept is None else self._kept

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for rows in self._partition:
            part = take_rows(self._X, rows, self._chosen)
            # In one layout for the sake of bits.
            yield self._share[rows], np.ascontiguousarray(part, dtype=np.float64)

    def extremes(self) -> tuple[np.ndarray, np.ndarray]:
        """Return least and largest value of every column."""
        found = [(part.min(axis=0), part.max(axis=0)) for _, part in self._parts]
        lowest, highest = zip(*found, strict=True)
        return np.min(lowest, axis=0), np.max(highest, axis=0)

    def average(self, center: np.ndarray, unit: np.ndarray) -> np.ndarray:
        """Return the weighted average of ``(x - center) / unit``."""
        return reduce(np.add, (own @ ((part - center) / unit) for own, part in self._parts))

    def average_square(self, center: np.ndarray, unit: np.ndarray) -> np.ndarray:
        """Return the weighted average of ``((x - center) / unit)**2``."""
        return reduce(np.add, (own @ ((part - center) / unit) ** 2 for own, part in self._parts))


def _weighted_mean(columns: _Columns | SparseColumns, magnitude: np.ndarray) -> np.ndarray:
    unit = np.where(magnitude > 0.0, magnitude, 1.0)
    first = columns.average(np.zeros_like(unit), unit) * unit
    # Once more about the first guess: at 1e9 +- 1 the first is only good to 1e-7.
    return first + columns.average(first, unit) * unit
