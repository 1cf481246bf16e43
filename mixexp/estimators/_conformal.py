"""Split-conformal intervals around a model's own conditional distribution.

A score says how far out a row lies in what the model says of it; the scores of held-out rows
say how far out to go. Coverage then holds whatever the model is worth, if rows are exchangeable.
"""

import math
from typing import Any, Unpack

import numpy as np
from sklearn.base import BaseEstimator, MetaEstimatorMixin, RegressorMixin, clone
from sklearn.utils import _safe_indexing, check_random_state
from sklearn.utils.validation import check_is_fitted

from mixexp.arguments import is_real
from mixexp.data import SparseRows, refuse_dask
from mixexp.distribution import check_coverage
from mixexp.estimators._base import store_parameters
from mixexp.estimators._docs import method_docs
from mixexp.estimators._features import check_features
from mixexp.estimators._row_arguments import GivenOfX, refuse_unknown, row_arguments
from mixexp.estimators._validation import (
    RANDOM_STATE,
    Rule,
    check_parameters,
    check_per_row,
    check_real_target,
    check_same_length,
    one_of,
)
from mixexp.text import shown

_RULES = {
    "method": one_of("central", "hdr"),
    "calibration_size": Rule(
        lambda value: is_real(value) and 0.0 < float(value) < 1.0,
        "a float between 0 and 1, both excluded",
    ),
    "random_state": RANDOM_STATE,
}


