"""Laplace expert: a linear model for the median, by least absolute deviations.

With dispersion = ``exp(log_dispersion)`` = squared scale and t = (y - eta) / scale,
``log f(y) = -log(2) - log_dispersion / 2 - |t|``, whose kink is rounded: see `Laplace`.
"""

import math

import numpy as np

from mixexp.experts._base import Curvature, Derivatives, Expert, Head, Heads
from mixexp.experts._location_scale import location_scale_heads
from mixexp.experts._weighted import log_or_zero, weighted_median
from mixexp.links import capped_exp, extended_exp, safe_exp

_LOG_2 = math.log(2.0)
_ROUNDING = 1e-4
# Beyond, a residual in scales might overflow, or one over the scale have to be cut.
_LARGEST_DISTANCE = 1e200
_LEAST_LOG_DISPERSION = -200.0
# log of the integral of exp(-rounded |t|), 2 - 2/3 * 1e-8.
_LOG_CONSTANT = math.log(
    2.0 * math.exp(-_ROUNDING)
    + math.exp(-0.5 * _ROUNDING)
    * math.sqrt(2.0 * math.pi * _ROUNDING)
    * math.erf(math.sqrt(0.5 * _ROUNDING))
)


class Laplace(Expert):
    """Laplace expert.

    Parameters
    ----------
    link : {"identity"}, default="identity"
    dispersion : {"own", "shared"} or float, default="own"
        Whether every expert has a dispersion of its own, all have the same, or it is known.

    Notes
    -----
    The kink of ``|t|`` has no derivatives, so within 1e-4 scales of the location it is replaced by
    the parabola ``t**2 / (2 * 1e-4) + 1e-4 / 2`` that joins it smoothly (Huber 1964). Density
    and derivatives are those of the rounded function, hence exact and consistent; the log
    density differs from Laplace's by at most 5e-5 there and 4e-9 elsewhere. Moments, cdf and
    quantile are Laplace's. EM's curvature of the location, ``1 / max(|t|, 1e-4)`` over the
    dispersion, belongs to a parabola that lies above the function and touches it at t, so
    that steps cannot overshoot (Hunter & Lange 2004, A tutorial on MM algorithms, section 3).
    The observed curvature is zero but for rows in the parabola: standard errors are refused
    but for those by outer products of scores.

    Examples
    --------
    >>> import numpy as np
    >>> heads = np.array([[0.0]]), np.array([[0.0]])
    >>> Laplace().log_density(np.array([1.0]), heads).round(4)
    array([[-1.6931]])
    """

    name = "laplace"
    links = ("identity",)
    is_smooth = False

    def __init__(self, link: str = "identity", dispersion: str | float = "own") -> None:
        self.dispersion = dispersion
        self.link = link

    @property
    def heads(self) -> tuple[Head, ...]:
        return location_scale_heads()

    def _standardize(self, y: np.ndarray, heads: Heads) -> tuple[np.ndarray, np.ndarray]:
        """Return the residual in scales, and one over the scale."""
        rate = capped_exp(-0.5 * heads[1])
        return np.clip(y - heads[0], -_LARGEST_DISTANCE, _LARGEST_DISTANCE) * rate, rate

    def _size(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        """Return the magnitude of the residual in scales, which grows on where these are cut."""
        size = np.abs(self._standardize(y, heads)[0])
        distance = np.abs(y - heads[0])
        is_far = (heads[1] < _LEAST_LOG_DISPERSION) | (distance > _LARGEST_DISTANCE)
        if not is_far.any():
            return size
        with np.errstate(divide="ignore"):
            far = extended_exp(np.log(distance) - 0.5 * heads[1])
        return np.where(is_far, far, size)

    def log_base(self, y: np.ndarray) -> float:
        return -_LOG_CONSTANT

    def log_kernel(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        size = self._size(y, heads)
        near = np.minimum(size, _ROUNDING)
        parabola = 0.5 * (near * near / _ROUNDING + _ROUNDING)
        return -np.where(size < _ROUNDING, parabola, size) - 0.5 * heads[1]

    def derivatives(self, y: np.ndarray, heads: Heads) -> Derivatives:
        t, rate = self._standardize(y, heads)
        weight = 1.0 / np.maximum(np.abs(t), _ROUNDING)
        slope = weight * t
        score = (slope * rate, 0.5 * (slope * t - 1.0))
        return Derivatives(score, {(0, 0): weight * rate**2, (1, 1): np.full_like(rate, 0.25)})

    def observed_curvature(self, y: np.ndarray, heads: Heads) -> Curvature:
        t, rate = self._standardize(y, heads)
        slope = np.clip(t / _ROUNDING, -1.0, 1.0)
        bend = np.where(np.abs(t) < _ROUNDING, 1.0 / _ROUNDING, 0.0)
        along = slope + bend * t
        return {
            (0, 0): bend * rate**2,
            (0, 1): 0.5 * along * rate,
            (1, 1): 0.25 * along * t,
        }

    def mean(self, heads: Heads) -> np.ndarray:
        return heads[0]

    def variance(self, heads: Heads) -> np.ndarray:
        shape = np.broadcast_shapes(heads[0].shape, heads[1].shape)
        return np.broadcast_to(2.0 * safe_exp(heads[1]), shape)

    def cdf(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        t, _ = self._standardize(y, heads)
        tail = 0.5 * np.exp(-np.abs(t))
        return np.where(t < 0.0, tail, 1.0 - tail)

    def survival(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        t, _ = self._standardize(y, heads)
        tail = 0.5 * np.exp(-np.abs(t))
        return np.where(t < 0.0, 1.0 - tail, tail)

    def log_cdf(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        t, _ = self._standardize(y, heads)
        return np.where(t < 0.0, -np.abs(t) - _LOG_2, np.log1p(-0.5 * np.exp(-np.abs(t))))

    def log_survival(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        t, _ = self._standardize(y, heads)
        return np.where(t < 0.0, np.log1p(-0.5 * np.exp(-np.abs(t))), -np.abs(t) - _LOG_2)

    def expected_excess(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        t, rate = self._standardize(y, heads)
        return (0.5 * np.exp(-np.abs(t)) + np.maximum(-t, 0.0)) / rate

    def quantile(self, q: np.ndarray, heads: Heads) -> np.ndarray:
        with np.errstate(divide="ignore"):
            size = np.log(2.0 * np.minimum(q, 1.0 - q))
        return heads[0] + safe_exp(0.5 * heads[1]) * np.where(q < 0.5, size, -size)

    def sample(self, heads: Heads, rng: np.random.Generator) -> np.ndarray:
        return rng.laplace(heads[0], safe_exp(0.5 * heads[1]))

    def start(self, y: np.ndarray, weight: np.ndarray) -> tuple[float, ...]:
        median = weighted_median(y, weight)
        scale = float(np.average(np.abs(y - median), weights=weight))
        return median, log_or_zero(scale**2)
