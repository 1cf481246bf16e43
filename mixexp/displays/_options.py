"""What displays check of their options."""

from collections.abc import Callable, Iterable
from difflib import get_close_matches
from inspect import signature
from typing import Any

import numpy as np

from mixexp.arguments import is_in_range, is_real
from mixexp.text import shown


def check_margin(eps: Any) -> float:
    """Return the margin around the data, as a share of their range.

    Raises
    ------
    ValueError
        If it is no finite number of at least 0.
    """
    if not is_real(eps) or not 0.0 <= float(eps) < np.inf:
        raise ValueError(f"The 'eps' parameter must be a finite number >= 0. Got {shown(eps)}.")
    return float(eps)


def check_coverage(coverage: Any, name: str = "coverage") -> float:
    """Return the probability that an interval is to hold.

    Raises
    ------
    ValueError
        If it is not strictly between 0 and 1.
    """
    if not is_in_range(coverage, 0.0, 1.0):
        raise ValueError(f"The {name!r} parameter must be between 0 and 1. Got {shown(coverage)}.")
    return float(coverage)


def check_keywords(
    maker: Callable[..., Any], plot: Callable[..., Any], plot_kwargs: Iterable[str]
) -> None:
    """Refuse keywords that ``plot`` does not take, before anything is computed.

    Raises
    ------
    TypeError
        Naming the first one, and what it may have been meant to be.
    """
    taken = signature(plot).parameters
    unknown = next((name for name in plot_kwargs if name not in taken), None)
    if unknown is None:
        return
    everything = {**taken, **signature(maker).parameters}.values()
    known = [each.name for each in everything if each.kind is each.KEYWORD_ONLY]
    meant = get_close_matches(unknown, known, 1)
    hint = f"Did you mean {shown(meant[0])}?" if meant else f"It takes {known}."
    raise TypeError(f"{maker.__qualname__} has no parameter {shown(unknown)}. {hint}")
