"""Checks of what users ask a distribution for: values, levels, coverages, seeds."""

from typing import Any

import numpy as np

from mixexp.arguments import MOST_NUMBERS, as_finite, is_in_range, is_whole, is_word
from mixexp.text import shown


def as_values(y: Any, name: str, n_rows: int) -> tuple[np.ndarray, bool]:
    """Return finite values as an array (n_rows, m), and whether they were one per row.

    Parameters
    ----------
    y : array-like
        A scalar, one value per row, or a matrix with a row per row or a single one.
    name : str
        The argument, for messages.
    n_rows : int

    Raises
    ------
    ValueError
        Naming the argument.
    """
    values = as_finite(y, name)
    if values.ndim == 0 or values.shape == (n_rows,):
        return np.broadcast_to(values, (n_rows,))[:, None], True
    return _as_matrix(values, name, n_rows, f"a number, ({n_rows},)"), False


def as_levels(q: Any, n_rows: int) -> tuple[np.ndarray, bool]:
    """Return quantile levels as an array (n_rows, m), and whether it was one for all rows.

    Raises
    ------
    ValueError
        If one of them lies outside of [0, 1], or is not a number.
    """
    levels = as_finite(q, "q")
    if levels.size == 0:
        raise ValueError(f"q has no levels, shape {levels.shape}; give at least one in [0, 1].")
    is_inside = (levels >= 0.0) & (levels <= 1.0)
    if not is_inside.all():
        found = levels[~is_inside][0]
        raise ValueError(f"q must lie in [0, 1]; found {found}. Give 0.9 for the 90 % quantile.")
    if levels.ndim == 0:
        return np.broadcast_to(levels, (n_rows, 1)), True
    if levels.ndim == 1:
        return np.broadcast_to(levels, (n_rows, len(levels))), False
    return _as_matrix(levels, "q", n_rows, "a number, one-dimensional"), False


def check_coverage(coverage: Any) -> float:
    """Return a coverage strictly between 0 and 1.

    Parameters
    ----------
    coverage : float

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If it is anything else.
    """
    if not is_in_range(coverage, 0.0, 1.0):
        raise ValueError(
            f"coverage must be a number between 0 and 1, both excluded; got {shown(coverage)}. "
            "Give "
            "0.9 for an interval that holds 90 % of y."
        )
    return float(coverage)


def check_kind(kind: Any, name: str = "kind") -> str:
    """Return the kind of an interval."""
    if not is_word(kind, ("central", "hdr")):
        raise ValueError(f"{name} must be 'central' or 'hdr'; got {shown(kind)}.")
    return str(kind)


def check_n_samples(n_samples: Any, n_rows: int) -> int:
    """Return a number of samples per row: at least 1, and not more than can be held."""
    most = max(1, MOST_NUMBERS // max(n_rows, 1))
    if not is_whole(n_samples) or not 1 <= int(n_samples) <= most:
        raise ValueError(
            f"n_samples must be an int in the range [1, {most}], for {n_rows} rows; got "
            f"{shown(n_samples)}."
        )
    return int(n_samples)


def seed_sequence(random_state: Any) -> np.random.SeedSequence:
    """Return a source of seeds from None, an int, a Generator or a RandomState."""
    if isinstance(random_state, np.random.RandomState):
        return np.random.SeedSequence(random_state.randint(2**31, size=4).tolist())
    if isinstance(random_state, np.random.Generator):
        return np.random.SeedSequence(random_state.integers(2**32, size=4).tolist())
    if random_state is None or (is_whole(random_state) and int(random_state) >= 0):
        return np.random.SeedSequence(None if random_state is None else int(random_state))
    raise ValueError(
        "random_state must be None, an int in the range [0, inf), a numpy.random.Generator or a "
        f"numpy.random.RandomState; got {shown(random_state)}."
    )


def _as_matrix(values: np.ndarray, name: str, n_rows: int, allowed: str) -> np.ndarray:
    if values.ndim != 2 or values.shape[0] not in (1, n_rows):
        raise ValueError(
            f"{name} has shape {values.shape}; expected {allowed}, (1, m) or ({n_rows}, m), for "
            f"the distribution has {n_rows} rows."
        )
    return np.broadcast_to(values, (n_rows, values.shape[1]))
