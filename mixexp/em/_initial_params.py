"""Starts: the pooled fit that they depart from, and coefficients for given responsibilities."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial, reduce

import numpy as np

from mixexp.data import Block
from mixexp.em._convergence import allowed_gain, left_after, rounding_noise, slope_gains
from mixexp.em._iteration import run_em, stack_parameters
from mixexp.em._m_step import em_step, has_limited_steps
from mixexp.em._objective import Problem
from mixexp.em._relabel import in_order
from mixexp.em._results import Options
from mixexp.em._totals import rows_per_weight
from mixexp.gates import SoftmaxGates
from mixexp.model import Model, Parameters, object_array, unstack_parameters
from mixexp.tree import GatingTree

# A partition is softened, for a hard one is separated perfectly by the first gate.
OWN_SHARE = 0.9
# Steps to given responsibilities, and from afar where some head moves by limited ones, at most e:
# the foreign tenth of the rows keeps a deviation within a tenth of the pooled one, five such steps
# of a dispersion, beside which locations move by shares of their way. Eight left some fits lower.
_N_STEPS, _N_LIMITED_STEPS = 3, 10
# Linear predictors of log links move by so much at any row at most at once.
_FURTHEST_MOVE = 5.0
# Slopes of a pooled fit beside an L1 penalty, as a share of the rows.
_MOST_POOLED_SLOPES = 0.5
_POOLED_ITERATIONS = 50
_POOLED_TOL = 1e-10
_MIXED_ITERATIONS = 500


def pooled_params(problem: Problem) -> Parameters:
    """Fit one expert of each family to all rows, and give it to every leaf.

    Beside it stand the experts that have nothing to be fitted, one of each kind: point masses and
    noise take the rows that are theirs, so that what is pooled is one expert of the rest, not of
    all rows. Gates are zero: all experts alike, all equally probable. Where there are no such
    experts this is a fixed point of EM, so not a start by itself, but what starts depart from.
    """
    model = problem.model
    experts: list[tuple[np.ndarray, ...]] = []
    beside = [g for g, group in enumerate(model.groups) if not group.designs]
    for g, group in enumerate(model.groups):
        heads = _pooled_alone(problem, g) if group.designs else ()
        if heads and beside:
            heads = _pooled_beside(problem, g, beside, heads)
        experts.append(tuple(np.repeat(coef, len(group.leaves), axis=0) for coef in heads))
    return Parameters(model.no_gates(), tuple(experts), _pooled_others(problem))


def _pooled_others(problem: Problem) -> tuple[np.ndarray, ...]:
    """Fit each submodel of one's own to all rows: gates with equal shares for all children."""
    model, unknown = problem.model, object_array([None], ())
    sums: list[list[np.ndarray]] = [[] for _ in model.others]
    for block in problem.held if model.others else ():
        for other, parts in zip(model.others, sums, strict=True):
            own = block.gate_weight if other.is_gate else block.weight
            weight = np.tile(own / len(other.nodes), (len(other.nodes), 1))
            parts.append(other.statistics(unknown, model.view(other, block), weight))
    return tuple(
        other.m_step(unknown, np.asarray(reduce(np.add, parts)))
        for other, parts in zip(model.others, sums, strict=True)
    )


def _pooled_alone(problem: Problem, g: int) -> tuple[np.ndarray, ...]:
    """Return the heads of one expert of a family, fitted to the rows in its support."""
    model, group = problem.model, problem.model.groups[g]
    if model.penalty.l1 > 0.0 and model.n_slopes(g) > _MOST_POOLED_SLOPES * problem.n_rows:
        return _pooled_intercepts(problem, g)
    tree = GatingTree.flat(1)
    single = Model(
        tree,
        (group._replace(leaves=np.zeros(1, dtype=np.int64)),),
        model.designs,
        SoftmaxGates.everywhere(tree, model.slot_designs[0]),
        model.penalty.of_single_expert(),
    )
    blocks = problem.blocks.map_blocks(partial(supported_block, g=g))
    pooled = Problem(single, blocks, problem.n_threads)
    start = _intercept_start(
        single, (pooled.held if blocks.sample is None else blocks.sample).without_features
    )
    # One EM step is exact for linear experts of one dispersion, and Newton's own where the link is
    # canonical.
    is_exact = group.family.has_mean_deviance_dispersion and model.is_narrow[group.designs[-1]]
    is_newton = is_exact or group.family.has_observed_curvature
    options = Options(_POOLED_ITERATIONS, _POOLED_TOL, "none" if is_newton else "auto")
    if blocks.sample is not None:  # near by, so that few passes over all rows are left
        near = replace(pooled, blocks=blocks.sample, whole=None)
        start = run_em(near, start, options).evaluation.params
    found = _climb(pooled, start) if is_newton else None
    if found is None:
        found = run_em(pooled, start, options).evaluation.params
    return found.experts[0]


