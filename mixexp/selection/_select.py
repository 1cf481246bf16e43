"""The number of experts, or the tree, by an information criterion or a cross-validated score.

Candidates are fitted from their own starts first, which needs no order and is done in
parallel. Then, from the fewest experts to the most, each is fitted again from the fits with
one expert less, whose experts are split. The highest objective is kept.
"""

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, Unpack

import numpy as np
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.utils import check_random_state

from mixexp.arguments import is_real, is_whole, is_word
from mixexp.em import experts_at_floor, experts_without_rows, rows_per_weight
from mixexp.estimators._base import MixtureOfExperts
from mixexp.estimators._row_arguments import Given, refuse_unknown, row_arguments
from mixexp.estimators._validation import N_JOBS, VERBOSE, check_argument
from mixexp.exceptions import RoundedTargetWarning
from mixexp.inference import CRITERIA
from mixexp.selection._families import extend_families
from mixexp.selection._growth import Rows, duplicate_expert, find_growths, split_starts
from mixexp.selection._held_out import known_rows, make_folds, take_rows
from mixexp.selection._result import Selection
from mixexp.text import shown

# Objectives closer than this, relative, are one optimum.
_SAME_OPTIMUM = 1e-6


class _Fit(NamedTuple):
    """A fit of one candidate: the estimator, its warnings, where all starts ended."""

    estimator: Any
    warned: list[warnings.WarningMessage]
    objectives: list[float]

    @property
    def objective(self) -> float:
        return float(self.estimator.penalized_log_likelihood_)


