"""A map over two features: fill, boundaries, hatches and numbers of regions."""

from typing import Any

import numpy as np
from scipy.ndimage import distance_transform_edt

from mixexp.displays._axes import ends, is_categorical, positions
from mixexp.displays._marks import draw_number
from mixexp.displays._styles import ExpertStyle, certainty, tint

# A region smaller than this share of the map has no room for a number.
_LEAST_LABELLED = 0.012


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
        if (winner == k).sum() < _LEAST_LABELLED * winner.size:
            continue
        # Strips are one point wide and have data everywhere: there it is the longest run.
        depth = _run_depth(winner == k, grid) if in_strips else _depth((winner == k) & is_free)
        row, column = np.unravel_index(int(depth.argmax()), depth.shape)
        x, y = positions(grid[0])[column], positions(grid[1])[row]
        artists.append(draw_number(ax, x, y, k, style))
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
