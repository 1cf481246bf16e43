"""Partitions of a source, checked as `fit` checks rows, and what is to be known of all of them."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import clone

from mixexp.data import Batch, ColumnMoments, NamedRows, RowArguments, RowSource, Scaling
from mixexp.estimators._features import check_features, refuse_nonfinite_rows
from mixexp.estimators._panels import read_labels
from mixexp.estimators._row_arguments import read_rows, rows_in_order
from mixexp.estimators._validation import check_same_length, check_weights
from mixexp.text import shown

#: Arguments per row that a source may have.
ALLOWED = ("offset", "exposure", "trials", "groups", "known_expert")


class Checked(NamedTuple):
    """Rows of a partition as a fit sees them.

    Parameters
    ----------
    X : ndarray of shape (n, p), ColumnRows or SparseRows
    y : ndarray of shape (n_used,)
    known : RowArguments
    chosen : ndarray of shape (n_used,), int, or None
        Numbers of the rows that are used; None for all.
    given : mapping
        Arguments per row as they were given.
    """

    X: RowSource
    y: np.ndarray
    known: RowArguments
    chosen: np.ndarray | None
    given: Mapping[str, Any]


class Facts(NamedTuple):
    """What a first pass tells of a partition.

    Parameters
    ----------
    names : tuple of str or None
        Of the columns.
    n_features : int
    n_used : int
        Rows of positive weight.
    weight, gate_weight : float
    moments : ColumnMoments
        Of the features.
    labels : ndarray or None
        The distinct y, of classes.
    groups : ndarray or None
        Labels of the groups.
    given : tuple of str
        Which arguments per row there are.
    """

    names: tuple[str, ...] | None
    n_features: int
    n_used: int
    weight: float
    gate_weight: float
    moments: ColumnMoments
    labels: np.ndarray | None
    groups: np.ndarray | None
    given: tuple[str, ...]


class Reader(NamedTuple):
    """Checks the rows of partitions; may be sent to other processes.

    Parameters
    ----------
    shell : estimator
        With the names and classes of the one that is fitted, and none of its data.
    n_leaves : int
    factor : float
        Of all weights.
    expected : sequence of (int, float), optional
        Rows with a positive weight, and their weight, of every partition.
    """

    shell: Any
    n_leaves: int
    factor: float = 1.0
    expected: tuple[tuple[int, float], ...] | None = None

    def read(self, number: int, batch: Batch) -> Checked | None:
        """Return the rows of a partition, None if none has a positive weight.

        Raises
        ------
        ValueError, TypeError
            Naming the partition and what is wrong with it.
        """
        try:
            found = self._read(batch) if _has_rows(batch) else None
        except (ValueError, TypeError) as error:
            kind = TypeError if isinstance(error, TypeError) else ValueError
            raise kind(f"Partition {number} of the source: {error}") from error
        self._check_unchanged(number, found)
        return found

    def _read(self, batch: Batch) -> Checked:
        shell, given = self.shell, _check_given(batch.given)
        X = _check_columns(shell, batch.X)
        if batch.y is None:
            raise ValueError("it has no y; give (X, y), or name the target.")
        y = shell._check_target(batch.y)
        check_same_length(len(X), y)
        if y.ndim == 2:
            raise ValueError(
                f"y has {y.shape[1]} columns, but several targets need rows in memory; fit to "
                "arrays, or to one target at a time."
            )
        weight = check_weights(batch.weight, len(X)) * self.factor
        known = read_rows(given, weight, self.n_leaves)
        if "groups" in given and known.groups is None:
            known = known._replace(groups=np.arange(len(y)))
        if "known_expert" in given and known.evidence is None:
            known = known._replace(evidence=np.zeros((self.n_leaves, len(y))))
        chosen = rows_in_order(known)
        if chosen is not None:
            y, known = y[chosen], known.take(chosen)
        if "regression" in shell._targets or hasattr(shell, "classes_"):
            y = shell._encode_target(y)
        return Checked(X, y, known, chosen, given)

    def _check_unchanged(self, number: int, found: Checked | None) -> None:
        if self.expected is None:
            return
        n_used, weight = (0, 0.0) if found is None else _size_of(found)
        if number >= len(self.expected):
            raise ValueError(
                f"The source gave more partitions than in its first pass, {len(self.expected)}: "
                "every pass has to give the same rows."
            )
        n_before, weight_before = self.expected[number]
        if n_used != n_before or abs(weight - weight_before) > 1e-9 * weight_before:
            raise ValueError(
                f"Partition {number} of the source has changed between passes: {n_used} rows of "
                f"weight {weight:g}, before {n_before} of {weight_before:g}. Every pass has to "
                "give the same rows."
            )


def make_shell(estimator: Any) -> Any:
    """Return an unfitted estimator that checks rows as this one does."""
    return clone(estimator).set_params(init="auto", random_state=None, verbose=0)


def find_facts(reader: Reader, number: int, batch: Batch) -> Facts | None:
    """Return what is to be known of a partition; None if it has no row."""
    shell = clone(reader.shell)
    checked = Reader(shell, reader.n_leaves).read(number, batch)
    if checked is None:
        return None
    first = (
        np.ones(len(checked.y))
        if checked.known.groups is None
        else np.diff(checked.known.groups, prepend=-1)
    )
    is_class = "regression" not in shell._targets
    n_used, weight = _size_of(checked)
    names = getattr(shell, "feature_names_in_", None)
    return Facts(
        None if names is None else tuple(map(str, names)),
        int(shell.n_features_in_),
        n_used,
        weight,
        float(checked.known.weight @ (first != 0)),
        ColumnMoments.of(checked.X, checked.known.weight, checked.chosen),
        np.unique(checked.y) if is_class else None,
        _labels_of_groups(checked, len(checked.X)),
        tuple(sorted(checked.given)),
    )


def _labels_of_groups(checked: Checked, n: int) -> np.ndarray | None:
    if "groups" not in checked.given:
        return None
    return np.unique(read_labels(checked.given["groups"], "groups", n))


def merge_facts(found: list[Facts | None]) -> tuple[Facts, Scaling]:
    """Return the facts of all rows, and the scaling of their features.

    Raises
    ------
    ValueError
        If columns or arguments differ between partitions, a group is in several, or there is no
        row.
    """
    numbered = [(number, facts) for number, facts in enumerate(found) if facts is not None]
    if not numbered:
        raise ValueError("The source has no row of positive weight.")
    first, total = numbered[0][1], numbered[0][1]
    for number, facts in numbered[1:]:
        for what, own, before in (
            ("columns", facts.names, first.names),
            ("a number of columns of", facts.n_features, first.n_features),
            ("the arguments per row", facts.given, first.given),
        ):
            if own != before:
                raise ValueError(
                    f"Partition {number} of the source has {what} {shown(own)}, but partition "
                    f"{numbered[0][0]} has {shown(before)}; give the same in all."
                )
        total = total._replace(
            n_used=total.n_used + facts.n_used,
            weight=total.weight + facts.weight,
            gate_weight=total.gate_weight + facts.gate_weight,
            moments=total.moments.plus(facts.moments),
            labels=_union(total.labels, facts.labels),
        )
    _check_whole_groups([facts.groups for _, facts in numbered])
    return total, total.moments.scaling()


def _check_whole_groups(labels: list[np.ndarray | None]) -> None:
    known = [own for own in labels if own is not None]
    if not known:
        return
    every, count = np.unique(np.concatenate(known), return_counts=True)
    if (count > 1).any():
        raise ValueError(
            f"Group {shown(every[np.argmax(count > 1)].item())} has rows in several partitions of "
            "the source; sort the rows by group, and cut them between groups."
        )


def _union(first: np.ndarray | None, second: np.ndarray | None) -> np.ndarray | None:
    return None if first is None or second is None else np.union1d(first, second)


def _size_of(checked: Checked) -> tuple[int, float]:
    return len(checked.y), float(checked.known.weight.sum())


def _has_rows(batch: Batch) -> bool:
    if batch.weight is not None and not np.any(np.asarray(batch.weight) != 0):
        return False
    X = batch.X.values if isinstance(batch.X, NamedRows) else batch.X
    return (X.shape[0] if hasattr(X, "shape") else len(X)) > 0


def _check_given(given: Mapping[str, Any]) -> dict[str, Any]:
    for name in given:
        if name not in ALLOWED:
            raise ValueError(
                f"{shown(name)} is no argument per row that a source may have; these are "
                f"{list(ALLOWED)}. For others give arrays."
            )
    return {name: value for name, value in given.items() if value is not None}


def _check_columns(shell: Any, X: Any) -> Any:
    """Return the features of a partition, whose number and names the shell learns or compares."""
    if not isinstance(X, NamedRows):
        return check_features(shell, X, reset=not hasattr(shell, "n_features_in_"))
    if not hasattr(shell, "n_features_in_"):
        shell.n_features_in_ = len(X.names)
        shell.feature_names_in_ = np.array(X.names, dtype=object)
    known = getattr(shell, "feature_names_in_", None)
    if known is not None and list(known) != X.names:
        raise ValueError(f"its columns are {X.names}, but those of the fit {list(known)}.")
    refuse_nonfinite_rows(X.values, np.array(X.names, dtype=object), frozenset())
    return X.values
