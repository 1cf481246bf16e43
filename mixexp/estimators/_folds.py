"""Folds of rows for a choice by held-out log density, and what was held out.

Rows are held out by a weight of zero, so that nothing is copied, whatever X and the row arguments
are. Folds are drawn among rows with positive weight: a row of weight zero is as if it were absent.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from mixexp.arguments import as_array, is_listed, is_whole, replace_absent
from mixexp.estimators._panels import read_labels
from mixexp.text import shown


class Fold(NamedTuple):
    """Rows that a model is fitted to, and rows that it is asked about.

    Parameters
    ----------
    weight : ndarray of shape (n,)
        Of the rows that it is fitted to, zero for others.
    test : ndarray of shape (n_test,), int
    """

    weight: np.ndarray
    test: np.ndarray


class HeldOut(NamedTuple):
    """Which rows were held out, fold by fold, and how they count.

    Parameters
    ----------
    weight : ndarray of shape (n_held,)
    unit : ndarray of shape (n_held,), int
        Number of the row, or of its group.
    is_sampled : bool
        Whether weights stand for rows of a population, and not for like rows: then squared
        deviations have squared weights.
    inflation : float
        What standard errors of differences are multiplied by, see `difference`.
    """

    weight: np.ndarray
    unit: np.ndarray
    is_sampled: bool
    inflation: float

    @classmethod
    def of_folds(
        cls, folds: list["Fold"], weight: np.ndarray, groups: Any, is_sampled: bool
    ) -> "HeldOut":
        """Return what folds have held out."""
        tested = np.concatenate([fold.test for fold in folds])
        shares = [weight[fold.test].sum() / fold.weight.sum() for fold in folds]
        inflation = np.sqrt(1.0 + np.sum(shares))
        units = number_units(groups, len(weight))
        return cls(weight[tested], units[tested], is_sampled, float(inflation))

    def difference(self, best: np.ndarray, other: np.ndarray) -> tuple[float, float]:
        """Return mean and standard error of a difference of values.

        Fits of different folds share most of their rows and err alike, so that held-out rows are
        no independent witnesses: the variance is multiplied by 1 + (number of folds) * (rows held
        out) / (rows fitted to), 2.25 for five folds (Nadeau & Bengio 2003, Machine Learning 52).
        """
        with np.errstate(invalid="ignore"):
            gap = np.where(best == other, 0.0, best - other)
        mean, error = self.mean(gap)
        return mean, self.inflation * error

    def mean(self, values: np.ndarray) -> tuple[float, float]:
        """Return weighted mean and standard error of a value per held-out row.

        Of groups, which count as one observation each, a ratio of sums.
        """
        total = float(self.weight.sum())
        mean = float(np.sum(self.weight * values) / total)
        if not np.isfinite(mean):
            return mean, np.nan
        scale = self.weight if self.is_sampled else np.sqrt(self.weight)
        deviation = np.bincount(self.unit, scale * (values - mean))
        return mean, float(np.sqrt(np.sum(deviation**2))) / total


def make_folds(
    cv: Any,
    rows: tuple[Any, Any],
    weight: np.ndarray,
    labels: np.ndarray | None,
    given: Mapping[str, Any],
    seed: int,
) -> list[Fold]:
    """Return folds of the rows with positive weight.

    Parameters
    ----------
    cv : int, splitter or list of pairs
    rows : (X, y)
        As the user gave them.
    weight : ndarray of shape (n,)
    labels : ndarray of shape (n,) or None
        Classes, which are spread evenly over folds; a class of one row is in every fit.
    given : mapping of str to object
        Row arguments; groups stay whole.
    seed : int

    Raises
    ------
    ValueError, TypeError
        If there are fewer rows, or groups, than folds, ``cv`` makes none of the rows, or a class
        is in one fold alone.
    """
    groups = given.get("groups")
    codes = number_units(groups, len(weight))
    if not is_whole(cv):
        folds = _given_folds(cv if is_listed(cv) else cv.split(*rows, groups), weight)
        if labels is not None:
            _check_classes(folds, labels)
        return folds
    number = _fold_of_unit(codes, weight, labels if groups is None else None, int(cv), seed)
    folds = [
        Fold(np.where(number == fold, 0.0, weight), np.flatnonzero(number == fold))
        for fold in range(int(cv))
    ]
    if labels is not None and groups is not None:
        _check_classes(folds, labels)
    return [fold for fold in folds if len(fold.test)]


def number_units(groups: Any, n: int) -> np.ndarray:
    """Return the number of each row's group, that of the row itself without groups."""
    if groups is None:
        return np.arange(n)
    return np.unique(read_labels(groups, "groups", n), return_inverse=True)[1]


