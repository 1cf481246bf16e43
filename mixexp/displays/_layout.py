"""Where panels of a display go: a new figure, the place of one axes, or axes that are given."""

from typing import Any

import numpy as np

from mixexp.displays._marks import import_matplotlib
from mixexp.displays._text import size_of
from mixexp.text import shown
from mixexp.tree import GatingTree

# Inches of a panel beside and below others in the place of one axes.
_NARROWEST, _LOWEST = 1.3, 0.7


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
    given = np.asarray(ax, dtype=object)
    if ax is not None and not all(hasattr(each, "get_subplotspec") for each in given.flat):
        raise TypeError(
            "The 'ax' parameter must be matplotlib Axes, an array of these or None. Got "
            f"{shown(ax)}."
        )
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
    if ax is None or np.asarray(ax, dtype=object).ndim > 0:
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
    nodes, given = tree.inner_nodes, np.asarray(ax, dtype=object)
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