def _climb(problem: Problem, start: Parameters) -> Parameters | None:
    """Return where full EM steps from a start lead, None if one falls: it is to be shortened.

    What `run_em` does where nothing shortens the way, of a single expert; the last step is taken
    unseen, if by the ratio of its gain to the one before next to nothing is left after it.
    """
    current, gains = problem.evaluate(stack_parameters(problem, [start])), list[float]()
    for _ in range(_POOLED_ITERATIONS):
        following = em_step(problem, current, 0, False).params
        objective = float(current.objective[0])
        allowed = allowed_gain(_POOLED_TOL, problem.magnitude(objective), problem.total_weight)
        gains.append(float(slope_gains(problem, current, following)[0]))
        if left_after(gains) <= allowed:
            return unstack_parameters(following)[0]
        current = problem.evaluate(following)
        if not current.objective[0] >= objective - rounding_noise(problem, objective):
            return None
    return unstack_parameters(current.params)[0]


def at_limits(problem: Problem, params: Parameters) -> Parameters:
    """Move heads to where a family becomes another one, if the objective is no lower there.

    It levels off on the way, so that steps end before: far from the limit for a dispersion on a
    logarithmic scale, next to it for the density.
    """
    model = problem.model
    best = problem.gradients(stack_parameters(problem, [params])).objective[0]
    for g, h in model.slot_heads:
        head, coef = model.groups[g].family.heads[h], params.experts[g][h]
        for name, bound in ((head.at_lower, head.lower), (head.at_upper, head.upper)):
            if not name or coef.shape[1] > 1:
                continue
            heads = [*params.experts[g]]
            heads[h] = np.full_like(coef, bound)
            experts = [*params.experts]
            experts[g] = tuple(heads)
            moved = params._replace(experts=tuple(experts))
            objective = problem.gradients(stack_parameters(problem, [moved])).objective[0]
            if objective >= best:
                params, best = moved, objective
    return params


def _pooled_intercepts(problem: Problem, g: int) -> tuple[np.ndarray, ...]:
    """Return the heads of one expert of a family that sees no features, with slopes of zero.

    Where there are nearly as many slopes as rows, and an L1 penalty to choose among them, residuals
    of a fit with all of them say nothing, and such a fit is dear.
    """
    model, group = problem.model, problem.model.groups[g]
    bare = group._replace(designs=(len(model.designs),) * len(group.designs))
    groups = (*model.groups[:g], bare, *model.groups[g + 1 :])
    designs = (*model.designs, np.zeros(1, dtype=np.int64))
    found = _pooled_alone(replace(problem, model=replace(model, groups=groups, designs=designs)), g)
    widths = [len(model.designs[design]) for design in group.designs]
    return tuple(
        np.pad(coef, ((0, 0), (0, width - 1))) for coef, width in zip(found, widths, strict=True)
    )


