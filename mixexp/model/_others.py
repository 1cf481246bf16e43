"""Submodels of one's own in a model: where they stand, and how several starts share a pass.

Parameters and sums of a submodel are objects. Those of several starts are an array of objects, so
that starts are taken and stacked as numbers are.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from mixexp.gates import SoftmaxGates
from mixexp.model._group import ExpertGroup, has_mass
from mixexp.submodel import Submodel, SubmodelRows
from mixexp.tree import GatingTree


def object_array(items: Iterable[Any], shape: tuple[int, ...]) -> np.ndarray:
    """Return an array of objects, which NumPy is not to look into."""
    listed = list(items)
    out = np.empty(len(listed), dtype=object)
    for at, item in enumerate(listed):
        out[at] = item
    return out.reshape(shape)


class Additive:
    """A sum over rows, as a submodel returned it.

    Parameters
    ----------
    value : ndarray, tuple of ndarray, or list
    """

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __add__(self, other: "Additive") -> "Additive":
        if isinstance(self.value, tuple):
            pairs = zip(self.value, other.value, strict=True)
            return Additive(tuple(a + b for a, b in pairs))
        return Additive(self.value + other.value)


@dataclass(frozen=True, eq=False)
class PlacedSubmodel:
    """A submodel at its place in the tree.

    Parameters
    ----------
    submodel : Submodel
    nodes : ndarray of int
        Children that a gate decides between, or the leaf of an expert.
    is_gate : bool
    design : int
        Features that it sees, as a position in ``Model.designs``.
    rivals : tuple of Expert
        Of an expert, see `ExpertGroup`: where these have a probability, its density is nothing.
    """

    submodel: Submodel
    nodes: np.ndarray
    is_gate: bool
    design: int
    rivals: tuple[Any, ...] = ()

    @cached_property
    def edges(self) -> np.ndarray:
        """Edges to the nodes."""
        return self.nodes - 1

    def log_terms(self, params: np.ndarray, rows: SubmodelRows) -> np.ndarray:
        """Return the log terms of several starts, shape (m, ..., rows).

        Raises
        ------
        ValueError
            If the submodel returned another shape, or NaN.
        """
        terms = self._by_start(lambda own: self.submodel.log_terms(own, rows), params)
        found = self._checked(terms, "log_terms", params.shape, len(rows.X))
        return np.where(self._is_taken(rows), -np.inf, found) if self.rivals else found

    def _is_taken(self, rows: SubmodelRows) -> np.ndarray:
        """Return where y has a probability under rivals, and a density here."""
        assert rows.y is not None
        return has_mass(self.rivals, rows.y, rows.trials) & ~self.submodel.measure.has_mass(rows.y)

    def mean(self, params: np.ndarray, rows: SubmodelRows) -> np.ndarray:
        """Return an expert's mean of several starts, (1, ..., rows) or (n_classes, ..., rows)."""
        means = self._by_start(lambda own: self.submodel.mean(own, rows), params)
        n_classes = self.submodel.n_classes
        return self._checked(means, "mean", params.shape, len(rows.X), n_classes or 1)

    def density_at(
        self, params: np.ndarray, rows: SubmodelRows
    ) -> tuple[Any, tuple[np.ndarray, ...]]:
        """Return an expert's family and heads, of one set of parameters.

        Raises
        ------
        ValueError
            If the submodel defines none.
        """
        if type(self.submodel).density_at is Submodel.density_at:
            raise ValueError(
                f"{self.submodel.title} has a log density and a mean, but no distribution function."
            )
        return self.submodel.density_at(params.item(), rows)

    def _by_start(self, function: Callable[[Any], Any], params: np.ndarray) -> list[np.ndarray]:
        return [np.atleast_2d(np.asarray(function(own), dtype=np.float64)) for own in params.flat]

    def _checked(
        self,
        values: list[np.ndarray],
        method: str,
        lead: tuple[int, ...],
        n_rows: int,
        n_each: int | None = None,
    ) -> np.ndarray:
        wanted = (n_each or len(self.nodes), n_rows)
        for found in values:
            if found.shape != wanted or np.isnan(found).any():
                what = f"shape {found.shape}" if found.shape != wanted else "NaN"
                raise ValueError(
                    f"{self.submodel.title}.{method} must return numbers of shape {wanted}; found "
                    f"{what}."
                )
        return np.stack(values, axis=1).reshape(wanted[0], *lead, n_rows)

    def statistics(self, params: np.ndarray, rows: SubmodelRows, weight: np.ndarray) -> np.ndarray:
        """Return the sums of several starts, an array of `Additive`.

        Parameters
        ----------
        params : ndarray of object of shape (...)
        rows : SubmodelRows
        weight : ndarray of shape (m, ..., rows)
        """
        if self.rivals:
            weight = np.where(self._is_taken(rows), 0.0, weight)
        by_start = weight.reshape(len(weight), params.size, weight.shape[-1])
        found = (
            Additive(
                self.submodel.statistics(
                    own, rows, by_start[:, at] if self.is_gate else by_start[0, at]
                )
            )
            for at, own in enumerate(params.flat)
        )
        return object_array(found, params.shape)

    def m_step(self, params: np.ndarray, stats: np.ndarray) -> np.ndarray:
        """Return new parameters of several starts."""
        pairs = zip(params.flat, stats.flat, strict=True)
        return object_array(
            (self.submodel.m_step(own, sums.value) for own, sums in pairs), params.shape
        )

    def log_prior(self, params: np.ndarray) -> np.ndarray:
        """Return the priors of several starts, shape (...)."""
        values = [float(self.submodel.log_prior(own)) for own in params.flat]
        return np.array(values).reshape(params.shape)


