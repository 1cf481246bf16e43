"""Pieces that meet at break points which are estimated.

Two lines meet where the gate between them is even. For a given break point c that is two linear
equations, ``a_k + b_k c = a_l + b_l c`` of the experts and the same of the gate's logits; with c
free they are not linear. What is maximised over all coefficients and break points at once is the
objective of the fit; for given break points the coefficients follow by a fit with equations, so
that what is left is a maximum over the break points alone: a profile.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Unpack

import numpy as np
from scipy.optimize import minimize_scalar
from sklearn.base import clone

from mixexp.constraints import Linear, Shared
from mixexp.estimators._row_arguments import Given, refuse_unknown, row_arguments
from mixexp.exceptions import InferenceWarning
from mixexp.inference import Table
from mixexp.inference._break_points import find_break_points
from mixexp.inference._hypotheses import critical_value
from mixexp.selection._joinable import check_experts, check_range, refuse_automatic
from mixexp.selection._select import check_estimator
from mixexp.text import shown

# Places that are tried for each break point before it is refined, and shares of the way between
# its neighbours that they span.
_N_PLACES, _ENDS = 9, (0.08, 0.92)
# How far from the centre of the feature break points are looked for, in standard deviations.
_REACH = 1.6
# Of several break points each is moved so often, at first anywhere between its neighbours, then by
# this share of the range, to within the last share of it; Newton's steps do the rest.
_N_SWEEPS, _NEARBY, _CLOSE = 2, 0.1, 3e-3
# Newton's steps end with one that promises less than this, a seventieth of a standard error.
_SMALL_GAIN, _MOST_STEPS = 1e-4, 10
# Curvature is told by differences over this share of a standard error: far beyond what fits leave
# to gain, near enough for a parabola.
_STEP, _FIRST_STEP = 0.3, 1e-3


@dataclass(frozen=True, eq=False)
class JoinedPieces:
    """A fit whose pieces meet at estimated break points, and how well these are known.

    Returned by `join_pieces`.

    Parameters
    ----------
    estimator_ : estimator
        The fit at the estimated break points. Its ``n_parameters_`` and standard errors take these
        as given.
    points : ndarray of shape (n_points,)
        Break points in the unit of the feature, from left to right.
    covariance : ndarray of shape (n_points, n_points)
        Inverse of minus the curvature of the profile; NaN where it has no top.
    labels : dict of str to list
        Columns "gate", "feature", "left" and "right" of the table of break points.
    widths : ndarray of shape (n_points,)
        How far from each the log odds of its neighbours are one.
    profile : dict of str to list
        "points" that were tried, and the "objective" at each.
    """

    estimator_: Any
    points: np.ndarray
    covariance: np.ndarray
    labels: dict[str, list[str]]
    widths: np.ndarray
    profile: dict[str, list[Any]]

    @property
    def n_parameters(self) -> int:
        """Number of free parameters, break points included."""
        return int(self.estimator_.n_parameters_) + len(self.points)

    def break_points(self, level: float = 0.95) -> Any:
        """Return the break points with their intervals.

        Parameters
        ----------
        level : float, default=0.95
            Coverage of the intervals, by the curvature of the profile: break points are taken for
            normal.

        Returns
        -------
        pandas.DataFrame, or Table without pandas
            Columns as those of ``inference(X, y).break_points()``.
        """
        reach = critical_value(level)
        errors = np.sqrt(np.diagonal(self.covariance))
        return Table(
            {
                **self.labels,
                "estimate": self.points.tolist(),
                "std_error": errors.tolist(),
                "lower": (self.points - reach * errors).tolist(),
                "upper": (self.points + reach * errors).tolist(),
                "width": self.widths.tolist(),
            }
        ).to_frame()


@row_arguments
def join_pieces(
    estimator: Any, X: Any, y: Any, sample_weight: Any = None, **given: Unpack[Given]
) -> JoinedPieces:
    """Fit pieces that meet at break points which are estimated, too.

    The estimator is fitted, which says where its gate is even; then again with pieces that meet
    there, over break points, until the objective is highest. Slopes of other features are shared,
    for else pieces would meet at single points only.

    Parameters
    ----------
    estimator : MoERegressor or MoEClassifier
        Whose gate looks at one feature, which experts of one family see too. It is cloned. Its
        constraints are kept.
    X : array-like of shape (n, n_features)
    y : array-like of shape (n,)
    sample_weight : array-like of shape (n,), default=None
    <PER_ROW>

    Returns
    -------
    JoinedPieces
        Of the highest ``penalized_log_likelihood_`` over coefficients and break points.

    Raises
    ------
    ValueError, TypeError
        If an argument is not as described, or the free fit has not every expert on a stretch of
        the feature; the message says which.

    Warns
    -----
    UserWarning
        As `fit` does, of the free fit and of the best.
    InferenceWarning
        If break points have no standard errors.

    Notes
    -----
    Costs some 30 fits for each break point, each from the coefficients of the best so far. The mean
    of y is smooth where the gate is not sharp: then it is the experts' lines that meet, not the
    mean's that bends.

    References
    ----------
    Muggeo (2003), for broken lines with sharp borders.

    Examples
    --------
    >>> import numpy as np
    >>> from mixexp import MoERegressor
    >>> from mixexp.selection import join_pieces
    >>> rng = np.random.default_rng(0)
    >>> x = rng.uniform(0.0, 10.0, 200)
    >>> y = np.where(x < 4.0, x, 8.0 - x) + 0.3 * rng.normal(size=200)
    >>> joined = join_pieces(MoERegressor(2, n_init=2, random_state=0), x[:, None], y)
    >>> bool(abs(joined.points[0] - 4.0) < 0.2)
    True
    """
    check_estimator(estimator)
    refuse_automatic(estimator)
    refuse_unknown(given)
    free = clone(estimator).fit(X, y, sample_weight, **given)
    chain = _Chain.of(free)

    def refit(init: Any, points: np.ndarray) -> _Refit:
        constraints = [*_listed(estimator.constraints), *chain.constraints(points)]
        model = clone(estimator).set_params(constraints=constraints, init=init)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model.fit(X, y, sample_weight, **given)
        return _Refit(model, caught)

    search = _Search(refit, free, chain.points)
    search.climb(chain.points, chain.ends)
    covariance = search.polish()
    if np.isnan(covariance).any():
        warnings.warn(
            "Break points have no standard errors: the objective has no top along them within the "
            "range of the feature. Ask for fewer experts.",
            InferenceWarning,
            stacklevel=2,
        )
    for trouble in search.troubles:
        warnings.warn(trouble.message, trouble.category, stacklevel=2)
    at_best = find_break_points(*_parts(search.best))
    widths = {(point.left, point.right): point.width for point in at_best}
    return JoinedPieces(
        search.best.set_params(init=estimator.init),
        search.points,
        covariance,
        chain.labels,
        np.array([widths.get(pair, np.nan) for pair in chain.pairs]),
        search.profile,
    )


def _listed(constraints: Any) -> list[Any]:
    if constraints is None:
        return []
    return list(constraints) if isinstance(constraints, list | tuple) else [constraints]


def _parts(model: Any) -> tuple[Any, Any, Any]:
    fitted = model.fitted_model_
    return fitted.model, fitted.params, fitted.scaling


@dataclass(frozen=True)
class _Chain:
    """Experts from left to right along a feature, and where each follows on the one before."""

    pairs: list[tuple[int, int]]
    points: np.ndarray
    ends: tuple[float, float]
    feature: str
    others: list[str]
    labels: dict[str, list[str]]

    @classmethod
    def of(cls, free: Any) -> "_Chain":
        """Return the chain of a fit without equations.

        Raises
        ------
        ValueError
            If there is none: a tree, an expert that is nowhere the most probable, experts that do
            not see the feature.
        """
        model, params, scaling = _parts(free)
        check_experts(free)
        points, n_experts = find_break_points(model, params, scaling), model.tree.n_leaves
        if len(model.tree.inner_nodes) != 1 or len(points) != n_experts - 1 or not points:
            raise ValueError(
                "estimator must have one gate, which makes every expert the most probable one on a "
                f"stretch of its feature; the fit has {n_experts} experts and "
                f"{len(points)} break points. Ask for fewer experts, or another 'random_state'."
            )
        names, column = free._names(), points[0].column
        seen = sorted({int(at) for group in model.groups for at in model.designs[group.designs[0]]})
        if 1 + column not in seen:
            raise ValueError(
                f"Experts must see the feature of the gate, {shown(names.features[column])}, for "
                "pieces to meet along it; see 'expert_features'."
            )
        check_range(points, names.features[column], scaling)
        center, spread = scaling.center[column], scaling.scale[column]
        return cls(
            [(point.left, point.right) for point in points],
            np.array([point.value for point in points]),
            (
                min(center - _REACH * spread, points[0].value),
                max(center + _REACH * spread, points[-1].value),
            ),
            names.features[column],
            [
                names.features[at - 1]
                for at in seen
                if at not in (0, 1 + column) and not scaling.is_constant[at - 1]
            ],
            {
                "gate": [names.nodes[point.node] for point in points],
                "feature": [names.features[point.column] for point in points],
                "left": [names.nodes[point.left + 1] for point in points],
                "right": [names.nodes[point.right + 1] for point in points],
            },
        )

    def constraints(self, points: np.ndarray) -> list[Any]:
        """Return that neighbours meet, and are equally probable, at given points."""
        meet = [
            Linear(
                f"{part}[{j}:intercept] - {part}[{k}:intercept] {times} * {part}[{j}:{name}] "
                f"{back} * {part}[{k}:{name}] = 0"
            )
            for (j, k), point in zip(self.pairs, points, strict=True)
            for part in ("b", "gate")
            for name, times, back in [(self.feature, *_signed(float(point)))]
        ]
        return [*meet, Shared(self.others)] if self.others else meet


def _signed(number: float) -> tuple[str, str]:
    """Return a number with its sign before it, and the opposite one."""
    size = repr(abs(number))
    return (f"+ {size}", f"- {size}") if number >= 0.0 else (f"- {size}", f"+ {size}")


class _Refit(NamedTuple):
    """A fit on the way, and its warnings, which are told of the best alone."""

    model: Any
    troubles: Sequence[warnings.WarningMessage]


class _Search:
    """Climbs the profile of break points, each fit from the best so far.

    Parameters
    ----------
    refit : callable
        Returns a fit with given break points, from the coefficients of another.
    start : estimator
    points : ndarray of shape (n_points,)
    """

    def __init__(
        self, refit: Callable[[Any, np.ndarray], _Refit], start: Any, points: np.ndarray
    ) -> None:
        self._refit = refit
        self.troubles: Sequence[warnings.WarningMessage] = []
        self.points, self.best, self._objective = points, start, -np.inf
        self.profile: dict[str, list[Any]] = {"points": [], "objective": []}

    def at(self, points: np.ndarray) -> float:
        """Return the profile at some break points."""
        model, troubles = self._refit(self.best, points)
        objective = float(model.penalized_log_likelihood_)
        self.profile["points"].append(points.tolist())
        self.profile["objective"].append(objective)
        if objective > self._objective:
            self.points, self.best, self._objective = points.copy(), model, objective
            self.troubles = troubles
        return objective

    def climb(self, points: np.ndarray, ends: tuple[float, float]) -> None:
        """Move one break point after the other between its neighbours."""
        self.at(points)
        spread = ends[1] - ends[0]
        for sweep in range(_N_SWEEPS if len(points) > 1 else 1):
            for i in range(len(points)):
                walls = np.array([ends[0], *self.points, ends[1]])[[i, i + 2]]
                near = self.points[i] + _NEARBY * spread * np.array([-1.0, 1.0])
                bracket = self._best_bracket(i, walls) if sweep == 0 else np.clip(near, *walls)
                minimize_scalar(
                    lambda place, i=i: -self.at(_with(self.points, i, place)),
                    bounds=tuple(bracket),
                    method="bounded",
                    options={"xatol": _CLOSE * spread},
                )

    def _best_bracket(self, i: int, walls: np.ndarray) -> np.ndarray:
        """Return the neighbours of the best of some places between two walls."""
        places = walls[0] + np.linspace(*_ENDS, _N_PLACES) * (walls[1] - walls[0])
        for place in places:
            self.at(_with(self.points, i, place))
        around = np.array([walls[0], *places, walls[1]])
        own = self.points[i]
        return np.array([around[around < own].max(), around[around > own].min()])

    def polish(self) -> np.ndarray:
        """Take Newton's steps on the profile, and return the inverse of its curvature."""
        for _ in range(_MOST_STEPS):
            centre, top = self.points, self._objective
            steps = np.array([self._step(centre, top, i) for i in range(len(centre))])
            slope, bend = self._derivatives(centre, top, steps)
            if not np.all(np.linalg.eigvalsh(bend) > 0.0):
                break
            covariance = np.linalg.inv(bend)
            self.at(centre + covariance @ slope)
            if 0.5 * float(slope @ covariance @ slope) <= _SMALL_GAIN:
                return covariance
        return np.full((len(self.points), len(self.points)), np.nan)

    def _step(self, centre: np.ndarray, top: float, i: int) -> float:
        """Return a share of a standard error, roughly, for differences."""
        first = _FIRST_STEP * float(np.ptp([place[i] for place in self.profile["points"]]))
        low, high = (self.at(_with(centre, i, centre[i] + sign * first)) for sign in (-1.0, 1.0))
        fall = max(2.0 * top - low - high, _SMALL_GAIN)
        return _STEP * first / float(np.sqrt(fall))

    def _derivatives(
        self, centre: np.ndarray, top: float, steps: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the slope of the profile and minus its curvature, by central differences."""
        m = len(centre)
        slope, bend, unit = np.zeros(m), np.zeros((m, m)), np.diag(steps)
        for i in range(m):
            low, high = self.at(centre - unit[i]), self.at(centre + unit[i])
            slope[i] = (high - low) / (2.0 * steps[i])
            bend[i, i] = (2.0 * top - low - high) / steps[i] ** 2
            for j in range(i):
                signs: Sequence[tuple[int, int]] = ((1, 1), (-1, -1), (1, -1), (-1, 1))
                same, same2, mixed, mixed2 = (
                    self.at(centre + a * unit[i] + b * unit[j]) for a, b in signs
                )
                bend[i, j] = bend[j, i] = (mixed + mixed2 - same - same2) / (
                    4.0 * steps[i] * steps[j]
                )
        return slope, bend


def _with(points: np.ndarray, i: int, place: float) -> np.ndarray:
    out = points.copy()
    out[i] = place
    return out
