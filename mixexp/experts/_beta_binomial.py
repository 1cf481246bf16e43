"""The distribution function of beta-binomial counts, and its inverse.

Of few trials it is a sum, from the count to the nearer end, by the ratio of neighbouring
probabilities. Of many it is the probability that of two beta variates the one with parameters a and
b is less than the one with parameters y + 1 and trials - y: an integral over the narrower of them.
"""

import numpy as np
from scipy.special import betainc, betaincc, betaincinv, betaln, gammaln, ndtr

from mixexp.experts._special import stirling_error

Trials = np.ndarray | float

# Up to here counts are added.
_MOST_ADDED = 1000.0
# Nodes of the trapezoid rule on a standard normal scale, which is exact to rounding for integrands
# that a variate of this spread sees as smooth.
_NODES = np.linspace(-8.4, 8.4, 113)


def split_trials(y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return successes and trials; one row of y means single trials."""
    return (y, np.ones_like(y)) if np.ndim(y) < 2 else (y[0], y[1])


def count_cdf(count: np.ndarray, trials: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the probability of at most so many successes.

    Parameters
    ----------
    count, trials : ndarray of shape (rows,)
    a, b : ndarray of shape (..., rows) or (..., 1)
        Parameters of the beta distribution that probabilities are drawn from.
    """
    count, trials, a, b = np.broadcast_arrays(np.floor(count), trials, a, b)
    out = np.where(count < 0.0, 0.0, 1.0)
    is_inside = (count >= 0.0) & (count < trials)
    is_few = is_inside & (trials <= _MOST_ADDED)
    for where, function in ((is_few, _added), (is_inside & ~is_few, _integrated)):
        if where.any():
            out[where] = function(count[where], trials[where], a[where], b[where])
    return out


def least_count(q: np.ndarray, trials: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the least count whose cdf reaches q."""
    q, trials, a, b = np.broadcast_arrays(q, trials, a, b)
    below, above = np.full(q.shape, -1.0), trials.astype(float)
    while np.any(above - below > 1.0):
        middle = np.floor(0.5 * (below + above))
        reaches = count_cdf(middle, trials, a, b) >= q
        above = np.where(reaches & (middle > below), middle, above)
        below = np.where(reaches, below, middle)
    return above


def _added(count: np.ndarray, trials: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    is_low = count <= trials * (a / (a + b))
    # Beyond the mean what is above it is added: failures, with the parameters exchanged.
    k = np.where(is_low, count, trials - count - 1.0)
    first, second = np.where(is_low, a, b), np.where(is_low, b, a)
    tail = np.minimum(_probability(k, trials, first, second) * _terms(k, trials, first, second), 1)
    return np.where(is_low, tail, 1.0 - tail)


def _probability(k: np.ndarray, trials: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    ways = -np.log1p(trials) - betaln(trials - k + 1.0, k + 1.0)
    return np.exp(ways + _log_rise(a, k) + _log_rise(b, trials - k) - _log_rise(a + b, trials))


def _log_rise(a: np.ndarray, k: np.ndarray) -> np.ndarray:
    """Return ``log(Gamma(a + k) / Gamma(a))``."""
    small, large = np.minimum(a, 1.0), np.maximum(a, 1.0)
    held = np.maximum(k, 1.0)
    of_small = np.log(small) + gammaln(small + held) - gammaln(small + 1.0)
    errors = stirling_error(large + k) - stirling_error(large)
    of_large = k * (np.log(large) - 1.0) + (large + k - 0.5) * np.log1p(k / large) + errors
    return np.where(k == 0.0, 0.0, np.where(a < 1.0, of_small, of_large))


def _terms(k: np.ndarray, trials: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the sum of the probabilities of 0 ... k over that of k."""
    term, total, j = np.ones_like(a), np.ones_like(a), k.copy()
    while np.any(j > 0.0):
        held = np.maximum(j, 1.0)
        fall = (
            held
            / (trials - held + 1.0)
            * ((b + trials - held) / np.maximum(a + held - 1.0, 1e-300))
        )
        term = np.where(j > 0.0, term * fall, 0.0)
        total += term
        j -= 1.0
    return total


def _integrated(count: np.ndarray, trials: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    # One less the variates where that is smaller, for digits next to 1 are of 1e-16.
    own, other = count + 1.0, trials - count
    is_narrow = a + b > trials
    is_high = np.where(is_narrow, a > b, own > other)
    own, other = np.where(is_high, other, own), np.where(is_high, own, other)
    a, b = np.where(is_high, b, a), np.where(is_high, a, b)
    total = np.zeros_like(a)
    for z in _NODES:
        weight = (_NODES[1] - _NODES[0]) * np.exp(-0.5 * z * z) / np.sqrt(2.0 * np.pi)
        where = np.where(is_narrow, _variate(a, b, z), _variate(own, other, z))
        of_mean = np.where(is_narrow, betaincc(own, other, where), betainc(a, b, where))
        total += weight * of_mean
    total = np.clip(total, 0.0, 1.0)
    return np.where(is_high, 1.0 - total, total)


def _variate(a: np.ndarray, b: np.ndarray, z: float) -> np.ndarray:
    """Return the quantile of a beta distribution at a level on the normal scale."""
    found = betaincinv(a, b, float(ndtr(z)))
    # Parameters of 1e70, for which SciPy has none: next to the mean.
    return np.where(np.isnan(found), a / (a + b), found)
