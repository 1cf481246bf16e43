"""Groups of rows as lines along a feature, by the expert they share, under the experts' curves."""

from typing import Any, Self

import numpy as np

from mixexp.arguments import as_array, check_count
from mixexp.displays._base import Display, check_coverage, check_margin, row_keywords
from mixexp.displays._columns import Columns, choose_line
from mixexp.displays._curves import (
    Curves,
    choose_quantity,
    evaluate_rows,
    make_curves,
    spread_classes,
    vertical_range,
)
from mixexp.displays._grid import Line, as_levels, ends, lay_line, write_categories
from mixexp.displays._layout import Entry, Explanation, held_note, name_axes
from mixexp.displays._marks import Points, draw_points, expert_entries, read_points
from mixexp.displays._source import Data, read_data
from mixexp.displays._style import ExpertStyle, certainty, expert_styles
from mixexp.estimators._row_arguments import Given
from mixexp.text import drawn
from mixexp.tree import GatingTree

# Opacity of the line of a group in a tie and of a certain one, and of the band of an expert.
_FAINTEST, _STRONGEST, _BAND = 0.12, 0.7, 0.2
# With more groups than this lines are thinner and, in vector files, held as an image.
_MOST_LINES = 60
_MOST_VECTORS = 2000


class TrajectoryDisplay(Display):
    """Each group's y along a feature, in the colour of its expert, and the experts' curves.

    Thin lines are groups, by the expert that is most probable once their y are seen, the fainter
    the less certain it is. On top of them, wide, what each expert predicts, in a band that holds
    y with a given probability. Groups of one row are marks, and so is every row without groups.

    Build it with `from_estimator`.

    Parameters
    ----------
    line : Line
        Feature, grid and held values.
    curves : Curves
    points : Points
        The rows; without y they are not drawn.
    tree : GatingTree
    group : ndarray of shape (n,), int, default=None
        Number of the group of each row, in the order of the labels; None without groups.
    bands : ndarray of shape (n_experts, 2, n_grid), default=None
        Ends of the central interval of y under each expert; None without.
    coverage : float, default=None
        Probability of the bands.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    legend_ : matplotlib Legend
    trajectories_ : list of matplotlib LineCollection
        The lines of the groups of each expert, from left to right.
    lines_ : list of matplotlib Line2D
        The experts' curves.
    bands_ : list of matplotlib PolyCollection
        Empty without bands.
    scatter_ : list of matplotlib PathCollection
        Rows that are groups of their own.

    Examples
    --------
    >>> import numpy as np
    >>> from mixexp import MoERegressor
    >>> from mixexp.displays import TrajectoryDisplay
    >>> groups, time = np.repeat(np.arange(40), 5), np.tile(np.arange(5.0), 40)
    >>> y = np.where(groups % 2, 1.0, -1.0) * time + np.sin(50.0 * groups + time)
    >>> X = time[:, None]
    >>> model = MoERegressor(2, gate="constant", random_state=0).fit(X, y, groups=groups)
    >>> display = TrajectoryDisplay.from_estimator(model, X, y, groups=groups)
    >>> [len(lines.get_segments()) for lines in display.trajectories_]
    [20, 20]
    """

    line: Line
    curves: Curves
    points: Points
    tree: GatingTree
    group: np.ndarray | None = None
    bands: np.ndarray | None = None
    coverage: float | None = None

    @classmethod
    @row_keywords(Given)
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any = None,
        *,
        feature: Any = None,
        coverage: float | None = 0.8,
        grid_resolution: int = 150,
        eps: float = 0.05,
        fixed: Any = None,
        class_of_interest: Any = None,
        known: dict[str, Any],
        sample_weight: Any = None,
        ax: Any = None,
        **plot_kwargs: Any,
    ) -> Self:
        """Predict along a feature with a fitted estimator, and draw groups and experts.

        Parameters
        ----------
        <ESTIMATOR>
        X : array-like of shape (n, n_features)
        y : array-like of shape (n,), default=None
            Without it no groups are drawn.
        feature : str or int, default=None
            Column of X, such as time; by default the numeric one that experts use most among
            those that vary within groups. One that is not numeric has a strip per category.
        coverage : float or None, default=0.8
            Probability that y lies in the band of an expert, as much of the rest below it as
            above; None for no bands. There are none for classes, nor where a family has no
            distribution function.
        <LINE>
        class_of_interest : label, default=None
            The class whose probability classifiers draw; by default the last of ``classes_``.
        <PER_ROW>
            Curves stand at the (lower) median of the offset, exposure 1 and one
            trial, bands at their median, and y is drawn per unit of exposure or trials.
        <WEIGHT>
        <AX>

        <MADE>

        Notes
        -----
        Curves stand at the held values of the other features, groups at their own.
        """
        cls._check_plot_kwargs(plot_kwargs)
        resolution, margin = check_count("grid_resolution", grid_resolution, 2), check_margin(eps)
        coverage = None if coverage is None else check_coverage(coverage)
        data = read_data(estimator, X, sample_weight, known)
        quantity = choose_quantity(data.source, class_of_interest)
        group = _number_groups(data)
        column = choose_line(feature, data.columns, _use_within(data, group))
        line = lay_line(data, column, data.use[1], fixed, resolution, margin)
        _, experts, mixture = evaluate_rows(data, quantity, line.rows)
        curves = make_curves(quantity, experts, mixture, y)
        points = read_points(data, y, (column,), (line.grid,))
        has_bands = coverage is not None and not curves.is_probability
        display = cls(
            line=line,
            curves=curves,
            points=points._replace(y=data.target(y, quantity.target)),
            tree=data.source.tree,
            group=group,
            bands=_read_bands(data, line, coverage) if has_bands and coverage else None,
            coverage=coverage,
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
        """Draw groups, bands and curves.

        Parameters
        ----------
        <PLOT_AX>
        xlabel, ylabel : str, default=None
            By default the name of the feature, and what is predicted.
        <SCATTER>
        <LEGEND>

        <DRAWN>
        """
        ax = self._take_axes(ax, (7.0, 4.2))
        styles = expert_styles(self.tree)
        self.trajectories_: list[Any] = []
        self.scatter_: list[Any] = []
        if self.points.y is not None:
            self._draw_groups(ax, styles, scatter_kwargs)
        x = self.line.grid
        self.bands_ = [
            ax.fill_between(
                *as_levels(x, *band), color=tuple(style.color), alpha=_BAND, linewidth=0, zorder=4
            )
            for band, style in zip(() if self.bands is None else self.bands, styles, strict=False)
        ]
        self.lines_ = [
            _draw_curve(ax, x, height, style)
            for height, style in zip(self.curves.experts.T, styles, strict=True)
        ]
        write_categories(ax, x, "x")
        ax.set_xlim(*ends(x))
        ax.set_ylim(*vertical_range(self.curves, self.points.y))
        name_axes(ax, xlabel or drawn(self.line.name), ylabel or drawn(self.curves.label))
        self._explain([ax], self._entries(styles), held_note(self.line.held), legend_kwargs)
        return self

    def _draw_groups(self, ax: Any, styles: list[ExpertStyle], kwargs: Any) -> None:
        points, at = self.points, self.points.X[:, 0]
        height = np.asarray(points.y)
        if self.curves.is_probability:
            height = spread_classes(height)
        group = np.arange(len(at)) if self.group is None else self.group
        number, size = np.unique(group, return_inverse=True, return_counts=True)[1:]
        is_alone = size[number] == 1
        if is_alone.any():
            resp = points.responsibilities
            alone = points._replace(
                gate_proba=points.gate_proba[is_alone],
                responsibilities=None if resp is None else resp[is_alone],
            )
            self.scatter_ = draw_points(ax, at[is_alone], height[is_alone], alone, styles, kwargs)
        if not is_alone.all():
            order = np.lexsort((at, number))
            order = order[~is_alone[order]]
            starts = np.flatnonzero(np.diff(number[order], prepend=-1))
            rows = np.split(order, starts[1:])
            self.trajectories_ = _draw_lines(ax, at, height, rows, points.proba, styles)

    def _entries(self, styles: list[ExpertStyle]) -> list[Entry]:
        from matplotlib.lines import Line2D
        from matplotlib.patches import Patch

        entries = expert_entries(styles, [style.linestyle for style in styles])
        if not self.scatter_:
            entries = [(handles[:2], name) for handles, name in entries]  # without the marker
        if self.bands_ and self.coverage is not None:
            patch = Patch(facecolor="black", alpha=_BAND, linewidth=0.0)
            entries.append((patch, f"{100.0 * self.coverage:g} % of an expert's y"))
        if self.trajectories_ and len(styles) > 1:
            levels = np.linspace(1.0 / len(styles), 1.0, 3)
            strokes = [
                Line2D([], [], color="black", alpha=alpha, linewidth=1.2)
                for alpha in _opacity(levels, len(styles))
            ]
            listed = ", ".join(f"{level:.2g}" for level in levels)
            entries.append((Explanation(strokes), f"groups, posterior\nprobability {listed}"))
        return entries


def _draw_lines(
    ax: Any,
    at: np.ndarray,
    height: np.ndarray,
    rows: list[np.ndarray],
    proba: np.ndarray,
    styles: list[ExpertStyle],
) -> list[Any]:
    """Draw a line through the rows of each group, and return a collection per expert."""
    from matplotlib.collections import LineCollection

    of_group = proba[[own[0] for own in rows]]
    winner = of_group.argmax(axis=1)
    alpha = _opacity(of_group.max(axis=1), len(styles))
    artists = []
    for k, style in enumerate(styles):
        own = np.flatnonzero(winner == k)
        lines = LineCollection(
            [np.column_stack([at[rows[g]], height[rows[g]]]) for g in own],
            colors=[(*style.color, alpha[g]) for g in own],
            linewidths=1.0 if len(rows) <= _MOST_LINES else 0.6,
            rasterized=len(rows) > _MOST_VECTORS,
            zorder=2,
        )
        artists.append(ax.add_collection(lines))
    return artists


def _draw_curve(ax: Any, x: np.ndarray, height: np.ndarray, style: ExpertStyle) -> Any:
    """Draw an expert's curve, with a white rim to stand out from its groups."""
    from matplotlib.patheffects import Normal, Stroke

    (line,) = ax.plot(*as_levels(x, height), color=tuple(style.color), linewidth=2.6, zorder=5)
    line.set_linestyle(style.linestyle)
    line.set_path_effects([Stroke(linewidth=4.8, foreground="white"), Normal()])
    return line


def _opacity(largest: np.ndarray, n_experts: int) -> np.ndarray:
    """Return the opacity of lines, for probabilities of the most probable expert."""
    return _FAINTEST + (_STRONGEST - _FAINTEST) * certainty(largest, n_experts)


def _number_groups(data: Data) -> np.ndarray | None:
    if "groups" not in data.per_row:
        return None
    labels = as_array(data.per_row["groups"], "groups")
    return np.unique(labels, return_inverse=True)[1][data.is_kept]


def _use_within(data: Data, group: np.ndarray | None) -> np.ndarray:
    """Return how much experts use each column, 0 for those that are constant within groups."""
    if group is None:
        return data.use.sum(axis=0)
    varies = [_varies_within(data.columns, j, group) for j in range(len(data.columns.values))]
    return np.where(varies, data.use[1], 0.0) if any(varies) else data.use.sum(axis=0)


def _varies_within(columns: Columns, column: int, group: np.ndarray) -> bool:
    order = np.argsort(group, kind="stable")
    values = np.asarray(columns.values[column])[order]
    return bool(np.any((np.diff(group[order]) == 0) & (values[1:] != values[:-1])))


def _read_bands(data: Data, line: Line, coverage: float) -> np.ndarray | None:
    """Return the ends of each expert's central interval; None without distribution functions."""
    levels = [0.5 - 0.5 * coverage, 0.5 + 0.5 * coverage]
    try:
        return data.expert_quantiles(line.rows, levels)
    except NotImplementedError:
        return None
