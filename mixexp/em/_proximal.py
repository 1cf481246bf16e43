"""M-steps with an L1 penalty: proximal Newton steps, by coordinate descent on today's sums.

The quadratic model of a node's gates, or of an expert's location, is the one that `_m_step` solves;
with the L1 penalty its top is `Prior.prox`. Gates step in the m symmetric columns of siblings, for
in contrast coordinates the norm is another.
"""

import numpy as np

from mixexp.em._objective import Evaluation, Problem
from mixexp.gates import node_laplacian
from mixexp.model import Model, flat_gradient


def smooth_gradient(model: Model, current: Evaluation) -> np.ndarray:
    """Return the gradient of the objective without the L1 penalty, (..., n_flat)."""
    return flat_gradient(model, current.stats) + current.penalty.gradient


def sparse_gate_step(
    problem: Problem, current: Evaluation, slot: int, length: float, use_bound: bool
) -> np.ndarray:
    """Return the coefficients of the gates of a slot after a proximal step.

    Parameters
    ----------
    problem : Problem
    current : Evaluation
    slot : int
    length : float
        Share of Newton's step that is taken.
    use_bound : bool
        Whether to step on Bohning's bound, child by child.
    """
    model, gates, gate = problem.model, problem.model.gates[slot], current.params.gates[slot]
    at, q = model.slot_slices[slot], gate.shape[-1]
    slopes = smooth_gradient(model, current)[:, at].reshape(gate.shape)
    prior = current.penalty.majorizer[:, at] + model.flat_idle[at]
    prior, l1 = prior.reshape(gate.shape), model.prior.l1[at].reshape(gate.shape[1:])
    out, free = gate.copy(), (np.array(-np.inf), np.array(np.inf))
    for m, edges, pairs in zip(gates.n_siblings, gates.spans, gates.pair_spans, strict=True):
        if m == 1:
            continue
        if use_bound:
            bend = np.tile(0.5 * problem.gate_gram(gates.design), (len(gate), m, 1, 1))
            shape: tuple[int, ...] = (len(gate), m, q)
        else:
            bend = node_laplacian(current.stats.gate_pairs[slot][:, pairs], m)
            shape = (len(gate), m * q)
        np.einsum("...ii->...i", bend)[...] += prior[:, edges].reshape(shape)
        parts = slopes[:, edges].reshape(shape), l1[edges].reshape(shape[1:])
        aim = model.prior.prox(bend, *parts, free, gate[:, edges].reshape(shape))
        step = aim.reshape(len(gate), m, q) - gate[:, edges]
        out[:, edges] += step if use_bound else length * step
    flat = model.flatten(current.params)
    flat[:, at] = out.reshape(len(gate), -1)
    return model.prior.settle_gates(flat)[:, at].reshape(gate.shape)
