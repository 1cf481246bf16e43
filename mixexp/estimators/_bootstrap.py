"""Refits to resampled and simulated data: the bootstrap, and tests of one fit against another."""

import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple, Unpack

import numpy as np
from joblib import Parallel, delayed
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from mixexp.arguments import is_word
from mixexp.data import RowBlocks, refuse_dask
from mixexp.em import reorder
from mixexp.estimators._docs import method_docs
from mixexp.estimators._resampling import resampling, to_start_afresh, to_start_here
from mixexp.estimators._row_arguments import Given, row_arguments
from mixexp.estimators._validation import (
    N_JOBS,
    RANDOM_STATE,
    check_argument,
    whole,
)
from mixexp.estimators._weights import doubt_counts, weight_facts
from mixexp.exceptions import InferenceWarning
from mixexp.inference import (
    BootstrapRatioTest,
    BootstrapResult,
    ChiSquared,
    Names,
    chi_squared,
    choose_reference,
    list_terms,
    match_nodes,
)
from mixexp.model import FittedModel
from mixexp.text import shown

# A log-likelihood ratio may be below zero by so much, relative, where both fits are one.
_NOISE = 1e-6
_MOST_RESAMPLES = 1_000_000


class _Refit(NamedTuple):
    """What one resample came to: a result, or why there is none; and the warnings' names."""

    result: Any
    failure: str
    warned: frozenset[str]


