"""Flat and hierarchical mixtures of experts for a real target."""

from collections.abc import Mapping
from typing import Any, Unpack

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils.validation import check_is_fitted

from mixexp.arguments import in_memory
from mixexp.distribution import mixture_without_noise
from mixexp.estimators._auto import or_automatic
from mixexp.estimators._base import MixtureOfExperts, store_parameters
from mixexp.estimators._docs import method_docs, routing_docs, shared_docs
from mixexp.estimators._outputs import check_real_targets, check_targets_of, takes_outputs
from mixexp.estimators._partitioned import by_partition
from mixexp.estimators._predictive import PredictionMixin
from mixexp.estimators._row_arguments import GivenWithoutY, predict_to_score, row_arguments
from mixexp.estimators._solver import EM
from mixexp.estimators._validation import (
    BOOLEAN,
    N_EXPERTS,
    check_argument,
    check_parameters,
    check_same_length,
    check_weights,
    real,
)
from mixexp.model import Penalty
from mixexp.penalties import GroupedL1
from mixexp.text import shown
from mixexp.tree import GatingTree


@method_docs
class _Regressor(RegressorMixin, MixtureOfExperts, PredictionMixin):
    """What the two regressors share."""

    _targets = ("regression",)
    _choosable = ("n_experts", "tree", "alpha", "expert")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = takes_outputs(self.expert)
        return tags

    def _check_target(self, y: Any) -> np.ndarray:
        return check_real_targets(y)

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_parameters(self, {"dispersion_prior": real(0.0)})

    def _penalty(self) -> Penalty:
        return super()._penalty()._replace(dispersion_prior=float(self.dispersion_prior))

    @by_partition
    @routing_docs
    @row_arguments
    def predict(
        self,
        X: Any,
        *,
        return_std: bool = False,
        routing: str | int = "soft",
        without_noise: bool = False,
        **given: Unpack[GivenWithoutY],
    ) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """Return the mean of y given x: experts' means weighted by the gate.

        Parameters
        ----------
        X : array-like of shape (n, n_features)
        return_std : bool, default=False
            Whether to return the standard deviation of y given x as well, of shape (n,).
        <ROUTING>
        without_noise : bool, default=False
            Whether to leave out experts that are noise ("uniform"), which draw the mean to the
            middle of their range: mean and deviation are then those of y given that it comes from
            one of the others, whose gate probabilities are renormalised.
        <PER_ROW>

        Returns
        -------
        ndarray of shape (n,), or (n, d) where y has d columns
            In the unit of y.

        Raises
        ------
        NotFittedError
            If `fit` has not been called.
        ValueError
            If ``routing`` is none of these, or does not go with the other arguments, or
            ``without_noise`` where no expert is noise or all are.
        """
        check_argument("return_std", return_std, BOOLEAN)
        check_argument("without_noise", without_noise, BOOLEAN)
        if without_noise:
            return self._predict_without_noise(X, return_std, routing, given)
        mean = self._mixture_mean(X, routing, given).T
        if not return_std:
            return mean
        if routing != "soft":
            raise ValueError(
                "The 'routing' argument must be 'soft' where return_std=True, for the deviation "
                f"is that of all experts. Got {shown(routing)} instead."
            )
        return mean, self._distribution(X, given).std()

    def _predict_without_noise(
        self, X: Any, return_std: bool, routing: Any, given: Mapping[str, Any]
    ) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        check_is_fitted(self)
        is_noise = [family.is_noise for family in self.experts_]
        if not any(is_noise) or all(is_noise):
            names = [family.name for family in self.experts_]
            raise ValueError(
                "The 'without_noise' argument leaves out experts that are noise ('uniform') where "
                f"there are others too; the experts here are {names}. Leave it False."
            )
        if routing != "soft":
            raise ValueError(
                "The 'routing' argument must be 'soft' where without_noise=True, which has a "
                f"routing of its own. Got {routing!r} instead."
            )
        found = self._distribution(X, given, mixture_without_noise)
        return (found.mean(), found.std()) if return_std else found.mean()

    @row_arguments
    def score(
        self, X: Any, y: Any, sample_weight: Any = None, **given: Unpack[GivenWithoutY]
    ) -> float:
        """Return the coefficient of determination R2 of `predict`.

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
            At most 1; 0 for a prediction by the mean of y.

        Raises
        ------
        <RAISES>
        """
        predicted = predict_to_score(self.predict, X, given)
        y, sample_weight = in_memory(y), in_memory(sample_weight)
        target = self._check_target(y)
        check_same_length(len(predicted), target)
        check_targets_of(self.fitted_model_, target)
        if target.ndim == 2 and np.isnan(target).any():
            raise ValueError("y contains NaN, which R2 is not defined for; see log_density.")
        weight = check_weights(sample_weight, len(predicted))
        return float(r2_score(target, predicted, sample_weight=weight))


