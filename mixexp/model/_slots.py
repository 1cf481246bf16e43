"""What each slot of a model's coefficients holds: one head of all experts of a family, or gates."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mixexp.experts import Head
from mixexp.model._group import ExpertGroup


class SlotFacts(NamedTuple):
    """What the heads of one slot have in common.

    Parameters
    ----------
    kind : {"gate", "location", "dispersion", "shape"}
    head : Head or None
        None for gates.
    is_shared : bool
        Whether all experts of the slot have one set of coefficients.
    known_log_dispersion : float or None
        On the family's scale, if it is a dispersion that is not estimated.
    """

    kind: str
    head: Head | None = None
    is_shared: bool = False
    known_log_dispersion: float | None = None


def facts_of(groups: Sequence[ExpertGroup]) -> list[SlotFacts]:
    """Return what the slots of experts are, head by head of each group."""
    facts = []
    for group in groups:
        for h, head in enumerate(group.family.heads):
            is_shared, known = group.family.shares_head(h), None
            if head.kind == "dispersion":
                known = group.family.known_dispersion_of(h)
            if known is not None:
                known = float(np.log(known)) - group.change(h)[1]
            facts.append(SlotFacts(head.kind, head, is_shared, known))
    return facts