@method_docs
class BootstrapMixin:
    """What a fitted model says of itself by being fitted again."""

    tree_: Any
    n_parameters_: int
    log_likelihood: Callable[..., float]
    responsibilities: Callable[..., np.ndarray]
    fitted_model_: FittedModel
    _names: Callable[[], Names]
    _as_numbers: Callable[[Any], Any]
    _row_weights: Callable[[Any, int], np.ndarray]
    _of_known_classes: Callable[[Any, Any], Any]
    weight_type: str
    _read_rows: Callable[..., RowBlocks]

    @row_arguments
    def bootstrap(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        kind: str = "nonparametric",
        cluster: Any = None,
        n_resamples: int = 200,
        reference: int | Mapping[str, int] | None = None,
        random_state: Any = None,
        n_jobs: int | None = None,
        **given: Unpack[Given],
    ) -> BootstrapResult:
        """Return the coefficients of refits to resampled data.

        Refits start from the coefficients of this fit, and their experts are matched to its
        experts by the rows that both are responsible for.

        Parameters
        ----------
        X : array-like of shape (n, n_features)
        y : array-like of shape (n,)
        sample_weight : array-like of shape (n,), default=None
            As in `fit`. Numbers of like rows are drawn row by row; sampling weights stay with
            their rows, which are drawn with equal probability.
        kind : {"nonparametric", "parametric"}, default="nonparametric"
            Rows drawn with replacement, or y drawn from the fitted model at the given rows.
        cluster : array-like of shape (n,), default=None
            Labels of groups of rows that are drawn as a whole.
        n_resamples : int, default=200
        reference : int or mapping of str to int, default=None
            As for `inference`.
        random_state : int, RandomState instance or None, default=None
        n_jobs : int, default=None
            Processes, as in scikit-learn; results do not depend on it.
        <PER_ROW>

        Returns
        -------
        BootstrapResult

        Raises
        ------
        NotFittedError
            If `fit` has not been called.
        ValueError
            If an argument is not as described; the message names it.

        Warns
        -----
        InferenceWarning
            If some resamples could not be fitted.

        References
        ----------
        Efron & Tibshirani (1993), An Introduction to the Bootstrap.
        """
        check_is_fitted(self)
        refuse_dask(X, "bootstrap")
        _check_resampling(kind, cluster, n_resamples, random_state, n_jobs)
        weight = self._row_weights(sample_weight, len(y))
        places = choose_reference(self.tree_, self._names(), reference)
        y = self._of_known_classes(y, sample_weight)
        resp = self.responsibilities(X, y, **given)
        y = self._as_numbers(y)
        if kind == "nonparametric" and cluster is None:
            if given.get("groups") is not None:
                cluster = given["groups"]
            elif self.weight_type == "sampling":
                cluster = np.arange(len(weight))
            elif doubt := doubt_counts(weight_facts(weight), "robust"):
                warnings.warn(f"{type(self).__name__}: {doubt}", InferenceWarning, stacklevel=2)
        draw = resampling(self, X, y, weight, kind, cluster, given)
        refit = partial(_matched_terms, self, draw, (X, y), resp, weight, given, places)
        refits = _run(refit, n_resamples, random_state, n_jobs)
        state = self.fitted_model_
        terms = list_terms(state.model, state.scaling, self._names(), places)
        return BootstrapResult(
            terms.labels,
            terms.values(state.model, state.params),
            np.array(_successes(refits)),
            sum(bool(refit.failure) for refit in refits),
            dict(Counter(name for refit in refits for name in refit.warned)),
        )

    def likelihood_ratio_test(
        self, restricted: Any, X: Any, y: Any, sample_weight: Any = None, **per_row: Any
    ) -> ChiSquared:
        """Test a restricted model against this one, by twice the gain in log-likelihood.

        Parameters
        ----------
        restricted : estimator
            Fitted to the same rows, with as many experts, and nested: what it can say this
            model can say too, by fixing coefficients inside of their range.
        X : array-like of shape (n, n_features)
            The rows of both fits.
        y : array-like of shape (n,)
        sample_weight : array-like of shape (n,), default=None
        **per_row
            ``offset``, ``exposure`` and ``trials``, as in `fit`.

        Returns
        -------
        ChiSquared
            With as many degrees of freedom as this model has more parameters. Wilks (1938).

        Raises
        ------
        NotFittedError
            If `fit` has not been called.
        ValueError
            If the rows are others than those of the fits, weights are for sampling, with which
            the statistic is not chi-squared, or the restricted model has another number of
            experts, for which it is not either (`bootstrap_ratio_test` is for that), or not
            fewer parameters, fits better, or one of both is penalised.
        """
        _check_restricted(restricted)
        for model in (self, restricted):
            check_is_fitted(model)
        has_fewer = restricted.n_parameters_ < self.n_parameters_
        if has_fewer and restricted.tree_.n_leaves != self.tree_.n_leaves:
            raise ValueError(
                f"restricted has {restricted.tree_.n_leaves} experts, this model "
                f"{self.tree_.n_leaves}: the ratio is not chi-squared then. Use "
                "bootstrap_ratio_test."
            )
        for model in (self, restricted):
            if model.weight_type == "sampling" and sample_weight is not None:
                raise ValueError(
                    "With weight_type='sampling' the likelihood-ratio statistic is not "
                    "chi-squared; test by inference(X, y, sample_weight).wald_test."
                )
            if not model.fitted_model_.model.is_linear:
                names = " and ".join(model.fitted_model_.model.other_names)
                raise ValueError(
                    f"How many parameters {names} has is not known, so there is no "
                    "likelihood-ratio test."
                )
            given = model.fitted_model_.model.penalty.given
            if given:
                raise ValueError(
                    f"The likelihood-ratio test is for maximum likelihood, but {shown(model)} is "
                    f"penalised; fit with {' and '.join(f'{name}=0' for name in given)}."
                )
        _check_nested(self, restricted)
        rows = {"sample_weight": sample_weight, **per_row}
        full, other = (_on_rows_of_fit(model, X, y, rows) for model in (self, restricted))
        gain = full - other
        if gain < -_NOISE * (1.0 + abs(full)):
            raise ValueError(
                f"restricted has a log-likelihood that is {-gain:.4g} higher: it is not nested, or "
                "the fuller fit stopped at a poor optimum. Raise n_init, or start it from there."
            )
        return chi_squared(max(2.0 * gain, 0.0), self.n_parameters_ - restricted.n_parameters_)

    @row_arguments
    def bootstrap_ratio_test(
        self,
        restricted: Any,
        X: Any,
        y: Any,
        *,
        n_resamples: int = 99,
        random_state: Any = None,
        n_jobs: int | None = None,
        **given: Unpack[Given],
    ) -> BootstrapRatioTest:
        """Test fewer experts against this model's, by data drawn from the restricted fit.

        The ratio of K to K + 1 experts is not chi-squared, so its distribution is simulated:
        both models are fitted to every draw, by their own starts (McLachlan 1987). What is
        compared is what was maximised, so penalised fits may be tested too.

        Parameters
        ----------
        restricted : estimator
            Fitted to the same rows.
        X : array-like of shape (n, n_features)
        y : array-like of shape (n,)
        n_resamples : int, default=99
            p-values are multiples of ``1 / (n_resamples + 1)``.
        random_state : int, RandomState instance or None, default=None
        n_jobs : int, default=None
            Processes, as in scikit-learn; results do not depend on it.
        <PER_ROW>

        Returns
        -------
        BootstrapRatioTest

        Raises
        ------
        NotFittedError
            If `fit` has not been called.
        ValueError
            If the restricted model has not fewer parameters, the rows are others than those of
            the fits, or were weighted there, or an argument is not as described.

        Warns
        -----
        InferenceWarning
            If some draws could not be fitted.

        References
        ----------
        McLachlan (1987), On bootstrapping the likelihood ratio test statistic for the number of
        components in a normal mixture, Applied Statistics 36.
        """
        _check_restricted(restricted)
        for model in (self, restricted):
            check_is_fitted(model)
        refuse_dask(X, "bootstrap_ratio_test")
        _check_nested(self, restricted)
        _check_resampling("parametric", None, n_resamples, random_state, n_jobs)
        for model in (self, restricted):
            _on_rows_of_fit(model, X, y, given)
        statistic = _gain(self, restricted)
        draw = resampling(restricted, X, y, np.ones(len(y)), "parametric", None, given)
        refit = partial(_gain_of_refits, self, restricted, draw, X, given)
        refits = _run(refit, n_resamples, random_state, n_jobs)
        replicates = np.array(_successes(refits))
        reached = int(np.sum(replicates >= statistic))
        p_value = (1.0 + reached) / (1.0 + len(replicates))
        return BootstrapRatioTest(statistic, p_value, replicates, n_resamples - len(replicates))


