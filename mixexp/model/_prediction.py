"""What a fitted model says about rows whose y is not known."""

from typing import NamedTuple

import numpy as np

from mixexp import kernels
from mixexp.data import Block, Design
from mixexp.model._e_step import allocate, gate_logits
from mixexp.model._gaps import fill_gaps
from mixexp.model._model import Model
from mixexp.model._parameters import Parameters
from mixexp.tree import GatingTree

# Numbers of linear predictors, of the rows that are predicted at once, that stay in a core's cache
# with all that is made of them; and limits of the number of rows, lest calls cost more than work.
_CACHED_PREDICTORS = 2**16
_PIECE_LIMITS = 64, 4096


class Prediction(NamedTuple):
    """Priors and predictions of every expert for a block of rows.

    Parameters
    ----------
    gate : ndarray of shape (n_edges, rows)
        Conditional gate probabilities.
    prior : ndarray of shape (n_leaves, rows)
        Probability of each expert; sums to one.
    mean : ndarray of shape (n_leaves, rows) or (n_leaves, n_classes, rows)
        Mean of y, in its unit; class probabilities for classifiers.
    """

    gate: np.ndarray
    prior: np.ndarray
    mean: np.ndarray


def piece_rows(model: Model) -> int:
    """Return how many rows to predict at once."""
    n_heads = sum(size for size, _ in model.slot_shapes)
    return int(np.clip(_CACHED_PREDICTORS // max(n_heads, 1), *_PIECE_LIMITS))


def batch_invariant_product(coef: np.ndarray, design: Design) -> np.ndarray:
    """Return ``coef @ X`` with bits that do not depend on the number of rows."""
    return design.predict_each(coef)


def predict_block(model: Model, params: Parameters, block: Block) -> Prediction:
    """Evaluate gates and experts at the features of a block."""
    gate, prior = block_priors(model, params, block)
    return Prediction(gate, prior, leaf_means(model, params, block))


def block_priors(model: Model, params: Parameters, block: Block) -> tuple[np.ndarray, np.ndarray]:
    """Return conditional gate probabilities and the prior of every leaf."""
    tree, gate = model.tree, _gate_odds(model, params, block)
    n_rows = gate.shape[1]
    total = np.empty((len(tree.inner_nodes), n_rows))
    nodes = tree.inner_nodes, tree.first_child, tree.n_children
    kernels.normalize_siblings(gate, *nodes, total)
    path, prior = np.empty((tree.n_nodes, n_rows)), np.empty((tree.n_leaves, n_rows))
    kernels.leaf_prior(gate, tree.parent, tree.leaves, path, prior)
    return gate, prior


def mean_of_block(model: Model, params: Parameters, block: Block) -> np.ndarray:
    """Return the mean over experts, weighted by the gates.

    Returns
    -------
    ndarray of shape (rows,) or (n_classes, rows)
        In the unit of y; class probabilities for classifiers.
    """
    odds = _gate_odds(model, params, block)
    if len(model.groups) != 1 or not model.is_linear:
        return _average_up(model, odds, leaf_means(model, params, block))
    # One family has one unit, which can wait until there is one mean per row.
    mean = _average_up(model, odds, _group_means(model, params, 0, block))
    return model.groups[0].in_unit(mean, block.known.trials)


def _average_up(model: Model, odds: np.ndarray, means: np.ndarray) -> np.ndarray:
    """Return the mean of the leaves' means, of shape (n_leaves, ..., rows)."""
    tree, by_value = model.tree, means.reshape(model.tree.n_leaves, -1, odds.shape[1])
    scratch = np.empty((len(tree.inner_nodes), by_value.shape[1], kernels.CHUNK))
    out = np.empty(by_value.shape[1:])
    nodes = tree.inner_nodes, tree.first_child, tree.n_children, tree.inner_row, tree.first_leaf
    kernels.tree_mixture_mean(odds, by_value, *nodes, np.empty(kernels.CHUNK), scratch, out)
    return out.reshape(means.shape[1:])


def _gate_odds(model: Model, params: Parameters, block: Block) -> np.ndarray:
    """Return the odds of every edge against the largest of its siblings, (n_edges, rows)."""
    tree, n_rows = model.tree, block.features.shape[1]
    pairs = zip(params.gates, model.gates, strict=True)
    eta = [_predictors(model, coef, gates.design, block) for coef, gates in pairs]
    logits = gate_logits(model, params, eta, block)
    if block.known.evidence is not None:
        return _odds_after(tree, logits, block.known.evidence)
    if logits.shape[1] != n_rows:
        logits = np.ascontiguousarray(np.broadcast_to(logits, (tree.n_edges, n_rows)))
    nodes = tree.inner_nodes, tree.first_child, tree.n_children
    odds = np.empty_like(logits)
    kernels.shift_siblings(logits, *nodes, np.empty(n_rows), odds)
    return np.exp(odds, out=odds)


def _odds_after(tree: GatingTree, logits: np.ndarray, evidence: np.ndarray) -> np.ndarray:
    """Return the same odds once evidence on the leaves, (n_leaves, rows), is taken in."""
    node = allocate(tree, logits, evidence).node_resp
    odds = np.empty((tree.n_edges, node.shape[1]))
    for inner in tree.inner_nodes.tolist():
        own = node[tree.first_child[inner] : tree.first_child[inner] + tree.n_children[inner]]
        top = own.max(axis=0)
        odds[tree.edges(inner)] = np.where(top > 0.0, own / np.where(top > 0.0, top, 1.0), 1.0)
    return odds


def _predictors(model: Model, coef: np.ndarray, design: int, block: Block) -> np.ndarray:
    """Return linear predictors (heads, rows), or (heads, 1) where these see no feature."""
    if model.is_narrow[design]:
        return coef
    return batch_invariant_product(coef, model.design(block, design))


def leaf_means(model: Model, params: Parameters, block: Block) -> np.ndarray:
    """Return what every expert predicts, (n_leaves, rows) or (n_leaves, n_classes, rows)."""
    means = [
        group.in_unit(_group_means(model, params, g, block), block.known.trials)
        for g, group in enumerate(model.groups)
    ]
    if len(means) == 1 and model.is_linear:
        return means[0]
    shape = means[0].shape[1:] if means else (*model.class_shape, block.features.shape[1])
    out = np.empty((model.tree.n_leaves, *shape))
    for rows, values in zip(model.group_rows, means, strict=True):
        out[rows] = values
    for other, own in zip(model.others, params.others, strict=True):
        if not other.is_gate:
            leaf = model.tree.leaf_position(int(other.nodes[0]))
            out[leaf] = other.mean(own, model.view(other, block)).reshape(shape)
    return out


def _group_means(model: Model, params: Parameters, g: int, block: Block) -> np.ndarray:
    """Return the same for the experts of one family, in its own unit."""
    group, n_rows = model.groups[g], block.features.shape[1]
    heads = [
        _predictors(model, coef, design, block)
        for coef, design in zip(params.experts[g], group.designs, strict=True)
    ]
    if model.filling_gate is not None:
        heads = list(fill_gaps(model, params, block, g, heads))
    mean = group.predict(heads, block.known.offset)
    mean = mean if mean.ndim == 2 else np.moveaxis(mean, 1, 0)
    if mean.shape[-1] != n_rows:
        mean = np.broadcast_to(mean, (*mean.shape[:-1], n_rows))
    if len(mean) != len(group.leaves):
        mean = np.broadcast_to(mean, (len(group.leaves), *mean.shape[1:]))
    return np.ascontiguousarray(mean)
