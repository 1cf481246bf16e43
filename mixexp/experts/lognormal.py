"""Lognormal expert: a linear model for log y.

``log f(y) = -(log(2 pi) + log dispersion + (log y - eta)**2 / dispersion) / 2 - log y`` with
dispersion = variance of log y = ``exp(log_dispersion)``.
"""

import numpy as np
from scipy.special import ndtr

from mixexp.experts._base import Curvature, Derivatives, Heads
from mixexp.experts._units import NO_UNIT, Unit
from mixexp.experts.gaussian import Gaussian
from mixexp.links import safe_exp


class Lognormal(Gaussian):
    """Lognormal expert; ``mean`` is that of y, not of log y.

    Parameters
    ----------
    link : {"identity"}, default="identity"
        Between the location and the mean of log y.
    dispersion : {"own", "shared"} or float, default="own"
        Whether every expert has a dispersion of its own, all have the same, or it is known.

    Examples
    --------
    >>> import numpy as np
    >>> heads = np.array([[0.0]]), np.array([[0.0]])
    >>> Lognormal().mean(heads).round(4)
    array([[1.6487]])
    """

    name = "lognormal"
    links = ("identity",)
    support = "> 0"
    support_limits = (0.0, np.inf)

    @property
    def head_units(self) -> tuple[Unit, Unit]:
        return Unit(log_power=1.0), NO_UNIT

    def find_unsupported(self, y: np.ndarray) -> np.ndarray:
        return ~(np.isfinite(y) & (y > 0.0))

    def log_base(self, y: np.ndarray) -> np.ndarray:
        return super().log_base(y) - np.log(y)

    def log_kernel(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        return super().log_kernel(np.log(y), heads)

    def derivatives(self, y: np.ndarray, heads: Heads) -> Derivatives:
        return super().derivatives(np.log(y), heads)

    def evaluate(self, y: np.ndarray, heads: Heads) -> tuple[np.ndarray, Derivatives]:
        return super().evaluate(np.log(y), heads)

    def observed_curvature(self, y: np.ndarray, heads: Heads) -> Curvature:
        return super().observed_curvature(np.log(y), heads)

    def mean(self, heads: Heads) -> np.ndarray:
        return safe_exp(heads[0] + 0.5 * safe_exp(heads[1]))

    def variance(self, heads: Heads) -> np.ndarray:
        return self.mean(heads) ** 2 * np.expm1(np.minimum(safe_exp(heads[1]), 300.0))

    def cdf(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        log_y = np.log(np.maximum(y, 1e-300))
        return np.where(y <= 0.0, 0.0, super().cdf(log_y, heads))

    def survival(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        log_y = np.log(np.maximum(y, 1e-300))
        return np.where(y <= 0.0, 1.0, super().survival(log_y, heads))

    def log_cdf(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        log_y = np.log(np.maximum(y, 1e-300))
        return np.where(y <= 0.0, -np.inf, super().log_cdf(log_y, heads))

    def log_survival(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        log_y = np.log(np.maximum(y, 1e-300))
        return np.where(y <= 0.0, 0.0, super().log_survival(log_y, heads))

    def expected_excess(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        scale = safe_exp(0.5 * heads[1])
        z = (np.log(np.maximum(y, 1e-300)) - heads[0]) / scale
        mean = self.mean(heads)
        inside = mean * ndtr(scale - z) - y * ndtr(-z)
        return np.where(y <= 0.0, mean - y, np.maximum(inside, 0.0))

    def mean_distance(self, heads: Heads, others: Heads) -> np.ndarray:
        own, other = safe_exp(heads[1]), safe_exp(others[1])
        scale, gap = np.sqrt(own + other), heads[0] - others[0]
        first = self.mean(heads) * (2.0 * ndtr((gap + own) / scale) - 1.0)
        return first + self.mean(others) * (2.0 * ndtr((other - gap) / scale) - 1.0)

    def quantile(self, q: np.ndarray, heads: Heads) -> np.ndarray:
        with np.errstate(over="ignore"):
            return np.exp(super().quantile(q, heads))

    def sample(self, heads: Heads, rng: np.random.Generator) -> np.ndarray:
        return safe_exp(super().sample(heads, rng))

    def start(self, y: np.ndarray, weight: np.ndarray) -> tuple[float, ...]:
        return super().start(np.log(y), weight)
