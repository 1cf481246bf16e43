"""From hyper-parameters and arrays to the problem that EM solves, and back to raw units."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from mixexp.data import (
    RowArguments,
    RowBlocks,
    RowSource,
    Scaling,
    SourceBlocks,
    cut_features,
    weighted_scaling,
)
from mixexp.em import Problem, Search, pooled_params, slope_unit
from mixexp.estimators._gates import NodeGate
from mixexp.estimators._groups import (
    FixedFamily,
    anchor_outputs,
    fix_families,
    in_unit,
    lay_out_group,
    log_dispersion,
    pooled_unit,
    rivals_of,
)
from mixexp.estimators._submodels import as_expert
from mixexp.experts import FAMILIES, Censored, Expert
from mixexp.gates import SoftmaxGates
from mixexp.model import (
    EqualityConstraints,
    ExpertGroup,
    Model,
    Parameters,
    Penalty,
    PlacedSubmodel,
    share_taken,
    with_targets,
)
from mixexp.submodel import Submodel
from mixexp.text import shown
from mixexp.tree import GatingTree


class Columns(NamedTuple):
    """Columns of X that each part of the model looks at."""

    expert: list[int]
    gate: list[int]
    dispersion: Sequence[int] = ()


class Layout(NamedTuple):
    """A model, what it is fitted to, and how its coefficients are told.

    Parameters
    ----------
    problem : Problem
    pooled : Parameters
    scaling : Scaling
    families : sequence of Expert
        One per leaf, left to right.
    node_gates : list of NodeGate
        Per inner node.
    learn : callable
        Sets the fitted attributes of an estimator from a search.
    """

    problem: Problem
    pooled: Parameters
    scaling: Scaling
    families: Sequence[Any]
    node_gates: list[NodeGate]
    learn: Callable[[Any, Search], np.ndarray]


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
    if isinstance(expert, list | tuple):
        families = [resolve_family(entry, targets) for entry in entries]
    else:
        families = [resolve_family(expert, targets)] * n_leaves
    check_alike([family for family in families if not isinstance(family, Submodel)])
    return families


def distinct_objects(families: Sequence[Any]) -> list[Any]:
    """Return each object once: one that is given for all experts stands for each of them."""
    return list({id(family): family for family in families}.values())


def check_alike(families: Sequence[Expert]) -> None:
    """Refuse experts whose locations are not told by arrays of one shape, for ``coef_`` is one."""
    shapes: dict[tuple[int, ...], str] = {}
    for family in distinct_objects(families):
        zeros = [np.zeros((1, 1)) for head in family.heads if head.kind == "location"]
        if zeros:
            shapes.setdefault(family.location_coef(zeros).shape, family.name)
    if len(shapes) > 1:
        raise ValueError(
            f"The 'expert' parameter mixes {' and '.join(map(repr, shapes.values()))} experts, of "
            "which some have a coefficient per class and others one for all; use either kind."
        )


def resolve_family(entry: Any, targets: Sequence[str]) -> Expert:
    """Return the family that one entry of the ``expert`` parameter stands for."""
    if isinstance(entry, Censored):
        entry = entry.of(resolve_family(entry.expert, targets))
    family = FAMILIES[entry]() if isinstance(entry, str) and entry in FAMILIES else entry
    family = as_expert(family)
    is_expert = hasattr(family, "log_kernel") or isinstance(family, Submodel)
    if not is_expert or family.target not in targets:
        allowed = sorted(name for name, known in FAMILIES.items() if known.target in targets)
        raise ValueError(
            f"The 'expert' parameter must be one of {allowed}, an expert object of such a "
            f"family, {_estimators_for(targets)}, or a list of these. Got {shown(entry)} instead."
        )
    family.check_options()
    return family


def _estimators_for(targets: Sequence[str]) -> str:
    return "a regressor" if "regression" in targets else "a classifier"


def check_per_row_use(families: Sequence[Expert], given: Mapping[str, Any]) -> None:
    """Check that what is given per row means something to the experts.

    Raises
    ------
    ValueError
        Naming the argument and the family that has no use for it.
    """
    exposure, offset, trials = map(given.get, ("exposure", "offset", "trials"))
    for family in distinct_objects(families):
        if isinstance(family, Submodel) and not family.uses_offset:
            for name in ("offset", "exposure"):
                if given.get(name) is not None:
                    raise ValueError(
                        f"{name} is for experts with a linear predictor that is fitted, which "
                        f"{family.title} has not; leave it out, or make it a feature."
                    )
        n_locations = sum(head.kind == "location" for head in family.heads)
        takes_offset = family.has_outputs and family.takes_offset(0)
        if exposure is not None and n_locations and getattr(family, "link", None) != "log":
            raise ValueError(
                f"exposure is for experts with a log link, which the {family.name} expert has "
                "not here; give an offset on the scale of the linear predictor instead."
            )
        if offset is not None and n_locations > 1 and not takes_offset:
            raise ValueError(
                f"offset is for experts with one linear predictor; the {family.name} expert "
                f"has {n_locations}."
            )
    if trials is not None and not any(family.uses_trials for family in families):
        names = sorted({family.name for family in families})
        raise ValueError(f"trials are for binomial experts; the experts here are {names}.")


def check_support(
    families: Sequence[Expert], y: np.ndarray, per_row: RowArguments, rows: np.ndarray | None
) -> None:
    """Check that every y is in the support of at least one family.

    Parameters
    ----------
    families : sequence of Expert
    y : ndarray of shape (n,)
    per_row : RowArguments
    rows : ndarray of shape (n,), int, or None
        Numbers of these rows in the user's data; None if it is all of them as they are.

    Raises
    ------
    ValueError
        Naming y, the support, and the first row and value outside of it.
    """
    if any(isinstance(family, Submodel) for family in families):
        return  # its support is not known
    check_fixed_support(fix_families(families, y, per_row), families, y, per_row, rows)


def check_fixed_support(
    fixed: Sequence[FixedFamily],
    families: Sequence[Expert],
    y: np.ndarray,
    per_row: RowArguments,
    rows: np.ndarray | None,
) -> None:
    """Check the same for families that have been fixed to y."""
    is_outside = np.ones(len(y), dtype=bool)
    for found in fixed:
        is_outside_own = found.group().find_impossible(y, per_row.trials, per_row.ends)
        if not found.family.heads:  # nothing is fitted: a density that is zero now remains so
            seen = found.group().target(y, per_row.trials, per_row.ends)
            is_outside_own |= np.isneginf(found.family.log_kernel(seen, ())[0])
        is_outside &= is_outside_own
    if is_outside.any():
        at = int(np.argmax(is_outside))
        trials = "" if per_row.trials is None else f" of {per_row.trials[at]:g} trials"
        wanted = " or ".join(
            dict.fromkeys(f"{family.support} for the {family.name} expert" for family in families)
        )
        row = at if rows is None else rows[at]
        raise ValueError(
            f"y must be {wanted}; found {shown(np.asarray(y[at]).tolist())}{trials} at row {row}. "
            "Use another expert, or transform the target."
        )


def build_problem(
    X: RowSource,
    y: np.ndarray,
    per_row: RowArguments,
    *,
    tree: GatingTree,
    families: Sequence[Expert],
    node_gates: Sequence[NodeGate],
    columns: Columns,
    penalty: Penalty,
    n_threads: int,
    chosen: np.ndarray | None = None,
    tie: Callable[[Model, Scaling], EqualityConstraints | None] = lambda model, scaling: None,
) -> tuple[Problem, Parameters, Scaling]:
    """Standardise the data, anchor the dispersions and lay out the model.

    Parameters
    ----------
    X : ndarray of shape (n, p), ColumnRows or SparseRows
        float64 or float32, in any memory layout.
    y : ndarray of shape (n_used,)
        In the support of at least one family per row.
    per_row : RowArguments
    tree : GatingTree
    families : sequence of Expert
        One per leaf, left to right.
    node_gates : sequence of NodeGate
        Per inner node.
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
    scaling = weighted_scaling(X, per_row.weight, chosen)

    def place(found: FixedFamily, seen: tuple[int, ...]) -> ExpertGroup:
        return lay_out_group(found, seen, y, per_row)

    model = lay_out_model(
        tree,
        families,
        [(found, place) for found in fix_families(families, y, per_row)],
        node_gates,
        columns,
        penalty,
        scaling,
        has_known_leaves=per_row.evidence is not None,
    )
    blocks = cut_features(X, scaling, per_row, chosen).keep_small()
    return anchor_problem(
        model, lambda model: with_targets(model, blocks, y), n_threads, tie, scaling
    )