def replace_unknown(y: Any, labels: np.ndarray | None, weight: np.ndarray) -> Any:
    """Return y for densities under fits to the rows: with labels that these fits know.

    Parameters
    ----------
    y : array-like
        As the user gave it.
    labels : ndarray of shape (n,) or None
        Its classes, None where it has none.
    weight : ndarray of shape (n,)
        A class of rows of weight zero alone is unknown. It becomes one of the others, for such
        rows do not count.
    """
    if labels is None:
        return y
    return replace_absent(y, labels, np.unique(labels[weight > 0.0]), weight)


def _given_folds(split: Iterable[Any], weight: np.ndarray) -> list[Fold]:
    """Return the folds of pairs of rows; those that hold out nothing with weight are left out."""
    folds = []
    for train, test in read_splits(split, weight):
        is_used = np.zeros(len(weight), dtype=bool)
        is_used[train] = True
        folds.append(Fold(np.where(is_used, weight, 0.0), test[weight[test] > 0.0]))
    if not any(len(fold.test) for fold in folds):
        raise ValueError("The folds of 'cv' hold out no row of positive weight.")
    return [fold for fold in folds if len(fold.test)]


def read_splits(split: Iterable[Any], weight: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the pairs of a ``cv`` as numbers of rows.

    Parameters
    ----------
    split : iterable
        Rows to fit to and rows to hold out, by number or mask.
    weight : ndarray of shape (n,)

    Raises
    ------
    ValueError
        If it holds anything else, or rows to fit to have no weight.
    """
    found = []
    for number, pair in enumerate(split):
        if not (is_listed(pair) and len(pair) == 2):
            raise ValueError(
                f"Fold {number} of 'cv' must be a pair, numbers of the rows to fit to and of those "
                f"to hold out. Got {shown(pair)}."
            )
        train, test = (_read_rows(rows, f"Fold {number} of 'cv'", len(weight)) for rows in pair)
        if not np.any(weight[train] > 0.0):
            raise ValueError(f"Fold {number} of 'cv' has no rows of positive weight to fit to.")
        found.append((train, test))
    return found


def _read_rows(rows: Any, name: str, n: int) -> np.ndarray:
    """Return numbers of rows, of what may be a mask of all."""
    found = as_array(rows, name)
    if found.dtype == bool and found.shape == (n,):
        return np.flatnonzero(found)
    is_number = found.ndim == 1 and (found.dtype.kind in "iu" or not len(found))
    if not is_number or not np.all((found >= 0) & (found < n)):
        raise ValueError(
            f"{name} must hold numbers of rows, from 0 to {n - 1}, or a mask of all {n}. "
            f"Got {shown(rows)}."
        )
    return found.astype(np.int64)


def _fold_of_unit(
    codes: np.ndarray, weight: np.ndarray, labels: np.ndarray | None, n_folds: int, seed: int
) -> np.ndarray:
    """Return the fold of each row, -1 for those that are never held out."""
    used = np.unique(codes[weight > 0.0])
    if len(used) < n_folds:
        what = "rows with positive weight" if len(codes) == codes.max() + 1 else "groups"
        raise ValueError(
            f"Found n_samples={len(weight)} with {len(used)} {what}, fewer than the {n_folds} "
            "folds that a parameter of 'auto' is chosen by; give the parameter a value, fewer "
            "folds by Auto(cv=...), or more rows."
        )
    rng = np.random.default_rng(seed)
    order = rng.permutation(used)
    of_unit = np.full(int(codes.max()) + 1, -1)
    if labels is not None:  # the rows of a class one after another, a class of one row left out
        seen = labels[order]
        counts = dict(zip(*np.unique(seen, return_counts=True), strict=True))
        order = order[np.argsort(seen, kind="stable")]
        order = np.array([unit for unit in order if counts[labels[unit]] > 1], dtype=np.int64)
    of_unit[order] = np.arange(len(order)) % n_folds
    return np.where(weight > 0.0, of_unit[codes], -1)


def unseen_class(label: Any) -> str:
    """Return what is wrong with a fold that holds a class out whole.

    A fit to the rest gives such rows a probability of zero, and without them the score would be
    one of the other classes alone.
    """
    return (
        f"All rows of class {shown(np.asarray(label).tolist())} are held out by one fold, so that "
        "the fit to the rest does not know it, and the log density of these rows is -inf."
    )


def _check_classes(folds: list[Fold], labels: np.ndarray) -> None:
    for fold in folds:
        missing = np.setdiff1d(labels[fold.test], labels[fold.weight > 0.0])
        if len(missing):
            raise ValueError(
                f"{unseen_class(missing[0])} It is too rare for a parameter of 'auto' and these "
                "folds: give the parameter a value, or folds that split every class by "
                "Auto(cv=...), such as StratifiedKFold(5, shuffle=True)."
            )
