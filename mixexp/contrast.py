"""Orthonormal contrasts: free coordinates for logits that sum to zero."""

from functools import lru_cache

import numpy as np


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
