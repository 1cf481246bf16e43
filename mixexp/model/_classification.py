"""Classification EM: every row belongs to its most probable expert.

A row's objective is ``max_k log joint_k``, joint_k the density of y and leaf k together: the
classification log-likelihood (Celeux & Govaert 1992). Its gradient is that of EM with
responsibilities of zero and one, so that the same pass serves both.
"""

import numpy as np


def classify(resp: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return responsibilities of zero and one, and what the objective gains by them.

    Parameters
    ----------
    resp : ndarray of shape (n_leaves, ..., rows)

    Returns
    -------
    resp : ndarray of shape (n_leaves, ..., rows)
        One for the most probable leaf, of equals the first.
    gain : ndarray of shape (..., rows)
        The row's objective less its log density, at most zero.
    """
    labels = resp.argmax(axis=0)
    hard = np.equal.outer(np.arange(len(resp)), labels).astype(np.float64)
    return hard, np.log(resp.max(axis=0))
