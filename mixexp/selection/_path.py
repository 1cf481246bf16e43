"""A path of L1 penalties, from slopes of zero to next to no penalty, and a choice on it.

Each strength is fitted from the stronger one: that way has few columns and few optima. Some
strengths have the estimator's own starts too, and what is higher than what the way down came to is
followed back up, as far as it leads higher. The highest objective is kept.
"""

import warnings
from collections.abc import Callable, Sequence
from copy import copy
from typing import Any, NamedTuple, Unpack

import numpy as np
from joblib import Parallel, delayed
from sklearn.base import clone

from mixexp.arguments import is_in_range, is_listed, is_real
from mixexp.data import single_threaded_blas
from mixexp.em import smooth_gradient
from mixexp.estimators._auto import is_automatic
from mixexp.estimators._l1 import of_strength, strength_of
from mixexp.estimators._row_arguments import Given, refuse_unknown, row_arguments
from mixexp.estimators._solver import EM
from mixexp.estimators._validation import N_JOBS, check_argument, whole
from mixexp.selection._growth import Rows
from mixexp.selection._held_out import known_rows, make_folds, take_rows
from mixexp.selection._path_result import RegularizationPath
from mixexp.selection._select import (
    check_criterion,
    check_estimator,
    fit_once,
    score_folds,
    tabulate,
)
from mixexp.text import shown

# Where on the path strengths have the estimator's own starts: not at its end, where slopes that
# are next to free are many, and starts dear.
_FRESH = (0.0, 0.5, 0.25)
# No slope is other than zero at so many times the weight.
_BEYOND = 1e4
# Strengths that are tried for no slopes.
_MOST_TRIES = 3
# Scores per row, in units in which strengths are, that rounding leaves where y is constant.
_NO_SCORE = 1e-12
# The strongest of a path is sought upwards in such steps.
_FROM_BELOW = 0.1
_STEP_UP = 1.4
_MOST_STEPS_UP = 40
# Fits are carried on by at most so many times the stride between them.
_FURTHEST = 2.0
# Fits further apart than this share of their length are no steps along one line.
_NEAR = 0.3
# Objectives closer than this, relative, are one optimum.
_SAME_OPTIMUM = 1e-8
# More would not be told apart, nor found in any time.
_MOST_STRENGTHS = 100_000


class _Strength(NamedTuple):
    """An L1 penalty of experts and of gates."""

    l1: float
    gate_l1: float


