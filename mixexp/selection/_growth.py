"""Starts of a fit with one expert more, made of the fit before: one of its experts is split."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import clone

from mixexp.data import single_threaded_blas
from mixexp.em import split_experts
from mixexp.gates import SoftmaxGates
from mixexp.model import FittedModel, Model, Parameters
from mixexp.selection._families import share_families
from mixexp.selection._trees import find_splits
from mixexp.tree import GatingTree

# The experts whose coefficients are least stable are split, so many of them.
_N_SPLITS = 3


class Rows(NamedTuple):
    """The rows of a fit.

    Parameters
    ----------
    X, y : array-like
        As the user gave them.
    per_row : dict
        Arguments of `fit` by name, ``sample_weight`` among them; None for those not given.
    """

    X: Any
    y: Any
    per_row: dict[str, Any]

    @property
    def offsets(self) -> dict[str, Any]:
        """What is known of rows without their weights."""
        return {name: value for name, value in self.per_row.items() if name != "sample_weight"}


def find_growths(fitted: Any, tree: GatingTree, families: Sequence[Any]) -> dict[int, np.ndarray]:
    """Return how experts of a fit could be split to make a larger model.

    As `find_splits`, but for splits that would put a family in the place of another; none of models
    with someone else's estimators, whose state is no coefficients to copy.

    Parameters
    ----------
    fitted : estimator
    tree : GatingTree
    families : sequence of Expert
        Of the larger model, one per leaf.
    """
    if not fitted.fitted_model_.model.is_linear:
        return {}
    return {
        leaf: origin
        for leaf, origin in find_splits(fitted.tree_, tree).items()
        if share_families(
            fitted.experts_, families, _leaf_origins(fitted.tree_, tree, origin).tolist()
        )
    }


def split_starts(
    fitted: Any,
    tree: GatingTree,
    growths: Mapping[int, np.ndarray],
    rows: Rows,
    rng: np.random.Generator,
) -> list[np.ndarray]:
    """Return responsibilities to start a larger tree from, the most promising split first.

    Parameters
    ----------
    fitted : estimator
    tree : GatingTree
    growths : mapping of int to ndarray
        Of `find_growths`.
    rows : Rows
        Of the fit.
    rng : Generator
        Draws the directions that experts are split along.

    Returns
    -------
    list of ndarray of shape (n, n_leaves)

    Notes
    -----
    One pass over the data, and n times (p + 3 n_leaves) numbers of memory.
    """
    with single_threaded_blas():  # for the same bits whatever runs beside it
        problem, chosen = fitted._restore_problem(
            rows.X, rows.y, rows.per_row["sample_weight"], rows.offsets
        )
        splits = split_experts(problem, fitted.fitted_model_.params, rng)
    ranked = sorted(growths, key=lambda leaf: -splits[leaf].instability)[:_N_SPLITS]
    resp = fitted.responsibilities(rows.X, rows.y, **rows.offsets)
    at = np.arange(len(resp)) if chosen is None else chosen
    starts = []
    for leaf in ranked:
        from_leaf = _leaf_origins(fitted.tree_, tree, growths[leaf])
        start = resp[:, from_leaf]
        halves = np.flatnonzero(from_leaf == leaf)
        start[:, halves] *= 0.5  # of rows without weight, for which there is no split
        start[np.ix_(at, halves)] = splits[leaf].resp.T
        starts.append(start / start.sum(axis=1, keepdims=True))
    return starts


def duplicate_expert(fitted: Any, tree: GatingTree, origin: np.ndarray) -> Any:
    """Return an estimator with a larger tree that says what a fitted one says.

    An expert is there twice, each with half of its probability: the same density, so that no
    fit that starts from here has a lower log-likelihood.

    Parameters
    ----------
    fitted : estimator
    tree : GatingTree
    origin : ndarray of shape (n_nodes,), int
        One of those of `find_growths`.
    """
    state = fitted.fitted_model_
    from_leaf = _leaf_origins(fitted.tree_, tree, origin)
    grown = []
    for group, heads in zip(state.model.groups, state.params.experts, strict=True):
        leaves = np.flatnonzero(np.isin(from_leaf, group.leaves))
        place = np.searchsorted(group.leaves, from_leaf[leaves])
        own = tuple(coef[place] for coef in heads)
        grown.append((group._replace(leaves=leaves), own))
    grown.sort(key=lambda pair: int(pair[0].leaves[0]))  # the order that a fit gives them
    model = Model(
        tree,
        tuple(group for group, _ in grown),
        state.model.designs,
        SoftmaxGates.everywhere(tree, state.model.slot_designs[0]),
        state.model.penalty,
    )
    gate = _duplicate_gate(state.params.gates[0], tree, origin)
    params = Parameters((gate,), tuple(own for _, own in grown))
    duplicated = clone(fitted)
    duplicated.fitted_model_ = FittedModel(model, params, state.scaling)
    return duplicated


def _leaf_origins(smaller: GatingTree, tree: GatingTree, origin: np.ndarray) -> np.ndarray:
    """Return the leaf of the smaller tree that each leaf comes from."""
    return np.array([smaller.leaf_position(int(node)) for node in origin[tree.leaves]])


def _duplicate_gate(gate: np.ndarray, tree: GatingTree, origin: np.ndarray) -> np.ndarray:
    """Return gates that share the probability of a node among those that come from it."""
    grown = np.zeros((tree.n_edges, gate.shape[1]))
    for node, children in _families(tree):
        for child in children:
            if origin[child] == origin[node]:
                continue  # below a new gate: both as probable
            grown[child - 1] = gate[origin[child] - 1]
            grown[child - 1, 0] -= np.log(np.sum(origin[children] == origin[child]))
        edges = tree.edges(node)
        grown[edges] -= grown[edges].mean(axis=0)
    return grown


def _families(tree: GatingTree) -> Iterator[tuple[int, np.ndarray]]:
    """Yield every inner node and its children."""
    for node in tree.inner_nodes.tolist():
        yield node, np.array(tree.children(node))
