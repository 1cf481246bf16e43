"""Trees: at which leaves experts may stand instead, and that a search finds where they belong."""

import numpy as np
import pytest
from problems import make_problem, random_params, simulate_regimes
from sklearn.datasets import make_friedman1

from mixexp import HMERegressor
from mixexp.em import _nestings
from mixexp.em._nestings import draw_moves_of_tree, draw_nestings, has_nestings
from mixexp.experts import Gaussian

tolerant = pytest.mark.filterwarnings("ignore::mixexp.exceptions.DegenerateExpertWarning")


def problem_of(tree, rng):
    return make_problem(simulate_regimes(rng, 60), Gaussian(), tree)


# Of 4 leaves there are 3 nestings in pairs, and 15 in all; of 5 there are 45 in three levels.
@pytest.mark.parametrize(
    ("tree", "n_alive", "n_others"),
    [
        ((2, 2), 4, 2),
        ((2, 3), 6, 9),
        ((3, 2), 6, 14),
        ((2, 2, 2), 8, 314),
        ((2, 2, 2), 6, 134),
        ((2, 2, 2), 5, 44),
        ((2, 2, 2), 4, 14),
        ((2, 2, 2), 3, 2),
        ((2, 2, 2), 2, 0),
        ([[1, 1], 1], 3, 2),
    ],
)
def test_every_nesting_is_drawn_once(tree, n_alive, n_others, rng):
    model = problem_of(tree, rng).model
    is_alive = rng.permutation(np.arange(model.tree.n_leaves) < n_alive)
    nestings = draw_nestings(model, is_alive, rng, 1000)
    assert len({own.nested for own in nestings}) == len(nestings) == n_others
    for own in nestings:
        np.testing.assert_array_equal(np.sort(own.experts), np.arange(model.tree.n_leaves))
    assert len(draw_nestings(model, is_alive, rng, 10)) == min(n_others, 10)


def test_few_experts_alive_in_a_large_tree_are_soon_drawn(monkeypatch, rng):
    looked_at, contract = [], _nestings._contract

    def count(tree, experts, is_alive, node=0):
        looked_at.extend([node] * (node == 0))
        return contract(tree, experts, is_alive, node)

    monkeypatch.setattr(_nestings, "_contract", count)
    model = problem_of((2, 2, 2, 2), rng).model
    found = draw_nestings(model, np.arange(16) < 5, rng, 134)
    assert 44 < len({own.nested for own in found}) == len(found)
    assert len(looked_at) <= 12 * 134 + 1


def test_flat_models_and_large_trees_have_no_nestings(rng):
    assert not has_nestings(problem_of((4,), rng).model)
    assert has_nestings(problem_of((4, 4), rng).model)
    assert not has_nestings(problem_of((2, 3, 3), rng).model)


def test_experts_take_their_rows_to_other_leaves(rng):
    problem = problem_of((2, 2), rng)
    drawn = draw_moves_of_tree(problem, random_params(problem.model, rng), rng)
    nested = [(name, start) for name, start in drawn if name.startswith("experts nested as ((0, ")]
    assert len(nested) == 2
    # A fit to the same rows is the same one: least squares do not know where it began.
    one, other = (np.sort(start.experts[0][0], axis=0) for _, start in nested)
    np.testing.assert_allclose(one, other, rtol=1e-6)


# From every nesting of all optima found; fits of one nesting ended at -870 to -873.6.
@tolerant
@pytest.mark.parametrize("seed", [3])
def test_tree_of_eight_experts_reaches_the_known_optimum(seed):
    X, y = make_friedman1(400, noise=1.0, random_state=0)
    model = HMERegressor((2, 2, 2), random_state=seed).fit(X, y)
    assert model.penalized_log_likelihood_ > -867.2305 - 0.1


@tolerant
def test_nestings_change_neither_with_weights_nor_with_order(rng):
    data = simulate_regimes(rng, 150, n_regimes=4)
    weight = rng.integers(1, 3, len(data.y))
    order = rng.permutation(int(weight.sum()))
    model = HMERegressor((2, 2), random_state=0)
    weighted = model.fit(data.X, data.y, sample_weight=weight).penalized_log_likelihood_
    repeated = model.fit(np.repeat(data.X, weight, axis=0)[order], np.repeat(data.y, weight)[order])
    np.testing.assert_allclose(weighted, repeated.penalized_log_likelihood_, rtol=1e-9)
