"""Diagnostics of a fit, against what they are said to be."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
from fitted import ESTIMATORS, N_ROWS, data_for
from problems import UNPENALIZED, make_problem, random_params, simulate_regimes
from sklearn.base import clone

from mixexp import EM, HMERegressor, MoERegressor
from mixexp.em import EMResult
from mixexp.estimators._diagnostics import diagnose
from mixexp.experts import Gaussian
from mixexp.model import Penalty

pytestmark = pytest.mark.filterwarnings("ignore::mixexp.exceptions.DegenerateExpertWarning")

every_estimator = pytest.mark.parametrize("model", ESTIMATORS.values(), ids=ESTIMATORS)


def outcome_of(problem, params, history=(-2.0, -1.0)):
    return EMResult(problem.evaluate(params), list(history), True, "", False, False, False)


@every_estimator
def test_use_of_experts_is_that_of_the_gate(model, rng):
    data, weight = data_for(model, rng), rng.integers(0, 3, N_ROWS)
    found = clone(model).fit(data.X, data.y, weight)
    proba = found.gate_proba(data.X)
    share = weight / weight.sum()
    told = found.diagnostics_
    np.testing.assert_allclose(told.importance, share @ proba, atol=1e-12)
    first = proba.argmax(axis=1)[:, None] == np.arange(proba.shape[1])
    # A constant gate of equal shares might tie; nothing here does.
    np.testing.assert_allclose(told.load, share @ first, atol=1e-12)
    entropy = -np.einsum("i,ik,ik->", share, proba, np.log(proba))
    np.testing.assert_allclose(told.entropy, entropy, rtol=1e-10)
    assert told.n_unexplained_rows == 0


@every_estimator
def test_optimum_is_told_as_one(model, rng):
    data = data_for(model, rng)
    told = clone(model).set_params(tol=1e-12).fit(data.X, data.y).diagnostics_
    # Half gradient**2 over a curvature of at most some 1 per row is below 1e-12 |l| / n.
    assert 0.0 <= told.gradient_norm <= 1e-5
    assert told.smallest_eigenvalue > 0.0
    assert told.monotonicity_margin >= -1e-9


@pytest.mark.parametrize("dispersion", ["own", "shared", 0.5])
@pytest.mark.parametrize("spec", [(3,), [[1, 1], 1]], ids=str)
def test_derivatives_are_those_in_free_coordinates(dispersion, spec, rng):
    data, weight = simulate_regimes(rng, 80), rng.uniform(0.5, 2.0, 80)
    family = Gaussian(dispersion=dispersion)
    problem = make_problem(data, family, spec, penalty=Penalty(1.0, 2.0, 3.0, 4.0), weight=weight)
    model = problem.model
    flat = np.clip(model.flatten(random_params(model, rng)), *model.flat_bounds)
    params = model.unflatten(flat)
    told = diagnose(problem, outcome_of(problem, params), params)
    evaluation, basis = problem.evaluate(params), model.free_basis
    expected = np.linalg.norm(basis.T @ evaluation.gradient) / weight.sum()
    np.testing.assert_allclose(told.gradient_norm, expected, rtol=1e-9)
    step = 1e-5
    columns = [
        problem.evaluate(model.unflatten(flat + step * b)).gradient
        - problem.evaluate(model.unflatten(flat - step * b)).gradient
        for b in basis.T
    ]
    hessian = basis.T @ np.array(columns).T / (2.0 * step)
    lowest = np.linalg.eigvalsh(-0.5 * (hessian + hessian.T))[0]
    # Differences are good to some 1e-9 of the largest entry.
    size = np.abs(hessian).max() / weight.sum()
    np.testing.assert_allclose(told.smallest_eigenvalue, lowest / weight.sum(), atol=1e-7 * size)


def test_direction_that_a_bound_holds_is_left_out(rng):
    data = simulate_regimes(rng, 80)
    exact = data.X @ np.array([1.0, -2.0])
    model = MoERegressor(1, **UNPENALIZED).fit(data.X, exact)
    # The dispersion is at its floor, and would fall further: half a row's worth per row.
    told = model.diagnostics_
    assert told.gradient_norm < 0.01
    assert told.smallest_eigenvalue > 0.0


def test_rows_that_no_expert_explains_are_counted(rng):
    data = simulate_regimes(rng, 80)
    problem = make_problem(data, Gaussian(), (2,))
    gone = np.arange(80) < 3

    def hide(block):
        bases = tuple(np.where(gone, -np.inf, base) for base in block.bases)
        return block._replace(bases=bases)

    hidden = replace(problem, blocks=problem.blocks.map_blocks(hide))
    params = random_params(problem.model, rng)
    told = diagnose(hidden, outcome_of(hidden, params, [-np.inf]), params)
    assert told.n_unexplained_rows == 3
    assert told.monotonicity_margin == 0.0


def test_margin_is_the_least_step(rng):
    data = simulate_regimes(rng, 80)
    problem = make_problem(data, Gaussian(), (2,))
    params = random_params(problem.model, rng)
    told = diagnose(problem, outcome_of(problem, params, [-np.inf, -9.0, -5.0, -4.0]), params)
    assert told.monotonicity_margin == 1.0 / 5.0


def test_matrix_is_left_out_where_it_is_dear_or_there_is_none(rng):
    data = simulate_regimes(rng, N_ROWS)
    hard = MoERegressor(2, solver=EM(variant="cem"), random_state=0).fit(data.X, data.y)
    assert hard.diagnostics_.smallest_eigenvalue is None
    assert hard.diagnostics_.gradient_norm <= 1e-4
    many = HMERegressor(
        (8, 3), n_init=1, solver=EM(n_moves=0), max_iter=3000, tol=1e-4, random_state=0
    )
    assert many.fit(data.X, data.y).diagnostics_.smallest_eigenvalue is None


def test_weights_are_repeated_rows(rng):
    data, weight = simulate_regimes(rng, N_ROWS), rng.integers(0, 4, N_ROWS)
    rows = np.repeat(np.arange(N_ROWS), weight)
    model = MoERegressor(2, tol=1e-13, random_state=0)
    first = clone(model).fit(data.X, data.y, weight).diagnostics_
    second = clone(model).fit(data.X[rows], data.y[rows]).diagnostics_
    for name in ("importance", "load", "entropy", "smallest_eigenvalue"):
        np.testing.assert_allclose(getattr(first, name), getattr(second, name), atol=1e-6)


def test_flat_direction_shows(rng):
    X = rng.standard_normal((200, 1))
    y = X[:, 0] + rng.standard_normal(200)
    # Two equal experts without a prior: which of them a row belongs to makes no difference.
    problem = make_problem_of(X, y)
    params = problem.model.unflatten(np.zeros(problem.model.n_flat))
    told = diagnose(problem, outcome_of(problem, params), params)
    assert told.smallest_eigenvalue <= 1e-12


def make_problem_of(X, y):
    rows = simulate_regimes(np.random.default_rng(0), len(y), p=X.shape[1])
    return make_problem(rows._replace(X=X, y=y), Gaussian(), (2,))


def test_text_is_readable_and_a_pickle_says_the_same(rng):
    data = simulate_regimes(rng, N_ROWS)
    model = MoERegressor(2, random_state=0, **UNPENALIZED).fit(data.X, data.y)
    text = repr(model.diagnostics_)
    for name in model.diagnostics_._fields:
        assert name in text
    assert max(map(len, text.splitlines())) <= 80
    assert repr(pickle.loads(pickle.dumps(model)).diagnostics_) == text
