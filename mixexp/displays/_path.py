"""Slopes of experts and gates against the strength of an L1 penalty, and the choice."""

from typing import Any, Self

import numpy as np

from mixexp.displays._base import Display
from mixexp.displays._layout import letters_along, name_axes, wrap
from mixexp.displays._style import expert_styles
from mixexp.estimators._tables import feature_labels
from mixexp.selection import RegularizationPath
from mixexp.text import drawn
from mixexp.tree import GatingTree

# Columns with the largest slopes at the chosen strength are named, so many per panel.
_MOST_NAMED = 6
# Smaller slopes, as a share of the largest, lie upon each other.
_LEAST_NAMED = 0.1


class RegularizationPathDisplay(Display):
    """Slopes at every strength of an L1 penalty: which columns enter, and when.

    One panel for the experts and one for the gates, a line per expert, or child of a gate, and
    column, in the colour of the expert (of the first below the child). A dashed line stands at
    the strength that was chosen, a dotted one at the strongest within a standard error of the
    best score.

    Build it with `from_path`.

    Parameters
    ----------
    strengths : ndarray of shape (n_strengths,)
        Of the experts' penalty, the largest first.
    slopes : ndarray of shape (n_strengths, n_experts, n_columns)
        Per standard deviation of the columns.
    gate_slopes : ndarray of shape (n_strengths, n_children, n_columns)
    tree : GatingTree
    names, gate_names : list of str
        Columns that experts and gates see.
    best, one_se : int
        Places of the strengths that were chosen.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes
    figure_ : matplotlib Figure
    lines_ : list of matplotlib Line2D
        Of both panels.
    chosen_ : list of matplotlib Line2D
        The lines at the chosen strength.
    legend_ : matplotlib Legend

    Examples
    --------
    >>> import numpy as np
    >>> from mixexp import MoERegressor
    >>> from mixexp.displays import RegularizationPathDisplay
    >>> from mixexp.selection import regularization_path
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((200, 4))
    >>> y = np.where(X[:, 0] > 0.0, 2.0, -2.0) * X[:, 1] + 0.3 * rng.standard_normal(200)
    >>> model = MoERegressor(2, alpha=0.0, gate_alpha=0.0, n_init=2, random_state=0)
    >>> path = regularization_path(model, X, y, n_strengths=8)
    >>> RegularizationPathDisplay.from_path(path).slopes.shape
    (8, 2, 4)
    """

    strengths: np.ndarray
    slopes: np.ndarray
    gate_slopes: np.ndarray
    tree: GatingTree
    names: list[str]
    gate_names: list[str]
    best: int
    one_se: int

    @classmethod
    def from_path(cls, path: RegularizationPath, *, ax: Any = None, **plot_kwargs: Any) -> Self:
        """Draw what `mixexp.selection.regularization_path` found.

        Parameters
        ----------
        path : RegularizationPath
        <PANELS>

        Returns
        -------
        RegularizationPathDisplay

        Raises
        ------
        TypeError
            If it is no path, or a keyword is unknown.
        """
        cls._check_plot_kwargs(plot_kwargs, "from_path")
        if not isinstance(path, RegularizationPath):
            raise TypeError(
                "path must be what mixexp.selection.regularization_path returns. Got "
                f"{type(path).__name__} instead."
            )
        model, slopes, gates = path.best_estimator_, path.coefs, path.gate_coefs
        scale = model.fitted_model_.scaling.scale
        slopes = slopes * scale[model.expert_features_]
        display = cls(
            strengths=path.strengths,
            slopes=slopes.reshape(len(slopes), slopes.shape[1], -1, slopes.shape[-1])[:, :, 0],
            gate_slopes=gates * scale[model.gate_features_],
            tree=model.tree_,
            names=feature_labels(model, model.expert_features_),
            gate_names=feature_labels(model, model.gate_features_),
            best=path.best_index_,
            one_se=path.one_se_index_,
        )
        return display.plot(ax=ax, **plot_kwargs)

    def plot(
        self,
        ax: Any = None,
        *,
        xlabel: str | None = None,
        ylabel: str | None = None,
        line_kwargs: dict[str, Any] | None = None,
        legend_kwargs: dict[str, Any] | None = None,
    ) -> Self:
        """Draw the slopes over the strengths, on a log scale.

        Parameters
        ----------
        <PLOT_PANELS>
        xlabel, ylabel : str, default=None
        line_kwargs : dict, default=None
            For ``Axes.plot`` of every slope, over what the display would choose.
        <LEGEND>

        <DRAWN>
        """
        panels = self._take_panels(ax, (1, 2), (9.0, 4.2))
        styles = expert_styles(self.tree)
        first = self.tree.covers[1:].argmax(axis=1)  # the leftmost expert below each child
        parts = (
            ("experts", self.slopes, range(self.tree.n_leaves), self.names),
            ("gate", self.gate_slopes, first, self.gate_names),
        )
        self.lines_, self.chosen_ = [], []
        for panel, (title, slopes, leaves, names) in zip(panels, parts, strict=True):
            for row, leaf in enumerate(leaves):
                look = {"color": tuple(styles[leaf].color), "linewidth": 1.4}
                look = {**look, **(line_kwargs or {})}
                self.lines_ += panel.plot(self.strengths, slopes[:, row], **look)
            panel.set_xscale("log")
            panel.invert_xaxis()
            panel.axhline(0.0, color="0.7", linewidth=0.8, zorder=1)
            dashes = {"color": "0.4", "linewidth": 1.0, "zorder": 1}
            at = self.strengths[self.best]
            self.chosen_.append(panel.axvline(at, linestyle=(0, (4.0, 3.0)), **dashes))
            if self.one_se != self.best:
                panel.axvline(self.strengths[self.one_se], linestyle=(0, (1.0, 2.0)), **dashes)
            panel.set_title(title)
            self._name_columns(panel, slopes, names)
            slope_label = ylabel or "slope per standard deviation"
            name_axes(panel, xlabel or "strength l1", slope_label if panel is panels[0] else "")
        own = self.lines_[:: max(1, len(self.names))][: self.tree.n_leaves]
        entries = [(line, f"expert {leaf}") for leaf, line in enumerate(own)]
        self._explain(panels, [*entries, (self.chosen_[0], "chosen")], "", legend_kwargs, 1)
        return self

    def _name_columns(self, panel: Any, slopes: np.ndarray, names: list[str]) -> None:
        """Write the columns of the largest slopes at the weak end of the path."""
        size, n_letters = np.abs(slopes[self.best]), letters_along(panel, "x")
        largest = np.argsort(-size, axis=None, kind="stable")[:_MOST_NAMED]
        for row, column in zip(*np.unravel_index(largest, size.shape), strict=True):
            if size[row, column] > _LEAST_NAMED * size.max():
                height = slopes[-1, row, column]  # the name lies on the side of zero, inside
                panel.annotate(
                    wrap(drawn(names[column]), n_letters),
                    (self.strengths[-1], height),
                    xytext=(-2.0, -2.0 if height > 0.0 else 2.0),
                    textcoords="offset points",
                    ha="right",
                    va="top" if height > 0.0 else "bottom",
                    fontsize="small",
                )
