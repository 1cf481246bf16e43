"""Coefficients of experts or gates side by side: a forest plot."""

from collections.abc import Iterable
from typing import Any, Self

import numpy as np

from mixexp.arguments import check_choice
from mixexp.displays._base import Display
from mixexp.displays._layout import (
    Entry,
    grid_shape,
    name_axes,
    wrap,
)
from mixexp.displays._nodes import node_styles
from mixexp.displays._source import model_feature_names, open_source
from mixexp.displays._style import ExpertStyle, expert_styles, rim
from mixexp.displays._tree_drawing import text_width
from mixexp.estimators._tables import feature_labels, node_names
from mixexp.inference._tables import number_terms
from mixexp.text import drawn, shown
from mixexp.tree import GatingTree

_PARTS = ("expert", "gate")
_QUANTITIES = {"expert": "slope", "gate": "slope of the logit"}
_SCALES = {"deviation": " per standard deviation", "unit": ""}
# Between the first and the last mark of a term, as a share of the distance of terms.
_SPREAD = 0.5
_MOST_COLUMNS = 4
# Letters in a line of the name of a term.
_TERM_LETTERS = 30


class CoefficientDisplay(Display):
    """Slopes of every expert, or of every gate, term by term.

    One row per feature, one mark per expert (per child of a gate); where there are intervals
    they are drawn as lines. Slopes are per standard deviation of their feature, so that they
    can be compared, and features that matter most are on top.

    Build it with `from_estimator`.

    Parameters
    ----------
    terms : list of str
        Features, top to bottom.
    panels : list of str
        Titles: classes, or gates; one empty title otherwise.
    units : list of list of str
        What each panel compares: names of experts or of children.
    estimates : list of ndarray of shape (n_units, n_terms)
        Per panel.
    intervals : list of ndarray of shape (n_units, n_terms, 2)
        Per panel, NaN where there is none.
    styles : list of list of ExpertStyle
        Per panel and unit.
    label : str, default="coefficient"

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes
    figure_ : matplotlib Figure
    marks_ : list of list of matplotlib Line2D
        Per panel and unit.
    lines_ : list of list of matplotlib LineCollection
        Intervals, per panel and unit.
    legend_ : matplotlib Legend

    Examples
    --------
    >>> from mixexp import MoERegressor
    >>> from mixexp.datasets import make_moe
    >>> from mixexp.displays import CoefficientDisplay
    >>> X, y, _ = make_moe(n_experts=2, random_state=0)
    >>> model = MoERegressor(n_experts=2, random_state=0).fit(X, y)
    >>> display = CoefficientDisplay.from_estimator(model)
    >>> display.estimates[0].shape
    (2, 2)
    """

    terms: list[str]
    panels: list[str]
    units: list[list[str]]
    estimates: list[np.ndarray]
    intervals: list[np.ndarray]
    styles: list[list[ExpertStyle]]
    label: str = "coefficient"

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        *,
        part: str = "expert",
        scale: str = "deviation",
        table: Any = None,
        ax: Any = None,
        **plot_kwargs: Any,
    ) -> Self:
        """Collect the slopes of a fitted estimator, and draw them.

        Parameters
        ----------
        estimator : fitted MoERegressor, MoEClassifier, HMERegressor or HMEClassifier
            Or a `Pipeline` that ends in one: slopes are then of what its transformers make of
            X.
        part : {"expert", "gate"}, default="expert"
        scale : {"deviation", "unit"}, default="deviation"
            Slopes per standard deviation of each feature in the data of the fit, sorted, or
            per unit of each feature, in the order of the features.
        table : DataFrame or dict of lists, default=None
            Columns "part", "unit", "term" and "estimate" as in ``coef_table()``, by default
            just that, and "lower" and "upper" where there are intervals.
        <PANELS>

        <MADE>
        """
        cls._check_plot_kwargs(plot_kwargs)
        part, scale = check_choice("part", part, _PARTS), check_choice("scale", scale, [*_SCALES])
        source = open_source(estimator)
        columns = _read_table(source.model.coef_table() if table is None else table)
        features = _features_of(source.model, part)
        is_scaled = scale == "deviation"
        deviation = source.feature_scales()[features]
        spread = deviation if is_scaled else np.ones(len(features))
        labels = feature_labels(source.model, features)
        grouped = _group(columns, part, labels, _without_location(source.model))
        if not grouped or not labels:
            raise ValueError(f"The model has no slopes of its {part}s to draw.")
        values = [np.stack(list(own.values())) * spread[:, None] for own in grouped.values()]
        order = np.arange(len(labels))
        if is_scaled:
            largest = np.max([np.abs(value[:, :, 0]).max(axis=0) for value in values], axis=0)
            order = np.argsort(-largest, kind="stable")
        names = model_feature_names(source, estimator)
        display = cls(
            terms=[names[features[j]] for j in order],
            panels=list(grouped),
            units=[list(own) for own in grouped.values()],
            estimates=[value[:, order, 0] for value in values],
            intervals=[value[:, order, 1:] for value in values],
            styles=[_styles_of(source.tree, list(own)) for own in grouped.values()],
            label=_QUANTITIES[part] + _SCALES[scale],
        )
        return display.plot(ax=ax, **plot_kwargs)

    def plot(
        self,
        ax: Any = None,
        *,
        xlabel: str | None = None,
        legend_kwargs: dict[str, Any] | None = None,
    ) -> Self:
        """Draw one panel per class or gate.

        Parameters
        ----------
        <PLOT_PANELS>
        xlabel : str, default=None
        <LEGEND>

        <DRAWN>
        """
        n_panels, n_units = len(self.panels), max(len(own) for own in self.units)
        shape = grid_shape(n_panels, _MOST_COLUMNS)
        terms = [wrap(drawn(term), _TERM_LETTERS) for term in self.terms]
        n_lines = 1 + max(term.count("\n") for term in terms)
        high = 0.9 + len(self.terms) * max(0.1 + 0.18 * n_lines, 0.11 * n_units)
        beside = max(text_width(term) for term in terms)
        size = (4.6 + 2.2 * (shape[1] - 1) + 1.2 + beside, shape[0] * high)
        panels = self._take_panels(ax, shape, size, n_panels)
        limits = self._limits()
        self.marks_: list[list[Any]] = []
        self.lines_: list[list[Any]] = []
        for number, panel in enumerate(panels):
            self._plot_panel(panel, number)
            is_first, is_lowest = number % shape[1] == 0, number + shape[1] >= n_panels
            panel.set_yticks(-np.arange(len(self.terms)), terms if is_first else [])
            name_axes(panel, (xlabel or self.label) if is_lowest else "", "")
            panel.set_xlim(*limits)
            panel.set_title(drawn(self.panels[number]), fontsize="medium")
        self._explain(panels, self._entries(), "", legend_kwargs, min(shape[1], n_panels) - 1)
        return self

    def _plot_panel(self, ax: Any, number: int) -> None:
        n_terms, n_units = len(self.terms), len(self.units[number])
        for row in range(0, n_terms, 2):
            ax.axhspan(-row - 0.5, -row + 0.5, color="0.95", linewidth=0.0, zorder=0)
        ax.axvline(0.0, color="0.45", linewidth=0.9, zorder=1)
        step = _SPREAD / max(n_units - 1, 1)
        marks, lines = [], []
        for k, style in enumerate(self.styles[number]):
            shift = 0.5 * _SPREAD - step * k if n_units > 1 else 0.0
            y, color = shift - np.arange(n_terms), tuple(style.color)
            low, high = self.intervals[number][k].T
            known = np.isfinite(low) & np.isfinite(high)
            lines.append(ax.hlines(y[known], low[known], high[known], color=color, linewidth=1.6))
            look = {"linestyle": "none", "marker": style.marker, "color": color, "zorder": 3}
            marks += ax.plot(self.estimates[number][k], y, markersize=6.0, **look)
            marks[-1].set(markeredgecolor=tuple(rim(style.color)), markeredgewidth=0.6)
        self.marks_.append(marks)
        self.lines_.append(lines)
        ax.set_ylim(0.5 - n_terms, 0.5)
        ax.tick_params(axis="y", length=0.0)

    def _limits(self) -> tuple[float, float]:
        """Return limits that hold all estimates, intervals and zero, with a margin."""
        everything = [values.ravel() for values in (*self.estimates, *self.intervals)]
        known = np.concatenate([[0.0], *(values[np.isfinite(values)] for values in everything)])
        margin = 0.06 * float(np.ptp(known)) or 1.0
        return float(known.min()) - margin, float(known.max()) + margin

    def _entries(self) -> list[Entry]:
        """Return each unit once, in the order of the panels."""
        entries: dict[str, Any] = {}
        for names, marks in zip(self.units, self.marks_, strict=True):
            for name, mark in zip(names, marks, strict=True):
                entries.setdefault(name, mark)
        return [(mark, drawn(name)) for name, mark in entries.items()]