def lay_out_model(
    tree: GatingTree,
    families: Sequence[Expert],
    placed: Sequence[tuple[FixedFamily, Callable[[FixedFamily, tuple[int, ...]], ExpertGroup]]],
    node_gates: Sequence[NodeGate],
    columns: Columns,
    penalty: Penalty,
    scaling: Scaling,
    *,
    has_known_leaves: bool,
) -> Model:
    """Lay out the model, from families and what puts each into the unit of y."""
    designs: list[np.ndarray] = []
    gates, others = _lay_out_gates(tree, node_gates, designs)
    by_kind = {
        "location": np.array([0, *(1 + c for c in columns.expert)]),
        "dispersion": np.array([0, *(1 + c for c in columns.dispersion)]),
        "shape": np.array([0]),
    }
    for leaf, family in enumerate(families):
        if isinstance(family, Submodel):
            design = _position(designs, by_kind["location"])
            place_of = tree.leaves[leaf : leaf + 1]
            rivals = rivals_of(family, families)
            others.append(PlacedSubmodel(family, place_of, False, design, rivals))
    groups = []
    for found, place in placed:
        seen = tuple(_position(designs, by_kind[head.kind]) for head in found.family.heads)
        groups.append(place(found, seen))
    constant = tuple(int(1 + column) for column in np.flatnonzero(scaling.is_constant))
    return Model(
        tree,
        tuple(groups),
        tuple(designs),
        gates,
        penalty,
        constant_columns=constant,
        others=tuple(others),
        has_known_leaves=has_known_leaves,
    )


