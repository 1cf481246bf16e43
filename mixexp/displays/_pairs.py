"""Who is responsible where, over every pair of several features."""

from functools import partial
from typing import Any, Self

import numpy as np

from mixexp.arguments import check_choice, check_count
from mixexp.displays._base import Display, check_margin, check_plot_options
from mixexp.displays._columns import choose_pairs, is_used
from mixexp.displays._curves import evaluate_rows
from mixexp.displays._grid import OTHERS, Others, draw_separators, ends, grid_axis, write_categories
from mixexp.displays._layout import (
    LINE,
    count_lines,
    draw_legend,
    fit_letters,
    held_note,
    make_panels,
    name_axes,
    size_of,
)
from mixexp.displays._map import (
    draw_band_numbers,
    draw_bands,
    draw_boundaries,
    draw_fill,
    draw_hatches,
    draw_numbers,
    map_colors,
)
from mixexp.displays._marks import Points, draw_points, expert_entries, plane_entries, read_points
from mixexp.displays._source import read_data
from mixexp.displays._style import ExpertStyle, expert_styles
from mixexp.text import drawn
from mixexp.tree import GatingTree

_KINDS = ("gate", "hard")


class ResponsibilityPairsDisplay(Display):
    """Maps of which expert is responsible where, over every pair of several features.

    Below the diagonal are maps as in `ResponsibilityMapDisplay`, on it the gates' probabilities
    along one feature, from 0 to 1.

    Build it with `from_estimator`.

    Parameters
    ----------
    features : tuple of int
        Columns of X.
    feature_names : tuple of str
    grid : tuple of ndarray
        Values along each feature, in raw units; the categories of one that is not numeric.
    bands : list of ndarray of shape (n_grid, n_experts)
        Gate probabilities along each feature.
    maps : dict of (int, int) to ndarray of shape (n_grid_y, n_grid_x, n_experts)
        Gate probabilities by row and column of the panels.
    points : Points
        The data, a column per feature.
    tree : GatingTree
    held : dict of str to value
        Where those columns without a panel are held that matter.
    kind : {"gate", "hard"}, default="gate"
    n_averaged : int, default=0
        Rows that maps are averaged over; 0 if other columns are held.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes
    figure_ : matplotlib Figure
    images_ : dict of (int, int) to matplotlib AxesImage
    bands_ : list of list of matplotlib artists
        Stacked bands on the diagonal.
    labels_ : dict of (int, int) to list of matplotlib Text
        The experts' numbers.
    scatter_ : dict of (int, int) to list of matplotlib PathCollection
    legend_ : matplotlib Legend

    Examples
    --------
    >>> from mixexp import MoERegressor
    >>> from mixexp.datasets import make_moe
    >>> from mixexp.displays import ResponsibilityPairsDisplay
    >>> X, y, _ = make_moe(n_features=3, n_experts=2, random_state=0)
    >>> model = MoERegressor(n_experts=2, random_state=0).fit(X, y)
    >>> display = ResponsibilityPairsDisplay.from_estimator(model, X, y, grid_resolution=9)
    >>> sorted(display.maps)
    [(1, 0), (2, 0), (2, 1)]
    """

    features: tuple[int, ...]
    feature_names: tuple[str, ...]
    grid: tuple[np.ndarray, ...]
    bands: list[np.ndarray]
    maps: dict[tuple[int, int], np.ndarray]
    points: Points
    tree: GatingTree
    held: dict[str, Any]
    kind: str = "gate"
    n_averaged: int = 0

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any = None,
        *,
        features: Any = None,
        kind: str = "gate",
        others: str = "held",
        grid_resolution: int = 60,
        eps: float = 0.05,
        fixed: Any = None,
        offset: Any = None,
        exposure: Any = None,
        trials: Any = None,
        sample_weight: Any = None,
        ax: Any = None,
        **plot_kwargs: Any,
    ) -> Self:
        """Map the gates of a fitted estimator over pairs of features, and draw them.

        Parameters
        ----------
        <ESTIMATOR>
        X : array-like of shape (n, n_features)
        y : array-like of shape (n,), default=None
            With it, data are marked by the posterior, without by the gates.
        features : list of str or int, default=None
            At least two columns of X, by name or number; by default up to four numeric ones
            that the gates use most.
        kind : {"gate", "hard"}, default="gate"
            As in `ResponsibilityMapDisplay`.
        others : {"held", "averaged"}, default="held"
            Whether columns that a panel does not show are held at one value each, or averaged
            over at most 60 rows of X.
        grid_resolution : int, default=60
            Points along each feature.
        eps : float, default=0.05
            Margin around the data, as a share of their range.
        fixed : dict of feature to value, default=None
            Values of columns without a panel.
        offset, exposure, trials : array-like of shape (n,), default=None
            As in ``fit``, for the posterior of the data.
        <WEIGHT>
        <PANELS>

        <MADE>
        """
        cls._check_plot_kwargs(plot_kwargs)
        check_choice("kind", kind, _KINDS)
        is_averaged = check_choice("others", others, OTHERS) == "averaged"
        resolution, margin = check_count("grid_resolution", grid_resolution, 2), check_margin(eps)
        per_row = {"offset": offset, "exposure": exposure, "trials": trials}
        data = read_data(estimator, X, sample_weight, **per_row)
        columns, use = data.columns, data.use[0]
        plotted = choose_pairs(features, columns, use)
        axes = tuple(grid_axis(columns, j, resolution, margin) for j in plotted)
        others_at = Others(columns, plotted, fixed, is_averaged)
        gates = partial(evaluate_rows, data, None)

        def read(*at: int) -> np.ndarray:
            chosen, scales = tuple(plotted[i] for i in at), tuple(axes[i] for i in at)
            (proba,) = others_at.evaluate(gates, chosen, scales)
            return proba.reshape(*(len(scale) for scale in reversed(scales)), -1)

        n = len(plotted)
        display = cls(
            features=plotted,
            feature_names=tuple(columns.names[j] for j in plotted),
            grid=axes,
            bands=[read(i) for i in range(n)],
            maps={(i, j): read(j, i) for i in range(n) for j in range(i)},
            points=read_points(data, y, plotted, axes),
            tree=data.source.model.tree_,
            held=others_at.held_by_name(is_used(use)),
            kind=kind,
            n_averaged=others_at.n_averaged,
        )
        return display.plot(ax=ax, **plot_kwargs)

    def plot(
        self,
        ax: Any = None,
        *,
        scatter_kwargs: dict[str, Any] | None = None,
        legend_kwargs: dict[str, Any] | None = None,
    ) -> Self:
        """Draw the maps.

        Parameters
        ----------
        ax : matplotlib Axes or array of these, default=None
            None makes a figure, one axes is divided, an array has as many as a square of the
            features.
        <SCATTER>
        legend_kwargs : dict, default=None
            For ``Axes.legend``; it stands above the diagonal.

        <DRAWN>
        """
        check_plot_options(scatter_kwargs=scatter_kwargs, legend_kwargs=legend_kwargs)
        n = len(self.features)
        self.axes_ = make_panels(ax, (n, n), (2.3 * n + 0.8, 2.1 * n + 0.5))
        self.figure_ = self.axes_[0, 0].get_figure()
        styles = expert_styles(self.tree)
        self.images_: dict[tuple[int, int], Any] = {}
        self.scatter_: dict[tuple[int, int], list[Any]] = {}
        self.labels_: dict[tuple[int, int], list[Any]] = {}
        self.bands_: list[list[Any]] = []
        for i in range(n):
            panel = self.axes_[i, i]
            self.bands_.append(draw_bands(panel, self.grid[i], self.bands[i], styles))
            draw_band_numbers(panel, self.grid[i], self.bands[i], styles)
            panel.set(xlim=ends(self.grid[i]), ylim=(0.0, 1.0))
            for j in range(n):
                if i > j:
                    self._plot_map(self.axes_[i, j], (i, j), styles, scatter_kwargs)
                if i < j:
                    self.axes_[i, j].set_axis_off()
                else:
                    self._label(self.axes_[i, j], i, j)
        fit_letters(self.axes_.flat)
        self._draw_legend(styles, legend_kwargs)
        return self

    def _draw_legend(self, styles: list[ExpertStyle], kwargs: dict[str, Any] | None) -> None:
        """Draw the legend into the empty corner, without explanations if it is too small."""
        note = held_note(self.held, self.n_averaged)
        entries = plane_entries(styles, self.points, self.kind)
        # Three panels or more leave room below the corner; of two the first row has it alone.
        room = size_of(self.axes_[: max(len(self.features) - 1, 1), -1])[1] / LINE
        if count_lines(entries, note) > room:
            note, entries = "", expert_entries(styles, [None] * len(styles))
        look: dict[str, Any] = {"loc": "upper right", "bbox_to_anchor": (1.0, 1.0)}
        look["fontsize"] = "x-small"
        look["ncols"] = 2 if len(entries) > room else 1
        self.legend_ = draw_legend(
            self.axes_[0, -1], entries, note, {**look, **(kwargs or {})}, self.axes_.flat
        )
        self.legend_.set_in_layout(False)

    def _plot_map(self, ax: Any, at: tuple[int, int], styles: Any, kwargs: Any) -> None:
        grid, gates = (self.grid[at[1]], self.grid[at[0]]), self.maps[at]
        self.images_[at] = draw_fill(ax, grid, map_colors(gates, styles, self.kind))
        draw_hatches(ax, grid, gates, styles)
        for axis, direction in zip(grid, "xy", strict=True):
            draw_separators(ax, axis, direction)
        draw_boundaries(ax, grid, gates)
        data = self.points.X[:, [at[1], at[0]]]
        self.labels_[at] = draw_numbers(ax, grid, gates, styles, data)
        for label in self.labels_[at]:
            label.set_fontsize(0.7 * label.get_fontsize())
        look = {"s": 9.0, "linewidths": 0.4, **(kwargs or {})}
        self.scatter_[at] = draw_points(ax, data[:, 0], data[:, 1], self.points, styles, look)

    def _label(self, ax: Any, i: int, j: int) -> None:
        """Write names and ticks at the left and lower edge of the whole only."""
        write_categories(ax, self.grid[j], "x")
        if i > j:
            write_categories(ax, self.grid[i], "y")
        is_lowest, is_first = i == len(self.features) - 1, j == 0
        ax.tick_params(labelbottom=is_lowest, labelleft=is_first or i == j)
        below, beside = drawn(self.feature_names[j]) if is_lowest else "", ""
        if i == j:
            ax.set_yticks([0.0, 1.0], ["0", "1"])
            beside = "gate" if i == 0 else ""
        elif is_first:
            beside = drawn(self.feature_names[i])
        name_axes(ax, below, beside)
