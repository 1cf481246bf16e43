"""Slopes that an L1 penalty makes zero together: those of a column, of all experts or all gates.

``strength * sqrt(m) * norm(slopes)`` for the m slopes of a column (Yuan & Lin 2006), in place of
the sum of their absolute values. The norm is that of the coefficients in any orthonormal contrasts,
of siblings or of classes: gates are kept at the shift at which their slopes sum to zero, where the
norm is least.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from mixexp import kernels
from mixexp.model._parameters import flatten_slots
from mixexp.model._strengths import Penalty

# Eigenvalues below this share of the largest of a block are rounding.
_LEAST_BEND = 1e-14
_NO_COLUMNS = np.zeros(0, dtype=int)


class PriorSlot(NamedTuple):
    """What the prior has to know of the heads of a slot.

    Parameters
    ----------
    kind : str
        "gate", "location", "dispersion" or "shape".
    shape : tuple of int
        Number of heads and of coefficients of each.
    n_slopes : int
        Slopes of each gate, or of the locations of each expert.
    varies : ndarray of shape (q,), bool
        Columns that do, the intercept's left out.
    center : ndarray of shape (q,)
        Coefficients of the pooled fit, with the anchor of a dispersion as its intercept.
    n_sharing : int
        How many heads are one.
    spans : sequence of slice
        Of a slot of gates, the heads of siblings.
    columns : ndarray of shape (q,), int
        Columns of the standardised features that heads see.
    unit : float
        Of slopes, to the pull of the pooled fit.
    """

    kind: str
    shape: tuple[int, int]
    n_slopes: int
    varies: np.ndarray
    center: np.ndarray
    n_sharing: int = 1
    spans: Sequence[slice] = ()
    columns: np.ndarray = _NO_COLUMNS
    unit: float = 1.0

    @property
    def n_children(self) -> np.ndarray:
        """How many children the gate of each head has, shape (n_heads, 1)."""
        counts = [span.stop - span.start for span in self.spans]
        return np.repeat(counts, counts)[:, None]


class Blocks(NamedTuple):
    """Quadratic models of blocks of coefficients, over which groups reach.

    Parameters
    ----------
    matrices : ndarray of shape (n_starts, n_blocks, p, p)
        Minus the Hessian of each.
    slopes, coef : ndarray of shape (n_starts, n_blocks, p)
        Gradient without the L1 penalty, and where.
    label : ndarray of shape (n_blocks, p), int
        Group of each coefficient, -1 without, -2 where there is none.
    lower, upper : ndarray of shape (n_blocks, p)
        Bounds of coefficients without a group.
    """

    matrices: np.ndarray
    slopes: np.ndarray
    coef: np.ndarray
    label: np.ndarray
    lower: np.ndarray
    upper: np.ndarray


def join_blocks(parts: Sequence[Blocks]) -> Blocks:
    """Return some blocks as one, filled up to the widest of them."""
    widest = max(part.coef.shape[-1] for part in parts)

    def fill(array: np.ndarray, n_axes: int, value: float) -> np.ndarray:
        room = widest - array.shape[-1]
        widths = [(0, 0)] * (array.ndim - n_axes) + [(0, room)] * n_axes
        return np.pad(array, widths, constant_values=value)

    return Blocks(
        np.concatenate([fill(part.matrices, 2, 0.0) for part in parts], axis=1),
        np.concatenate([fill(part.slopes, 1, 0.0) for part in parts], axis=1),
        np.concatenate([fill(part.coef, 1, 0.0) for part in parts], axis=1),
        np.concatenate([fill(part.label, 1, -2) for part in parts]),
        np.concatenate([fill(part.lower, 1, 0.0) for part in parts]),
        np.concatenate([fill(part.upper, 1, 0.0) for part in parts]),
    )


@dataclass(frozen=True, eq=False)
class ColumnGroups:
    """Groups of coefficients, and the penalty on their norms.

    Parameters
    ----------
    label : ndarray of shape (n_flat,), int
        Group of each coefficient, -1 without.
    strength : ndarray of shape (n_groups,)
        On the norm of each.
    asked : ndarray of shape (n_groups,)
        The strength that the user gave, of experts or of gates.
    """

    label: np.ndarray
    strength: np.ndarray
    asked: np.ndarray

    @cached_property
    def member(self) -> np.ndarray:
        """Coefficients that are in a group, shape (n_flat,), bool."""
        return self.label >= 0

    @cached_property
    def _number(self) -> np.ndarray:
        return self.label[self.member]

    def norms(self, flat: np.ndarray) -> np.ndarray:
        """Return the norms of all groups, (..., n_groups), of vectors (..., n_flat)."""
        return np.sqrt(self._sums(flat[..., self.member] ** 2))

    def _sums(self, members: np.ndarray) -> np.ndarray:
        out = np.zeros((*members.shape[:-1], len(self.strength)))
        np.add.at(out.T, self._number, members.T)
        return out

    def spread(self, values: np.ndarray, others: np.ndarray) -> np.ndarray:
        """Return a value (..., n_groups) at every member, and others (..., n_flat) elsewhere."""
        out = np.array(others, dtype=float)
        out[..., self.member] = values[..., self._number]
        return out

    def is_zero(self, flat: np.ndarray) -> np.ndarray:
        """Return which coefficients are of groups that are zero, (..., n_flat), bool."""
        none = np.zeros(flat.shape)
        return self.spread(self.norms(flat) == 0.0, none).astype(bool)

    def least_gradient(self, flat: np.ndarray, smooth: np.ndarray, found: np.ndarray) -> np.ndarray:
        """Return the least subgradient of members, and what was found for the others.

        Parameters
        ----------
        flat, smooth, found : ndarray of shape (..., n_flat)
            Smooth is the gradient without the L1 penalty.
        """
        norms, slopes = self.norms(flat), self.norms(smooth)
        is_zero = norms == 0.0
        steep = np.where(is_zero & (slopes > self.strength), slopes, np.inf)
        left = np.where(slopes > self.strength, 1.0 - self.strength / steep, 0.0)
        pull = self.strength / np.where(is_zero, np.inf, norms)
        none = np.zeros(found.shape)
        kept = self.spread(np.where(is_zero, left, 1.0), none)
        least = kept * smooth - self.spread(pull, none) * flat
        return np.where(self.member, least, found)

    def curvature(self, flat: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return minus the Hessian of the penalty: a diagonal, less a rank-one part per group.

        Of groups that are not zero, each (..., n_flat).
        """
        norms, none = self.norms(flat), np.zeros(flat.shape)
        far = np.where(norms == 0.0, np.inf, norms)
        ring = self.spread(self.strength / far, none)
        return ring, self.spread(np.sqrt(self.strength / far) / far, none) * flat

    def has_crossed(self, flat: np.ndarray, gradient: np.ndarray, moved: np.ndarray) -> np.ndarray:
        """Return which members a move takes through zero, shape (n_flat,), bool.

        All of a group where it has turned by more than a right angle; from zero it may set out
        along its gradient.
        """
        side = np.where(self.is_zero(flat), gradient, flat)
        along = self._sums((side * moved)[..., self.member])
        return self.spread(along <= 0.0, np.zeros(flat.shape)).astype(bool)

    def prox(self, blocks: Blocks) -> np.ndarray:
        """Return the coefficients (n_starts, n_blocks, p) at the top of quadratic models."""
        label = blocks.label
        order = np.argsort(label, axis=None, kind="stable")
        order = order[label.ravel()[order] > -2]
        places = np.stack(np.unravel_index(order, label.shape), axis=1).astype(np.int64)
        own = label.ravel()[order]
        is_first = np.concatenate([[True], (own[1:] != own[:-1]) | (own[1:] == -1)])
        starts = np.append(np.flatnonzero(is_first), len(own)).astype(np.int64)
        number = own[is_first]
        strengths = np.where(number >= 0, np.append(self.strength, 0.0)[number], 0.0)
        bends, axes = _eigen(blocks.matrices, places, starts)
        out = np.array(blocks.coef, order="C")
        kernels.group_lasso_each(
            np.ascontiguousarray(blocks.matrices),
            np.array(blocks.slopes, order="C"),
            *(places, starts, strengths, bends, axes),
            np.array(blocks.lower, order="C"),
            np.array(blocks.upper, order="C"),
            np.empty((2, bends.shape[-1])),
            out,
        )
        return out


