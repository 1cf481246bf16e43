"""Derivatives of softmax regressions for several classes, in one loop over the rows.

The probabilities of a row meet in the first-level cache: in NumPy each product of two would take
all rows of a block to the memory and back.
"""

from mixexp.kernels._jit import fused_kernel


@fused_kernel
def softmax_derivatives(at_class, odds, total, basis, products, proba, scratch, score, curvature):  # type: ignore[no-untyped-def]
    """Fill out the slopes of log probabilities of classes, and minus their second derivatives.

    Parameters
    ----------
    at_class : ndarray of shape (rows,), int64
    odds : ndarray of shape (n_classes, m, rows)
        Probabilities times their total.
    total : ndarray of shape (m, rows)
    basis : ndarray of shape (n_classes, n_heads)
        Logits are ``basis @ heads``.
    products : ndarray of shape (n_pairs_of_heads, n_pairs_of_classes)
        What the product of the probabilities of two classes counts by, pairs of classes ordered
        (0, 1), (0, 2), ...
    proba : ndarray of shape (n_classes, size)
        Scratch for so many rows, which are taken through all loops before the next.
    scratch : ndarray of shape (2, size)
    score : ndarray of shape (n_heads, m, rows)
    curvature : ndarray of shape (n_pairs_of_heads, m, rows)

    Notes
    -----
    One less the probability of a row's own class is what the others have, and curvature is made
    of products of two classes', so that nothing cancels for an expert that is sure of a class.
    """
    rows, size = total.shape[1], scratch.shape[1]
    for k in range(total.shape[0]):
        for begin in range(0, rows, size):
            end = min(begin + size, rows)
            n = end - begin
            own, weight, others = at_class[begin:end], scratch[0, :n], scratch[1, :n]
            for r in range(n):
                weight[r] = 1.0 / total[k, begin + r]
                others[r] = 0.0
            for c in range(basis.shape[0]):
                p, share = proba[c, :n], odds[c, k, begin:end]
                for r in range(n):
                    p[r] = share[r] * weight[r]
                    others[r] += 0.0 if own[r] == c else p[r]
            for h in range(basis.shape[1]):
                slope = score[h, k, begin:end]
                slope[:] = 0.0
                for c in range(basis.shape[0]):
                    by, p = basis[c, h], proba[c, :n]
                    for r in range(n):
                        slope[r] += by * (others[r] if own[r] == c else -p[r])
            for product in range(products.shape[0]):
                curvature[product, k, begin:end] = 0.0
            pair = 0
            for i in range(basis.shape[0]):
                for j in range(i + 1, basis.shape[0]):
                    p, other = proba[i, :n], proba[j, :n]
                    for r in range(n):
                        weight[r] = p[r] * other[r]
                    for product in range(products.shape[0]):
                        by, bent = products[product, pair], curvature[product, k, begin:end]
                        for r in range(n):
                            bent[r] += by * weight[r]
                    pair += 1
