"""What simulators check of their arguments, and where their random numbers come from."""

from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from mixexp.arguments import SEED, is_real, is_seed
from mixexp.text import shown


def check_size(name: str, value: Any, least: float = 0.0) -> float:
    """Return an argument that must be a finite number of at least ``least``.

    Raises
    ------
    ValueError
        Naming the argument, if it is not.
    """
    if not is_real(value) or not least <= float(value) < np.inf:
        raise ValueError(
            f"The {name!r} parameter must be a finite number of at least {least:g}. "
            f"Got {shown(value)}."
        )
    return float(value)


def make_generator(random_state: Any) -> np.random.Generator:
    """Return a generator seeded as scikit-learn seeds its own simulators.

    Parameters
    ----------
    random_state : int, RandomState instance or None

    Raises
    ------
    ValueError
        Naming it, if it is none of these.
    """
    if not is_seed(random_state):
        raise ValueError(f"The 'random_state' parameter must be {SEED}. Got {shown(random_state)}.")
    return np.random.default_rng(check_random_state(random_state).randint(np.iinfo(np.int32).max))
