"""Axes of maps: numbers along a scale, or categories side by side.

An axis is an array: float64 for numbers, anything else lists the categories, which stand at
0, 1, 2, ... and take up a strip of width one each.
"""

import textwrap
from itertools import pairwise
from typing import Any

import numpy as np

from mixexp.displays._text import letters_along
from mixexp.text import drawn

# Rows of a category are spread over this share of its strip.
_SPREAD = 0.62
# Multiples of these fill a strip evenly, alone and, up to three, against each other: powers of
# the roots of x**3 = x + 1 and x**4 = x + 1 (Roberts 2018, sequences of low discrepancy).
_STEPS = (0.7548776662466927, 0.5698402909980532, 0.8191725133961645)
# Width of what is drawn for a category; strips are one apart.
STRIP = 0.86
# Letters of a category's name: at least and at most, for else it is as long as the axis.
_LEAST_LETTERS, _MOST_LETTERS = 10, 26


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
