"""Binomial expert: successes out of a known number of trials.

``log f(y) = y * log(mean) + (trials - y) * log(1 - mean) + log(trials choose y)`` with
``link(mean) = eta`` the probability of success in one trial.
"""

import numpy as np
from scipy.special import betainc, betaincc, gammaln

from mixexp.experts._base import Curvature, Derivatives, Heads
from mixexp.experts._glm import GLM
from mixexp.experts._special import HALF_LOG_2PI, exponential_excess, stirling_error
from mixexp.links import PROBABILITY_LINKS, ProbabilityLink

Trials = np.ndarray | float

# From here on the logs of ways and probabilities are so large that their sum loses digits.
_MANY_TRIALS = 1e5


class Binomial(GLM):
    """Binomial expert; ``mean`` is the probability of success.

    Wherever the base has y of shape (rows,), 0 or 1, this family also takes shape (2, rows):
    successes and trials. What is said of unseen y takes ``trials``, by default 1.

    Parameters
    ----------
    link : {"logit", "probit", "cloglog"}, default="logit"

    Examples
    --------
    >>> import numpy as np
    >>> Binomial().log_density(np.array([[1.0], [2.0]]), (np.array([[0.0]]),)).round(4)
    array([[-0.6931]])
    """

    name = "binomial"
    links = ("logit", "probit", "cloglog")
    support = "0 or 1, or successes out of trials in two rows"
    is_discrete = True
    support_limits = (0.0, np.inf)
    uses_trials = True

    def __init__(self, link: str = "logit") -> None:
        self.link = link

    @property
    def link_function(self) -> ProbabilityLink:
        """What turns the location into the mean, as the option ``link`` names it."""
        return PROBABILITY_LINKS[self.link]

    def unit_variance(self, mean: np.ndarray) -> np.ndarray:
        return mean * (1.0 - mean)

    def find_unsupported(self, y: np.ndarray) -> np.ndarray:
        successes, trials = _split_trials(y)
        is_count = (successes == np.floor(successes)) & (trials == np.floor(trials))
        return ~(is_count & (successes >= 0.0) & (successes <= trials) & np.isfinite(trials))

    def log_base(self, y: np.ndarray) -> np.ndarray:
        successes, trials = _split_trials(y)
        is_large = trials >= _MANY_TRIALS
        few = np.where(is_large, 0.0, trials), np.where(is_large, 0.0, successes)
        ways = gammaln(few[0] + 1.0) - gammaln(few[1] + 1.0) - gammaln(few[0] - few[1] + 1.0)
        if not is_large.any():
            return ways
        # Loader's form: what Stirling's formula leaves; the rest is in the deviance.
        held = np.where(is_large, trials, 1.0)
        rest = _stirling_rest(held) - _stirling_rest(successes) - _stirling_rest(trials - successes)
        return np.where(is_large, rest, ways)

    def log_kernel(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        successes, trials = _split_trials(y)
        link = self.link_function
        log_mean, log_rest = link.log_mean(heads[0]), link.log_complement(heads[0])
        is_large = trials >= _MANY_TRIALS
        few, few_failures = np.where(is_large, [[0.0], [0.0]], [successes, trials - successes])
        log_kernel = few * log_mean + few_failures * log_rest
        if not is_large.any():
            return log_kernel
        deviance = _half_deviance(successes, trials, log_mean)
        deviance = deviance + _half_deviance(trials - successes, trials, log_rest)
        return np.where(is_large, -deviance, log_kernel)

    def derivatives(self, y: np.ndarray, heads: Heads) -> Derivatives:
        # By rates, not by unit_variance: both sides of the mean underflow at their own end.
        successes, trials = _split_trials(y)
        gain, loss = self.link_function.rates(heads[0])
        score = successes * gain - (trials - successes) * loss
        return Derivatives((score,), {(0, 0): trials * (gain * loss)})

    def observed_curvature(self, y: np.ndarray, heads: Heads) -> Curvature:
        successes, trials = _split_trials(y)
        gain, loss = self.link_function.rate_derivatives(heads[0])
        return {(0, 0): (trials - successes) * loss - successes * gain}

    def variance(self, heads: Heads, trials: Trials = 1.0) -> np.ndarray:
        return trials * self.unit_variance(self.mean(heads))

    def cdf(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        successes, trials = _split_trials(y)
        count, mean = np.clip(np.floor(successes), 0.0, trials), self.mean(heads)
        inside = betaincc(count + 1.0, np.maximum(trials - count, 1.0), mean)
        return np.where(successes < 0.0, 0.0, np.where(count >= trials, 1.0, inside))

    def survival(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        successes, trials = _split_trials(y)
        return _beyond(np.floor(successes), trials, self.mean(heads))

    def expected_excess(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        # Counts weighted by their size are such counts plus one, of one trial less.
        successes, trials = _split_trials(y)
        mean, count = self.mean(heads), np.floor(successes)
        beyond = trials * mean * _beyond(count - 1.0, trials - 1.0, mean)
        return np.maximum(beyond - successes * _beyond(count, trials, mean), 0.0)

    def quantile(self, q: np.ndarray, heads: Heads, trials: Trials = 1.0) -> np.ndarray:
        shape = np.broadcast_shapes(np.shape(q), np.shape(trials), heads[0].shape)
        below, above = np.full(shape, -1.0), np.broadcast_to(trials, shape).astype(float)
        while np.any(above - below > 1.0):
            middle = np.floor(0.5 * (below + above))
            counts = np.broadcast_to(np.asarray(trials, dtype=float), shape)
            reaches = self.cdf(np.stack([middle, counts]), heads) >= q
            above = np.where(reaches & (middle > below), middle, above)
            below = np.where(reaches, below, middle)
        return above

    def sample(self, heads: Heads, rng: np.random.Generator, trials: Trials = 1.0) -> np.ndarray:
        return rng.binomial(np.asarray(trials, dtype=int), self.mean(heads)).astype(float)

    def start(self, y: np.ndarray, weight: np.ndarray) -> tuple[float, ...]:
        # Half a pseudo-trial of either kind keeps the predictor finite.
        successes, trials = _split_trials(y)
        mean = (weight @ successes + 0.5) / (weight @ trials + 1.0)
        return (float(self.link_function.predictor(mean)),)


def _split_trials(y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return successes and trials; one row of y means single trials."""
    return (y, np.ones_like(y)) if np.ndim(y) < 2 else (y[0], y[1])


def _stirling_rest(count: np.ndarray) -> np.ndarray:
    """Return ``log(count!) - count * log(count) + count``, 0 for 0."""
    held = np.maximum(count, 1.0)
    rest = stirling_error(held) + 0.5 * np.log(held) + HALF_LOG_2PI
    return np.where(count == 0.0, 0.0, rest)


def _half_deviance(count: np.ndarray, trials: np.ndarray, log_mean: np.ndarray) -> np.ndarray:
    """Return ``count * log(count / expected) - count + expected``, of which nothing cancels."""
    held = np.maximum(count, 1.0)
    # log1p of what is missing, where that is little.
    missing = np.minimum((trials - held) / trials, 0.5)
    log_share = np.where(2.0 * held > trials, np.log1p(-missing), np.log(held / trials))
    inside = held * exponential_excess(log_mean - log_share)
    return np.where(count == 0.0, trials * np.exp(log_mean), inside)


def _beyond(count: np.ndarray, trials: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Return the probability of more successes than a count."""
    held = np.clip(count, 0.0, np.maximum(trials, 0.0))
    inside = betainc(held + 1.0, np.maximum(trials - held, 1.0), mean)
    return np.where(count < 0.0, 1.0, np.where(count >= trials, 0.0, inside))
