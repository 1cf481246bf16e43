"""A map over one feature: the gates' band, and what experts and mixture predict."""

from typing import Any

import numpy as np

from mixexp.displays._axes import STRIP, as_levels, is_categorical, positions
from mixexp.displays._marks import draw_number
from mixexp.displays._parts import Curves
from mixexp.displays._styles import ExpertStyle, tint

# Levels of strength that a line of an expert is drawn in.
_N_STRENGTHS = 8
# An expert whose band is nowhere this high has no room for a number.
_LEAST_LABELLED = 0.25
# Numbers stay this far from the ends of the axes.
_NEAREST_NUMBER = 0.13
# Rows of a class lie this far beyond probability 0 or 1, spread so that all are seen.
_NEAREST, _FARTHEST = 0.03, 0.11
# The mixture may take up this much more height than the data, as a share of theirs.
_FARTHEST_CURVE = 0.25
_GOLDEN = 0.6180339887498949


def add_band_axes(ax: Any) -> Any:
    """Return axes for the band, at the cost of the height of the given ones."""
    from mpl_toolkits.axes_grid1 import make_axes_locatable  # type: ignore[import-untyped]

    bands_ax = make_axes_locatable(ax).append_axes("top", size="28%", pad=0.09, sharex=ax)
    bands_ax.tick_params(axis="x", labelbottom=False)
    bands_ax.set_ylim(0.0, 1.0)
    # One digit, or the label would need room that no layout engine reserves for such axes.
    bands_ax.set_yticks([0.0, 1.0], ["0", "1"])
    bands_ax.set_ylabel("gate")
    return bands_ax


def draw_bands(
    ax: Any, x: np.ndarray, gate_proba: np.ndarray, styles: list[ExpertStyle]
) -> list[Any]:
    """Stack the experts' gate probabilities, the first expert at the bottom."""
    edges = np.concatenate([np.zeros((len(x), 1)), gate_proba.cumsum(axis=1)], axis=1)
    if is_categorical(x):
        return _draw_bars(ax, x, gate_proba, edges, styles)
    return [
        ax.fill_between(
            x,
            edges[:, k],
            edges[:, k + 1],
            facecolor=tint(style.color, np.array(0.8)),
            edgecolor="0.15",
            linewidth=0.8,
            hatch=style.hatch,
        )
        for k, style in enumerate(styles)
    ]


def _draw_bars(
    ax: Any, x: np.ndarray, heights: np.ndarray, edges: np.ndarray, styles: list[ExpertStyle]
) -> list[Any]:
    look = {"width": STRIP, "edgecolor": "0.15", "linewidth": 0.8}
    return [
        ax.bar(
            positions(x),
            heights[:, k],
            bottom=edges[:, k],
            color=tuple(tint(style.color, np.array(0.8))),
            hatch=style.hatch,
            **look,
        )
        for k, style in enumerate(styles)
    ]


def draw_band_numbers(
    ax: Any, x: np.ndarray, gate_proba: np.ndarray, styles: list[ExpertStyle]
) -> list[Any]:
    """Write each expert's number where its band is widest."""
    middle = gate_proba.cumsum(axis=1) - 0.5 * gate_proba
    artists = []
    for k, style in enumerate(styles):
        if gate_proba[:, k].max() >= _LEAST_LABELLED:
            at = widest_point(x, gate_proba[:, k])
            height = float(np.clip(middle[at, k], _NEAREST_NUMBER, 1.0 - _NEAREST_NUMBER))
            artists.append(draw_number(ax, positions(x)[at], height, k, style))
    return artists


