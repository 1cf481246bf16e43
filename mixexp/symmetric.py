"""Eigenvalues of symmetric matrices, found by whichever of two methods gets there."""

import numpy as np
from scipy.linalg import lapack


def eigh(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the eigenvalues, ascending, and the eigenvectors of a symmetric matrix.

    Divide and conquer is fast, and on some processors gives up on matrices that are next to
    singular; QR iteration, which takes longer, then serves.

    Parameters
    ----------
    matrix : ndarray of shape (p, p)
        Finite and symmetric; the lower triangle is read.

    Returns
    -------
    values : ndarray of shape (p,)
    vectors : ndarray of shape (p, p)
        In columns.

    Raises
    ------
    numpy.linalg.LinAlgError
        If neither method converges, as for a matrix with NaN.
    """
    try:
        values, vectors = np.linalg.eigh(matrix)
    except np.linalg.LinAlgError:
        values, vectors, info = lapack.dsyev(matrix, lower=1)
        if info != 0 or not np.isfinite(values).all():
            raise
    return values, vectors
