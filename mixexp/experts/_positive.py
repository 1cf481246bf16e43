"""What families of positive y share: their support, and variance as a power of the mean."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from mixexp.experts._base import Curvature, Derivatives, Expert, Heads, keeps_methods
from mixexp.experts._docs import contract_docs
from mixexp.experts._fused import exponential_excesses
from mixexp.experts._glm import UNITS_OF_LINKS, DispersionModel
from mixexp.experts._units import Unit
from mixexp.experts._weighted import log_or_zero, weighted_moments
from mixexp.links import (
    DOMAIN_EDGE,
    Identity,
    Inverse,
    InverseSquared,
    Log,
    PositiveLink,
    capped_exp,
)

_POSITIVE_LINKS: Mapping[str, PositiveLink] = MappingProxyType(
    {link.name: link for link in (Log(), Identity(), Inverse(), InverseSquared())}
)


# Logs of y over its mean, and of dispersions, up to which no exponential has to be cut.
_LARGEST_LOG_RATIO, _LARGEST_LOG_DISPERSION = 60.0, 100.0
# What densities and derivatives are made of.
_PARTS = (
    "log_mean",
    "log_ratio",
    "mean",
    "domain_loss",
    "power_of",
    "variance_power",
    "dispersion_terms",
    "log_kernel",
    "derivatives",
)


class _LocationTerms(NamedTuple):
    """What derivatives in the location are made of.

    Parameters
    ----------
    surplus, pull, weight : ndarray of shape (..., rows)
        ``(y / mean - 1) * weight``, ``y / mean * weight`` and
        ``weight = mean**(2 - variance_power) / dispersion``.
    slope, bend : ndarray
        First and second derivative of the log mean.
    """

    surplus: np.ndarray
    pull: np.ndarray
    weight: np.ndarray
    slope: np.ndarray
    bend: np.ndarray


# Score, EM curvature and observed curvature of the log dispersion.
DispersionTerms = tuple[np.ndarray, np.ndarray, np.ndarray]


@contract_docs
class PositiveModel(DispersionModel):
    """A GLM of y > 0 with variance = dispersion * mean**variance_power.

    Densities and derivatives are made of the logs of y and the mean, which need no cut. Where a
    link leaves the domain, a log density goes on as its tangent at the last mean.
    """

    support = "> 0"
    support_limits = (0.0, np.inf)
    # Beyond, the variance function or its inverse overflows.
    mean_limits = (1e-73, 1e73)

    @property
    def variance_power(self) -> float:
        """The variance is the dispersion times the mean to this power."""
        raise NotImplementedError

    @property
    def head_units(self) -> tuple[Unit, Unit]:
        return UNITS_OF_LINKS[self.link], Unit(log_power=2.0 - self.variance_power)

    def power_of(self, heads: Heads) -> np.ndarray | float:
        """Return the variance power of experts at their heads."""
        return self.variance_power

    def find_unsupported(self, y: np.ndarray) -> np.ndarray:
        return ~(np.isfinite(y) & (y > 0.0))

    def unit_variance(self, mean: np.ndarray) -> np.ndarray:
        return mean**self.variance_power

    def unit_variance_derivative(self, mean: np.ndarray) -> np.ndarray:
        return self.variance_power * mean ** (self.variance_power - 1.0)

    def log_ratio(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        """Return ``log(y / mean)``."""
        with np.errstate(divide="ignore"):
            return np.log(y) - self.log_mean(heads)

    def usual_excesses(
        self, base: type, y: np.ndarray, heads: Heads
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
        """Return ``r = y / mean``, ``r - 1`` and ``r - 1 - log(r)`` of shape (..., rows).

        For a log link and one dispersion per expert, where nothing needs a cut, and for families
        that change nothing of the base that asks: else None.

        Parameters
        ----------
        base : type
        y : ndarray of shape (rows,)
        heads : tuple of ndarray of shape (..., rows) or (..., 1)
        """
        log_mean, log_dispersion = heads
        is_usual = self.link == "log" and log_dispersion.shape[-1] == 1
        if not (is_usual and keeps_methods(self, base, _PARTS)):
            return None
        if np.abs(log_dispersion).max(initial=0.0) > _LARGEST_LOG_DISPERSION:
            return None
        log_ratio = np.log(y) - log_mean
        if not np.abs(log_ratio).max(initial=0.0) <= _LARGEST_LOG_RATIO:
            return None
        return exponential_excesses(log_ratio)

    def log_mean(self, heads: Heads) -> np.ndarray:
        """Return the log of the mean, which `mean` cuts."""
        return _POSITIVE_LINKS[self.link].log_mean(heads[0])

    def domain_loss(self, y: np.ndarray, heads: Heads) -> np.ndarray | float:
        """Return what a log density loses where the link leaves the domain, 0 inside.

        There it goes on as its tangent at the last mean, whose slope is that of the score: so
        steep that fits turn back.
        """
        short = DOMAIN_EDGE - heads[0]
        if self.link == "log" or not np.any(short > 0.0):
            return 0.0
        found = self._location_terms(y, heads)
        return np.maximum(short, 0.0) * np.abs(found.surplus * found.slope)

    def dispersion_terms(self, y: np.ndarray, heads: Heads) -> DispersionTerms:
        """Return score, EM curvature and observed curvature of the log dispersion."""
        raise NotImplementedError

    def _location_terms(self, y: np.ndarray, heads: Heads) -> _LocationTerms:
        log_ratio = self.log_ratio(y, heads)
        log_weight = (2.0 - self.power_of(heads)) * self.log_mean(heads) - heads[1]
        weight, pull = capped_exp(log_weight), capped_exp(log_ratio + log_weight)
        near = np.expm1(np.clip(log_ratio, -1.0, 1.0)) * weight
        surplus = np.where(np.abs(log_ratio) < 1.0, near, pull - weight)
        slopes = _POSITIVE_LINKS[self.link].log_mean_derivatives(heads[0])
        return _LocationTerms(surplus, pull, weight, *slopes)

    def derivatives(self, y: np.ndarray, heads: Heads) -> Derivatives:
        return self._derivatives(y, heads, self.dispersion_terms(y, heads))

    def _derivatives(self, y: np.ndarray, heads: Heads, dispersion: DispersionTerms) -> Derivatives:
        found = self._location_terms(y, heads)
        score, curvature, _ = dispersion
        information = found.weight * found.slope**2
        return Derivatives(
            (found.surplus * found.slope, score), {(0, 0): information, (1, 1): curvature}
        )

    def observed_curvature(self, y: np.ndarray, heads: Heads) -> Curvature:
        return self._observed_curvature(y, heads, self.dispersion_terms(y, heads))

    def _observed_curvature(
        self, y: np.ndarray, heads: Heads, dispersion: DispersionTerms
    ) -> Curvature:
        found = self._location_terms(y, heads)
        bend = found.bend + (2.0 - self.power_of(heads)) * found.slope**2
        return {
            (0, 0): found.pull * found.slope**2 - found.surplus * bend,
            (0, 1): found.surplus * found.slope,
            (1, 1): dispersion[2],
        }

    def fixed_to(self, y: np.ndarray, weight: np.ndarray) -> Expert:
        """Return the family itself; see `Expert.fixed_to`.

        Raises
        ------
        ValueError
            If the mean of y is beyond what the variance function can take.
        """
        is_inside = (weight > 0.0) & ~self.find_unsupported(y)
        lowest, highest = self.mean_limits
        if is_inside.any():
            mean, _ = weighted_moments(y[is_inside] / y[is_inside].max(), weight[is_inside])
            mean *= y[is_inside].max()
            if not lowest < mean < highest:
                raise ValueError(
                    f"y has mean {mean:.3g}, which must be between {lowest:g} and {highest:g} for "
                    f"the {self.name} expert; give y in another unit."
                )
        return self

    def start(self, y: np.ndarray, weight: np.ndarray) -> tuple[float, ...]:
        mean, variance = weighted_moments(y, weight)
        dispersion = variance / mean**self.variance_power
        return float(self.link_function.predictor(mean)), log_or_zero(dispersion)
