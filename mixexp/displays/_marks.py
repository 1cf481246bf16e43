"""Rows of data and numbers of experts on a picture, and what legends say of them."""

from typing import Any, NamedTuple

import numpy as np

from mixexp.displays._grid import place
from mixexp.displays._layout import Entry, Explanation, text_scale
from mixexp.displays._source import Data
from mixexp.displays._style import ExpertStyle, certainty, dark, rim, ringed_face, tint

# Areas in square points, of an uncertain and of a certain row among 200; more rows, smaller ones.
_SMALLEST, _LARGEST = 12.0, 42.0
_ROWS_OF_FULL_SIZE = 200
# With more rows than this, vector files hold them as an image.
_MOST_VECTORS = 5000
# Markers of more rows than this are too small to be read in a legend at their own size.
_MOST_ROWS_TO_SCALE = 1000


class Points(NamedTuple):
    """The rows of data on a map.

    Parameters
    ----------
    X : ndarray of shape (n, n_features_plotted)
        In raw units; where a category stands, see `_grid.py`.
    y : ndarray of shape (n,) or None
        In the unit of `Curves`: for classifiers 1 where y is the class that is drawn, else 0.
    gate_proba : ndarray of shape (n, n_experts)
        Before y is seen, at the row's own features, wherever the map holds them.
    responsibilities : ndarray of shape (n, n_experts) or None
        After y is seen.
    """

    X: np.ndarray
    y: np.ndarray | None
    gate_proba: np.ndarray
    responsibilities: np.ndarray | None

    @property
    def proba(self) -> np.ndarray:
        """The best that is known of who is responsible for each row."""
        return self.gate_proba if self.responsibilities is None else self.responsibilities

    @property
    def is_surprise(self) -> np.ndarray:
        """Whether the most probable expert is another one once y is seen, shape (n,)."""
        return self.proba.argmax(axis=1) != self.gate_proba.argmax(axis=1)


def read_points(
    data: Data, y: Any, plotted: tuple[int, ...], axes: tuple[np.ndarray, ...]
) -> Points:
    """Return the rows of data without y, with who is responsible for them.

    Parameters
    ----------
    data : Data
    y : array-like of shape (n_given,) or None
    plotted : tuple of int
    axes : tuple of ndarray
        Of the plotted columns.
    """
    return Points(
        np.column_stack(
            [
                place(axis, data.columns.values[j], number)
                for number, (j, axis) in enumerate(zip(plotted, axes, strict=True))
            ]
        ),
        None,
        data.gate_proba(),
        None if y is None else data.responsibilities(y),
    )


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


def plane_entries(styles: list[ExpertStyle], points: Points | None, kind: str) -> list[Entry]:
    """Return the legend entries of a map over two features."""
    shades = _shade_entries(len(styles)) if kind == "gate" else []
    return [
        *expert_entries(styles, [None] * len(styles)),
        *shades,
        *_data_entries(points, len(styles)),
    ]


def band_entries(styles: list[ExpertStyle], points: Points | None) -> list[Entry]:
    """Return the legend entries of a map over one feature."""
    from matplotlib.lines import Line2D

    mixture = Line2D([], [], color="black", linewidth=1.4)
    lines = [style.linestyle for style in styles]
    has_data = points is not None and points.y is not None
    data = _data_entries(points, len(styles)) if has_data else []
    return [*expert_entries(styles, lines), (mixture, "mixture"), *data]


def expert_entries(styles: list[ExpertStyle], lines: list[Any]) -> list[Entry]:
    """Return a patch of each expert's colour, its line, if any, and its marker upon it."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    entries: list[Entry] = []
    for style, line in zip(styles, lines, strict=True):
        color = tuple(style.color)
        face = tuple(tint(style.color, np.array(0.5)))
        patch = Patch(facecolor=face, edgecolor="0.5", linewidth=0.5, hatch=style.hatch)
        stroke = Line2D([], [], color=color, linestyle=line or "none", linewidth=2.0)
        mark = Line2D([], [], color=color, linestyle="none", marker=style.marker, markersize=7.0)
        mark.set(markeredgecolor=tuple(rim(style.color)), markeredgewidth=0.6)
        entries.append(((patch, stroke, mark), style.name))
    return entries


def _shade_entries(n_experts: int) -> list[Entry]:
    """Return what pale and strong colours mean."""
    from matplotlib.patches import Patch

    if n_experts == 1:
        return []
    levels = _levels(n_experts)
    shades = tint(np.full(3, 0.3), certainty(levels, n_experts))
    patches = [Patch(facecolor=tuple(s), edgecolor="0.5", linewidth=0.5) for s in shades]
    return [(Explanation(patches), f"gate probability\n{_listed(levels)}")]


def _data_entries(points: Points | None, n_experts: int) -> list[Entry]:
    """Return what sizes and rings of the data mean."""
    if points is None or n_experts == 1:
        return []
    name = "gate" if points.responsibilities is None else "posterior"
    levels = _levels(n_experts)
    sizes = marker_areas(levels, n_experts, min(len(points.X), _MOST_ROWS_TO_SCALE)) ** 0.5
    circles = [_circle(size, "0.35", "white", 0.5) for size in sizes]
    entries: list[Entry] = [(Explanation(circles), f"{name} probability\n{_listed(levels)}")]
    if points.is_surprise.any():
        ring = Explanation([_circle(6.5, "0.75", "black", 1.1)])
        entries.append((ring, "posterior differs\nfrom gate"))
    return entries


def _circle(size: float, color: str, edge: str, width: float) -> Any:
    from matplotlib.lines import Line2D

    circle = Line2D([], [], marker="o", linestyle="none", color=color, markersize=size)
    circle.set(markeredgecolor=edge, markeredgewidth=width)
    return circle


def _levels(n_experts: int) -> np.ndarray:
    """Return probabilities of the best expert: in a tie, half way, and certain."""
    return np.linspace(1.0 / n_experts, 1.0, 3)


def _listed(levels: np.ndarray) -> str:
    return ", ".join(f"{level:.2g}" for level in levels)