@method_docs
class ConformalRegressor(MetaEstimatorMixin, RegressorMixin, BaseEstimator):
    """Regressor with conformal intervals, whose coverage holds even if its model is wrong.

    Some rows are held out of the fit. Each has a score, and the interval of a new row holds all
    y that score no worse than a share ``coverage`` of them. With exchangeable rows it holds y
    with at least that probability, on average over rows; if the model is true it is the
    model's own interval.

    Parameters
    ----------
    estimator : MoERegressor or HMERegressor
    method : {"central", "hdr"}, default="central"
        What intervals are made of. "central": the score is how small the tail beyond y is, so
        that both ends move on the model's own scale of probability; one interval. "hdr": the
        score is the probability of what is denser than y; regions may be several intervals.
    calibration_size : float, default=0.25
        Share of the rows that is held out.
    random_state : int, RandomState instance or None, default=None
        Seed of the choice of these rows.

    Attributes
    ----------
    estimator_ : estimator
        Fitted to the other rows.
    scores_ : ndarray of shape (n_calibration,)
        Of the rows held out, ascending: natural log of one over the smaller tail, or the
        probability of what is denser.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        If X had column names.

    Notes
    -----
    Rows are not weighted, for a weight would say that they are not exchangeable. Scores and
    intervals take a few evaluations of the model's distribution per row.

    The estimators of this package also go into the conformal tools of MAPIE, which adds
    cross-conformal and other schemes around a mean or around quantiles::

        from mapie.regression import SplitConformalRegressor

        model = MoERegressor().fit(X, y)
        conformal = SplitConformalRegressor(model, confidence_level=0.9, prefit=True)
        conformal.conformalize(X_held_out, y_held_out)
        y_mean, intervals = conformal.predict_interval(X_new)

    What they know of the model is its mean, so that with the default score all intervals have
    one length; those here follow the density.

    References
    ----------
    Vovk, Gammerman & Shafer (2005), Algorithmic learning in a random world, section 2.2.
    Chernozhukov, Wuthrich & Zhu (2021), Distributional conformal prediction, PNAS 118, for
    "central". Izbicki, Shimizu & Stern (2022), CD-split and HPD-split, J. Mach. Learn. Res. 23,
    for "hdr".

    Examples
    --------
    >>> import numpy as np
    >>> from mixexp import ConformalRegressor, MoERegressor
    >>> x = np.linspace(-1.0, 1.0, 400)[:, None]
    >>> y = np.abs(x[:, 0]) + 0.1 * np.sin(50.0 * x[:, 0])
    >>> model = ConformalRegressor(MoERegressor(2, random_state=0), random_state=0).fit(x, y)
    >>> model.predict_interval([[0.5]], coverage=0.9).shape
    (1, 2)
    """

    def __init__(
        self,
        estimator: Any,
        *,
        method: str = "central",
        calibration_size: float = 0.25,
        random_state: Any = None,
    ) -> None:
        store_parameters(self, locals())

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    @row_arguments
    def fit(self, X: Any, y: Any, **given: Unpack[GivenOfX]) -> "ConformalRegressor":
        """Fit to some rows and score the others.

        Parameters
        ----------
        X : array-like of shape (n, n_features)
        y : array-like of shape (n,)
        <PER_ROW>

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            If a hyper-parameter or an argument is not as described; the message names it.
        """
        check_parameters(self, _RULES)
        if not hasattr(self.estimator, "predict_dist") or hasattr(self.estimator, "predict_proba"):
            raise TypeError(
                "The 'estimator' parameter of ConformalRegressor must be a regressor with a "
                f"method predict_dist, such as MoERegressor. Got {shown(self.estimator)} instead."
            )
        refuse_dask(X, "ConformalRegressor")
        checked = check_features(self, X, reset=True)
        if y is None:
            raise ValueError(
                "ConformalRegressor requires y to be passed, but the target y is None."
            )
        target = check_real_target(y)
        check_same_length(len(checked), target)
        refuse_unknown(given, GivenOfX)
        per_row = {
            name: check_per_row(values, name, len(checked))
            for name, values in given.items()
            if values is not None
        }
        # Frames keep the names of their columns.
        source = X if hasattr(X, "columns") else checked
        source = source.matrix if isinstance(source, SparseRows) else source
        fitted_to, held_out = self._split(len(checked))
        self.estimator_ = clone(self.estimator).fit(
            _safe_indexing(source, fitted_to), target[fitted_to], **_take_rows(per_row, fitted_to)
        )
        dist = self.estimator_.predict_dist(
            _safe_indexing(source, held_out), **_take_rows(per_row, held_out)
        )
        self.scores_ = np.sort(dist.conformal_score(target[held_out], self.method))
        self._fitted_method = self.method
        return self

    def _split(self, n: int) -> tuple[np.ndarray, np.ndarray]:
        n_held_out = math.ceil(self.calibration_size * n)
        if n - n_held_out < 1:
            raise ValueError(
                f"Found n_samples={n}, of which calibration_size={self.calibration_size} leaves "
                "none to fit to; give more rows or hold out fewer."
            )
        order = check_random_state(self.random_state).permutation(n)
        return np.sort(order[n_held_out:]), np.sort(order[:n_held_out])

    @row_arguments
    def predict(self, X: Any, **given: Unpack[GivenOfX]) -> np.ndarray:
        """Return the mean of y given x, as the fitted estimator does.

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
        check_features(self, X, reset=False)
        return self.estimator_.predict(X, **given)

    @row_arguments
    def score(self, X: Any, y: Any, sample_weight: Any = None, **given: Unpack[GivenOfX]) -> float:
        """Return the coefficient of determination R2 of `predict`.

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
        check_is_fitted(self)
        check_features(self, X, reset=False)
        return float(self.estimator_.score(X, y, sample_weight, **given))

    @row_arguments
    def predict_interval(
        self, X: Any, coverage: float = 0.9, **given: Unpack[GivenOfX]
    ) -> np.ndarray:
        """Return intervals that hold y with at least some probability.

        Parameters
        ----------
        X : array-like of shape (n, n_features)
        coverage : float, default=0.9
            Between 0 and 1, both excluded.
        <PER_ROW>

        Returns
        -------
        ndarray of shape (n, 2), or (n, m, 2) for ``method="hdr"``
            Lower and upper ends, -inf and inf where held-out rows were beyond all that the model
            can tell apart. Rows with fewer than m intervals have NaN in the last ones.

        Raises
        ------
        NotFittedError
            If `fit` has not been called.
        ValueError
            If coverage is not between 0 and 1, or closer to 1 than so few held-out rows can
            tell: at least ``coverage / (1 - coverage)`` are needed.
        """
        check_is_fitted(self)
        check_features(self, X, reset=False)
        score = self._threshold(check_coverage(coverage))
        dist = self.estimator_.predict_dist(X, **given)
        return dist.conformal_interval(score, self._fitted_method)

    def _threshold(self, coverage: float) -> float:
        """Return the score that a new row does not exceed with that probability."""
        n = len(self.scores_)
        # (n + 1) * 0.9 may be 0.9999999 above an integer by rounding.
        rank = math.ceil((n + 1) * coverage - 1e-9)
        if rank > n:
            needed = math.ceil(coverage / (1.0 - coverage) - 1e-9)
            raise ValueError(
                f"coverage={coverage} needs at least {needed} rows held out, but there are {n}; "
                "raise calibration_size, give more rows, or ask for less."
            )
        return float(self.scores_[rank - 1])


def _take_rows(per_row: dict[str, np.ndarray], rows: np.ndarray) -> dict[str, np.ndarray]:
    return {name: values[rows] for name, values in per_row.items()}
