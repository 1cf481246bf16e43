"""Families whose y is known exactly, or only to lie in an interval: one wrapper for all of them.

For y in (a, b] the term of a row is ``log(F(b) - F(a))``. Where a head shifts or scales y, or its
logarithm, the derivative of F in it is the density times a factor: so are all derivatives with it,
for that of a density is density times score. Derivatives in other heads are differences.
Lawless (2003), Statistical models and methods for lifetime data, section 2.2.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from mixexp.experts._base import Curvature, Derivatives, Expert, Head, Heads
from mixexp.experts._interval_terms import (
    at_end,
    first_difference,
    log_probability,
    log_probability_and_kind,
    of_rows,
    over_rows,
    second_difference,
    slopes_of_cdf,
)
from mixexp.experts._units import Unit

# EM steps need some curvature where the log probability bends up: this share of the squared score.
_LEAST_BEND = 1e-3


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
        """Name of the family."""
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

    @property
    def takes_error(self) -> bool:
        return self.base.takes_error

    def with_error(self, heads: Heads, variance: np.ndarray) -> Heads:
        return self.base.with_error(heads, variance)

    @property
    def moving_heads(self) -> tuple[int, ...]:
        return self.base.moving_heads

    def widened(self, heads: Heads, errors: Sequence[np.ndarray]) -> Heads:
        return self.base.widened(heads, errors)

    @property
    def limits(self) -> tuple[float, float]:
        """Limits, in the unit of y, that y is seen up to; infinite where there are none."""
        return -np.inf, np.inf

    @property
    def has_limits(self) -> bool:
        """Whether y is censored by its value, whatever is said of its row."""
        return bool(np.isfinite(self.limits).any())

    def of(self, base: Expert) -> "IntervalExpert":
        """Return the same of another family.

        Parameters
        ----------
        base : Expert

        Returns
        -------
        IntervalExpert
        """
        return IntervalExpert(base)

    def fixed_to(self, y: np.ndarray, weight: np.ndarray) -> "IntervalExpert":
        return self.of(self.base.fixed_to(y, weight))

    def location_coef(self, coefs: Any) -> np.ndarray:
        return self.base.location_coef(coefs)

    def mean(self, heads: Heads) -> np.ndarray:
        return self.base.mean(heads)

    def predict(self, heads: Heads) -> np.ndarray:
        return self.base.predict(heads)

    def variance(self, heads: Heads) -> np.ndarray:
        return self.base.variance(heads)

    def reflections(self, heads: Heads) -> Sequence[Heads]:
        return self.base.reflections(heads)

    def start(self, y: np.ndarray, weight: np.ndarray) -> tuple[float, ...]:
        return self.base.start(y[0], weight)

    # Rows.

    def limited(self, ends: np.ndarray) -> np.ndarray:
        """Return the ends of intervals, (2, rows), of y that is seen up to the limits.

        Parameters
        ----------
        ends : ndarray of shape (2, rows)
            In the unit of y.

        Returns
        -------
        ndarray of shape (2, rows)
        """
        lower, upper = ends
        least, greatest = self.limits
        is_low, is_high = upper <= least, lower >= greatest
        lower, upper = (
            np.where(is_low, -np.inf, np.where(is_high, greatest, lower)),
            np.where(is_low, least, np.where(is_high, np.inf, upper)),
        )
        return np.stack([lower, upper])

    def seen(self, y: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """Return y and the ends of its intervals as one array.

        Parameters
        ----------
        y : ndarray of shape (rows,)
        ends : ndarray of shape (2, rows)
            Of closed intervals; equal where y is exact.

        Returns
        -------
        ndarray of shape (3, rows)
        """
        lower, upper = ends
        is_exact = lower == upper
        # Open below: just under the least value that has a probability.
        if self.base.atoms:
            is_atom = ~is_exact & np.isin(lower, self.base.atoms)
            lower = np.where(is_atom, np.nextafter(lower, -np.inf), lower)
        elif self.base.is_discrete:
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
            out = over_rows(out, len(value))
            own = of_rows(heads, rows)
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
        term = self._term(lower[rows], upper[rows], of_rows(heads, rows))
        out = over_rows(out, len(value))
        out[..., rows] = term.value
        score = tuple(over_rows(own, len(value)) for own in score)
        curvature = {pair: over_rows(own, len(value)) for pair, own in curvature.items()}
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
        term = self._term(lower[rows], upper[rows], of_rows(heads, rows))
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
        value, is_narrow = log_probability_and_kind(family, lower, upper, heads)
        slopes = slopes_of_cdf(family)
        ends = [
            at_end(family, slopes, end, sign, value, heads)
            for sign, end in ((1.0, lower), (-1.0, upper))
            if np.isfinite(end).any()
        ]
        score = tuple(
            np.sum([own.slope[h] for own in ends], axis=0)
            if slopes.factors[h] is not None
            else first_difference(family, lower, upper, heads, h)
            for h in range(n_heads)
        )
        bend = {}
        for a in range(n_heads):
            for b in range(a, n_heads):
                exact = next((h for h in (a, b) if slopes.factors[h] is not None), None)
                if exact is None:
                    bend[a, b] = -second_difference(family, lower, upper, heads, a, b)
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
        middle, own = 0.5 * (lower[rows] + upper[rows]), of_rows(heads, rows)
        density, is_own = self.base.derivatives(middle, own), is_narrow[..., rows]
        observed = (
            density.curvature
            if self.base.has_observed_curvature
            else self.base.observed_curvature(middle, own)
        )
        for values, score in zip(found.score, density.score, strict=True):
            values[..., rows] = np.where(is_own, score, values[..., rows])
        for pair, values in found.bend.items():
            values[..., rows] = np.where(is_own, observed.get(pair, 0.0), values[..., rows])
        return found
