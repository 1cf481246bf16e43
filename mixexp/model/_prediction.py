"""What a fitted model says about rows whose y is not known."""

from typing import NamedTuple

import numpy as np

from mixexp import kernels
from mixexp.data import Block
from mixexp.model._model import Model, Parameters
from mixexp.model._statistics import gate_probabilities, group_heads, linear_predictors
from mixexp.tree import GatingTree

# Linear predictors of the rows that are predicted at once, and limits of their number.
_PIECE_NUMBERS = 2**16
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

    def mixture_mean(self) -> np.ndarray:
        """Return the mean over experts, added in order so that batches do not matter."""
        prior = self.prior if self.mean.ndim == 2 else self.prior[:, None, :]
        total = prior[0] * self.mean[0]
        for k in range(1, len(prior)):
            total += prior[k] * self.mean[k]
        return total


def row_stable_product(coef: np.ndarray, features: np.ndarray) -> np.ndarray:
    """Return ``coef @ features`` with bits that do not depend on the number of rows."""
    out = np.empty((len(coef), features.shape[1]))
    kernels.linear_predictor(coef, features, out)
    return out


def block_priors(model: Model, params: Parameters, block: Block) -> tuple[np.ndarray, np.ndarray]:
    """Return conditional gate probabilities and the prior of every leaf."""
    logits = params.gate
    if not model.sees_intercept_only(model.gate_design):
        logits = row_stable_product(params.gate, model.design(block, model.gate_design))
    return _leaf_priors(model.tree, logits, block.features.shape[1])


def _leaf_priors(
    tree: GatingTree, logits: np.ndarray, n_rows: int
) -> tuple[np.ndarray, np.ndarray]:
    gate = gate_probabilities(tree, logits, n_rows)[0]
    path, prior = np.empty((tree.n_nodes, n_rows)), np.empty((tree.n_leaves, n_rows))
    kernels.leaf_prior(gate, tree.parent, tree.leaves, path, prior)
    return gate, prior


def piece_rows(model: Model) -> int:
    """Return how many rows to predict at once, so that what is computed of them is in cache."""
    n_heads = sum(size for size, _ in model.slot_shapes)
    return int(np.clip(_PIECE_NUMBERS // n_heads, *_PIECE_LIMITS))


def predict_block(model: Model, params: Parameters, block: Block) -> Prediction:
    """Evaluate gates and experts at the features of a block."""
    tree, n_rows = model.tree, block.features.shape[1]
    eta = linear_predictors(model, params, block, row_stable_product)
    gate, prior = _leaf_priors(tree, eta[0], n_rows)
    means: list[np.ndarray] = [np.empty(0)] * tree.n_leaves
    for group, heads in zip(model.groups, group_heads(model, eta), strict=True):
        mean = group.shift + group.scale * group.family.predict(heads)
        if group.family.uses_trials and block.trials is not None:
            mean = mean * block.trials
        by_expert = mean if mean.ndim == 2 else np.moveaxis(mean, 1, 0)
        shape = (len(group.leaves), *by_expert.shape[1:-1], n_rows)
        for leaf, values in zip(group.leaves, np.broadcast_to(by_expert, shape), strict=True):
            means[leaf] = values
    return Prediction(gate, prior, np.stack(means))
