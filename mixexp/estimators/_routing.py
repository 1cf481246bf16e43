"""Prediction by some of the experts: which ones, with what weights, and what they say."""

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar, Unpack

import numpy as np
from joblib import effective_n_jobs
from sklearn.utils.validation import check_is_fitted

from mixexp.arguments import is_whole
from mixexp.data import RowArguments
from mixexp.estimators._docs import method_docs, routing_docs
from mixexp.estimators._features import check_features
from mixexp.estimators._partitioned import by_partition
from mixexp.estimators._row_arguments import NOTHING, GivenOfGates, row_arguments
from mixexp.model import FittedModel
from mixexp.text import shown
from mixexp.tree import GatingTree

Result = TypeVar("Result")


class Routing(NamedTuple):
    """Experts that rows were sent to.

    Parameters
    ----------
    experts : ndarray of shape (n, k), int
        Numbers of the experts, the most probable first.
    weights : ndarray of shape (n, k)
        Their gate probabilities, renormalised: rows sum to one.
    dropped : ndarray of shape (n,)
        Probability of the experts that were left out; rows of gate probabilities before
        renormalising are ``weights * (1 - dropped)``.
    """

    experts: np.ndarray
    weights: np.ndarray
    dropped: np.ndarray


def check_routing(routing: Any, n_experts: int) -> int | None:
    """Return how many experts a row is sent to, None for one that is found greedily.

    Raises
    ------
    ValueError
        Naming ``routing``.
    """
    if isinstance(routing, str) and routing in ("soft", "hard"):
        return n_experts if routing == "soft" else None
    if is_whole(routing) and 1 <= int(routing) <= n_experts:
        return int(routing)
    raise ValueError(
        f"The 'routing' argument must be 'soft', 'hard' or an int in the range [1, {n_experts}], "
        f"for there are {n_experts} experts. Got {shown(routing)} instead."
    )


@method_docs
class RoutingMixin:
    """What an estimator predicts by all of its experts, or by those that a row is sent to."""

    tree_: GatingTree
    n_jobs: int | None
    fitted_model_: FittedModel

    def _read_without_y(self, n: int, given: Mapping[str, Any]) -> RowArguments:
        raise NotImplementedError

    @by_partition
    @routing_docs
    @row_arguments
    def route(self, X: Any, routing: str | int = "hard", **given: Unpack[GivenOfGates]) -> Routing:
        """Return the experts that each row is sent to, and the probability that is left out.

        Parameters
        ----------
        X : array-like of shape (n, n_features)
        <ROUTING>
        <PER_ROW>

        Returns
        -------
        Routing
            Fields ``experts`` of shape (n, k), int, the most probable first; ``weights`` of
            shape (n, k), their gate probabilities, renormalised; ``dropped`` of shape (n,), the
            probability of all other experts.

        Raises
        ------
        NotFittedError
            If `fit` has not been called.
        ValueError
            If ``routing`` is none of these, or more than there are experts.
        """
        check_is_fitted(self)
        k = check_routing(routing, self.tree_.n_leaves)
        X = check_features(self, X, reset=False)
        per_row = self._read_without_y(len(X), given)
        n_threads = effective_n_jobs(self.n_jobs)
        return Routing(*self.fitted_model_.route(X, per_row, k, n_threads))

    def _mixture_mean(
        self,
        X: Any,
        routing: Any,
        given: Mapping[str, Any] = NOTHING,
    ) -> np.ndarray:
        """Return means over the experts chosen, shape (n,) or (n_classes, n)."""
        check_is_fitted(self)
        k = check_routing(routing, self.tree_.n_leaves)
        X = check_features(self, X, reset=False)
        per_row = self._read_without_y(len(X), given)
        return self.fitted_model_.mean(X, per_row, k, effective_n_jobs(self.n_jobs))
