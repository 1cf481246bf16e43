"""Bagging: mixtures fitted to resampled rows, whose densities are averaged."""

import warnings
from collections.abc import Mapping
from typing import Any, Unpack

import numpy as np
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone
from sklearn.utils import check_random_state

from mixexp.arguments import check_count
from mixexp.ensemble._average import AverageMixin
from mixexp.ensemble._bags import Bag, Resamples, count_warnings, fit_bag
from mixexp.ensemble._stack import Stack
from mixexp.ensemble._weights import average
from mixexp.estimators import MoERegressor
from mixexp.estimators._auto import Auto, read_options
from mixexp.estimators._base import MixtureOfExperts, store_parameters
from mixexp.estimators._choosing import SIZES
from mixexp.estimators._docs import method_docs
from mixexp.estimators._row_arguments import Given, row_arguments
from mixexp.estimators._validation import N_JOBS, RANDOM_STATE, check_parameters
from mixexp.exceptions import ConvergenceWarning
from mixexp.text import shown


@method_docs
class BaggedMixture(AverageMixin, MetaEstimatorMixin, BaseEstimator):
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
        there is none; of groups, each row has an equal part. The one expert of a size of "auto" is
        fitted to all rows; here are ten fits to nine tenths of them, which are not kept.
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
    where ``groups`` are given. A fit costs ``n_estimators`` fits for each size, and eleven of one
    expert where sizes are averaged over; a prediction costs as many predictions.

    Where y has classes, as many rows of each are drawn as there are, so that no member lacks a rare
    class; of groups, as many as have it as their rarest. A class of one row is never out of bag.

    *A size of "auto"* (``n_experts`` or ``tree`` of the estimator) is not chosen but averaged over:
    bags of 1, 2, 3, 6, 12, ... experts, or of trees of gates over two, of depth 1, 2, 3, ..., are
    fitted to the same resamples, and get the weights that make the rows most probable that members
    have not seen (stacking). One expert, the linear model, is among them. It is fitted to all rows
    and weighed by ten folds of them, with one row more that it alone explains: on few rows another
    size may be ahead by chance. No more are fitted than ``max_experts`` and ``max_depth`` of
    `mixexp.selection.Auto`, nor once ``patience`` sizes more have not raised the log density of all
    these rows by one unit.
    Members of such bags are cheap: one start, no moves, at most 100 iterations, a ``tol`` of no
    less than 1e-3. More than three experts have a tenth of ``alpha``. Left out are sizes of less
    weight than a hundredth, if all rows together lose less than one unit by that (one that alone
    explains a row stays), and those with an expert that has shrunk onto a single value of y, unless
    all have one. With ``EM(on_collapse="error")`` a size with a collapsed expert is left out and
    ends the search; one expert alone that collapses is an error. Ctrl-C ends the search: the sizes
    so far are averaged, with a warning.

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
            If the search over sizes was interrupted; and what fits of members warn of, once for all
            that warn of the same, with their number. Members of a size of "auto" do not warn of
            superfluous experts and a last digit not reached, nor those without weight of anything.
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
        seeds = check_random_state(self.random_state).randint(
            np.iinfo(np.int32).max, size=(n_members, 2)
        )
        rows = Resamples.draw(
            self._prototype(), (X, y, sample_weight), given, seeds.tolist(), self.n_jobs
        )
        prototype, self.selection_ = self._settle_once(automatic, X, y, sample_weight, given)
        size = next((name for name in SIZES if name in automatic), None)
        if size is None:
            bags, weights = [fit_bag(prototype, rows, {})], np.ones(1)
        else:
            bags, weights = self._fit_sizes(prototype, size, read_options(automatic), rows)
        for message, category in count_warnings(bags, weights):
            warnings.warn(message, category, stacklevel=2)
        self._keep(bags, weights, rows)
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

    def _fit_sizes(
        self, prototype: Any, size: str, options: Auto, rows: Resamples
    ) -> tuple[list[Bag], np.ndarray]:
        """Return bags of one size after another, and their weights."""
        stack = Stack(prototype, size, options, rows)
        stack.grow()
        if stack.is_interrupted:
            warnings.warn(stack.reason, ConvergenceWarning, stacklevel=3)
        others = {} if self.selection_ is None else self.selection_.chosen
        self.selection_ = stack.selection(others)
        return stack.bags, stack.weights

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
