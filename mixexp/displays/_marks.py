"""Marks that maps over one and over two features share: the data and the experts' numbers."""

from typing import Any

import numpy as np

from mixexp.displays._parts import Points
from mixexp.displays._styles import ExpertStyle, certainty, dark, rim, ringed_face
from mixexp.displays._text import text_scale

# Areas in square points, of an uncertain and of a certain row among 200; more rows, smaller ones.
_SMALLEST, _LARGEST = 12.0, 42.0
_ROWS_OF_FULL_SIZE = 200
# With more rows than this, vector files hold them as an image.
_MOST_VECTORS = 5000


def import_matplotlib() -> Any:
    """Return matplotlib.pyplot.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            "Drawing a display needs matplotlib; install it with 'pip install matplotlib'. "
            "The numbers are in the attributes of the display without it."
        ) from error
    return plt


def marker_areas(largest: np.ndarray, n_experts: int, n_rows: int) -> np.ndarray:
    """Return the areas of markers, in square points, for probabilities of the best expert."""
    sure = certainty(largest, n_experts)
    return _shrinkage(n_rows) * (_SMALLEST + (_LARGEST - _SMALLEST) * sure)


def _shrinkage(n_rows: int) -> float:
    """Return the share of their full area that markers have where there are many."""
    return min(1.0, (_ROWS_OF_FULL_SIZE / max(n_rows, 1)) ** 0.5)


def draw_points(
    ax: Any, x: np.ndarray, y: np.ndarray, points: Points, styles: list[ExpertStyle], kwargs: Any
) -> list[Any]:
    """Draw rows of data by their most probable expert, the surprising ones ringed and on top.

    Parameters
    ----------
    ax : matplotlib Axes
    x, y : ndarray of shape (n,)
    points : Points
    styles : list of ExpertStyle
    kwargs : dict or None
        Of ``ax.scatter``, before the display's own.

    Returns
    -------
    list of matplotlib PathCollection
    """
    winner = points.proba.argmax(axis=1)
    areas = marker_areas(points.proba.max(axis=1), len(styles), len(x))
    artists = []
    for is_ringed, width in ((False, 0.5), (True, 1.1)):
        for k, style in enumerate(styles):
            chosen = (winner == k) & (points.is_surprise == is_ringed)
            if not chosen.any():
                continue
            look = {
                "s": areas[chosen],
                "marker": style.marker,
                "color": [tuple(ringed_face(style.color) if is_ringed else style.color)],
                "edgecolors": "black" if is_ringed else [tuple(rim(style.color))],
                "linewidths": width * _shrinkage(len(x)) ** 0.5,
                "rasterized": len(x) > _MOST_VECTORS,
                "zorder": 4 if is_ringed else 3,
            }
            artists.append(ax.scatter(x[chosen], y[chosen], **{**look, **(kwargs or {})}))
    return artists


def draw_number(ax: Any, x: float, y: float, k: int, style: ExpertStyle) -> Any:
    """Write an expert's number on its region."""
    return draw_name(ax, x, y, str(k), style)


def draw_name(ax: Any, x: float, y: float, name: str, style: ExpertStyle) -> Any:
    """Write a name, or the number of an expert in a circle."""
    shape = "circle,pad=0.25" if name.isdigit() else "round,pad=0.25"
    return ax.text(
        x,
        y,
        name,
        color=tuple(dark(style.color)),
        fontweight="bold",
        fontsize=10.0 * text_scale(ax),
        ha="center",
        va="center",
        zorder=6,
        bbox={"boxstyle": shape, "fc": "white", "ec": dark(style.color), "alpha": 0.9},
    )
