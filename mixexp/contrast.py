"""Orthonormal contrasts: free coordinates for logits that sum to zero."""

from functools import lru_cache

import numpy as np

# A singular value below this share of the largest counts as none.
_NO_RANK = 1e-12


@lru_cache(maxsize=256)
def contrast(m: int) -> np.ndarray:
    """Return an orthonormal basis of the vectors of length m that sum to zero.

    Being orthonormal, it leaves a ridge on all m logits the same ridge on the m - 1 free
    coordinates, and no member is singled out.

    Parameters
    ----------
    m : int

    Returns
    -------
    ndarray of shape (m, m - 1)
        Helmert's contrasts, read-only.

    Examples
    --------
    >>> contrast(2).round(4)
    array([[ 0.7071],
           [-0.7071]])
    """
    basis = np.zeros((m, m - 1))
    for j in range(1, m):
        basis[:j, j - 1] = 1.0
        basis[j, j - 1] = -j
        basis[:, j - 1] /= np.sqrt(j * (j + 1.0))
    basis.setflags(write=False)
    return basis


def null_directions(rows: np.ndarray) -> np.ndarray:
    """Return a basis of the vectors z with ``rows @ z = 0``, shape (n, n - rank).

    Coordinates that no row asks about have a column each, a unit vector, and come first; those
    of the others are orthonormal.

    Parameters
    ----------
    rows : ndarray of shape (m, n)
    """
    n = rows.shape[1]
    is_asked = np.any(rows != 0.0, axis=0)
    asked = np.flatnonzero(is_asked)
    others = np.eye(n)[:, ~is_asked]
    if not len(asked):
        return others
    _, sizes, right = np.linalg.svd(rows[:, asked])
    rank = int(np.sum(sizes > _NO_RANK * sizes.max()))
    mixed = np.zeros((n, len(asked) - rank))
    mixed[asked] = right[rank:].T
    return np.concatenate([others, mixed], axis=1)
