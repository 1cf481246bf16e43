"""Variants of EM: hard, stochastic and annealed responsibilities."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
from problems import FAMILIES, TREES, make_problem, random_params, simulate_for, simulate_regimes
from sklearn.base import clone

from mixexp import HMEClassifier, HMERegressor, MoEClassifier, MoERegressor
from mixexp.em._driver import stack_parameters
from mixexp.em._phases import N_DRAWS, anneal, draw_and_climb
from mixexp.experts import Poisson
from mixexp.model import Penalty, draw_labels, penalty_terms, posterior_of_block, temper

N_ROWS = 200
PENALTY = Penalty(2.0, 1.5, 4.0, 10.0)
VARIANTS = ("hard", "stochastic", "annealed")
SPECS = {"flat": (3,), "left": [[1, 1], 1]}

every_family = pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
every_tree = pytest.mark.parametrize("spec", TREES.values(), ids=TREES)
every_shape = pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
every_variant = pytest.mark.parametrize("responsibility", VARIANTS)
# Classification EM leaves experts without rows where soft EM would share some.
pytestmark = [
    pytest.mark.filterwarnings("ignore::mixexp.exceptions.DegenerateExpertWarning"),
    pytest.mark.filterwarnings("ignore::mixexp.exceptions.RankDeficientWarning"),
]


def estimator_for(family, spec, **options):
    cls = HMERegressor if family.target == "regression" else HMEClassifier
    return cls(spec, **{"expert": family, "random_state": 0, "n_init": 2, "n_moves": 0} | options)


def problem_with(spec, rng, power=1.0, family=FAMILIES["gaussian"], n=60):
    data = simulate_for(family, rng, n)
    weight = rng.uniform(0.5, 2.0, n)
    problem = make_problem(data, family, spec, penalty=PENALTY, weight=weight)
    return replace(problem, power=power), random_params(problem.model, rng)


def differences(function, at, step=1e-5):
    moves = step * np.eye(len(at))
    return np.array([(function(at + m) - function(at - m)) / (2.0 * step) for m in moves])


# Responsibilities to a power.


def test_powers_lead_from_equal_shares_to_the_most_probable_leaf(rng):
    resp = rng.dirichlet(np.ones(4), (2, 50)).transpose(2, 0, 1)
    same, gain = temper(resp, 1.0)
    np.testing.assert_allclose(same, resp, rtol=1e-14)
    np.testing.assert_allclose(gain, 0.0, atol=1e-15)
    # At a power of 1e-9 shares differ by 1e-9 log(resp), of at least exp(-30) here.
    np.testing.assert_allclose(temper(resp, 1e-9)[0], 0.25, atol=1e-7)
    hard, loss = temper(resp, np.inf)
    np.testing.assert_array_equal(hard.argmax(axis=0), resp.argmax(axis=0))
    np.testing.assert_array_equal(np.sort(hard, axis=0)[-1], 1.0)
    np.testing.assert_array_equal(hard.sum(axis=0), 1.0)
    np.testing.assert_array_equal(loss, np.log(resp.max(axis=0)))
    # log(sum of r**b) / b is between the largest's logarithm and that plus log(4) / b.
    near = temper(resp, 1e3)[1]
    assert np.all((near >= loss - 1e-12) & (near <= loss + np.log(4.0) / 1e3))


def test_first_of_equals_is_the_most_probable():
    hard, _ = temper(np.full((3, 1), 1.0 / 3.0), np.inf)
    np.testing.assert_array_equal(hard, [[1.0], [0.0], [0.0]])


def test_labels_are_drawn_with_the_responsibilities_as_probabilities(rng):
    resp = np.array([0.2, 0.0, 0.7, 0.1])
    labels = draw_labels(np.tile(resp[:, None], 40_000), rng.random(40_000))
    shares = np.bincount(labels, minlength=4) / 40_000
    # Five standard deviations of a share, at most 0.5 / 200.
    np.testing.assert_allclose(shares, resp, atol=5.0 * 0.5 / 200.0)
    assert shares[1] == 0.0
    ends = draw_labels(np.tile(resp[:, None], 2), np.array([0.0, np.nextafter(1.0, 0.0)]))
    np.testing.assert_array_equal(ends, [0, 3])


@every_tree
@pytest.mark.parametrize("power", [0.4, 3.0])
def test_gradient_is_that_of_the_tempered_objective(spec, power, rng):
    problem, params = problem_with(spec, rng, power)
    model = problem.model
    expected = differences(
        lambda at: problem.evaluate(model.unflatten(at)).objective, model.flatten(params)
    )
    found = problem.evaluate(params).gradient
    # step**2 times third derivatives, some 1e-10 * n_rows, and rounding, 1e-16 * 1e3 / 1e-5.
    np.testing.assert_allclose(found, expected, atol=1e-7 * (1.0 + np.abs(expected).max()))


@every_tree
def test_hard_objective_and_gradient_are_those_of_rows_with_labels(spec, rng):
    problem, params = problem_with(spec, rng, np.inf)
    model, (block,) = problem.model, problem.blocks
    labels = posterior_of_block(model, params, block).node_resp[model.tree.leaves].argmax(axis=0)
    soft = replace(problem, power=1.0)

    def labelled(at):
        """Return log-likelihood of y and labels together, with penalty and balance."""
        moved = model.unflatten(at)
        found = posterior_of_block(model, moved, block)
        resp = found.node_resp[model.tree.leaves][labels, np.arange(len(labels))]
        return soft.evaluate(moved).objective + block.weight @ np.log(resp)

    found, at = problem.evaluate(params), model.flatten(params)
    np.testing.assert_allclose(found.objective, labelled(at), rtol=1e-12)
    expected = differences(labelled, at)
    np.testing.assert_allclose(found.gradient, expected, atol=1e-7 * (1 + np.abs(expected).max()))


# Hard: classification EM.


@every_family
@every_shape
def test_hard_objective_never_falls_and_is_the_classification_one(family, spec, rng):
    data, weight = simulate_for(family, rng, N_ROWS), rng.uniform(0.5, 2.0, N_ROWS)
    model = estimator_for(family, spec, responsibility="hard").fit(data.X, data.y, weight)
    history = model.history_
    assert model.converged_
    assert np.diff(history).min() >= -1e-9 * (1.0 + abs(history[-1]))
    assert history[-1] == model.penalized_log_likelihood_
    largest = model.responsibilities(data.X, data.y).max(axis=1)
    classified = weight @ (model.log_density(data.X, data.y) + np.log(largest))
    penalty = penalty_terms(model._state.model, model._state.params).value
    np.testing.assert_allclose(history[-1], classified + penalty, rtol=1e-10)
    np.testing.assert_allclose(
        model.log_likelihood_, model.log_likelihood(data.X, data.y, weight), rtol=1e-10
    )
    assert model.log_likelihood_ >= classified


@every_shape
def test_hard_labels_stay_when_it_has_converged(spec, rng):
    data = simulate_regimes(rng, N_ROWS)
    model = HMERegressor(spec, responsibility="hard", random_state=0, tol=1e-12)
    model.fit(data.X, data.y)
    labels = model.predict_expert(data.X, data.y)
    # Going on from the labels alone, as a start would, changes none of them.
    again = clone(model).set_params(init=model).fit(data.X, data.y)
    np.testing.assert_array_equal(again.predict_expert(data.X, data.y), labels)
    assert again.n_iter_ <= 3


@every_shape
def test_hard_and_soft_agree_where_experts_are_told_apart_by_every_row(spec, rng):
    # Some 60 standard deviations apart.
    data = simulate_regimes(rng, N_ROWS, noise=0.3)
    levels = np.array([-30.0, 0.0, 30.0])
    y = data.y + levels[data.labels]
    models = [
        HMERegressor(spec, init=data.labels, responsibility=kind, tol=1e-12).fit(data.X, y)
        for kind in ("soft", "hard")
    ]
    # Responsibilities are zero and one to rounding, and so are the sums they are weights of.
    np.testing.assert_allclose(models[0].coef_, models[1].coef_, atol=1e-6)
    np.testing.assert_allclose(models[0].gate_coef_, models[1].gate_coef_, atol=1e-6)
    # Coefficients move it in proportion, and the objective only by their square.
    np.testing.assert_allclose(models[0].log_likelihood_, models[1].log_likelihood_, rtol=1e-6)
    np.testing.assert_allclose(
        models[1].penalized_log_likelihood_, models[0].penalized_log_likelihood_, rtol=1e-9
    )


@pytest.mark.parametrize("acceleration", ["newton", "anderson"])
def test_hard_has_no_acceleration(acceleration, rng):
    data = simulate_regimes(rng, 40)
    model = MoERegressor(2, responsibility="hard", acceleration=acceleration)
    with pytest.raises(ValueError, match=r"'acceleration'.*responsibility='hard'"):
        model.fit(data.X, data.y)


# Stochastic and annealed: phases in front of EM.


@every_tree
@pytest.mark.parametrize("prepare", [anneal, draw_and_climb])
def test_phases_never_lead_lower_than_their_start(spec, prepare, rng):
    problem, first = problem_with(spec, rng)
    starts = [first, random_params(problem.model, rng)]
    before = problem.evaluate(stack_parameters(problem, starts)).objective
    prepared = prepare(problem, starts, [1, 2])
    after = problem.evaluate(stack_parameters(problem, prepared)).objective
    assert np.all(after >= before - 1e-9 * (1.0 + np.abs(before)))


@pytest.mark.parametrize("prepare", [anneal, draw_and_climb])
def test_start_does_not_see_the_others(prepare, rng):
    problem, first = problem_with((3,), rng, n=N_ROWS)
    starts = [first, random_params(problem.model, rng), random_params(problem.model, rng)]
    together = prepare(problem, starts, [1, 2, 3])
    alone = prepare(problem, starts[1:2], [2])
    flatten = problem.model.flatten
    # Sums over rows are the same but for rounding, which some thirty iterations hand on.
    np.testing.assert_allclose(flatten(alone[0]), flatten(together[1]), rtol=1e-6, atol=1e-6)


def test_drawn_labels_do_not_depend_on_the_number_of_threads(rng):
    data = simulate_regimes(rng, 2 * 4096 + 100)
    options = {"n_init": 1, "n_moves": 0, "responsibility": "stochastic", "random_state": 3}
    models = [MoERegressor(3, n_jobs=n, **options).fit(data.X, data.y) for n in (1, 2)]
    np.testing.assert_array_equal(models[0].coef_, models[1].coef_)
    np.testing.assert_array_equal(models[0].history_, models[1].history_)


def test_seed_decides_what_labels_are_drawn(rng):
    problem, start = problem_with((3,), rng, n=N_ROWS)
    flatten = problem.model.flatten
    first, again, other = (
        flatten(draw_and_climb(problem, [start], [seed])[0]) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-6
    assert N_DRAWS == 30  # as the documentation says


@pytest.mark.slow
@pytest.mark.parametrize("responsibility", ["stochastic", "annealed"])
def test_phases_lead_no_lower_on_average_from_poor_starts(responsibility):
    # Lines that cross, and labels drawn blindly, where packages without better starts begin. In
    # single data sets either may end lower, so this says nothing of one fit.
    gains = []
    for n_experts in (3, 4):
        for seed in range(16):
            rng = np.random.default_rng(seed)
            data = simulate_regimes(rng, 400, n_regimes=n_experts, p=1, noise=0.3)
            init = rng.integers(0, n_experts, 400)
            # Annealing begins with experts that are alike, and the default pull would hold them.
            options = {"alpha": 1.0, "random_state": seed, "max_iter": 5000}
            model = MoERegressor(n_experts, init=init, **options)
            soft = model.fit(data.X, data.y).penalized_log_likelihood_
            model.set_params(responsibility=responsibility).fit(data.X, data.y)
            gains.append(model.penalized_log_likelihood_ - soft)
    # One optimum may differ by what tol leaves open: 1e-8 of some 500.
    assert np.mean(gains) >= -1e-5


# All of them.


@every_variant
@every_family
@every_shape
def test_every_variant_fits_weighted_rows(responsibility, family, spec, rng):
    data, weight = simulate_for(family, rng, N_ROWS), rng.integers(0, 3, N_ROWS).astype(float)
    model = estimator_for(family, spec, responsibility=responsibility, max_iter=2000)
    model.fit(data.X, data.y, weight)
    history = model.history_
    assert model.converged_
    assert np.diff(history).min(initial=0.0) >= -1e-9 * (1.0 + abs(history[-1]))
    assert np.all(np.isfinite(model.predict_experts(data.X)))
    assert np.isfinite(model.log_likelihood_)


def simulate_counts(rng):
    X = rng.standard_normal((N_ROWS, 1))
    log_mean = np.where(rng.random(N_ROWS) < 0.5, 1.0 + X[:, 0], 2.5)
    return X, rng.poisson(np.exp(log_mean)).astype(float)


@pytest.mark.parametrize("responsibility", ["stochastic", "annealed"])
def test_phases_reach_the_optimum_that_many_starts_agree_on(responsibility, rng):
    X, y = simulate_counts(rng)
    soft = MoERegressor(2, expert=Poisson(), random_state=0).fit(X, y)
    model = clone(soft).set_params(responsibility=responsibility).fit(X, y)
    # Both stop with an estimated 1e-8, relative, left to gain.
    slack = 1e-7 * (1.0 + abs(soft.penalized_log_likelihood_))
    assert abs(model.penalized_log_likelihood_ - soft.penalized_log_likelihood_) <= slack


def test_hard_climbs_from_where_soft_ended(rng):
    X, y = simulate_counts(rng)
    soft = MoERegressor(2, expert=Poisson(), random_state=0).fit(X, y)
    hard = MoERegressor(2, expert=Poisson(), init=soft, responsibility="hard").fit(X, y)
    certainty = np.log(soft.responsibilities(X, y).max(axis=1)).sum()
    np.testing.assert_allclose(
        hard.history_[0], soft.penalized_log_likelihood_ + certainty, rtol=1e-9
    )
    assert hard.converged_
    assert hard.history_[-1] > hard.history_[0]
    assert hard.penalized_log_likelihood_ < soft.penalized_log_likelihood_


@pytest.mark.parametrize("responsibility", ["hard", "annealed"])
def test_integer_weights_are_repeated_rows(responsibility, rng):
    data, weight = simulate_regimes(rng, N_ROWS), rng.integers(0, 4, N_ROWS)
    rows = np.repeat(np.arange(N_ROWS), weight)
    model = MoERegressor(3, responsibility=responsibility, random_state=0, tol=1e-13, n_init=2)
    weighted = clone(model).fit(data.X, data.y, weight)
    repeated = clone(model).fit(data.X[rows], data.y[rows])
    np.testing.assert_allclose(weighted.predict(data.X), repeated.predict(data.X), atol=1e-6)
    np.testing.assert_allclose(
        weighted.penalized_log_likelihood_, repeated.penalized_log_likelihood_, rtol=1e-9
    )


@every_variant
@pytest.mark.parametrize("cls", [MoERegressor, MoEClassifier, HMERegressor, HMEClassifier])
def test_every_variant_clones_and_pickles(responsibility, cls, rng):
    family = FAMILIES["gaussian" if cls in (MoERegressor, HMERegressor) else "multinomial"]
    data = simulate_for(family, rng, 100)
    options = {"n_init": 1, "n_moves": 0, "random_state": 1, "balance": 2.0}
    model = clone(cls(responsibility=responsibility, **options))
    assert model.get_params()["responsibility"] == responsibility
    model.set_params(max_iter=2000).fit(data.X, data.y)
    copied = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(copied.predict(data.X), model.predict(data.X))
    assert repr(copied.diagnostics_) == repr(model.diagnostics_)


@pytest.mark.parametrize("responsibility", ["stochastic", "annealed"])
def test_phase_is_also_done_with_a_start_of_the_users(responsibility, rng):
    data = simulate_regimes(rng, N_ROWS)
    poor = rng.integers(0, 3, N_ROWS)
    soft = MoERegressor(3, init=poor, random_state=0).fit(data.X, data.y)
    model = clone(soft).set_params(responsibility=responsibility).fit(data.X, data.y)
    assert model.history_[0] > soft.history_[0]