@row_arguments
def select_n_experts(
    estimator: Any,
    X: Any,
    y: Any,
    candidates: Iterable[Any],
    sample_weight: Any = None,
    *,
    criterion: str | Callable[..., float] = "bic",
    cv: Any = None,
    n_jobs: int | None = None,
    verbose: int = 0,
    **given: Unpack[Given],
) -> Selection:
    """Fit several numbers of experts, or several trees, and choose one.

    Every candidate has the estimator's own starts, and starts from each fit with one expert
    less, whose least stable experts are split. So the log-likelihood of a fit without
    penalties never falls from one number of experts to the next, but for rounding: should all
    starts end lower, an expert of the smaller fit is taken twice. (Not so under constraints that
    name experts, which are about others then.)

    Parameters
    ----------
    estimator : MoERegressor, MoEClassifier, HMERegressor or HMEClassifier
        Its ``init`` must be a name. It is not changed. An ``expert`` that is a list is for the
        fewest experts: for more, its last family that has coefficients is repeated in its place,
        ``["point_mass", "poisson"]`` as a point mass and two Poisson experts.
    X : array-like of shape (n, n_features)
    y : array-like of shape (n,)
    candidates : iterable
        Numbers of experts such as ``range(1, 7)``; for a hierarchical estimator values of
        ``tree``, such as ``[(2,), [[1, 1], 1], (2, 2)]``. A tree is started from another if it
        has one expert more: beside another one, or a gate over two in the place of one, of
        the same family.
    sample_weight : array-like of shape (n,), default=None
    criterion : str or callable, default="bic"
        "aic", "aicc", "bic", "sabic", "caic", "icl" or "icl_bic", of which the lowest is best;
        see the estimator's methods. Or a scorer, called as ``scorer(estimator, X, y)``, such
        as `mixexp.metrics.log_density_scorer`: the highest mean over folds is best. It is also
        given what there is per row, such as ``sample_weight``, by name.
    cv : int, cross-validation generator or iterable, default=None
        For scorers alone; None for 5 folds, which with ``groups`` hold whole groups.
    n_jobs : int, default=None
        Processes, as in scikit-learn; results do not depend on it.
    verbose : int, default=0
        1 for a line per candidate; more for joblib's lines too.
    <PER_ROW>

    Returns
    -------
    Selection
        With a ``table`` of all candidates and the ``best_estimator_``.

    Raises
    ------
    TypeError
        If the estimator is none of the four.
    ValueError
        If candidates, criterion or cv are not as described, a candidate has fewer experts than
        ``expert`` lists, or a fit refuses its data.

    Warns
    -----
    ConvergenceWarning, DegenerateExpertWarning, ...
        Those of the chosen fit; those of the others are in the table.

    Notes
    -----
    A candidate costs its own fit and up to three fits from one start per tree that it is
    started from; with a scorer, once more per fold. The starts from smaller fits are made one
    after another, folds in parallel.

    Examples
    --------
    >>> import numpy as np
    >>> from mixexp import MoERegressor, select_n_experts
    >>> x = np.linspace(-1.0, 1.0, 200)[:, None]
    >>> y = np.abs(x[:, 0]) + 0.05 * np.sin(50.0 * x[:, 0])
    >>> selection = select_n_experts(MoERegressor(random_state=0), x, y, range(1, 4))
    >>> selection.best_candidate_
    2
    """
    parameter = check_estimator(estimator)
    check_argument("n_jobs", n_jobs, N_JOBS)
    check_argument("verbose", verbose, VERBOSE)
    listed = _check_candidates(candidates, parameter)
    check_criterion(criterion, cv)
    refuse_unknown(given)
    rows = known_rows(estimator, X, y, {"sample_weight": sample_weight, **given})
    models = [_with_candidate(estimator, parameter, candidate) for candidate in listed]
    splits = make_folds(cv, rows, models[0]) if callable(criterion) else []
    samples = [rows, *(take_rows(rows, train) for train, _ in splits)]
    run = Parallel(n_jobs=n_jobs, verbose=10 if verbose > 1 else 0)
    own = run(delayed(fit_once)(clone(model), sample) for sample in samples for model in models)
    check_has_criteria(criterion, own[0])
    own = [own[at : at + len(models)] for at in range(0, len(own), len(models))]
    seed = int(check_random_state(estimator.random_state).randint(np.iinfo(np.int32).max))
    report = partial(_print_fit, parameter) if verbose else _say_nothing
    fits = _climb(own[0], rows, seed, report)
    scores, paths = {}, []
    if callable(criterion):
        paths = run(
            delayed(_climb)(starts, sample, seed, _say_nothing)
            for starts, sample in zip(own[1:], samples[1:], strict=True)
        )
        scores = score_folds(criterion, paths, rows, splits)
    selection = Selection(
        parameter,
        listed,
        "score" if callable(criterion) else criterion,
        callable(criterion),
        {**scores, **tabulate(fits, paths, rows)},
        [fit.estimator for fit in fits],
    )
    _check_values(selection)
    for caught in fits[selection.best_index_].warned:
        warnings.warn(caught.message, stacklevel=2)
    return selection


def check_estimator(estimator: Any) -> str:
    """Return the name of the parameter that the candidates are values of."""
    if not isinstance(estimator, MixtureOfExperts):
        raise TypeError(
            "estimator must be an MoERegressor, MoEClassifier, HMERegressor or HMEClassifier. Got "
            f"{type(estimator).__name__} instead; for a pipeline use GridSearchCV."
        )
    if not isinstance(estimator.init, str):
        raise ValueError(
            "The 'init' parameter of the estimator must be a name, for other starts are for one "
            f"number of experts. Got {type(estimator.init).__name__} instead."
        )
    if estimator.solver is not None and estimator.solver.on_collapse == "drop":
        raise ValueError(
            "The 'on_collapse' parameter of the estimator's solver is 'drop', with which "
            "candidates would not have the experts they stand for. Use 'warn' or 'respawn'."
        )
    return "tree" if "tree" in estimator.get_params(deep=False) else "n_experts"


def _check_candidates(candidates: Any, parameter: str) -> list[Any]:
    if (
        isinstance(candidates, str | bytes | Mapping)
        or not isinstance(candidates, Iterable)
        or getattr(candidates, "ndim", 1) == 0
    ):
        raise ValueError(
            f"candidates must be an iterable of values of {parameter!r}. Got {shown(candidates)} "
            "instead."
        )
    listed = list(candidates)
    if not listed:
        raise ValueError(f"candidates is empty; give at least one value of {parameter!r}.")
    if parameter == "n_experts":
        for candidate in listed:
            if not is_whole(candidate) or candidate < 1:
                raise ValueError(
                    "candidates must be numbers of experts, ints of at least 1. Got "
                    f"{shown(candidate)} among them."
                )
        listed = [int(candidate) for candidate in listed]
    for place, candidate in enumerate(listed):
        if candidate in listed[:place]:
            raise ValueError(f"candidates holds {shown(candidate)} twice; give every value once.")
    return listed


