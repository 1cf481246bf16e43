"""Split-and-merge moves: leave a local optimum by giving one expert's place to another.

Where two experts share what one could do, a third elsewhere does the work of two, and EM
cannot bring a place from here to there. A move merges the two and splits the third: new
responsibilities, from which EM starts again. After Ueda, Nakano, Ghahramani & Hinton (2000),
section 3; but an expert is split across the cut along which its own coefficients are least
stable, not where its density is furthest from that of its rows.
"""

from collections.abc import Collection, Mapping, Sequence
from functools import partial
from itertools import combinations
from typing import NamedTuple

import numpy as np

from mixexp.data import DenseDesign, Design
from mixexp.em._hyperplane_splits import Cut, cut_at_median, least_stable_cut
from mixexp.em._initial_params import params_from_responsibilities, smooth_labels
from mixexp.em._iteration import in_batches
from mixexp.em._objective import Problem
from mixexp.model import Model, Parameters, complete_scores, unstack_parameters

# Pairs that are merged, and splits that are tried with each.
_N_MERGES = 3
_N_SPLITS = 2
# A move takes two experts to merge and one to split.
_FEWEST_TO_MOVE = 3
# Cosine of two experts' responsibilities from which on they share their rows.
_ALIKE = 0.1
# Experts that are split, one after the other, to give a place to one that has collapsed.
_N_RESPAWNS = 3


class Move(NamedTuple):
    """A place that is freed, and the expert that is split into it.

    Parameters
    ----------
    kept, freed : int
        Leaves that are merged into the first of them; where that is the one that is split, the
        other had nothing to keep, or the rows of both are parted anew.
    split : int
        Leaf that gives half of its rows to the freed one.
    """

    kept: int
    freed: int
    split: int

    def __str__(self) -> str:
        if self.kept == self.split:
            return f"expert {self.freed} respawned from {self.split}"
        return f"experts {self.kept} and {self.freed} merged, {self.split} split"


def draw_moves(
    problem: Problem, params: Parameters, rng: np.random.Generator
) -> list[tuple[str, Parameters]]:
    """Return the starts of the most promising moves, with their names; none for two experts.

    Parameters
    ----------
    problem : Problem
    params : Parameters
        Of the optimum to leave, without a leading axis.
    rng : Generator
        Draws the directions that cuts are tried along.
    """
    if problem.model.tree.n_leaves < _FEWEST_TO_MOVE:
        return []
    resp, cuts, weight, scores = _cut_experts(problem, params, rng)
    by_score = _cut_by_scores(resp, weight, scores)
    # Of two regimes that differ in level alone no cut of the features tells, nor how stable it is.
    starts = [
        start
        for own in (cuts, by_score)
        for start in _start_moved(
            problem, params, resp, own, _rank_moves(problem.model, resp, weight, own)
        )
    ]
    parted = _part_pair(problem.model, resp, weight, scores, by_score)
    if parted is not None:
        move, cut = parted
        ((_, start),) = _start_moved(problem, params, resp, {move.split: cut}, [move])
        starts.append((f"experts {move.kept} and {move.freed} parted anew", start))
    return starts


def draw_respawns(
    problem: Problem,
    params: Parameters,
    freed: int,
    collapsed: Collection[int],
    rng: np.random.Generator,
) -> list[tuple[str, Parameters]]:
    """Return starts that give the place of one expert to half of another, with their names.

    Parameters
    ----------
    problem : Problem
    params : Parameters
        Without a leading axis.
    freed : int
        Leaf whose place it is.
    collapsed : collection of int
        Leaves that are not worth a split.
    rng : Generator
        Draws the directions that cuts are tried along.
    """
    family = leaf_groups(problem.model)
    resp, cuts, *_ = _cut_experts(problem, params, rng)
    alive = [leaf for leaf in range(len(resp)) if leaf not in collapsed and leaf != freed]
    able = [leaf for leaf in alive if family[leaf] == family[freed]]
    able.sort(key=lambda leaf: -cuts[leaf].instability)
    moves = [Move(leaf, freed, leaf) for leaf in able[:_N_RESPAWNS]]
    return _start_moved(problem, params, resp, cuts, moves)


