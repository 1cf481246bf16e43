"""Student t expert: a linear model that is robust to outliers.

With r = y - eta, dispersion = ``exp(log_dispersion)`` = squared scale and distance =
r**2 / dispersion, ``log f(y) = log Gamma((df + 1) / 2) - log Gamma(df / 2)
- log(pi * df * dispersion) / 2 - (df + 1) / 2 * log(1 + distance / df)``.
Lange, Little & Taylor (1989), J. Am. Statist. Assoc. 84, section 3 and appendix B.
"""

import math

import numpy as np
from scipy.special import betaincinv, digamma, polygamma, stdtr, stdtrit

from mixexp.experts._base import Curvature, Derivatives, Head, Heads
from mixexp.experts._location_scale import START_DF, WithDegrees, location_scale_heads
from mixexp.experts._special import HALF_LOG_2PI, stirling_error
from mixexp.experts._weighted import log_or_zero, weighted_median
from mixexp.links import capped_exp, safe_exp

# Residuals whose square is finite over any dispersion, and logs of dispersions that are beyond
# what fits come to.
_LARGEST_DISTANCE = 1e80
_LARGEST_LOG_DISPERSION = 100.0
# Quantiles, over the root of df, beyond which 1 + t**2 / df is t**2 / df to the last digit.
_LOG_FAR = math.log(1e9)


