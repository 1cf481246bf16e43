"""Which columns matter to a model, and which therefore get an axis."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from mixexp.displays._columns import Columns, column_number, repeated, typical_values
from mixexp.displays._source import Source
from mixexp.displays._weights import spread_rows
from mixexp.text import shown

# Enough rows to tell which features matter, few enough to cost nothing.
_MOST_PROBED_ROWS = 200
# A feature that moves less probability (or less of an expert's spread) than this is not used.
_UNUSED = 1e-9
# A feature with fewer values than this, such as 0 and 1, gets an axis only if asked for.
_FEWEST_VALUES = 5
# The second feature gets an axis if it moves the gates at least this share of the first's.
_SECOND_AXIS = 0.05
# Features of which pairs are drawn unasked.
_MOST_PAIRED = 4


def feature_use(source: Source, columns: Columns) -> np.ndarray:
    """Measure how much gates and experts depend on each column.

    A column is set to the value that `typical_values` gives it; what counts is how much that
    changes, on average over at most 200 rows spread over X. For a gate with one slope this is
    the standardised slope on the scale of probabilities; it also covers trees, and features
    that a pipeline transforms.

    Returns
    -------
    ndarray of shape (2, n_columns)
        First the probability that moves between experts, in [0, 1]; second the change of the
        experts' predictions in units of their standard deviation.
    """
    probed = spread_rows(columns.weight, _MOST_PROBED_ROWS)
    rows = [values[probed] for values in columns.values]
    gate, experts = _ask(source, columns.build(rows))
    spread = max(float(experts.std()), np.finfo(float).tiny)
    use = np.empty((2, len(rows)))
    for column, value in enumerate(typical_values(columns)):
        held = [*rows[:column], repeated(value, len(probed)), *rows[column + 1 :]]
        held_gate, held_experts = _ask(source, columns.build(held))
        use[0, column] = 0.5 * np.abs(held_gate - gate).sum(axis=1).mean()
        use[1, column] = np.abs(held_experts - experts).mean() / spread
    return use


def _ask(source: Source, X: Any) -> tuple[np.ndarray, np.ndarray]:
    seen = source.transform(X)
    experts = source.model.predict_experts(seen)
    return source.model.gate_proba(seen), np.where(np.isfinite(experts), experts, 0.0)


def is_used(use: np.ndarray) -> np.ndarray:
    """Return which columns matter, from one row of `feature_use`."""
    return use > _UNUSED


def choose_map(features: Any, columns: Columns, use: np.ndarray) -> tuple[int, ...]:
    """Return the one or two columns of a map: those asked for, or those that matter most.

    Parameters
    ----------
    features : None, str, int, or sequence of one or two of these
    columns : Columns
    use : ndarray of shape (2, n_columns)
        See `feature_use`.

    Raises
    ------
    ValueError
        If there are not one or two different features.
    """
    if features is None:
        return _most_used(columns, use)
    numbers = _numbers_of(features, columns)
    if len(numbers) not in (1, 2) or len(set(numbers)) < len(numbers):
        raise ValueError(
            f"The 'features' parameter must be one feature or two different ones; got "
            f"{shown(features)}. ResponsibilityPairsDisplay draws every pair of several."
        )
    return numbers


def choose_line(feature: Any, columns: Columns, use: np.ndarray) -> int:
    """Return the column that is drawn along: the one asked for, or the numeric one used most.

    Parameters
    ----------
    feature : None, str or int
    columns : Columns
    use : ndarray of shape (n_columns,)
        How much each matters.

    Raises
    ------
    ValueError
        If it is unknown.
    """
    if feature is None:
        return _most_used_line(columns, use)
    return column_number(feature, "feature", columns)


def choose_lines(features: Any, columns: Columns, use: np.ndarray) -> tuple[int, ...]:
    """Return the columns that are drawn along, a panel each; see `choose_line`.

    Parameters
    ----------
    features : None, str, int, or sequence of these
    columns, use
        As there.

    Raises
    ------
    ValueError
        If a feature is unknown, or named twice, or there is none.
    """
    if features is None:
        return (_most_used_line(columns, use),)
    numbers = _numbers_of(features, columns)
    if not numbers or len(set(numbers)) < len(numbers):
        raise ValueError(
            f"The 'features' parameter must name at least one feature, none twice; "
            f"got {shown(features)}."
        )
    return numbers


def choose_pairs(features: Any, columns: Columns, use: np.ndarray) -> tuple[int, ...]:
    """Return the columns whose pairs are drawn.

    Parameters
    ----------
    features : None or sequence of str or int
    columns : Columns
    use : ndarray of shape (n_columns,)
        How much each matters.

    Raises
    ------
    ValueError
        If there are not at least two different ones.
    """
    if features is None:
        fit = [j for j in columns.numeric if not _has_few_values(columns.values[j])]
        used = [j for j in sorted(fit, key=lambda j: -use[j]) if is_used(use)[j]]
        numbers = tuple((used if len(used) > 1 else fit)[:_MOST_PAIRED])
        if len(numbers) < 2:
            raise ValueError(
                "X has no two numeric columns of at least five values; name two in 'features'."
            )
        return numbers
    # A name alone is the wrong kind of argument, not a feature that is unknown.
    numbers = () if isinstance(features, str) else _numbers_of(features, columns)
    if len(numbers) < 2 or len(set(numbers)) < len(numbers):
        raise ValueError(
            "The 'features' parameter must be at least two different features; got "
            f"{shown(features)}."
        )
    return numbers


def _most_used_line(columns: Columns, use: np.ndarray) -> int:
    return max(_fit_for_axes(columns) or range(len(use)), key=lambda j: use[j])


def _numbers_of(features: Any, columns: Columns) -> tuple[int, ...]:
    """Return the numbers of a feature or several."""
    is_one = isinstance(features, str) or not isinstance(features, Iterable)
    asked = [features] if is_one else list(features)
    return tuple(column_number(feature, "features", columns) for feature in asked)


def _most_used(columns: Columns, use: np.ndarray) -> tuple[int, ...]:
    by_gates, by_experts = use
    fit = _fit_for_axes(columns)
    if not fit:
        return (int((by_gates + by_experts).argmax()),)
    if by_gates[fit].max() <= _UNUSED:
        # Nothing changes along any axis but the experts' predictions: one axis shows them.
        return (max(fit, key=lambda j: by_experts[j]),)
    first, *others = sorted(fit, key=lambda j: -by_gates[j])
    return (first, *(j for j in others[:1] if by_gates[j] >= _SECOND_AXIS * by_gates[first]))


def _fit_for_axes(columns: Columns) -> list[int]:
    """Return the numeric columns of many values, all numeric ones if there are none of these."""
    many = [j for j in columns.numeric if not _has_few_values(columns.values[j])]
    return many or columns.numeric


def _has_few_values(values: np.ndarray) -> bool:
    return len(np.unique(values[~np.isnan(values)])) < _FEWEST_VALUES
