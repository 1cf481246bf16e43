"""Draws of y from a fitted model."""

import numpy as np

from mixexp.data import Block
from mixexp.model import (
    Model,
    Parameters,
    PlacedSubmodel,
    group_heads,
    linear_predictors,
    predict_block,
)
from mixexp.submodel import SubmodelRows


def draw_target(
    model: Model, params: Parameters, block: Block, rng: np.random.Generator
) -> np.ndarray:
    """Draw an expert by the gates and then y by the expert, for every row of a block.

    Parameters
    ----------
    model : Model
    params : Parameters
    block : Block
    rng : Generator

    Returns
    -------
    ndarray of shape (rows,)
        In the unit of y; numbers of classes for classifiers.
    """
    n_rows = block.features.shape[1]
    prior = predict_block(model, params, block).prior
    starts = block.group_starts
    at = np.asarray(rng.random(n_rows))
    if starts is not None:
        at = np.repeat(at[starts], np.diff(starts, append=n_rows))
    chosen = (at > np.cumsum(prior, axis=0)[:-1]).sum(axis=0)
    drawn = np.empty(n_rows if model.n_outputs == 1 else (n_rows, model.n_outputs))
    eta = linear_predictors(model, params, block)
    for group, heads in zip(model.groups, group_heads(model, eta), strict=True):
        if group.family.uses_trials and block.known.trials is not None:
            spread = tuple(np.broadcast_to(head, (len(head), n_rows)) for head in heads)
            values = group.family.sample(spread, rng, block.known.trials)  # type: ignore[call-arg]
        else:
            values = group.family.sample_rows(heads, rng, n_rows)
        every = np.broadcast_to(values, (*values.shape[:-2], len(group.leaves), n_rows))
        for row, leaf in enumerate(group.leaves):
            is_own = chosen == leaf
            drawn[is_own] = group.in_unit(every[..., row, is_own], None).T
    for other, own in zip(model.others, params.others, strict=True):
        if not other.is_gate:
            is_own = chosen == model.tree.leaf_position(int(other.nodes[0]))
            drawn[is_own] = _draw_own(other, own, model.view(other, block), rng)[is_own]
    return drawn


def _draw_own(
    other: PlacedSubmodel, params: np.ndarray, rows: SubmodelRows, rng: np.random.Generator
) -> np.ndarray:
    """Draw y of one's own expert: by its probabilities of classes, or by its distribution."""
    n_rows = len(rows.X)
    if other.submodel.n_classes:
        reached = np.cumsum(other.mean(params, rows), axis=0)[:-1]
        return (rng.random(n_rows) > reached).sum(axis=0).astype(float)
    family, heads = other.density_at(params, rows)
    return family.sample_rows(heads, rng, n_rows)[0]
