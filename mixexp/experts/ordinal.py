"""Ordinal expert: a cumulative model for classes that have an order.

``P(y <= c) = F(threshold_c - eta)`` with F the inverse link, for c = 0, ..., n_classes - 2. The
first threshold is zero, for the location has an intercept; each further one lies
``exp(log_increment)`` above the one before, so that the order always holds.
McCullagh (1980), Regression models for ordinal data, J. R. Statist. Soc. B 42, eq. 2.2.
"""

import math

import numpy as np

from mixexp.experts._base import Curvature, Derivatives, Expert, Head, Heads
from mixexp.links import PROBABILITY_LINKS, ProbabilityLink

# Log probability of a class, and its derivatives at the upper and lower end.
Terms = tuple[np.ndarray, np.ndarray, np.ndarray]
# Thresholds closer than 2e-9 or farther than 5e8 apart are not told from merged or infinite.
_LOG_INCREMENT_LIMITS = (-20.0, 20.0)
# Classes of less width, or less of a share of their distance, are integrated over: by
# Gauss-Legendre's rule that is exact to width**7.
_NARROW, _NARROW_SHARE = 0.1, 1e-3
_GAUSS = ((-math.sqrt(0.6), 5 / 9), (0.0, 8 / 9), (math.sqrt(0.6), 5 / 9))


