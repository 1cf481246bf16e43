"""Covariances of the coefficients, and which coefficients have none.

With A the observed information of what was maximised (Louis 1982; the priors' curvature
included where the fit is penalised) and B the sum of outer products of the rows' scores:
``model`` is inv(A), ``robust`` inv(A) B inv(A) (White 1982, theorem 3.2), ``opg`` is inv(B)
(Berndt, Hall, Hall & Hausman 1974), for penalised fits with the priors' curvature added to B.
"""

from typing import NamedTuple

import numpy as np
from scipy.linalg import eigh

from mixexp.data import Scaling
from mixexp.em import Evaluation, Problem, experts_at_floor, experts_without_rows
from mixexp.inference._scores import class_products, cluster_products, score_products
from mixexp.model import Model, Parameters, movable_basis

KINDS = ("model", "robust", "opg")
# Curvature per unit of weight, in units in which 1 is much, that counts as none: rounding leaves
# 1e-13, and a standard error from less than this would be above 3e4 / sqrt(n) units.
_FLAT = 1e-9


class Covariance(NamedTuple):
    """Covariance of the flat vector, and what it leaves out.

    Parameters
    ----------
    flat : ndarray of shape (n_flat, n_flat)
        Of the coefficients for standardised features; zero for what is held.
    held : ndarray of shape (n_flat,), bool
        Which coefficients are given, at a bound, or of a constant column.
    flat_directions : ndarray of shape (n_flat, m)
        Directions that the data do not determine.
    refusal : str
        Why there is no covariance at all; empty if there is one.
    remaining_gain : float
        What a Newton step would still gain: 0 at an optimum of these rows.
    """

    flat: np.ndarray
    held: np.ndarray
    flat_directions: np.ndarray
    refusal: str
    remaining_gain: float


class _Inverse(NamedTuple):
    """Generalised inverse of an information matrix."""

    matrix: np.ndarray
    flat_directions: np.ndarray
    is_indefinite: bool


def estimate_covariance(
    problem: Problem,
    current: Evaluation,
    scaling: Scaling,
    kind: str,
    clusters: np.ndarray | None,
    is_sampled: bool = False,
) -> Covariance:
    """Return the covariance of one kind, and what has none.

    Parameters
    ----------
    problem : Problem
    current : Evaluation
        At the fitted parameters.
    scaling : Scaling
    kind : {"model", "robust", "opg"}
    clusters : ndarray of shape (n_rows,), int, or None
        Numbers of the clusters, for "robust".
    is_sampled : bool
        Whether each row, or group of rows, is a cluster where none are given.

    Returns
    -------
    Covariance
    """
    model = problem.model
    flat, held = model.flatten(current.params), held_coordinates(problem, current, scaling)
    nothing = Covariance(
        np.zeros((model.n_flat, model.n_flat)), held, np.zeros((model.n_flat, 0)), "", 0.0
    )
    refusal = _others(model) or _degeneracy(problem, current) or _roughness(model, kind)
    if refusal:
        return nothing._replace(refusal=refusal)
    held_rows = None if model.ties is None else model.ties.rows_at_boundary(flat)
    basis = movable_basis(model, held, held_rows)
    unit = _units(problem, current, basis)
    priors = current.penalty.information()
    products = None
    if kind != "model":
        products = basis.T @ _products(problem, current.params, clusters, is_sampled) @ basis
    if kind == "opg":
        bread = products + basis.T @ priors @ basis
    else:
        bread = basis.T @ (problem.information(current.params) + priors) @ basis
    inverse = _invert(bread, unit)
    if inverse.is_indefinite:
        return nothing._replace(
            refusal="the observed information is indefinite, so that this is not a maximum for "
            "these rows"
        )
    gradient = basis.T @ current.gradient
    free = inverse.matrix
    if kind == "robust":
        free = free @ products @ free
    return nothing._replace(
        flat=basis @ free @ basis.T,
        flat_directions=basis @ inverse.flat_directions,
        remaining_gain=float(0.5 * gradient @ inverse.matrix @ gradient),
    )


