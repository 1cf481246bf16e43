"""Sparse X: rows as they are stored, and the design of a block of them, never made dense.

Standardised features are not zero where X is, so that scale and shift stay beside the matrix:
``(X - c 1')W(X - c 1')' = X W X' - c t' - t c' + c c' s``, with t the weighted sums of the rows
and s the sum of the weights. These differences lose the digits of a mean that is large beside the
spread, as that of a column of which most values are not zero. Such columns are expanded, block by
block, and standardised as those of an array are. A column whose nonzero values have half of the
weight or less has a mean of at most its standard deviation.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from scipy import sparse

from mixexp import kernels
from mixexp.data._design import DenseDesign, Design, Excess, as_kernel_array, sees_all
from mixexp.data._rows import RowSource, cut_rows, take_rows, usual_rows

# Columns with a larger mean, in standard deviations, are expanded.
_LARGEST_MEAN = 1.0
# Columns with values in more than this share of a block's rows are columns of an array where
# products are summed.
_FREQUENT = 0.25
# Vectors of numbers that a pass makes, at least, and rows of a block, at most.
_FEWEST_PER_ROW = 8
_MOST_BLOCK_ROWS = 2**17
# Numbers of sparse rows that are made an array for a route, which is a way of its own per row.
_EXPANDED_VALUES = 2**20


class SparseRows:
    """Rows of a sparse matrix.

    Parameters
    ----------
    matrix : csr_array or csr_matrix of shape (n, p)
        Numbers of any real type; not copied. An entry occurs once.
    """

    def __init__(self, matrix: Any) -> None:
        self.matrix = matrix
        self.shape = matrix.shape

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice | np.ndarray) -> "SparseRows":
        if not isinstance(rows, slice):
            return SparseRows(self.matrix[rows])
        start, stop, step = rows.indices(len(self))
        if step != 1:
            return SparseRows(self.matrix[rows])
        begin = self.matrix.indptr[start : max(stop, start) + 1]
        at = slice(int(begin[0]), int(begin[-1]))  # views: a copy is made of what is used
        parts = self.matrix.data[at], self.matrix.indices[at], begin - begin[0]
        return SparseRows(sparse.csr_array(parts, shape=(len(begin) - 1, self.shape[1])))

    def stored(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return where rows begin, and feature and value of all that is stored, for kernels."""
        begin = self.matrix.indptr.astype(np.int64, copy=False)
        feature = self.matrix.indices.astype(np.int32, copy=False)
        value = self.matrix.data.astype(np.float64, copy=False)
        return as_kernel_array(begin), as_kernel_array(feature), as_kernel_array(value)

    def entries(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return row, column and value (float64) of all that is stored."""
        row = np.repeat(np.arange(len(self)), np.diff(self.matrix.indptr))
        return row, self.matrix.indices, self.matrix.data.astype(np.float64, copy=False)


def as_array(rows: RowSource) -> np.ndarray:
    """Return rows of features as an array, sparse ones too: a block of them."""
    return rows.matrix.toarray() if isinstance(rows, SparseRows) else np.asarray(rows)


def rows_to_expand(X: RowSource) -> int | None:
    """Return how many rows of X are made an array at once, None for those of a block."""
    return max(1, _EXPANDED_VALUES // max(X.shape[1], 1)) if isinstance(X, SparseRows) else None


class SparseDesign:
    """Standardised features of which most are stored as X has them, where that is not zero.

    Parameters
    ----------
    dense : DenseDesign of shape (n_dense, rows)
        Features that are standardised already, the intercept first.
    dense_at : ndarray of shape (n_dense,), int64
        Where these stand among all.
    begin : ndarray of shape (rows + 1,), int64
    feature : ndarray of shape (n_stored,), int32
    value : ndarray of shape (n_stored,)
        See `mixexp.kernels._sparse`.
    center, inverse_scale : ndarray of shape (1 + p,)
        Of all features, 0 and 1 for those that are standardised.
    """

    is_dense = False

    def __init__(
        self,
        dense: DenseDesign,
        dense_at: np.ndarray,
        begin: np.ndarray,
        feature: np.ndarray,
        value: np.ndarray,
        center: np.ndarray,
        inverse_scale: np.ndarray,
    ) -> None:
        self._dense = dense
        self._dense_at = dense_at
        self._stored = begin, feature, value
        self._center = center
        self._inverse_scale = inverse_scale

    @property
    def shape(self) -> tuple[int, int]:
        return len(self._center), len(self._stored[0]) - 1

    @property
    def nbytes(self) -> int:
        return self._dense.nbytes + sum(array.nbytes for array in self._stored)

    def select(self, columns: np.ndarray) -> Design:
        """See `Design`."""
        if sees_all(columns, len(self._center)):
            return self
        place = np.full(len(self._center), -1)
        place[columns] = np.arange(len(columns))
        kept = np.flatnonzero(place[self._dense_at] >= 0)
        dense_at = place[self._dense_at[kept]]
        dense = self._dense.values[kept]
        if len(dense_at) == len(columns):
            return DenseDesign(dense[np.argsort(dense_at)])
        begin, feature, value = self._stored
        is_kept = place[feature] >= 0
        ends = np.concatenate([[0], np.cumsum(is_kept)])
        return SparseDesign(
            DenseDesign(dense),
            dense_at,
            ends[begin],
            place[feature[is_kept]].astype(np.int32),
            value[is_kept],
            self._center[columns],
            self._inverse_scale[columns],
        )

    def take(self, rows: np.ndarray | slice) -> "SparseDesign":
        """See `Design`."""
        begin, feature, value = self._stored
        chosen = np.arange(len(begin) - 1)[rows]
        counts = np.diff(begin)[chosen]
        ends = np.concatenate([[0], np.cumsum(counts)])
        at = np.arange(ends[-1]) + np.repeat(begin[chosen] - ends[:-1], counts)
        stored = ends, feature[at], value[at]
        scaling = self._center, self._inverse_scale
        return SparseDesign(self._dense.take(rows), self._dense_at, *stored, *scaling)

    def predict(self, coef: np.ndarray) -> np.ndarray:
        """See `Design`."""
        return self._add_stored(coef, self._dense.predict(coef[:, self._dense_at]))

    def predict_each(self, coef: np.ndarray) -> np.ndarray:
        """See `Design`."""
        own = np.ascontiguousarray(coef[:, self._dense_at])
        return self._add_stored(coef, self._dense.predict_each(own))

    def _add_stored(self, coef: np.ndarray, known: np.ndarray) -> np.ndarray:
        slope = coef * self._inverse_scale
        at_zero = -(slope * self._center).sum(axis=1)  # what features are where X is zero
        out = np.ascontiguousarray((known + at_zero[:, None]).T)
        kernels.sparse_predictor(*self._stored, np.ascontiguousarray(slope.T), out)
        return np.ascontiguousarray(out.T)

    def adjoint(self, residual: np.ndarray) -> np.ndarray:
        """See `Design`."""
        raw = np.zeros((self.shape[0], len(residual)))
        kernels.sparse_adjoint(*self._stored, np.ascontiguousarray(residual.T), raw)
        total = residual.sum(axis=1)
        out = (raw.T - total[:, None] * self._center) * self._inverse_scale
        out[:, self._dense_at] = self._dense.adjoint(residual)
        return out

    def gram(self, weight: np.ndarray) -> np.ndarray:
        """See `Design`."""
        return self.grams(weight[None])[0]

    def grams(self, weights: np.ndarray) -> np.ndarray:
        """See `Design`."""
        p, (rest, wide, wide_at) = self.shape[0], self._split_frequent()
        out = np.zeros((len(weights), p, p))
        columns = DenseDesign(np.ascontiguousarray(wide.T))
        out[:, wide_at[:, None], wide_at] = columns.grams(weights)
        cross = np.empty((p, len(wide_at)))
        kernels.sparse_grams(*rest, wide, wide_at, np.ascontiguousarray(weights), cross, out)
        is_stored = np.ones(p, dtype=np.int64)
        is_stored[self._dense_at] = 0
        kernels.standardize_grams(self._center, self._inverse_scale, is_stored, out)
        return out

    def _split_frequent(
        self,
    ) -> tuple[tuple[np.ndarray, np.ndarray, np.ndarray], np.ndarray, np.ndarray]:
        """Return what is stored of rare features, others as (rows, n_wide), and where these are.

        The latter are the standardised ones, and those with a value in many rows as they are.
        """
        (p, n_rows), (begin, feature, value) = self.shape, self._stored
        counts, n_dense = np.bincount(feature, minlength=p), len(self._dense_at)
        frequent = np.flatnonzero(counts > _FREQUENT * n_rows)
        wide = np.zeros((n_rows, n_dense + len(frequent)))
        wide[:, :n_dense] = self._dense.values.T
        wide_at = np.concatenate([self._dense_at, frequent])
        if not len(frequent):
            return self._stored, wide, wide_at
        slot = np.full(p, -1)
        slot[frequent] = n_dense + np.arange(len(frequent))
        n_rest = len(feature) - int(counts[frequent].sum())
        rest = np.empty_like(begin), np.empty(n_rest, feature.dtype), np.empty(n_rest)
        kernels.split_frequent(begin, feature, value, slot, wide, *rest)
        return rest, wide, wide_at

    def column(self, at: int) -> np.ndarray:
        """See `Design`."""
        return self.predict(np.eye(1, self.shape[0], at))[0]

    def scaled(self, factor: np.ndarray) -> "_SparseGradients":
        """See `Design`."""
        return _SparseGradients(self, factor)

    def square_total(self, weight: np.ndarray) -> np.ndarray:
        """Return the weighted sum of squares over rows, shape (1 + p,)."""
        raw = np.zeros((self.shape[0], 1))
        kernels.sparse_adjoint(*self._stored, np.ascontiguousarray(weight[:, None]), raw)
        squares = np.zeros(self.shape[0])
        kernels.sparse_squares(*self._stored, np.ascontiguousarray(weight), squares)
        moved = squares - 2.0 * self._center * raw[:, 0] + self._center**2 * weight.sum()
        out = moved * self._inverse_scale**2
        out[self._dense_at] = self._dense.values**2 @ weight
        return out

    def to_array(self) -> np.ndarray:
        """See `Design`."""
        begin, feature, value = self._stored
        out = np.empty(self.shape)
        out[:] = (-self._center * self._inverse_scale)[:, None]
        row = np.repeat(np.arange(self.shape[1]), np.diff(begin))
        out[feature, row] = (value - self._center[feature]) * self._inverse_scale[feature]
        out[self._dense_at] = self._dense.values
        return out

    def find_excess(self, limits: np.ndarray) -> Excess | None:
        """See `Design`.

        A feature that is not stored is zero. That is within a standard deviation, half of the
        width of the range or less, of the mean, or the feature is among those in the array.
        """
        begin, feature, value = self._stored
        scaled = (value - self._center[feature]) * self._inverse_scale[feature]
        row = np.repeat(np.arange(self.shape[1]), np.diff(begin))
        found = Excess.of(feature, row, scaled, limits)
        dense = self._dense.find_excess(np.ascontiguousarray(limits[:, self._dense_at]))
        if dense is None:
            return found if len(found.row) else None
        dense = dense._replace(feature=self._dense_at[dense.feature])
        return Excess(*map(np.concatenate, zip(found, dense, strict=True)))

    def join(self, others: "Sequence[SparseDesign]") -> "SparseDesign":
        """See `Design`."""
        parts = [self, *others]
        ends = [np.zeros(1, dtype=np.int64)]
        for part in parts:
            ends.append(part._stored[0][1:] + ends[-1][-1])
        return SparseDesign(
            DenseDesign(np.concatenate([part._dense.values for part in parts], axis=1)),
            self._dense_at,
            np.concatenate(ends),
            np.concatenate([part._stored[1] for part in parts]),
            np.concatenate([part._stored[2] for part in parts]),
            self._center,
            self._inverse_scale,
        )


class _SparseGradients:
    """See `RowGradients`."""

    def __init__(self, design: SparseDesign, factor: np.ndarray) -> None:
        self._design = design
        self._factor = factor

    def total(self, weight: np.ndarray) -> np.ndarray:
        return self._design.adjoint((self._factor * weight)[None])[0]

    def square_total(self, weight: np.ndarray) -> np.ndarray:
        return self._design.square_total(self._factor**2 * weight)


def rows_of_block(X: RowSource) -> int | None:
    """Return how many rows a block of sparse rows has, None for as many as others have.

    Each block ends with work on whole p by p matrices: it has about as many numbers as these, so
    that this is no more than what its rows cost, and neither is its memory.
    """
    if not isinstance(X, SparseRows) or not len(X):
        return None
    n, p = X.shape
    size = min(p * p // max(_FEWEST_PER_ROW, -(-X.matrix.nnz // n)), _MOST_BLOCK_ROWS)
    return None if size <= usual_rows(n) else -(-n // -(-n // size))  # blocks of one size


def sparse_design(rows: SparseRows, center: np.ndarray, inverse_scale: np.ndarray) -> SparseDesign:
    """Return the design of some rows.

    Parameters
    ----------
    rows : SparseRows
    center, inverse_scale : ndarray of shape (p,)
        Of every column; an inverse scale of zero for one that is constant.
    """
    row, column, value = rows.entries()
    is_expanded = np.abs(center) * inverse_scale > _LARGEST_MEAN
    expanded = np.flatnonzero(is_expanded)
    dense = np.ones((1 + len(expanded), len(rows)))
    dense[1:] = (-center[expanded] * inverse_scale[expanded])[:, None]
    slot = np.cumsum(is_expanded)  # the row among the dense, the intercept being the first
    at = np.flatnonzero(is_expanded[column])
    own = column[at]
    dense[slot[own], row[at]] = (value[at] - center[own]) * inverse_scale[own]
    is_stored = ~is_expanded & (inverse_scale > 0.0)
    at = np.flatnonzero(is_stored[column] & (value != 0.0))
    begin = np.concatenate([[0], np.cumsum(np.bincount(row[at], minlength=len(rows)))])
    of_stored = np.concatenate([[0.0], np.where(is_stored, center, 0.0)])
    factor = np.where(is_expanded, 1.0, inverse_scale)
    return SparseDesign(
        DenseDesign(dense),
        np.concatenate([[0], expanded + 1]),
        begin,
        (column[at] + 1).astype(np.int32),
        as_kernel_array(value[at]),
        of_stored,
        np.concatenate([[1.0], factor]),
    )


class SparseColumns:
    """Sums over the rows of a sparse matrix, column by column, what is not stored included.

    Parameters
    ----------
    X : SparseRows
    chosen : ndarray of shape (n_used,), int, or None
        Numbers of the rows that are used.
    share : ndarray of shape (n_used,)
        Of the weight.
    """

    def __init__(self, X: SparseRows, chosen: np.ndarray | None, share: np.ndarray) -> None:
        self._X, self._chosen, self._share = X, chosen, share
        self._n_columns = X.shape[1]
        stored, count = np.zeros(self._n_columns), np.zeros(self._n_columns, dtype=np.int64)
        for own, part in self._parts():
            row, column, _ = part.entries()
            stored += np.bincount(column, own[row], minlength=self._n_columns)
            count += np.bincount(column, minlength=self._n_columns)
        self._has_zeros = count < len(share)
        self._unstored = np.where(self._has_zeros, np.maximum(share.sum() - stored, 0.0), 0.0)

    def _parts(self) -> Iterator[tuple[np.ndarray, SparseRows]]:
        for rows in cut_rows(len(self._share)):
            yield self._share[rows], take_rows(self._X, rows, self._chosen)

    def extremes(self) -> tuple[np.ndarray, np.ndarray]:
        """Return least and largest value of every column."""
        lowest = np.where(self._has_zeros, 0.0, np.inf)
        highest = np.where(self._has_zeros, 0.0, -np.inf)
        for _, part in self._parts():
            _, column, value = part.entries()
            np.minimum.at(lowest, column, value)
            np.maximum.at(highest, column, value)
        return lowest, highest

    def average(self, center: np.ndarray, unit: np.ndarray) -> np.ndarray:
        """Return the weighted average of ``(x - center) / unit``."""
        return self._average(center, unit, 1)

    def average_square(self, center: np.ndarray, unit: np.ndarray) -> np.ndarray:
        """Return the weighted average of ``((x - center) / unit)**2``."""
        return self._average(center, unit, 2)

    def _average(self, center: np.ndarray, unit: np.ndarray, power: int) -> np.ndarray:
        out = self._unstored * (-center / unit) ** power
        for own, part in self._parts():
            sums = np.zeros(self._n_columns)
            share = np.ascontiguousarray(own)
            kernels.sparse_moments(*part.stored(), share, center, unit, power, sums)
            out += sums
        return out
