"""Grids over one or two columns of X, with the other columns held, or averaged over."""

from collections.abc import Callable, Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np

from mixexp.displays._columns import Columns, column_number, repeated, typical_values
from mixexp.displays._weights import spread_rows
from mixexp.text import shown

OTHERS = ("held", "averaged")
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
            f"The 'fixed' parameter must be None or a dict of feature: value. Got {shown(fixed)}."
        )
    for feature, value in (fixed or {}).items():
        column = column_number(feature, "fixed", columns)
        if column in plotted:
            raise ValueError(
                f"The 'fixed' parameter holds {shown(feature)}, which is on an axis; drop it from "
                "'fixed' or from 'features'."
            )
        if columns.is_numeric(column) and not _is_finite(value):
            raise ValueError(
                f"The 'fixed' parameter must give {shown(feature)} a finite number. Got "
                f"{shown(value)}."
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


def averaged_rows(columns: Columns) -> np.ndarray:
    """Return the numbers of the rows that a grid is averaged over, spread over the data."""
    return spread_rows(columns.weight, _MOST_AVERAGED)


class Others:
    """What becomes of the columns without an axis: held at a value each, or averaged over.

    Parameters
    ----------
    columns : Columns
    plotted : tuple of int
        Columns that have an axis.
    fixed : dict of feature to value, or None
        As the user gave it.
    is_averaged : bool

    Raises
    ------
    ValueError
        If ``fixed`` is not as `held_values` says.
    """

    def __init__(
        self, columns: Columns, plotted: tuple[int, ...], fixed: Any, is_averaged: bool
    ) -> None:
        self.columns = columns
        self.plotted = plotted
        self.held = held_values(fixed, columns, plotted)
        self.fixed = {
            column_number(name, "fixed", columns): value for name, value in (fixed or {}).items()
        }
        self.rows = averaged_rows(columns) if is_averaged else np.array([], dtype=int)

    @property
    def n_averaged(self) -> int:
        """Rows that are averaged over; 0 if columns are held."""
        return len(self.rows)

    def held_by_name(self, matters: np.ndarray) -> dict[str, Any]:
        """Return the values of those columns that are held and matter."""
        shown = self.fixed if self.n_averaged else range(len(self.held))
        names = self.columns.names
        return {names[j]: self.held[j] for j in shown if matters[j] and j not in self.plotted}

    def evaluate(
        self,
        function: Callable[[Any], Sequence[np.ndarray]],
        plotted: tuple[int, ...],
        axes: tuple[np.ndarray, ...],
    ) -> list[np.ndarray]:
        """Return a function of the grid over some columns.

        Where it is averaged, Friedman (2001), Greedy function approximation: a gradient
        boosting machine, Annals of Statistics 29, section 8.2 (partial dependence).

        Parameters
        ----------
        function : callable
            Takes rows of the same kind as X, returns arrays.
        plotted : tuple of int
        axes : tuple of ndarray
        """
        if not self.n_averaged:
            return list(function(grid_rows(self.columns, plotted, axes, self.held)))
        total: list[np.ndarray] = []
        for row in self.rows:
            values = enumerate(self.columns.values)
            own = [self.fixed.get(j, column[row]) for j, column in values]
            found = function(grid_rows(self.columns, plotted, axes, own))
            total = [a + b for a, b in zip(total, found, strict=True)] if total else list(found)
        return [part / self.n_averaged for part in total]
