"""Partitions of the rows that starts are made of, all functions of the weighted data.

Randomness enters as a few directions in the space of features and residuals, as shares of
cumulative weight, and as labels of distinct rows; never as numbers per row. So a row of weight two
starts where two rows of weight one do, whatever their order, and fits on weighted and on repeated
data agree.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np

from mixexp.data import Block, cut_rows
from mixexp.em._hyperplane_splits import (
    Cutter,
    cut_at_random,
    cut_by_residuals,
    cut_where_unstable,
    is_above_quantile,
    project_features,
)
from mixexp.em._initial_params import (
    params_from_responsibilities,
    smooth_labels,
    supported_block,
)
from mixexp.em._iteration import Options, advance, begin, in_batches, run_em
from mixexp.em._objective import Problem
from mixexp.gates import SoftmaxGates
from mixexp.model import (
    Model,
    Parameters,
    Posterior,
    batch_invariant_product,
    group_heads,
    linear_predictors,
    posterior_of_block,
    unstack_parameters,
)
from mixexp.tree import GatingTree

# What is learned of a part of the rows, to partition them, is learned in a few iterations.
_N_ITERATIONS = 10
_ROUGH = Options(_N_ITERATIONS, 1e-4, "none")
# Of so many drawn partitions the best after a few iterations is a start, where there are so few
# responsibilities that this costs little more than one.
_N_TRIED = 30
_SHORT = Options(15, 0.0, "none")
_FEW_RESPONSIBILITIES = 4000
# Rows share points where features have fewer distinct rows than this share of all distinct rows.
_FEW_POINTS = 0.9
# A part of less than this share of the weight is not what a gate would start from.
_LEAST_SHARE = 0.05
# A local expert sees this share of what would be an expert's part of the rows.
_NEIGHBOURHOOD = 0.5
# How much worse than the mean a row may be fitted before it counts no more: an outlier is
# not a regime.
_MOST_LOSS = 3.0


class Rows(NamedTuple):
    """What partitions are made from.

    Parameters
    ----------
    problem : Problem
    pooled : Parameters
    scores : ndarray of shape (n_heads, n_rows)
        Derivatives of the log density at the pooled fit: residuals, for any family.
    weight : ndarray of shape (n_rows,)
    cells : ndarray of shape (n_rows,), int
        Numbers from 0 on, the same for rows that are equal in features and scores.
    n_points : int
        How many distinct rows of features there are.
    """

    problem: Problem
    pooled: Parameters
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
        return self.n_points < _FEW_POINTS * self.n_cells

    @property
    def are_few(self) -> bool:
        """Whether some more passes over them cost next to nothing."""
        return self.n_cells * self.problem.model.tree.n_leaves <= _FEW_RESPONSIBILITIES


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
    weight = np.concatenate([block.weight for block in problem.blocks.bare])
    scores = _pooled_scores(problem, pooled)
    rows = Rows(problem, pooled, scores, weight, *_find_cells(problem, scores))
    drawn = []
    for number, seed in enumerate(seeds):
        kind, rng = STARTS[strategy](rows, number), np.random.default_rng(seed)
        drawn.append([kind.partition(rows, rng) for _ in range(kind.n_tried)])
    return drawn


def _find_cells(problem: Problem, scores: np.ndarray) -> tuple[np.ndarray, int]:
    """Number the rows that differ in features or scores, and count those that do in features.

    Rows are told apart by their place along one random direction.
    """
    rng = np.random.default_rng(0)
    along = project_features(problem.blocks, rng)
    n_points = len(np.unique(along))
    along += batch_invariant_product(rng.standard_normal((1, len(scores))), scores)[0]
    return np.unique(along, return_inverse=True)[1], n_points


def _smooth_labels_of(labels: np.ndarray, n_leaves: int, rows: slice) -> np.ndarray:
    return smooth_labels(labels[..., rows], n_leaves)


# Partitions by cuts, down the tree.

Chooser = Callable[[Sequence[Block], np.ndarray, np.ndarray, np.random.Generator], Cutter]


def _by_cuts(choose: Chooser) -> Partition:
    def partition(rows: Rows, rng: np.random.Generator) -> np.ndarray:
        cut = choose(rows.problem.blocks, rows.scores, rows.weight, rng)
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


# Partitions by small fits.


def _by_pairs(rows: Rows, rng: np.random.Generator) -> np.ndarray:
    """Hand rows down the tree, at each cut to the better of two experts fitted to these rows."""
    g = _first_group(rows.problem.model)
    if g is None:
        return _by_cuts(cut_at_random)(rows, rng)
    cut_first = cut_at_random(rows.problem.blocks, rows.scores, rows.weight, rng)

    def cut(own: np.ndarray, share: float) -> np.ndarray:
        is_above = cut_first(own, share)
        if is_above.all() or not is_above.any():
            return is_above
        pair = _part_of(rows, g, own, n_experts=2)
        labels = np.zeros(len(rows.weight), dtype=np.int64)
        labels[own[is_above]] = 1
        resp = partial(_smooth_labels_of, labels[None], 2)
        begun = params_from_responsibilities(pair, _pooled_of(rows, g, 2), resp, 1)
        (start,) = unstack_parameters(begun)
        params = run_em(pair, start, _ROUGH).evaluation.params
        found = np.concatenate([block.node_resp[2] for block in _posteriors(pair, params)])[own]
        return _nearest_to_share(found, rows.weight[own], share)

    return _hand_down(rows.problem.model.tree, cut, len(rows.weight))


def _nearest_to_share(resp: np.ndarray, weight: np.ndarray, share: float) -> np.ndarray:
    """Part rows by their more probable expert, the larger part to where more leaves are."""
    is_above = resp > 0.5
    below = float(weight[~is_above].sum() / weight.sum())
    if abs(1.0 - below - share) < abs(below - share):
        is_above, resp, below = ~is_above, 1.0 - resp, 1.0 - below
    if not _LEAST_SHARE < below < 1.0 - _LEAST_SHARE:
        return is_above_quantile(resp, weight, share)
    return is_above


def _by_neighbourhoods(rows: Rows, rng: np.random.Generator) -> np.ndarray:
    """Give rows to the best of experts that are each fitted to the surroundings of one row.

    These rows are drawn like the centres of k-means++ (Arthur & Vassilvitskii 2007, section
    2.2), with what the experts so far lose at a row in place of its squared distance: so
    distance is one between regressions, not between rows.
    """
    problem, weight = rows.problem, rows.weight
    g = _first_group(problem.model)
    if g is None:
        return _by_cuts(cut_at_random)(rows, rng)
    places = np.concatenate(
        [np.concatenate([block.features[1:] for block in problem.blocks], axis=1), rows.scores]
    )
    spread = np.sqrt(np.average(places**2, axis=1, weights=weight))
    places = places / np.where(spread > 0.0, spread, 1.0)[:, None]
    n_leaves, loss, found = problem.model.tree.n_leaves, np.ones(len(weight)), list[np.ndarray]()
    for _ in range(n_leaves):
        along = batch_invariant_product(rng.standard_normal((1, len(places))), places)[0]
        seed = _draw_row(along, weight * loss, float(rng.uniform()))
        distance = ((places - places[:, seed, None]) ** 2).sum(axis=0)
        near = ~is_above_quantile(distance, weight, _NEIGHBOURHOOD / n_leaves)
        local = _part_of(rows, g, np.flatnonzero(near), n_experts=1)
        params = run_em(local, _pooled_of(rows, g, 1), _ROUGH).evaluation.params
        found.append(np.concatenate([b.log_density for b in _posteriors(local, params)]))
        loss = _bounded_loss(np.max(found, axis=0), weight)
    labels = np.argmax(found, axis=0)
    # Experts that are neighbours in some direction are neighbours in the tree.
    along = project_features(problem.blocks, rng)
    mass = np.bincount(labels, weight, n_leaves)
    means = np.bincount(labels, weight * along, n_leaves) / np.where(mass > 0.0, mass, 1.0)
    return np.argsort(np.argsort(means))[labels]


def _draw_row(along: np.ndarray, mass: np.ndarray, share: float) -> int:
    """Return the row at a share of the cumulative mass, rows taken in a given order."""
    order = np.argsort(along, kind="stable")
    reached = np.cumsum(mass[order])
    return int(order[min(np.searchsorted(reached, share * reached[-1]), len(order) - 1)])


def _bounded_loss(log_density: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return how much less than the best row each is explained; no outlier has all of it."""
    finite = np.isfinite(log_density)
    loss = np.zeros(len(log_density))
    if finite.any():
        loss[finite] = log_density[finite].max() - log_density[finite]
    mean = np.average(loss, weights=weight)
    return np.minimum(loss, _MOST_LOSS * mean) if mean > 0.0 else np.ones(len(loss))