class WithOthers:
    """What the submodels of one's own in a model mean for the whole."""

    tree: GatingTree
    designs: tuple[np.ndarray, ...]
    groups: tuple[ExpertGroup, ...]
    gates: tuple[SoftmaxGates, ...]
    others: tuple[PlacedSubmodel, ...]
    held: tuple[int, ...]

    @property
    def slot_designs(self) -> tuple[int, ...]:
        """Design of every slot."""
        raise NotImplementedError

    @property
    def slot_of(self) -> dict[tuple[int, int], int]:
        """Slot of every pair of group and head."""
        raise NotImplementedError

    @cached_property
    def is_linear(self) -> bool:
        """Whether all parts have linear predictors, so that Newton's method applies."""
        return not self.others

    @property
    def has_linear_experts(self) -> bool:
        """Whether all experts have linear predictors, whatever gates are."""
        return all(other.is_gate for other in self.others)

    @property
    def has_softmax_gates(self) -> bool:
        """Whether all gates are."""
        return not any(other.is_gate for other in self.others)

    @property
    def softmax_edges(self) -> np.ndarray:
        """Edges below softmax gates in the order of their heads, shape (n,), int."""
        none = np.zeros(0, dtype=np.int64)
        return np.concatenate([none, *(gates.edges for gates in self.gates)])

    @cached_property
    def is_monotone(self) -> bool:
        """Whether no EM step lowers the objective."""
        return not self.falling_names

    @property
    def falling_names(self) -> list[str]:
        """Names of one's own submodels whose M-step may lower the objective."""
        moving = [other for other in self.others if not self.holds(other)]
        return sorted({own.submodel.title for own in moving if not self._is_monotone(own)})

    def _is_monotone(self, other: PlacedSubmodel) -> bool:
        # Below the root a gate's terms are made conditional, which its M-step does not maximise.
        is_joint_below = other.submodel.is_joint and not self.is_root_gate(other)
        return other.submodel.is_monotone and not is_joint_below

    def holds(self, other: PlacedSubmodel) -> bool:
        """Whether EM leaves a submodel as it is."""
        first = int(other.nodes[0])
        return (int(self.tree.parent[first]) if other.is_gate else first) in self.held

    def is_root_gate(self, other: PlacedSubmodel) -> bool:
        """Whether a submodel is the gate at the root."""
        return other.is_gate and bool(self.tree.parent[other.nodes[0]] == 0)

    @property
    def other_names(self) -> list[str]:
        """Names of one's own submodels."""
        return sorted({other.submodel.title for other in self.others})

    @property
    def unfinished(self) -> str:
        """Why Newton's method does not finish EM, behind a reason; empty if it may."""
        if self.is_linear:
            return ""
        return f" (no Newton finish beside {' and '.join(self.other_names)})"

    @property
    def class_shape(self) -> tuple[int, ...]:
        """Axis of classes of what one's own experts predict, () if y is a number."""
        counts = {o.submodel.n_classes for o in self.others if not o.is_gate} - {0}
        return tuple(counts)

    @cached_property
    def filling_gate(self) -> PlacedSubmodel | None:
        """The gate that says how missing features are distributed under each expert, if one does.

        That of a flat model, where y is of a known family once they are integrated out.
        """
        if len(self.others) != 1 or not self.others[0].submodel.fills_missing:
            return None
        is_flat = len(self.tree.inner_nodes) == 1
        takes_error = all(group.family.takes_error for group in self.groups if group.designs)
        return self.others[0] if is_flat and takes_error else None

    @cached_property
    def gap_columns(self) -> frozenset[int]:
        """Columns of X, from 0, that may be missing where rows are predicted.

        Those that gates look at that can do without, if no expert does, or these can, too.
        """
        needed = {own.design for own in self.others if not own.is_gate}
        for (g, h), slot in self.slot_of.items():
            if self.filling_gate is None or not self.groups[g].is_location(h):
                needed.add(self.slot_designs[slot])
        return self.gate_gap_columns - self.columns_of(needed)

    @cached_property
    def gate_gap_columns(self) -> frozenset[int]:
        """Columns of X, from 0, that may be missing where gates alone are asked."""
        able: set[int] = set()
        needed = {gates.design for gates in self.gates}
        for other in self.others:
            if other.is_gate:
                (able if other.submodel.accepts_missing else needed).add(other.design)
        return self.columns_of(able) - self.columns_of(needed)

    def columns_of(self, designs: Iterable[int]) -> frozenset[int]:
        """Return the columns of X, from 0, that are seen in some designs."""
        return frozenset(int(c) - 1 for design in designs for c in self.designs[design][1:])
