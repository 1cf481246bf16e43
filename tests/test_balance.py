"""Balance of the gates: its derivatives, its formula, and what it does to experts."""

from dataclasses import replace

import numpy as np
import pytest
from problems import (
    FAMILIES,
    GATES,
    TREES,
    UNPENALIZED,
    make_problem,
    random_params,
    simulate_classes,
    simulate_for,
    simulate_regimes,
)

from mixexp import EM, HMEClassifier, HMERegressor, MoEClassifier, MoERegressor
from mixexp.em._iteration import stack_parameters
from mixexp.em._m_step import em_step
from mixexp.experts import Gaussian
from mixexp.model import Penalty

N_ROWS = 60
BALANCE = 25.0
PENALTY = Penalty(2.0, 1.5, 4.0, BALANCE)

every_tree = pytest.mark.parametrize("spec", TREES.values(), ids=TREES)
every_gate = pytest.mark.parametrize("gate", GATES)
every_family = pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)


def random_problem(spec, gate, rng, family=FAMILIES["gaussian"], penalty=PENALTY):
    data = simulate_for(family, rng, N_ROWS)
    weight = rng.uniform(0.5, 2.0, N_ROWS)
    problem = make_problem(data, family, spec, gate, penalty=penalty, weight=weight)
    return problem, random_params(problem.model, rng)


def differences(function, at, step=1e-5):
    """Return central differences, the index of the coefficient first."""
    moves = step * np.eye(len(at))
    return np.array([(function(at + m) - function(at - m)) / (2.0 * step) for m in moves])


# The pass.


@every_tree
@every_gate
def test_gradient_matches_central_differences(spec, gate, rng):
    problem, params = random_problem(spec, gate, rng)
    model = problem.model
    found = problem.evaluate(params).gradient
    expected = differences(
        lambda at: problem.evaluate(model.unflatten(at)).objective, model.flatten(params)
    )
    # step**2 times third derivatives, some 1e-10 * n_rows, and rounding, 1e-16 * 1e3 / 1e-5.
    np.testing.assert_allclose(found, expected, atol=1e-7 * (1.0 + np.abs(expected).max()))


@every_tree
@every_gate
def test_information_matches_central_differences(spec, gate, rng):
    problem, params = random_problem(spec, gate, rng)
    model = problem.model
    found = problem.information(params) + problem.evaluate(params).penalty.information()
    expected = -differences(
        lambda at: problem.evaluate(model.unflatten(at)).gradient, model.flatten(params)
    )
    np.testing.assert_allclose(found, expected, atol=1e-6 * np.abs(expected).max())


@every_tree
def test_starts_are_evaluated_together_as_alone(spec, rng):
    problem, first = random_problem(spec, "softmax", rng)
    second = random_params(problem.model, rng)
    together = problem.evaluate(stack_parameters(problem, [first, second]))
    for row, params in enumerate((first, second)):
        alone = problem.evaluate(params)
        np.testing.assert_allclose(together.objective[row], alone.objective, rtol=1e-12)
        size = np.abs(alone.gradient).max()
        np.testing.assert_allclose(together.gradient[row], alone.gradient, atol=1e-12 * size)


@every_tree
@every_gate
def test_it_adds_nothing_where_gates_are_uniform_and_takes_away_elsewhere(spec, gate, rng):
    problem, params = random_problem(spec, gate, rng)
    uniform = problem.evaluate(params._replace(gates=problem.model.no_gates()))
    np.testing.assert_allclose(uniform.stats.objective_offset, 0.0, atol=1e-12)
    is_alone = problem.model.tree.n_leaves == 1
    assert is_alone or problem.evaluate(params).stats.objective_offset < -1e-3
    no_balance = replace(problem.model, penalty=PENALTY._replace(balance=0.0))
    assert replace(problem, model=no_balance).evaluate(params).stats.objective_offset == 0.0


