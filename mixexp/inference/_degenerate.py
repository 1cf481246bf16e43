"""Experts that are no regular part of a model: at their floor, or without rows."""

import numpy as np

from mixexp.model import Model, Parameters

# Distance of a log dispersion from its floor that counts as being there.
_AT_FLOOR = 1e-6


def experts_at_floor(model: Model, params: Parameters) -> set[int]:
    """Return the leaves whose dispersion is at its floor: they fit their rows exactly."""
    found: set[int] = set()
    for g, h in model.slot_heads:
        group, intercept = model.groups[g], params.experts[g][h][:, 0]
        head = group.family.heads[h]
        if head.kind == "dispersion" and not head.at_lower:
            found |= set(group.leaves[intercept <= head.lower + _AT_FLOOR].tolist())
    return found


def experts_without_rows(model: Model, node_mass: np.ndarray) -> set[int]:
    """Return the leaves with one row or less: it leaves them nothing but that row, or their prior.

    Parameters
    ----------
    model : Model
    node_mass : ndarray of shape (n_nodes,)
        Weighted responsibility of every node.
    """
    tree = model.tree
    if tree.n_leaves == 1:
        return set()
    return set(np.flatnonzero(node_mass[tree.leaves] <= 1.0 + _AT_FLOOR).tolist())
