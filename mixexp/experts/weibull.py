"""Weibull expert: lifetimes with a hazard that rises or falls as a power of time.

With scale = ``exp(eta)``, dispersion = ``exp(log_dispersion)`` = 1 / shape and
``z = (log y - eta) / dispersion``, ``log f(y) = z - exp(z) - log_dispersion - log y``: the
location is the log of the scale, not of the mean, as in accelerated failure time models.
Kalbfleisch & Prentice (2002), The statistical analysis of failure time data, section 2.2.2.
"""

import numpy as np
from scipy.special import gammaincc, gammaln

from mixexp.experts._base import LOG_DISPERSION_FLOOR, Curvature, Derivatives, Expert, Head, Heads
from mixexp.experts._units import Unit
from mixexp.experts._weighted import log_or_zero, weighted_moments
from mixexp.links import LARGEST_LOG, capped_exp, extended_exp, safe_exp

# Variance of z * (exp(z) - 1), where exp(z) is a standard exponential.
_DISPERSION_INFORMATION = (1.0 - np.euler_gamma) ** 2 + np.pi**2 / 6.0


class Weibull(Expert):
    """Weibull expert; ``dispersion`` is the scale of log y, 1 for an exponential.

    Parameters
    ----------
    link : {"log"}, default="log"
        Between the location and the scale of y.
    dispersion : {"own", "shared"} or float, default="own"
        Whether every expert has a dispersion of its own, all have the same, or it is known.

    Examples
    --------
    >>> import numpy as np
    >>> heads = np.array([[0.0]]), np.array([[0.0]])
    >>> Weibull().log_density(np.array([2.0]), heads)
    array([[-2.]])
    """

    name = "weibull"
    links = ("log",)
    support = "> 0"
    support_limits = (0.0, np.inf)

    def __init__(self, link: str = "log", dispersion: str | float = "own") -> None:
        self.dispersion = dispersion
        self.link = link

    @property
    def heads(self) -> tuple[Head, ...]:
        return (
            Head("location", "location", unit=Unit(log_power=1.0)),
            Head("log_dispersion", "dispersion", lower=LOG_DISPERSION_FLOOR),
        )

    def find_unsupported(self, y: np.ndarray) -> np.ndarray:
        return ~(np.isfinite(y) & (y > 0.0))

    def log_base(self, y: np.ndarray) -> np.ndarray:
        return -np.log(y)

    def log_kernel(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        z = standardize(y, heads)
        return z - extended_exp(z) - heads[1]

    def derivatives(self, y: np.ndarray, heads: Heads) -> Derivatives:
        z, rate = standardize(y, heads), capped_exp(-heads[1])
        surplus = capped_exp(z) - 1.0
        curvature = {(0, 0): rate**2, (1, 1): np.full_like(rate, _DISPERSION_INFORMATION)}
        return Derivatives((surplus * rate, z * surplus - 1.0), curvature)

    def observed_curvature(self, y: np.ndarray, heads: Heads) -> Curvature:
        z, rate = standardize(y, heads), capped_exp(-heads[1])
        hazard = capped_exp(z)
        # The tangent beyond 170 has no curvature.
        bend = np.where(z > LARGEST_LOG, 0.0, hazard)
        return {
            (0, 0): bend * rate**2,
            (0, 1): (hazard - 1.0 + z * bend) * rate,
            (1, 1): z * (hazard - 1.0) + np.square(np.minimum(z, LARGEST_LOG)) * bend,
        }

    def mean(self, heads: Heads) -> np.ndarray:
        return safe_exp(heads[0] + gammaln(1.0 + safe_exp(heads[1])))

    def variance(self, heads: Heads) -> np.ndarray:
        dispersion = safe_exp(heads[1])
        log_second = gammaln(1.0 + 2.0 * dispersion)
        share = -np.expm1(2.0 * gammaln(1.0 + dispersion) - log_second)
        return safe_exp(2.0 * heads[0] + log_second) * share

    def cdf(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        z = standardize(np.maximum(y, 1e-300), heads)
        return np.where(y <= 0.0, 0.0, -np.expm1(-np.exp(np.minimum(z, LARGEST_LOG))))

    def survival(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        z = standardize(np.maximum(y, 1e-300), heads)
        return np.where(y <= 0.0, 1.0, np.exp(-safe_exp(z)))

    def log_cdf(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        z = standardize(np.maximum(y, 1e-300), heads)
        hazard = extended_exp(z)
        with np.errstate(divide="ignore"):
            inside = np.where(z < -30.0, z, np.log(-np.expm1(-hazard)))
        return np.where(y <= 0.0, -np.inf, inside)

    def log_survival(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        z = standardize(np.maximum(y, 1e-300), heads)
        return np.where(y <= 0.0, 0.0, -extended_exp(z))

    def expected_excess(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        reach = safe_exp(standardize(np.maximum(y, 1e-300), heads))
        mean = self.mean(heads)
        inside = mean * gammaincc(1.0 + safe_exp(heads[1]), reach) - y * np.exp(-reach)
        return np.where(y <= 0.0, mean - y, np.maximum(inside, 0.0))

    def quantile(self, q: np.ndarray, heads: Heads) -> np.ndarray:
        with np.errstate(divide="ignore", over="ignore"):
            return np.exp(heads[0] + safe_exp(heads[1]) * np.log(-np.log1p(-q)))

    def sample(self, heads: Heads, rng: np.random.Generator) -> np.ndarray:
        exponential = rng.standard_exponential(heads[0].shape)
        return safe_exp(heads[0] + safe_exp(heads[1]) * np.log(exponential))

    def start(self, y: np.ndarray, weight: np.ndarray) -> tuple[float, ...]:
        # Moments of log y: its mean is eta - Euler's constant * dispersion.
        mean, variance = weighted_moments(np.log(y), weight)
        dispersion = np.sqrt(6.0 * variance) / np.pi
        return mean + np.euler_gamma * dispersion, log_or_zero(dispersion)


def standardize(y: np.ndarray, heads: Heads) -> np.ndarray:
    """Return ``(log y - heads[0]) / exp(heads[1])``."""
    distance = np.log(y) - heads[0]
    z = distance * capped_exp(-heads[1])
    is_narrow = heads[1] < -LARGEST_LOG
    if not is_narrow.any():
        return z
    # The rate is cut; its exponential must grow on, lest log_dispersion outweigh it.
    with np.errstate(divide="ignore"):
        far = extended_exp(np.log(np.abs(distance)) - heads[1])
    return np.where(is_narrow, np.sign(distance) * far, z)
