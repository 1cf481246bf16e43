"""Experts that are no regular part of a model: at their floor, or without rows.

Where nothing holds dispersions, an expert that passes through as many rows as it has
coefficients makes the log-likelihood as large as its floor allows: an optimum that says
nothing of the data, and must not win against one that does.
"""

import math

import numpy as np

from mixexp.model import Model, Parameters

# Distance of a log dispersion from its floor that counts as being there.
_AT_FLOOR = 1e-6
# A dispersion of a hundredth of the pooled one, from no more rows than coefficients and one.
_LOG_SMALL = math.log(0.01)


def experts_at_floor(model: Model, params: Parameters) -> set[int]:
    """Return the leaves whose dispersion is at its floor: they fit their rows exactly."""
    found: set[int] = set()
    for (g, h), slot in model.slot_of.items():
        head, intercept = model.slot_facts[slot].head, params.experts[g][h][:, 0]
        if head is not None and head.kind == "dispersion" and not head.at_lower:
            leaves = model.groups[g].leaves
            found |= set(leaves[intercept <= head.lower + _AT_FLOOR].tolist())
    return found


def experts_without_rows(model: Model, node_mass: np.ndarray) -> set[int]:
    """Return the leaves with one row or less: it leaves them nothing but that row, or their prior.

    Parameters
    ----------
    model : Model
    node_mass : ndarray of shape (n_nodes,)
        Weighted responsibility of every node, in rows: see `Problem.n_weighed`.
    """
    tree = model.tree
    if tree.n_leaves == 1:
        return set()
    return set(np.flatnonzero(node_mass[tree.leaves] <= 1.0 + _AT_FLOOR).tolist())


def collapsed_experts(model: Model, params: Parameters, node_mass: np.ndarray) -> frozenset[int]:
    """Return the leaves at their floor or without rows; see the two functions for each."""
    return frozenset(experts_at_floor(model, params) | experts_without_rows(model, node_mass))


def is_spurious(model: Model, params: Parameters, node_mass: np.ndarray) -> bool:
    """Tell whether an expert owes its dispersion to passing through its few rows.

    Parameters
    ----------
    model : Model
    params : Parameters
        Without a leading axis.
    node_mass : ndarray of shape (n_nodes,)
        In rows.
    """
    if model.penalty.dispersion_prior > 0.0:
        return False
    for (g, h), slot in model.slot_of.items():
        own = model.slot_facts[slot]
        if own.kind != "dispersion" or own.is_shared or own.known_log_dispersion is not None:
            continue
        group = model.groups[g]
        n_coefs = sum(
            coef.shape[-1]
            for at, coef in enumerate(params.experts[g])
            if model.slot_facts[model.slot_of[g, at]].kind == "location"
        )
        is_small = params.experts[g][h][:, 0] < group.anchor_of(h) + _LOG_SMALL
        is_few = node_mass[model.tree.leaves[group.leaves]] <= n_coefs + 1.0
        if np.any(is_small & is_few):
            return True
    return False
