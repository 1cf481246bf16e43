"""`partial_fit`: rows that come in parts, by stepwise EM.

Until there are rows enough for starts to compete on, rows are kept, and fitted to by `fit`. From
then on none is kept: each mini-batch moves the sums of `mixexp.em.RunningSums`, and is forgotten.
"""

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, Unpack

import numpy as np
from joblib import effective_n_jobs
from scipy import sparse
from sklearn.utils.metaestimators import available_if

from mixexp.arguments import as_array, is_real
from mixexp.data import ColumnRows, RowSource, Scaling, SparseRows, single_threaded_blas
from mixexp.data import as_array as rows_as_array
from mixexp.em import (
    EMResult,
    Problem,
    RunningSums,
    Search,
    batch_rows,
    begin_sums,
    collapsed_experts,
    evaluation_of,
    learn_batch,
    learned_parameters,
    resume_sums,
)
from mixexp.estimators._attributes import set_fitted_attributes
from mixexp.estimators._auto import Auto
from mixexp.estimators._build import Columns, check_support
from mixexp.estimators._docs import method_docs
from mixexp.estimators._features import check_features
from mixexp.estimators._gates import needs_features
from mixexp.estimators._intervals import has_limits, with_intervals
from mixexp.estimators._outputs import check_targets_of
from mixexp.estimators._row_arguments import Given, read_rows, refuse_unknown, row_arguments
from mixexp.estimators._validation import check_same_length, check_weights
from mixexp.estimators._warnings import FitWarning
from mixexp.experts import Expert
from mixexp.text import shown

# Rows that are kept and fitted to before steps begin. Where likelihoods are flat, starts on fewer
# lead to optima that are none of more rows (B1 of the reference sets: 2 000 too few, 5 000 enough).
_KEPT_ROWS = 5000
_KEPT_PER_COLUMN = 20
# After `fit` rows are only kept until they tell the curvature.
_LEAST_ROWS = 200
_LEAST_PER_PARAMETER = 5
# Kept rows are fitted to again when there are so many times more.
_GROWTH = 2.0
_LINEAR_GATES = ("softmax", "constant")
_REFUSED = {
    "groups": "rows of a group share their expert, and may come in different calls",
    "truncation": "rows that were not seen belong to none of the calls",
}


def learns_in_parts(estimator: Any) -> bool:
    """Tell whether gates and experts have linear predictors, as `partial_fit` needs.

    Raises
    ------
    AttributeError
        If they have not, for then there is no such method.
    """
    gates, experts = _listed(estimator.gate), _listed(estimator.expert)
    own = [gate for gate in gates if gate not in _LINEAR_GATES]
    own += [expert for expert in experts if not isinstance(expert, str | Expert | Auto)]
    if own:
        raise AttributeError(
            "partial_fit is for softmax gates and experts with linear predictors, and "
            f"{shown(own[0])} is fitted to all rows at once. Use fit."
        )
    return True


def _listed(spec: Any) -> list[Any]:
    """Return what is in lists of lists."""
    if isinstance(spec, list | tuple):
        return [part for entry in spec for part in _listed(entry)]
    return [spec]


class _Rows(NamedTuple):
    """Rows of one call, or of several.

    Parameters
    ----------
    X : ndarray, ColumnRows or SparseRows
        As checked.
    y : ndarray of shape (n,)
        As given.
    weight : ndarray of shape (n,)
    given : dict of str to ndarray of shape (n, ...)
    """

    X: RowSource
    y: np.ndarray
    weight: np.ndarray
    given: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.weight)

    def take(self, rows: slice) -> "_Rows":
        """Return some of the rows."""
        given = {name: values[rows] for name, values in self.given.items()}
        return _Rows(self.X[rows], self.y[rows], self.weight[rows], given)

    @classmethod
    def joined(cls, parts: Sequence["_Rows"]) -> "_Rows":
        """Return the rows of all parts, one behind the other."""
        if len(parts) == 1:
            return parts[0]
        names = parts[0].given
        return cls(
            _join_features([part.X for part in parts]),
            np.concatenate([part.y for part in parts]),
            np.concatenate([part.weight for part in parts]),
            {name: np.concatenate([part.given[name] for part in parts]) for name in names},
        )


