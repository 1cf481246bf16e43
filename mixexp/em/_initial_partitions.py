"""Partitions of the rows that starts are made of, all functions of the weighted data.

Randomness enters as a few directions in the space of features and residuals, as shares of
cumulative weight, and as labels of distinct rows; never as numbers per row. So a row of weight two
starts where two rows of weight one do, whatever their order, and fits on weighted and on repeated
data agree.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from mixexp.data import DenseDesign, RowBlocks
from mixexp.em._hyperplane_splits import (
    Cutter,
    cut_at_random,
    cut_by_residuals,
    project_features,
)
from mixexp.em._initial_params import (
    params_from_responsibilities,
    smooth_labels,
)
from mixexp.em._iteration import advance, begin, in_batches
from mixexp.em._objective import Problem
from mixexp.em._results import Options
from mixexp.model import (
    Model,
    Parameters,
    batch_invariant_product,
    group_heads,
    linear_predictors,
    unstack_parameters,
)
from mixexp.tree import GatingTree

# Of so many drawn partitions the best after a few iterations is a start, where there are so few
# responsibilities that this costs little more than one.
_N_TRIED = 30
_SHORT = Options(15, 0.0, "none")
FEW_RESPONSIBILITIES = 4000
# Rows share points where features have fewer distinct rows than this share of all distinct rows.
FEW_POINTS = 0.9


class Rows(NamedTuple):
    """What partitions are made from.

    Parameters
    ----------
    problem : Problem
    scores : ndarray of shape (n_heads, n_rows)
        Derivatives of the log density at the pooled fit: residuals, for any family.
    weight : ndarray of shape (n_rows,)
    cells : ndarray of shape (n_rows,), int
        Numbers from 0 on, the same for rows that are equal in features and scores.
    n_points : int
        How many distinct rows of features there are.
    """

    problem: Problem
    scores: np.ndarray
    weight: np.ndarray
    cells: np.ndarray
    n_points: int

    @property
    def n_cells(self) -> int:
        return int(self.cells.max(initial=-1)) + 1

    @property
    def share_points(self) -> bool:
        """Whether many rows stand at few points of the features' space, as with dummies."""
        return self.n_points < FEW_POINTS * self.n_cells

    @property
    def are_few(self) -> bool:
        """Whether some more passes over them cost next to nothing."""
        return self.n_cells * self.problem.model.tree.n_leaves <= FEW_RESPONSIBILITIES


#: From the rows and a source of randomness to a leaf for each row, (n_rows,).
Partition = Callable[[Rows, np.random.Generator], np.ndarray]


class Kind(NamedTuple):
    """A kind of start.

    Parameters
    ----------
    partition : Partition
    n_tried : int
        Partitions of which the best after a few iterations is taken, where rows are few.
    """

    partition: Partition
    n_tried: int = 1


def draw_starts(
    problem: Problem, pooled: Parameters, strategy: str, seeds: Sequence[int]
) -> list[Parameters]:
    """Return one start of a named strategy per seed.

    Parameters
    ----------
    problem : Problem
    pooled : Parameters
    strategy : str
        A name in `STARTS`.
    seeds : sequence of int
        The first start of "auto" is the one along residuals.
    """
    if problem.model.tree.n_leaves == 1:  # all rows are its own
        return [pooled] * len(seeds)
    partitions = draw_partitions(problem, pooled, strategy, seeds)
    starts = _fit_partitions(problem, pooled, [labels for some in partitions for labels in some])
    return [_best_of(problem, [starts.pop(0) for _ in some]) for some in partitions]


def _fit_partitions(
    problem: Problem, pooled: Parameters, labels: Sequence[np.ndarray]
) -> list[Parameters]:
    """Return gates and experts fitted to each of some partitions."""
    starts: list[Parameters] = []
    for some in in_batches(problem, labels):
        resp = partial(_smooth_labels_of, np.stack(some), problem.model.tree.n_leaves)
        params = params_from_responsibilities(problem, pooled, resp, len(some))
        starts += unstack_parameters(params)
    return starts


def _best_of(problem: Problem, starts: Sequence[Parameters]) -> Parameters:
    """Return where the best of some starts is after a few iterations; a single one as it is."""
    if len(starts) == 1:
        return starts[0]
    runs = begin(problem, starts, [None] * len(starts), _SHORT)
    advance(problem, runs, _SHORT.max_iter)
    return max(runs, key=lambda run: (not run.is_spurious, run.objective)).standing.alone().params


def draw_partitions(
    problem: Problem, pooled: Parameters, strategy: str, seeds: Sequence[int]
) -> list[list[np.ndarray]]:
    """Return candidates, a leaf for each row, (n_rows,), per seed; see `draw_starts`."""
    weight = np.concatenate([block.weight for block in problem.held.without_features])
    scores = _scores_of_classes(problem, pooled)
    rows = Rows(problem, scores, weight, *_find_cells(problem, scores))
    drawn = []
    for number, seed in enumerate(seeds):
        kind, rng = STARTS[strategy](rows, number), np.random.default_rng(seed)
        drawn.append([_match_known(rows, kind.partition(rows, rng)) for _ in range(kind.n_tried)])
    return drawn


def _match_known(rows: Rows, labels: np.ndarray) -> np.ndarray:
    """Number the parts of a partition so that rows whose leaf is known are in it, as many as can.

    Parameters
    ----------
    rows : Rows
    labels : ndarray of shape (n_rows,), int
    """
    blocks = rows.problem.held
    if blocks.without_features[0].known.evidence is None:
        return labels
    allowed = np.isfinite(
        np.concatenate([block.known.evidence for block in blocks.without_features], axis=1)
    )
    weight = np.where(allowed.all(axis=0), 0.0, rows.weight) / allowed.sum(axis=0)
    parts = np.equal.outer(np.arange(len(allowed)), labels).astype(float)
    _, leaf = linear_sum_assignment(-(parts * weight) @ allowed.T)
    return np.asarray(leaf)[labels]


