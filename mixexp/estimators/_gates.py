"""The gates that a user asks for: one kind for all, or others from node to node of the tree."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from mixexp.arguments import is_listed, is_word
from mixexp.estimators._features import select_columns
from mixexp.gates import GATES
from mixexp.model import Model
from mixexp.submodel import Submodel
from mixexp.submodels import EstimatorGate, is_estimator
from mixexp.text import shown
from mixexp.tree import GatingTree


def needs_features(gate: Any, gate_features: Any) -> bool:
    """Tell whether X of no columns is a mistake: not where gates are to look at none."""
    sees_none = is_listed(gate_features) and len(gate_features) == 0
    return not (sees_none or is_word(gate, ("constant",)))


class NodeGate(NamedTuple):
    """The gate of one node.

    Parameters
    ----------
    columns : list of int
        Columns of X that it looks at.
    submodel : Submodel or None
        One of the user's own; else a softmax.
    """

    columns: list[int]
    submodel: Submodel | None = None


def select_gates(
    gate: Any, gate_features: Any, tree: GatingTree, names: np.ndarray | None, p: int
) -> tuple[list[int], list[NodeGate]]:
    """Return the columns that gates are offered, and the gate of each node.

    Parameters
    ----------
    gate : str, Submodel, classifier, or nested list of these
    gate_features : None, list of str or int, or nested list of these
        One value for all gates, or one for each in the shape of the tree: see `spread_over_gates`.
    tree : GatingTree
    names : ndarray of str or None
        Names of the columns of X, if they have any.
    p : int
        Number of columns.

    Returns
    -------
    offered : list of int
    gates : list of NodeGate
        Per inner node of the tree, from the root down.

    Raises
    ------
    ValueError
        If a value is not one of those allowed, or the nested list has another shape than the tree.
    """
    kinds = spread_over_gates(gate, "gate", tree, lambda spec: isinstance(spec, list))
    kinds = [_as_gate(kind) for kind in kinds]
    chosen = [
        select_columns(features, "gate_features", names, p)
        for features in spread_over_gates(gate_features, "gate_features", tree, _lists_selections)
    ]
    offered = chosen[0]
    if any(own != offered for own in chosen):
        offered = sorted({column for own in chosen for column in own})
    return offered, [_node_gate(kind, own) for kind, own in zip(kinds, chosen, strict=True)]


def columns_seen(tree: GatingTree, gates: Sequence[NodeGate]) -> list[int]:
    """Return the columns that some gate looks at; a gate of one child has nothing to decide."""
    pairs = zip(tree.n_children[tree.inner_nodes].tolist(), gates, strict=True)
    return sorted(
        {column for n_children, gate in pairs if n_children > 1 for column in gate.columns}
    )


def _as_gate(kind: Any) -> Any:
    """Return the name of a softmax gate, or a submodel, from what a user asks for."""
    if is_word(kind, GATES):
        make = GATES[kind]
        return kind if make is None else make()
    if is_estimator(kind) and not isinstance(kind, Submodel):
        kind = EstimatorGate(kind)
        kind.check_options()
    if not isinstance(kind, Submodel):
        allowed = ", ".join(map(repr, GATES))
        raise ValueError(
            f"The 'gate' parameter must be one of {allowed}, a Submodel, a classifier, or a nested "
            f"list of these in the shape of the tree. Got {shown(kind)} instead."
        )
    return kind


def columns_of_gates(model: Model) -> list[int]:
    """Return the same of a model that is fitted."""
    seen = [other.design for other in model.others if other.is_gate and len(other.nodes) > 1]
    n_children = model.tree.n_children
    seen += [gates.design for gates in model.gates if n_children[gates.nodes].max() > 1]
    return sorted({int(column) - 1 for at in seen for column in model.designs[at][1:]})


def _node_gate(kind: Any, columns: list[int]) -> NodeGate:
    if isinstance(kind, Submodel):
        return NodeGate(columns, kind)
    return NodeGate([] if kind == "constant" else columns)


def _lists_selections(spec: Any) -> bool:
    """Tell whether a selection of features is a list of such, one per gate."""
    return isinstance(spec, list) and len(spec) > 0 and (spec[0] is None or is_listed(spec[0]))


def spread_over_gates(
    spec: Any, name: str, tree: GatingTree, is_nested: Callable[[Any], bool]
) -> list[Any]:
    """Return the value that a hyper-parameter has for each inner node, from the root down.

    Parameters
    ----------
    spec : object
        One value for all gates, or a list: the value of a gate, followed by one entry for each
        gate right below it, which again is one value for all from there down or such a list.
    name : str
        The hyper-parameter, for messages.
    tree : GatingTree
    is_nested : callable
        Tells a list of entries from a value.

    Raises
    ------
    ValueError
        If a list has not one entry for the gate and each gate right below it.

    Examples
    --------
    >>> from mixexp.tree import GatingTree
    >>> tree = GatingTree.from_spec((2, 2))
    >>> spec = ["softmax", "constant", "softmax"]
    >>> spread_over_gates(spec, "gate", tree, lambda value: isinstance(value, list))
    ['softmax', 'constant', 'softmax']
    """
    values: dict[int, Any] = {}
    entries = [(0, spec)]
    while entries:
        node, entry = entries.pop()
        below = [child for child in tree.children(node) if tree.n_children[child] > 0]
        if not is_nested(entry):
            values[node] = entry
            entries += [(child, entry) for child in below]
            continue
        if len(entry) != 1 + len(below):
            raise ValueError(
                f"The {name!r} parameter must be one value for all gates, or a list: the value of "
                f"a gate, then one entry for each gate right below it. {_whose(node)} has "
                f"{len(below)} gates below it, so {1 + len(below)} entries; found {shown(entry)} "
                f"for the tree {shown(tree.to_nested())}."
            )
        values[node] = entry[0]
        entries += zip(below, entry[1:], strict=True)
    return [values[node] for node in tree.inner_nodes.tolist()]


def _whose(node: int) -> str:
    return "The root" if node == 0 else f"The gate at node {node}"


def of_origin(values: Sequence[Any], larger: GatingTree, origin: Iterator[int]) -> list[Any]:
    """Return the values of inner nodes for a smaller tree, whose nodes come from a larger one's.

    Parameters
    ----------
    values : sequence
        Per inner node of the larger tree.
    larger : GatingTree
    origin : iterable of int
        Number that each inner node of the smaller tree has in the larger.
    """
    return [values[larger.inner_row[node]] for node in origin]
