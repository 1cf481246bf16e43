"""The distribution of classes at some rows, as users see it."""

from typing import Any

import numpy as np
from scipy.special import entr

from mixexp.distribution._arguments import check_n_samples, seed_sequence
from mixexp.distribution._docs import class_docs

Array = np.ndarray


@class_docs
class ClassDistribution:
    """Distribution of the class of n rows, a mixture of the experts' probabilities.

    Made by ``predict_dist`` of classifiers; it does not change.

    Parameters
    ----------
    classes : ndarray of shape (n_classes,)
    gate : ndarray of shape (n, n_experts)
        Probability of each expert before the class is seen.
    by_expert : ndarray of shape (n, n_experts, n_classes)
        What each expert says.

    Examples
    --------
    >>> import numpy as np
    >>> from mixexp import MoEClassifier
    >>> x = np.linspace(-2.0, 2.0, 400)[:, None]
    >>> y = np.where(np.abs(x[:, 0]) > 1.0, "outside", "inside")
    >>> dist = MoEClassifier(n_experts=2, random_state=0).fit(x, y).predict_dist([[0.0], [1.5]])
    >>> dist.mode()
    array(['inside', 'outside'], dtype='<U7')
    >>> dist.proba().shape
    (2, 2)
    """

    def __init__(self, classes: Array, gate: Array, by_expert: Array) -> None:
        self.classes = classes
        self.gate = gate
        self.by_expert = by_expert

    def __len__(self) -> int:
        return len(self.gate)

    def __repr__(self) -> str:
        return f"{type(self).__name__} of {len(self)} rows over {len(self.classes)} classes"

    def proba(self) -> Array:
        """Return the probability of every class, shape (n, n_classes); rows sum to one."""
        total = self.gate[:, :1] * self.by_expert[:, 0]
        for k in range(1, self.gate.shape[1]):
            total += self.gate[:, k : k + 1] * self.by_expert[:, k]
        return total

    def mode(self) -> Array:
        """Return the most probable class, shape (n,)."""
        return self.classes[self.proba().argmax(axis=1)]

    def entropy(self) -> Array:
        """Return the entropy of the class, shape (n,), natural log."""
        return entr(self.proba()).sum(axis=1)

    def expected_entropy(self) -> Array:
        """Return the mean over experts of the entropy of the class, shape (n,), natural log.

        `entropy` less this is what knowing the expert would tell of the class.
        """
        return (self.gate * entr(self.by_expert).sum(axis=2)).sum(axis=1)

    def gate_entropy(self) -> Array:
        """Return the entropy of the gate, shape (n,), natural log: 0 where one expert is sure."""
        return entr(self.gate).sum(axis=1)

    def rvs(self, n_samples: int = 1, random_state: Any = None) -> Array:
        """Draw classes, shape (n, n_samples); see `sample`."""
        return self.sample(n_samples, random_state)[0]

    def sample(self, n_samples: int = 1, random_state: Any = None) -> tuple[Array, Array]:
        """Draw classes, and say which expert each came from."""
        shape = len(self), check_n_samples(n_samples, len(self))
        rng = np.random.default_rng(seed_sequence(random_state))
        expert = _draw(self.gate[:, None], rng.random(shape))
        chosen = np.take_along_axis(self.by_expert, expert[..., None], axis=1)
        return self.classes[_draw(chosen, rng.random(shape))], expert


def _draw(proba: Array, uniform: Array) -> Array:
    """Return the number that a uniform draw falls on, by probabilities in the last axis."""
    below = uniform[..., None] >= np.cumsum(proba, axis=-1)[..., :-1]
    return below.sum(axis=-1)
