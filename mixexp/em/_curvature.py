"""EM's own curvature as one matrix: the metric in which EM's rate of convergence is measured."""

import numpy as np

from mixexp.em._objective import Evaluation
from mixexp.model import Model


def em_information(model: Model, current: Evaluation) -> np.ndarray:
    """Return the complete-data information of the flat vector, shape (n_flat, n_flat).

    Block diagonal over gates and experts; without the penalty. EM's step is the gradient over
    it (exactly so for one Newton step per block).
    """
    out = np.zeros((model.n_flat, model.n_flat))
    ends = np.stack(model.tree.sibling_pairs, axis=1)
    for gates, blocks in zip(model.gates, current.stats.gate_pairs, strict=True):
        for block, (a, b) in zip(blocks, ends[gates.pairs].tolist(), strict=True):
            first, second = model.edge_index(a), model.edge_index(b)
            out[first, first] += block
            out[second, second] += block
            out[first, second] -= block
            out[second, first] -= block
    for g, stats in enumerate(current.stats.groups):
        for (a, b), blocks in stats.curvature.items():
            for row, block in enumerate(blocks):
                first = model.flat_index(model.slot_of[g, a], row)
                second = model.flat_index(model.slot_of[g, b], row)
                out[first, second] = block
                out[second, first] = block.T
    return out