@shared_docs
class MoERegressor(_Regressor):
    """Mixture of experts for regression, fitted by EM.

    A softmax gate hands each row to one of several linear models, each with a variance of its
    own; the mixture predicts the whole conditional density of y.

    Parameters
    ----------
    n_experts : int, "auto" or Auto, default=3
        Number of experts. "auto" chooses it by held-out log density, from one expert on; see
        `mixexp.selection.Auto`, which has options.
    expert : str, Expert, or list of these, default="gaussian"
        Family of the experts; a list gives one per expert, from left to right. By name,
        <FAMILIES>;
        or an object of `mixexp.experts`, which has options, an estimator of scikit-learn's, or a
        `Submodel`. The guide page "Which
        expert for which y" compares them. "auto" or an `Auto` chooses, by held-out log density, one
        family for all experts of those whose support holds y.
    <PARAMETERS>

    Attributes
    ----------
    coef_ : ndarray of shape (n_experts, n_expert_features)
        Slopes of each expert, in units of y per unit of the feature. Experts are sorted by
        their prediction at the mean of the features, within what the tree allows; below gates
        without slopes (Gaussian, quadratic, an estimator) they are in no order.
    intercept_ : ndarray of shape (n_experts,)
    dispersion_ : ndarray of shape (n_experts,)
        Dispersion of each expert; for Gaussian experts the variance, in squared units of y. 1
        for families without one. With ``dispersion_features_``, at features of zero.
    dispersion_coef_ : ndarray of shape (n_experts, n_dispersion_features)
        Slopes of the log dispersion; zero for families without one.
    dispersion_features_ : list of int
        Columns of X that the log dispersions look at.
    shape_ : list of dict
        Further parameters of each expert by name, such as ``df``; empty where there are none.
    <ATTRIBUTES>

    Notes
    -----
    <NOTES>

    Examples
    --------
    >>> import numpy as np
    >>> from mixexp import MoERegressor
    >>> x = np.linspace(-1.0, 1.0, 200)[:, None]
    >>> y = np.abs(x[:, 0]) + 0.05 * np.sin(50.0 * x[:, 0])
    >>> model = MoERegressor(n_experts=2, random_state=0).fit(x, y)
    >>> model.predict([[-0.5], [0.5]]).round(1)
    array([0.5, 0.5])
    """

    def __init__(
        self,
        n_experts: Any = 3,
        *,
        expert: Any = "gaussian",
        gate: Any = "softmax",
        expert_features: Any = None,
        gate_features: Any = None,
        constraints: Any = None,
        alpha: Any = 100.0,
        gate_alpha: float = 3.0,
        l1: float | GroupedL1 = 0.0,
        gate_l1: float | GroupedL1 = 0.0,
        dispersion_prior: float = 30.0,
        n_init: int | str = 10,
        init: Any = "auto",
        max_iter: int = 500,
        tol: float = 1e-8,
        solver: EM | None = None,
        weight_type: str = "frequency",
        random_state: Any = None,
        n_jobs: int | None = None,
        verbose: int = 0,
    ) -> None:
        store_parameters(self, locals())

    def _make_tree(self) -> GatingTree:
        check_parameters(self, {"n_experts": or_automatic(N_EXPERTS)})
        return GatingTree.flat(int(self._setting("n_experts")))


@shared_docs
class HMERegressor(_Regressor):
    """Hierarchical mixture of experts for regression, fitted by EM.

    A tree of softmax gates hands each row to one of several linear models at its leaves, each
    with a variance of its own; the mixture predicts the whole conditional density of y.

    Parameters
    ----------
    tree : tuple of int, nested list, "auto" or Auto, default=(2, 2)
        Branching factors from the root down, or a nested list in which 1 stands for an
        expert: ``[[1, 1], 1]`` is a gate over two experts beside a third expert. "auto" grows
        a tree of gates over two and chooses its size by held-out log density; see
        `mixexp.selection.Auto`, which has options.
    expert : str, Expert, or list of these, default="gaussian"
        Family of the experts; a list gives one per expert, from left to right. By name,
        <FAMILIES>;
        or an object of `mixexp.experts`, which has options, an estimator of scikit-learn's, or a
        `Submodel`. The guide page "Which
        expert for which y" compares them. "auto" or an `Auto` chooses, by held-out log density, one
        family for all experts of those whose support holds y.
    <PARAMETERS>

    Attributes
    ----------
    coef_ : ndarray of shape (n_experts, n_expert_features)
        Slopes of each expert, in units of y per unit of the feature. Experts are sorted by
        their prediction at the mean of the features, within what the tree allows; below gates
        without slopes (Gaussian, quadratic, an estimator) they are in no order.
    intercept_ : ndarray of shape (n_experts,)
    dispersion_ : ndarray of shape (n_experts,)
        Dispersion of each expert; for Gaussian experts the variance, in squared units of y. 1
        for families without one. With ``dispersion_features_``, at features of zero.
    dispersion_coef_ : ndarray of shape (n_experts, n_dispersion_features)
        Slopes of the log dispersion; zero for families without one.
    dispersion_features_ : list of int
        Columns of X that the log dispersions look at.
    shape_ : list of dict
        Further parameters of each expert by name, such as ``df``; empty where there are none.
    <ATTRIBUTES>

    Notes
    -----
    <NOTES>

    Examples
    --------
    >>> import numpy as np
    >>> from mixexp import HMERegressor
    >>> x = np.linspace(-1.0, 1.0, 200)[:, None]
    >>> y = np.abs(np.abs(x[:, 0]) - 0.5) + 0.02 * np.sin(50.0 * x[:, 0])
    >>> model = HMERegressor(tree=(2, 2), random_state=0).fit(x, y)
    >>> bool((model.gate_proba(x).mean(axis=0) > 0.1).all())
    True
    """

    def __init__(
        self,
        tree: Any = (2, 2),
        *,
        expert: Any = "gaussian",
        gate: Any = "softmax",
        expert_features: Any = None,
        gate_features: Any = None,
        constraints: Any = None,
        alpha: Any = 100.0,
        gate_alpha: float = 3.0,
        l1: float | GroupedL1 = 0.0,
        gate_l1: float | GroupedL1 = 0.0,
        dispersion_prior: float = 30.0,
        n_init: int | str = 10,
        init: Any = "auto",
        max_iter: int = 500,
        tol: float = 1e-8,
        solver: EM | None = None,
        weight_type: str = "frequency",
        random_state: Any = None,
        n_jobs: int | None = None,
        verbose: int = 0,
    ) -> None:
        store_parameters(self, locals())

    def _make_tree(self) -> GatingTree:
        return GatingTree.from_spec(self._setting("tree"))