def _join_features(parts: Sequence[Any]) -> RowSource:
    if all(isinstance(part, SparseRows) for part in parts):
        return SparseRows(sparse.vstack([part.matrix for part in parts], format="csr"))
    return np.concatenate([rows_as_array(part[:]) for part in parts]).astype(float, copy=False)


class OnlineState(NamedTuple):
    """What `partial_fit` knows between its calls.

    Parameters
    ----------
    kept : tuple of rows
        Rows that are kept, and by no means learned, or to be fitted to again.
    n_fitted : int
        How many of them have been fitted to.
    is_warm : bool
        Whether `fit` was there before.
    sums : RunningSums or None
        None as long as rows are kept.
    """

    kept: tuple[_Rows, ...] = ()
    n_fitted: int = 0
    is_warm: bool = False
    sums: RunningSums | None = None


@method_docs
class OnlineMixin:
    """Learning from rows that come in parts."""

    _online: OnlineState | None

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "fitted_model_")

    @available_if(learns_in_parts)
    @row_arguments
    def partial_fit(
        self: Any,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        forget: float | None = None,
        **given: Unpack[Given],
    ) -> Any:
        """Update the fit by some more rows, without keeping them.

        Stepwise EM (Cappe & Moulines 2009) in mini-batches of 512 rows, or 4 per feature if that
        is more, in the order of the rows: mini-batch t moves what is known by the share
        ``t**-0.6``, and coefficients are the average of all steps, late ones first (iterate t
        weighs ``t**3``). Rows should come in random order.

        After `fit`, it goes on from there, with the weight of the rows that were fitted to; the
        first 200 rows, or 5 per parameter, are kept until there are so many. Without, the first
        5 000 rows, or 20 per expert and feature, are kept and fitted to as `fit` does it, the
        first time at once and then whenever there are twice as many: they give units, anchors of
        priors, and the starts that compete. Priors count all rows so far, the same row twice if
        it is given twice.

        Parameters
        ----------
        X : array-like of shape (n, n_features)
        y : array-like of shape (n,)
        sample_weight : array-like of shape (n,), default=None
        forget : float, default=None
            Share of what is known that each row replaces, for data that drift: 0.001 remembers
            the last thousand rows or so, priors too are weighed against these, and coefficients
            are not averaged. None for steps that decay.
        <PER_ROW>

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            If an argument is not as described, or the model has parts that are fitted to all
            rows at once: submodels, ``groups``, ``truncation``, a start of labels. The estimator is
            then as it was.
        """
        return self._learn_part(X, y, sample_weight, forget, given, lambda: None)

    def _learn_part(
        self: Any,
        X: Any,
        y: Any,
        sample_weight: Any,
        forget: float | None,
        given: Mapping[str, Any],
        learn_classes: Callable[[], None],
    ) -> Any:
        before, is_complete = dict(vars(self)), False
        try:
            _check_online(self, forget, given)
            is_first = getattr(self, "_online", None) is None and not hasattr(self, "fitted_model_")
            needs = needs_features(self.gate, self.gate_features)
            X = check_features(self, X, reset=is_first, needs_features=needs)
            learn_classes()
            fit_warnings = self._learn_rows(_read_call(self, X, y, sample_weight, given), forget)
            is_complete = True
        finally:
            if not is_complete:  # refused or interrupted: as it was
                self.__dict__.clear()
                self.__dict__.update(before)
        for message, category in fit_warnings:
            warnings.warn(message, category, stacklevel=3)
        return self

    def _learn_rows(self: Any, rows: _Rows, forget: float | None) -> list[FitWarning]:
        """Keep rows or learn from them, and return what the user should be warned of."""
        state = getattr(self, "_online", None)
        if state is None:
            state = OnlineState(is_warm=hasattr(self, "fitted_model_"))
        self._online, fit_warnings = state, list[FitWarning]()
        started = time.monotonic()
        with single_threaded_blas():
            if state.sums is None:
                rows, fit_warnings = self._keep_rows(state, rows)
            if self._online.sums is not None and rows is not None:
                self._take_steps(rows, forget)
        if self.verbose:
            _print_progress(self, started, 0 if rows is None else len(rows))
        return fit_warnings

    def _keep_rows(
        self: Any, state: OnlineState, rows: _Rows
    ) -> tuple[_Rows | None, list[FitWarning]]:
        """Keep rows until there are enough, and return those that steps are to be taken with."""
        kept = (*state.kept, rows)
        n = sum(map(len, kept))
        if state.is_warm:
            enough = max(_LEAST_ROWS, _LEAST_PER_PARAMETER * self.fitted_model_.model.n_parameters)
            if n < enough:
                self._online = state._replace(kept=kept)
                return None, []
            known = _Rows.joined(kept)
            problem = _problem_of(self, known)
            sums = resume_sums(problem, self.fitted_model_.params, self.n_samples_seen_)
            self._online = OnlineState(sums=sums)
            return known, []
        n_experts = self._make_tree().n_leaves
        enough = max(_KEPT_ROWS, _KEPT_PER_COLUMN * n_experts * (1 + self.n_features_in_))
        n_weighted = sum(int(np.count_nonzero(part.weight)) for part in kept)
        is_due = n >= enough or n >= _GROWTH * state.n_fitted
        if not is_due or n_weighted < n_experts:
            self._online = state._replace(kept=kept)
            return None, []
        known = _Rows.joined(kept)
        n_fitted = n if n < 2 * enough else enough
        first = known.take(slice(0, n_fitted))
        fit_warnings = self._fit(_as_columns(first.X), first.y, first.weight, first.given)
        _refuse_submodels(self)
        if n < enough:
            self._online = OnlineState((known,), n)
            return None, fit_warnings
        sums = begin_sums(_problem_of(self, first), self.fitted_model_.params)
        self._online = OnlineState(sums=sums)
        return (known.take(slice(n_fitted, n)) if n_fitted < n else None), fit_warnings

    def _take_steps(self: Any, rows: _Rows, forget: float | None) -> None:
        """Learn mini-batches, and set what is learned of them."""
        sums, total = self._online.sums, self.n_samples_seen_
        size = batch_rows(self.fitted_model_.model)
        for start in range(0, len(rows), size):
            part = rows.take(slice(start, start + size))
            if part.weight.any():
                problem = _problem_of(self, part)
                sums = learn_batch(problem, sums, forget)
                total += problem.total_weight
        self._online = self._online._replace(sums=sums)
        state = self.fitted_model_
        _set_learned(self, sums, total, state.scaling.reaching(rows.X, rows.weight))