@row_arguments
def regularization_path(
    estimator: Any,
    X: Any,
    y: Any,
    sample_weight: Any = None,
    *,
    n_strengths: int = 50,
    strengths: Any = None,
    least: float = 0.01,
    gate_ratio: float = 0.5,
    criterion: str | Callable[..., float] = "bic",
    cv: Any = None,
    n_jobs: int | None = None,
    **given: Unpack[Given],
) -> RegularizationPath:
    """Fit a path of L1 penalties, from slopes of zero on, and choose a strength.

    Parameters
    ----------
    estimator : MoERegressor, HMERegressor, MoEClassifier or HMEClassifier
        Its ``l1`` and ``gate_l1`` are replaced, by such as group as they do; ``alpha`` and
        ``gate_alpha`` are the ridges of an elastic net, and 0 makes it a lasso.
    X : array-like of shape (n, n_features)
    y : array-like of shape (n,)
    sample_weight : array-like of shape (n,), default=None
    n_strengths : int, default=50
        Strengths on the path, from one that makes all slopes zero down, evenly spaced on a log
        scale.
    strengths : array-like of shape (n_strengths,), default=None
        Values of ``l1`` instead.
    least : float, default=0.01
        Weakest strength, as a share of the strongest.
    gate_ratio : float, default=0.5
        ``gate_l1`` over ``l1``. With y in units of its residuals the slopes of experts of n rows
        have noise of about the root of n, those of gates between two of half of that.
    criterion : str or callable, default="bic"
        Criterion to choose by, with what is not zero as degrees of freedom; see the estimator's
        ``criteria``. Or a scorer, called as ``scorer(estimator, X, y)``, such as
        ``mixexp.metrics.log_density_scorer``: its mean over folds.
    cv : int, cross-validation generator or iterable, default=None
        Folds for a scorer, 5 by default.
    n_jobs : int, default=None
        Folds that are fitted at once.
    <PER_ROW>

    Returns
    -------
    RegularizationPath

    Raises
    ------
    ValueError, TypeError
        If an argument is not as described; the message names it.

    Examples
    --------
    >>> import numpy as np
    >>> from mixexp import MoERegressor
    >>> from mixexp.selection import regularization_path
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((300, 5))
    >>> y = np.where(X[:, 0] > 0.0, 2.0, -2.0) * X[:, 1] + 0.3 * rng.standard_normal(300)
    >>> model = MoERegressor(2, alpha=0.0, gate_alpha=0.0, n_init=3, random_state=0)
    >>> path = regularization_path(model, X, y, n_strengths=15)
    >>> np.flatnonzero(np.abs(path.best_estimator_.coef_).max(axis=0) > 0.3)
    array([1])
    """
    _check_size(estimator)
    check_argument("n_jobs", n_jobs, N_JOBS)
    check_argument("n_strengths", n_strengths, whole(2, _MOST_STRENGTHS))
    if not is_in_range(least, 0.0, 1.0):
        raise ValueError(f"least must be between 0 and 1. Got {shown(least)} instead.")
    if not is_real(gate_ratio) or not 0.0 <= float(gate_ratio) < np.inf:
        raise ValueError(f"gate_ratio must be a finite number >= 0. Got {shown(gate_ratio)}.")
    check_criterion(criterion, cv)
    refuse_unknown(given)
    rows = known_rows(estimator, X, y, {"sample_weight": sample_weight, **given})
    ratio = float(gate_ratio)
    if strengths is None:
        shares = np.geomspace(1.0, float(least), int(n_strengths))
        values, steps, fits = _fit_from_zero(estimator, shares, ratio, rows)
    else:
        values = _check_strengths(strengths)
        steps = _steps(values, ratio)
        fits = _fit_path(estimator, steps, rows)
    scores, paths = {}, []
    if callable(criterion):
        splits = make_folds(cv, rows, estimator)
        run = Parallel(n_jobs=n_jobs)
        paths = run(
            delayed(_fit_path)(estimator, steps, take_rows(rows, train)) for train, _ in splits
        )
        scores = score_folds(criterion, paths, rows, splits)
    path = RegularizationPath(
        values,
        ratio,
        "score" if callable(criterion) else criterion,
        callable(criterion),
        {**scores, **tabulate(fits, paths, rows)},
        [fit.estimator for fit in fits],
    )
    for caught in fits[path.best_index_].warned:
        warnings.warn(caught.message, stacklevel=2)
    return path


def _check_size(estimator: Any) -> None:
    name = check_estimator(estimator)
    if is_automatic(getattr(estimator, name)):
        raise ValueError(
            f"The {name!r} parameter of the estimator is 'auto', but a path is of one number of "
            f"experts. Fit with {name}='auto' first, and give what it has chosen."
        )


def _check_strengths(strengths: Any) -> np.ndarray:
    """Return strengths, the largest first."""
    is_fine = is_listed(strengths) or getattr(strengths, "ndim", 0) == 1
    if is_fine:
        listed = list(strengths)
        is_fine = len(listed) > 0 and all(is_real(v) and 0.0 < float(v) < np.inf for v in listed)
    if not is_fine:
        raise ValueError(
            f"strengths must be a list of positive numbers. Got {shown(strengths)} instead."
        )
    return np.sort(np.array(listed, dtype=float))[::-1]


def _steps(values: np.ndarray, ratio: float) -> list[_Strength]:
    return [_Strength(float(value), ratio * float(value)) for value in values]


