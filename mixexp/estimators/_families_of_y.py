"""Families that ``expert="auto"`` is chosen among: those whose support holds y.

Densities of y are compared, so that a family with a probability of its own for single values (a
point mass, Tweedie's zero) is not among them. Whole numbers have a density or a probability: then
the former is that of the unit interval around y, which is a probability, too.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from mixexp.experts import FAMILIES

_REAL = ("gaussian", "student_t")
_POSITIVE = ("lognormal", "gamma", "inverse_gaussian", "weibull")
_COUNTS = ("poisson", "negative_binomial")
_SHARES = ("beta",)


def families_for(y: np.ndarray, given: Mapping[str, Any], wanted: Any) -> list[Any]:
    """Return candidates for ``expert``, in order of preference.

    Parameters
    ----------
    y : ndarray of shape (n,)
    given : mapping of str to object
        Row arguments: with trials y are successes, with an exposure rates have a log link.
    wanted : list or None
        Those that the user names; these are returned as they are.

    Raises
    ------
    ValueError
        If there is none.
    """
    if wanted is not None:
        return list(wanted)
    if given.get("trials") is not None:
        return ["binomial", "beta_binomial"]
    known = y[np.isfinite(y)]
    lowest, highest = float(known.min()), float(known.max())
    found: list[str] = [] if given.get("exposure") is not None else [*_REAL]
    if lowest > 0.0:
        found += _POSITIVE
    if lowest >= 0.0 and _is_whole(known):
        found += _COUNTS
    if lowest > 0.0 and highest < 1.0:
        found += _SHARES
    if given.get("exposure") is not None:
        found = [name for name in found if getattr(FAMILIES[name](), "link", None) == "log"]
    if not found:
        raise ValueError(
            "The 'expert' parameter is 'auto', but no family with a log link, which an exposure is "
            f"for, has a density at all y, which are from {lowest:g} to {highest:g}. Name a "
            "family, or give Auto(families=[...])."
        )
    return found


def is_whole_target(y: np.ndarray, families: list[Any]) -> bool:
    """Return whether counts are compared with densities, so that these need an interval."""
    kinds = {bool(_class_of(family).is_discrete) for family in families}
    return len(kinds) == 2 and _is_whole(y)


def _class_of(family: Any) -> Any:
    return FAMILIES[family]() if isinstance(family, str) else family


def _is_whole(y: np.ndarray) -> bool:
    return bool(np.all(y == np.floor(y)))
