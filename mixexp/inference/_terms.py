"""What the coefficients are called, and their map from standardised to the user's units.

The map is affine but for logarithms of dispersions and shapes, which are estimated as such and
only mapped back for tables. Gate logits are those of a child less those of a reference child.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from mixexp.data import Scaling
from mixexp.model import ExpertGroup, Model, Parameters
from mixexp.tree import GatingTree


class Label(NamedTuple):
    """Names of one coefficient.

    Parameters
    ----------
    part : {"expert", "gate"}
    unit : str
        Which expert, or which edge of the tree against which.
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
    """

    labels: list[Label]
    matrix: np.ndarray
    shift: np.ndarray

    def values(self, model: Model, params: Parameters) -> np.ndarray:
        """Return the coefficients, logarithms where they are estimated as such."""
        return self.matrix @ model.flatten(params) + self.shift


class _Row(NamedTuple):
    """Some coefficients: labels, and blocks of the map by where in the flat vector they act."""

    labels: list[Label]
    blocks: list[tuple[slice, np.ndarray]]
    shift: float = 0.0


def list_terms(model: Model, scaling: Scaling, names: Names, reference: np.ndarray) -> Terms:
    """Return all coefficients in the user's units, experts first, then gates.

    Parameters
    ----------
    model : Model
    scaling : Scaling
    names : Names
    reference : ndarray of shape (n_nodes,), int
        Place among its children of each inner node's reference child.
    """
    rows = [
        row for leaf in range(model.tree.n_leaves) for row in _expert(model, scaling, names, leaf)
    ]
    rows += [
        row
        for node in model.tree.inner_nodes
        for row in _gate(model, scaling, names, int(node), int(reference[node]))
    ]
    labels = [label for row in rows for label in row.labels]
    matrix, shift, at = np.zeros((len(labels), model.n_flat)), np.zeros(len(labels)), 0
    for row in rows:
        shift[at] = row.shift  # of the intercept, which is first
        end = at + len(row.labels)
        for where, block in row.blocks:
            matrix[at:end, where] += block
        at = end
    return Terms(labels, matrix, shift)


def choose_reference(
    tree: GatingTree, names: Names, reference: int | Mapping[str, int]
) -> np.ndarray:
    """Return the reference child of every inner node, as its place among the children.

    Parameters
    ----------
    tree : GatingTree
    names : Names
    reference : int or mapping of str to int
        Place among the children, from the left or, negative, from the right: of every node, or
        by name of the node ("root", "node 0", ...), the last where a node is not named.

    Raises
    ------
    ValueError
        If a node has no such child, or there is no such node.
    """
    inner = {names.nodes[node]: int(node) for node in tree.inner_nodes}
    chosen = dict(reference) if isinstance(reference, Mapping) else dict.fromkeys(inner, reference)
    unknown = [name for name in chosen if name not in inner]
    if unknown:
        raise ValueError(
            f"reference names {unknown[0]!r}, which is no gate of this tree; expected names among "
            f"{list(inner)}."
        )
    out = tree.n_children - 1
    for name, place in chosen.items():
        node, n = inner[name], int(tree.n_children[inner[name]])
        if (
            isinstance(place, bool)
            or not isinstance(place, int | np.integer)
            or not -n <= place < n
        ):
            raise ValueError(
                f"reference must be the number of a child, an int in the range [{-n}, {n - 1}] for "
                f"{name!r}, or a mapping of gates to such numbers. Got {place!r} instead."
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
    g = next(g for g, group in enumerate(model.groups) if leaf in group.leaves)
    group = model.groups[g]
    row = int(np.flatnonzero(group.leaves == leaf)[0])
    unit = f"expert {leaf}"
    found = _locations(model, scaling, names, (g, row), unit)
    for h, head in enumerate(group.family.heads):
        if head.kind == "location":
            continue
        at = model.flat_index(model.slot_of[g, h], row)
        block = _raw_map(model, scaling, group.designs[h])
        factor, summand = group.change(h)
        if head.kind == "shape":
            name = head.name.removeprefix("log_")
            labels = [Label("expert", unit, name, is_log=head.name.startswith("log_"))]
            found.append(_Row(labels, [(at, factor * block)], summand))
            continue
        slopes = _term_names(model, group.designs[h], names)[1:]
        labels = [
            Label("expert", unit, "dispersion", is_log=True),
            *(Label("expert", unit, f"log dispersion: {slope}") for slope in slopes),
        ]
        found.append(_Row(labels, [(at, factor * block)], summand))
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
    factor, summand = group.change(heads[0])
    block = factor * _raw_map(model, scaling, group.designs[heads[0]])
    where = [model.flat_index(model.slot_of[g, h], row) for h in heads]
    share = _class_shares(group, len(heads))
    units = [unit] if len(share) == 1 else [f"{unit}, class {c}" for c in names.classes]
    return [
        _Row(
            [Label("expert", name, term) for term in terms],
            [(at, part * block) for at, part in zip(where, parts, strict=True)],
            summand,
        )
        for name, parts in zip(units, share, strict=True)
    ]


def _class_shares(group: ExpertGroup, n_heads: int) -> np.ndarray:
    """Return how each location that users see is made of the heads, (n_seen, n_heads)."""
    columns = [
        group.family.location_coef([np.full((1, 1), float(a == b)) for b in range(n_heads)])
        for a in range(n_heads)
    ]
    return np.column_stack([column.ravel() for column in columns])


def _gate(model: Model, scaling: Scaling, names: Names, node: int, reference: int) -> list[_Row]:
    edges, found = model.tree.edges(node), []
    block = _raw_map(model, scaling, model.gate_design)
    terms = _term_names(model, model.gate_design, names)
    base = edges.start + reference
    for edge in range(edges.start, edges.stop):
        if edge == base:
            continue
        unit = f"{names.nodes[node]} -> {names.nodes[edge + 1]} vs {names.nodes[base + 1]}"
        blocks = [(model.flat_index(0, edge), block), (model.flat_index(0, base), -block)]
        found.append(_Row([Label("gate", unit, term) for term in terms], blocks))
    return found
