"""How EM got to its optimum: the winner's way, and where the other starts ended."""

from typing import Any, Self

import numpy as np

from mixexp.displays._base import Display
from mixexp.displays._layout import name_axes
from mixexp.displays._source import open_source

_WINNER = "#0072B2"
# Kind of end: label, marker, colour. Told apart by shape, too.
_ENDS = {
    "converged": ("converged", "o", "#009E73"),
    "dropped": ("dropped early", "x", "#7F7F7F"),
    "stopped": ("not converged", "^", "#D55E00"),
}
# Optima closer than this, relative, are called the same, as the search does.
_SAME_OPTIMUM = 1e-8


class ConvergenceDisplay(Display):
    """The objective over the iterations of EM: the winning start, and how all others ended.

    Drawn is how far each is below the best, on a logarithmic scale: a straight line is EM's
    linear convergence, a plunge is Newton's method. Starts at the bottom reached the best
    optimum. Of the other starts only the ends are known.

    Build it with `from_estimator`.

    Parameters
    ----------
    history : ndarray of shape (n_iter + 1,)
        Penalised log-likelihood of the winner at the start and after every iteration.
    n_iter : ndarray of shape (n_starts,), int
        Iterations of each other start.
    objective : ndarray of shape (n_starts,)
        Where it ended.
    ends : list of {"converged", "dropped", "stopped"}
    names : list of str
        Names of these starts.
    n_on_sample : int, default=0
        Further starts that ended on a sample of the rows, where objectives are others.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    line_ : matplotlib Line2D
        The winner.
    winner_ : matplotlib Line2D
        Its end.
    ends_ : dict of str to matplotlib Line2D
        The other starts, by how they ended.
    legend_ : matplotlib Legend

    Examples
    --------
    >>> import numpy as np
    >>> from mixexp import MoERegressor
    >>> from mixexp.displays import ConvergenceDisplay
    >>> x = np.linspace(-1.0, 1.0, 200)[:, None]
    >>> y = np.abs(x[:, 0]) + 0.05 * np.sin(50.0 * x[:, 0])
    >>> model = MoERegressor(n_experts=2, n_init=3, random_state=0).fit(x, y)
    >>> display = ConvergenceDisplay.from_estimator(model)
    >>> len(display.history) == model.n_iter_ + 1
    True
    """

    history: np.ndarray
    n_iter: np.ndarray
    objective: np.ndarray
    ends: list[str]
    names: list[str]
    n_on_sample: int = 0

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: Any = None, **plot_kwargs: Any) -> Self:
        """Draw how a fitted estimator converged.

        Parameters
        ----------
        <ESTIMATOR>
        <AX>

        <MADE>
        """
        cls._check_plot_kwargs(plot_kwargs)
        model = open_source(estimator).model
        restarts = list(model.restarts_)
        winner = max(range(len(restarts)), key=lambda i: _rank(restarts[i], model))
        others = [restart for i, restart in enumerate(restarts) if i != winner]
        comparable = [restart for restart in others if restart.n_starts]
        display = cls(
            history=np.asarray(model.history_, dtype=float),
            n_iter=np.array([restart.n_iter for restart in comparable], dtype=int),
            objective=np.array([restart.objective for restart in comparable], dtype=float),
            ends=[_end_of(restart) for restart in comparable],
            names=[restart.start for restart in comparable],
            n_on_sample=len(others) - len(comparable),
        )
        return display.plot(ax=ax, **plot_kwargs)

    @property
    def best(self) -> float:
        """The highest objective of all starts."""
        return float(max([self.history.max(), *self.objective]))

    @property
    def floor(self) -> float:
        """What is called no distance from the best; drawn at the bottom."""
        return _SAME_OPTIMUM * (1.0 + abs(self.best))

    def plot(
        self,
        ax: Any = None,
        *,
        xlabel: str | None = None,
        ylabel: str | None = None,
        line_kwargs: dict[str, Any] | None = None,
        legend_kwargs: dict[str, Any] | None = None,
    ) -> Self:
        """Draw the objective over the iterations.

        Parameters
        ----------
        <PLOT_AX>
        xlabel, ylabel : str, default=None
        line_kwargs : dict, default=None
            For ``Axes.plot`` of the winner, over what the display would choose.
        <LEGEND>

        <DRAWN>
        """
        ax = self._take_axes(ax, (6.4, 4.2))
        gaps = self._gaps(self.history)
        look = {"color": _WINNER, "linewidth": 1.8, "marker": ".", "markersize": 4.0, "zorder": 3}
        (self.line_,) = ax.plot(np.arange(len(gaps)), gaps, **{**look, **(line_kwargs or {})})
        last = len(gaps) - 1
        (self.winner_,) = ax.plot(
            [last], gaps[-1:], "*", color=_WINNER, markersize=13.0, zorder=5, clip_on=False
        )
        self.winner_.set(markeredgecolor="white", markeredgewidth=0.8)
        self.ends_ = self._draw_ends(ax)
        ax.set_yscale("log")
        # Room above for a fit that needed no iteration, below for the bottom's name.
        top = max(float(gaps.max()), 100.0 * self.floor, *self._gaps(self.objective))
        ax.set_ylim(0.15 * self.floor, 3.0 * top)
        ax.set_xlim(left=-0.02 * max(last, int(self.n_iter.max(initial=1)), 1))
        ax.axhline(self.floor, color="0.6", linewidth=0.8, zorder=1)
        ax.annotate(
            "best optimum",
            (0.0, self.floor),
            xycoords=("axes fraction", "data"),
            xytext=(3.0, -3.0),
            va="top",
            textcoords="offset points",
            fontsize="small",
            color="0.35",
        )
        ax.xaxis.get_major_locator().set_params(integer=True)
        name_axes(ax, xlabel or "iteration", ylabel or "objective below the best")
        entries = [((self.line_, self.winner_), "winning start")]
        entries += [(marks, self._label(end)) for end, marks in self.ends_.items()]
        title = f"{self.n_on_sample} starts ended\non a sample" if self.n_on_sample else ""
        self._explain([ax], entries, title, legend_kwargs)
        return self

    def _gaps(self, objective: np.ndarray) -> np.ndarray:
        return np.maximum(self.best - objective, self.floor)

    def _label(self, end: str) -> str:
        return f"{_ENDS[end][0]} ({self.ends.count(end)})"

    def _draw_ends(self, ax: Any) -> dict[str, Any]:
        artists = {}
        for end, (_, marker, color) in _ENDS.items():
            chosen = np.array([other == end for other in self.ends], dtype=bool)
            if chosen.any():
                (marks,) = ax.plot(
                    self.n_iter[chosen],
                    self._gaps(self.objective[chosen]),
                    linestyle="none",
                    marker=marker,
                    color=color,
                    markersize=7.0,
                    zorder=4,
                    clip_on=False,
                )
                marks.set(markeredgewidth=1.6 if marker == "x" else 0.8)
                if marker != "x":
                    marks.set_markeredgecolor("white")
                artists[end] = marks
        return artists


def _rank(restart: Any, model: Any) -> tuple[bool, float]:
    """Return what is largest for the start whose fit was kept."""
    is_same = restart.n_iter == model.n_iter_ and restart.reason == model.convergence_reason_
    return is_same, -abs(restart.objective - model.penalized_log_likelihood_)


def _end_of(restart: Any) -> str:
    if restart.reason.startswith("dropped"):
        return "dropped"
    return "converged" if restart.converged else "stopped"
