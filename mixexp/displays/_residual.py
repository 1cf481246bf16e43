"""Quantile residuals: whether the mixture's distribution of y is the one that y has."""

from typing import Any, Self

import numpy as np
from scipy.special import betaincinv, ndtri
from sklearn.utils import check_random_state

from mixexp.displays._base import Display, row_keywords
from mixexp.displays._layout import Entry, name_axes
from mixexp.displays._marks import Points, draw_points, expert_entries
from mixexp.displays._source import Source, of_features, open_source
from mixexp.displays._style import ExpertStyle, expert_styles
from mixexp.estimators._intervals import Interval
from mixexp.estimators._row_arguments import Given
from mixexp.estimators._validation import RANDOM_STATE, check_argument
from mixexp.tree import GatingTree

# Probabilities are kept this far from 0 and 1: residuals of 37 below and 8.2 above.
_LEAST, _MOST = 1e-300, 1.0 - 2.0**-53
# Probability that a point of the normal plot lies in the band, each taken by itself.
_COVERAGE = 0.95
# A row is part of an expert's line from this responsibility on.
_LEAST_SHARE = 0.01
# Experts with less responsibility than so many rows have no line in the normal plot.
_FEWEST_ROWS = 5.0
_BAND_COLOR = "0.88"


class ResidualDisplay(Display):
    """Randomised quantile residuals: a normal plot, and residuals against the fitted mean.

    A residual is the standard normal quantile of the probability that the model gives to a
    value of at most y; where y is discrete or has atoms, of a probability drawn evenly from the
    step there. If the model is right, residuals are standard normal, whatever the
    families are (Dunn & Smyth 1996).

    On the left, black points are the mixture's residuals; 95 of 100 should lie in the
    grey band. Each coloured line is one expert's own residuals, with rows weighted by their
    responsibility: if the expert is right, that is standard normal as well, while the rows of
    which it is the most probable expert are not. On the right, the mixture's residuals by the
    most probable expert.

    Build it with `from_estimator`.

    Parameters
    ----------
    residuals : ndarray of shape (n,)
        Of the mixture.
    expert_residuals : ndarray of shape (n, n_experts)
        Of each expert, whoever is responsible.
    fitted : ndarray of shape (n,)
        The mixture's mean; for classifiers that of the class number.
    points : Points
        Who is responsible for each row.
    tree : GatingTree
    label : str, default="fitted mean"
    weight : ndarray of shape (n,), default=None
        Sample weights.

    Attributes
    ----------
    axes_ : ndarray of shape (1, 2)
    figure_ : matplotlib Figure
    quantiles_ : matplotlib Line2D
        The mixture's residuals in the normal plot.
    expert_lines_ : dict of int to matplotlib Line2D
        Those of experts with rows enough.
    band_ : matplotlib PolyCollection
    scatter_ : list of matplotlib PathCollection
    legend_ : matplotlib Legend

    References
    ----------
    Dunn & Smyth (1996), Randomized quantile residuals, Journal of Computational and Graphical
    Statistics 5.

    Examples
    --------
    >>> import numpy as np
    >>> from mixexp import MoERegressor
    >>> from mixexp.datasets import make_moe
    >>> from mixexp.displays import ResidualDisplay
    >>> X, y, _ = make_moe(n_experts=2, expert="poisson", random_state=0)
    >>> model = MoERegressor(n_experts=2, expert="poisson", random_state=0).fit(X, y)
    >>> display = ResidualDisplay.from_estimator(model, X, y, random_state=0)
    >>> bool(abs(display.residuals.std() - 1.0) < 0.1)
    True
    """

    residuals: np.ndarray
    expert_residuals: np.ndarray
    fitted: np.ndarray
    points: Points
    tree: GatingTree
    label: str = "fitted mean"
    weight: np.ndarray | None = None

    @classmethod
    @row_keywords(Given)
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        *,
        known: dict[str, Any],
        sample_weight: Any = None,
        random_state: Any = 0,
        ax: Any = None,
        **plot_kwargs: Any,
    ) -> Self:
        """Measure the residuals of a fitted estimator, and draw them.

        Parameters
        ----------
        <ESTIMATOR>
        X : array-like of shape (n, n_features)
        y : array-like of shape (n,)
            Classes count in the order of ``classes_``.
        <PER_ROW>
        <WEIGHT>
        random_state : int, RandomState instance or None, default=0
            Draws probabilities within the steps of discrete y; look at another one, too.
        <PANELS>

        <MADE_WITH_CDF>
        """
        cls._check_plot_kwargs(plot_kwargs)
        check_argument("random_state", random_state, RANDOM_STATE)
        source = open_source(estimator)
        y = source.of_known_classes(y, sample_weight)
        resp = source.responsibilities(X, y, known)
        weight = source.row_weights(sample_weight, len(resp))
        # The same draws for the mixture and for every expert; not the first number, which seeds
        # `mixexp.datasets`: residuals of data drawn from the same random_state would follow it.
        seed = int(check_random_state(random_state).randint(np.iinfo(np.int32).max, size=2)[1])
        read = _transform_classes if source.is_classifier else _transform_values
        proba, fitted = read(source, X, y, known, seed)
        is_kept = weight > 0.0
        residuals = ndtri(np.clip(proba[is_kept], _LEAST, _MOST))
        points = Points(
            np.empty((is_kept.sum(), 0)), None, source.gate_proba(X)[is_kept], resp[is_kept]
        )
        display = cls(
            residuals=residuals[:, -1],
            expert_residuals=residuals[:, :-1],
            fitted=fitted[is_kept],
            points=points,
            tree=source.tree,
            label="mean class number" if source.is_classifier else "fitted mean",
            weight=weight[is_kept],
        )
        return display.plot(ax=ax, **plot_kwargs)

    def plot(
        self,
        ax: Any = None,
        *,
        scatter_kwargs: dict[str, Any] | None = None,
        legend_kwargs: dict[str, Any] | None = None,
    ) -> Self:
        """Draw the normal plot, and the residuals against the fitted mean.

        Parameters
        ----------
        ax : matplotlib Axes or array of two, default=None
            None makes a figure, one axes is divided, an array holds the left and the right.
        <SCATTER>
        <LEGEND>

        <DRAWN>
        """
        left, right = self._take_panels(ax, (1, 2), (10.0, 4.0))
        styles = expert_styles(self.tree)
        self._plot_quantiles(left, styles)
        for height in (-2.0, 0.0, 2.0):
            right.axhline(height, color="0.6", linewidth=0.8, linestyle=(0, (4.0, 3.0)), zorder=1)
        self.scatter_ = draw_points(
            right, self.fitted, self.residuals, self.points, styles, scatter_kwargs
        )
        name_axes(right, self.label, "quantile residual")
        self._explain([left, right], self._entries(styles), "", legend_kwargs, beside=1)
        return self

    def _plot_quantiles(self, ax: Any, styles: list[ExpertStyle]) -> None:
        weight = np.ones(len(self.residuals)) if self.weight is None else self.weight
        order, n_rows = np.argsort(self.residuals, kind="stable"), weight.sum()
        rank = middle_ranks(weight[order])
        theory = ndtri(rank / n_rows)
        tail = 0.5 * (1.0 - _COVERAGE)
        # The i-th of n uniform values has a beta distribution; i - 1/2 is its middle rank.
        betas = rank + 0.5, n_rows - rank + 0.5
        band = [ndtri(betaincinv(*betas, q)) for q in (tail, 1.0 - tail)]
        self.band_ = ax.fill_between(theory, *band, color=_BAND_COLOR, linewidth=0.0, zorder=0)
        ax.plot(theory[[0, -1]], theory[[0, -1]], color="0.4", linewidth=0.9, zorder=1)
        self.expert_lines_ = {}
        for k, style in enumerate(styles):
            own = weight * self.points.proba[:, k]
            if own.sum() >= _FEWEST_ROWS and len(styles) > 1:
                # A row of which it has less would end the line where other experts' rows are.
                shown = self.points.proba[:, k] >= _LEAST_SHARE
                across, up = weighted_quantiles(self.expert_residuals[:, k], own, shown)
                look = {"color": tuple(style.color), "linewidth": 1.6, "linestyle": style.linestyle}
                (self.expert_lines_[k],) = ax.plot(across, up, zorder=2, **look)
        (self.quantiles_,) = ax.plot(
            theory, self.residuals[order], ".", color="black", markersize=3.5, zorder=3
        )
        name_axes(ax, "standard normal quantile", "quantile residual")

    def _entries(self, styles: list[ExpertStyle]) -> list[Entry]:
        from matplotlib.lines import Line2D
        from matplotlib.patches import Patch

        lines = [style.linestyle for style in styles]
        dots = Line2D([], [], color="black", marker=".", linestyle="none", markersize=5.0)
        band = Patch(facecolor=_BAND_COLOR)
        return [*expert_entries(styles, lines), (dots, "mixture"), (band, "95 %, by point")]


