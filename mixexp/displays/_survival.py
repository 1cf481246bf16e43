"""Survival functions of the mixture and its experts, with Kaplan and Meier's estimate beside."""

from typing import Any, Self

import numpy as np

from mixexp.arguments import check_count, is_whole
from mixexp.displays._base import Display, row_keywords
from mixexp.displays._columns import read_columns
from mixexp.displays._layout import Entry, name_axes
from mixexp.displays._source import open_source
from mixexp.displays._style import expert_styles
from mixexp.estimators._row_arguments import GivenOfX
from mixexp.estimators._validation import check_same_length
from mixexp.metrics import kaplan_meier
from mixexp.text import drawn, shown
from mixexp.tree import GatingTree

# A row that next to never is seen does not stand for more than so many.
_LEAST_SEEN = 1e-3
# Numbers that all rows' survival functions may hold at once.
_MOST_VALUES = 2_000_000


class SurvivalDisplay(Display):
    """Survival functions of y: of the mixture and of each expert.

    Averaged over rows, the mixture should follow the Kaplan-Meier estimate, which knows nothing
    of features; where it does not, the model misses something. An expert's average is over
    the rows that the gates send to it. Rows that are seen only above a limit stand for those that
    were not: each counts for one over its probability to be seen.

    Build it with `from_estimator`.

    Parameters
    ----------
    grid : ndarray of shape (n_grid,)
        Values of y.
    mixture : ndarray of shape (n_grid,)
        Probability of a larger y.
    experts : ndarray of shape (n_experts, n_grid)
    tree : GatingTree
    steps : ndarray of shape (2, m), default=None
        Values and probabilities of the Kaplan-Meier estimate.
    begin : tuple of float, default=None
        Value and probability that it begins at; the first of the grid, and 1, by default.
    row : int, default=None
        The row that is drawn, if it is one; then there is no such estimate.
    label : str, default="y"

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    mixture_ : matplotlib Line2D
    experts_ : list of matplotlib Line2D
    steps_ : matplotlib Line2D or None
    legend_ : matplotlib Legend

    References
    ----------
    Kaplan & Meier (1958), Nonparametric estimation from incomplete observations, J. Am. Statist.
    Assoc. 53.

    Examples
    --------
    >>> import numpy as np
    >>> from mixexp import MoERegressor
    >>> from mixexp.displays import SurvivalDisplay
    >>> x = np.linspace(-1.0, 1.0, 200)[:, None]
    >>> y = np.exp(np.abs(x[:, 0]) + 0.3 * np.sin(50.0 * x[:, 0]))
    >>> is_open = (y > 2.0).astype(int)
    >>> y = np.minimum(y, 2.0)
    >>> model = MoERegressor(2, expert="weibull", random_state=0).fit(x, y, censoring=is_open)
    >>> display = SurvivalDisplay.from_estimator(model, x, y, censoring=is_open)
    >>> display.experts.shape
    (2, 150)
    """

    grid: np.ndarray
    mixture: np.ndarray
    experts: np.ndarray
    tree: GatingTree
    steps: np.ndarray | None = None
    begin: tuple[float, float] | None = None
    row: int | None = None
    label: str = "y"

    @classmethod
    @row_keywords(GivenOfX)
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        *,
        row: int | None = None,
        censoring: Any = None,
        truncation: Any = None,
        grid_resolution: int = 150,
        known: dict[str, Any],
        sample_weight: Any = None,
        ax: Any = None,
        **plot_kwargs: Any,
    ) -> Self:
        """Predict survival functions with a fitted regressor, and draw them.

        Parameters
        ----------
        estimator : fitted MoERegressor or HMERegressor
            Or a `Pipeline` that ends in one.
        X : array-like of shape (n, n_features)
        y : array-like of shape (n,)
            Its range is drawn.
        row : int, default=None
            Number of the row to draw; the average over all rows by default.
        censoring : array-like of shape (n,), default=None
            0 where y is exact, 1 where it is a lower bound, as in ``fit``.
        truncation : float or array-like of shape (n,), default=None
            Lower limits that y is seen above, as in ``fit``; the estimate then begins at the
            least of them, where the mixture is.
        grid_resolution : int, default=150
            Values of y along the axis.
        <PER_ROW>
        <WEIGHT>
        <AX>

        <MADE_WITH_CDF>
        """
        cls._check_plot_kwargs(plot_kwargs)
        resolution = check_count("grid_resolution", grid_resolution, 2)
        source = open_source(estimator)
        if source.is_classifier:
            raise TypeError(
                f"SurvivalDisplay is for regressors; got {type(source.model).__name__}."
            )
        read_columns(X, estimator)  # refuses what is none
        seen = source.transform(X)
        target = source.check_target(y)
        n = len(seen)
        weight = source.row_weights(sample_weight, n, known)
        dist = source.model.predict_dist(seen, **known)
        check_same_length(n, target)
        curve = kaplan_meier(target, censoring, sample_weight=weight, truncation=truncation)
        begin = None
        if truncation is not None:
            limits = np.broadcast_to(np.asarray(truncation, dtype=float), n)
            weight = weight / np.maximum(dist.sf(limits), _LEAST_SEEN)
            least = limits[weight > 0.0].min(keepdims=True)
            begin = float(least[0]), float(_average(dist, least, weight)[0])
            curve = curve._replace(survival=begin[1] * curve.survival)
        kept = weight > 0.0
        low, high = float(target[kept].min()), float(target[kept].max())
        grid = np.linspace(min(low, 0.0) if low > 0.0 else low, high, resolution)
        if row is not None:
            if not is_whole(row) or not 0 <= int(row) < n:
                raise ValueError(
                    f"The 'row' parameter must be an int in the range [0, {n - 1}], or None. Got "
                    f"{shown(row)}."
                )
            weight = np.where(np.arange(n) == int(row), 1.0, 0.0)
        gate = source.model.gate_proba(seen)
        display = cls(
            grid=grid,
            mixture=_average(dist, grid, weight),
            experts=np.stack(
                [_average(own, grid, weight * gate[:, k]) for k, own in enumerate(dist.experts())]
            ),
            tree=source.tree,
            steps=np.stack([curve.time, curve.survival]) if row is None else None,
            begin=begin if row is None else None,
            row=None if row is None else int(row),
            label=str(getattr(y, "name", None) or "y"),
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
        """Draw the survival functions.

        Parameters
        ----------
        <PLOT_AX>
        xlabel, ylabel : str, default=None
            By default the name of y, and what is drawn.
        line_kwargs : dict, default=None
            For ``Axes.plot`` of the mixture, over what the display would choose.
        <LEGEND>

        <DRAWN>
        """
        ax = self._take_axes(ax, (6.8, 4.2))
        self.steps_ = None
        entries: list[Entry] = []
        if self.steps is not None:
            (self.steps_,) = ax.plot(
                *np.column_stack([self.begin or (self.grid[0], 1.0), self.steps]),
                drawstyle="steps-post",
                color="0.55",
                linewidth=1.4,
                zorder=2,
            )
        look = {"color": "black", "linewidth": 2.0, "zorder": 4, **(line_kwargs or {})}
        (self.mixture_,) = ax.plot(self.grid, self.mixture, **look)
        entries.append((self.mixture_, "mixture"))
        if self.steps_ is not None:
            entries.append((self.steps_, "Kaplan-Meier"))
        self.experts_: list[Any] = []
        for k, style in enumerate(expert_styles(self.tree)):
            (line,) = ax.plot(
                self.grid,
                self.experts[k],
                color=style.color,
                linestyle=style.linestyle,
                linewidth=1.6,
                zorder=3,
            )
            self.experts_.append(line)
            entries.append((line, style.name))
        ax.set_ylim(0.0, 1.03)
        ax.set_xlim(self.grid[0], self.grid[-1])
        name_axes(ax, xlabel or drawn(self.label), ylabel or f"P({drawn(self.label)} > value)")
        note = "average over rows" if self.row is None else f"row {self.row}"
        self._explain([ax], entries, note, legend_kwargs)
        return self


def _average(dist: Any, grid: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return the weighted mean over rows of survival functions, shape (n_grid,)."""
    total = weight.sum()
    if total <= 0.0:  # an expert that no gate sends a row to
        weight, total = np.ones(len(weight)), float(len(weight))
    step = max(1, _MOST_VALUES // len(weight))
    parts = [
        weight @ dist.sf(grid[None, start : start + step]) for start in range(0, len(grid), step)
    ]
    return np.concatenate(parts) / total
