"""The penalty: priors on slopes and log dispersions, centred at the pooled fit.

``penalty = - alpha * sum(excess(b - b0)) - gate_alpha * sum(excess(g))
- 1/2 dispersion_prior * sum(excess(log(d)))`` with ``excess(u) = sqrt(1 + u**2) - 1``, b and g the
slopes of experts and gates for standardised features, b0 and d's anchor the pooled slopes
and dispersion, those of one expert fitted to all rows. For location-scale families y is in
units of the pooled standard deviation. Near the centre that is a ridge, ``u**2 / 2``: without
evidence of regimes, experts are what a single model is. Far from it, it grows as ``|u|``: regimes
that are plain to see are not pulled together. For a dispersion it is as curved at the anchor
as the log-likelihood of ``dispersion_prior`` rows, and as steep far below it: fewer rows than
that cannot pull it to zero. Such rows themselves, a conjugate prior, would charge an expert of
much less noise in proportion to the ratio, not to its logarithm.

A single expert has nothing to be pulled to but zero, and the plain ridge. The balance of gates
is a sum over rows, and so is added by the pass.
"""

from typing import NamedTuple

import numpy as np

from mixexp.model._model import Model, Parameters


class PenaltyTerms(NamedTuple):
    """The penalty at given parameters.

    Parameters
    ----------
    value : ndarray of shape (...)
        Added to the log-likelihood; at most zero.
    gradient : ndarray of shape (..., n_flat)
    curvature : ndarray of shape (..., n_flat)
        Minus the diagonal of the Hessian, which is diagonal.
    bound : ndarray of shape (..., n_flat)
        Curvature of the parabola that touches the penalty here and is nowhere above it: what
        EM steps take, so that they cannot fall.
    """

    value: np.ndarray
    gradient: np.ndarray
    curvature: np.ndarray
    bound: np.ndarray


def penalty_terms(model: Model, params: Parameters) -> PenaltyTerms:
    """Evaluate the penalty with its derivatives in the flat vector."""
    away = model.flatten(params) - model.flat_center
    strength = np.broadcast_to(model.flat_ridge, away.shape).copy()
    for slot in model.dispersion_slots:
        at = slice(
            model.slot_slices[slot].start, model.slot_slices[slot].stop, model.slot_shapes[slot][1]
        )
        strength[..., at] = 0.5 * _pseudo_rows(model, slot)
    if model.tree.n_leaves == 1:
        value = -0.5 * np.einsum("...i,...i->...", strength, away**2)
        return PenaltyTerms(value, -strength * away, strength, strength)
    root = np.hypot(1.0, away)
    # sqrt(1 + u**2) - 1 loses the digits of a small u.
    value = -np.einsum("...i,...i->...", strength, away * (away / (root + 1.0)))
    bound = strength / root
    return PenaltyTerms(value, -bound * away, bound / root / root, bound)


def _pseudo_rows(model: Model, slot: int) -> float:
    """Return the prior's rows per expert; a shared dispersion has the prior once in all."""
    n_sharing = model.slot_shapes[slot][0] if model.is_shared(slot) else 1
    return model.penalty.dispersion_prior / n_sharing
