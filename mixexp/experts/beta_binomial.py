"""Beta-binomial expert: successes out of trials whose probability varies from row to row.

With dispersion = ``exp(log_dispersion)`` and precision = 1 / dispersion, the probability of success
is drawn from the beta distribution with parameters ``a = mean * precision`` and ``b = (1 - mean) *
precision``, once per row:

``f(y) = (trials choose y) * B(y + a, trials - y + b) / B(a, b)``, so that variance =
trials * mean * (1 - mean) * (1 + (trials - 1) * dispersion / (1 + dispersion)).
Skellam (1948), J. R. Statist. Soc. B 10; Williams (1975), Biometrics 31.

Stirling's formula makes of it two divergences, of the shares seen and of the mean, each from
``(y + a) / (trials + precision)``, and errors of order one: nothing large cancels.
"""

import math
from typing import NamedTuple

import numpy as np

from mixexp.experts._base import Curvature, Derivatives, Heads
from mixexp.experts._beta_binomial import Trials, count_cdf, least_count, split_trials
from mixexp.experts._fused import exponential_excesses
from mixexp.experts._overdispersed import WithDispersion
from mixexp.experts._special import (
    HALF_LOG_2PI,
    are_usual_logs,
    gamma_remainders,
    log_exponential_excess,
    scaled_digamma_gap,
    scaled_trigamma_gap,
    stirling_error,
    stirling_error_of_log,
)
from mixexp.experts._weighted import log_or_zero
from mixexp.links import (
    LARGEST_LOG,
    PROBABILITY_LINKS,
    capped_exp,
    extended_exp,
    logistic,
    safe_exp,
    softplus,
)

# Single trials do not tell; less is binomial to some digits.
_START_DISPERSION, _LEAST_START = 0.3, 0.01
_LEAST_LOG = -700.0
# Log of a parameter over no successes, in effect infinite.
_FAR = 1e3


class _Side(NamedTuple):
    """What a density is made of, for successes or failures.

    Parameters
    ----------
    number : ndarray
        Successes, or failures.
    log_count, log_share : ndarray
        Logs of it, 0 where it is 0, and of its share of the trials.
    log_mean, log_parameter : ndarray
        Logs of the expected share, and of that times the precision.
    """

    number: np.ndarray
    log_count: np.ndarray
    log_share: np.ndarray
    log_mean: np.ndarray
    log_parameter: np.ndarray


class _Rise(NamedTuple):
    """Sums over j = 0, 1, ... below a count of ``a / (a + j)`` and of its square."""

    first: np.ndarray
    second: np.ndarray

    @property
    def slope(self) -> np.ndarray:
        """The derivative of the first in log a."""
        return self.first - self.second


# Of successes, failures and trials.
_Rises = tuple[_Rise, _Rise, _Rise]


class _UsualRise(NamedTuple):
    """What ``Gamma(count + a) / Gamma(a)`` is made of, with its derivatives, where nothing is cut.

    Parameters
    ----------
    a : ndarray
    log_growth : ndarray
        ``log((count + a) / a)``.
    error : ndarray
        What Stirling's formula leaves of it, 0 for no count.
    sums : _Rise
    """

    a: np.ndarray
    log_growth: np.ndarray
    error: np.ndarray
    sums: _Rise

    @classmethod
    def of(cls, count: np.ndarray, a: np.ndarray) -> "_UsualRise":
        total, log_growth = count + a, np.log1p(count / a)
        error, gap, bend = gamma_remainders(a)
        error_of_total, gap_of_total, bend_of_total = gamma_remainders(total)
        share = a / total
        return cls(
            a,
            log_growth,
            np.where(count == 0.0, 0.0, (error_of_total - error) - 0.5 * log_growth),
            _Rise(
                np.where(count <= 1.0, count, a * (log_growth + gap - gap_of_total)),
                np.where(count <= 1.0, count, a * bend + share * (count - a * bend_of_total)),
            ),
        )