def _is_scorer(criterion: Any) -> bool:
    return callable(criterion) and not isinstance(criterion, type)


def check_criterion(criterion: Any, cv: Any) -> None:
    if _is_scorer(criterion):
        return
    if not is_word(criterion, CRITERIA):
        raise ValueError(
            f"criterion must be one of {CRITERIA} or a scorer. Got {shown(criterion)}."
        )
    if cv is not None:
        raise ValueError(
            f"cv is for scorers, but criterion is {shown(criterion)}, which is computed on the "
            "rows of "
            "the fit; give criterion=mixexp.metrics.log_density_scorer, or leave cv out."
        )


def _check_values(selection: Selection) -> None:
    if not np.isfinite(selection.values).any():
        raise ValueError(
            f"{selection.criterion} is finite for no candidate, found {selection.values.tolist()}; "
            "choose by another criterion, or among fewer experts."
        )


def _with_candidate(estimator: Any, parameter: str, candidate: Any) -> Any:
    model = clone(estimator).set_params(**{parameter: candidate})
    n_leaves = model._make_tree().n_leaves  # a tree that is none is refused before any fit
    return model.set_params(expert=extend_families(model.expert, n_leaves, candidate))


def fit_once(model: Any, rows: Rows) -> _Fit:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fitted = model.fit(rows.X, rows.y, **rows.per_row)
    return _Fit(fitted, caught, [restart.objective for restart in fitted.restarts_])


def _climb(
    own: Sequence[_Fit], rows: Rows, seed: int, report: Callable[[_Fit], None]
) -> list[_Fit]:
    """Improve fits, from the fewest experts to the most, by starts from smaller ones."""
    fits = list(own)
    order = sorted(range(len(fits)), key=lambda i: fits[i].estimator.tree_.n_leaves)
    for place, i in enumerate(order):
        for j in order[:place]:
            fits[i] = _improve(fits[i], fits[j], rows, np.random.default_rng([seed, i, j]))
        report(fits[i])
    return fits


def _improve(fit: _Fit, smaller: _Fit, rows: Rows, rng: np.random.Generator) -> _Fit:
    """Return the best of a fit and those that start from one with an expert less."""
    tree = fit.estimator.tree_
    growths = find_growths(smaller.estimator, tree, fit.estimator.experts_)
    if not growths:
        return fit
    tried = [fit]
    for start in split_starts(smaller.estimator, tree, growths, rows, rng):
        tried.append(_refit(fit.estimator, start, rows))
    if max(other.objective for other in tried) < smaller.objective:
        twice = duplicate_expert(smaller.estimator, tree, next(iter(growths.values())))
        tried.append(_refit(fit.estimator, twice, rows))
    best = max(tried, key=lambda other: other.objective)
    return best._replace(objectives=[end for other in tried for end in other.objectives])


def _refit(estimator: Any, init: Any, rows: Rows) -> _Fit:
    """Fit again from a start, which is forgotten afterwards."""
    refit = fit_once(clone(estimator).set_params(init=init), rows)
    refit.estimator.set_params(init=estimator.init)
    return refit


def _say_nothing(fit: _Fit) -> None:
    pass


def _print_fit(parameter: str, fit: _Fit) -> None:
    model = fit.estimator
    print(
        f"select_n_experts: {parameter}={getattr(model, parameter)}: log-likelihood "
        f"{model.log_likelihood_:.6g}, {model.n_parameters_} parameters; found by "
        f"{_n_found(fit)} of {len(fit.objectives)} starts"
    )


def _n_found(fit: _Fit) -> int:
    slack = _SAME_OPTIMUM * (1.0 + abs(fit.objective))
    return sum(end >= fit.objective - slack for end in fit.objectives)