def widest_point(x: np.ndarray, proba: np.ndarray) -> int:
    """Return the point of an axis in the middle of where a probability is about highest."""
    if is_categorical(x):
        return int(proba.argmax())
    wide = np.flatnonzero(proba >= 0.9 * proba.max())
    margin = len(proba) // 14
    return int(np.clip(wide[len(wide) // 2], margin, len(proba) - 1 - margin))


def draw_experts(
    ax: Any, x: np.ndarray, curves: Curves, gate_proba: np.ndarray, styles: list[ExpertStyle]
) -> list[Any]:
    """Draw each expert's prediction, the wider and stronger the more the gates trust it."""
    from matplotlib.collections import LineCollection

    if is_categorical(x):
        return _draw_levels(ax, x, curves.experts, gate_proba, styles)
    artists = []
    for k, style in enumerate(styles):
        runs = strength_runs(gate_proba[:, k])
        strength = np.array([gate_proba[run, k].mean() for run in runs])
        line = np.column_stack([x, curves.experts[:, k]])
        lines = LineCollection(
            [line[run] for run in runs],
            colors=[(*style.color, 0.35 + 0.65 * share) for share in strength],
            linewidths=0.9 + 3.1 * strength,
            linestyles=(0, style.dashes) if style.dashes else "solid",
            zorder=5,
        )
        artists.append(ax.add_collection(lines))
    return artists


def _draw_levels(
    ax: Any, x: np.ndarray, height: np.ndarray, proba: np.ndarray, styles: list[ExpertStyle]
) -> list[Any]:
    """Draw each expert's prediction for each category as a level line across its strip."""
    left, right = positions(x) - 0.5 * STRIP, positions(x) + 0.5 * STRIP
    return [
        ax.hlines(
            height[:, k],
            left,
            right,
            colors=[(*style.color, 0.35 + 0.65 * share) for share in proba[:, k]],
            linewidths=0.9 + 3.1 * proba[:, k],
            linestyles=(0, style.dashes) if style.dashes else "solid",
            zorder=5,
        )
        for k, style in enumerate(styles)
    ]


def strength_runs(proba: np.ndarray) -> list[slice]:
    """Cut a grid into runs of about the same probability; each ends where the next begins.

    Runs instead of single segments, for dashes start anew in each piece of a line.
    """
    level = np.floor(_N_STRENGTHS * np.clip(proba, 0.0, 1.0 - 1e-12)).astype(int)
    starts = np.concatenate([[0], np.flatnonzero(np.diff(level)) + 1])
    ends = np.append(starts[1:] + 1, len(proba))
    return [slice(int(a), int(b)) for a, b in zip(starts, ends, strict=True)]


def draw_mixture(ax: Any, x: np.ndarray, curves: Curves) -> Any:
    """Draw the mixture's prediction, black with a white rim to stand out from data and experts."""
    from matplotlib.patheffects import Normal, Stroke

    (line,) = ax.plot(*as_levels(x, curves.mixture), color="black", linewidth=1.4, zorder=5.5)
    line.set_path_effects([Stroke(linewidth=2.4, foreground="white"), Normal()])
    return line


def spread_classes(target: np.ndarray) -> np.ndarray:
    """Move 0 down and 1 up by amounts that differ from row to row."""
    # Multiples of the golden ratio fill the strip evenly, and are the same in every drawing.
    share = (_GOLDEN * np.arange(len(target))) % 1.0
    offset = _NEAREST + (_FARTHEST - _NEAREST) * share
    return np.where(target > 0.5, 1.0 + offset, -offset)


def vertical_range(curves: Curves, target: np.ndarray | None) -> tuple[float, float]:
    """Return limits that hold the data, and the mixture unless it runs far out of them."""
    if curves.is_probability:
        return -_FARTHEST - 0.03, 1.0 + _FARTHEST + 0.03
    low, high = _finite_range(curves.mixture)
    if target is not None:
        least, greatest = _finite_range(target)
        reach = _FARTHEST_CURVE * (greatest - least)
        # A log link takes the mean to any height in the margin beyond the data.
        low = min(least, max(low, least - reach))
        high = max(greatest, min(high, greatest + reach))
    margin = 0.06 * (high - low) or 0.5
    return low - margin, high + margin


def _finite_range(values: np.ndarray) -> tuple[float, float]:
    # A mean need not exist: that of Student's t with one degree of freedom does not.
    known = values[np.isfinite(values)]
    return (float(known.min()), float(known.max())) if len(known) else (0.0, 0.0)
