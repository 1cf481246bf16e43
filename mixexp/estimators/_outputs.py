"""Several targets: y of shape (n, d), the families that it may have, and attributes of the fit."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from mixexp.arguments import as_numbers
from mixexp.estimators._build import check_alike, resolve_families, resolve_family
from mixexp.estimators._validation import (
    FOR_CLASSES,
    LARGEST_TARGET,
    check_size,
    finite_column,
)
from mixexp.experts import Expert, JointExpert, MultivariateGaussian, MultivariateStudentT, Product
from mixexp.model import FittedModel
from mixexp.text import shown

# What a name stands for where y has several columns.
_BY_NAME = {"gaussian": MultivariateGaussian, "student_t": MultivariateStudentT}


def takes_outputs(expert: Any) -> bool:
    """Return whether an ``expert`` parameter is fit for y of any number of columns."""
    return isinstance(expert, str) and expert in _BY_NAME


def check_real_targets(y: Any) -> np.ndarray:
    """Return y as float64, (n,), or (n, d) where it has several columns.

    Of several, some may be NaN, which not all families allow.

    Raises
    ------
    ValueError, TypeError
        Naming y, what it holds and what to do.
    """
    array = as_numbers(y, "y", FOR_CLASSES)
    if array.ndim != 2 or array.shape[1] < 2:
        return finite_column(array)
    if np.isinf(array).any():
        row = int(np.argmax(np.isinf(array).any(axis=1)))
        raise ValueError(f"y must be finite, but contains infinity at row {row}.")
    check_size(array, "y", LARGEST_TARGET, "their squares overflow. Give y in a larger unit")
    return array


def resolve_experts(
    expert: Any, y: np.ndarray, n_leaves: int, targets: Sequence[str]
) -> list[Expert]:
    """Return one family per leaf for y of one or of several columns.

    Parameters
    ----------
    expert : str, Expert, or list of these
        In a list, a tuple stands for a family per target; such a list may have one entry for all.
    y : ndarray of shape (n,) or (n, d)
    n_leaves : int
    targets : sequence of str

    Raises
    ------
    ValueError
        If families and columns of y do not go together.
    """
    if y.ndim == 1:
        for entry in expert if isinstance(expert, list) else [expert]:
            if isinstance(entry, tuple | JointExpert):
                raise ValueError(
                    f"The 'expert' parameter has {shown(entry)}, which is for several targets, but "
                    f"y has shape {y.shape}; give y of shape (n, d), one column per target."
                )
        return resolve_families(expert, n_leaves, targets)
    entries = expert * n_leaves if is_product_for_all(expert) else expert
    if not isinstance(entries, list | tuple):
        entries = [entries] * n_leaves
    if len(entries) != n_leaves:
        raise ValueError(
            f"The 'expert' parameter lists {len(entries)} experts, but the model has {n_leaves}; "
            "give one per expert, left to right. A family for each target is a tuple in a list: "
            "[('poisson', 'gamma')]."
        )
    families = [_resolve_joint(entry, y.shape[1], targets) for entry in entries]
    check_alike(families)
    _check_kinds(families)
    _check_missing(families, y)
    return list(families)


def resolve_added(expert: Any, estimator: Any, y: np.ndarray) -> list[Expert]:
    """Return the family of an expert that is added to a fitted model, in a list.

    Raises
    ------
    ValueError
        If it is none, or does not go with y and the experts that there are.
    """
    if isinstance(expert, str) or (
        isinstance(expert, Expert) and not isinstance(expert, JointExpert)
    ):
        refuse_several(estimator, "The 'expert' argument", "Give a family per target, in a tuple.")
    found = resolve_experts([expert], y, 1, estimator._targets)
    if y.ndim > 1:
        families = [*estimator.experts_, *found]
        check_alike(families)
        _check_kinds(families)
    return found


def is_product_for_all(expert: Any) -> bool:
    """Return whether a list holds a family for each target, which is for all experts."""
    return isinstance(expert, list) and len(expert) == 1 and isinstance(expert[0], tuple)


def _resolve_joint(entry: Any, d: int, targets: Sequence[str]) -> JointExpert:
    if isinstance(entry, str) and entry in _BY_NAME:
        return _BY_NAME[entry](n_outputs=d)
    if isinstance(entry, tuple):
        entry = Product(entry)
    if isinstance(entry, Product):
        entry = entry.of(lambda own: resolve_family(own, targets))
    if not isinstance(entry, JointExpert):
        name = entry if isinstance(entry, str) else getattr(entry, "name", entry)
        raise ValueError(
            f"y has {d} columns, but the expert {shown(name)} is for one target: y should be a 1d "
            "array, (n,). For several use 'gaussian' or 'student_t', an object of "
            "MultivariateGaussian or MultivariateStudentT, or a family for each target, "
            "[('poisson', 'gamma')]."
        )
    entry.check_options()
    return entry.of_outputs(d)


def _check_kinds(families: Sequence[JointExpert]) -> None:
    """Refuse densities beside probabilities: experts are compared by them."""
    first = families[0]
    for family in families[1:]:
        for j in range(first.size):
            if family.kind_of_output(j) != first.kind_of_output(j):
                raise ValueError(
                    f"The 'expert' parameter has for column {j} of y a family of counts, or one "
                    "with a probability at single values, beside one with a density alone; all "
                    "experts must have the same kind for each target."
                )


def _check_missing(families: Sequence[JointExpert], y: np.ndarray) -> None:
    is_missing = np.isnan(y)
    if not is_missing.any():
        return
    for family in families:
        if not family.allows_missing:
            row = int(np.argmax(is_missing.any(axis=1)))
            raise ValueError(
                f"y contains NaN at row {row}: the {family.name} expert needs every target. Drop "
                "the row, or use a family for each target, [('gaussian', 'gaussian')], of which "
                "some may be NaN."
            )
    if is_missing.all(axis=1).any():
        row = int(np.argmax(is_missing.all(axis=1)))
        raise ValueError(f"y is NaN in all columns at row {row}; drop the row.")


def check_targets_of(fitted: FittedModel, y: np.ndarray) -> None:
    """Check that y has as many columns as that of the fit, and NaN only where it may.

    Raises
    ------
    ValueError
        Naming y.
    """
    d, found = fitted.model.n_outputs, y.shape[1] if y.ndim == 2 else 1
    if found != d:
        wanted = "(n,)" if d == 1 else f"(n, {d})"
        raise ValueError(
            f"y has {found} columns, but the model was fitted to {d}; expected shape {wanted}."
        )
    if d > 1:
        _check_missing([group.family for group in fitted.model.groups], y)


def refuse_several(estimator: Any, what: str, advice: str) -> None:
    """Refuse what is of one target in a fit to several.

    Raises
    ------
    ValueError
        Naming what was asked, and what to ask instead.
    """
    fitted = getattr(estimator, "fitted_model_", None)
    d = 1 if fitted is None else fitted.model.n_outputs
    if d > 1:
        raise ValueError(f"{what} is of one target, but the model has {d}. {advice}")


def set_joint_attributes(estimator: Any, slots: Sequence[np.ndarray]) -> None:
    """Set what a fit to several targets says of dispersions and covariances.

    Parameters
    ----------
    estimator : estimator
        With ``fitted_model_``.
    slots : sequence of ndarray
        Raw coefficients.
    """
    model = estimator.fitted_model_.model
    d, n_leaves = model.n_outputs, model.tree.n_leaves
    q = len(estimator.dispersion_features_)
    dispersion, slopes = np.ones((n_leaves, d)), np.zeros((n_leaves, d, q))
    covariance = np.empty((n_leaves, d, d))
    has_covariance = all(group.family.has_scatter for group in model.groups)
    for g, group in enumerate(model.groups):
        own = [slots[model.slot_of[g, h]] for h in range(len(group.designs))]
        for j in range(d):
            h = group.family.dispersion_head(j)
            if h is not None:
                dispersion[group.leaves, j] = np.exp(own[h][:, 0])
                slopes[group.leaves, j] = own[h][:, 1:]
        if has_covariance:
            found = group.family.covariance_of(tuple(coef[:, :1] for coef in own))
            covariance[group.leaves] = np.moveaxis(found[..., 0], -1, 0)
    estimator.dispersion_, estimator.dispersion_coef_ = dispersion, slopes
    if has_covariance:
        estimator.covariance_ = covariance