def _check_resampling(
    kind: Any, cluster: Any, n_resamples: Any, random_state: Any, n_jobs: Any
) -> None:
    check_argument("random_state", random_state, RANDOM_STATE)
    check_argument("n_jobs", n_jobs, N_JOBS)
    if not is_word(kind, ("nonparametric", "parametric")):
        raise ValueError(
            f"kind must be 'nonparametric' or 'parametric'. Got {shown(kind)} instead."
        )
    if cluster is not None and kind != "nonparametric":
        raise ValueError("cluster is for kind='nonparametric': clusters are drawn as a whole.")
    check_argument("n_resamples", n_resamples, whole(2, _MOST_RESAMPLES))


def _on_rows_of_fit(model: Any, X: Any, y: Any, given: Mapping[str, Any]) -> float:
    """Return the log-likelihood of the rows of the fit, and refuse others.

    Which rows `partial_fit` has seen is not known.
    """
    found, expected = float(model.log_likelihood(X, y, **given)), model.log_likelihood_
    is_online = getattr(model, "_online", None) is not None
    if not is_online and abs(found - expected) > _NOISE * (1.0 + abs(expected)):
        weights = "weights of 1" if given.get("sample_weight") is None else "these weights"
        raise ValueError(
            f"X and y are not the rows that {shown(model)} was fitted to, with {weights}: its "
            f"log-likelihood is {found:.6g} there, and was {expected:.6g} in fit."
        )
    return found


def _check_restricted(restricted: Any) -> None:
    if isinstance(restricted, type) or not isinstance(restricted, BootstrapMixin):
        raise TypeError(
            "restricted must be a fitted MoERegressor, MoEClassifier, HMERegressor or "
            f"HMEClassifier. Got {shown(restricted)} instead."
        )


