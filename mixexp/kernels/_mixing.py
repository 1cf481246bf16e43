"""The mean of a mixture on a tree, averaged from the leaves up.

At every gate ``mean = sum over children c of odds_c * mean_c / sum over c of odds_c``: one
division per gate and row, and the probabilities of leaves are never formed.
"""

from mixexp.kernels._jit import kernel


@kernel
def tree_mixture_mean(
    odds, leaf_mean, inner, first_child, n_children, inner_row, first_leaf, total, mean, out
):  # type: ignore[no-untyped-def]
    """Fill out with the mean over leaves, weighted by the gates.

    Parameters
    ----------
    odds : ndarray of shape (n_nodes - 1, rows)
        Non-negative weight of each edge among its siblings; need not sum to one.
    leaf_mean : ndarray of shape (n_leaves, n_values, rows)
        Several values per row are class probabilities.
    inner : ndarray of shape (n_inner,), int64
        Nodes with children, from the root down.
    first_child, n_children, inner_row, first_leaf : ndarray of shape (n_nodes,), int64
    total : ndarray of shape (size,)
        Scratch for so many rows, which are taken through all gates before the next.
    mean : ndarray of shape (n_inner, n_values, size)
        Scratch.
    out : ndarray of shape (n_values, rows)
    """
    n_values, rows = out.shape
    size = total.shape[0]
    for begin in range(0, rows, size):
        end = min(begin + size, rows)
        for i in range(inner.shape[0] - 1, -1, -1):  # children have larger numbers
            first = first_child[inner[i]]
            stop = first + n_children[inner[i]]
            for r in range(end - begin):
                total[r] = 0.0
            for c in range(first, stop):
                weight = odds[c - 1, begin:end]
                for r in range(end - begin):
                    total[r] += weight[r]
            for t in range(n_values):
                own = mean[i, t]
                for r in range(end - begin):
                    own[r] = 0.0
                for c in range(first, stop):
                    weight = odds[c - 1, begin:end]
                    if n_children[c] == 0:
                        values = leaf_mean[first_leaf[c], t, begin:end]
                    else:
                        values = mean[inner_row[c], t, : end - begin]
                    for r in range(end - begin):
                        own[r] += weight[r] * values[r]
                for r in range(end - begin):
                    own[r] /= total[r]
        for t in range(n_values):
            result, top = out[t, begin:end], mean[0, t]
            for r in range(end - begin):
                result[r] = top[r]