@every_tree
@pytest.mark.parametrize("balance", [1.0, 1e4])
def test_step_on_the_bound_never_falls(spec, balance, rng):
    problem, params = random_problem(
        spec, "softmax", rng, penalty=PENALTY._replace(balance=balance)
    )
    current = problem.evaluate(stack_parameters(problem, [params]))
    for _ in range(5):
        following = problem.evaluate(em_step(problem, current, 0, True).params)
        rounding = 1e-12 * (1.0 + abs(current.objective[0]))
        assert following.objective[0] >= current.objective[0] - rounding
        current = following


# Fits.


@every_family
@pytest.mark.parametrize("spec", [(3,), [[1, 1], 1]], ids=str)
@pytest.mark.parametrize("acceleration", ["auto", "none"])
@pytest.mark.filterwarnings("ignore::mixexp.exceptions.ConvergenceWarning")
def test_objective_never_falls(family, spec, acceleration, rng):
    data = simulate_for(family, rng, 200)
    cls = HMERegressor if family.target == "regression" else HMEClassifier
    options = {
        "expert": family,
        "n_init": 1,
        "max_iter": 60,
        "solver": EM(acceleration=acceleration, balance=BALANCE),
    }
    model = cls(spec, random_state=0, **options)
    history = model.fit(data.X, data.y, rng.uniform(0.5, 2.0, 200)).history_
    # Rounding of sums of 200 log densities: some 1e-13 of their size.
    assert np.diff(history).min() >= -1e-9 * (1.0 + abs(history[-1]))


@pytest.mark.parametrize("cls", [MoERegressor, HMERegressor])
def test_penalty_is_that_of_the_documentation(cls, rng):
    data, weight = simulate_regimes(rng, 200), rng.uniform(0.5, 2.0, 200)
    spec = 3 if cls is MoERegressor else [[1, 1], 1]
    options = UNPENALIZED | {"gate_alpha": 2.0}
    model = cls(spec, solver=EM(balance=BALANCE), random_state=0, n_init=2, **options)
    model.fit(data.X, data.y, weight)
    logits = model.gate_intercept_ + data.X @ model.gate_coef_.T
    gates = [[0, 1, 2]] if cls is MoERegressor else [[0, 1], [2, 3]]
    log_shares = [
        np.log(len(edges)) + logits[:, edges] - _log_sum(logits[:, edges]) for edges in gates
    ]
    per_row = sum(shares.mean(axis=1) for shares in log_shares)
    center = np.average(data.X, axis=0, weights=weight)
    spread = np.sqrt(np.average((data.X - center) ** 2, axis=0, weights=weight))
    ridge = 2.0 * (np.sqrt(1.0 + (model.gate_coef_ * spread) ** 2) - 1.0).sum()
    expected = model.log_likelihood_ - ridge + BALANCE * np.average(per_row, weights=weight)
    np.testing.assert_allclose(model.penalized_log_likelihood_, expected, rtol=1e-10)


def _log_sum(logits):
    return np.log(np.exp(logits).sum(axis=1, keepdims=True))


@pytest.mark.parametrize("spec", [(3,), [[1, 1], 1]], ids=str)
def test_integer_weights_are_repeated_rows(spec, rng):
    data = simulate_regimes(rng, 200)
    weight = rng.integers(0, 4, 200)
    rows = np.repeat(np.arange(200), weight)
    model = HMERegressor(spec, solver=EM(balance=BALANCE), random_state=0, n_init=2, tol=1e-13)
    weighted = model.fit(data.X, data.y, weight).gate_proba(data.X)
    repeated = model.fit(data.X[rows], data.y[rows]).gate_proba(data.X)
    np.testing.assert_allclose(weighted, repeated, atol=1e-6)


