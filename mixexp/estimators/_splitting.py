"""Starts with one expert more than a fit has: rows of one of its experts are cut in two."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from sklearn.utils.validation import _num_samples

from mixexp.data import single_threaded_blas
from mixexp.em import split_experts
from mixexp.estimators._folds import replace_unknown
from mixexp.tree import GatingTree


class SplitRows(NamedTuple):
    """Responsibilities of a fit, and how each expert's rows are cut in two.

    Parameters
    ----------
    resp : ndarray of shape (n, n_experts)
    at : ndarray of shape (n_used,), int
        Rows with positive weight, in the order of the halves.
    halves : list of ndarray of shape (2, n_used)
        Per expert.
    instability : ndarray of shape (n_experts,)
        How much an expert's coefficients differ between its halves.
    """

    resp: np.ndarray
    at: np.ndarray
    halves: list[np.ndarray]
    instability: np.ndarray

    def start(self, leaf: int, from_leaf: np.ndarray) -> np.ndarray:
        """Return responsibilities where one expert has become two.

        Parameters
        ----------
        leaf : int
            The expert that is split.
        from_leaf : ndarray of shape (1 + n_experts,), int
            The expert that each one of the larger model comes from.
        """
        start = self.resp[:, from_leaf]
        twins = np.flatnonzero(from_leaf == leaf)
        start[:, twins] *= 0.5  # of rows without weight, for which there is no split
        start[np.ix_(self.at, twins)] = self.halves[leaf].T
        return start / start.sum(axis=1, keepdims=True)


def split_rows(
    fitted: Any,
    X: Any,
    y: Any,
    sample_weight: Any,
    given: Mapping[str, Any],
    rng: np.random.Generator,
) -> SplitRows:
    """Return how the experts of a fit could be split; one pass over the data.

    Parameters
    ----------
    fitted : estimator
        Whose experts have linear predictors.
    X, y, sample_weight : array-like
        Of its fit.
    given : mapping of str to object
        Row arguments of its fit.
    rng : Generator
        Draws the directions that experts are split along.
    """
    if hasattr(fitted, "classes_") and y is not None:  # a source is refused below
        weight = fitted._row_weights(sample_weight, _num_samples(X))
        y = replace_unknown(y, fitted._check_target(y), weight)
    with single_threaded_blas():  # for the same bits whatever runs beside it
        problem, chosen = fitted._restore_problem(X, y, sample_weight, given)
        splits = split_experts(problem, fitted.fitted_model_.params, rng)
    resp = fitted.responsibilities(X, y, **given)
    return SplitRows(
        resp,
        np.arange(len(resp)) if chosen is None else chosen,
        [split.resp for split in splits],
        np.array([split.instability for split in splits]),
    )


def split_leaf(tree: GatingTree, leaf: int) -> Any:
    """Return the nested notation of a tree with a gate over two experts in the place of one."""
    return [1, 1] if tree.n_leaves == 1 else _with_gate(tree, int(tree.leaves[leaf]), 0)


def _with_gate(tree: GatingTree, at: int, node: int) -> Any:
    if node == at:
        return [1, 1]
    if tree.n_children[node] == 0:
        return 1
    return [_with_gate(tree, at, child) for child in tree.children(node)]
