"""Break points of gates, drawn into panels that show these along one feature."""

from typing import Any

import numpy as np

from mixexp.text import shown

_COLUMNS = ("gate", "feature", "estimate", "lower", "upper")


def read_break_points(table: Any, feature: str) -> dict[str, list[np.ndarray]]:
    """Return estimate, lower and upper end of the break points along a feature, by gate.

    Parameters
    ----------
    table : DataFrame, Table or None
        As ``inference(X, y).break_points()`` returns it.
    feature : str

    Raises
    ------
    TypeError
        If it is none of these.
    """
    if table is None:
        return {}
    columns = getattr(table, "columns", {})
    if not all(name in columns for name in _COLUMNS):
        raise TypeError(
            "The 'break_points' parameter must be the table that inference(X, y).break_points() "
            f"returns, or None. Got {shown(table)}."
        )
    held = columns if isinstance(columns, dict) else table
    found: dict[str, list[np.ndarray]] = {}
    for gate, name, *ends in zip(*(held[name] for name in _COLUMNS), strict=True):
        if name == feature:
            found.setdefault(gate, []).append(np.array(ends, dtype=float))
    return found


def draw_break_points(ax: Any, points: list[np.ndarray]) -> list[Any]:
    """Draw break points as dashed lines, their intervals as bars across them.

    Parameters
    ----------
    ax : matplotlib Axes
    points : list of ndarray of shape (3,)
        Estimate, lower and upper end.

    Returns
    -------
    list of matplotlib Line2D
    """
    lines = []
    for value, lower, upper in points:
        look = {"color": "black", "linewidth": 1.4, "zorder": 6}
        lines.append(ax.axvline(value, linestyle="--", **look))
        if np.isfinite([lower, upper]).all():
            ax.plot([lower, upper], [0.5, 0.5], marker="|", markersize=8.0, **look)
    return lines
