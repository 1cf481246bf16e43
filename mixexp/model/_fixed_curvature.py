"""Curvature of a single expert that is the same in all rows: its Gram matrices are summed once.

All rows are the expert's own, whatever its coefficients are. Of ``c X' diag(weight) X`` only the
factor c changes from pass to pass.
"""

from collections.abc import Callable, Sequence

import numpy as np

from mixexp.data import Block, cross_grams
from mixexp.experts import Derivatives
from mixexp.model._grams import swap_lead
from mixexp.model._model import Model
from mixexp.model._statistics import Statistics, gradients_alone, sum_by_head
from mixexp.model._sums import GroupStatistics, HeadSums, sum_heads


def gradients_and_factors(
    model: Model,
    block: Block,
    gate: np.ndarray,
    node_weight: np.ndarray,
    derivatives: Sequence[Derivatives],
    mass: np.ndarray,
    pseudo_weight: np.ndarray | None,
) -> HeadSums:
    """Return what `gradients_and_grams` does, or factors in the place of Gram matrices.

    For the experts of a model that has one leaf, if their curvature is the same in all rows: it
    times the weight of the rows, shape (..., 1, 1, 1), for `with_fixed_grams` to multiply. Not
    where one compiled loop has both.
    """
    if pseudo_weight is None:
        sums = sum_heads(model, block, gate, node_weight, derivatives, mass)
        if sums is not None:
            return sums
    if any(c.shape[-1] != 1 for found in derivatives for c in found.curvature.values()):
        return sum_by_head(model, block, gate, node_weight, derivatives, pseudo_weight)
    alone = gradients_alone(model, block, gate, node_weight, derivatives, mass, pseudo_weight)
    groups = []
    for group, own, found in zip(model.groups, alone.groups, derivatives, strict=True):
        weight = mass[model.tree.leaves[group.leaves]][..., None]
        factors = {pair: swap_lead(c * weight, 2)[..., None] for pair, c in found.curvature.items()}
        groups.append(GroupStatistics(own.gradient, factors))
    lead, widths = gate.shape[1:-1], [len(model.designs[own.design]) for own in model.gates]
    pairs = tuple(np.zeros((*lead, 0, q, q)) for q in widths)
    return HeadSums(alone.gate_gradient, pairs, tuple(groups))


def sample_gram(model: Model, first: int, second: int, block: Block) -> np.ndarray:
    """Return the Gram matrix of a block between two designs, with the sample weights."""
    features, others = model.design(block, first), model.design(block, second)
    if first == second:
        return features.gram(block.weight)
    return np.asarray(cross_grams(features, others, block.weight[None])[0])


def with_fixed_grams(
    model: Model, stats: Statistics, gram: Callable[[int, int], np.ndarray]
) -> Statistics:
    """Return sums of all rows with Gram matrices in the place of their factors.

    Parameters
    ----------
    model : Model
        With one leaf.
    stats : Statistics
        By `gradients_and_factors`.
    gram : callable
        Returns ``X_a' diag(weight) X_b`` between two designs, summed over the rows.
    """
    groups = []
    for group, found in zip(model.groups, stats.groups, strict=True):
        mass, curvature = stats.node_mass[..., model.tree.leaves[group.leaves]], {}
        for (a, b), own in found.curvature.items():
            designs = group.designs[a], group.designs[b]
            shape = tuple(len(model.designs[design]) for design in designs)
            is_factor = own.shape[-2:] != shape
            factor = own / mass[..., None, None]
            curvature[a, b] = factor * gram(*designs) if is_factor else own
        groups.append(GroupStatistics(found.gradient, curvature))
    return stats._replace(groups=tuple(groups))
