"""Checks of X, and of the selections of its columns.

A frame is not copied: its columns are read where they are, and rows put together block by block.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.utils.validation import validate_data

from mixexp.arguments import as_array, is_listed, is_whole, refuse_nonnumbers
from mixexp.data import ColumnRows, DaskRows, Rows, SparseRows, cut_rows
from mixexp.estimators._sparse import (
    is_sparse_column,
    not_finite,
    read_sparse,
    read_sparse_frame,
    refuse_nonfinite_entries,
)
from mixexp.text import shown

_ENCODE = (
    "Encode it as numbers first, for instance with a ColumnTransformer, or use mixexp.from_formula."
)


def check_features(
    estimator: Any,
    X: Any,
    *,
    reset: bool,
    needs_features: bool = True,
    for_gates: bool = False,
) -> Any:
    """Return the rows of X as numbers, names and number of features kept or compared.

    Arrays of float64 or float32 and the columns of frames are not copied, whatever their layout:
    blocks of rows are cast when they are standardised. All else becomes float64.

    Parameters
    ----------
    estimator : estimator
    X : array-like of shape (n, n_features)
    reset : bool
        Whether to keep names and number, or to compare them.
    needs_features : bool, default=True
        Whether X of no columns is refused, if there is nothing to compare with.
    for_gates : bool, default=False
        Whether gates alone are asked, of which some do with features that are missing.

    Returns
    -------
    ndarray of shape (n, p), ColumnRows or SparseRows

    Raises
    ------
    ValueError, TypeError
        If X is none of these, empty or not finite; the message says what was found.
    """
    refuse_source(X)
    fitted = None if reset else getattr(estimator, "fitted_model_", None)
    may_miss: frozenset[int] = frozenset()
    if fitted is not None:
        may_miss = fitted.model.gate_gap_columns if for_gates else fitted.model.gap_columns
    if isinstance(X, ColumnRows | SparseRows):  # checked before, and kept by `partial_fit`
        return X
    if sparse.issparse(X):
        return _check_sparse(estimator, X, reset, needs_features)
    if is_frame(X):
        _refuse_duplicate_names(X.columns)
        if len(X) and any(is_sparse_column(dtype) for dtype in X.dtypes):
            validate_data(estimator, X, reset=reset, skip_check_array=True)
            return read_sparse_frame(X, _read_column)
        columns = [_read_column(column, name) for name, column in _columns_of(X)]
        if columns and len(X):
            validate_data(estimator, _readable(X), reset=reset, skip_check_array=True)
            _refuse_nonfinite(columns, X.columns, may_miss)
            return ColumnRows(columns)
        X = np.empty((len(X), len(columns)))
    array = as_array(X, "X")
    refuse_nonnumbers(array, "X", _ENCODE)
    if array.ndim != 2:
        raise ValueError(
            f"X must have shape (n, n_features); got shape {array.shape}, dim {array.ndim}. "
            "Expected 2D array. Reshape your data, either with X.reshape(-1, 1) if it is one "
            "feature or X.reshape(1, -1) if it is one row."
        )
    least = _least_features(estimator, reset, needs_features)
    _refuse_empty(estimator, array.shape, least)
    if array.dtype.kind == "O":
        array = array.astype(np.float64)
    checked = validate_data(
        estimator,
        array,
        reset=reset,
        dtype=[np.float64, np.float32],
        ensure_all_finite=False,
        ensure_min_features=least,
    )
    refuse_nonfinite_rows(checked, getattr(estimator, "feature_names_in_", None), may_miss)
    return checked


def refuse_source(X: Any) -> None:
    """Refuse rows in partitions where rows in memory are needed.

    Raises
    ------
    TypeError
        Naming the source, and what takes one.
    """
    if isinstance(X, Rows | DaskRows):
        raise TypeError(
            f"X is a source of rows in partitions, {type(X).__name__}, but this needs them in "
            "memory: give an array or a frame. fit, inference and methods that return numbers per "
            "row (predict, log_density, gate_proba, ...) take sources; a log-likelihood is the sum "
            "of log_density."
        )


def _check_sparse(estimator: Any, X: Any, reset: bool, needs_features: bool) -> SparseRows:
    """Return the rows of a sparse matrix, copied only where they are not in CSR format."""
    rows = read_sparse(X)
    _refuse_empty(estimator, rows.shape, _least_features(estimator, reset, needs_features))
    validate_data(estimator, X, reset=reset, skip_check_array=True)
    refuse_nonfinite_entries(rows, getattr(estimator, "feature_names_in_", None))
    return rows


def _least_features(estimator: Any, reset: bool, needs_features: bool) -> int:
    return int(needs_features) if reset else min(int(estimator.n_features_in_), 1)


def _refuse_empty(estimator: Any, shape: tuple[int, ...], least: int) -> None:
    """Refuse X of no rows, and X of no columns where there must be some."""
    found = f"X is empty: found array with 0 {{}} (shape={shape}) while a minimum of 1 is"
    if shape[0] == 0:
        raise ValueError(f"{found.format('sample(s)')} required.")
    if shape[1] < least:
        raise ValueError(
            f"{found.format('feature(s)')} required by {type(estimator).__name__}. A model without "
            "features is one with gate='constant', or with gate_features=[] and "
            "expert_features=[]."
        )


def is_frame(X: Any) -> bool:
    """Return whether X is a frame of pandas or polars, or one that can be read as these are."""
    is_eager = hasattr(X, "iloc") or hasattr(X, "get_columns")
    return is_eager and hasattr(X, "columns")


class _ColumnNames:
    """Names of columns as scikit-learn before 1.9 reads those of frames that are not pandas'."""

    def __init__(self, X: Any) -> None:
        self.shape = (len(X), len(X.columns))
        self._names = list(X.columns)

    def __dataframe__(self) -> "_ColumnNames":
        return self

    def column_names(self) -> list[str]:
        return self._names


