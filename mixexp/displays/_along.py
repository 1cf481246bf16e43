"""Lines through the data along one feature each, with the other columns held."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from mixexp.displays._columns import Columns, column_number
from mixexp.displays._grid import grid_axis, grid_rows
from mixexp.displays._source import has_few_values, is_used


class Line(NamedTuple):
    """A grid along one feature.

    Parameters
    ----------
    feature : int
        Column of X.
    name : str
    grid : ndarray of shape (n_grid,)
        Values along the axis, in raw units.
    rows : array-like of shape (n_grid, n_features)
        Rows of the same kind as X.
    held : dict of str to value
        Where those other columns are held that matter.
    """

    feature: int
    name: str
    grid: np.ndarray
    rows: Any
    held: dict[str, Any]


def choose_lines(features: Any, columns: Columns, use: np.ndarray) -> tuple[int, ...]:
    """Return the columns that get a line: those asked for, or the numeric one used most.

    Parameters
    ----------
    features : None, str, int, or sequence of these
    columns : Columns
    use : ndarray of shape (n_columns,)
        How much each matters.

    Raises
    ------
    ValueError
        If a feature is unknown, not numeric, or named twice, or there is none.
    """
    if features is None:
        if not columns.numeric:
            raise ValueError("X has no numeric column to draw along; expected at least one.")
        fit = [j for j in columns.numeric if not has_few_values(columns.values[j])]
        return (max(fit or columns.numeric, key=lambda j: use[j]),)
    is_one = isinstance(features, str) or not isinstance(features, Iterable)
    asked = [features] if is_one else list(features)
    numbers = tuple(column_number(feature, "features", columns) for feature in asked)
    if not numbers or len(set(numbers)) < len(numbers):
        raise ValueError(
            f"The 'features' parameter must name at least one feature, none twice; "
            f"got {features!r}."
        )
    for column in numbers:
        if not columns.is_numeric(column):
            raise ValueError(
                f"The 'features' parameter names {columns.names[column]!r}, which is not numeric; "
                f"an axis needs one of {[columns.names[j] for j in columns.numeric]}."
            )
    return numbers


def lay_line(
    column: int,
    columns: Columns,
    held: list[Any],
    resolution: int,
    margin: float,
    use: np.ndarray,
) -> Line:
    """Return the grid along one column.

    Parameters
    ----------
    column : int
    columns : Columns
    held : list
        Value of each column.
    resolution : int
    margin : float
        Beyond the data, as a share of their range.
    use : ndarray of shape (n_columns,)
        How much each matters.
    """
    grid = grid_axis(columns, column, resolution, margin)
    rows = grid_rows(columns, (column,), (grid,), held)
    others = [j for j in np.flatnonzero(is_used(use)).tolist() if j != column]
    return Line(
        column, columns.names[column], grid, rows, {columns.names[j]: held[j] for j in others}
    )
