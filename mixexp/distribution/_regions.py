"""Modes and highest-density regions.

A region of coverage c holds the y whose density is above a level, that at which their
probability is c: the smallest set that does. Hyndman (1996), Computing and graphing highest
density regions, Am. Statist. 50, section 2. Single values that have a probability are of no
length and come first.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from mixexp.distribution._block import BlockMixture, over_columns
from mixexp.distribution._nodes import expert_nodes, row_chunks
from mixexp.distribution._roots import Brackets, find_roots
from mixexp.distribution._values import MOST_CELLS, cell_masses, integer_cells

Array = np.ndarray

_HALF = (1e-12, 1e-8, 1e-5, 1e-3, 0.01, 0.03, 0.08, 0.15, 0.25, 0.35, 0.45)
_LEVELS = (0.0, *_HALF, 0.5, *(1.0 - level for level in _HALF), 1.0)
# Coverage is met to here: far below what any y could tell.
_COVERAGE_TOL = 1e-10
_LOG_DENSITY_TOL = 1e-13
# Differences of log densities that are rounding.
_FLAT = 1e-12
_GOLDEN = 0.5 * (np.sqrt(5.0) - 1.0)
_N_GOLDEN = 42


class Profile(NamedTuple):
    """The continuous part of a mixture, seen at nodes.

    Parameters
    ----------
    block : BlockMixture
        Experts that have a density.
    y : ndarray of shape (n_nodes, rows)
        Ascending.
    log_density : ndarray of shape (n_nodes, rows)
    """

    block: BlockMixture
    y: Array
    log_density: Array


def check_measure(block: BlockMixture) -> None:
    """Check that densities are comparable.

    Raises
    ------
    ValueError
        If some experts are of counts and others have a density.
    """
    if block.has_integers and block.is_smooth:
        raise ValueError(
            "Highest-density regions and modes need experts that are all of counts or all have "
            "a density, point masses aside; here they are mixed. Ask for kind='central'."
        )


def densest_regions(block: BlockMixture, coverage: float) -> Array:
    """Return highest-density regions, shape (rows, n_intervals, 2), filled up with NaN."""
    return _in_chunks(block, lambda part: _densest(part, coverage))


def mixture_modes(block: BlockMixture) -> Array:
    """Return modes, the highest first, shape (rows, n_modes), filled up with NaN."""
    return _in_chunks(block, _modes)


def _in_chunks(block: BlockMixture, function: Callable[[BlockMixture], Array]) -> Array:
    check_measure(block)
    return stack_padded([function(part) for part in row_chunks(block, n_region_nodes(block))])


def n_region_nodes(block: BlockMixture) -> int:
    """Return how many numbers per row a search for regions holds."""
    return len(_LEVELS) * len(block.weight) if block.is_smooth else MOST_CELLS


def stack_padded(parts: list[Array]) -> Array:
    """Stack arrays (rows, m, ...) along the rows, filled up with NaN to the largest m."""
    m = max(part.shape[1] for part in parts)
    out = np.full((sum(map(len, parts)), m, *parts[0].shape[2:]), np.nan)
    start = 0
    for part in parts:
        out[start : start + len(part), : part.shape[1]] = part
        start += len(part)
    return out


# Regions.


def _densest(block: BlockMixture, coverage: float) -> Array:
    if not block.is_smooth:
        return _densest_values(block, coverage)
    is_taken, left = _take_atoms(block, coverage)
    out = np.full((block.n_rows, 1, 2), np.nan)
    rows = np.flatnonzero(left > _COVERAGE_TOL)
    if len(rows):
        part = profile(block.take(rows))
        found = intervals_above(part, _level_of(part, left[rows]))
        out = np.full((block.n_rows, *found.shape[1:]), np.nan)
        out[rows] = found
    return _add_atoms(out, block.atoms, is_taken)


def _take_atoms(block: BlockMixture, coverage: float) -> tuple[Array, Array]:
    """Return which atoms belong to the region, (n_atoms, rows), and the coverage left."""
    if not block.atoms:
        return np.zeros((0, block.n_rows), dtype=bool), np.full(block.n_rows, coverage)
    mass = np.stack([block.mass(np.full(block.n_rows, at)) for at in block.atoms])
    order = np.argsort(-mass, axis=0, kind="stable")
    ordered = np.take_along_axis(mass, order, axis=0)
    before = np.cumsum(ordered, axis=0) - ordered
    is_taken = np.zeros(mass.shape, dtype=bool)
    np.put_along_axis(is_taken, order, (before < coverage) & (ordered > 0.0), axis=0)
    return is_taken, coverage - np.where(is_taken, mass, 0.0).sum(axis=0)


def _add_atoms(intervals: Array, atoms: tuple[float, ...], is_taken: Array) -> Array:
    """Add atoms that lie outside of the intervals, and sort each row."""
    for at, taken in zip(atoms, is_taken, strict=True):
        is_inside = np.any((intervals[..., 0] <= at) & (intervals[..., 1] >= at), axis=1)
        single = np.where((taken & ~is_inside)[:, None, None], at, np.full((1, 1, 2), np.nan))
        intervals = np.concatenate([intervals, single], axis=1)
    order = np.argsort(intervals[..., 0], axis=1)  # NaN comes last
    intervals = np.take_along_axis(intervals, order[..., None], axis=1)
    n_used = max(int(np.max(np.sum(np.isfinite(intervals[..., 0]), axis=1))), 1)
    return intervals[:, :n_used]


def profile(block: BlockMixture) -> Profile:
    """Evaluate the continuous part of a mixture at nodes, and where its density turns.

    Between these nodes the density rises or falls, so that a level is crossed once or never.
    """
    smooth = block.smooth_part()
    coarse = _evaluated(smooth, expert_nodes(smooth, _LEVELS))
    turns = [_turning_points(coarse, sign) for sign in (1.0, -1.0)]
    fine = _evaluated(smooth, np.concatenate(turns))
    y = np.concatenate([coarse.y, fine.y])
    order = np.argsort(y, axis=0, kind="stable")
    log_density = np.concatenate([coarse.log_density, fine.log_density])
    return Profile(
        smooth,
        np.take_along_axis(y, order, axis=0),
        np.take_along_axis(log_density, order, axis=0),
    )


def _evaluated(block: BlockMixture, y: Array) -> Profile:
    with np.errstate(divide="ignore"):
        return Profile(block, y, np.log(over_columns(BlockMixture.density, block, y.T)).T.copy())


def _turning_points(part: Profile, sign: float) -> Array:
    """Return maxima, or minima if the sign is -1, shape (n_turns, rows), filled up with nodes."""
    height = sign * np.maximum(part.log_density, -1e300)
    first, last, row = _summits(height)
    is_sharp = (first == last) & (first > 0) & (last < len(height) - 1)
    cell, row = first[is_sharp], row[is_sharp]
    if len(row) == 0:
        return part.y[:1]
    ends = part.y[cell - 1, row], part.y[cell, row], part.y[cell + 1, row]
    y = _refine(part.block.take(row), *ends, sign)
    order = np.lexsort((y, row))
    row, y = row[order], y[order]
    rank = np.arange(len(row)) - np.searchsorted(row, row)
    out = np.repeat(part.y[:1], int(rank.max()) + 1, axis=0)
    out[rank, row] = y
    return out


def _level_of(part: Profile, coverage: Array) -> Array:
    """Return the log density above which y has some probability, shape (rows,)."""

    def excess(rows: Array, level: Array) -> Array:
        return coverage_above(_take_profile(part, rows), level) - coverage[rows]

    total = _smooth_cdf(part.block, part.y[-1])
    rest = np.maximum(total - coverage, 1e-12)
    # Where the density is below a level, its probability is at most the level times the length,
    # and half of what is left out lies beyond these quantiles.
    tail = np.clip(0.25 * rest / np.maximum(total, 1e-300), 1e-12, 0.25)
    lower, upper = part.block.bracket(tail).lower, part.block.bracket(1.0 - tail).upper
    length = np.maximum(np.minimum(upper, part.y[-1]) - np.maximum(lower, part.y[0]), 1e-300)
    low = np.log(0.25 * rest / length)
    high = part.log_density.max(axis=0)
    low = np.minimum(low, high)
    rows = np.arange(len(coverage))
    # Nodes may lie beside a narrow peak; next to nothing is above a level a little higher.
    ends = excess(rows, low), np.minimum(excess(rows, high), 0.0)
    is_full = ends[0] <= 0.0
    brackets = Brackets(low, high, np.maximum(ends[0], 0.0), ends[1])
    found = find_roots(excess, brackets, _COVERAGE_TOL)[1]
    return np.where(is_full, low, found)


def _take_profile(part: Profile, rows: Array) -> Profile:
    return Profile(part.block.take(rows), part.y[:, rows], part.log_density[:, rows])


def coverage_above(part: Profile, level: Array) -> Array:
    """Return the probability of y whose log density is above a level, shape (rows,)."""
    row, y, is_start = _crossings(part, level)
    reached = _smooth_cdf(part.block.take(row), y) if len(row) else np.empty(0)
    total = np.bincount(row, np.where(is_start, -reached, reached), minlength=len(level))
    ends_above = part.log_density[-1] > level
    if ends_above.any():
        total = total + np.where(ends_above, _smooth_cdf(part.block, part.y[-1]), 0.0)
    return total


def intervals_above(part: Profile, level: Array) -> Array:
    """Return where the log density is above a level, shape (rows, n_intervals, 2)."""
    row, y, is_start = _crossings(part, level)
    begins = np.flatnonzero(part.log_density[0] > level)
    ends = np.flatnonzero(part.log_density[-1] > level)
    return assemble(
        (np.r_[begins, row[is_start]], np.r_[part.y[0, begins], y[is_start]]),
        (np.r_[row[~is_start], ends], np.r_[y[~is_start], part.y[-1, ends]]),
        len(level),
    )


def _crossings(part: Profile, level: Array) -> tuple[Array, Array, Array]:
    """Return row, y and whether an interval starts there, for every crossing of the level."""
    is_above = part.log_density > level
    row, cell = np.nonzero((is_above[1:] != is_above[:-1]).T)
    block, own = part.block.take(row), level[row]

    def height(number: Array, y: Array) -> Array:
        some = block if len(number) == len(row) else block.take(number)
        with np.errstate(divide="ignore"):
            return np.log(some.density(y)) - own[number]

    brackets = Brackets(
        part.y[cell, row],
        part.y[cell + 1, row],
        part.log_density[cell, row] - own,
        part.log_density[cell + 1, row] - own,
    )
    y = find_roots(height, brackets, _LOG_DENSITY_TOL)[1] if len(row) else np.empty(0)
    return row, y, ~is_above[cell, row]


def _smooth_cdf(block: BlockMixture, y: Array) -> Array:
    """Return the distribution function without what single values have."""
    total = block.cdf(y)
    for at in block.atoms:
        total = total - np.where(y >= at, block.mass(np.full(len(y), at)), 0.0)
    return total


def assemble(starts: tuple[Array, Array], ends: tuple[Array, Array], n_rows: int) -> Array:
    """Join starts and ends, each (row, y), into intervals, shape (n_rows, n_intervals, 2)."""
    n_intervals = max(int(np.bincount(starts[0], minlength=1).max()), 1)
    out = np.full((n_rows, n_intervals, 2), np.nan)
    for side, (row, y) in enumerate((starts, ends)):
        order = np.lexsort((y, row))
        row, y = row[order], y[order]
        first = np.searchsorted(row, row)
        out[row, np.arange(len(row)) - first, side] = y
    return out


# Counts.


def _densest_values(block: BlockMixture, coverage: float) -> Array:
    cells = integer_cells(block)
    mass = _with_fractions(block, cell_masses(block, cells))
    order = np.argsort(-mass, axis=0, kind="stable")
    ordered = np.take_along_axis(mass, order, axis=0)
    before = np.cumsum(ordered, axis=0) - ordered
    is_taken = np.zeros(mass.shape, dtype=bool)
    np.put_along_axis(is_taken, order, before < coverage - _COVERAGE_TOL, axis=0)
    inside = np.zeros((cells.n_cells + 2, block.n_rows), dtype=bool)
    inside[1:-1] = is_taken[: cells.n_cells]
    row, start = np.nonzero((inside[1:-1] & ~inside[:-2]).T)
    _, end = np.nonzero((inside[1:-1] & ~inside[2:]).T)
    first, width = cells.first[row], cells.width[row]
    ends = first + width * (end + 1) - 1.0
    intervals = assemble((row, first + width * start), (row, ends), block.n_rows)
    return _add_atoms(intervals, _fractions(block), is_taken[cells.n_cells :])


def _fractions(block: BlockMixture) -> tuple[float, ...]:
    """Return atoms that are no integers, which cells leave out."""
    return tuple(at for at in block.atoms if at != np.floor(at))


def _with_fractions(block: BlockMixture, mass: Array) -> Array:
    others = [block.mass(np.full(block.n_rows, at)) for at in _fractions(block)]
    return np.concatenate([mass, *(other[None] for other in others)])


# Modes.


def _modes(block: BlockMixture) -> Array:
    if not block.is_smooth:
        return _modal_values(block)
    part = profile(block)
    row, y, height = _peaks(part)
    atoms = np.array(block.atoms)
    mass = [block.mass(np.full(block.n_rows, at)) for at in block.atoms]
    at_row = [np.flatnonzero(own > 0.0) for own in mass]
    for at, own, rows in zip(atoms, mass, at_row, strict=True):
        # Above any density, in the order of their probability.
        row, y = np.r_[row, rows], np.r_[y, np.full(len(rows), at)]
        height = np.r_[height, 1e300 * own[rows]]
    return _ranked(row, y, height, block.n_rows)


def _peaks(part: Profile) -> tuple[Array, Array, Array]:
    """Return row, y and height of every local maximum of the density."""
    first, last, row = _summits(part.log_density)
    y = 0.5 * (part.y[first, row] + part.y[last, row])
    lower = part.y[np.maximum(first - 1, 0), row]
    upper = part.y[np.minimum(last + 1, len(part.y) - 1), row]
    y = _snap(y, lower, upper, part.y[0, row], part.y[-1, row])
    return row, y, np.exp(part.log_density[first, row])


def _summits(height: Array) -> tuple[Array, Array, Array]:
    """Return the first and last node of every local maximum, and its row."""
    with np.errstate(invalid="ignore"):
        slope = np.diff(height, axis=0, prepend=-np.inf, append=-np.inf)
    slope = np.where(np.isnan(slope) | (np.abs(slope) < _FLAT), 0.0, slope)
    direction = np.sign(slope)
    n = len(height)
    # The number of the next step that is not flat, at or after each.
    number = np.where(direction != 0.0, np.arange(n + 1)[:, None], n)
    following = np.minimum.accumulate(number[::-1], axis=0)[::-1]
    turns = np.take_along_axis(direction, following, axis=0)
    first, row = np.nonzero((direction[:-1] > 0.0) & (turns[1:] < 0.0))
    return first, following[first + 1, row] - 1, row


def _refine(block: BlockMixture, lower: Array, middle: Array, upper: Array, sign: float) -> Array:
    """Return the maximum of sign times the density between ends, by golden section."""
    inner, outer = upper - _GOLDEN * (upper - lower), lower + _GOLDEN * (upper - lower)
    at_inner, at_outer = sign * block.density(inner), sign * block.density(outer)
    for _ in range(_N_GOLDEN):
        is_left = at_inner > at_outer
        upper, lower = np.where(is_left, outer, upper), np.where(is_left, lower, inner)
        width = _GOLDEN * (upper - lower)
        new = np.where(is_left, upper - width, lower + width)
        at_new = sign * block.density(new)
        inner, outer = np.where(is_left, new, outer), np.where(is_left, inner, new)
        kept = np.where(is_left, at_inner, at_outer)
        at_inner, at_outer = np.where(is_left, at_new, kept), np.where(is_left, kept, at_new)
    found = 0.5 * (lower + upper)
    is_better = sign * block.density(found) >= sign * block.density(middle)
    return np.where(is_better, found, middle)


def _snap(y: Array, lower: Array, upper: Array, first: Array, last: Array) -> Array:
    """Move modes to the limit of y that the density rises to."""
    near = 1e-6 * (upper - lower)
    y = np.where((lower <= first) & (y - lower < near), lower, y)
    return np.where((upper >= last) & (upper - y < near), upper, y)


def _modal_values(block: BlockMixture) -> Array:
    cells = integer_cells(block)
    mass = cell_masses(block, cells)
    with np.errstate(divide="ignore"):
        first, last, row = _summits(np.log(mass))
    y = cells.first[row] + np.floor(cells.width[row] * 0.5 * (first + last))
    height = mass[first, row]
    for at in _fractions(block):
        own = block.mass(np.full(block.n_rows, at))
        rows = np.flatnonzero(own > 0.0)
        row, y = np.r_[row, rows], np.r_[y, np.full(len(rows), at)]
        height = np.r_[height, own[rows]]
    return _ranked(row, y, height, block.n_rows)


def _ranked(row: Array, y: Array, height: Array, n_rows: int) -> Array:
    """Return y by row, the highest first, filled up with NaN."""
    order = np.lexsort((y, -height, row))
    row, y = row[order], y[order]
    rank = np.arange(len(row)) - np.searchsorted(row, row)
    out = np.full((n_rows, max(int(rank.max(initial=0)) + 1, 1)), np.nan)
    out[row, rank] = y
    return out
