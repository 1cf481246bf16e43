"""The columns of the X that a user holds, their typical values, and which get an axis.

X may be an array, a list of rows, a sparse matrix or a frame; a row of weight two counts as two
rows. Nothing here knows of models; see `_source.py` for what they say about rows.
"""

from collections.abc import Callable, Iterable, Sequence
from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from mixexp.arguments import as_array
from mixexp.estimators._class_order import declared_order
from mixexp.estimators._features import is_frame
from mixexp.text import shown

# A feature that moves less probability (or less of an expert's spread) than this is not used.
_UNUSED = 1e-9
# A feature with fewer values than this, such as 0 and 1, gets an axis only if asked for.
_FEWEST_VALUES = 5
# The second feature gets an axis if it moves the gates at least this share of the first's.
_SECOND_AXIS = 0.05
# Features of which pairs are drawn unasked.
_MOST_PAIRED = 4


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
    # A picture shows columns, and so needs those of a sparse matrix as arrays.
    array = X.toarray() if sparse.issparse(X) else as_array(X, "X")
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


def lower_median(values: np.ndarray, weight: np.ndarray) -> float:
    """Return the least value that half of the rows do not exceed; NaN is passed over."""
    known = ~np.isnan(values)
    if not known.any():
        return float("nan")
    order = np.argsort(values[known], kind="stable")
    total = np.cumsum(weight[known][order])
    # A little less than half, for sums of fractions that should be half may round to below it.
    return float(values[known][order][np.searchsorted(total, (0.5 - 1e-12) * total[-1])])


def most_frequent(values: np.ndarray, weight: np.ndarray) -> Any:
    """Return the value of most rows, of equals the one that comes first."""
    total: dict[Any, float] = {}
    for value, share in zip(list(values), weight.tolist(), strict=True):
        total[value] = total.get(value, 0.0) + share
    return max(total, key=lambda value: total[value])


def spread_rows(weight: np.ndarray, most: int) -> np.ndarray:
    """Return the numbers of at most so many rows, spread evenly over the data.

    Rows of larger weights come up more often, so that plain means over what is chosen heed the
    weights. Weights that sum to fewer rows than there are count in proportion.
    """
    total = np.cumsum(weight * max(1.0, len(weight) / weight.sum()))
    # Sums of fractions that should be a whole number may end a little below it.
    n_rows = int(total[-1] + 1e-9)
    at = np.linspace(0, n_rows - 1, min(n_rows, most)).astype(int)
    return np.searchsorted(total, at + 1e-9, side="right")


def is_used(use: np.ndarray) -> np.ndarray:
    """Return which columns matter, from one row of `feature_use`."""
    return use > _UNUSED


def choose_map(features: Any, columns: Columns, use: np.ndarray) -> tuple[int, ...]:
    """Return the columns of a map: those asked for, or the one or two that matter most.

    Parameters
    ----------
    features : None, str, int, or sequence of these
    columns : Columns
    use : ndarray of shape (2, n_columns)
        See `feature_use`.

    Raises
    ------
    ValueError
        If a feature is unknown, or named twice, or there is none.
    """
    return _most_used(columns, use) if features is None else _numbers_of(features, columns)


def choose_line(feature: Any, columns: Columns, use: np.ndarray) -> int:
    """Return the column that is drawn along: the one asked for, or the numeric one used most.

    Parameters
    ----------
    feature : None, str or int
    columns : Columns
    use : ndarray of shape (n_columns,)
        How much each matters.

    Raises
    ------
    ValueError
        If it is unknown.
    """
    if feature is None:
        return _most_used_line(columns, use)
    return column_number(feature, "feature", columns)


def choose_lines(features: Any, columns: Columns, use: np.ndarray) -> tuple[int, ...]:
    """Return the columns that are drawn along, a panel each; see `choose_line`."""
    if features is None:
        return (_most_used_line(columns, use),)
    return _numbers_of(features, columns)


def choose_pairs(features: Any, columns: Columns, use: np.ndarray) -> tuple[int, ...]:
    """Return the columns whose pairs are drawn.

    Parameters
    ----------
    features : None or sequence of str or int
    columns : Columns
    use : ndarray of shape (n_columns,)
        How much each matters.

    Raises
    ------
    ValueError
        If there are not at least two different ones.
    """
    if features is None:
        fit = [j for j in columns.numeric if not _has_few_values(columns.values[j])]
        used = [j for j in sorted(fit, key=lambda j: -use[j]) if is_used(use)[j]]
        numbers = tuple((used if len(used) > 1 else fit)[:_MOST_PAIRED])
        if len(numbers) < 2:
            raise ValueError(
                "X has no two numeric columns of at least five values; name two in 'features'."
            )
        return numbers
    # A name alone is the wrong kind of argument, not a feature that is unknown.
    numbers = () if isinstance(features, str) else _numbers_of(features, columns)
    if len(numbers) < 2:
        raise ValueError(
            "The 'features' parameter must be at least two different features where 'pairs' is "
            f"True; got {shown(features)}."
        )
    return numbers


def _most_used_line(columns: Columns, use: np.ndarray) -> int:
    return max(_fit_for_axes(columns) or range(len(use)), key=lambda j: use[j])


def _numbers_of(features: Any, columns: Columns) -> tuple[int, ...]:
    """Return the numbers of a feature or several different ones."""
    is_one = isinstance(features, str) or not isinstance(features, Iterable)
    asked = [features] if is_one else list(features)
    numbers = tuple(column_number(feature, "features", columns) for feature in asked)
    if not numbers or len(set(numbers)) < len(numbers):
        raise ValueError(
            "The 'features' parameter must name at least one feature, none twice; "
            f"got {shown(features)}."
        )
    return numbers


def _most_used(columns: Columns, use: np.ndarray) -> tuple[int, ...]:
    by_gates, by_experts = use
    fit = _fit_for_axes(columns)
    if not fit:
        return (int((by_gates + by_experts).argmax()),)
    if by_gates[fit].max() <= _UNUSED:
        # Nothing changes along any axis but the experts' predictions: one axis shows them.
        return (max(fit, key=lambda j: by_experts[j]),)
    first, *others = sorted(fit, key=lambda j: -by_gates[j])
    return (first, *(j for j in others[:1] if by_gates[j] >= _SECOND_AXIS * by_gates[first]))


def _fit_for_axes(columns: Columns) -> list[int]:
    """Return the numeric columns of many values, all numeric ones if there are none of these."""
    many = [j for j in columns.numeric if not _has_few_values(columns.values[j])]
    return many or columns.numeric


def _has_few_values(values: np.ndarray) -> bool:
    return len(np.unique(values[~np.isnan(values)])) < _FEWEST_VALUES
