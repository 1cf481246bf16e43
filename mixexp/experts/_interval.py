"""Families whose y is known exactly, or only to lie in an interval: one wrapper for all of them.

For y in (a, b] the term of a row is ``log(F(b) - F(a))``. Where a head shifts or scales y, or its
logarithm, the derivative of F in it is the density times a factor: so are all derivatives with it,
for that of a density is density times score. Derivatives in other heads are differences.
Lawless (2003), Statistical models and methods for lifetime data, section 2.2.
"""

from typing import Any, NamedTuple

import numpy as np

from mixexp.experts._base import Curvature, Derivatives, Expert, Head, Heads
from mixexp.experts._units import Unit

# Probabilities of intervals that are a smaller share of the tail they are cut from than this are
# density times width, which is then the better of the two.
_NARROW = 1e-5
# Five-point differences: step**4 is lost to curvature and eps / step to rounding.
_STEP = 1e-3
_SECOND_STEP = 2e-3
# EM steps need some curvature where the log probability bends up: this share of the squared score.
_LEAST_BEND = 1e-3
_LARGEST_LOG_RATIO = 700.0
# Values at which a family is tried for what its heads do to y.
_TRIED = np.array([0.4, 0.7, 1.3, 2.1])
_TRIED_HEADS = (0.3, 0.2, 0.5)
_TRIED_STEP = 1e-6
_SAME = 1e-6


class _Term(NamedTuple):
    """Log probabilities of intervals, and their derivatives.

    Parameters
    ----------
    value : ndarray of shape (..., rows)
    score : tuple of ndarray of shape (..., rows)
        Per head.
    bend : dict of ndarray of shape (..., rows)
        Minus the second derivatives by pair of heads.
    """

    value: np.ndarray
    score: Heads
    bend: Curvature


