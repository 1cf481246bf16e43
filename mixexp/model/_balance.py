"""Balance: pseudo-rows that belong to all children of a gate in equal shares.

They are spread over the features as the data are and stand at every inner node, so that the
objective gains ``sum_i b_i sum_v (1/m_v) sum_{c child of v} log(m_v gate_c(x_i))`` with b_i their
weight at row i and m_v the number of children: a Dirichlet-like prior on how gates are used. It
is concave in the gates' coefficients and zero where all gates are uniform, else less. Rows in
equal shares are what a gate's step sees of it, hence EM stays monotone.
"""

import numpy as np

from mixexp.tree import GatingTree

#: Edges a < b of pairs of siblings.
SiblingPairs = tuple[np.ndarray, np.ndarray]

#: Where no curvature is asked for.
NO_PAIRS: SiblingPairs = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)


def balance_value(
    tree: GatingTree, shifted: np.ndarray, log_total: np.ndarray, pseudo_weight: np.ndarray
) -> np.ndarray:
    """Return the sum over rows of what balance adds to the objective, shape (...); at most zero.

    Parameters
    ----------
    tree : GatingTree
    shifted : ndarray of shape (n_edges, ..., rows) or (n_edges, ..., 1)
        Gate logits less the largest among siblings.
    log_total : ndarray of shape (n_inner, ..., rows) or (n_inner, ..., 1)
        Log of the sum of their exponentials over siblings.
    pseudo_weight : ndarray of shape (rows,)
    """
    shares = _equal_shares(tree)
    log_gate = np.tensordot(shares, shifted, axes=1) - log_total.sum(axis=0)
    above = log_gate + np.log(tree.n_children[tree.inner_nodes]).sum()
    return np.broadcast_to(above, (*above.shape[:-1], len(pseudo_weight))) @ pseudo_weight


def add_balance(
    tree: GatingTree,
    gate: np.ndarray,
    pseudo_weight: np.ndarray,
    residual: np.ndarray,
    pair_weight: np.ndarray,
    pairs: SiblingPairs,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the weights of the gates' gradient and curvature with the pseudo-rows in them.

    Parameters
    ----------
    tree : GatingTree
    gate : ndarray of shape (n_edges, ..., rows)
    pseudo_weight : ndarray of shape (rows,)
    residual : ndarray of shape (n_edges, ..., rows)
    pair_weight : ndarray of shape (n_pairs, ..., rows)
    pairs : tuple of ndarray
        Edges of the pairs of siblings that these are of.
    """
    pair_a, pair_b = pairs
    shares = _equal_shares(tree).reshape(-1, *[1] * (gate.ndim - 1))
    return (
        residual + pseudo_weight * (shares - gate),
        pair_weight + pseudo_weight * gate[pair_a] * gate[pair_b],
    )


def _equal_shares(tree: GatingTree) -> np.ndarray:
    """Return one over the number of siblings of every edge's node, itself included."""
    return 1.0 / tree.n_children[tree.parent[1:]]
