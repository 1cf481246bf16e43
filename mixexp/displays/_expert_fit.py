"""Data with every expert's line, and where the mixture expects y: one panel per feature."""

from typing import Any, NamedTuple, Self

import numpy as np

from mixexp.arguments import check_count
from mixexp.displays._base import Display, check_coverage, check_margin, row_keywords
from mixexp.displays._columns import choose_lines
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
from mixexp.displays._grid import Line, as_levels, ends, lay_line, write_categories
from mixexp.displays._layout import (
    Entry,
    columns_in,
    draw_legend,
    fit_letters,
    grid_shape,
    held_note,
    make_panels,
    name_axes,
)
from mixexp.displays._marks import Points, band_entries, draw_points, read_points
from mixexp.displays._source import Data, read_data
from mixexp.displays._style import ExpertStyle, expert_styles
from mixexp.estimators._row_arguments import Given
from mixexp.text import drawn
from mixexp.tree import GatingTree

_BAND_COLOR = "0.85"
_MOST_COLUMNS = 3


class FitPanel(NamedTuple):
    """What is drawn along one feature.

    Parameters
    ----------
    line : Line
        Feature, grid and held values.
    gate_proba : ndarray of shape (n_grid, n_experts)
    curves : Curves
    band : ndarray of shape (2, n_grid) or None
        Ends of the central interval of y.
    """

    line: Line
    gate_proba: np.ndarray
    curves: Curves
    band: np.ndarray | None


