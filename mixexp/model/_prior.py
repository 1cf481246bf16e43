"""The prior on all coefficients: its value, derivatives, the bound of EM's steps, and its prox.

``prior = - alpha * m s * log(1 + S / (m s)) - gate_alpha * sum(excess(g))
- 1/2 dispersion_prior * sum(excess(log(d))) - l1 * sum(|b|) - gate_l1 * sum(|w|)`` with
``excess(u) = sqrt(1 + u**2) - 1`` and ``S = sum(excess(b - b0))`` over the m slopes b of the
experts; g are the slopes of gates for standardised features, b0 and d's anchor the pooled slopes
and dispersion, those of one expert fitted to all rows (beside point masses and noise, if there are
any). For location-scale families y is in units of the pooled standard deviation, for others that
have a unit in that of its mean size. Slopes of families on a half-line, such as gamma and Poisson,
are in units of what one row leaves open, one over the root of its information, see `slope_unit`.

Pseudo-Huber priors on gates' slopes and log dispersions: a ridge, ``u**2 / 2``, near the centre,
linear far from it. On experts' slopes the same under one global gamma-distributed scale, of shape
and rate ``alpha m s``, that is integrated out, which gives ``alpha r log(1 + S / r)`` with ``r = m
s``: a log penalty, global-local shrinkage without the local part. Shrinkage of all slopes fades
together, to ``alpha / (1 + S / r)``: where regimes are plain to see in some slopes, the others are
left alone too. The concave log is majorized by its tangent for the M-step (MM, Hunter & Lange
2004). For a dispersion the prior is as curved at its mean as the log-likelihood of
``dispersion_prior`` rows, and as steep far below it: fewer rows than that cannot pull it to zero.

All this is for few slopes and experts. More than four experts have an s for three, who then pay for
parting alone; less so on many rows. With many slopes, strengths grow, s falls, and the excess of a
gate's slope g turns linear at a width t, ``t**2 * excess(g / t)``, so that they grow near the
centre more than far from it. A gate with more than four children has the weaker a ridge.

Slopes with an L1 penalty have plain ridges toward zero instead, ``- alpha/2 sum(b**2)``: an elastic
net. A gate over m children has m slopes per feature, of which a common shift changes no
probability, but the penalty: they are kept at the shift where it is least, which is a median
without the ridge (Friedman, Hastie & Tibshirani 2010, section 4.1). Grouped by columns the penalty
is one on norms, see `_column_groups`.

A single expert has a plain ridge to zero. Balance is a sum over rows, and so is added by the pass.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mixexp import kernels
from mixexp.model._column_groups import ColumnGroups, PriorSlot, group_columns
from mixexp.model._parameters import flatten_slots
from mixexp.model._penalty_terms import PenaltyTerms
from mixexp.model._restricted_l1 import RestrictedL1
from mixexp.model._strengths import Penalty
from mixexp.model._ties import EqualityConstraints

# Halving alone would need some sixty steps to the top of a dispersion's terms.
_MOST_DISPERSION_STEPS = 60
_DISPERSION_DIGITS = 1e-15


@dataclass(frozen=True, eq=False)
class Prior:
    """The prior of a model, on its flat vector.

    Parameters
    ----------
    penalty : Penalty
    slots : tuple of PriorSlot
        In the order of the flat vector.
    ties : EqualityConstraints or None
        What slopes share counts once.
    is_single : bool
        Whether there is one expert alone.
    """

    penalty: Penalty
    slots: tuple[PriorSlot, ...]
    ties: EqualityConstraints | None
    is_single: bool

    @cached_property
    def has_l1(self) -> bool:
        """Whether some slopes have an L1 penalty."""
        return self.penalty.has_l1

    def _flat(self, values: Iterable[np.ndarray | float]) -> np.ndarray:
        """Return one vector of what is given for all columns, or for each, of every slot."""
        pairs = zip(values, self.slots, strict=True)
        return flatten_slots([np.broadcast_to(value, slot.shape) for value, slot in pairs])

    def _of_slopes(self, value: Callable[[PriorSlot], float | np.ndarray]) -> np.ndarray:
        """Return one vector of a value for the slopes of each slot; those that are one share it."""
        flat = self._flat(value(slot) * (np.arange(slot.shape[1]) > 0) for slot in self.slots)
        return flat if self.ties is None else flat / self.ties.n_sharing

    @cached_property
    def _most_slopes(self) -> int:
        """Number of slopes that the pull to the pooled fit is for; few for one expert's ridge."""
        counts = (slot.n_slopes for slot in self.slots if slot.kind != "gate")
        return 0 if self.is_single else max(counts, default=0)

    def dispersion_rows(self, slot: int) -> float:
        """Return the pseudo-rows on each dispersion of a slot."""
        return self.penalty.dispersion_rows(self.slots[slot].n_slopes)

    @cached_property
    def strength(self) -> np.ndarray:
        """Curvature at the center, shape (n_flat,); 0 at intercepts of gates and locations."""
        pooling = self.penalty.pooling(self._most_slopes)
        rows = [
            0.5 * self.dispersion_rows(at) / slot.n_sharing if slot.kind == "dispersion" else 0.0
            for at, slot in enumerate(self.slots)
        ]
        own = zip(rows, self.slots, strict=True)
        intercepts = self._flat(value * (np.arange(slot.shape[1]) == 0) for value, slot in own)
        ridge = self.penalty.gate_ridge
        return intercepts + self._of_slopes(
            lambda s: ridge(s.n_slopes, s.n_children) if s.kind == "gate" else pooling / s.unit**2
        )

    @cached_property
    def center(self) -> np.ndarray:
        """What every coefficient is pulled to, shape (n_flat,)."""
        is_lost = self.penalty.l1 > 0.0
        return self._flat(
            0.0 if is_lost and slot.kind == "location" else slot.center for slot in self.slots
        )

    @cached_property
    def pull(self) -> np.ndarray:
        """How much every coefficient counts among experts' slopes, shape (n_flat,).

        1 for a slope, a share for one that is the same for several experts, 0 for all else, as
        for slopes of columns that do not vary.
        """
        flat = self._flat(
            0.0 if slot.kind == "gate" or self.penalty.l1 > 0.0 else 1.0 * slot.varies
            for slot in self.slots
        )
        return flat if self.ties is None else flat / self.ties.n_sharing

    @cached_property
    def _width(self) -> np.ndarray:
        """How far from the center the ridge of every coefficient turns linear, (n_flat,)."""
        return self._flat(
            self.penalty.gate_width(slot.n_slopes) if slot.kind == "gate" else slot.unit
            for slot in self.slots
        )

    @cached_property
    def _is_plain(self) -> np.ndarray:
        """Which slopes have the ridge of an elastic net, shape (n_flat,), bool."""
        gate_l1, l1 = self.penalty.gate_l1, self.penalty.l1
        return self._of_slopes(lambda slot: gate_l1 if slot.kind == "gate" else l1) > 0.0

    @cached_property
    def l1(self) -> np.ndarray:
        """L1 strength of every coefficient, shape (n_flat,); those that are one share it."""
        own = {"gate": self.penalty.gate_l1, "location": self.penalty.l1}
        flat = self._of_slopes(lambda slot: own.get(slot.kind, 0.0))
        flat = flat if self.ties is None else np.where(np.isnan(self.ties.known), flat, 0.0)
        return flat if self.groups is None else self.groups.spread(self.groups.strength, flat)

    @cached_property
    def restricted(self) -> RestrictedL1 | None:
        """What linear restrictions of slopes with an L1 penalty are about, None without any."""
        ties = self.ties
        if (
            ties is None
            or self.penalty.l1 == 0.0
            or (ties.rows is None and ties.least_rows is None)
        ):
            return None
        found = RestrictedL1(ties, self.l1)
        return found if len(found.asked) else None

    @cached_property
    def groups(self) -> ColumnGroups | None:
        """What the L1 penalty makes zero together, of which `l1` is the strength on norms."""
        return group_columns(self.penalty, self.slots)

    def at(self, flat: np.ndarray) -> PenaltyTerms:
        """Return the prior and its derivatives, those of L1 left out.

        Parameters
        ----------
        flat : ndarray of shape (..., n_flat)
        """
        smooth = self._smooth_at(flat)
        if not self.has_l1:
            return smooth
        value = smooth.value - self.l1_value(flat)
        if self.groups is None:
            return smooth._replace(value=value)
        ring, downdate = self.groups.curvature(flat)
        label = np.broadcast_to(self.groups.label, flat.shape)
        curvature = smooth.curvature + ring
        return smooth._replace(
            value=value, curvature=curvature, group_downdate=downdate, group=label
        )

    def l1_value(self, flat: np.ndarray) -> np.ndarray:
        """Return the L1 penalty of coefficients (..., n_flat)."""
        if self.groups is None:
            return np.asarray(np.abs(flat) @ self.l1)
        alone = np.where(self.groups.member, 0.0, self.l1)
        return np.asarray(np.abs(flat) @ alone + self.groups.norms(flat) @ self.groups.strength)

    def _smooth_at(self, flat: np.ndarray) -> PenaltyTerms:
        away = flat - self.center
        strength = np.broadcast_to(self.strength, away.shape).copy()
        if self.is_single:
            value = -0.5 * np.einsum("...i,...i->...", strength, away**2)
            none = np.zeros_like(away)
            return PenaltyTerms(value, -strength * away, strength, none, strength, none, none)
        root = np.hypot(1.0, away / self._width)
        if self.has_l1:
            root = np.where(self._is_plain, 1.0, root)
        excess = away * (away / (root + 1.0))  # sqrt(1 + u**2) - 1 loses the digits of a small u
        is_pulled = self.pull > 0.0
        room = self.penalty.fades_at(self._most_slopes) * self.pull.sum()
        total = self.penalty.pooling(self._most_slopes) * room  # times the log
        value = -np.einsum("...i,...i->...", strength[..., ~is_pulled], excess[..., ~is_pulled])
        hessian_downdate = np.zeros_like(away)
        if total > 0.0:
            apart = excess @ (self.pull / self._width**2) / room
            value -= total * np.log1p(apart)
            strength[..., is_pulled] /= 1.0 + apart[..., None]
        majorizer = strength / root
        gradient = -majorizer * away
        if total > 0.0:
            hessian_downdate[..., is_pulled] = gradient[..., is_pulled] / np.sqrt(total)
        curvature, none = majorizer / root / root, np.zeros_like(away)
        return PenaltyTerms(value, gradient, curvature, hessian_downdate, majorizer, none, none)

    def least_gradient(self, flat: np.ndarray, smooth: np.ndarray) -> np.ndarray:
        """Return the subgradient of the objective that is least: zero at an optimum.

        Parameters
        ----------
        flat : ndarray of shape (..., n_flat)
        smooth : ndarray of shape (..., n_flat)
            Gradient of the objective without the L1 penalty.
        """
        if not self.has_l1:
            return smooth
        found = self._least_alone(flat, smooth)
        if self.restricted is not None:
            pairs = zip(
                flat.reshape(-1, len(self.l1)), smooth.reshape(-1, len(self.l1)), strict=True
            )
            own = np.array([self.restricted.least_gradient(*pair) for pair in pairs])
            found[..., self.restricted.asked] = own.reshape(*flat.shape[:-1], -1)
        return found if self.groups is None else self.groups.least_gradient(flat, smooth, found)

    def _least_alone(self, flat: np.ndarray, smooth: np.ndarray) -> np.ndarray:
        """Return the least subgradient where no coefficients are grouped."""
        ties = self.ties
        if ties is None:
            return _least(flat, smooth, self.l1)
        total, strength = np.zeros_like(smooth), self.l1 * ties.n_sharing
        np.add.at(total.T, ties.owner, smooth.T)
        shared = _least(flat, total[..., ties.owner], strength) / ties.n_sharing
        found = np.where(ties.n_sharing > 1, shared, _least(flat, smooth, strength))
        lower, upper = ties.bounds()
        is_kept = ((flat <= lower) & (found < 0.0)) | ((flat >= upper) & (found > 0.0))
        return np.where(is_kept, 0.0, found)

    def violation(
        self,
        gradient: np.ndarray,
        flat: np.ndarray | None = None,
        least: float = np.finfo(float).tiny,
        unfelt: float = 0.0,
    ) -> float:
        """Return how far slopes are from the conditions of an optimum, as a share of L1 strengths.

        Parameters
        ----------
        gradient : ndarray of shape (n_flat,)
            See `least_gradient`.
        flat : ndarray of shape (n_flat,), optional
            The coefficients, which tell what linear restrictions press with.
        least : float
            What strengths below it count as: of such nothing is known beside rounding.
        unfelt : float
            Strengths up to it ask for nothing.
        """
        shares = self.shares(gradient, least)
        if self.restricted is not None and flat is not None:
            shares[self.restricted.asked] = self.restricted.shares(flat, gradient, least)
        return float(np.max(shares[self.l1 > unfelt], initial=0.0))

    def shares(self, gradient: np.ndarray, least: float = np.finfo(float).tiny) -> np.ndarray:
        """Return slopes (..., n_flat) as shares of L1 strengths, of groups by their norms.

        Strengths below the least count as that.
        """
        size = np.abs(gradient)
        if self.groups is not None:
            size = self.groups.spread(self.groups.norms(gradient), size)
        strength = np.maximum(self.l1, least)
        with np.errstate(over="ignore"):
            return np.divide(size, strength, out=np.zeros(size.shape), where=self.l1 > 0.0)

    def least_strengths(self, smooth: np.ndarray) -> np.ndarray:
        """Return the strength that would hold each slope at zero, shape (n_flat,).

        Parameters
        ----------
        smooth : ndarray of shape (n_flat,)
            Gradient of the objective without the L1 penalty, where all slopes are zero.
        """
        size = np.where(self.l1 > 0.0, np.abs(smooth), 0.0)
        if self.groups is None:
            return size
        weight = self.groups.strength / self.groups.asked
        return self.groups.spread(self.groups.norms(smooth) / weight, size)

    def is_zero(self, flat: np.ndarray) -> np.ndarray:
        """Return which coefficients the L1 penalty has made zero, shape (n_flat,), bool."""
        zero = flat == 0.0
        if self.groups is not None:
            zero = np.where(self.groups.member, self.groups.is_zero(flat), zero)
        return zero & (self.l1 > 0.0)

    def move_within_orthant(
        self, flat: np.ndarray, gradient: np.ndarray, moved: np.ndarray
    ) -> np.ndarray:
        """Return where a move ends if no coefficient with an L1 penalty changes its sign.

        Parameters
        ----------
        flat, gradient : ndarray of shape (n_flat,)
            Where the move begins, and `least_gradient` there.
        moved : ndarray of shape (n_flat,)
            Where it would end.
        """
        if not self.has_l1:
            return moved
        side = np.where(flat == 0.0, np.sign(gradient), np.sign(flat))
        if self.restricted is not None:
            moved = self.restricted.move(flat, gradient, moved)
        has_crossed = (self.l1 > 0.0) & (moved * side <= 0.0)
        if self.restricted is not None:
            has_crossed[self.restricted.asked] = False
        if self.groups is not None:
            turned = self.groups.has_crossed(flat, gradient, moved)
            has_crossed = np.where(self.groups.member, turned, has_crossed)
        return self.settle_gates(np.where(has_crossed, 0.0, moved))

    def settle_gates(self, flat: np.ndarray) -> np.ndarray:
        """Return coefficients (..., n_flat) with gates at the shift where the prior is highest."""
        l1, ridge = self.penalty.gate_l1, self.penalty.gate_alpha
        if l1 == 0.0:
            return flat
        out, start = flat.copy(), 0
        for slot in self.slots:
            at = slice(start, start + slot.shape[0] * slot.shape[1])
            coef, start = out[..., at].reshape(*flat.shape[:-1], *slot.shape), at.stop
            for span in slot.spans:
                own = coef[..., span, :]
                own[..., 0] -= own[..., 0].mean(axis=-1, keepdims=True)
                if self.penalty.gate_l1_groups:
                    own[..., 1:] -= own[..., 1:].mean(axis=-2, keepdims=True)
                else:
                    own[..., 1:] -= _best_shift(own[..., 1:], l1, ridge)
            out[..., at] = coef.reshape(*flat.shape[:-1], -1)
        return out

    @staticmethod
    def prox(
        matrices: np.ndarray,
        slopes: np.ndarray,
        l1: np.ndarray,
        bounds: tuple[np.ndarray, np.ndarray],
        coef: np.ndarray,
    ) -> np.ndarray:
        """Return the coefficients at the top of quadratic models with an L1 penalty.

        Coordinate descent on those that are not zero (Lee, Sun & Saunders 2014). Bounds are met
        exactly, as zeros are.

        Parameters
        ----------
        matrices : ndarray of shape (..., p, p)
            Minus the Hessian of each.
        slopes, coef : ndarray of shape (..., p)
            Gradient without the L1 penalty, and where.
        l1 : ndarray of shape (..., p)
            Strengths, as `Prior.l1`, or such as can be broadcast.
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

    def prox_of_dispersion(
        self, move: np.ndarray, share: np.ndarray, anchor: np.ndarray
    ) -> np.ndarray:
        """Return the top over u of ``-share * (u + exp(move - u)) - sqrt(1 + (u - anchor)**2)``.

        With ``(u - anchor)**2 / 2`` for the root where there is one expert, whose prior is plain.
        The first term is concave with its top at ``move``, the second with its top at ``anchor``,
        so that the top lies between them: Newton's method, halving where it leaves the bracket.

        Parameters
        ----------
        move, anchor : ndarray of shape (...)
            Changes of a log dispersion: to that of its rows alone, and to that of the prior.
        share : ndarray of shape (...)
            Rows per pseudo-row.
        """
        low, high = np.minimum(move, anchor), np.maximum(move, anchor)
        u = np.where(share > 1.0, move, anchor)
        for _ in range(_MOST_DISPERSION_STEPS):
            fall = share * np.exp(move - u)
            away = u - anchor
            root = np.ones_like(away) if self.is_single else np.sqrt(1.0 + away**2)
            slope = fall - share - away / root
            low, high = np.where(slope > 0.0, u, low), np.where(slope > 0.0, high, u)
            following = u + slope / (fall + root**-3)
            is_outside = (following < low) | (following > high)
            following = np.where(is_outside, 0.5 * (low + high), following)
            moved, u = np.abs(following - u), following
            if np.all(moved <= _DISPERSION_DIGITS * (1.0 + np.abs(u))):
                break
        return u


def _least(flat: np.ndarray, smooth: np.ndarray, strength: np.ndarray) -> np.ndarray:
    at_zero = np.sign(smooth) * np.maximum(np.abs(smooth) - strength, 0.0)
    return np.where(flat == 0.0, at_zero, smooth - strength * np.sign(flat))


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
