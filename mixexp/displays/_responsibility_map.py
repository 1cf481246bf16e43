"""Who is responsible where: gate probabilities over one or two features, with the data.

This file holds the display that users call; what it draws with is in `_plane.py` (two
features), `_bands.py` (one) and `_marks.py` (both).
"""

from functools import partial
from typing import Any, Self

import numpy as np

from mixexp.arguments import check_choice, check_count
from mixexp.displays._base import Display, check_margin, check_plot_options
from mixexp.displays._columns import choose_map, is_used
from mixexp.displays._curves import (
    Curves,
    choose_quantity,
    draw_experts,
    draw_mixture,
    evaluate_rows,
    make_curves,
    spread_classes,
    vertical_range,
)
from mixexp.displays._grid import OTHERS, Others, draw_separators, ends, grid_axis, write_categories
from mixexp.displays._layout import draw_legend, fit_letters, held_note, name_axes
from mixexp.displays._map import (
    add_band_axes,
    draw_band_numbers,
    draw_bands,
    draw_boundaries,
    draw_fill,
    draw_hatches,
    draw_numbers,
    map_colors,
)
from mixexp.displays._marks import Points, band_entries, draw_points, plane_entries, read_points
from mixexp.displays._source import read_data
from mixexp.displays._style import ExpertStyle, expert_styles
from mixexp.text import drawn
from mixexp.tree import GatingTree

_KINDS = ("gate", "hard")