class ExpertFitDisplay(Display):
    """Every expert's fit along one feature or several, with the data.

    Coloured lines are the experts' predictions, wide where the gates trust them and thin where
    they do not; black is the mixture's, and the grey band holds y with a given probability.
    Marks are rows, by the expert that is most probable once their y is seen.

    Build it with `from_estimator`.

    Parameters
    ----------
    panels : list of FitPanel
    points : Points
        The data, a column per panel; without y they are not drawn.
    tree : GatingTree
    coverage : float, default=None
        Probability of the band.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes
    figure_ : matplotlib Figure
    legend_ : matplotlib Legend
    lines_ : list of list of matplotlib LineCollection
        The experts' lines, panel by panel.
    mixtures_ : list of matplotlib Line2D
    bands_ : list of matplotlib PolyCollection
        Empty without bands.
    scatter_ : list of list of matplotlib PathCollection

    Examples
    --------
    >>> import numpy as np
    >>> from mixexp import MoERegressor
    >>> from mixexp.displays import ExpertFitDisplay
    >>> x = np.linspace(-1.0, 1.0, 200)[:, None]
    >>> y = np.abs(x[:, 0]) + 0.05 * np.sin(50.0 * x[:, 0])
    >>> model = MoERegressor(n_experts=2, random_state=0).fit(x, y)
    >>> display = ExpertFitDisplay.from_estimator(model, x, y)
    >>> display.panels[0].curves.experts.shape
    (150, 2)
    """

    panels: list[FitPanel]
    points: Points
    tree: GatingTree
    coverage: float | None = None

    @classmethod
    @row_keywords(Given)
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any = None,
        *,
        features: Any = None,
        coverage: float | None = 0.9,
        grid_resolution: int = 150,
        eps: float = 0.05,
        fixed: Any = None,
        class_of_interest: Any = None,
        known: dict[str, Any],
        sample_weight: Any = None,
        ax: Any = None,
        **plot_kwargs: Any,
    ) -> Self:
        """Predict along features with a fitted estimator, and draw it.

        Parameters
        ----------
        <ESTIMATOR>
        X : array-like of shape (n, n_features)
            Gives the ranges of the axes, too, and the medians.
        y : array-like of shape (n,), default=None
            Without it no data are drawn.
        features : str, int, or list of these, default=None
            Columns of X, by name or number, a panel each. By default the numeric one that gates
            and experts use most. One that is not numeric has a strip per category.
        coverage : float or None, default=0.9
            Probability that y lies in the band, as much of the rest below it as above; None for
            no band. There is none for classes, nor where a family has no distribution function.
        <LINE>
        class_of_interest : label, default=None
            The class whose probability classifiers draw; by default the last of ``classes_``.
        <PER_ROW>
            Curves and band stand at the (lower)
            median of the offset, curves at exposure 1 and one trial, the band at their median,
            and y is drawn per unit of exposure or trials.
        <WEIGHT>
        <PANELS>

        <MADE>

        Notes
        -----
        Lines stand at the held values of the other features, marks at their own: where several
        features matter, marks need not lie around a line.
        """
        cls._check_plot_kwargs(plot_kwargs)
        resolution, margin = check_count("grid_resolution", grid_resolution, 2), check_margin(eps)
        coverage = None if coverage is None else check_coverage(coverage)
        data = read_data(estimator, X, sample_weight, known)
        quantity = choose_quantity(data.source, class_of_interest)
        plotted = choose_lines(features, data.columns, data.use.sum(axis=0))
        panels = []
        for column in plotted:
            line = lay_line(data, column, data.use.max(axis=0), fixed, resolution, margin)
            gate_proba, experts, mixture = evaluate_rows(data, quantity, line.rows)
            curves = make_curves(quantity, experts, mixture, y)
            band = _read_band(data, line, None if curves.is_probability else coverage)
            panels.append(FitPanel(line, gate_proba, curves, band))
        points = read_points(data, y, plotted, tuple(panel.line.grid for panel in panels))
        display = cls(
            panels=panels,
            points=points._replace(y=data.target(y, quantity.target)),
            tree=data.source.tree,
            coverage=coverage,
        )
        return display.plot(ax=ax, **plot_kwargs)

    def plot(
        self,
        ax: Any = None,
        *,
        ylabel: str | None = None,
        scatter_kwargs: dict[str, Any] | None = None,
        legend_kwargs: dict[str, Any] | None = None,
    ) -> Self:
        """Draw one panel per feature.

        Parameters
        ----------
        <PLOT_PANELS>
        ylabel : str, default=None
            By default what is predicted.
        <SCATTER>
        <LEGEND>

        <DRAWN>
        """
        n_panels = len(self.panels)
        shape = grid_shape(n_panels, columns_in(ax, n_panels, _MOST_COLUMNS))
        size = (7.0, 4.2) if n_panels == 1 else (3.3 * shape[1] + 1.7, 3.0 * shape[0])
        self.axes_ = make_panels(ax, shape, size, n_panels)
        self.figure_ = self.axes_.flat[0].get_figure()
        styles = expert_styles(self.tree)
        self.bands_: list[Any] = []
        self.lines_: list[list[Any]] = []
        self.mixtures_: list[Any] = []
        self.scatter_: list[list[Any]] = []
        target = self.points.y
        for number, panel in enumerate(self.panels):
            axes = self.axes_.flat[number]
            self._plot_panel(axes, panel, styles, number, scatter_kwargs)
            is_first = number % shape[1] == 0
            beside = (ylabel or drawn(panel.curves.label)) if is_first else ""
            name_axes(axes, drawn(panel.line.name), beside)
            axes.set_xlim(*ends(panel.line.grid))
            write_categories(axes, panel.line.grid, "x")
            limits = [vertical_range(other.curves, target) for other in self.panels]
            axes.set_ylim(min(low for low, _ in limits), max(high for _, high in limits))
        corner = self.axes_.flat[min(shape[1], n_panels) - 1]
        held = self.panels[0].line.held if n_panels == 1 else {}
        shown = self.axes_.flat[:n_panels]
        fit_letters(shown)
        entries, note = self._entries(styles), held_note(held)
        self.legend_ = draw_legend(corner, entries, note, legend_kwargs, shown)
        return self

    def _plot_panel(
        self, ax: Any, panel: FitPanel, styles: list[ExpertStyle], number: int, kwargs: Any
    ) -> None:
        x = panel.line.grid
        if panel.band is not None:
            around = as_levels(x, *panel.band)
            band = ax.fill_between(*around, color=_BAND_COLOR, linewidth=0.0, zorder=0)
            self.bands_.append(band)
        self.lines_.append(draw_experts(ax, x, panel.curves, panel.gate_proba, styles))
        self.mixtures_.append(draw_mixture(ax, x, panel.curves))
        points, artists = self.points, []
        if points.y is not None:
            height = spread_classes(points.y) if panel.curves.is_probability else points.y
            artists = draw_points(ax, points.X[:, number], height, points, styles, kwargs)
        self.scatter_.append(artists)

    def _entries(self, styles: list[ExpertStyle]) -> list[Entry]:
        from matplotlib.patches import Patch

        entries = band_entries(styles, self.points)
        if self.bands_ and self.coverage is not None:
            patch = Patch(facecolor=_BAND_COLOR)
            entries.insert(len(styles) + 1, (patch, f"{100.0 * self.coverage:g} % of y"))
        return entries


def _read_band(data: Data, line: Line, coverage: float | None) -> np.ndarray | None:
    """Return the ends of the central interval, None without coverage or distribution function."""
    if coverage is None:
        return None
    try:
        return data.quantiles(line.rows, [0.5 - 0.5 * coverage, 0.5 + 0.5 * coverage])
    except NotImplementedError:
        return None
