"""Skew-normal expert: a linear model whose residuals lean to one side.

With ``z = (y - eta) / scale``, dispersion = ``exp(log_dispersion)`` = squared scale and a shape
that is positive where the upper tail is the longer one,

``log f(y) = log(2) - log(2 * pi * dispersion) / 2 - z**2 / 2 + log Phi(shape * z)``.
Azzalini (1985), Scand. J. Statist. 12. With ``lean = shape / sqrt(1 + shape**2)`` the mean is ``eta
+ scale * lean * sqrt(2 / pi)``.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import erfcx, log_ndtr, ndtr, owens_t

from mixexp.arguments import is_in_range
from mixexp.experts._base import Curvature, Derivatives, Expert, Head, Heads
from mixexp.experts._location_scale import location_scale_heads
from mixexp.experts._weighted import log_or_zero, weighted_moments
from mixexp.links import PROBABILITY_LINKS, capped_exp, extended_exp, safe_exp

_LARGEST_SHAPE = 100.0
_HALF_LOG_HALF_PI = 0.5 * math.log(0.5 * math.pi)
_MEAN_OF_HALF = math.sqrt(2.0 / math.pi)
_SQRT_2 = math.sqrt(2.0)
# Residuals in units of the scale whose powers are numbers, and scores of the size of densities.
_LARGEST_DISTANCE = 1e75
# Skewness of a half-normal distribution is 0.995; starts stay below.
_MOST_SKEW = 0.95
# Experts of less shape may be at the saddle between both sides; where their reflections begin.
_SMALL_SHAPE, _LEAST_REFLECTED = 1.0, 2.0
# Where differences of probabilities have lost half of their digits tails are integrals.
_SMALL_TAIL = 1e-5
_TAIL_NODES = np.polynomial.laguerre.laggauss(32)


class _Terms(NamedTuple):
    """What densities and derivatives are made of.

    Parameters
    ----------
    z : ndarray
        Residuals over the scale.
    rate : ndarray
        One over the scale.
    pull : ndarray
        Of ``log Phi`` at shape * z, the derivative.
    bend : ndarray
        Minus its second derivative, between 0 and 1.
    """

    z: np.ndarray
    rate: np.ndarray
    pull: np.ndarray
    bend: np.ndarray


class SkewNormal(Expert):
    """Skew-normal expert; the location is where it would be centred without the shape.

    ``mean`` is not the location but beside it, in the direction of the longer tail.

    Parameters
    ----------
    link : {"identity"}, default="identity"
        Between the location and the predictor.
    shape : float or None, default=None
        0 for a Gaussian, its sign that of the skewness; None means estimated per expert, within
        [-100, 100], by a head ``shape`` of kind "shape".
    dispersion : {"own", "shared"} or float, default="own"
        Whether every expert has a dispersion of its own, all have the same, or it is known.

    Notes
    -----
    At a shape of zero the likelihood is flat to second order: standard errors of location and
    shape of data without skewness are large.

    Examples
    --------
    >>> import numpy as np
    >>> heads = np.array([[0.0]]), np.array([[0.0]])
    >>> SkewNormal(shape=3.0).log_density(np.array([0.0]), heads).round(4)
    array([[-0.9189]])
    """

    name = "skew_normal"
    links = ("identity",)

    def __init__(
        self, link: str = "identity", shape: float | None = None, dispersion: str | float = "own"
    ) -> None:
        self.link = link
        self.shape = shape
        self.dispersion = dispersion

    def check_options(self) -> None:
        super().check_options()
        limit = math.nextafter(_LARGEST_SHAPE, math.inf)
        is_valid = self.shape is None or is_in_range(self.shape, -limit, limit)
        self._check_range("shape", is_valid, "a number in the range [-100, 100] or None")

    @property
    def heads(self) -> tuple[Head, ...]:
        scaled = location_scale_heads()
        if self.shape is not None:
            return scaled
        return *scaled, Head("shape", "shape", lower=-_LARGEST_SHAPE, upper=_LARGEST_SHAPE)

    def _shape(self, heads: Heads) -> np.ndarray:
        return heads[2] if self.shape is None else np.full((1, 1), float(self.shape))

    def _lean(self, heads: Heads) -> np.ndarray:
        """Return ``shape / sqrt(1 + shape**2)``."""
        shape = self._shape(heads)
        return shape / np.sqrt(1.0 + shape**2)

    def _standardize(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        """Return z, cut where it is beyond all that densities tell apart."""
        residual = np.clip(y - heads[0], -_LARGEST_DISTANCE, _LARGEST_DISTANCE)
        z = residual * capped_exp(-0.5 * heads[1])
        return np.clip(z, -_LARGEST_DISTANCE, _LARGEST_DISTANCE)

    def log_base(self, y: np.ndarray) -> float:
        return -_HALF_LOG_HALF_PI

    def log_kernel(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        with np.errstate(divide="ignore"):
            log_size = np.log(np.abs(y - heads[0])) - 0.5 * heads[1]
        shape = self._shape(heads)
        size = np.where(log_size < 85.0, np.exp(np.minimum(log_size, 85.0)), 0.0)
        inside = log_ndtr(shape * np.copysign(size, y - heads[0])) - 0.5 * size**2
        # So far away one square is all that is left.
        against = np.where((y - heads[0]) * shape < 0.0, np.square(shape), 0.0)
        far = -0.5 * (1.0 + against) * extended_exp(2.0 * log_size)
        return np.where(log_size < 85.0, inside, far) - 0.5 * heads[1]

    def _terms(self, y: np.ndarray, heads: Heads) -> _Terms:
        z, shape = self._standardize(y, heads), self._shape(heads)
        link = PROBABILITY_LINKS["probit"]
        t = np.maximum(shape * z, -_LARGEST_DISTANCE)
        pull = _MEAN_OF_HALF / erfcx(-t / _SQRT_2)
        bend = -link.rate_derivatives(t)[0]
        return _Terms(z, capped_exp(-0.5 * heads[1]), pull, bend)

    def derivatives(self, y: np.ndarray, heads: Heads) -> Derivatives:
        (z, rate, pull, bend), shape = self._terms(y, heads), self._shape(heads)
        in_z = z - shape * pull
        square = shape**2 * bend
        # Scores of the shape have mean zero, and z**2 mean one: what is left is no less than 1/2.
        curvature = {(0, 0): rate**2 * (1.0 + square), (1, 1): 0.5 + 0.25 * square * z**2}
        score = (rate * in_z, 0.5 * (z * in_z - 1.0))
        if self.shape is not None:
            return Derivatives(score, curvature)
        curvature[2, 2] = z**2 * bend
        return Derivatives((*score, z * pull), curvature)

    def observed_curvature(self, y: np.ndarray, heads: Heads) -> Curvature:
        (z, rate, pull, bend), shape = self._terms(y, heads), self._shape(heads)
        in_z, square = z - shape * pull, 1.0 + shape**2 * bend
        curvature = {
            (0, 0): rate**2 * square,
            (0, 1): 0.5 * rate * (in_z + z * square),
            (1, 1): 0.25 * z * (in_z + z * square),
        }
        if self.shape is None:
            drift = pull - shape * z * bend
            curvature[0, 2], curvature[1, 2] = rate * drift, 0.5 * z * drift
            curvature[2, 2] = z**2 * bend
        return curvature

    def mean(self, heads: Heads) -> np.ndarray:
        return heads[0] + safe_exp(0.5 * heads[1]) * (_MEAN_OF_HALF * self._lean(heads))

    def variance(self, heads: Heads) -> np.ndarray:
        left = self._variance_of_standard(heads)
        return np.broadcast_to(
            safe_exp(heads[1]) * left,
            np.broadcast_shapes(heads[0].shape, heads[1].shape, left.shape),
        )

    def _variance_of_standard(self, heads: Heads) -> np.ndarray:
        """Return ``1 - 2 / pi * lean**2``, of which nothing cancels."""
        square = np.square(self._shape(heads))
        return (1.0 + (1.0 - 2.0 / math.pi) * square) / (1.0 + square)

    def widened(self, heads: Heads, errors: Sequence[np.ndarray]) -> Heads:
        """Return the heads of a y with normal errors beside, see `Expert.widened`.

        With a head for it the shape falls as the scale grows, which is exact. Without, the location
        moves, so that the mean is the same, and the variance grows by that of the error.

        Parameters
        ----------
        heads : tuple of ndarray of shape (experts, rows) or (experts, 1)
        errors : sequence of ndarray of shape (experts, rows)

        Returns
        -------
        tuple of ndarray of shape (experts, rows) or (experts, 1)
        """
        location, log_dispersion = heads[:2]
        share = np.square(errors[0]) * capped_exp(-log_dispersion)
        if self.shape is None:
            fall = np.sqrt(1.0 + share * (1.0 + np.square(heads[2])))
            return location, log_dispersion + np.log1p(share), heads[2] / fall
        share = share / self._variance_of_standard(heads)
        away = safe_exp(0.5 * log_dispersion) * (np.sqrt(1.0 + share) - 1.0)
        moved = location - away * (_MEAN_OF_HALF * self._lean(heads))
        return moved, log_dispersion + np.log1p(share)

    def cdf(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        return _lower_tail(*np.broadcast_arrays(self._standardize(y, heads), self._shape(heads)))

    def survival(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        return _lower_tail(*np.broadcast_arrays(-self._standardize(y, heads), -self._shape(heads)))

    def expected_excess(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        z, shape, scale = self._standardize(y, heads), self._shape(heads), safe_exp(0.5 * heads[1])
        beyond = np.exp(_log_standard(z, shape))
        beyond = beyond + _MEAN_OF_HALF * self._lean(heads) * ndtr(-z * np.sqrt(1.0 + shape**2))
        return scale * np.maximum(beyond - z * self.survival(y, heads), 0.0)

    def reflections(self, heads: Heads) -> Sequence[Heads]:
        """Return heads of the same mean and variance; of next to no lean those of either side."""
        if self.shape is not None:
            return ()
        size = np.maximum(np.abs(heads[2]), _LEAST_REFLECTED)
        other, same = -np.copysign(size, heads[2]), np.copysign(size, heads[2])
        same = np.where(np.abs(heads[2]) < _SMALL_SHAPE, same, heads[2])
        return [self._with_shape(heads, shape) for shape in (other, same)]

    def _with_shape(self, heads: Heads, shape: np.ndarray) -> Heads:
        before, after = self._lean(heads), shape / np.sqrt(1.0 + shape**2)
        narrowing = (1.0 - 2.0 / np.pi * before**2) / (1.0 - 2.0 / np.pi * after**2)
        scale, other_scale = safe_exp(0.5 * heads[1]), safe_exp(0.5 * heads[1]) * narrowing**0.5
        moved = _MEAN_OF_HALF * (scale * before - other_scale * after)
        return heads[0] + moved, heads[1] + np.log(narrowing), shape

    def sample(self, heads: Heads, rng: np.random.Generator) -> np.ndarray:
        lean, shape = self._lean(heads), self._shape(heads)
        half, other = (
            np.abs(rng.standard_normal(heads[0].shape)),
            rng.standard_normal(heads[0].shape),
        )
        return heads[0] + safe_exp(0.5 * heads[1]) * (lean * half + other / np.hypot(1.0, shape))

    def start(self, y: np.ndarray, weight: np.ndarray) -> tuple[float, ...]:
        # Moments. A shape of zero would be a stationary point, so skewness is taken as it is.
        mean, variance = weighted_moments(y, weight)
        if self.shape is None:
            lean = _lean_of_skewness(y, weight)
        else:
            lean = self.shape / math.hypot(1.0, self.shape)
        scale = math.sqrt(variance / (1.0 - 2.0 / math.pi * lean**2))
        start = (mean - _MEAN_OF_HALF * scale * lean, log_or_zero(scale**2))
        return start if self.shape is not None else (*start, lean / math.sqrt(1.0 - lean**2))


def _lean_of_skewness(y: np.ndarray, weight: np.ndarray) -> float:
    """Return the lean whose distribution has the skewness of y, 0 of y that is constant."""
    mean, variance = weighted_moments(y, weight)
    if not variance > 0.0:
        return 0.0
    skew = float(np.average(((y - mean) / math.sqrt(variance)) ** 3, weights=weight))
    skew = math.copysign(min(abs(skew), _MOST_SKEW), skew)
    ratio = abs(2.0 * skew / (4.0 - math.pi)) ** (2.0 / 3.0)
    return math.copysign(math.sqrt(0.5 * math.pi * ratio / (1.0 + ratio)), skew)


def _log_standard(z: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """Return the log density of z."""
    return log_ndtr(shape * z) - 0.5 * z**2 - _HALF_LOG_HALF_PI


def _lower_tail(z: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """Return the probability below z.

    By Owen's function; where that cancels, the integral of a density that falls faster than an
    exponential, by Laguerre's nodes.
    """
    found = np.asarray(ndtr(z) - 2.0 * owens_t(z, shape))
    is_small = (found < _SMALL_TAIL) & (z < 0.0)
    if is_small.any():
        found[is_small] = _integrated_tail(z[is_small], shape[is_small])
    return np.clip(found, 0.0, 1.0)


def _integrated_tail(z: np.ndarray, shape: np.ndarray) -> np.ndarray:
    t = shape * z
    rate = -z + shape * _MEAN_OF_HALF / erfcx(-t / _SQRT_2)
    top, total = _log_standard(z, shape), np.zeros_like(z)
    for node, weight in zip(*_TAIL_NODES, strict=True):
        fall = _log_standard(z - node / rate, shape) - top + node
        total += weight * np.exp(fall)
    return np.exp(top) / rate * total
