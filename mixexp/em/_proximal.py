"""M-steps with an L1 penalty: proximal Newton steps, by coordinate descent on today's sums.

The quadratic model of a node's gates, or of an expert's location, is the one that `_m_step` solves;
with the L1 penalty its top is found by coordinate descent on the coefficients that are not zero
(Lee, Sun & Saunders 2014). Gates step in the m symmetric columns of siblings, for in contrast
coordinates the norm is another.
"""

import numpy as np

from mixexp import kernels
from mixexp.em._objective import Evaluation, Problem
from mixexp.model import (
    Model,
    flat_gradient,
    l1_strengths,
    node_laplacian,
    settle_gates,
)


def smooth_gradient(model: Model, current: Evaluation) -> np.ndarray:
    """Return the gradient of the objective without the L1 penalty, (..., n_flat)."""
    return flat_gradient(model, current.stats) + current.penalty.gradient


def maximize_each(
    matrices: np.ndarray,
    slopes: np.ndarray,
    l1: np.ndarray,
    bounds: tuple[np.ndarray, np.ndarray],
    coef: np.ndarray,
) -> np.ndarray:
    """Return the coefficients at the top of quadratic models with an L1 penalty.

    Parameters
    ----------
    matrices : ndarray of shape (..., p, p)
        Minus the Hessian of each.
    slopes, coef : ndarray of shape (..., p)
        Gradient without the L1 penalty, and where.
    l1 : ndarray of shape (..., p)
        Or such as can be broadcast.
    bounds : tuple of ndarray of shape (..., p)
    """
    p = coef.shape[-1]
    out = np.array(coef, order="C").reshape(-1, p)
    wide = [
        np.array(np.broadcast_to(part, coef.shape), order="C").reshape(-1, p)
        for part in (slopes, l1, *bounds)
    ]
    kernels.lasso_each(np.ascontiguousarray(matrices).reshape(-1, p, p), *wide, out)
    return out.reshape(coef.shape)


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
    prior, l1 = prior.reshape(gate.shape), l1_strengths(model)[at].reshape(gate.shape[1:])
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
        aim = maximize_each(bend, *parts, free, gate[:, edges].reshape(shape))
        step = aim.reshape(len(gate), m, q) - gate[:, edges]
        out[:, edges] += step if use_bound else length * step
    flat = model.flatten(current.params)
    flat[:, at] = out.reshape(len(gate), -1)
    return settle_gates(model, flat)[:, at].reshape(gate.shape)
