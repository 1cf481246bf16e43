"""Gram matrices: ``X_a diag(w) X_b'`` for many weights, a product for each pair of designs.

Arrays (heads, ..., rows) have an axis of starts, "...", or none; to a product it is more heads.
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np

from mixexp.data import Design, cross_grams

# Weights for the Gram matrix between two designs: (design a, design b, weights (m, ..., rows)).
GramRequest = tuple[int, int, np.ndarray]


def weighted_grams(designs: Sequence[Design], requests: Sequence[GramRequest]) -> list[np.ndarray]:
    """Return ``X_a diag(w) X_b'`` for all weights, those of like designs in one product.

    Parameters
    ----------
    designs : sequence of Design of shape (p, rows)
    requests : sequence of (int, int, ndarray of shape (m, ..., rows))
        Two designs, and weights for the Gram matrices between them.

    Returns
    -------
    list of ndarray of shape (..., m, p_a, p_b)
        One per request.
    """
    out: list[np.ndarray] = [np.empty(0)] * len(requests)
    by_designs: dict[tuple[int, int], list[int]] = {}
    for position, (a, b, _) in enumerate(requests):
        by_designs.setdefault((a, b), []).append(position)
    for (a, b), positions in by_designs.items():
        weights = [narrow(requests[position][2]) for position in positions]
        stacked = weights[0] if len(weights) == 1 else np.concatenate(weights)
        grams = (
            designs[a].grams(stacked) if a == b else cross_grams(designs[a], designs[b], stacked)
        )
        for position, part in zip(positions, split_like(grams, weights), strict=True):
            lead = requests[position][2].shape[:-1]
            out[position] = swap_lead(part.reshape(*lead, *part.shape[1:]), 3)
    return out


def narrow(array: np.ndarray) -> np.ndarray:
    """Return a view with all axes before the last in one."""
    return array.reshape(math.prod(array.shape[:-1]), array.shape[-1])


def split_like(array: np.ndarray, parts: Sequence[np.ndarray]) -> Iterator[np.ndarray]:
    """Yield pieces of an array that are as long as the parts."""
    start = 0
    for part in parts:
        yield array[start : start + len(part)]
        start += len(part)


def swap_lead(array: np.ndarray, n_own: int) -> np.ndarray:
    """Swap (..., heads, *own) and (heads, ..., *own), where ... is one axis or none.

    Parameters
    ----------
    array : ndarray
    n_own : int
        Axes without the leading one, that of the heads included.
    """
    return array if array.ndim == n_own else array.swapaxes(0, 1)
