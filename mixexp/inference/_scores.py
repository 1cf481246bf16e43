"""Scores of rows, and the sums of their outer products.

Fisher's identity: the score of a row is the expectation, over leaves under their
responsibilities, of the complete-data scores that the observed information is made of too.
"""

from collections.abc import Iterator
from functools import partial, reduce

import numpy as np
from scipy import sparse

from mixexp.data import Block, run_blocks
from mixexp.em import Problem
from mixexp.model import Model, Parameters, complete_scores, window_block

# Complete-data scores that are formed at a time, heads times leaves times rows: 8 MB.
_MOST_SCORES = 1 << 20
_FEWEST_ROWS = 256


def row_scores(model: Model, params: Parameters, block: Block) -> np.ndarray:
    """Return the gradient of each row's log density in the flat vector, (n_flat, rows).

    Without the sample weights. O(rows * (n_heads * n_leaves + n_flat)).

    Parameters
    ----------
    model : Model
    params : Parameters
    block : Block
        With y.

    Returns
    -------
    ndarray of shape (n_flat, rows)
    """
    found, scores, _ = complete_scores(model, params, block)
    resp = found.node_resp[model.tree.leaves]
    out = spread_over_features(model, block, np.einsum("hkr,kr->hr", scores, resp))
    window = window_block(block)
    return out if window is None else out - row_scores(model, params, window)


def spread_over_features(model: Model, block: Block, by_head: np.ndarray) -> np.ndarray:
    """Return derivatives in the flat vector from those in the heads.

    Parameters
    ----------
    model : Model
    block : Block
    by_head : ndarray of shape (n_heads, ..., rows)
        Heads in the order of the slots.

    Returns
    -------
    ndarray of shape (n_flat, ..., rows)
    """
    parts, at = [], 0
    for (n_heads, n_columns), design in zip(model.slot_shapes, model.slot_designs, strict=True):
        of_slot, features = by_head[at : at + n_heads], model.design(block, design).to_array()
        own = features.reshape(n_columns, *(1,) * (by_head.ndim - 2), -1)
        spread = of_slot[:, None] * own
        parts.append(spread.reshape(n_heads * n_columns, *by_head.shape[1:]))
        at += n_heads
    return np.concatenate([by_head[:0], *parts])


def score_products(problem: Problem, params: Parameters) -> np.ndarray:
    """Return ``sum_i w_i s_i s_i'`` over rows, shape (n_flat, n_flat).

    A weight is a number of like rows, so it is not squared.

    Parameters
    ----------
    problem : Problem
    params : Parameters

    Returns
    -------
    ndarray of shape (n_flat, n_flat)
    """

    return problem.total(partial(_products_of_rows, params=params), np.add)


def _products_of_rows(problem: Problem, params: Parameters) -> np.ndarray:
    def of_block(block: Block) -> np.ndarray:
        return reduce(
            np.add,
            (
                (scores * piece.weight) @ scores.T
                for piece, scores in _pieces(problem, params, block)
            ),
        )

    return reduce(np.add, run_blocks(of_block, problem.held, problem.n_threads))


def class_products(problem: Problem, params: Parameters, are_counts: bool) -> np.ndarray:
    """Return `cluster_products` of what shares a class: groups of rows, or each row alone.

    Parameters
    ----------
    problem : Problem
    params : Parameters
    are_counts : bool

    Returns
    -------
    ndarray of shape (n_flat, n_flat)
    """
    return problem.total(
        partial(_products_of_classes, params=params, are_counts=are_counts), np.add
    )


def _products_of_classes(problem: Problem, params: Parameters, are_counts: bool) -> np.ndarray:
    return cluster_products(problem, params, problem.class_numbers, are_counts)


def cluster_products(
    problem: Problem, params: Parameters, clusters: np.ndarray, are_counts: bool = False
) -> np.ndarray:
    """Return ``sum_c (sum_i w_i s_i)(sum_i w_i s_i)'`` over clusters of rows.

    Parameters
    ----------
    problem : Problem
    params : Parameters
    clusters : ndarray of shape (n_rows,), int
        Numbers 0, 1, ... of the clusters.
    are_counts : bool
        Whether weights, the same within a cluster, are numbers of like clusters: not squared then.

    Returns
    -------
    ndarray of shape (n_flat, n_flat)

    Notes
    -----
    Holds a vector of length n_flat for every cluster of more than one row.
    """
    size = np.bincount(clusters)
    # Clusters of one row are done with at once: there may be as many as rows.
    place = np.where(size > 1, np.cumsum(size > 1) - 1, -1)
    totals = np.zeros((int((size > 1).sum()), problem.model.n_flat))
    products = np.zeros((problem.model.n_flat, problem.model.n_flat))
    for block, rows in zip(problem.held, problem.held.partition, strict=True):
        start = rows.start
        for piece, scores in _pieces(problem, params, block):
            scores *= np.sqrt(piece.weight) if are_counts else piece.weight
            at = place[clusters[start : start + len(piece.weight)]]
            alone = scores[:, at < 0]
            products += alone @ alone.T
            _add_to_clusters(totals, scores[:, at >= 0], at[at >= 0])
            start += len(piece.weight)
    return products + totals.T @ totals


def _add_to_clusters(totals: np.ndarray, scores: np.ndarray, at: np.ndarray) -> None:
    """Add scores (n_flat, rows) to the totals of their clusters, in place."""
    found, own = np.unique(at, return_inverse=True)
    n = len(at)
    members = sparse.csr_array((np.ones(n), (own, np.arange(n))), shape=(len(found), n))
    totals[found] += members @ scores.T


def _pieces(
    problem: Problem, params: Parameters, block: Block
) -> Iterator[tuple[Block, np.ndarray]]:
    """Yield parts of a block that are small enough for their complete-data scores, and scores."""
    model = problem.model
    n_heads = sum(rows for rows, _ in model.slot_shapes)
    size = max(_FEWEST_ROWS, _MOST_SCORES // (n_heads * model.tree.n_leaves))
    for rows in block.pieces(size):
        piece = block.take(rows)
        yield piece, row_scores(model, params, piece)