def _check_nested(full: Any, restricted: Any) -> None:
    if restricted.n_parameters_ >= full.n_parameters_:
        raise ValueError(
            f"restricted has {restricted.n_parameters_} parameters, this model "
            f"{full.n_parameters_}; expected fewer. Call the method of the fuller model."
        )


def _run(
    refit: Callable[[int], _Refit], n_resamples: int, random_state: Any, n_jobs: int | None
) -> list[_Refit]:
    """Refit once per seed, in parallel."""
    seeds = check_random_state(random_state).randint(np.iinfo(np.int32).max, size=n_resamples)
    return list(Parallel(n_jobs=n_jobs)(delayed(refit)(int(seed)) for seed in seeds))


def _successes(refits: list[_Refit]) -> list[Any]:
    """Return the results, and warn of refits that have none.

    Raises
    ------
    ValueError
        If fewer than two have one.
    """
    failures = [refit.failure for refit in refits if refit.failure]
    found = [refit.result for refit in refits if not refit.failure]
    if len(found) < 2:
        raise ValueError(f"{len(failures)} of {len(refits)} resamples failed: {failures[0]}")
    if failures:
        message = f"{len(failures)} of {len(refits)} resamples could not be fitted: {failures[0]}"
        warnings.warn(message, InferenceWarning, stacklevel=3)
    return found


def _attempt(function: Callable[[], Any]) -> _Refit:
    """Call what fits, keep its warnings, and take a refusal for an answer.

    A resample may be one that no model can be fitted to: without any row of a class, or with
    fewer rows than experts.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            result, failure = function(), ""
        except ValueError as error:
            result, failure = None, str(error)
    return _Refit(result, failure, frozenset(warning.category.__name__ for warning in caught))


def _matched_terms(
    fitted: Any,
    draw: Callable[[np.random.Generator], tuple[Any, np.ndarray]],
    rows: tuple[Any, Any],
    resp: np.ndarray,
    weight: np.ndarray,
    given: Mapping[str, Any],
    places: np.ndarray,
    seed: int,
) -> _Refit:
    """Refit to a resample and return its coefficients, experts in the order of the fit."""

    def fit() -> np.ndarray:
        y, counts = draw(np.random.default_rng(seed))
        if hasattr(fitted, "classes_"):
            _check_classes_are_drawn(fitted.classes_, y, counts)
        other = to_start_here(fitted).fit(rows[0], y, counts, **given)
        overlap = (resp.T * weight) @ other.responsibilities(*rows, **given)
        state = other.fitted_model_
        params = reorder(state.model, state.params, match_nodes(state.model, overlap))
        terms = list_terms(state.model, state.scaling, fitted._names(), places)
        return terms.values(state.model, params)

    return _attempt(fit)


def _check_classes_are_drawn(classes: np.ndarray, y: np.ndarray, counts: np.ndarray) -> None:
    """Refuse a resample without any row of a class; y is numbers of classes."""
    lost = np.setdiff1d(np.arange(len(classes)), y[counts > 0.0])
    if len(lost):
        raise ValueError(f"no row of class {shown(classes[lost].tolist()[0])} was drawn.")


def _gain(full: Any, restricted: Any) -> float:
    """Return twice the gain in what was maximised."""
    return 2.0 * float(full.penalized_log_likelihood_ - restricted.penalized_log_likelihood_)


def _gain_of_refits(
    full: Any,
    restricted: Any,
    draw: Callable[[np.random.Generator], tuple[Any, np.ndarray]],
    X: Any,
    given: Mapping[str, Any],
    seed: int,
) -> _Refit:
    """Fit both models to a draw, each by its own starts, and return twice the gain."""

    def fit() -> float:
        y, _ = draw(np.random.default_rng(seed))
        models = [to_start_afresh(model, seed).fit(X, y, **given) for model in (full, restricted)]
        return _gain(*models)

    return _attempt(fit)
