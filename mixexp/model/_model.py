"""What a model is made of, and how its coefficients line up in one vector.

``p(y | x) = sum over leaves k of [product of gate probabilities on the path to k](x) * f_k(y | x)``

Coefficients belong to *heads*, linear predictors: one gate logit per edge of the tree, and
one or more per expert. Heads that are evaluated together form a *slot*: first those of the gates
that see the same features, then one head of all experts of one family each. The flat vector lists
the slots one after another, each in C order.
"""

from dataclasses import dataclass, fields, replace
from functools import cached_property

import numpy as np

from mixexp.contrast import contrast
from mixexp.data import Block, Design, as_array, sees_all
from mixexp.gates import SoftmaxGates
from mixexp.model._column_groups import PriorSlot
from mixexp.model._group import ExpertGroup
from mixexp.model._others import PlacedSubmodel, WithOthers
from mixexp.model._parameters import Parameters, flatten_slots
from mixexp.model._prior import Penalty, Prior
from mixexp.model._slots import SlotFacts, facts_of
from mixexp.model._ties import EqualityConstraints
from mixexp.submodel import SubmodelRows
from mixexp.tree import GatingTree, as_slice


@dataclass(frozen=True, eq=False)
class Model(WithOthers):
    """Tree, expert groups, designs and penalties.

    Parameters
    ----------
    tree : GatingTree
    groups : tuple of ExpertGroup
    designs : tuple of ndarray of int
        Distinct sets of columns of the standardised features, 0 (the intercept) first.
    gates : tuple of SoftmaxGates
        Those that see the same features in one group.
    others : tuple of PlacedSubmodel, optional
        Gates and experts of one's own, at all other nodes.
    held : tuple of int
        Nodes whose gate or expert EM leaves as it is.
    penalty : Penalty
    ties : EqualityConstraints, optional
        Slopes that are shared or known; None if there are none.
    constant_columns : tuple of int
        Columns of the features that do not vary; their slopes are zero.
    """

    tree: GatingTree
    groups: tuple[ExpertGroup, ...]
    designs: tuple[np.ndarray, ...]
    gates: tuple[SoftmaxGates, ...]
    penalty: Penalty
    ties: EqualityConstraints | None = None
    constant_columns: tuple[int, ...] = ()
    others: tuple[PlacedSubmodel, ...] = ()
    has_known_leaves: bool = False
    held: tuple[int, ...] = ()

    def __getstate__(self) -> dict[str, object]:
        # Without what is cached: formats that hold no code have no keys but text.
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def of_intervals(self, are_there: bool = True) -> "Model":
        """Return the model of y that may be known to lie in an interval only, or of exact y."""
        change = ExpertGroup.with_intervals if are_there else ExpertGroup.without_intervals
        return replace(self, groups=tuple(change(group) for group in self.groups))

    def view(self, other: PlacedSubmodel, block: Block) -> SubmodelRows:
        """Return the rows of a block as a submodel of one's own sees them."""
        if other.submodel.sees_raw and block.read_raw is not None:
            X = as_array(block.read_raw())[:, self.designs[other.design][1:] - 1]
        else:
            X = self.design(block, other.design).to_array()[1:].T
        return SubmodelRows(X, block.y, block.known.offset, block.known.trials)

    @property
    def in_full(self) -> "Model":
        """The model with all columns, which is itself unless it has only some of another's."""
        return self

    @cached_property
    def group_rows(self) -> tuple[slice | np.ndarray, ...]:
        """Where each group's leaves stand among all, as a slice if they are consecutive."""
        return tuple(as_slice(group.leaves) for group in self.groups)

    @cached_property
    def slot_heads(self) -> tuple[tuple[int, int], ...]:
        """Group and head of every slot after those of gates."""
        return tuple(
            (g, h) for g, group in enumerate(self.groups) for h in range(len(group.designs))
        )

    @cached_property
    def slot_of(self) -> dict[tuple[int, int], int]:
        """Slot of every pair of group and head."""
        return {pair: slot for slot, pair in enumerate(self.slot_heads, start=len(self.gates))}

    @cached_property
    def expert_slots(self) -> range:
        """Slots of experts."""
        return range(len(self.gates), len(self.gates) + len(self.slot_heads))

    @cached_property
    def slot_facts(self) -> tuple[SlotFacts, ...]:
        """What the heads of every slot are."""
        return (SlotFacts("gate"),) * len(self.gates) + tuple(facts_of(self.groups))

    def head_of(self, slot: int) -> tuple[int, int]:
        """Return the group and head of a slot of experts."""
        return self.slot_heads[slot - len(self.gates)]

    def gate_of(self, node: int) -> int:
        """Return a number for the gate at a node, the same for those that see the same features.

        A gate of one's own has a number below zero.
        """
        for other in self.others:
            if other.is_gate and self.tree.parent[other.nodes[0]] == node:
                return -1 - node
        return self.edge_rows[self.tree.edges(node).start][0]

    @cached_property
    def edge_rows(self) -> list[tuple[int, int]]:
        """Slot, and row in it, of the coefficients of every edge."""
        out = [(0, 0)] * self.tree.n_edges
        for slot, gates in enumerate(self.gates):
            for row, edge in enumerate(gates.edges.tolist()):
                out[edge] = slot, row
        return out

    def edge_index(self, edge: int) -> slice:
        """Return where the coefficients of an edge's logit lie in the flat vector."""
        return self.flat_index(*self.edge_rows[edge])

    @cached_property
    def slot_designs(self) -> tuple[int, ...]:
        """Design of every slot."""
        gates = (gates.design for gates in self.gates)
        return (*gates, *(self.groups[g].designs[h] for g, h in self.slot_heads))

    @cached_property
    def slot_shapes(self) -> tuple[tuple[int, int], ...]:
        """Number of heads and of coefficients per head, of every slot."""
        gates = (len(gates.edges) for gates in self.gates)
        sizes = (*gates, *(len(self.groups[g].leaves) for g, _ in self.slot_heads))
        return tuple(
            (size, len(self.designs[design]))
            for size, design in zip(sizes, self.slot_designs, strict=True)
        )

    @cached_property
    def slot_slices(self) -> tuple[slice, ...]:
        """Where every slot lies in the flat vector."""
        ends = np.cumsum([rows * columns for rows, columns in self.slot_shapes])
        return tuple(slice(int(a), int(b)) for a, b in zip([0, *ends], ends, strict=False))

    def n_slopes(self, g: int) -> int:
        """Return the number of slopes in the locations of each expert, of columns that vary."""
        sizes = [
            int(self._varying[design].sum())
            for h, design in enumerate(self.groups[g].designs)
            if self.slot_facts[self.slot_of[g, h]].kind == "location"
        ]
        return max(sizes, default=0)

    @cached_property
    def _varying(self) -> list[np.ndarray]:
        """Which columns of each design vary, the intercept's left out, as boolean arrays."""
        return [~np.isin(columns, (0, *self.constant_columns)) for columns in self.designs]

    @property
    def _n_parted(self) -> float:
        """Number of experts that have slopes; where they share some, between one and all."""
        pull = self.prior.pull
        n_own = sum(
            len(group.leaves)
            for group in self.groups
            if any(self._varying[design].any() for design in group.designs)
        )
        return n_own * float(pull.sum()) / max(int(np.count_nonzero(pull)), 1)

    @property
    def _most_slopes(self) -> int:
        return max(map(self.n_slopes, range(len(self.groups))), default=0)

    def penalty_for(self, n_rows: float) -> Penalty:
        """Return the strengths of the prior for so many rows."""
        return self.penalty.for_rows(n_rows, self.n_dispersions, self._most_slopes, self._n_parted)

    @property
    def weak_penalty(self) -> Penalty:
        """Strengths that hardly hold experts together."""
        return self.penalty.weakened(self._most_slopes)

    @property
    def n_outputs(self) -> int:
        """Number of targets."""
        return next((len(group.outputs) for group in self.groups if group.outputs), 1)

    @cached_property
    def n_flat(self) -> int:
        """Length of the flat vector; more than `n_parameters`, for siblings sum to zero."""
        return sum(rows * columns for rows, columns in self.slot_shapes)

    @cached_property
    def n_parameters(self) -> int:
        """Number of free parameters; slopes of columns that do not vary are none."""
        is_bound = np.zeros(self.n_flat, dtype=bool) if self.ties is None else ~self.ties.is_free
        n_bound = int(np.sum(is_bound & (self.flat_idle == 0.0)))
        n_bound += 0 if self.ties is None else self.ties.n_restrictions
        return self._count(self.constant_columns) - n_bound

    def _count(self, left_out: tuple[int, ...]) -> int:
        """Return how many coefficients of other columns there are before ties."""
        width = [int(np.sum(~np.isin(columns, left_out))) for columns in self.designs]
        n_gates = sum((len(own.edges) - len(own.nodes)) * width[own.design] for own in self.gates)
        n_experts = sum(
            width[design] * (1 if own.is_shared else rows)
            for own, (rows, _), design in zip(
                self.slot_facts, self.slot_shapes, self.slot_designs, strict=True
            )
            if own.kind != "gate" and own.known_log_dispersion is None
        )
        return n_gates + n_experts

    def kind_of(self, leaf: int) -> tuple[int, ...]:
        """Return the leaf's group and the constraints that name it; like leaves may be swapped.

        An expert of one's own is like no other.
        """
        g = next((g for g, group in enumerate(self.groups) if leaf in group.leaves), -1 - leaf)
        named = () if self.ties is None else self.ties.named
        return (g, *(number for number, leaves in enumerate(named) if leaf in leaves))

    def project(self, params: "Parameters") -> "Parameters":
        """Return the parameters with slopes that are shared or known as they are to be."""
        if self.ties is None:
            return params
        settled = self.unflatten(self.ties.project_flat(self.flatten(params)))
        return settled._replace(others=params.others)

    @property
    def n_dispersions(self) -> int:
        """Number of experts with a dispersion of their own, and of dispersions that are shared."""
        counts = [0] * len(self.groups)
        for (g, _), slot in self.slot_of.items():
            own = self.slot_facts[slot]
            if own.kind == "dispersion":
                n_own = 1 if own.is_shared else len(self.groups[g].leaves)
                counts[g] = max(counts[g], n_own)
        return sum(counts)

    def no_gates(self) -> tuple[np.ndarray, ...]:
        """Return gates that are uniform: coefficients of zero."""
        shapes = zip(self.gates, self.slot_shapes, strict=False)
        return tuple(np.zeros(shape) for _, shape in shapes)

    def slots(self, params: Parameters) -> list[np.ndarray]:
        """Return the coefficients slot by slot."""
        return [*params.gates, *(params.experts[g][h] for g, h in self.slot_heads)]

    def from_slots(self, slots: list[np.ndarray]) -> Parameters:
        """Return the parameters with these coefficients, slot by slot."""
        n_gates = len(self.gates)
        rest = iter(slots[n_gates:])
        return Parameters(
            tuple(slots[:n_gates]),
            tuple(tuple(next(rest) for _ in group.designs) for group in self.groups),
        )

    def flatten(self, params: Parameters) -> np.ndarray:
        """Return all coefficients in one vector, shape (..., n_flat)."""
        parts = [
            slot.reshape(*slot.shape[:-2], -1)
            for slot in (*params.gates, *(params.experts[g][h] for g, h in self.slot_heads))
        ]
        return np.concatenate(parts, axis=-1) if parts else np.zeros((*params.lead, 0))

    def unflatten(self, flat: np.ndarray) -> Parameters:
        """Return the parameters of a flat vector."""
        return self.from_slots(
            [
                flat[..., at].reshape(*flat.shape[:-1], *shape)
                for at, shape in zip(self.slot_slices, self.slot_shapes, strict=True)
            ]
        )

    def flat_index(self, slot: int, row: int) -> slice:
        """Return where the coefficients of one head lie in the flat vector."""
        columns = self.slot_shapes[slot][1]
        start = self.slot_slices[slot].start + row * columns
        return slice(start, start + columns)

    @cached_property
    def prior(self) -> Prior:
        """The prior on all coefficients."""
        slots = tuple(map(self._prior_slot, range(len(self.slot_shapes))))
        return Prior(self.penalty, slots, self.ties, self.tree.n_leaves == 1)

    def _prior_slot(self, slot: int) -> PriorSlot:
        n_heads, q = shape = self.slot_shapes[slot]
        columns = self.designs[self.slot_designs[slot]]
        varies, center = self._varying[self.slot_designs[slot]], np.zeros(q)
        own = self.slot_facts[slot]
        if own.kind == "gate":
            spans = self.gates[slot].spans
            return PriorSlot("gate", shape, int(varies.sum()), varies, center, 1, spans, columns)
        g, h = self.slot_heads[slot - len(self.gates)]
        group = self.groups[g]
        if group.center:
            center[:] = group.center[h]
        if own.kind == "dispersion":
            center[0] = group.anchor_of(h)
        n_sharing = n_heads if own.is_shared else 1
        is_compared = own.kind == "location" and self.penalty.l1 == 0.0
        unit = group.slope_unit if is_compared else 1.0
        of_expert = shape, self.n_slopes(g), varies, center, n_sharing
        return PriorSlot(own.kind, *of_expert, (), columns, unit)

    @cached_property
    def common_design(self) -> int | None:
        """Return the design of all heads that see features, None if they differ.

        Its first column is the intercept, which serves heads that see nothing else.
        """
        seen = {design for design in self.slot_designs if not self.is_narrow[design]}
        if len(seen) > 1:
            return None
        return seen.pop() if seen else min(self.slot_designs, default=0)

    @cached_property
    def flat_idle(self) -> np.ndarray:
        """Return 1 for slopes of columns that do not vary, 0 for all else, shape (n_flat,).

        Their rows of every information matrix are zero. As a ridge it keeps them at zero, so that
        a singular matrix tells of other columns.
        """
        idle = [
            np.tile(np.isin(self.designs[design], self.constant_columns), (shape[0], 1))
            for shape, design in zip(self.slot_shapes, self.slot_designs, strict=True)
        ]
        return flatten_slots(idle).astype(float)

    @cached_property
    def flat_bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Least and largest value of every coefficient in the flat vector, equal if known."""
        lower, upper = np.full(self.n_flat, -np.inf), np.full(self.n_flat, np.inf)
        for own, at, shape in zip(self.slot_facts, self.slot_slices, self.slot_shapes, strict=True):
            if own.head is None:
                continue
            intercepts = slice(at.start, at.stop, shape[1])
            lower[intercepts], upper[intercepts] = own.head.lower, own.head.upper
            if own.known_log_dispersion is not None:
                lower[at], upper[at] = 0.0, 0.0
                lower[intercepts] = upper[intercepts] = own.known_log_dispersion
        if self.ties is not None:
            is_known = ~np.isnan(self.ties.known)
            lower[is_known] = upper[is_known] = self.ties.known[is_known]
            least, most = self.ties.bounds()
            lower, upper = np.maximum(lower, least), np.minimum(upper, most)
        return lower, upper

    @cached_property
    def free_basis(self) -> np.ndarray:
        """Map from free parameters to the flat vector, shape (n_flat, n_free).

        Orthonormal contrasts at every gate, copies of shared dispersions and slopes, nothing for
        what is known, the directions that restrictions leave, identity elsewhere, slopes of
        constant columns included. Dense: asked for only where a full information matrix is
        affordable.
        """
        basis = np.zeros((self.n_flat, self._count(())))
        at = 0
        for slot, gates in enumerate(self.gates):
            start, q = self.slot_slices[slot].start, self.slot_shapes[slot][1]
            for span, m in zip(gates.spans, gates.n_siblings, strict=True):
                rows = slice(start + span.start * q, start + span.stop * q)
                basis[rows, at : at + (m - 1) * q] = np.kron(contrast(m), np.eye(q))
                at += (m - 1) * q
        for slot in self.expert_slots:
            n_rows, columns = self.slot_shapes[slot]
            own = self.slot_facts[slot]
            if own.known_log_dispersion is not None:
                continue
            shared = own.is_shared
            block = np.tile(np.eye(columns), (n_rows, 1)) if shared else np.eye(n_rows * columns)
            basis[self.slot_slices[slot], at : at + block.shape[1]] = block
            at += block.shape[1]
        if self.ties is None:
            return basis
        return self.ties.reduce_basis(basis, np.flatnonzero(~self.ties.is_free))

    def design(self, block: Block, design: int) -> Design:
        """Return those of a block's features that a design uses."""
        columns, features = self.designs[design], block.features
        if self._is_rising[design] and len(columns) == features.shape[0]:
            return features
        return features.select(columns)

    @cached_property
    def _is_rising(self) -> tuple[bool, ...]:
        """Whether the columns of each design are in their order."""
        return tuple(bool((columns[1:] > columns[:-1]).all()) for columns in self.designs)

    def sees_all(self, design: int, n_columns: int) -> bool:
        """Whether a design is all columns of the features, intercept included, in their order."""
        return sees_all(self.designs[design], n_columns)

    @cached_property
    def is_narrow(self) -> tuple[bool, ...]:
        """Whether each design holds nothing but the intercept, so that heads are constant."""
        return tuple(len(columns) == 1 for columns in self.designs)
