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


def units_to_compare(
    labels: Sequence[Label], experts: Sequence[str], term: Any, units: Any
) -> list[list[str]]:
    """Return lists of units in which a term is to be the same.

    Parameters
    ----------
    labels : sequence of Label
    experts : sequence of str
        Names of all experts. A unit has such a name, followed by the class or target if any.
    term : object
        What a user gave.
    units : object
        What a user gave: names of experts, which are compared target by target and class by
        class, or of units, which are compared as they are; None for all experts.

    Raises
    ------
    ValueError
        If fewer than two units have the term, or a name is unknown or there twice.
    """
    if not isinstance(term, str):
        raise ValueError(f"term must be a name as in coef_table. Got {shown(term)}.")
    if units is not None and not is_listed(units):
        raise ValueError(f"units must be a list such as ['expert 0']. Got {shown(units)}.")
    chosen = list(experts) if units is None else list(units)
    twice = [unit for number, unit in enumerate(chosen) if unit in chosen[:number]]
    if twice:
        raise ValueError(f"units names {shown(twice[0])} more than once.")
    having = [label.unit for label in labels if label.part == "expert" and label.term == term]
    if all(is_word(unit, experts) for unit in chosen):
        found: dict[str, list[str]] = {}
        for unit in having:
            expert, _, of_what = unit.partition(", ")  # which names of experts do not hold
            if expert in chosen:
                found.setdefault(of_what, []).append(unit)
        compared = list(found.values())
        reached = {unit.partition(", ")[0] for unit in having}
        lacking = [] if units is None else [unit for unit in chosen if unit not in reached]
        if having and lacking:
            raise ValueError(
                f"units names {shown(lacking[0])}, which has no term {shown(term)}. Leave it out."
            )
    else:
        compared = [chosen]
    named = [unit for alike in compared for unit in alike]
    if not any(len(alike) > 1 for alike in compared):
        raise ValueError(
            f"term {shown(term)} is to be equal in {shown(named)}; name at least two "
            "experts in units. There are "
            f"terms {sorted({label.term for label in labels})}."
        )
    return [alike for alike in compared if len(alike) > 1]


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