def _pooled_beside(
    problem: Problem, g: int, beside: Sequence[int], alone: tuple[np.ndarray, ...]
) -> tuple[np.ndarray, ...]:
    """Return the heads of one expert of a family beside experts without heads.

    Mixed by a constant gate, from the expert that was fitted alone. That one is returned if the
    other has come to nothing: next to no rows are left to it, or it fits them exactly.
    """
    model = problem.model
    groups = [
        model.groups[at]._replace(leaves=np.array([leaf])) for leaf, at in enumerate([g, *beside])
    ]
    kinds = [head.kind for head in groups[0].family.heads]
    if "dispersion" in kinds:
        anchor = float(alone[kinds.index("dispersion")][0, 0])
        groups[0] = groups[0]._replace(prior_log_dispersion=anchor)
    tree = GatingTree.flat(len(groups))
    mixed = Model(
        tree,
        tuple(groups),
        (*model.designs, np.zeros(1, dtype=np.int64)),
        SoftmaxGates.everywhere(tree, len(model.designs)),
        model.penalty.of_single_expert(),
    )
    blocks = problem.blocks.map_blocks(partial(_block_of_groups, chosen=[g, *beside]))
    start = Parameters(mixed.no_gates(), (alone, *(() for _ in beside)))
    options = Options(_MIXED_ITERATIONS, _POOLED_TOL, "auto")
    found = run_em(Problem(mixed, blocks, problem.n_threads), start, options)
    has_failed = found.is_spurious or 0 in found.collapsed
    return alone if has_failed else found.evaluation.params.experts[0]


def supported_block(block: Block, g: int) -> Block:
    """Return the block as one family sees it, rows outside of its support without weight."""
    is_outside = np.isneginf(block.bases[g])
    weight = np.where(is_outside, 0.0, block.weight)
    base = np.where(is_outside, 0.0, block.bases[g])  # for zero times infinity is no number
    return block.alone(weight)._replace(targets=(block.targets[g],), bases=(base,))


def _block_of_groups(block: Block, chosen: Sequence[int]) -> Block:
    """Return the block as some families see it, rows that none can explain without weight."""
    size = len(block.weight)
    bases = [np.broadcast_to(np.asarray(block.bases[g]), size).copy() for g in chosen]
    is_outside = np.logical_and.reduce([np.isneginf(base) for base in bases])
    bases[0][is_outside] = 0.0
    weight = np.where(is_outside, 0.0, block.weight)
    targets = tuple(block.targets[g] for g in chosen)
    return block.alone(weight)._replace(targets=targets, bases=tuple(bases))


def _intercept_start(single: Model, blocks: Sequence[Block]) -> Parameters:
    group = single.groups[0]
    y = np.concatenate([block.targets[0] for block in blocks], axis=-1)
    weight = np.concatenate([block.weight for block in blocks])
    weight = rows_per_weight(weight) * weight  # pseudo-rows of a start stand beside rows
    slots = [np.zeros(shape) for shape in single.slot_shapes]
    for slot, value in zip(single.expert_slots, group.family.start(y, weight), strict=True):
        slots[slot][:, 0] = value
        if blocks[0].known.offset is not None:
            offset = np.concatenate([block.known.offset for block in blocks])
            typical = np.average(offset, weights=weight, keepdims=True)
            slots[slot][:, :1] = group.add_offset(slot - 1, slots[slot][:, :1], -typical)
    flat = single.flatten(single.from_slots(slots))
    return single.unflatten(np.clip(flat, *single.flat_bounds))


def params_from_afar(
    problem: Problem, begun: Parameters, n_starts: int, resp: Callable[[slice], np.ndarray]
) -> Parameters:
    """Fit gates and experts to given responsibilities, which others led to where this begins.

    Parameters
    ----------
    problem : Problem
    begun : Parameters
        The pooled fit, or an optimum that experts have exchanged rows at.
    n_starts : int
    resp : callable
        See `params_from_responsibilities`.

    Returns
    -------
    Parameters
        With a leading axis of starts.

    Notes
    -----
    Ten passes where a dispersion or shape has no closed form: halfway there its expert is so wide
    that it is at home nowhere, and EM, which then gives its rows away, ends at another optimum.
    Not so beside an L1 penalty: with more columns than rows experts would pass through the latter.
    """
    model = problem.model
    is_limited = has_limited_steps(model) and not model.penalty.has_l1
    n_steps = _N_LIMITED_STEPS if is_limited else _N_STEPS
    return params_from_responsibilities(problem, [begun] * n_starts, resp, n_steps)