def responsibilities_of(problem: Problem, params: Parameters) -> tuple[np.ndarray, np.ndarray]:
    """Return the responsibilities of all rows that are held, (n_leaves, n), and their weights.

    Parameters
    ----------
    problem : Problem
    params : Parameters
        Without a leading axis.
    """
    model = problem.model
    found = [complete_scores(model, params, block)[0] for block in problem.held]
    resp = np.concatenate([part.node_resp[model.tree.leaves] for part in found], axis=-1)
    return resp, np.concatenate([block.weight for block in problem.held])


class Split(NamedTuple):
    """Two halves of one expert's rows.

    Parameters
    ----------
    resp : ndarray of shape (2, n)
        Responsibilities of the halves; their sum is the expert's own.
    instability : float
        How much the expert's coefficients differ between them, see `Cut`.
    """

    resp: np.ndarray
    instability: float


def split_experts(problem: Problem, params: Parameters, rng: np.random.Generator) -> list[Split]:
    """Split every expert across the cut along which its own coefficients are least stable.

    Parameters
    ----------
    problem : Problem
    params : Parameters
        Without a leading axis.
    rng : Generator
        Draws the directions that cuts are tried along.
    """
    resp, cuts, *_ = _cut_experts(problem, params, rng)
    return [
        Split(own * smooth_labels(cut.is_above.astype(np.int64), 2), cut.instability)
        for own, cut in zip(resp, cuts, strict=True)
    ]


def _cut_experts(
    problem: Problem, params: Parameters, rng: np.random.Generator
) -> tuple[np.ndarray, list[Cut], np.ndarray, np.ndarray]:
    """Return responsibilities, the least stable cut of every expert's rows, weights and scores."""
    (resp, scores, weight), design = _collect(problem, params)
    cuts = [
        _cut_expert(problem, design, score, weight * own, rng)
        for own, score in zip(resp, scores, strict=True)
    ]
    return resp, cuts, weight, problem.held.group_means(scores)


def _cut_by_scores(resp: np.ndarray, weight: np.ndarray, scores: np.ndarray) -> list[Cut]:
    """Cut every expert's rows in such above and below what it expects."""
    return [cut_at_median(score, weight * own) for own, score in zip(resp, scores, strict=True)]


def _part_pair(
    model: Model,
    resp: np.ndarray,
    weight: np.ndarray,
    scores: np.ndarray,
    by_score: Sequence[Cut],
) -> tuple[Move, Cut] | None:
    """Return a move that parts two experts which share two regimes anew, with its cut; or None.

    Each passes through both regimes, so that neither looks as if it stood between them. What
    stands between is the mean of both, and it has to want a split more than any expert does.
    """
    alike = _likeness(resp, weight)
    family = leaf_groups(model)
    pairs = [
        pair for pair in combinations(range(len(resp)), 2) if family[pair[0]] == family[pair[1]]
    ]
    kept, freed = max(pairs, key=lambda pair: alike[pair], default=(0, 0))
    if kept == freed or alike[kept, freed] < _ALIKE:
        return None
    own = weight * (resp[kept] + resp[freed])
    cut = cut_at_median(scores[kept] + scores[freed], own)
    if cut.instability <= max(other.instability for other in by_score):
        return None
    return Move(kept, freed, kept), cut


def _cut_expert(
    problem: Problem,
    design: Design,
    score: np.ndarray,
    weight: np.ndarray,
    rng: np.random.Generator,
) -> Cut:
    """Return the least stable cut of one expert's rows: along features, or groups' gradients."""
    if problem.held.has_groups:
        design = DenseDesign(problem.held.group_means(score * design.to_array()))
        score = np.ones(len(score))
    return least_stable_cut(design, [design.scaled(score)], weight, 0.5, rng)


