"""Truncated rows: seen only because y lies in a window, of the mixture as a population.

The term of a row is ``log p(y | x) - log P(window | x)``. EM adds the draws that were not seen: so
many per row as have a probability outside of the window, over that inside (Dempster, Laird &
Rubin 1977, section 4.2). They are rows whose y lies in an interval, so nothing else is new.
"""

from functools import partial

import numpy as np

from mixexp.data import Block
from mixexp.model._e_step import posterior_of_block
from mixexp.model._model import Model
from mixexp.model._parameters import Parameters
from mixexp.model._statistics import (
    Statistics,
    SumHeads,
    add_statistics,
    em_statistics,
    gradients_and_grams,
)

# More draws than this are not added, lest sums of a window without probability overflow.
_MOST_UNSEEN = 1e12


def window_block(block: Block) -> Block | None:
    """Return the rows as such that y is in their window, with features; None without windows."""
    return None if block.window is None else block.window._replace(features=block.features)


def log_window(model: Model, params: Parameters, block: Block) -> np.ndarray | float:
    """Return the log probability of each row's window, shape (..., rows); 0 without windows."""
    window = window_block(block)
    return 0.0 if window is None else posterior_of_block(model, params, window).log_density


def truncated_statistics(
    model: Model,
    params: Parameters,
    block: Block,
    sum_all: SumHeads = gradients_and_grams,
) -> Statistics | None:
    """Return what windows add to the statistics of a block, or None where there are none.

    Parameters
    ----------
    model : Model
    params : Parameters
    block : Block
    sum_all : callable
        See `em_statistics`.
    """
    if block.window is None:
        return None
    inside = np.asarray(log_window(model, params, block))
    nothing = np.zeros(inside.shape[:-1])
    parts = []
    for outside in block.outside:
        unseen = outside._replace(features=block.features)
        log_odds = posterior_of_block(model, params, unseen).log_density - inside
        number = np.exp(np.minimum(log_odds, np.log(_MOST_UNSEEN)))
        found = em_statistics(model, params, unseen, partial(_scaled, number), sum_all=sum_all)
        parts.append(found)
    total = add_statistics(parts)
    return total._replace(
        log_likelihood=-(inside @ block.weight),
        objective_offset=nothing,
        node_mass=np.zeros_like(total.node_mass),
    )


def _scaled(number: np.ndarray, resp: np.ndarray) -> tuple[np.ndarray, float]:
    return resp * number, 0.0