def params_from_responsibilities(
    problem: Problem,
    begun: Sequence[Parameters],
    resp: Callable[[slice], np.ndarray],
    n_steps: int = _N_STEPS,
) -> Parameters:
    """Fit gates and experts to given responsibilities.

    Parameters
    ----------
    problem : Problem
    begun : sequence of Parameters
        Where the steps of each start begin.
    resp : callable
        Returns the responsibilities of some rows, shape (n_leaves, n_starts, rows): block by
        block, so that they need not exist for all rows at once.
    n_steps : int
        More where begun far away, see `params_from_afar`.

    Returns
    -------
    Parameters
        With a leading axis of starts.

    Notes
    -----
    Three passes: one is exact for linear experts; gates and other experts are brought close
    enough for EM to go on from. Where a constraint has slopes in order experts are fitted without
    it and sorted, for responsibilities have them in any order.
    """
    ties = problem.model.ties
    if ties is not None and ties.sort_rows is not None:
        return _sorted_params(problem, begun, resp, n_steps)
    params, tree = stack_parameters(problem, begun), problem.model.tree
    is_coarse = not tree.has_pairs(int(tree.n_children.max()))
    for step in range(n_steps):
        evaluation = problem.evaluate(params, lambda rows, _: resp(rows))
        # A coarse gate that has become sure of its rows bends no more, and would be sent far away
        # by a step that nobody measures; an even one takes Newton's.
        following = em_step(problem, evaluation, 0, is_coarse and step > 0).params
        params = _shortened(problem, params, following)
    return params


def _shortened(problem: Problem, before: Parameters, after: Parameters) -> Parameters:
    """Return steps that nobody measures with no log mean of an expert moved far at a row.

    Where y is far above the exponential of a predictor, the next step would be that far, too, and
    soon no number is large enough.
    """
    model = problem.model
    slots = [
        (g, h)
        for g, h in model.slot_heads
        if model.slot_facts[model.slot_of[g, h]].kind == "location"
        and getattr(model.groups[g].family, "link", None) == "log"
    ]
    if not slots:
        return after
    moves = [
        (model.groups[g].designs[h], after.experts[g][h] - before.experts[g][h]) for g, h in slots
    ]
    furthest = problem.total(partial(_furthest, moves=moves), _each_maximum)
    experts = [list(heads) for heads in after.experts]
    for (g, h), (_, move), far in zip(slots, moves, furthest, strict=True):
        far = far if model.ties is None else np.broadcast_to(far.max(-1, keepdims=True), far.shape)
        share = _FURTHEST_MOVE / np.maximum(far, _FURTHEST_MOVE)
        is_far = far > _FURTHEST_MOVE
        if is_far.any():
            shorter = before.experts[g][h] + share[..., None] * move
            experts[g][h] = np.where(is_far[..., None], shorter, experts[g][h])
    return after._replace(experts=tuple(map(tuple, experts)))


def _furthest(problem: Problem, moves: Sequence[tuple[int, np.ndarray]]) -> list[np.ndarray]:
    """Return how far linear predictors move at any row at most, by slot, (starts, experts)."""
    found = [np.zeros(move.shape[:-1]) for _, move in moves]
    for block in problem.held:
        for most, (design, move) in zip(found, moves, strict=True):
            along = problem.model.design(block, design).predict(move.reshape(-1, move.shape[-1]))
            np.maximum(most, np.abs(along).max(axis=-1).reshape(most.shape), out=most)
    return found


def _each_maximum(some: list[np.ndarray], others: list[np.ndarray]) -> list[np.ndarray]:
    return list(map(np.maximum, some, others))


def _sorted_params(
    problem: Problem,
    begun: Sequence[Parameters],
    resp: Callable[[slice], np.ndarray],
    n_steps: int,
) -> Parameters:
    model = problem.model
    ties = (
        None if model.ties is None else model.ties.without_inequalities()._replace(sort_rows=None)
    )
    loose = replace(problem, model=replace(model, ties=ties))
    params = params_from_responsibilities(loose, begun, resp, n_steps)
    each = [in_order(model, start) for start in unstack_parameters(params)]
    return stack_parameters(problem, each)


def smooth_labels(labels: np.ndarray, n_leaves: int) -> np.ndarray:
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
