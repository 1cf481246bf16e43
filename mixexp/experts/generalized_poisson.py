"""Generalized Poisson expert: counts that vary more than Poisson's, with a long tail.

With mean = ``exp(eta)``, dispersion = ``exp(log_dispersion)``, lambda = dispersion / (1 +
dispersion) and theta = mean / (1 + dispersion),

``f(y) = theta * (theta + lambda * y)**(y - 1) * exp(-theta - lambda * y) / y!``, so that
variance = mean * (1 + dispersion)**2.
Consul & Jain (1973), A generalization of the Poisson distribution, Technometrics 15;
Consul & Famoye (1992), Generalized Poisson regression model, Comm. Statist. Theory Methods 21.

It is the Poisson probability of y at the rate theta + lambda * y, times theta over that rate.
"""

import math
from typing import NamedTuple

import numpy as np

from mixexp.experts._base import Curvature, Derivatives, Heads
from mixexp.experts._count_sums import sum_outwards
from mixexp.experts._overdispersed import OverdispersedCount
from mixexp.experts._special import exponential_excess
from mixexp.links import capped_exp, extended_exp, logistic, safe_exp, softplus

_LEAST = 1e-300
# Panels of a sum: in standard deviations and as a share of the count.
_MOST_DEVIATIONS, _MOST_SHARE = 1.5, 0.5


class _Parts(NamedTuple):
    """What derivatives are made of.

    Parameters
    ----------
    theta : ndarray
        ``mean / (1 + dispersion)``.
    own, rest : ndarray
        theta and lambda * y as shares of their sum, the rate.
    excess : ndarray
        ``rate / y - 1``; 0 where y is 0.
    gap : ndarray
        y less the rate.
    share : ndarray
        lambda.
    """

    theta: np.ndarray
    own: np.ndarray
    rest: np.ndarray
    excess: np.ndarray
    gap: np.ndarray
    share: np.ndarray


