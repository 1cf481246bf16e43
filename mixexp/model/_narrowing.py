"""A model of some of the columns: what an L1 penalty keeps at zero need not be looked at.

Its coefficients are those of the whole model on these columns, with the same priors; the others are
zero. Only columns whose slopes all have an L1 penalty may be left out.
"""

from dataclasses import dataclass, fields, replace

import numpy as np

from mixexp.model._model import Model
from mixexp.model._parameters import Parameters, flatten_slots
from mixexp.model._ties import EqualityConstraints


@dataclass(frozen=True, eq=False, kw_only=True)
class NarrowModel(Model):
    """A model of some columns of another, whose coefficients and priors it has.

    Parameters
    ----------
    whole : Model
    columns : ndarray of int
        Columns of the standardised features that it is of, 0 (the intercept) first.
    kept : ndarray of shape (n_flat,), int
        Where its coefficients stand in the flat vector of the whole.
    """

    whole: Model
    columns: np.ndarray
    kept: np.ndarray

    @property
    def in_full(self) -> Model:
        return self.whole

    def n_slopes(self, g: int) -> int:
        return self.whole.n_slopes(g)

    @property
    def apart(self) -> Model:
        """The same as a model of its own, whose priors are for these columns and pull to zero."""
        rest = {own.name: getattr(self, own.name) for own in fields(Model)}
        return Model(**{**rest, "groups": tuple(own._replace(center=()) for own in self.groups)})

    def take(self, params: Parameters) -> Parameters:
        """Return parameters of the whole model without those of columns that are left out."""
        return self.unflatten(self.whole.flatten(params)[..., self.kept])

    def widen(self, params: Parameters) -> Parameters:
        """Return parameters of the whole model, those of columns that are left out zero."""
        flat = np.zeros((*params.lead, self.whole.n_flat))
        flat[..., self.kept] = self.flatten(params)
        return self.whole.unflatten(flat)


def columns_of(model: Model) -> np.ndarray:
    """Return the column of the features that each coefficient belongs to, shape (n_flat,), int."""
    slots = [
        np.tile(model.designs[design], (rows, 1))
        for design, (rows, _) in zip(model.slot_designs, model.slot_shapes, strict=True)
    ]
    return flatten_slots(slots).astype(np.intp)


def seen_by(model: Model, chosen: np.ndarray) -> np.ndarray:
    """Return the columns that some coefficients belong to, of gates and of experts.

    Parameters
    ----------
    model : Model
    chosen : ndarray of shape (n_flat,), bool

    Returns
    -------
    ndarray of shape (2, 1 + p), bool
        For gates, and for experts; the intercept is the first column.
    """
    column, n_columns = columns_of(model), 1 + max(int(design.max()) for design in model.designs)
    at = np.flatnonzero(chosen)
    out = np.zeros((2, n_columns), dtype=bool)
    out[(at >= _n_of_gates(model)).astype(int), column[at]] = True
    return out


def _n_of_gates(model: Model) -> int:
    return model.slot_slices[len(model.gates) - 1].stop if model.gates else 0


def indispensable_columns(model: Model) -> np.ndarray:
    """Return the columns that cannot be left out, as `seen_by` does, the intercept among them.

    Some coefficient of theirs has no L1 penalty, or a constraint beside being shared.
    """
    is_needed = model.prior.l1 == 0.0
    ties = model.ties
    if ties is not None:
        lower, upper = ties.bounds()
        is_needed |= ~np.isnan(ties.known) | np.isfinite(lower) | np.isfinite(upper)
        if ties.rows is not None:
            is_needed |= np.any(ties.rows != 0.0, axis=0)
        if ties.least_rows is not None:
            is_needed |= np.any(ties.least_rows != 0.0, axis=0)
    found = seen_by(model, is_needed)
    found[:, 0] = True
    return found


def narrow_model(model: Model, seen: np.ndarray) -> NarrowModel:
    """Return the model of some columns, those of `indispensable_columns` among them.

    Parameters
    ----------
    model : Model
        Of gates and experts with linear predictors alone.
    seen : ndarray of shape (2, 1 + p), bool
        Columns of gates, and of experts. The features of the narrow model are these, in their
        order.
    """
    columns = np.flatnonzero(seen.any(axis=0))
    is_expert = (np.arange(model.n_flat) >= _n_of_gates(model)).astype(int)
    kept = np.flatnonzero(seen[is_expert, columns_of(model)])
    designs: list[np.ndarray] = []

    def place(design: int, kind: int) -> int:
        """Return where the columns of a design that are seen stand among all designs."""
        own = np.searchsorted(columns, _part(model.designs[design], seen[kind]))
        for at, known in enumerate(designs):
            if np.array_equal(known, own):
                return at
        designs.append(own)
        return len(designs) - 1

    gates = tuple(replace(own, design=place(own.design, 0)) for own in model.gates)
    groups = tuple(
        group._replace(
            designs=tuple(place(design, 1) for design in group.designs),
            center=tuple(
                center[seen[1][model.designs[design]]]
                for center, design in zip(group.center, group.designs, strict=False)
            ),
        )
        for group in model.groups
    )
    of_columns = {
        "groups": groups,
        "gates": gates,
        "designs": tuple(designs),
        "ties": None if model.ties is None else _take_ties(model.ties, kept),
        "constant_columns": tuple(
            int(at) for at in np.flatnonzero(np.isin(columns, model.constant_columns))
        ),
    }
    rest = {own.name: getattr(model, own.name) for own in fields(Model)}
    return NarrowModel(**{**rest, **of_columns}, whole=model, columns=columns, kept=kept)


def _part(design: np.ndarray, seen: np.ndarray) -> np.ndarray:
    return design[seen[design]]


def _take_ties(ties: EqualityConstraints, kept: np.ndarray) -> EqualityConstraints:
    # A coefficient is equal to others of the same column only, which are kept with it.
    return ties._replace(
        owner=np.searchsorted(kept, ties.owner[kept]),
        known=ties.known[kept],
        lower=None if ties.lower is None else ties.lower[kept],
        upper=None if ties.upper is None else ties.upper[kept],
        rows=None if ties.rows is None else ties.rows[:, kept],
        repair=None if ties.repair is None else ties.repair[kept],
        least_rows=None if ties.least_rows is None else ties.least_rows[:, kept],
        lift=None if ties.lift is None else ties.lift[kept],
        sort_rows=None if ties.sort_rows is None else ties.sort_rows[:, kept],
    )