def middle_ranks(weight: np.ndarray) -> np.ndarray:
    """Return the mean rank, less a half, of rows that stand there so many times."""
    return np.cumsum(weight) - 0.5 * weight


def weighted_quantiles(
    values: np.ndarray, weight: np.ndarray, shown: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return normal quantiles and sorted values, each row as often as its weight says.

    Rows that are not shown are left out of what is returned, not of the count.
    """
    order = np.argsort(values, kind="stable")
    share = middle_ranks(weight[order]) / weight.sum()
    kept = shown[order]
    return ndtri(np.clip(share[kept], _LEAST, _MOST)), values[order][kept]


def _transform_values(
    source: Source, X: Any, y: Any, known: dict[str, Any], seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities of at most y, (n, n_experts + 1), the mixture last, and its mean."""
    seen, features = source.transform(X), of_features(known)
    predicted = source.model.predict_dist(seen, **features)
    laws = [*predicted.experts(), predicted]
    y, interval = source.read_interval(y, known)
    target = source.check_target(y)
    fitted = source.model.predict(seen, **features)
    return np.column_stack([_transform(law, target, interval, seed) for law in laws]), fitted


def _transform(law: Any, target: np.ndarray, interval: Interval, seed: int) -> np.ndarray:
    """Return the probability of at most y, among what could have been seen.

    Where y is known by an interval, a draw from the probabilities between its ends.
    """
    proba = law.pit(target, seed)
    if interval.ends is not None:
        low, high = (_cdf(law, end) for end in interval.ends)
        draw = np.random.default_rng(seed).random(len(target))
        is_exact = interval.ends[0] == interval.ends[1]
        proba = np.where(is_exact, proba, low + draw * (high - low))
    if interval.window is not None:
        low, high = (_cdf(law, limit) for limit in interval.window)
        proba = (proba - low) / np.maximum(high - low, np.finfo(float).tiny)
    return proba


def _cdf(law: Any, at: np.ndarray) -> np.ndarray:
    """Return the distribution function at values that may be infinite."""
    is_finite = np.isfinite(at)
    return np.where(is_finite, law.cdf(np.where(is_finite, at, 0.0)), at > 0.0)


def _transform_classes(
    source: Source, X: Any, y: Any, known: dict[str, Any], seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the same for classes, which count in the order of ``classes_``."""
    by_expert = source.model.predict_experts(source.transform(X), **of_features(known))
    mixture = (source.gate_proba(X)[:, :, None] * by_expert).sum(axis=1, keepdims=True)
    proba = np.concatenate([by_expert, mixture], axis=1)
    number = source.as_numbers(y)
    up_to = np.concatenate([np.zeros((*proba.shape[:2], 1)), np.cumsum(proba, axis=2)], axis=2)
    rows = np.arange(len(number))
    below, at = up_to[rows, :, number], up_to[rows, :, number + 1]
    draws = np.random.default_rng(seed).random((len(rows), 1))
    return below + draws * (at - below), proba[:, -1] @ np.arange(proba.shape[2])
