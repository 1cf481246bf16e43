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
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.special import gammainc, gammaincc

from mixexp.arguments import is_in_range, is_word
from mixexp.experts._base import (
    LOG_DISPERSION_FLOOR,
    Curvature,
    Derivatives,
    Expert,
    Head,
    Heads,
    keeps_methods,
)
from mixexp.experts._jumps import JumpMoments, fall_from_peak, jump_moments, jump_nodes
from mixexp.experts._positive import DispersionTerms, PositiveModel
from mixexp.experts._quantile import cantelli_bracket
from mixexp.experts._special import log_exponential_excess, stirling_error
from mixexp.experts._tweedie_power import PowerTerms, power_terms
from mixexp.experts._units import NO_UNIT, Unit
from mixexp.experts._weighted import log_or_zero, weighted_moments
from mixexp.links import capped_exp, extended_exp, safe_exp

_MANY_JUMPS, _LEAST_MASS = 1e6, 1e-300
# Nearer to 1 and 2 densities have spikes at multiples of the dispersion, or none at zero.
_LEAST_POWER, _LARGEST_POWER, _START_POWER = 1.01, 1.99, 1.5


class _Parts(NamedTuple):
    """What densities and derivatives are made of: logs of the peak and of half the deviance."""

    log_peak: np.ndarray
    jumps: JumpMoments
    log_half_deviance: np.ndarray


