"""The observed information where rows of a group share a class.

Louis (1982), per group: the complete-data curvature of its rows, less the covariance, given the
data, of the complete-data scores, which are sums over the rows of the group. Sums of scores times
features take the place that features have where every row has its own class.
"""

from collections.abc import Sequence

import numpy as np

from mixexp.data import Block
from mixexp.experts import Derivatives
from mixexp.model._e_step import (
    Posterior,
    allocate,
    evaluate_experts,
    gate_logits,
    group_heads,
    linear_predictors,
)
from mixexp.model._model import Model
from mixexp.model._parameters import Parameters
from mixexp.model._statistics import sum_by_head
from mixexp.model._sums import HeadSums

# Scores that are formed at a time, coefficients times leaves times groups: 8 MB.
_MOST_SCORES = 1 << 20


def group_information(
    model: Model, params: Parameters, block: Block, pseudo_weight: np.ndarray | None = None
) -> np.ndarray:
    """Return the observed information of a block of whole groups, shape (n_flat, n_flat).

    Parameters
    ----------
    model : Model
    params : Parameters
    block : Block
    pseudo_weight : ndarray of shape (rows,), optional
        Weight of pseudo-rows that belong to all children of a gate in equal shares.

    Notes
    -----
    O(rows * K * p**2 + groups * K * n_flat**2).
    """
    eta = linear_predictors(model, params, block)
    log_density, derivatives = evaluate_experts(model, params, eta, block)
    logits = gate_logits(model, params, eta, block)
    found = allocate(model.tree, logits, log_density, block.group_starts)
    observed = [
        found_here
        if group.family.has_observed_curvature
        else Derivatives(found_here.score, group.family.observed_curvature(y, heads))
        for group, heads, y, found_here in zip(
            model.groups, group_heads(model, eta), block.targets, derivatives, strict=True
        )
    ]
    sums = sum_by_head(model, block, found.gate, found.node_resp.copy(), observed, pseudo_weight)
    out = complete_information(model, sums)
    out -= _score_covariance(model, block, found, derivatives)
    return out


def complete_information(model: Model, sums: HeadSums) -> np.ndarray:
    """Return the complete-data information of the flat vector, shape (n_flat, n_flat).

    Block diagonal over gates and experts; without the penalty. EM's step is the gradient over
    it (exactly so for one Newton step per block).

    Parameters
    ----------
    model : Model
    sums : HeadSums
        Without an axis of starts.
    """
    out = np.zeros((model.n_flat, model.n_flat))
    ends = np.stack(model.tree.sibling_pairs, axis=1)
    for gates, blocks in zip(model.gates, sums.gate_pairs, strict=True):
        for block, (a, b) in zip(blocks, ends[gates.pairs].tolist(), strict=True):
            first, second = model.edge_index(a), model.edge_index(b)
            out[first, first] += block
            out[second, second] += block
            out[first, second] -= block
            out[second, first] -= block
    for g, stats in enumerate(sums.groups):
        for (a, b), blocks in stats.curvature.items():
            for row, block in enumerate(blocks):
                first = model.flat_index(model.slot_of[g, a], row)
                second = model.flat_index(model.slot_of[g, b], row)
                out[first, second] = block
                out[second, first] = block.T
    return out


def _score_covariance(
    model: Model, block: Block, found: Posterior, derivatives: Sequence[Derivatives]
) -> np.ndarray:
    """Return the sum over groups of the covariance of their complete-data scores."""
    starts = block.group_starts
    if starts is None:
        starts = np.arange(len(block.weight))
    weight, resp = block.weight[starts], found.node_resp[model.tree.leaves][:, starts]
    sums = _expert_sums(model, block, derivatives, starts)
    out = np.zeros((model.n_flat, model.n_flat))
    size = max(1, _MOST_SCORES // (model.n_flat * model.tree.n_leaves))
    for first in range(0, len(starts), size):
        some = slice(first, first + size)
        scores = _gate_scores(model, block, found, starts[some])
        for index, leaf, own in sums:
            scores[index, leaf] = own[:, some]
        mean = np.einsum("flg,lg->fg", scores, resp[:, some])
        out -= (mean * weight[some]) @ mean.T
        for leaf, own in enumerate(scores.swapaxes(0, 1)):
            out += (own * (weight[some] * resp[leaf, some])) @ own.T
    return out


def _expert_sums(
    model: Model, block: Block, derivatives: Sequence[Derivatives], starts: np.ndarray
) -> list[tuple[slice, int, np.ndarray]]:
    """Return where each expert's head lies in the flat vector, its leaf, and its sums by group."""
    sums = []
    for g, (group, own) in enumerate(zip(model.groups, derivatives, strict=True)):
        for h, score in enumerate(own.score):
            features = model.design(block, group.designs[h]).to_array()
            for row, leaf in enumerate(group.leaves.tolist()):
                spread = np.add.reduceat(score[row] * features, starts, axis=1)
                sums.append((model.flat_index(model.slot_of[g, h], row), leaf, spread))
    return sums


def _gate_scores(model: Model, block: Block, found: Posterior, rows: np.ndarray) -> np.ndarray:
    """Return complete-data scores (n_flat, n_leaves, len(rows)) of gates; zero for experts."""
    tree = model.tree
    out = np.zeros((model.n_flat, tree.n_leaves, len(rows)))
    below = tree.covers.astype(float)
    for gates in model.gates:
        features = model.design(block, gates.design).take(rows).to_array()
        for edge in gates.edges.tolist():
            parent = below[tree.parent[edge + 1]]
            score = below[edge + 1][:, None] - parent[:, None] * found.gate[edge, rows]
            out[model.edge_index(edge)] = features[:, None] * score
    return out
