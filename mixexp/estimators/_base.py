"""What all four estimators share: everything that is asked of gates and experts."""

from collections.abc import Iterator, Mapping
from typing import Any, Unpack

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from mixexp.data import Block, RowArguments
from mixexp.estimators._bootstrap import BootstrapMixin
from mixexp.estimators._build import check_per_row_use
from mixexp.estimators._criteria import CriteriaMixin
from mixexp.estimators._deploy import DeploymentMixin
from mixexp.estimators._docs import method_docs
from mixexp.estimators._features import check_features
from mixexp.estimators._files import FilesMixin
from mixexp.estimators._fitting import FittedByEM
from mixexp.estimators._gates import columns_of_gates
from mixexp.estimators._growing import GrowingMixin
from mixexp.estimators._inference import InferenceMixin
from mixexp.estimators._intervals import EXACT, Interval, with_intervals
from mixexp.estimators._naming import NamingMixin
from mixexp.estimators._online import OnlineMixin
from mixexp.estimators._outputs import check_targets_of
from mixexp.estimators._panels import history_evidence, read_labels
from mixexp.estimators._partitioned import by_partition
from mixexp.estimators._routing import RoutingMixin
from mixexp.estimators._row_arguments import (
    NOTHING,
    Given,
    GivenOfGates,
    GivenWithoutY,
    in_given_order,
    read_history,
    read_rows,
    refuse_history,
    row_arguments,
    rows_in_order,
)
from mixexp.estimators._tables import HTMLMixin
from mixexp.estimators._tidy import TidyMixin
from mixexp.estimators._validation import check_same_length
from mixexp.model import (
    FittedModel,
    Posterior,
    Prediction,
)


def store_parameters(estimator: Any, arguments: dict[str, Any]) -> None:
    """Store the arguments of a constructor untouched, as scikit-learn wants it.

    Parameters
    ----------
    estimator : object
    arguments : dict
        ``locals()`` at the start of ``__init__``.
    """
    for name, value in arguments.items():
        if name not in ("self", "__class__"):
            setattr(estimator, name, value)


