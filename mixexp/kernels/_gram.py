"""Row-wise products of features, from which every weighted Gram matrix is one product.

With ``Q[t] = features[i] * features[j]`` for the pairs ``t = (i, j), i <= j``, the packed
upper triangles of ``features @ diag(w_k) @ features.T`` for many weights ``w_k`` are
``W @ Q.T``: one matrix product instead of one per weight.
"""

from mixexp.kernels._jit import kernel


@kernel
def row_products(features, start, out):  # type: ignore[no-untyped-def]
    """Fill out with the products of all pairs of features, row by row.

    Parameters
    ----------
    features : ndarray of shape (p, n)
    start : int
        First of the rows to use; as many as out has.
    out : ndarray of shape (p * (p + 1) // 2, rows)
        Pairs in the order of ``numpy.triu_indices(p)``.
    """
    p, stop = features.shape[0], start + out.shape[1]
    t = 0
    for i in range(p):
        first = features[i, start:stop]
        for j in range(i, p):
            second, product = features[j, start:stop], out[t]
            for r in range(out.shape[1]):  # contiguous in all three: vectorises
                product[r] = first[r] * second[r]
            t += 1