class GeneralizedPoisson(OverdispersedCount):
    """Generalized Poisson expert; at its least dispersion, 1e-10, in effect Poisson.

    The variance is the mean times ``(1 + dispersion)**2``, so that it grows in proportion to the
    mean; a negative binomial's grows faster. It is for over-dispersed counts. Its under-dispersed
    form has a support that depends on its parameters, and is left out: for counts that vary less
    than Poisson's take a binomial expert with trials.

    Parameters
    ----------
    link : {"log"}, default="log"
    dispersion : {"own", "shared"} or float, default="own"
        Whether every expert has a dispersion of its own, all have the same, or it is known.

    Notes
    -----
    EM steps use the expected information, which has a closed form, but at least the observed one:
    counts far below a mean bend the density more than is expected of counts. A cdf has no closed
    form: it is a sum of at least 16 and mostly less than 300 probabilities (`_count_sums`). Draws
    are those of a branching process and take some multiple of ``1 + dispersion`` generations.

    Examples
    --------
    >>> import numpy as np
    >>> heads = np.array([[0.0]]), np.array([[0.0]])
    >>> GeneralizedPoisson().log_density(np.array([2.0]), heads).round(4)
    array([[-2.4808]])
    """

    name = "generalized_poisson"

    def log_kernel(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        # log of theta over the rate, and the half deviance of a Poisson y.
        positive = -softplus(_log_rest_odds(y, heads)) - y * exponential_excess(_log_rise(y, heads))
        return np.where(y == 0.0, -extended_exp(_log_theta(heads)), positive)

    # Derivatives.

    def _parts(self, y: np.ndarray, heads: Heads) -> _Parts:
        is_zero, log_odds = y == 0.0, _log_rest_odds(y, heads)
        theta = capped_exp(_log_theta(heads))
        own = np.where(is_zero, 1.0, logistic(-log_odds))
        rest = np.where(is_zero, 0.0, logistic(log_odds))
        rise = _log_rise(y, heads)
        excess = np.where(is_zero, 0.0, capped_exp(rise) * -np.expm1(-np.maximum(rise, 0.0)))
        excess = np.where(is_zero | (rise > 0.0), excess, np.expm1(np.minimum(rise, 0.0)))
        gap = np.where(is_zero, -theta, -y * excess)
        return _Parts(theta, own, rest, excess, gap, logistic(heads[1]))

    def _scores(self, y: np.ndarray, parts: _Parts) -> tuple[np.ndarray, np.ndarray]:
        of_zero = np.where(y == 0.0, parts.theta * parts.share, 0.0)
        in_dispersion = parts.rest * (y * parts.excess**2 - 1.0) + of_zero
        return parts.rest + parts.gap * parts.own, in_dispersion

    def derivatives(self, y: np.ndarray, heads: Heads) -> Derivatives:
        parts = self._parts(y, heads)
        bend, information = self._bends(y, parts), _information(heads, parts)
        curvature = {(a, a): np.maximum(bend[a, a], information[a]) for a in range(2)}
        return Derivatives(self._scores(y, parts), curvature)

    def observed_curvature(self, y: np.ndarray, heads: Heads) -> Curvature:
        return self._bends(y, self._parts(y, heads))

    def _bends(self, y: np.ndarray, parts: _Parts) -> Curvature:
        theta, own, rest, excess, gap, share = parts
        of_zero = np.where(y == 0.0, theta * share * (2.0 * share - 1.0), 0.0)
        bend = own + y * excess**2 * (2.0 * share - own)
        return {
            (0, 0): own * (rest + theta - gap * rest),
            (0, 1): own * (rest * (gap - 1.0) + share * gap),
            (1, 1): rest * bend + of_zero,
        }

    # What users ask.

    def variance(self, heads: Heads) -> np.ndarray:
        return self.mean(heads) * (1.0 + safe_exp(heads[1])) ** 2

    def cdf(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        is_low, tail, _ = self._tail(np.floor(y), heads)
        return np.where(is_low, tail, 1.0 - tail)

    def survival(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        is_low, tail, _ = self._tail(np.floor(y), heads)
        return np.where(is_low, 1.0 - tail, tail)

    def expected_excess(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        is_low, tail, distance = self._tail(np.floor(y), heads)
        # Below the mean it is what is missing there, and mean - y.
        part = y - np.floor(y)
        low = self.mean(heads) - y + distance + part * tail
        return np.maximum(np.where(is_low, low, distance + (1.0 - part) * tail), 0.0)

    def _tail(self, count: np.ndarray, heads: Heads) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return which counts are below the mean, the tail that begins there, and its distance.

        The probability of at most such a count, else of more; and the mean distance in it from the
        count, or from the next one.
        """
        count, *spread = np.broadcast_arrays(count, *heads)
        is_low = count < self.mean((spread[0],))
        first = np.where(is_low, count, count + 1.0)
        flat = tuple(head.ravel() for head in spread)
        sums = sum_outwards(self.log_density, _smooth_over, first.ravel(), flat, is_low.ravel())
        tail, distance = (part.reshape(count.shape) for part in sums)
        return is_low, np.minimum(tail, 1.0), distance

    def sample(self, heads: Heads, rng: np.random.Generator) -> np.ndarray:
        # All members of a branching process: Poisson(theta) first, each with Poisson(lambda) more.
        share, generation = np.broadcast_arrays(
            logistic(heads[1]), rng.poisson(safe_exp(_log_theta(heads)))
        )
        out, alive = np.array(generation, dtype=float, order="C"), np.flatnonzero(generation)
        total, last, rate = out.reshape(-1), generation.ravel()[alive], share.ravel()
        while len(alive):
            last = rng.poisson(rate[alive] * last)
            total[alive] += last
            alive, last = alive[last > 0], last[last > 0]
        return out

    def dispersion_of(self, mean: float, variance: float) -> float:
        return math.sqrt(variance / mean) - 1.0


def _information(heads: Heads, parts: _Parts) -> tuple[np.ndarray, np.ndarray]:
    """Return the expected information of the location and of the log dispersion."""
    # theta / (theta + 2 * lambda), and the rest.
    log_odds = _log_theta(heads) + softplus(-heads[1]) - math.log(2.0)
    first, second = logistic(log_odds), logistic(-log_odds)
    return parts.theta * (logistic(-heads[1]) * first + second), 2.0 * parts.share**2 * first


def _log_theta(heads: Heads) -> np.ndarray:
    """Return the log of ``mean / (1 + dispersion)``, of which nothing huge cancels."""
    return (heads[0] - np.maximum(heads[1], 0.0)) - np.log1p(np.exp(-np.abs(heads[1])))


def _log_rest_odds(y: np.ndarray, heads: Heads) -> np.ndarray:
    """Return the log of ``dispersion * y / mean``, for y = 0 as for 1."""
    return (heads[1] - heads[0]) + np.log(np.maximum(y, 1.0))


def _log_rise(y: np.ndarray, heads: Heads) -> np.ndarray:
    """Return ``log((theta + lambda * y) / y)``, with its digits near 0; for y = 0 as for 1."""
    log_y = np.log(np.maximum(y, 1.0))
    ratio = heads[0] - log_y
    # Of means above y: 1 + (mean / y - 1) / (1 + dispersion), the last term by its log.
    above = np.maximum(ratio, 0.0)
    log_excess = np.log(np.maximum(-np.expm1(-above), _LEAST))
    up = softplus(_log_theta(heads) - log_y + log_excess)
    fall = np.expm1(np.minimum(ratio, 0.0)) * logistic(-heads[1])
    # A mean far below: both logs are far from each other.
    top = np.maximum(ratio, heads[1])
    far = top + np.log1p(np.exp(-np.abs(ratio - heads[1]))) - softplus(heads[1])
    down = np.where(fall < -0.5, far, np.log1p(np.maximum(fall, -0.5)))
    return np.where(ratio > 0.0, up, down)


def _smooth_over(count: np.ndarray, heads: Heads) -> np.ndarray:
    """Return how many counts a probability is smooth over, next to a count."""
    # (y - mean) / sqrt(y) / (1 + dispersion) is next to normal; its slope, in logs.
    log_count = np.log(np.maximum(count, 1.0))
    log_sum = np.logaddexp(log_count - softplus(heads[1]), _log_theta(heads))
    log_step = math.log(2.0) + 1.5 * log_count - log_sum
    return np.minimum(_MOST_DEVIATIONS * safe_exp(log_step), _MOST_SHARE * count)
