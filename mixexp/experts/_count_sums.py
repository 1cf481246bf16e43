"""Sums of the probabilities of counts, from one count to the end of the support.

Counts are added in panels of 16, 32, 64, ... of them. Of a long panel 16 points are looked at: a
Gauss rule for sums over integers, which is exact for polynomials up to degree 31. Its points are
zeros of the discrete Chebyshev polynomials (Abramowitz & Stegun 1964, section 22.17).
"""

from collections.abc import Callable
from functools import cache

import numpy as np

Heads = tuple[np.ndarray, ...]

_N_NODES = 16
# From here on the rule is that of an integral to rounding, and grows in proportion.
_LONGEST_EXACT = 24
# Panels that add less than this share of the sum are the last, and as many as there can be.
_NEGLIGIBLE = 1e-17
_MOST_PANELS = 1000
# Of the least positive float, rounded down.
_LEAST_LOG = -746.0


def sum_outwards(
    log_probability: Callable[[np.ndarray, Heads], np.ndarray],
    smooth_over: Callable[[np.ndarray, Heads], np.ndarray],
    first: np.ndarray,
    heads: Heads,
    is_down: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Add probabilities of counts from a first one on, away from the mean.

    Parameters
    ----------
    log_probability : callable
        Of counts, which need not be whole, and heads.
    smooth_over : callable
        How many counts from one on, in either direction, the probability is smooth over.
    first : ndarray of shape (n,)
        First counts.
    heads : tuple of ndarray of shape (n,)
    is_down : ndarray of bool of shape (n,)
        Whether to add the counts from the first one down to 0, or upwards without end.

    Returns
    -------
    total, distance : ndarray of shape (n,)
        Sums of probabilities, and of these times the distance from the first count.

    Notes
    -----
    Costs 16 probabilities for each panel: some ten for what lies within nine standard deviations,
    and one more for each doubling or so of the count in a long tail.
    """
    total, distance = np.zeros(first.shape), np.zeros(first.shape)
    at, sign = first.astype(float), np.where(is_down, -1.0, 1.0)
    left = np.flatnonzero(~is_down | (first >= 0.0))
    no_count = np.zeros((len(first), 1))
    at_zero = log_probability(no_count, tuple(head[:, None] for head in heads))
    has_zeros = at_zero[:, 0] > _LEAST_LOG
    for _ in range(_MOST_PANELS):
        if not len(left):
            break
        of_left = tuple(head[left] for head in heads)
        steps, weights, size = _panels(smooth_over(at[left], of_left))
        counts = at[left, None] + sign[left, None] * steps
        is_inside = counts >= 0.0
        held = np.where(is_inside, counts, 0.0)
        log_mass = log_probability(held, tuple(head[:, None] for head in of_left))
        mass = np.where(is_inside, weights * np.exp(log_mass), 0.0)
        gain = mass.sum(axis=1)
        total[left] += gain
        distance[left] += (mass * np.abs(held - first[left, None])).sum(axis=1)
        at[left] += sign[left] * size
        # Down to a mode at 0 probabilities rise, also from where they are less than any number.
        is_rising = is_down[left] & (log_mass[:, -1] >= log_mass[:, 0]) & has_zeros[left]
        left = left[((gain > _NEGLIGIBLE * total[left]) | is_rising) & (at[left] >= 0.0)]
    return total, distance


def _panels(smooth_over: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return points from 0 on, their weights, and the number of counts, for each panel."""
    doublings = np.floor(np.log2(np.maximum(smooth_over / _N_NODES, 1.0)))
    level = np.minimum(doublings, _LONGEST_EXACT).astype(np.intp)
    points, weights = _rules()
    growth = np.exp2(doublings - level)
    size = _N_NODES * np.exp2(doublings)
    middle = 0.5 * (size - 1.0)
    away = points[level] * growth[:, None]
    whole = np.arange(float(_N_NODES))
    steps = np.where(doublings[:, None] == 0.0, whole, middle[:, None] + away)
    return steps, weights[level] * size[:, None], size


@cache
def _rules() -> tuple[np.ndarray, np.ndarray]:
    """Return points about the middle, and weights that add up to one, by number of doublings."""
    points, weights = [], []
    for doublings in range(_LONGEST_EXACT + 1):
        n, k = _N_NODES * 2.0**doublings, np.arange(1.0, _N_NODES)
        # Three-term recurrence of the polynomials, as a symmetric matrix (Golub & Welsch 1969).
        off = np.sqrt(k * k * (n * n - k * k) / (4.0 * (4.0 * k * k - 1.0)))
        values, vectors = np.linalg.eigh(np.diag(off, 1) + np.diag(off, -1))
        points.append(values)
        weights.append(vectors[0] ** 2)
    # Sixteen counts are added as they are.
    weights[0] = np.full(_N_NODES, 1.0 / _N_NODES)
    return np.array(points), np.array(weights)
