"""How sure the posterior is: histograms of responsibilities, with heights as square roots."""

from typing import Any, Self

import numpy as np

from mixexp.arguments import check_count, is_real
from mixexp.displays._base import Display, row_keywords
from mixexp.displays._layout import (
    Entry,
    columns_in,
    grid_shape,
    letters_along,
    name_axes,
    text_scale,
)
from mixexp.displays._source import open_source
from mixexp.displays._style import ExpertStyle, dark, expert_styles, tint
from mixexp.estimators._row_arguments import Given
from mixexp.estimators._words import percent
from mixexp.text import shown
from mixexp.tree import GatingTree


class RootogramDisplay(Display):
    """Histograms of the responsibilities of every expert, heights on a square-root scale.

    An expert that is well told from the others has a bar at 1, one at 0, and little between; a
    bar in the middle is rows which it shares. Rows with a responsibility of next to nothing
    are left out, for they would hide all others; square roots make small bars visible
    (Tukey's rootogram; Leisch 2004).

    Build it with `from_estimator`.

    Parameters
    ----------
    edges : ndarray of shape (n_bins + 1,)
        Of the bins, from 0 to 1.
    counts : ndarray of shape (n_experts, n_bins)
        Sum of weights of the rows in each bin.
    own_counts : ndarray of shape (n_experts, n_bins)
        The part of them of which the expert is the most probable.
    mass : ndarray of shape (n_experts,)
        Share of the rows that each expert is responsible for; sums to one.
    tree : GatingTree

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes
        One per expert, and empty ones to fill the grid.
    figure_ : matplotlib Figure
    bars_ : list of matplotlib StepPatch
        All rows, per expert.
    own_bars_ : list of matplotlib StepPatch
        The rows of which it is the most probable expert.
    legend_ : matplotlib Legend

    References
    ----------
    Leisch (2004), FlexMix: a general framework for finite mixture models and latent class
    regression in R, Journal of Statistical Software 11.

    Examples
    --------
    >>> import numpy as np
    >>> from mixexp import MoERegressor
    >>> from mixexp.displays import RootogramDisplay
    >>> x = np.linspace(-1.0, 1.0, 200)[:, None]
    >>> y = np.abs(x[:, 0]) + 0.05 * np.sin(50.0 * x[:, 0])
    >>> model = MoERegressor(n_experts=2, random_state=0).fit(x, y)
    >>> display = RootogramDisplay.from_estimator(model, x, y, bins=10)
    >>> display.counts.shape
    (2, 10)
    """

    edges: np.ndarray
    counts: np.ndarray
    own_counts: np.ndarray
    mass: np.ndarray
    tree: GatingTree

    @classmethod
    @row_keywords(Given)
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        *,
        bins: int = 20,
        eps: float = 1e-4,
        known: dict[str, Any],
        sample_weight: Any = None,
        ax: Any = None,
        **plot_kwargs: Any,
    ) -> Self:
        """Count the responsibilities of a fitted estimator, and draw them.

        Parameters
        ----------
        <ESTIMATOR>
        X : array-like of shape (n, n_features)
        y : array-like of shape (n,)
        bins : int, default=20
            Of equal width between 0 and 1.
        eps : float, default=1e-4
            Responsibilities below are left out.
        <PER_ROW>
        <WEIGHT>
        <PANELS>

        <MADE>
        """
        cls._check_plot_kwargs(plot_kwargs)
        n_bins = check_count("bins", bins)
        if not is_real(eps) or not 0.0 <= float(eps) < 1.0:
            raise ValueError(f"The 'eps' parameter must be in the range [0, 1). Got {shown(eps)}.")
        source = open_source(estimator)
        y = source.of_known_classes(y, sample_weight)
        resp = source.responsibilities(X, y, known)
        weight = source.row_weights(sample_weight, len(resp))[:, None]
        edges = np.linspace(0.0, 1.0, n_bins + 1)
        is_own = resp.argmax(axis=1)[:, None] == np.arange(resp.shape[1])
        display = cls(
            edges=edges,
            counts=_count(resp, edges, weight * (resp >= eps)),
            own_counts=_count(resp, edges, weight * ((resp >= eps) & is_own)),
            mass=np.average(resp, axis=0, weights=weight[:, 0]),
            tree=source.tree,
        )
        return display.plot(ax=ax, **plot_kwargs)

    def plot(
        self,
        ax: Any = None,
        *,
        xlabel: str | None = None,
        ylabel: str | None = None,
        bar_kwargs: dict[str, Any] | None = None,
        legend_kwargs: dict[str, Any] | None = None,
    ) -> Self:
        """Draw one histogram per expert.

        Parameters
        ----------
        <PLOT_PANELS>
        xlabel, ylabel : str, default=None
        bar_kwargs : dict, default=None
            For ``Axes.stairs``, over what the display would choose.
        <LEGEND>

        <DRAWN>
        """
        n_experts = len(self.counts)
        shape = grid_shape(n_experts, columns_in(ax, n_experts, 4))
        size = (2.4 * shape[1] + 2.2, 2.1 * shape[0] + 0.4)
        panels = self._take_panels(ax, shape, size, n_experts)
        self.bars_: list[Any] = []
        self.own_bars_: list[Any] = []
        highest = 1.08 * max(float(self.counts.max()), 1.0)
        styles = expert_styles(self.tree)
        for k, (panel, style) in enumerate(zip(panels, styles, strict=True)):
            # Scaled before bars are drawn, for a bar's foot at 0 has a square root and no log.
            panel.set_yscale("function", functions=(_signed_root, _signed_square))
            pale = tint(style.color, np.array(0.3))
            self.bars_.append(self._draw_bars(panel, self.counts[k], pale, style, bar_kwargs))
            own = self.own_counts[k]
            self.own_bars_.append(self._draw_bars(panel, own, style.color, style, bar_kwargs))
            if not self.counts[k].any():
                at = {"transform": panel.transAxes, "ha": "center", "color": "0.4"}
                panel.text(0.5, 0.5, "no rows", fontsize=10.0 * text_scale(panel), **at)
            panel.set(xlim=(0.0, 1.0), ylim=(0.0, highest))
            panel.set_yticks(_root_ticks(highest))
            panel.set_xticks([0.0, 0.5, 1.0], ["0", "0.5", "1"])
            share = percent(self.mass[k])
            title = f"{style.name}: {share}"
            is_narrow = len(title) > letters_along(panel, "x")
            panel.set_title(
                f"{style.short_name}: {share}" if is_narrow else title, fontsize="medium"
            )
            is_lowest, is_first = k + shape[1] >= n_experts, k % shape[1] == 0
            name_axes(
                panel,
                (xlabel or "responsibility") if is_lowest else "",
                (ylabel or "rows") if is_first else "",
            )
        self._explain(panels, _entries(), "", legend_kwargs, min(shape[1], n_experts) - 1)
        return self

    def _draw_bars(
        self, ax: Any, counts: np.ndarray, color: np.ndarray, style: ExpertStyle, kwargs: Any
    ) -> Any:
        look: dict[str, Any] = {"facecolor": tuple(color), "edgecolor": tuple(dark(style.color))}
        look |= {"linewidth": 0.7, "fill": True, "hatch": style.hatch}
        return ax.stairs(counts, self.edges, **{**look, **(kwargs or {})})


def _count(resp: np.ndarray, edges: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return sums of weights by expert and bin, (n_experts, n_bins)."""
    # Sums of probabilities may end above 1 in the last digit.
    pairs = zip(np.minimum(resp, 1.0).T, weight.T, strict=True)
    return np.array([np.histogram(column, edges, weights=own)[0] for column, own in pairs])


def _entries() -> list[Entry]:
    from matplotlib.patches import Patch

    return [
        (Patch(facecolor="0.35", edgecolor="0.2"), "most probable expert"),
        (Patch(facecolor="0.85", edgecolor="0.5"), "another is likelier"),
    ]


def _signed_root(values: np.ndarray) -> np.ndarray:
    return np.sign(values) * np.sqrt(np.abs(values))


def _signed_square(values: np.ndarray) -> np.ndarray:
    return np.sign(values) * np.square(values)


def _root_ticks(highest: float) -> list[float]:
    """Return a few round numbers whose square roots are spread over the axis."""
    steps = [m * 10.0**e for e in range(12) for m in (1.0, 2.0, 5.0)]
    step = next(s for s in steps if s >= highest / 16.0)
    return [0.0, *(t for t in (step, 4.0 * step, 9.0 * step, 16.0 * step) if t <= highest)]
