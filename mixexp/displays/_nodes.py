"""What the nodes of a tree of gates say: their probabilities, names, looks and worth."""

import warnings
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import clone

from mixexp.arguments import as_array
from mixexp.displays._source import Source
from mixexp.displays._style import ExpertStyle
from mixexp.exceptions import DegenerateExpertWarning, RankDeficientWarning, SeparationWarning
from mixexp.model import ExpertGroup
from mixexp.tree import GatingTree


def conditional_gates(source: Source, X: Any) -> np.ndarray:
    """Return the probability of each edge, given that its node is reached.

    From the coefficients, not by dividing probabilities of leaves, for those underflow where
    a node is hardly ever reached.

    Parameters
    ----------
    source : Source
    X : array-like of shape (n, n_features)
        Raw rows.

    Returns
    -------
    ndarray of shape (n, n_edges)
        Siblings sum to one.
    """
    model, tree = source.model, source.tree
    seen = np.asarray(source.transform(X), dtype=float)[:, model.gate_features_]
    logits = model.gate_intercept_ + seen @ model.gate_coef_.T
    out = np.empty_like(logits)
    for node in tree.inner_nodes:
        edges = tree.edges(node)
        odds = np.exp(logits[:, edges] - logits[:, edges].max(axis=1, keepdims=True))
        out[:, edges] = odds / odds.sum(axis=1, keepdims=True)
    return out


def sum_below(tree: GatingTree, by_leaf: np.ndarray) -> np.ndarray:
    """Return sums over the leaves at or below each node, shape (n, n_nodes), of (n, n_leaves)."""
    return by_leaf @ tree.covers.T


def node_label(tree: GatingTree, names: list[str], node: int) -> str:
    """Return a node's name and, for one inside the tree, the experts below it."""
    if node == 0 or tree.n_children[node] == 0:
        return names[node]
    below = np.flatnonzero(tree.covers[node])
    span = f"{below[0]}" if len(below) == 1 else f"{below[0]}-{below[-1]}"
    return f"{names[node]} (experts {span})"


def node_styles(tree: GatingTree, styles: list[ExpertStyle]) -> list[ExpertStyle]:
    """Return how each node is drawn: leaves as experts, others in the mean of their colours."""
    return [
        _blend([styles[k] for k in np.flatnonzero(tree.covers[node])])
        for node in range(tree.n_nodes)
    ]


def _blend(styles: list[ExpertStyle]) -> ExpertStyle:
    if len(styles) == 1:
        return styles[0]
    color = np.mean([style.color for style in styles], axis=0)
    return ExpertStyle(color, styles[0].marker, styles[0].dashes, styles[0].hatch)