class BetaBinomial(WithDispersion):
    """Beta-binomial expert; ``mean`` is the probability of success.

    Takes y as the binomial expert does: 0 or 1, or successes and trials in two rows. Single trials
    do not tell the dispersion. At its least, 1e-10, it is in effect binomial.

    Parameters
    ----------
    link : {"logit"}, default="logit"
    dispersion : {"own", "shared"} or float, default="own"
        Whether every expert has a dispersion of its own, all have the same, or it is known.

    Notes
    -----
    The expected information is a sum over counts. EM steps use the observed one, but for the
    location at least that of a variance function, and for the dispersion at least the squared
    score, whose mean is the information. A cdf costs as many terms as counts, at most 1 000.

    Examples
    --------
    >>> import numpy as np
    >>> heads = np.array([[0.0]]), np.array([[-np.log(2.0)]])
    >>> counts = np.array([[0.0, 3.0], [4.0, 4.0]])
    >>> np.exp(BetaBinomial().log_density(counts, heads)).round(4)
    array([[0.2, 0.2]])
    """

    name = "beta_binomial"
    links = ("logit",)
    support = "0 or 1, or successes out of trials in two rows"
    support_limits = (0.0, np.inf)
    is_discrete = True
    uses_trials = True
    at_floor = "binomial"

    def __init__(self, link: str = "logit", dispersion: str | float = "own") -> None:
        super().__init__(link, dispersion)

    def find_unsupported(self, y: np.ndarray) -> np.ndarray:
        successes, trials = split_trials(y)
        is_count = (successes == np.floor(successes)) & (trials == np.floor(trials))
        return ~(is_count & (successes >= 0.0) & (successes <= trials) & np.isfinite(trials))

    # Densities.

    def _sides(self, y: np.ndarray, heads: Heads) -> tuple[_Side, _Side]:
        successes, trials = split_trials(y)
        link, log_trials = PROBABILITY_LINKS[self.link], np.log(np.maximum(trials, 1.0))
        sides = []
        for count, log_mean in (
            (successes, link.log_mean(heads[0])),
            (trials - successes, link.log_complement(heads[0])),
        ):
            held, rest = np.maximum(count, 1.0), trials - count
            # log1p of what is missing, where that is little.
            missing = np.minimum(rest / np.maximum(trials, 1.0), 0.5)
            log_count = np.log(held)
            share = np.where(2.0 * count > trials, np.log1p(-missing), log_count - log_trials)
            sides.append(_Side(count, log_count, share, log_mean, log_mean - heads[1]))
        return sides[0], sides[1]

    def log_base(self, y: np.ndarray) -> np.ndarray:
        successes, trials = split_trials(y)
        both = (successes > 0.0) & (successes < trials)
        out = _base_of(trials) - _base_of(successes) - _base_of(trials - successes)
        return out - np.where(both, HALF_LOG_2PI, 0.0)

    def log_kernel(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        _, trials = split_trials(y)
        log_trials, log_precision = np.log(np.maximum(trials, 1.0)), -heads[1]
        whole = _Side(trials, log_trials, np.zeros_like(trials), np.zeros(1), log_precision)
        # Small parameters' logs are counted, for all of them may be huge and cancel.
        out, n_logs = -_errors_of(whole), -_is_small(whole)
        for side in self._sides(y, heads):
            n_own = _is_small(side)
            out = out + _errors_of(side) - _divergence(side, log_trials, log_precision)
            out, n_logs = out + n_own * side.log_mean, n_logs + n_own
        out = out + n_logs * np.where(n_logs == 0.0, 0.0, log_precision)
        return np.where(trials == 0.0, 0.0, np.minimum(out, -self.log_base(y)))

    # Derivatives.

    def _rises(self, y: np.ndarray, heads: Heads) -> _Rises:
        """Return the sums for successes, failures and trials."""
        found = self._usual_terms(y, heads)
        if found is not None:
            return found[1]
        first, second = self._sides(y, heads)
        _, trials = split_trials(y)
        log_trials = np.log(np.maximum(trials, 1.0))
        return (
            _rise(first.number, first.log_count, first.log_parameter),
            _rise(second.number, second.log_count, second.log_parameter),
            _rise(trials, log_trials, -heads[1]),
        )

    def _derivatives(self, y: np.ndarray, heads: Heads, rises: _Rises) -> Derivatives:
        mean, rest, (own, other, whole) = logistic(heads[0]), logistic(-heads[0]), rises
        score = rest * own.first - mean * other.first, whole.first - own.first - other.first
        bend, (_, trials) = _bends(mean, rest, rises), split_trials(y)
        least = trials * (mean * rest) / (1.0 + np.maximum(trials - 1.0, 0.0) * logistic(heads[1]))
        curvature = {
            (0, 0): np.maximum(bend[0, 0], least),
            (1, 1): np.maximum(bend[1, 1], score[1] ** 2),
        }
        return Derivatives(score, curvature)

    def derivatives(self, y: np.ndarray, heads: Heads) -> Derivatives:
        return self._derivatives(y, heads, self._rises(y, heads))

    def evaluate(self, y: np.ndarray, heads: Heads) -> tuple[np.ndarray, Derivatives]:
        found = self._usual_terms(y, heads)
        if found is None:
            return super().evaluate(y, heads)
        log_kernel, rises = found
        return log_kernel, self._derivatives(y, heads, rises)

    def observed_curvature(self, y: np.ndarray, heads: Heads) -> Curvature:
        return _bends(logistic(heads[0]), logistic(-heads[0]), self._rises(y, heads))

    def _usual_terms(self, y: np.ndarray, heads: Heads) -> tuple[np.ndarray, _Rises] | None:
        """Return `log_kernel` and `_rises` where nothing leaves exp(-120) ... exp(120), or None."""
        link, log_precision = PROBABILITY_LINKS[self.link], -heads[1]
        log_means = link.log_mean(heads[0]), link.log_complement(heads[0])
        if not are_usual_logs(log_precision, *log_means):
            return None
        successes, trials = split_trials(y)
        counts, held = (successes, trials - successes), np.maximum(trials, 1.0)
        precision = np.exp(log_precision)
        whole = _UsualRise.of(trials, precision)
        out, rises = -whole.error, []
        for count, log_mean in zip(counts, log_means, strict=True):
            own = _UsualRise.of(count, np.exp(log_mean) * precision)
            from_mean = own.log_growth - whole.log_growth
            from_share = from_mean + log_mean - np.log(np.maximum(count, 1.0) / held)
            loss = np.maximum(count, 1.0) * exponential_excesses(from_share)[2]
            # Of no successes trials * (y + a) / (trials + precision) is left.
            loss = np.where(count == 0.0, trials * (own.a / (trials + precision)), loss)
            out = out + (own.error - loss) - own.a * exponential_excesses(from_mean)[2]
            rises.append(own.sums)
        out = np.where(trials == 0.0, 0.0, np.minimum(out, -self.log_base(y)))
        return out, (rises[0], rises[1], whole.sums)

    # What users ask.

    def mean(self, heads: Heads) -> np.ndarray:
        return logistic(heads[0])

    def variance(self, heads: Heads, trials: Trials = 1.0) -> np.ndarray:
        """Return the variance of the successes out of so many trials."""
        excess = np.maximum(np.asarray(trials) - 1.0, 0.0) * logistic(heads[1])
        return trials * (logistic(heads[0]) * logistic(-heads[0])) * (1.0 + excess)

    def _parameters(self, heads: Heads) -> tuple[np.ndarray, np.ndarray]:
        precision = safe_exp(-heads[1])
        eta = np.clip(heads[0], -LARGEST_LOG, LARGEST_LOG)
        return precision * logistic(eta), precision * logistic(-eta)

    def cdf(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        return count_cdf(*split_trials(y), *self._parameters(heads))

    def survival(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        return _beyond(*split_trials(y), *self._parameters(heads))

    def expected_excess(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        # Counts weighted by their size are such counts plus one, of one trial and success less.
        (successes, trials), (a, b) = split_trials(y), self._parameters(heads)
        count = np.floor(successes)
        larger = _beyond(count - 1.0, np.maximum(trials - 1.0, 0.0), a + 1.0, b)
        beyond = trials * logistic(heads[0]) * larger
        return np.maximum(beyond - successes * _beyond(count, trials, a, b), 0.0)

    def quantile(self, q: np.ndarray, heads: Heads, trials: Trials = 1.0) -> np.ndarray:
        """Return the least count of successes, out of so many trials, whose cdf reaches q."""
        return least_count(q, np.asarray(trials, dtype=float), *self._parameters(heads))

    def sample(self, heads: Heads, rng: np.random.Generator, trials: Trials = 1.0) -> np.ndarray:
        """Draw the successes out of so many trials."""
        a, b = (np.maximum(part, 1e-300) for part in self._parameters(heads))
        share = rng.beta(*np.broadcast_arrays(a, b))
        # Both gamma variates of a tiny precision may be zero.
        share = np.where(np.isfinite(share), share, rng.random(share.shape) < logistic(heads[0]))
        return rng.binomial(np.asarray(trials, dtype=int), share).astype(float)

    def start(self, y: np.ndarray, weight: np.ndarray) -> tuple[float, ...]:
        # Half a pseudo-trial of either kind keeps the predictor finite.
        successes, trials = split_trials(y)
        mean = float((weight @ successes + 0.5) / (weight @ trials + 1.0))
        location = math.log(mean) - math.log1p(-mean)
        pairs = weight @ (trials * np.maximum(trials - 1.0, 0.0))
        if not pairs > 0.0:
            return location, math.log(_START_DISPERSION)
        square = weight @ (successes - trials * mean) ** 2
        correlation = square / (mean * (1.0 - mean)) - weight @ trials
        correlation = min(max(correlation / pairs, _LEAST_START), 0.9)
        return location, log_or_zero(correlation / (1.0 - correlation))


def _bends(mean: np.ndarray, rest: np.ndarray, rises: _Rises) -> Curvature:
    own, other, whole = rises
    in_location = mean * rest * (own.first + other.first)
    return {
        (0, 0): in_location - rest**2 * own.slope - mean**2 * other.slope,
        (0, 1): rest * own.slope - mean * other.slope,
        (1, 1): whole.slope - own.slope - other.slope,
    }


def _base_of(count: np.ndarray) -> np.ndarray:
    """Return ``log(count) / 2`` and Stirling's error, 0 for 0."""
    held = np.maximum(count, 1.0)
    return np.where(count == 0.0, 0.0, stirling_error(held) + 0.5 * np.log(held))


def _is_small(side: _Side) -> np.ndarray:
    """Return 1 where the log of the parameter is taken out of `_errors_of`."""
    return np.where((side.log_parameter < 0.0) & (side.number > 0.0), 1.0, 0.0)


def _errors_of(side: _Side) -> np.ndarray:
    """Return what Stirling's formula leaves of ``Gamma(count + a) / Gamma(a)``, 0 for no count.

    Less log a, where that is negative.
    """
    log_a, log_count = side.log_parameter, side.log_count
    log_total = np.maximum(log_a, log_count) + np.log1p(np.exp(-np.abs(log_a - log_count)))
    small = np.minimum(log_a, 0.0)
    # log a / 2 - error(a) - log a, which is bounded; then the same for a above 1.
    held = np.maximum(small, _LEAST_LOG)
    of_small = -0.5 * held - stirling_error_of_log(held) - 0.5 * log_total
    large = np.maximum(log_a, 0.0)
    of_large = -stirling_error_of_log(large) - 0.5 * softplus(log_count - large)
    out = np.where(log_a < 0.0, of_small, of_large) + stirling_error_of_log(log_total)
    return np.where(side.number == 0.0, 0.0, out)


def _log_shift(
    side: _Side, log_trials: np.ndarray, log_precision: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the logs of ``(y + a) / (trials + precision)`` over y's share, and over the mean."""
    own, whole = side.log_parameter - side.log_count, log_precision - log_trials
    own = np.where(side.number == 0.0, _FAR, own)
    tails = np.log1p(np.exp(-np.abs(own))) - np.log1p(np.exp(-np.abs(whole)))
    both = side.log_mean - side.log_share
    from_share = np.where(
        (own > 0.0) & (whole > 0.0), both, np.maximum(own, 0.0) - np.maximum(whole, 0.0)
    )
    from_mean = np.where(
        (own < 0.0) & (whole < 0.0), -both, np.maximum(-own, 0.0) - np.maximum(-whole, 0.0)
    )
    return from_share + tails, from_mean + tails


def _divergence(side: _Side, log_trials: np.ndarray, log_precision: np.ndarray) -> np.ndarray:
    """Return ``y * e(shift of the share) + a * e(shift of the mean)``; e(x) = exp(x) - 1 - x."""
    from_share, from_mean = _log_shift(side, log_trials, log_precision)
    of_count = side.log_count + log_exponential_excess(from_share)
    # Of no successes trials * (y + a) / (trials + precision) is left.
    none = side.log_mean + log_trials - softplus(log_trials - log_precision)
    none = np.where(side.log_mean > -np.inf, none, -np.inf)
    total = extended_exp(np.where(side.number == 0.0, none, of_count))
    return total + _of_parameter(side, from_mean, log_trials, log_precision)


def _of_parameter(
    side: _Side, from_mean: np.ndarray, log_trials: np.ndarray, log_precision: np.ndarray
) -> np.ndarray:
    """Return ``a * e(shift of the mean)``; of large shifts ``a * exp(shift)`` by itself."""
    log_a = side.log_parameter
    near = extended_exp(log_a + log_exponential_excess(np.minimum(from_mean, 1.0)))
    log_total = np.maximum(log_a, side.log_count) + np.log1p(
        np.exp(-np.abs(log_a - side.log_count))
    )
    log_moved = log_total - softplus(log_trials - log_precision)
    rest = capped_exp(log_a) * (1.0 + np.maximum(from_mean, 0.0))
    far = np.maximum(extended_exp(log_moved) - rest, 0.0)
    return np.where((from_mean > 1.0) & (side.number > 0.0), far, near)


def _rise(count: np.ndarray, log_count: np.ndarray, log_a: np.ndarray) -> _Rise:
    held = np.clip(log_a, _LEAST_LOG, LARGEST_LOG)
    a, share = np.exp(held), logistic(held - log_count)
    total = a + np.maximum(count, 1.0)
    gap = scaled_digamma_gap(a) - share * scaled_digamma_gap(total)
    first = a * softplus(log_count - held) + gap
    bend = scaled_trigamma_gap(a) - share**2 * scaled_trigamma_gap(total)
    second = count * share + bend
    # Of single trials nothing is left to rounding: they do not tell the dispersion.
    return _Rise(np.where(count <= 1.0, count, first), np.where(count <= 1.0, count, second))


def _beyond(count: np.ndarray, trials: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the probability of more successes than a count: of fewer failures."""
    failures = trials - np.floor(count) - 1.0
    return count_cdf(failures, trials, b, a)
