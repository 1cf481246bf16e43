"""Standard errors, tables and tests of a fitted model on the rows it was fitted to."""

import warnings
from collections.abc import Mapping
from typing import Any, Unpack

import numpy as np
from joblib import effective_n_jobs
from sklearn.utils.validation import check_is_fitted

from mixexp.arguments import is_word
from mixexp.data import RowArguments, RowBlocks, read_source, single_threaded_blas
from mixexp.em import Problem
from mixexp.estimators._build import check_support
from mixexp.estimators._diagnostics import gate_shares
from mixexp.estimators._docs import method_docs
from mixexp.estimators._features import check_features
from mixexp.estimators._intervals import EXACT, Interval, with_intervals
from mixexp.estimators._lead import LEAD_NOTE, lead
from mixexp.estimators._panels import check_clusters_hold_groups
from mixexp.estimators._row_arguments import NOTHING, Given, row_arguments
from mixexp.estimators._source_fit import check_source_options, restore_problem
from mixexp.estimators._tables import (
    coefficient_table,
    feature_labels,
    node_names,
    problem_header,
    summarize_fit,
)
from mixexp.estimators._validation import number_clusters
from mixexp.estimators._weights import WeightFacts, doubt_counts, weight_facts
from mixexp.exceptions import ConvergenceWarning, InferenceWarning
from mixexp.inference import (
    KINDS,
    Inference,
    Names,
    Summary,
    choose_reference,
    estimate_covariance,
    format_table,
    list_terms,
)
from mixexp.model import FittedModel
from mixexp.text import shown
from mixexp.tree import GatingTree


