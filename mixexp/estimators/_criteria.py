"""Criteria of fit: sums of the log density over rows, and what penalises them."""

from typing import Any

import numpy as np

from mixexp.estimators._docs import per_row_docs
from mixexp.estimators._validation import check_weights


@per_row_docs
class Criteria:
    """Log-likelihood and information criteria of a fitted model on any rows."""

    n_parameters_: int

    def log_density(
        self, X: Any, y: Any, *, offset: Any = None, exposure: Any = None, trials: Any = None
    ) -> np.ndarray:
        raise NotImplementedError

    def responsibilities(
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

        Parameters
        ----------
        X : array-like of shape (n, n_features)
        y : array-like of shape (n,)
        sample_weight : array-like of shape (n,), default=None
        <PER_ROW>
        """
        density = self.log_density(X, y, offset=offset, exposure=exposure, trials=trials)
        return float(check_weights(sample_weight, len(density)) @ density)

    def aic(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        offset: Any = None,
        exposure: Any = None,
        trials: Any = None,
    ) -> float:
        """Return Akaike's criterion, ``-2 log-likelihood + 2 n_parameters_``; lower is better.

        Parameters are those of `log_likelihood`.
        """
        known = {"offset": offset, "exposure": exposure, "trials": trials}
        log_likelihood = self.log_likelihood(X, y, sample_weight, **known)
        return 2.0 * (self.n_parameters_ - log_likelihood)

    def bic(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        offset: Any = None,
        exposure: Any = None,
        trials: Any = None,
    ) -> float:
        """Return Schwarz's criterion, ``-2 log-likelihood + n_parameters_ * log(n)``.

        Lower is better; n is the sum of weights. Parameters are those of `log_likelihood`.
        """
        density = self.log_density(X, y, offset=offset, exposure=exposure, trials=trials)
        weight = check_weights(sample_weight, len(density))
        return float(-2.0 * weight @ density + self.n_parameters_ * np.log(weight.sum()))

    def icl(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        offset: Any = None,
        exposure: Any = None,
        trials: Any = None,
    ) -> float:
        """Return the integrated completed likelihood criterion; lower is better.

        ``bic - 2 * sum_i w_i log(largest responsibility of row i)``: BIC of the
        log-likelihood that counts each row under its most probable expert alone
        (Biernacki, Celeux & Govaert 2000, eq. 8). Parameters are those of `log_likelihood`.
        """
        known = {"offset": offset, "exposure": exposure, "trials": trials}
        largest = self.responsibilities(X, y, **known).max(axis=1)
        weight = check_weights(sample_weight, len(largest))
        bic = self.bic(X, y, sample_weight, **known)
        return bic - 2.0 * float(weight @ np.log(largest))
