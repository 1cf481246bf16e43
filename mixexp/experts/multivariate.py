"""Gaussian and Student t experts of several targets, with a covariance matrix of their own.

The distance Q, the heads and what they mean are in `_elliptical`.
"""

import math

import numpy as np
from scipy.special import digamma, fdtri, gammaincinv, gammaln, polygamma

from mixexp.experts._base import Curvature, Derivatives, Expert, Head, Heads
from mixexp.experts._elliptical import Elliptical
from mixexp.experts._location_scale import START_DF, WithDegrees
from mixexp.experts.gaussian import Gaussian
from mixexp.experts.student_t import StudentT

_LOG_2PI = math.log(2.0 * math.pi)


class MultivariateGaussian(Elliptical):
    """Gaussian expert of several targets: a linear model for each, and a covariance matrix.

    Parameters
    ----------
    covariance : {"full", "shared", "diagonal"}, default="full"
        Whether every expert has a covariance matrix of its own, all have the same, or every expert
        has variances of its own and targets are independent given the expert.
    n_outputs : int or None, default=None
        Number of targets; None for that of y.

    Examples
    --------
    >>> import numpy as np
    >>> family = MultivariateGaussian("diagonal", n_outputs=2)
    >>> heads = (np.array([[0.0]]),) * 4
    >>> family.log_density(np.array([[1.0], [0.0]]), heads).round(4)
    array([[-2.3379]])
    """

    name = "multivariate_gaussian"

    def __init__(self, covariance: str = "full", n_outputs: int | None = None) -> None:
        self.covariance = covariance
        self.n_outputs = n_outputs

    def log_base(self, y: np.ndarray) -> np.ndarray | float:
        return -0.5 * self.size * _LOG_2PI

    def log_kernel(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        return -0.5 * (self._parts(y, heads).distance + self._log_determinant(heads))

    def evaluate(self, y: np.ndarray, heads: Heads) -> tuple[np.ndarray, Derivatives]:
        d, parts = self.size, self._parts(y, heads)
        score = self._distance_score(parts, heads)
        log_kernel = -0.5 * (parts.distance + self._log_determinant(heads))
        score[d : 2 * d] = [own - 0.5 for own in score[d : 2 * d]]
        curvature = self._precision_matrix(parts, heads)
        curvature |= {(h, h): np.full_like(heads[h], 0.5) for h in range(d, 2 * d)}
        curvature |= self._slope_curvature(parts, 1.0)
        return log_kernel, Derivatives(tuple(score), curvature)

    def derivatives(self, y: np.ndarray, heads: Heads) -> Derivatives:
        return self.evaluate(y, heads)[1]

    def observed_curvature(self, y: np.ndarray, heads: Heads) -> Curvature:
        return self._distance_curvature(self._parts(y, heads), heads)

    def marginal(self, output: int, heads: Heads) -> tuple[Expert, Heads]:
        variance = self.scatter_of(heads)[output, output]
        return Gaussian(), (heads[output], np.log(variance))

    def squared_radius(self, coverage: float, heads: Heads) -> np.ndarray:
        # Of a chi-squared variable with d degrees of freedom.
        return np.full((1, 1), 2.0 * gammaincinv(0.5 * self.size, coverage))


class MultivariateStudentT(WithDegrees, Elliptical):
    """Student t expert of several targets, robust to outliers in any of them.

    Location and scatter matrix are as for `MultivariateGaussian`; the covariance is the scatter
    times ``df / (df - 2)``, infinite for df <= 2.

    Parameters
    ----------
    covariance : {"full", "shared", "diagonal"}, default="full"
        As for `MultivariateGaussian`, of the scatter matrix. Where it is diagonal, targets are
        uncorrelated given the expert, but far off together.
    df : float or None, default=None
        Degrees of freedom, one number for all targets; None means estimated per expert, within
        [1, 1000].
    n_outputs : int or None, default=None
        Number of targets; None for that of y.

    Examples
    --------
    >>> import numpy as np
    >>> family = MultivariateStudentT("diagonal", df=1.0, n_outputs=2)
    >>> heads = (np.array([[0.0]]),) * 4
    >>> family.log_density(np.array([[0.0], [0.0]]), heads).round(4)
    array([[-1.8379]])
    """

    name = "multivariate_student_t"

    def __init__(
        self, covariance: str = "full", df: float | None = None, n_outputs: int | None = None
    ) -> None:
        self.covariance = covariance
        self.df = df
        self.n_outputs = n_outputs

    @property
    def heads(self) -> tuple[Head, ...]:
        return self._with_df(super().heads, "multivariate_gaussian")

    def log_kernel(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        df, distance = self._df(heads), self._parts(y, heads).distance
        spread = 0.5 * (df + self.size) * np.log1p(distance / df)
        return self._log_constant(df) - 0.5 * self._log_determinant(heads) - spread

    def _log_constant(self, df: np.ndarray) -> np.ndarray:
        gammas = gammaln(0.5 * (df + self.size)) - gammaln(0.5 * df)
        return gammas - 0.5 * self.size * (np.log(df) + math.log(math.pi))

    def derivatives(self, y: np.ndarray, heads: Heads) -> Derivatives:
        d, parts, df = self.size, self._parts(y, heads), self._df(heads)
        distance = parts.distance
        weight, share = (df + d) / (df + distance), (df + d) / (df + d + 2.0)
        score = [weight * own for own in self._distance_score(parts, heads)]
        score[d : 2 * d] = [own - 0.5 for own in score[d : 2 * d]]
        # Fisher's information; of the dispersions without what couples them, which lowers it.
        curvature = {
            pair: share * own for pair, own in self._precision_matrix(parts, heads).items()
        }
        curvature |= {
            (h, h): np.broadcast_to(0.5 * share, np.broadcast_shapes(share.shape, heads[h].shape))
            for h in range(d, 2 * d)
        }
        curvature |= self._slope_curvature(parts, weight)
        if self.df is None:
            score.append(df * self._df_score(distance, df))
            gammas = 0.25 * (polygamma(1, 0.5 * df) - polygamma(1, 0.5 * (df + d)))
            in_df = gammas - 0.5 * d * (df + d + 4.0) / (df * (df + d) * (df + d + 2.0))
            curvature[len(heads) - 1, len(heads) - 1] = np.maximum(df**2 * in_df, 0.0)
        return Derivatives(tuple(score), curvature)

    def _df_score(self, distance: np.ndarray, df: np.ndarray) -> np.ndarray:
        """Return the derivative in df, not in its log."""
        d = self.size
        gammas = digamma(0.5 * (df + d)) - digamma(0.5 * df) - d / df
        pulled = (df + d) / df * (distance / (df + distance))
        return 0.5 * (gammas - np.log1p(distance / df) + pulled)

    def observed_curvature(self, y: np.ndarray, heads: Heads) -> Curvature:
        d, parts, df = self.size, self._parts(y, heads), self._df(heads)
        distance = parts.distance
        total = df + distance
        weight = (df + d) / total
        score = self._distance_score(parts, heads)
        of_distance = self._distance_curvature(parts, heads)
        zero = np.zeros_like(distance)
        out = {
            (a, b): weight * (of_distance.get((a, b), zero) - 2.0 * score[a] / total * score[b])
            for a in range(len(score))
            for b in range(a, len(score))
        }
        if self.df is None:
            last = len(score)
            drift = df / total * ((d - distance) / total)
            out |= {(a, last): drift * own for a, own in enumerate(score)}
            out[last, last] = self._df_curvature(distance, df)
        return out

    def _df_curvature(self, distance: np.ndarray, df: np.ndarray) -> np.ndarray:
        """Return minus the second derivative in log df."""
        d, total = self.size, df + distance
        gammas = 0.25 * (polygamma(1, 0.5 * (df + d)) - polygamma(1, 0.5 * df))
        share = distance / total
        bend = 0.5 * share / df * (1.0 - d / df - (df + d) / total)
        second = gammas + 0.5 * d / df**2 + bend
        return -(df * self._df_score(distance, df) + df**2 * second)

    def covariance_of(self, heads: Heads) -> np.ndarray:
        df = self._df(heads)
        ratio = np.where(df > 2.0, df / np.maximum(df - 2.0, 1e-300), np.inf)
        scatter = self.scatter_of(heads)
        # Uncorrelated outputs stay so; zero times infinity is no number.
        return np.where(scatter == 0.0, 0.0, scatter * ratio)

    def _draw_spread(self, heads: Heads, rng: np.random.Generator) -> np.ndarray:
        df = np.broadcast_to(self._df(heads), heads[0].shape)
        return np.sqrt(df / (2.0 * rng.standard_gamma(0.5 * df)))

    def start(self, y: np.ndarray, weight: np.ndarray) -> tuple[float, ...]:
        out = super().start(y, weight)
        return out if self.df is not None else (*out, math.log(START_DF))

    def marginal(self, output: int, heads: Heads) -> tuple[Expert, Heads]:
        scatter = self.scatter_of(heads)[output, output]
        own = heads[output], np.log(scatter)
        return StudentT(df=self.df), own if self.df is not None else (*own, heads[-1])

    def squared_radius(self, coverage: float, heads: Heads) -> np.ndarray:
        # Distances are d times an F variable with d and df degrees of freedom.
        return self.size * fdtri(self.size, self._df(heads), coverage)