class IntervalExpert(Expert):
    """A family that sees y as arrays (3, rows): some y, and the ends of the interval it is in.

    Intervals are open below and closed above; where both ends are equal y is exact. It has the
    heads of the family that it is made of, and so the same parameters.

    Parameters
    ----------
    base : Expert
        With a distribution function.
    """

    def __init__(self, base: Expert) -> None:
        self.base = base

    # What is asked of any family.

    @property
    def name(self) -> str:  # type: ignore[override]  # a property where families have constants
        return self.base.name

    @property
    def target(self) -> str:  # type: ignore[override]
        return self.base.target

    @property
    def links(self) -> tuple[str, ...]:  # type: ignore[override]
        return self.base.links

    @property
    def link(self) -> str | None:
        """The link of the family, if it has one."""
        return getattr(self.base, "link", None)

    @property
    def dispersion(self) -> Any:
        """The option of the family."""
        return getattr(self.base, "dispersion", "own")

    @property
    def is_discrete(self) -> bool:  # type: ignore[override]
        return self.base.is_discrete

    @property
    def is_noise(self) -> bool:  # type: ignore[override]
        return self.base.is_noise

    @property
    def is_smooth(self) -> bool:  # type: ignore[override]
        return self.base.is_smooth

    @property
    def support(self) -> str:  # type: ignore[override]
        return self.base.support

    @property
    def support_limits(self) -> tuple[float, float]:
        return self.base.support_limits

    @property
    def heads(self) -> tuple[Head, ...]:
        return self.base.heads

    @property
    def units(self) -> tuple[Unit, ...]:
        return self.base.units

    @property
    def atoms(self) -> tuple[float, ...]:
        return self.base.atoms

    def check_options(self) -> None:
        self.base.check_options()

    def fixed_to(self, y: np.ndarray, weight: np.ndarray) -> "IntervalExpert":
        return IntervalExpert(self.base.fixed_to(y, weight))

    def location_coef(self, coefs: Any) -> np.ndarray:
        return self.base.location_coef(coefs)

    def mean(self, heads: Heads) -> np.ndarray:
        return self.base.mean(heads)

    def predict(self, heads: Heads) -> np.ndarray:
        return self.base.predict(heads)

    def variance(self, heads: Heads) -> np.ndarray:
        return self.base.variance(heads)

    def start(self, y: np.ndarray, weight: np.ndarray) -> tuple[float, ...]:
        return self.base.start(y[0], weight)

    # Rows.

    def seen(self, y: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """Return y and the ends of its intervals as one array.

        Parameters
        ----------
        y : ndarray of shape (rows,)
        ends : ndarray of shape (2, rows)
            Of closed intervals; equal where y is exact.
        """
        lower, upper = ends
        is_exact = lower == upper
        if self.base.is_discrete or self.base.atoms:  # open below: just under the least value
            lower = np.where(is_exact, lower, np.ceil(lower) - 1.0)
            upper = np.where(is_exact, upper, np.floor(upper))
        some = np.where(self.base.find_unsupported(y) & ~is_exact, self._some_y(y), y)
        return np.stack([some, lower, upper])

    def _some_y(self, y: np.ndarray) -> float:
        """Return a value inside of the support, to stand where y itself is not known."""
        inside = y[~self.base.find_unsupported(y)]
        if len(inside):
            return float(inside[0])
        low, high = self.base.support_limits
        return 0.5 * (max(low, -1.0) + min(high, max(low, -1.0) + 2.0))

    def find_unsupported(self, y: np.ndarray) -> np.ndarray:
        value, lower, upper = y
        low, high = self.base.support_limits
        is_below = upper < low if self._has_lowest else upper <= low
        is_beyond = is_below | (lower >= high)
        return np.where(lower == upper, self.base.find_unsupported(value), is_beyond)

    @property
    def _has_lowest(self) -> bool:
        """Whether the lower limit of the support has a probability of its own."""
        low = self.base.support_limits[0]
        return self.base.is_discrete or low in self.base.atoms

    def has_mass(self, y: np.ndarray) -> np.ndarray:
        return (y[1] != y[2]) | self.base.has_mass(y[0])

    def log_base(self, y: np.ndarray) -> np.ndarray:
        return np.where(y[1] == y[2], self.base.log_base(y[0]), 0.0)

    def log_kernel(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        value, lower, upper = y
        out = self.base.log_kernel(value, heads)
        rows = np.flatnonzero(lower != upper)
        if len(rows):
            out = _over_rows(out, len(value))
            own = _of_rows(heads, rows)
            out[..., rows] = log_probability(self.base, lower[rows], upper[rows], own)
        return out

    def derivatives(self, y: np.ndarray, heads: Heads) -> Derivatives:
        return self.evaluate(y, heads)[1]

    def evaluate(self, y: np.ndarray, heads: Heads) -> tuple[np.ndarray, Derivatives]:
        value, lower, upper = y
        out, (score, curvature) = self.base.evaluate(value, heads)
        rows = np.flatnonzero(lower != upper)
        if not len(rows):
            return out, Derivatives(score, curvature)
        term = self._term(lower[rows], upper[rows], _of_rows(heads, rows))
        out = _over_rows(out, len(value))
        out[..., rows] = term.value
        score = tuple(_over_rows(own, len(value)) for own in score)
        curvature = {pair: _over_rows(own, len(value)) for pair, own in curvature.items()}
        for own, found in zip(score, term.score, strict=True):
            own[..., rows] = found
        for (a, b), own in curvature.items():
            least = _LEAST_BEND * np.square(term.score[a])
            own[..., rows] = np.maximum(term.bend[a, b], least) if a == b else 0.0
        return out, Derivatives(score, curvature)

    def observed_curvature(self, y: np.ndarray, heads: Heads) -> Curvature:
        value, lower, upper = y
        rows = np.flatnonzero(lower != upper)
        exact = (
            self.base.derivatives(value, heads).curvature
            if self.base.has_observed_curvature
            else self.base.observed_curvature(value, heads)
        )
        term = self._term(lower[rows], upper[rows], _of_rows(heads, rows))
        shape = (*np.broadcast_shapes(*(head.shape[:-1] for head in heads)), len(value))
        out = {}
        for pair, found in term.bend.items():
            own = np.zeros(shape)
            own[...] = exact.get(pair, 0.0)
            own[..., rows] = found
            out[pair] = own
        return out

    # Intervals.

    def _term(self, lower: np.ndarray, upper: np.ndarray, heads: Heads) -> _Term:
        """Return log probabilities of (lower, upper], and their derivatives."""
        family, n_heads = self.base, len(heads)
        value, is_narrow = _log_probability(family, lower, upper, heads)
        slopes = slopes_of_cdf(family)
        ends = [
            _at_end(family, slopes, end, sign, value, heads)
            for sign, end in ((1.0, lower), (-1.0, upper))
            if np.isfinite(end).any()
        ]
        score = tuple(
            np.sum([own.slope[h] for own in ends], axis=0)
            if slopes.factors[h] is not None
            else _difference(family, lower, upper, heads, h)
            for h in range(n_heads)
        )
        bend = {}
        for a in range(n_heads):
            for b in range(a, n_heads):
                exact = next((h for h in (a, b) if slopes.factors[h] is not None), None)
                if exact is None:
                    bend[a, b] = -_second_difference(family, lower, upper, heads, a, b)
                    continue
                other = b if exact == a else a
                bent = np.sum([own.slope[exact] * own.score[other] for own in ends], axis=0)
                bend[a, b] = score[a] * score[b] - bent
        found = _Term(value, score, bend)
        return self._as_density(found, lower, upper, heads, is_narrow)

    def _as_density(
        self,
        found: _Term,
        lower: np.ndarray,
        upper: np.ndarray,
        heads: Heads,
        is_narrow: np.ndarray,
    ) -> _Term:
        """Return the derivatives of the density in the place of those of narrow intervals."""
        if not is_narrow.any():
            return found
        rows = np.flatnonzero(is_narrow.reshape(-1, len(lower)).any(axis=0))
        middle, own = 0.5 * (lower[rows] + upper[rows]), _of_rows(heads, rows)
        density, of_rows = self.base.derivatives(middle, own), is_narrow[..., rows]
        observed = (
            density.curvature
            if self.base.has_observed_curvature
            else self.base.observed_curvature(middle, own)
        )
        for values, score in zip(found.score, density.score, strict=True):
            values[..., rows] = np.where(of_rows, score, values[..., rows])
        for pair, values in found.bend.items():
            values[..., rows] = np.where(of_rows, observed.get(pair, 0.0), values[..., rows])
        return found


class Slopes(NamedTuple):
    """How the distribution function changes with the heads, where that is known.

    Parameters
    ----------
    is_log : bool
        Whether heads move the logarithm of y, not y.
    factors : tuple of float or None
        Per head: 0 for one that moves y, k for one that is a k-th part of the log of the scale,
        None for all others.
    """

    is_log: bool
    factors: tuple[float | None, ...]


def slopes_of_cdf(family: Expert) -> Slopes:
    """Return what heads do to the distribution function, as found by trial."""
    key = (type(family).__name__, repr(family.get_params()))
    if key not in _known_slopes:
        _known_slopes[key] = _find_slopes(family)
    return _known_slopes[key]


_known_slopes: dict[tuple[str, str], Slopes] = {}


def _find_slopes(family: Expert) -> Slopes:
    n_heads = len(family.heads)
    nothing = Slopes(False, (None,) * n_heads)
    if n_heads == 0 or family.is_discrete or family.atoms:
        return nothing
    y = _TRIED[~family.find_unsupported(_TRIED)]
    heads = tuple(
        np.full((1, 1), np.clip(_TRIED_HEADS[h % len(_TRIED_HEADS)], head.lower, head.upper))
        for h, head in enumerate(family.heads)
    )
    by_head = [_slope_of_cdf(family, y, heads, h) for h in range(n_heads)]
    density = np.exp(family.log_density(y, heads))
    for is_log in (False, True):
        place, own = (np.log(y), density * y) if is_log else (y, density)
        if not _is_same(by_head[0], -own):
            continue
        factors: list[float | None] = [0.0]
        for slope in by_head[1:]:
            wanted = [k for k in (0.5, 1.0) if _is_same(slope, -k * (place - heads[0]) * own)]
            factors.append(wanted[0] if wanted else None)
        return Slopes(is_log, tuple(factors))
    return nothing


def _is_same(found: np.ndarray, expected: np.ndarray) -> bool:
    return bool(len(found) and np.allclose(found, expected, rtol=_SAME, atol=_SAME))


def _slope_of_cdf(family: Expert, y: np.ndarray, heads: Heads, h: int) -> np.ndarray:
    above, below = (
        family.cdf(y, (*heads[:h], heads[h] + step, *heads[h + 1 :]))
        for step in (_TRIED_STEP, -_TRIED_STEP)
    )
    return (above - below) / (2.0 * _TRIED_STEP)


class _End(NamedTuple):
    """One end of intervals: its part of the scores, and the scores of the density there."""

    slope: dict[int, np.ndarray]
    score: Heads


def _at_end(
    family: Expert, slopes: Slopes, end: np.ndarray, sign: float, value: np.ndarray, heads: Heads
) -> _End:
    """Return what an end adds to the scores of the heads that move or scale y.

    Parameters
    ----------
    family : Expert
    slopes : Slopes
    end : ndarray of shape (rows,)
    sign : float
        1 for the lower end and -1 for the upper.
    value : ndarray of shape (..., rows)
        Log probabilities of the intervals.
    heads : Heads
    """
    is_outside = family.find_unsupported(end)
    inside = end[~is_outside]
    at = np.where(is_outside, inside[0] if len(inside) else 1.0, end)
    log_ratio = family.log_density(at, heads) - value
    place = np.log(at) if slopes.is_log else at
    log_ratio = log_ratio + place if slopes.is_log else log_ratio
    ratio = sign * np.exp(np.minimum(log_ratio, _LARGEST_LOG_RATIO))
    ratio = np.where(is_outside, 0.0, ratio)
    slope = {
        h: ratio if factor == 0.0 else factor * (place - heads[0]) * ratio
        for h, factor in enumerate(slopes.factors)
        if factor is not None
    }
    return _End(slope, family.derivatives(at, heads).score)


def log_probability(
    family: Expert, lower: np.ndarray, upper: np.ndarray, heads: Heads
) -> np.ndarray:
    """Return the log of the probability of (lower, upper], by the smaller of both tails."""
    return _log_probability(family, lower, upper, heads)[0]


def _log_probability(
    family: Expert, lower: np.ndarray, upper: np.ndarray, heads: Heads
) -> tuple[np.ndarray, np.ndarray]:
    """Return log probabilities, and which were found as density times width."""
    low, high = family.support_limits
    has_lower, has_upper = lower > -np.inf, upper < np.inf
    shape = np.broadcast_shapes(lower.shape, *(head.shape for head in heads))
    if not has_upper.any():
        return np.broadcast_to(family.log_survival(lower, heads), shape).copy(), np.zeros(
            shape, bool
        )
    if not has_lower.any():
        return np.broadcast_to(family.log_cdf(upper, heads), shape).copy(), np.zeros(shape, bool)
    some_lower = np.where(has_lower, lower, low if np.isfinite(low) else upper)
    some_upper = np.where(has_upper, upper, high if np.isfinite(high) else lower)
    above = np.where(has_lower, family.log_survival(some_lower, heads), 0.0)
    below = np.where(has_upper, family.log_cdf(some_upper, heads), 0.0)
    beyond = np.where(has_upper, family.log_survival(some_upper, heads), -np.inf)
    before = np.where(has_lower, family.log_cdf(some_lower, heads), -np.inf)
    is_right = above < below
    larger, smaller = np.where(is_right, above, below), np.where(is_right, beyond, before)
    with np.errstate(divide="ignore"):
        share = -np.expm1(np.minimum(smaller - larger, 0.0))
        value = larger + np.log(share)
    is_narrow = has_lower & has_upper & (share < _NARROW) & ~np.bool_(family.is_discrete)
    rows = np.flatnonzero(is_narrow.reshape(-1, len(lower)).any(axis=0))
    if len(rows):
        middle, width = 0.5 * (lower[rows] + upper[rows]), upper[rows] - lower[rows]
        density = family.log_density(middle, _of_rows(heads, rows)) + np.log(width)
        value[..., rows] = np.where(is_narrow[..., rows], density, value[..., rows])
    return value, np.broadcast_to(is_narrow, value.shape)


def _difference(
    family: Expert, lower: np.ndarray, upper: np.ndarray, heads: Heads, h: int
) -> np.ndarray:
    """Return the derivative of the log probability in a head, by five points."""
    step = _STEP * np.maximum(1.0, np.abs(heads[h]))
    near, far = (
        log_probability(family, lower, upper, _moved(heads, h, size * step))
        - log_probability(family, lower, upper, _moved(heads, h, -size * step))
        for size in (1.0, 2.0)
    )
    return (8.0 * near - far) / (12.0 * step)


def _second_difference(
    family: Expert, lower: np.ndarray, upper: np.ndarray, heads: Heads, a: int, b: int
) -> np.ndarray:
    """Return the second derivative of the log probability: of first ones, by five points."""
    step = _SECOND_STEP * np.maximum(1.0, np.abs(heads[b]))
    near, far = (
        _difference(family, lower, upper, _moved(heads, b, size * step), a)
        - _difference(family, lower, upper, _moved(heads, b, -size * step), a)
        for size in (1.0, 2.0)
    )
    return (8.0 * near - far) / (12.0 * step)


def _moved(heads: Heads, h: int, step: np.ndarray) -> Heads:
    return (*heads[:h], heads[h] + step, *heads[h + 1 :])


def _of_rows(heads: Heads, rows: np.ndarray) -> Heads:
    """Return the heads of some rows; those that do not vary as they are."""
    return tuple(head if head.shape[-1] == 1 else head[..., rows] for head in heads)


def _over_rows(values: np.ndarray, n_rows: int) -> np.ndarray:
    """Return a copy of shape (..., n_rows) that may be written to."""
    return np.array(np.broadcast_to(values, (*values.shape[:-1], n_rows)))
