"""Loops with exponentials and logarithms of their own: Bayes' rule on a tree, and densities.

Both functions are written out here, so that the compiler makes vectors of them and the numbers
between one loop and the next stay in the first-level cache: NumPy's own are as fast, but each
would take all rows of a block to the second-level cache and back, and the interpreter's lock
with them. They stand beside the loops that call them because numba's disk cache notices changes
to the file of a kernel, not to what that imports.

Of densities there are here the terms that several families share, or could: what is squared over a
dispersion, exponential and logistic functions of a linear predictor.
"""

import math

import numpy as np

from mixexp.kernels._jit import fused_kernel, part_of_fused_kernels

# Rows that are taken through all nodes before the next; loops as in `_tree`.
_CHUNK = 256
_INVERSE_LOG_2 = 1.4426950408889634
# log 2 in two parts; the first has trailing zeros, so that its products with integers are exact.
_LOG_2_HIGH = 6.93147180369123816490e-01
_LOG_2_LOW = 1.90821492927058770002e-10
# Added to a number and taken off again this rounds to an integer, whose bits are the last of the
# sum.
_ROUNDING_SHIFT = 6755399441055744.0  # 1.5 * 2**52
_EXPONENT_BITS = 52
_ONE_BITS = np.int64(0x3FF0000000000000)
_ROOT_HALF_BITS = np.int64(0x3FE6A09E667F3BCD)
_LARGEST_DISTANCE = 1e100
# exp of less would be subnormal.
_LEAST_EXPONENT = -708.0


@part_of_fused_kernels
def excess_share(x):  # type: ignore[no-untyped-def]
    """Return ``(exp(x) - 1 - x) / x**2`` for ``|x| < log(2) / 2``, by Taylor's series to x**11."""
    series = x * (1.0 / 6227020800.0) + 1.0 / 479001600.0
    series = series * x + 1.0 / 39916800.0
    series = series * x + 1.0 / 3628800.0
    series = series * x + 1.0 / 362880.0
    series = series * x + 1.0 / 40320.0
    series = series * x + 1.0 / 5040.0
    series = series * x + 1.0 / 720.0
    series = series * x + 1.0 / 120.0
    series = series * x + 1.0 / 24.0
    series = series * x + 1.0 / 6.0
    series = series * x + 0.5
    return series


@part_of_fused_kernels
def add_exponentials(values, top, out, total):  # type: ignore[no-untyped-def]
    """Fill out with ``exp(values - top)``, 0 below ``exp(-708)``, and add that to total.

    Parameters
    ----------
    values, top, out, total : ndarray of shape (rows,)
        No value is above its top by more than 708.

    Notes
    -----
    Taylor's series to the 13th power around the nearest multiple of log 2: the remainder is below
    5e-18, and rounding leaves one unit in the last place.
    """
    for r in range(out.shape[0]):
        x = values[r] - top[r]
        held = _LEAST_EXPONENT if x < _LEAST_EXPONENT else x  # passes NaN on
        shifted = held * _INVERSE_LOG_2 + _ROUNDING_SHIFT
        n = shifted - _ROUNDING_SHIFT
        rest = (held - n * _LOG_2_HIGH) - n * _LOG_2_LOW
        series = (excess_share(rest) * rest + 1.0) * rest + 1.0
        power_bits = (np.float64(shifted).view(np.int64) << _EXPONENT_BITS) + _ONE_BITS
        power = np.int64(power_bits).view(np.float64)
        out[r] = 0.0 if x < _LEAST_EXPONENT else series * power
        total[r] += out[r]


