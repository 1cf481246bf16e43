"""The E-step: gates and log densities of a block's rows, and by Bayes' rule where the rows go.

Several sets of coefficients are evaluated at once where the parameters have a leading axis of
them. Inside of the pass that axis stands just before the rows, (heads, ..., rows): to a kernel
they are more rows, and to a matrix product more heads.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from mixexp import kernels
from mixexp.data import Block, Design
from mixexp.experts import Derivatives
from mixexp.model._far_rows import widen_far_rows
from mixexp.model._gaps import fill_gaps
from mixexp.model._model import Model
from mixexp.model._parameters import Parameters
from mixexp.tree import GatingTree

# Log probabilities that add up to one do so to rounding.
_LARGEST_EXCESS = 1e-8

# Of coefficients (heads, 1 + p) and a design.
Product = Callable[[np.ndarray, Design], np.ndarray]


def product_at_once(coef: np.ndarray, design: Design) -> np.ndarray:
    """Return ``coef @ X`` as fast as may be; its bits depend on how many rows there are."""
    return design.predict(coef)


class Posterior(NamedTuple):
    """Where the rows of a block go.

    Parameters
    ----------
    log_density : ndarray of shape (..., rows)
        Log density of y; -inf where no expert explains the row.
    gate : ndarray of shape (n_edges, ..., rows)
        Conditional gate probabilities; siblings sum to one.
    node_resp : ndarray of shape (n_nodes, ..., rows)
        Responsibility of every node, 1 at the root.
    """

    log_density: np.ndarray
    gate: np.ndarray
    node_resp: np.ndarray


def linear_predictors(
    model: Model, params: Parameters, block: Block, product: Product = product_at_once
) -> list[np.ndarray]:
    """Return the linear predictors slot by slot, (n_heads, ..., rows) or (n_heads, ..., 1).

    A head that sees nothing but the intercept is constant over rows and stays a column, so
    that families take one exponential of it, not one per row.
    """
    slots = model.slots(params)
    eta = [slot if slot.ndim == 2 else slot.swapaxes(0, 1) for slot in slots]
    # A gate of one leaf has nothing to choose from.
    idle = len(model.gates) if model.tree.n_leaves == 1 else 0
    eta[:idle] = (slot[..., :1] for slot in eta[:idle])
    for design in range(len(model.designs)):
        members = [s for s, d in enumerate(model.slot_designs) if d == design and s >= idle]
        if members and not model.is_narrow[design]:
            stacked = np.concatenate([eta[slot] for slot in members])
            coef = stacked.reshape(-1, stacked.shape[-1])
            values = product(coef, model.design(block, design))
            values = values.reshape(*stacked.shape[:-1], values.shape[-1])
            end = 0
            for slot in members:
                first, end = end, end + len(eta[slot])
                eta[slot] = values[first:end]
    if model.filling_gate is not None:
        eta = _map_groups(partial(fill_gaps, model, params, block), model, eta)
    if block.limits is not None:
        eta = _map_groups(partial(widen_far_rows, model, params, block), model, eta)
    return eta if block.known.offset is None else _add_offset(model, eta, block.known.offset)


def _map_groups(
    function: Callable[[int, Sequence[np.ndarray]], tuple[np.ndarray, ...]],
    model: Model,
    eta: list[np.ndarray],
) -> list[np.ndarray]:
    """Return linear predictors with a function of every group's number and heads in their place."""
    changed = (function(g, heads) for g, heads in enumerate(group_heads(model, eta)))
    return [*eta[: len(model.gates)], *(head for heads in changed for head in heads)]


def _add_offset(model: Model, eta: list[np.ndarray], offset: np.ndarray) -> list[np.ndarray]:
    out = list(eta)
    for (g, h), slot in model.slot_of.items():
        out[slot] = model.groups[g].add_offset(h, eta[slot], offset)
    return out


def group_heads(model: Model, eta: Sequence[np.ndarray]) -> list[tuple[np.ndarray, ...]]:
    """Return the linear predictors of each group of experts, head by head."""
    rest = iter(eta[len(model.gates) :])
    return [tuple(next(rest) for _ in group.designs) for group in model.groups]


