"""Softmax gates, and the constant gate, which is one that sees nothing but the intercept.

At a node v with children c, ``log gate_c = logit_c - logsumexp(logits of v's children)``;
the logits of siblings sum to zero. In the M-step a node is a multinomial logit with soft
targets, whose Hessian is put together here from sums over rows.
"""

from collections.abc import Sequence
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
    pair_blocks : ndarray of shape (m * (m - 1) // 2, q, q)
        ``X' diag(weight * gate_a * gate_b) X`` for siblings a < b.
    m : int
        Number of children.

    Returns
    -------
    ndarray of shape ((m - 1) * q, (m - 1) * q)
        Contrast-major.
    """
    q = pair_blocks.shape[-1]
    laplacian = np.zeros((m, m, q, q))
    for t, (a, b) in enumerate(zip(*np.triu_indices(m, 1), strict=True)):
        laplacian[a, b] = laplacian[b, a] = -pair_blocks[t]
        laplacian[a, a] += pair_blocks[t]
        laplacian[b, b] += pair_blocks[t]
    basis = contrast(m)
    reduced = np.einsum("ai,abpq,bj->ipjq", basis, laplacian, basis, optimize=True)
    return reduced.reshape((m - 1) * q, (m - 1) * q)