@method_docs
class MixtureOfExperts(
    FittedByEM,
    OnlineMixin,
    RoutingMixin,
    CriteriaMixin,
    InferenceMixin,
    BootstrapMixin,
    NamingMixin,
    FilesMixin,
    DeploymentMixin,
    TidyMixin,
    GrowingMixin,
    HTMLMixin,
    BaseEstimator,
):
    """Base of flat and hierarchical mixtures of experts."""

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    # What gates and experts say.

    def _predictions(self, X: Any, given: Mapping[str, Any] = NOTHING) -> Iterator[Prediction]:
        check_is_fitted(self)
        X = check_features(self, X, reset=False)
        per_row = self._read_without_y(len(X), given)
        yield from self.fitted_model_.predictions(X, per_row)

    def _posteriors(
        self, X: Any, y: Any, given: Mapping[str, Any] = NOTHING
    ) -> tuple[Iterator[tuple[Posterior, Block]], np.ndarray | None]:
        """Return posteriors with their blocks, and the order of the rows if they are in another."""
        check_is_fitted(self)
        X = check_features(self, X, reset=False)
        target, interval = self._read_target(X, y, given)
        per_row, order = self._read_with_y(X, given, np.ones(len(X)), interval)
        if order is not None:
            target = target[order]
        return self._fitted_to(per_row).posteriors(X, target, per_row, order), order

    def _read_target(self, X: Any, y: Any, given: Mapping[str, Any]) -> tuple[np.ndarray, Interval]:
        """Return y as the numbers that experts see, and the ends of intervals if it is in such."""
        y, interval = self._read_interval(y, given)
        target = self._encode_target(self._check_target(y))
        check_same_length(len(X), target)
        check_targets_of(self.fitted_model_, target)
        return target, interval

    def _fitted_to(self, known: RowArguments) -> FittedModel:
        """Return the fitted model of y as it is known."""
        fitted: FittedModel = self.fitted_model_
        if known.ends is None and known.window is None:
            return fitted
        with_intervals(self.experts_, Interval(known.ends, known.window))
        return fitted._replace(model=fitted.model.of_intervals())

    def _read_with_y(
        self,
        X: Any,
        given: Mapping[str, Any],
        weight: np.ndarray,
        interval: Interval = EXACT,
    ) -> tuple[RowArguments, np.ndarray | None]:
        """Return what is known of rows whose y is given, and their order if it is another."""
        per_row = read_rows(given, weight, self.tree_.n_leaves, interval=interval)
        check_per_row_use(self.experts_, given)
        order = rows_in_order(per_row)
        if order is not None:
            per_row = per_row.take(order)
        self._check_groups(X, per_row, order, columns_of_gates(self.fitted_model_.model), given)
        return per_row, order

    def _read_weights(self, sample_weight: Any, n: int, given: Mapping[str, Any]) -> np.ndarray:
        """Return the weights of n rows, once these and what else is known of rows are checked."""
        return read_rows(given, self._row_weights(sample_weight, n), self.tree_.n_leaves).weight

    def _read_without_y(self, n: int, given: Mapping[str, Any]) -> RowArguments:
        """Return what is known of rows whose y is not; refuse what experts have no use for."""
        refuse_history(given)
        evidence = None
        if given.get("history") is not None:
            evidence = self._evidence_of_history(given["history"], given["groups"], n)
        known = {name: value for name, value in given.items() if name not in ("groups", "history")}
        check_per_row_use(self.experts_, known)
        return read_rows(known, np.ones(n), self.tree_.n_leaves, evidence)

    def _evidence_of_history(self, history: Any, groups: Any, n: int) -> np.ndarray:
        X, y, past_groups, rest = read_history(history)
        X = check_features(self, X, reset=False)
        target, interval = self._read_target(X, y, rest)
        past = read_labels(past_groups, "the groups of history", len(X))
        check_per_row_use(self.experts_, rest)
        with_groups = {**rest, "groups": past}
        per_row = read_rows(with_groups, np.ones(len(X)), self.tree_.n_leaves, interval=interval)
        per_row = per_row._replace(groups=None)  # their order is the user's
        by_row = self._fitted_to(per_row).leaf_log_densities(X, target, per_row)
        return history_evidence(read_labels(groups, "groups", n), past, by_row)

    @by_partition
    @row_arguments
    def gate_proba(self, X: Any, **given: Unpack[GivenOfGates]) -> np.ndarray:
        """Return the probability of each expert before y is seen.

        Parameters
        ----------
        X : array-like of shape (n, n_features)
        <PER_ROW>

        Returns
        -------
        ndarray of shape (n, n_experts)
            Rows sum to one. In a tree, products of gates along each path.

        Raises
        ------
        <RAISES>
        """
        check_is_fitted(self)
        X = check_features(self, X, reset=False, for_gates=True)
        per_row = self._read_without_y(len(X), given)
        return self.fitted_model_.priors(X, per_row)

    @by_partition
    def find_extrapolated(self, X: Any) -> np.ndarray:
        """Return which values of X are far beyond those that were fitted to.

        That is, farther outside of the column's range in the fit than this range is wide, or than
        four standard deviations. Means of such rows are extrapolated. Where locations move y
        (Gaussian experts of the identity link, Student t, skew-normal and Laplace ones)
        distributions are the wider: the variance of an expert grows by the sum, over these columns,
        of the squares of slope times distance from there. Others, submodels too, stay as they are.

        Parameters
        ----------
        X : array-like of shape (n, n_features)

        Returns
        -------
        ndarray of shape (n, n_features), bool
            False in columns that were constant in the fit, which have no slope.

        Raises
        ------
        <RAISES>
        """
        check_is_fitted(self)
        X = check_features(self, X, reset=False)
        return self.fitted_model_.find_extrapolated(X, RowArguments(np.ones(len(X))))

    @by_partition
    @row_arguments
    def responsibilities(self, X: Any, y: Any, **given: Unpack[Given]) -> np.ndarray:
        """Return the probability of each expert after y is seen.

        Parameters
        ----------
        X : array-like of shape (n, n_features)
        y : array-like of shape (n,)
        <PER_ROW>

        Returns
        -------
        ndarray of shape (n, n_experts)
            Rows sum to one. A row that no expert explains keeps the gate's probabilities.

        Raises
        ------
        <RAISES>
        """
        found, order = self._posteriors(X, y, given)
        leaves = self.tree_.leaves
        return in_given_order([of_block.node_resp[leaves].T for of_block, _ in found], order)

    @by_partition
    @row_arguments
    def predict_expert(self, X: Any, y: Any = None, **given: Unpack[Given]) -> np.ndarray:
        """Return the most probable expert of each row, by the gate or, given y, posterior.

        Parameters
        ----------
        X : array-like of shape (n, n_features)
        y : array-like of shape (n,), default=None
        <PER_ROW>

        Returns
        -------
        ndarray of shape (n,), int

        Raises
        ------
        <RAISES>
        """
        if y is None:
            refuse_history({"groups": given.get("groups")})
            return self.gate_proba(X).argmax(axis=1)
        return self.responsibilities(X, y, **given).argmax(axis=1)

    @by_partition
    @row_arguments
    def predict_experts(self, X: Any, **given: Unpack[GivenWithoutY]) -> np.ndarray:
        """Return what each expert predicts, whoever is responsible.

        Parameters
        ----------
        X : array-like of shape (n, n_features)
        <PER_ROW>

        Returns
        -------
        ndarray of shape (n, n_experts) or (n, n_experts, n_classes)
            Means in the unit of y; class probabilities for classifiers.

        Raises
        ------
        <RAISES>
        """
        found = self._predictions(X, given)
        return np.concatenate([np.moveaxis(block.mean, -1, 0) for block in found])

    @by_partition
    @row_arguments
    def log_density(self, X: Any, y: Any, **given: Unpack[Given]) -> np.ndarray:
        """Return the log density of each y given its x, natural log.

        Parameters
        ----------
        X : array-like of shape (n, n_features)
        y : array-like of shape (n,)
        <PER_ROW>

        Returns
        -------
        ndarray of shape (n,)
            Per unit of y; log probability for classes and counts, -inf for y outside of the
            support of every expert. With ``groups`` each row has an equal part of the log density
            of its group, so that sums are those over groups.

        Raises
        ------
        <RAISES>
        """
        found, order = self._posteriors(X, y, given)
        return in_given_order([of_block.log_density for of_block, _ in found], order)
