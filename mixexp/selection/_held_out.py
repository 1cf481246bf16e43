"""Folds for scores: which rows are fitted to, and which are scored.

Rows of weight zero are as if they were absent: folds by number are drawn among the others, and
those of given folds are not scored.
"""

import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.model_selection import GroupKFold, check_cv
from sklearn.utils import _safe_indexing

from mixexp.arguments import is_whole
from mixexp.data import refuse_dask
from mixexp.estimators._folds import read_splits, replace_unknown, unseen_class
from mixexp.selection._growth import Rows

_DEFAULT_CV = 5


def known_rows(estimator: Any, X: Any, y: Any, per_row: dict[str, Any]) -> Rows:
    """Return the rows of a selection, with classes that fits know where weights are zero."""
    refuse_dask(X, "A choice among fits")
    sample_weight = per_row["sample_weight"]
    if y is not None and sample_weight is not None and is_classifier(estimator):
        labels = estimator._check_target(y)
        y = replace_unknown(y, labels, estimator._row_weights(sample_weight, len(labels)))
    return Rows(X, y, per_row)


def make_folds(cv: Any, rows: Rows, model: Any) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return rows to fit to and rows to score, fold by fold; every class is fitted to.

    Raises
    ------
    ValueError
        If folds of groups, or given ones, hold a class out whole. Other folds leave a row that is
        the only one of its class to the fit.
    """
    cv = _DEFAULT_CV if cv is None else cv
    is_drawn = is_whole(cv)
    labels = model._check_target(rows.y) if is_classifier(model) else None
    weight = model._row_weights(rows.per_row.get("sample_weight"), len(rows.y))
    used = np.flatnonzero(weight > 0.0) if is_drawn else np.arange(len(weight))
    drawn = take_rows(rows, used) if len(used) < len(weight) else rows
    groups = drawn.per_row.get("groups")
    if is_drawn and groups is not None:
        cv = GroupKFold(int(cv))
    of_drawn = labels if labels is None or drawn is rows else labels[used]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class")
        y = drawn.y if of_drawn is None else of_drawn
        is_given = isinstance(cv, Iterable) and not hasattr(cv, "split")
        splitter = None if is_given else check_cv(cv, of_drawn, classifier=of_drawn is not None)
        pairs = cv if splitter is None else splitter.split(drawn.X, y, groups)
        splits = read_splits(pairs, weight[used])
    folds = []
    for train, test in ((used[train], used[test]) for train, test in splits):
        scored = test[weight[test] > 0.0]
        if len(scored):
            folds.append(_with_known_classes(train, scored, labels, weight, is_drawn, groups))
    if not folds:
        raise ValueError("cv holds out no row of positive weight; give other folds.")
    return folds


def _with_known_classes(
    train: np.ndarray,
    test: np.ndarray,
    labels: np.ndarray | None,
    weight: np.ndarray,
    is_drawn: bool,
    groups: Any,
) -> tuple[np.ndarray, np.ndarray]:
    """Return a fold whose fit knows every class that it scores."""
    if labels is None:
        return train, test
    is_known = np.isin(labels[test], labels[train][weight[train] > 0.0])
    if not is_known.all() and not (is_drawn and groups is None):
        raise ValueError(
            f"{unseen_class(labels[test][~is_known][0])} Give folds that split every class as cv, "
            "such as StratifiedKFold(5, shuffle=True) or StratifiedGroupKFold(5), or a criterion "
            "that needs none, such as 'bic'."
        )
    return np.append(train, test[~is_known]), test[is_known]


def take_rows(rows: Rows, chosen: np.ndarray) -> Rows:
    """Return some of the rows."""
    per_row = {
        name: value if np.ndim(value) == 0 else _safe_indexing(value, chosen)
        for name, value in rows.per_row.items()
    }
    return Rows(_safe_indexing(rows.X, chosen), _safe_indexing(rows.y, chosen), per_row)
