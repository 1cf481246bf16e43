"""Starts: the pooled fit that they depart from, and coefficients for given responsibilities."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from mixexp.data import Block
from mixexp.em._driver import Options, run_em, stack_parameters
from mixexp.em._problem import Problem
from mixexp.em._steps import em_step
from mixexp.model import Model, Parameters
from mixexp.tree import GatingTree

# A partition is softened, for a hard one is separated perfectly by the first gate.
OWN_SHARE = 0.9
_N_STEPS = 3
_POOLED_ITERATIONS = 50
_POOLED_TOL = 1e-10


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
            model.penalty.of_pooled(),
        )
        if not group.designs:
            experts.append(())
            continue
        blocks = problem.blocks.refine(partial(supported_block, g=g))
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


def supported_block(block: Block, g: int) -> Block:
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
