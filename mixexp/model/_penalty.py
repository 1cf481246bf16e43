"""The penalty: priors on slopes and log dispersions, centred at the pooled fit.

``penalty = - alpha * m s * log(1 + S / (m s)) - gate_alpha * sum(excess(g))
- 1/2 dispersion_prior * sum(excess(log(d)))`` with ``excess(u) = sqrt(1 + u**2) - 1`` and
``S = sum(excess(b - b0))`` over the m slopes b of the experts; g are the slopes of gates for
standardised features, b0 and d's anchor the pooled slopes and dispersion, those of one expert
fitted to all rows (beside point masses and noise, if there are any). For location-scale families y
is in units of the pooled standard deviation, for others that have a unit in that of its mean size.

Pseudo-Huber priors on gates' slopes and log dispersions: a ridge, ``u**2 / 2``, near the centre,
linear far from it. On experts' slopes the same under one global gamma-distributed scale, of shape
and rate ``alpha m s``, that is integrated out, which gives ``alpha r log(1 + S / r)`` with ``r = m
s``: a log penalty, global-local shrinkage without the local part. Shrinkage of all slopes fades
together, to ``alpha / (1 + S / r)``: where regimes are plain to see in some slopes, the others are
left alone too. The concave log is majorized by its tangent for the M-step (MM, Hunter & Lange
2004). For a dispersion the prior is as curved at its mean as the log-likelihood of
``dispersion_prior`` rows, and as steep far below it: fewer rows than that cannot pull it to zero.
Such rows themselves, a conjugate prior, would charge an expert of much less noise in proportion
to the ratio, not to its logarithm.

All this is for few slopes. With many, strengths grow (`Model.dispersion_rows`, `Model.pooling`),
and s falls and the excess of a gate's slope g turns linear at a width t, ``t**2 * excess(g / t)``,
so that they grow near the centre more than far from it (`Model.pooling_room`, `Model.flat_width`).

Slopes with an L1 penalty (`_lasso`) have plain ridges toward zero instead.

A single expert has nothing to be pulled to but zero, and a plain ridge. The balance of gates
is a sum over rows, and so is added by the pass.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from mixexp.model._lasso import l1_value
from mixexp.model._model import Model
from mixexp.model._parameters import Parameters, flatten_slots

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
        Minus the Hessian is the diagonal matrix of these less the outer product of
        ``hessian_downdate`` with itself.
    hessian_downdate : ndarray of shape (..., n_flat)
        Rank-one part of the Hessian: the shrinkage of each slope fades with all others.
    majorizer : ndarray of shape (..., n_flat)
        Curvature of the quadratic minorizer that touches the penalty here: what M-steps use, so
        that the objective cannot fall.
    """

    value: np.ndarray
    gradient: np.ndarray
    curvature: np.ndarray
    hessian_downdate: np.ndarray
    majorizer: np.ndarray

    def information(self) -> np.ndarray:
        """Return minus the Hessian, (n_flat, n_flat), without a leading axis."""
        return np.diag(self.curvature) - np.outer(self.hessian_downdate, self.hessian_downdate)


def penalty_terms(model: Model, params: Parameters) -> PenaltyTerms:
    """Evaluate the penalty with its derivatives in the flat vector, those of L1 left out."""
    smooth = _smooth_terms(model, params)
    if not model.penalty.has_l1:
        return smooth
    return smooth._replace(value=smooth.value - l1_value(model, model.flatten(params)))


def _smooth_terms(model: Model, params: Parameters) -> PenaltyTerms:
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
    if model.penalty.has_l1:
        root = np.where(_has_plain_ridge(model), 1.0, root)
    excess = away * (away / (root + 1.0))  # sqrt(1 + u**2) - 1 loses the digits of a small u
    pull = model.pooling_weight
    room = _FADING * pull.sum() * model.pooling_room
    total = model.pooling * room  # what the logarithm is multiplied by
    is_pulled = pull > 0.0
    value = -np.einsum("...i,...i->...", strength[..., ~is_pulled], excess[..., ~is_pulled])
    hessian_downdate = np.zeros_like(away)
    if total > 0.0:
        apart = excess @ pull / room
        value -= total * np.log1p(apart)
        strength[..., is_pulled] /= 1.0 + apart[..., None]
    majorizer = strength / root
    gradient = -majorizer * away
    if total > 0.0:
        hessian_downdate[..., is_pulled] = gradient[..., is_pulled] / np.sqrt(total)
    return PenaltyTerms(value, gradient, majorizer / root / root, hessian_downdate, majorizer)


@lru_cache(maxsize=8)
def _has_plain_ridge(model: Model) -> np.ndarray:
    """Return which slopes have the ridge of an elastic net, shape (n_flat,), bool."""
    plain = [np.zeros(shape, dtype=bool) for shape in model.slot_shapes]
    for slot, own in enumerate(plain):
        strength = model.penalty.l1 if slot in model.expert_slots else model.penalty.gate_l1
        own[:, 1:] = strength > 0.0
    return flatten_slots(plain)


def _pseudo_rows(model: Model, slot: int) -> float:
    """Return the prior's rows per expert; a shared dispersion has the prior once in all."""
    n_sharing = model.slot_shapes[slot][0] if model.is_shared(slot) else 1
    return model.dispersion_rows(slot) / n_sharing