def _features_of(model: Any, part: str) -> list[int]:
    return list(model.expert_features_ if part == "expert" else model.gate_features_)


def _read_table(table: Any) -> dict[str, list[Any]]:
    """Return the columns of a table by name, NaN for bounds that it does not have."""
    columns = getattr(table, "columns", table)
    wanted = ("part", "unit", "term", "estimate")
    if isinstance(columns, str | bytes) or not isinstance(columns, Iterable):
        raise TypeError(
            f"The 'table' parameter must be a table as coef_table() returns it. Got {shown(table)}."
        )
    missing = [name for name in wanted if name not in columns]
    if missing:
        raise ValueError(
            f"The 'table' parameter must have columns {list(wanted)} as coef_table() has; it "
            f"lacks {missing}."
        )
    # Of a data frame `columns` are labels; of mixexp's own table they are the columns.
    held = columns if isinstance(columns, dict) else table
    out = {name: list(held[name]) for name in wanted}
    for name in ("lower", "upper"):
        out[name] = list(held[name]) if name in columns else [np.nan] * len(out["part"])
    return out


def _group(
    columns: dict[str, list[Any]], part: str, labels: list[str], left_out: set[str]
) -> dict[str, dict[str, np.ndarray]]:
    """Return slopes and their bounds, (n_terms, 3), by panel and unit."""
    out: dict[str, dict[str, np.ndarray]] = {}
    rows = zip(*(columns[name] for name in ("part", "unit", "term")), strict=True)
    values = zip(*(columns[name] for name in ("estimate", "lower", "upper")), strict=True)
    # The intercept comes first, then the slopes, whatever the columns are called.
    places = {(label, int(label == "intercept")): j for j, label in enumerate(labels)}
    numbers = number_terms(columns)
    for (kind, unit, term), value, number in zip(rows, values, numbers, strict=True):
        at = places.get((term, number))
        if kind != part or at is None:
            continue
        panel, name = _place_of(str(unit), part)
        if part == "expert" and name in left_out:
            continue
        own = out.setdefault(panel, {}).setdefault(name, np.full((len(labels), 3), np.nan))
        own[at] = value
    return out


def _without_location(model: Any) -> set[str]:
    """Return the names of experts that have no slopes, such as point masses."""
    return {
        name
        for name, family in zip(model.tree_.names_of_leaves, model.experts_, strict=True)
        if not any(head.kind == "location" for head in family.heads)
    }


def _place_of(unit: str, part: str) -> tuple[str, str]:
    """Return the panel and the name of a unit: "expert 0, class a", "root -> node 1"."""
    first, _, second = unit.partition(", " if part == "expert" else " -> ")
    return (second, first) if part == "expert" else (first, second)


def _styles_of(tree: GatingTree, units: list[str]) -> list[ExpertStyle]:
    names, styles = node_names(tree), node_styles(tree, expert_styles(tree))
    # A contrast of two children has the style of the first.
    return [styles[names.index(unit.split(" vs ")[0])] for unit in units]
