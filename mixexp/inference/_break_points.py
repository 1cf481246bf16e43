"""Where neighbours are equally probable, for gates along one feature.

The logits of a node's children are lines ``a + w x``; the most probable child is that whose line is
highest, and neighbours j and k on this upper envelope cross at ``x = -(a_j - a_k) / (w_j - w_k)``.
Standard errors are by the delta method, for bootstrap refits the same pairs of children cross anew.
"""

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from mixexp.data import Scaling
from mixexp.inference._bootstrap import BootstrapResult
from mixexp.inference._hypotheses import critical_value
from mixexp.inference._tables import Table
from mixexp.inference._terms import Names
from mixexp.model import Model, Parameters


class BreakPoint(NamedTuple):
    """Where two children of a node are equally probable.

    Parameters
    ----------
    node : int
    left, right : int
        Edges of the children that are the most probable ones below and above.
    column : int
        Of X.
    value : float
        In the unit of the feature.
    gradient : ndarray of shape (n_flat,)
        Of the value, with respect to the flat vector.
    width : float
        How far from there the log odds of the two are one.
    """

    node: int
    left: int
    right: int
    column: int
    value: float
    gradient: np.ndarray
    width: float


def upper_envelope(intercepts: np.ndarray, slopes: np.ndarray) -> list[int]:
    """Return which of some lines is highest, from left to right.

    Parameters
    ----------
    intercepts, slopes : ndarray of shape (m,)

    Returns
    -------
    list of int
        Numbers of the lines that are somewhere above all others, by rising slope.
    """
    # Of parallel lines only the highest, which comes first.
    order = np.lexsort((-intercepts, slopes)).tolist()
    kept: list[int] = []
    starts: list[float] = []
    for line in order:
        if kept and slopes[line] == slopes[kept[-1]]:
            continue
        start = -np.inf
        while kept:
            start = -(intercepts[line] - intercepts[kept[-1]]) / (slopes[line] - slopes[kept[-1]])
            if start > starts[-1]:
                break
            kept.pop()
            starts.pop()
            start = -np.inf
        kept.append(line)
        starts.append(float(start))
    return kept


def find_break_points(model: Model, params: Parameters, scaling: Scaling) -> list[BreakPoint]:
    """Return the break points of all gates along one feature, node by node, left to right.

    Raises
    ------
    ValueError
        If no gate looks at exactly one feature.
    """
    flat, found, n_lines = model.flatten(params), [], 0
    for node in model.tree.inner_nodes.tolist():
        edges = model.tree.edges(node)
        if model.gate_of(node) < 0 or edges.stop - edges.start < 2:
            continue
        design = model.designs[model.slot_designs[model.edge_rows[edges.start][0]]]
        if len(design) != 2 or scaling.is_constant[design[1] - 1]:
            continue
        n_lines += 1
        to_raw = scaling.unstandardize(np.eye(2), design).T
        where = [model.edge_index(edge) for edge in range(edges.start, edges.stop)]
        lines = np.array([to_raw @ flat[at] for at in where])
        seen = upper_envelope(lines[:, 0], lines[:, 1])
        for j, k in pairwise(seen):
            rise = lines[k] - lines[j]
            value = -float(rise[0] / rise[1])
            gradient = np.zeros(model.n_flat)
            gradient[where[k]] = -np.array([1.0, value]) / rise[1] @ to_raw
            gradient[where[j]] = -gradient[where[k]]
            left, right = edges.start + j, edges.start + k
            place = (node, left, right, int(design[1]) - 1)
            found.append(BreakPoint(*place, value, gradient, float(1.0 / rise[1])))
    if not n_lines:
        raise ValueError(
            "No gate of this model looks at exactly one feature that varies, so that there are no "
            "points where neighbours are equally probable. Fit with gate_features=[feature]."
        )
    return found


def replicate_break_point(point: BreakPoint, names: Names, refits: BootstrapResult) -> np.ndarray:
    """Return where the children of a break point cross in each refit, NaN where they do not.

    Raises
    ------
    ValueError
        If the refits are of another model, or have logits against a reference.
    """
    feature = names.features[point.column]
    at = {(label.unit, label.term): place for place, label in enumerate(refits.labels)}
    gates = []
    for edge in (point.left, point.right):
        unit = f"{names.nodes[point.node]} -> {names.nodes[edge + 1]}"
        terms = [(unit, "intercept"), (unit, feature)]
        if not all(term in at for term in terms):
            raise ValueError(
                f"bootstrap must be of this model, made without 'reference': it has no {unit!r}."
            )
        gates.append(refits.replicates[:, [at[term] for term in terms]])
    rise = gates[1] - gates[0]
    is_crossing = rise[:, 1] != 0.0
    return np.where(is_crossing, -rise[:, 0] / np.where(is_crossing, rise[:, 1], 1.0), np.nan)


def break_point_table(
    points: list[BreakPoint],
    errors: np.ndarray,
    names: Names,
    level: float,
    refits: BootstrapResult | None,
) -> Table:
    """Return break points with intervals.

    Parameters
    ----------
    points : list of BreakPoint
    errors : ndarray of shape (n_points,)
        Standard errors by the delta method; replaced by those of refits, if there are some.
    names : Names
    level : float
    refits : BootstrapResult or None
    """
    reach = critical_value(level)
    values = np.array([point.value for point in points])
    lower, upper = values - reach * errors, values + reach * errors
    if refits is not None and points:
        drawn = np.column_stack([replicate_break_point(point, names, refits) for point in points])
        tail = 0.5 * (1.0 - level)
        lower, upper = np.nanquantile(drawn, [tail, 1.0 - tail], axis=0)
        errors = np.nanstd(drawn, axis=0, ddof=1)
    columns: dict[str, list[Any]] = {
        "gate": [names.nodes[point.node] for point in points],
        "feature": [names.features[point.column] for point in points],
        "left": [names.nodes[point.left + 1] for point in points],
        "right": [names.nodes[point.right + 1] for point in points],
        "estimate": values.tolist(),
        "std_error": errors.tolist(),
        "lower": lower.tolist(),
        "upper": upper.tolist(),
        "width": [point.width for point in points],
    }
    return Table(columns)
