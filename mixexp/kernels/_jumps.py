"""Sums over the numbers of jumps of a Tweedie density, of which few matter."""

from mixexp.kernels._jit import kernel

# Less, beside the largest term of a sum, does not matter.
_LEAST_TERM = 4e-18


@kernel
def jump_sums(center, first_up, first_down, bend, slope, value, other, sums):  # type: ignore[no-untyped-def]
    """Fill out with sums over j of terms, times what moments are made of.

    Parameters
    ----------
    center : ndarray of shape (m,), int64
        Number of jumps of the term that is the unit of all others; next to the largest.
    first_up, first_down : ndarray of shape (m,)
        Ratio to it of the term after it, and of the one before it, 0 for none.
    bend : ndarray of shape (most + 2,)
        By j, the ratio of two ratios: of the terms j + 1 and j, and of j and j - 1.
    slope : ndarray of shape (m,)
    value, other : ndarray of shape (most + 2,)
        By j.
    sums : ndarray of shape (7, m)
        Receives sums of terms times 1, a, a**2, v, v**2, a v and other, with ``a = j - center`` and
        ``v = value - slope * j``, less that at the center.

    Notes
    -----
    Terms have no logarithms: two products each, on either side until they no longer matter.
    """
    most = bend.shape[0] - 2
    for r in range(center.shape[0]):
        at, by = center[r], slope[r]
        total, of_a, of_a_square = 1.0, 0.0, 0.0
        of_v, of_v_square, of_product, of_other = 0.0, 0.0, 0.0, other[at]
        for step in (1, -1):
            term, ratio = 1.0, first_up[r] if step > 0 else first_down[r]
            j, end = at, most if step > 0 else 1
            while j != end:
                term *= ratio
                if not term >= _LEAST_TERM:
                    break
                j += step
                ratio *= bend[j]
                a = float(j - at)
                v = value[j] - value[at] - by * a
                total += term
                of_a += term * a
                of_a_square += term * a * a
                of_v += term * v
                of_v_square += term * v * v
                of_product += term * a * v
                of_other += term * other[j]
        sums[0, r], sums[1, r], sums[2, r] = total, of_a, of_a_square
        sums[3, r], sums[4, r], sums[5, r] = of_v, of_v_square, of_product
        sums[6, r] = of_other
