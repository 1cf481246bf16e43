"""Nestings: experts at other leaves of the same tree, so that others are siblings.

EM never changes which experts are below one gate, and a gate parts what is below it by one
hyperplane only: where the experts of an optimum could stand side by side in a better order, no
merge or split says so. Experts without rows take no part: a gate above one child that is left is
none, so that few experts alive have few nestings, whatever the tree.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from mixexp.em._initial_params import params_from_responsibilities
from mixexp.em._iteration import in_batches, stack_parameters
from mixexp.em._objective import Problem
from mixexp.em._relabel import kind_below
from mixexp.em._split_merge import draw_moves, responsibilities_of, take_rows
from mixexp.model import Model, Parameters, unstack_parameters
from mixexp.tree import GatingTree

# Nestings that are drawn, those of the fewest swaps first, and of these such as start highest that
# are tried. Five experts that are alive have 44 others in a tree (2, 2, 2), and six 134.
_MOST_DRAWN, _MOST_TRIED = 134, 44
# An expert with less than this many rows is as good as none.
_FEWEST_ROWS = 0.5
# Of more pairs of nodes so many are drawn.
_MOST_PAIRS = 1 << 14
# Swaps that are looked at, per nesting that is to be drawn: what six experts in a tree (2, 2, 2)
# need. In larger ones with few experts alive most swaps lead to one that is known.
_LOOKED_AT = 12
# Trees of more leaves have many nestings, and each costs more than such trees were seen to gain.
_MOST_LEAVES = 16


class Nesting(NamedTuple):
    """Which expert stands at each leaf, and what that comes to.

    Parameters
    ----------
    experts : ndarray of shape (n_leaves,), int
        Present leaf of the expert that each leaf is to have.
    nested : int or tuple
        Experts that are alive, as they are nested below gates that part any.
    """

    experts: np.ndarray
    nested: Any

    def __str__(self) -> str:
        return f"experts nested as {self.nested}"


def has_nestings(model: Model) -> bool:
    """Whether experts may change places, and it makes a difference: below gates of two levels."""
    is_nested = model.tree.depth > 1 and model.tree.n_leaves <= _MOST_LEAVES
    return is_nested and model.is_linear and not model.has_known_leaves


def draw_moves_of_tree(
    problem: Problem, params: Parameters, rng: np.random.Generator
) -> list[tuple[str, Parameters]]:
    """Return the starts of other nestings and of split-and-merge moves, with their names.

    Parameters
    ----------
    problem : Problem
    params : Parameters
        Of the optimum to leave, without a leading axis.
    rng : Generator
    """
    resp, weight = responsibilities_of(problem, params)
    is_alive = resp @ weight * problem.n_weighed >= _FEWEST_ROWS
    nestings = draw_nestings(problem.model, is_alive, rng, _MOST_DRAWN)
    nested = _highest(problem, _start_nested(problem, params, resp, nestings))
    return nested + draw_moves(problem, params, rng)


def draw_nestings(
    model: Model, is_alive: np.ndarray, rng: np.random.Generator, most: int
) -> list[Nesting]:
    """Return nestings that are unlike the present one and each other.

    All that one swap of two nodes leads to come before those that take two, and so on. Of large
    trees with few experts alive not all nestings are found.

    Parameters
    ----------
    model : Model
    is_alive : ndarray of shape (n_leaves,), bool
        Experts without rows are all alike.
    rng : Generator
        Which come first among those of as many swaps.
    most : int
    """
    tree, present = model.tree, np.arange(model.tree.n_leaves)
    swaps = _draw_swaps(model, rng)
    seen, reached = {_contract(tree, present, is_alive)}, [present]
    found: list[Nesting] = []
    n_left = _LOOKED_AT * most
    for experts in reached:  # grows
        for swap in swaps:
            swapped = experts[swap]
            if not is_alive[swapped[swap != present]].any():
                continue
            if len(found) == most or n_left == 0:
                return found
            n_left -= 1
            nested = _contract(tree, swapped, is_alive)
            if nested not in seen:
                seen.add(nested)
                reached.append(swapped)
                found.append(Nesting(swapped, nested))
    return found


def _draw_swaps(model: Model, rng: np.random.Generator) -> list[np.ndarray]:
    """Return what each swap of two nodes of one kind does to the leaves, in random order.

    Of siblings none is swapped, for they would only be numbered anew.
    """
    tree = model.tree
    names = [repr(kind_below(model, node)) for node in range(tree.n_nodes)]
    kind = np.unique(names, return_inverse=True)[1]
    n_pairs = tree.n_nodes * (tree.n_nodes - 1) // 2
    if n_pairs <= _MOST_PAIRS:
        one, other = rng.permutation(np.stack(np.triu_indices(tree.n_nodes, 1)), axis=1)
    else:
        one, other = rng.integers(tree.n_nodes, size=(2, _MOST_PAIRS))
    is_swap = (kind[one] == kind[other]) & (tree.parent[one] != tree.parent[other])
    swaps = []
    for pair in zip(one[is_swap].tolist(), other[is_swap].tolist(), strict=True):
        first, second = (np.flatnonzero(tree.covers[node]) for node in pair)
        experts = np.arange(tree.n_leaves)
        experts[first], experts[second] = second, first
        swaps.append(experts)
    return swaps


def _contract(tree: GatingTree, experts: np.ndarray, is_alive: np.ndarray, node: int = 0) -> Any:
    """Return how experts that are alive are nested: numbers, or sorted tuples of what is below."""
    if tree.n_children[node] == 0:
        expert = int(experts[tree.leaf_position(node)])
        return expert if is_alive[expert] else ()
    below = (_contract(tree, experts, is_alive, child) for child in tree.children(node))
    parted = sorted((nested for nested in below if nested != ()), key=_first_expert)
    return parted[0] if len(parted) == 1 else tuple(parted)


def _first_expert(nested: Any) -> int:
    while isinstance(nested, tuple):
        nested = nested[0]
    return int(nested)


def _start_nested(
    problem: Problem, params: Parameters, resp: np.ndarray, nestings: Sequence[Nesting]
) -> list[tuple[str, Parameters]]:
    """Fit gates, and experts at their new places, to the responsibilities that they had."""
    model, starts = problem.model, []
    for some in in_batches(problem, nestings):
        begun = [model.project(_move_experts(model, params, own.experts)) for own in some]
        moved = np.stack([resp[own.experts] for own in some], axis=1)
        starts += unstack_parameters(
            params_from_responsibilities(problem, begun, partial(take_rows, moved))
        )
    return [(str(nesting), start) for nesting, start in zip(nestings, starts, strict=True)]


def _highest(
    problem: Problem, starts: list[tuple[str, Parameters]]
) -> list[tuple[str, Parameters]]:
    """Return the starts that are to be tried, in their order."""
    if len(starts) <= _MOST_TRIED:
        return starts
    objective = np.concatenate(
        [
            problem.evaluate(stack_parameters(problem, [start for _, start in some])).objective
            for some in in_batches(problem, starts)
        ]
    )
    tried = np.argsort(-objective, kind="stable")[:_MOST_TRIED]
    return [starts[at] for at in sorted(tried.tolist())]


def _move_experts(model: Model, params: Parameters, experts: np.ndarray) -> Parameters:
    """Return experts' coefficients at their new leaves, and even gates."""
    moved = []
    for group, heads in zip(model.groups, params.experts, strict=True):
        rows = np.searchsorted(group.leaves, experts[group.leaves])
        moved.append(tuple(coef[rows] for coef in heads))
    gates = tuple(map(np.zeros_like, params.gates))
    return params._replace(gates=gates, experts=tuple(moved))
