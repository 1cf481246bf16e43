"""Checks of sparse X: matrices of SciPy in any format, and frames with sparse columns.

All become rows in CSR format. What is CSR already is not copied, unless an entry is there twice.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import sparse

from mixexp.data import SparseRows
from mixexp.text import shown


def read_sparse(X: Any) -> SparseRows:
    """Return the rows of a sparse matrix, entries that are there twice added up.

    Parameters
    ----------
    X : sparse array or matrix of shape (n, p)

    Raises
    ------
    ValueError, TypeError
        Naming X, if it has one axis, or entries that are not numbers.
    """
    if X.ndim != 2:
        raise ValueError(
            f"X must have shape (n, n_features); got a sparse array of shape {X.shape}. Expected "
            "2D array. Reshape it with X.reshape(-1, 1) if it is one feature."
        )
    if X.dtype.kind == "c":
        raise ValueError("Complex data not supported: X must hold real numbers.")
    if X.dtype.kind not in "biuf":
        raise TypeError(f"X must hold numbers; found a sparse array of {shown(str(X.dtype))}.")
    rows = X.tocsr()
    if not rows.has_canonical_format:
        rows = rows.copy() if rows is X else rows
        rows.sum_duplicates()
    return SparseRows(rows)


def refuse_nonfinite_entries(X: SparseRows, names: Any) -> None:
    """Refuse NaN and infinity, by column.

    Raises
    ------
    ValueError
        Naming the column and the first row.
    """
    is_bad = ~np.isfinite(X.matrix.data)
    if not is_bad.any():
        return
    at = np.flatnonzero(is_bad)
    column = int(X.matrix.indices[at].min())
    at = at[X.matrix.indices[at] == column]
    rows = np.searchsorted(X.matrix.indptr, at, side="right") - 1
    name = f"{column}" if names is None else f"{column}, {shown(str(names[column]))}"
    raise ValueError(not_finite(X.matrix.data[at[0]], name, rows, len(X)))


def not_finite(value: float, column: str, rows: np.ndarray, n: int) -> str:
    """Return what is wrong with a column that is not finite at some of n rows."""
    return (
        f"X contains {'NaN' if np.isnan(value) else 'infinity'} in column {column}; "
        f"{len(rows)} of its {n} values are not finite, the first at row {int(rows[0])}. Impute "
        "them or drop these rows first, or give infinite values a meaning of their own."
    )


def is_sparse_column(dtype: Any) -> bool:
    """Return whether a column of a pandas frame is stored sparsely."""
    return str(dtype).startswith("Sparse")


def read_sparse_frame(X: Any, read_column: Callable[[Any, Any], np.ndarray]) -> SparseRows:
    """Return the rows of a pandas frame of which some columns are sparse.

    Parameters
    ----------
    X : DataFrame of shape (n, p)
    read_column : callable
        From a dense column and its name to numbers.

    Raises
    ------
    ValueError, TypeError
        Naming the column that holds what is no finite number.
    """
    places, values = [], []
    for j, name in enumerate(X.columns):
        at, own = _entries(X.iloc[:, j], name, read_column)
        is_bad = ~np.isfinite(own)
        if is_bad.any():
            raise ValueError(not_finite(own[is_bad][0], shown(name), at[is_bad], len(X)))
        places.append(at)
        values.append(own)
    ends = np.concatenate([[0], np.cumsum([len(at) for at in places])])
    by_column = np.concatenate(values), np.concatenate(places), ends
    return read_sparse(sparse.csc_array(by_column, shape=X.shape))


def _entries(
    column: Any, name: Any, read_column: Callable[[Any, Any], np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows and values of a column where it is not zero."""
    if is_sparse_column(column.dtype) and column.dtype.fill_value == 0:
        stored = column.array
        at, values = stored.sp_index.indices, stored.sp_values
    else:
        dense = column.sparse.to_dense() if is_sparse_column(column.dtype) else column
        at, values = np.arange(len(column)), dense
    return np.asarray(at, dtype=np.int64), np.asarray(read_column(values, name), dtype=np.float64)
