"""The experts of one family: the unit that they see y in, and the y that they can explain."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mixexp.experts import Expert, IntervalExpert, Unit

# Shift and scale of a target, and the log dispersion on that scale that its prior pulls to.
Output = tuple[float, float, float]


class ExpertGroup(NamedTuple):
    """The experts of one family.

    Parameters
    ----------
    family : Expert
    leaves : ndarray of shape (n_group,), int
        Their positions among the leaves.
    designs : tuple of int
        Design of each head, as a position in ``Model.designs``.
    shift, scale : float
        The family works on ``(y - shift) / scale``; 0 unless it is location-scale, and 1 where no
        head has a unit.
    prior_log_dispersion : float
        Log dispersion, on that scale, that the prior on dispersions pulls to.
    center : tuple of ndarray of shape (p_head,)
        Coefficients of each head that the ridge pulls to; zero where there are none.
    placeholder_y : ndarray of shape () or (2,), optional
        Some y inside of the support, as the family sees it; None if there is no other.
    units : tuple of Unit
        How each head changes with the unit of y.
    rivals : tuple of Expert
        Families of other experts that give some values a probability of their own. There a density
        counts for nothing.
    outputs : tuple of (float, float, float)
        Of families of several targets, see `JointGroup`: shift, scale and anchor of each.
    slope_unit : float
        What the slopes of the location are measured in by the prior that pulls them together.
    """

    family: Expert
    leaves: np.ndarray
    designs: tuple[int, ...]
    shift: float = 0.0
    scale: float = 1.0
    prior_log_dispersion: float = 0.0
    placeholder_y: np.ndarray | None = None
    center: tuple[np.ndarray, ...] = ()
    units: tuple[Unit, ...] = ()
    rivals: tuple[Expert, ...] = ()
    outputs: tuple[Output, ...] = ()
    slope_unit: float = 1.0

    @property
    def log_scale(self) -> float:
        """The log of what a density is divided by, in the unit of y."""
        return float(np.log(self.scale))

    def anchor_of(self, h: int) -> float:
        """Return the log dispersion that the prior on a dispersion head pulls to."""
        return self.prior_log_dispersion

    def with_intervals(self) -> "ExpertGroup":
        """Return the same experts of y that may be known to lie in an interval only."""
        if isinstance(self.family, IntervalExpert):
            return self
        placeholder = self.placeholder_y
        if placeholder is not None:
            placeholder = np.stack([placeholder] * 3)
        return self._replace(family=IntervalExpert(self.family), placeholder_y=placeholder)

    def without_intervals(self) -> "ExpertGroup":
        """Return the same experts of exact y: undo `with_intervals`."""
        if not isinstance(self.family, IntervalExpert) or self.family.has_limits:
            return self
        return self.uncensored()._replace(rivals=self.rivals)

    def uncensored(self) -> "ExpertGroup":
        """Return the experts of y itself, which is known exactly and has no limits."""
        rivals = tuple(
            other.base if isinstance(other, IntervalExpert) else other
            for other in self.rivals
            if other.is_discrete or other.atoms
        )
        if not isinstance(self.family, IntervalExpert):
            return self._replace(rivals=rivals)
        placeholder = None if self.placeholder_y is None else self.placeholder_y[0, ...]
        return self._replace(family=self.family.base, placeholder_y=placeholder, rivals=rivals)

    def is_location(self, h: int) -> bool:
        """Whether a head is a location, which offsets are added to."""
        return self.family.heads[h].kind == "location"

    @property
    def is_location_scale(self) -> bool:
        """Whether a shift and scale of y shifts and scales the location."""
        return any(unit.moves for unit in self.units)

    def change(self, h: int) -> tuple[float, float]:
        """Return the factor and the summand that take a head to the unit of y."""
        return self.units[h].change(self.scale, self.shift)

    def to_raw(self, h: int, coef: np.ndarray) -> np.ndarray:
        """Return a head's coefficients, intercept first in the last axis, in the unit of y."""
        factor, summand = self.change(h)
        out = factor * coef
        out[..., 0] += summand
        return out

    def from_raw(self, h: int, coef: np.ndarray) -> np.ndarray:
        """Undo `to_raw`."""
        factor, summand = self.change(h)
        out = coef.copy()
        out[..., 0] -= summand
        return out / factor

    def add_offset(self, h: int, eta: np.ndarray, offset: np.ndarray) -> np.ndarray:
        """Return a head with the offset, which is in the unit of y, if it is a location."""
        return eta + offset / self.change(h)[0] if self.is_location(h) else eta

    def predict(self, heads: Sequence[np.ndarray], offset: np.ndarray | None) -> np.ndarray:
        """Return what the family predicts, in its own unit.

        Parameters
        ----------
        heads : sequence of ndarray of shape (experts, rows) or (experts, 1)
            Linear predictors without the offset.
        offset : ndarray of shape (rows,) or None

        Returns
        -------
        ndarray of shape (experts, rows) or (n_classes, experts, rows)
            Or with one row, or one expert, where there is no difference.
        """
        if offset is not None:
            heads = [self.add_offset(h, eta, offset) for h, eta in enumerate(heads)]
        return self.family.predict(tuple(heads))

    def in_unit(self, mean: np.ndarray, trials: np.ndarray | None) -> np.ndarray:
        """Return means, or a mean of means, of the family's unit in the unit of y."""
        if self.scale != 1.0 or self.shift != 0.0:
            mean = mean * self.scale
            mean += self.shift
        return mean * trials if self.family.uses_trials and trials is not None else mean

    def target(
        self, y: np.ndarray, trials: np.ndarray | None, ends: np.ndarray | None = None
    ) -> np.ndarray:
        """Return y as the family sees it, shape (rows,), or (2, rows) with its trials.

        Or (3, rows) with the ends of its interval, for an `IntervalExpert`.
        """
        seen = (y - self.shift) / self.scale
        if isinstance(self.family, IntervalExpert):
            between = self.family.limited(np.stack([y, y]) if ends is None else ends)
            return self.family.seen(seen, (between - self.shift) / self.scale)
        return trial_pairs(self.family, seen, trials)

    def safe_target(
        self, y: np.ndarray, trials: np.ndarray | None, ends: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray | float]:
        """Return y as the family sees it, and the part of the log density that is y's alone.

        Where y is outside of the support, or has a probability under a rival but a density here,
        the latter is -inf, and y is replaced by the stand-in, so that no derivative is infinite
        where the responsibility is zero.
        """
        seen = self.target(y, trials, ends)
        is_outside = self.find_impossible(y, trials, ends, seen)
        if is_outside.any() and self.placeholder_y is not None:
            seen[..., is_outside] = self.placeholder_y[..., None]
        base = self.family.log_base(seen)
        if self.scale != 1.0:
            # A probability has no unit.
            may_have = self.family.atoms or isinstance(self.family, IntervalExpert)
            has_mass = self.family.has_mass(seen) if may_have else False
            base = base - np.where(has_mass, 0.0, np.log(self.scale))
        return seen, np.where(is_outside, -np.inf, base) if is_outside.any() else base

    def find_impossible(
        self,
        y: np.ndarray,
        trials: np.ndarray | None,
        ends: np.ndarray | None = None,
        seen: np.ndarray | None = None,
    ) -> np.ndarray:
        """Return the y that no expert of the family can explain, as a boolean array.

        Densities are with respect to length, plus a count of the values that have a probability
        under some expert of the model: those are of no length, so that a density, however high,
        gives them nothing. What `target` returns may be given, if it is known.
        """
        if seen is None:
            seen = self.target(y, trials, ends)
        is_impossible = self.family.find_unsupported(seen)
        if self.rivals:
            is_taken = has_mass(self.rivals, y, trials) & ~self.family.has_mass(seen)
            if ends is not None:
                is_taken &= ends[0] == ends[1]
            is_impossible = is_impossible | is_taken
        return is_impossible


def has_mass(families: Sequence[Expert], y: np.ndarray, trials: np.ndarray | None) -> np.ndarray:
    """Return where y has a probability of its own under some family, as a boolean array."""
    found = np.zeros(len(y), dtype=bool)
    for family in families:
        found |= family.has_mass(trial_pairs(family, y, trials))
    return found


def trial_pairs(family: Expert, y: np.ndarray, trials: np.ndarray | None) -> np.ndarray:
    """Return y, beside its trials, shape (2, rows), for a family that has a use for them.

    Exact y for one that sees intervals, shape (3, rows).
    """
    if isinstance(family, IntervalExpert):
        return family.seen(y, family.limited(np.stack([y, y])))
    if not family.uses_trials:
        return y
    return np.stack([y, np.ones_like(y) if trials is None else trials])
