"""L1 penalties as they are given: a strength, or an object that says what it groups."""

from typing import Any

from mixexp.arguments import is_word
from mixexp.estimators._validation import Rule, real
from mixexp.model import Penalty
from mixexp.penalties import GroupedL1

_STRENGTH = real(0.0)


def _is_l1(value: Any) -> bool:
    if isinstance(value, GroupedL1):
        return _STRENGTH.accepts(value.strength) and is_word(value.groups, ("column",))
    return _STRENGTH.accepts(value)


L1 = Rule(_is_l1, f"{_STRENGTH.wording}, or GroupedL1(strength, groups='column') with such a one")


def with_l1(penalty: Penalty, l1: Any, gate_l1: Any) -> Penalty:
    """Return strengths of the prior beside L1 penalties as they are given."""
    groups = [str(own.groups) if isinstance(own, GroupedL1) else "" for own in (l1, gate_l1)]
    return penalty._replace(
        l1=strength_of(l1),
        gate_l1=strength_of(gate_l1),
        l1_groups=groups[0],
        gate_l1_groups=groups[1],
    )


def strength_of(l1: Any) -> float:
    """Return the strength of an L1 penalty."""
    return float(l1.strength if isinstance(l1, GroupedL1) else l1)


def of_strength(l1: Any, strength: float) -> Any:
    """Return an L1 penalty that groups as another does."""
    return GroupedL1(strength, l1.groups) if isinstance(l1, GroupedL1) else strength