def _start_moved(
    problem: Problem,
    params: Parameters,
    resp: np.ndarray,
    cuts: Sequence[Cut] | Mapping[int, Cut],
    moves: Sequence[Move],
) -> list[tuple[str, Parameters]]:
    """Fit gates and experts to the responsibilities that each move leads to."""
    starts: list[Parameters] = []
    # From sharp gates Newton's steps to other responsibilities would lead too far.
    level = params._replace(gates=tuple(map(np.zeros_like, params.gates)))
    begun = problem.model.project(level)
    for some in in_batches(problem, moves):
        moved = np.stack([_move_rows(resp, move, cuts[move.split]) for move in some], axis=1)
        found = params_from_responsibilities(
            problem, [begun] * len(some), partial(take_rows, moved)
        )
        starts += unstack_parameters(found)
    return [(str(move), start) for move, start in zip(moves, starts, strict=True)]


def _collect(problem: Problem, params: Parameters) -> tuple[tuple[np.ndarray, ...], Design]:
    """Return responsibilities, scores of the locations and weights of all rows, and features."""
    model, parts, designs = problem.model, [], []
    heads = _location_heads(model)
    for block in problem.held:
        found, scores, _ = complete_scores(model, params, block)
        own = np.zeros((model.tree.n_leaves, len(block.weight)))
        for leaf, head in heads.items():
            own[leaf] = scores[head, leaf]
        parts.append((found.node_resp[model.tree.leaves], own, block.weight))
        designs.append(block.features)
    arrays = tuple(np.concatenate(same, axis=-1) for same in zip(*parts, strict=True))
    return arrays, designs[0].join(designs[1:])


def _location_heads(model: Model) -> dict[int, int]:
    """Return the first head of every leaf that has one, as `complete_scores` counts them."""
    heads, at = {}, len(model.softmax_edges)
    for group in model.groups:
        for row, leaf in enumerate(group.leaves.tolist()):
            if group.designs:
                heads[leaf] = at + row
        at += len(group.leaves) * len(group.designs)
    return heads


def _rank_moves(
    model: Model, resp: np.ndarray, weight: np.ndarray, cuts: Sequence[Cut]
) -> list[Move]:
    """Return moves, those first that merge the most alike and split the least stable."""
    mass, alike = resp @ weight, _likeness(resp, weight)
    pairs = sorted(combinations(range(len(mass)), 2), key=lambda pair: -alike[pair])
    family = leaf_groups(model)
    splits = sorted(range(len(mass)), key=lambda leaf: -cuts[leaf].instability)
    moves = []
    for pair in _with_smallest(pairs, mass)[:_N_MERGES]:
        freed, kept = sorted(pair, key=lambda leaf: mass[leaf])
        able = [leaf for leaf in splits if leaf not in pair and family[leaf] == family[freed]]
        moves += [Move(kept, freed, leaf) for leaf in able[:_N_SPLITS]]
    return moves


def _likeness(resp: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return the cosines between responsibilities, (n_leaves, n_leaves)."""
    norm = np.sqrt((resp**2) @ weight)
    return (resp * weight) @ resp.T / np.maximum(np.outer(norm, norm), np.finfo(float).tiny)


def leaf_groups(model: Model) -> dict[int, int]:
    """Return the number of every leaf's group."""
    return {leaf: g for g, group in enumerate(model.groups) for leaf in group.leaves.tolist()}


def _with_smallest(pairs: list[tuple[int, int]], mass: np.ndarray) -> list[tuple[int, int]]:
    """Put the smallest expert and the one most like it first: its place costs least."""
    smallest = int(mass.argmin())
    first = next(pair for pair in pairs if smallest in pair)
    return [first, *(pair for pair in pairs if pair != first)]


def take_rows(resp: np.ndarray, rows: slice) -> np.ndarray:
    return resp[..., rows]


def _move_rows(resp: np.ndarray, move: Move, cut: Cut) -> np.ndarray:
    below, above = smooth_labels(cut.is_above.astype(np.int64), 2)
    out = resp.copy()
    out[move.kept] += resp[move.freed]
    own = out[move.split].copy()
    out[move.freed], out[move.split] = own * above, own * below
    return out
