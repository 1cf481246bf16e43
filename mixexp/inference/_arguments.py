"""What inference checks of the features, coefficients and weights that it is asked for."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mixexp.arguments import is_listed, is_real, is_whole, is_word
from mixexp.inference._terms import Label
from mixexp.text import shown


def feature_columns(features: Any, names: Sequence[str], is_constant: np.ndarray) -> list[int]:
    """Return the numbers of columns given by names or numbers.

    Raises
    ------
    ValueError
        If there is no such column, or it did not vary in fit.
    """
    if not is_listed(features):
        raise ValueError(
            f"features must be a list of names or numbers of columns. Got {shown(features)}."
        )
    known = list(names)
    columns: list[Any] = [known.index(str(f)) if is_word(f, names) else f for f in features]
    for feature in columns:
        if not is_whole(feature) or not 0 <= feature < len(names):
            raise ValueError(
                f"There is no feature {shown(feature)}, as features ask for; expected names among "
                f"{list(names)}, or their numbers."
            )
        if is_constant[feature]:
            raise ValueError(
                f"Feature {shown(names[feature])} did not vary in fit: it has no effect to know. "
                "Leave it out of features."
            )
    return [int(column) for column in columns]


def find_label(labels: Sequence[Label], unit: Any, term: Any) -> int:
    """Return the number of the coefficient with some names.

    Raises
    ------
    ValueError
        If there is none, or more than one.
    """
    is_named = isinstance(unit, str) and isinstance(term, str)
    names = [(label.unit, label.term) for label in labels]
    found = [at for at, name in enumerate(names) if is_named and name == (unit, term)]
    if len(found) > 1:
        raise ValueError(
            f"{shown((unit, term))} is the name of {len(found)} coefficients, rows {found} of "
            "coef_table: a column has the name of another term. Rename the column, or use "
            "wald_test, whose columns go by position."
        )
    if not found:
        raise ValueError(
            f"There is no coefficient {shown((unit, term))}; units are "
            f"{list(dict.fromkeys(unit for unit, _ in names))}, terms "
            f"{list(dict.fromkeys(term for _, term in names))}."
        )
    return found[0]


def as_weights(weights: Any) -> list[tuple[tuple[Any, Any], float]]:
    """Return pairs of a coefficient's unit and term with their weight.

    Raises
    ------
    ValueError
        If it is no mapping of such pairs to finite numbers.
    """
    is_mapping = isinstance(weights, Mapping) and len(weights) > 0
    listed = list(weights.items()) if is_mapping else []
    is_fine = [
        isinstance(pair, tuple)
        and len(pair) == 2
        and is_real(weight)
        and np.isfinite(float(weight))
        for pair, weight in listed
    ]
    if not is_mapping or not all(is_fine):
        raise ValueError(
            "weights must map pairs (unit, term) to finite numbers, such as "
            f"{{('expert 1', 'x0'): 1.0}}. Got {shown(weights)} instead."
        )
    return listed