class Ordinal(Expert):
    """Cumulative logit or probit expert for y in {0, ..., n_classes - 1}.

    ``mean`` is the probability of every class, with the classes in its first axis.

    Parameters
    ----------
    n_classes : int, default=2
    link : {"logit", "probit"}, default="logit"

    Examples
    --------
    >>> import numpy as np
    >>> heads = np.zeros((1, 1)), np.zeros((1, 1))
    >>> Ordinal(n_classes=3).mean(heads).round(3).ravel()
    array([0.5  , 0.231, 0.269])
    """

    name = "ordinal"
    target = "classes"
    links = ("logit", "probit")
    support = "a class number 0, 1, ..., n_classes - 1"
    is_discrete = True
    has_ordered_classes = True

    def __init__(self, n_classes: int = 2, link: str = "logit") -> None:
        self.n_classes = n_classes
        self.link = link

    @property
    def support_limits(self) -> tuple[float, float]:
        return 0.0, self.n_classes - 1.0

    @property
    def heads(self) -> tuple[Head, ...]:
        increments = (
            Head(f"log_increment {c}", "shape", *_LOG_INCREMENT_LIMITS)
            for c in range(1, self.n_classes - 1)
        )
        return (Head("location", "location"), *increments)

    @property
    def link_function(self) -> ProbabilityLink:
        """What turns the location into the mean, as the option ``link`` names it."""
        return PROBABILITY_LINKS[self.link]

    def find_unsupported(self, y: np.ndarray) -> np.ndarray:
        return ~np.isin(y, np.arange(self.n_classes))

    def _increments(self, heads: Heads) -> list[np.ndarray]:
        return [np.exp(np.clip(head, *_LOG_INCREMENT_LIMITS)) for head in heads[1:]]

    def _edges(self, c: int, heads: Heads) -> tuple[np.ndarray, np.ndarray]:
        """Return the arguments of F at the upper and lower end of class c."""
        below = sum(self._increments(heads)[: max(c - 1, 0)], -heads[0])
        return (below + self._increments(heads)[c - 1] if 0 < c <= len(heads) - 1 else below), below

    def _class_terms(self, c: int, heads: Heads) -> Terms:
        """Return log P(y = c), and its derivatives at the upper and lower end."""
        link, (upper, lower) = self.link_function, self._edges(c, heads)
        if c == 0:
            return link.log_mean(upper), link.rates(upper)[0], np.zeros_like(upper)
        if c == self.n_classes - 1:
            return link.log_complement(lower), np.zeros_like(lower), link.rates(lower)[1]
        # F is symmetric: work in the left tail, where differences keep their digits.
        is_right = upper + lower > 0.0
        far, near = np.where(is_right, -upper, lower), np.where(is_right, -lower, upper)
        log_near = link.log_mean(near)
        log_ratio = self._log_ratio(far, near, self._increments(heads)[c - 1])
        share = -np.expm1(log_ratio)
        at_near = link.rates(near)[0] / share
        at_far = link.rates(far)[0] * np.exp(log_ratio) / share
        at_upper = np.where(is_right, at_far, at_near)
        return log_near + np.log(share), at_upper, np.where(is_right, at_near, at_far)

    def _log_ratio(self, far: np.ndarray, near: np.ndarray, width: np.ndarray) -> np.ndarray:
        """Return ``log F(far) - log F(near)``, where close ends cancel as an integral."""
        link = self.link_function
        apart = link.log_mean(far) - link.log_mean(near)
        is_narrow = width < np.maximum(_NARROW, _NARROW_SHARE * np.abs(near))
        if not is_narrow.any():
            return apart
        narrow = np.where(is_narrow, width, _NARROW)
        area = sum(
            weight * link.rates(near - (0.5 - 0.5 * node) * narrow)[0] for node, weight in _GAUSS
        )
        return np.where(is_narrow, -0.5 * narrow * area, apart)

    def _log_slope(self, z: np.ndarray) -> np.ndarray:
        """Return d log F' / dz, an odd function."""
        left = -np.abs(z)
        gain = self.link_function.rates(left)[0]
        slope = self.link_function.rate_derivatives(left)[0] / gain + gain
        return np.where(z > 0.0, -slope, slope)

    def _directions(self, c: int, heads: Heads) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Return derivatives of the upper and lower end of class c in each head."""
        increments = self._increments(heads)
        minus, zero = -np.ones_like(heads[0]), np.zeros_like(heads[0])
        upper = [minus, *(e if j <= c else zero for j, e in enumerate(increments, start=1))]
        lower = [minus, *(e if j < c else zero for j, e in enumerate(increments, start=1))]
        return upper, lower

    def _scores(self, c: int, heads: Heads, terms: Terms) -> list[np.ndarray]:
        _, at_upper, at_lower = terms
        upper, lower = self._directions(c, heads)
        return [at_upper * u - at_lower * v for u, v in zip(upper, lower, strict=True)]

    def log_kernel(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        return _choose(y, [self._class_terms(c, heads)[0] for c in range(self.n_classes)])

    def derivatives(self, y: np.ndarray, heads: Heads) -> Derivatives:
        terms = [self._class_terms(c, heads) for c in range(self.n_classes)]
        scores = [self._scores(c, heads, terms[c]) for c in range(self.n_classes)]
        curvature = {(a, a): np.zeros_like(heads[0]) for a in range(len(heads))}
        for (log_probability, _, _), score in zip(terms, scores, strict=True):
            probability = np.exp(log_probability)
            for a in range(len(heads)):
                curvature[a, a] = curvature[a, a] + probability * score[a] ** 2
        return Derivatives(tuple(_choose(y, list(s)) for s in zip(*scores, strict=True)), curvature)

    def observed_curvature(self, y: np.ndarray, heads: Heads) -> Curvature:
        by_class = [self._class_curvature(c, heads) for c in range(self.n_classes)]
        return {pair: _choose(y, [found[pair] for found in by_class]) for pair in by_class[0]}

    def _class_curvature(self, c: int, heads: Heads) -> Curvature:
        terms = self._class_terms(c, heads)
        _, at_upper, at_lower = terms
        upper, lower = self._directions(c, heads)
        z_upper, z_lower = self._edges(c, heads)
        bend_upper, bend_lower = self._log_slope(z_upper), self._log_slope(z_lower)
        score, out = self._scores(c, heads, terms), {}
        for a in range(len(heads)):
            for b in range(a, len(heads)):
                # An increment is the exponential of its head, so its own second derivative.
                own = 1.0 if a == b and a > 0 else 0.0
                rise = at_upper * upper[a] * (bend_upper * upper[b] + own)
                rise = rise - at_lower * lower[a] * (bend_lower * lower[b] + own)
                out[a, b] = score[a] * score[b] - rise
        return out

    def mean(self, heads: Heads) -> np.ndarray:
        return np.stack([np.exp(self._class_terms(c, heads)[0]) for c in range(self.n_classes)])

    def cdf(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        mean, below = self.mean(heads), np.zeros(np.broadcast_shapes(y.shape, heads[0].shape))
        for c in range(self.n_classes):
            below = below + np.where(y >= c, mean[c], 0.0)
        return below

    def sample(self, heads: Heads, rng: np.random.Generator) -> np.ndarray:
        below = rng.random(heads[0].shape) > np.cumsum(self.mean(heads), axis=0)[:-1]
        return below.sum(axis=0).astype(float)

    def start(self, y: np.ndarray, weight: np.ndarray) -> tuple[float, ...]:
        mass = np.bincount(y.astype(np.int64), weights=weight, minlength=self.n_classes) + 0.5
        reached = self.link_function.predictor(np.cumsum(mass)[:-1] / mass.sum())
        return -float(reached[0]), *(float(step) for step in np.log(np.diff(reached)))


def _choose(y: np.ndarray, by_class: list[np.ndarray]) -> np.ndarray:
    """Return the element of each row's own class."""
    out = by_class[0]
    for c in range(1, len(by_class)):
        out = np.where(y == c, by_class[c], out)
    return np.broadcast_to(out, np.broadcast_shapes(out.shape, (1, len(y))))
