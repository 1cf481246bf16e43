"""Gate probabilities along one feature, one panel per node of the tree."""

from typing import Any, Self

import numpy as np

from mixexp.arguments import check_count
from mixexp.displays._base import Display, check_margin
from mixexp.displays._breaks import draw_break_points, read_break_points
from mixexp.displays._columns import choose_line
from mixexp.displays._grid import (
    Line,
    as_levels,
    ends,
    is_categorical,
    lay_line,
    place,
    positions,
    write_categories,
)
from mixexp.displays._layout import (
    Entry,
    held_note,
    letters_along,
    make_node_panels,
    name_axes,
)
from mixexp.displays._map import draw_bands, widest_point
from mixexp.displays._marks import draw_name
from mixexp.displays._nodes import conditional_gates, node_label, node_styles, sum_below
from mixexp.displays._source import read_data
from mixexp.displays._style import ExpertStyle, expert_styles, tint
from mixexp.estimators._tables import node_names
from mixexp.text import drawn
from mixexp.tree import GatingTree

# A child that nowhere is this probable has no room for its name.
_LEAST_LABELLED = 0.22
_DOTS = (0, (1.0, 1.2))
# Rows whose values are marked below the root's panel.
_MOST_TICKS = 500
# A panel that takes up this share of the width has no room for many ticks.
_NARROW = 0.2
# More experts than this would make the legend higher than the panel; bands have their numbers.
_MOST_LISTED = 6


