"""A sample of the rows, on which the starts of a fit to many rows compete.

Which optimum a start leads to shows on some ten thousand rows as well as on a million. The
rows are drawn from strata of equal weight in the order of the data: a row of weight two is
drawn as two rows of weight one would be, and sorted or periodic data are met evenly.
"""

from dataclasses import replace

import numpy as np

from mixexp.data import Block, RowBlocks, cut_rows
from mixexp.em._problem import Problem

# Rows of a sample, at least, and rows per parameter.
_FEWEST_ROWS = 20_000
_ROWS_PER_PARAMETER = 20
# A sample is worth its trouble where there are so many times more rows.
_LEAST_RATIO = 2.5


def sample_problem(problem: Problem, rng: np.random.Generator) -> Problem:
    """Return the problem on a sample of its rows, or itself where it has too few for that.

    The sample has the weight of all rows, so that log-likelihoods estimate those of all rows
    and stand in the same proportion to the penalty.

    Parameters
    ----------
    problem : Problem
    rng : Generator
    """
    n_drawn = max(_FEWEST_ROWS, _ROWS_PER_PARAMETER * problem.model.n_parameters)
    if problem.n_rows < _LEAST_RATIO * n_drawn:
        return problem
    points = (np.arange(n_drawn) + rng.random(n_drawn)) * (problem.total_weight / n_drawn)
    drawn, reached, n_taken = [], 0.0, 0
    for block in problem.blocks:
        ends = reached + np.cumsum(block.weight)
        counts = np.diff(np.searchsorted(points, ends), prepend=n_taken)
        reached, n_taken = ends[-1], n_taken + int(counts.sum())
        drawn.append(_take_rows(block, np.flatnonzero(counts), counts, problem, n_drawn))
    whole = _join(drawn)
    blocks = [_take_columns(whole, rows) for rows in cut_rows(len(whole.weight))]
    features = [block.features for block in blocks]
    return replace(problem, blocks=RowBlocks(features.__getitem__, blocks))


def _take_rows(
    block: Block, rows: np.ndarray, counts: np.ndarray, problem: Problem, n_drawn: int
) -> Block:
    share = problem.total_weight / n_drawn
    return _take_columns(block, rows)._replace(weight=counts[rows] * share)


def _take_columns(block: Block, rows: np.ndarray | slice) -> Block:
    """Return some of a block's rows."""
    return Block(
        np.ascontiguousarray(block.features[:, rows]),
        block.weight[rows],
        tuple(np.ascontiguousarray(target[..., rows]) for target in block.targets),
        tuple(base[rows] if isinstance(base, np.ndarray) else base for base in block.bases),
        None if block.offset is None else block.offset[rows],
        None if block.trials is None else block.trials[rows],
    )


def _join(blocks: list[Block]) -> Block:
    """Put blocks together row by row."""
    first = blocks[0]
    weights = [block.weight for block in blocks]
    bases = []
    for parts in zip(*(block.bases for block in blocks), strict=True):
        spread = [np.broadcast_to(base, len(w)) for base, w in zip(parts, weights, strict=True)]
        bases.append(np.concatenate(spread))
    return Block(
        np.concatenate([block.features for block in blocks], axis=1),
        np.concatenate(weights),
        tuple(
            np.concatenate(parts, axis=-1)
            for parts in zip(*(block.targets for block in blocks), strict=True)
        ),
        tuple(bases),
        None if first.offset is None else np.concatenate([b.offset for b in blocks]),
        None if first.trials is None else np.concatenate([b.trials for b in blocks]),
    )
