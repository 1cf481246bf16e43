"""Softmax gates, and the constant gate, which is one that sees nothing but the intercept.

At a node v with children c, ``log gate_c = logit_c - logsumexp(logits of v's children)``;
the logits of siblings sum to zero. In the M-step a node is a multinomial logit with soft
targets, whose Hessian is put together here from sums over rows.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import ClassVar

import numpy as np

from mixexp.contrast import contrast


class Gate:
    """What a model asks of a gate."""

    name: ClassVar[str]

    def columns(self, features: Sequence[int]) -> list[int]:
        """Return the columns of the design that the gate uses, of those it was offered."""
        raise NotImplementedError


class Softmax(Gate):
    """Multinomial logit of the gate's features."""

    name = "softmax"

    def columns(self, features: Sequence[int]) -> list[int]:
        return [0, *features]


class Constant(Gate):
    """Mixing proportions that are the same everywhere: a mixture of regressions."""

    name = "constant"

    def columns(self, features: Sequence[int]) -> list[int]:
        return [0]


GATES: dict[str, Gate] = {gate.name: gate for gate in (Softmax(), Constant())}


def node_information(pair_blocks: np.ndarray, m: int) -> np.ndarray:
    """Return the information of one node in contrast coordinates.

    Parameters
    ----------
    pair_blocks : ndarray of shape (..., m * (m - 1) // 2, q, q)
        ``X' diag(weight * gate_a * gate_b) X`` for siblings a < b.
    m : int
        Number of children.

    Returns
    -------
    ndarray of shape (..., (m - 1) * q, (m - 1) * q)
        Contrast-major.
    """
    *lead, n_pairs, q, _ = pair_blocks.shape
    # The Hessian is a graph Laplacian: each pair adds its block between the two children.
    reduced = _pair_products(m) @ pair_blocks.reshape(*lead, n_pairs, q * q)
    blocks = np.swapaxes(reduced.reshape(*lead, m - 1, m - 1, q, q), -3, -2)
    return blocks.reshape(*lead, (m - 1) * q, (m - 1) * q)


@lru_cache(maxsize=256)
def _pair_products(m: int) -> np.ndarray:
    """Outer products of contrasts' differences, shape ((m - 1)**2, m * (m - 1) // 2)."""
    basis = contrast(m)
    first, second = np.triu_indices(m, 1)
    difference = basis[first] - basis[second]
    return np.einsum("ti,tj->ijt", difference, difference).reshape(-1, len(first))
