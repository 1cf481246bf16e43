"""Who is responsible where: gate probabilities over one feature or several, with the data.

What it draws with is in `_map.py` (gates), `_curves.py` (predictions) and `_marks.py` (data).
"""

from functools import partial
from typing import Any, Self

import numpy as np

from mixexp.arguments import check_choice, check_count
from mixexp.displays._base import Display, check_margin, check_switch, row_keywords
from mixexp.displays._columns import choose_map, choose_pairs, is_used
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
from mixexp.displays._grid import OTHERS, Others, ends, grid_axis, write_categories
from mixexp.displays._layout import draw_corner_legend, fit_letters, held_note, name_axes
from mixexp.displays._map import add_band_axes, draw_band_numbers, draw_bands, draw_plane
from mixexp.displays._marks import Points, band_entries, draw_points, plane_entries, read_points
from mixexp.displays._source import Data, read_data
from mixexp.displays._style import ExpertStyle, expert_styles
from mixexp.estimators._row_arguments import Given
from mixexp.text import drawn
from mixexp.tree import GatingTree

_KINDS = ("gate", "hard")


class ResponsibilityMapDisplay(Display):
    """Map of which expert is responsible where.

    Build it with `from_estimator`. Over two features it is a filled map: colour is the expert
    that the gates find most probable, and the paler the colour, the less sure they are; lines
    are where two experts tie. Over one feature it shows the gates' probabilities as a band,
    and below it each expert's prediction, as strong as the gates trust it, with that of the
    whole mixture in black. Over several features there is a map of every pair below the
    diagonal, and the band of each feature on it.

    Rows of data are marked by the expert that is most probable once their y is seen, larger
    the more certain that is, and ringed where this is not the expert that the gates expected.

    Parameters
    ----------
    features : tuple of int
        Columns of X on the axes.
    feature_names : tuple of str
        Their names.
    grid : tuple of ndarray of shape (n_grid,) or (n_grid_x,) and (n_grid_y,)
        Values along each axis, in raw units; the categories of a column that is not numeric.
    gate_proba : ndarray of shape (n_grid, n_experts) or (n_grid_y, n_grid_x, n_experts), or dict
        Gate probabilities on the grid; of pairs a dict of (int, int) to these, by row and column
        of the panels.
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
        One or two features; of pairs ``axes_``, an ndarray of these.
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
    images_ : dict of (int, int) to matplotlib AxesImage
        Pairs: the maps, by row and column of the panels. So are then ``scatter_`` and
        ``labels_``; ``bands_`` lists the artists of each feature.

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
    gate_proba: np.ndarray | dict[tuple[int, int], np.ndarray]
    tree: GatingTree
    points: Points | None = None
    curves: Curves | None = None
    held: dict[str, Any] | None = None
    kind: str = "gate"
    n_averaged: int = 0

    @classmethod
    @row_keywords(Given)
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any = None,
        *,
        features: Any = None,
        pairs: bool = False,
        kind: str = "gate",
        others: str = "held",
        grid_resolution: int | None = None,
        eps: float = 0.05,
        fixed: Any = None,
        class_of_interest: Any = None,
        known: dict[str, Any],
        sample_weight: Any = None,
        ax: Any = None,
        **plot_kwargs: Any,
    ) -> Self:
        """Map the gates of a fitted estimator over one feature or several, and draw it.

        Parameters
        ----------
        estimator : fitted MoERegressor, MoEClassifier, HMERegressor or HMEClassifier
            Or a `Pipeline` that ends in one: rows of the grid go through its transformers, so
            that axes are in the units of X.
        X : array-like of shape (n, n_features)
            Data to mark on the map; also gives the ranges of the axes, and the medians.
        y : array-like of shape (n,), default=None
            With it, data are marked by the posterior, without by the gates.
        features : str, int, or list of these, default=None
            Columns of X for the axes, by name or number. By default, of columns with at least five
            different values, the two that move most
            probability between experts when each is set to its median; one, if no second one
            moves a twentieth as much, or if the gates are constant. Columns that are not numeric
            have a strip per category; they get an axis if asked for.
        pairs : bool, default=False
            Whether to map every pair of two features or more, by default of up to four numeric
            ones that the gates use most. Three features or more are always drawn in pairs.
        kind : {"gate", "hard"}, default="gate"
            Whether colours fade with the gate's probability, or only tell the most probable
            expert. Concerns maps over two features.
        others : {"held", "averaged"}, default="held"
            What becomes of the columns without an axis: held at one value each, see ``fixed``,
            or averaged over at most 60 rows of X, as in partial dependence plots.
        grid_resolution : int, default=None
            Points of the grid along each axis; by default 150, of pairs 60.
        eps : float, default=0.05
            Margin around the data, as a share of their range.
        fixed : dict of feature to value, default=None
            Values of columns that have no axis. Others are held at their (lower) median, those
            without numbers at their most frequent value, unless they are averaged over.
        class_of_interest : label, default=None
            Classifiers over one feature: the class whose probability is drawn; by default
            the last of ``classes_``, with two classes the positive one.
        <PER_ROW>
            Over one feature, curves stand at the
            (lower) median of the offset, exposure 1 and one trial, and y is drawn per unit of
            exposure or trials.
        <WEIGHT>
        <PANELS>

        <MADE>

        Notes
        -----
        Points lie at their own features, the map at the held ones: where the gates look at
        more features than the axes show, a point may lie on another expert's colour and
        still be no surprise. Rings compare with the gates at the row's own features.
        """
        cls._check_plot_kwargs(plot_kwargs)
        check_choice("kind", kind, _KINDS)
        check_switch("pairs", pairs)
        is_averaged = check_choice("others", others, OTHERS) == "averaged"
        if grid_resolution is not None:
            check_count("grid_resolution", grid_resolution, 2)
        check_margin(eps)
        data = read_data(estimator, X, sample_weight, known)
        columns, matters = data.columns, data.use[0]
        quantity = choose_quantity(data.source, class_of_interest)
        choose = choose_pairs if pairs else choose_map
        plotted = choose(features, columns, matters if pairs else data.use)
        has_pairs, has_curves = pairs or len(plotted) > 2, len(plotted) == 1
        resolution = grid_resolution or (60 if has_pairs else 150)
        axes = tuple(grid_axis(columns, j, int(resolution), eps) for j in plotted)
        others_at = Others(columns, plotted, fixed, is_averaged)
        points, curves = read_points(data, y, plotted, axes), None
        if has_curves:
            evaluate = partial(evaluate_rows, data, quantity)
            gate_proba, experts, mixture = others_at.evaluate(evaluate, plotted, axes)
            curves, matters = make_curves(quantity, experts, mixture, y), data.use.max(axis=0)
            points = points._replace(y=data.target(y, quantity.target))
        else:
            gate_proba = _evaluate_maps(data, others_at, axes, has_pairs)
        display = cls(
            features=plotted,
            feature_names=tuple(columns.names[j] for j in plotted),
            grid=axes,
            gate_proba=gate_proba,
            tree=data.source.tree,
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
        ax : matplotlib Axes or array of these, default=None
            By default those of a new figure. Over one feature the band is put above them. Pairs
            divide one axes; an array has as many as a square of the features.
        xlabel, ylabel : str, default=None
            By default the features' names, and over one feature what is predicted. Pairs have
            the features' names.
        <SCATTER>
        <LEGEND>
            Of pairs it stands above the diagonal.

        <DRAWN>
        """
        gates, styles = self.gate_proba, expert_styles(self.tree)
        if isinstance(gates, dict):
            if xlabel is not None or ylabel is not None:
                raise ValueError(
                    "The 'xlabel' and 'ylabel' parameters are for one map; every pair of features "
                    "has their names."
                )
            self._plot_pairs(ax, gates, styles, scatter_kwargs, legend_kwargs)
            return self
        ax = self._take_axes(ax, (7.0, 4.6))
        if self.curves is None:
            self._plot_plane(ax, gates, styles, scatter_kwargs)
            entries = plane_entries(styles, self.points, self.kind)
            vertical = drawn(self.feature_names[1])
        else:
            self._plot_bands(ax, gates, styles, self.curves, scatter_kwargs)
            entries = band_entries(styles, self.points)
            vertical = drawn(self.curves.label)
        for axis, direction in zip(self.grid, "xy", strict=False):
            write_categories(ax, axis, direction)
        name_axes(ax, xlabel or drawn(self.feature_names[0]), ylabel or vertical)
        self._explain([ax], entries, held_note(self.held, self.n_averaged), legend_kwargs)
        return self

    def _plot_plane(
        self, ax: Any, gates: np.ndarray, styles: list[ExpertStyle], scatter_kwargs: Any
    ) -> None:
        data = np.empty((0, 2)) if self.points is None else self.points.X
        artists = draw_plane(ax, self.grid, gates, styles, self.kind, data)
        self.image_, self.regions_, self.contours_, labels = artists
        self.labels_: Any = labels
        self.scatter_: Any = []
        if self.points is not None:
            x, y = data.T
            self.scatter_ = draw_points(ax, x, y, self.points, styles, scatter_kwargs)

    def _plot_bands(
        self,
        ax: Any,
        gates: np.ndarray,
        styles: list[ExpertStyle],
        curves: Curves,
        scatter_kwargs: Any,
    ) -> None:
        (x,), points = self.grid, self.points
        self.bands_ax_ = add_band_axes(ax)
        self.bands_ = draw_bands(self.bands_ax_, x, gates, styles)
        self.labels_ = draw_band_numbers(self.bands_ax_, x, gates, styles)
        self.lines_ = draw_experts(ax, x, curves, gates, styles)
        self.mixture_ = draw_mixture(ax, x, curves)
        self.scatter_ = []
        if points is not None and points.y is not None:
            height = spread_classes(points.y) if curves.is_probability else points.y
            self.scatter_ = draw_points(ax, points.X[:, 0], height, points, styles, scatter_kwargs)
        ax.set_xlim(*ends(x))
        ax.set_ylim(*vertical_range(curves, None if points is None else points.y))

    def _plot_pairs(
        self,
        ax: Any,
        gates: dict[tuple[int, int], np.ndarray],
        styles: list[ExpertStyle],
        scatter_kwargs: Any,
        legend_kwargs: Any,
    ) -> None:
        n = len(self.features)
        self._take_panels(ax, (n, n), (2.3 * n + 0.8, 2.1 * n + 0.5))
        self.bands_ = []
        self.images_: dict[tuple[int, int], Any] = {}
        self.labels_, self.scatter_ = {}, {}
        for (i, j), proba in gates.items():
            panel = self.axes_[i, j]
            if i == j:
                self.bands_.append(draw_bands(panel, self.grid[i], proba, styles))
                draw_band_numbers(panel, self.grid[i], proba, styles)
                panel.set(xlim=ends(self.grid[i]), ylim=(0.0, 1.0))
            else:
                self._plot_pair(panel, (i, j), proba, styles, scatter_kwargs)
                self.axes_[j, i].set_axis_off()
            self._label_pair(panel, i, j)
        fit_letters(self.axes_.flat)
        note = held_note(self.held, self.n_averaged)
        entries = plane_entries(styles, self.points, self.kind)
        # Three panels or more leave room below the corner; of two the first row has it alone.
        corner = self.axes_[: max(n - 1, 1), -1]
        self.legend_ = draw_corner_legend(corner, entries, note, legend_kwargs, self.axes_.flat)

    def _plot_pair(
        self,
        ax: Any,
        at: tuple[int, int],
        gates: np.ndarray,
        styles: list[ExpertStyle],
        kwargs: Any,
    ) -> None:
        across = [at[1], at[0]]
        data = np.empty((0, 2)) if self.points is None else self.points.X[:, across]
        grid = [self.grid[number] for number in across]
        self.images_[at], _, _, self.labels_[at] = draw_plane(
            ax, grid, gates, styles, self.kind, data
        )
        for label in self.labels_[at]:
            label.set_fontsize(0.7 * label.get_fontsize())
        look = {"s": 9.0, "linewidths": 0.4, **(kwargs or {})}
        self.scatter_[at] = []
        if self.points is not None:
            self.scatter_[at] = draw_points(ax, data[:, 0], data[:, 1], self.points, styles, look)

    def _label_pair(self, ax: Any, i: int, j: int) -> None:
        """Write names and ticks at the left and lower edge of the whole only."""
        write_categories(ax, self.grid[j], "x")
        if i > j:
            write_categories(ax, self.grid[i], "y")
        is_lowest, is_first = i == len(self.features) - 1, j == 0
        ax.tick_params(labelbottom=is_lowest, labelleft=is_first or i == j)
        beside = drawn(self.feature_names[i]) if is_first else ""
        if i == j:
            ax.set_yticks([0.0, 1.0], ["0", "1"])
            beside = "gate" if i == 0 else ""
        name_axes(ax, drawn(self.feature_names[j]) if is_lowest else "", beside)


def _evaluate_maps(
    data: Data, others: Others, axes: tuple[np.ndarray, ...], has_pairs: bool
) -> Any:
    """Return gate probabilities over two features, or a dict of those of every pair of several.

    Over two they have shape (n_grid_y, n_grid_x, n_experts); on the diagonal of pairs, (n_grid,
    n_experts).
    """

    def evaluate(*at: int) -> np.ndarray:
        plotted = tuple(others.plotted[number] for number in at)
        scales = tuple(axes[number] for number in at)
        (proba,) = others.evaluate(partial(evaluate_rows, data, None), plotted, scales)
        return proba.reshape(*(len(scale) for scale in reversed(scales)), -1)

    if not has_pairs:
        return evaluate(0, 1)
    pairs = [(i, j) for i in range(len(axes)) for j in range(i + 1)]
    return {(i, j): evaluate(i) if i == j else evaluate(j, i) for i, j in pairs}
