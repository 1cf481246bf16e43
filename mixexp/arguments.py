"""What every layer asks of what users hand in: numbers, one or many, whatever object holds them.

The usual conversion to an array drops masks, makes integers of dates, parses strings and fails
in its own words at what it does not know. Here each is refused by the name of the argument.
"""

import numbers
from typing import Any

import numpy as np

from mixexp.text import shown

# What conversions of foreign objects have been seen to raise.
CONVERSION_FAULTS = (
    ValueError,
    TypeError,
    RuntimeError,
    OverflowError,
    AttributeError,
    ArithmeticError,
    RecursionError,
)
_HELD = {
    "m": ("durations", TypeError),
    "M": ("dates", TypeError),
    "c": ("complex numbers (Complex data not supported)", ValueError),
    "U": ("strings", ValueError),
    "T": ("strings", ValueError),
    "S": ("bytes", ValueError),
    "V": ("records, a structured array", TypeError),
}
_DATES = (np.datetime64, np.timedelta64)
_WANTED = "give an array, a list of numbers or a frame"


def is_whole(value: Any) -> bool:
    """Return whether a value is an integer, and no bool."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool | np.bool_)


def is_real(value: Any) -> bool:
    """Return whether a value is a real number of a kind that arrays have, and no bool.

    Fractions and extended precision would spread through arithmetic as objects, and integers
    beyond the range of float64 have no logarithm.
    """
    is_number = isinstance(value, int | float | np.integer | np.floating)
    is_other = isinstance(value, bool | np.longdouble)
    if isinstance(value, int) and _as_float(value) is None:
        return False
    return is_number and not is_other


def is_in_range(value: Any, lower: float, upper: float) -> bool:
    """Return whether a value is a real number strictly between two limits."""
    return is_real(value) and lower < float(value) < upper


def is_listed(value: Any) -> bool:
    """Return whether a value is a sequence of values that can be visited again."""
    is_vector = isinstance(value, np.ndarray) and value.ndim == 1
    return is_vector or isinstance(value, list | tuple | range)


def is_lazy(values: Any) -> bool:
    """Return whether values are a Dask collection."""
    return hasattr(values, "__dask_graph__")


def in_memory(values: Any) -> Any:
    """Return numbers per row that may come lazily; of a Dask collection what it computes."""
    return values.compute() if is_lazy(values) else values


def is_seed(value: Any) -> bool:
    """Return whether scikit-learn takes a value for a ``random_state``."""
    is_state = value is None or isinstance(value, np.random.RandomState)
    return is_state or (is_whole(value) and 0 <= int(value) < 2**32)


SEED = "None, an int in the range [0, 2**32), or a numpy.random.RandomState"


def is_word(value: Any, words: Any) -> bool:
    """Return whether a value is one of some strings."""
    return isinstance(value, str) and value in words


def _as_float(value: Any) -> float | None:
    try:
        return float(value)
    except CONVERSION_FAULTS:
        return None


def as_array(values: Any, name: str) -> np.ndarray:
    """Return values as an array of one or more dimensions, or of none for a scalar.

    Raises
    ------
    ValueError, TypeError
        Naming the argument, if they are masked, ragged, or no collection of values at all.
    """
    if isinstance(values, np.ma.MaskedArray) and np.ma.getmaskarray(values).any():
        raise ValueError(
            f"{name} is a masked array with masked entries; got "
            f"{int(np.ma.getmaskarray(values).sum())} of them. Impute or drop them first."
        )
    try:
        array = np.asarray(values)
    except CONVERSION_FAULTS as error:
        raise ValueError(
            f"{name} cannot be made an array: {error} Got {type(values).__name__}; {_WANTED} "
            "of one length."
        ) from error
    if array.ndim == 0 and array.dtype.kind == "O" and _as_float(values) is None:
        hint = f"call {name}.collect() first" if hasattr(values, "collect") else _WANTED
        if hasattr(values, "toarray"):
            raise ValueError(_sparse_refusal(values, name))
        kind = f"the class {values.__name__}" if isinstance(values, type) else shown(values)
        raise ValueError(f"{name} must hold numbers, not be a scalar; got {kind}: {hint}.")
    return array


def _sparse_refusal(values: Any, name: str) -> str:
    shape = tuple(getattr(values, "shape", ()))
    is_table = len(shape) == 2 and min(shape) > 1
    return (
        f"{name} must be dense, not sparse; got a {type(values).__name__} of shape {shape}: give "
        f"{name}.toarray(){'' if is_table else '.ravel()'}."
    )


def refuse_nonnumbers(array: np.ndarray, name: str, advice: str = "", where: str = "") -> None:
    """Refuse an array of what would be turned into numbers without a word, or not at all.

    Parameters
    ----------
    array : ndarray
    name : str
        The argument, for messages.
    advice : str
        What to do, for messages.
    where : str
        Of which part of the argument the array is, such as " in column 'speed'".

    Raises
    ------
    ValueError, TypeError
        Naming the argument.
    """
    held, error = _HELD.get(array.dtype.kind, ("", ValueError))
    if held:
        raise error(
            f"{name} holds {held}{where}, dtype {array.dtype}; expected numbers. {advice}".strip()
        )
    if array.dtype.kind != "O":
        return
    for position, value in np.ndenumerate(array):
        if value is None or _is_number(value):
            continue
        is_missing = type(value).__name__ in ("NAType", "NaTType")
        missing = " NaN," if is_missing else ""
        at = where or f" in column {position[1]}" if len(position) == 2 else where
        is_value = is_missing or isinstance(value, str)
        # In words that scikit-learn's checks look for.
        needed = (
            "" if is_value else " Each argument must be neither string nor object but a number."
        )
        raise (ValueError if is_value else TypeError)(
            f"{name} must be numeric; found{missing} {shown(value)} of type "
            f"{type(value).__name__}{at} at row {position[0] if position else 0}.{needed} "
            f"{'Impute or drop it first.' if is_missing else advice}".strip()
        )


def _is_number(value: Any) -> bool:
    """Return whether an element of an array of objects is a real number."""
    is_other = isinstance(value, str | bytes | _DATES[0] | _DATES[1]) or hasattr(value, "isoformat")
    return not is_other and not hasattr(value, "__len__") and _as_float(value) is not None


def refuse_nonlabels(array: np.ndarray, name: str) -> None:
    """Refuse an array of what is neither a number nor a string, where labels are expected.

    NaN among strings too, which would be a label like others; pandas' strings have it.

    Raises
    ------
    ValueError, TypeError
        Naming the argument.
    """
    if array.dtype.kind not in "UTO":
        refuse_nonnumbers(array, name, "Give numbers or strings.")
    if array.dtype.kind != "O":
        return
    has_text = any(isinstance(value, str) for value in array.ravel())
    for position, value in np.ndenumerate(array):
        row = position[0] if position else 0
        if has_text and _is_number(value) and value != value:
            raise ValueError(
                f"{name} must hold numbers or strings; found NaN at row {row}. Give every row a "
                "label, or drop the row."
            )
        if isinstance(value, str) or _is_number(value):
            continue
        missing = " NaN," if value is None or type(value).__name__ in ("NAType", "NaTType") else ""
        raise ValueError(
            f"{name} must hold numbers or strings; found{missing} {shown(value)} of type "
            f"{type(value).__name__} at row {row}."
        )


def as_numbers(values: Any, name: str, advice: str = "") -> np.ndarray:
    """Return values as a float64 array in C order, whatever its shape; NaN is let pass.

    Raises
    ------
    ValueError, TypeError
        Naming the argument, if they are no numbers.
    """
    array = as_array(values, name)
    refuse_nonnumbers(array, name, advice)
    return np.ascontiguousarray(array.astype(np.float64, copy=False)).reshape(array.shape)


def as_finite(values: Any, name: str, advice: str = "") -> np.ndarray:
    """Return finite values as a float64 array, whatever its shape.

    Raises
    ------
    ValueError, TypeError
        Naming the argument, and the first value that is not finite.
    """
    array = as_numbers(values, name, advice)
    refuse_nonfinite(array, name, advice)
    return array


def refuse_nonfinite(array: np.ndarray, name: str, advice: str = "") -> None:
    """Refuse an array of floats with NaN or infinities, whatever its shape.

    Raises
    ------
    ValueError
        Naming the argument, and the first value that is not finite.
    """
    is_bad = ~np.isfinite(array)
    if is_bad.any():
        position = np.unravel_index(int(np.argmax(is_bad)), array.shape) if array.ndim else ()
        found = "NaN" if np.isnan(array[position]) else "infinity"
        at = f" at row {int(position[0])}" if position else ""
        raise ValueError(
            f"{name} must be finite, but contains {found}{at}; {int(is_bad.sum())} of "
            f"{array.size} values are not finite. {advice or 'Impute or drop them first.'}"
        )


def replace_absent(y: Any, labels: np.ndarray, classes: np.ndarray, weight: np.ndarray) -> Any:
    """Return y with one of the classes in rows of weight zero that are of none of these.

    Such rows do not count, whatever is computed of them.

    Parameters
    ----------
    y : array-like of shape (n,)
        As the user gave it.
    labels : ndarray of shape (n,)
        Its classes.
    classes : ndarray
    weight : ndarray of shape (n,)
    """
    is_absent = (weight == 0.0) & ~np.isin(labels, classes)
    return np.where(is_absent, classes[0], labels) if is_absent.any() else y


#: Numbers that are made at once at most: 8 GB.
MOST_NUMBERS = 10**9


def check_count(name: str, value: Any, least: int = 1, most: int = MOST_NUMBERS) -> int:
    """Return an argument that must be a whole number.

    Raises
    ------
    ValueError
        Naming the argument, if it is none, or less than ``least`` or more than ``most``.
    """
    if not is_whole(value) or not least <= int(value) <= most:
        limit = "" if not is_whole(value) or int(value) < least else f", and at most {most}"
        raise ValueError(
            f"The {name!r} parameter must be an int of at least {least}{limit}. Got {shown(value)}."
        )
    return int(value)


def check_choice(name: str, value: Any, choices: Any) -> str:
    """Return an argument that must be one of some words.

    Raises
    ------
    ValueError
        Naming the argument.
    """
    if not is_word(value, choices):
        raise ValueError(
            f"The {name!r} parameter must be one of {list(choices)}. Got {shown(value)}."
        )
    return str(value)
