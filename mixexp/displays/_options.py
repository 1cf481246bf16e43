"""What displays check of their options."""

from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from inspect import signature
from numbers import Integral, Real
from typing import Any

import numpy as np


def check_count(name: str, value: Any, least: int = 1) -> int:
    """Return an option that must be a whole number.

    Raises
    ------
    ValueError
        Naming it.
    """
    is_whole = isinstance(value, Integral) and not isinstance(value, bool | np.bool_)
    if not is_whole or int(value) < least:
        raise ValueError(
            f"The {name!r} parameter must be an int of at least {least}. Got {value!r}."
        )
    return int(value)


def check_margin(eps: Any) -> float:
    """Return the margin around the data, as a share of their range.

    Raises
    ------
    ValueError
        If it is no finite number of at least 0.
    """
    if not isinstance(eps, Real) or not 0.0 <= float(eps) < np.inf:
        raise ValueError(f"The 'eps' parameter must be a finite number >= 0. Got {eps!r}.")
    return float(eps)


def check_choice(name: str, value: Any, choices: Sequence[str]) -> str:
    """Return an option that must be one of some words.

    Raises
    ------
    ValueError
        Naming it.
    """
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"The {name!r} parameter must be one of {list(choices)}. Got {value!r}.")
    return value


def check_coverage(coverage: Any, name: str = "coverage") -> float:
    """Return the probability that an interval is to hold.

    Raises
    ------
    ValueError
        If it is not strictly between 0 and 1.
    """
    if not isinstance(coverage, Real) or not 0.0 < float(coverage) < 1.0:
        raise ValueError(f"The {name!r} parameter must be between 0 and 1. Got {coverage!r}.")
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
    hint = f"Did you mean {meant[0]!r}?" if meant else f"It takes {known}."
    raise TypeError(f"{maker.__qualname__} has no parameter {unknown!r}. {hint}")