def _fit_from_zero(
    estimator: Any, shares: np.ndarray, ratio: float, rows: Rows
) -> tuple[np.ndarray, list[_Strength], list[Any]]:
    """Return strengths, given as shares, below one at which no slopes are best, and their fits.

    None but those that constraints ask for. Where slopes leave zero in the fit of zeros there is
    mostly another optimum, of experts that are sharper and so less held: it is followed from
    below until its slopes are zero too, or the fit of zeros is higher. Experts of next to no
    noise keep their slopes at strengths a thousand times larger. An optimum that the path alone
    has come to is followed as well, and the path made anew.
    """
    least, null, beyond = _strength_of_null_fit(estimator, rows, ratio)
    (own,) = _steps(np.array([_FROM_BELOW * least]), ratio)
    fit = fit_once(_with_strength(estimator, own), rows)
    known = [null, fit]
    own = _follow_up(estimator, rows, fit, own, (null, beyond))
    for _ in range(_MOST_TRIES):
        values = max(least, own.l1) * shares
        steps = _steps(values, ratio)
        fits = _fit_path(estimator, steps, rows, known)
        own = _follow_up(estimator, rows, fits[0], steps[0], (null, beyond))
        if own.l1 <= steps[0].l1:
            break
    return values, steps, fits


def _follow_up(
    estimator: Any, rows: Rows, fit: Any, own: _Strength, null: tuple[Any, _Strength]
) -> _Strength:
    """Return the strength up to which an optimum has slopes, and is above that of none."""
    least_count = _count_slopes(null[0])
    for _ in range(_MOST_STEPS_UP):
        has_slopes = _count_slopes(fit) > least_count
        if not has_slopes or fit.objective <= _objective_at(*null, own):
            break
        own = _Strength(_STEP_UP * own.l1, _STEP_UP * own.gate_l1)
        fit = fit_once(_with_strength(estimator, own, fit.estimator), rows)
    return own


def _count_slopes(fit: Any) -> int:
    """Return how many coefficients with an L1 penalty are not zero."""
    model, params = fit.estimator.fitted_model_.model, fit.estimator.fitted_model_.params
    return int(np.sum((model.prior.l1 > 0.0) & ~model.prior.is_zero(model.flatten(params))))


def _strength_of_null_fit(estimator: Any, rows: Rows, ratio: float) -> tuple[float, Any, _Strength]:
    """Return the strength at which slopes leave zero, and the fit of no slopes with its own."""
    n = float(np.shape(rows.X)[0])
    total = max(1.0, float(estimator._row_weights(rows.per_row["sample_weight"], int(n)).sum()))
    beyond, following = 0.0, _BEYOND * total
    for _ in range(_MOST_TRIES):
        beyond = following
        null = fit_once(_with_strength(estimator, _Strength(beyond, beyond)), rows)
        slope, is_gate, is_zero = _strengths_at_zero(null.estimator, rows)
        # Counts of any size have scores of any size: of a slope that is not zero, the strength.
        if slope.max(initial=0.0) < 0.5 * beyond:
            break
        following = _BEYOND * float(slope.max())
    of_gates = slope[is_gate & is_zero].max(initial=0.0) / ratio if ratio > 0.0 else 0.0
    found = float(max(slope[~is_gate & is_zero].max(initial=0.0), of_gates))
    if found <= _NO_SCORE * total:
        raise ValueError(
            "No slope of this model would be other than zero without an L1 penalty: there is no "
            "column that varies, or none that has to do with y."
        )
    return found, null, _Strength(beyond, beyond)


