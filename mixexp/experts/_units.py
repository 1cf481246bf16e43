"""How heads change with the unit of y: as families declare it, or else as found by trial.

If y is measured in a unit c times smaller, so that numbers are c times larger, its density is
c times smaller at heads that have changed as their `Unit` says:
``log f(c * y | changed heads) = log f(y | heads) - log(c)``.
"""

from itertools import product
from typing import Any, NamedTuple, Protocol

import numpy as np

from mixexp.experts._docs import contract_docs

# Values that a family without declared units is tried at, if they are in its support.
_Y = np.array([-2.3, -0.7, 0.3, 0.45, 0.9, 1.7, 3.1])
_FEWEST_VALUES = 3
_HEADS = (0.3, 0.2, 0.4)
_SCALE, _SHIFT = 2.0, 0.75
# Integrals by quadrature have some eight digits.
_SAME = 1e-7


@contract_docs
class Unit(NamedTuple):
    """How a head changes with y.

    Parameters
    ----------
    power : float
        ``c * y`` multiplies the head by ``c**power``: 1 for a mean, -1 for its inverse.
    log_power : float
        ``c * y`` adds ``log_power * log(c)``: 1 for the log of a mean or of a scale, 2 for that of
        a squared scale.
    moves : bool
        Whether ``y + c`` adds c to the head, and changes no other: a location.
    """

    power: float = 0.0
    log_power: float = 0.0
    moves: bool = False

    def change(self, scale: float, shift: float = 0.0) -> tuple[float, float]:
        """Return the factor and the summand of the head for ``shift + scale * y``."""
        moved = shift if self.moves else 0.0
        return scale**self.power, self.log_power * float(np.log(scale)) + moved


NO_UNIT = Unit()

# What is tried, by kind of head.
_CANDIDATES = {
    "location": (Unit(1.0, moves=True), Unit(1.0), Unit(log_power=1.0), NO_UNIT, Unit(-1.0)),
    "dispersion": (Unit(log_power=2.0), Unit(log_power=1.0), NO_UNIT, Unit(log_power=-1.0)),
    "shape": (NO_UNIT, Unit(log_power=1.0), Unit(log_power=2.0)),
}


class HasHeads(Protocol):
    """What is asked of a family."""

    is_discrete: bool
    target: str

    @property
    def heads(self) -> tuple[Any, ...]:
        """The linear predictors."""

    @property
    def atoms(self) -> tuple[float, ...]:
        """Values that have a probability of their own."""

    def find_unsupported(self, y: np.ndarray) -> np.ndarray:
        """Return where y lies outside of the support."""

    def log_density(self, y: np.ndarray, heads: tuple[np.ndarray, ...]) -> np.ndarray:
        """Return the log density of y."""


def units_of(family: HasHeads) -> tuple[Unit, ...]:
    """Return the unit of every head.

    A family that declares none is tried with those that are common. If none fits, or y cannot
    change its unit (counts, classes, shares), there is none, and the family sees y as it is.
    """
    heads = family.heads
    if any(head.unit is not None for head in heads):
        return tuple(NO_UNIT if head.unit is None else head.unit for head in heads)
    none = (NO_UNIT,) * len(heads)
    if not heads or family.is_discrete or family.target != "regression" or any(family.atoms):
        return none
    candidates = product(*(_CANDIDATES[head.kind] for head in heads))
    return next((units for units in candidates if changes_with_y(family, units)), none)


def changes_with_y(family: HasHeads, units: tuple[Unit, ...]) -> bool:
    """Tell whether the density is the same in another unit of y, with heads changed so."""
    y = _Y[~family.find_unsupported(_Y)]
    changes = [(_SCALE, 0.0)]
    if any(unit.moves for unit in units):
        changes.append((1.0, _SHIFT))
    return all(_is_same(family, units, y, *change) for change in changes)


def _is_same(
    family: HasHeads, units: tuple[Unit, ...], y: np.ndarray, scale: float, shift: float
) -> bool:
    moved = shift + scale * y
    if len(y) < _FEWEST_VALUES or family.find_unsupported(moved).any():
        return False
    at = [
        float(np.clip(_HEADS[h % len(_HEADS)], head.lower, head.upper))
        for h, head in enumerate(family.heads)
    ]
    other = []
    for unit, value in zip(units, at, strict=True):
        factor, summand = unit.change(scale, shift)
        other.append(factor * value + summand)
    with np.errstate(all="ignore"):  # of candidates that are wrong
        before = family.log_density(y, tuple(np.full((1, 1), value) for value in at))
        after = family.log_density(moved, tuple(np.full((1, 1), value) for value in other))
        gap = np.abs(after + np.log(scale) - before)
        return bool(np.all(gap <= _SAME * (1.0 + np.abs(before))))