def _readable(X: Any) -> Any:
    """Return a frame, or its names where scikit-learn would not see these in it.

    scikit-learn before 1.9 asks frames of polars for a protocol that polars 2 has no more. Without
    names columns in another order would pass for the right ones.
    """
    if hasattr(X, "iloc") or not all(isinstance(name, str) for name in X.columns):
        return X
    probe = BaseEstimator()
    validate_data(probe, X, skip_check_array=True)
    return X if hasattr(probe, "feature_names_in_") else _ColumnNames(X)


def _columns_of(X: Any) -> Iterator[tuple[Any, Any]]:
    """Yield names and columns of a frame."""
    if hasattr(X, "iloc"):
        return ((name, X.iloc[:, j]) for j, name in enumerate(X.columns))
    return zip(X.columns, X.get_columns(), strict=True)


def _read_column(column: Any, name: Any) -> np.ndarray:
    """Return a column as numbers of its own type; objects as float64.

    Raises
    ------
    ValueError, TypeError
        Naming it.
    """
    where = f" in column {shown(name)}"
    array = as_array(column, f"X{where}")
    refuse_nonnumbers(array, "X", _ENCODE, where)
    if array.ndim != 1:
        raise TypeError(f"X holds {array.shape[1:]} values per row{where}; expected one. {_ENCODE}")
    return array if array.dtype.kind in "biuf" else array.astype(np.float64)


def _refuse_nonfinite(columns: list[np.ndarray], names: Any, may_miss: frozenset[int]) -> None:
    """Refuse NaN and infinity in the columns of a frame, by name; NaN where it may be missing."""
    for number, (name, column) in enumerate(zip(names, columns, strict=True)):
        is_bad = np.isinf(column) if number in may_miss else ~np.isfinite(column)
        if is_bad.any():
            rows = np.flatnonzero(is_bad)
            raise ValueError(not_finite(column[rows[0]], shown(name), rows, len(column)))