class StudentT(WithDegrees):
    """Student t expert.

    ``mean`` is the location, which is the mean for df > 1; ``variance`` is
    dispersion * df / (df - 2), and infinite for df <= 2.

    Parameters
    ----------
    link : {"identity"}, default="identity"
    df : float or None, default=None
        Degrees of freedom; None means estimated per expert, within [1, 1000], by a head
        ``log_df`` of kind "shape".
    dispersion : {"own", "shared"} or float, default="own"
        Whether every expert has a dispersion of its own, all have the same, or it is known.

    Examples
    --------
    >>> import numpy as np
    >>> heads = np.array([[0.0]]), np.array([[0.0]])
    >>> StudentT(df=1.0).log_density(np.array([0.0]), heads).round(4)
    array([[-1.1447]])
    """

    name = "student_t"
    links = ("identity",)

    def __init__(
        self, link: str = "identity", df: float | None = None, dispersion: str | float = "own"
    ) -> None:
        self.dispersion = dispersion
        self.link = link
        self.df = df

    @property
    def heads(self) -> tuple[Head, ...]:
        return self._with_df(location_scale_heads(), "gaussian")

    def _terms(self, y: np.ndarray, heads: Heads) -> tuple[np.ndarray, ...]:
        """Return df, residual / scale, its square, and 1 / scale."""
        rate = capped_exp(-0.5 * heads[1])
        z = np.clip(y - heads[0], -_LARGEST_DISTANCE, _LARGEST_DISTANCE) * rate
        return self._df(heads), z, z * z, rate

    def log_kernel(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        df = self._df(heads)
        spread = 0.5 * (df + 1.0) * self._log_spread(y, heads)
        return _log_constant(df) - 0.5 * heads[1] - spread

    def _log_spread(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        """Return ``log(1 + distance / df)``, also where the distance over- or underflows."""
        df, _, distance, _ = self._terms(y, heads)
        spread, is_far = np.log1p(distance / df), _is_far(y - heads[0], heads[1])
        if not is_far.any():
            return spread
        with np.errstate(divide="ignore"):
            log_distance = 2.0 * np.log(np.abs(y - heads[0])) - heads[1]
        return np.where(is_far, np.logaddexp(0.0, log_distance - np.log(df)), spread)

    def _df_score(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        """Return the derivative in df, not in its log."""
        df, _, distance, _ = self._terms(y, heads)
        share = distance / (df + distance)
        return 0.5 * (_gamma_gap(df) - self._log_spread(y, heads) + (df + 1.0) / df * share)

    def derivatives(self, y: np.ndarray, heads: Heads) -> Derivatives:
        df, z, distance, rate = self._terms(y, heads)
        weighted = (df + 1.0) / (df + distance) * z
        score: Heads = (weighted * rate, 0.5 * (weighted * z - 1.0))
        if self.df is None:
            score = (*score, df * self._df_score(y, heads))
        return Derivatives(score, self._information(df, rate))

    def evaluate(self, y: np.ndarray, heads: Heads) -> tuple[np.ndarray, Derivatives]:
        df, residual = self._df(heads), y - heads[0]
        is_one_each = df.shape[-1] == heads[1].shape[-1] == 1
        if not is_one_each or _is_far(residual, heads[1]).any():
            return super().evaluate(y, heads)
        rate = np.exp(-0.5 * heads[1])
        z = residual * rate
        distance = z * z
        weighted = (df + 1.0) * z / (df + distance)
        square, spread = weighted * z, np.log1p(distance / df)
        constant = _log_constant(df) - 0.5 * heads[1]
        score: Heads = (weighted * rate, 0.5 * square - 0.5)
        if self.df is None:
            score = (*score, 0.5 * (df * (_gamma_gap(df) - spread) + square))
        found = Derivatives(score, self._information(df, rate))
        return constant - 0.5 * (df + 1.0) * spread, found

    def _information(self, df: np.ndarray, rate: np.ndarray) -> Curvature:
        """Return the expected information; `rate` is one over the scale."""
        in_location = (df + 1.0) / (df + 3.0) * rate**2
        in_dispersion = np.broadcast_to(0.5 * df / (df + 3.0), in_location.shape)
        curvature = {(0, 0): in_location, (1, 1): in_dispersion}
        if self.df is None:
            gammas = 0.5 * (polygamma(1, 0.5 * df) - polygamma(1, 0.5 * (df + 1.0)))
            in_df = 0.5 * (gammas - (df + 5.0) / (df * (df + 1.0) * (df + 3.0)))
            curvature[2, 2] = np.maximum(df**2 * in_df, 0.0)
        return curvature

    def observed_curvature(self, y: np.ndarray, heads: Heads) -> Curvature:
        df, z, distance, rate = self._terms(y, heads)
        total = df + distance
        weighted = (df + 1.0) / total * z
        curvature = {
            (0, 0): (df + 1.0) / total * ((df - distance) / total) * rate**2,
            (0, 1): weighted * rate * (df / total),
            (1, 1): 0.5 * weighted * z * (df / total),
        }
        if self.df is not None:
            return curvature
        drift = df / total * ((1.0 - distance) / total)
        curvature[0, 2] = z * rate * drift
        curvature[1, 2] = 0.5 * distance * drift
        gammas = 0.5 * (polygamma(1, 0.5 * (df + 1.0)) - polygamma(1, 0.5 * df)) + 1.0 / df**2
        share = distance / total
        bend = share / df * (1.0 - 1.0 / df - (df + 1.0) / total)
        slope = df * self._df_score(y, heads)
        curvature[2, 2] = -(slope + 0.5 * df**2 * (gammas + bend))
        return curvature

    def mean(self, heads: Heads) -> np.ndarray:
        return heads[0]

    def variance(self, heads: Heads) -> np.ndarray:
        df = self._df(heads)
        ratio = np.where(df > 2.0, df / np.maximum(df - 2.0, 1e-300), np.inf)
        shape = np.broadcast_shapes(heads[0].shape, heads[1].shape, ratio.shape)
        return np.broadcast_to(safe_exp(heads[1]) * ratio, shape)

    def cdf(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        return stdtr(self._df(heads), self._terms(y, heads)[1])

    def survival(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        return stdtr(self._df(heads), -self._terms(y, heads)[1])

    def expected_excess(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        df, z, distance, rate = self._terms(y, heads)
        density = np.exp(self.log_kernel(y, heads)) / rate
        beyond = (df + distance) / np.maximum(df - 1.0, 1e-300) * density
        excess = np.maximum(beyond - z * stdtr(df, -z), 0.0) / rate
        return np.where(df > 1.0, excess, np.inf)

    def quantile(self, q: np.ndarray, heads: Heads) -> np.ndarray:
        tail = np.clip(np.minimum(q, 1.0 - q), 1e-300, 0.5)
        lower = _lower_quantile(self._df(heads), tail)
        inside = np.where(q < 0.5, lower, -lower)
        z = np.where(q <= 0.0, -np.inf, np.where(q >= 1.0, np.inf, inside))
        return heads[0] + safe_exp(0.5 * heads[1]) * z

    def sample(self, heads: Heads, rng: np.random.Generator) -> np.ndarray:
        draws = rng.standard_t(np.broadcast_to(self._df(heads), heads[0].shape))
        return heads[0] + safe_exp(0.5 * heads[1]) * draws

    def start(self, y: np.ndarray, weight: np.ndarray) -> tuple[float, ...]:
        center = weighted_median(y, weight)
        # The upper quartile of a t with 5 degrees of freedom is 0.727.
        scale = weighted_median(np.abs(y - center), weight) / 0.727
        start = (center, log_or_zero(scale**2))
        return start if self.df is not None else (*start, math.log(START_DF))


def _is_far(residual: np.ndarray, log_dispersion: np.ndarray) -> np.ndarray:
    """Return where residuals or scales are beyond what a square can take."""
    is_large = np.abs(residual) > _LARGEST_DISTANCE
    return is_large | (np.abs(log_dispersion) > _LARGEST_LOG_DISPERSION)


def _gamma_gap(df: np.ndarray) -> np.ndarray:
    return digamma(0.5 * (df + 1.0)) - digamma(0.5 * df) - 1.0 / df


def _log_constant(df: np.ndarray) -> np.ndarray:
    """Return ``log Gamma((df + 1) / 2) - log Gamma(df / 2) - log(pi * df) / 2``, by Stirling."""
    half = 0.5 * df
    errors = stirling_error(half + 0.5) - stirling_error(half)
    return half * np.log1p(0.5 / half) - 0.5 + errors - HALF_LOG_2PI


def _lower_quantile(df: np.ndarray, tail: np.ndarray) -> np.ndarray:
    """Return the quantile of a standard t at a level in (0, 1/2].

    SciPy's has a relative error of up to 5e-9 in version 1.12, and of 2e-9 at 4 degrees of freedom
    in version 1.17; one step of Newton's method for ``log F(t) = log tail`` removes it. Where
    SciPy's is infinite or cut off: by the incomplete beta function, Abramowitz & Stegun (1964),
    eq. 26.7.1. Far in the tail F is a power of t.
    """
    found = stdtrit(df, tail)
    log_reached = np.log(np.maximum(stdtr(df, found), 5e-324))
    gap = np.log(tail) - log_reached
    is_lost = ~(np.abs(gap) < 1e-3)
    # By hypot, for squares of quantiles overflow at one degree of freedom.
    log_density = _log_constant(df) - (df + 1.0) * np.log(np.hypot(1.0, found / np.sqrt(df)))
    found = found + np.where(is_lost, 0.0, gap * np.exp(log_reached - log_density))
    if is_lost.any():
        share = np.maximum(betaincinv(0.5 * df, 0.5, 2.0 * tail), 1e-300)
        found = np.where(is_lost, -np.sqrt(df * (1.0 - share) / share), found)
    log_far = (_log_constant(df) + 0.5 * (df - 1.0) * np.log(df) - np.log(tail)) / df
    is_far = log_far > _LOG_FAR + 0.5 * np.log(df)
    return np.where(is_far, -np.exp(np.minimum(log_far, 700.0)), found)
