"""Grids over one or two columns of X, with the other columns held."""

from collections.abc import Mapping
from numbers import Real
from typing import Any

import numpy as np

from mixexp.displays._columns import Columns, column_number, repeated, typical_values


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


def grid_axis(values: np.ndarray, resolution: int, margin: float) -> np.ndarray:
    """Return evenly spaced values over the range of a column and a margin on both sides.

    Parameters
    ----------
    values : ndarray of shape (n,)
        NaN is passed over.
    resolution : int
    margin : float
        As a share of the range.
    """
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
