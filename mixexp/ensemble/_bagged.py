"""Bagging: mixtures fitted to resampled rows, whose densities are averaged."""

import warnings
from collections.abc import Mapping
from typing import Any, Unpack

import numpy as np
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils import check_random_state
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from mixexp.arguments import check_count
from mixexp.distribution import (
    ClassDistribution,
    JointDistribution,
    MixtureDistribution,
    average_mixtures,
)
from mixexp.ensemble._bags import Bag, Resamples, Stack, average, draw_units, fit_bag
from mixexp.estimators import MoERegressor
from mixexp.estimators._auto import Auto, read_options
from mixexp.estimators._base import MixtureOfExperts, store_parameters
from mixexp.estimators._choosing import SIZES
from mixexp.estimators._docs import method_docs
from mixexp.estimators._folds import number_units
from mixexp.estimators._row_arguments import Given, GivenOfClasses, GivenWithoutY, row_arguments
from mixexp.estimators._validation import N_JOBS, RANDOM_STATE, check_parameters
from mixexp.exceptions import ConvergenceWarning
from mixexp.text import shown


def _is_classifier(model: "BaggedMixture") -> bool:
    return hasattr(model._prototype(), "predict_proba")


def _is_regressor(model: "BaggedMixture") -> bool:
    return not _is_classifier(model)


