"""The distribution of y along one feature: a fan of central intervals."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from mixexp.displays._along import Line, choose_lines, lay_line
from mixexp.displays._columns import read_columns
from mixexp.displays._grid import held_values
from mixexp.displays._layout import make_panels
from mixexp.displays._legend import Entry, draw_legend, held_note
from mixexp.displays._options import check_count, check_coverage, check_margin
from mixexp.displays._parts import choose_quantity, drawn_target
from mixexp.displays._predictive import typical_quantiles
from mixexp.displays._source import feature_use, open_source

_HUE = np.array([0.0, 0.447, 0.698])
_MOST_VECTORS = 5000


class PredictiveDisplay:
    """What the mixture expects of y along one feature: median and central intervals.

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

    def __init__(
        self,
        *,
        line: Line,
        coverages: tuple[float, ...],
        intervals: np.ndarray,
        median: np.ndarray,
        mean: np.ndarray,
        values: np.ndarray,
        target: np.ndarray | None = None,
        label: str = "y",
    ) -> None:
        self.line = line
        self.coverages = coverages
        self.intervals = intervals
        self.median = median
        self.mean = mean
        self.values = values
        self.target = target
        self.label = label

    @classmethod
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
        exposure: Any = None,
        trials: Any = None,
        ax: Any = None,
        **plot_kwargs: Any,
    ) -> "PredictiveDisplay":
        """Predict the distribution of y along a feature with a fitted regressor, and draw it.

        Parameters
        ----------
        estimator : fitted MoERegressor or HMERegressor
            Or a `Pipeline` that ends in one.
        X : array-like of shape (n, n_features)
        y : array-like of shape (n,), default=None
            Without it no data are drawn.
        feature : str or int, default=None
            Column of X; by default the one that gates and experts use most.
        coverages : sequence of float, default=(0.5, 0.8, 0.95)
            Probabilities of the central intervals.
        grid_resolution : int, default=150
        eps : float, default=0.05
            Margin around the data, as a share of their range.
        fixed : dict of feature to value, default=None
            Values of other columns. They are held at their (lower) median by default, those
            without numbers at their most frequent value.
        exposure, trials : array-like of shape (n,), default=None
            y is drawn per unit of these; the fan stands at their median.
        ax : matplotlib Axes, default=None
            Where to draw; by default in a new figure.
        **plot_kwargs : dict
            Passed to `plot`.

        Returns
        -------
        PredictiveDisplay

        Raises
        ------
        ValueError
            If an argument is not as described; the message names it.
        NotImplementedError
            If a family has no distribution function.
        TypeError
            If the estimator is no mixture of experts, or one for classes.
        NotFittedError
            If it has not been fitted.
        """
        resolution, margin = check_count("grid_resolution", grid_resolution, 2), check_margin(eps)
        levels = _check_coverages(coverages)
        source = open_source(estimator)
        if hasattr(source.model, "classes_"):
            raise TypeError(
                f"PredictiveDisplay is for regressors; got {type(source.model).__name__}. "
                "ExpertFitDisplay draws the probability of a class."
            )
        columns = read_columns(X, estimator)
        use = feature_use(source, columns)
        asked = None if feature is None else [feature]
        (column,) = choose_lines(asked, columns, use.sum(axis=0))
        held = held_values(fixed, columns, (column,))
        line = lay_line(column, columns, held, resolution, margin, use.max(axis=0))
        ends = [q for level in levels for q in (0.5 - 0.5 * level, 0.5 + 0.5 * level)]
        median, *tails = typical_quantiles(source, line.rows, [0.5, *ends], exposure, trials)
        display = cls(
            line=line,
            coverages=levels,
            intervals=np.reshape(tails, (len(levels), 2, -1)),
            median=median,
            mean=source.model.predict(source.transform(line.rows)),
            values=columns.values[column],
            target=drawn_target(choose_quantity(source.model, None), y, exposure, trials),
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
    ) -> "PredictiveDisplay":
        """Draw the fan.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            By default those of a new figure.
        xlabel, ylabel : str, default=None
            By default the names of the feature and of y.
        scatter_kwargs : dict, default=None
            For ``Axes.scatter``, over what the display would choose.
        legend_kwargs : dict, default=None
            For ``Axes.legend``.

        Returns
        -------
        PredictiveDisplay
            Itself, with the artists as attributes.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        ax = make_panels(ax, (1, 1), (7.0, 4.2))[0, 0]
        self.ax_, self.figure_ = ax, ax.get_figure()
        x = self.line.grid
        entries: list[Entry] = []
        self.bands_: list[Any] = []
        shades = np.linspace(0.25, 0.75, len(self.coverages))
        for level, (low, high), shade in reversed(
            list(zip(self.coverages, self.intervals, shades[::-1], strict=True))
        ):
            color = tuple(1.0 - shade * (1.0 - _HUE))
            band = ax.fill_between(x, low, high, color=color, linewidth=0.0, zorder=1)
            self.bands_.append(band)
            entries.insert(0, (band, f"{100.0 * level:g} % of y"))
        (self.median_,) = ax.plot(x, self.median, color="white", linewidth=2.0, zorder=2)
        (self.mean_,) = ax.plot(x, self.mean, color="black", linewidth=1.2, zorder=2)
        self.mean_.set_linestyle((0, (4.0, 2.0)))
        entries += [(self._median_entry(), "median"), (self.mean_, "mean")]
        self.scatter_ = None
        if self.target is not None:
            look = {"s": 9.0, "color": "black", "alpha": 0.65, "linewidths": 0.0, "zorder": 3}
            look["rasterized"] = len(self.target) > _MOST_VECTORS
            self.scatter_ = ax.scatter(
                self.values, self.target, **{**look, **(scatter_kwargs or {})}
            )
            entries.append((self.scatter_, "rows"))
        ax.set(xlim=(x[0], x[-1]), xlabel=xlabel or self.line.name, ylabel=ylabel or self.label)
        self.legend_ = draw_legend(ax, entries, held_note(self.line.held), legend_kwargs)
        return self

    def _median_entry(self) -> Any:
        from matplotlib.lines import Line2D
        from matplotlib.patches import Patch

        backing = Patch(facecolor=tuple(1.0 - 0.75 * (1.0 - _HUE)))
        return backing, Line2D([], [], color="white", linewidth=2.0)


def _check_coverages(coverages: Any) -> tuple[float, ...]:
    if isinstance(coverages, str) or not isinstance(coverages, Iterable):
        raise ValueError(f"The 'coverages' parameter must be a list of numbers. Got {coverages!r}.")
    levels = sorted({check_coverage(level, "coverages") for level in coverages})
    if not levels:
        raise ValueError("The 'coverages' parameter must hold at least one number. Got none.")
    return tuple(levels)
