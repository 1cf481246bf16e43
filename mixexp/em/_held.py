"""Gates and experts that EM leaves as they are, while it fits the others."""

import numpy as np

from mixexp.model import Model, Parameters


def keep_held(model: Model, current: Parameters, proposed: Parameters) -> Parameters:
    """Return proposed parameters, those of held nodes as they are, to the bit.

    Parameters
    ----------
    model : Model
    current, proposed : Parameters
        With one leading axis.
    """
    if not model.held:
        return proposed
    gates = []
    for softmax, coef, moved in zip(model.gates, current.gates, proposed.gates, strict=True):
        kept = moved.copy()
        for node, span in zip(softmax.nodes.tolist(), softmax.spans, strict=True):
            if node in model.held:
                kept[..., span, :] = coef[..., span, :]
        gates.append(kept)
    experts = []
    for group, before, after in zip(model.groups, current.experts, proposed.experts, strict=True):
        is_held = [int(model.tree.leaves[leaf]) in model.held for leaf in group.leaves]
        pairs = [(old, new.copy()) for old, new in zip(before, after, strict=True)]
        for old, new in pairs:
            new[..., is_held, :] = old[..., is_held, :]
        experts.append(tuple(new for _, new in pairs))
    own = zip(model.others, current.others, proposed.others, strict=True)
    others = tuple(old if model.holds(other) else new for other, old, new in own)
    return Parameters(tuple(gates), tuple(experts), others)


def is_held(model: Model) -> np.ndarray:
    """Return which numbers of the flat parameter vector belong to held nodes, (n_flat,), bool."""
    zero = model.unflatten(np.zeros((1, model.n_flat)))
    one = model.unflatten(np.ones((1, model.n_flat)))
    return np.asarray(model.flatten(keep_held(model, zero, one))[0] == 0.0)