def refuse_nonfinite_rows(X: np.ndarray, names: Any, may_miss: frozenset[int]) -> None:
    """Refuse NaN and infinity in an array, by column; no more than a block is made of it.

    But for NaN in columns that may be missing.
    """
    if all(np.isfinite(X[rows]).all() for rows in cut_rows(len(X))):
        return
    for j in range(X.shape[1]):
        is_bad = np.isinf(X[:, j]) if j in may_miss else ~np.isfinite(X[:, j])
        if is_bad.any():
            name = f"{j}" if names is None else f"{j}, {shown(str(names[j]))}"
            rows = np.flatnonzero(is_bad)
            raise ValueError(not_finite(X[rows[0], j], name, rows, len(X)))


def _refuse_duplicate_names(names: Any) -> None:
    """Refuse columns that a name does not tell apart, where features may be given by name."""
    for name, count in Counter(names).items():
        if count > 1:
            raise ValueError(
                f"X has {count} columns named {shown(name)}; give each a name of its own."
            )


_NO_NAMES = (
    "a column number, or 'x0', 'x1', ..., for X has no column names. In a pipeline the steps "
    "before give them with set_output(transform='pandas')"
)


#: Parts of an expert's density that may look at features, as ``expert_features`` names them.
HEADS = ("location", "dispersion")


def select_by_head(
    features: Any, names: np.ndarray | None, p: int, has_dispersions: bool
) -> tuple[list[int], list[int]]:
    """Return the column numbers of locations and of dispersions.

    Parameters
    ----------
    features : None, sequence of str or int, or dict of these
        The parameter ``expert_features``; no dict is for locations.
    names : ndarray of str or None
    p : int
    has_dispersions : bool
        Whether the estimator's experts have any.

    Raises
    ------
    ValueError
        As `select_columns`, and if a dict has other keys.
    """
    if not isinstance(features, dict):
        return select_columns(features, "expert_features", names, p), []
    heads = HEADS if has_dispersions else HEADS[:1]
    for head in features:
        if head not in heads:
            raise ValueError(
                f"The 'expert_features' parameter has the key {shown(head)}; expected "
                f"{' or '.join(map(repr, heads))}"
                f"{'' if has_dispersions else ', for classes have no dispersion'}."
            )
    location, dispersion = features.get(HEADS[0]), features.get(HEADS[1], [])
    return (
        select_columns(location, f"expert_features[{HEADS[0]!r}]", names, p),
        select_columns(dispersion, f"expert_features[{HEADS[1]!r}]", names, p),
    )


def select_columns(features: Any, name: str, names: np.ndarray | None, p: int) -> list[int]:
    """Return the column numbers of a user's selection of features.

    Parameters
    ----------
    features : None, or sequence of str or int
    name : str
        The hyper-parameter, for messages.
    names : ndarray of str or None
        Names of the columns, if they have any; else they are x0, x1, ...
    p : int
        Number of columns.

    Raises
    ------
    ValueError
        If a name is unknown, a number out of range, or one occurs twice.
    """
    if features is None:
        return list(range(p))
    is_index = hasattr(features, "take") and getattr(features, "ndim", 0) == 1
    if not is_listed(features) and not is_index:
        raise ValueError(
            f"The {name!r} parameter must be None or a list of names or column numbers. "
            f"Got {shown(features)} instead."
        )
    columns = [_column_number(feature, name, names, p) for feature in features]
    if len(set(columns)) < len(columns):
        raise ValueError(
            f"The {name!r} parameter names a feature twice. Got {shown(list(features))}."
        )
    return columns


def _column_number(feature: Any, name: str, names: np.ndarray | None, p: int) -> int:
    if isinstance(feature, str):
        # Columns without names are called so in tables, too.
        known = [f"x{column}" for column in range(p)] if names is None else list(names)
        if feature not in known:
            allowed = _NO_NAMES if names is None else f"one of {known}"
            raise ValueError(f"Unknown feature {shown(feature)} in {name!r}; expected {allowed}.")
        return known.index(feature)
    if not is_whole(feature) or not 0 <= int(feature) < p:
        raise ValueError(
            f"Unknown feature {shown(feature)} in {name!r}; expected a name or a column number in "
            f"the range [0, {p})."
        )
    return int(feature)
