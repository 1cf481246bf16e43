"""What an L1 penalty leaves free: a basis of what may move, and degrees of freedom."""

import numpy as np

from mixexp.contrast import null_directions
from mixexp.model._model import Model

# Inequalities that hold with equality are units long; below this they say nothing new.
_NO_RANK = 1e-9


def movable_basis(
    model: Model, is_held: np.ndarray, held_rows: np.ndarray | None = None
) -> np.ndarray:
    """Return `Model.free_basis` without what is held, shape (n_flat, n_movable).

    Parameters
    ----------
    model : Model
    is_held : ndarray of shape (n_flat,), bool
    held_rows : ndarray of shape (m, n_flat), optional
        Combinations of coefficients that are held too.
    """
    basis = _basis_without(model, is_held)
    if held_rows is None or not len(held_rows):
        return basis
    rows = held_rows @ basis
    rows = rows[np.linalg.norm(rows, axis=1) > _NO_RANK]  # others are held by what else is
    return basis @ null_directions(rows)


def pressing_rows(
    model: Model, flat: np.ndarray, gradient: np.ndarray, is_held: np.ndarray
) -> np.ndarray | None:
    """Return the inequalities that keep coefficients from moving uphill, None if there are none.

    Parameters
    ----------
    model : Model
    flat, gradient : ndarray of shape (n_flat,)
    is_held : ndarray of shape (n_flat,), bool
        Single coefficients that do not move.
    """
    if model.ties is None or model.ties.least_rows is None:
        return None
    return model.ties.rows_pressing(flat, gradient, _basis_without(model, is_held))


def _basis_without(model: Model, is_held: np.ndarray) -> np.ndarray:
    """Return the directions in which single coefficients that are held do not move.

    Where a gate's slope for a feature is held at zero the others have a column each, in place of
    contrasts: the shift is told by the one that is held.
    """
    basis, single = model.free_basis, []
    is_lost = np.zeros(basis.shape[1], dtype=bool)
    for slot, gates in enumerate(model.gates if model.penalty.gate_l1 > 0.0 else ()):
        q, start = model.slot_shapes[slot][1], model.slot_slices[slot].start
        for span in gates.spans:
            for j in range(1, q):
                rows = start + np.arange(span.start, span.stop) * q + j
                if is_held[rows].any():
                    is_lost |= np.any(basis[rows] != 0.0, axis=0)
                    single += [row for row in rows if not is_held[row]]
    basis = basis[:, ~is_lost]
    if model.ties is not None and model.ties.n_restrictions:  # columns that these have mixed
        basis = basis @ null_directions(basis[is_held])
    else:
        basis = basis[:, ~np.any(basis[is_held] != 0.0, axis=0)]
    if not single:
        return basis
    own = np.zeros((model.n_flat, len(single)))
    own[single, np.arange(len(single))] = 1.0
    return np.concatenate([basis, own], axis=1)


def count_nonzero(model: Model, flat: np.ndarray) -> int:
    """Return the free parameters that are not held at zero: the degrees of freedom of a lasso.

    Nor those at a bound that a constraint gave, nor as many as inequalities hold with equality.
    """
    zero = model.prior.is_zero(flat)
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
    return model.n_parameters - n_zero - _count_held(model, flat, experts)


def _count_held(model: Model, flat: np.ndarray, is_held: np.ndarray) -> int:
    """Return how many directions zeros and inequalities that hold take, which may say the same."""
    rows = np.zeros((0, model.n_flat)) if model.ties is None else model.ties.rows_at_boundary(flat)
    n_held, restricted = 0, model.prior.restricted
    if restricted is not None:
        is_apart = ~rows[:, restricted.asked].any(axis=1)
        n_held = restricted.count_held(rows[~is_apart], is_held)
        rows, is_held = rows[is_apart], is_held.copy()
        is_held[restricted.asked] = False
    if len(rows):
        n_held += int(np.linalg.matrix_rank(rows @ model.free_basis, tol=_NO_RANK))
    return n_held + int(is_held.sum())
