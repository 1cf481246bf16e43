"""Quantiles of a mixture: the least y whose distribution function reaches a level.

Where y may have probabilities of their own, each of these is tried first. Between them the
distribution function is continuous, and its logarithm is solved for by Newton's method, which
a bracket keeps safe. Below the median that of the distribution function is taken and above it
that of the survival function, so that small tails have their digits.
"""

from typing import NamedTuple

import numpy as np

from mixexp.distribution._block import BlockMixture, Bracket
from mixexp.experts import least_integer, middle_of

Array = np.ndarray

_EPSILON = np.finfo(float).eps
# Relative error of a tail that the sum over experts leaves to be improved; families' own
# functions are good to some 1e-14.
_TOLERANCE = 2e-14
# Bisections that exhaust the digits of any bracket, on a scale that is logarithmic where its
# ends differ in magnitude: 64 for the digits, 11 for the exponent, and as many Newton steps.
_ROUNDING = 1e-12
_SLACK = 1e-10
_WORTH_A_COPY = 0.8
# Levels next to 1 that are told from it.
_LEAST_TAIL = 1e-15
_MOST_STEPS = 200
_N_DOUBLINGS = 1100


class Tail(NamedTuple):
    """One tail of a mixture: the distribution function, or the survival function.

    Parameters
    ----------
    block : BlockMixture
    is_upper : bool
    """

    block: BlockMixture
    is_upper: bool

    def take(self, rows: Array) -> "Tail":
        return Tail(self.block.take(rows), self.is_upper)

    def probability(self, y: Array) -> Array:
        """Return the probability in the tail: of at most y, or of above y."""
        return self.block.survival(y) if self.is_upper else self.block.cdf(y)

    def reaches(self, probability: Array, level: Array) -> Array:
        """Return whether y is as large as the quantile, or larger."""
        return probability <= level if self.is_upper else probability >= level

    def before(self, y: Array) -> Array:
        """Return the same probability next to y, from below."""
        mass = self.block.mass(y)
        return self.probability(y) + (mass if self.is_upper else -mass)


def mixture_quantile(block: BlockMixture, q: Array) -> Array:
    """Return the least y whose distribution function reaches q, shape (rows,).

    Parameters
    ----------
    block : BlockMixture
    q : ndarray of shape (rows,)
        In [0, 1]; at the ends the limits of y are returned.
    """
    bracket = block.bracket(q)
    out = np.where(q <= 0.0, bracket.lower, bracket.upper)
    for is_upper in (False, True):
        rows = np.flatnonzero((q >= 0.5) & (q < 1.0) if is_upper else (q > 0.0) & (q < 0.5))
        if len(rows):
            tail = Tail(block if len(rows) == block.n_rows else block.take(rows), is_upper)
            level = 1.0 - q[rows] if is_upper else q[rows]
            own = Bracket(*(values[rows] for values in bracket))
            out[rows] = tail_quantile(tail, level, own)
    return out


def upper_quantile(block: BlockMixture, level: Array) -> Array:
    """Return the least y whose survival function is at most a level in (0, 1), however small."""
    # One less the level is rounded: look on either side of it.
    below = block.bracket(1.0 - np.maximum(2.0 * level, _LEAST_TAIL))
    above = block.bracket(1.0 - 0.5 * level)
    bracket = Bracket(below.lower, above.upper, below.start)
    return tail_quantile(Tail(block, is_upper=True), level, bracket)


def tail_quantile(tail: Tail, level: Array, bracket: Bracket) -> Array:
    """Return the quantile at which a tail has some probability.

    Parameters
    ----------
    tail : Tail
    level : ndarray of shape (rows,)
        Probability in the tail, in (0, 1).
    bracket : Bracket
    """
    lower, upper, is_found = _between_atoms(tail, level, bracket)
    if tail.block.has_integers:
        lower, upper, is_found = _between_integers(tail, level, lower, upper, is_found)
    rows = np.flatnonzero(~is_found & (upper > lower))
    if len(rows) == 0 or not tail.block.is_smooth:
        return upper
    some = tail if len(rows) == len(level) else tail.take(rows)
    level, start = level[rows], bracket.start[rows]
    out = upper.copy()
    out[rows] = _solve(some, level, *_finite(some, level, lower[rows], upper[rows]), start)
    return out


def _between_atoms(tail: Tail, level: Array, bracket: Bracket) -> tuple[Array, Array, Array]:
    """Move the ends to atoms; say where one of them is the quantile, which is then ``upper``."""
    lower, upper = bracket.lower, bracket.upper
    is_found = np.zeros(len(level), dtype=bool)
    for atom in tail.block.atoms:
        y = np.full(len(level), atom)
        at, before = tail.probability(y), tail.before(y)
        is_above = tail.reaches(before, level)  # the quantile lies below the atom
        is_here = tail.reaches(at, level) & ~is_above
        upper = np.where(~is_found & (is_above | is_here), np.minimum(upper, atom), upper)
        lower = np.where(~is_found & ~is_above & ~is_here, np.maximum(lower, atom), lower)
        upper = np.where(is_here & ~is_found, atom, upper)
        is_found |= is_here
    return np.minimum(lower, upper), upper, is_found


