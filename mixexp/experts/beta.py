"""Beta expert: shares strictly between 0 and 1.

With dispersion = ``exp(log_dispersion)`` and precision = 1 / dispersion, y has the beta
distribution with parameters ``mean * precision`` and ``(1 - mean) * precision``, so that
variance = mean * (1 - mean) / (1 + precision).
Ferrari & Cribari-Neto (2004), Beta regression, J. Appl. Statist. 31, eqs. 3 and 4.
"""

from typing import NamedTuple

import numpy as np
from scipy.special import betainc, betaincc, betaincinv

from mixexp.experts._base import Curvature, Derivatives, Heads
from mixexp.experts._fused import exponential_excesses
from mixexp.experts._glm import DispersionModel
from mixexp.experts._special import (
    HALF_LOG_2PI,
    are_usual_logs,
    gamma_remainders,
    log_exponential_excess,
    scaled_digamma_gap,
    scaled_trigamma_gap,
    stirling_error_of_log,
)
from mixexp.experts._weighted import log_or_zero, weighted_moments
from mixexp.links import PROBABILITY_LINKS, ProbabilityLink, capped_exp, extended_exp, safe_exp

# Boost's inverse of the incomplete beta function is held to be right from here on; at levels of
# 1e-20 to 1e-300 it was NaN or another number at up to a tenth of parameters.
_LEAST_LEVEL = 1e-9


class _Side(NamedTuple):
    """What densities and derivatives are made of, for y or for 1 - y.

    Parameters
    ----------
    log_share : ndarray
        Log of the mean.
    loss, divergence : ndarray
        ``precision * mean * e(log(y / mean))``, with ``e(x) = exp(x) - 1 - x``, as `extended_exp`
        and as its derivative have it.
    error : ndarray
        `stirling_error` of ``a = mean * precision``.
    pull : ndarray
        ``a * (log(y) - digamma(a) + log(precision))``.
    information : ndarray
        ``a**2 * trigamma(a)``.
    digamma_gap, trigamma_gap : ndarray
        ``a * (log(a) - digamma(a))`` and ``a * (a * trigamma(a) - 1)``.
    """

    log_share: np.ndarray
    loss: np.ndarray
    divergence: np.ndarray
    error: np.ndarray
    pull: np.ndarray
    information: np.ndarray
    digamma_gap: np.ndarray
    trigamma_gap: np.ndarray

    @classmethod
    def of(cls, log_y: np.ndarray, log_share: np.ndarray, log_precision: np.ndarray) -> "_Side":
        log_ratio, log_parameter = log_y - log_share, log_share + log_precision
        parameter = capped_exp(log_parameter)
        log_divergence = log_share + log_exponential_excess(log_ratio) + log_precision
        gap, curvature = scaled_digamma_gap(parameter), scaled_trigamma_gap(parameter)
        return cls(
            log_share,
            extended_exp(log_divergence),
            capped_exp(log_divergence),
            stirling_error_of_log(log_parameter),
            parameter * log_ratio + gap,
            parameter + curvature,
            gap,
            curvature,
        )

    @classmethod
    def of_usual(
        cls, log_y: np.ndarray, log_share: np.ndarray, log_precision: np.ndarray
    ) -> "_Side":
        """Return the same where nothing leaves exp(-120) ... exp(120)."""
        log_ratio = log_y - log_share
        parameter = np.exp(log_share + log_precision)
        error, gap, curvature = gamma_remainders(parameter)
        divergence = exponential_excesses(log_ratio)[2] * parameter
        gap, curvature = gap * parameter, curvature * parameter
        pull, information = log_ratio * parameter + gap, parameter + curvature
        return cls(log_share, divergence, divergence, error, pull, information, gap, curvature)


def _log_kernel(first: _Side, second: _Side, heads: Heads) -> np.ndarray:
    out = stirling_error_of_log(-heads[1]) - 0.5 * heads[1]
    for side in (first, second):
        # 0.5 * log_share, and what Stirling's formula leaves of a small parameter.
        out = out - side.loss + (0.5 * side.log_share - side.error)
    return out


def _dispersion_score(first: _Side, second: _Side, heads: Heads) -> np.ndarray:
    gap = scaled_digamma_gap(capped_exp(-heads[1]))
    return first.divergence + second.divergence + (gap - first.digamma_gap - second.digamma_gap)


def _dispersion_information(first: _Side, second: _Side, heads: Heads) -> np.ndarray:
    gap = scaled_trigamma_gap(capped_exp(-heads[1]))
    return first.trigamma_gap + second.trigamma_gap - gap