def _scores_of_classes(problem: Problem, pooled: Parameters) -> np.ndarray:
    """Return what tells rows apart at the pooled fit, the same in all rows of a group.

    Of groups these are their mean gradients: regimes that cross differ in slopes, not in level.
    """
    scores = _pooled_scores(problem, pooled)
    if not problem.held.has_groups:
        return scores
    parts = [
        (scores[:, None, rows] * block.features.to_array()).reshape(-1, rows.stop - rows.start)
        for rows, block in zip(problem.held.partition, problem.held, strict=True)
    ]
    return problem.held.group_means(np.concatenate(parts, axis=1))


def _find_cells(problem: Problem, scores: np.ndarray) -> tuple[np.ndarray, int]:
    """Number the rows that differ in features or scores, and count those that do in features.

    Rows are told apart by their place along one random direction.
    """
    rng = np.random.default_rng(0)
    along = project_features(problem.held, rng)
    n_points = len(np.unique(along))
    along += batch_invariant_product(rng.standard_normal((1, len(scores))), DenseDesign(scores))[0]
    return np.unique(along, return_inverse=True)[1], n_points


def _smooth_labels_of(labels: np.ndarray, n_leaves: int, rows: slice) -> np.ndarray:
    return smooth_labels(labels[..., rows], n_leaves)


# Partitions by cuts, down the tree.

Chooser = Callable[[RowBlocks, np.ndarray, np.ndarray, np.random.Generator], Cutter]


def _by_cuts(choose: Chooser) -> Partition:
    def partition(rows: Rows, rng: np.random.Generator) -> np.ndarray:
        cut = choose(rows.problem.held, rows.scores, rows.weight, rng)
        return _hand_down(rows.problem.model.tree, cut, len(rows.weight))

    return partition


def _hand_down(tree: GatingTree, cut: Cutter, n_rows: int) -> np.ndarray:
    labels = np.zeros(n_rows, dtype=np.int64)
    _split(tree, [0], np.arange(n_rows), cut, labels)
    return labels


def _split(
    tree: GatingTree, nodes: list[int], rows: np.ndarray, cut: Cutter, labels: np.ndarray
) -> None:
    """Hand rows down the tree, halving the list of siblings until one node is left."""
    if len(nodes) == 1:
        if tree.n_children[nodes[0]] == 0:
            labels[rows] = tree.leaf_position(nodes[0])
            return
        nodes = list(tree.children(nodes[0]))
        if len(nodes) == 1:
            _split(tree, nodes, rows, cut, labels)
            return
    half = len(nodes) // 2
    n_leaves = tree.covers[nodes].sum(axis=1)
    is_above = cut(rows, n_leaves[:half].sum() / n_leaves.sum())
    _split(tree, nodes[:half], rows[~is_above], cut, labels)
    _split(tree, nodes[half:], rows[is_above], cut, labels)


def _first_group(model: Model) -> int | None:
    """Return the number of the first family that has coefficients, if any has."""
    return next((g for g in range(len(model.groups)) if model.groups[g].designs), None)


def _by_chance(rows: Rows, rng: np.random.Generator) -> np.ndarray:
    """Draw a leaf for every distinct row.

    Independent of the geometry of the features: where these have few distinct values, as dummies
    have, no cut makes the partitions that matter. Rows that are equal get the same leaf, so that a
    row of weight two is two rows.
    """
    return rng.integers(rows.problem.model.tree.n_leaves, size=rows.n_cells)[rows.cells]


def _auto(rows: Rows, number: int) -> Kind:
    """Cuts, along residuals first; drawn labels in turns with them where cuts see little."""
    if number == 0:
        return Kind(_by_cuts(cut_by_residuals))
    if rows.share_points and number % 4 != 2:
        return Kind(_by_chance, _N_TRIED if rows.are_few else 1)
    if number % 4 == 3:
        return Kind(_by_chance)
    return Kind(_by_cuts(cut_at_random))


#: How the n-th start of a strategy partitions the rows.
STARTS: dict[str, Callable[[Rows, int], Kind]] = {
    "auto": _auto,
    "random": lambda rows, number: Kind(_by_chance),
    "hyperplane": lambda rows, number: Kind(_by_cuts(cut_at_random)),
    "residual": lambda rows, number: Kind(_by_cuts(cut_by_residuals)),
}


def _pooled_scores(problem: Problem, pooled: Parameters) -> np.ndarray:
    """Return the first family's scores at the pooled fit: residuals, for any family.

    Where no family has a head y itself if there are experts of one's own, else zeros, for other
    experts have nothing that could differ by rows.
    """
    model, parts = problem.model, []
    group = _first_group(model)
    if group is None and not model.is_linear:
        y = np.concatenate([block.y for block in problem.held.without_features])
        return ((y - y.mean()) / (y.std() or 1.0))[None]
    if group is None:
        return np.zeros((1, sum(len(block.weight) for block in problem.held.without_features)))
    for block in problem.held:
        eta = linear_predictors(model, pooled, block, batch_invariant_product)
        heads = group_heads(model, eta)[group]
        first = tuple(eta[:1] for eta in heads)
        scores = model.groups[group].family.derivatives(block.targets[group], first).score
        parts.append(np.concatenate([np.broadcast_to(s, (1, len(block.weight))) for s in scores]))
    return np.concatenate(parts, axis=1)
