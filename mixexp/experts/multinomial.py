"""Multinomial expert: a softmax regression for y in {0, ..., n_classes - 1}.

The class logits sum to zero and are worked on through an orthonormal contrast, so that
neither a ridge nor the fit depends on which class is numbered last: class logits =
``contrast(n_classes) @ heads``.
"""

from collections.abc import Sequence
from itertools import combinations_with_replacement

import numpy as np

from mixexp.contrast import contrast
from mixexp.experts._base import (
    LARGEST_LOG_ODDS,
    Curvature,
    Derivatives,
    Expert,
    Head,
    Heads,
    keeps_methods,
)
from mixexp.experts._docs import contract_docs
from mixexp.experts._fused import softmax_terms

# The curvature couples all classes, at a cost that grows with their number to the fourth. Beyond
# this many, EM steps use its bound, half the identity in contrast coordinates (Bohning 1992,
# theorem 1): more iterations, each of a cost that is linear in the classes.
_MOST_COUPLED_CLASSES = 12


@contract_docs
class Multinomial(Expert):
    """Multinomial logistic expert; ``mean`` has the classes in its first axis.

    Parameters
    ----------
    n_classes : int, default=2

    Examples
    --------
    >>> import numpy as np
    >>> heads = np.zeros((1, 1)), np.zeros((1, 1))
    >>> Multinomial(n_classes=3).mean(heads).round(3).ravel()
    array([0.333, 0.333, 0.333])
    """

    name = "multinomial"
    target = "classes"
    support = "a class number 0, 1, ..., n_classes - 1"

    def __init__(self, n_classes: int = 2) -> None:
        self.n_classes = n_classes

    @property
    def heads(self) -> tuple[Head, ...]:
        return tuple(
            Head(f"contrast {a}", "location", -LARGEST_LOG_ODDS, LARGEST_LOG_ODDS)
            for a in range(self.n_classes - 1)
        )

    def find_unsupported(self, y: np.ndarray) -> np.ndarray:
        return ~np.isin(y, np.arange(self.n_classes))

    def class_logits(self, heads: Heads) -> np.ndarray:
        """Return the logits that sum to zero over classes, shape (n_classes, ..., rows)."""
        basis = contrast(self.n_classes)
        # Added head by head, for a matrix product would round rows by the size of their batch.
        total = np.multiply.outer(basis[:, 0], heads[0])
        for a in range(1, len(heads)):
            total += np.multiply.outer(basis[:, a], heads[a])
        return total

    def log_kernel(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        logits = self.class_logits(heads)
        at_class = y.astype(np.int64).reshape((1,) * (logits.ndim - 1) + (-1,))
        top = logits.max(axis=0)
        chosen = np.take_along_axis(logits, at_class, axis=0)[0]
        return chosen - top - np.log(_sum_over_classes(np.exp(logits - top)))

    def derivatives(self, y: np.ndarray, heads: Heads) -> Derivatives:
        if self._is_short:
            return self._coupled_terms(y, heads)[1]
        if self.n_classes <= _MOST_COUPLED_CLASSES:
            return Derivatives(self._scores(y, heads), self.observed_curvature(y, heads))
        half = np.full((1, 1), 0.5)
        bound = {(a, a): half for a in range(len(heads))}
        return Derivatives(self._scores(y, heads), bound)

    def evaluate(self, y: np.ndarray, heads: Heads) -> tuple[np.ndarray, Derivatives]:
        return self._coupled_terms(y, heads) if self._is_short else super().evaluate(y, heads)

    @property
    def _is_short(self) -> bool:
        """Whether the compiled loop is for these classes, and for the family's own logits."""
        is_own = keeps_methods(self, Multinomial, ("class_logits", "mean", "log_kernel"))
        return self.n_classes <= _MOST_COUPLED_CLASSES and is_own

    def _coupled_terms(self, y: np.ndarray, heads: Heads) -> tuple[np.ndarray, Derivatives]:
        log_proba, score, curvature = softmax_terms(y.astype(np.int64), heads)
        pairs = combinations_with_replacement(range(len(heads)), 2)
        return log_proba, Derivatives(tuple(score), dict(zip(pairs, curvature, strict=True)))

    def _scores(self, y: np.ndarray, heads: Heads) -> Heads:
        # Sums of small terms, where 1 - p would cancel for an expert that is sure of a class.
        basis, mean, at_class = contrast(self.n_classes), self.mean(heads), y.astype(np.int64)
        apart = basis[at_class][None] - basis[:, None]  # (n_classes, rows, n_heads)
        return tuple(np.einsum("cr,c...r->...r", apart[..., a], mean) for a in range(len(heads)))

    def observed_curvature(self, y: np.ndarray, heads: Heads) -> Curvature:
        if self._is_short:
            return self._coupled_terms(y, heads)[1].curvature
        basis, mean = contrast(self.n_classes), self.mean(heads)
        first, second = np.triu_indices(self.n_classes, 1)
        apart = basis[first] - basis[second]
        products = mean[first] * mean[second]
        return {
            (a, b): np.tensordot(apart[:, a] * apart[:, b], products, axes=1)
            for a, b in combinations_with_replacement(range(len(heads)), 2)
        }

    def mean(self, heads: Heads) -> np.ndarray:
        logits = self.class_logits(heads)
        odds = np.exp(logits - logits.max(axis=0))
        return odds / _sum_over_classes(odds)

    def sample(self, heads: Heads, rng: np.random.Generator) -> np.ndarray:
        below = rng.random(heads[0].shape) > np.cumsum(self.mean(heads), axis=0)[:-1]
        return below.sum(axis=0).astype(float)

    def location_coef(self, coefs: Sequence[np.ndarray]) -> np.ndarray:
        return np.einsum("ca,akp->kcp", contrast(self.n_classes), np.stack(coefs))

    def start(self, y: np.ndarray, weight: np.ndarray) -> tuple[float, ...]:
        mass = np.bincount(y.astype(np.int64), weights=weight, minlength=self.n_classes) + 0.5
        return tuple(contrast(self.n_classes).T @ np.log(mass))


def _sum_over_classes(values: np.ndarray) -> np.ndarray:
    """Add class by class: a reduction's order may depend on the number of rows."""
    total = values[0].copy()
    for value in values[1:]:
        total += value
    return total
