"""Label switching undone: experts in a canonical order, so that equal optima are equal arrays."""

from dataclasses import replace
from typing import Any

import numpy as np

from mixexp.model import Model, Parameters


def canonical_order(model: Model, params: Parameters) -> np.ndarray:
    """Return which node takes each place when siblings are sorted.

    Siblings below which the tree has the same shape, gates, families and constraints are
    interchangeable. They are sorted by their location at the centre of the features
    (the mean over the experts below), then by their other coefficients.

    Parameters
    ----------
    model : Model
    params : Parameters

    Returns
    -------
    ndarray of shape (n_nodes,), int
        ``order[v]`` is the present number of the node that belongs at v.
    """
    return _sorted_order(model, _leaf_keys(model, params))


def in_order(model: Model, params: Parameters) -> Parameters:
    """Return the parameters with siblings sorted as a constraint wants them, and on constraints.

    Parameters
    ----------
    model : Model
        With ``ties.sort_rows``.
    params : Parameters
        Of one start, without a leading axis, as if there were no inequalities.
    """
    ties = model.ties
    if ties is None or ties.sort_rows is None:
        return params
    keys = [np.array([key]) for key in ties.sort_rows @ model.flatten(params)]
    order = _sorted_order(replace(model, ties=ties.without_inequalities()), keys)
    return model.project(reorder(model, params, order))


def _sorted_order(model: Model, keys: list[np.ndarray]) -> np.ndarray:
    """Return which node takes each place when siblings are sorted by the keys of their leaves."""
    tree = model.tree
    if model.has_known_leaves:  # users know them by number
        return np.arange(tree.n_nodes)
    order = np.zeros(tree.n_nodes, dtype=np.int64)
    for place in tree.inner_nodes:
        present = list(tree.children(int(order[place])))
        if model.gate_of(int(order[place])) >= 0:  # others know their children by number
            present = _sorted_siblings(model, keys, present)
        order[list(tree.children(int(place)))] = present
    return order


def reorder(model: Model, params: Parameters, order: np.ndarray) -> Parameters:
    """Return the parameters with nodes moved to their places."""
    tree = model.tree
    source = [tree.leaf_position(int(order[leaf])) for leaf in tree.leaves]
    experts = []
    for group, heads in zip(model.groups, params.experts, strict=True):
        present = {int(leaf): row for row, leaf in enumerate(group.leaves)}
        rows = [present[source[leaf]] for leaf in group.leaves]
        experts.append(tuple(coef[rows] for coef in heads))
    # Siblings change places with such as see the same features at every gate below.
    gates = [
        coef[np.searchsorted(own.edges, order[1:][own.edges] - 1)]
        for own, coef in zip(model.gates, params.gates, strict=True)
    ]
    return Parameters(tuple(gates), tuple(experts), params.others)


def _leaf_keys(model: Model, params: Parameters) -> list[np.ndarray]:
    keys = [np.empty(0)] * model.tree.n_leaves
    for group, heads in zip(model.groups, params.experts, strict=True):
        for row, leaf in enumerate(group.leaves):
            intercepts = [coef[row, :1] for coef in heads]
            slopes = [coef[row, 1:] for coef in heads]
            keys[leaf] = np.concatenate([*intercepts, *slopes]) if heads else np.empty(0)
    return keys


def _sorted_siblings(model: Model, keys: list[np.ndarray], present: list[int]) -> list[int]:
    kinds = [repr(kind_below(model, node)) for node in present]
    out = list(present)
    for kind in set(kinds):
        places = [i for i, other in enumerate(kinds) if other == kind]
        ranked = sorted((present[i] for i in places), key=lambda v: _node_key(model, keys, v))
        for place, node in zip(places, ranked, strict=True):
            out[place] = node
    return out


def kind_below(model: Model, node: int) -> Any:
    """Shape, gates, families and constraints below a node; like nodes may change places."""
    tree = model.tree
    if tree.n_children[node] == 0:
        return model.kind_of(tree.leaf_position(node))
    return [model.gate_of(node), *(kind_below(model, child) for child in tree.children(node))]


def _node_key(model: Model, keys: list[np.ndarray], node: int) -> tuple[float, ...]:
    below = [keys[k] for k in np.flatnonzero(model.tree.covers[node])]
    locations = [key[0] for key in below if len(key)]
    return (float(np.mean(locations)) if locations else 0.0, *np.concatenate(below))
