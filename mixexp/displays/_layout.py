"""Where panels and legends of a display go, and how large their letters are.

Lengths of texts are estimates from the place that axes have before a layout engine moves them.
"""

import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from mixexp.text import drawn, shown
from mixexp.tree import GatingTree

# Inches of a panel beside and below others in the place of one axes.
_NARROWEST, _LOWEST = 1.3, 0.7
# Inches that a letter of the usual 10 points takes on average.
_LETTER = 0.085
# Panels of less than this, in inches, have smaller letters.
_FULL_WIDTH, _FULL_HEIGHT = 1.5, 1.1
_SMALLEST_SCALE = 0.55
# An engine leaves about so much of the width beside legends.
_LEFT_BY_ENGINE = 0.8
# More columns without an axis than this are counted instead of listed.
_MOST_LISTED = 3
# Letters in a line of where these are held.
_NOTE_LETTERS = 24
# In axes narrower than this, inches, a legend has small letters and the shortest entries, inside
# of them in two columns if it has more than so many.
_SMALL_WIDTH = 3.6
_MOST_IN_COLUMN = 5
# Inches of a line of small letters.
_LINE = 0.15

# What a legend shows, and its name.
Entry = tuple[Any, str]


def make_panels(
    ax: Any, shape: tuple[int, int], size: tuple[float, float], n_panels: int | None = None
) -> np.ndarray:
    """Return axes for a grid of panels.

    Parameters
    ----------
    ax : None, matplotlib Axes, or array-like of Axes
        None makes a figure; one axes is used itself for one panel and gives its place to
        several; an array must have as many as there are panels.
    shape : tuple of int
        Rows and columns.
    size : tuple of float
        Width and height of a new figure, inches.
    n_panels : int, optional
        Panels that are needed, if fewer than the grid has; the others are left empty.

    Returns
    -------
    ndarray of Axes
        Of the grid's shape, or flat if an array of axes was given.

    Raises
    ------
    ValueError
        If the number of axes is another one, or a single one has no place in a grid.
    """
    n_panels = shape[0] * shape[1] if n_panels is None else n_panels
    given = _as_axes(ax)
    if ax is None or (given.ndim == 0 and n_panels > 1):
        axes = (
            _new_figure(shape, size)
            if ax is None
            else _vacate(ax).subgridspec(*shape).subplots(squeeze=False)
        )
        for panel in axes.flat[n_panels:]:
            panel.set_axis_off()
        return axes
    _check_number(given, n_panels)
    return given.reshape(shape) if given.size == shape[0] * shape[1] else given.ravel()


def one_axes(ax: Any, size: tuple[float, float]) -> Any:
    """Return the axes of a display that has one panel; None makes a figure.

    Raises
    ------
    ValueError
        If there are several.
    """
    return make_panels(ax, (1, 1), size)[0, 0]


def _new_figure(shape: tuple[int, int], size: tuple[float, float]) -> np.ndarray:
    figure = import_matplotlib().figure(figsize=size, layout="constrained")
    return figure.subplots(*shape, squeeze=False)


def _as_axes(ax: Any) -> np.ndarray:
    """Return one axes or several as an array of their shape, without dimensions for None."""
    given = np.asarray(ax, dtype=object)
    if ax is not None and not all(hasattr(each, "get_subplotspec") for each in given.flat):
        raise TypeError(
            "The 'ax' parameter must be matplotlib Axes, an array of these or None. Got "
            f"{shown(ax)}."
        )
    return given


def _check_number(given: np.ndarray, n_panels: int) -> None:
    if given.size != n_panels:
        raise ValueError(
            f"The 'ax' parameter holds {given.size} axes, but there are {n_panels} panels; give "
            "that many, one whose place they take, or None."
        )


def _vacate(ax: Any) -> Any:
    """Return the place of axes in their figure's grid, and leave it to others."""
    place = ax.get_subplotspec()
    if place is None:
        raise ValueError(
            "The 'ax' parameter must be axes that plt.subplots made, for several panels take "
            "their place; got axes put down by hand."
        )
    ax.set_axis_off()
    return place


