"""Linear predictors whose bits do not depend on how many rows are asked at once.

A BLAS product may round a row differently in a batch of one than in a batch of a
thousand. Prediction uses this loop instead, so that one row at a time gives the very
numbers that all rows together give.
"""

from mixexp.kernels._jit import kernel


@kernel
def linear_predictor(coef, features, out):  # type: ignore[no-untyped-def]
    """Fill out with ``coef @ features``, each row summed over features in order.

    Parameters
    ----------
    coef : ndarray of shape (n_heads, p)
    features : ndarray of shape (p, rows)
    out : ndarray of shape (n_heads, rows)
    """
    for h in range(coef.shape[0]):
        total = out[h]
        for r in range(out.shape[1]):
            total[r] = 0.0
        for j in range(coef.shape[1]):
            c, feature = coef[h, j], features[j]
            for r in range(out.shape[1]):
                total[r] += c * feature[r]
