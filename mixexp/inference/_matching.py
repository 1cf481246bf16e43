"""Which expert of one fit is which of another, for experts have no names of their own."""

import numpy as np
from scipy.optimize import linear_sum_assignment

from mixexp.model import Model


def match_nodes(model: Model, overlap: np.ndarray) -> np.ndarray:
    """Return which node of the other fit belongs at each node of the first.

    Among the permutations of siblings of like shape, families and constraints, that of the
    largest overlap: the Hungarian method (Kuhn 1955) at every node, from the leaves up.

    Parameters
    ----------
    model : Model
        Of both fits.
    overlap : ndarray of shape (n_leaves, n_leaves)
        ``sum_i w_i r_ik r'_il`` for expert k of the first fit and l of the other.

    Returns
    -------
    ndarray of shape (n_nodes,), int
        For `mixexp.em.reorder`.
    """
    tree = model.tree
    order = np.zeros(tree.n_nodes, dtype=np.int64)
    for place in tree.inner_nodes:
        places, present = list(tree.children(int(place))), list(tree.children(int(order[place])))
        cost = [[-_overlap_below(model, overlap, v, u) for u in present] for v in places]
        order[places] = np.array(present)[linear_sum_assignment(np.array(cost))[1]]
    return order


def _overlap_below(model: Model, overlap: np.ndarray, place: int, present: int) -> float:
    """Return the largest overlap of the experts below two nodes, -inf if they cannot match."""
    tree = model.tree
    if tree.n_children[place] != tree.n_children[present]:
        return -np.inf
    if tree.n_children[place] == 0:
        first, other = tree.leaf_position(place), tree.leaf_position(present)
        is_like = model.kind_of(first) == model.kind_of(other)
        return float(overlap[first, other]) if is_like else -np.inf
    cost = np.array(
        [
            [-_overlap_below(model, overlap, v, u) for u in tree.children(present)]
            for v in tree.children(place)
        ]
    )
    if not _has_matching(cost):
        return -np.inf
    rows, columns = linear_sum_assignment(cost)
    return float(-cost[rows, columns].sum())


def _has_matching(cost: np.ndarray) -> bool:
    """Whether rows and columns can be paired without an infinite cost."""
    rows, columns = linear_sum_assignment(np.isinf(cost))
    return not np.isinf(cost[rows, columns]).any()
