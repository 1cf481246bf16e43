"""Gates of experts without rows stay where doubles tell their children apart."""

from types import SimpleNamespace

import numpy as np
import pytest
from problems import make_problem, random_params

from mixexp.em import Options
from mixexp.em._effort import lay_course
from mixexp.em._monitor import Monitor
from mixexp.em._multistart import search
from mixexp.em._reach import keep_gate_within_reach, move_within_reach
from mixexp.experts import Gaussian
from mixexp.model import Penalty

TREE = [[1, 1], 1, 1]
PENALTY = Penalty(alpha=100.0, gate_alpha=3.0, dispersion_prior=24.0)
REACH = 700.0


def softmax(logits):
    odds = np.exp(logits - logits.max(axis=0))
    return odds / odds.sum(axis=0)


@pytest.fixture(scope="module")
def problem():
    rng = np.random.default_rng(3)
    X = rng.standard_normal((60, 2))
    data = SimpleNamespace(X=X, y=np.abs(X[:, 0]) + 0.1 * rng.standard_normal(60))
    return make_problem(data, Gaussian(), TREE, "softmax", penalty=PENALTY)


def test_a_child_far_away_comes_within_reach_and_siblings_keep_their_odds(problem):
    model, rng = problem.model, np.random.default_rng(0)
    coef = rng.standard_normal((4, 5, 3))  # starts, edges: three of the root, two below it
    coef[1, 0, 0] = -1e14
    coef[1, :3, 0] -= coef[1, :3, 0].mean()
    coef[2, 4, 0] = 1e9
    kept = keep_gate_within_reach(model, 0, coef)
    np.testing.assert_array_equal(kept[[0, 3]], coef[[0, 3]])
    np.testing.assert_array_equal(kept[..., 1:], coef[..., 1:])
    np.testing.assert_array_equal(kept[1, 3:], coef[1, 3:])
    spread = np.ptp(coef[1, :3, 1:], axis=0).sum()
    assert np.ptp(kept[1, :3, 0]) == pytest.approx(REACH * (1.0 + spread))
    rows = np.insert(rng.standard_normal((2, 50)), 0, 1.0, axis=0)
    for start, node in [(1, slice(0, 3)), (2, slice(3, 5))]:
        expected = softmax(coef[start, node] @ rows)
        np.testing.assert_allclose(softmax(kept[start, node] @ rows), expected, rtol=1e-2)
        assert abs(kept[start, node, 0].sum() - coef[start, node, 0].sum()) < 0.1


def test_a_steep_gate_far_from_the_mean_is_within_reach(problem):
    coef = np.zeros((1, 5, 3))
    coef[0, :2, 0], coef[0, :2, 1] = [-5e5, 5e5], [1e5, -1e5]  # five deviations away
    np.testing.assert_array_equal(keep_gate_within_reach(problem.model, 0, coef), coef)


def test_moves_end_within_reach(problem):
    model = problem.model
    flat = np.zeros(model.n_flat)
    moved = flat.copy()
    moved[:9:3] = [-2e14, 1e14, 1e14]
    ended = move_within_reach(model, flat, moved)
    assert np.ptp(ended[:9:3]) == pytest.approx(REACH)
    np.testing.assert_array_equal(ended[model.slot_slices[1]], flat[model.slot_slices[1]])


@pytest.mark.parametrize("seed", [7, 19])
def test_races_with_experts_without_rows_end_in_an_optimum(seed):
    """Extrapolation along an intercept that nothing holds ended at 2e14, and EM stood still."""
    data_rng, rng = np.random.default_rng(100 + seed), np.random.default_rng(seed)
    X = data_rng.standard_normal((300, 11))
    noise = 0.2 * data_rng.standard_normal(300)
    y = np.abs(X[:, 0]) + np.maximum(X[:, 1], 0.0) * X[:, 2] + noise
    data = SimpleNamespace(X=X, y=y)
    problem = make_problem(data, Gaussian(), [1] * 9, "softmax", penalty=PENALTY)
    starts = [(f"start {i}", random_params(problem.model, rng)) for i in range(3)]
    options = Options(max_iter=300, tol=1e-8, acceleration="auto")
    course = lay_course(problem, rng, options)
    best = search(problem, course, starts, options, Monitor(), 1).best
    assert best.is_converged
    coef = best.evaluation.params.gates[0]
    assert np.ptp(coef[:, 0]) <= 1.01 * REACH * (1.0 + np.ptp(coef[:, 1:], axis=0).sum())
