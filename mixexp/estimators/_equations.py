"""Linear equations between coefficients, read from text and put for standardised features.

``sum(multiple * coefficient) = number`` in the user's units is ``row @ flat = value`` for the flat
vector of the model: intercepts take the slopes along, for features are centred inside.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from mixexp.constraints import Linear
from mixexp.data import Scaling
from mixexp.model import EqualityConstraints, Model
from mixexp.text import shown

_NUMBER = r"(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_TERM = re.compile(
    rf"\s*(?P<sign>[+-]?)\s*(?:(?P<times>{_NUMBER})\s*\*\s*)?"
    rf"(?:(?P<part>b|gate)\[\s*(?P<row>\d+)\s*:(?P<name>[^\]]+)\]|(?P<number>{_NUMBER}))\s*"
)
# Restrictions with a singular value below this share say the same thing twice, or contradict.
_REDUNDANT = 1e-10


class _Term(NamedTuple):
    """A multiple of a coefficient."""

    times: float
    part: str
    row: int
    name: str


def with_equations(
    equations: Sequence[Linear],
    ties: EqualityConstraints,
    model: Model,
    scaling: Scaling,
    names: np.ndarray | None,
) -> EqualityConstraints:
    """Return ties with linear restrictions.

    Raises
    ------
    ValueError
        If an equation cannot be read, names what is not there, or does not go with the others.
    """
    columns = [f"x{j}" for j in range(len(scaling.scale))] if names is None else list(names)
    rows, values, named = [], [], list(ties.named)
    for equation in equations:
        terms, value = _read(equation)
        row = np.zeros(model.n_flat)
        for term in terms:
            where, block, shift = _place(equation, term, model, scaling, columns)
            row[where] += term.times * block
            value -= term.times * shift
            named.append(_leaves_of(model, term))
        _check_scope(equation, row, model)
        size = np.linalg.norm(row)
        if size == 0.0:
            raise refusal(equation, "its coefficients cancel")
        rows.append(row / size)
        values.append(value / size)
    stacked = np.array(rows)
    free = replace(model, ties=ties).free_basis
    seen = stacked @ free
    left, sizes, right = np.linalg.svd(seen, full_matrices=False)
    if len(sizes) < len(rows) or sizes[-1] < _REDUNDANT:
        raise ValueError(
            "The equations in 'constraints' repeat or contradict each other, or what else is given "
            f"of the same coefficients: {shown(list(equations))}. Leave out what others imply."
        )
    repair = free @ (right.T / sizes) @ left.T
    return ties._replace(rows=stacked, values=np.array(values), repair=repair, named=tuple(named))


def refusal(constraint: Any, why: str) -> ValueError:
    """Return the error of a constraint that does not fit the model."""
    return ValueError(f"{shown(constraint)} in 'constraints' cannot be met: {why}.")


def _read(equation: Linear) -> tuple[list[_Term], float]:
    """Return the coefficients of an equation on its left, and the number on its right."""
    text = equation.equation
    sides = text.split("=") if isinstance(text, str) else []
    if len(sides) != 2:
        raise ValueError(
            f"{shown(equation)} in 'constraints' must be text with one '=', such as "
            "'b[0:dose] - 2 * b[1:dose] = 0.5'."
        )
    terms, value = [], 0.0
    for side, direction in zip(sides, (1.0, -1.0), strict=True):
        at = 0
        while at < len(side):
            found = _TERM.match(side, at)
            if found is None or (at > 0 and not found["sign"]):
                raise ValueError(
                    f"{shown(equation)} in 'constraints' cannot be read from {shown(side[at:])} "
                    "on; write sums of multiples such as '2 * b[0:dose]' or 'gate[1:intercept]'."
                )
            times = direction * (-1.0 if found["sign"] == "-" else 1.0)
            times *= float(found["times"] or 1.0)
            if found["number"]:
                value -= times * float(found["number"])
            else:
                name = found["name"].strip()
                terms.append(_Term(times, found["part"], int(found["row"]), name))
            at = found.end()
    if not terms or not np.isfinite([value, *(term.times for term in terms)]).all():
        raise refusal(equation, "it has no coefficient, or no finite numbers")
    return terms, value


def _place(
    equation: Linear, term: _Term, model: Model, scaling: Scaling, columns: Sequence[str]
) -> tuple[slice, np.ndarray, float]:
    """Return where in the flat vector a coefficient comes from, with what factors, plus what."""
    if term.part == "gate":
        slot, row, factor, shift = gate_place(equation, term.row, model)
    else:
        slot, row, factor, shift = expert_place(equation, term.row, model)
    design = model.designs[model.slot_designs[slot]]
    seen = ["intercept", *(columns[column - 1] for column in design[1:])]
    if term.name not in seen:
        raise refusal(equation, f"there is no {term.name!r} among {shown(seen)} there")
    j = seen.index(term.name)
    if j > 0 and scaling.is_constant[design[j] - 1]:
        raise refusal(equation, f"column {term.name!r} is constant, and its slope is zero")
    return (
        model.flat_index(slot, row),
        factor * raw_row(scaling, design, j),
        shift if j == 0 else 0.0,
    )


def raw_row(scaling: Scaling, design: np.ndarray, place: int) -> np.ndarray:
    """Return of which standardised coefficients one in the user's units is made.

    Constant columns have no share in an intercept: their slopes stay zero.

    Parameters
    ----------
    scaling : Scaling
    design : ndarray of shape (q,), int
        Columns, the intercept's 0 first.
    place : int
        In the design.
    """
    row = scaling.unstandardize(np.eye(len(design)), design)[:, place]
    varies = np.concatenate([[True], ~scaling.is_constant[design[1:] - 1]])
    return np.where(varies, row, 0.0)


def gate_place(constraint: Any, row: int, model: Model) -> tuple[int, int, float, float]:
    """Return slot and row of the logit of an edge, its factor, and what is added.

    Raises
    ------
    ValueError
        If there is no such edge below a softmax gate, or gates have an L1 penalty.
    """
    n_edges = model.tree.n_edges
    parent = int(model.tree.parent[row + 1]) if row < n_edges else -1
    if parent < 0:
        raise refusal(constraint, f"there is no row {row} among {n_edges} of gates")
    if model.gate_of(parent) < 0:
        raise refusal(
            constraint, f"row {row} is of a gate that is no softmax, without coefficients"
        )
    if model.penalty.gate_l1 > 0.0:
        raise refusal(constraint, "it is about gates, which have an L1 penalty; gate_l1=0 goes")
    return (*model.edge_rows[row], 1.0, 0.0)


def expert_place(constraint: Any, leaf: int, model: Model) -> tuple[int, int, float, float]:
    """Return slot and row of the linear predictor of an expert, its factor, and what is added.

    Raises
    ------
    ValueError
        If there is no such expert.
    """
    for g, group in enumerate(model.groups):
        heads = [h for h, head in enumerate(group.family.heads) if head.kind == "location"]
        if leaf in group.leaves and len(heads) == 1:
            row = int(np.flatnonzero(group.leaves == leaf)[0])
            return (model.slot_of[g, heads[0]], row, *group.change(heads[0]))
    raise refusal(
        constraint,
        f"there is no expert {leaf} with one linear predictor among the {model.tree.n_leaves}",
    )


def _leaves_of(model: Model, term: _Term) -> frozenset[int]:
    """Return the experts that are told from others by a term."""
    if term.part == "b":
        return frozenset([term.row])
    return frozenset(np.flatnonzero(model.tree.covers[term.row + 1]).tolist())


def _check_scope(equation: Linear, row: np.ndarray, model: Model) -> None:
    """Check that one step of an M-step can meet an equation."""
    used = np.flatnonzero(row)
    scopes = set()
    for slot, (at, shape) in enumerate(zip(model.slot_slices, model.slot_shapes, strict=True)):
        for index in used[(used >= at.start) & (used < at.stop)]:
            edge = None
            if slot < len(model.gates):
                edge = int(model.gates[slot].edges[(index - at.start) // shape[1]])
            node = -1 if edge is None else int(model.tree.parent[edge + 1])
            scopes.add((slot, node))
    if len(scopes) > 1:
        raise refusal(equation, "it must be about one gate, or about experts of one family")
