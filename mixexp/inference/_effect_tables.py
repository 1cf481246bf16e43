"""Tables of means and marginal effects with their standard errors and intervals."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from scipy.special import expit, logit

from mixexp.data import Block, RowBlocks, Scaling
from mixexp.inference._effects import (
    Effect,
    Slope,
    feature_slope,
    marginal_effects,
    mean_effect,
    moving_slots,
    pieces,
)
from mixexp.inference._hypotheses import critical_value, two_sided
from mixexp.inference._tables import Table
from mixexp.inference._terms import Names
from mixexp.model import Model, Parameters

# Standard errors of gradients along the first axis.
Errors = Callable[[np.ndarray], np.ndarray]
# Weights and effects of pieces of the rows, and (values, standard errors) of all rows.
Pieces = Iterator[tuple[np.ndarray, tuple[Effect, ...]]]
Combined = list[tuple[np.ndarray, np.ndarray]]

PARTS = ("total", "within experts", "re-routing")


def mean_table(
    model: Model,
    params: Parameters,
    blocks: RowBlocks,
    errors: Errors,
    names: Names,
    level: float,
    places: np.ndarray | None = None,
) -> Table:
    """Return the mean of y in every row, or every class's probability, with intervals.

    Parameters
    ----------
    model : Model
    params : Parameters
    blocks : RowBlocks
    errors : callable
        Returns standard errors from gradients along the first axis.
    names : Names
    level : float
    places : ndarray of shape (n,), int, optional
        Where the rows of the table stand in the blocks; as they are by default.
    """
    reach = critical_value(level)
    slots = moving_slots(model, params, blocks[0])
    found = [
        (effect.value.T, errors(effect.gradient).T)
        for effect in (
            mean_effect(model, params, piece, slots)
            for piece in pieces(blocks, model.n_flat * max(1, len(names.classes)))
        )
    ]
    every = slice(None) if places is None else places
    value, deviation = (np.concatenate(same)[every].ravel() for same in zip(*found, strict=True))
    if names.classes:  # intervals of probabilities stay between 0 and 1
        inside = np.clip(value, 1e-300, 1.0 - 1e-16)
        center, spread = logit(inside), reach * deviation / (inside * (1.0 - inside))
        lower, upper = expit(center - spread), expit(center + spread)
    else:
        lower, upper = value - reach * deviation, value + reach * deviation
    return Table(
        {
            **_row_columns(len(value), names),
            "mean": value.tolist(),
            "std_error": deviation.tolist(),
            "lower": lower.tolist(),
            "upper": upper.tolist(),
        }
    )


def _row_columns(n: int, names: Names) -> dict[str, list[Any]]:
    if not names.classes:
        return {"row": list(range(n))}
    n_rows = n // len(names.classes)
    return {
        "row": np.repeat(np.arange(n_rows), len(names.classes)).tolist(),
        "class": list(names.classes) * n_rows,
    }


def effect_table(
    model: Model,
    params: Parameters,
    blocks: RowBlocks,
    errors: Errors,
    names: Names,
    scaling: Scaling,
    columns: Sequence[int],
    combine: Callable[[Pieces, Errors], Combined],
    level: float,
) -> Table:
    """Return marginal effects of some columns.

    Parameters
    ----------
    model, params, blocks, errors, names, level
        As for `mean_table`.
    scaling : Scaling
    columns : sequence of int
    combine : callable
        `average` or `row_by_row`.
    """
    reach, is_average = critical_value(level), combine is average
    slots = moving_slots(model, params, blocks[0])
    n_each = 4 * model.n_flat * max(1, len(names.classes))
    rows: list[tuple[Any, ...]] = []
    for column in columns:
        slope = feature_slope(model, params, column, float(scaling.scale[column]))
        found = _each_part(model, params, pieces(blocks, n_each), slots, slope)
        for name, (value, deviation) in zip(PARTS, combine(found, errors), strict=True):
            labels = _row_names(value, names, is_average)
            for label, at, spread in zip(labels, value.ravel(), deviation.ravel(), strict=True):
                rows.append((names.features[column], name, *label, float(at), float(spread)))
    return _with_tests(rows, names, is_average, reach)


def _each_part(
    model: Model, params: Parameters, blocks: Iterable[Block], slots: Sequence[int], slope: Slope
) -> Pieces:
    """Yield weights and effects, in the order of `PARTS`, of every piece of the rows."""
    for piece in blocks:
        within, routing = marginal_effects(model, params, piece, slots, slope)
        total = Effect(*(one + other for one, other in zip(within, routing, strict=True)))
        yield piece.weight, (total, within, routing)


def average(found: Pieces, errors: Errors) -> Combined:
    """Return the weighted average over rows of each part, with its standard error."""
    total = 0.0
    sums = [Effect(np.zeros(()), np.zeros(())) for _ in PARTS]
    for weight, parts in found:
        total += float(weight.sum())
        sums = [
            Effect(so_far.value + own.value @ weight, so_far.gradient + own.gradient @ weight)
            for so_far, own in zip(sums, parts, strict=True)
        ]
    return [(part.value / total, errors(part.gradient / total)) for part in sums]


def row_by_row(found: Pieces, errors: Errors) -> Combined:
    """Return each part in all rows, with its standard errors."""
    by_piece = [[(own.value.T, errors(own.gradient).T) for own in parts] for _, parts in found]
    return [
        (np.concatenate([value for value, _ in part]), np.concatenate([error for _, error in part]))
        for part in zip(*by_piece, strict=True)
    ]


def _row_names(value: np.ndarray, names: Names, is_average: bool) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = [()] if is_average else [(row,) for row in range(len(value))]
    if names.classes:
        return [(*row, label) for row in rows for label in names.classes]
    return rows


def _with_tests(
    rows: Sequence[tuple[Any, ...]], names: Names, is_average: bool, reach: float
) -> Table:
    header = [
        "feature",
        "part",
        *([] if is_average else ["row"]),
        *(["class"] if names.classes else []),
    ]
    columns = {name: [row[j] for row in rows] for j, name in enumerate(header)}
    value = np.array([row[-2] for row in rows])
    deviation = np.array([row[-1] for row in rows])
    with np.errstate(divide="ignore", invalid="ignore"):  # a part that a model has not: 0 +- 0
        z = np.where(deviation > 0.0, value / deviation, np.nan)
    numbers = {
        "estimate": value,
        "std_error": deviation,
        "z": z,
        "p_value": two_sided(z),
        "lower": value - reach * deviation,
        "upper": value + reach * deviation,
    }
    return Table(columns | {name: column.tolist() for name, column in numbers.items()})