def _check_online(estimator: Any, forget: Any, given: Mapping[str, Any]) -> None:
    """Refuse what cannot be learned from parts of the rows."""
    estimator._check_parameters()
    if forget is not None and not (is_real(forget) and 0.0 < forget < 1.0):
        raise ValueError(
            "forget must be None or a share between 0 and 1, of what is known, that each row "
            f"replaces. Got {shown(forget)} instead."
        )
    refuse_unknown(given)
    for name, why in _REFUSED.items():
        if given.get(name) is not None:
            raise ValueError(f"{name} is not for partial_fit: {why}. Use fit.")
    if not isinstance(estimator.init, str) and not hasattr(estimator.init, "get_params"):
        raise ValueError(
            "The 'init' parameter must be a name or a fitted estimator for partial_fit, for rows "
            f"are given in parts. Got {type(estimator.init).__name__}."
        )
    if hasattr(estimator, "fitted_model_"):
        _refuse_submodels(estimator)


def _refuse_submodels(estimator: Any) -> None:
    model = estimator.fitted_model_.model
    if not model.is_linear:
        raise ValueError(
            f"partial_fit is for softmax gates and experts with linear predictors, and a "
            f"{model.others[0].submodel.title} is fitted to all rows at once. Use fit."
        )


def _read_call(
    estimator: Any, X: Any, y: Any, sample_weight: Any, given: Mapping[str, Any]
) -> _Rows:
    """Return the rows of a call, all of which has been checked."""
    n, name = len(X), type(estimator).__name__
    if y is None:
        raise ValueError(f"{name} requires y to be passed, but the target y is None.")
    known_y, interval = estimator._read_interval(y, given)
    target = estimator._check_target(known_y)
    check_same_length(n, target)
    target = estimator._of_known_classes(target, sample_weight)
    estimator._encode_target(target)
    state = getattr(estimator, "_online", None)
    if hasattr(estimator, "fitted_model_"):
        check_targets_of(estimator.fitted_model_, target)
    elif state is not None and state.kept[0].y.shape[1:] != target.shape[1:]:
        raise ValueError(
            f"y has shape {target.shape}, but {state.kept[0].y.shape} in the call before; give as "
            "many targets in every call."
        )
    weight = check_weights(sample_weight, n)
    read_rows(given, weight, estimator._make_tree().n_leaves, interval=interval)
    arrays = {
        name: np.full(n, value) if is_real(value) else as_array(value, name)
        for name, value in given.items()
        if value is not None
    }
    rows = _Rows(X, target if interval.is_exact else as_array(y, "y"), weight, arrays)
    before = arrays if state is None or not state.kept else state.kept[0].given
    if set(before) != set(arrays):
        raise ValueError(
            f"partial_fit was given {sorted(arrays)} beside X and y, and {sorted(before)} before; "
            "give the same per row in every call."
        )
    return rows


