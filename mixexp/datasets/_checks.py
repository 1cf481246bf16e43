"""What simulators check of their arguments, and where their random numbers come from."""

from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.utils import check_random_state


def check_count(name: str, value: Any, least: int = 1) -> int:
    """Return an argument that must be a whole number.

    Raises
    ------
    ValueError
        Naming the argument, if it is none or less than ``least``.
    """
    is_whole = isinstance(value, Integral) and not isinstance(value, bool | np.bool_)
    if not is_whole or int(value) < least:
        raise ValueError(
            f"The {name!r} parameter must be an int of at least {least}. Got {value!r}."
        )
    return int(value)


def check_size(name: str, value: Any, least: float = 0.0) -> float:
    """Return an argument that must be a finite number of at least ``least``.

    Raises
    ------
    ValueError
        Naming the argument, if it is not.
    """
    is_real = isinstance(value, Real) and not isinstance(value, bool | np.bool_)
    if not is_real or not np.isfinite(float(value)) or float(value) < least:
        raise ValueError(
            f"The {name!r} parameter must be a finite number of at least {least:g}. Got {value!r}."
        )
    return float(value)


def make_generator(random_state: Any) -> np.random.Generator:
    """Return a generator seeded as scikit-learn seeds its own simulators.

    Parameters
    ----------
    random_state : int, RandomState instance or None
    """
    return np.random.default_rng(check_random_state(random_state).randint(np.iinfo(np.int32).max))