class Tweedie(PositiveModel):
    """Tweedie (compound Poisson-gamma) expert.

    Parameters
    ----------
    power : float or "estimate", default=1.5
        Of the mean in the variance, between 1 and 2, both excluded. "estimate" means estimated per
        expert, within [1.01, 1.99], by a head ``power`` of kind "shape".
    link : {"log"}, default="log"
    dispersion : {"own", "shared"} or float, default="own"
        Whether every expert has a dispersion of its own, all have the same, or it is known.
    dispersion_at : float or None, default=None
        Where powers are estimated, the dispersion is the squared coefficient of variation at this
        mean, so that it means the same for all powers and in any unit of y. None for the mean of
        y; not used where the power or the dispersion is known.

    Notes
    -----
    A density costs some 10 to 150 terms per row and expert, whatever the dispersion.
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

    def __init__(
        self,
        power: float | str = 1.5,
        link: str = "log",
        dispersion: str | float = "own",
        dispersion_at: float | None = None,
    ) -> None:
        self.dispersion = dispersion
        self.power = power
        self.link = link
        self.dispersion_at = dispersion_at

    def check_options(self) -> None:
        super().check_options()
        is_valid = is_word(self.power, ("estimate",)) or is_in_range(self.power, 1.0, 2.0)
        expected = "a number between 1 and 2, both excluded, or 'estimate'"
        self._check_range("power", is_valid, expected)
        is_valid = self.dispersion_at is None or is_in_range(self.dispersion_at, 0.0, math.inf)
        self._check_range("dispersion_at", is_valid, "a positive number or None")

    @property
    def _known_power(self) -> float | None:
        return None if isinstance(self.power, str) else float(self.power)

    @property
    def variance_power(self) -> float:
        """The variance is the dispersion times the mean to this power, or where that starts."""
        return _START_POWER if self._known_power is None else self._known_power

    def power_of(self, heads: Heads) -> np.ndarray | float:
        if self._known_power is None:
            return np.clip(heads[2], _LEAST_POWER, _LARGEST_POWER)
        return self._known_power

    @property
    def head_units(self) -> tuple[Unit, Unit]:
        return super().head_units if self._known_power is not None else (NO_UNIT, NO_UNIT)

    @property
    def heads(self) -> tuple[Head, ...]:
        if self._known_power is not None:
            return super().heads
        return (
            Head("location", "location", unit=NO_UNIT),
            Head("log_dispersion", "dispersion", lower=LOG_DISPERSION_FLOOR, unit=NO_UNIT),
            Head("power", "shape", _LEAST_POWER, _LARGEST_POWER, unit=NO_UNIT),
        )

    @property
    def _log_reference(self) -> float:
        """The log of the mean that the dispersion is told at, 0 if it is the plain one."""
        is_plain = self._known_power is not None or self.known_dispersion is not None
        return 0.0 if is_plain or self.dispersion_at is None else math.log(self.dispersion_at)

    def _plain(self, heads: Heads) -> Heads:
        """Return heads with the log of the plain dispersion, variance over a power of the mean."""
        if self._log_reference == 0.0:
            return heads
        rest = 2.0 - self.power_of(heads)
        return heads[0], heads[1] + rest * self._log_reference, heads[2]

    def _index(self, heads: Heads) -> np.ndarray | float:
        power = self.power_of(heads)
        return (2.0 - power) / (power - 1.0)

    def fixed_to(self, y: np.ndarray, weight: np.ndarray) -> Expert:
        """Return the family, with the mean that a dispersion is told at; see `Expert.fixed_to`.

        Raises
        ------
        ValueError
            If y is zero in all rows, or its mean is beyond what the variance function can take.
        """
        if not np.any((weight > 0.0) & (y > 0.0)):
            raise ValueError(
                "y has no value above 0, so that the tweedie expert has no mean to fit: the "
                "log of it would go to minus infinity. Use 'point_mass' for rows that are all zero."
            )
        super().fixed_to(y, weight)
        if self._known_power is not None or self.dispersion_at is not None:
            return self
        inside = np.where(self.find_unsupported(y), 0.0, y)
        mean = float(np.average(inside, weights=np.where(self.find_unsupported(y), 0.0, weight)))
        return type(self)(**{**self.get_params(), "dispersion_at": mean})

    def find_unsupported(self, y: np.ndarray) -> np.ndarray:
        return ~(np.isfinite(y) & (y >= 0.0))

    def log_base(self, y: np.ndarray) -> np.ndarray:
        constant = -math.log(2.0 * math.pi)
        return np.where(y > 0.0, constant - np.log(np.where(y > 0.0, y, 1.0)), 0.0)

    def _parts(self, y: np.ndarray, plain: Heads) -> _Parts:
        log_peak = self._log_peak(y, plain)
        jumps = jump_moments(log_peak, self._index(plain))
        return _Parts(log_peak, jumps, self._log_half_deviance(y, plain))

    def log_kernel(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        plain = self._plain(heads)
        return self._log_kernel(y, plain, self._parts(y, plain))

    def _log_kernel(self, y: np.ndarray, plain: Heads, parts: _Parts) -> np.ndarray:
        of_index = np.where(y > 0.0, 0.5 * np.log(self._index(plain)), 0.0)
        return parts.jumps.log_sum + of_index - extended_exp(parts.log_half_deviance)

    def _log_peak(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        """Return the log of ``y**(2 - power) / ((2 - power) * dispersion)``."""
        rest = 2.0 - self.power_of(heads)
        with np.errstate(divide="ignore"):
            return rest * np.log(y) - heads[1] - np.log(rest)

    def _log_half_deviance(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        """Return the log of half the deviance over the dispersion.

        With u = log(y / mean) and e(x) = exp(x) - 1 - x it is, for y > 0,
        ``y**rest * (e(-rest * u) / rest + e(below * u) / below) / dispersion``, where
        ``below = power - 1`` and ``rest = 2 - power``: nothing cancels.
        """
        power = self.power_of(heads)
        below, rest = power - 1.0, 2.0 - power
        at_zero = rest * self.log_mean(heads) - np.log(rest) - heads[1]
        log_y = np.log(np.where(y > 0.0, y, 1.0))
        log_ratio = log_y - self.log_mean(heads)
        excess = np.logaddexp(
            log_exponential_excess(-rest * log_ratio) - np.log(rest),
            log_exponential_excess(below * log_ratio) - np.log(below),
        )
        return np.where(y > 0.0, rest * log_y + excess - heads[1], at_zero)

    def _expected_jumps(self, heads: Heads) -> np.ndarray:
        rest = 2.0 - self.power_of(heads)
        return self.mean(heads) ** rest / (rest * safe_exp(heads[1]))

    def dispersion_terms(self, y: np.ndarray, heads: Heads) -> DispersionTerms:
        return self._dispersion_terms(heads, self._parts(y, heads))

    def _own_dispersion_terms(self, y: np.ndarray, plain: Heads, parts: _Parts) -> DispersionTerms:
        if keeps_methods(self, Tweedie, ("dispersion_terms",)):
            return self._dispersion_terms(plain, parts)
        return self.dispersion_terms(y, plain)

    def _dispersion_terms(self, plain: Heads, parts: _Parts) -> DispersionTerms:
        per_jump = 1.0 + self._index(plain)
        deviance, (_, deviation, shortfall) = capped_exp(parts.log_half_deviance), parts.jumps
        observed = deviance + per_jump * shortfall
        expected = self._expected_jumps(plain)
        least = 1.0 / (1.0 / (per_jump * expected) + 2.0)
        return deviance - per_jump * deviation, np.maximum(observed, least), observed

    def _power_terms(self, y: np.ndarray, plain: Heads, parts: _Parts) -> PowerTerms:
        log_mean, power = self.log_mean(plain), np.asarray(self.power_of(plain))
        return power_terms(y, log_mean, plain[1], power, parts.jumps, parts.log_peak)

    def derivatives(self, y: np.ndarray, heads: Heads) -> Derivatives:
        plain = self._plain(heads)
        return self._all_derivatives(y, plain, self._parts(y, plain))

    def evaluate(self, y: np.ndarray, heads: Heads) -> tuple[np.ndarray, Derivatives]:
        plain = self._plain(heads)
        parts = self._parts(y, plain)
        return self._log_kernel(y, plain, parts), self._all_derivatives(y, plain, parts)

    def _all_derivatives(self, y: np.ndarray, plain: Heads, parts: _Parts) -> Derivatives:
        dispersion = self._own_dispersion_terms(y, plain, parts)
        found = self._derivatives(y, plain, dispersion)
        if self._known_power is not None:
            return found
        own = self._power_terms(y, plain, parts)
        score = own.score - self._log_reference * found.score[1]
        # At least the squared score, whose mean is the information.
        least = np.square(np.clip(score, -1e100, 1e100))
        curvature = np.maximum(self._power_bend(own, dispersion[2]), least)
        return Derivatives((*found.score, score), {**found.curvature, (2, 2): curvature})

    def _power_bend(self, own: PowerTerms, in_dispersion: np.ndarray) -> np.ndarray:
        """Return the observed curvature of the power, which moves the plain dispersion."""
        at = self._log_reference
        return own.observed - at * (2.0 * own.across - at * in_dispersion)

    def observed_curvature(self, y: np.ndarray, heads: Heads) -> Curvature:
        plain = self._plain(heads)
        parts = self._parts(y, plain)
        found = self._observed_curvature(y, plain, self._own_dispersion_terms(y, plain, parts))
        if self._known_power is not None:
            return found
        own, location = self._power_terms(y, plain, parts), self._location_terms(y, plain)
        at, in_location = self._log_reference, location.surplus * location.slope
        return {
            **found,
            (0, 2): in_location * self.log_mean(plain) - at * found[0, 1],
            (1, 2): own.across - at * found[1, 1],
            (2, 2): self._power_bend(own, found[1, 1]),
        }

    def variance(self, heads: Heads) -> np.ndarray:
        heads = self._plain(heads)
        return safe_exp(heads[1]) * self.mean(heads) ** self.power_of(heads)

    def _jump_size(self, heads: Heads) -> np.ndarray:
        """Return the scale of the gamma jumps, whose shape is the index."""
        below = self.power_of(heads) - 1.0
        return safe_exp(heads[1]) * below * self.mean(heads) ** below

    def _reach(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        """Return y in units of the scale of the jumps."""
        with np.errstate(over="ignore"):  # to infinity, whose probabilities are right
            return np.maximum(y, 0.0) / self._jump_size(heads)

    def _over_jumps(self, heads: Heads, function: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """Return the mean over the number of jumps, at least one, of a function of it."""
        jumps = self._expected_jumps(heads)
        total, mass = np.zeros_like(jumps), np.zeros_like(jumps)
        for j, step in jump_nodes(jumps, np.sqrt(jumps), np.sqrt(jumps / self._index(heads))):
            # Poisson's probability, by Stirling: exact for many jumps too.
            fall = -fall_from_peak(j, jumps, np.log(jumps))
            weight = np.exp(fall - stirling_error(j)) / np.sqrt(2.0 * np.pi * j)
            total, mass = total + step * weight * function(j), mass + step * weight
        # Nodes of a great many jumps are rounded; their weights should add up to one.
        return np.where(jumps > _MANY_JUMPS, total / np.maximum(mass, _LEAST_MASS), total)

    def _log_no_jump(self, heads: Heads) -> np.ndarray:
        return -self._expected_jumps(heads)

    def cdf(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        heads = self._plain(heads)
        reach, index = self._reach(y, heads), self._index(heads)
        total = self._over_jumps(heads, lambda j: gammainc(index * j, reach))
        return np.where(y < 0.0, 0.0, np.minimum(total + np.exp(self._log_no_jump(heads)), 1.0))

    def survival(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        heads = self._plain(heads)
        reach, index = self._reach(y, heads), self._index(heads)
        total = self._over_jumps(heads, lambda j: gammaincc(index * j, reach))
        at_zero = -np.expm1(self._log_no_jump(heads))
        return np.where(y < 0.0, 1.0, np.where(y == 0.0, at_zero, np.minimum(total, 1.0)))

    @property
    def atoms(self) -> tuple[float, ...]:
        return (0.0,)

    def bracket(self, q: np.ndarray, heads: Heads) -> tuple[np.ndarray, np.ndarray]:
        return cantelli_bracket(q, self.mean(heads), self.variance(heads), 0.0)

    def expected_excess(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        heads = self._plain(heads)
        index, size = self._index(heads), self._jump_size(heads)
        reach = self._reach(y, heads)

        def excess(j: np.ndarray) -> np.ndarray:
            shape = index * j
            return shape * size * gammaincc(shape + 1.0, reach) - y * gammaincc(shape, reach)

        inside = np.maximum(self._over_jumps(heads, excess), 0.0)
        return np.where(y <= 0.0, self.mean(heads) - y, inside)

    def sample(self, heads: Heads, rng: np.random.Generator) -> np.ndarray:
        heads = self._plain(heads)
        n_jumps = rng.poisson(self._expected_jumps(heads))
        return rng.gamma(self._index(heads) * n_jumps, self._jump_size(heads))

    def start(self, y: np.ndarray, weight: np.ndarray) -> tuple[float, ...]:
        mean, variance = weighted_moments(y, weight)
        power = () if self._known_power is not None else (_START_POWER,)
        if not mean > 0.0:
            return 0.0, 0.0, *power
        plain = variance / mean**self.variance_power
        rest = (2.0 - self.variance_power) * self._log_reference
        return math.log(mean), log_or_zero(plain) - (rest if plain > 0.0 else 0.0), *power
