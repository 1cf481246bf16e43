"""Which experts a row goes to, and what these alone predict.

Three ways: greedily down the tree, to one leaf; by search, to the k most probable leaves; or
with all gates opened, which is what a flat model needs for its one gate, and cheaper than a
search where a tree is small or its gates cannot decide. Rows go their own ways, so features
stand in rows here, and nothing depends on which other rows there are.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from mixexp import kernels
from mixexp.data import Block, DenseDesign, RowArguments, as_kernel_array, cut_rows
from mixexp.model._model import Model
from mixexp.model._parameters import Parameters
from mixexp.model._prediction import block_priors, leaf_means, piece_rows

# A gate opened for one row costs as much as 16 to 23 opened for many rows at once, heap included: a
# binary tree of 1024 leaves, 20 features. A search that has opened this share of all gates gives
# up, so that at worst it doubles the time of opening them all, or little more.
_SEARCH_COST = 16
# Gates that a search opens per leaf, beyond those of one way down: 4 to 5.5 in that tree, fitted.
_GATES_PER_LEAF = 5


class Rows(NamedTuple):
    """Standardised rows whose y is not known.

    Parameters
    ----------
    features : ndarray of shape (rows, 1 + p)
        Intercept first.
    known : RowArguments
    raw : ndarray of shape (rows, p) or None
        Features as they were given.
    """

    features: np.ndarray
    known: RowArguments
    raw: Any = None

    def take(self, rows: np.ndarray | slice) -> "Rows":
        """Return some of the rows."""
        raw = None if self.raw is None else self.raw[rows]
        return Rows(self.features[rows], self.known.take(rows), raw)


class Route(NamedTuple):
    """Experts that rows go to.

    Parameters
    ----------
    leaf : ndarray of shape (rows, k), int64
        Places of the leaves, the most probable first.
    weight : ndarray of shape (rows, k)
        Their probabilities, renormalised: rows sum to one.
    dropped : ndarray of shape (rows,)
        Probability of all other leaves.
    """

    leaf: np.ndarray
    weight: np.ndarray
    dropped: np.ndarray


def greedy_leaf(model: Model, params: Parameters, rows: Rows) -> np.ndarray:
    """Return the leaf where the most probable child at every gate leads, shape (rows, 1)."""
    if _needs_all_gates(model, rows):
        return _greedy_by_all_gates(model, params, rows)
    tree, (coef, features) = model.tree, _gates(model, params, rows)
    node = np.empty(len(features), dtype=np.int64)
    kernels.greedy_leaf(features, coef, tree.first_child, tree.n_children, node)
    return tree.first_leaf[node][:, None]


def greedy_route(model: Model, params: Parameters, rows: Rows) -> Route:
    """Return the route of the most probable child at every gate."""
    tree, leaf = model.tree, greedy_leaf(model, params, rows)
    if _needs_all_gates(model, rows):
        _, prior = block_priors(model, params, _as_block(rows))
        dropped = 1.0 - np.take_along_axis(prior, leaf.T, axis=0)[0]
        return Route(leaf, np.ones(leaf.shape), dropped)
    (coef, features), dropped = _gates(model, params, rows), np.empty(len(leaf))
    nodes = tree.parent, tree.first_child, tree.n_children
    kernels.greedy_dropped_mass(features, coef, *nodes, tree.leaves[leaf[:, 0]], dropped)
    return Route(leaf, np.ones(leaf.shape), dropped)


def _needs_all_gates(model: Model, rows: Rows) -> bool:
    """Whether gates are no linear predictors, or other rows of a group have their say."""
    return not model.has_softmax_gates or rows.known.evidence is not None


def _greedy_by_all_gates(model: Model, params: Parameters, rows: Rows) -> np.ndarray:
    """Return the same as `greedy_leaf`, for gates that are no linear predictors."""
    tree, (gate, _) = model.tree, block_priors(model, params, _as_block(rows))
    node = np.zeros(len(rows.features), dtype=np.int64)
    for inner in tree.inner_nodes.tolist():  # from the root down
        is_here = np.flatnonzero(node == inner)
        best = gate[tree.edges(inner)][:, is_here].argmax(axis=0)
        node[is_here] = tree.first_child[inner] + best
    return tree.first_leaf[node][:, None]


def _as_block(rows: Rows) -> Block:
    block, raw = Block(DenseDesign(np.ascontiguousarray(rows.features.T)), rows.known), rows.raw
    return block if raw is None else block._replace(read_raw=lambda: raw)


def top_route(model: Model, params: Parameters, rows: Rows, k: int) -> Route:
    """Return the route to the k most probable leaves, of equals those further left."""
    n_inner = len(model.tree.inner_nodes)
    is_small = n_inner < _SEARCH_COST * (model.tree.depth + _GATES_PER_LEAF * k)
    if is_small or _needs_all_gates(model, rows):
        return _weigh(*_select(model, params, rows, k))
    leaf, share, dropped = _search(model, params, rows, k, n_inner // _SEARCH_COST)
    is_lost = leaf[:, 0] < 0
    if is_lost.any():
        lost = rows.take(is_lost)
        leaf[is_lost], share[is_lost], dropped[is_lost] = _select(model, params, lost, k)
    return _weigh(leaf, share, dropped)


def _weigh(leaf: np.ndarray, share: np.ndarray, dropped: np.ndarray) -> Route:
    # Added one after another: the bits of NumPy's sum depend on the number of rows.
    total = np.add.accumulate(share, axis=1)[:, -1:]
    return Route(leaf, share / total, dropped)


def _search(
    model: Model, params: Parameters, rows: Rows, k: int, budget: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return leaves, probabilities and what is dropped; leaves of -1 beyond the budget."""
    tree, (coef, features) = model.tree, _gates(model, params, rows)
    found = _empty_route(len(features), k)
    scratch = np.empty(tree.n_nodes, dtype=np.int64), np.empty(tree.n_nodes)
    nodes = tree.first_child, tree.n_children, tree.first_leaf
    kernels.find_top_leaves(features, coef, *nodes, budget, *scratch, *found)
    return found


