"""Starts: partitions of the rows that are functions of the weighted data.

Randomness enters as a few directions in the space of features and residuals, never as
numbers per row. So a row of weight two starts where two rows of weight one do, whatever
their order, and fits on weighted and on repeated data agree.
"""

from collections.abc import Callable, Sequence
from functools import partial

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
            model.penalty._replace(dispersion_prior=0.0),
        )
        if not group.designs:
            experts.append(())
            continue
        blocks = problem.blocks.refine(partial(_supported, g=g))
        pooled = Problem(single, blocks, problem.n_threads)
        start = _intercept_start(single, blocks.bare)
        # One EM step is exact for linear experts.
        acceleration = "none" if group.family.has_mean_deviance_dispersion else "auto"
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
        params = em_step(problem, problem.evaluate(params, resp), 0, False).params
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
    strategy : {"auto", "hyperplane", "residual"}
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
    """Assign every row to a leaf, by cuts along random directions."""
    angle = STARTS[strategy](number, rng)
    labels = np.zeros(len(weight), dtype=np.int64)

    def direction(rows: np.ndarray) -> np.ndarray:
        across = _project_features(problem.blocks, rng)[rows]
        along = row_stable_product(rng.standard_normal((1, len(scores))), scores)[0, rows]
        share = weight[rows]
        return np.cos(angle) * _scaled(across, share) + np.sin(angle) * _scaled(along, share)

    _split(problem.model.tree, [0], np.arange(len(weight)), weight, direction, labels)
    return labels


def _random_angle(number: int, rng: np.random.Generator) -> float:
    return float(rng.uniform(0.0, 0.5 * np.pi))


def _residual_angle(number: int, rng: np.random.Generator) -> float:
    return 0.5 * np.pi


def _auto_angle(number: int, rng: np.random.Generator) -> float:
    return _residual_angle(number, rng) if number == 0 else _random_angle(number, rng)


#: Angle between features (0) and residuals (pi / 2) of the directions that rows are cut along.
STARTS: dict[str, Callable[[int, np.random.Generator], float]] = {
    "auto": _auto_angle,
    "hyperplane": _random_angle,
    "residual": _residual_angle,
}


def _pooled_scores(problem: Problem, pooled: Parameters) -> np.ndarray:
    """Return the first family's scores at the pooled fit: residuals, for any family."""
    model, parts = problem.model, []
    group = next((g for g in range(len(model.groups)) if model.groups[g].designs), 0)
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
    direction: Callable[[np.ndarray], np.ndarray],
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
    is_above = _is_above_quantile(direction(rows), weight[rows], share)
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
