"""The penalty: priors on slopes and log dispersions, centred at the pooled fit.

``penalty = - alpha * m s * log(1 + S / (m s)) - gate_alpha * sum(excess(g))
- 1/2 dispersion_prior * sum(excess(log(d)))`` with ``excess(u) = sqrt(1 + u**2) - 1`` and
``S = sum(excess(b - b0))`` over the m slopes b of the experts; g are the slopes of gates for
standardised features, b0 and d's anchor the pooled slopes and dispersion, those of one expert
fitted to all rows (beside point masses and noise, if there are any). For location-scale families y
is in units of the pooled standard deviation, for others that have a unit in that of its mean size.

Near the centre each is a ridge, ``u**2 / 2``: without evidence of regimes, experts are what a
single model is. Far from it the excess grows as ``|u|``, and the pull of all experts fades
together, to ``alpha / (1 + S / (m s))``, as if its strength had been learned: where regimes are
plain to see in some slopes, the others are left alone too. (With a gamma prior of shape and rate
alpha m s on a factor of it, that integrates to just this.) For a dispersion the prior is as
curved at the anchor as the log-likelihood of ``dispersion_prior`` rows, and as steep far below
it: fewer rows than that cannot pull it to zero. Such rows themselves, a conjugate prior,
would charge an expert of much less noise in proportion to the ratio, not to its logarithm.

All this is for few slopes. With many, strengths grow (`Model.dispersion_rows`, `Model.pooling`),
and s falls and the excess of a gate's slope g turns linear at a width t, ``t**2 * excess(g / t)``,
so that they grow near the centre more than far from it (`Model.pooling_room`, `Model.flat_width`).

A single expert has nothing to be pulled to but zero, and a plain ridge. The balance of gates
is a sum over rows, and so is added by the pass.
"""

from typing import NamedTuple

import numpy as np

from mixexp.model._model import Model
from mixexp.model._parameters import Parameters

# Mean excess per slope at which the pull to the pooled fit has faded by half: slopes that are
# some seventh of the pooled standard deviation apart, per standard deviation of the feature.
_FADING = 0.01


class PenaltyTerms(NamedTuple):
    """The penalty at given parameters.

    Parameters
    ----------
    value : ndarray of shape (...)
        Added to the log-likelihood; at most zero.
    gradient : ndarray of shape (..., n_flat)
    curvature : ndarray of shape (..., n_flat)
        Minus the Hessian is the diagonal matrix of these less ``outer(sag, sag)``.
    sag : ndarray of shape (..., n_flat)
        How the pull on one slope fades with the others.
    bound : ndarray of shape (..., n_flat)
        Curvature of the parabola that touches the penalty here and is nowhere above it: what
        EM steps take, so that they cannot fall.
    """

    value: np.ndarray
    gradient: np.ndarray
    curvature: np.ndarray
    sag: np.ndarray
    bound: np.ndarray

    def information(self) -> np.ndarray:
        """Return minus the Hessian, (n_flat, n_flat), without a leading axis."""
        return np.diag(self.curvature) - np.outer(self.sag, self.sag)


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
        return PenaltyTerms(value, -strength * away, strength, np.zeros_like(away), strength)
    root = np.hypot(1.0, away / model.flat_width)
    excess = away * (away / (root + 1.0))  # sqrt(1 + u**2) - 1 loses the digits of a small u
    pull = model.expert_pull
    room = _FADING * pull.sum() * model.pooling_room
    total = model.pooling * room  # what the logarithm is multiplied by
    is_pulled = pull > 0.0
    value = -np.einsum("...i,...i->...", strength[..., ~is_pulled], excess[..., ~is_pulled])
    sag = np.zeros_like(away)
    if total > 0.0:
        apart = excess @ pull / room
        value -= total * np.log1p(apart)
        strength[..., is_pulled] /= 1.0 + apart[..., None]
    bound = strength / root
    gradient = -bound * away
    if total > 0.0:
        sag[..., is_pulled] = gradient[..., is_pulled] / np.sqrt(total)
    return PenaltyTerms(value, gradient, bound / root / root, sag, bound)


def _pseudo_rows(model: Model, slot: int) -> float:
    """Return the prior's rows per expert; a shared dispersion has the prior once in all."""
    n_sharing = model.slot_shapes[slot][0] if model.is_shared(slot) else 1
    return model.dispersion_rows(slot) / n_sharing
