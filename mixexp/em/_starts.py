"""Starts: partitions of the rows that are functions of the weighted data.

Randomness enters as a few directions in the space of features and residuals, never as
numbers per row. So a row of weight two starts where two rows of weight one do, whatever
their order, and fits on weighted and on repeated data agree.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from mixexp.data import Block
from mixexp.em._driver import Options, in_batches, run_em, stack_parameters
from mixexp.em._problem import Problem
from mixexp.em._steps import em_step
from mixexp.model import (
    Model,
    Parameters,
    group_heads,
    linear_predictors,
    row_stable_product,
)
from mixexp.tree import GatingTree

# A partition is softened, for a hard one is separated perfectly by the first gate.
OWN_SHARE = 0.9
_N_STEPS = 3
_POOLED_ITERATIONS = 50
_POOLED_TOL = 1e-10
# Directions of either kind that are tried for a cut.
_N_CANDIDATES = 5
# Cumulative weights that should be equal differ by rounding.
_SLACK = 1e-9


def pooled_params(problem: Problem) -> Parameters:
    """Fit one expert of each family to all rows, and give it to every leaf.

    Gates are zero: all experts alike, all equally probable. A fixed point of EM, so not a
    start by itself, but what starts depart from.
    """
    model = problem.model
    experts: list[tuple[np.ndarray, ...]] = []
    for g, group in enumerate(model.groups):
        single = Model(
            GatingTree.flat(1),
            (group._replace(leaves=np.zeros(1, dtype=np.int64)),),
            model.designs,
            model.gate_design,
            model.penalty._replace(dispersion_prior=0.0, balance=0.0),
        )
        if not group.designs:
            experts.append(())
            continue
        blocks = problem.blocks.refine(partial(_supported, g=g))
        pooled = Problem(single, blocks, problem.n_threads)
        start = _intercept_start(single, blocks.bare)
        # One EM step is exact for linear experts, and Newton's own where the link is canonical.
        is_newton = group.family.has_mean_deviance_dispersion or group.family.has_observed_curvature
        acceleration = "none" if is_newton else "auto"
        options = Options(_POOLED_ITERATIONS, _POOLED_TOL, acceleration)
        outcome = run_em(pooled, start, options)
        heads = outcome.evaluation.params.experts[0]
        experts.append(tuple(np.repeat(coef, len(group.leaves), axis=0) for coef in heads))
    return Parameters(np.zeros(model.slot_shapes[0]), tuple(experts))


def _supported(block: Block, g: int) -> Block:
    """Return the block as one family sees it, rows outside of its support without weight."""
    is_outside = np.isneginf(block.bases[g])
    weight = np.where(is_outside, 0.0, block.weight)
    base = np.where(is_outside, 0.0, block.bases[g])  # for zero times infinity is no number
    return block._replace(weight=weight, targets=(block.targets[g],), bases=(base,))


def _intercept_start(single: Model, blocks: Sequence[Block]) -> Parameters:
    group = single.groups[0]
    y = np.concatenate([block.targets[0] for block in blocks], axis=-1)
    weight = np.concatenate([block.weight for block in blocks])
    slots = [np.zeros(shape) for shape in single.slot_shapes]
    for slot, value in enumerate(group.family.start(y, weight), start=1):
        slots[slot][:, 0] = value
        if blocks[0].offset is not None and group.family.heads[slot - 1].kind == "location":
            offset = np.concatenate([block.offset for block in blocks])
            slots[slot][:, 0] -= np.average(offset, weights=weight) / group.scale
    flat = single.flatten(single.from_slots(slots))
    return single.unflatten(np.clip(flat, *single.flat_bounds))


def params_from_responsibilities(
    problem: Problem, pooled: Parameters, resp: Callable[[slice], np.ndarray], n_starts: int
) -> Parameters:
    """Fit gates and experts to given responsibilities.

    Parameters
    ----------
    problem : Problem
    pooled : Parameters
        Where the steps begin.
    resp : callable
        Returns the responsibilities of some rows, shape (n_leaves, n_starts, rows): block by
        block, so that they need not exist for all rows at once.
    n_starts : int

    Returns
    -------
    Parameters
        With a leading axis of starts.

    Notes
    -----
    Three passes: one is exact for linear experts; gates and other experts are brought close
    enough for EM to go on from.
    """
    params = stack_parameters(problem, [pooled] * n_starts)
    for _ in range(_N_STEPS):
        evaluation = problem.evaluate(params, lambda rows, _: resp(rows))
        params = em_step(problem, evaluation, 0, False).params
    return params


def soften(labels: np.ndarray, n_leaves: int) -> np.ndarray:
    """Return responsibilities of 0.9 for each row's own label, the rest spread evenly.

    Parameters
    ----------
    labels : ndarray of shape (..., n), int
    n_leaves : int

    Returns
    -------
    ndarray of shape (n_leaves, ..., n)
    """
    rest = (1.0 - OWN_SHARE) / n_leaves
    return rest + OWN_SHARE * np.equal.outer(np.arange(n_leaves), labels)


def _soften_rows(labels: np.ndarray, n_leaves: int, rows: slice) -> np.ndarray:
    return soften(labels[..., rows], n_leaves)


def draw_starts(
    problem: Problem, pooled: Parameters, strategy: str, seeds: Sequence[int]
) -> list[Parameters]:
    """Return one start of a named strategy per seed.

    Parameters
    ----------
    problem : Problem
    pooled : Parameters
    strategy : {"auto", "hyperplane", "residual", "partition"}
    seeds : sequence of int
        The first start of "auto" is the one along residuals.
    """
    weight = np.concatenate([block.weight for block in problem.blocks.bare])
    scores = _pooled_scores(problem, pooled)
    model = problem.model
    labels = [
        _draw_labels(problem, scores, weight, strategy, number, np.random.default_rng(seed))
        for number, seed in enumerate(seeds)
    ]
    starts: list[Parameters] = []
    for some in in_batches(problem, labels):
        resp = partial(_soften_rows, np.stack(some), model.tree.n_leaves)
        params = params_from_responsibilities(problem, pooled, resp, len(some))
        starts += [model.unflatten(flat) for flat in model.flatten(params)]
    return starts


def _draw_labels(
    problem: Problem,
    scores: np.ndarray,
    weight: np.ndarray,
    strategy: str,
    number: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Assign every row to a leaf, by cuts along directions that the strategy chooses."""
    direction = STARTS[strategy](number)(problem.blocks, scores, weight, rng)
    labels = np.zeros(len(weight), dtype=np.int64)
    _split(problem.model.tree, [0], np.arange(len(weight)), weight, direction, labels)
    return labels


