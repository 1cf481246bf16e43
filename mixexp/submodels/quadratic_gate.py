"""Quadratic gate: a softmax in the features, their squares and their products.

The M-step is a multinomial logit with soft targets, by Newton's method with step halving, and so
never falls.
"""

from typing import Any

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.special import log_softmax
from sklearn.base import BaseEstimator

from mixexp.arguments import is_real
from mixexp.contrast import contrast
from mixexp.submodel import Setting, Submodel, SubmodelRows
from mixexp.text import shown

# Newton steps per M-step, which need not be finished, for the next goes on from there.
_MOST_STEPS = 5
_MOST_HALVINGS = 30
# Gains per row that are not worth a step.
_NEGLIGIBLE = 1e-12
# What keeps a system regular without a ridge, as a share of its diagonal.
_REGULAR = 1e-12


class QuadraticGate(Submodel, BaseEstimator):
    """Gate whose log odds are quadratic in the features.

    ``gate="quadratic"``, or an object with options. Parameters are
    coefficients of shape (children, 1 + q + q (q + 1) / 2) for standardised features: intercept,
    features, then products ``x_i x_j`` for i <= j, row by row.

    Parameters
    ----------
    alpha : float, default=None
        Ridge on all coefficients but intercepts; None for the model's ``gate_alpha``.

    Examples
    --------
    >>> import numpy as np
    >>> from mixexp import MoERegressor
    >>> x = np.linspace(-1.0, 1.0, 200)[:, None]
    >>> y = np.where(np.abs(x[:, 0]) < 0.5, 1.0, x[:, 0]) + 0.01 * np.sin(99.0 * x[:, 0])
    >>> model = MoERegressor(2, gate="quadratic", n_init=3, random_state=0).fit(x, y)
    >>> model.score(x, y) > 0.9
    True
    """

    def __init__(self, alpha: float | None = None) -> None:
        self.alpha = alpha

    def bind(self, setting: Setting) -> "QuadraticGate":
        if self.alpha is None:
            return QuadraticGate(float(setting.gate_alpha))
        if not (is_real(self.alpha) and 0.0 <= self.alpha < np.inf):
            raise ValueError(
                "The 'alpha' parameter of a quadratic gate must be None or a float in the range "
                f"[0, inf). Got {shown(self.alpha)} instead."
            )
        return self

    @property
    def _ridge(self) -> float:
        return float(self.alpha or 0.0)

    def log_terms(self, params: np.ndarray, rows: SubmodelRows) -> np.ndarray:
        return log_softmax(_predictors(params, _expanded(rows.X)), axis=0)

    def statistics(self, params: Any, rows: SubmodelRows, weight: np.ndarray) -> Any:
        return [(rows.X, weight)]

    def m_step(self, params: np.ndarray | None, stats: Any) -> np.ndarray:
        features = _expanded(np.concatenate([X for X, _ in stats]))
        weight = np.concatenate([part for _, part in stats], axis=1)
        m = len(weight)
        if params is None:
            return np.zeros((m, features.shape[1]))
        basis, total = contrast(m), weight.sum(axis=0)
        value = self._value(params, features, weight)
        for _ in range(_MOST_STEPS if m > 1 else 0):
            step = basis @ self._newton_step(basis, params, features, weight, total)
            for halving in range(_MOST_HALVINGS):
                moved = params + 0.5**halving * step
                reached = self._value(moved, features, weight)
                if reached >= value:
                    break
            else:
                return params
            gain, params, value = reached - value, moved, reached
            if gain <= _NEGLIGIBLE * total.sum():
                break
        return params

    def log_prior(self, params: np.ndarray) -> float:
        return -0.5 * self._ridge * float((params[:, 1:] ** 2).sum())

    def _value(self, params: np.ndarray, features: np.ndarray, weight: np.ndarray) -> float:
        log_gate = log_softmax(_predictors(params, features), axis=0)
        return float((weight * log_gate).sum()) + self.log_prior(params)

    def _newton_step(
        self,
        basis: np.ndarray,
        params: np.ndarray,
        features: np.ndarray,
        weight: np.ndarray,
        total: np.ndarray,
    ) -> np.ndarray:
        """Return Newton's step in contrasts of the children, shape (m - 1, d)."""
        gate = np.exp(log_softmax(_predictors(params, features), axis=0))
        ridge = self._ridge * (np.arange(features.shape[1]) > 0)
        gradient = basis.T @ ((weight - total * gate) @ features - ridge * params)
        seen = basis.T @ gate  # (m - 1, rows)
        m, d = len(seen) + 1, features.shape[1]
        hessian = np.empty((m - 1, d, m - 1, d))
        for a in range(m - 1):
            for b in range(m - 1):
                bend = total * ((basis[:, a] * basis[:, b]) @ gate - seen[a] * seen[b])
                hessian[a, :, b] = (features.T * bend) @ features
                if a == b:
                    hessian[a, :, b] += np.diag(ridge)
        flat = hessian.reshape((m - 1) * d, (m - 1) * d)
        flat += _REGULAR * (np.trace(flat) / len(flat) + 1e-300) * np.eye(len(flat))
        return cho_solve(cho_factor(flat), gradient.ravel()).reshape(m - 1, d)


def _expanded(X: np.ndarray) -> np.ndarray:
    """Return intercept, features and their products, shape (rows, d)."""
    first, second = np.triu_indices(X.shape[1])
    return np.column_stack([np.ones(len(X)), X, X[:, first] * X[:, second]])


def _predictors(params: np.ndarray, features: np.ndarray) -> np.ndarray:
    """Return ``params @ features.T``, whose bits do not depend on the number of rows."""
    total = np.zeros((len(params), len(features)))
    for slope, column in zip(params.T, features.T, strict=True):
        total += slope[:, None] * column
    return total
