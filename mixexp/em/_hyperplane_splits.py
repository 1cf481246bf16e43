"""Cuts of rows in two, at quantiles of directions in the space of features and residuals."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mixexp.data import DenseDesign, Design, RowBlocks, RowGradients
from mixexp.tree import GatingTree

# Directions of either kind that are tried for a cut.
_N_CANDIDATES = 5
# Cumulative weights that should be equal differ by rounding.
_SLACK = 1e-9
# The squared mean size of a normal variable, as a share of its mean square.
_NORMAL_SHARE = 2.0 / np.pi


class Cut(NamedTuple):
    """Two sides of some rows, and how much a model's coefficients differ between them.

    Parameters
    ----------
    is_above : ndarray of shape (rows,), bool
    instability : float
        Some number of coefficients where one model holds on both sides.
    """

    is_above: np.ndarray
    instability: float


class Halving(NamedTuple):
    """A cut of some leaves' rows in two, on their way down the tree.

    Parameters
    ----------
    below, above : int
        First leaf of those whose rows are to be below the cut, and above it.
    share : float
        Of the weight, that is to be below.
    """

    below: int
    above: int
    share: float


def halvings_of(tree: GatingTree) -> list[Halving]:
    """Return the cuts that hand rows down a tree: lists of siblings are halved to single nodes."""
    found, waiting = [], [[0]]
    while waiting:
        nodes = waiting.pop()
        while len(nodes) == 1 and tree.n_children[nodes[0]] > 0:
            first = int(tree.first_child[nodes[0]])
            nodes = list(range(first, first + int(tree.n_children[nodes[0]])))
        if len(nodes) == 1:
            continue
        half, n_leaves = len(nodes) // 2, tree.covers[nodes].sum(axis=1)
        below, above = tree.first_leaf[nodes[0]], tree.first_leaf[nodes[half]]
        share = n_leaves[:half].sum() / n_leaves.sum()
        found.append(Halving(int(below), int(above), float(share)))
        waiting += [nodes[half:], nodes[:half]]
    return found


class Directions(NamedTuple):
    """Random directions that the rows are cut along, one for each halving.

    Parameters
    ----------
    angle : float
        Between directions of features, 0, and of residuals, half of pi.
    features : ndarray of shape (n_cuts, 1 + p)
    residuals : ndarray of shape (n_cuts, n_heads)
    """

    angle: float
    features: np.ndarray
    residuals: np.ndarray


def draw_directions(
    rngs: Sequence[np.random.Generator],
    angles: Sequence[float | None],
    n_cuts: int,
    n_features: int,
    n_heads: int,
) -> list[Directions]:
    """Draw directions for some cuts from each generator, at one angle: a random one if it is None.

    Parameters
    ----------
    rngs : sequence of Generator
    angles : sequence of float or None
    n_cuts, n_features, n_heads : int
    """
    out = []
    for rng, angle in zip(rngs, angles, strict=True):
        drawn = float(rng.uniform(0.0, 0.5 * np.pi)) if angle is None else angle
        both = rng.standard_normal((n_cuts, n_features + n_heads))
        both[:, 0] = 0.0  # the intercept is the same for all
        out.append(Directions(drawn, both[:, :n_features], both[:, n_features:]))
    return out


def labels_by_cuts(
    blocks: RowBlocks,
    scores: np.ndarray,
    weight: np.ndarray,
    halvings: Sequence[Halving],
    directions: Sequence[Directions],
) -> list[np.ndarray]:
    """Hand rows down the tree, along some directions each time.

    Parameters
    ----------
    blocks : RowBlocks
    scores : ndarray of shape (n_heads, n_rows)
    weight : ndarray of shape (n_rows,)
    halvings : sequence of Halving
        From the root down.
    directions : sequence of Directions

    Returns
    -------
    list of ndarray of shape (n_rows,), int
        A leaf for each row, by directions.
    """
    across = project_features(blocks, np.concatenate([own.features for own in directions]))
    stacked = np.concatenate([own.residuals for own in directions])
    along = DenseDesign(scores).predict_each(stacked)
    out, first = [], 0
    for own in directions:
        labels = np.zeros(len(weight), dtype=np.int64)
        for at, halving in enumerate(halvings, start=first):
            rows = np.flatnonzero(labels == halving.below)
            if len(rows) == 0:
                continue
            places, own_weight = np.stack([across[at, rows], along[at, rows]]), weight[rows]
            # Both centred and scaled to unit weighted variance.
            places -= np.average(places, axis=1, weights=own_weight)[:, None]
            spread = np.sqrt(np.average(places**2, axis=1, weights=own_weight))[:, None]
            places /= np.where(spread > 0.0, spread, 1.0)
            values = np.cos(own.angle) * places[0] + np.sin(own.angle) * places[1]
            labels[rows[is_above_quantile(values, own_weight, halving.share)]] = halving.above
        first += len(halvings)
        out.append(labels)
    return out


def least_stable_cut(
    design: Design,
    gradients: Sequence[RowGradients],
    weight: np.ndarray,
    share: float,
    rng: np.random.Generator,
) -> Cut:
    """Return the cut, of a few random ones, across which coefficients differ most.

    Parameters
    ----------
    design : Design of shape (p, rows)
    gradients : sequence of RowGradients
        Score times features, per head.
    weight : ndarray of shape (rows,)
    share : float
        Of the weight, that is to be below the cut.
    rng : Generator
    """
    best = Cut(np.zeros(len(weight), dtype=bool), -1.0)
    for coef in _candidates(design.shape[0], rng):
        along = design.predict_each(coef[None])[0]
        is_above = is_above_quantile(along, weight, share)
        instability = sum(_mean_difference(g, weight, is_above) for g in gradients)
        if instability > best.instability:
            best = Cut(is_above, instability)
    return best


def cut_at_median(scores: np.ndarray, weight: np.ndarray) -> Cut:
    """Cut rows in halves of low and of high scores.

    Scores of two regimes that one expert stands between have two modes: then their mean size comes
    near their root mean square. So instability is the weight times how much the square of the
    former exceeds its share of the latter in a normal distribution.
    """
    is_above = is_above_quantile(scores, weight, 0.5)
    sizes = np.abs(scores)
    sizes /= max(float(sizes.max(initial=0.0)), np.finfo(float).tiny)  # squares of any unit
    total = float(weight.sum())
    if total == 0.0:
        return Cut(is_above, 0.0)
    own = weight / total  # squares of tiny weights are zero
    square = float(own @ sizes**2)
    share = float(own @ sizes) ** 2 / square if square > 0.0 else _NORMAL_SHARE
    return Cut(is_above, total * (share - _NORMAL_SHARE))


def _candidates(n_features: int, rng: np.random.Generator) -> np.ndarray:
    """Return directions, half along single features, half oblique, none along the intercept."""
    coefs = rng.standard_normal((2 * _N_CANDIDATES, n_features))
    coefs[:, 0] = 0.0
    if n_features > 1:
        single = rng.integers(1, n_features, _N_CANDIDATES)
        coefs[:_N_CANDIDATES] = np.eye(n_features)[single]
    return coefs


def _mean_difference(gradients: RowGradients, weight: np.ndarray, is_above: np.ndarray) -> float:
    """Return the squared difference of two sides' means, in units of its variance."""
    above, below = weight * is_above, weight * ~is_above
    if not above.any() or not below.any():
        return 0.0
    difference = gradients.total(above / above.sum() - below / below.sum())
    spread = gradients.square_total(weight) / weight.sum()
    share = above.sum() * below.sum() / weight.sum()
    return float(share * (difference**2 / np.maximum(spread, np.finfo(float).tiny)).sum())


def project_features(blocks: RowBlocks, directions: np.ndarray) -> np.ndarray:
    """Project all rows, or their groups' means, on directions of features, by blocks.

    Parameters
    ----------
    blocks : RowBlocks
    directions : ndarray of shape (m, 1 + p)
        Zero at the intercept, which is the same for all.

    Returns
    -------
    ndarray of shape (m, n_rows)
    """
    parts = [block.features.predict_each(directions) for block in blocks]
    return blocks.group_means(np.concatenate(parts, axis=-1))


def is_above_quantile(values: np.ndarray, weight: np.ndarray, share: float) -> np.ndarray:
    """Tell which values exceed the weighted quantile; equal values are never parted."""
    if len(values) == 0:
        return np.zeros(0, dtype=bool)
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weight[order])
    at = np.searchsorted(reached, share * reached[-1] * (1.0 - _SLACK))
    return values > values[order[min(at, len(values) - 1)]]
