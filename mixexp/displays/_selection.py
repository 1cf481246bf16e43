"""Criteria against the number of experts, or the tree, and the candidate that was chosen."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Self

import numpy as np

from mixexp.displays._base import Display
from mixexp.displays._layout import name_axes
from mixexp.displays._style import expert_styles
from mixexp.inference import CRITERIA
from mixexp.selection import AutoSelection, Selection
from mixexp.text import shown
from mixexp.tree import GatingTree

# Drawn beside the criterion that was chosen by.
_USUAL = ("aic", "bic", "icl")
# More labels than these have no room aslant.
_MOST_SLANTED = 10


class SelectionDisplay(Display):
    """Criteria of every candidate, and the best candidate by each criterion.

    A curve per criterion; its own best candidate is filled, the others are hollow, and a line
    stands at the candidate that was chosen. Scores have bars of one standard error. Of a bag, which
    chooses none, columns stand for the weights that sizes have in the average: one of the whole
    height is a weight of one.

    Build it with `from_selection`.

    Parameters
    ----------
    labels : list of str
        Candidates in words.
    values : dict of str to ndarray of shape (n_candidates,)
        Criteria by name, the one that was chosen by first.
    best : dict of str to int
        Place of the best candidate by each.
    errors : ndarray of shape (n_candidates,) or None
        Standard errors of the first.
    xlabel, ylabel : str
    weights : ndarray of shape (n_candidates,) or None
        Those that candidates are averaged with, None where one was chosen.
    begins : tuple of int
        Places of candidates that begin a curve of their own: where sizes are tried for each of
        several families, or strengths.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    lines_ : dict of str to matplotlib Line2D
    bests_ : dict of str to matplotlib Line2D
        The best by each criterion.
    chosen_ : matplotlib Line2D or None
        The line at the candidate that was chosen.
    weights_ : matplotlib BarContainer or None
        The columns.
    bars_ : matplotlib ErrorbarContainer or None
    legend_ : matplotlib Legend

    Examples
    --------
    >>> import numpy as np
    >>> from mixexp import MoERegressor, select_n_experts
    >>> from mixexp.displays import SelectionDisplay
    >>> x = np.linspace(-1.0, 1.0, 200)[:, None]
    >>> y = np.abs(x[:, 0]) + 0.05 * np.sin(50.0 * x[:, 0])
    >>> selection = select_n_experts(MoERegressor(random_state=0), x, y, range(1, 4))
    >>> list(SelectionDisplay.from_selection(selection).values)
    ['bic', 'aic', 'icl']
    """

    labels: list[str]
    values: dict[str, np.ndarray]
    best: dict[str, int]
    errors: np.ndarray | None = None
    xlabel: str = "number of experts"
    ylabel: str = "criterion, lower is better"
    weights: np.ndarray | None = None
    begins: tuple[int, ...] = ()

    @classmethod
    def from_selection(
        cls,
        selection: Selection | AutoSelection,
        *,
        criteria: Sequence[str] | None = None,
        ax: Any = None,
        **plot_kwargs: Any,
    ) -> Self:
        """Draw what `mixexp.select_n_experts` found, or a fit with parameters of "auto".

        Parameters
        ----------
        selection : Selection or AutoSelection
            The latter is the ``selection_`` of such a fit, or of a `BaggedMixture`.
        criteria : sequence of str, default=None
            Criteria to draw beside the one that was chosen by; None for AIC, BIC and ICL, and
            for none beside a score, which has another scale.
        <AX>

        Returns
        -------
        SelectionDisplay

        Raises
        ------
        TypeError
            If it is no selection, or a keyword is unknown.
        ValueError
            If a criterion is unknown, or given beside a score.
        """
        cls._check_plot_kwargs(plot_kwargs, "from_selection")
        if isinstance(selection, AutoSelection):
            return cls._of_auto(selection, criteria).plot(ax=ax, **plot_kwargs)
        if not isinstance(selection, Selection):
            raise TypeError(
                "selection must be what mixexp.select_n_experts returns, or the selection_ of a "
                f"fit with parameters of 'auto'. Got {type(selection).__name__} instead."
            )
        chosen_by, is_score = selection.criterion, selection.greater_is_better
        beside = _check_criteria(criteria, is_score)
        names = [chosen_by, *(name for name in beside if name != chosen_by)]
        values = {name: np.array(selection.columns[name], dtype=float) for name in names}
        best = {name: int(np.nanargmin(column)) for name, column in values.items()}
        best[chosen_by] = selection.best_index_
        is_tree = selection.parameter == "tree"
        display = cls(
            labels=[_in_words(candidate) for candidate in selection.candidates],
            values=values,
            best=best,
            errors=np.array(selection.columns["score_se"]) if is_score else None,
            xlabel="tree" if is_tree else "number of experts",
            ylabel="score, higher is better" if is_score else "criterion, lower is better",
        )
        return display.plot(ax=ax, **plot_kwargs)

    @classmethod
    def _of_auto(cls, selection: AutoSelection, criteria: Sequence[str] | None) -> Self:
        _check_criteria(criteria, True)
        columns = selection.columns
        weights, varying = columns.get("weight"), selection.varying
        has_sizes = not {"n_experts", "tree"}.isdisjoint(varying)
        others = [columns[name] for name in varying[1:] if has_sizes]
        of_curve = [tuple(map(str, row)) for row in zip(*others, strict=True)]
        pairs = enumerate(pairwise(of_curve), start=1)
        score = np.array(columns["score"], dtype=float)
        return cls(
            labels=selection.candidates,
            values={"score": score},
            best={"score": selection.best_index_ if weights is None else int(np.nanargmax(score))},
            weights=None if weights is None else np.array(weights),
            errors=np.array(columns["score_se"]),
            xlabel=", ".join("number of experts" if n == "n_experts" else n for n in varying),
            begins=tuple(place for place, (one, other) in pairs if one != other),
            ylabel=f"{'held-out' if weights is None else 'out-of-bag'} log density per row",
        )

    def plot(
        self,
        ax: Any = None,
        *,
        xlabel: str | None = None,
        ylabel: str | None = None,
        line_kwargs: dict[str, Any] | None = None,
        legend_kwargs: dict[str, Any] | None = None,
    ) -> Self:
        """Draw the criteria over the candidates.

        Parameters
        ----------
        <PLOT_AX>
        xlabel, ylabel : str, default=None
        line_kwargs : dict, default=None
            For ``Axes.plot`` of every criterion, over what the display would choose.
        <LEGEND>

        <DRAWN>
        """
        ax = self._take_axes(ax, (6.4, 4.2))
        places = np.arange(len(self.labels))
        first = next(iter(self.values))
        told = self._draw_choice(ax, places, first)
        self.lines_, self.bests_ = {}, {}
        styles = expert_styles(GatingTree.flat(len(self.values)))
        for (name, values), style in zip(self.values.items(), styles, strict=True):
            look = {"color": tuple(style.color), "marker": style.marker, "linewidth": 1.6}
            hollow = {"markerfacecolor": "white", "markersize": 6.5, "zorder": 3}
            # Of what is infinite there is nothing to draw.
            seen = np.where(np.isfinite(values), values, np.nan)
            apart = (np.insert(own, self.begins, np.nan) for own in (1.0 * places, seen))
            (line,) = ax.plot(*apart, **{**look, **hollow, **(line_kwargs or {})})
            at = self.best[name]
            (best,) = ax.plot([at], [seen[at]], **look, markersize=9.0, zorder=4)
            self.lines_[name], self.bests_[name] = line, best
        self.bars_ = self._draw_bars(ax, places, first)
        self._label_candidates(ax, places)
        name_axes(ax, xlabel or self.xlabel, ylabel or self.ylabel)
        entries = [
            ((line, self.bests_[name]), self._entry(name)) for name, line in self.lines_.items()
        ]
        self._explain([ax], [*entries, told], "", legend_kwargs)
        return self

    def _draw_choice(self, ax: Any, places: np.ndarray, first: str) -> tuple[Any, str]:
        """Draw the weights, or which candidate was chosen; return the entry of the legend."""
        self.chosen_ = self.weights_ = None
        if self.weights is None:
            dashes = {"linestyle": (0, (4.0, 3.0)), "linewidth": 1.0}
            self.chosen_ = ax.axvline(self.best[first], color="0.6", zorder=1, **dashes)
            return self.chosen_, "chosen"
        of_height = ax.get_xaxis_transform()
        self.weights_ = ax.bar(
            places, self.weights, 0.5, color="0.88", transform=of_height, zorder=0.5
        )
        for place, weight in zip(places, self.weights, strict=True):
            words = f"{weight:.2g}" if weight > 0.0 else "0"
            at = {"ha": "center", "va": "bottom", "color": "0.35", "fontsize": "small"}
            ax.text(place, 0.01, words, transform=of_height, **at)
        return self.weights_, "weight in the average"

    def _entry(self, name: str) -> str:
        words = name if name == "score" else name.upper().replace("_", "-")
        return f"{words}: best {self.labels[self.best[name]]}"

    def _draw_bars(self, ax: Any, places: np.ndarray, first: str) -> Any:
        if self.errors is None or not np.isfinite(self.errors).any():
            return None
        color = self.lines_[first].get_color()
        return ax.errorbar(
            places,
            self.values[first],
            yerr=self.errors,
            fmt="none",
            ecolor=color,
            elinewidth=1.0,
            capsize=3.0,
            zorder=2,
        )

    def _label_candidates(self, ax: Any, places: np.ndarray) -> None:
        ax.set_xlim(-0.4, len(places) - 0.6)
        is_long, is_many = sum(map(len, self.labels)) > 50, len(self.labels) > _MOST_SLANTED
        slanted = {"rotation": 30.0, "ha": "right", "rotation_mode": "anchor"}
        turned = {"rotation": 90.0} if is_many else slanted
        ax.set_xticks(places, self.labels, **(turned if is_long else {}))


def _check_criteria(criteria: Sequence[str] | None, is_score: bool) -> list[str]:
    known = CRITERIA
    if criteria is None:
        return [] if is_score else list(_USUAL)
    if isinstance(criteria, str) or not all(name in known for name in criteria):
        raise ValueError(
            f"criteria must be a list of some of {known}. Got {shown(criteria)} instead."
        )
    if is_score and criteria:
        raise ValueError(
            "criteria cannot be drawn beside a score, which has another scale. Leave them out."
        )
    return list(criteria)


def _in_words(candidate: Any) -> str:
    return str(candidate).replace(" ", "")
