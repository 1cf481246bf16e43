"""Grids over columns of X, the other columns held or averaged over, and their axes.

An axis is an array: float64 for numbers, anything else lists the categories, which stand at
0, 1, 2, ... and take up a strip of width one each.
"""

import textwrap
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from numbers import Real
from typing import Any, NamedTuple

import numpy as np

from mixexp.displays._columns import (
    Columns,
    column_number,
    is_used,
    repeated,
    spread_rows,
    typical_values,
)
from mixexp.displays._layout import letters_along
from mixexp.displays._source import Data
from mixexp.text import drawn, shown

# Rows of a category are spread over this share of its strip.
_SPREAD = 0.62
# Multiples of these fill a strip evenly, alone and, up to three, against each other: powers of
# the roots of x**3 = x + 1 and x**4 = x + 1 (Roberts 2018, sequences of low discrepancy).
_STEPS = (0.7548776662466927, 0.5698402909980532, 0.8191725133961645)
# Width of what is drawn for a category; strips are one apart.
STRIP = 0.86
# Letters of a category's name: at least and at most, for else it is as long as the axis.
_LEAST_LETTERS, _MOST_LETTERS = 10, 26
OTHERS = ("held", "averaged")
# Rows that a grid is averaged over: the standard error of a probability is then below 0.07, and
# the whole costs as much as so many maps.
_MOST_AVERAGED = 60


def is_categorical(axis: np.ndarray) -> bool:
    """Return whether an axis lists categories."""
    return axis.dtype != np.float64


def positions(axis: np.ndarray) -> np.ndarray:
    """Return where the points of an axis stand."""
    return np.arange(len(axis), dtype=float) if is_categorical(axis) else axis


def ends(axis: np.ndarray) -> tuple[float, float]:
    """Return the limits of an axis."""
    if is_categorical(axis):
        return -0.5, len(axis) - 0.5
    return float(axis[0]), float(axis[-1])


def place(axis: np.ndarray, values: np.ndarray, number: int) -> np.ndarray:
    """Return where rows of data stand along the axis with a number among those drawn.

    Rows of a category are spread over its strip, the same way in every drawing.
    """
    if not is_categorical(axis):
        return values
    strip = {category: at for at, category in enumerate(axis)}
    at = np.array([strip.get(value, np.nan) for value in values], dtype=float)
    return at + _SPREAD * ((_STEPS[number % len(_STEPS)] * np.arange(len(values))) % 1.0 - 0.5)


def as_levels(axis: np.ndarray, *heights: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return x and y of lines: those of numbers as they are, level in the strips of categories.

    Lines are broken between strips, by NaN.
    """
    if not is_categorical(axis):
        return axis, *heights
    ends_of_strips = positions(axis)[:, None] + [-0.5 * STRIP, 0.5 * STRIP, np.nan]
    return ends_of_strips.ravel(), *(np.repeat(height, 3) for height in heights)


def write_categories(ax: Any, axis: np.ndarray, direction: str) -> None:
    """Write the names of categories along the x or y axis; numbers write themselves."""
    if not is_categorical(axis):
        return
    room = letters_along(ax, direction)
    most = min(max(room, _LEAST_LETTERS), _MOST_LETTERS)
    names = [textwrap.shorten(drawn(category), most, placeholder="…") for category in axis]
    if direction == "x":
        strip = room / len(names)
        is_long = any(len(a) + len(b) + 2 > 2.0 * strip for a, b in pairwise(["", *names, ""]))
        look = {"rotation": 30.0, "ha": "right", "rotation_mode": "anchor"} if is_long else {}
        ax.set_xticks(positions(axis), names, **look)
    else:
        ax.set_yticks(positions(axis), names)


def draw_separators(ax: Any, axis: np.ndarray, direction: str) -> list[Any]:
    """Draw white lines between categories."""
    if not is_categorical(axis):
        return []
    line = ax.axvline if direction == "x" else ax.axhline
    between = positions(axis)[1:] - 0.5
    return [line(at, color="white", linewidth=2.5, zorder=1.5) for at in between]


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
        self.rows = (
            spread_rows(columns.weight, _MOST_AVERAGED) if is_averaged else np.array([], dtype=int)
        )

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
