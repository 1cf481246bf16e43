"""Checks of what users ask a distribution for: values, levels, coverages, seeds."""

import numbers
from typing import Any

import numpy as np


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
    values = _as_floats(y, name)
    if not np.isfinite(values).all():
        raise ValueError(f"{name} must be finite; found {values[~np.isfinite(values)][0]}.")
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
    levels = _as_floats(q, "q")
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

    Raises
    ------
    ValueError
    """
    is_number = isinstance(coverage, numbers.Real) and not isinstance(coverage, bool)
    if not is_number or not 0.0 < float(coverage) < 1.0:
        raise ValueError(
            f"coverage must be a number between 0 and 1, both excluded; got {coverage!r}. Give "
            "0.9 for an interval that holds 90 % of y."
        )
    return float(coverage)


def check_kind(kind: Any) -> str:
    """Return the kind of an interval."""
    if kind not in ("central", "hdr"):
        raise ValueError(f"kind must be 'central' or 'hdr'; got {kind!r}.")
    return str(kind)


def check_n_samples(n_samples: Any) -> int:
    """Return a number of samples, at least 1."""
    is_whole = isinstance(n_samples, numbers.Integral) and not isinstance(n_samples, bool)
    if not is_whole or int(n_samples) < 1:
        raise ValueError(f"n_samples must be an int in the range [1, inf); got {n_samples!r}.")
    return int(n_samples)


def seed_sequence(random_state: Any) -> np.random.SeedSequence:
    """Return a source of seeds from None, an int, a Generator or a RandomState."""
    if isinstance(random_state, np.random.RandomState):
        return np.random.SeedSequence(random_state.randint(2**31, size=4).tolist())
    if isinstance(random_state, np.random.Generator):
        return np.random.SeedSequence(random_state.integers(2**32, size=4).tolist())
    is_whole = isinstance(random_state, numbers.Integral) and not isinstance(random_state, bool)
    if random_state is None or (is_whole and int(random_state) >= 0):
        return np.random.SeedSequence(random_state)
    raise ValueError(
        "random_state must be None, an int in the range [0, inf), a numpy.random.Generator or a "
        f"numpy.random.RandomState; got {random_state!r}."
    )


def _as_floats(values: Any, name: str) -> np.ndarray:
    array = np.asarray(values)
    if array.dtype.kind not in "biuf" or isinstance(values, np.ma.MaskedArray):
        raise ValueError(f"{name} must be numbers; got dtype {array.dtype} from {type(values)}.")
    return array.astype(np.float64)


def _as_matrix(values: np.ndarray, name: str, n_rows: int, allowed: str) -> np.ndarray:
    if values.ndim != 2 or values.shape[0] not in (1, n_rows):
        raise ValueError(
            f"{name} has shape {values.shape}; expected {allowed}, (1, m) or ({n_rows}, m), for "
            f"the distribution has {n_rows} rows."
        )
    return np.broadcast_to(values, (n_rows, values.shape[1]))
