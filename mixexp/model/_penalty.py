"""The penalty: Gaussian priors on slopes and on log dispersions, centred at the pooled fit.

``penalty = -1/2 alpha |expert slopes - pooled slopes|**2 - 1/2 gate_alpha |gate slopes|**2
- 1/2 dispersion_prior * sum(sqrt(1 + log(d)**2) - 1)``, with d the dispersion over its anchor.
Pooled slopes and anchor are those of one expert fitted to all rows: without evidence of
regimes, experts are what a single model is. Slopes are those of standardised features; for
location-scale families y is in units of the pooled standard deviation too. The last term is
as curved at the anchor as the log-likelihood of ``dispersion_prior`` rows, and as steep far
below it: fewer rows than that cannot pull a dispersion to zero. Such rows themselves, a
conjugate prior, would charge an expert of much less noise in proportion to the ratio, not to
its logarithm. The balance of the gates is a sum over rows, and so is added by the pass.
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
    """

    value: np.ndarray
    gradient: np.ndarray
    curvature: np.ndarray


def penalty_terms(model: Model, params: Parameters) -> PenaltyTerms:
    """Evaluate the penalty with its derivatives in the flat vector."""
    flat = model.flatten(params)
    curvature = np.broadcast_to(model.flat_ridge, flat.shape).copy()
    away = flat - model.flat_center
    gradient = -curvature * away
    value = 0.5 * np.einsum("...i,...i->...", gradient, away)
    for slot in model.dispersion_slots:
        pseudo_rows = _pseudo_rows(model, slot)
        at = slice(
            model.slot_slices[slot].start, model.slot_slices[slot].stop, model.slot_shapes[slot][1]
        )
        above = flat[..., at] - model.groups[model.slot_heads[slot - 1][0]].log_anchor
        root = np.sqrt(1.0 + above**2)
        value = value - 0.5 * pseudo_rows * (root - 1.0).sum(axis=-1)
        gradient[..., at] = -0.5 * pseudo_rows * above / root
        curvature[..., at] = 0.5 * pseudo_rows * root**-3
    return PenaltyTerms(value, gradient, curvature)


def _pseudo_rows(model: Model, slot: int) -> float:
    """Return the prior's rows per expert; a shared dispersion has the prior once in all."""
    n_sharing = model.slot_shapes[slot][0] if model.is_shared(slot) else 1
    return model.penalty.dispersion_prior / n_sharing
