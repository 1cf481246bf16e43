"""Negative binomial expert: counts that vary more than Poisson's.

With mean = ``exp(eta)``, dispersion = ``exp(log_dispersion)`` and size = 1 / dispersion,

``f(y) = Gamma(y + size) / (Gamma(size) y!) * (size / (size + mean))**size
* (mean / (size + mean))**y``, so that variance = mean + dispersion * mean**2 ("NB2").
Lawless (1987), Negative binomial and mixed Poisson regression, Can. J. Statist. 15.
"""

from typing import NamedTuple

import numpy as np
from scipy.special import betainc, betaincc

from mixexp.experts._base import Curvature, Derivatives, Heads
from mixexp.experts._fused import logistic_terms
from mixexp.experts._overdispersed import OverdispersedCount
from mixexp.experts._special import (
    digamma_gap,
    exponential_excess,
    log_excess,
    log_exponential_excess,
    scaled_digamma_gap,
    scaled_trigamma_gap,
    stirling_error_of_log,
)
from mixexp.links import capped_exp, logistic, safe_exp, softplus

_LEAST_SIZE = 1e-300
# Less is Poisson to all digits, whatever the mean.
_LEAST_LOG_DISPERSION = -340.0
# Log dispersions between which sums over the counts below y keep their digits, and means that no
# exponential cuts.
_USUAL_LOG_DISPERSIONS, _LARGEST_USUAL_LOG_MEAN = (-7.0, 7.0), 60.0
# A table has the first entries at least, as many as rows beyond these, and no more than the last
# limit, for its cost; larger counts on average have terms whose sums over rows lose digits.
_SHORTEST_TABLE, _LONGEST_TABLE, _LARGEST_USUAL_MEAN = 500, 4000, 200.0