def _as_columns(X: Any) -> ColumnRows | SparseRows:
    """Return rows that have been checked, so that their names are not asked for again."""
    return X if isinstance(X, ColumnRows | SparseRows) else ColumnRows(list(X.T))


def _problem_of(estimator: Any, rows: _Rows) -> Problem:
    """Return the fitted model on some rows."""
    known_y, interval = estimator._read_interval(rows.y, rows.given)
    target = estimator._encode_target(estimator._check_target(known_y))
    weight = estimator._row_weights(rows.weight, len(rows))
    per_row, order = estimator._read_with_y(rows.X, rows.given, weight, interval)
    if order is not None:
        target = target[order]
    families = estimator.experts_
    if not interval.is_exact or has_limits(families):
        families = with_intervals(families, interval)
    check_support(families, target, per_row, order)
    fitted = estimator._fitted_to(per_row)
    has_known = per_row.evidence is not None
    model = replace(fitted.model, has_known_leaves=has_known)
    blocks = fitted._replace(model=model).read_known_rows(rows.X, target, per_row, order)
    n_threads, variant = effective_n_jobs(estimator.n_jobs), estimator._solver.variant
    return Problem(model, blocks, n_threads, is_classification=variant == "cem")


def _set_learned(estimator: Any, sums: RunningSums, total: float, scaling: Scaling) -> None:
    """Set the fitted attributes of an estimator to what the sums say."""
    state = estimator.fitted_model_
    params, tree = learned_parameters(state.model, sums), estimator.tree_
    found = evaluation_of(state.model, sums.params, sums.stats).take(0)._replace(params=params)
    collapsed = collapsed_experts(state.model, params, found.stats.node_mass)
    reason = f"online EM, {total:.10g} rows so far"
    history, converged = list(estimator.history_), estimator.converged_
    outcome = EMResult(found, history, converged, reason, False, collapsed, False)
    columns = Columns(
        estimator.expert_features_,
        estimator.gate_features_,
        getattr(estimator, "dispersion_features_", ()),
    )
    search = Search([outcome], [0], estimator.restarts_)
    set_fitted_attributes(
        estimator,
        search,
        state.model,
        scaling,
        columns,
        n_samples=total,
        is_sorted=False,
    )
    estimator.tree_ = tree
    estimator.__dict__.pop("diagnostics_", None)  # of rows that are gone


def _print_progress(estimator: Any, started: float, n: int) -> None:
    name, state = type(estimator).__name__, estimator._online
    if state.sums is None:
        print(f"{name}: {sum(map(len, state.kept))} rows kept, until there are more to learn from")
        return
    seconds = max(time.monotonic() - started, 1e-9)
    print(
        f"{name}: {estimator.n_samples_seen_:.10g} rows so far, {n / seconds:.3g} per second; "
        f"mean log density {estimator.log_likelihood_ / state.sums.weight:.6g}"
    )
