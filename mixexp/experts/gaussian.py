"""Gaussian expert: a linear model with a variance of its own.

``log f(y) = -(log(2 pi) + log dispersion + (y - eta)**2 / dispersion) / 2`` with
dispersion = variance = ``exp(log_dispersion)``.
"""

import math

import numpy as np
from scipy.special import ndtr, ndtri

from mixexp.experts._base import (
    GLM,
    LOG_DISPERSION_FLOOR,
    Curvature,
    Derivatives,
    Head,
    Heads,
)
from mixexp.links import Identity, Link

_HALF_LOG_2PI = 0.5 * math.log(2.0 * math.pi)


class Gaussian(GLM):
    """Gaussian linear expert.

    Parameters
    ----------
    dispersion : {"own", "shared"}, default="own"
        Whether every expert has its own variance or all have the same.

    Examples
    --------
    >>> import numpy as np
    >>> heads = np.array([[0.0]]), np.array([[0.0]])
    >>> Gaussian().log_density(np.array([1.0]), heads).round(4)
    array([[-1.4189]])
    """

    name = "gaussian"
    is_location_scale = True
    has_mean_deviance_dispersion = True

    def __init__(self, dispersion: str = "own") -> None:
        self.dispersion = dispersion

    @property
    def heads(self) -> tuple[Head, ...]:
        return (
            Head("location", "location"),
            Head("log_dispersion", "dispersion", lower=LOG_DISPERSION_FLOOR),
        )

    @property
    def shares_dispersion(self) -> bool:
        return self.dispersion == "shared"

    @property
    def link_function(self) -> Link:
        return Identity()

    def unit_variance(self, mean: np.ndarray) -> np.ndarray:
        return np.ones_like(mean)

    def log_base(self, y: np.ndarray) -> float:
        return -_HALF_LOG_2PI

    def log_kernel(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        eta, log_dispersion = heads
        residual = y - eta
        residual *= residual
        residual *= -0.5 * np.exp(-log_dispersion)
        residual -= 0.5 * log_dispersion
        return residual

    def derivatives(self, y: np.ndarray, heads: Heads) -> Derivatives:
        eta, log_dispersion = heads
        precision = np.exp(-log_dispersion)
        residual = y - eta
        score = residual * precision
        residual *= score
        residual -= 1.0
        residual *= 0.5
        half = np.full_like(log_dispersion, 0.5)
        return Derivatives((score, residual), {(0, 0): precision, (1, 1): half})

    def observed_curvature(self, y: np.ndarray, heads: Heads) -> Curvature:
        eta, log_dispersion = heads
        precision = np.exp(-log_dispersion)
        score = (y - eta) * precision
        return {(0, 0): precision, (0, 1): score, (1, 1): 0.5 * score * (y - eta)}

    def variance(self, heads: Heads) -> np.ndarray:
        return np.broadcast_to(np.exp(heads[1]), np.broadcast_shapes(*(h.shape for h in heads)))

    def cdf(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        return ndtr((y - heads[0]) * np.exp(-0.5 * heads[1]))

    def quantile(self, q: np.ndarray, heads: Heads) -> np.ndarray:
        return heads[0] + np.exp(0.5 * heads[1]) * ndtri(q)

    def sample(self, heads: Heads, rng: np.random.Generator) -> np.ndarray:
        return heads[0] + np.exp(0.5 * heads[1]) * rng.standard_normal(heads[0].shape)

    def start(self, y: np.ndarray, weight: np.ndarray) -> tuple[float, ...]:
        mean = float(np.average(y, weights=weight))
        variance = float(np.average((y - mean) ** 2, weights=weight))
        return mean, math.log(variance) if variance > 0.0 else 0.0
