"""Log-likelihood and information criteria of a fitted model on any rows."""

from collections.abc import Iterator, Mapping
from typing import Any, Unpack

import numpy as np
from sklearn.utils.validation import check_is_fitted

from mixexp.arguments import in_memory
from mixexp.data import Block
from mixexp.estimators._docs import method_docs
from mixexp.estimators._features import refuse_source
from mixexp.estimators._row_arguments import NOTHING, Given, row_arguments
from mixexp.inference import Criteria, compute_criteria, score_block
from mixexp.model import FittedModel, Posterior
from mixexp.tree import GatingTree


@method_docs
class CriteriaMixin:
    """Adds what is summed over rows: the log-likelihood, and criteria made of it."""

    n_parameters_: int
    fitted_model_: FittedModel
    tree_: GatingTree

    def _read_weights(self, sample_weight: Any, n: int, given: Mapping[str, Any]) -> np.ndarray:
        raise NotImplementedError

    def _of_known_classes(self, y: Any, sample_weight: Any) -> Any:
        raise NotImplementedError

    def _posteriors(
        self, X: Any, y: Any, given: Mapping[str, Any] = NOTHING
    ) -> tuple[Iterator[tuple[Posterior, Block]], np.ndarray | None]:
        raise NotImplementedError

    @row_arguments
    def log_density(self, X: Any, y: Any, **given: Unpack[Given]) -> np.ndarray:
        raise NotImplementedError

    @row_arguments
    def log_likelihood(
        self, X: Any, y: Any, sample_weight: Any = None, **given: Unpack[Given]
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
        refuse_source(X)
        y = self._of_known_classes(y, sample_weight)
        density = in_memory(self.log_density(X, y, **given))
        known = {name: in_memory(values) for name, values in given.items()}
        weight = self._read_weights(in_memory(sample_weight), len(density), known)
        return float(weight @ density)

    @row_arguments
    def criteria(
        self, X: Any, y: Any, sample_weight: Any = None, **given: Unpack[Given]
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
        y = self._of_known_classes(y, sample_weight)
        found, order = self._posteriors(X, y, given)
        weight = self._read_weights(sample_weight, len(y), given)
        at = np.arange(len(y)) if order is None else order
        scored, start = [], 0
        for of_block, block in found:
            rows = at[start : start + len(block.weight)]
            scored.append(score_block(of_block, block.reweighted(weight[rows]), self.tree_))
            start += len(rows)
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
