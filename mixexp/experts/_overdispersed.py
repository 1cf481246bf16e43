"""What families of counts share that vary more than a simpler one: a dispersion beside the link."""

import numpy as np

from mixexp.experts._base import LOG_DISPERSION_FLOOR, Expert, Head
from mixexp.experts._counts import CountGLM
from mixexp.experts._special import HALF_LOG_2PI, stirling_error
from mixexp.experts._weighted import log_or_zero, weighted_moments

# Less is the simpler family to some digits; and what a mean of zeros starts from.
_LEAST_START, _START = 0.01, 1.0


class WithDispersion(Expert):
    """Base of families with a location and a log dispersion, at whose floor they are simpler."""

    at_floor: str

    def __init__(self, link: str, dispersion: str | float = "own") -> None:
        self.link = link
        self.dispersion = dispersion

    @property
    def heads(self) -> tuple[Head, ...]:
        return (
            Head("location", "location"),
            Head("log_dispersion", "dispersion", LOG_DISPERSION_FLOOR, at_lower=self.at_floor),
        )


class OverdispersedCount(WithDispersion, CountGLM):
    """Base of counts that vary more than Poisson's, with densities in Stirling's form."""

    at_floor = "poisson"

    def __init__(self, link: str = "log", dispersion: str | float = "own") -> None:
        super().__init__(link, dispersion)

    def log_base(self, y: np.ndarray) -> np.ndarray:
        """Return what a deviance leaves of ``-log(y!)``."""
        held = np.maximum(y, 1.0)
        base = -stirling_error(held) - HALF_LOG_2PI - 0.5 * np.log(held)
        return np.where(y == 0.0, 0.0, base)

    def dispersion_of(self, mean: float, variance: float) -> float:
        """Return the dispersion of counts of a mean and a variance."""
        raise NotImplementedError

    def start(self, y: np.ndarray, weight: np.ndarray) -> tuple[float, ...]:
        mean, variance = weighted_moments(y, weight)
        found = max(self.dispersion_of(mean, variance), _LEAST_START) if mean > 0.0 else _START
        return (*super().start(y, weight), log_or_zero(found))
