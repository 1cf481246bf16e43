"""A fitted model with one expert more, or some fewer, the others as they were."""

from collections.abc import Collection
from dataclasses import replace
from typing import Any

import numpy as np

from mixexp.em._respawn import restrict_parameters
from mixexp.gates import SoftmaxGates
from mixexp.model import (
    ExpertGroup,
    FittedModel,
    Model,
    Parameters,
    PlacedSubmodel,
    object_array,
)
from mixexp.submodel import Submodel
from mixexp.tree import GatingTree

# Log odds of an expert that is new, before anything is fitted: less than rounding.
_NEXT_TO_NOTHING = -60.0


def tree_with_leaf(tree: GatingTree, node: int) -> tuple[GatingTree, np.ndarray]:
    """Return the tree with one leaf more, the last child of a node, and where nodes come from.

    Returns
    -------
    tree : GatingTree
    origin : ndarray of shape (n_nodes,), int
        Present number of each of its nodes, -1 for the new leaf.
    """

    def grow(at: int) -> tuple[Any, Any]:
        if tree.n_children[at] == 0:
            return 1, (at, [])
        below = [grow(child) for child in tree.children(at)]
        if at == node:
            below.append((1, (-1, [])))
        return [nested for nested, _ in below], (at, [numbers for _, numbers in below])

    nested, numbered = grow(0)
    origin, level = [], [numbered]
    while level:
        origin += [number for number, _ in level]
        level = [child for _, below in level for child in below]
    return GatingTree.from_nested(nested), np.array(origin, dtype=np.int64)


def with_leaf(
    fitted: FittedModel,
    node: int,
    added: ExpertGroup | Submodel,
    design: int,
) -> tuple[Model, Parameters]:
    """Return a model with one expert more, which the gate gives next to nothing as yet.

    Parameters
    ----------
    fitted : FittedModel
    node : int
        Softmax gate that it is to be the last child of.
    added : ExpertGroup or Submodel
        A group of the model for one more of its experts, a new group, or a submodel.
    design : int
        Features that a submodel sees.

    Returns
    -------
    model : Model
    params : Parameters
        Those of the old parts are the same numbers. A new expert of a group has the coefficients
        that its priors pull to; a new submodel None.
    """
    old, params = fitted.model, fitted.params
    tree, origin = tree_with_leaf(old.tree, node)
    number = {int(before): now for now, before in enumerate(origin)}
    model = _rebuilt(old, tree, origin)
    groups, experts, others = list(model.groups), list(params.experts), list(model.others)
    own, leaf = list(params.others), tree.leaf_position(number[-1])
    if isinstance(added, Submodel):
        others.append(PlacedSubmodel(added, np.array([number[-1]]), False, design))
        own.append(object_array([None], ()))
    else:
        at = next((g for g, group in enumerate(old.groups) if group is added), None)
        if at is None:
            groups.append(added._replace(leaves=np.array([leaf])))
            experts.append(tuple(center[None] for center in added.center))
        else:
            groups[at], experts[at] = _one_more(groups[at], experts[at], leaf)
    model = replace(model, groups=tuple(groups), others=tuple(others))
    gates = []
    for grown in model.gates:
        kept = []
        for edge in grown.edges.tolist():
            before = int(origin[edge + 1])
            if before >= 0:
                slot, row = old.edge_rows[before - 1]
                kept.append(params.gates[slot][row])
            else:
                kept.append(np.zeros_like(kept[0]))
                kept[-1][0] = _NEXT_TO_NOTHING
        gates.append(grown.centered(np.stack(kept)))
    return model, Parameters(tuple(gates), tuple(experts), tuple(own))


def _one_more(
    group: ExpertGroup, heads: tuple[np.ndarray, ...], leaf: int
) -> tuple[ExpertGroup, tuple[np.ndarray, ...]]:
    """Return a group and its coefficients with one expert more, at the place of its leaf."""
    place = int(np.searchsorted(group.leaves, leaf))
    grown = group._replace(leaves=np.insert(group.leaves, place, leaf))
    centers = group.center or tuple(coef.mean(axis=0) for coef in heads)
    pairs = zip(heads, centers, strict=True)
    return grown, tuple(np.insert(coef, place, center, axis=0) for coef, center in pairs)


def without_leaves(fitted: FittedModel, leaves: Collection[int]) -> tuple[Model, Parameters]:
    """Return the model without some of its experts, the others as they were."""
    old = fitted.model
    tree, origin = old.tree.without(leaves)
    model = _rebuilt(old, tree, origin)
    params = restrict_parameters(old, fitted.params, model, origin)
    number = {int(before) for before in origin}
    others = tuple(
        own
        for other, own in zip(old.others, fitted.params.others, strict=True)
        if number.issuperset(other.nodes.tolist())
    )
    n_gates = sum(len(own.nodes) for own in model.gates)
    n_gates += sum(other.is_gate for other in model.others)
    if n_gates < len(tree.inner_nodes):
        raise ValueError(
            "An expert can be taken away from below a softmax gate, which the one above it is not: "
            "its parameters are for all of its children. Fit anew."
        )
    return model, params._replace(others=others)


def _rebuilt(old: Model, tree: GatingTree, origin: np.ndarray) -> Model:
    """Return the parts of a model that a tree has kept, at their places in it."""
    number = {int(before): now for now, before in enumerate(origin)}
    leaf_of = {
        position: tree.leaf_position(number[int(node)])
        for position, node in enumerate(old.tree.leaves)
        if int(node) in number
    }
    groups = []
    for group in old.groups:
        leaves = [leaf_of[leaf] for leaf in group.leaves.tolist() if leaf in leaf_of]
        if leaves:
            groups.append(group._replace(leaves=np.array(leaves)))
    others = []
    for other in old.others:
        nodes = [number[int(node)] for node in other.nodes if int(node) in number]
        if len(nodes) == len(other.nodes):
            others.append(replace(other, nodes=np.array(nodes)))
    gates = []
    for own in old.gates:
        inner = [number[int(n)] for n in own.nodes if int(n) in number]
        inner = sorted(now for now in inner if tree.n_children[now] > 0)
        if inner:
            gates.append(SoftmaxGates(tree, np.array(inner), own.design))
    return replace(old, tree=tree, groups=tuple(groups), gates=tuple(gates), others=tuple(others))


def unchanged_and_even(
    fitted: FittedModel, node: int, added: ExpertGroup | Submodel, design: int
) -> tuple[tuple[Model, Parameters], Parameters, int]:
    """Return what `with_leaf` does, the same with an even gate at the node, and the leaf's node.

    Starts depart from an even gate: Newton's steps from one that is sure would lead anywhere.
    """
    unchanged = with_leaf(fitted, node, added, design)
    (model, params), origin = unchanged, tree_with_leaf(fitted.model.tree, node)[1]
    at = int(np.flatnonzero(origin == node)[0])
    gates = []
    for own, coef in zip(model.gates, params.gates, strict=True):
        even = coef.copy()
        for place, span in zip(own.nodes.tolist(), own.spans, strict=True):
            if place == at:
                even[span] = 0.0
        gates.append(even)
    return unchanged, params._replace(gates=tuple(gates)), int(np.flatnonzero(origin < 0)[0])
