"""Quadratic models with a penalty on norms of groups: descent over the groups that are not zero."""

import math

from mixexp.kernels._jit import kernel, part_of_kernels

# Sweeps over the groups, and moves that are rounding, as a share of the largest coefficient.
_MOST_SWEEPS = 1000
_DIGITS = 1e-14
# Newton's steps for the norm of a group: the first of them double it.
_MOST_STEPS = 200


@part_of_kernels
def norm_of_group(slope, bends, strength, n):  # type: ignore[no-untyped-def]
    """Return the root t of ``sum((slope / (t * bends + strength))**2) = 1``.

    The norm of a group at the top of ``slope'v - v'diag(bends)v/2 - strength * norm(v)``, where
    that of the slope is above the strength. The root of that sum is convex in t and falls, so that
    Newton's steps from below the top stay below it.

    Parameters
    ----------
    slope, bends : ndarray of shape (n_most,)
        Of which the first ``n`` count.
    strength : float
    n : int
    """
    size, most = 0.0, 0.0
    for i in range(n):
        size += slope[i] * slope[i]
        most = max(most, bends[i])
    if most <= 0.0:
        return 0.0
    t = (math.sqrt(size) - strength) / most
    for _ in range(_MOST_STEPS):
        total, fall = 0.0, 0.0
        for i in range(n):
            below = t * bends[i] + strength
            share = slope[i] / below
            total += share * share
            fall += share * share * bends[i] / below
        root = math.sqrt(total)
        if fall <= 0.0:
            break
        step = (root - 1.0) * root / fall
        t += max(step, 0.0)
        if step <= _DIGITS * t:
            break
    return t


@part_of_kernels
def visit_group(  # type: ignore[no-untyped-def]
    matrix, slope, own, places, strength, bends, axes, lower, upper, scratch
):
    """Move one group to its top, all others as they are; return the largest move and coefficient.

    Parameters are those of `group_lasso_each`, for one model and one group.
    """
    turned, moved, n = scratch[0], scratch[1], len(places)
    size = 0.0
    for a in range(n):  # the slope at zero of the group, along its eigenvectors
        aim, present = 0.0, 0.0
        for i in range(n):
            aim += axes[i, a] * slope[places[i, 0], places[i, 1]]
            present += axes[i, a] * own[places[i, 0], places[i, 1]]
        turned[a] = aim + bends[a] * present
        size += turned[a] * turned[a]
    moved[:n] = 0.0
    if strength == 0.0:
        if bends[0] <= 0.0:
            return 0.0, 0.0
        block, j = places[0]
        moved[0] = min(max(axes[0, 0] * turned[0] / bends[0], lower[block, j]), upper[block, j])
    elif math.sqrt(size) > strength:
        t = norm_of_group(turned, bends, strength, n)
        for a in range(n):
            share = t * turned[a] / (t * bends[a] + strength)
            for i in range(n):
                moved[i] += axes[i, a] * share
    largest, most = 0.0, 0.0
    for i in range(n):
        block, j = places[i]
        step = moved[i] - own[block, j]
        if step != 0.0:
            own[block, j] = moved[i]
            for k in range(own.shape[1]):
                slope[block, k] -= matrix[block, j, k] * step
        largest, most = max(largest, abs(step)), max(most, abs(moved[i]))
    return largest, most


@kernel
def group_lasso_each(  # type: ignore[no-untyped-def]
    matrices, slopes, members, starts, strengths, bends, axes, lower, upper, scratch, coef
):
    """Maximise ``slope'd - d'Hd/2 - sum(strength * norm(coef + d))`` over d, for many models.

    H consists of blocks, and groups reach over them.

    Parameters
    ----------
    matrices : ndarray of shape (n, n_blocks, p, p)
        Symmetric, of no negative eigenvalue.
    slopes : ndarray of shape (n, n_blocks, p)
        Overwritten.
    members : ndarray of shape (n_members, 2), int64
        Block and place of every coefficient, group by group.
    starts : ndarray of shape (n_groups + 1,), int64
        Where groups begin among them.
    strengths : ndarray of shape (n_groups,)
        Groups without have one member.
    bends : ndarray of shape (n, n_groups, n_most)
        Eigenvalues of the part of H that is of a group.
    axes : ndarray of shape (n, n_groups, n_most, n_most)
        Its eigenvectors, in columns.
    lower, upper : ndarray of shape (n_blocks, p)
        Bounds of coefficients without a penalty.
    scratch : ndarray of shape (2, n_most)
    coef : ndarray of shape (n, n_blocks, p)
        Where each begins; overwritten by ``coef + d``.

    Notes
    -----
    Cyclic descent (Qin, Scheinberg & Goldfarb 2013, section 2.2): a sweep over all groups, then
    over such as are not zero until these rest, and again. What is zero is so exactly.
    """
    for s in range(len(coef)):
        own, is_full = coef[s], True
        for _ in range(_MOST_SWEEPS):
            largest, most = 0.0, 0.0
            for g in range(len(strengths)):
                places = members[starts[g] : starts[g + 1]]
                is_out = strengths[g] > 0.0
                for i in range(len(places)):
                    is_out = is_out and own[places[i, 0], places[i, 1]] == 0.0
                if is_out and not is_full:
                    continue
                step, size = visit_group(
                    matrices[s],
                    slopes[s],
                    own,
                    places,
                    strengths[g],
                    bends[s, g],
                    axes[s, g],
                    lower,
                    upper,
                    scratch,
                )
                largest, most = max(largest, step), max(most, size)
            is_at_rest = largest <= _DIGITS * most
            if is_at_rest and is_full:
                break
            is_full = is_at_rest