class GateDisplay(Display):
    """Gate probabilities along one feature, at every node of a tree.

    Each panel stacks the probabilities of a node's children, given that the node is reached. The
    dotted line is the probability of reaching it: where that is next to zero, what the node
    would do does not matter. Marks at the bottom are rows of the data.

    Build it with `from_estimator`.

    Parameters
    ----------
    line : Line
        Feature, grid and held values.
    gates : ndarray of shape (n_grid, n_nodes - 1)
        Probability of each edge, given that its node is reached.
    reach : ndarray of shape (n_grid, n_nodes)
        Probability of reaching each node.
    values : ndarray of shape (n,)
        The feature in the data.
    tree : GatingTree

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes
        One per inner node, level by level.
    figure_ : matplotlib Figure
    bands_ : list of list of matplotlib PolyCollection
        Children of each node, the first at the bottom.
    labels_ : list of list of matplotlib Text
        Their names, where there is room.
    reach_ : list of matplotlib Line2D
        One per node but the root.
    breaks_ : list of matplotlib Line2D
        Break points, where a table of them is given.
    legend_ : matplotlib Legend

    Examples
    --------
    >>> import numpy as np
    >>> from mixexp import HMERegressor
    >>> from mixexp.displays import GateDisplay
    >>> x = np.linspace(-1.0, 1.0, 200)[:, None]
    >>> y = np.abs(np.abs(x[:, 0]) - 0.5) + 0.02 * np.sin(50.0 * x[:, 0])
    >>> model = HMERegressor(tree=(2, 2), random_state=0).fit(x, y)
    >>> display = GateDisplay.from_estimator(model, x)
    >>> display.gates.shape, len(display.axes_)
    ((150, 6), 3)
    """

    line: Line
    gates: np.ndarray
    reach: np.ndarray
    values: np.ndarray
    tree: GatingTree

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        *,
        feature: Any = None,
        grid_resolution: int = 150,
        eps: float = 0.05,
        fixed: Any = None,
        sample_weight: Any = None,
        ax: Any = None,
        **plot_kwargs: Any,
    ) -> Self:
        """Follow the gates of a fitted estimator along a feature, and draw them.

        Parameters
        ----------
        <ESTIMATOR>
        X : array-like of shape (n, n_features)
        feature : str or int, default=None
            Column of X; by default the numeric one that the gates use most. One that is not
            numeric has a strip per category.
        <LINE>
        <WEIGHT>
        <PANELS>

        <MADE>
        """
        cls._check_plot_kwargs(plot_kwargs)
        resolution, margin = check_count("grid_resolution", grid_resolution, 2), check_margin(eps)
        data = read_data(estimator, X, sample_weight, {})
        use, tree = data.use[0], data.source.tree
        column = choose_line(feature, data.columns, use)
        line = lay_line(data, column, use, fixed, resolution, margin)
        display = cls(
            line=line,
            gates=conditional_gates(data.source, line.rows),
            reach=sum_below(tree, data.source.gate_proba(line.rows)),
            values=data.columns.values[column],
            tree=tree,
        )
        return display.plot(ax=ax, **plot_kwargs)

    def plot(
        self,
        ax: Any = None,
        *,
        xlabel: str | None = None,
        ylabel: str | None = None,
        break_points: Any = None,
        legend_kwargs: dict[str, Any] | None = None,
    ) -> Self:
        """Draw one panel per inner node.

        Parameters
        ----------
        ax : matplotlib Axes or array of these, default=None
            None makes a figure, in which panels stand as nodes do in the tree; one axes is
            used for one panel and divided for several; an array has one axes per inner node.
        xlabel, ylabel : str, default=None
            By default the feature's name, and "gate".
        break_points : DataFrame, default=None
            Table of ``inference(X, y).break_points()``, drawn as lines with their intervals in
            the panels of their gates; those along another feature are left out.
        <LEGEND>

        <DRAWN>
        """
        tree = self.tree
        size = (max(7.0, 0.9 * tree.n_leaves + 1.4), 1.9 * max(tree.depth, 1) + 0.9)
        self.axes_ = np.array(make_node_panels(ax, tree, size), dtype=object)
        self.figure_ = self.axes_[0].get_figure()
        self.bands_: list[list[Any]] = []
        self.labels_: list[list[Any]] = []
        self.reach_: list[Any] = []
        self.breaks_: list[Any] = []
        points = read_break_points(break_points, self.line.name)
        styles, names = node_styles(tree, expert_styles(tree)), node_names(tree)
        lowest = max(int(level) for level in tree.level[tree.inner_nodes])
        for panel, node in zip(self.axes_, tree.inner_nodes.tolist(), strict=True):
            self._plot_node(panel, node, styles, names)
            self.breaks_ += draw_break_points(panel, points.get(names[node], []))
            share = tree.covers[node].sum() / tree.n_leaves
            long, room = drawn(node_label(tree, names, node)), letters_along(panel, "x")
            panel.set_title(long if len(long) <= room else names[node], fontsize="medium")
            if is_categorical(self.line.grid):
                write_categories(panel, self.line.grid, "x")
            else:
                panel.locator_params(axis="x", nbins=2 if share <= _NARROW else 6)
            is_lowest = tree.level[node] == lowest or not self._has_gates_below(node)
            panel.tick_params(axis="x", labelbottom=is_lowest)
            is_first = tree.covers[node][0]
            named = (xlabel or drawn(self.line.name)) if is_lowest else ""
            name_axes(panel, named, (ylabel or "gate") if is_first else "")
            panel.set_yticks([0.0, 0.5, 1.0], ["0", "0.5", "1"] if is_first else ["", "", ""])
        note, entries = held_note(self.line.held), self._entries(styles)
        self._explain(list(self.axes_), entries, note, legend_kwargs)
        return self

    def _entries(self, styles: list[ExpertStyle]) -> list[Entry]:
        from matplotlib.lines import Line2D
        from matplotlib.patches import Patch

        tree = self.tree
        entries: list[Entry] = []
        n_listed = tree.n_leaves if tree.n_leaves <= _MOST_LISTED else 0
        for leaf in tree.leaves[:n_listed]:
            face = tuple(tint(styles[leaf].color, np.array(0.8)))
            patch = Patch(facecolor=face, edgecolor="0.15", linewidth=0.8, hatch=styles[leaf].hatch)
            entries.append((patch, styles[leaf].name))
        if self.reach_:
            dotted = Line2D([], [], color="black", linewidth=1.6, linestyle=_DOTS)
            entries.append((dotted, "node is reached"))
        if self.breaks_:
            dashed = Line2D([], [], color="black", linewidth=1.4, linestyle="--")
            entries.append((dashed, "break point, interval"))
        mark = Line2D([], [], color="black", linestyle="none", marker="|", markersize=7.0)
        return [*entries, (mark, "rows")]

    def _has_gates_below(self, node: int) -> bool:
        return any(self.tree.n_children[child] > 0 for child in self.tree.children(node))

    def _plot_node(self, ax: Any, node: int, styles: list[ExpertStyle], names: list[str]) -> None:
        x, edges, children = self.line.grid, self.tree.edges(node), list(self.tree.children(node))
        gates = self.gates[:, edges]
        self.bands_.append(draw_bands(ax, x, gates, [styles[child] for child in children]))
        middle = gates.cumsum(axis=1) - 0.5 * gates
        labels = []
        for at, child in enumerate(children):
            if gates[:, at].max() >= _LEAST_LABELLED:
                point = widest_point(x, gates[:, at])
                name = drawn(names[child].removeprefix("expert "))
                artist = draw_name(ax, positions(x)[point], middle[point, at], name, styles[child])
                labels.append(artist if is_categorical(x) else _keep_inside(artist, x))
        self.labels_.append(labels)
        if node > 0:
            look = {"color": "black", "linewidth": 1.6, "linestyle": _DOTS, "zorder": 5}
            self.reach_.extend(ax.plot(*as_levels(x, self.reach[:, node]), **look))
        self._plot_rows(ax)
        ax.set(xlim=ends(x), ylim=(0.0, 1.0))

    def _plot_rows(self, ax: Any) -> None:
        at = place(self.line.grid, self.values, 0)
        known = at[np.isfinite(at)]
        shown = known[np.unique(np.linspace(0, len(known) - 1, _MOST_TICKS).astype(int))]
        ax.plot(shown, np.zeros(len(shown)), "|", color="black", markersize=7.0, alpha=0.5)


def _keep_inside(label: Any, x: np.ndarray) -> Any:
    """Align a label that is near an end of the axis so that it does not stick out."""
    at, wide = label.get_position()[0], x[-1] - x[0]
    if at < x[0] + 0.3 * wide:
        label.set(ha="left", x=max(at, x[0] + 0.06 * wide))
    elif at > x[-1] - 0.3 * wide:
        label.set(ha="right", x=min(at, x[-1] - 0.06 * wide))
    return label
