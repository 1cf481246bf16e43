"""The penalty: Gaussian priors on slopes, and pseudo-rows on dispersions.

``penalty = -1/2 alpha |expert slopes|**2 - 1/2 gate_alpha |gate slopes|**2
- 1/2 dispersion_prior * sum(log d + 1 / d - 1)``, with d the dispersion over its anchor
(that of one expert fitted to all rows). Slopes are those of standardised features; for
location-scale families y is in units of the pooled standard deviation too. The last term is what
``dispersion_prior`` rows with a squared residual at the anchor would add, and zero there.
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
    gradient = -curvature * flat
    value = 0.5 * np.einsum("...i,...i->...", gradient, flat)
    for slot in model.dispersion_slots:
        pseudo_rows = dispersion_pseudo_rows(model, slot)
        at = slice(
            model.slot_slices[slot].start, model.slot_slices[slot].stop, model.slot_shapes[slot][1]
        )
        above = flat[..., at] - model.groups[model.slot_heads[slot - 1][0]].log_anchor
        relative = np.exp(-above)
        value = value - 0.5 * pseudo_rows * (above + relative - 1.0).sum(axis=-1)
        gradient[..., at] = -0.5 * pseudo_rows * (1.0 - relative)
        curvature[..., at] = 0.5 * pseudo_rows * relative
    return PenaltyTerms(value, gradient, curvature)


def dispersion_pseudo_rows(model: Model, slot: int) -> float:
    """Return the prior's rows per expert; a shared dispersion has the prior once in all."""
    n_sharing = model.slot_shapes[slot][0] if model.is_shared(slot) else 1
    return model.penalty.dispersion_prior / n_sharing
