"""The L1 penalty on slopes: which coefficients have it, its subgradient, and what may move.

``- l1 * sum(|b|) - gate_l1 * sum(|w|)`` over the slopes b of the experts' locations and w of the
gates, features standardised and y in the unit that `alpha` sees. Beside it the priors on the same
slopes are plain ridges toward zero, ``- alpha/2 sum(b**2)``: an elastic net.

A gate over m children has m slopes per feature, of which a common shift changes no probability,
but the penalty: they are kept at the shift where it is least, which is a median without the ridge
(Friedman, Hastie & Tibshirani 2010, section 4.1).
"""

from functools import lru_cache

import numpy as np

from mixexp.contrast import null_directions
from mixexp.model._model import Model
from mixexp.model._parameters import flatten_slots
from mixexp.model._ties import EqualityConstraints


@lru_cache(maxsize=8)
def l1_strengths(model: Model) -> np.ndarray:
    """Return the L1 strength of every coefficient in the flat vector; shared ones share it."""
    slots = [np.zeros(shape) for shape in model.slot_shapes]
    for slot in range(len(model.gates)):
        slots[slot][:, 1:] = model.penalty.gate_l1
    for (g, h), slot in model.slot_of.items():
        if model.groups[g].family.heads[h].kind == "location":
            slots[slot][:, 1:] = model.penalty.l1
    flat = flatten_slots(slots)
    if model.ties is None:
        return flat
    return np.where(np.isnan(model.ties.known), flat / model.ties.n_sharing, 0.0)


def l1_value(model: Model, flat: np.ndarray) -> np.ndarray:
    """Return the L1 penalty of flat vectors (..., n_flat), at least zero."""
    return np.abs(flat) @ l1_strengths(model)


def steepest_gradient(model: Model, flat: np.ndarray, smooth: np.ndarray) -> np.ndarray:
    """Return the subgradient of the objective that is least: zero at an optimum.

    Parameters
    ----------
    model : Model
    flat : ndarray of shape (..., n_flat)
    smooth : ndarray of shape (..., n_flat)
        Gradient of the objective without the L1 penalty.
    """
    if model.ties is None:
        return _least(flat, smooth, l1_strengths(model))
    found = _steepest_tied(model, model.ties, flat, smooth)
    lower, upper = model.ties.bounds()
    is_kept = ((flat <= lower) & (found < 0.0)) | ((flat >= upper) & (found > 0.0))
    return np.where(is_kept, 0.0, found)


def _steepest_tied(
    model: Model, ties: EqualityConstraints, flat: np.ndarray, smooth: np.ndarray
) -> np.ndarray:
    owner, n_sharing = ties.owner, ties.n_sharing
    total = np.zeros_like(smooth)
    np.add.at(total.T, owner, smooth.T)
    strength = l1_strengths(model) * n_sharing
    shared = _least(flat, total[..., owner], strength) / n_sharing
    return np.where(n_sharing > 1, shared, _least(flat, smooth, strength))


def _least(flat: np.ndarray, smooth: np.ndarray, strength: np.ndarray) -> np.ndarray:
    at_zero = np.sign(smooth) * np.maximum(np.abs(smooth) - strength, 0.0)
    return np.where(flat == 0.0, at_zero, smooth - strength * np.sign(flat))


def l1_violation(model: Model, gradient: np.ndarray) -> float:
    """Return how far the conditions of an optimum are from being met, as a share of strengths.

    Parameters
    ----------
    model : Model
    gradient : ndarray of shape (n_flat,)
        See `steepest_gradient`.
    """
    strength = l1_strengths(model)
    has_l1 = strength > 0.0
    return float(np.max(np.abs(gradient[has_l1]) / strength[has_l1], initial=0.0))


