"""Exchanges: two experts swap their rows at one value of a feature.

Where features are dummies, the rows of each level are parted between experts by themselves, and
little tells which part is whose: the experts' shares, their dispersions and priors. So there
is an optimum for nearly every assignment of parts to experts, 2**(levels - 1) of them for two
experts and one factor, and EM ends at the nearest. An exchange goes from one to the next.
"""

from collections.abc import Sequence
from functools import partial
from itertools import combinations, product
from typing import NamedTuple

import numpy as np

from mixexp.em._hyperplane_splits import draw_directions, project_features
from mixexp.em._initial_params import params_from_responsibilities
from mixexp.em._initial_partitions import FEW_POINTS, FEW_RESPONSIBILITIES
from mixexp.em._iteration import in_batches
from mixexp.em._objective import Problem
from mixexp.em._split_merge import leaf_groups, responsibilities_of, take_rows
from mixexp.model import Parameters, unstack_parameters

# Features with more distinct values than this are numbers, not codes of levels.
_MOST_VALUES = 3
# Exchanges of a round, at most.
_N_EXCHANGES = 16

# Numbers of features that are looked through for levels.
_MOST_FEATURES = 1 << 22


class Exchange(NamedTuple):
    """Two leaves, and the rows that they swap.

    Parameters
    ----------
    one, other : int
    feature : int
        Whose value the rows share.
    rows : ndarray of shape (n,), bool
    """

    one: int
    other: int
    feature: int
    rows: np.ndarray

    def __str__(self) -> str:
        return f"experts {self.one} and {self.other} exchanged at feature {self.feature - 1}"

    def apply(self, resp: np.ndarray) -> np.ndarray:
        """Return responsibilities, (n_leaves, n), after the exchange."""
        out = resp.copy()
        out[self.one, self.rows] = resp[self.other, self.rows]
        out[self.other, self.rows] = resp[self.one, self.rows]
        return out


def draw_exchanges(
    problem: Problem, params: Parameters, rng: np.random.Generator
) -> list[tuple[str, Parameters]]:
    """Return the starts of some exchanges, with their names; none where rows are many.

    Parameters
    ----------
    problem : Problem
    params : Parameters
        Of the optimum to leave, without a leading axis.
    rng : Generator
        Chooses exchanges where there are many.
    """
    model = problem.model
    if problem.n_rows * problem.held[0].features.shape[0] > _MOST_FEATURES:
        return []
    features = np.concatenate([block.features.to_array() for block in problem.held], axis=1)
    levels = _rows_of_levels(features)
    if not levels:
        return []
    resp, _ = responsibilities_of(problem, params)
    if not _are_few_and_share_points(problem, resp):
        return []
    family = leaf_groups(model)
    pairs = [
        pair
        for pair in combinations(range(model.tree.n_leaves), 2)
        if family[pair[0]] == family[pair[1]]
    ]
    exchanges = [
        Exchange(one, other, feature, rows)
        for (one, other), (feature, rows) in product(pairs, levels)
    ]
    if len(exchanges) > _N_EXCHANGES:
        chosen = rng.choice(len(exchanges), _N_EXCHANGES, replace=False)
        exchanges = [exchanges[at] for at in sorted(chosen)]
    return _start_exchanged(problem, params, resp, exchanges)


def _are_few_and_share_points(problem: Problem, resp: np.ndarray) -> bool:
    """Tell whether exchanges are worth their cost: rows that are equal count once.

    One dummy beside numbers parts nothing that EM cannot.
    """
    n_features = problem.held[0].features.shape[0]
    (drawn,) = draw_directions([np.random.default_rng(0)], [0.0], 1, n_features, 0)
    along = project_features(problem.held, drawn.features)[0]
    n_rows = len(np.unique(along + np.arange(1, len(resp) + 1) @ resp))
    share_points = len(np.unique(along)) < FEW_POINTS * n_rows
    return share_points and n_rows * len(resp) <= FEW_RESPONSIBILITIES


def _rows_of_levels(features: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """Return features with the rows of each of their values, if these are few, but the commonest.

    Parameters
    ----------
    features : ndarray of shape (p, n)
    """
    found = []
    for feature, values in enumerate(features):
        levels, counts = np.unique(values, return_counts=True)
        if 1 < len(levels) <= _MOST_VALUES:
            rare = np.delete(levels, counts.argmax())
            found += [(feature, values == level) for level in rare]
    return found


def _start_exchanged(
    problem: Problem, params: Parameters, resp: np.ndarray, exchanges: Sequence[Exchange]
) -> list[tuple[str, Parameters]]:
    """Fit gates and experts to the responsibilities that each exchange leads to."""
    starts: list[Parameters] = []
    for some in in_batches(problem, exchanges):
        moved = np.stack([exchange.apply(resp) for exchange in some], axis=1)
        begun = params_from_responsibilities(
            problem, [params] * len(some), partial(take_rows, moved)
        )
        starts += unstack_parameters(begun)
    return [(str(exchange), start) for exchange, start in zip(exchanges, starts, strict=True)]