class Beta(DispersionModel):
    """Beta expert; not an exponential dispersion model, so its derivatives are its own.

    Parameters
    ----------
    link : {"logit", "probit"}, default="logit"
        Between the location and the mean.
    dispersion : {"own", "shared"} or float, default="own"
        Whether every expert has a dispersion of its own, all have the same, or it is known.

    Examples
    --------
    >>> import numpy as np
    >>> heads = np.array([[0.0]]), np.array([[-np.log(2.0)]])
    >>> np.abs(Beta().log_density(np.array([0.3]), heads)).round(6)
    array([[0.]])
    """

    name = "beta"
    links = ("logit", "probit")
    support = "between 0 and 1, both excluded"
    support_limits = (0.0, 1.0)
    mean_limits = (1e-300, 1.0 - 2.0**-53)

    def __init__(self, link: str = "logit", dispersion: str | float = "own") -> None:
        self.dispersion = dispersion
        self.link = link

    def find_unsupported(self, y: np.ndarray) -> np.ndarray:
        return ~((y > 0.0) & (y < 1.0))

    def log_base(self, y: np.ndarray) -> np.ndarray:
        return -np.log(y) - np.log1p(-y) - HALF_LOG_2PI

    @property
    def _probability_link(self) -> ProbabilityLink:
        return PROBABILITY_LINKS[self.link]

    def _sides(self, y: np.ndarray, heads: Heads, by_block: bool = True) -> tuple[_Side, _Side]:
        """Return what densities are made of, for y and for 1 - y.

        Parameters
        ----------
        y, heads
        by_block : bool
            Whether rows that leave what is usual may change the last bits of others.
        """
        link, precision = self._probability_link, -heads[1]
        log_mean, log_rest = link.log_mean(heads[0]), link.log_complement(heads[0])
        is_usual = by_block and are_usual_logs(precision, log_mean, log_rest)
        make = _Side.of_usual if is_usual else _Side.of
        return make(np.log(y), log_mean, precision), make(np.log1p(-y), log_rest, precision)

    def log_kernel(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        return _log_kernel(*self._sides(y, heads, by_block=False), heads)

    def derivatives(self, y: np.ndarray, heads: Heads) -> Derivatives:
        return self._derivatives(*self._sides(y, heads), heads)

    def evaluate(self, y: np.ndarray, heads: Heads) -> tuple[np.ndarray, Derivatives]:
        sides = self._sides(y, heads)
        return _log_kernel(*sides, heads), self._derivatives(*sides, heads)

    def _derivatives(self, first: _Side, second: _Side, heads: Heads) -> Derivatives:
        gain, loss = self._probability_link.rates(heads[0])
        score = gain * first.pull - loss * second.pull
        curvature = {
            (0, 0): gain**2 * first.information + loss**2 * second.information,
            (1, 1): np.maximum(_dispersion_information(first, second, heads), 0.0),
        }
        return Derivatives((score, _dispersion_score(first, second, heads)), curvature)

    def observed_curvature(self, y: np.ndarray, heads: Heads) -> Curvature:
        (first, second), link = self._sides(y, heads), self._probability_link
        gain, loss = link.rates(heads[0])
        gain_slope, loss_slope = link.rate_derivatives(heads[0])
        in_location = gain**2 * first.information + loss**2 * second.information
        in_location = in_location - (gain_slope + gain**2) * first.pull
        in_location = in_location + (loss_slope - loss**2) * second.pull
        score = gain * first.pull - loss * second.pull
        in_dispersion = _dispersion_information(first, second, heads)
        return {
            (0, 0): in_location,
            (0, 1): score + loss * second.trigamma_gap - gain * first.trigamma_gap,
            (1, 1): _dispersion_score(first, second, heads) + in_dispersion,
        }

    def variance(self, heads: Heads) -> np.ndarray:
        mean = self.mean(heads)
        return mean * (1.0 - mean) / (1.0 + safe_exp(-heads[1]))

    def _parameters(self, heads: Heads) -> tuple[np.ndarray, np.ndarray]:
        precision, link = safe_exp(-heads[1]), self._probability_link
        mean, rest = np.exp(link.log_mean(heads[0])), np.exp(link.log_complement(heads[0]))
        return np.maximum(mean * precision, 1e-300), np.maximum(rest * precision, 1e-300)

    def cdf(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        return betainc(*self._parameters(heads), np.clip(y, 0.0, 1.0))

    def survival(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        return betaincc(*self._parameters(heads), np.clip(y, 0.0, 1.0))

    def expected_excess(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        first, second = self._parameters(heads)
        inside = np.clip(y, 0.0, 1.0)
        beyond = self.mean(heads) * betaincc(first + 1.0, second, inside)
        return np.maximum(beyond - y * betaincc(first, second, inside), 0.0)

    def quantile(self, q: np.ndarray, heads: Heads) -> np.ndarray:
        found = betaincinv(*self._parameters(heads), q)
        # SciPy's inverse is NaN or wrong at some levels next to 0.
        is_lost = (q < _LEAST_LEVEL) & (q > 0.0)
        return np.where(is_lost, super().quantile(q, heads), found) if is_lost.any() else found

    def sample(self, heads: Heads, rng: np.random.Generator) -> np.ndarray:
        # Draws next to a limit round to it, where the density is not defined.
        return np.clip(rng.beta(*self._parameters(heads)), 1e-300, 1.0 - 2.0**-53)

    def start(self, y: np.ndarray, weight: np.ndarray) -> tuple[float, ...]:
        mean, variance = weighted_moments(y, weight)
        dispersion = variance / max(mean * (1.0 - mean) - variance, 1e-6)
        return float(self.link_function.predictor(mean)), log_or_zero(dispersion)
