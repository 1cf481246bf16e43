"""The continuous ranked probability score of a mixture.

``E|Y - y| - E|Y - Y'| / 2`` with Y and Y' independent, which is the integral of
``(cdf(t) - (t >= y))**2``. Gneiting & Raftery (2007), eqs. 20 and 21.
"""

from itertools import combinations, pairwise

import numpy as np

from mixexp.distribution._block import BlockMixture, over_columns
from mixexp.distribution._family import FamilyBlock
from mixexp.distribution._nodes import expert_nodes, row_chunks
from mixexp.distribution._quantile import mixture_quantile
from mixexp.distribution._values import Cells, integer_cells

Array = np.ndarray

_HALF = (1e-12, 1e-9, 1e-7, 1e-5, 1e-4, 1e-3, 0.01, 0.05, 0.15, 0.3)
_LEVELS = (0.0, *_HALF, 0.5, *(1.0 - level for level in _HALF), 1.0)
_N_NODES = 10


def mixture_crps(block: BlockMixture, y: Array) -> Array:
    """Return the score at y, shape (rows,)."""
    if _has_closed_form(block):
        return _closed_form(block, y)
    if not block.is_smooth and all(at.is_integer() for at in block.atoms):
        return _summed(block, y)
    return _integrated(block, y)


# Closed forms.


def _has_closed_form(block: BlockMixture) -> bool:
    """Whether the mean distance of any two experts is known."""
    with_distance = [f for f in block.families if f.family.has_mean_distance]
    return len(with_distance) <= 1 and all(
        f.family.has_mean_distance or f.is_point for f in block.families
    )


def _closed_form(block: BlockMixture, y: Array) -> Array:
    experts = block.experts_by_leaf()
    distance = np.zeros(block.n_rows)
    for leaf, expert in experts.items():
        distance += block.weight[leaf] * _distance_to(expert, y)
        distance -= 0.5 * block.weight[leaf] ** 2 * _distance_between(expert, expert)
    for first, second in combinations(sorted(experts), 2):
        both = block.weight[first] * block.weight[second]
        distance -= both * _distance_between(experts[first], experts[second])
    return np.maximum(distance, 0.0)


def _distance_to(expert: FamilyBlock, y: Array) -> Array:
    """Return ``E|Y - y|``."""
    return (2.0 * expert.expected_excess(y) - (expert.mean() - y))[0]


def _distance_between(first: FamilyBlock, second: FamilyBlock) -> Array | float:
    """Return ``E|Y - Y'|`` of independent draws of two experts."""
    if first.is_point and second.is_point:
        return abs(first.family.atoms[0] - second.family.atoms[0])
    if first.is_point or second.is_point:
        point, other = (first, second) if first.is_point else (second, first)
        return _distance_to(other, np.array(point.family.atoms))
    return first.group.scale * first.family.mean_distance(first.heads, second.heads)[0]


# Sums over counts.


def _summed(block: BlockMixture, y: Array) -> Array:
    found, start = [], 0
    # Row by row in chunks, because a row may have many values.
    cells = integer_cells(block)
    for part in row_chunks(block, 64):
        rows = slice(start, start + part.n_rows)
        own = Cells(cells.first[rows], cells.width[rows], cells.n_cells)
        found.append(_sum_over_cells(part, own, y[rows]))
        start += part.n_rows
    return np.concatenate(found)


def _sum_over_cells(block: BlockMixture, cells: Cells, y: Array) -> Array:
    """Add what lies between neighbouring steps of the distribution function.

    Between them it is constant, so that y, which need not be an integer, cuts one step in two.
    """
    first, width = cells.first, cells.width
    # Before the first step nothing, after the last one everything is reached.
    total = np.maximum(first - y, 0.0)
    total += np.maximum(y - cells.lower(cells.n_cells), 0.0)
    for at in range(cells.n_cells):
        left = first + width * at
        right = left + width
        middle = left + np.floor(0.5 * (width - 1.0))
        reached, beyond = block.cdf(middle), block.survival(middle)
        below = np.clip(y - left, 0.0, width)
        total += below * reached**2 + (right - left - below) * beyond**2
    return total


# Quadrature.


def _integrated(block: BlockMixture, y: Array) -> Array:
    found, start = [], 0
    for part in row_chunks(block, 2 * len(_LEVELS) * len(block.weight)):
        rows = slice(start, start + part.n_rows)
        found.append(_integrate(part, y[rows]))
        start += part.n_rows
    return np.concatenate(found)


def _integrate(block: BlockMixture, y: Array) -> Array:
    """Integrate between the experts' quantiles, on a scale that follows the tails."""
    edges = _edges(block, y)
    middle = mixture_quantile(block, np.full(block.n_rows, 0.5))
    spread = _spread(block)
    ends = np.arcsinh((edges - middle) / spread)
    at, weight = np.polynomial.legendre.leggauss(_N_NODES)
    total = np.zeros(block.n_rows)
    for lower, upper in pairwise(ends):
        half = 0.5 * (upper - lower)[:, None]
        if not half.any():
            continue
        s = lower[:, None] + half * (1.0 + at)
        t = middle[:, None] + spread[:, None] * np.sinh(s)
        # y is an edge, so that no cell has it inside.
        tail = np.where(
            t < y[:, None],
            over_columns(BlockMixture.cdf, block, t),
            over_columns(BlockMixture.survival, block, t),
        )
        for node, share in enumerate(weight):
            inside = np.cosh(s[:, node]) * tail[:, node] ** 2
            total += share * half[:, 0] * spread * inside
    return total


def _edges(block: BlockMixture, y: Array) -> Array:
    """Return y, atoms and quantiles of all experts, ascending, shape (n_edges, rows)."""
    edges = [y[None], *(np.full((1, block.n_rows), at) for at in block.atoms)]
    if block.is_smooth:
        edges.append(expert_nodes(block.smooth_part(), _LEVELS))
    if block.has_integers:
        cells = integer_cells(block.integer_part())
        edges.append(cells.lower(np.arange(cells.n_cells)[:, None]))
    return np.sort(np.concatenate(edges), axis=0)


def _spread(block: BlockMixture) -> Array:
    """Return the distance of the quartiles of the widest expert, 1 where that is 0."""
    upper, lower = np.full(block.n_rows, 0.75), np.full(block.n_rows, 0.25)
    spread = np.max(
        [
            mixture_quantile(expert, upper) - mixture_quantile(expert, lower)
            for expert in block.experts()
        ],
        axis=0,
    )
    return np.where(spread > 0.0, spread, 1.0)
