"""Lines through the data along one feature each, with the other columns held."""

from typing import Any, NamedTuple

import numpy as np

from mixexp.displays._data import Data
from mixexp.displays._grid import grid_axis, grid_rows, held_values
from mixexp.displays._use import is_used


class Line(NamedTuple):
    """A grid along one feature.

    Parameters
    ----------
    feature : int
        Column of X.
    name : str
    grid : ndarray of shape (n_grid,)
        Values along the axis, in raw units; the categories of a column that is not numeric.
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


def lay_line(
    data: Data, column: int, use: np.ndarray, fixed: Any, resolution: int, margin: float
) -> Line:
    """Return the grid along one column.

    Parameters
    ----------
    data : Data
    column : int
    use : ndarray of shape (n_columns,)
        How much each matters.
    fixed : dict of feature to value, or None
        Values of other columns, as the user gave them.
    resolution : int
    margin : float
        Beyond the data, as a share of their range.

    Raises
    ------
    ValueError
        If ``fixed`` is not as `held_values` says.
    """
    columns = data.columns
    held = held_values(fixed, columns, (column,))
    grid = grid_axis(columns, column, resolution, margin)
    rows = grid_rows(columns, (column,), (grid,), held)
    others = [j for j in np.flatnonzero(is_used(use)).tolist() if j != column]
    return Line(
        column, columns.names[column], grid, rows, {columns.names[j]: held[j] for j in others}
    )
