"""Weighted Gram matrices of the same features with many weights, in one matrix product.

With ``Q[t] = features[i] * features[j]`` for the pairs ``t = (i, j), i <= j``, the packed
upper triangles of ``features @ diag(w_k) @ features.T`` for many weights ``w_k`` are
``W @ Q.T``: one matrix product instead of one per weight. The products are formed piece by
piece, small enough to stay in cache until they are used.

The matrix product is the one exception to the rule that kernels call no linear algebra: its
call costs seconds of compilation, once. Made from Python, piece by piece, it would pass the
interpreter's lock back and forth, and two threads would be no faster than one.
"""

import numpy as np

from mixexp.kernels._jit import kernel


@kernel
def packed_grams(features, weights, weight_piece, products, part, out):  # type: ignore[no-untyped-def]
    """Fill out with the packed weighted Gram matrices.

    Parameters
    ----------
    features : ndarray of shape (p, rows)
    weights : ndarray of shape (m, rows)
    weight_piece : ndarray of shape (m, size)
        Scratch.
    products : ndarray of shape (p * (p + 1) // 2, size)
        Scratch.
    part : ndarray of shape (m, p * (p + 1) // 2)
        Scratch.
    out : ndarray of shape (m, p * (p + 1) // 2)
        Pairs in the order of ``numpy.triu_indices(p)``.
    """
    p, rows = features.shape
    n_weights, size = weight_piece.shape
    for k in range(n_weights):
        for t in range(out.shape[1]):
            out[k, t] = 0.0
    for start in range(0, rows, size):
        stop = min(start + size, rows)
        n = stop - start
        t = 0
        for i in range(p):
            first = features[i, start:stop]
            for j in range(i, p):
                second, product = features[j, start:stop], products[t]
                for r in range(n):  # contiguous in all three: vectorises
                    product[r] = first[r] * second[r]
                for r in range(n, size):
                    product[r] = 0.0
                t += 1
        for k in range(n_weights):
            weight, piece = weights[k, start:stop], weight_piece[k]
            for r in range(n):
                piece[r] = weight[r]
            for r in range(n, size):
                piece[r] = 0.0
        np.dot(weight_piece, products.T, part)
        for k in range(n_weights):
            for t in range(out.shape[1]):
                out[k, t] += part[k, t]
