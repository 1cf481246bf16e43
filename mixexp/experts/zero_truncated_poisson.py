"""Zero-truncated Poisson expert: counts that are seen only where there is one.

With rate = ``exp(eta)``, that of the Poisson before truncation,
``log f(y) = y * eta - log(exp(rate) - 1) - log(y!)``, an exponential family with canonical
parameter eta, so that variance = d mean / d eta.
"""

import numpy as np
from scipy.special import pdtrc

from mixexp.experts._base import Curvature, Derivatives, Heads
from mixexp.experts._counts import LARGE_COUNT, CountGLM, with_large_counts
from mixexp.links import extended_exp, inverse_odds_gap, safe_exp


class ZeroTruncatedPoisson(CountGLM):
    """Zero-truncated Poisson expert; with a point mass at zero it makes a hurdle model.

    ``mean`` is that of the counts seen, ``rate / (1 - exp(-rate))``.

    Parameters
    ----------
    link : {"log"}, default="log"
        Between the location and the rate before truncation.

    Examples
    --------
    >>> import numpy as np
    >>> ZeroTruncatedPoisson().mean((np.array([[0.0]]),)).round(4)
    array([[1.582]])
    """

    name = "zero_truncated_poisson"
    support = "a count 1, 2, 3, ..."
    support_limits = (1.0, np.inf)

    def find_unsupported(self, y: np.ndarray) -> np.ndarray:
        return super().find_unsupported(y) | (y < 1.0)

    def log_kernel(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        eta, rate = heads[0], safe_exp(heads[0])
        # log(1 - exp(-rate)) is next to eta for small rates, which is taken from y first: the log
        # probability of 1, next to 0, has no rounding of eta in it then, and is never above 0.
        is_small, is_large = eta < 0.0, y >= LARGE_COUNT
        left = np.where(is_small, -np.expm1(-rate) / rate, -np.expm1(-rate))
        beyond_first = np.where(is_large, 0.0, y - is_small)
        kernel = with_large_counts(beyond_first * eta - extended_exp(eta), y, eta)
        return kernel - np.where(is_small & is_large, eta, 0.0) - np.log(left)

    def derivatives(self, y: np.ndarray, heads: Heads) -> Derivatives:
        return Derivatives((y - self.mean(heads),), {(0, 0): self.variance(heads)})

    def observed_curvature(self, y: np.ndarray, heads: Heads) -> Curvature:
        return {(0, 0): np.broadcast_to(self.variance(heads), (heads[0] + y).shape)}

    def mean(self, heads: Heads) -> np.ndarray:
        rate = safe_exp(heads[0])
        return rate / -np.expm1(-rate)

    def variance(self, heads: Heads) -> np.ndarray:
        # 1 + rate - mean cancels for small rates: it is rate / 2 there.
        return self.mean(heads) * inverse_odds_gap(safe_exp(heads[0]))

    def cdf(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        rate = safe_exp(heads[0])
        beyond = pdtrc(np.maximum(np.floor(y), 0.0), rate) / -np.expm1(-rate)
        return np.where(y < 1.0, 0.0, 1.0 - beyond)

    def survival(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        rate = safe_exp(heads[0])
        beyond = pdtrc(np.maximum(np.floor(y), 0.0), rate) / -np.expm1(-rate)
        return np.where(y < 1.0, 1.0, beyond)

    def expected_excess(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        rate, count = safe_exp(heads[0]), np.maximum(np.floor(y), 1.0)
        beyond = (rate - y) * self.survival(count, heads)
        beyond = beyond + rate * np.exp(self.log_density(count, heads))
        return np.where(y < 1.0, self.mean(heads) - y, np.maximum(beyond, 0.0))

    def sample(self, heads: Heads, rng: np.random.Generator) -> np.ndarray:
        # One event comes first, at a time known to lie before 1; the rest are Poisson.
        rate = safe_exp(heads[0])
        elapsed = -np.log1p(rng.random(rate.shape) * np.expm1(-rate))
        return 1.0 + rng.poisson(np.maximum(rate - elapsed, 0.0))

    def start(self, y: np.ndarray, weight: np.ndarray) -> tuple[float, ...]:
        # Exact in both limits of mean(rate): 1 + rate / 2, and rate itself.
        mean = (weight @ y + 0.05) / (weight.sum() + 0.025)
        mean = max(float(mean), 1.0 + 1e-3)
        return (float(np.log((mean - 1.0) * (1.0 + 1.0 / mean))),)
