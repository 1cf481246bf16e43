"""How far out y lies in a mixture, and the region that a score bounds.

Scores rise outwards, and the region of a score holds every y whose own is no larger: that is
all that split-conformal intervals ask. Where y has a probability of its own it counts in full,
so that ties are inside.
"""

import numpy as np

from mixexp.distribution._block import BlockMixture
from mixexp.distribution._nodes import row_chunks
from mixexp.distribution._quantile import Tail, tail_quantile, upper_quantile
from mixexp.distribution._regions import (
    check_measure,
    coverage_above,
    densest_regions,
    n_region_nodes,
    profile,
)
from mixexp.distribution._values import cell_masses, integer_cells

Array = np.ndarray

# Regions are made a little larger than their score, by more than quantiles are rounded.
_SLACK = 1e-9
# Densest regions of more than this have ends that are not told apart from the limits.
_LARGEST_COVERAGE = 1.0 - 1e-8


def central_score(block: BlockMixture, y: Array) -> Array:
    """Return the log of one over the smaller tail at y, y included; infinite outside."""
    tail = np.minimum(block.cdf(y), block.survival(y) + block.mass(y))
    with np.errstate(divide="ignore"):
        return -np.log(tail)


def central_region(block: BlockMixture, score: float) -> Array:
    """Return the ends between which both tails are large enough, shape (rows, 2)."""
    level = np.full(block.n_rows, min(np.exp(-score) * (1.0 - _SLACK), 0.5))
    if level[0] == 0.0:
        return np.tile([-np.inf, np.inf], (block.n_rows, 1))
    lower = tail_quantile(Tail(block, is_upper=False), level, block.bracket(level))
    return np.column_stack([lower, upper_quantile(block, level)])


def densest_score(block: BlockMixture, y: Array) -> Array:
    """Return the probability of all that is as dense as y or denser."""
    check_measure(block)
    found, start = [], 0
    for part in row_chunks(block, n_region_nodes(block)):
        own = y[start : start + part.n_rows]
        start += part.n_rows
        found.append(_densest_score(part, own) if part.is_smooth else _score_of_count(part, own))
    return np.minimum(np.concatenate(found), 1.0)


def _densest_score(block: BlockMixture, y: Array) -> Array:
    own = block.mass(y)
    masses = [block.mass(np.full(block.n_rows, at)) for at in block.atoms]
    larger = sum((np.where(mass >= own, mass, 0.0) for mass in masses), np.zeros(block.n_rows))
    part = profile(block)
    with np.errstate(divide="ignore"):
        level = np.log(part.block.density(y))
    # At a level of no density everything that has one is inside.
    is_outside = ~np.isfinite(level)
    above = coverage_above(part, np.where(is_outside, 0.0, level))
    return np.where(own > 0.0, larger, np.where(is_outside, 1.0, larger + above))


def _score_of_count(block: BlockMixture, y: Array) -> Array:
    cells = integer_cells(block)
    mass = cell_masses(block, cells)
    at = np.floor((y - cells.first) / cells.width)
    is_inside = (at >= 0.0) & (at < cells.n_cells)
    chosen = np.clip(at, 0.0, cells.n_cells - 1.0).astype(np.intp)
    own = np.take_along_axis(mass, chosen[None], axis=0)[0]
    total = np.where(mass >= own, mass, 0.0).sum(axis=0)
    return np.where(is_inside & (block.mass(y) > 0.0), total, 1.0)


def densest_region(block: BlockMixture, score: float) -> Array:
    """Return the densest region of that probability, shape (rows, n_intervals, 2)."""
    if score > _LARGEST_COVERAGE:
        return np.tile([-np.inf, np.inf], (block.n_rows, 1, 1))
    return densest_regions(block, score + _SLACK)
