"""Texts that fit their place: wrapped names, and letters as large as panels allow.

Lengths are estimates from the place that axes have before a layout engine moves them.
"""

import textwrap
from collections.abc import Iterable
from typing import Any

# Inches that a letter of the usual 10 points takes on average.
_LETTER = 0.085
# Panels of less than this, in inches, have smaller letters.
_FULL_WIDTH, _FULL_HEIGHT = 1.5, 1.1
_SMALLEST_SCALE = 0.55
# An engine leaves about so much of the width beside legends.
_LEFT_BY_ENGINE = 0.8


def wrap(text: str, n_letters: int) -> str:
    """Break a text into lines of at most so many letters, or of one longer word."""
    lines = textwrap.wrap(text, n_letters, break_long_words=False, break_on_hyphens=False)
    return "\n".join(lines) or text


def size_of(panels: Iterable[Any]) -> tuple[float, float]:
    """Return width and height, in inches, of what axes take up together."""
    axes = list(panels)
    boxes = [ax.get_window_extent() for ax in axes]
    wide = max(box.x1 for box in boxes) - min(box.x0 for box in boxes)
    high = max(box.y1 for box in boxes) - min(box.y0 for box in boxes)
    dots = axes[0].get_figure().dpi
    return wide / dots, high / dots


def letters_along(ax: Any, direction: str) -> int:
    """Return how many letters of the usual size fit along the x or y axis."""
    length = size_of([ax])[0 if direction == "x" else 1]
    if direction == "x" and ax.get_figure().get_layout_engine() is not None:
        length *= _LEFT_BY_ENGINE
    return max(int(length / (_LETTER * text_scale(ax))), 1)


def text_scale(ax: Any) -> float:
    """Return how large letters of a panel are, as a share of the usual size."""
    wide, high = size_of([ax])
    return max(min(1.0, wide / _FULL_WIDTH, high / _FULL_HEIGHT), _SMALLEST_SCALE)


def name_axes(ax: Any, xlabel: str, ylabel: str) -> None:
    """Name the axes, in several lines where names are long."""
    ax.set_xlabel(wrap(xlabel, letters_along(ax, "x")))
    ax.set_ylabel(wrap(ylabel, letters_along(ax, "y")))


def fit_letters(panels: Iterable[Any]) -> None:
    """Make the letters of ticks, names and titles of small panels smaller."""
    from matplotlib.font_manager import FontProperties

    usual = FontProperties(size="medium").get_size_in_points()
    for ax in panels:
        scale = text_scale(ax)
        if scale < 1.0:
            for text in (ax.title, ax.xaxis.label, ax.yaxis.label):
                text.set_fontsize(scale * usual)
            ax.tick_params(labelsize=scale * usual)