def _first_group(model: Model) -> int | None:
    """Return the number of the first family that has coefficients, if any has."""
    return next((g for g in range(len(model.groups)) if model.groups[g].designs), None)


def _part_of(rows: Rows, g: int, own: np.ndarray, n_experts: int) -> Problem:
    """Return the problem of a few experts of one family on a part of the rows.

    The other rows are there without weight, so that something can be said of them.
    """
    problem = rows.problem
    weight = np.zeros(len(rows.weight))
    weight[own] = rows.weight[own]
    parts = [weight[at] for at in cut_rows(len(weight))]
    blocks = problem.blocks.refine(partial(supported_block, g=g)).refine(_reweighted, parts)
    return Problem(_small_model(problem.model, g, n_experts), blocks, problem.n_threads)


def _reweighted(block: Block, weight: np.ndarray) -> Block:
    return block._replace(weight=np.where(block.weight > 0.0, weight, 0.0))


def _small_model(model: Model, g: int, n_experts: int) -> Model:
    group = model.groups[g]._replace(leaves=np.arange(n_experts))
    penalty = model.penalty._replace(balance=0.0) if n_experts > 1 else model.penalty.of_pooled()
    tree = GatingTree.flat(n_experts)
    gates = SoftmaxGates.everywhere(tree, model.slot_designs[0])
    return replace(model, tree=tree, groups=(group,), gates=gates, penalty=penalty, ties=None)


