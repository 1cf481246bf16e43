"""What the coefficients are called, and their map from standardised to the user's units.

The map is affine but for logarithms of dispersions and shapes, which are estimated as such and
only mapped back for tables. Gate logits are those that sum to zero over the children of a node, as
``gate_coef_`` is, or, where a reference child is asked for, those of a child less its.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from mixexp.arguments import is_whole
from mixexp.data import Scaling
from mixexp.model import ExpertGroup, Model, Parameters
from mixexp.text import shown
from mixexp.tree import GatingTree

#: In place of a reference child: logits that sum to zero.
NO_REFERENCE = -1
# A sum below this share of its terms is what rounding leaves of zero: an intercept at its bound.
_ROUNDING = 1e-14


class Label(NamedTuple):
    """Names of one coefficient.

    Parameters
    ----------
    part : {"expert", "gate"}
    unit : str
        Which expert, or which edge of the tree, and against which if there is a reference.
    term : str
        Feature, "intercept", "dispersion", or name of a shape.
    is_log : bool
        Whether it is estimated as a logarithm that tables undo.
    """

    part: str
    unit: str
    term: str
    is_log: bool = False


class Names(NamedTuple):
    """What things are called.

    Parameters
    ----------
    features : sequence of str
        All columns of X.
    nodes : sequence of str
        All nodes of the tree.
    classes : sequence
        Labels of the classes; none where y is a number.
    """

    features: Sequence[str]
    nodes: Sequence[str]
    classes: Sequence[object] = ()


class Terms(NamedTuple):
    """Coefficients in the user's units: ``matrix @ flat + shift``.

    Parameters
    ----------
    labels : list of Label
    matrix : ndarray of shape (n_terms, n_flat)
    shift : ndarray of shape (n_terms,)
    gates : str
        What the logits of the gates are, in words.
    """

    labels: list[Label]
    matrix: np.ndarray
    shift: np.ndarray
    gates: str

    def values(self, model: Model, params: Parameters) -> np.ndarray:
        """Return the coefficients, logarithms where they are estimated as such.

        Sums of which rounding alone is left are zero.

        Parameters
        ----------
        model : Model
        params : Parameters

        Returns
        -------
        ndarray of shape (n_terms,)
        """
        flat = model.flatten(params)
        values = self.matrix @ flat + self.shift
        size = np.abs(self.matrix) @ np.abs(flat) + np.abs(self.shift)
        return np.where(np.abs(values) <= _ROUNDING * size, 0.0, values)


class _Row(NamedTuple):
    """Some coefficients: ``block @ sum(share * flat[where])``, the first of them shifted.

    Parameters
    ----------
    labels : list of Label
    parts : list of (slice, float)
        Where in the flat vector they come from, and with what share.
    block : ndarray of shape (n_labels, n_labels)
        To the user's units.
    shift : float
        Of the intercept, which is first.
    """

    labels: list[Label]
    parts: list[tuple[slice, float]]
    block: np.ndarray
    shift: float = 0.0


def list_terms(model: Model, scaling: Scaling, names: Names, reference: np.ndarray) -> Terms:
    """Return all coefficients in the user's units, experts first, then gates.

    Parameters
    ----------
    model : Model
    scaling : Scaling
    names : Names
    reference : ndarray of shape (n_nodes,), int
        Place among its children of each inner node's reference child, or `NO_REFERENCE`.

    Returns
    -------
    Terms
    """
    rows = list(_rows(model, scaling, names, reference))
    labels = [label for row in rows for label in row.labels]
    matrix, shift, at = np.zeros((len(labels), model.n_flat)), np.zeros(len(labels)), 0
    for row in rows:
        shift[at] = row.shift
        end = at + len(row.labels)
        for where, share in row.parts:
            matrix[at:end, where] += share * row.block
        at = end
    return Terms(labels, matrix, shift, describe_gates(reference))


def list_coefficients(
    model: Model, params: Parameters, scaling: Scaling, names: Names, reference: np.ndarray
) -> tuple[list[Label], np.ndarray]:
    """Return labels and values of `list_terms` without its matrix, for models of any size."""
    labels: list[Label] = []
    values: list[np.ndarray] = []
    flat = model.flatten(params)
    for row in _rows(model, scaling, names, reference):
        found = row.block @ sum(share * flat[where] for where, share in row.parts)
        found[0] += row.shift
        labels += row.labels
        values.append(found)
    return labels, np.concatenate(values) if values else np.zeros(0)


def describe_gates(reference: np.ndarray) -> str:
    """Return in words what the logits of gates are that have some references.

    Parameters
    ----------
    reference : ndarray of shape (n_nodes,), int
        As for `list_terms`.

    Returns
    -------
    str
    """
    if np.all(reference == NO_REFERENCE):
        return "logits that sum to zero over the children of a node"
    return "logits against a reference child"


def _rows(model: Model, scaling: Scaling, names: Names, reference: np.ndarray) -> Iterator[_Row]:
    for leaf in range(model.tree.n_leaves):
        yield from _expert(model, scaling, names, leaf)
    for node in model.tree.inner_nodes:
        yield from _gate(model, scaling, names, int(node), int(reference[node]))


def choose_reference(
    tree: GatingTree, names: Names, reference: int | Mapping[str, int] | None
) -> np.ndarray:
    """Return the reference child of every inner node, as its place among the children.

    Parameters
    ----------
    tree : GatingTree
    names : Names
    reference : int, mapping of str to int, or None
        Place among the children, from the left or, negative, from the right: of every node, or
        by name of the node ("root", "node 0", ...). A node that is not named has none.

    Returns
    -------
    ndarray of shape (n_nodes,), int
        `NO_REFERENCE` for leaves, and for nodes without one.

    Raises
    ------
    ValueError
        If a node has no such child, or there is no such node.
    """
    inner = {names.nodes[node]: int(node) for node in tree.inner_nodes}
    out = np.full(tree.n_nodes, NO_REFERENCE)
    if reference is None:
        return out
    chosen = dict(reference) if isinstance(reference, Mapping) else dict.fromkeys(inner, reference)
    unknown = [name for name in chosen if name not in inner]
    if unknown:
        raise ValueError(
            f"reference names {shown(unknown[0])}, which is no gate of this tree; expected "
            "names among "
            f"{list(inner)}."
        )
    for name, place in chosen.items():
        node, n = inner[name], int(tree.n_children[inner[name]])
        if not is_whole(place) or not -n <= place < n:
            raise ValueError(
                f"reference must be the number of a child, an int in the range [{-n}, {n - 1}] for "
                f"{name!r}, or a mapping of gates to such numbers. Got {shown(place)} instead."
            )
        out[node] = place % n
    return out


def _term_names(model: Model, design: int, names: Names) -> list[str]:
    columns = model.designs[design]
    return ["intercept", *(names.features[column - 1] for column in columns[1:])]


def _raw_map(model: Model, scaling: Scaling, design: int) -> np.ndarray:
    """Return the matrix that takes coefficients of a design to raw features."""
    columns = model.designs[design]
    return scaling.unstandardize(np.eye(len(columns)), columns).T


def _expert(model: Model, scaling: Scaling, names: Names, leaf: int) -> list[_Row]:
    g = next((g for g, group in enumerate(model.groups) if leaf in group.leaves), None)
    if g is None:  # an expert of one's own has no linear predictors
        return []
    group = model.groups[g]
    row = int(np.flatnonzero(group.leaves == leaf)[0])
    unit = names.nodes[int(model.tree.leaves[leaf])]
    found = _locations(model, scaling, names, (g, row), unit)
    for h, head in enumerate(group.family.heads):
        if head.kind == "location":
            continue
        unit = names.nodes[int(model.tree.leaves[leaf])] + _of_output(group, h)
        at = model.flat_index(model.slot_of[g, h], row)
        block = _raw_map(model, scaling, group.designs[h])
        factor, summand = group.change(h)
        if head.kind == "shape":
            name = head.name.removeprefix("log_")
            labels = [Label("expert", unit, name, is_log=head.name.startswith("log_"))]
            found.append(_Row(labels, [(at, factor)], block, summand))
            continue
        slopes = _term_names(model, group.designs[h], names)[1:]
        labels = [
            Label("expert", unit, "dispersion", is_log=True),
            *(Label("expert", unit, f"log dispersion: {slope}") for slope in slopes),
        ]
        found.append(_Row(labels, [(at, factor)], block, summand))
    if group.outputs:  # what is of one target stands together
        output = [_of_output(group, h) for h in range(len(group.designs))]
        place = {unit: at for at, unit in enumerate(dict.fromkeys(output))}
        expert = names.nodes[int(model.tree.leaves[leaf])]
        found.sort(key=lambda row: place[row.labels[0].unit.removeprefix(expert)])
    return found


def _locations(
    model: Model, scaling: Scaling, names: Names, place: tuple[int, int], unit: str
) -> list[_Row]:
    """Return the location's coefficients: one row, or one per class."""
    (g, row), group = place, model.groups[place[0]]
    heads = [h for h, head in enumerate(group.family.heads) if head.kind == "location"]
    if not heads:
        return []
    terms = _term_names(model, group.designs[heads[0]], names)
    block = _raw_map(model, scaling, group.designs[heads[0]])
    if group.outputs:
        return [
            _Row(
                [Label("expert", unit + _of_output(group, h), term) for term in terms],
                [(model.flat_index(model.slot_of[g, h], row), group.change(h)[0])],
                block,
                group.change(h)[1],
            )
            for h in heads
        ]
    factor, summand = group.change(heads[0])
    where = [model.flat_index(model.slot_of[g, h], row) for h in heads]
    share = _class_shares(group, len(heads))
    units = [unit] if len(share) == 1 else [f"{unit}, class {c}" for c in names.classes]
    return [
        _Row(
            [Label("expert", name, term) for term in terms],
            [(at, factor * part) for at, part in zip(where, parts.tolist(), strict=True) if part],
            block,
            summand,
        )
        for name, parts in zip(units, share, strict=True)
    ]


