"""Ordinal expert: a cumulative model for classes that have an order.

``P(y <= c) = F(threshold_c - eta)`` with F the inverse link, for c = 0, ..., n_classes - 2. The
first threshold is zero, for the location has an intercept; each further one lies
``exp(log_increment)`` above the one before, so that the order always holds.
McCullagh (1980), Regression models for ordinal data, J. R. Statist. Soc. B 42, eq. 2.2.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

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


class _Edge(NamedTuple):
    """What is known of F at an end between two classes.

    Parameters
    ----------
    z : ndarray
    log_below, log_above : ndarray
        Logs of F and of 1 - F.
    rate_below, rate_above : ndarray
        The derivative of the first, and minus that of the second.
    """

    z: np.ndarray
    log_below: np.ndarray
    log_above: np.ndarray
    rate_below: np.ndarray
    rate_above: np.ndarray


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

    def _edges(self, heads: Heads) -> list[_Edge]:
        """Return the ends between the classes, from the lowest."""
        link, z, out = self.link_function, -heads[0], []
        for increment in (None, *self._increments(heads)):
            z = z if increment is None else z + increment
            out.append(_Edge(z, link.log_mean(z), link.log_complement(z), *link.rates(z)))
        return out

    def _terms(self, heads: Heads, edges: Sequence[_Edge] = ()) -> list[Terms]:
        """Return, for each class, log P(y = c) and its derivatives at the upper and lower end."""
        edges = edges or self._edges(heads)
        first, last, zero = edges[0], edges[-1], np.zeros_like(edges[0].z)
        out = [(first.log_below, first.rate_below, zero)]
        pairs = zip(edges, edges[1:], self._increments(heads), strict=False)
        out += [self._terms_between(*pair) for pair in pairs]
        return [*out, (last.log_above, zero, last.rate_above)]

    def _terms_between(self, lower: _Edge, upper: _Edge, width: np.ndarray) -> Terms:
        # F is symmetric: work in the left tail, where differences keep their digits.
        is_right = upper.z + lower.z > 0.0
        near = np.where(is_right, -lower.z, upper.z)
        log_near = np.where(is_right, lower.log_above, upper.log_below)
        log_far = np.where(is_right, upper.log_above, lower.log_below)
        log_ratio = self._log_ratio(log_far - log_near, near, width)
        share = -np.expm1(log_ratio)
        at_near = np.where(is_right, lower.rate_above, upper.rate_below) / share
        at_far = np.where(is_right, upper.rate_above, lower.rate_below) * np.exp(log_ratio) / share
        at_upper = np.where(is_right, at_far, at_near)
        return log_near + np.log(share), at_upper, np.where(is_right, at_near, at_far)

    def _log_ratio(self, apart: np.ndarray, near: np.ndarray, width: np.ndarray) -> np.ndarray:
        """Return ``log F(far) - log F(near)``, where close ends cancel as an integral."""
        is_narrow = width < np.maximum(_NARROW, _NARROW_SHARE * np.abs(near))
        if not is_narrow.any():
            return apart
        narrow, rates = np.where(is_narrow, width, _NARROW), self.link_function.rates
        area = sum(weight * rates(near - (0.5 - 0.5 * node) * narrow)[0] for node, weight in _GAUSS)
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
        return _log_kernel(y, self._terms(heads))

    def derivatives(self, y: np.ndarray, heads: Heads) -> Derivatives:
        return self._derivatives(y, heads, self._terms(heads))

    def evaluate(self, y: np.ndarray, heads: Heads) -> tuple[np.ndarray, Derivatives]:
        terms = self._terms(heads)
        return _log_kernel(y, terms), self._derivatives(y, heads, terms)

    def _derivatives(self, y: np.ndarray, heads: Heads, terms: list[Terms]) -> Derivatives:
        scores = [self._scores(c, heads, terms[c]) for c in range(self.n_classes)]
        curvature = {(a, a): np.zeros_like(heads[0]) for a in range(len(heads))}
        for (log_probability, _, _), score in zip(terms, scores, strict=True):
            probability = np.exp(log_probability)
            for a in range(len(heads)):
                curvature[a, a] = curvature[a, a] + probability * score[a] ** 2
        return Derivatives(tuple(_choose(y, list(s)) for s in zip(*scores, strict=True)), curvature)

    def observed_curvature(self, y: np.ndarray, heads: Heads) -> Curvature:
        edges = self._edges(heads)
        terms, bends = self._terms(heads, edges), [self._log_slope(edge.z) for edge in edges]
        # Of the lowest class the lower end, and of the highest the upper, is nowhere.
        lower, upper = [bends[0], *bends], [*bends, bends[-1]]
        by_class = [
            self._class_curvature(c, heads, terms[c], (upper[c], lower[c]))
            for c in range(self.n_classes)
        ]
        return {pair: _choose(y, [found[pair] for found in by_class]) for pair in by_class[0]}

    def _class_curvature(
        self, c: int, heads: Heads, terms: Terms, bends: tuple[np.ndarray, np.ndarray]
    ) -> Curvature:
        (_, at_upper, at_lower), (bend_upper, bend_lower) = terms, bends
        upper, lower = self._directions(c, heads)
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
        return np.stack([np.exp(log_probability) for log_probability, _, _ in self._terms(heads)])

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


def _log_kernel(y: np.ndarray, terms: list[Terms]) -> np.ndarray:
    return _choose(y, [log_probability for log_probability, _, _ in terms])


def _choose(y: np.ndarray, by_class: list[np.ndarray]) -> np.ndarray:
    """Return the element of each row's own class."""
    out = by_class[0]
    for c in range(1, len(by_class)):
        out = np.where(y == c, by_class[c], out)
    return np.broadcast_to(out, np.broadcast_shapes(out.shape, (1, len(y))))
