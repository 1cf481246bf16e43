"""The columns of the X that a user holds, be it an array, a list of rows or a frame.

Nothing here knows of models; see `_source.py` for what they say about rows.
"""

from collections.abc import Callable, Sequence
from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np

from mixexp.arguments import as_array
from mixexp.displays._weights import lower_median, most_frequent
from mixexp.estimators._class_order import declared_order
from mixexp.estimators._features import is_frame
from mixexp.text import shown


class Columns(NamedTuple):
    """The columns of a user's X.

    Parameters
    ----------
    names : tuple of str
        What to write on an axis; x0, x1, ... where X has no names.
    are_named : bool
        Whether the names are the user's.
    values : tuple of ndarray of shape (n,)
        float64 where the column is numeric, otherwise as they are.
    build : callable
        Makes rows of the same kind as X from one array per column.
    weight : ndarray of shape (n,)
        Numbers of rows that each stands for.
    orders : tuple of list or None
        The order of a column's categories, where the frame has one; empty for arrays.
    """

    names: tuple[str, ...]
    are_named: bool
    values: tuple[np.ndarray, ...]
    build: Callable[[Sequence[np.ndarray]], Any]
    weight: np.ndarray
    orders: tuple[list[Any] | None, ...] = ()

    def is_numeric(self, column: int) -> bool:
        return self.values[column].dtype == np.float64

    def categories(self, column: int) -> np.ndarray:
        """Return the distinct values of a column: in the frame's order, else by their names."""
        found = dict.fromkeys(self.values[column].tolist())
        order = self.orders[column] if self.orders else None
        listed = sorted(found, key=str) if order is None else [c for c in order if c in found]
        out = np.empty(len(listed), dtype=object)
        out[:] = listed
        return out

    @property
    def numeric(self) -> list[int]:
        return [column for column in range(len(self.names)) if self.is_numeric(column)]

    def weighted(self, weight: np.ndarray) -> "Columns":
        """Return the rows of positive weight, with their weights."""
        is_kept = weight > 0.0
        values = tuple(column[is_kept] for column in self.values)
        return self._replace(values=values, weight=weight[is_kept])


def read_columns(X: Any, estimator: Any) -> Columns:
    """Read the columns of an array, a list of rows, or a pandas or polars frame.

    Raises
    ------
    ValueError
        If X is not two-dimensional, has no rows, or two columns of one name.
    """
    if is_frame(X):
        return _columns_of_frame(X)
    array = as_array(X, "X")
    if array.ndim != 2 or len(array) == 0:
        raise ValueError(
            f"X must have at least one row and be two-dimensional, (n, n_features); "
            f"got shape {array.shape}."
        )
    known = getattr(estimator, "feature_names_in_", None)
    names = [f"x{j}" for j in range(array.shape[1])] if known is None else list(known)
    return Columns(
        tuple(names),
        known is not None,
        tuple(map(_numbers, array.T)),
        _array_builder(array.dtype),
        np.ones(len(array)),
    )


def _columns_of_frame(X: Any) -> Columns:
    labels = list(X.columns)
    if len(set(labels)) < len(labels) or len(X) == 0:
        raise ValueError(
            f"X must have at least one row and a name of its own for each column; got {len(X)} "
            f"rows of {labels}."
        )
    frame_type = type(X)

    def build(arrays: Sequence[np.ndarray]) -> Any:
        # Lists instead of arrays of objects, for which polars would not look for a type.
        typed = [a.tolist() if a.dtype == object else a for a in arrays]
        return frame_type(dict(zip(labels, typed, strict=True)))

    return Columns(
        tuple(map(str, labels)),
        True,
        tuple(_numbers(np.asarray(X[label])) for label in labels),
        build,
        np.ones(len(X)),
        tuple(_order_of(X[label]) for label in labels),
    )


def _order_of(column: Any) -> list[Any] | None:
    """Return the categories of a pandas Categorical or a polars Enum in their order, else None."""
    categorical = getattr(getattr(column, "cat", None), "categories", None)
    return declared_order(column) if categorical is None else list(categorical)


def _array_builder(dtype: np.dtype) -> Callable[[Sequence[np.ndarray]], np.ndarray]:
    # Integers become floats: they would cut the grid to whole numbers.
    if dtype.kind in "biuf":
        return np.column_stack
    return lambda arrays: np.column_stack([array.astype(object) for array in arrays])


def _numbers(values: np.ndarray) -> np.ndarray:
    """Return numbers as float64, everything else, also dates and digits in text, unchanged."""
    is_text = values.dtype.kind == "O" and any(isinstance(v, str | bytes) for v in values)
    if is_text or values.dtype.kind not in "biufO":
        return values
    try:
        return values.astype(np.float64)
    except (TypeError, ValueError):
        return values


def column_number(feature: Any, argument: str, columns: Columns) -> int:
    """Return the number of a column given by name or number.

    Raises
    ------
    ValueError
        Naming the argument, if there is no such column.
    """
    if isinstance(feature, str) and columns.are_named and feature in columns.names:
        return columns.names.index(feature)
    n_columns = len(columns.names)
    is_number = isinstance(feature, Integral) and not isinstance(feature, bool | np.bool_)
    if is_number and 0 <= int(feature) < n_columns:
        return int(feature)
    known = f"one of {list(columns.names)} or " if columns.are_named else ""
    raise ValueError(
        f"Unknown feature {shown(feature)} in {argument!r}; expected {known}a column number in the "
        f"range [0, {n_columns})."
    )


def typical_values(columns: Columns) -> list[Any]:
    """Return the median of each numeric column and the most frequent value of any other.

    Of an even number of rows it is the lower median: a value that occurs.
    """
    return [
        (lower_median if columns.is_numeric(column) else most_frequent)(values, columns.weight)
        for column, values in enumerate(columns.values)
    ]


def repeated(value: Any, n: int) -> np.ndarray:
    """Return n times a value, float64 where it is a number."""
    array = np.empty(n, dtype=np.float64 if isinstance(value, Real) else object)
    array[:] = value
    return array
