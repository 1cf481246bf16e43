"""Log-likelihood and information criteria of a fitted model on any rows."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from mixexp.data import cut_rows
from mixexp.estimators._docs import per_row_docs
from mixexp.inference import Criteria, Scored, compute_criteria
from mixexp.model import FittedModel, Posterior
from mixexp.tree import GatingTree


@per_row_docs
class CriteriaMixin:
    """Adds what is summed over rows: the log-likelihood, and criteria made of it."""

    n_parameters_: int
    fitted_model_: FittedModel
    tree_: GatingTree

    def _row_weights(self, sample_weight: Any, n: int) -> np.ndarray:
        raise NotImplementedError

    def _posteriors(
        self, X: Any, y: Any, offset: Any = None, exposure: Any = None, trials: Any = None
    ) -> Iterator[Posterior]:
        raise NotImplementedError

    def log_density(
        self, X: Any, y: Any, *, offset: Any = None, exposure: Any = None, trials: Any = None
    ) -> np.ndarray:
        raise NotImplementedError

    def log_likelihood(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        offset: Any = None,
        exposure: Any = None,
        trials: Any = None,
    ) -> float:
        """Return the sum of weighted log densities.

        With ``weight_type="sampling"`` it is a pseudo log-likelihood, of weights with mean one,
        and the criteria made of it are approximations.

        Parameters
        ----------
        X : array-like of shape (n, n_features)
        y : array-like of shape (n,)
        sample_weight : array-like of shape (n,), default=None
        <PER_ROW>

        Returns
        -------
        float
            Natural log, unpenalised; -inf where a row is outside of the support of every expert.

        Raises
        ------
        <RAISES>
        """
        density = self.log_density(X, y, offset=offset, exposure=exposure, trials=trials)
        return float(self._row_weights(sample_weight, len(density)) @ density)

    def criteria(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        offset: Any = None,
        exposure: Any = None,
        trials: Any = None,
    ) -> Criteria:
        """Return information criteria, and how clearly rows belong to experts.

        Parameters
        ----------
        X : array-like of shape (n, n_features)
        y : array-like of shape (n,)
        sample_weight : array-like of shape (n,), default=None
        <PER_ROW>

        Returns
        -------
        Criteria
            With attributes ``log_likelihood``, ``n_parameters``, ``aic``, ``aicc``, ``bic``,
            ``sabic``, ``caic``, ``icl``, ``icl_bic``, ``entropy``, ``relative_entropy`` and more.
            ``print`` shows them all, ``to_frame()`` makes a row of them.

        Raises
        ------
        NotFittedError
            If the estimator has not been fitted.
        ValueError
            If an argument is not as described; the message names it.

        Notes
        -----
        One pass over the rows, as for `responsibilities`. Meant for the rows of the fit.

        Examples
        --------
        >>> import numpy as np
        >>> from mixexp import MoERegressor
        >>> x = np.linspace(-1.0, 1.0, 200)[:, None]
        >>> y = np.abs(x[:, 0]) + 0.05 * np.sin(50.0 * x[:, 0])
        >>> found = MoERegressor(2, random_state=0).fit(x, y).criteria(x, y)
        >>> found.bic < found.icl
        True
        """
        check_is_fitted(self)
        if not self.fitted_model_.model.is_linear:
            names = " and ".join(self.fitted_model_.model.other_names)
            raise ValueError(
                f"How many parameters {names} has is not known, so there are no criteria; compare "
                "log_likelihood(X, y) on rows that were held out."
            )
        blocks = [
            (found.log_density, found.node_resp[self.tree_.leaves])
            for found in self._posteriors(X, y, offset, exposure, trials)
        ]
        n = sum(len(log_density) for log_density, _ in blocks)
        weight = self._row_weights(sample_weight, n)
        scored = (
            Scored(*block, weight[rows]) for block, rows in zip(blocks, cut_rows(n), strict=True)
        )
        return compute_criteria(scored, self.n_parameters_)

    def aic(self, X: Any, y: Any, sample_weight: Any = None, **per_row: Any) -> float:
        """Return Akaike's criterion, lower is better: `criteria` for all of them.

        Parameters
        ----------
        X : array-like of shape (n, n_features)
        y : array-like of shape (n,)
        sample_weight : array-like of shape (n,), default=None
        **per_row
            ``offset``, ``exposure`` and ``trials``, as for `criteria`.

        Returns
        -------
        float

        Raises
        ------
        <RAISES>
        """
        return self.criteria(X, y, sample_weight, **per_row).aic

    def bic(self, X: Any, y: Any, sample_weight: Any = None, **per_row: Any) -> float:
        """Return Schwarz's criterion, lower is better: `criteria` for all of them.

        Parameters
        ----------
        X : array-like of shape (n, n_features)
        y : array-like of shape (n,)
        sample_weight : array-like of shape (n,), default=None
        **per_row
            ``offset``, ``exposure`` and ``trials``, as for `criteria`.

        Returns
        -------
        float

        Raises
        ------
        <RAISES>
        """
        return self.criteria(X, y, sample_weight, **per_row).bic
