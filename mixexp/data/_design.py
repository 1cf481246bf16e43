"""The features of a block of rows as the model sees them: what is asked of a matrix X.

A design has the intercept first, then standardised features, and its rows last. Nothing else is
asked of it than the products here, so that a sparse one (`mixexp.data._sparse`) need never be
made dense.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple, Protocol, Self

import numpy as np
from scipy.linalg import blas

from mixexp import kernels

# Products of features, formed once for all weights, beat one product per weight up to so many
# columns: these, and these per weight. Measured with 3, 10 and 36 weights.
_PRODUCT_COLUMNS = 20
_PRODUCT_COLUMNS_PER_WEIGHT = 2
#: Rows whose products of features stay in a core's cache until they are used.
PRODUCT_ROWS = 256


def sees_all(columns: np.ndarray, n_columns: int) -> bool:
    """Tell whether a selection of columns is all of them, in their order."""
    return len(columns) == n_columns and bool((columns[1:] > columns[:-1]).all())


class Excess(NamedTuple):
    """What lies beyond the limits of standardised features, entry by entry.

    Parameters
    ----------
    feature, row : ndarray of shape (m,), int
        Where, in a design of shape (1 + p, rows).
    value : ndarray of shape (m,)
        The signed distance from the limit, not zero.
    """

    feature: np.ndarray
    row: np.ndarray
    value: np.ndarray

    @classmethod
    def of(
        cls, feature: np.ndarray, row: np.ndarray, value: np.ndarray, limits: np.ndarray
    ) -> "Excess":
        """Return the excess of some standardised values, those inside of the limits left out."""
        lowest, highest = limits[:, feature]
        at = np.flatnonzero((value < lowest) | (value > highest))
        away = value[at] - np.clip(value[at], lowest[at], highest[at])
        return cls(feature[at], row[at], away)

    def select(self, columns: np.ndarray, n_columns: int) -> "Excess":
        """Return the entries of some features, numbered as they stand among these."""
        place = np.full(n_columns, -1)
        place[columns] = np.arange(len(columns))
        feature = place[self.feature]
        is_seen = feature >= 0
        return Excess(feature[is_seen], self.row[is_seen], self.value[is_seen])


class RowGradients(Protocol):
    """Features times a number per row: the gradients of rows, by coefficient."""

    def total(self, weight: np.ndarray) -> np.ndarray:
        """Return the weighted sum over rows, shape (1 + p,)."""
        ...

    def square_total(self, weight: np.ndarray) -> np.ndarray:
        """Return the weighted sum of squares over rows, shape (1 + p,)."""
        ...


class Design(Protocol):
    """Features of some rows, shape (1 + p, rows): the intercept, then standardised ones."""

    @property
    def shape(self) -> tuple[int, int]:
        """``(1 + p, rows)``."""
        ...

    @property
    def nbytes(self) -> int:
        """Memory that is held."""
        ...

    @property
    def is_dense(self) -> bool:
        """Whether there is an array ``values`` of all features."""
        ...

    def select(self, columns: np.ndarray) -> "Design":
        """Return the design of some columns, 0 (the intercept) first."""
        ...

    def take(self, rows: np.ndarray | slice) -> Self:
        """Return the design of some rows."""
        ...

    def join(self, others: Sequence[Self]) -> Self:
        """Return these rows and those of other designs of the same features."""
        ...

    def predict(self, coef: np.ndarray) -> np.ndarray:
        """Return ``coef @ X``, (heads, rows), for coefficients (heads, 1 + p)."""
        ...

    def predict_each(self, coef: np.ndarray) -> np.ndarray:
        """Return the same with bits that do not depend on how many rows there are."""
        ...

    def adjoint(self, residual: np.ndarray) -> np.ndarray:
        """Return ``residual @ X.T``, (heads, 1 + p), for numbers (heads, rows)."""
        ...

    def gram(self, weight: np.ndarray) -> np.ndarray:
        """Return ``X diag(weight) X.T``, (1 + p, 1 + p), for one weight per row."""
        ...

    def grams(self, weights: np.ndarray) -> np.ndarray:
        """Return the same for many weights (m, rows), shape (m, 1 + p, 1 + p)."""
        ...

    def column(self, at: int) -> np.ndarray:
        """Return one feature, shape (rows,)."""
        ...

    def scaled(self, factor: np.ndarray) -> RowGradients:
        """Return features times a number per row."""
        ...

    def to_array(self) -> np.ndarray:
        """Return all features, (1 + p, rows); for rows that are few."""
        ...

    def find_excess(self, limits: np.ndarray) -> Excess | None:
        """Return what lies beyond the limits of features, (2, 1 + p), None if nothing does."""
        ...


class DenseDesign:
    """Features in an array.

    Parameters
    ----------
    values : ndarray of shape (1 + p, rows)
        C order, so that the rows of a feature are contiguous.
    """

    __slots__ = ("shape", "values")
    is_dense = True

    def __init__(self, values: np.ndarray) -> None:
        self.values = values
        self.shape = values.shape[0], values.shape[1]

    @property
    def nbytes(self) -> int:
        return self.values.nbytes

    def select(self, columns: np.ndarray) -> "DenseDesign":
        return self if sees_all(columns, len(self.values)) else DenseDesign(self.values[columns])

    def take(self, rows: np.ndarray | slice) -> "DenseDesign":
        return DenseDesign(np.ascontiguousarray(self.values[:, rows]))

    def join(self, others: Sequence["DenseDesign"]) -> "DenseDesign":
        parts = [self.values, *(other.values for other in others)]
        return DenseDesign(np.concatenate(parts, axis=-1))

    def predict(self, coef: np.ndarray) -> np.ndarray:
        return np.matmul(coef, self.values)

    def predict_each(self, coef: np.ndarray) -> np.ndarray:
        out = np.empty((len(coef), self.shape[1]))
        kernels.linear_predictor(as_kernel_array(coef), self.values, out)
        return out

    def adjoint(self, residual: np.ndarray) -> np.ndarray:
        return residual @ self.values.T

    def gram(self, weight: np.ndarray) -> np.ndarray:
        return (self.values * weight) @ self.values.T

    def grams(self, weights: np.ndarray) -> np.ndarray:
        p, rows = self.shape
        if p == 1:
            return (weights @ (self.values * self.values).T)[:, :, None]
        m, n_products, size = len(weights), p * (p + 1) // 2, min(rows, PRODUCT_ROWS)
        if m == 0:
            return np.zeros((0, p, p))
        if not use_packed_products(p, m):
            return np.stack([self._symmetric_gram(weight) for weight in weights])
        packed, part = np.zeros((m, n_products)), np.empty((m, n_products))
        scratch = np.zeros((m, size)), np.empty((n_products, size)), part
        kernels.packed_grams(self.values, np.ascontiguousarray(weights), *scratch, packed)
        return packed[:, unpacking(p)]

    def _symmetric_gram(self, weight: np.ndarray) -> np.ndarray:
        if weight.min() >= 0.0:
            upper = blas.dsyrk(1.0, (self.values * np.sqrt(weight)).T, trans=1)
        else:  # of the observed information: rows by sign, cheaper than a product of two arrays
            root, upper = np.sqrt(np.abs(weight)), np.zeros((len(self.values),) * 2, order="F")
            for sign, rows in ((1.0, weight > 0.0), (-1.0, weight < 0.0)):
                if rows.any():
                    some = np.compress(rows, self.values, axis=1)
                    some *= root[rows]
                    upper = blas.dsyrk(sign, some.T, beta=1.0, c=upper, trans=1, overwrite_c=1)
        return upper + upper.T - np.diag(np.diagonal(upper))

    def column(self, at: int) -> np.ndarray:
        return self.values[at]

    def scaled(self, factor: np.ndarray) -> RowGradients:
        return _DenseGradients(factor * self.values)

    def to_array(self) -> np.ndarray:
        return self.values

    def find_excess(self, limits: np.ndarray) -> Excess | None:
        counts = np.empty(len(self.values), dtype=np.int64)
        kernels.count_outside(as_kernel_array(self.values), *limits, counts)
        columns = np.flatnonzero(counts)
        if not len(columns):
            return None
        values = self.values
        rows = [
            np.flatnonzero((values[i] < limits[0, i]) | (values[i] > limits[1, i]))
            for i in columns.tolist()
        ]
        feature, row = np.repeat(columns, [len(own) for own in rows]), np.concatenate(rows)
        return Excess.of(feature, row, values[feature, row], limits)


class _DenseGradients:
    """See `RowGradients`."""

    def __init__(self, values: np.ndarray) -> None:
        self._values = values

    def total(self, weight: np.ndarray) -> np.ndarray:
        return self._values @ weight

    def square_total(self, weight: np.ndarray) -> np.ndarray:
        return (self._values**2) @ weight


def cross_grams(first: Any, second: Any, weights: np.ndarray) -> np.ndarray:
    """Return ``X_a diag(w) X_b'`` between two designs of the same rows, for many weights.

    Parameters
    ----------
    first, second : Design
        Of shapes (p_a, rows) and (p_b, rows).
    weights : ndarray of shape (m, rows)

    Returns
    -------
    ndarray of shape (m, p_a, p_b)

    Notes
    -----
    A loop over the columns of the one that has fewer, for mostly there is but the intercept, or
    over the weights where these are fewer.
    """
    (p_a, _), (p_b, _) = first.shape, second.shape
    if first.is_dense and second.is_dense:
        if len(weights) < min(p_a, p_b):
            out = np.empty((len(weights), p_a, p_b))
            for weight, product in zip(weights, out, strict=True):
                np.matmul(first.values * weight, second.values.T, out=product)
            return out
        if p_a < p_b:
            parts = [weights @ (feature * second.values).T for feature in first.values]
            return np.stack(parts, axis=1)
        return np.stack([weights @ (first.values * f).T for f in second.values], axis=2)
    if p_a < p_b:
        return np.stack([second.adjoint(weights * first.column(j)) for j in range(p_a)], axis=1)
    return np.stack([first.adjoint(weights * second.column(j)) for j in range(p_b)], axis=2)


def use_packed_products(n_columns: int, n_weights: int) -> bool:
    """Tell whether products of features serve so many weights faster than one product each."""
    return n_columns <= _PRODUCT_COLUMNS + _PRODUCT_COLUMNS_PER_WEIGHT * n_weights


@lru_cache(maxsize=64)
def unpacking(p: int) -> np.ndarray:
    """Positions of a symmetric matrix's elements in its packed upper triangle."""
    at = np.zeros((p, p), dtype=np.intp)
    upper = np.triu_indices(p)
    at[upper] = at.T[upper] = np.arange(len(upper[0]))
    return at


def as_kernel_array(array: np.ndarray) -> np.ndarray:
    """Return an array as kernels were compiled for them: what joblib maps is read-only."""
    return array if array.flags.carray else np.array(array, order="C")