@method_docs
class BaggedMixture(MetaEstimatorMixin, BaseEstimator):
    """Mixtures of experts fitted to resampled rows; the density is an average of theirs.

    Averaging takes away much of what a single fit owes to chance: which optimum it ended in, and
    where its gates run. Predictions and all that follows from them are those of the average, which
    is itself a mixture: of all experts of all members.

    Parameters
    ----------
    estimator : MoERegressor, MoEClassifier, HMERegressor or HMEClassifier, default=None
        What is fitted to each resample; None for a `MoERegressor`. It is not changed.
    n_estimators : int, default=10
        Number of resamples.
    random_state : int, RandomState instance or None, default=None
        Seed of the resamples and of the members' starts.
    n_jobs : int, default=None
        Processes that fit members, as in scikit-learn; results do not depend on it.

    Attributes
    ----------
    estimators_ : list of estimator
        The fitted members; of a size of "auto", those of all sizes that have weight.
    weights_ : ndarray of shape (n_members,)
        What the members' densities are averaged with, sums to one. Equal within a size.
    oob_log_density_ : ndarray of shape (n,)
        Log of the mean density of each row under the members that were not fitted to it, NaN where
        there is none; of groups, each row has an equal part. For one expert of a size of "auto",
        under fits to the resamples, which are not kept: the member is fitted to all rows.
    oob_score_ : float
        Its weighted mean over the rows that have one.
    selection_ : BagSelection, AutoSelection or None
        What parameters of "auto" were chosen among: sizes, with their weights, if ``n_experts`` or
        ``tree`` is one of them, else as for the estimator.
    classes_ : ndarray of shape (n_classes,)
        For classifiers.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        If X had column names.

    Notes
    -----
    Resamples are weights, so that X is not copied: rows drawn with replacement, or whole groups
    where ``groups`` are given. A fit costs ``n_estimators`` fits, a prediction as many predictions.

    *A size of "auto"* (``n_experts`` or ``tree`` of the estimator) is not chosen but averaged over:
    bags of 1, 2, 3, 6, 12, ... experts, or of trees of gates over two, of depth 1, 2, 3, ..., are
    fitted to the same resamples, and get the weights that make the rows most probable that members
    have not seen (stacking). One expert, the linear model, is among them, fitted to all rows in
    the end. No more are fitted than ``max_experts`` and ``max_depth`` of `mixexp.selection.Auto`,
    nor once ``patience`` sizes more have not raised the log density of all these rows by one unit.
    Members of such bags are cheap: one start, no moves, at most 100 iterations, a ``tol`` of no
    less than 1e-3. More than three experts have a tenth of ``alpha``. Sizes of less weight than a
    hundredth are left out, and those with an expert that has shrunk onto a single value of y,
    unless all have one. With ``EM(on_collapse="error")`` a size with a collapsed expert is left out
    and ends the search; one expert alone that collapses is an error. Ctrl-C ends the search: the
    sizes so far are averaged, with a warning.

    *Other parameters of "auto"* (``alpha``, ``expert``) are chosen once, in folds of all rows,
    before any member is fitted. A size of "auto" is searched for there too, at the cost of a single
    such fit, but not used. Ctrl-C in this choice ends the fit.

    References
    ----------
    Breiman (1996), Bagging predictors, Machine Learning 24. For densities: Smyth & Wolpert (1999),
    Linearly combining density estimators via stacking, Machine Learning 36; Yao, Vehtari, Simpson &
    Gelman (2018), Using stacking to average Bayesian predictive distributions, Bayesian Analysis
    13.

    Examples
    --------
    >>> import numpy as np
    >>> from mixexp import MoERegressor
    >>> from mixexp.ensemble import BaggedMixture
    >>> x = np.linspace(-1.0, 1.0, 200)[:, None]
    >>> y = np.abs(x[:, 0]) + 0.05 * np.sin(50.0 * x[:, 0])
    >>> model = BaggedMixture(MoERegressor(n_experts=2), n_estimators=3, random_state=0).fit(x, y)
    >>> model.predict([[-0.5], [0.5]]).round(1)
    array([0.5, 0.5])
    """

    def __init__(
        self,
        estimator: Any = None,
        n_estimators: int = 10,
        *,
        random_state: Any = None,
        n_jobs: int | None = None,
    ) -> None:
        store_parameters(self, locals())

    def _prototype(self) -> Any:
        return MoERegressor() if self.estimator is None else self.estimator

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        own = self._prototype().__sklearn_tags__()
        tags.estimator_type, tags.target_tags = own.estimator_type, own.target_tags
        tags.classifier_tags, tags.regressor_tags = own.classifier_tags, own.regressor_tags
        tags.input_tags = own.input_tags
        return tags

    @row_arguments
    def fit(
        self, X: Any, y: Any, sample_weight: Any = None, **given: Unpack[Given]
    ) -> "BaggedMixture":
        """Fit a member to each resample.

        Parameters
        ----------
        X : array-like of shape (n, n_features)
        y : array-like of shape (n,)
        sample_weight : array-like of shape (n,), default=None
            As for the estimator; resamples are drawn with equal probability, among rows of positive
            weight, and keep it.
        <PER_ROW>

        Returns
        -------
        self

        Raises
        ------
        TypeError
            If the estimator is no mixture of experts.
        ValueError
            If an argument is not as described; the message names it.

        Warns
        -----
        UserWarning
            If the search over sizes was interrupted; and what fits of members warn of: of a size of
            "auto" once, if it has weight, but for superfluous experts and a last digit not reached.
        """
        check_parameters(self, {"random_state": RANDOM_STATE, "n_jobs": N_JOBS})
        n_members = check_count("n_estimators", self.n_estimators)
        if isinstance(self._prototype(), type) or not isinstance(
            self._prototype(), MixtureOfExperts
        ):
            raise TypeError(
                "The 'estimator' parameter of BaggedMixture must be a MoERegressor, MoEClassifier, "
                f"HMERegressor or HMEClassifier. Got {shown(self.estimator)} instead."
            )
        automatic = self._read_automatic(X, y, sample_weight, given)
        n = len(X) if hasattr(X, "__len__") else X.shape[0]
        weight = self._prototype()._row_weights(sample_weight, n)
        codes = number_units(given.get("groups"), n)
        seeds = check_random_state(self.random_state).randint(
            np.iinfo(np.int32).max, size=(n_members, 2)
        )
        rows = Resamples(
            *(X, y, weight, dict(given), codes),
            counts=np.stack([draw_units(codes, weight, seed) for seed, _ in seeds]),
            seeds=[int(seed) for _, seed in seeds],
            n_jobs=self.n_jobs,
        )
        prototype, self.selection_ = self._settle_once(automatic, X, y, sample_weight, given)
        size = next((name for name in SIZES if name in automatic), None)
        if size is None:
            self._keep([fit_bag(prototype, rows)], np.ones(1), rows)
        else:
            self._fit_sizes(prototype, size, read_options(automatic), rows)
        return self

    def _read_automatic(
        self, X: Any, y: Any, sample_weight: Any, given: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Return parameters of "auto" of the estimator, by name, if they go with the others."""
        prototype = self._prototype()
        automatic: dict[str, Any] = prototype._automatic()
        if automatic:
            clone(prototype)._check_parameters()
            prototype._read_automatic(automatic, X, y, sample_weight, given)
        return automatic

    def _settle_once(
        self,
        automatic: Mapping[str, Any],
        X: Any,
        y: Any,
        sample_weight: Any,
        given: Mapping[str, Any],
    ) -> tuple[Any, Any]:
        """Return what members are fitted as, family and pooling of "auto" chosen on all rows.

        A size of "auto" beside them is searched for there too, as families are compared at their
        own best sizes, but bags average over sizes. The choice has the ensemble's seed unless the
        estimator has its own. If it is interrupted, there is no member yet that could be kept.
        """
        prototype = self._prototype()
        if not set(automatic) - set(SIZES):
            return prototype, None
        if prototype.random_state is None:
            prototype = clone(prototype).set_params(random_state=self.random_state)
        model = clone(prototype)
        _, interruption = model._settle(X, y, sample_weight, given)
        if interruption:
            raise KeyboardInterrupt("BaggedMixture: interrupted before any member was fitted")
        return clone(prototype).set_params(**model.selection_.chosen), model.selection_

    def _fit_sizes(self, prototype: Any, size: str, options: Auto, rows: Resamples) -> None:
        """Fit and weigh bags of one size after another; members are those that have weight."""
        stack = Stack(prototype, size, options, rows)
        stack.grow()
        if stack.is_interrupted:
            warnings.warn(stack.reason, ConvergenceWarning, stacklevel=4)
        for message, category in stack.warnings():
            warnings.warn(message, category, stacklevel=3)
        others = {} if self.selection_ is None else self.selection_.chosen
        self.selection_ = stack.selection(others)
        self._keep(stack.bags, stack.weights, rows)

    def _keep(self, bags: list[Bag], weights: np.ndarray, rows: Resamples) -> None:
        """Store the members of the bags that have weight, and what they say out of bag."""
        members = [
            (member, own / len(bag.members))
            for bag, own in zip(bags, weights, strict=True)
            for member in bag.members
            if own > 0.0
        ]
        self.estimators_ = [member for member, _ in members]
        self.weights_ = np.array([own for _, own in members])
        self.n_features_in_ = self.estimators_[0].n_features_in_
        for name in ("feature_names_in_", "classes_"):
            if hasattr(self.estimators_[0], name):
                setattr(self, name, getattr(self.estimators_[0], name))
        out = np.stack([bag.out_of_bag for bag in bags])
        is_out, of_group = ~np.isnan(out[0]), out[0].copy()
        of_group[is_out] = average(out[:, is_out], weights)
        self.oob_log_density_ = (of_group / np.bincount(rows.codes))[rows.codes]
        has_one = ~np.isnan(self.oob_log_density_) & (rows.weight > 0.0)
        self.oob_score_ = (
            float(np.average(self.oob_log_density_[has_one], weights=rows.weight[has_one]))
            if has_one.any()
            else np.nan
        )

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
        return float(measure(y, self.predict(X, **given), sample_weight=sample_weight))
