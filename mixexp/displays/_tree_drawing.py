"""The parts of a drawn tree: nodes, edges, histograms."""

from typing import Any

import numpy as np

from mixexp.displays._styles import ExpertStyle, dark, tint
from mixexp.displays._tree_layout import BEND, HISTOGRAM_HEIGHT, HISTOGRAM_WIDTH, NODE_HEIGHT

# Points: an edge that no row takes, and what is added for one that all take.
_THINNEST, _WIDEST = 0.8, 7.0


def draw_box(ax: Any, at: tuple[float, float], text: str, style: ExpertStyle, size: float) -> Any:
    """Draw the box of a gate, at its left end, with its name and share."""
    face = tuple(tint(style.color, np.array(0.25)))
    return ax.text(
        at[0] + 0.08,
        at[1],
        text,
        fontsize=size,
        ha="left",
        va="center",
        zorder=4,
        bbox={"boxstyle": "round,pad=0.45", "fc": face, "ec": tuple(dark(style.color)), "lw": 1.0},
    )


def draw_disc(ax: Any, at: tuple[float, float], text: str, style: ExpertStyle, size: float) -> Any:
    """Draw the disc of an expert with its number."""
    return ax.text(
        *at,
        text,
        fontsize=size,
        fontweight="bold",
        color=tuple(dark(style.color)),
        ha="center",
        va="center",
        zorder=4,
        bbox={
            "boxstyle": "circle,pad=0.3",
            "fc": tuple(tint(style.color, np.array(0.6))),
            "ec": tuple(dark(style.color)),
            "lw": 1.2,
        },
    )


def draw_edge(
    ax: Any, start: tuple[float, float], end: tuple[float, float], look: tuple[ExpertStyle, float]
) -> Any:
    """Draw an edge: a bend to the child's height, then a level line."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    (x0, y0), (x1, y1), (style, width) = start, end, look
    turn, half = x0 + BEND, x0 + 0.5 * BEND
    points = [(x0, y0), (half, y0), (half, y1), (turn, y1), (x1, y1)]
    codes = [Path.MOVETO, Path.CURVE4, Path.CURVE4, Path.CURVE4, Path.LINETO]
    patch = PathPatch(
        Path(points, codes),
        facecolor="none",
        edgecolor=tuple(tint(style.color, np.array(0.6))),
        linewidth=width,
        capstyle="butt",
        zorder=1,
    )
    return ax.add_patch(patch)


def edge_width(share: float, scale: float) -> float:
    """Return the width of an edge in points, for the share of rows that take it."""
    return scale * (_THINNEST + _WIDEST * share)


def draw_histogram(ax: Any, at: tuple[float, float], shares: np.ndarray, style: ExpertStyle) -> Any:
    """Draw a small histogram with its lower left corner at a point; heights are square roots."""
    heights = HISTOGRAM_HEIGHT * np.sqrt(shares / max(float(shares.max()), 1e-12))
    edges = np.linspace(at[0], at[0] + HISTOGRAM_WIDTH, len(shares) + 1)
    color = tuple(tint(style.color, np.array(0.75)))
    bars = ax.stairs(at[1] + heights, edges, baseline=at[1], fill=True, color=color, zorder=3)
    ax.plot([at[0], at[0] + HISTOGRAM_WIDTH], [at[1]] * 2, color="0.3", linewidth=0.6, zorder=3)
    return bars


def below_node(left: float, y: float) -> tuple[float, float]:
    """Return where the histogram of a gate has its lower left corner."""
    return left + 0.04, y - 0.5 * NODE_HEIGHT - 0.07 - HISTOGRAM_HEIGHT