def anchor_problem(
    model: Model,
    blocks_of: Callable[[Model], RowBlocks | SourceBlocks],
    n_threads: int,
    tie: Callable[[Model, Scaling], EqualityConstraints | None],
    scaling: Scaling,
) -> tuple[Problem, Parameters, Scaling]:
    """Fit one expert of each family to all rows, and make the fit what priors pull to.

    Parameters
    ----------
    model : Model
    blocks_of : callable
        Returns the rows with y in the unit of a model.
    n_threads : int
    tie : callable
        Returns the constraints, from the model without them and the scaling.
    scaling : Scaling

    Returns
    -------
    problem : Problem
    pooled : Parameters
    scaling : Scaling
    """
    bare = Problem(model, blocks_of(model), n_threads)
    pooled = pooled_params(bare)
    n_rows = bare.total_weight * bare.n_weighed
    model, pooled = _anchor(bare, pooled, n_rows)
    ties = tie(model, scaling)
    if ties is not None:
        model = replace(model, ties=ties)
        pooled = model.project(pooled)
    model = replace(model, penalty=model.penalty_for(n_rows))
    return Problem(model, blocks_of(model), n_threads), pooled, scaling


def _lay_out_gates(
    tree: GatingTree, node_gates: Sequence[NodeGate], designs: list[np.ndarray]
) -> tuple[tuple[SoftmaxGates, ...], list[PlacedSubmodel]]:
    """Return the softmax gates by what they see, and gates of the user's own."""
    nodes: dict[int, list[int]] = {}
    others = []
    for node, (columns, submodel) in zip(tree.inner_nodes.tolist(), node_gates, strict=True):
        design = _position(designs, np.array([0, *(1 + column for column in columns)]))
        if submodel is None:
            nodes.setdefault(design, []).append(node)
        else:
            children = np.array(tree.children(node))
            others.append(PlacedSubmodel(submodel, children, True, design))
    softmax = (SoftmaxGates(tree, np.array(own), design) for design, own in nodes.items())
    return tuple(softmax), others


def _position(designs: list[np.ndarray], columns: np.ndarray) -> int:
    """Return where a design stands in the list, appended if it is new."""
    for position, known in enumerate(designs):
        if np.array_equal(known, columns):
            return position
    designs.append(columns)
    return len(designs) - 1


def _anchor(problem: Problem, pooled: Parameters, n_rows: float) -> tuple[Model, Parameters]:
    """Make the pooled fit what priors pull to, and its residuals' spread the unit of y.

    The unit is that of location-scale families alone; others have one for their slopes. A single
    expert is the pooled fit: its slopes have the prior that the pooled ones had.
    """
    model, penalty, groups, experts = problem.model, problem.model.penalty, [], []
    is_single = model.tree.n_leaves == 1
    if is_single and penalty.l1 == 0.0:
        penalty = penalty._replace(alpha=penalty.of_single_expert().alpha)
    for g, (group, heads) in enumerate(zip(model.groups, pooled.experts, strict=True)):
        taken = share_taken(model.n_slopes(g), n_rows)  # of the dispersion, by slopes
        if group.outputs:
            moved, coefs = anchor_outputs(group, heads, taken, is_single)
            groups.append(moved if is_single else moved._replace(center=tuple(c[0] for c in coefs)))
            experts.append(coefs)
            continue
        unit = pooled_unit(group, heads)
        if unit is None:
            own = 1.0 if is_single else slope_unit(problem, g, pooled)
            moved = group._replace(prior_log_dispersion=log_dispersion(group, heads))
            moved, coefs = moved._replace(slope_unit=own), heads
        else:
            moved, coefs = group._replace(scale=group.scale * unit), in_unit(group, heads, unit)
            if is_single and penalty.l1 == 0.0:
                penalty = penalty._replace(alpha=penalty.alpha * unit**2)
            else:
                moved = moved._replace(prior_log_dispersion=_anchor_of_rows_to_come(group, taken))
        groups.append(moved if is_single else moved._replace(center=tuple(c[0] for c in coefs)))
        experts.append(coefs)
    anchored = replace(model, groups=tuple(groups), penalty=penalty)
    return anchored, Parameters(pooled.gates, tuple(experts), pooled.others)


def _anchor_of_rows_to_come(group: ExpertGroup, taken: float) -> float:
    """Return the log dispersion, in the unit of the residuals, without what slopes took off."""
    kinds = [head.kind for head in group.family.heads]
    log_power = group.units[kinds.index("dispersion")].log_power
    return -0.5 * log_power * float(np.log1p(-taken))