def _select(
    model: Model, params: Parameters, rows: Rows, k: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the same as `_search`, by way of all gates."""
    parts = []
    for piece in cut_rows(len(rows.features), piece_rows(model)):
        _, prior = block_priors(model, params, _as_block(rows.take(piece)))
        found = _empty_route(prior.shape[1], k)
        kernels.select_top(np.ascontiguousarray(prior.T), *found)
        parts.append(found)
    leaf, share, dropped = map(np.concatenate, zip(*parts, strict=True))
    return leaf, share, dropped


def _empty_route(n_rows: int, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return np.empty((n_rows, k), dtype=np.int64), np.empty((n_rows, k)), np.empty(n_rows)


def routed_mean(
    model: Model, params: Parameters, rows: Rows, leaf: np.ndarray, weight: np.ndarray
) -> np.ndarray:
    """Return the weighted mean of what each row's experts predict.

    Parameters
    ----------
    model : Model
    params : Parameters
    rows : Rows
    leaf : ndarray of shape (rows, k), int64
    weight : ndarray of shape (rows, k)

    Returns
    -------
    ndarray of shape (rows,) or (n_classes, rows)
    """
    if model.filling_gate is None:
        mean = _expert_means(model, params, rows, leaf)
    else:  # what an expert predicts goes by what the gate says of missing features
        block = _as_block(rows)
        mean = np.take_along_axis(leaf_means(model, params, block), leaf.T, axis=0).T
    total = weight[:, 0] * mean[..., 0]
    for place in range(1, leaf.shape[1]):
        total += weight[:, place] * mean[..., place]
    return total


def _expert_means(model: Model, params: Parameters, rows: Rows, leaf: np.ndarray) -> np.ndarray:
    """Return what the chosen experts predict, shape (rows, k) or (n_classes, rows, k)."""
    by_group = [
        (pairs, _group_means(model, params, rows, g, pairs // leaf.shape[1], expert))
        for g, pairs, expert in _pairs_by_group(model, leaf)
    ]
    by_group += _other_means(model, params, rows, leaf)
    if len(by_group) == 1:
        mean = by_group[0][1]
    else:
        mean = np.empty((*by_group[0][1].shape[:-1], leaf.size))
        for pairs, values in by_group:
            mean[..., pairs] = values
    return mean.reshape(*mean.shape[:-1], *leaf.shape)


def _other_means(
    model: Model, params: Parameters, rows: Rows, leaf: np.ndarray
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return pairs of row and leaf whose expert is one's own, and what it predicts."""
    chosen, found = leaf.ravel(), []
    for other, own in zip(model.others, params.others, strict=True):
        if other.is_gate:
            continue
        pairs = np.flatnonzero(chosen == model.tree.leaf_position(int(other.nodes[0])))
        if len(pairs):
            block = _as_block(rows.take(pairs // leaf.shape[1]))
            mean = other.mean(own, model.view(other, block))
            found.append((pairs, mean if other.submodel.n_classes else mean[0]))
    return found


def _pairs_by_group(model: Model, leaf: np.ndarray) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Yield, per group of experts, its pairs of row and leaf and their places in the group."""
    place = np.empty(model.tree.n_leaves, dtype=np.int64)
    group_of = np.full(model.tree.n_leaves, -1, dtype=np.int64)
    for g, group in enumerate(model.groups):
        place[group.leaves], group_of[group.leaves] = np.arange(len(group.leaves)), g
    chosen = leaf.ravel()
    for g in range(len(model.groups)):
        pairs = np.flatnonzero(group_of[chosen] == g)
        if len(pairs) > 0:
            yield g, pairs, place[chosen[pairs]]


def _group_means(
    model: Model, params: Parameters, rows: Rows, g: int, row: np.ndarray, expert: np.ndarray
) -> np.ndarray:
    """Return what experts of one group predict, one per row given, shape (..., n_pairs)."""
    group, heads = model.groups[g], []
    for coef, design in zip(params.experts[g], group.designs, strict=True):
        if model.is_narrow[design]:
            heads.append(coef[expert, 0][None])
            continue
        eta = np.empty((1, len(row)))
        features = _features(model, design, rows)
        kernels.row_predictors(features, as_kernel_array(coef), row, expert, eta[0])
        heads.append(eta)
    offset, trials = rows.known.offset, rows.known.trials
    mean = group.predict(heads, None if offset is None else offset[row])
    mean = group.in_unit(mean, None if trials is None else trials[row])
    return np.broadcast_to(mean[..., 0, :], (*mean.shape[:-2], len(row)))


def _gates(model: Model, params: Parameters, rows: Rows) -> tuple[np.ndarray, np.ndarray]:
    """Return the coefficients of all edges, (n_edges, q), and the features that these are for."""
    if len(model.gates) == 1:
        return as_kernel_array(params.gates[0]), _features(model, model.gates[0].design, rows)
    coef = np.zeros((model.tree.n_edges, rows.features.shape[1]))
    for gates, own in zip(model.gates, params.gates, strict=True):
        coef[np.ix_(gates.edges, model.designs[gates.design])] = own
    return coef, rows.features


def _features(model: Model, design: int, rows: Rows) -> np.ndarray:
    """Return the columns of the features that a design uses."""
    columns = model.designs[design]
    if model.sees_all(design, rows.features.shape[1]):
        return rows.features
    return np.take(rows.features, columns, axis=1)  # C order, which indexing does not promise