def _strengths_at_zero(fitted: Any, rows: Rows) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return what strengths would hold slopes at zero, which are of gates, and which are zero."""
    with single_threaded_blas():
        problem, _ = fitted._restore_problem(
            rows.X, rows.y, rows.per_row["sample_weight"], rows.offsets
        )
        current = problem.gradients(fitted.fitted_model_.params)
    model = problem.model
    n_gates = model.slot_slices[len(model.gates) - 1].stop if model.gates else 0
    slope = model.prior.least_strengths(smooth_gradient(model, current))
    is_gate = np.arange(model.n_flat) < n_gates
    return slope, is_gate, model.prior.is_zero(model.flatten(current.params))


def _with_strength(estimator: Any, strength: _Strength, init: Any = None) -> Any:
    own = {
        name: of_strength(getattr(estimator, name), value)
        for name, value in strength._asdict().items()
    }
    model = clone(estimator).set_params(**own)
    if init is None:
        return model
    # Moves would search anew at every strength.
    solver = EM() if model.solver is None else clone(model.solver)
    return model.set_params(init=init, n_init=1, solver=solver.set_params(n_moves=0))


def _fit_path(
    estimator: Any, steps: Sequence[_Strength], rows: Rows, known: Sequence[Any] = ()
) -> list[Any]:
    """Return the best fit of every strength, the strongest first.

    Fits of the estimator's own starts at other strengths, the strongest first, may be known: they
    are carried over to the places on the path where such starts would be made anew.
    """
    fresh = [round(share * (len(steps) - 1)) for share in _FRESH]
    begun = dict(zip(fresh, [fit.estimator for fit in known], strict=False))
    tried: list[list[Any]] = [
        [fit_once(_with_strength(estimator, step, begun.get(i)), rows)] if i in fresh else []
        for i, step in enumerate(steps)
    ]
    for i in range(1, len(steps)):
        start = _best(tried[i - 1]).estimator
        if i > 1 and _best(tried[i - 1]) is tried[i - 1][-1]:
            start = _carried_on(_best(tried[i - 2]).estimator, start, steps[i])
        tried[i].append(fit_once(_with_strength(estimator, steps[i], start), rows))
    from_above = [some[-1].objective for some in tried]
    for i in range(len(steps) - 2, -1, -1):
        below, own = _best(tried[i + 1]), _best(tried[i])
        # What was found from here leads back here, unless it has come to another optimum.
        least = from_above[i + 1] + _SAME_OPTIMUM * (1.0 + abs(below.objective))
        is_higher = _objective_at(below, steps[i + 1], steps[i]) > own.objective
        if below.objective > least or is_higher:
            start = below.estimator
            tried[i].append(fit_once(_with_strength(estimator, steps[i], start), rows))
    return [_without_start(estimator, some) for some in tried]


def _carried_on(before: Any, last: Any, step: _Strength) -> Any:
    """Return the last of two fits with its coefficients carried on to another strength.

    Along the line through both, in the logarithm of the strength; what is zero stays so, and what
    would change its sign ends there. The last itself where the two are not near each other.
    """
    state, model = last.fitted_model_, last.fitted_model_.model
    last_l1 = strength_of(last.l1)
    is_alike = before.fitted_model_.model.slot_shapes == model.slot_shapes
    if not (model.is_linear and is_alike and strength_of(before.l1) > last_l1):
        return last
    first, second = (model.flatten(own.fitted_model_.params) for own in (before, last))
    move = second - first
    if np.linalg.norm(move) > _NEAR * np.linalg.norm(second):
        return last
    stride, ahead = np.log(strength_of(before.l1) / last_l1), np.log(last_l1 / step.l1)
    moved = second + min(ahead / stride, _FURTHEST) * move
    has_l1 = model.prior.l1 > 0.0
    moved = np.where(has_l1 & (moved * second <= 0.0), 0.0, moved)
    out = copy(last)
    out.fitted_model_ = state._replace(params=model.unflatten(moved))
    return out


def _best(fits: Sequence[Any]) -> Any:
    return max(fits, key=lambda fit: fit.objective)


def _objective_at(fit: Any, own: _Strength, other: _Strength) -> float:
    """Return the objective of a fit at another strength, of the same ratio to the gates'."""
    model, params = fit.estimator.fitted_model_.model, fit.estimator.fitted_model_.params
    penalty = float(model.prior.l1_value(model.flatten(params)))
    return float(fit.objective - (other.l1 / own.l1 - 1.0) * penalty)


def _without_start(estimator: Any, fits: list[Any]) -> Any:
    """Return the best of some fits, with the parameters that the user gave."""
    best = _best(fits)
    given = {name: getattr(estimator, name) for name in ("init", "n_init", "solver")}
    best.estimator.set_params(**given)
    return best._replace(objectives=[end for fit in fits for end in fit.objectives])
