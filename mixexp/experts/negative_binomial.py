"""Negative binomial expert: counts that vary more than Poisson's.

With mean = ``exp(eta)``, dispersion = ``exp(log_dispersion)`` and size = 1 / dispersion,

``f(y) = Gamma(y + size) / (Gamma(size) y!) * (size / (size + mean))**size
* (mean / (size + mean))**y``, so that variance = mean + dispersion * mean**2 ("NB2").
Lawless (1987), Negative binomial and mixed Poisson regression, Can. J. Statist. 15.
"""

import numpy as np
from scipy.special import betainc, betaincc, gammaln

from mixexp.experts._base import LOG_DISPERSION_FLOOR, Curvature, Derivatives, Head, Heads
from mixexp.experts._counts import CountGLM
from mixexp.experts._special import digamma_gap, log_excess, stirling_error, trigamma_gap
from mixexp.experts._weighted import log_or_zero, weighted_moments
from mixexp.links import safe_exp


class NegativeBinomial(CountGLM):
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

    def __init__(self, link: str = "log", dispersion: str | float = "own") -> None:
        self.link = link
        self.dispersion = dispersion

    @property
    def heads(self) -> tuple[Head, ...]:
        return (
            Head("location", "location"),
            Head("log_dispersion", "dispersion", LOG_DISPERSION_FLOOR, at_lower="poisson"),
        )

    def log_base(self, y: np.ndarray) -> np.ndarray:
        return -gammaln(y + 1.0)

    def log_kernel(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        mean, dispersion = self.mean(heads), safe_exp(heads[1])
        size = 1.0 / dispersion
        # log of Gamma(y + size) / Gamma(size) / size**y, by Stirling: of order one throughout.
        rising = (y + size - 0.5) * np.log1p(y * dispersion) - y
        rising = rising + stirling_error(y + size) - stirling_error(size)
        return y * heads[0] - (y + size) * np.log1p(dispersion * mean) + rising

    def derivatives(self, y: np.ndarray, heads: Heads) -> Derivatives:
        mean, dispersion = self.mean(heads), safe_exp(heads[1])
        inflation = 1.0 + dispersion * mean
        share = dispersion * mean / inflation
        size = 1.0 / dispersion
        for_large = size * trigamma_gap(size)
        is_positive = -np.expm1(-size * np.log1p(dispersion * mean))
        bound = np.maximum(is_positive * (size + for_large) - size * share, 0.0)
        curvature = {
            (0, 0): mean / inflation,
            (1, 1): np.minimum(for_large * share**2, bound),
        }
        score = (y - mean) / inflation
        return Derivatives((score, self._dispersion_score(y, mean, size)), curvature)

    def _dispersion_score(self, y: np.ndarray, mean: np.ndarray, size: np.ndarray) -> np.ndarray:
        total = size + mean
        excess = log_excess((y - mean) / total, (y + size) / total)
        return -size * (excess + digamma_gap(size) - digamma_gap(y + size))

    def observed_curvature(self, y: np.ndarray, heads: Heads) -> Curvature:
        mean, dispersion = self.mean(heads), safe_exp(heads[1])
        inflation, size = 1.0 + dispersion * mean, 1.0 / dispersion
        in_location = mean / inflation * ((1.0 + dispersion * y) / inflation)
        mixed = (y - mean) / inflation * (dispersion * mean / inflation)
        # size**2 * d2 log f / d size2, each term scaled before it can cancel or overflow.
        bend = ((y - mean) / inflation) ** 2 / (y + size)
        bend = bend + trigamma_gap(y + size) * (size / (y + size)) * size
        bend = bend - trigamma_gap(size) * size
        in_dispersion = self._dispersion_score(y, mean, size) - bend
        return {(0, 0): in_location, (0, 1): mixed, (1, 1): in_dispersion}

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

    def start(self, y: np.ndarray, weight: np.ndarray) -> tuple[float, ...]:
        mean, variance = weighted_moments(y, weight)
        dispersion = max((variance - mean) / mean**2, 0.01) if mean > 0.0 else 1.0
        return (*super().start(y, weight), log_or_zero(dispersion))
