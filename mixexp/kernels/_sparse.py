"""Products with a sparse matrix, row by row over what is stored.

A matrix of shape (p, rows) is given by its columns, which are rows of data: ``begin[r]`` to
``begin[r + 1]`` are the places of row r in ``feature`` and ``value``. Numbers per head lie
together, (p, heads) and (rows, heads), for each stored value meets those of all heads.
"""

from mixexp.kernels._jit import kernel

# Rows of a matrix that are mirrored at once: their cache lines are written as wholes.
TILE = 16


@kernel
def sparse_predictor(begin, feature, value, slope, out):  # type: ignore[no-untyped-def]
    """Add ``X' slope`` to out, each row summed in the order of what is stored.

    Parameters
    ----------
    begin : ndarray of shape (rows + 1,), int64
    feature : ndarray of shape (n_stored,), int32
    value : ndarray of shape (n_stored,)
    slope : ndarray of shape (p, heads)
    out : ndarray of shape (rows, heads)
    """
    for r in range(out.shape[0]):
        total = out[r]
        for t in range(begin[r], begin[r + 1]):
            x, own = value[t], slope[feature[t]]
            for h in range(out.shape[1]):
                total[h] += x * own[h]


@kernel
def sparse_adjoint(begin, feature, value, residual, out):  # type: ignore[no-untyped-def]
    """Add ``X residual`` to out.

    Parameters
    ----------
    begin, feature, value : ndarray
        As for `sparse_predictor`.
    residual : ndarray of shape (rows, heads)
    out : ndarray of shape (p, heads)
    """
    for r in range(residual.shape[0]):
        own = residual[r]
        for t in range(begin[r], begin[r + 1]):
            x, total = value[t], out[feature[t]]
            for h in range(residual.shape[1]):
                total[h] += x * own[h]


@kernel
def split_frequent(begin, feature, value, slot, wide, rest_begin, rest_feature, rest_value):  # type: ignore[no-untyped-def]
    """Part what is stored of frequent features, into an array, from what is stored of the rest.

    Parameters
    ----------
    begin, feature, value : ndarray
        As for `sparse_predictor`.
    slot : ndarray of shape (p,), int64
        Column of ``wide`` for a frequent feature, -1 for others.
    wide : ndarray of shape (rows, n_wide)
        Zero where frequent features are to be.
    rest_begin, rest_feature, rest_value : ndarray
        As long as those of all; the rest comes first in them.
    """
    n = 0
    rest_begin[0] = 0
    for r in range(wide.shape[0]):
        own = wide[r]
        for t in range(begin[r], begin[r + 1]):
            at = slot[feature[t]]
            if at >= 0:
                own[at] = value[t]
            else:
                rest_feature[n] = feature[t]
                rest_value[n] = value[t]
                n += 1
        rest_begin[r + 1] = n


@kernel
def sparse_grams(begin, feature, value, wide, wide_at, weights, cross, out):  # type: ignore[no-untyped-def]
    """Add ``X diag(w) X'`` for every weight to out, but for what meets no stored value.

    Parameters
    ----------
    begin, feature, value : ndarray
        As for `sparse_predictor`; a feature occurs once in a row.
    wide : ndarray of shape (rows, n_wide)
        Other features of the same rows.
    wide_at : ndarray of shape (n_wide,), int64
        Where these stand among the p.
    weights : ndarray of shape (m, rows)
    cross : ndarray of shape (p, n_wide)
        Where products of stored and other features are summed up, side by side.
    out : ndarray of shape (m, p, p)
        Pairs of stored features (smaller, larger), and those with other features both ways.

    Notes
    -----
    One weight after the other, so that its matrix stays in cache where it can. Of the pairs of
    dummies of large tables hardly one is met twice in a while, so that each costs a miss of the
    first-level cache; those with the other features are in it.
    """
    n_wide = wide.shape[1]
    for k in range(weights.shape[0]):
        weight, gram = weights[k], out[k]
        cross[:] = 0.0
        for r in range(weight.shape[0]):
            if weight[r] == 0.0:
                continue
            own = wide[r]
            for t in range(begin[r], begin[r + 1]):
                x, at = weight[r] * value[t], feature[t]
                total = cross[at]
                for d in range(n_wide):
                    total[d] += x * own[d]
                for u in range(t, begin[r + 1]):
                    other = feature[u]
                    gram[min(at, other), max(at, other)] += x * value[u]
        for d in range(n_wide):
            place = wide_at[d]
            for i in range(cross.shape[0]):
                gram[place, i] += cross[i, d]
                gram[i, place] += cross[i, d]


@kernel
def standardize_grams(center, inverse_scale, is_stored, out):  # type: ignore[no-untyped-def]
    """Turn products of raw features into those of standardised ones, and fill both triangles.

    ``(X - c 1')W(X - c 1')' = X W X' - c t' - t c' + c c' s``, with t the sums ``X w`` and s that
    of the weights, which stand in the first row: that of the intercept.

    Parameters
    ----------
    center, inverse_scale : ndarray of shape (p,)
        0 and 1 for features that are standardised already, the intercept first.
    is_stored : ndarray of shape (p,), int64
        1 for features with an entry for what is stored alone.
    out : ndarray of shape (m, p, p)
        As `sparse_grams` leaves it; between dense features both triangles are there.
    """
    p = center.shape[0]
    for k in range(out.shape[0]):
        gram = out[k]
        for d in range(p):
            if is_stored[d] == 0:
                for i in range(d):
                    if is_stored[i] == 1:
                        gram[i, d] = gram[d, i]
        first = gram[0].copy()
        for i in range(p):
            row, middle, factor = gram[i], center[i], inverse_scale[i]
            moved = middle * first[0] - first[i]
            for j in range(i, p):  # contiguous: vectorises
                row[j] = (
                    (row[j] - middle * first[j] + moved * center[j]) * factor * inverse_scale[j]
                )
        for start in range(0, p, TILE):
            stop = min(start + TILE, p)
            for i in range(p):
                for j in range(max(start, i + 1), stop):
                    gram[j, i] = gram[i, j]


@kernel
def sparse_squares(begin, feature, value, weight, out):  # type: ignore[no-untyped-def]
    """Add the weighted squares of every feature to out, shape (p,)."""
    for r in range(weight.shape[0]):
        for t in range(begin[r], begin[r + 1]):
            out[feature[t]] += weight[r] * value[t] * value[t]


@kernel
def sparse_moments(begin, feature, value, share, center, unit, power, out):  # type: ignore[no-untyped-def]
    """Add the sum of ``share * ((x - center) / unit)**power`` over what is stored to out.

    Parameters
    ----------
    begin, feature, value : ndarray
        As for `sparse_predictor`.
    share : ndarray of shape (rows,)
    center, unit, out : ndarray of shape (p,)
    power : int
        1 or 2.
    """
    for r in range(share.shape[0]):
        own = share[r]
        for t in range(begin[r], begin[r + 1]):
            at = feature[t]
            moved = (value[t] - center[at]) / unit[at]
            out[at] += own * moved if power == 1 else own * (moved * moved)
