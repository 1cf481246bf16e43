"""Probabilities of intervals of y by any family, and what their derivatives are made of."""

from typing import NamedTuple

import numpy as np

from mixexp.experts._base import Expert, Heads

# Probabilities of intervals that are a smaller share of the tail they are cut from than this are
# density times width, good to the square of the share over 24: the better of the two, also for
# second differences.
_NARROW = 1e-4
# Five-point differences: step**4 is lost to curvature and eps / step to rounding.
_STEP = 1e-3
_SECOND_STEP = 2e-3
_LARGEST_LOG_RATIO = 700.0
# Values at which a family is tried for what its heads do to y.
_TRIED = np.array([0.4, 0.7, 1.3, 2.1])
_TRIED_HEADS = (0.3, 0.2, 0.5)
_TRIED_STEP = 1e-6
_SAME = 1e-6


class Slopes(NamedTuple):
    """How the distribution function changes with the heads, where that is known.

    Parameters
    ----------
    is_log : bool
        Whether heads move the logarithm of y, not y.
    factors : tuple of float or None
        Per head: 0 for one that moves y, k for one that is a k-th part of the log of the scale,
        None for all others.
    """

    is_log: bool
    factors: tuple[float | None, ...]


def slopes_of_cdf(family: Expert) -> Slopes:
    """Return what heads do to the distribution function, as found by trial."""
    key = (type(family).__name__, repr(family.get_params()))
    if key not in _known_slopes:
        _known_slopes[key] = _find_slopes(family)
    return _known_slopes[key]


_known_slopes: dict[tuple[str, str], Slopes] = {}


def _find_slopes(family: Expert) -> Slopes:
    n_heads = len(family.heads)
    nothing = Slopes(False, (None,) * n_heads)
    if n_heads == 0 or family.is_discrete or family.atoms:
        return nothing
    y = _TRIED[~family.find_unsupported(_TRIED)]
    heads = tuple(
        np.full((1, 1), np.clip(_TRIED_HEADS[h % len(_TRIED_HEADS)], head.lower, head.upper))
        for h, head in enumerate(family.heads)
    )
    by_head = [_slope_of_cdf(family, y, heads, h) for h in range(n_heads)]
    density = np.exp(family.log_density(y, heads))
    for is_log in (False, True):
        place, own = (np.log(y), density * y) if is_log else (y, density)
        if not _is_same(by_head[0], -own):
            continue
        factors: list[float | None] = [0.0]
        for slope in by_head[1:]:
            wanted = [k for k in (0.5, 1.0) if _is_same(slope, -k * (place - heads[0]) * own)]
            factors.append(wanted[0] if wanted else None)
        return Slopes(is_log, tuple(factors))
    return nothing


def _is_same(found: np.ndarray, expected: np.ndarray) -> bool:
    return bool(len(found) and np.allclose(found, expected, rtol=_SAME, atol=_SAME))


def _slope_of_cdf(family: Expert, y: np.ndarray, heads: Heads, h: int) -> np.ndarray:
    above, below = (
        family.cdf(y, (*heads[:h], heads[h] + step, *heads[h + 1 :]))
        for step in (_TRIED_STEP, -_TRIED_STEP)
    )
    return (above - below) / (2.0 * _TRIED_STEP)


class _End(NamedTuple):
    """One end of intervals: its part of the scores, and the scores of the density there."""

    slope: dict[int, np.ndarray]
    score: Heads


def at_end(
    family: Expert, slopes: Slopes, end: np.ndarray, sign: float, value: np.ndarray, heads: Heads
) -> _End:
    """Return what an end adds to the scores of the heads that move or scale y.

    Parameters
    ----------
    family : Expert
    slopes : Slopes
    end : ndarray of shape (rows,)
    sign : float
        1 for the lower end and -1 for the upper.
    value : ndarray of shape (..., rows)
        Log probabilities of the intervals.
    heads : Heads
    """
    is_outside = family.find_unsupported(end)
    if is_outside.all() or not slopes.factors:
        nothing = np.zeros(value.shape)
        moved = {h: nothing for h, factor in enumerate(slopes.factors) if factor is not None}
        return _End(moved, (nothing,) * len(heads))
    at = np.where(is_outside, end[~is_outside][0], end)
    # An interval that has no probability at all has no slope either.
    has_some = np.isfinite(value)
    log_ratio = family.log_density(at, heads) - np.where(has_some, value, 0.0)
    place = np.log(at) if slopes.is_log else at
    log_ratio = log_ratio + place if slopes.is_log else log_ratio
    ratio = sign * np.exp(np.minimum(log_ratio, _LARGEST_LOG_RATIO))
    ratio = np.where(is_outside | ~has_some, 0.0, ratio)
    slope = {
        h: ratio if factor == 0.0 else factor * (place - heads[0]) * ratio
        for h, factor in enumerate(slopes.factors)
        if factor is not None
    }
    return _End(slope, family.derivatives(at, heads).score)


