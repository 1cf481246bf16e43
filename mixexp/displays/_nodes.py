"""What the nodes of a tree of gates say: their probabilities, names and looks."""

from typing import Any

import numpy as np

from mixexp.displays._source import Source
from mixexp.displays._styles import ExpertStyle
from mixexp.tree import GatingTree


def conditional_gates(source: Source, X: Any) -> np.ndarray:
    """Return the probability of each edge, given that its node is reached.

    From the coefficients, not by dividing probabilities of leaves, for those underflow where
    a node is hardly ever reached.

    Parameters
    ----------
    source : Source
    X : array-like of shape (n, n_features)
        Raw rows.

    Returns
    -------
    ndarray of shape (n, n_edges)
        Siblings sum to one.
    """
    model, tree = source.model, source.model.tree_
    seen = np.asarray(source.transform(X), dtype=float)[:, model.gate_features_]
    logits = model.gate_intercept_ + seen @ model.gate_coef_.T
    out = np.empty_like(logits)
    for node in tree.inner_nodes:
        edges = tree.edges(node)
        odds = np.exp(logits[:, edges] - logits[:, edges].max(axis=1, keepdims=True))
        out[:, edges] = odds / odds.sum(axis=1, keepdims=True)
    return out


def sum_below(tree: GatingTree, by_leaf: np.ndarray) -> np.ndarray:
    """Return sums over the leaves at or below each node, shape (n, n_nodes), of (n, n_leaves)."""
    return by_leaf @ tree.covers.T


def node_label(tree: GatingTree, names: list[str], node: int) -> str:
    """Return a node's name and, for one inside the tree, the experts below it."""
    if node == 0 or tree.n_children[node] == 0:
        return names[node]
    below = np.flatnonzero(tree.covers[node])
    span = f"{below[0]}" if len(below) == 1 else f"{below[0]}-{below[-1]}"
    return f"{names[node]} (experts {span})"


def node_styles(tree: GatingTree, styles: list[ExpertStyle]) -> list[ExpertStyle]:
    """Return how each node is drawn: leaves as experts, others in the mean of their colours."""
    return [
        _blend([styles[k] for k in np.flatnonzero(tree.covers[node])])
        for node in range(tree.n_nodes)
    ]


def _blend(styles: list[ExpertStyle]) -> ExpertStyle:
    if len(styles) == 1:
        return styles[0]
    color = np.mean([style.color for style in styles], axis=0)
    return ExpertStyle(color, styles[0].marker, styles[0].dashes, styles[0].hatch)
