"""Many small positive definite systems, solved in one call.

An EM step solves one system per expert and one per gate, of a size at which the call of a
library routine costs more than its arithmetic.
"""

import math

from mixexp.kernels._jit import kernel

#: Curvature below this is none: of an expert to which nothing is left but rounding. Its inverse,
#: times what that rounding leaves of the gradient, would overflow.
SMALLEST_DIAGONAL = 2.2250738585072014e-308  # beneath are subnormal numbers


@kernel
def solve_definite_each(matrices, right, scale, pivot):  # type: ignore[no-untyped-def]
    """Solve every system by Cholesky's factors on a unit diagonal, in place.

    Parameters
    ----------
    matrices : ndarray of shape (m, p, p)
        Symmetric; the lower triangle is overwritten by its factor.
    right : ndarray of shape (m, p)
        Right-hand sides on entry, solutions on return.
    scale : ndarray of shape (p,)
        Scratch.
    pivot : ndarray of shape (m,)
        Receives the smallest squared diagonal of the factor: 1 for a diagonal matrix, next to
        nothing for a singular one, whose solution is not to be used.
    """
    n_systems, p = right.shape
    for s in range(n_systems):
        smallest = 1.0
        for i in range(p):
            diagonal = matrices[s, i, i]
            scale[i] = 1.0 / math.sqrt(diagonal) if diagonal > SMALLEST_DIAGONAL else 0.0
        for i in range(p):
            for j in range(i + 1):
                matrices[s, i, j] *= scale[i] * scale[j]
            right[s, i] *= scale[i]
        for i in range(p):
            for j in range(i + 1):
                total = matrices[s, i, j]
                for k in range(j):  # both rows are contiguous
                    total -= matrices[s, i, k] * matrices[s, j, k]
                if j < i:
                    matrices[s, i, j] = total / matrices[s, j, j]
                else:
                    # A matrix with NaN is as good as singular.
                    smallest = min(smallest, total) if total > 0.0 else 0.0
                    matrices[s, i, i] = math.sqrt(total) if total > 0.0 else 1.0
            total = right[s, i]
            for k in range(i):
                total -= matrices[s, i, k] * right[s, k]
            right[s, i] = total / matrices[s, i, i]
        for i in range(p - 1, -1, -1):
            right[s, i] /= matrices[s, i, i]
            for k in range(i):
                right[s, k] -= matrices[s, i, k] * right[s, i]
        for i in range(p):
            right[s, i] *= scale[i]
        pivot[s] = smallest