def log_probability(
    family: Expert, lower: np.ndarray, upper: np.ndarray, heads: Heads
) -> np.ndarray:
    """Return the log of the probability of (lower, upper], by the smaller of both tails."""
    return log_probability_and_kind(family, lower, upper, heads)[0]


def log_probability_and_kind(
    family: Expert, lower: np.ndarray, upper: np.ndarray, heads: Heads
) -> tuple[np.ndarray, np.ndarray]:
    """Return log probabilities, and which were found as density times width."""
    low, high = family.support_limits
    has_lower, has_upper = lower > -np.inf, upper < np.inf
    shape = np.broadcast_shapes(lower.shape, *(head.shape for head in heads))
    if not (has_upper.any() and has_lower.any()):
        one_tail = (
            family.log_cdf(upper, heads) if has_upper.any() else family.log_survival(lower, heads)
        )
        shape = np.broadcast_shapes(shape, one_tail.shape)
        return np.broadcast_to(one_tail, shape).copy(), np.zeros(shape, bool)
    some_lower = np.where(has_lower, lower, low if np.isfinite(low) else upper)
    some_upper = np.where(has_upper, upper, high if np.isfinite(high) else lower)
    above = np.where(has_lower, family.log_survival(some_lower, heads), 0.0)
    below = np.where(has_upper, family.log_cdf(some_upper, heads), 0.0)
    beyond = np.where(has_upper, family.log_survival(some_upper, heads), -np.inf)
    before = np.where(has_lower, family.log_cdf(some_lower, heads), -np.inf)
    is_right = above < below
    larger, smaller = np.where(is_right, above, below), np.where(is_right, beyond, before)
    # An interval that holds nothing lies in two tails that hold nothing.
    gap = np.subtract(smaller, larger, out=np.zeros(larger.shape), where=larger > -np.inf)
    with np.errstate(divide="ignore"):
        share = -np.expm1(np.minimum(gap, 0.0))
        value = larger + np.log(share)
    is_narrow = has_lower & has_upper & (share < _NARROW) & ~np.bool_(family.is_discrete)
    rows = np.flatnonzero(is_narrow.reshape(-1, len(lower)).any(axis=0))
    if len(rows):
        middle, width = 0.5 * (lower[rows] + upper[rows]), upper[rows] - lower[rows]
        density = family.log_density(middle, of_rows(heads, rows)) + np.log(width)
        value[..., rows] = np.where(is_narrow[..., rows], density, value[..., rows])
    return value, np.broadcast_to(is_narrow, value.shape)


def first_difference(
    family: Expert, lower: np.ndarray, upper: np.ndarray, heads: Heads, h: int
) -> np.ndarray:
    """Return the derivative of the log probability in a head, by five points."""
    step = _STEP * np.maximum(1.0, np.abs(heads[h]))
    near, far = (
        log_probability(family, lower, upper, _moved(heads, h, size * step))
        - log_probability(family, lower, upper, _moved(heads, h, -size * step))
        for size in (1.0, 2.0)
    )
    return (8.0 * near - far) / (12.0 * step)


def second_difference(
    family: Expert, lower: np.ndarray, upper: np.ndarray, heads: Heads, a: int, b: int
) -> np.ndarray:
    """Return the second derivative of the log probability: of first ones, by five points."""
    step = _SECOND_STEP * np.maximum(1.0, np.abs(heads[b]))
    near, far = (
        first_difference(family, lower, upper, _moved(heads, b, size * step), a)
        - first_difference(family, lower, upper, _moved(heads, b, -size * step), a)
        for size in (1.0, 2.0)
    )
    return (8.0 * near - far) / (12.0 * step)


def _moved(heads: Heads, h: int, step: np.ndarray) -> Heads:
    return (*heads[:h], heads[h] + step, *heads[h + 1 :])


def of_rows(heads: Heads, rows: np.ndarray) -> Heads:
    """Return the heads of some rows; those that do not vary as they are."""
    return tuple(head if head.shape[-1] == 1 else head[..., rows] for head in heads)


def over_rows(values: np.ndarray, n_rows: int) -> np.ndarray:
    """Return a copy of shape (..., n_rows) that may be written to."""
    return np.array(np.broadcast_to(values, (*values.shape[:-1], n_rows)))
