"""From hyper-parameters and arrays to the problem that EM solves, and back to raw units."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from mixexp.data import (
    Block,
    ColumnRows,
    PerRow,
    RowBlocks,
    Scaling,
    cut_features,
    cut_rows,
    weighted_scaling,
)
from mixexp.em import Problem, pooled_params
from mixexp.experts import FAMILIES, Expert
from mixexp.gates import GATES
from mixexp.model import ExpertGroup, Model, Parameters, Penalty, Ties
from mixexp.text import shown
from mixexp.tree import GatingTree

# The pooled residual variance that anchors the prior is not taken below this share of y's
# variance: one linear model that fits to rounding says nothing about noise.
_SMALLEST_ANCHOR = 1e-6
# A constant y has no scale of its own; its digits end about here.
_CONSTANT_SCALE = 1e-8


class Columns(NamedTuple):
    """Columns of X that each part of the model looks at."""

    expert: list[int]
    gate: list[int]
    dispersion: Sequence[int] = ()


class FitState(NamedTuple):
    """All that prediction needs.

    Parameters
    ----------
    model : Model
    params : Parameters
        For standardised features.
    scaling : Scaling
    """

    model: Model
    params: Parameters
    scaling: Scaling


def resolve_families(expert: Any, n_leaves: int, targets: Sequence[str]) -> list[Expert]:
    """Return one family per leaf from names, instances, or a list of these.

    Parameters
    ----------
    expert : str, Expert, or list of these
        Instances need not be registered: a family of the user's own is as good.
    n_leaves : int
    targets : sequence of str
        Targets that families may be for here.

    Raises
    ------
    ValueError
        If a name is unknown or not for such a target, the list has not one entry per leaf, or
        the families have coefficients of different shapes.
    """
    entries = list(expert) if isinstance(expert, list | tuple) else [expert] * n_leaves
    if len(entries) != n_leaves:
        raise ValueError(
            f"The 'expert' parameter lists {len(entries)} experts, but the model has {n_leaves}; "
            "give one per expert, left to right."
        )
    families = [_resolve_family(entry, targets) for entry in entries]
    _check_alike(families)
    return families


def _check_alike(families: Sequence[Expert]) -> None:
    """Refuse experts whose locations are not told by arrays of one shape, for ``coef_`` is one."""
    shapes: dict[tuple[int, ...], str] = {}
    for family in families:
        zeros = [np.zeros((1, 1)) for head in family.heads if head.kind == "location"]
        if zeros:
            shapes.setdefault(family.location_coef(zeros).shape, family.name)
    if len(shapes) > 1:
        raise ValueError(
            f"The 'expert' parameter mixes {' and '.join(map(repr, shapes.values()))} experts, of "
            "which some have a coefficient per class and others one for all; use either kind."
        )


def _resolve_family(entry: Any, targets: Sequence[str]) -> Expert:
    family = FAMILIES[entry]() if isinstance(entry, str) and entry in FAMILIES else entry
    if not hasattr(family, "log_kernel") or family.target not in targets:
        allowed = sorted(name for name, known in FAMILIES.items() if known.target in targets)
        raise ValueError(
            f"The 'expert' parameter must be one of {allowed}, an expert object of such a "
            f"family, or a list of these. Got {shown(entry)} instead."
        )
    family.check_options()
    return family


def check_per_row_use(families: Sequence[Expert], exposure: Any, offset: Any, trials: Any) -> None:
    """Check that what is given per row means something to the experts.

    Raises
    ------
    ValueError
        Naming the argument and the family that has no use for it.
    """
    for family in families:
        n_locations = sum(head.kind == "location" for head in family.heads)
        if exposure is not None and n_locations and getattr(family, "link", None) != "log":
            raise ValueError(
                f"exposure is for experts with a log link, which the {family.name} expert has "
                "not here; give an offset on the scale of the linear predictor instead."
            )
        if offset is not None and n_locations > 1:
            raise ValueError(
                f"offset is for experts with one linear predictor; the {family.name} expert "
                f"has {n_locations}."
            )
    if trials is not None and not any(family.uses_trials for family in families):
        names = sorted({family.name for family in families})
        raise ValueError(f"trials are for binomial experts; the experts here are {names}.")


def check_support(
    families: Sequence[Expert], y: np.ndarray, per_row: PerRow, rows: np.ndarray
) -> None:
    """Check that every y is in the support of at least one family.

    Parameters
    ----------
    families : sequence of Expert
    y : ndarray of shape (n,)
    per_row : PerRow
    rows : ndarray of shape (n,), int
        Numbers of these rows in the user's data.

    Raises
    ------
    ValueError
        Naming y, the support, and the first row and value outside of it.
    """
    is_outside = np.ones(len(y), dtype=bool)
    for family, leaves in _distinct_families(families):
        fixed = family.fixed_to(y, per_row.weight)
        seen = ExpertGroup(fixed, leaves, ()).target(y, per_row.trials)
        is_outside_own = fixed.find_unsupported(seen)
        if not fixed.heads:  # nothing is fitted: a density that is zero now remains so
            is_outside_own |= np.isneginf(fixed.log_kernel(seen, ())[0])
        is_outside &= is_outside_own
    if is_outside.any():
        at = int(np.argmax(is_outside))
        trials = "" if per_row.trials is None else f" of {per_row.trials[at]:g} trials"
        wanted = " or ".join(
            dict.fromkeys(f"{family.support} for the {family.name} expert" for family in families)
        )
        raise ValueError(
            f"y must be {wanted}; found {shown(float(y[at]))}{trials} at row {rows[at]}. "
            "Use another expert, or transform the target."
        )


def build_problem(
    X: np.ndarray | ColumnRows,
    y: np.ndarray,
    per_row: PerRow,
    *,
    tree: GatingTree,
    families: Sequence[Expert],
    gate: str,
    columns: Columns,
    penalty: Penalty,
    n_threads: int,
    chosen: np.ndarray | None = None,
    tie: Callable[[Model, Scaling], Ties | None] = lambda model, scaling: None,
) -> tuple[Problem, Parameters, Scaling]:
    """Standardise the data, anchor the dispersions and lay out the model.

    Parameters
    ----------
    X : ndarray of shape (n, p), or ColumnRows
        float64 or float32, in any memory layout.
    y : ndarray of shape (n_used,)
        In the support of at least one family per row.
    per_row : PerRow
    tree : GatingTree
    families : sequence of Expert
        One per leaf, left to right.
    gate : str
    columns : Columns
    penalty : Penalty
    n_threads : int
    chosen : ndarray of shape (n_used,), int, optional
        Numbers of the rows of X that are used; all of them by default.
    tie : callable, optional
        Returns the constraints, from the model without them and the scaling.

    Returns
    -------
    problem : Problem
    pooled : Parameters
        One expert of each family fitted to all rows, copied to every leaf.
    scaling : Scaling
    """
    weight = per_row.weight
    scaling = weighted_scaling(X, weight, chosen)
    designs: list[np.ndarray] = []
    gate_columns = np.array(GATES[gate].columns([1 + c for c in columns.gate]))
    gate_design = _position(designs, gate_columns)
    by_kind = {
        "location": np.array([0, *(1 + c for c in columns.expert)]),
        "dispersion": np.array([0, *(1 + c for c in columns.dispersion)]),
        "shape": np.array([0]),
    }
    groups = tuple(
        _group(family.fixed_to(y, weight), leaves, by_kind, designs, y, per_row)
        for family, leaves in _distinct_families(families)
    )
    constant = tuple(int(1 + column) for column in np.flatnonzero(scaling.is_constant))
    model = Model(tree, groups, tuple(designs), gate_design, penalty, constant_columns=constant)
    blocks = _with_targets(model, cut_features(X, scaling, per_row, chosen).keep_small(), y)
    pooled = pooled_params(Problem(model, blocks, n_threads))
    model, pooled = _anchor(model, pooled)
    model = replace(model, ties=tie(model, scaling))
    pooled = model.obey(pooled)
    problem = Problem(model, _with_targets(model, blocks, y), n_threads)
    return problem, pooled, scaling


def _distinct_families(families: Sequence[Expert]) -> list[tuple[Expert, np.ndarray]]:
    """Collect the leaves of equal families, in the order of their first leaf."""
    keys = [repr((type(family).__name__, family.get_params())) for family in families]
    return [
        (families[keys.index(key)], np.flatnonzero([other == key for other in keys]))
        for key in dict.fromkeys(keys)
    ]


def _position(designs: list[np.ndarray], columns: np.ndarray) -> int:
    """Return where a design stands in the list, appended if it is new."""
    for position, known in enumerate(designs):
        if np.array_equal(known, columns):
            return position
    designs.append(columns)
    return len(designs) - 1


def _group(
    family: Expert,
    leaves: np.ndarray,
    by_kind: dict[str, np.ndarray],
    designs: list[np.ndarray],
    y: np.ndarray,
    per_row: PerRow,
) -> ExpertGroup:
    head_designs = tuple(_position(designs, by_kind[head.kind]) for head in family.heads)
    if not family.is_location_scale:
        group = ExpertGroup(family, leaves, head_designs)
        return group._replace(stand_in=_stand_in(group, y, per_row.trials))
    target = weighted_scaling(y[:, None], per_row.weight)
    center, scale = float(target.center[0]), float(target.scale[0])
    if target.is_constant[0]:
        scale = _CONSTANT_SCALE * (abs(center) or 1.0)
    return ExpertGroup(family, leaves, head_designs, center, scale)


def _stand_in(group: ExpertGroup, y: np.ndarray, trials: np.ndarray | None) -> np.ndarray | None:
    """Return the first y inside of the support.

    Raises
    ------
    ValueError
        If there is none.
    """
    seen = group.target(y, trials)
    is_inside = ~group.family.find_unsupported(seen)
    if not is_inside.any():
        raise ValueError(
            f"No row of y is {group.family.support}, which the {group.family.name} expert needs; "
            "leave it out, or use another family."
        )
    return seen[..., int(np.argmax(is_inside))]


def _with_targets(model: Model, blocks: RowBlocks, y: np.ndarray) -> RowBlocks:
    return blocks.refine(partial(with_target, model), (y[rows] for rows in cut_rows(len(y))))


def with_target(model: Model, block: Block, y: np.ndarray) -> Block:
    """Return the block with y as each family sees it."""
    seen = [group.safe_target(y, block.trials) for group in model.groups]
    return block._replace(
        targets=tuple(target for target, _ in seen), bases=tuple(base for _, base in seen)
    )


def _anchor(model: Model, pooled: Parameters) -> tuple[Model, Parameters]:
    """Make the pooled fit what priors pull to, and its residuals' spread the unit of y.

    The unit is that of location-scale families alone. A single expert is the pooled fit: its
    slopes have the prior that the pooled ones had.
    """
    groups, experts, is_single = [], [], model.tree.n_leaves == 1
    penalty = model.penalty
    if is_single:
        penalty = penalty._replace(alpha=penalty.of_pooled().alpha)
    for group, heads in zip(model.groups, pooled.experts, strict=True):
        moved, coefs = group, list(heads)
        for h, head in enumerate(group.family.heads):
            if head.kind != "dispersion":
                continue
            log_pooled = float(heads[h][0, 0])
            if group.family.is_location_scale:
                unit = float(np.exp(0.5 * max(log_pooled, np.log(_SMALLEST_ANCHOR))))
                moved = group._replace(scale=group.scale * unit)
                coefs = _in_units(group.family, coefs, unit)
                if is_single:
                    penalty = penalty._replace(alpha=penalty.alpha * unit**2)
            else:
                moved = group._replace(log_anchor=log_pooled)
        groups.append(moved if is_single else moved._replace(center=tuple(c[0] for c in coefs)))
        experts.append(tuple(coefs))
    anchored = replace(model, groups=tuple(groups), penalty=penalty)
    return anchored, Parameters(pooled.gate, tuple(experts))


def _in_units(family: Expert, heads: Sequence[np.ndarray], unit: float) -> list[np.ndarray]:
    """Return the coefficients of a location-scale family after y is divided by a unit."""
    out = []
    for head, coef in zip(family.heads, heads, strict=True):
        moved = coef.copy()
        if head.kind == "location":
            moved /= unit
        elif head.kind == "dispersion":  # log of a squared scale
            moved[:, 0] -= 2.0 * np.log(unit)
        out.append(moved)
    return out


def raw_slots(state: FitState) -> list[np.ndarray]:
    """Return the coefficients for raw features and y in its own unit, slot by slot."""
    model, slots = state.model, state.model.slots(state.params)
    out = [state.scaling.unstandardize(slots[0], model.designs[model.gate_design])]
    for (g, h), coef in zip(model.slot_heads, slots[1:], strict=True):
        group = model.groups[g]
        raw = state.scaling.unstandardize(coef, model.designs[group.designs[h]])
        out.append(_rescale_head(group, h, raw, group.scale, group.shift))
    return out


def standard_params(model: Model, scaling: Scaling, slots: Sequence[np.ndarray]) -> Parameters:
    """Return parameters for standardised features from raw coefficients: undo `raw_slots`."""
    out = [scaling.restandardize(slots[0], model.designs[model.gate_design])]
    for (g, h), coef in zip(model.slot_heads, slots[1:], strict=True):
        group = model.groups[g]
        moved = _rescale_head(group, h, coef, 1.0 / group.scale, -group.shift / group.scale)
        out.append(scaling.restandardize(moved, model.designs[group.designs[h]]))
    return model.from_slots(out)


def _rescale_head(
    group: ExpertGroup, h: int, coef: np.ndarray, scale: float, shift: float
) -> np.ndarray:
    """Return a head's coefficients for ``shift + scale * y``."""
    kind, out = group.family.heads[h].kind, coef.copy()
    if kind == "location":
        out *= scale
        out[:, 0] += shift
    elif kind == "dispersion" and group.family.is_location_scale:
        out[:, 0] += 2.0 * np.log(scale)
    return out
