"""The distribution of y along one feature: a fan of central intervals."""

from collections.abc import Iterable
from typing import Any, Self

import numpy as np

from mixexp.arguments import check_count
from mixexp.displays._base import Display, check_coverage, check_margin, row_keywords
from mixexp.displays._columns import choose_line
from mixexp.displays._grid import Line, as_levels, ends, lay_line, place, write_categories
from mixexp.displays._layout import Entry, held_note, name_axes
from mixexp.displays._source import read_data
from mixexp.estimators._row_arguments import Given
from mixexp.text import drawn, shown

_HUE = np.array([0.0, 0.447, 0.698])
# With more rows than this, vector files hold them as an image.
_MOST_VECTORS = 5000
# Of a row of mean weight, square points, and the most that a heavier one has in units of it.
_AREA, _LARGEST = 9.0, 12.0


class PredictiveDisplay(Display):
    """Predictive distribution of y along one feature: median and central intervals.

    Each shade is the central interval of one coverage; the white line is the median, the dashed
    one the mean. Data that the model describes lie evenly: one in ten outside of 90 %.

    Build it with `from_estimator`.

    Parameters
    ----------
    line : Line
        Feature, grid and held values.
    coverages : tuple of float
        Ascending.
    intervals : ndarray of shape (n_coverages, 2, n_grid)
    median, mean : ndarray of shape (n_grid,)
    values : ndarray of shape (n,)
        The feature in the data.
    target : ndarray of shape (n,), default=None
        y, per unit of exposure and trials.
    weight : ndarray of shape (n,), default=None
        Sample weights.
    label : str, default="y"

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    bands_ : list of matplotlib PolyCollection
        The widest first.
    median_, mean_ : matplotlib Line2D
    scatter_ : matplotlib PathCollection or None
    legend_ : matplotlib Legend

    Examples
    --------
    >>> from mixexp import MoERegressor
    >>> from mixexp.datasets import make_tone
    >>> from mixexp.displays import PredictiveDisplay
    >>> X, y = make_tone(random_state=0)
    >>> model = MoERegressor(2, gate="constant", random_state=0).fit(X, y)
    >>> display = PredictiveDisplay.from_estimator(model, X, y, coverages=[0.5, 0.9])
    >>> display.intervals.shape
    (2, 2, 150)
    """

    line: Line
    coverages: tuple[float, ...]
    intervals: np.ndarray
    median: np.ndarray
    mean: np.ndarray
    values: np.ndarray
    target: np.ndarray | None = None
    weight: np.ndarray | None = None
    label: str = "y"

    @classmethod
    @row_keywords(Given)
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any = None,
        *,
        feature: Any = None,
        coverages: Iterable[float] = (0.5, 0.8, 0.95),
        grid_resolution: int = 150,
        eps: float = 0.05,
        fixed: Any = None,
        known: dict[str, Any],
        sample_weight: Any = None,
        ax: Any = None,
        **plot_kwargs: Any,
    ) -> Self:
        """Predict the distribution of y along a feature with a fitted regressor, and draw it.

        Parameters
        ----------
        estimator : fitted MoERegressor or HMERegressor
            Or a `Pipeline` that ends in one.
        X : array-like of shape (n, n_features)
        y : array-like of shape (n,), default=None
            Without it no data are drawn.
        feature : str or int, default=None
            Column of X; by default the numeric one that gates and experts use most. One that is
            not numeric has a strip per category.
        coverages : sequence of float, default=(0.5, 0.8, 0.95)
            Probabilities of the central intervals.
        <LINE>
        <PER_ROW>
            The fan stands at the (lower) median of each, and y is drawn per unit
            of exposure or trials.
        <WEIGHT>
            Marks have an area in proportion.
        <AX>

        <MADE_WITH_CDF>
        """
        cls._check_plot_kwargs(plot_kwargs)
        resolution, margin = check_count("grid_resolution", grid_resolution, 2), check_margin(eps)
        levels = _check_coverages(coverages)
        data = read_data(estimator, X, sample_weight, known)
        model, columns = data.source.model, data.columns
        if data.source.is_classifier:
            raise TypeError(
                f"PredictiveDisplay is for regressors; got {type(model).__name__}. "
                "ExpertFitDisplay draws the probability of a class."
            )
        column = choose_line(feature, columns, data.use.sum(axis=0))
        line = lay_line(data, column, data.use.max(axis=0), fixed, resolution, margin)
        tails = [q for level in levels for q in (0.5 - 0.5 * level, 0.5 + 0.5 * level)]
        median, *found = data.quantiles(line.rows, [0.5, *tails])
        seen = data.source.transform(line.rows)
        display = cls(
            line=line,
            coverages=levels,
            intervals=np.reshape(found, (len(levels), 2, -1)),
            median=median,
            mean=model.predict(seen, **data.typical_rows(("offset",), len(median))),
            values=columns.values[column],
            target=data.target(y, data.source.check_target),
            weight=columns.weight,
            label=str(getattr(y, "name", None) or "y"),
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
        """Draw the fan.

        Parameters
        ----------
        <PLOT_AX>
        xlabel, ylabel : str, default=None
            By default the names of the feature and of y.
        <SCATTER>
        <LEGEND>

        <DRAWN>
        """
        ax = self._take_axes(ax, (7.0, 4.2))
        x = self.line.grid
        entries: list[Entry] = []
        self.bands_: list[Any] = []
        shades = np.linspace(0.25, 0.75, len(self.coverages))
        for level, (low, high), shade in reversed(
            list(zip(self.coverages, self.intervals, shades[::-1], strict=True))
        ):
            color = tuple(1.0 - shade * (1.0 - _HUE))
            around = as_levels(x, low, high)
            band = ax.fill_between(*around, color=color, linewidth=0.0, zorder=1)
            self.bands_.append(band)
            entries.insert(0, (band, f"{100.0 * level:g} % of y"))
        (self.median_,) = ax.plot(
            *as_levels(x, self.median), color="white", linewidth=2.0, zorder=2
        )
        (self.mean_,) = ax.plot(*as_levels(x, self.mean), color="black", linewidth=1.2, zorder=2)
        self.mean_.set_linestyle((0, (4.0, 2.0)))
        entries += [(self._median_entry(), "median"), (self.mean_, "mean")]
        self.scatter_ = None
        if self.target is not None:
            self.scatter_ = self._draw_rows(ax, self.target, scatter_kwargs)
            entries.append((self._row_entry(), "rows"))
        write_categories(ax, x, "x")
        ax.set_xlim(*ends(x))
        name_axes(ax, xlabel or drawn(self.line.name), ylabel or drawn(self.label))
        self._explain([ax], entries, held_note(self.line.held), legend_kwargs)
        return self

    def _draw_rows(self, ax: Any, target: np.ndarray, kwargs: dict[str, Any] | None) -> Any:
        weight = np.ones(len(target)) if self.weight is None else self.weight
        look: dict[str, Any] = {"color": "black", "alpha": 0.65, "linewidths": 0.0, "zorder": 3}
        look["s"] = _AREA * np.minimum(weight / weight.mean(), _LARGEST)
        look["rasterized"] = len(target) > _MOST_VECTORS
        at = place(self.line.grid, self.values, 0)
        return ax.scatter(at, target, **{**look, **(kwargs or {})})

    def _row_entry(self) -> Any:
        from matplotlib.lines import Line2D

        return Line2D([], [], color="black", alpha=0.65, linestyle="none", marker=".")

    def _median_entry(self) -> Any:
        from matplotlib.lines import Line2D
        from matplotlib.patches import Patch

        backing = Patch(facecolor=tuple(1.0 - 0.75 * (1.0 - _HUE)))
        return backing, Line2D([], [], color="white", linewidth=2.0)


def _check_coverages(coverages: Any) -> tuple[float, ...]:
    if isinstance(coverages, str) or not isinstance(coverages, Iterable):
        raise ValueError(
            f"The 'coverages' parameter must be a list of numbers. Got {shown(coverages)}."
        )
    levels = sorted({check_coverage(level, "coverages") for level in coverages})
    if not levels:
        raise ValueError("The 'coverages' parameter must hold at least one number. Got none.")
    return tuple(levels)
