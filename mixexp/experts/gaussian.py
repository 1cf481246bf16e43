"""Gaussian expert: a linear model with a variance of its own.

``log f(y) = -(log(2 pi) + log dispersion + (y - mean)**2 / dispersion) / 2`` with
``link(mean) = eta`` and dispersion = variance = ``exp(log_dispersion)``.
"""

import math
from typing import ClassVar

import numpy as np
from scipy.special import log_ndtr, ndtr, ndtri

from mixexp.experts._base import Curvature, Derivatives, Heads
from mixexp.experts._fused import square_terms
from mixexp.experts._glm import UNITS_OF_LINKS, DispersionModel
from mixexp.experts._special import HALF_LOG_2PI
from mixexp.experts._units import Unit
from mixexp.experts._weighted import log_or_zero, weighted_moments
from mixexp.links import LARGEST_LOG, capped_exp, extended_exp, safe_exp

# Residuals whose square is finite, and log dispersions whose precision is.
_LARGEST_DISTANCE = 1e100
_LEAST_LOG_DISPERSION = -100.0


class Gaussian(DispersionModel):
    """Gaussian linear expert.

    Parameters
    ----------
    link : {"identity", "log"}, default="identity"
        With the log link y may still be negative, but its mean may not.
    dispersion : {"own", "shared"} or float, default="own"
        Whether every expert has a dispersion of its own, all have the same, or it is known.

    Examples
    --------
    >>> import numpy as np
    >>> heads = np.array([[0.0]]), np.array([[0.0]])
    >>> Gaussian().log_density(np.array([1.0]), heads).round(4)
    array([[-1.4189]])
    """

    name = "gaussian"
    has_mean_distance = True
    links: ClassVar[tuple[str, ...]] = ("identity", "log")

    def __init__(self, link: str = "identity", dispersion: str | float = "own") -> None:
        self.link = link
        self.dispersion = dispersion

    @property
    def head_units(self) -> tuple[Unit, Unit]:
        location = UNITS_OF_LINKS[self.link]._replace(moves=self.link == "identity")
        return location, Unit(log_power=2.0)

    @property
    def has_mean_deviance_dispersion(self) -> bool:
        return self.link == "identity"

    @property
    def takes_error(self) -> bool:
        return self.link == "identity"

    def with_error(self, heads: Heads, variance: np.ndarray) -> Heads:
        return heads[0], heads[1] + np.log1p(variance * capped_exp(-heads[1]))

    def unit_variance(self, mean: np.ndarray) -> np.ndarray:
        return np.ones_like(mean)

    def log_base(self, y: np.ndarray) -> np.ndarray | float:
        return -HALF_LOG_2PI

    def log_kernel(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        residual = y - self.link_function.mean(heads[0])
        if self._is_far(residual, heads):
            return self._far_kernel(residual, heads)
        residual *= residual
        residual *= -0.5 * capped_exp(-heads[1])
        residual -= 0.5 * heads[1]
        return residual

    def _is_far(self, residual: np.ndarray, heads: Heads) -> bool:
        """Tell whether a square, a precision or a mean might be cut: beyond what fits come to."""
        return bool(
            np.any(heads[1] < _LEAST_LOG_DISPERSION)
            or np.any(np.abs(residual) > _LARGEST_DISTANCE)
            or (self.link == "log" and np.any(heads[0] > LARGEST_LOG))
        )

    def _far_kernel(self, residual: np.ndarray, heads: Heads) -> np.ndarray:
        """Return ``-(residual**2 / dispersion + log_dispersion) / 2`` by logarithms."""
        return -0.5 * (extended_exp(self._log_square(residual, heads)) + heads[1])

    def _log_square(self, residual: np.ndarray, heads: Heads) -> np.ndarray:
        """Return the log of the squared residual over the dispersion."""
        with np.errstate(divide="ignore"):
            log_distance = np.log(np.abs(residual))
        if self.link == "log":  # where the mean is cut, it or y is all of the residual
            from_mean = np.maximum(heads[0], log_distance)
            log_distance = np.where(heads[0] > LARGEST_LOG, from_mean, log_distance)
        return 2.0 * log_distance - heads[1]

    def derivatives(self, y: np.ndarray, heads: Heads) -> Derivatives:
        return Gaussian.evaluate(self, y, heads)[1]

    def evaluate(self, y: np.ndarray, heads: Heads) -> tuple[np.ndarray, Derivatives]:
        eta, log_dispersion = heads
        mean, precision = self.link_function.mean(eta), capped_exp(-log_dispersion)
        if log_dispersion.shape == (*mean.shape[:-1], 1):
            log_kernel, score, excess = square_terms(y, mean, log_dispersion, precision)
        else:
            residual = np.clip(y - mean, -_LARGEST_DISTANCE, _LARGEST_DISTANCE)
            score = residual * precision
            square = residual * score
            log_kernel, excess = -0.5 * (square + log_dispersion), 0.5 * (square - 1.0)
        if self._is_far(np.zeros(()), heads):
            log_kernel = self._far_kernel(y - mean, heads)
            excess = 0.5 * (capped_exp(self._log_square(y - mean, heads)) - 1.0)
        half = np.full_like(log_dispersion, 0.5)
        if self.link == "identity":
            curvature = {(0, 0): precision, (1, 1): half}
            return log_kernel, Derivatives((score, excess), curvature)
        slope = self.link_function.mean_derivative(eta, mean)
        curvature = {(0, 0): precision * slope**2, (1, 1): half}
        return log_kernel, Derivatives((score * slope, excess), curvature)

    def observed_curvature(self, y: np.ndarray, heads: Heads) -> Curvature:
        link, precision = self.link_function, capped_exp(-heads[1])
        mean = link.mean(heads[0])
        slope, bend = (
            link.mean_derivative(heads[0], mean),
            link.mean_second_derivative(heads[0], mean),
        )
        residual = np.clip(y - mean, -_LARGEST_DISTANCE, _LARGEST_DISTANCE)
        score = residual * precision
        return {
            (0, 0): precision * slope**2 - score * bend,
            (0, 1): score * slope,
            (1, 1): 0.5 * score * residual,
        }

    def _standardize(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        with np.errstate(over="ignore"):  # to infinity, whose probabilities are right
            return (y - self.link_function.mean(heads[0])) * safe_exp(-0.5 * heads[1])

    def cdf(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        return ndtr(self._standardize(y, heads))

    def survival(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        return ndtr(-self._standardize(y, heads))

    def log_cdf(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        return log_ndtr(self._standardize(y, heads))

    def log_survival(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        return log_ndtr(-self._standardize(y, heads))

    def expected_excess(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        scale = safe_exp(0.5 * heads[1])
        z = (y - self.link_function.mean(heads[0])) / scale
        return scale * np.maximum(np.exp(-0.5 * z * z - HALF_LOG_2PI) - z * ndtr(-z), 0.0)

    def mean_distance(self, heads: Heads, others: Heads) -> np.ndarray:
        scale = np.sqrt(safe_exp(heads[1]) + safe_exp(others[1]))
        z = (self.link_function.mean(heads[0]) - self.link_function.mean(others[0])) / scale
        return scale * (2.0 * np.exp(-0.5 * z * z - HALF_LOG_2PI) + z * (2.0 * ndtr(z) - 1.0))

    def quantile(self, q: np.ndarray, heads: Heads) -> np.ndarray:
        return self.link_function.mean(heads[0]) + safe_exp(0.5 * heads[1]) * ndtri(q)

    def sample(self, heads: Heads, rng: np.random.Generator) -> np.ndarray:
        return self.link_function.mean(heads[0]) + safe_exp(0.5 * heads[1]) * rng.standard_normal(
            heads[0].shape
        )

    def start(self, y: np.ndarray, weight: np.ndarray) -> tuple[float, ...]:
        mean, variance = weighted_moments(y, weight)
        # A log link cannot start below zero.
        floor = -math.inf if self.link == "identity" else 1e-3 * math.sqrt(variance) or 1.0
        return float(self.link_function.predictor(max(mean, floor))), log_or_zero(variance)