def tabulate(
    fits: Sequence[_Fit], paths: Sequence[Sequence[_Fit]], rows: Rows
) -> dict[str, list[Any]]:
    """Return the columns of the table, from the fits to all rows and those to every fold."""
    described = [_describe(fit, rows) for fit in fits]
    columns = {name: [row[name] for row in described] for name in described[0]}
    columns["has_spike"] = [any(map(_has_spike, same)) for same in zip(fits, *paths, strict=True)]
    return columns


def _describe(fit: _Fit, rows: Rows) -> dict[str, Any]:
    model = fit.estimator
    resp = model.responsibilities(rows.X, rows.y, **rows.offsets)
    weight = model._row_weights(rows.per_row["sample_weight"], len(resp))
    return {
        **_criteria_of(model, rows),
        "converged": bool(model.converged_),
        "n_degenerate": _n_degenerate(model, rows_per_weight(weight) * (weight @ resp)),
        "n_found": _n_found(fit),
        "n_starts": len(fit.objectives),
        "warnings": ", ".join(sorted({caught.category.__name__ for caught in fit.warned})),
    }


def _criteria_of(model: Any, rows: Rows) -> dict[str, Any]:
    """Return log-likelihood, number of parameters and criteria, NaN where that is not known."""
    sample_weight = rows.per_row["sample_weight"]
    if not model.fitted_model_.model.is_linear:
        found = model.log_likelihood(rows.X, rows.y, sample_weight, **rows.offsets)
        unknown = dict.fromkeys(("n_parameters", *CRITERIA), np.nan)
        return {"log_likelihood": found, **unknown}
    criteria = model.criteria(rows.X, rows.y, sample_weight, **rows.offsets)
    return {
        "log_likelihood": criteria.log_likelihood,
        "n_parameters": criteria.n_parameters,
        **{name: getattr(criteria, name) for name in CRITERIA},
    }


def check_has_criteria(criterion: Any, fit: _Fit) -> None:
    """Refuse a criterion for a fit whose number of parameters is not known."""
    model = fit.estimator.fitted_model_.model
    if not callable(criterion) and not model.is_linear:
        names = " and ".join(model.other_names)
        raise ValueError(
            f"How many parameters {names} has is not known, so there is no {criterion}; give "
            "criterion=mixexp.metrics.log_density_scorer, which compares held-out rows."
        )


def _has_spike(fit: _Fit) -> bool:
    return any(issubclass(caught.category, RoundedTargetWarning) for caught in fit.warned)


def _n_degenerate(model: Any, leaf_mass: np.ndarray) -> int:
    """Return how many experts are at their floor or without rows, of masses in rows."""
    state = model.fitted_model_
    node_mass = np.zeros(state.model.tree.n_nodes)
    node_mass[state.model.tree.leaves] = leaf_mass
    at_floor = experts_at_floor(state.model, state.params)
    return len(at_floor | experts_without_rows(state.model, node_mass))


def score_folds(
    scorer: Callable[..., float],
    paths: Sequence[Sequence[_Fit]],
    rows: Rows,
    splits: Sequence[tuple[np.ndarray, np.ndarray]],
) -> dict[str, list[float]]:
    """Return mean and standard error over the folds of the score of every candidate."""
    scores = np.empty((len(paths), len(paths[0])))
    for k, (path, (_, test)) in enumerate(zip(paths, splits, strict=True)):
        held_out = take_rows(rows, test)
        given = {name: value for name, value in held_out.per_row.items() if value is not None}
        for i, fit in enumerate(path):
            found = scorer(fit.estimator, held_out.X, held_out.y, **given)
            if not is_real(found):
                raise ValueError(f"criterion must return a number. Got {shown(found)} instead.")
            scores[k, i] = found
    n_folds = len(scores)
    error = scores.std(axis=0, ddof=1) / np.sqrt(n_folds) if n_folds > 1 else scores[0] * np.nan
    return {"score": scores.mean(axis=0).tolist(), "score_se": error.tolist()}