def gate_logits(
    model: Model, params: Parameters, eta: Sequence[np.ndarray], block: Block
) -> np.ndarray:
    """Return the logits of all edges, (n_edges, ..., rows), or (n_edges, ..., 1) where constant.

    For gates of one's own, log probabilities: these are logits that are normalised.
    """
    if len(model.gates) == 1 and model.gates[0].is_everywhere:
        return eta[0]
    out = np.empty((model.tree.n_edges, *params.lead, block.features.shape[1]))
    for gates, own in zip(model.gates, eta, strict=False):
        out[gates.edges] = own
    for other, own in zip(model.others, params.others, strict=True):
        if other.is_gate:
            terms = other.log_terms(own, model.view(other, block))
            if other.submodel.is_joint and not model.is_root_gate(other):
                terms = terms - np.logaddexp.reduce(terms, axis=0)
            out[other.edges] = terms
    return out


def leaf_log_density(
    model: Model, params: Parameters, eta: Sequence[np.ndarray], block: Block
) -> np.ndarray:
    """Return the log density of every row under every leaf, shape (n_leaves, ..., rows)."""
    out = _other_log_density(model, params, block)
    for g, heads in enumerate(group_heads(model, eta)):
        log_kernel = model.groups[g].family.log_kernel(block.targets[g], heads)
        out[model.group_rows[g]] = log_kernel + block.bases[g]
    return _with_evidence(out, block)


def _with_evidence(log_density: np.ndarray, block: Block) -> np.ndarray:
    """Add, in place, what is known of the leaves of rows beside y."""
    evidence = block.known.evidence
    if evidence is not None:
        log_density += evidence.reshape(len(evidence), *(1,) * (log_density.ndim - 2), -1)
    return log_density


def _other_log_density(model: Model, params: Parameters, block: Block) -> np.ndarray:
    """Return an array (n_leaves, ..., rows) with the log densities of experts of one's own."""
    out = np.empty((model.tree.n_leaves, *params.lead, block.features.shape[1]))
    for other, own in zip(model.others, params.others, strict=True):
        if not other.is_gate:
            leaf = model.tree.leaf_position(int(other.nodes[0]))
            out[leaf] = other.log_terms(own, model.view(other, block))[0]
    return out


def evaluate_experts(
    model: Model, params: Parameters, eta: Sequence[np.ndarray], block: Block
) -> tuple[np.ndarray, list[Derivatives]]:
    """Return log densities as `leaf_log_density` does, and the derivatives of every group."""
    if model.others:
        out = _other_log_density(model, params, block)
    else:  # then there are gates with heads
        out = np.empty((model.tree.n_leaves, *eta[0].shape[1:-1], block.features.shape[1]))
    found = []
    for g, heads in enumerate(group_heads(model, eta)):
        family = model.groups[g].family
        log_kernel, derivatives = family.evaluate(block.targets[g], heads)
        out[model.group_rows[g]] = log_kernel + block.bases[g]
        found.append(derivatives)
    return (out if block.known.evidence is None else _with_evidence(out, block)), found


def log_evidence(model: Model, logits: np.ndarray, block: Block) -> np.ndarray | float:
    """Return the log density of the features under a gate of one's own at the root.

    Its terms may be log joint densities of child and features: what is maximised then is the
    likelihood of both y and features.

    Raises
    ------
    ValueError
        If the terms of a gate below the root do not add up to one.
    """
    total: np.ndarray | float = 0.0
    for other in model.others:
        if other.is_gate:
            log_sum = np.logaddexp.reduce(logits[other.edges], axis=0)
            if model.tree.parent[other.nodes[0]] == 0:
                total = log_sum @ block.gate_weight
            elif np.abs(log_sum).max(initial=0.0) > _LARGEST_EXCESS:
                raise ValueError(
                    f"{other.submodel.title}.log_terms must be log probabilities of the "
                    "children, which add up to one, but at the root of a tree."
                )
    return total


def gate_probabilities(tree: GatingTree, logits: np.ndarray, n_rows: int) -> tuple[np.ndarray, ...]:
    """Return gates, shifted logits and the inner nodes' log normalisers, each (..., rows).

    Parameters
    ----------
    tree : GatingTree
    logits : ndarray of shape (n_edges, ..., n_rows) or (n_edges, ..., 1)
    n_rows : int
    """
    lead = (*logits.shape[1:-1], n_rows)
    logits = _over_rows(logits, n_rows)
    shifted, top = np.empty_like(logits), np.empty(lead)
    nodes = tree.inner_nodes, tree.first_child, tree.n_children
    kernels.shift_siblings(wide(logits), *nodes, top.ravel(), wide(shifted))
    gate, total = np.exp(shifted), np.empty((len(tree.inner_nodes), *lead))
    kernels.normalize_siblings(wide(gate), *nodes, wide(total))
    return gate, shifted, np.log(total, out=total)