def cut_deviances(
    source: Source, X: Any, y: Any, weight: np.ndarray, known: dict[str, Any]
) -> np.ndarray | None:
    """Return minus twice the log-likelihood of the tree cut at each node.

    The gates above a cut and all other experts stay as they are; below it stands one expert
    of the family with the most rows there, fitted to the rows in proportion to the node's
    posterior. Leaves have the deviance of the whole tree.

    Parameters
    ----------
    source : Source
    X : array-like of shape (n, n_features)
        Raw rows.
    y : array-like of shape (n,)
    weight : ndarray of shape (n,)
        Sample weights.
    known : dict of str to array
        Row arguments, those that are given.

    Returns
    -------
    ndarray of shape (n_nodes,) or None
        Infinite where no family below the node could have drawn every y. None with
        ``truncation``, which is of the mixture as a whole, and with ``known_expert``.

    Notes
    -----
    One fit of a single expert per inner node.
    """
    if "truncation" in known or "known_expert" in known:
        return None
    model, seen = source.model, source.transform(X)
    tree = model.tree_
    units = _read_units(known.get("groups"), len(weight))
    prior = units.first(sum_below(tree, model.gate_proba(seen)))
    resp = model.responsibilities(seen, y, **known)
    all_reached = sum_below(tree, resp)
    reached, unit_weight = units.first(all_reached), units.first(weight)
    log_density = units.total(model.log_density(seen, y, **known))
    numbers, y = source.read_interval(y, known)[0], source.as_numbers(y)
    numbers = y if source.is_classifier else source.check_target(numbers)
    out = np.full(tree.n_nodes, -2.0 * _weighted_sum(log_density, unit_weight))
    tiny = np.finfo(float).tiny
    for node in tree.inner_nodes:
        below = np.flatnonzero(tree.covers[node])
        by_mass = below[np.argsort(-(weight @ resp[:, below]), kind="stable")]
        family = _first_that_can(model, by_mass, numbers, weight > 0.0, known)
        if family is None:
            out[node] = np.inf
            continue
        # None is zero that was not before, for a class without weight would be unknown.
        share = weight * np.maximum(all_reached[:, node], 1e-10)
        single = _fit_single(model, family, seen, y, share, known)
        instead = units.total(single.log_density(seen, y, **known))
        instead += np.log(np.maximum(prior[:, node], tiny))
        rest = log_density + np.log(np.maximum(1.0 - reached[:, node], tiny))
        out[node] = -2.0 * _weighted_sum(np.logaddexp(rest, instead), unit_weight)
    return out


class _Units(NamedTuple):
    """What shares an expert: rows, or groups of them.

    Parameters
    ----------
    number : ndarray of shape (n,), int
        Which unit a row belongs to.
    at : ndarray of shape (n_units,), int
        The first row of each.
    """

    number: np.ndarray
    at: np.ndarray

    def first(self, values: np.ndarray) -> np.ndarray:
        """Return what is the same in all rows of a unit."""
        return values[self.at]

    def total(self, values: np.ndarray) -> np.ndarray:
        """Return sums over the rows of each unit."""
        return np.bincount(self.number, values)


def _read_units(groups: Any, n: int) -> _Units:
    labels = np.arange(n) if groups is None else as_array(groups, "groups")
    _, at, number = np.unique(labels, return_index=True, return_inverse=True)
    return _Units(number, at)


def _weighted_sum(log_density: np.ndarray, weight: np.ndarray) -> float:
    """Return a log-likelihood; a row of weight zero may be impossible."""
    return float((weight * np.where(weight > 0.0, log_density, 0.0)).sum())


def _first_that_can(
    model: Any, leaves: np.ndarray, y: Any, is_used: np.ndarray, known: dict[str, Any]
) -> Any:
    """Return the first family that could have drawn every y, None if there is none."""
    if hasattr(model, "classes_"):
        return model.experts_[leaves[0]]
    target = np.asarray(y, dtype=float).ravel()
    trials = known.get("trials")
    counts = None if trials is None else np.asarray(trials, dtype=float)
    for leaf in leaves:
        family = model.experts_[leaf]
        seen = ExpertGroup(family, leaves, ()).target(target, counts)
        if family.heads and not family.find_unsupported(seen)[is_used].any():
            return family
    return None


def _fit_single(
    model: Any, family: Any, X: Any, y: Any, weight: np.ndarray, known: dict[str, Any]
) -> Any:
    """Fit one expert with the options of a model to weighted rows."""
    size = {"tree": (1,)} if "tree" in model.get_params(deep=False) else {"n_experts": 1}
    options = {"expert": family, "init": "auto", "n_init": 1, "verbose": 0}
    # Weights are numbers of rows by now, or shares of them.
    single = clone(model).set_params(**size, **options, weight_type="frequency")
    with warnings.catch_warnings():
        # These concern a model that is only a yardstick, and that nobody gets to see.
        for category in (DegenerateExpertWarning, RankDeficientWarning, SeparationWarning):
            warnings.simplefilter("ignore", category)
        return single.fit(X, y, sample_weight=weight, **known)
