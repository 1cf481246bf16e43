"""y that is known to lie in an interval only: censored, between two values, or rounded."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from mixexp.arguments import as_numbers, is_real
from mixexp.estimators._validation import check_per_row
from mixexp.experts import Expert, IntervalExpert
from mixexp.submodel import Submodel

_ARGUMENTS = ("censoring", "y_upper", "y_resolution", "truncation")


class Interval(NamedTuple):
    """What y are known to lie in.

    Parameters
    ----------
    ends : ndarray of shape (2, n) or None
        Of the interval that holds y; equal where it is exact, None if it is in all rows.
    window : ndarray of shape (2, n) or None
        In which y had to lie to be seen; None if it did not have to.
    """

    ends: np.ndarray | None = None
    window: np.ndarray | None = None

    @property
    def is_exact(self) -> bool:
        """Whether all y are known exactly, and would have been seen wherever they are."""
        return self.ends is None and self.window is None


#: Exact, and seen wherever it is.
EXACT = Interval()


def read_interval(y: Any, given: Mapping[str, Any], is_regressor: bool) -> tuple[Any, Interval]:
    """Return y with a finite value in every row, and what it is known to lie in.

    Parameters
    ----------
    y : array-like of shape (n,)
    given : mapping of str to object
        Row arguments.
    is_regressor : bool

    Returns
    -------
    y : array-like of shape (n,)
        As it is where there are no intervals.
    Interval

    Raises
    ------
    ValueError, TypeError
        Naming the argument, the row and what to do.
    """
    names = [name for name in _ARGUMENTS if given.get(name) is not None]
    if not names:
        return y, EXACT
    if not is_regressor:
        raise ValueError(f"{names[0]} is for regressors; classes are known or not.")
    if "censoring" in names and "y_upper" in names:
        raise ValueError(
            "Give censoring or y_upper, not both: a right-censored y has y_upper=inf, a "
            "left-censored one y=-inf and its bound as y_upper."
        )
    values = as_numbers(y, "y")
    if values.ndim != 1:
        raise ValueError(f"y has shape {values.shape}; expected (n,), one value per row.")
    _check_bounds(values, "y", may_be=-np.inf if "y_upper" in names else None)
    lower, upper = values.copy(), values.copy()
    if "censoring" in names:
        lower, upper = _censored(values, given["censoring"])
    if "y_upper" in names:
        upper = _read_upper(values, given["y_upper"])
    if "y_resolution" in names:
        half = 0.5 * _read_resolution(given["y_resolution"], len(values))
        is_exact = lower == upper
        lower, upper = (
            np.where(is_exact, lower - half, lower),
            np.where(is_exact, upper + half, upper),
        )
    for at, side in ((upper == np.inf, "right"), (lower == -np.inf, "left")):
        if len(values) and at.all():
            raise ValueError(
                f"{names[0]} says that every row is {side}-censored, from which nothing can be "
                "learned; some y must be exact, or between two values."
            )
    window = None
    if "truncation" in names:
        window = _read_window(given["truncation"], lower, upper)
        if window is not None:  # what is beyond is known not to be
            lower, upper = np.maximum(lower, window[0]), np.minimum(upper, window[1])
    is_open = ~np.isfinite(lower) | ~np.isfinite(upper)
    some = np.where(np.isfinite(lower), lower, upper)
    middle = np.where(is_open, some, 0.5 * lower + 0.5 * upper)
    known = np.where(lower == upper, values, np.where(np.isfinite(middle), middle, 0.0))
    ends = None if np.array_equal(lower, upper) else np.stack([lower, upper])
    return known, Interval(ends, window)


def _read_window(truncation: Any, lower: np.ndarray, upper: np.ndarray) -> np.ndarray | None:
    """Return lower and upper ends of windows, (2, n), None if they are nowhere."""
    n = len(lower)
    limits = as_numbers(truncation, "truncation")
    if limits.ndim == 0 or limits.shape == (n,):
        limits = np.stack([np.broadcast_to(limits, n), np.full(n, np.inf)])
    elif limits.shape == (n, 2):
        limits = np.ascontiguousarray(limits.T)
    else:
        raise ValueError(
            f"truncation has shape {limits.shape}; expected a number, ({n},) for lower limits, or "
            f"({n}, 2) for lower and upper ones."
        )
    if np.isnan(limits).any():
        row = int(np.argmax(np.isnan(limits).any(axis=0)))
        raise ValueError(f"truncation is NaN at row {row}; -inf and inf are no limits.")
    is_exact = lower == upper
    is_outside = np.where(
        is_exact,
        (lower <= limits[0]) | (lower > limits[1]),
        (upper <= limits[0]) | (lower > limits[1]) | (limits[0] >= limits[1]),
    )
    if is_outside.any():
        row = int(np.argmax(is_outside))
        raise ValueError(
            f"y must lie above its lower limit of truncation and not above the upper one; found "
            f"{lower[row]:g} at row {row}, where these are {limits[0, row]:g} and "
            f"{limits[1, row]:g}. Such a row cannot have been observed. If y is a payment, add "
            "what was deducted: y is the value before any deductible."
        )
    return None if np.isinf(limits).all() else limits


def _check_bounds(values: np.ndarray, name: str, may_be: float | None) -> None:
    is_fine = np.isfinite(values)
    if may_be is not None:
        is_fine |= values == may_be
    if not is_fine.all():
        row = int(np.argmin(is_fine))
        allowed = "" if may_be is None else f", or {may_be}"
        raise ValueError(f"{name} must be finite{allowed}; found {values[row]} at row {row}.")


def _censored(y: np.ndarray, censoring: Any) -> tuple[np.ndarray, np.ndarray]:
    codes = check_per_row(censoring, "censoring", len(y))
    is_code = np.isin(codes, (-1.0, 0.0, 1.0))
    if not is_code.all():
        row = int(np.argmin(is_code))
        raise ValueError(
            "censoring must be -1 where y is an upper bound (left-censored), 0 where it is exact "
            f"and 1 where it is a lower bound (right-censored); found {codes[row]:g} at row {row}."
        )
    # Beyond the bound, not at it, which matters for counts.
    lower = np.where(codes == 1.0, np.nextafter(y, np.inf), y)
    lower = np.where(codes == -1.0, -np.inf, lower)
    return lower, np.where(codes == 1.0, np.inf, y)


def _read_upper(y: np.ndarray, y_upper: Any) -> np.ndarray:
    upper = as_numbers(y_upper, "y_upper")
    if upper.shape != y.shape:
        raise ValueError(f"y_upper has shape {upper.shape}; expected {y.shape}, one per row.")
    _check_bounds(upper, "y_upper", may_be=np.inf)
    if (upper < y).any():
        row = int(np.argmax(upper < y))
        raise ValueError(
            f"y_upper must be at least y, but is {upper[row]:g} at row {row}, where y is "
            f"{y[row]:g}; y is the lower end."
        )
    says_nothing = np.isinf(y) & np.isinf(upper)
    if says_nothing.any():
        row = int(np.argmax(says_nothing))
        raise ValueError(f"y and y_upper leave row {row} without a bound; drop the row.")
    return upper


def _read_resolution(resolution: Any, n: int) -> np.ndarray:
    if is_real(resolution):
        resolution = np.full(n, float(resolution))
    found = check_per_row(resolution, "y_resolution", n)
    if found.min(initial=0.0) < 0.0:
        row = int(np.argmin(found))
        raise ValueError(
            f"y_resolution must be the step that y is rounded to, 0 where it is not; found "
            f"{found[row]:g} at row {row}."
        )
    return found


def has_limits(families: Sequence[Any]) -> bool:
    """Tell whether some families censor y by its value."""
    return any(isinstance(family, IntervalExpert) and family.has_limits for family in families)


def with_intervals(families: Sequence[Any], interval: Interval = EXACT) -> list[Any]:
    """Return the families of y that may be known to lie in an interval only.

    Raises
    ------
    ValueError
        Naming the family that gives intervals no probability.
    """
    if interval.window is not None and has_limits(families):
        raise ValueError(
            "truncation and Censored experts do not go together; use the plain family, and say by "
            "censoring which rows are at a limit."
        )
    plain = [family.base if isinstance(family, IntervalExpert) else family for family in families]
    for family in plain:
        has_cdf = not isinstance(family, Submodel) and type(family).cdf is not Expert.cdf
        if not has_cdf or family.uses_trials:
            raise ValueError(
                "censoring, y_upper, y_resolution, truncation and Censored are for experts with a "
                f"distribution function of y alone, which the {family.name} expert has not; use "
                "another family, "
                "or write its method 'cdf'."
            )
    return [
        family if isinstance(family, IntervalExpert) else IntervalExpert(family)
        for family in families
    ]
