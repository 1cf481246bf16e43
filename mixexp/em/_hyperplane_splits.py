"""Cuts of rows in two, at quantiles of directions in the space of features and residuals."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from mixexp.data import DenseDesign, Design, RowBlocks, RowGradients
from mixexp.model import batch_invariant_product

# Directions of either kind that are tried for a cut.
_N_CANDIDATES = 5
# Cumulative weights that should be equal differ by rounding.
_SLACK = 1e-9
# The squared mean size of a normal variable, as a share of its mean square.
_NORMAL_SHARE = 2.0 / np.pi

#: From the numbers of some rows, and the share of their weight that is to be below the cut, to
#: which of them are above.
Cutter = Callable[[np.ndarray, float], np.ndarray]


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


def cut_at_random(
    blocks: RowBlocks, scores: np.ndarray, weight: np.ndarray, rng: np.random.Generator
) -> Cutter:
    """Cut along directions between features and residuals, at one random angle for all."""
    return _cut_at(float(rng.uniform(0.0, 0.5 * np.pi)), blocks, scores, weight, rng)


def cut_by_residuals(
    blocks: RowBlocks, scores: np.ndarray, weight: np.ndarray, rng: np.random.Generator
) -> Cutter:
    """Cut along residuals alone."""
    return _cut_at(0.5 * np.pi, blocks, scores, weight, rng)


def _cut_at(
    angle: float,
    blocks: RowBlocks,
    scores: np.ndarray,
    weight: np.ndarray,
    rng: np.random.Generator,
) -> Cutter:
    def cut(rows: np.ndarray, share: float) -> np.ndarray:
        across = project_features(blocks, rng)[rows]
        along = batch_invariant_product(rng.standard_normal((1, len(scores))), DenseDesign(scores))[
            0, rows
        ]
        own = weight[rows]
        values = np.cos(angle) * _scaled(across, own) + np.sin(angle) * _scaled(along, own)
        return is_above_quantile(values, own, share)

    return cut


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
        along = batch_invariant_product(coef[None], design)[0]
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


def project_features(blocks: RowBlocks, rng: np.random.Generator) -> np.ndarray:
    """Project all rows, or their groups' means, on a random direction of features, by blocks."""
    coef = rng.standard_normal((1, blocks[0].features.shape[0]))
    coef[0, 0] = 0.0  # the intercept is the same for all
    parts = [batch_invariant_product(coef, block.features)[0] for block in blocks]
    return blocks.group_means(np.concatenate(parts))


def _scaled(projected: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Centre and scale to unit weighted variance."""
    if len(projected) == 0:
        return projected
    centred = projected - np.average(projected, weights=weight)
    spread = np.sqrt(np.average(centred**2, weights=weight))
    return centred / spread if spread > 0.0 else centred


def is_above_quantile(values: np.ndarray, weight: np.ndarray, share: float) -> np.ndarray:
    """Tell which values exceed the weighted quantile; equal values are never parted."""
    if len(values) == 0:
        return np.zeros(0, dtype=bool)
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weight[order])
    at = np.searchsorted(reached, share * reached[-1] * (1.0 - _SLACK))
    return values > values[order[min(at, len(values) - 1)]]