@part_of_fused_kernels
def add_logarithms(values, total):  # type: ignore[no-untyped-def]
    """Add ``log(values)`` to total, -inf for 0.

    Parameters
    ----------
    values, total : ndarray of shape (rows,)
        Values are zero or normal.

    Notes
    -----
    ``log(2**n * m) = n log 2 + 2 artanh(s)`` with ``s = (m - 1) / (m + 1)`` and m within a factor
    of sqrt(2) of 1, so s is at most 0.172; the series ends where its remainder is below 2e-18.
    """
    for r in range(values.shape[0]):
        x = values[r]
        bits = np.float64(x).view(np.int64)
        n = (bits - _ROOT_HALF_BITS) >> _EXPONENT_BITS
        mantissa = np.int64(bits - (n << _EXPONENT_BITS)).view(np.float64)
        over = mantissa - 1.0
        s = over / (2.0 + over)
        square = s * s
        series = square * (2.0 / 21.0) + 2.0 / 19.0
        series = series * square + 2.0 / 17.0
        series = series * square + 2.0 / 15.0
        series = series * square + 2.0 / 13.0
        series = series * square + 2.0 / 11.0
        series = series * square + 2.0 / 9.0
        series = series * square + 2.0 / 7.0
        series = series * square + 0.4
        series = series * square + 2.0 / 3.0
        series = series * square
        # 2 s = over - s * over, exact to rounding where over is small.
        low = s * (series - over) + n * _LOG_2_LOW
        value = n * _LOG_2_HIGH + (over + low)
        # x - x is zero, but NaN for NaN and infinity.
        total[r] += -math.inf if x == 0.0 else value + (x - x)


@part_of_fused_kernels
def fill_unexplained_rows(gate, parent, leaves, begin, total, node_resp):  # type: ignore[no-untyped-def]
    """Give the rows that no leaf explains, whose total is 0, to the leaves by their priors.

    Parameters
    ----------
    gate : ndarray of shape (n_nodes - 1, rows)
    parent : ndarray of shape (n_nodes,), int64
    leaves : ndarray of shape (n_leaves,), int64
    begin : int
        Row that the first total is of.
    total : ndarray of shape (n,)
    node_resp : ndarray of shape (n_nodes, rows)
    """
    for r in range(total.shape[0]):
        if total[r] == 0.0:
            for leaf in leaves:
                prior, v = 1.0, leaf
                while v > 0:
                    prior *= gate[v - 1, begin + r]
                    v = parent[v]
                node_resp[leaf, begin + r] = prior


@part_of_fused_kernels
def softmax_over_children(logits, gate, path, first, stop, begin, top, total, above):  # type: ignore[no-untyped-def]
    """Fill the gates of one node's children, and minus the logarithms of their priors.

    Parameters
    ----------
    logits, gate : ndarray of shape (n_nodes - 1, rows)
    path : ndarray of shape (n_nodes, size)
        Receives those of the children.
    first, stop : int
        The children.
    begin : int
        Row that the first of ``top`` is of.
    top, total : ndarray of shape (n,)
        Scratch; the latter is zero afterwards.
    above : ndarray of shape (n,)
        Minus the logarithms of the node's own prior; is overwritten.
    """
    n = top.shape[0]
    end = begin + n
    for r in range(n):
        top[r] = -math.inf
        total[r] = 0.0
    for c in range(first, stop):
        logit, own = logits[c - 1, begin:end], path[c]
        for r in range(n):
            own[r] = logit[r]
            top[r] = max(top[r], logit[r])
    for c in range(first, stop):
        add_exponentials(path[c], top, gate[c - 1, begin:end], total)
    add_logarithms(total, above)
    for r in range(n):
        total[r] = 1.0 / total[r]
    for c in range(first, stop):
        own, odds = path[c], gate[c - 1, begin:end]
        for r in range(n):
            odds[r] *= total[r]
            own[r] = above[r] + (top[r] - own[r])
    for r in range(n):
        total[r] = 0.0


