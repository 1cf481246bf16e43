"""A list of families for several numbers of experts: which family is there more than once."""

from collections.abc import Sequence
from typing import Any

from mixexp.experts import FAMILIES


def extend_families(expert: Any, n_leaves: int, candidate: Any) -> Any:
    """Return families for a number of experts from those that a user lists.

    The last family with coefficients is repeated, in its place: ``["point_mass", "poisson"]`` is
    a point mass and more and more Poisson experts, ``["gaussian", "uniform"]`` Gaussian ones
    and one of noise. A second point mass or noise expert would say nothing new.

    Parameters
    ----------
    expert : Any
        The ``expert`` parameter; what is no list is for any number.
    n_leaves : int
    candidate : Any
        What the user listed, for the message.

    Raises
    ------
    ValueError
        If there are fewer experts than families.
    """
    if not isinstance(expert, list | tuple):
        return expert
    if n_leaves < len(expert):
        raise ValueError(
            f"candidates holds {candidate!r}, of {n_leaves} experts, but the 'expert' parameter "
            f"lists {len(expert)} families; a list is for the fewest experts, and its last family "
            "with coefficients is repeated for more. List fewer, or leave the candidate out."
        )
    with_heads = [place for place, entry in enumerate(expert) if _has_heads(entry)]
    last = with_heads[-1] if with_heads else len(expert) - 1
    more = n_leaves - len(expert)
    return [*expert[:last], *[expert[last]] * (1 + more), *expert[last + 1 :]]


def family_key(family: Any) -> str:
    """Return what is equal for families that may stand for each other."""
    return repr((type(family).__name__, family.get_params()))


def _has_heads(entry: Any) -> bool:
    family = FAMILIES[entry]() if isinstance(entry, str) and entry in FAMILIES else entry
    return bool(getattr(family, "heads", True))  # "auto" stands for a family that has some


def share_families(smaller: Sequence[Any], larger: Sequence[Any], origin: Sequence[int]) -> bool:
    """Tell whether every expert of a larger model has the family of the one it comes from."""
    return all(
        family_key(smaller[source]) == family_key(family)
        for source, family in zip(origin, larger, strict=True)
    )
