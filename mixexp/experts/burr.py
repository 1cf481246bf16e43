"""Burr expert: positive y whose lower and upper tails are powers of their own.

With scale = ``exp(eta)``, dispersion = ``exp(log_dispersion)`` and
``z = (log y - eta) / dispersion``, ``P(Y > y) = (1 + shape * exp(z))**(-1 / shape)``: Burr's type
XII, in which a shape of zero is the Weibull distribution, a shape of one the log-logistic, and a
dispersion of one the generalized Pareto. The tail falls as y to the power
``-1 / (shape * dispersion)``.
Burr (1942), Ann. Math. Statist. 13; Tadikamalla (1980), Int. Statist. Rev. 48.
"""

import math

import numpy as np
from scipy.special import betaincc, digamma, gammaln, polygamma

from mixexp.experts import _power_tail
from mixexp.experts._base import LOG_DISPERSION_FLOOR, Curvature, Derivatives, Head, Heads
from mixexp.experts._special import stirling_error
from mixexp.experts._units import Unit
from mixexp.experts._weighted import log_or_zero, weighted_moments
from mixexp.experts.weibull import standardize
from mixexp.links import LARGEST_LOG, capped_exp, logistic, safe_exp

_START_SHAPE = 0.3
_LEAST_Y = 1e-300


