"""The whole conditional distribution: quantiles, intervals, variance and draws."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Unpack

import numpy as np
from joblib import effective_n_jobs
from sklearn.utils.validation import check_is_fitted

from mixexp.data import Block, RowArguments, RowBlocks
from mixexp.distribution import (
    BlockMixture,
    ClassDistribution,
    JointDistribution,
    MixtureDistribution,
    Variance,
    mixture_of_block,
)
from mixexp.estimators._docs import method_docs
from mixexp.estimators._features import check_features
from mixexp.estimators._partitioned import by_partition
from mixexp.estimators._row_arguments import NOTHING, GivenOfClasses, GivenWithoutY, row_arguments
from mixexp.model import FittedModel, Model, Parameters, Prediction


class _MixtureBlocks(Sequence[BlockMixture]):
    """Gate and experts block by block, evaluated when they are asked for."""

    def __init__(
        self,
        state: FittedModel,
        blocks: RowBlocks,
        evaluate: Callable[[Model, Parameters, Block], BlockMixture],
    ) -> None:
        self._fitted = state
        self._blocks = blocks
        self._evaluate = evaluate

    def __len__(self) -> int:
        return len(self._blocks)

    def __getitem__(self, at: int) -> BlockMixture:  # type: ignore[override]  # one block
        return self._evaluate(self._fitted.model, self._fitted.params, self._blocks[at])


@method_docs
class ClassPredictionMixin:
    """What a classifier says of classes beyond their probabilities."""

    classes_: np.ndarray

    def _predictions(self, X: Any, given: Mapping[str, Any] = NOTHING) -> Iterator[Prediction]:
        raise NotImplementedError

    @row_arguments
    def predict_dist(self, X: Any, **given: Unpack[GivenOfClasses]) -> ClassDistribution:
        """Return the distribution of the class given x, with entropies and draws.

        Parameters
        ----------
        X : array-like of shape (n, n_features)
        <PER_ROW>

        Returns
        -------
        ClassDistribution

        Raises
        ------
        <RAISES>
        """
        found = list(self._predictions(X, given))
        gate = np.concatenate([block.prior.T for block in found])
        by_expert = np.concatenate([np.moveaxis(block.mean, -1, 0) for block in found])
        return ClassDistribution(self.classes_, gate, by_expert)

    @row_arguments
    def sample(
        self, X: Any, n_samples: int = 1, random_state: Any = None, **given: Unpack[GivenOfClasses]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Draw classes given x, and say which expert each came from.

        Parameters
        ----------
        X : array-like of shape (n, n_features)
        n_samples : int, default=1
            Per row.
        random_state : int, Generator, RandomState or None, default=None
        <PER_ROW>

        Returns
        -------
        y : ndarray of shape (n, n_samples)
        expert : ndarray of shape (n, n_samples), int

        Raises
        ------
        <RAISES>
        """
        return self.predict_dist(X, **given).sample(n_samples, random_state)


@method_docs
class PredictionMixin:
    """What a regressor says of y beyond its mean."""

    n_jobs: int | None
    fitted_model_: FittedModel

    def _read_without_y(self, n: int, given: Mapping[str, Any]) -> RowArguments:
        raise NotImplementedError

    def _distribution(
        self,
        X: Any,
        given: Mapping[str, Any],
        evaluate: Callable[[Model, Parameters, Block], BlockMixture] = mixture_of_block,
    ) -> Any:
        """Return the distribution at X, whose blocks are evaluated whenever they are used."""
        check_is_fitted(self)
        X = check_features(self, X, reset=False)
        per_row = self._read_without_y(len(X), given)
        blocks = self.fitted_model_.read_rows(X, per_row)
        mixtures = _MixtureBlocks(self.fitted_model_, blocks, evaluate)
        n_threads, n_outputs = effective_n_jobs(self.n_jobs), self.fitted_model_.model.n_outputs
        if n_outputs > 1:
            return JointDistribution(mixtures, len(X), n_outputs, n_threads)
        return MixtureDistribution(mixtures, len(X), n_threads)

    @row_arguments
    def predict_dist(
        self, X: Any, **given: Unpack[GivenWithoutY]
    ) -> MixtureDistribution | JointDistribution:
        """Return the distribution of y given x, with cdf, quantiles, modes, scores and draws.

        Parameters
        ----------
        X : array-like of shape (n, n_features)
        <PER_ROW>

        Returns
        -------
        MixtureDistribution, or JointDistribution where y has several columns
            Holds a few numbers per row and expert, and neither X nor the estimator. The other
            methods here need not hold them: with many rows and one question use those.

        Raises
        ------
        <RAISES>
        """
        return self._distribution(X, given).frozen()

    @by_partition
    @row_arguments
    def predict_quantile(self, X: Any, q: Any, **given: Unpack[GivenWithoutY]) -> np.ndarray:
        """Return quantiles of y given x: the least y whose cdf is at least q.

        Parameters
        ----------
        X : array-like of shape (n, n_features)
        q : float or array-like of shape (m,)
            Levels in [0, 1]; 0 and 1 give the limits of y.
        <PER_ROW>

        Returns
        -------
        ndarray of shape (n,) or (n, m)
            In the unit of y; never falling in q.

        Raises
        ------
        NotFittedError
            If `fit` has not been called.
        ValueError
            If a level lies outside of [0, 1].
        """
        return self._distribution(X, given).ppf(q)

    @by_partition
    @row_arguments
    def predict_interval(
        self,
        X: Any,
        coverage: float = 0.9,
        *,
        kind: str = "central",
        **given: Unpack[GivenWithoutY],
    ) -> np.ndarray:
        """Return intervals that hold y with some probability, given x.

        Parameters
        ----------
        X : array-like of shape (n, n_features)
        coverage : float, default=0.9
            Between 0 and 1, both excluded.
        kind : {"central", "hdr"}, default="central"
            With equal probability on either side, or the smallest region, which may be several
            intervals; see `MixtureDistribution.interval`.
        <PER_ROW>

        Returns
        -------
        ndarray of shape (n, 2), or (n, m, 2) for "hdr"
            Lower and upper ends. Rows with fewer than m intervals have NaN in the last ones.

        Raises
        ------
        NotFittedError
            If `fit` has not been called.
        ValueError
            If coverage or kind is not as described.
        """
        return self._distribution(X, given).interval(coverage, kind)

    @by_partition
    @row_arguments
    def predict_variance(self, X: Any, **given: Unpack[GivenWithoutY]) -> Variance:
        """Return the variance of y given x in its two parts, by the law of total variance.

        Parameters
        ----------
        X : array-like of shape (n, n_features)
        <PER_ROW>

        Returns
        -------
        Variance
            A named tuple of ndarrays of shape (n,), in squared units of y: ``total``, and its
            parts ``within`` experts and ``between`` them.

        Raises
        ------
        <RAISES>
        """
        return self._distribution(X, given).variance()

    @row_arguments
    def sample(
        self, X: Any, n_samples: int = 1, random_state: Any = None, **given: Unpack[GivenWithoutY]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Draw y given x, and say which expert each came from.

        Parameters
        ----------
        X : array-like of shape (n, n_features)
        n_samples : int, default=1
            Per row.
        random_state : int, Generator, RandomState or None, default=None
            Seed; draws do not depend on ``n_jobs``.
        <PER_ROW>

        Returns
        -------
        y : ndarray of shape (n, n_samples)
        expert : ndarray of shape (n, n_samples), int

        Raises
        ------
        <RAISES>
        """
        return self._distribution(X, given).sample(n_samples, random_state)
