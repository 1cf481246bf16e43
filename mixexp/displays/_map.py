"""Gate probabilities drawn over one feature, as a band, or over two, as a map of regions."""

from typing import Any

import numpy as np
from scipy.ndimage import distance_transform_edt

from mixexp.displays._grid import STRIP, draw_separators, ends, is_categorical, positions
from mixexp.displays._marks import draw_name
from mixexp.displays._style import ExpertStyle, certainty, tint

# An expert whose band is nowhere this high has no room for a number.
_LEAST_BAND = 0.25
# Numbers stay this far from the ends of the axes.
_NEAREST_NUMBER = 0.13
# A region smaller than this share of the map has no room for a number.
_LEAST_REGION = 0.012


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
        if gate_proba[:, k].max() >= _LEAST_BAND:
            at = widest_point(x, gate_proba[:, k])
            height = float(np.clip(middle[at, k], _NEAREST_NUMBER, 1.0 - _NEAREST_NUMBER))
            artists.append(draw_name(ax, positions(x)[at], height, style.short_name, style))
    return artists


def widest_point(x: np.ndarray, proba: np.ndarray) -> int:
    """Return the point of an axis in the middle of where a probability is about highest."""
    if is_categorical(x):
        return int(proba.argmax())
    wide = np.flatnonzero(proba >= 0.9 * proba.max())
    margin = len(proba) // 14
    return int(np.clip(wide[len(wide) // 2], margin, len(proba) - 1 - margin))


def draw_plane(
    ax: Any,
    grid: Any,
    gate_proba: np.ndarray,
    styles: list[ExpertStyle],
    kind: str,
    data: np.ndarray,
) -> tuple[Any, list[Any], list[Any], list[Any]]:
    """Draw a map over two features: fill, hatches, boundaries and the experts' numbers.

    Parameters
    ----------
    ax : matplotlib Axes
    grid : sequence of two ndarray
        Values along x and y.
    gate_proba : ndarray of shape (n_grid_y, n_grid_x, n_experts)
    styles : list of ExpertStyle
    kind : {"gate", "hard"}
    data : ndarray of shape (n, 2)
        Places of rows, which numbers are kept away from.

    Returns
    -------
    image : matplotlib AxesImage
    regions, contours : list of matplotlib QuadContourSet
        Hatches, and lines where experts tie.
    labels : list of matplotlib Text
        The experts' numbers.
    """
    image = draw_fill(ax, grid, map_colors(gate_proba, styles, kind))
    regions = draw_hatches(ax, grid, gate_proba, styles)
    for axis, direction in zip(grid, "xy", strict=True):
        draw_separators(ax, axis, direction)
    contours = draw_boundaries(ax, grid, gate_proba)
    return image, regions, contours, draw_numbers(ax, grid, gate_proba, styles, data)


def map_colors(gate_proba: np.ndarray, styles: list[ExpertStyle], kind: str) -> np.ndarray:
    """Return the colour of each point of the grid.

    Parameters
    ----------
    gate_proba : ndarray of shape (..., n_experts)
    styles : list of ExpertStyle
    kind : {"gate", "hard"}

    Returns
    -------
    ndarray of shape (..., 3)
        The most probable expert's colour, blended towards white the less sure the gates are.
    """
    colors = np.array([style.color for style in styles])
    strength = certainty(gate_proba.max(axis=-1), len(styles))
    if kind == "hard":
        strength = np.full_like(strength, 0.6)
    return tint(colors[gate_proba.argmax(axis=-1)], strength)


def draw_fill(ax: Any, grid: Any, colors: np.ndarray) -> Any:
    """Draw the colours of a map as an image over the axes' ranges."""
    x, y = map(positions, grid)
    smooth = "nearest" if any(map(is_categorical, grid)) else "bilinear"
    # Values of the grid are centres of cells.
    half_x, half_y = (0.5 * (axis[1] - axis[0]) if len(axis) > 1 else 0.5 for axis in (x, y))
    extent = (x[0] - half_x, x[-1] + half_x, y[0] - half_y, y[-1] + half_y)
    image = ax.imshow(
        colors, origin="lower", extent=extent, aspect="auto", interpolation=smooth, zorder=0
    )
    ax.set_xlim(*ends(grid[0]))
    ax.set_ylim(*ends(grid[1]))
    return image


def draw_boundaries(ax: Any, grid: Any, gate_proba: np.ndarray) -> list[Any]:
    """Draw lines where an expert ties with the best of the others, strip by strip of categories."""
    if any(map(is_categorical, grid)):
        return _strip_boundaries(ax, grid, gate_proba.argmax(axis=-1))
    artists = []
    # The last expert's boundaries are all boundaries of some other expert, too.
    for k in range(gate_proba.shape[-1] - 1):
        lead = gate_proba[..., k] - np.delete(gate_proba, k, axis=-1).max(axis=-1)
        if lead.min() < 0.0 < lead.max():
            lines = ax.contour(*grid, lead, levels=[0.0], colors="0.15", linewidths=1.3, zorder=2)
            artists.append(lines)
    return artists


def _strip_boundaries(ax: Any, grid: Any, winner: np.ndarray) -> list[Any]:
    look = {"colors": "0.15", "linewidth": 1.3, "zorder": 2}
    if all(map(is_categorical, grid)):
        return []
    across = is_categorical(grid[1])
    scale, by_strip = (grid[0], winner) if across else (grid[1], winner.T)
    strip, at = np.nonzero(np.diff(by_strip, axis=1))
    middle = 0.5 * (scale[at] + scale[at + 1])
    lines = ax.vlines if across else ax.hlines
    return [lines(middle, strip - 0.5, strip + 0.5, **look)] if len(at) else []


def draw_hatches(
    ax: Any, grid: Any, gate_proba: np.ndarray, styles: list[ExpertStyle]
) -> list[Any]:
    """Hatch the regions of experts whose colours have been used before."""
    winner = gate_proba.argmax(axis=-1)
    artists = []
    for k, style in enumerate(styles):
        if style.hatch and (winner == k).any():
            mask = (winner == k).astype(float)
            hatched = ax.contourf(
                *map(positions, grid),
                mask,
                levels=[0.5, 1.5],
                colors="none",
                hatches=[style.hatch],
                zorder=1,
            )
            hatched.set(edgecolor=(0.0, 0.0, 0.0, 0.45), linewidth=0.0)
            artists.append(hatched)
    return artists


def draw_numbers(
    ax: Any, grid: Any, gate_proba: np.ndarray, styles: list[ExpertStyle], data: np.ndarray
) -> list[Any]:
    """Write each expert's number in its region, as far as can be from its edge and from data."""
    winner = gate_proba.argmax(axis=-1)
    in_strips = any(map(is_categorical, grid))
    is_free = ~_occupied(grid, data)
    artists = []
    for k, style in enumerate(styles):
        if (winner == k).sum() < _LEAST_REGION * winner.size:
            continue
        # Strips are one point wide and have data everywhere: there it is the longest run.
        depth = _run_depth(winner == k, grid) if in_strips else _depth((winner == k) & is_free)
        row, column = np.unravel_index(int(depth.argmax()), depth.shape)
        x, y = positions(grid[0])[column], positions(grid[1])[row]
        artists.append(draw_name(ax, x, y, style.short_name, style))
    return artists


def _depth(room: np.ndarray) -> np.ndarray:
    """Return how far each point is from the edge of where there is room."""
    return distance_transform_edt(np.pad(room, 1))[1:-1, 1:-1]


def _run_depth(room: np.ndarray, grid: Any) -> np.ndarray:
    """Return the same along the strips of categories."""
    if all(map(is_categorical, grid)):
        return room.astype(float)
    if is_categorical(grid[0]):
        return _run_depth(room.T, grid[::-1]).T
    return np.stack([distance_transform_edt(np.pad(strip, 1))[1:-1] for strip in room])


def _occupied(grid: Any, data: np.ndarray) -> np.ndarray:
    """Return which points of the grid have data next to them, shape (n_grid_y, n_grid_x)."""
    occupied = np.zeros((len(grid[1]), len(grid[0])), dtype=bool)
    known = data[np.isfinite(data).all(axis=1)]
    columns, rows = (
        np.clip(np.searchsorted(positions(axis), values), 0, len(axis) - 1)
        for axis, values in zip(grid, known.T, strict=True)
    )
    occupied[rows, columns] = True
    return occupied
