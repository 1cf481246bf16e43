"""Quadratic models with an L1 penalty: coordinate descent on the coefficients that are not zero."""

from mixexp.kernels._jit import kernel

# Sweeps over the coordinates, and moves that are rounding, as a share of the largest coefficient.
_MOST_SWEEPS = 1000
_DIGITS = 1e-15


@kernel
def lasso_each(matrices, slopes, l1, lower, upper, coef):  # type: ignore[no-untyped-def]
    """Maximise ``slope'd - d'Hd/2 - sum(l1 * |coef + d|)`` over d, for each of many models.

    Parameters
    ----------
    matrices : ndarray of shape (n, p, p)
        Symmetric, of no negative eigenvalue.
    slopes : ndarray of shape (n, p)
        Overwritten.
    l1, lower, upper : ndarray of shape (n, p)
        Bounds are those of coefficients.
    coef : ndarray of shape (n, p)
        Where each begins, within its bounds; overwritten by ``coef + d``.

    Notes
    -----
    Cyclic coordinate descent (Friedman, Hastie & Tibshirani 2010): a sweep over all coordinates,
    then over such as are not zero until these rest, and again. What is zero is so exactly.
    """
    n, p = coef.shape
    for s in range(n):
        matrix, slope, own = matrices[s], slopes[s], coef[s]
        is_full = True
        for _ in range(_MOST_SWEEPS):
            largest, most = 0.0, 0.0
            for j in range(p):
                bend = matrix[j, j]
                if bend <= 0.0 or lower[s, j] == upper[s, j]:
                    continue
                if not is_full and own[j] == 0.0 and l1[s, j] > 0.0:
                    continue
                aim, strength = bend * own[j] + slope[j], l1[s, j]
                if aim > strength:
                    moved = (aim - strength) / bend
                elif aim < -strength:
                    moved = (aim + strength) / bend
                else:
                    moved = 0.0
                moved = min(max(moved, lower[s, j]), upper[s, j])
                step = moved - own[j]
                if step != 0.0:
                    own[j] = moved
                    for i in range(p):
                        slope[i] -= matrix[j, i] * step
                largest = max(largest, abs(step))
                most = max(most, abs(moved))
            is_at_rest = largest <= _DIGITS * most
            if is_at_rest and is_full:
                break
            is_full = is_at_rest
