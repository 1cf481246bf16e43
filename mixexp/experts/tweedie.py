"""Tweedie expert: y >= 0 with an atom at zero, as yearly claims or daily rain.

A Poisson number of gamma jumps, with variance = dispersion * mean**power, 1 < power < 2. Let
index = (2 - power) / (power - 1) and peak = y**(2 - power) / ((2 - power) * dispersion). Then

``log f(y) = -deviance / (2 * dispersion) - log(y) + log of the sum over j = 1, 2, ... of
exp((1 + index) * (j - peak - j * log(j / peak)) - stirling_error(j) - stirling_error(index * j))
* sqrt(index) / (2 * pi)`` for y > 0, and ``log f(0) = -deviance / (2 * dispersion)``.

This is the series of Dunn & Smyth (2005), Series evaluation of Tweedie exponential dispersion
model densities, Statistics and Computing 15, eq. 10, with Stirling's formula taken out and the
power of y at its largest term moved to the deviance, so that nothing large cancels.
"""

import math
from collections.abc import Iterator

import numpy as np
from scipy.special import gammainc

from mixexp.experts._base import Heads
from mixexp.experts._positive import PositiveModel
from mixexp.experts._special import stirling_error
from mixexp.experts._weighted import log_or_zero, weighted_moments
from mixexp.links import safe_exp

# Terms are a smooth bump. Far from j = 0 its sum is its integral, to rounding, and the
# trapezoid rule gives that from 2.5 nodes per standard deviation (test_tweedie_coarse_nodes).
_NODES_PER_DEVIATION = 2.5
_COARSE_FROM = 64.0
_LARGEST_PEAK = 1e20