class NegativeBinomial(OverdispersedCount):
    """Negative binomial expert; at its least dispersion, 1e-10, in effect Poisson.

    Parameters
    ----------
    link : {"log"}, default="log"
    dispersion : {"own", "shared"} or float, default="own"
        Whether every expert has a dispersion of its own, all have the same, or it is known.

    Notes
    -----
    The expected information of the dispersion is an infinite sum. EM steps use
    the smaller of two bounds instead (test_approximate_information_never_overshoots): its limit for
    large means times the squared share of the variance that is not Poisson's, and what
    ``trigamma(size) - trigamma(y + size) <= trigamma(size)`` for y > 0 makes of the sum.

    Examples
    --------
    >>> import numpy as np
    >>> heads = np.array([[0.0]]), np.array([[0.0]])
    >>> NegativeBinomial().log_density(np.array([2.0]), heads).round(4)
    array([[-2.0794]])
    """

    name = "negative_binomial"

    def log_kernel(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        # Loader's form: a deviance, and Stirling's errors of order one.
        log_dispersion = _held(heads[1])
        log_total = np.log(np.maximum(y, 1.0)) + _log_share(y, -log_dispersion)
        log_total = np.where(y == 0.0, -log_dispersion, log_total)
        errors = stirling_error_of_log(log_total) - stirling_error_of_log(-log_dispersion)
        scale = -0.5 * (log_dispersion + log_total)
        return errors + scale - self._half_deviance(y, heads[0], log_dispersion)

    def _half_deviance(
        self, y: np.ndarray, eta: np.ndarray, log_dispersion: np.ndarray
    ) -> np.ndarray:
        """Return ``y * log(y / mean) - (y + size) * log((y + size) / (mean + size))``."""
        size, log_odds = np.exp(-log_dispersion), eta + log_dispersion
        log_y = np.log(np.maximum(y, 1.0))
        log_ratio = np.where(y == 0.0, np.inf, eta - log_y)
        # Near the mean each logarithm less its linear part, which cancel: of second order.
        near = np.clip(log_ratio, -1.0, 1.0)
        grown = y * np.expm1(near) / np.maximum(y + size, _LEAST_SIZE)
        close = y * exponential_excess(near) + (y + size) * log_excess(grown, 1.0 + grown)
        away = y * softplus(-log_odds) + _expected(size, log_odds)
        away = (
            away - y * _log_share(y, -log_dispersion) - _expected(size, log_y + log_dispersion, y)
        )
        # Either loses digits of what it is made of: y * near**2, or size.
        is_close = (np.abs(log_ratio) < 1.0) & (y * near**2 < size)
        return np.where(is_close, close, away)

    def derivatives(self, y: np.ndarray, heads: Heads) -> Derivatives:
        score, share, size = self._location_terms(y, heads)
        log_odds = heads[0] + _held(heads[1])
        for_large = scaled_trigamma_gap(size)
        is_positive = -np.expm1(-_expected(size, log_odds))
        bound = np.maximum(is_positive * (size + for_large) - size * share, 0.0)
        curvature = {
            (0, 0): _information(size, log_odds),
            (1, 1): np.minimum(for_large * share**2, bound),
        }
        return Derivatives((score, self._dispersion_score(y, heads, size)), curvature)

    def evaluate(self, y: np.ndarray, heads: Heads) -> tuple[np.ndarray, Derivatives]:
        found = _usual_terms(y, heads)
        if found is None:
            return super().evaluate(y, heads)
        for_large = scaled_trigamma_gap(found.size)
        is_positive = -np.expm1(-found.log_of_none)
        bound = np.maximum(is_positive * (found.size + for_large) - found.information, 0.0)
        in_dispersion = np.minimum(for_large * found.share**2, bound)
        curvature = {(0, 0): found.information, (1, 1): in_dispersion}
        return found.log_kernel, Derivatives((found.score, found.in_dispersion), curvature)

    def _location_terms(
        self, y: np.ndarray, heads: Heads
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the score of the location, ``dispersion * mean / inflation`` and the size."""
        log_dispersion = _held(heads[1])
        size, log_odds = np.exp(-log_dispersion), heads[0] + log_dispersion
        share, rest = logistic(log_odds), logistic(-log_odds)
        log_ratio = heads[0] - np.log(np.maximum(y, 1.0))
        near = -y * np.expm1(np.clip(log_ratio, -1.0, 1.0)) * rest
        is_near = (np.abs(log_ratio) < 1.0) & (y > 0.0)
        return np.where(is_near, near, y * rest - _information(size, log_odds)), share, size

    def _dispersion_score(self, y: np.ndarray, heads: Heads, size: np.ndarray) -> np.ndarray:
        log_dispersion = _held(heads[1])
        # log of (y + size) / (mean + size).
        log_ratio = _expected(1.0, np.log(np.maximum(y, 1.0)) + log_dispersion, y)
        log_ratio = log_ratio - softplus(heads[0] + log_dispersion)
        gap = size * digamma_gap(np.maximum(y + size, _LEAST_SIZE))
        gap = np.where(y == 0.0, scaled_digamma_gap(size), gap)
        excess = capped_exp(log_exponential_excess(log_ratio) - log_dispersion)
        return excess + (gap - scaled_digamma_gap(size))

    def observed_curvature(self, y: np.ndarray, heads: Heads) -> Curvature:
        found = _usual_terms(y, heads)
        if found is not None:
            size, total = found.size, y + found.size
            below = np.arange(found.counts.max(initial=0) + 1.0) + size
            of_total = np.take((size / below) ** 2 * scaled_trigamma_gap(below), found.counts, -1)
            bend = found.score * found.score / total - scaled_trigamma_gap(size)
            return {
                (0, 0): total * found.spread,
                (0, 1): found.share * found.score,
                (1, 1): found.in_dispersion - (bend + of_total),
            }
        score, share, size = self._location_terms(y, heads)
        total = np.maximum(y + size, _LEAST_SIZE)
        in_location = (y + size) * (share * logistic(-heads[0] - _held(heads[1])))
        # size**2 * d2 log f / d size2, each term scaled before it can cancel or overflow.
        bend = score / total * score - scaled_trigamma_gap(size)
        of_total = np.where(y == 0.0, 1.0, size / total) ** 2 * scaled_trigamma_gap(y + size)
        in_dispersion = self._dispersion_score(y, heads, size) - (bend + of_total)
        return {(0, 0): in_location, (0, 1): share * score, (1, 1): in_dispersion}

    def variance(self, heads: Heads) -> np.ndarray:
        mean = self.mean(heads)
        return mean + safe_exp(heads[1]) * mean**2

    def cdf(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        odds, size = safe_exp(heads[1]) * self.mean(heads), safe_exp(-heads[1])
        count = np.maximum(np.floor(y), 0.0) + 1.0
        return np.where(y < 0.0, 0.0, betaincc(count, size, odds / (1.0 + odds)))

    def survival(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        return self._beyond(np.floor(y), heads, safe_exp(-heads[1]))

    def expected_excess(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        # Counts weighted by their size are such counts plus one, of a size larger by one.
        size, count = safe_exp(-heads[1]), np.floor(y)
        beyond = self.mean(heads) * self._beyond(count - 1.0, heads, size + 1.0)
        return np.maximum(beyond - y * self._beyond(count, heads, size), 0.0)

    def _beyond(self, count: np.ndarray, heads: Heads, size: np.ndarray) -> np.ndarray:
        """Return the probability of more than a count, with another size but the same odds."""
        odds = safe_exp(heads[1]) * self.mean(heads)
        inside = betainc(np.maximum(count, 0.0) + 1.0, size, odds / (1.0 + odds))
        return np.where(count < 0.0, 1.0, inside)

    def sample(self, heads: Heads, rng: np.random.Generator) -> np.ndarray:
        dispersion = safe_exp(heads[1])
        return rng.poisson(rng.gamma(1.0 / dispersion, dispersion * self.mean(heads))).astype(float)

    def dispersion_of(self, mean: float, variance: float) -> float:
        return (variance - mean) / mean**2


class _UsualTerms(NamedTuple):
    """What density and derivatives are made of where counts are few.

    Parameters
    ----------
    counts : ndarray of shape (rows,), int64
    size : ndarray of shape (..., 1)
    share, spread : ndarray
        ``dispersion * mean / (1 + dispersion * mean)``, and that times one less it.
    log_of_none : ndarray
        Minus the log probability of a count of 0.
    information : ndarray
        Of the location.
    score, in_dispersion : ndarray of shape (..., rows)
        Of location and log dispersion.
    log_kernel : ndarray of shape (..., rows)
    """

    counts: np.ndarray
    size: np.ndarray
    share: np.ndarray
    spread: np.ndarray
    log_of_none: np.ndarray
    information: np.ndarray
    score: np.ndarray
    in_dispersion: np.ndarray
    log_kernel: np.ndarray


def _usual_terms(y: np.ndarray, heads: Heads) -> _UsualTerms | None:
    """Return them, or None where sums over the counts below y are long, or lose digits."""
    log_mean, log_dispersion = heads
    low, high = _USUAL_LOG_DISPERSIONS
    is_usual = (
        log_dispersion.shape[-1] == 1
        and y.max(initial=0.0) <= min(_LONGEST_TABLE, max(_SHORTEST_TABLE, len(y)))
        and y.sum() <= _LARGEST_USUAL_MEAN * len(y)
        and low <= log_dispersion.min(initial=high)
        and log_dispersion.max(initial=low) <= high
        and np.abs(log_mean).max(initial=0.0) <= _LARGEST_USUAL_LOG_MEAN
    )
    if not is_usual:
        return None
    size, counts = np.exp(-log_dispersion), y.astype(np.int64)
    log_gammas, gap_of_digammas = _sums_over_counts(size, int(counts.max(initial=0)))
    log_odds = log_mean + log_dispersion
    minus_log, minus_share, spread = logistic_terms(np.zeros_like(y), log_odds)
    share = -minus_share[..., : log_odds.shape[-1]]
    log_of_none, information = -size * minus_log[..., : log_odds.shape[-1]], size * share
    score = y * (spread / share) - information
    in_dispersion = log_of_none - size * np.take(gap_of_digammas, counts, axis=-1) + score
    log_kernel = np.take(log_gammas, counts, axis=-1) + y * log_odds + (y + size) * minus_log
    return _UsualTerms(
        counts, size, share, spread, log_of_none, information, score, in_dispersion, log_kernel
    )


def _sums_over_counts(size: np.ndarray, largest: int) -> tuple[np.ndarray, np.ndarray]:
    """Return tables over y = 0, 1, ..., largest, (..., largest + 1), for sizes (..., 1).

    Returns
    -------
    log_gammas : ndarray
        ``log Gamma(y + size) - log Gamma(size)``, less what a deviance leaves of ``log y!``.
    gap_of_digammas : ndarray
        ``digamma(y + size) - digamma(size)``.
    """
    y = np.arange(largest + 1.0)
    below = y[:-1] + size
    tables = np.zeros((2, *size.shape[:-1], largest + 1))
    # Rounding of a running sum is the same for all rows of a count, and would add up over them.
    tables[0, ..., 1:] = np.cumsum(np.log(below), axis=-1, dtype=np.longdouble)
    tables[1, ..., 1:] = np.cumsum(1.0 / below, axis=-1, dtype=np.longdouble)
    tables[0] -= y * np.log(np.maximum(y, 1.0)) - y
    return tables[0], tables[1]


def _held(log_dispersion: np.ndarray) -> np.ndarray:
    return np.maximum(log_dispersion, _LEAST_LOG_DISPERSION)


def _log_share(y: np.ndarray, log_size: np.ndarray) -> np.ndarray:
    """Return ``log((y + size) / y)``, 0 where y is 0."""
    return np.where(y == 0.0, 0.0, softplus(log_size - np.log(np.maximum(y, 1.0))))


def _expected(
    size: np.ndarray | float, log_odds: np.ndarray, y: np.ndarray | float = 1.0
) -> np.ndarray:
    """Return ``size * log(1 + exp(log_odds))``, 0 where y is 0."""
    return np.where(y == 0.0, 0.0, size * softplus(log_odds))


def _information(size: np.ndarray, log_odds: np.ndarray) -> np.ndarray:
    """Return ``mean / (1 + dispersion * mean)``."""
    return size * logistic(log_odds)
