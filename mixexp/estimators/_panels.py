"""Groups of rows that share an expert, and rows whose expert is known: checks and numbers."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from mixexp.arguments import as_array, as_numbers, is_whole, refuse_nonlabels
from mixexp.data import ColumnRows, cut_rows
from mixexp.text import shown


def read_labels(values: Any, name: str, n: int) -> np.ndarray:
    """Return labels, numbers or strings, one per row, none of them missing.

    Raises
    ------
    ValueError, TypeError
        Naming the argument.
    """
    labels = as_array(values, name)
    if labels.shape != (n,):
        raise ValueError(f"{name} has shape {labels.shape}; expected ({n},), one label per row.")
    refuse_nonlabels(labels, name)
    if labels.dtype.kind == "O":
        labels = _as_one_kind(labels, name)
    if labels.dtype.kind == "f":
        _refuse_nan(np.isnan(labels), name)
    return labels


def _as_one_kind(labels: np.ndarray, name: str) -> np.ndarray:
    """Return objects as strings if any is one, else as numbers; whole numbers keep all digits."""
    if any(isinstance(label, str) for label in labels):
        return labels.astype(str)
    if all(is_whole(label) for label in labels):
        return np.array(labels.tolist())
    return labels.astype(np.float64)


def _refuse_nan(is_nan: np.ndarray, name: str) -> None:
    if is_nan.any():
        row = int(np.argmax(is_nan))
        raise ValueError(f"{name} is NaN at row {row}; give every row a label, or drop the row.")


def number_groups(groups: Any, weight: np.ndarray) -> np.ndarray | None:
    """Return the number of each row's group, in the order of the labels; None if each has its own.

    Parameters
    ----------
    groups : array-like of shape (n,)
    weight : ndarray of shape (n,)
        Must be the same in all rows of a group.

    Raises
    ------
    ValueError, TypeError
        Naming ``groups`` or ``sample_weight``.
    """
    labels = read_labels(groups, "groups", len(weight))
    found, first, codes = np.unique(labels, return_index=True, return_inverse=True)
    differs = weight != weight[first[codes]]
    if differs.any():
        row = int(np.argmax(differs))
        raise ValueError(
            f"sample_weight must be the same in all rows of a group, for it counts groups; group "
            f"{shown(found[codes[row]].item())} has {weight[first[codes[row]]]} at row "
            f"{first[codes[row]]} and {weight[row]} at row {row}."
        )
    return None if len(found) == len(labels) else codes


def check_gate_features(
    X: np.ndarray | ColumnRows,
    groups: np.ndarray,
    order: np.ndarray,
    columns: Sequence[int],
    names: Sequence[str],
    labels: Any,
) -> None:
    """Check that what gates look at is the same in all rows of a group.

    Parameters
    ----------
    X : ndarray of shape (n, p), or ColumnRows
    groups : ndarray of shape (n_used,), int
        Numbers of the groups of the rows in order.
    order : ndarray of shape (n_used,), int
        Numbers of the rows of X, those of a group beside each other.
    columns : sequence of int
        What gates look at.
    names : sequence of str
        Of all columns.
    labels : array-like of shape (n,)
        Groups as they were given.

    Raises
    ------
    ValueError
        Naming the column and the group.
    """
    if not columns:
        return
    for rows in cut_rows(len(order), groups=groups):
        values = np.asarray(X[order[rows]])[:, columns]
        is_next = np.diff(groups[rows]) == 0
        differs = is_next[:, None] & (np.diff(values, axis=0) != 0.0)
        if differs.any():
            at, column = np.unravel_index(int(np.argmax(differs)), differs.shape)
            before, row = order[rows][at], order[rows][at + 1]
            group = as_array(labels, "groups")[row]
            name = names[columns[int(column)]]
            raise ValueError(
                f"Gates see one row per group, but column {name!r} varies within "
                f"group {shown(group.item() if hasattr(group, 'item') else group)}: "
                f"{values[at, column]:g} at row {before}, {values[at + 1, column]:g} at row {row}. "
                "Leave it out of gate_features: list there the columns that are the same in all "
                "rows of a group, or give [] for a gate that is constant."
            )


def check_clusters_hold_groups(codes: np.ndarray, groups: np.ndarray, has_groups: bool) -> None:
    """Check that all rows of a group are in one cluster.

    Raises
    ------
    ValueError
        Naming ``cluster``.
    """
    if has_groups and len(np.unique(np.stack([codes, groups]), axis=1)[0]) != groups.max() + 1:
        raise ValueError(
            "cluster parts rows of one group, which share their expert; give clusters that hold "
            "whole groups, or leave cluster out for robust standard errors by group."
        )


def known_leaves(
    known_expert: Any, n: int, n_leaves: int, groups: np.ndarray | None
) -> np.ndarray | None:
    """Return the log evidence of what is known, shape (n_leaves, n): 0 or -inf; None if nothing is.

    Raises
    ------
    ValueError
        Naming ``known_expert``, and the row.
    """
    given = as_numbers(known_expert, "known_expert")
    if given.shape == (n,):
        is_label = (given >= -1) & (given < n_leaves) & (given == np.floor(given))
        if not is_label.all():
            row = int(np.argmin(is_label))
            raise ValueError(
                f"known_expert must be numbers of experts in 0, ..., {n_leaves - 1}, or -1 where "
                f"none is known; found {given[row]:g} at row {row}."
            )
        allowed = (given[None] == -1) | (given[None] == np.arange(n_leaves)[:, None])
    elif given.shape == (n, n_leaves):
        if not np.isin(given, (0.0, 1.0)).all():
            raise ValueError("known_expert, if a matrix, must hold True and False alone.")
        allowed = given.T == 1.0
    else:
        raise ValueError(
            f"known_expert has shape {given.shape}; expected ({n},), one number per row, or "
            f"({n}, {n_leaves}), the experts that each row may belong to."
        )
    if groups is not None:  # what one row excludes is excluded for its group
        allowed = np.array([~np.bincount(groups, ~own).astype(bool)[groups] for own in allowed])
    if not allowed.any(axis=0).all():
        row = int(np.argmin(allowed.any(axis=0)))
        whose = "row" if groups is None else "the group of row"
        raise ValueError(f"known_expert leaves no expert to {whose} {row}.")
    return None if allowed.all() else np.where(allowed, 0.0, -np.inf)


def history_evidence(labels: np.ndarray, past: np.ndarray, by_row: np.ndarray) -> np.ndarray:
    """Return what past rows of their groups say of rows, shape (n_leaves, n).

    Parameters
    ----------
    labels : ndarray of shape (n,)
        Groups of the rows.
    past : ndarray of shape (n_past,)
        Groups of the past rows.
    by_row : ndarray of shape (n_leaves, n_past)
        Log densities of the past rows under each expert.
    """
    if labels.dtype.kind != past.dtype.kind and "U" in (labels.dtype.kind, past.dtype.kind):
        raise ValueError(
            f"groups are such as {shown(labels[0].item())}, but those of history such as "
            f"{shown(past[0].item())}; give labels of one kind."
        )
    found, codes = np.unique(past, return_inverse=True)
    total = np.stack([np.bincount(codes, own, len(found)) for own in by_row])
    at = np.searchsorted(found, labels)
    is_known = found[np.minimum(at, len(found) - 1)] == labels
    return np.where(is_known, total[:, np.where(is_known, at, 0)], 0.0)