@method_docs
class InferenceMixin:
    """What a fitted model says of its coefficients."""

    n_jobs: int | None
    weight_type: str
    n_features_in_: int
    tree_: GatingTree
    experts_: list[Any]
    fitted_model_: FittedModel

    def _check_target(self, y: Any) -> np.ndarray:
        raise NotImplementedError

    def _encode_target(self, y: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def _of_known_classes(self, y: Any, sample_weight: Any) -> Any:
        raise NotImplementedError

    def _row_weights(self, sample_weight: Any, n: int) -> np.ndarray:
        raise NotImplementedError

    def _read_target(self, X: Any, y: Any, given: Mapping[str, Any]) -> tuple[np.ndarray, Interval]:
        raise NotImplementedError

    def _fitted_to(self, known: RowArguments) -> FittedModel:
        raise NotImplementedError

    def _read_with_y(
        self,
        X: Any,
        given: Mapping[str, Any],
        weight: np.ndarray,
        interval: Interval = EXACT,
    ) -> tuple[RowArguments, np.ndarray | None]:
        raise NotImplementedError

    def _read_without_y(self, n: int, given: Mapping[str, Any]) -> RowArguments:
        raise NotImplementedError

    @row_arguments
    def inference(
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        kind: str | None = None,
        cluster: Any = None,
        reference: int | Mapping[str, int] | None = None,
        **given: Unpack[Given],
    ) -> Inference:
        """Return the coefficients with their covariance, and tables and tests that follow.

        A fitted estimator does not keep its data, so give X, y and all that is known per row
        as in `fit`.

        Parameters
        ----------
        X : array-like of shape (n, n_features)
        y : array-like of shape (n,)
        sample_weight : array-like of shape (n,), default=None
            As in `fit`.
        kind : {"model", "robust", "opg"}, default=None
            "model": the inverse of the observed information, which knows that responsibilities
            are estimates. "robust": the sandwich, also valid where the density is not that of
            the model. "opg": the inverse of the scores' outer product. None is "model", and
            "robust" with ``cluster``. After a penalised fit all three have the priors'
            curvature in the information, and are labelled so. With
            ``weight_type="sampling"`` it is "robust", with squared weights, and nothing else.
        cluster : array-like of shape (n,), default=None
            Labels of groups of rows that depend on each other; scores are summed within. No
            correction for few clusters is made.
        reference : int or mapping of str to int, default=None
            None for the gate logits of ``gate_coef_``, which sum to zero over the children of a
            node. Or the child that the others are contrasted with, for log odds against it:
            its place among the children, -1 for the last; or a mapping from names of gates
            ("root", "node 0") to such places.
        <PER_ROW>

        Returns
        -------
        Inference

        Raises
        ------
        NotFittedError
            If `fit` has not been called.
        ValueError
            If an argument is not as described; the message names it.

        Warns
        -----
        InferenceWarning
            If some or all standard errors are not to be had, or weights that are taken for
            numbers of rows cannot be such.
        ConvergenceWarning
            If the coefficients are not at an optimum of these rows.

        Notes
        -----
        An information matrix of m heads and p features costs about as much as five EM
        iterations. Coefficients are conditional on X, and on the number of experts.

        References
        ----------
        Louis (1982), J. R. Statist. Soc. B 44, eq. 3.2. White (1982), Econometrica 50.
        """
        check_is_fitted(self)
        is_sampled = self.weight_type == "sampling"
        kind = _check_kind(kind, cluster, is_sampled)
        names = self._names()
        places = choose_reference(self.tree_, names, reference)
        with single_threaded_blas():
            problem, chosen = self._restore_problem(X, y, sample_weight, given)
            codes = None if cluster is None else number_clusters(cluster, len(y), chosen)
            if codes is not None:
                check_clusters_hold_groups(codes, problem.class_numbers, problem.blocks.has_groups)
            state = self.fitted_model_
            current = problem.evaluate(state.params)
            found = Inference(
                problem,
                current,
                state.scaling,
                names,
                list_terms(state.model, state.scaling, names, places),
                estimate_covariance(problem, current, state.scaling, kind, codes, is_sampled),
                kind,
                None if codes is None else int(codes.max()) + 1,
                problem_header(self, problem, current),
                self._read_rows,
                is_sampled,
                None if chosen is None else np.argsort(chosen),
                lead(self, names, gate_shares(problem, current.params)),
                [LEAD_NOTE],
            )
        doubt = "" if is_sampled or codes is not None else self._doubt_weights(problem, kind)
        for message in filter(None, [*found.warnings, doubt]):
            warnings.warn(f"{type(self).__name__}: {message}", InferenceWarning, stacklevel=2)
        if not found.is_at_optimum:
            message = "the coefficients are not at an optimum of the rows given to inference."
            warnings.warn(f"{type(self).__name__}: {message}", ConvergenceWarning, stacklevel=2)
        return found

    def _doubt_weights(self, problem: Problem, kind: str) -> str:
        return doubt_counts(problem.total(_weights_of_rows, WeightFacts.plus), kind)

    def _names(self) -> Names:
        features = feature_labels(self, list(range(self.n_features_in_)))
        return Names(features, node_names(self.tree_), tuple(getattr(self, "classes_", ())))

    def _restore_problem(
        self, X: Any, y: Any, sample_weight: Any, given: Mapping[str, Any]
    ) -> tuple[Problem, np.ndarray | None]:
        """Return the fitted model on rows as `fit` would see them, and which rows those are."""
        source, beside = read_source(X, y, sample_weight, given)
        if source is not None:
            check_source_options(self, beside)
            return restore_problem(self, source), None
        X = check_features(self, X, reset=False)
        y = self._of_known_classes(y, sample_weight)
        target, interval = self._read_target(X, y, given)
        weight = self._row_weights(sample_weight, len(X))
        per_row, chosen = self._read_with_y(X, given, weight, interval)
        if chosen is not None:
            target = target[chosen]
        families = self.experts_ if interval.is_exact else with_intervals(self.experts_)
        check_support(families, target, per_row, chosen)
        fitted = self._fitted_to(per_row)
        known = fitted.read_known_rows(X, target, per_row, chosen).keep_small()
        return Problem(fitted.model, known, effective_n_jobs(self.n_jobs)), chosen

    def _read_rows(self, X: Any, given: Mapping[str, Any] = NOTHING) -> RowBlocks:
        """Return blocks of rows whose y is not known."""
        X = check_features(self, X, reset=False)
        per_row = self._read_without_y(len(X), given)
        return self.fitted_model_.read_rows(X, per_row)

    def coef_table(
        self,
        X: Any = None,
        y: Any = None,
        sample_weight: Any = None,
        *,
        format: str | None = None,
        **options: Any,
    ) -> Any:
        """Return all coefficients, one per row, for features and y in their own units.

        Parameters
        ----------
        X : array-like of shape (n, n_features), default=None
            The rows of the fit, for standard errors; without them there are estimates alone.
        y : array-like of shape (n,), default=None
        sample_weight : array-like of shape (n,), default=None
        format : {"latex", "markdown", "html"}, default=None
            Text for a paper or a page; LaTeX is a tabular of the package booktabs.
        **options
            Those of `inference` (``kind``, ``cluster``, ``reference``, ``offset``,
            ``exposure``, ``trials``), and ``level``, the coverage of the intervals, 0.95.
            Without data ``reference`` alone.

        Returns
        -------
        pandas.DataFrame, or Table without pandas, or str
            Columns "part" ("expert" or "gate"), "unit" (which), "term" and "estimate"; with
            data also "std_error", "z", "p_value", "lower", "upper" and "note". Gate logits are
            those of ``gate_coef_``, which sum to zero over siblings, or with ``reference``
            contrasts with one child.

        Raises
        ------
        <RAISES>
        """
        check_is_fitted(self)
        if X is None:
            reference = options.pop("reference", None)
            _refuse_without_data(y, sample_weight, options)
            return format_table(coefficient_table(self, reference), format)
        level = options.pop("level", 0.95)
        return self.inference(X, y, sample_weight, **options).coef_table(level, format)

    def summary(
        self, X: Any = None, y: Any = None, sample_weight: Any = None, **options: Any
    ) -> Summary:
        """Return the fit in words and tables: criteria, experts, gates.

        Parameters
        ----------
        X : array-like of shape (n, n_features), default=None
            The rows of the fit, for criteria and standard errors.
        y : array-like of shape (n,), default=None
        sample_weight : array-like of shape (n,), default=None
        **options
            As for `coef_table`.

        Returns
        -------
        Summary
            A str that notebooks show as HTML. With data there is a row per coefficient, with
            tests and intervals; without, a column per expert.

        Raises
        ------
        <RAISES>
        """
        check_is_fitted(self)
        if X is None:
            reference = options.pop("reference", None)
            _refuse_without_data(y, sample_weight, options)
            return summarize_fit(self, reference)
        level = options.pop("level", 0.95)
        found: Summary = self.inference(X, y, sample_weight, **options).summary(level)
        return found


def _check_kind(kind: Any, cluster: Any, is_sampled: bool) -> str:
    if kind is None:
        return "model" if cluster is None and not is_sampled else "robust"
    if not is_word(kind, KINDS):
        raise ValueError(f"kind must be one of {list(KINDS)} or None. Got {shown(kind)} instead.")
    if is_sampled and kind != "robust":
        raise ValueError(
            f"kind={kind!r} takes weights for numbers of rows, but weight_type is 'sampling'; use "
            "kind='robust', which is the default then, or a bootstrap."
        )
    if cluster is not None and kind != "robust":
        raise ValueError(
            f"cluster is for kind='robust'; got kind={shown(kind)}. Leave one of them out."
        )
    return str(kind)


def _refuse_without_data(y: Any, sample_weight: Any, options: Mapping[str, Any]) -> None:
    given = [
        name
        for name, value in {"y": y, "sample_weight": sample_weight}.items()
        if value is not None
    ]
    given += list(options)
    if given:
        raise ValueError(
            f"{given[0]} is for standard errors, which need the rows of the fit: pass X and y."
        )


def _weights_of_rows(problem: Problem) -> WeightFacts:
    return weight_facts(np.concatenate([block.weight for block in problem.held.without_features]))