def held_coordinates(problem: Problem, current: Evaluation, scaling: Scaling) -> np.ndarray:
    """Return which coordinates of the flat vector are no estimates, shape (n_flat,), bool."""
    model = problem.model
    lower, upper = model.flat_bounds
    flat = model.flatten(current.params)
    is_held = ((flat <= lower) & (current.gradient <= 0.0)) | (
        (flat >= upper) & (current.gradient >= 0.0)
    )
    is_held |= model.prior.is_zero(flat)
    return is_held | (lower == upper) | of_constant_columns(model, scaling)


def of_constant_columns(model: Model, scaling: Scaling) -> np.ndarray:
    """Return which coordinates are slopes of columns that do not vary, shape (n_flat,), bool."""
    is_constant = np.concatenate([[False], scaling.is_constant])
    by_slot = [
        np.tile(is_constant[model.designs[design]], n_heads)
        for (n_heads, _), design in zip(model.slot_shapes, model.slot_designs, strict=True)
    ]
    return np.concatenate([np.zeros(0, dtype=bool), *by_slot])


def _others(model: Model) -> str:
    if model.is_linear:
        return ""
    return (
        f"there is no information matrix for a model with {' and '.join(model.other_names)}, whose "
        "derivatives are not known; use bootstrap(X, y)"
    )


def _degeneracy(problem: Problem, current: Evaluation) -> str:
    model = problem.model
    at_floor = sorted(experts_at_floor(model, current.params))
    if at_floor:
        return f"experts {at_floor} fit their rows exactly; ask for fewer experts"
    unused = sorted(experts_without_rows(model, problem.n_weighed * current.stats.node_mass))
    if unused:
        return f"experts {unused} are not used, with one row or less; ask for fewer experts"
    return ""


def _roughness(model: Model, kind: str) -> str:
    names = sorted({group.family.name for group in model.groups if not group.family.is_smooth})
    if not names or kind == "opg":
        return ""
    return (
        f"the log density of {', '.join(names)} experts has a kink, and so no curvature to go by; "
        "use kind='opg', or a bootstrap"
    )


def _products(
    problem: Problem, params: Parameters, clusters: np.ndarray | None, is_sampled: bool
) -> np.ndarray:
    if clusters is not None:
        return cluster_products(problem, params, clusters)
    if is_sampled or problem.blocks.has_groups:
        return class_products(problem, params, are_counts=not is_sampled)
    return score_products(problem, params)


def _units(problem: Problem, current: Evaluation, basis: np.ndarray) -> np.ndarray:
    """Return the curvature that would be much, per free parameter.

    Logits, logarithms and locations in units of the pooled deviation have no unit: there it is
    the total weight. Other locations have the unit of a link: there it is that of the expert
    whose rows determine it best, as if all rows were its own.
    """
    model = problem.model
    unit = np.full(model.n_flat, problem.total_weight)
    for g, h in model.slot_heads:
        group, stats = model.groups[g], current.stats.groups[g]
        head = group.family.heads[h]
        if head.kind != "location" or np.isfinite(head.upper) or group.is_location_scale:
            continue
        mass = current.stats.node_mass[model.tree.leaves[group.leaves]]
        diagonal = np.diagonal(stats.curvature[h, h], axis1=1, axis2=2)
        best = (diagonal.max(axis=1) / mass).max()
        unit[model.slot_slices[model.slot_of[g, h]]] *= best if best > 0.0 else 1.0
    return unit[np.argmax(basis != 0.0, axis=0)]


def _invert(information: np.ndarray, unit: np.ndarray) -> _Inverse:
    """Invert on the directions that are determined, in units in which curvatures compare."""
    scale = 1.0 / np.sqrt(unit)
    curvatures, vectors = eigh(information * scale * scale[:, None])
    is_bent = curvatures > _FLAT
    bent = scale[:, None] * vectors[:, is_bent]
    return _Inverse(
        (bent / curvatures[is_bent]) @ bent.T,
        scale[:, None] * vectors[:, ~is_bent],
        bool(np.any(curvatures < -_FLAT)),
    )
