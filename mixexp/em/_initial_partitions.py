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

from mixexp.data import DenseDesign
from mixexp.em._hyperplane_splits import (
    draw_directions,
    halvings_of,
    labels_by_cuts,
    project_features,
)
from mixexp.em._initial_params import (
    at_limits,
    params_from_afar,
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

# Of so many drawn partitions the best after a few iterations is a start, where there are so few
# responsibilities that this costs little more than one.
_N_TRIED = 30
_SHORT = Options(15, 0.0, "none")
FEW_RESPONSIBILITIES = 4000
# Rows share points where features have fewer distinct rows than this share of all distinct rows.
FEW_POINTS = 0.9
# A part of the rows is to have so many for each coefficient of an expert, in every other start at
# least; the experts beyond have one of so many of their distinct rows then, and moves give them
# more. Regimes of 30 features and 150 rows each were not found in eighths of these.
_TELLING_ROWS, _FEWEST_PARTS, _ONE_IN = 3, 3, 10
# Places of rows along directions that are held at once.
_MOST_PROJECTIONS = 1 << 22


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
    n_cells : int
    share_points : bool
        Whether many rows stand at few points of the features' space, as with dummies.
    are_few : bool
        Whether some more passes over them cost next to nothing.
    """

    problem: Problem
    scores: np.ndarray
    weight: np.ndarray
    cells: np.ndarray
    n_cells: int
    share_points: bool
    are_few: bool


class Kind(NamedTuple):
    """A kind of start.

    Parameters
    ----------
    is_cut : bool
        Whether rows are cut along directions; else each cell of them has a leaf by chance.
    angle : float or None
        Of the directions between features and residuals, a random one if None.
    n_tried : int
        Partitions of which the best after a few iterations is taken, where rows are few.
    n_parts : int or None
        Parts that rows are in, where that is fewer than there are leaves; None for all leaves.
    """

    is_cut: bool
    angle: float | None = None
    n_tried: int = 1
    n_parts: int | None = None


# A leaf for every distinct row by chance is independent of the geometry of the features: where
# these have few distinct values, as dummies have, no cut makes the partitions that matter. Rows
# that are equal get the same leaf, so that a row of weight two is two rows.
_BY_CHANCE = Kind(False)
_BY_CUTS, _BY_RESIDUALS = Kind(True), Kind(True, 0.5 * np.pi)


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
        return [at_limits(problem, pooled)] * len(seeds)
    partitions = draw_partitions(problem, pooled, strategy, seeds)
    starts: list[Parameters] = []
    for some in in_batches(problem, [labels for tried in partitions for labels in tried]):
        resp = partial(_smooth_labels_of, np.stack(some), problem.model.tree.n_leaves)
        params = params_from_afar(problem, pooled, len(some), resp)
        starts += unstack_parameters(params)
    return [_best_of(problem, [starts.pop(0) for _ in some]) for some in partitions]


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
    rows, halvings = describe_rows(problem, pooled), halvings_of(problem.model.tree)
    n_leaves, n_features = problem.model.tree.n_leaves, problem.held[0].features.shape[0]
    kinds = STARTS[strategy](rows, len(seeds))
    rngs = [np.random.default_rng(seed) for seed in seeds]
    cut = [number for number, kind in enumerate(kinds) if kind.is_cut]
    angles, sizes = [kinds[i].angle for i in cut], (len(halvings), n_features, len(rows.scores))
    directions = draw_directions([rngs[i] for i in cut], angles, *sizes)
    drawn: list[list[np.ndarray]] = [[] for _ in seeds]
    n_at_once = max(1, _MOST_PROJECTIONS // (max(len(halvings), 1) * len(rows.weight)))
    for at in range(0, len(cut), n_at_once):
        some = slice(at, at + n_at_once)
        found = labels_by_cuts(problem.held, rows.scores, rows.weight, halvings, directions[some])
        for number, labels in zip(cut[some], found, strict=True):
            drawn[number].append(labels)
    for kind, rng, labelled in zip(kinds, rngs, drawn, strict=True):
        for _ in range(0 if kind.is_cut else kind.n_tried):
            labelled.append(rng.integers(n_leaves, size=rows.n_cells)[rows.cells])
        if kind.n_parts is not None and kind.n_parts < n_leaves:
            labelled[:] = [_in_parts(labels, n_leaves, kind.n_parts, rows) for labels in labelled]
    if problem.held.pattern.known.evidence is None:
        return drawn
    return [[_match_known(rows, labels) for labels in candidates] for candidates in drawn]


def _in_parts(labels: np.ndarray, n_leaves: int, n_parts: int, rows: Rows) -> np.ndarray:
    """Give most rows of neighbouring leaves to the first of them, so that fewer have many.

    What is left to the others makes them differ: EM does not part experts that are alike.
    """
    part = np.arange(n_leaves) * n_parts // n_leaves
    kept = [np.unique(rows.cells[labels == leaf])[::_ONE_IN] for leaf in range(n_leaves)]
    is_kept = np.isin(rows.cells, np.concatenate(kept))
    return np.where(is_kept, labels, np.searchsorted(part, part)[labels])


def _match_known(rows: Rows, labels: np.ndarray) -> np.ndarray:
    """Number the parts of a partition so that rows whose leaf is known are in it, as many as can.

    Parameters
    ----------
    rows : Rows
    labels : ndarray of shape (n_rows,), int
    """
    blocks = rows.problem.held
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


def describe_rows(problem: Problem, pooled: Parameters) -> Rows:
    """Number the rows that differ in features or scores, and count those that do in features.

    Rows are told apart by their place along one random direction.

    Parameters
    ----------
    problem : Problem
    pooled : Parameters
        Whose first expert has the scores; those of an optimum serve, too.
    """
    weight = np.concatenate([block.known.weight for block in problem.held.without_features])
    scores, rng = _scores_of_classes(problem, pooled), np.random.default_rng(0)
    n_features = problem.held[0].features.shape[0]
    (drawn,) = draw_directions([rng], [0.0], 1, n_features, len(scores))
    along = project_features(problem.held, drawn.features)[0]
    n_points = len(np.unique(along))
    along += DenseDesign(scores).predict_each(drawn.residuals)[0]
    cells = np.unique(along, return_inverse=True)[1]
    n_cells = int(cells.max(initial=-1)) + 1
    are_few = n_cells * problem.model.tree.n_leaves <= FEW_RESPONSIBILITIES
    return Rows(problem, scores, weight, cells, n_cells, n_points < FEW_POINTS * n_cells, are_few)


def _smooth_labels_of(labels: np.ndarray, n_leaves: int, rows: slice) -> np.ndarray:
    return smooth_labels(labels[..., rows], n_leaves)


def _first_group(model: Model) -> int | None:
    """Return the number of the first family that has coefficients, if any has."""
    return next((g for g in range(len(model.groups)) if model.groups[g].designs), None)


def _auto(rows: Rows, n_starts: int) -> list[Kind]:
    """Cuts, along residuals first; drawn labels in turns with them where cuts see little."""
    kinds = [_BY_CHANCE if number % 4 == 3 else _BY_CUTS for number in range(n_starts)]
    if rows.share_points:
        tried = _BY_CHANCE._replace(n_tried=_N_TRIED if rows.are_few else 1)
        kinds = [_BY_CUTS if number % 4 == 2 else tried for number in range(n_starts)]
    kinds[:1] = [_BY_RESIDUALS]
    kinds[1::2] = [kind._replace(n_parts=_n_parts(rows.problem)) for kind in kinds[1::2]]
    return kinds


def _n_parts(problem: Problem) -> int | None:
    """Return how many parts have rows enough for an expert each; None if L1 says what is enough."""
    model = problem.model
    if model.penalty.l1 > 0.0:
        return None
    columns = [q for _, q in model.slot_shapes[len(model.gates) :]]
    n_rows = problem.total_weight * problem.n_weighed
    return max(int(n_rows / (_TELLING_ROWS * max(columns, default=1))), _FEWEST_PARTS)


#: What the starts of a strategy are.
STARTS: dict[str, Callable[[Rows, int], list[Kind]]] = {
    "auto": _auto,
    "random": lambda rows, n_starts: [_BY_CHANCE] * n_starts,
    "hyperplane": lambda rows, n_starts: [_BY_CUTS] * n_starts,
    "residual": lambda rows, n_starts: [_BY_RESIDUALS] * n_starts,
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
        return np.zeros((1, problem.n_rows))
    for block in problem.held:
        eta = linear_predictors(model, pooled, block, batch_invariant_product)
        heads = group_heads(model, eta)[group]
        first = tuple(eta[:1] for eta in heads)
        scores = model.groups[group].family.derivatives(block.targets[group], first).score
        n_rows = len(block.known.weight)
        parts.append(np.concatenate([np.broadcast_to(s, (1, n_rows)) for s in scores]))
    return np.concatenate(parts, axis=1)