def _of_output(group: ExpertGroup, h: int) -> str:
    """Return which target a head is of, to follow the name of its expert; "" where there is one."""
    if not group.outputs or group.family.output_of(h) < 0:
        return ""
    return f", y{group.family.output_of(h) + 1}"


def _class_shares(group: ExpertGroup, n_heads: int) -> np.ndarray:
    """Return how each location that users see is made of the heads, (n_seen, n_heads)."""
    columns = [
        group.family.location_coef([np.full((1, 1), float(a == b)) for b in range(n_heads)])
        for a in range(n_heads)
    ]
    return np.column_stack([column.ravel() for column in columns])


def _gate(
    model: Model, scaling: Scaling, names: Names, node: int, reference: int
) -> Iterator[_Row]:
    """Yield the logits of a node's children; an only child has none."""
    edges = model.tree.edges(node)
    if model.gate_of(node) < 0:
        return
    design = model.gates[model.edge_rows[edges.start][0]].design
    block = _raw_map(model, scaling, design)
    terms = _term_names(model, design, names)
    against, base = "", []
    if reference != NO_REFERENCE:
        base = [(model.edge_index(edges.start + reference), -1.0)]
        against = f" vs {names.nodes[edges.start + reference + 1]}"
    for edge in range(edges.start, edges.stop):
        if edge - edges.start == reference or edges.stop - edges.start == 1:
            continue
        unit = f"{names.nodes[node]} -> {names.nodes[edge + 1]}{against}"
        labels = [Label("gate", unit, term) for term in terms]
        yield _Row(labels, [(model.edge_index(edge), 1.0), *base], block)
