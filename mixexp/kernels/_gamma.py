"""What Stirling's series leave of the logarithm of the gamma function and of its derivatives."""

from mixexp.kernels._jit import fused_kernel

# From here on the series are exact to rounding; lesser arguments are taken up by as much.
_LARGE = 10.0


@fused_kernel
def gamma_remainders(a, ratio, rise, stirling, digamma_gap, trigamma_gap):  # type: ignore[no-untyped-def]
    """Fill out with what remains of three functions of a, but for two logarithms where a is small.

    Those are ``(a - 1/2) * log(ratio) + log(rise)``, which the first lacks, and ``-log(ratio)``,
    which the second does.

    Parameters
    ----------
    a : ndarray of shape (m,)
        Positive.
    ratio, rise : ndarray of shape (m,)
        Receive ``z / a`` and ``(z / e)**10 / (a * (a + 1) * ... * (a + 9))``, with ``z = a + 10``;
        both are 1 where a is 10 or more.
    stirling, digamma_gap, trigamma_gap : ndarray of shape (m,)
        ``log(gamma(a)) - (a - 1/2) * log(a) + a - log(2 pi) / 2``, ``log(a) - digamma(a)`` and
        ``a * trigamma(a) - 1``.

    Notes
    -----
    Abramowitz & Stegun (1964), eqs. 6.1.40, 6.3.18 and 6.4.11, after the recurrences 6.1.16, 6.3.6
    and 6.4.7. The remainder of the series, to the Bernoulli number B_18, is below 2e-16 of each.
    """
    for r in range(a.shape[0]):
        x = a[r]
        is_large = x >= _LARGE
        held = 1.0 if is_large else x
        product, first, second = 1.0, 0.0, 0.0
        power, z = 1.0, held + _LARGE
        for k in range(10):
            inverse = 1.0 / (held + k)
            product *= (held + k) * 2.718281828459045
            first += inverse
            second += inverse * inverse
            power *= z
        inverse = 1.0 / (x if is_large else z)
        square = inverse * inverse
        # B_2k / (2 k (2 k - 1)), B_2k / (2 k) and B_2k, from k = 9 down to 1.
        error = square * (43867.0 / 244188.0) - 3617.0 / 122400.0
        error = error * square + 1.0 / 156.0
        error = error * square - 691.0 / 360360.0
        error = error * square + 1.0 / 1188.0
        error = error * square - 1.0 / 1680.0
        error = error * square + 1.0 / 1260.0
        error = error * square - 1.0 / 360.0
        error = error * square + 1.0 / 12.0
        gap = square * (43867.0 / 14364.0) - 3617.0 / 8160.0
        gap = gap * square + 1.0 / 12.0
        gap = gap * square - 691.0 / 32760.0
        gap = gap * square + 1.0 / 132.0
        gap = gap * square - 1.0 / 240.0
        gap = gap * square + 1.0 / 252.0
        gap = gap * square - 1.0 / 120.0
        gap = gap * square + 1.0 / 12.0
        bend = square * (43867.0 / 798.0) - 3617.0 / 510.0
        bend = bend * square + 7.0 / 6.0
        bend = bend * square - 691.0 / 2730.0
        bend = bend * square + 5.0 / 66.0
        bend = bend * square - 1.0 / 30.0
        bend = bend * square + 1.0 / 42.0
        bend = bend * square - 1.0 / 30.0
        bend = bend * square + 1.0 / 6.0
        error = error * inverse
        gap = inverse * (0.5 + inverse * gap)
        bend = inverse * (0.5 + inverse * bend)
        ratio[r] = 1.0 if is_large else z / x
        rise[r] = 1.0 if is_large else power / product
        stirling[r] = error
        digamma_gap[r] = gap if is_large else gap + first
        trigamma_gap[r] = bend if is_large else x * (second + inverse * (1.0 + bend)) - 1.0