def allocate(
    tree: GatingTree,
    logits: np.ndarray,
    log_density: np.ndarray,
    starts: np.ndarray | None = None,
) -> Posterior:
    """Combine gates and experts: Bayes' rule at every node of the tree, per row or group of rows.

    Parameters
    ----------
    tree : GatingTree
    logits : ndarray of shape (n_edges, ..., rows) or (n_edges, ..., 1)
    log_density : ndarray of shape (n_leaves, ..., rows)
    starts : ndarray of shape (n_groups,), int, optional
        First row of each group of rows that share a class. Their densities are multiplied and
        gates are those of the first row; of the group's log density each row has an equal part.

    References
    ----------
    Grun & Leisch (2008), J. Stat. Softw. 28(4), eq. 3, for groups of rows.
    """
    if starts is not None:
        return _allocate_groups(tree, logits, log_density, starts)
    lead, n = log_density.shape[1:], math.prod(log_density.shape[1:])
    gate, node_resp = np.empty((tree.n_edges, n)), np.empty((tree.n_nodes, n))
    row_log_density = np.empty(n)
    kernels.tree_posterior(
        _over_rows(logits, lead[-1]).reshape(tree.n_edges, n),
        log_density.reshape(tree.n_leaves, n),
        tree.parent,
        tree.inner_nodes,
        tree.first_child,
        tree.n_children,
        tree.leaves,
        np.empty((tree.n_nodes, kernels.CHUNK)),
        gate,
        node_resp,
        row_log_density,
    )
    return Posterior(
        row_log_density.reshape(lead),
        gate.reshape(tree.n_edges, *lead),
        node_resp.reshape(tree.n_nodes, *lead),
    )


def _allocate_groups(
    tree: GatingTree, logits: np.ndarray, log_density: np.ndarray, starts: np.ndarray
) -> Posterior:
    size = np.diff(starts, append=log_density.shape[-1])
    first = logits if logits.shape[-1] == 1 else np.ascontiguousarray(logits[..., starts])
    found = allocate(tree, first, np.add.reduceat(log_density, starts, axis=-1))
    return Posterior(
        np.repeat(found.log_density / size, size, axis=-1),
        np.repeat(found.gate, size, axis=-1),
        np.repeat(found.node_resp, size, axis=-1),
    )


def _over_rows(array: np.ndarray, n_rows: int) -> np.ndarray:
    """Return an array of shape (..., rows), copies of its only column where it has but one."""
    if array.shape[-1] == n_rows:
        return array
    return np.ascontiguousarray(np.broadcast_to(array, (*array.shape[:-1], n_rows)))


def posterior_of_block(
    model: Model, params: Parameters, block: Block, product: Product = product_at_once
) -> Posterior:
    """Return densities, gates and responsibilities of a block's rows."""
    eta = linear_predictors(model, params, block, product)
    logits = gate_logits(model, params, eta, block)
    log_density = leaf_log_density(model, params, eta, block)
    found = allocate(model.tree, logits, log_density, block.group_starts)
    # No average is above the largest; by rounding probabilities would be above one.
    most = _largest_by_row(log_density, block.group_starts)
    found = found._replace(log_density=np.minimum(found.log_density, most))
    if block.window is None:
        return found
    window = block.window._replace(features=block.features, limits=block.limits)
    inside = posterior_of_block(model, params, window, product).log_density
    return found._replace(log_density=found.log_density - inside)


def _largest_by_row(log_density: np.ndarray, starts: np.ndarray | None) -> np.ndarray:
    """Return the log density of each row under the leaf that explains it, or its group, best."""
    if starts is None:
        return np.asarray(log_density.max(axis=0))
    size = np.diff(starts, append=log_density.shape[-1])
    most = np.add.reduceat(log_density, starts, axis=-1).max(axis=0)
    return np.repeat(most / size, size, axis=-1)


def wide(array: np.ndarray) -> np.ndarray:
    """Return a view with all axes after the first in one, as kernels see them."""
    return array.reshape(len(array), math.prod(array.shape[1:]))