class Burr(_power_tail.PowerTail):
    """Burr type XII expert, also known as Singh-Maddala; ``dispersion`` is the scale of log y.

    Where ``shape * dispersion`` is one or more there is no mean, and ``mean`` is 7e73; where it is
    a half or more, ``variance`` is infinite.

    Parameters
    ----------
    link : {"log"}, default="log"
        Between the location and the scale of y, which is not its mean.
    shape : float or None, default=None
        How heavy the upper tail is, positive; 1 for log-logistic experts. None means estimated per
        expert, within [0.001, 0.99], by a head ``log_shape`` of kind "shape".
    dispersion : {"own", "shared"} or float, default="own"
        Whether every expert has a dispersion of its own, all have the same, or it is known.

    Examples
    --------
    >>> import numpy as np
    >>> heads = np.array([[0.0]]), np.array([[0.0]])
    >>> Burr(shape=1.0).log_density(np.array([2.0]), heads).round(4)
    array([[-2.1972]])
    """

    name = "burr"

    def __init__(
        self, link: str = "log", shape: float | None = None, dispersion: str | float = "own"
    ) -> None:
        self.link = link
        self.shape = shape
        self.dispersion = dispersion

    @property
    def heads(self) -> tuple[Head, ...]:
        scaled = (
            Head("location", "location", unit=Unit(log_power=1.0)),
            Head("log_dispersion", "dispersion", lower=LOG_DISPERSION_FLOOR),
        )
        if self.shape is not None:
            return scaled
        limits = _power_tail.LOG_SHAPE_LIMITS
        return *scaled, Head("log_shape", "shape", *limits, at_lower="weibull")

    def _log_shape(self, heads: Heads) -> np.ndarray:
        return heads[2] if self.shape is None else np.full((1, 1), math.log(self.shape))

    def _terms(self, y: np.ndarray, heads: Heads) -> tuple[np.ndarray, np.ndarray]:
        """Return z, and the log of the shape."""
        return standardize(np.maximum(y, _LEAST_Y), heads), self._log_shape(heads)

    def log_base(self, y: np.ndarray) -> np.ndarray:
        return -np.log(y)

    def log_kernel(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        z, s = self._terms(y, heads)
        return z + _power_tail.log_decay(z, s) - heads[1]

    def derivatives(self, y: np.ndarray, heads: Heads) -> Derivatives:
        z, s = self._terms(y, heads)
        rate, shape = capped_exp(-heads[1]), safe_exp(s)
        in_z, in_shape = _power_tail.slopes(z, s)
        # Under the model logistic(z + s) has a beta distribution, which gives z its moments.
        k = 1.0 / shape
        centre = digamma(2.0) - digamma(k + 1.0) - s
        spread = centre**2 + polygamma(1, 2.0) + polygamma(1, k + 1.0)
        curvature = {
            (0, 0): rate**2 / (1.0 + 2.0 * shape),
            (1, 1): np.broadcast_to(1.0 + spread / (1.0 + 2.0 * shape), rate.shape),
        }
        score = (-rate * in_z, -z * in_z - 1.0)
        if self.shape is not None:
            return Derivatives(score, curvature)
        curvature[2, 2] = 2.0 * shape / (1.0 + shape) * (shape / (1.0 + 2.0 * shape))
        return Derivatives((*score, in_shape), curvature)

    def observed_curvature(self, y: np.ndarray, heads: Heads) -> Curvature:
        z, s = self._terms(y, heads)
        rate, held = capped_exp(-heads[1]), np.clip(z, -LARGEST_LOG, LARGEST_LOG)
        in_z, in_shape_and_z, in_shape = _power_tail.bends(z, s)
        slope, _ = _power_tail.slopes(z, s)
        curvature = {
            (0, 0): in_z * rate**2,
            (0, 1): (held * in_z - slope) * rate,
            (1, 1): np.square(held) * in_z - z * slope,
        }
        if self.shape is None:
            curvature[0, 2] = -in_shape_and_z * rate
            curvature[1, 2] = -in_shape_and_z * z
            curvature[2, 2] = in_shape
        return curvature

    def _log_moment(self, order: float, heads: Heads) -> np.ndarray:
        """Return the log of the mean of a power of y, infinite where there is none."""
        power, k = order * safe_exp(heads[1]), safe_exp(-self._log_shape(heads))
        left = np.maximum(k - power, 1e-300)
        # The ratio of gamma functions of these, and k to the power, by Stirling.
        ratio = (left - 0.5) * (np.log(left) - np.log(k)) + np.minimum(power, k)
        ratio = ratio + stirling_error(left) - stirling_error(k)
        log_moment = order * heads[0] + gammaln(1.0 + power) + ratio
        return np.where(power < k, log_moment, np.inf)

    def mean(self, heads: Heads) -> np.ndarray:
        return safe_exp(self._log_moment(1.0, heads))

    def variance(self, heads: Heads) -> np.ndarray:
        log_mean, log_second = self._log_moment(1.0, heads), self._log_moment(2.0, heads)
        is_finite = np.isfinite(log_second)
        ratio = np.where(is_finite, 2.0 * log_mean, 0.0) - np.where(is_finite, log_second, 1.0)
        return np.where(is_finite, safe_exp(log_second) * -np.expm1(ratio), np.inf)

    def expected_excess(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        z, s = self._terms(y, heads)
        power, k, mean = safe_exp(heads[1]), safe_exp(-s), self.mean(heads)
        has_mean = power < k
        share = betaincc(1.0 + power, np.where(has_mean, k - power, 1.0), logistic(z + s))
        inside = np.maximum(mean * share - y * self.survival(y, heads), 0.0)
        return np.where(has_mean, np.where(y <= 0.0, mean - y, inside), np.inf)

    def _at_hazard(self, hazard: np.ndarray, heads: Heads) -> np.ndarray:
        """Return log y where minus the log survival function is so much."""
        z = _power_tail.log_quantile(hazard, self._log_shape(heads))
        return heads[0] + safe_exp(heads[1]) * z

    def quantile(self, q: np.ndarray, heads: Heads) -> np.ndarray:
        with np.errstate(divide="ignore", over="ignore"):
            return np.exp(self._at_hazard(-np.log1p(-q), heads))

    def sample(self, heads: Heads, rng: np.random.Generator) -> np.ndarray:
        return safe_exp(self._at_hazard(rng.standard_exponential(heads[0].shape), heads))

    def start(self, y: np.ndarray, weight: np.ndarray) -> tuple[float, ...]:
        # Moments of log y.
        shape = _START_SHAPE if self.shape is None else self.shape
        k = 1.0 / shape
        mean, variance = weighted_moments(np.log(y), weight)
        spread = float(polygamma(1, 1.0) + polygamma(1, k))
        dispersion = math.sqrt(variance / spread)
        centre = float(digamma(1.0) - digamma(k)) - math.log(shape)
        start = (mean - centre * dispersion, log_or_zero(dispersion))
        return start if self.shape is not None else (*start, math.log(shape))