# Given rows and the share that is to be cut off: values to cut them by.
Direction = Callable[[np.ndarray, float], np.ndarray]
Chooser = Callable[[Sequence[Block], np.ndarray, np.ndarray, np.random.Generator], Direction]


def _random_directions(
    blocks: Sequence[Block], scores: np.ndarray, weight: np.ndarray, rng: np.random.Generator
) -> Direction:
    """Choose directions between features and residuals, at one random angle per start."""
    return _directions_at(float(rng.uniform(0.0, 0.5 * np.pi)), blocks, scores, weight, rng)


def _residual_directions(
    blocks: Sequence[Block], scores: np.ndarray, weight: np.ndarray, rng: np.random.Generator
) -> Direction:
    return _directions_at(0.5 * np.pi, blocks, scores, weight, rng)


def _directions_at(
    angle: float,
    blocks: Sequence[Block],
    scores: np.ndarray,
    weight: np.ndarray,
    rng: np.random.Generator,
) -> Direction:
    def direction(rows: np.ndarray, share: float) -> np.ndarray:
        across = _project_features(blocks, rng)[rows]
        along = row_stable_product(rng.standard_normal((1, len(scores))), scores)[0, rows]
        own = weight[rows]
        return np.cos(angle) * _scaled(across, own) + np.sin(angle) * _scaled(along, own)

    return direction


def _unstable_directions(
    blocks: Sequence[Block], scores: np.ndarray, weight: np.ndarray, rng: np.random.Generator
) -> Direction:
    """Choose, of a few random directions, the one across which coefficients differ most.

    As in model-based recursive partitioning (Zeileis, Hothorn & Hornik 2008, section 3.2), with
    the scores of the pooled fit: where one model held on both sides of a cut, the means of
    score times feature would be equal but for noise.
    """
    features = np.concatenate([block.features for block in blocks], axis=1)

    def direction(rows: np.ndarray, share: float) -> np.ndarray:
        gradients = [score[rows] * features[:, rows] for score in scores]
        return least_stable_cut(features[:, rows], gradients, weight[rows], share, rng).values

    return direction


class Cut(NamedTuple):
    """Two sides of some rows, and how much a model's coefficients differ between them.

    Parameters
    ----------
    values : ndarray of shape (rows,)
        What is cut.
    is_above : ndarray of shape (rows,), bool
    instability : float
        Some number of coefficients where one model holds on both sides.
    """

    values: np.ndarray
    is_above: np.ndarray
    instability: float