class ResponsibilityMapDisplay(Display):
    """Map of which expert is responsible where.

    Build it with `from_estimator`. Over two features it is a filled map: colour is the expert
    that the gates find most probable, and the paler the colour, the less sure they are; lines
    are where two experts tie. Over one feature it shows the gates' probabilities as a band,
    and below it each expert's prediction, as strong as the gates trust it, with that of the
    whole mixture in black.

    Rows of data are marked by the expert that is most probable once their y is seen, larger
    the more certain that is, and ringed where this is not the expert that the gates expected.

    Parameters
    ----------
    features : tuple of int
        Columns of X on the axes.
    feature_names : tuple of str
        Their names.
    grid : tuple of ndarray
        Values along each axis, in raw units; the categories of a column that is not numeric.
    gate_proba : ndarray of shape (n_grid, n_experts) or (n_grid_y, n_grid_x, n_experts)
        Gate probabilities on the grid.
    tree : GatingTree
        Its branches get a hue each.
    points : Points, default=None
        The data.
    curves : Curves, default=None
        Predictions; needed over one feature.
    held : dict of str to value, default=None
        Values at which those other columns are held that matter to what is drawn.
    kind : {"gate", "hard"}, default="gate"
        See `from_estimator`.
    n_averaged : int, default=0
        Rows that the map is averaged over; 0 if all other columns are held.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    legend_ : matplotlib Legend
    scatter_ : list of matplotlib PathCollection
        Data; one per expert, and one more where it has ringed points.
    labels_ : list of matplotlib Text
        The experts' numbers.
    image_ : matplotlib AxesImage
        Two features: the map.
    contours_ : list of matplotlib QuadContourSet
        Two features: lines where an expert ties with the best other.
    regions_ : list of matplotlib QuadContourSet
        Two features: hatches, where there are more experts than colours.
    bands_ax_ : matplotlib Axes
        One feature: where the bands are. A title goes here, for they are on top.
    bands_ : list of matplotlib PolyCollection
        One feature: gate probabilities, stacked.
    lines_ : list of matplotlib LineCollection
        One feature: the experts' predictions.
    mixture_ : matplotlib Line2D
        One feature: the mixture's prediction.

    Examples
    --------
    >>> import numpy as np
    >>> from mixexp import MoERegressor
    >>> from mixexp.displays import ResponsibilityMapDisplay
    >>> x = np.linspace(-1.0, 1.0, 200)[:, None]
    >>> y = np.abs(x[:, 0]) + 0.05 * np.sin(50.0 * x[:, 0])
    >>> model = MoERegressor(n_experts=2, random_state=0).fit(x, y)
    >>> display = ResponsibilityMapDisplay.from_estimator(model, x, y)
    >>> display.gate_proba.shape
    (150, 2)
    """

    features: tuple[int, ...]
    feature_names: tuple[str, ...]
    grid: tuple[np.ndarray, ...]
    gate_proba: np.ndarray
    tree: GatingTree
    points: Points | None = None
    curves: Curves | None = None
    held: dict[str, Any] | None = None
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
        grid_resolution: int = 150,
        eps: float = 0.05,
        fixed: Any = None,
        class_of_interest: Any = None,
        offset: Any = None,
        exposure: Any = None,
        trials: Any = None,
        sample_weight: Any = None,
        ax: Any = None,
        **plot_kwargs: Any,
    ) -> Self:
        """Map the gates of a fitted estimator over one or two features, and draw it.

        Parameters
        ----------
        estimator : fitted MoERegressor, MoEClassifier, HMERegressor or HMEClassifier
            Or a `Pipeline` that ends in one: rows of the grid go through its transformers, so
            that axes are in the units of X.
        X : array-like of shape (n, n_features)
            Data to mark on the map; also gives the ranges of the axes, and the medians.
        y : array-like of shape (n,), default=None
            With it, data are marked by the posterior, without by the gates.
        features : str, int, or one or two of these, default=None
            Columns of X for the axes, by name or number. By default, of columns with at least five
            different values, the two that move most
            probability between experts when each is set to its median; one, if no second one
            moves a twentieth as much, or if the gates are constant. Columns that are not numeric
            have a strip per category; they get an axis if asked for.
        kind : {"gate", "hard"}, default="gate"
            Whether colours fade with the gate's probability, or only tell the most probable
            expert. Concerns maps over two features.
        others : {"held", "averaged"}, default="held"
            What becomes of the columns without an axis: held at one value each, see ``fixed``,
            or averaged over at most 60 rows of X, as in partial dependence plots.
        grid_resolution : int, default=150
            Points of the grid along each axis.
        eps : float, default=0.05
            Margin around the data, as a share of their range.
        fixed : dict of feature to value, default=None
            Values of columns that have no axis. Others are held at their (lower) median, those
            without numbers at their most frequent value, unless they are averaged over.
        class_of_interest : label, default=None
            Classifiers over one feature: the class whose probability is drawn; by default
            the last of ``classes_``, with two classes the positive one.
        offset, exposure, trials : array-like of shape (n,), default=None
            As in ``fit``, for the posterior of the data. Over one feature, curves stand at the
            (lower) median of the offset, exposure 1 and one trial, and y is drawn per unit of
            exposure or trials.
        <WEIGHT>
        <AX>

        <MADE>

        Notes
        -----
        Points lie at their own features, the map at the held ones: where the gates look at
        more features than the axes show, a point may lie on another expert's colour and
        still be no surprise. Rings compare with the gates at the row's own features.
        """
        cls._check_plot_kwargs(plot_kwargs)
        check_choice("kind", kind, _KINDS)
        is_averaged = check_choice("others", others, OTHERS) == "averaged"
        check_count("grid_resolution", grid_resolution, 2)
        check_margin(eps)
        per_row = {"offset": offset, "exposure": exposure, "trials": trials}
        data = read_data(estimator, X, sample_weight, **per_row)
        columns, model = data.columns, data.source.model
        plotted = choose_map(features, columns, data.use)
        axes = tuple(grid_axis(columns, j, int(grid_resolution), eps) for j in plotted)
        quantity = choose_quantity(data.source, class_of_interest) if len(axes) == 1 else None
        others_at = Others(columns, plotted, fixed, is_averaged)
        gate_proba, *predictions = others_at.evaluate(
            partial(evaluate_rows, data, quantity), plotted, axes
        )
        points, curves, matters = read_points(data, y, plotted, axes), None, data.use[0]
        if quantity is not None:
            experts, mixture = predictions
            curves, matters = make_curves(quantity, experts, mixture, y), data.use.max(axis=0)
            points = points._replace(y=data.target(y, quantity.target))
        display = cls(
            features=plotted,
            feature_names=tuple(columns.names[j] for j in plotted),
            grid=axes,
            gate_proba=gate_proba.reshape(*(len(a) for a in reversed(axes)), -1),
            tree=model.tree_,
            points=points,
            curves=curves,
            held=others_at.held_by_name(is_used(matters)),
            kind=kind,
            n_averaged=others_at.n_averaged,
        )
        return display.plot(ax=ax, **plot_kwargs)

    def plot(
        self,
        ax: Any = None,
        *,
        xlabel: str | None = None,
        ylabel: str | None = None,
        scatter_kwargs: dict[str, Any] | None = None,
        legend_kwargs: dict[str, Any] | None = None,
    ) -> Self:
        """Draw the map.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            By default those of a new figure. Over one feature the band is put above them.
        xlabel, ylabel : str, default=None
            By default the features' names, and over one feature what is predicted.
        <SCATTER>
        <LEGEND>

        <DRAWN>
        """
        check_plot_options(
            xlabel=xlabel, ylabel=ylabel, scatter_kwargs=scatter_kwargs, legend_kwargs=legend_kwargs
        )
        ax = self._take_axes(ax, (7.0, 4.6))
        styles = expert_styles(self.tree)
        if self.curves is None:
            self._plot_plane(ax, styles, scatter_kwargs)
            entries = plane_entries(styles, self.points, self.kind)
            vertical = drawn(self.feature_names[1])
        else:
            self._plot_bands(ax, styles, self.curves, scatter_kwargs)
            entries = band_entries(styles, self.points)
            vertical = drawn(self.curves.label)
        name_axes(ax, xlabel or drawn(self.feature_names[0]), ylabel or vertical)
        fit_letters([ax])
        for axis, direction in zip(self.grid, "xy", strict=False):
            write_categories(ax, axis, direction)
        self.legend_ = draw_legend(
            ax, entries, held_note(self.held, self.n_averaged), legend_kwargs
        )
        return self

    def _plot_plane(self, ax: Any, styles: list[ExpertStyle], scatter_kwargs: Any) -> None:
        data = np.empty((0, 2)) if self.points is None else self.points.X
        self.image_ = draw_fill(ax, self.grid, map_colors(self.gate_proba, styles, self.kind))
        self.regions_ = draw_hatches(ax, self.grid, self.gate_proba, styles)
        for axis, direction in zip(self.grid, "xy", strict=True):
            draw_separators(ax, axis, direction)
        self.contours_ = draw_boundaries(ax, self.grid, self.gate_proba)
        self.labels_ = draw_numbers(ax, self.grid, self.gate_proba, styles, data)
        self.scatter_ = []
        if self.points is not None:
            self.scatter_ = draw_points(
                ax, data[:, 0], data[:, 1], self.points, styles, scatter_kwargs
            )

    def _plot_bands(
        self, ax: Any, styles: list[ExpertStyle], curves: Curves, scatter_kwargs: Any
    ) -> None:
        (x,), points = self.grid, self.points
        self.bands_ax_ = add_band_axes(ax)
        self.bands_ = draw_bands(self.bands_ax_, x, self.gate_proba, styles)
        self.labels_ = draw_band_numbers(self.bands_ax_, x, self.gate_proba, styles)
        self.lines_ = draw_experts(ax, x, curves, self.gate_proba, styles)
        self.mixture_ = draw_mixture(ax, x, curves)
        self.scatter_ = []
        if points is not None and points.y is not None:
            height = spread_classes(points.y) if curves.is_probability else points.y
            self.scatter_ = draw_points(ax, points.X[:, 0], height, points, styles, scatter_kwargs)
        ax.set_xlim(*ends(x))
        ax.set_ylim(*vertical_range(curves, None if points is None else points.y))
