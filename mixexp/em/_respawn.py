"""Experts that collapsed, at their floor or without rows: a new place for each, or none."""

import numpy as np

from mixexp.em._iteration import advance, begin
from mixexp.em._objective import Problem
from mixexp.em._results import EMResult, Options, Restart, Search
from mixexp.em._split_merge import draw_respawns
from mixexp.model import ExpertGroup, Model, Parameters
from mixexp.tree import GatingTree


def respawn_experts(problem: Problem, found: Search, seed: int, options: Options) -> Search:
    """Give the places of collapsed experts to halves of others, as long as more of them live.

    Parameters
    ----------
    problem : Problem
    found : Search
    seed : int
        Of the directions that experts are split along.
    options : Options

    Returns
    -------
    Search
        Optima with the fewest collapsed experts first, whatever their log-likelihood.
    """
    finals, places, restarts = list(found.finals), list(found.places), list(found.restarts)
    rng = np.random.default_rng(seed)
    at = min(range(len(finals)), key=lambda i: _rank_living(finals[i]))
    present, place = finals[at], places[at]
    while present.collapsed:
        tried = _respawn_one(problem, present, rng, options)
        for name, outcome in tried:
            finals.append(outcome)
            places.append(place)
            restarts.append(Restart.of(f"{restarts[place].start}: {name}", outcome))
        before = present
        present = min([present, *(outcome for _, outcome in tried)], key=_rank_living)
        if len(present.collapsed) == len(before.collapsed):
            break
    order = sorted(range(len(finals)), key=lambda i: _rank_living(finals[i]))
    return Search([finals[i] for i in order], [places[i] for i in order], restarts)


def _respawn_one(
    problem: Problem, present: EMResult, rng: np.random.Generator, options: Options
) -> list[tuple[str, EMResult]]:
    """Return what EM comes to with a new place for the first of the collapsed experts."""
    freed, params = min(present.collapsed), present.evaluation.params
    starts = draw_respawns(problem, params, freed, present.collapsed, rng)
    if not starts:
        return []
    runs = begin(problem, [start for _, start in starts], [None] * len(starts), options)
    advance(problem, runs, options.max_iter)
    stopped = f"stopped after max_iter={options.max_iter}"
    return [(name, run.outcome(stopped)) for (name, _), run in zip(starts, runs, strict=True)]


def _rank_living(outcome: EMResult) -> tuple[int, bool, float]:
    return len(outcome.collapsed), outcome.is_spurious, -outcome.objective


def surviving_leaves(problem: Problem, best: EMResult) -> list[int]:
    """Return the leaves that have not collapsed; if all have, the one with the largest mass."""
    tree = problem.model.tree
    alive = [leaf for leaf in range(tree.n_leaves) if leaf not in best.collapsed]
    return alive or [int(best.evaluation.stats.node_mass[tree.leaves].argmax())]


def restrict_parameters(
    model: Model, params: Parameters, smaller: Model, origin: np.ndarray
) -> Parameters:
    """Return the coefficients of a model's survivors, for the smaller model of these.

    Parameters
    ----------
    model : Model
    params : Parameters
        Without a leading axis.
    smaller : Model
        Of the same families and designs.
    origin : ndarray of shape (n_nodes of the smaller tree,), int
        Number that each of its nodes has in the larger tree, see `GatingTree.without`.
    """
    row_of = {
        leaf: (group, heads, row)
        for group, heads in zip(model.groups, params.experts, strict=True)
        for row, leaf in enumerate(group.leaves.tolist())
    }
    from_leaf = [model.tree.leaf_position(int(node)) for node in origin[smaller.tree.leaves]]
    experts = []
    for group in smaller.groups:
        own = [row_of[from_leaf[leaf]] for leaf in group.leaves.tolist()]
        experts.append(
            tuple(
                np.stack([_in_unit_of(group, old, h, heads[h][row]) for old, heads, row in own])
                for h in range(len(group.designs))
            )
        )
    from_edge = _edges_of_origin(model.tree, smaller.tree, origin)
    gates = []
    for kept in smaller.gates:
        rows = [model.edge_rows[from_edge[edge]] for edge in kept.edges.tolist()]
        gates.append(kept.centered(np.stack([params.gates[slot][row] for slot, row in rows])))
    return Parameters(tuple(gates), tuple(experts))


def _in_unit_of(group: ExpertGroup, old: ExpertGroup, h: int, coef: np.ndarray) -> np.ndarray:
    """Return a head's coefficients in another group's unit of y.

    That is of a pooled fit, which depends on the families that there are.
    """
    is_same = group.change(h) == old.change(h)
    return coef if is_same else group.from_raw(h, old.to_raw(h, coef))


def _edges_of_origin(tree: GatingTree, smaller: GatingTree, origin: np.ndarray) -> list[int]:
    """Return the edge whose logit each edge of the smaller tree had.

    Gates that had one child left stood between: the edge nearest to the parent decides.
    """
    edges = []
    for node in range(1, smaller.n_nodes):
        above, present = int(origin[smaller.parent[node]]), int(origin[node])
        while tree.parent[present] != above:
            present = int(tree.parent[present])
        edges.append(present - 1)
    return edges
