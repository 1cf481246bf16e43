"""Quasi-Newton steps with EM's curvature, and that curvature block by block."""

import numpy as np
import pytest
from problems import Data, make_problem, random_params, simulate_regimes

from mixexp import EM, MoERegressor
from mixexp.em import Options, Progress, Recording
from mixexp.em._block_curvature import BlockCurvature, coarse_steps
from mixexp.em._climb import Climb
from mixexp.em._effort import coarsened, effort_for, for_given_starts, lay_course
from mixexp.em._iteration import advance, begin, run_em
from mixexp.em._monitor import Monitor
from mixexp.em._multistart import search
from mixexp.experts import Gamma, Gaussian, StudentT
from mixexp.model import Penalty, complete_information

PENALTY = Penalty(alpha=30.0, gate_alpha=3.0, dispersion_prior=10.0)
CLIMBING = Options(max_iter=200, tol=1e-8, acceleration="none", climbs_after=10)
TREES = {"flat": [1, 1, 1], "tree": [[1, 1], [1, 1, 1]]}


def make(rng, family, spec, n=400):
    data = simulate_regimes(rng, n)
    if isinstance(family, Gamma):
        data = data._replace(y=np.exp(0.3 * data.y))
    return make_problem(data, family, spec, "softmax", penalty=PENALTY)


@pytest.mark.parametrize("spec", TREES.values(), ids=TREES)
@pytest.mark.parametrize("family", [Gaussian(), Gamma(), StudentT()], ids=["normal", "gamma", "t"])
def test_block_curvature_solves_with_the_complete_information(family, spec, rng):
    problem = make(rng, family, spec)
    model = problem.model
    current = problem.evaluate(model.unflatten(model.flatten(random_params(model, rng))))
    matrix = complete_information(model, current.stats.head_sums)
    matrix[np.diag_indices(model.n_flat)] += current.penalty.majorizer + model.flat_idle
    basis = model.free_basis
    free = np.linalg.solve(basis.T @ matrix @ basis, basis.T @ current.gradient)
    found = BlockCurvature(model, current).solve(current.gradient)
    np.testing.assert_allclose(found, basis @ free, rtol=1e-6, atol=1e-6 * np.abs(free).max())


def test_block_curvature_of_a_coarse_gate_is_that_of_its_steps(rng):
    problem = coarsened(make(rng, Gaussian(), [1] * 4), 3)
    model = problem.model
    current = problem.evaluate(random_params(model, rng))
    at, shape = model.slot_slices[0], model.slot_shapes[0]
    gradient = current.gradient[at].reshape(shape)
    prior = (current.penalty.majorizer + model.flat_idle)[at].reshape(shape)
    steps = coarse_steps(current.stats.gate_pairs[0], gradient, prior)
    found = BlockCurvature(model, current).solve(current.gradient)[at].reshape(shape)
    np.testing.assert_allclose(found, steps, rtol=1e-12)
    np.testing.assert_allclose(steps.sum(axis=0), 0.0, atol=1e-12 * np.abs(steps).max())
    # The top of the quadratic model with a block per child, of steps that sum to zero.
    blocks = current.stats.gate_pairs[0]
    bent = blocks + 0.01 * blocks.mean(axis=0) + prior[:, :, None] * np.eye(shape[1])
    slopes = gradient - np.einsum("aij,aj->ai", bent, steps)
    np.testing.assert_allclose(slopes, np.broadcast_to(slopes.mean(axis=0), shape), atol=1e-6)


@pytest.mark.parametrize("spec", TREES.values(), ids=TREES)
@pytest.mark.parametrize("family", [Gaussian(), Gamma(), StudentT()], ids=["normal", "gamma", "t"])
def test_climbs_rise_to_an_optimum(family, spec, rng):
    problem = make(rng, family, spec)
    start = random_params(problem.model, rng)
    found = run_em(problem, start, CLIMBING)
    assert found.is_converged
    assert np.diff(found.history).min() >= -1e-9 * abs(found.objective)
    finished = run_em(problem, found.evaluation.params, CLIMBING._replace(acceleration="newton"))
    gap = finished.objective - found.objective
    assert 0.0 <= gap + 1e-9 * abs(found.objective) <= 1e-5 * abs(found.objective)


def test_climbs_leave_coefficients_at_their_bounds(rng):
    problem = make(rng, Gaussian(dispersion=0.25), [1, 1, 1])
    model, start = problem.model, random_params(problem.model, rng)
    (run,) = begin(problem, [model.project(start)], [None], CLIMBING)
    advance(problem, [run], 3)
    current = run.standing.alone()
    reached = Climb(problem, 10).advance(current, 1e-8)
    assert reached is not None
    assert reached.objective[0] > current.objective
    lower, upper = model.flat_bounds
    is_known = lower == upper
    assert is_known.any()
    np.testing.assert_array_equal(model.flatten(reached.params)[0, is_known], lower[is_known])


