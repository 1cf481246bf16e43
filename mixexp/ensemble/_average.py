"""What an average of members predicts: everything is that of the mean of their densities."""

from collections.abc import Callable, Mapping
from typing import Any, Unpack

import numpy as np
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from mixexp.distribution import (
    ClassDistribution,
    JointDistribution,
    MixtureDistribution,
    average_mixtures,
)
from mixexp.ensemble._weights import average
from mixexp.estimators._docs import method_docs
from mixexp.estimators._folds import number_units
from mixexp.estimators._row_arguments import (
    Given,
    GivenOfClasses,
    GivenWithoutY,
    predict_to_score,
    row_arguments,
)


def _is_classifier(model: "AverageMixin") -> bool:
    return hasattr(model._prototype(), "predict_proba")


def _is_regressor(model: "AverageMixin") -> bool:
    return not _is_classifier(model)


@method_docs
class AverageMixin:
    """Predictions of fitted members with weights."""

    estimators_: list[Any]
    weights_: np.ndarray
    classes_: np.ndarray
    _prototype: Callable[[], Any]

    @row_arguments
    def predict(self, X: Any, **given: Unpack[GivenWithoutY]) -> np.ndarray:
        """Return the mean of y given x, or for classifiers the most probable class.

        Parameters
        ----------
        X : array-like of shape (n, n_features)
        <PER_ROW>

        Returns
        -------
        ndarray of shape (n,)

        Raises
        ------
        <RAISES>
        """
        check_is_fitted(self)
        if _is_classifier(self):
            best = self.predict_proba(X, **given).argmax(axis=1)
            return np.asarray(self.classes_[best])
        predicted = [member.predict(X, **given) for member in self.estimators_]
        return np.average(predicted, axis=0, weights=self.weights_)

    @available_if(_is_classifier)
    @row_arguments
    def predict_proba(self, X: Any, **given: Unpack[GivenOfClasses]) -> np.ndarray:
        """Return class probabilities, the weighted average of the members'.

        Parameters
        ----------
        X : array-like of shape (n, n_features)
        <PER_ROW>

        Returns
        -------
        ndarray of shape (n, n_classes)
            In the order of ``classes_``.

        Raises
        ------
        <RAISES>
        """
        check_is_fitted(self)
        proba = [member.predict_proba(X, **given) for member in self.estimators_]
        return np.average(proba, axis=0, weights=self.weights_)

    @row_arguments
    def predict_dist(
        self, X: Any, **given: Unpack[GivenWithoutY]
    ) -> MixtureDistribution | ClassDistribution | JointDistribution:
        """Return the distribution of y given x, a mixture of all experts of all members.

        Parameters
        ----------
        X : array-like of shape (n, n_features)
        <PER_ROW>

        Returns
        -------
        MixtureDistribution, ClassDistribution for classifiers, JointDistribution of several targets

        Raises
        ------
        <RAISES>
        """
        return self._mixture(X, given)

    def _mixture(self, X: Any, given: Mapping[str, Any]) -> Any:
        check_is_fitted(self)
        members = [member.predict_dist(X, **given) for member in self.estimators_]
        return average_mixtures(members, self.weights_)

    @available_if(_is_regressor)
    @row_arguments
    def predict_quantile(self, X: Any, q: Any, **given: Unpack[GivenWithoutY]) -> np.ndarray:
        """Return quantiles of y given x: the least y whose cdf is at least q.

        Parameters
        ----------
        X : array-like of shape (n, n_features)
        q : float or array-like of shape (m,)
        <PER_ROW>

        Returns
        -------
        ndarray of shape (n,) or (n, m)

        Raises
        ------
        <RAISES>
        """
        return self._mixture(X, given).ppf(q)

    @available_if(_is_regressor)
    @row_arguments
    def predict_interval(
        self,
        X: Any,
        coverage: float = 0.9,
        kind: str = "central",
        **given: Unpack[GivenWithoutY],
    ) -> np.ndarray:
        """Return intervals that hold y with some probability, given x.

        Parameters
        ----------
        X : array-like of shape (n, n_features)
        coverage : float, default=0.9
        kind : {"central", "hdr"}, default="central"
            See `MixtureDistribution.interval`.
        <PER_ROW>

        Returns
        -------
        ndarray of shape (n, 2), or (n, m, 2) for "hdr"

        Raises
        ------
        <RAISES>
        """
        return self._mixture(X, given).interval(coverage, kind)

    @row_arguments
    def log_density(self, X: Any, y: Any, **given: Unpack[Given]) -> np.ndarray:
        """Return the log of the members' mean density of each y given its x.

        Parameters
        ----------
        X : array-like of shape (n, n_features)
        y : array-like of shape (n,)
        <PER_ROW>

        Returns
        -------
        ndarray of shape (n,)
            Natural log, per unit of y; of groups, each row has an equal part.

        Raises
        ------
        <RAISES>
        """
        check_is_fitted(self)
        found = np.stack([member.log_density(X, y, **given) for member in self.estimators_])
        codes = number_units(given.get("groups"), found.shape[1])
        size = np.bincount(codes)
        of_group = np.stack([np.bincount(codes, own) for own in found])
        return (average(of_group, self.weights_) / size)[codes]

    @row_arguments
    def score(
        self, X: Any, y: Any, sample_weight: Any = None, **given: Unpack[GivenWithoutY]
    ) -> float:
        """Return R2 of `predict`, or for classifiers the share of rows whose class is predicted.

        Rows of groups without a history are predicted by the gate alone.

        Parameters
        ----------
        X : array-like of shape (n, n_features)
        y : array-like of shape (n,)
        sample_weight : array-like of shape (n,), default=None
        <PER_ROW>

        Returns
        -------
        float

        Raises
        ------
        <RAISES>
        """
        measure = accuracy_score if _is_classifier(self) else r2_score
        predicted = predict_to_score(self.predict, X, given)
        return float(measure(y, predicted, sample_weight=sample_weight))
