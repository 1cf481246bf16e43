"""Responsibilities to a power: from all experts alike, over EM's, to the most probable one alone.

With a power b the objective of a row is ``1/b log sum_k joint_k**b``, joint_k the density of y and
leaf k together: the log-likelihood at b = 1, the free energy of deterministic annealing (Ueda &
Nakano 1998, eq. 12) below, and as b grows ``max_k log joint_k``, the classification
log-likelihood (Celeux & Govaert 1992). By Fisher's identity its gradient is that of EM with
``joint_k**b / sum_j joint_j**b`` as responsibilities, for any b; so one pass serves them all.
"""

import numpy as np


def temper(resp: np.ndarray, power: float) -> tuple[np.ndarray, np.ndarray]:
    """Return responsibilities to a power, and what the objective gains by it.

    Parameters
    ----------
    resp : ndarray of shape (n_leaves, ..., rows)
        Responsibilities; the power is taken at the leaves, for those of inner nodes are sums.
    power : float
        Inverse temperature, positive; ``inf`` gives each row to its most probable leaf, of equals
        to the first.

    Returns
    -------
    resp : ndarray of shape (n_leaves, ..., rows)
        Sum to one over leaves.
    excess : ndarray of shape (..., rows)
        ``1/power * log(sum(resp**power))``: the row's objective less its log density.
    """
    largest = resp.max(axis=0)
    if np.isinf(power):
        return assign(resp.argmax(axis=0), len(resp)), np.log(largest)
    powered = (resp / largest) ** power
    total = powered.sum(axis=0)
    return powered / total, np.log(largest) + np.log(total) / power


def assign(labels: np.ndarray, n_leaves: int) -> np.ndarray:
    """Return responsibilities of one for each row's label.

    Parameters
    ----------
    labels : ndarray of shape (..., rows), int
    n_leaves : int

    Returns
    -------
    ndarray of shape (n_leaves, ..., rows)
    """
    return np.equal.outer(np.arange(n_leaves), labels).astype(np.float64)


def draw_labels(resp: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """Return a leaf for each row, drawn with its responsibilities as probabilities.

    Parameters
    ----------
    resp : ndarray of shape (n_leaves, ..., rows)
    uniform : ndarray of shape (..., rows)
        Numbers in [0, 1).
    """
    reached = np.cumsum(resp, axis=0)
    return (reached[:-1] <= uniform * reached[-1]).sum(axis=0)