class Tweedie(PositiveModel):
    """Tweedie (compound Poisson-gamma) expert.

    Parameters
    ----------
    power : float, default=1.5
        Of the mean in the variance, between 1 and 2, both excluded.
    link : {"log"}, default="log"

    Notes
    -----
    A density costs some 40 to 160 terms per row and expert, whatever the dispersion.
    The expected information of the log dispersion has no closed form. EM steps use the observed
    one, but at least ``1 / (1 / n + 2)`` with n = ``(1 + index) * expected jumps``, which is the
    expected one in both limits, of few and of many jumps, and less between them.

    Examples
    --------
    >>> import numpy as np
    >>> heads = np.array([[0.0]]), np.array([[0.0]])
    >>> Tweedie(power=1.5).log_density(np.array([0.0, 1.0]), heads).round(4)
    array([[-2.    , -1.0286]])
    """

    name = "tweedie"
    links = ("log",)
    support = ">= 0"
    log_dispersion_floor = -150.0

    def __init__(self, power: float = 1.5, link: str = "log") -> None:
        self.power = power
        self.link = link

    def check_options(self) -> None:
        super().check_options()
        self._check_range("power", 1.0 < self.power < 2.0, "between 1 and 2, both excluded")

    @property
    def variance_power(self) -> float:
        return self.power

    @property
    def _index(self) -> float:
        return (2.0 - self.power) / (self.power - 1.0)

    def find_unsupported(self, y: np.ndarray) -> np.ndarray:
        return ~(np.isfinite(y) & (y >= 0.0))

    def log_base(self, y: np.ndarray) -> np.ndarray:
        constant = 0.5 * math.log(self._index) - math.log(2.0 * math.pi)
        return np.where(y > 0.0, constant - np.log(np.where(y > 0.0, y, 1.0)), 0.0)

    def log_kernel(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        dispersion = safe_exp(heads[1])
        log_sum, _, _ = self._jump_moments(y, dispersion)
        return log_sum - self._half_deviance(y, self.mean(heads)) / dispersion

    def _half_deviance(self, y: np.ndarray, mean: np.ndarray) -> np.ndarray:
        below, rest = self.power - 1.0, 2.0 - self.power
        return np.maximum(
            mean**rest / rest + y * mean**-below / below - y**rest / (below * rest), 0.0
        )

    def _expected_jumps(self, mean: np.ndarray, dispersion: np.ndarray) -> np.ndarray:
        return mean ** (2.0 - self.power) / ((2.0 - self.power) * dispersion)

    def _jump_moments(self, y: np.ndarray, dispersion: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return log of the sum, and mean and variance of (j - peak) under its terms."""
        shape = np.broadcast_shapes(y.shape, dispersion.shape)
        out = np.zeros((3, *shape))
        positive = np.flatnonzero(y > 0.0)
        if len(positive) == 0:
            return tuple(out)
        given = np.broadcast_to(dispersion, shape)[..., positive]
        peak = np.minimum(self._expected_jumps(y[positive], given), _LARGEST_PEAK)
        # The largest term is the scale, so that sums neither over- nor underflow.
        top = self._log_term(np.maximum(np.round(peak), 1.0), peak)
        total, first, second = np.zeros_like(peak), np.zeros_like(peak), np.zeros_like(peak)
        for j, step in _nodes(peak, np.sqrt(peak * (self.power - 1.0)), np.inf):
            term, deviation = np.exp(self._log_term(j, peak) - top), j - peak
            total += step * term
            first += step * term * deviation
            second += step * term * deviation**2
        mean = first / total
        out[0][..., positive] = top + np.log(total)
        out[1][..., positive] = mean
        out[2][..., positive] = second / total - mean**2
        return tuple(out)

    def _log_term(self, j: np.ndarray, peak: np.ndarray) -> np.ndarray:
        deviation = j - peak
        fall = deviation - j * np.log1p(deviation / peak)
        return (1.0 + self._index) * fall - stirling_error(j) - stirling_error(self._index * j)

    def dispersion_derivatives(
        self, y: np.ndarray, mean: np.ndarray, dispersion: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        per_jump = 1.0 + self._index
        _, deviation, spread = self._jump_moments(y, dispersion)
        deviance = self._half_deviance(y, mean) / dispersion
        peak = self._expected_jumps(y, dispersion)
        observed = deviance + per_jump * (peak - per_jump * spread)
        least = 1.0 / (1.0 / (per_jump * self._expected_jumps(mean, dispersion)) + 2.0)
        return deviance - per_jump * deviation, np.maximum(observed, least), observed

    def _jump_size(self, heads: Heads) -> np.ndarray:
        """Return the scale of the gamma jumps, whose shape is the index."""
        below = self.power - 1.0
        return safe_exp(heads[1]) * below * self.mean(heads) ** below

    def cdf(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        jumps = self._expected_jumps(self.mean(heads), safe_exp(heads[1]))
        reach = np.maximum(y, 0.0) / self._jump_size(heads)
        jumps, reach = np.broadcast_arrays(jumps, reach)
        total = np.exp(-jumps)
        widest = np.sqrt(jumps)
        for j, step in _nodes(jumps, widest, np.sqrt(jumps / self._index)):
            # Poisson's probability, by Stirling: exact for many jumps too.
            fall = j - jumps - j * np.log1p((j - jumps) / jumps)
            weight = np.exp(fall - stirling_error(j)) / np.sqrt(2.0 * np.pi * j)
            total = total + step * weight * gammainc(self._index * j, reach)
        return np.where(y < 0.0, 0.0, np.minimum(total, 1.0))

    def sample(self, heads: Heads, rng: np.random.Generator) -> np.ndarray:
        n_jumps = rng.poisson(self._expected_jumps(self.mean(heads), safe_exp(heads[1])))
        return rng.gamma(self._index * n_jumps, self._jump_size(heads))

    def start(self, y: np.ndarray, weight: np.ndarray) -> tuple[float, ...]:
        mean, variance = weighted_moments(y, weight)
        if not mean > 0.0:
            return 0.0, 0.0
        return math.log(mean), log_or_zero(variance / mean**self.power)


def _nodes(
    peak: np.ndarray, deviation: np.ndarray, other_deviation: np.ndarray | float
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield nodes that cover a bump of terms, and their distance.

    All integers that matter while the peak is close to zero, else as many as it takes.
    """
    narrowest = np.minimum(deviation, other_deviation)
    coarse = np.maximum(1.0, narrowest / _NODES_PER_DEVIATION)
    step = np.where(peak < _COARSE_FROM, 1.0, coarse)
    first = np.maximum(np.floor(peak - 9.5 * deviation), 1.0)
    last = peak + 10.0 * deviation + 15.0
    for k in range(int(np.max((last - first) / step, initial=0.0)) + 1):
        yield first + k * step, step
