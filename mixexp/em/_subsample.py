"""A sample of the rows, on which the starts of a fit to many rows compete.

Which optimum a start leads to shows on some fifty thousand rows as well as on a million, if these
say enough: of 20 000 rows with 900 rare events in all, ten starts missed the best. The
rows are drawn from strata of equal weight in the order of the data: a row of weight two is
drawn as two rows of weight one would be, and sorted or periodic data are met evenly.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise

import numpy as np

from mixexp.data import (
    LARGE_BLOCK_ROWS,
    Block,
    Design,
    RowArguments,
    RowBlocks,
    as_array,
    sums_of_groups,
)
from mixexp.em._objective import Problem

# Rows of a sample, at least, and rows per parameter.
_FEWEST_ROWS = 50_000
_ROWS_PER_PARAMETER = 100
# Rows times coefficients times starts that `affordable_starts` allows: 50 starts of three experts
# on 442 rows by 10 features, 5 of eight on 20 000 by 20.
_AFFORDABLE_WORK = 3e7
_FEWEST_AND_MOST_STARTS = 5, 50
# A sample is worth its trouble where there are so many times more rows.
LEAST_RATIO = 2.5


def sample_problem(problem: Problem, rng: np.random.Generator) -> Problem:
    """Return the problem on a sample of its rows, or itself where it has too few for that.

    The sample has the weight of all rows, so that log-likelihoods estimate those of all rows
    and stand in the same proportion to the penalty.

    Parameters
    ----------
    problem : Problem
    rng : Generator
    """
    if problem.blocks.sample is not None:
        return replace(problem, blocks=problem.blocks.sample, whole=None)
    return draw_sample(problem, rng, drawn_rows(problem.model.n_parameters))


def draw_sample(
    problem: Problem, rng: np.random.Generator, n_drawn: int, least_ratio: float = LEAST_RATIO
) -> Problem:
    """Return the problem on so many of its rows, or itself where it has not many more.

    Parameters
    ----------
    problem : Problem
        With rows in memory.
    rng : Generator
    n_drawn : int
    least_ratio : float
        Times so many more rows that a sample is worth its trouble.
    """
    if problem.n_rows < least_ratio * n_drawn:
        return problem
    n_points = max(1, round(n_drawn * problem.n_classes / problem.n_rows))
    share = problem.total_gate_weight / n_points
    points = (np.arange(n_points) + rng.random(n_points)) * share
    drawn = draw_rows(problem.held, points, share)
    return problem if drawn is None else replace(problem, blocks=drawn, whole=None)


def draw_rows(
    blocks: RowBlocks, points: np.ndarray, share: float, reached: float = 0.0
) -> RowBlocks | None:
    """Return the rows that points in the cumulative weight of gates fall on; None if none.

    Parameters
    ----------
    blocks : RowBlocks
    points : ndarray of shape (n_points,)
        Rising, from ``reached`` on.
    share : float
        Weight that each point stands for.
    reached : float
        Weight of the rows before these.
    """
    taken, drawn, n_passed = [], [], 0
    for bare in blocks.without_features:
        ends = reached + np.cumsum(bare.gate_weight)
        counts = np.diff(np.searchsorted(points, ends), prepend=n_passed)
        reached, n_passed = ends[-1], n_passed + int(counts.sum())
        counts = sums_of_groups(counts, bare.group_starts)  # groups are drawn as a whole
        rows = np.flatnonzero(counts)
        taken.append(rows)
        drawn.append(bare.take(rows).reweighted(counts[rows] * share))
    if n_passed == 0:
        return None
    whole = _join(drawn)
    largest = max(len(bare.weight) for bare in blocks.without_features)
    size = largest if largest > LARGE_BLOCK_ROWS else None  # of sparse rows
    parts = [whole.take(rows) for rows in whole.pieces(size)]
    features = _take_features(blocks, taken, parts)
    return RowBlocks(features.__getitem__, parts)


def join_rows(parts: Sequence[RowBlocks]) -> RowBlocks:
    """Return the rows of all parts in one, which hold their features."""
    if len(parts) == 1:
        return parts[0]
    whole = _join([block for part in parts for block in part.without_features])
    if parts[0].has_groups:  # numbers of groups are those of a part
        sizes = [sum(len(block.weight) for block in part.without_features) for part in parts]
        tops = [
            1 + max(int(np.asarray(b.known.groups)[-1]) for b in p.without_features) for p in parts
        ]
        shift = np.repeat(np.cumsum([0, *tops[:-1]]), sizes)
        whole = whole._replace(known=whole.known._replace(groups=whole.known.groups + shift))
    designs = [block.features for part in parts for block in part]
    all_features = designs[0].join(designs[1:])
    cut = [whole.take(rows) for rows in whole.pieces(None)]
    ends = np.cumsum([0, *(len(block.weight) for block in cut)]).tolist()
    features = [all_features.take(slice(a, b)) for a, b in pairwise(ends)]
    return RowBlocks(features.__getitem__, cut)


def affordable_starts(problem: Problem) -> int:
    """Return how many starts the size of data and model allows, from 5 to 50.

    Together they pass over the rows, or a sample of them, some seconds long at most.

    Parameters
    ----------
    problem : Problem
    """
    model = problem.model.in_full
    n_rows = min(problem.n_rows, drawn_rows(model.n_parameters))
    work = n_rows * sum(rows * columns for rows, columns in model.slot_shapes)
    return int(np.clip(_AFFORDABLE_WORK // work, *_FEWEST_AND_MOST_STARTS))


def drawn_rows(n_parameters: int) -> int:
    """Return how many rows a sample has for a model of so many parameters."""
    return max(_FEWEST_ROWS, _ROWS_PER_PARAMETER * n_parameters)


def _join(blocks: list[Block]) -> Block:
    """Put blocks without features together row by row."""
    weights = [block.weight for block in blocks]
    bases = []
    for parts in zip(*(block.bases for block in blocks), strict=True):
        spread = [np.broadcast_to(base, len(w)) for base, w in zip(parts, weights, strict=True)]
        bases.append(np.concatenate(spread))
    return Block(
        blocks[0].features.join([block.features for block in blocks[1:]]),
        RowArguments.joined([block.known for block in blocks]),
        tuple(
            np.concatenate(parts, axis=-1)
            for parts in zip(*(block.targets for block in blocks), strict=True)
        ),
        tuple(bases),
        None if blocks[0].y is None else np.concatenate([np.asarray(b.y) for b in blocks]),
        window=None if blocks[0].window is None else _join([b.window for b in blocks if b.window]),
        outside=tuple(_join(list(same)) for same in zip(*(b.outside for b in blocks), strict=True)),
        read_raw=None if blocks[0].read_raw is None else partial(_read_all, blocks),
    )


def _read_all(blocks: list[Block]) -> np.ndarray:
    return np.concatenate([as_array(b.read_raw()) for b in blocks if b.read_raw is not None])


def _take_features(blocks: RowBlocks, taken: list[np.ndarray], parts: list[Block]) -> list[Design]:
    """Return the features of the sampled rows, cut as the parts are."""
    out: list[Design] = []
    pieces: list[Design] = []
    missing = len(parts[0].weight)
    for block, rows in zip(blocks, taken, strict=True):
        while len(rows):
            size = min(len(rows), missing)
            pieces.append(block.features.take(rows[:size]))
            rows, missing = rows[size:], missing - size
            if missing == 0:
                out.append(pieces[0].join(pieces[1:]))
                pieces = []
                missing = len(parts[len(out)].weight) if len(out) < len(parts) else 0
    return out
