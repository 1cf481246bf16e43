"""Data with every expert's line, and where the mixture expects y: one panel per feature."""

from typing import Any, NamedTuple

import numpy as np

from mixexp.displays._along import Line, choose_lines, lay_line
from mixexp.displays._bands import draw_experts, draw_mixture, spread_classes, vertical_range
from mixexp.displays._columns import read_columns
from mixexp.displays._grid import held_values
from mixexp.displays._layout import grid_shape, make_panels
from mixexp.displays._legend import Entry, band_entries, draw_legend, held_note
from mixexp.displays._marks import draw_points
from mixexp.displays._options import check_count, check_coverage, check_margin
from mixexp.displays._parts import (
    Curves,
    Points,
    choose_quantity,
    drawn_target,
    read_curves,
    read_points,
)
from mixexp.displays._predictive import typical_quantiles
from mixexp.displays._source import Source, feature_use, open_source
from mixexp.displays._styles import ExpertStyle, expert_styles
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


class ExpertFitDisplay:
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

    def __init__(
        self,
        *,
        panels: list[FitPanel],
        points: Points,
        tree: GatingTree,
        coverage: float | None = None,
    ) -> None:
        self.panels = panels
        self.points = points
        self.tree = tree
        self.coverage = coverage

    @classmethod
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
        offset: Any = None,
        exposure: Any = None,
        trials: Any = None,
        ax: Any = None,
        **plot_kwargs: Any,
    ) -> "ExpertFitDisplay":
        """Predict along features with a fitted estimator, and draw it.

        Parameters
        ----------
        estimator : fitted MoERegressor, MoEClassifier, HMERegressor or HMEClassifier
            Or a `Pipeline` that ends in one.
        X : array-like of shape (n, n_features)
            Data; also gives the ranges of the axes, and the medians.
        y : array-like of shape (n,), default=None
            Without it no data are drawn.
        features : str, int, or list of these, default=None
            Columns of X, by name or number, a panel each. By default the one that gates and
            experts use most.
        coverage : float or None, default=0.9
            Probability that y lies in the band, as much of the rest below it as above; None for
            no band. There is none for classes, nor where a family has no distribution function.
        grid_resolution : int, default=150
            Points along each axis.
        eps : float, default=0.05
            Margin around the data, as a share of their range.
        fixed : dict of feature to value, default=None
            Values of the columns without a panel. Columns are held at their (lower) median by
            default, those without numbers at their most frequent value.
        class_of_interest : label, default=None
            The class whose probability classifiers draw; by default the last of ``classes_``.
        offset, exposure, trials : array-like of shape (n,), default=None
            As in ``fit``, for the posterior of the data. Curves stand at offset 0, exposure 1
            and one trial, the band at their median, and y is drawn per unit of either.
        ax : matplotlib Axes or array of these, default=None
            Where to draw: see `plot`.
        **plot_kwargs : dict
            Passed to `plot`.

        Returns
        -------
        ExpertFitDisplay

        Raises
        ------
        ValueError
            If an argument is not as described; the message names it.
        TypeError
            If the estimator is no mixture of experts.
        NotFittedError
            If it has not been fitted.

        Notes
        -----
        Lines stand at the held values of the other features, marks at their own: where several
        features matter, marks need not lie around a line.
        """
        resolution, margin = check_count("grid_resolution", grid_resolution, 2), check_margin(eps)
        coverage = None if coverage is None else check_coverage(coverage)
        source = open_source(estimator)
        columns = read_columns(X, estimator)
        use = feature_use(source, columns)
        quantity = choose_quantity(source.model, class_of_interest)
        plotted = choose_lines(features, columns, use.sum(axis=0))
        held = held_values(fixed, columns, plotted)
        panels = []
        for column in plotted:
            line = lay_line(column, columns, held, resolution, margin, use.max(axis=0))
            curves = read_curves(source, line.rows, quantity, y)
            wanted = None if curves.is_probability else coverage
            band = _read_band(source, line, wanted, exposure, trials)
            panels.append(FitPanel(line, source.gate_proba(line.rows), curves, band))
        per_row = {"offset": offset, "exposure": exposure, "trials": trials}
        axes = tuple(panel.line.grid for panel in panels)
        points = read_points(source, X, y, columns, plotted, axes, per_row)
        points = points._replace(y=drawn_target(quantity, y, exposure, trials))
        display = cls(panels=panels, points=points, tree=source.model.tree_, coverage=coverage)
        return display.plot(ax=ax, **plot_kwargs)

    def plot(
        self,
        ax: Any = None,
        *,
        ylabel: str | None = None,
        scatter_kwargs: dict[str, Any] | None = None,
        legend_kwargs: dict[str, Any] | None = None,
    ) -> "ExpertFitDisplay":
        """Draw one panel per feature.

        Parameters
        ----------
        ax : matplotlib Axes or array of these, default=None
            None makes a figure; one axes is used for one panel and divided for several; an
            array has one axes per panel.
        ylabel : str, default=None
            By default what is predicted.
        scatter_kwargs : dict, default=None
            For ``Axes.scatter``, over what the display would choose.
        legend_kwargs : dict, default=None
            For ``Axes.legend``.

        Returns
        -------
        ExpertFitDisplay
            Itself, with the artists as attributes.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        n_panels = len(self.panels)
        shape = grid_shape(n_panels, _MOST_COLUMNS)
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
            axes.set_xlabel(panel.line.name)
            is_first = number % shape[1] == 0
            axes.set_ylabel((ylabel or panel.curves.label) if is_first else "")
            axes.set_xlim(panel.line.grid[0], panel.line.grid[-1])
            limits = [vertical_range(other.curves, target) for other in self.panels]
            axes.set_ylim(min(low for low, _ in limits), max(high for _, high in limits))
        corner = self.axes_.flat[min(shape[1], n_panels) - 1]
        held = self.panels[0].line.held if n_panels == 1 else {}
        self.legend_ = draw_legend(corner, self._entries(styles), held_note(held), legend_kwargs)
        return self

    def _plot_panel(
        self, ax: Any, panel: FitPanel, styles: list[ExpertStyle], number: int, kwargs: Any
    ) -> None:
        x = panel.line.grid
        if panel.band is not None:
            band = ax.fill_between(x, *panel.band, color=_BAND_COLOR, linewidth=0.0, zorder=0)
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


def _read_band(
    source: Source, line: Line, coverage: float | None, exposure: Any, trials: Any
) -> np.ndarray | None:
    """Return the ends of the central interval, None without coverage or distribution function."""
    if coverage is None:
        return None
    tails = 0.5 * (1.0 - coverage), 0.5 * (1.0 + coverage)
    try:
        return typical_quantiles(source, line.rows, tails, exposure, trials)
    except NotImplementedError:
        return None
