"""Criteria of fit: sums of the log density over rows, and what penalises them."""

from typing import Any

import numpy as np

from mixexp.estimators._docs import per_row_docs
from mixexp.inference import (
    Separation,
    aic,
    aicc,
    bic,
    caic,
    measure_separation,
    relative_entropy,
    sabic,
)


@per_row_docs
class Criteria:
    """Log-likelihood and information criteria of a fitted model on any rows."""

    n_parameters_: int

    def _row_weights(self, sample_weight: Any, n: int) -> np.ndarray:
        raise NotImplementedError

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

        With ``weight_type="sampling"`` it is a pseudo log-likelihood, of weights with mean one,
        and the criteria made of it are approximations.

        Parameters
        ----------
        X : array-like of shape (n, n_features)
        y : array-like of shape (n,)
        sample_weight : array-like of shape (n,), default=None
        <PER_ROW>
        """
        density = self.log_density(X, y, offset=offset, exposure=exposure, trials=trials)
        return float(self._row_weights(sample_weight, len(density)) @ density)

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

        Parameters are those of `log_likelihood`. Akaike (1974).
        """
        known = {"offset": offset, "exposure": exposure, "trials": trials}
        log_likelihood, _ = self._fit_and_size(X, y, sample_weight, known)
        return aic(log_likelihood, self.n_parameters_)

    def aicc(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        offset: Any = None,
        exposure: Any = None,
        trials: Any = None,
    ) -> float:
        """Return AIC corrected for small samples; lower is better.

        ``aic + 2 d (d + 1) / (n - d - 1)`` with d free parameters and n the sum of the
        weights; infinite where n is at most d + 1. Parameters are those of `log_likelihood`.
        Hurvich & Tsai (1989).
        """
        known = {"offset": offset, "exposure": exposure, "trials": trials}
        log_likelihood, n = self._fit_and_size(X, y, sample_weight, known)
        return aicc(log_likelihood, self.n_parameters_, n)

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
        """Return Schwarz's criterion, ``-2 log-likelihood + n_parameters_ log n``; lower is better.

        n is the sum of the weights. Parameters are those of `log_likelihood`. Schwarz (1978).
        """
        known = {"offset": offset, "exposure": exposure, "trials": trials}
        log_likelihood, n = self._fit_and_size(X, y, sample_weight, known)
        return bic(log_likelihood, self.n_parameters_, n)

    def sabic(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        offset: Any = None,
        exposure: Any = None,
        trials: Any = None,
    ) -> float:
        """Return BIC with ``log((n + 2) / 24)`` for log n, adjusted to small samples.

        Lower is better. Parameters are those of `log_likelihood`. Sclove (1987).
        """
        known = {"offset": offset, "exposure": exposure, "trials": trials}
        log_likelihood, n = self._fit_and_size(X, y, sample_weight, known)
        return sabic(log_likelihood, self.n_parameters_, n)

    def caic(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        offset: Any = None,
        exposure: Any = None,
        trials: Any = None,
    ) -> float:
        """Return the consistent AIC: BIC with ``log n + 1`` for log n; lower is better.

        Parameters are those of `log_likelihood`. Bozdogan (1987).
        """
        known = {"offset": offset, "exposure": exposure, "trials": trials}
        log_likelihood, n = self._fit_and_size(X, y, sample_weight, known)
        return caic(log_likelihood, self.n_parameters_, n)

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
        (Biernacki, Celeux & Govaert 2000, eq. 8). `icl_bic` is the other usual definition.
        Parameters are those of `log_likelihood`.
        """
        known = {"offset": offset, "exposure": exposure, "trials": trials}
        separation = self._measure_separation(X, y, sample_weight, known)
        return self.bic(X, y, sample_weight, **known) - 2.0 * separation.log_largest

    def icl_bic(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        offset: Any = None,
        exposure: Any = None,
        trials: Any = None,
    ) -> float:
        """Return the completed likelihood criterion by entropy; lower is better.

        ``bic + 2 entropy``, McLachlan & Peel (2000), Finite Mixture Models, section 6.10. At
        least `icl`, which counts rows under their most probable expert. Parameters are those of
        `log_likelihood`.
        """
        known = {"offset": offset, "exposure": exposure, "trials": trials}
        separation = self._measure_separation(X, y, sample_weight, known)
        return self.bic(X, y, sample_weight, **known) + 2.0 * separation.entropy

    def entropy(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        offset: Any = None,
        exposure: Any = None,
        trials: Any = None,
    ) -> float:
        """Return the entropy of the responsibilities, ``-sum_i w_i sum_k r_ik log r_ik``.

        Natural log; 0 if every row belongs to one expert for certain, ``n log n_experts`` if
        rows tell nothing. Parameters are those of `log_likelihood`.
        """
        known = {"offset": offset, "exposure": exposure, "trials": trials}
        return self._measure_separation(X, y, sample_weight, known).entropy

    def relative_entropy(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        offset: Any = None,
        exposure: Any = None,
        trials: Any = None,
    ) -> float:
        """Return ``1 - entropy / (n log n_experts)``: 1 if rows are told apart for certain.

        0 if they are not at all, and 1 for one expert. Parameters are those of
        `log_likelihood`. Ramaswamy, DeSarbo, Reibstein & Robinson (1993).
        """
        known = {"offset": offset, "exposure": exposure, "trials": trials}
        resp = self.responsibilities(X, y, **known)
        weight = self._row_weights(sample_weight, len(resp))
        entropy = measure_separation(resp.T, weight).entropy
        return relative_entropy(entropy, float(weight.sum()), resp.shape[1])

    def _fit_and_size(
        self, X: Any, y: Any, sample_weight: Any, known: dict[str, Any]
    ) -> tuple[float, float]:
        """Return log-likelihood and sum of the weights."""
        density = self.log_density(X, y, **known)
        weight = self._row_weights(sample_weight, len(density))
        return float(weight @ density), float(weight.sum())

    def _measure_separation(
        self, X: Any, y: Any, sample_weight: Any, known: dict[str, Any]
    ) -> Separation:
        resp = self.responsibilities(X, y, **known)
        return measure_separation(resp.T, self._row_weights(sample_weight, len(resp)))