def test_a_climb_at_an_optimum_is_not_due_again(rng):
    problem = make(rng, Gaussian(), [1, 1])
    options = CLIMBING._replace(acceleration="newton")
    end = run_em(problem, random_params(problem.model, rng), options).evaluation
    climb = Climb(problem, 10)
    assert climb.is_due(20)
    assert not climb.is_due(3)
    assert climb.advance(end, 1e-6) is None
    assert not climb.is_due(20)
    assert climb.is_due(20)  # once EM has moved on


# Searches of many parameters that climb.


def draw_smooth(n, n_features, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.uniform(-1.0, 1.0, (n, n_features))
    y = np.sin(2.0 * X[:, 0] + X[:, 1]) + np.abs(X[:, 2]) + 0.1 * rng.standard_normal(n)
    return X, y


def dear_problem(n):
    data = Data(*draw_smooth(n, 11), np.zeros(n, dtype=int))
    return make_problem(data, Gaussian(), [1] * 9, "softmax", penalty=PENALTY)


def test_climbs_take_fewer_passes_than_em():
    problem, plain = dear_problem(700), CLIMBING._replace(max_iter=600, climbs_after=None)
    drawn = random_params(problem.model, np.random.default_rng(3))
    start = run_em(problem, drawn, plain._replace(max_iter=60)).evaluation.params
    expected = run_em(problem, start, plain)
    before = problem.journal.n_passes
    found = run_em(problem, start, CLIMBING)
    assert found.objective >= expected.objective - 1e-3
    assert problem.journal.n_passes - before < 0.5 * expected.n_iter


@pytest.mark.parametrize("expert", ["gaussian", "gamma", "student_t"])
def test_given_starts_of_many_features_climb_to_the_same_optimum(expert, rng):
    data = simulate_regimes(rng, 2500, p=40)
    y = np.exp(0.5 * data.y) if expert == "gamma" else data.y
    given = {"expert": expert, "init": np.eye(3)[data.labels], "tol": 1e-10}
    climbed = MoERegressor(3, **given).fit(data.X, y)
    stepped = MoERegressor(3, solver=EM(acceleration="newton"), **given).fit(data.X, y)
    gap = climbed.penalized_log_likelihood_ - stepped.penalized_log_likelihood_
    assert abs(gap) <= 1e-8 * abs(stepped.penalized_log_likelihood_)
    assert climbed.n_iter_ < stepped.n_iter_
    np.testing.assert_allclose(climbed.coef_, stepped.coef_, atol=1e-4)


@pytest.mark.parametrize(
    ("n", "p", "k", "after"),
    [(2500, 40, 3, 1), (2000, 40, 3, None), (6000, 40, 7, None), (2500, 10, 3, None)],
)
def test_given_starts_climb_where_features_and_rows_are_many_and_experts_few(n, p, k, after, rng):
    data = simulate_regimes(rng, n, p=p)
    problem = make_problem(data, Gaussian(), [1] * k, "softmax", penalty=PENALTY)
    options = Options(max_iter=30, tol=1e-8, acceleration="auto")
    assert for_given_starts(problem, options).climbs_after == after
    assert for_given_starts(problem, options._replace(acceleration="none")).climbs_after is None


@pytest.mark.parametrize("n", [300, 700, 2200])
def test_resumed_climbs_have_the_same_bits(n):
    options = Options(max_iter=30, tol=1e-8, acceleration="auto")
    written: list[Progress] = []

    def run(journal):
        problem = dear_problem(n)
        object.__setattr__(problem, "journal", journal)
        rng = np.random.default_rng(0)
        starts = [(f"start {i}", random_params(problem.model, rng)) for i in range(3)]
        course = lay_course(problem, np.random.default_rng(2), options)
        found = search(problem, course, starts, options, Monitor(), 1)
        return found.best.evaluation

    assert effort_for(dear_problem(n), options).climbs
    whole = run(Recording(None, lambda progress: written.append(progress())))
    for at in np.linspace(0, len(written) - 1, 5).astype(int):
        again = run(Recording(written[at], lambda progress: None))
        assert again.objective == whole.objective
        np.testing.assert_array_equal(again.params.gates[0], whole.params.gates[0])


@pytest.mark.parametrize("kind", ["parallel", "crossing"])
def test_many_regimes_of_many_features_are_found(kind):
    rng, k, p, n = np.random.default_rng(0), 8, 12, 3000
    X, z = rng.standard_normal((n, p)), rng.integers(k, size=n)
    slopes = rng.standard_normal((1 if kind == "parallel" else k, p))
    own = np.broadcast_to(slopes, (k, p))[z]
    level = 2.0 * z if kind == "parallel" else 0.0
    y = level + np.einsum("ij,ij->i", own, X) + 0.2 * rng.standard_normal(n)
    model = MoERegressor(k, random_state=0).fit(X, y)
    assert model.n_parameters_ > 200
    drawn = MoERegressor(k, init=np.eye(k)[z]).fit(X, y)
    assert model.penalized_log_likelihood_ >= drawn.penalized_log_likelihood_ - 0.1
