"""Where moves may end: within bounds, and gates no further from even than doubles tell.

An expert that has lost its rows is sent away by its gate's intercept, which has no prior, and
each step then gains less than rounding: no optimum ends the way, and what extrapolates it leaps
to 1e14, where intercepts of the other children have lost the digits that tell them apart.
"""

import numpy as np

from mixexp.model import Model

# Minus the logarithm of the least probability that doubles hold with all digits, rounded down.
_FURTHEST = 700.0


def move_within_reach(model: Model, flat: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """Return where a move ends that meets bounds and inequalities, with gates within reach.

    Parameters
    ----------
    model : Model
    flat, moved : ndarray of shape (n_flat,)
        Where it begins, and where it would end.
    """
    out = np.clip(moved, *model.flat_bounds)
    for slot in range(len(model.gates)):
        at = model.slot_slices[slot]
        coef = out[at].reshape(model.slot_shapes[slot])
        out[at] = keep_gate_within_reach(model, slot, coef).ravel()
    return out if model.ties is None else model.ties.stay_inside(flat, out)


def keep_gate_within_reach(model: Model, slot: int, coef: np.ndarray) -> np.ndarray:
    """Return coefficients with no child of a gate further from its siblings than tells.

    An intercept is raised to ``largest - 700 * (1 + spread)``, the spread being the sum over
    features of the range of the siblings' slopes: a boundary between children may be 700 standard
    deviations of the features away. All of a gate then shift, so that they sum to what they did.
    Gates that are held, known or restricted are left alone.

    Parameters
    ----------
    model : Model
    slot : int
        Of these gates.
    coef : ndarray of shape (..., n_edges, q)
    """
    if np.abs(coef[..., 0]).max(initial=0.0) <= 0.5 * _FURTHEST or _is_restricted(model, slot):
        return coef
    out, gates = coef.copy(), model.gates[slot]
    for node, span in zip(gates.nodes.tolist(), gates.spans, strict=True):
        if node in model.held:
            continue
        intercepts = coef[..., span, 0]
        spread = np.ptp(coef[..., span, 1:], axis=-2).sum(axis=-1)
        least = intercepts.max(axis=-1) - _FURTHEST * (1.0 + spread)
        raised = np.maximum(intercepts, least[..., None])
        out[..., span, 0] = raised - (raised - intercepts).mean(axis=-1, keepdims=True)
    return out


def _is_restricted(model: Model, slot: int) -> bool:
    """Whether ties name coefficients of a slot."""
    at, ties = model.slot_slices[slot], model.ties
    if ties is None:
        return False
    ruling = (rows for rows in (ties.rows, ties.least_rows) if rows is not None)
    is_ruled = any(bool(rows[:, at].any()) for rows in ruling)
    return is_ruled or not bool(ties.is_free[at].all())