@fused_kernel
def tree_posterior(  # type: ignore[no-untyped-def]
    logits,
    log_density,
    parent,
    inner,
    first_child,
    n_children,
    leaves,
    path,
    gate,
    node_resp,
    row_log_density,
):
    """Fill out gates, responsibilities and log densities of the rows.

    Parameters
    ----------
    logits : ndarray of shape (n_nodes - 1, rows)
    log_density : ndarray of shape (n_leaves, rows)
        Of y under each leaf; -inf is legal.
    parent, first_child, n_children : ndarray of shape (n_nodes,), int64
    inner : ndarray of shape (n_inner,), int64
        Nodes with children.
    leaves : ndarray of shape (n_leaves,), int64
    path : ndarray of shape (n_nodes, size)
        Scratch for so many rows, which are taken through all nodes before the next; minus the
        logarithms of the nodes' priors.
    gate : ndarray of shape (n_nodes - 1, rows)
        Receives conditional gate probabilities.
    node_resp : ndarray of shape (n_nodes, rows)
        Receives the responsibility of every node; where no leaf explains the row, its prior.
    row_log_density : ndarray of shape (rows,)
        Receives the log density of the rows; -inf where no leaf explains them.

    Notes
    -----
    All sums are of exponentials of which the largest is 1, so nothing overflows.
    """
    rows, size = logits.shape[1], path.shape[1]
    for begin in range(0, rows, size):
        end = min(begin + size, rows)
        n = end - begin
        top, joint_total = row_log_density[begin:end], path[0, :n]
        for r in range(n):
            joint_total[r] = 0.0
        for v in inner:  # parents come before their children
            first, stop = first_child[v], first_child[v] + n_children[v]
            total, above = node_resp[v, begin:end], path[v, :n]
            softmax_over_children(logits, gate, path, first, stop, begin, top, total, above)
        for r in range(n):
            top[r] = -math.inf
            joint_total[r] = 0.0
        for k in range(leaves.shape[0]):
            own, density = path[leaves[k]], log_density[k, begin:end]
            for r in range(n):
                own[r] = density[r] - own[r]
                top[r] = max(top[r], own[r])
        for r in range(n):
            top[r] = top[r] if top[r] > -math.inf else 0.0
        for leaf in leaves:
            add_exponentials(path[leaf], top, node_resp[leaf, begin:end], joint_total)
        fill_unexplained_rows(gate, parent, leaves, begin, joint_total, node_resp)
        add_logarithms(joint_total, top)
        for r in range(n):
            joint_total[r] = 1.0 / joint_total[r] if joint_total[r] > 0.0 else 1.0
        for leaf in leaves:
            resp = node_resp[leaf, begin:end]
            for r in range(n):
                resp[r] *= joint_total[r]
        for v in range(path.shape[0] - 1, 0, -1):  # children come after their parents
            resp, above = node_resp[v, begin:end], node_resp[parent[v], begin:end]
            for r in range(n):
                above[r] += resp[r]


@fused_kernel
def square_terms(y, mean, log_dispersion, precision, value, score, excess):  # type: ignore[no-untyped-def]
    """Fill out with ``-(z**2 + log_dispersion) / 2``, its derivative, and ``(z**2 - 1) / 2``.

    Parameters
    ----------
    y : ndarray of shape (rows,)
    mean : ndarray of shape (m, rows)
    log_dispersion, precision : ndarray of shape (m,)
        ``z**2 = precision * (y - mean)**2``, and precision is ``exp(-log_dispersion)``.
    value, score, excess : ndarray of shape (m, rows)

    Notes
    -----
    Distances are held at 1e100, whose square is finite.
    """
    for k in range(mean.shape[0]):
        center, by, shift = mean[k], precision[k], log_dispersion[k]
        own, slope, rest = value[k], score[k], excess[k]
        for r in range(y.shape[0]):
            distance = min(max(y[r] - center[r], -_LARGEST_DISTANCE), _LARGEST_DISTANCE)
            slope[r] = by * distance
            half_square = 0.5 * (distance * slope[r])
            own[r] = -0.5 * shift - half_square
            rest[r] = half_square - 0.5


