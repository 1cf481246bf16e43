"""Multinomial expert: a softmax regression for y in {0, ..., n_classes - 1}.

The class logits sum to zero and are worked on through an orthonormal contrast, so that
neither a ridge nor the fit depends on which class is numbered last: class logits =
``contrast(n_classes) @ heads``.
"""

from collections.abc import Sequence

import numpy as np
from scipy.special import logsumexp, softmax

from mixexp.contrast import contrast
from mixexp.experts._base import Derivatives, Expert, Head, Heads


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
        return tuple(Head(f"contrast {a}", "location") for a in range(self.n_classes - 1))

    def find_unsupported(self, y: np.ndarray) -> np.ndarray:
        return ~np.isin(y, np.arange(self.n_classes))

    def class_logits(self, heads: Heads) -> np.ndarray:
        """Return the logits that sum to zero over classes, shape (n_classes, ..., rows)."""
        return np.tensordot(contrast(self.n_classes), np.stack(heads), axes=1)

    def log_kernel(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        logits = self.class_logits(heads)
        at_class = y.astype(np.int64).reshape((1,) * (logits.ndim - 1) + (-1,))
        chosen = np.take_along_axis(logits, at_class, axis=0)[0]
        return chosen - logsumexp(logits, axis=0)

    def derivatives(self, y: np.ndarray, heads: Heads) -> Derivatives:
        basis = contrast(self.n_classes)
        mean = self.mean(heads)
        mean_contrast = np.tensordot(basis.T, mean, axes=1)
        score = tuple(basis[:, a][y.astype(np.int64)] - mean_contrast[a] for a in range(len(heads)))
        curvature = {
            (a, b): np.tensordot(basis[:, a] * basis[:, b], mean, axes=1)
            - mean_contrast[a] * mean_contrast[b]
            for a in range(len(heads))
            for b in range(a, len(heads))
        }
        return Derivatives(score, curvature)

    def mean(self, heads: Heads) -> np.ndarray:
        return softmax(self.class_logits(heads), axis=0)

    def sample(self, heads: Heads, rng: np.random.Generator) -> np.ndarray:
        below = rng.random(heads[0].shape) > np.cumsum(self.mean(heads), axis=0)[:-1]
        return below.sum(axis=0).astype(float)

    def location_coef(self, coefs: Sequence[np.ndarray]) -> np.ndarray:
        return np.einsum("ca,akp->kcp", contrast(self.n_classes), np.stack(coefs))

    def start(self, y: np.ndarray, weight: np.ndarray) -> tuple[float, ...]:
        mass = np.bincount(y.astype(np.int64), weights=weight, minlength=self.n_classes) + 0.5
        return tuple(contrast(self.n_classes).T @ np.log(mass))