def grid_shape(n_panels: int, most_columns: int) -> tuple[int, int]:
    """Return rows and columns for some panels, as square as can be."""
    n_columns = min(n_panels, most_columns)
    n_rows = -(-n_panels // n_columns)
    return n_rows, -(-n_panels // n_rows)


def columns_in(ax: Any, n_panels: int, most: int) -> int:
    """Return how many panels stand side by side, fewer where they take a narrow place.

    Parameters
    ----------
    ax : None, matplotlib Axes, or array-like of Axes
        As for `make_panels`.
    n_panels : int
    most : int
        In a figure of their own, and of axes that are given.
    """
    if ax is None or _as_axes(ax).ndim > 0:
        return most
    wide, high = size_of([ax])
    needed = -(-n_panels // max(int(high / _LOWEST), 1))
    return int(np.clip(max(int(wide / _NARROWEST), needed), 1, most))


def make_node_panels(ax: Any, tree: GatingTree, size: tuple[float, float]) -> list[Any]:
    """Return axes for every inner node, each above those of the nodes below it.

    Parameters
    ----------
    ax : None, matplotlib Axes, or array-like of Axes
        As for `make_panels`.
    tree : GatingTree
    size : tuple of float
        Width and height of a new figure, inches.

    Raises
    ------
    ValueError
        If the number of axes is another one, or a single one has no place in a grid.
    """
    nodes, given = tree.inner_nodes, _as_axes(ax)
    if ax is not None and (given.ndim > 0 or len(nodes) == 1):
        _check_number(given, len(nodes))
        return list(given.ravel())
    shape = (max(tree.depth, 1), tree.n_leaves)
    if ax is None:
        figure = import_matplotlib().figure(figsize=size, layout="constrained")
        places = figure.add_gridspec(*shape)
    else:
        figure, places = ax.get_figure(), _vacate(ax).subgridspec(*shape)
    panels: list[Any] = []
    for node in nodes:
        below = np.flatnonzero(tree.covers[node])
        place = places[int(tree.level[node]), int(below[0]) : int(below[-1]) + 1]
        panels.append(figure.add_subplot(place, sharex=panels[0] if panels else None))
    return panels


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


class Explanation(tuple):
    """Handles that explain sizes and shades, side by side; small figures have no room for them.

    Those of a plain tuple lie upon each other.
    """


def count_lines(entries: list[Entry], title: str) -> int:
    """Return the lines of a legend."""
    own = title.count("\n") + 1 if title else 0
    return own + sum(1 + label.count("\n") for _, label in entries)


def draw_legend(
    ax: Any,
    entries: list[Entry],
    title: str,
    kwargs: dict[str, Any] | None,
    panels: Iterable[Any] | None = None,
) -> Any:
    """Draw a legend: right of the axes where the figure makes room for it, else inside.

    Where the panels are narrow, all together, it has small letters and no explanations.
    """
    from matplotlib.legend_handler import HandlerTuple

    if kwargs is not None and not isinstance(kwargs, Mapping):
        raise TypeError(f"legend_kwargs must be a dict or None. Got {shown(kwargs)}.")
    wide, _ = size_of([ax] if panels is None else panels)
    look: dict[str, Any] = {"fontsize": "small", "title_fontsize": "small", "handlelength": 2.8}
    is_inside = ax.get_figure().get_layout_engine() is None
    if wide < _SMALL_WIDTH:
        entries = [entry for entry in entries if not isinstance(entry[0], Explanation)]
        look |= {"fontsize": "x-small", "title_fontsize": "x-small", "handlelength": 1.8}
        look |= {"ncols": 2 if is_inside and len(entries) > _MOST_IN_COLUMN else 1}
        # A layout engine would stretch the row of panels that the legend stands beside.
        is_long = count_lines(entries, title) * _LINE > size_of([ax])[1]
        title = "" if is_inside or is_long else title
    if is_inside:
        look |= {"loc": "best", "framealpha": 0.9}
    else:
        look |= {"loc": "upper left", "bbox_to_anchor": (1.01, 1.0), "borderaxespad": 0.0}
    handles, labels = zip(*entries, strict=True)
    look |= {
        "title": title or None,
        "alignment": "left",
        "handler_map": {Explanation: HandlerTuple(ndivide=None, pad=0.3)},
    }
    legend = ax.legend(handles, labels, **{**look, **(kwargs or {})})
    legend.set_zorder(7)
    return legend


def draw_corner_legend(
    corner: np.ndarray,
    entries: list[Entry],
    title: str,
    kwargs: dict[str, Any] | None,
    panels: Iterable[Any],
) -> Any:
    """Draw a legend into an empty corner of panels, experts alone where that is too small.

    Parameters
    ----------
    corner : ndarray of Axes
        From top to bottom, those whose place it may take up.
    entries, title, kwargs, panels
        As for `draw_legend`.
    """
    room = size_of(corner)[1] / _LINE
    if count_lines(entries, title) > room:
        title = ""
        entries = [entry for entry in entries if not isinstance(entry[0], Explanation)]
    look: dict[str, Any] = {"loc": "upper right", "bbox_to_anchor": (1.0, 1.0)}
    look |= {"fontsize": "x-small", "ncols": 2 if len(entries) > room else 1}
    legend = draw_legend(corner[0], entries, title, {**look, **(kwargs or {})}, panels)
    legend.set_in_layout(False)
    return legend


def held_note(held: dict[str, Any] | None, n_averaged: int = 0) -> str:
    """Return in words where the columns without an axis are held; "" where none matters."""
    averaged = f"others averaged\nover {n_averaged} rows" if n_averaged else ""
    if not held:
        return averaged
    if len(held) > _MOST_LISTED:
        words = f"{len(held)} other features\nheld constant"
    else:
        named = (drawn(f"{name} = {_short(value)}") for name, value in held.items())
        words = "\n".join(["held:", *(wrap(line, _NOTE_LETTERS) for line in named)])
    return f"{words}\n{averaged}" if averaged else words


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
