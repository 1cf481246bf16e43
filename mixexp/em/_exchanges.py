"""Ways out of an optimum where rows share points: exchanges of levels, and relabelings.

Where features are dummies, the rows of each level are parted between experts by themselves, and
little tells which part is whose: the experts' shares, their dispersions and priors. So there
is an optimum for nearly every assignment of parts to experts, 2**(levels - 1) of them for two
experts and one factor, and EM ends at the nearest. An exchange goes from one to the next. It keeps
how the rows of a level are parted; where these are few, a level has optima in which they are parted
otherwise. A relabeling gives some rows a leaf by chance and leaves the others where they are.
"""

from functools import partial
from itertools import combinations, product
from typing import NamedTuple

import numpy as np

from mixexp.em._initial_params import params_from_afar, smooth_labels
from mixexp.em._initial_partitions import Rows, describe_rows
from mixexp.em._iteration import in_batches
from mixexp.em._objective import Problem
from mixexp.em._split_merge import leaf_groups, responsibilities_of, take_rows
from mixexp.model import Parameters, unstack_parameters

# Features with more distinct values than this are numbers, not codes of levels.
_MOST_VALUES = 3
# Exchanges of a round, at most.
_N_EXCHANGES = 16
# With so many distinct rows per parameter exchanges alone find what there is; with priors that hold
# experts together, too. With fewer than so many per coefficient of a location, the highest optima
# are those whose experts pass through some rows, which is not what to look for.
_MANY_ROWS, _FEWEST_ROWS = 10, 3
# Distinct rows times experts, above which relabelings would be most of the cost of a fit.
_MOST_LABELS = 256
# Relabelings of a round, and the shares of the rows that they draw anew, in turns.
_N_RELABELINGS = 96
_SHARES = (0.02, 0.04, 0.08, 0.16)
# Numbers of features that are looked through for levels.
_MOST_FEATURES = 1 << 22

#: Features with the rows of each of their values.
Levels = list[tuple[int, np.ndarray]]
#: Responsibilities, (n_leaves, n), with the names of what led to them.
Ways = list[tuple[str, np.ndarray]]


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
    told = _tell_levels(problem, params)
    if told is None:
        return []
    resp, _ = responsibilities_of(problem, params)
    return _start_from(problem, params, _exchange(problem, resp, told[0], rng))


def draw_relabelings(
    problem: Problem, params: Parameters, rng: np.random.Generator
) -> list[tuple[str, Parameters]]:
    """Return the starts of relabelings and exchanges; none where priors or many rows decide.

    Nor where rows are too few to tell optima from experts that pass through them.

    Parameters
    ----------
    problem : Problem
    params : Parameters
        Of the optimum to leave, without a leading axis.
    rng : Generator
        Draws labels of distinct rows, and chooses exchanges where there are many.
    """
    model = problem.model
    told = _tell_levels(problem, params) if model.penalty == model.weak_penalty else None
    if told is None:
        return []
    levels, rows = told
    resp, _ = responsibilities_of(problem, params)
    n_locations = len(resp) * max(own.shape[-1] for group in params.experts for own in group)
    if not _FEWEST_ROWS * n_locations <= rows.n_cells < _MANY_ROWS * problem.model.n_parameters:
        return []
    if rows.n_cells * len(resp) > _MOST_LABELS:
        return []
    ways = _exchange(problem, resp, levels, rng) + _relabel(resp, rows.cells, rng)
    return _start_from(problem, params, ways)


def _tell_levels(problem: Problem, params: Parameters) -> tuple[Levels, Rows] | None:
    """Return levels and rows that share points; None where ways out are not worth their cost.

    One dummy beside numbers parts nothing that EM cannot.
    """
    if problem.n_rows * problem.held[0].features.shape[0] > _MOST_FEATURES:
        return None
    features = np.concatenate([block.features.to_array() for block in problem.held], axis=1)
    levels = _rows_of_levels(features)
    if not levels:
        return None
    rows = describe_rows(problem, params)
    return (levels, rows) if rows.share_points and rows.are_few else None


def _exchange(problem: Problem, resp: np.ndarray, levels: Levels, rng: np.random.Generator) -> Ways:
    """Exchange rows of like experts; some exchanges by chance where there are many."""
    family = leaf_groups(problem.model)
    pairs = [
        pair for pair in combinations(range(len(resp)), 2) if family[pair[0]] == family[pair[1]]
    ]
    exchanges = [
        Exchange(one, other, feature, rows)
        for (one, other), (feature, rows) in product(pairs, levels)
    ]
    if len(exchanges) > _N_EXCHANGES:
        chosen = rng.choice(len(exchanges), _N_EXCHANGES, replace=False)
        exchanges = [exchanges[at] for at in sorted(chosen)]
    return [(str(exchange), exchange.apply(resp)) for exchange in exchanges]


def _relabel(resp: np.ndarray, cells: np.ndarray, rng: np.random.Generator) -> Ways:
    """Give some distinct rows a leaf by chance.

    Parameters
    ----------
    resp : ndarray of shape (n_leaves, n)
    cells : ndarray of shape (n,), int
        The same for rows that are equal, which get the same leaf.
    rng : Generator
    """
    ways, n_cells = [], int(cells.max()) + 1
    for number in range(_N_RELABELINGS):
        share = _SHARES[number % len(_SHARES)]
        is_drawn = rng.random(n_cells) < share
        labels = rng.integers(len(resp), size=n_cells)[cells]
        drawn = np.where(is_drawn[cells], smooth_labels(labels, len(resp)), resp)
        ways.append((f"{share:.0%} of the rows relabelled", drawn))
    return ways


def _rows_of_levels(features: np.ndarray) -> Levels:
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


def _start_from(problem: Problem, params: Parameters, ways: Ways) -> list[tuple[str, Parameters]]:
    """Fit gates and experts to the responsibilities, (n_leaves, n), of every way."""
    starts: list[Parameters] = []
    for some in in_batches(problem, ways):
        moved = np.stack([resp for _, resp in some], axis=1)
        begun = params_from_afar(problem, params, len(some), partial(take_rows, moved))
        starts += unstack_parameters(begun)
    return [(name, start) for (name, _), start in zip(ways, starts, strict=True)]
