"""Generalized Pareto expert: excesses over a threshold, whose tail is a power.

With scale = ``exp(eta)`` and ``shape > 0``, ``P(Y > y) = (1 + shape * y / scale)**(-1 / shape)``,
also known as the Lomax or Pareto type II distribution. Pickands (1975), Ann. Statist. 3; Davison &
Smith (1990), Models for exceedances over high thresholds, J. R. Statist. Soc. B 52.
"""

import math

import numpy as np

from mixexp.experts import _power_tail
from mixexp.experts._base import Curvature, Derivatives, Head, Heads
from mixexp.experts._units import Unit
from mixexp.experts._weighted import log_or_zero, weighted_moments
from mixexp.links import safe_exp

_LEAST_Y = 1e-300


class GeneralizedPareto(_power_tail.PowerTail):
    """Generalized Pareto expert for positive y, with a heavy tail.

    Give it the excess over a threshold. At zero itself the density would have no bound: zeros are
    for a "point_mass" expert beside it.

    ``mean`` is ``scale / (1 - shape)``; for a shape of one or more there is none, and it is 7e73.
    ``variance`` is infinite for a shape of a half or more.

    Parameters
    ----------
    link : {"log"}, default="log"
        Between the location and the scale of y, which is not its mean.
    shape : float or None, default=None
        The tail's index, positive; None means estimated per expert, within [0.001, 0.99], by a head
        ``log_shape`` of kind "shape".

    Examples
    --------
    >>> import numpy as np
    >>> heads = (np.array([[0.0]]),)
    >>> GeneralizedPareto(shape=0.5).log_density(np.array([2.0]), heads).round(4)
    array([[-2.0794]])
    """

    name = "generalized_pareto"

    def __init__(self, link: str = "log", shape: float | None = None) -> None:
        self.link = link
        self.shape = shape

    @property
    def heads(self) -> tuple[Head, ...]:
        location = Head("location", "location", unit=Unit(log_power=1.0))
        if self.shape is not None:
            return (location,)
        limits = _power_tail.LOG_SHAPE_LIMITS
        return location, Head("log_shape", "shape", *limits, at_lower="exponential")

    def _terms(self, y: np.ndarray, heads: Heads) -> tuple[np.ndarray, np.ndarray]:
        """Return the log of y on its scale, and the log of the shape."""
        return np.log(np.maximum(y, _LEAST_Y)) - heads[0], self._log_shape(heads)

    def _log_shape(self, heads: Heads) -> np.ndarray:
        return heads[1] if self.shape is None else np.full((1, 1), math.log(self.shape))

    def log_kernel(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        return _power_tail.log_decay(*self._terms(y, heads)) - heads[0]

    def derivatives(self, y: np.ndarray, heads: Heads) -> Derivatives:
        z, s = self._terms(y, heads)
        in_z, in_shape = _power_tail.slopes(z, s)
        shape = safe_exp(s)
        information = np.broadcast_to(1.0 / (1.0 + 2.0 * shape), in_z.shape)
        if self.shape is not None:
            return Derivatives((-in_z,), {(0, 0): information})
        of_shape = 2.0 * shape / (1.0 + shape) * (shape / (1.0 + 2.0 * shape))
        return Derivatives((-in_z, in_shape), {(0, 0): information, (1, 1): of_shape})

    def observed_curvature(self, y: np.ndarray, heads: Heads) -> Curvature:
        in_z, across, in_shape = _power_tail.bends(*self._terms(y, heads))
        if self.shape is not None:
            return {(0, 0): in_z}
        return {(0, 0): in_z, (0, 1): -across, (1, 1): in_shape}

    def mean(self, heads: Heads) -> np.ndarray:
        shape = safe_exp(self._log_shape(heads))
        with np.errstate(divide="ignore"):
            return safe_exp(heads[0] - np.log(np.maximum(1.0 - shape, 0.0)))

    def variance(self, heads: Heads) -> np.ndarray:
        shape = safe_exp(self._log_shape(heads))
        return self.mean(heads) ** 2 * _inverse_of_rest(2.0 * shape)

    def expected_excess(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        # The excess over y is of the same kind, with a scale of scale + shape * y.
        shape = safe_exp(self._log_shape(heads))
        reach, factor = np.maximum(y, 0.0), _inverse_of_rest(shape)
        beyond = (safe_exp(heads[0]) + shape * reach) * self.survival(y, heads) * factor
        return beyond + np.maximum(-y, 0.0)

    def quantile(self, q: np.ndarray, heads: Heads) -> np.ndarray:
        with np.errstate(divide="ignore", over="ignore"):
            return np.exp(
                heads[0] + _power_tail.log_quantile(-np.log1p(-q), self._log_shape(heads))
            )

    def sample(self, heads: Heads, rng: np.random.Generator) -> np.ndarray:
        hazard = rng.standard_exponential(heads[0].shape)
        return safe_exp(heads[0] + _power_tail.log_quantile(hazard, self._log_shape(heads)))

    def start(self, y: np.ndarray, weight: np.ndarray) -> tuple[float, ...]:
        # Moments, where the shape is below a half.
        mean, variance = weighted_moments(y, weight)
        shape = 0.5 * (1.0 - mean**2 / variance) if variance > 0.0 else 0.0
        shape = min(max(shape, 0.05), 0.45) if self.shape is None else min(self.shape, 0.5)
        location = log_or_zero(mean * (1.0 - shape))
        return (location,) if self.shape is not None else (location, math.log(shape))


def _inverse_of_rest(shape: np.ndarray) -> np.ndarray:
    """Return ``1 / (1 - shape)``, infinite where that is no positive number."""
    return np.where(shape < 1.0, 1.0 / np.maximum(1.0 - shape, 1e-300), np.inf)
