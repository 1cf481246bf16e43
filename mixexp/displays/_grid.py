"""Grids over one or two columns of X, with the other columns held, or averaged over."""

from collections.abc import Callable, Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np

from mixexp.displays._columns import Columns, column_number, repeated, typical_values

# Rows that a grid is averaged over: the standard error of a probability is then below 0.07, and
# the whole costs as much as so many maps.
_MOST_AVERAGED = 60


def held_values(fixed: Any, columns: Columns, plotted: tuple[int, ...]) -> list[Any]:
    """Return the value at which each column is held: typical, unless the user fixed it.

    Raises
    ------
    ValueError
        If ``fixed`` is no mapping, or names an unknown or a plotted feature, or gives a
        numeric one something else than a finite number.
    """
    held = typical_values(columns)
    if not isinstance(fixed, Mapping | None):
        raise ValueError(
            f"The 'fixed' parameter must be None or a dict of feature: value. Got {fixed!r}."
        )
    for feature, value in (fixed or {}).items():
        column = column_number(feature, "fixed", columns)
        if column in plotted:
            raise ValueError(
                f"The 'fixed' parameter holds {feature!r}, which is on an axis; drop it from "
                "'fixed' or from 'features'."
            )
        if columns.is_numeric(column) and not _is_finite(value):
            raise ValueError(
                f"The 'fixed' parameter must give {feature!r} a finite number. Got {value!r}."
            )
        held[column] = value
    return held


def _is_finite(value: Any) -> bool:
    return isinstance(value, Real) and bool(np.isfinite(float(value)))


def grid_axis(columns: Columns, column: int, resolution: int, margin: float) -> np.ndarray:
    """Return evenly spaced values over the range of a column and a margin on both sides.

    Parameters
    ----------
    columns : Columns
    column : int
        NaN is passed over. Of a column that is not numeric, its categories are returned.
    resolution : int
    margin : float
        As a share of the range.
    """
    if not columns.is_numeric(column):
        return columns.categories(column)
    values = columns.values[column]
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    reach = margin * (high - low) if high > low else max(abs(low), 1.0) * 0.5
    return np.linspace(low - reach, high + reach, resolution)


def grid_rows(
    columns: Columns, plotted: tuple[int, ...], axes: tuple[np.ndarray, ...], held: list[Any]
) -> Any:
    """Return rows of the same kind as X, one per point of the grid; the first axis runs fastest."""
    mesh = [axis.ravel() for axis in np.meshgrid(*axes)]
    arrays = [repeated(value, len(mesh[0])) for value in held]
    for column, values in zip(plotted, mesh, strict=True):
        arrays[column] = values
    return columns.build(arrays)


def fixed_columns(fixed: Mapping[Any, Any] | None, columns: Columns) -> dict[int, Any]:
    """Return the values that the user fixed, checked by `held_values`, by number of the column."""
    return {column_number(name, "fixed", columns): value for name, value in (fixed or {}).items()}


def averaged_rows(n: int) -> np.ndarray:
    """Return the numbers of the rows that a grid is averaged over, spread over the data."""
    return np.unique(np.linspace(0, n - 1, min(n, _MOST_AVERAGED)).astype(int))


def average_over_rows(
    function: Callable[[Any], Sequence[np.ndarray]],
    columns: Columns,
    plotted: tuple[int, ...],
    axes: tuple[np.ndarray, ...],
    fixed: dict[int, Any],
) -> list[np.ndarray]:
    """Return the mean of a function of the grid over the other columns' values in the data.

    Friedman (2001), Greedy function approximation: a gradient boosting machine, Annals of
    Statistics 29, section 8.2 (partial dependence).

    Parameters
    ----------
    function : callable
        Takes rows of the same kind as X, returns arrays.
    columns : Columns
    plotted : tuple of int
    axes : tuple of ndarray
    fixed : dict of int to value
        Columns that are held all the same.
    """
    chosen = averaged_rows(len(columns.values[0]))
    total: list[np.ndarray] = []
    for row in chosen:
        own = [fixed.get(j, values[row]) for j, values in enumerate(columns.values)]
        found = function(grid_rows(columns, plotted, axes, own))
        total = [a + b for a, b in zip(total, found, strict=True)] if total else list(found)
    return [part / len(chosen) for part in total]