def _between_integers(
    tail: Tail, level: Array, lower: Array, upper: Array, is_found: Array
) -> tuple[Array, Array, Array]:
    """Move the ends to integers; say where one is the quantile, which is then ``upper``."""
    sign = -1.0 if tail.is_upper else 1.0
    least = tail.block.least_integer
    integer = least_integer(lambda y: sign * tail.probability(y), sign * level, least, np.inf)
    if not tail.block.is_smooth:
        # An atom that is no integer may come first.
        return (
            lower,
            np.where(is_found, np.minimum(upper, integer), integer),
            np.ones_like(is_found),
        )
    is_above = tail.reaches(tail.before(integer), level)
    is_here = ~is_above & ~is_found
    one_less = np.where(integer > least, integer - 1.0, -np.inf)
    upper = np.where(is_found, upper, np.minimum(upper, integer))
    lower = np.where(is_found, lower, np.maximum(lower, one_less))
    return lower, np.where(is_here, integer, upper), is_found | is_here


def _finite(tail: Tail, level: Array, lower: Array, upper: Array) -> tuple[Array, Array]:
    """Replace infinite ends, of quantiles that a family cannot tell from them, by doubling."""
    is_open = ~np.isfinite(upper)
    below = np.where(np.isfinite(lower), lower, np.where(is_open, 0.0, upper))
    step = np.maximum(np.abs(below), 1.0)
    if is_open.any():
        upper = _expand(tail, level, np.where(is_open, below, upper), step, is_open, 1.0)
    is_open = ~np.isfinite(lower)
    if is_open.any():
        lower = _expand(tail, level, np.where(is_open, upper, lower), step, is_open, -1.0)
    return lower, upper


def _expand(
    tail: Tail, level: Array, start: Array, step: Array, is_open: Array, direction: float
) -> Array:
    """Move ends outwards by doubled steps until the quantile lies inside."""
    end = start
    for _ in range(_N_DOUBLINGS):
        if not is_open.any():
            break
        with np.errstate(over="ignore"):
            end = np.where(is_open, end + direction * step, end)
            step = 2.0 * step
        reaches = tail.reaches(tail.probability(end), level)
        is_open = is_open & np.isfinite(end) & (reaches != (direction > 0.0))
    return np.clip(end, -np.finfo(float).max, np.finfo(float).max)


class _Search(NamedTuple):
    """Where the rows of a search are.

    Parameters
    ----------
    rows : ndarray of int
        Their numbers in the result.
    level, lower, upper, y : ndarray of shape (rows,)
    previous : ndarray of shape (rows,)
        Length of the step that led to y.
    """

    rows: Array
    level: Array
    lower: Array
    upper: Array
    y: Array
    previous: Array

    def take(self, rows: Array) -> "_Search":
        return _Search(*(values[rows] for values in self))


def _solve(tail: Tail, level: Array, lower: Array, upper: Array, start: Array) -> Array:
    """Solve where the tail is continuous between finite ends."""
    # Families' quantile functions may be off in their last digits.
    lower = lower - _SLACK * np.minimum(np.abs(lower), upper - lower) - 2.0 * _EPSILON * abs(lower)
    upper = upper + _SLACK * np.minimum(np.abs(upper), upper - lower) + 2.0 * _EPSILON * abs(upper)
    is_inside = (start > lower) & (start < upper)
    y = np.where(is_inside, start, middle_of(lower, upper))
    out = upper.copy()
    at = _Search(np.arange(len(level)), level, lower, upper, y, upper - lower)
    is_open = np.ones(len(level), dtype=bool)
    for _ in range(_MOST_STEPS):
        at, found, is_done = _advance(tail, at)
        is_new = np.flatnonzero(is_open & is_done)
        out[at.rows[is_new]] = found[is_new]
        is_open[is_new] = False
        n_open = int(np.count_nonzero(is_open))
        if n_open == 0:
            break
        # Rows that are done cost no more evaluations; a few of them are not worth a copy.
        if n_open < _WORTH_A_COPY * len(is_open):
            left = np.flatnonzero(is_open)
            at, tail, is_open = at.take(left), tail.take(left), is_open[left]
    return out


def _advance(tail: Tail, at: _Search) -> tuple[_Search, Array, Array]:
    """Take one step; return also what would be the result, and where it is."""
    probability, density = tail.probability(at.y), tail.block.density(at.y)
    reaches = tail.reaches(probability, at.level)
    lower = np.where(reaches, at.lower, at.y)
    upper = np.where(reaches, at.y, at.upper)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        step = np.log(at.level / probability) * (probability / density)
    target = at.y - step if tail.is_upper else at.y + step
    size = np.abs(step)
    is_newton = (target > lower) & (target < upper) & (size <= 0.5 * at.previous)
    error = np.abs(probability - at.level)
    # What is left of an error is rounding of the tail itself where steps no longer shrink.
    allowed = np.where(is_newton, _TOLERANCE, _ROUNDING) * at.level
    is_solved = (error <= allowed) & (density > 0.0)
    is_solved |= size <= 2.0 * _EPSILON * np.abs(at.y)
    is_done, y, previous = is_solved, target, size
    others = np.flatnonzero(~is_newton)
    if len(others):
        below, above = lower[others], upper[others]
        middle = middle_of(below, above)
        y[others], previous[others] = middle, above - below
        is_done = is_solved.copy()
        is_done[others] |= ~((middle > below) & (middle < above))
    found = np.where(is_solved, at.y, upper)
    moved = at._replace(lower=lower, upper=upper, y=y, previous=previous)
    return moved, found, is_done
