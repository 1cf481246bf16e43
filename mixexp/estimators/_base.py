"""What all four estimators share: everything that is asked of gates and experts."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from mixexp.estimators._bootstrap import Resampled
from mixexp.estimators._criteria import CriteriaMixin
from mixexp.estimators._docs import per_row_docs
from mixexp.estimators._features import check_features
from mixexp.estimators._fitting import FittedByEM
from mixexp.estimators._growing import Growing
from mixexp.estimators._inference import Inferential
from mixexp.estimators._routing import RoutedPrediction
from mixexp.estimators._tables import SummaryHTML
from mixexp.estimators._validation import check_same_length
from mixexp.model import (
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


@per_row_docs
class MixtureOfExperts(
    FittedByEM,
    RoutedPrediction,
    CriteriaMixin,
    Inferential,
    Resampled,
    Growing,
    SummaryHTML,
    BaseEstimator,
):
    """Base of flat and hierarchical mixtures of experts."""

    # What gates and experts say.

    def _predictions(
        self, X: Any, offset: Any = None, exposure: Any = None, trials: Any = None
    ) -> Iterator[Prediction]:
        check_is_fitted(self)
        X = check_features(self, X, reset=False)
        per_row = self._check_known(len(X), offset, exposure, trials)
        yield from self.fitted_model_.predictions(X, per_row)

    def _posteriors(
        self, X: Any, y: Any, offset: Any = None, exposure: Any = None, trials: Any = None
    ) -> Iterator[Posterior]:
        check_is_fitted(self)
        X = check_features(self, X, reset=False)
        target = self._encode_target(self._check_target(y))
        check_same_length(len(X), target)
        per_row = self._check_known(len(X), offset, exposure, trials)
        yield from self.fitted_model_.posteriors(X, target, per_row)

    def gate_proba(self, X: Any) -> np.ndarray:
        """Return the probability of each expert before y is seen.

        Parameters
        ----------
        X : array-like of shape (n, n_features)

        Returns
        -------
        ndarray of shape (n, n_experts)
            Rows sum to one. In a tree, products of gates along each path.

        Raises
        ------
        <RAISES>
        """
        return np.concatenate([block.prior.T for block in self._predictions(X)])

    def responsibilities(
        self, X: Any, y: Any, *, offset: Any = None, exposure: Any = None, trials: Any = None
    ) -> np.ndarray:
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
        found = self._posteriors(X, y, offset, exposure, trials)
        return np.concatenate([block.node_resp[self.tree_.leaves].T for block in found])

    def predict_expert(
        self,
        X: Any,
        y: Any = None,
        *,
        offset: Any = None,
        exposure: Any = None,
        trials: Any = None,
    ) -> np.ndarray:
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
            return self.gate_proba(X).argmax(axis=1)
        known = {"offset": offset, "exposure": exposure, "trials": trials}
        return self.responsibilities(X, y, **known).argmax(axis=1)

    def predict_experts(
        self, X: Any, *, offset: Any = None, exposure: Any = None, trials: Any = None
    ) -> np.ndarray:
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
        found = self._predictions(X, offset, exposure, trials)
        return np.concatenate([np.moveaxis(block.mean, -1, 0) for block in found])

    def log_density(
        self, X: Any, y: Any, *, offset: Any = None, exposure: Any = None, trials: Any = None
    ) -> np.ndarray:
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
            support of every expert.

        Raises
        ------
        <RAISES>
        """
        found = self._posteriors(X, y, offset, exposure, trials)
        return np.concatenate([block.log_density for block in found])