def held_at_zero(model: Model, flat: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """Return which coefficients the L1 penalty holds at zero, shape (n_flat,), bool."""
    return (flat == 0.0) & (gradient == 0.0) & (l1_strengths(model) > 0.0)


def movable_basis(model: Model, is_held: np.ndarray) -> np.ndarray:
    """Return `Model.free_basis` without what is held, shape (n_flat, n_movable).

    Where a gate's slope for a feature is held at zero the others have a column each, in place of
    contrasts: the shift is told by the one that is held.
    """
    basis, single = model.free_basis, []
    if model.ties is not None and model.ties.n_restrictions:
        return basis @ null_directions(basis[is_held])  # columns that restrictions have mixed
    is_lost = np.zeros(basis.shape[1], dtype=bool)
    for slot, gates in enumerate(model.gates if model.penalty.gate_l1 > 0.0 else ()):
        q, start = model.slot_shapes[slot][1], model.slot_slices[slot].start
        for span in gates.spans:
            for j in range(1, q):
                rows = start + np.arange(span.start, span.stop) * q + j
                if is_held[rows].any():
                    is_lost |= np.any(basis[rows] != 0.0, axis=0)
                    single += [row for row in rows if not is_held[row]]
    is_lost |= np.any(basis[is_held] != 0.0, axis=0)
    if not single:
        return basis[:, ~is_lost]
    own = np.zeros((model.n_flat, len(single)))
    own[single, np.arange(len(single))] = 1.0
    return np.concatenate([basis[:, ~is_lost], own], axis=1)


def move_within_orthant(
    model: Model, flat: np.ndarray, gradient: np.ndarray, moved: np.ndarray
) -> np.ndarray:
    """Return where a move ends if no coefficient with an L1 penalty changes its sign.

    Parameters
    ----------
    model : Model
    flat, gradient : ndarray of shape (n_flat,)
        Where the move begins, and `steepest_gradient` there.
    moved : ndarray of shape (n_flat,)
        Where it would end.
    """
    side = np.where(flat == 0.0, np.sign(gradient), np.sign(flat))
    has_crossed = (l1_strengths(model) > 0.0) & (moved * side <= 0.0)
    return settle_gates(model, np.where(has_crossed, 0.0, moved))


def settle_gates(model: Model, flat: np.ndarray) -> np.ndarray:
    """Return the coefficients with gates at the shift where the penalty is least.

    Parameters
    ----------
    model : Model
    flat : ndarray of shape (..., n_flat)
    """
    if model.penalty.gate_l1 == 0.0:
        return flat
    out = flat.copy()
    for slot, gates in enumerate(model.gates):
        at, shape = model.slot_slices[slot], model.slot_shapes[slot]
        coef = out[..., at].reshape(*flat.shape[:-1], *shape)
        for span in gates.spans:
            own = coef[..., span, :]
            own[..., 0] -= own[..., 0].mean(axis=-1, keepdims=True)
            own[..., 1:] -= _best_shift(
                own[..., 1:], model.penalty.gate_l1, model.penalty.gate_alpha
            )
        out[..., at] = coef.reshape(*flat.shape[:-1], -1)
    return out


def _best_shift(slopes: np.ndarray, l1: float, ridge: float) -> np.ndarray:
    """Return the shift c of slopes (..., m, q) at which their penalty is least.

    It is ``l1 * sum|w - c| + ridge/2 * sum (w - c)**2``: with a ridge, least at the median of the
    slopes and of m + 1 numbers about their mean.
    """
    m = slopes.shape[-2]
    mean = slopes.mean(axis=-2, keepdims=True)
    if m <= 2:
        return mean
    if ridge == 0.0:
        ordered = np.sort(slopes, axis=-2)
        low, high = ordered[..., [(m - 1) // 2], :], ordered[..., [m // 2], :]
        return np.clip(0.0, low, high)
    reach = l1 / (ridge * m) * (m - 2.0 * np.arange(m + 1))
    both = np.concatenate([slopes, mean + reach[:, None]], axis=-2)
    return np.median(both, axis=-2, keepdims=True)


def count_nonzero(model: Model, flat: np.ndarray) -> int:
    """Return the free parameters that are not held at zero: the degrees of freedom of a lasso.

    Nor those at a bound that a constraint gave.
    """
    zero = (flat == 0.0) & (l1_strengths(model) > 0.0)
    if model.ties is not None:
        zero |= model.ties.at_bound(flat)
    zero &= model.flat_idle == 0.0
    n_zero = 0
    for slot, gates in enumerate(model.gates):
        at, shape = model.slot_slices[slot], model.slot_shapes[slot]
        own = zero[at].reshape(shape)
        # One zero of m slopes only tells the shift.
        n_zero += sum(int(np.maximum(own[span].sum(axis=0) - 1, 0).sum()) for span in gates.spans)
    experts = zero.copy()
    if model.gates:
        experts[: model.slot_slices[len(model.gates) - 1].stop] = False
    if model.ties is not None:
        experts &= model.ties.is_free
    return model.n_parameters - n_zero - int(experts.sum())


def node_laplacian(pair_blocks: np.ndarray, m: int) -> np.ndarray:
    """Return the information of a node in its m symmetric columns, (..., m * q, m * q).

    Parameters
    ----------
    pair_blocks : ndarray of shape (..., m * (m - 1) // 2, q, q)
        See `mixexp.gates.node_information`.
    m : int
    """
    *lead, _, q, _ = pair_blocks.shape
    out = np.zeros((*lead, m, q, m, q))
    for t, (a, b) in enumerate(zip(*np.triu_indices(m, 1), strict=True)):
        block = pair_blocks[..., t, :, :]
        out[..., a, :, a, :] += block
        out[..., b, :, b, :] += block
        out[..., a, :, b, :] -= block
        out[..., b, :, a, :] -= block
    return out.reshape(*lead, m * q, m * q)
