"""Features that are missing where rows are predicted, integrated out of linear experts.

A gate that models the features of each child, as a Gaussian gate does, says how those that are
missing are distributed given the others. Where an expert's location is linear in them and its
density takes a normal error, what is left of y is of the same family: its location is that at
the conditional mean, and its variance has that of the location beside it. Deleforge, Forbes &
Horaud (2015), Statistics and Computing 25, eqs. 8 to 13.
"""

from collections.abc import Sequence

import numpy as np

from mixexp.data import Block
from mixexp.model._model import Model
from mixexp.model._parameters import Parameters


def fill_gaps(
    model: Model, params: Parameters, block: Block, g: int, heads: Sequence[np.ndarray]
) -> tuple[np.ndarray, ...]:
    """Return the heads of a group of experts, those of rows with missing features made anew.

    Parameters
    ----------
    model : Model
        With a ``filling_gate``.
    params : Parameters
        Of one start.
    block : Block
    g : int
        Number of the group.
    heads : sequence of ndarray of shape (experts, rows) or (experts, 1)
        Linear predictors without the offset, NaN where features are missing.
    """
    gate, group = model.filling_gate, model.groups[g]
    place = next((h for h in range(len(group.designs)) if group.is_location(h)), None)
    if gate is None or place is None or model.is_narrow[group.designs[place]]:
        return tuple(heads)
    X = model.view(gate, block).X
    if not np.isnan(X).any():
        return tuple(heads)
    modelled, seen = model.designs[gate.design][1:], model.designs[group.designs[place]]
    at = np.searchsorted(modelled, seen[np.isin(seen, modelled)])
    # The intercept and what the gate does not look at, which is never missing.
    is_rest = ~np.isin(seen, modelled)
    rest = model.design(block, group.designs[place]).to_array()[is_rest]
    location, variance = heads[place].copy(), np.zeros(heads[place].shape)
    own = params.others[model.others.index(gate)].item()
    for rows, filled, spread in gate.submodel.fill_missing(own, X):
        for expert, leaf in enumerate(group.leaves):
            coef = params.experts[g][place][expert]
            slopes = coef[~is_rest]
            known = (coef[is_rest][:, None] * rest[:, rows]).sum(axis=0)
            location[expert, rows] = known + (filled[leaf][:, at] * slopes).sum(axis=1)
            variance[expert, rows] = slopes @ spread[leaf][np.ix_(at, at)] @ slopes
    filled_heads = [*heads[:place], location, *heads[place + 1 :]]
    return group.family.with_error(tuple(filled_heads), variance)