def least_stable_cut(
    features: np.ndarray,
    gradients: Sequence[np.ndarray],
    weight: np.ndarray,
    share: float,
    rng: np.random.Generator,
) -> Cut:
    """Return the cut, of a few random ones, across which coefficients differ most.

    Parameters
    ----------
    features : ndarray of shape (p, rows)
    gradients : sequence of ndarray of shape (p, rows)
        Score times features, per head.
    weight : ndarray of shape (rows,)
    share : float
        Of the weight, that is to be below the cut.
    rng : Generator
    """
    best = Cut(np.zeros(len(weight)), np.zeros(len(weight), dtype=bool), -1.0)
    for coef in _candidates(len(features), rng):
        values = row_stable_product(coef[None], features)[0]
        is_above = _is_above_quantile(values, weight, share)
        instability = sum(_mean_difference(g, weight, is_above) for g in gradients)
        if instability > best.instability:
            best = Cut(values, is_above, instability)
    return best


def _candidates(n_features: int, rng: np.random.Generator) -> np.ndarray:
    """Return directions, half along single features, half oblique, none along the intercept."""
    coefs = rng.standard_normal((2 * _N_CANDIDATES, n_features))
    coefs[:, 0] = 0.0
    if n_features > 1:
        single = rng.integers(1, n_features, _N_CANDIDATES)
        coefs[:_N_CANDIDATES] = np.eye(n_features)[single]
    return coefs


def _mean_difference(gradients: np.ndarray, weight: np.ndarray, is_above: np.ndarray) -> float:
    """Return the squared difference of two sides' means, in units of its variance."""
    above, below = weight * is_above, weight * ~is_above
    if not above.any() or not below.any():
        return 0.0
    difference = gradients @ (above / above.sum() - below / below.sum())
    spread = (gradients**2) @ weight / weight.sum()
    share = above.sum() * below.sum() / weight.sum()
    return float(share * (difference**2 / np.maximum(spread, np.finfo(float).tiny)).sum())


#: How the n-th start of a strategy chooses the directions that rows are cut along.
STARTS: dict[str, Callable[[int], Chooser]] = {
    "auto": lambda number: _residual_directions if number == 0 else _random_directions,
    "hyperplane": lambda number: _random_directions,
    "residual": lambda number: _residual_directions,
    "partition": lambda number: _unstable_directions,
}


def _pooled_scores(problem: Problem, pooled: Parameters) -> np.ndarray:
    """Return the first family's scores at the pooled fit: residuals, for any family.

    Zeros where no family has a head, for such experts have nothing that could differ by rows.
    """
    model, parts = problem.model, []
    group = next((g for g in range(len(model.groups)) if model.groups[g].designs), None)
    if group is None:
        return np.zeros((1, sum(len(block.weight) for block in problem.blocks.bare)))
    for block in problem.blocks:
        heads = group_heads(model, linear_predictors(model, pooled, block, row_stable_product))[
            group
        ]
        first = tuple(eta[:1] for eta in heads)
        scores = model.groups[group].family.derivatives(block.targets[group], first).score
        parts.append(np.concatenate([np.broadcast_to(s, (1, len(block.weight))) for s in scores]))
    return np.concatenate(parts, axis=1)


def _project_features(blocks: Sequence[Block], rng: np.random.Generator) -> np.ndarray:
    """Project all rows on a random direction in the space of features, block by block."""
    coef = rng.standard_normal((1, len(blocks[0].features)))
    coef[0, 0] = 0.0  # the intercept is the same for all
    return np.concatenate([row_stable_product(coef, block.features)[0] for block in blocks])


def _scaled(projected: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Centre and scale to unit weighted variance."""
    if len(projected) == 0:
        return projected
    centred = projected - np.average(projected, weights=weight)
    spread = np.sqrt(np.average(centred**2, weights=weight))
    return centred / spread if spread > 0.0 else centred


def _split(
    tree: GatingTree,
    nodes: list[int],
    rows: np.ndarray,
    weight: np.ndarray,
    direction: Direction,
    labels: np.ndarray,
) -> None:
    """Hand rows down the tree, halving the list of siblings until one node is left."""
    if len(nodes) == 1:
        if tree.n_children[nodes[0]] == 0:
            labels[rows] = tree.leaf_position(nodes[0])
            return
        nodes = list(tree.children(nodes[0]))
        if len(nodes) == 1:
            _split(tree, nodes, rows, weight, direction, labels)
            return
    half = len(nodes) // 2
    n_leaves = tree.covers[nodes].sum(axis=1)
    share = n_leaves[:half].sum() / n_leaves.sum()
    is_above = _is_above_quantile(direction(rows, share), weight[rows], share)
    _split(tree, nodes[:half], rows[~is_above], weight, direction, labels)
    _split(tree, nodes[half:], rows[is_above], weight, direction, labels)


def _is_above_quantile(values: np.ndarray, weight: np.ndarray, share: float) -> np.ndarray:
    """Tell which values exceed the weighted quantile; equal values are never parted."""
    if len(values) == 0:
        return np.zeros(0, dtype=bool)
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weight[order])
    at = np.searchsorted(reached, share * reached[-1] * (1.0 - _SLACK))
    return values > values[order[min(at, len(values) - 1)]]