@pytest.mark.filterwarnings("ignore::mixexp.exceptions.DegenerateExpertWarning")
@pytest.mark.parametrize("factor", [1e-100, 1e6])
def test_scale_of_weights_needs_a_balance_of_that_scale(factor, rng):
    data = simulate_regimes(rng, 200, n_regimes=2)
    options = UNPENALIZED | {"init": data.labels, "tol": 1e-13}
    plain = MoERegressor(2, solver=EM(balance=BALANCE), **options).fit(data.X, data.y)
    scaled = MoERegressor(2, solver=EM(balance=factor * BALANCE), **options)
    scaled.fit(data.X, data.y, np.full(200, factor))
    np.testing.assert_allclose(scaled.gate_proba(data.X), plain.gate_proba(data.X), atol=1e-6)


@pytest.mark.parametrize("gate", ["softmax", "constant"])
def test_share_of_an_expert_is_that_of_its_rows_and_pseudo_rows(gate, rng):
    # What the intercepts' score equations say, summed over rows.
    data = simulate_regimes(rng, 300)
    model = MoERegressor(3, gate=gate, solver=EM(balance=BALANCE), random_state=0, tol=1e-13)
    model.fit(data.X, data.y)
    mass = model.responsibilities(data.X, data.y).sum(axis=0)
    expected = (mass + BALANCE / 3.0) / (300.0 + BALANCE)
    np.testing.assert_allclose(model.gate_proba(data.X).mean(axis=0), expected, atol=1e-7)


@pytest.mark.filterwarnings("ignore::mixexp.exceptions.DegenerateExpertWarning")
def test_expert_that_would_starve_stays_alive(rng):
    X = rng.standard_normal((300, 1))
    y = X[:, 0] + 0.5 * rng.standard_normal(300)
    y[:3] += 30.0  # what one expert is for, if none is to have more
    labels = (np.arange(300) < 3).astype(int)
    shares = {}
    for balance in (0.0, 60.0):
        model = MoERegressor(2, init=labels, solver=EM(balance=balance)).fit(X, y)
        shares[balance] = model.gate_proba(X).mean(axis=0).min()
    assert shares[0.0] < 0.05
    # Pseudo-rows alone are balance / 2 of n + balance.
    assert shares[60.0] > 30.0 / 360.0


@pytest.mark.parametrize("cls", [MoERegressor, MoEClassifier, HMERegressor, HMEClassifier])
def test_much_of_it_makes_gates_uniform(cls, rng):
    is_regressor = cls in (MoERegressor, HMERegressor)
    data = simulate_regimes(rng, 200) if is_regressor else simulate_classes(rng, 200, 3)
    model = cls(solver=EM(balance=1e9), random_state=0, n_init=2).fit(data.X, data.y)
    n_leaves = model.tree_.n_leaves
    # 200 rows pull on logits that 1e9 / 4 rows' curvature holds: less than 1e-6 times features.
    np.testing.assert_allclose(model.gate_proba(data.X), 1.0 / n_leaves, atol=1e-5)


def test_one_expert_has_nothing_to_balance(rng):
    data = simulate_regimes(rng, 100)
    plain = MoERegressor(1).fit(data.X, data.y)
    balanced = MoERegressor(1, solver=EM(balance=BALANCE)).fit(data.X, data.y)
    np.testing.assert_allclose(balanced.coef_, plain.coef_, rtol=1e-12)
    np.testing.assert_allclose(
        balanced.penalized_log_likelihood_, plain.penalized_log_likelihood_, rtol=1e-12
    )


def test_constant_gate_of_a_mixture_of_known_shares(rng):
    # Two experts told apart by every row: counts, and so shares, are known.
    y = np.where(np.arange(100) < 30, 0.0, 100.0) + rng.standard_normal(100)
    model = MoERegressor(
        2,
        expert=Gaussian(),
        gate="constant",
        expert_features=[],
        solver=EM(balance=20.0),
        init=(y > 50.0) * 1,
    )
    model.fit(rng.standard_normal((100, 1)), y)
    np.testing.assert_allclose(
        model.gate_proba([[0.0]])[0], [40.0 / 120.0, 80.0 / 120.0], rtol=1e-6
    )
