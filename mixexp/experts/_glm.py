"""Generalized linear models: derivatives from a link and a variance function.

Subclasses say what their variance function is and what their density is, and, where they
have a dispersion, how the density depends on it. McCullagh & Nelder (1989), chapter 2.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

import numpy as np

from mixexp.experts._base import LOG_DISPERSION_FLOOR, Curvature, Derivatives, Expert, Head, Heads
from mixexp.experts._docs import contract_docs
from mixexp.experts._units import NO_UNIT, Unit
from mixexp.links import LINKS, Link, safe_exp

# How the linear predictor changes with the unit of the mean.
UNITS_OF_LINKS: Mapping[str, Unit] = MappingProxyType(
    {
        "identity": Unit(power=1.0),
        "log": Unit(log_power=1.0),
        "inverse": Unit(power=-1.0),
        "inverse_squared": Unit(power=-2.0),
    }
)


@contract_docs
class GLM(Expert):
    """A generalized linear model: score and curvature from link and variance function.

    With mean mu and dispersion phi, the variance of y is ``phi * unit_variance(mu)``.
    Curvature is the expected (Fisher) information. McCullagh & Nelder (1989), eq. 2.12.
    By itself it has one head and dispersion 1.
    """

    link: str
    #: Means are cut here, for links that leave the domain of the family.
    mean_limits: ClassVar[tuple[float, float]] = (-np.inf, np.inf)

    @property
    def heads(self) -> tuple[Head, ...]:
        return (Head("location", "location"),)

    @property
    def link_function(self) -> Link:
        """What turns the location into the mean, as the option ``link`` names it."""
        return LINKS[self.link]

    def unit_variance(self, mean: np.ndarray) -> np.ndarray:
        """Return the variance function V at a mean."""
        raise NotImplementedError

    def unit_variance_derivative(self, mean: np.ndarray) -> np.ndarray:
        """Return dV / d mean."""
        raise NotImplementedError

    def location_mean(self, eta: np.ndarray) -> np.ndarray:
        """Return the mean, cut to the domain of the family."""
        mean = self.link_function.mean(eta)
        if self.mean_limits == (-np.inf, np.inf):
            return mean  # np.clip would copy
        return np.clip(mean, *self.mean_limits)

    def location_derivatives(
        self, y: np.ndarray, eta: np.ndarray, dispersion: np.ndarray | float = 1.0
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return score and Fisher information of the location."""
        mean = self.location_mean(eta)
        slope = self.link_function.mean_derivative(eta, mean)
        per_mean = slope / self.unit_variance(mean) / dispersion
        return (y - mean) * per_mean, slope * per_mean

    def location_curvature(
        self, y: np.ndarray, eta: np.ndarray, dispersion: np.ndarray | float = 1.0
    ) -> np.ndarray:
        """Return minus the second derivative of the log density in the location."""
        mean, link = self.location_mean(eta), self.link_function
        slope, variance = link.mean_derivative(eta, mean), self.unit_variance(mean)
        per_mean = slope / variance
        bend = per_mean * (slope * self.unit_variance_derivative(mean) / variance)
        bend -= link.mean_second_derivative(eta, mean) / variance
        return (slope * per_mean + (y - mean) * bend) / dispersion

    def derivatives(self, y: np.ndarray, heads: Heads) -> Derivatives:
        score, information = self.location_derivatives(y, heads[0])
        return Derivatives((score,), {(0, 0): information})

    def observed_curvature(self, y: np.ndarray, heads: Heads) -> Curvature:
        return {(0, 0): self.location_curvature(y, heads[0])}

    def mean(self, heads: Heads) -> np.ndarray:
        return self.location_mean(heads[0])

    def variance(self, heads: Heads) -> np.ndarray:
        return self.unit_variance(self.mean(heads))


@contract_docs
class DispersionModel(GLM):
    """A GLM whose second head is its log dispersion.

    The log density is ``(y * theta(mean) - b(mean)) / dispersion`` plus what depends on y and
    the dispersion alone, so minus the mixed second derivative is the location's score.
    Jorgensen (1987), Exponential dispersion models, J. R. Statist. Soc. B 49, section 2.
    """

    @property
    def head_units(self) -> tuple[Unit, Unit]:
        """The units of location and log dispersion."""
        return NO_UNIT, NO_UNIT

    @property
    def heads(self) -> tuple[Head, ...]:
        location, dispersion = self.head_units
        return (
            Head("location", "location", unit=location),
            Head("log_dispersion", "dispersion", lower=LOG_DISPERSION_FLOOR, unit=dispersion),
        )

    def dispersion_derivatives(
        self, y: np.ndarray, mean: np.ndarray, dispersion: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return score, EM curvature and observed curvature of the log dispersion."""
        raise NotImplementedError

    def derivatives(self, y: np.ndarray, heads: Heads) -> Derivatives:
        dispersion = safe_exp(heads[1])
        score, information = self.location_derivatives(y, heads[0], dispersion)
        mean = self.location_mean(heads[0])
        slope, curvature, _ = self.dispersion_derivatives(y, mean, dispersion)
        return Derivatives((score, slope), {(0, 0): information, (1, 1): curvature})

    def observed_curvature(self, y: np.ndarray, heads: Heads) -> Curvature:
        dispersion = safe_exp(heads[1])
        score, _ = self.location_derivatives(y, heads[0], dispersion)
        mean = self.location_mean(heads[0])
        _, _, curvature = self.dispersion_derivatives(y, mean, dispersion)
        location = self.location_curvature(y, heads[0], dispersion)
        return {(0, 0): location, (0, 1): score, (1, 1): curvature}

    def variance(self, heads: Heads) -> np.ndarray:
        return safe_exp(heads[1]) * self.unit_variance(self.mean(heads))
