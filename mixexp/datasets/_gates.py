"""Gates of simulated data: cuts along random directions that leave every expert its rows."""

import numpy as np

from mixexp.tree import GatingTree


def draw_gates(
    tree: GatingTree, X: np.ndarray, sharpness: float, rng: np.random.Generator
) -> np.ndarray:
    """Return gate coefficients, intercept first, shape (n_edges, 1 + p).

    Parameters
    ----------
    tree : GatingTree
    X : ndarray of shape (n, p)
        Rows whose quantiles the cuts are put at.
    sharpness : float
        See `make_moe`; 0 for a constant gate.
    rng : Generator
    """
    coef = np.zeros((tree.n_edges, 1 + X.shape[1]))
    for node in tree.inner_nodes:
        edges, m = tree.edges(node), int(tree.n_children[node])
        reached = _node_proba(tree, X, coef)[node]
        direction = random_directions(1, X.shape[1], rng)[0]
        centres = rng.permutation(_quantiles(X @ direction, reached, (np.arange(m) + 0.5) / m))
        gap = float(np.ptp(centres)) / max(m - 1, 1)
        scale = sharpness / gap**2 if gap > 0.0 else 0.0
        coef[edges, 0] = -0.5 * scale * centres**2
        coef[edges, 1:] = scale * centres[:, None] * direction
        coef[edges] -= coef[edges].mean(axis=0)
    return coef


def leaf_proba(tree: GatingTree, X: np.ndarray, coef: np.ndarray) -> np.ndarray:
    """Return the probability of each leaf, shape (n, n_leaves)."""
    return _node_proba(tree, X, coef)[tree.leaves].T


def _node_proba(tree: GatingTree, X: np.ndarray, coef: np.ndarray) -> np.ndarray:
    """Return the probability of reaching each node, shape (n_nodes, n)."""
    logits = coef[:, :1] + coef[:, 1:] @ X.T
    proba = np.ones((tree.n_nodes, len(X)))
    for node in tree.inner_nodes:
        edges = tree.edges(node)
        odds = np.exp(logits[edges] - logits[edges].max(axis=0))
        proba[list(tree.children(node))] = proba[node] * odds / odds.sum(axis=0)
    return proba


def random_directions(n: int, p: int, rng: np.random.Generator) -> np.ndarray:
    """Return unit vectors that are uniform on the sphere, shape (n, p)."""
    vectors = rng.standard_normal((n, p))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _quantiles(values: np.ndarray, weight: np.ndarray, q: np.ndarray) -> np.ndarray:
    order = np.argsort(values)
    # The middle of each row's own share of the weight.
    position = np.cumsum(weight[order]) - 0.5 * weight[order]
    return np.interp(q * weight.sum(), position, values[order])