def group_columns(penalty: Penalty, slots: Sequence[PriorSlot]) -> ColumnGroups | None:
    """Return the groups of a model's coefficients, None if a penalty is on each alone."""
    kinds = {"location": (penalty.l1_groups, penalty.l1)}
    kinds["gate"] = penalty.gate_l1_groups, penalty.gate_l1
    known: dict[tuple[str, int], int] = {}
    labels, counts, asked = [], list[float](), list[float]()
    for slot in slots:
        is_grouped, strength = kinds.get(slot.kind, ("", 0.0))
        label = np.full(slot.shape, -1)
        n_heads = slot.shape[0]
        if slot.kind == "gate":  # an only child has no say
            n_heads = sum(
                span.stop - span.start for span in slot.spans if span.stop - span.start > 1
            )
        if is_grouped and strength > 0.0:
            for at, column in enumerate(slot.columns[1:].tolist(), start=1):
                number = known.setdefault((slot.kind, column), len(known))
                if number == len(counts):
                    counts.append(0.0)
                    asked.append(strength)
                label[:, at] = number
                counts[number] += n_heads
        labels.append(label)
    if not known:
        return None
    weight = np.sqrt(np.maximum(counts, 1.0))
    strengths = np.array(asked)
    return ColumnGroups(flatten_slots(labels).astype(int), strengths * weight, strengths)


def _eigen(
    matrices: np.ndarray, places: np.ndarray, starts: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return eigenvalues and eigenvectors of the part of matrices that is of each group.

    Block by block, for experts may differ in curvature by more than there are digits.
    """
    n_members = np.diff(starts)
    most, n = int(n_members.max()), len(matrices)
    bends, axes = np.zeros((n, len(n_members), most)), np.zeros((n, len(n_members), most, most))
    for size in np.unique(n_members):
        groups = np.flatnonzero(n_members == size)
        own = places[starts[groups][:, None] + np.arange(size)]
        for runs, which in _alike(own[..., 0]):
            at = groups[which]
            for run in runs:
                block, place = own[which][:, run, 0], own[which][:, run, 1]
                parts = matrices[:, block[:, :, None], place[:, :, None], place[:, None, :]]
                values, vectors = np.linalg.eigh(parts)
                bends[:, at, run] = np.maximum(values, _LEAST_BEND * values[..., -1:])
                axes[:, at, run, run] = vectors
    return bends, axes


def _alike(block: np.ndarray) -> list[tuple[list[slice], np.ndarray]]:
    """Return runs of members of one block, and which groups have them; block (n, n_members)."""
    is_new = block[:, 1:] != block[:, :-1]
    out = []
    for pattern in np.unique(is_new, axis=0):
        ends = [0, *(1 + np.flatnonzero(pattern)).tolist(), block.shape[1]]
        runs = [slice(a, b) for a, b in pairwise(ends)]
        out.append((runs, np.flatnonzero((is_new == pattern).all(axis=1))))
    return out