@fused_kernel
def exponential_terms(y, eta, limit, scratch, value, score, mean):  # type: ignore[no-untyped-def]
    """Fill out with ``y * eta - exp(eta)``, ``y - mean`` and ``mean = exp(eta)``.

    Parameters
    ----------
    y : ndarray of shape (rows,)
    eta : ndarray of shape (m, rows)
    limit : float
        The mean is that of eta cut at this and minus this, and the exponential in the first goes
        on from there as its tangent, so that no cut makes it larger than it is.
    scratch : ndarray of shape (3, size)
        For so many rows, which are taken through all loops before the next.
    value, score, mean : ndarray of shape (m, rows)
    """
    rows, size = eta.shape[1], scratch.shape[1]
    for k in range(eta.shape[0]):
        for begin in range(0, rows, size):
            end = min(begin + size, rows)
            n = end - begin
            seen, x, power = y[begin:end], eta[k, begin:end], mean[k, begin:end]
            held, zero, unused = scratch[0, :n], scratch[1, :n], scratch[2, :n]
            own, slope = value[k, begin:end], score[k, begin:end]
            for r in range(n):
                held[r] = min(max(x[r], -limit), limit)
                zero[r] = 0.0
                unused[r] = 0.0
            add_exponentials(held, zero, power, unused)
            for r in range(n):
                own[r] = seen[r] * x[r] - power[r] * (1.0 + max(x[r] - limit, 0.0))
                slope[r] = seen[r] - power[r]


@fused_kernel
def logistic_terms(y, eta, scratch, value, score, curvature):  # type: ignore[no-untyped-def]
    """Fill out with ``y * eta - log(1 + exp(eta))`` and minus its second derivative.

    Parameters
    ----------
    y : ndarray of shape (rows,)
    eta : ndarray of shape (m, rows)
    scratch : ndarray of shape (5, size)
        For so many rows, which are taken through all loops before the next.
    value, score, curvature : ndarray of shape (m, rows)
        The score is y less the mean.

    Notes
    -----
    All from ``exp(-|eta|)``, so that neither tail cancels.
    """
    rows, size = eta.shape[1], scratch.shape[1]
    for k in range(eta.shape[0]):
        for begin in range(0, rows, size):
            end = min(begin + size, rows)
            n = end - begin
            seen, x, own = y[begin:end], eta[k, begin:end], value[k, begin:end]
            slope, bent = score[k, begin:end], curvature[k, begin:end]
            minus, zero, decay = scratch[0, :n], scratch[1, :n], scratch[2, :n]
            total, log_total = scratch[3, :n], scratch[4, :n]
            for r in range(n):
                minus[r] = -abs(x[r])
                zero[r] = 0.0
                total[r] = 1.0
                log_total[r] = 0.0
            add_exponentials(minus, zero, decay, total)
            add_logarithms(total, log_total)
            for r in range(n):
                share = 1.0 / total[r]
                # What rounding took off 1 + decay, to the first order: log1p.
                log_total[r] += (decay[r] - (total[r] - 1.0)) * share
                own[r] = (seen[r] * x[r] - max(x[r], 0.0)) - log_total[r]
                slope[r] = seen[r] - (share if x[r] >= 0.0 else decay[r] * share)
                bent[r] = decay[r] * share * share


@fused_kernel
def exponential_excesses(x, power, growth, excess):  # type: ignore[no-untyped-def]
    """Fill out with ``exp(x)``, ``exp(x) - 1`` and ``exp(x) - 1 - x``, each with its digits.

    Parameters
    ----------
    x : ndarray of shape (m,)
        At most 700.
    power, growth, excess : ndarray of shape (m,)

    Notes
    -----
    Where no power of two is split off, for ``|x| < log(2) / 2``, the series is that of the excess;
    elsewhere nothing of order one cancels.
    """
    for r in range(x.shape[0]):
        own = x[r]
        held = _LEAST_EXPONENT if own < _LEAST_EXPONENT else own
        shifted = held * _INVERSE_LOG_2 + _ROUNDING_SHIFT
        n = shifted - _ROUNDING_SHIFT
        rest = (held - n * _LOG_2_HIGH) - n * _LOG_2_LOW
        beyond = excess_share(rest) * (rest * rest)
        power_bits = (np.float64(shifted).view(np.int64) << _EXPONENT_BITS) + _ONE_BITS
        whole = (1.0 + (rest + beyond)) * np.int64(power_bits).view(np.float64)
        power[r] = 0.0 if own < _LEAST_EXPONENT else whole
        growth[r] = rest + beyond if n == 0.0 else whole - 1.0
        excess[r] = beyond if n == 0.0 else (whole - 1.0) - own