def _pooled_of(rows: Rows, g: int, n_experts: int) -> Parameters:
    gate = np.zeros((n_experts, rows.pooled.gates[0].shape[1]))
    heads = rows.pooled.experts[g]
    return Parameters((gate,), (tuple(np.repeat(coef[:1], n_experts, axis=0) for coef in heads),))


def _posteriors(problem: Problem, params: Parameters) -> list[Posterior]:
    return [posterior_of_block(problem.model, params, block) for block in problem.blocks]


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
    "partition": lambda rows, number: Kind(_by_cuts(cut_where_unstable)),
    "recursive": lambda rows, number: Kind(_by_pairs),
    "spread": lambda rows, number: Kind(_by_neighbourhoods),
}


def _pooled_scores(problem: Problem, pooled: Parameters) -> np.ndarray:
    """Return the first family's scores at the pooled fit: residuals, for any family.

    Where no family has a head y itself if there are experts of one's own, else zeros, for other
    experts have nothing that could differ by rows.
    """
    model, parts = problem.model, []
    group = _first_group(model)
    if group is None and not model.is_linear:
        y = np.concatenate([block.y for block in problem.blocks.bare])
        return ((y - y.mean()) / (y.std() or 1.0))[None]
    if group is None:
        return np.zeros((1, sum(len(block.weight) for block in problem.blocks.bare)))
    for block in problem.blocks:
        eta = linear_predictors(model, pooled, block, batch_invariant_product)
        heads = group_heads(model, eta)[group]
        first = tuple(eta[:1] for eta in heads)
        scores = model.groups[group].family.derivatives(block.targets[group], first).score
        parts.append(np.concatenate([np.broadcast_to(s, (1, len(block.weight))) for s in scores]))
    return np.concatenate(parts, axis=1)
