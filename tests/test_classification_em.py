"""Classification EM: every row belongs to its most probable expert."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
from problems import FAMILIES, TREES, make_problem, random_params, simulate_for, simulate_regimes
from sklearn.base import clone

from mixexp import EM, HMEClassifier, HMERegressor, MoEClassifier, MoERegressor
from mixexp.experts import Poisson
from mixexp.model import Penalty, classify, posterior_of_block

N_ROWS = 200
PENALTY = Penalty(2.0, 1.5, 4.0, 10.0)
SPECS = {"flat": (3,), "left": [[1, 1], 1]}

every_family = pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
every_tree = pytest.mark.parametrize("spec", TREES.values(), ids=TREES)
every_shape = pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
# Classification EM leaves experts without rows where soft EM would share some.
pytestmark = [
    pytest.mark.filterwarnings("ignore::mixexp.exceptions.DegenerateExpertWarning"),
    pytest.mark.filterwarnings("ignore::mixexp.exceptions.RankDeficientWarning"),
]


def estimator_for(family, spec, **options):
    cls = HMERegressor if family.target == "regression" else HMEClassifier
    return cls(
        spec,
        **{"expert": family, "random_state": 0, "n_init": 2, "solver": EM(n_moves=0)} | options,
    )


def problem_with(spec, rng, family=FAMILIES["gaussian"], n=60):
    data = simulate_for(family, rng, n)
    weight = rng.uniform(0.5, 2.0, n)
    problem = make_problem(data, family, spec, penalty=PENALTY, weight=weight)
    return replace(problem, is_classification=True), random_params(problem.model, rng)


def differences(function, at, step=1e-5):
    moves = step * np.eye(len(at))
    return np.array([(function(at + m) - function(at - m)) / (2.0 * step) for m in moves])


def test_rows_are_given_to_their_most_probable_leaf(rng):
    resp = rng.dirichlet(np.ones(4), (2, 50)).transpose(2, 0, 1)
    hard, loss = classify(resp)
    np.testing.assert_array_equal(hard.argmax(axis=0), resp.argmax(axis=0))
    np.testing.assert_array_equal(np.sort(hard, axis=0)[-1], 1.0)
    np.testing.assert_array_equal(hard.sum(axis=0), 1.0)
    np.testing.assert_array_equal(loss, np.log(resp.max(axis=0)))


def test_first_of_equals_is_the_most_probable():
    hard, _ = classify(np.full((3, 1), 1.0 / 3.0))
    np.testing.assert_array_equal(hard, [[1.0], [0.0], [0.0]])


@every_tree
def test_hard_objective_and_gradient_are_those_of_rows_with_labels(spec, rng):
    problem, params = problem_with(spec, rng)
    model, (block,) = problem.model, problem.blocks
    labels = posterior_of_block(model, params, block).node_resp[model.tree.leaves].argmax(axis=0)
    soft = replace(problem, is_classification=False)

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


@every_family
@every_shape
def test_hard_objective_never_falls_and_is_the_classification_one(family, spec, rng):
    data, weight = simulate_for(family, rng, N_ROWS), rng.uniform(0.5, 2.0, N_ROWS)
    model = estimator_for(family, spec, solver=EM(variant="cem")).fit(data.X, data.y, weight)
    history = model.history_
    assert model.converged_
    assert np.diff(history).min() >= -1e-9 * (1.0 + abs(history[-1]))
    assert history[-1] == model.penalized_log_likelihood_
    largest = model.responsibilities(data.X, data.y).max(axis=1)
    classified = weight @ (model.log_density(data.X, data.y) + np.log(largest))
    fitted = model.fitted_model_.model
    penalty = fitted.prior.at(fitted.flatten(model.fitted_model_.params)).value
    np.testing.assert_allclose(history[-1], classified + penalty, rtol=1e-10)
    np.testing.assert_allclose(
        model.log_likelihood_, model.log_likelihood(data.X, data.y, weight), rtol=1e-10
    )
    assert model.log_likelihood_ >= classified


@every_shape
def test_hard_labels_stay_when_it_has_converged(spec, rng):
    data = simulate_regimes(rng, N_ROWS)
    model = HMERegressor(spec, solver=EM(variant="cem"), random_state=0, tol=1e-12)
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
        HMERegressor(spec, init=data.labels, solver=EM(variant=kind), tol=1e-12).fit(data.X, y)
        for kind in ("em", "cem")
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
    model = MoERegressor(2, solver=EM(variant="cem", acceleration=acceleration))
    with pytest.raises(ValueError, match=r"'acceleration'.*variant='cem'"):
        model.fit(data.X, data.y)


@every_family
@every_shape
def test_rows_of_weight_zero_are_absent(family, spec, rng):
    data, weight = simulate_for(family, rng, N_ROWS), rng.integers(0, 3, N_ROWS).astype(float)
    model = estimator_for(family, spec, solver=EM(variant="cem"), max_iter=2000)
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


def test_hard_climbs_from_where_soft_ended(rng):
    X, y = simulate_counts(rng)
    soft = MoERegressor(2, expert=Poisson(), random_state=0).fit(X, y)
    hard = MoERegressor(2, expert=Poisson(), init=soft, solver=EM(variant="cem")).fit(X, y)
    certainty = np.log(soft.responsibilities(X, y).max(axis=1)).sum()
    np.testing.assert_allclose(
        hard.history_[0], soft.penalized_log_likelihood_ + certainty, rtol=1e-9
    )
    assert hard.converged_
    assert hard.history_[-1] > hard.history_[0]
    assert hard.penalized_log_likelihood_ < soft.penalized_log_likelihood_


def test_integer_weights_are_repeated_rows(rng):
    data, weight = simulate_regimes(rng, N_ROWS), rng.integers(0, 4, N_ROWS)
    rows = np.repeat(np.arange(N_ROWS), weight)
    model = MoERegressor(3, solver=EM(variant="cem"), random_state=0, tol=1e-13, n_init=2)
    weighted = clone(model).fit(data.X, data.y, weight)
    repeated = clone(model).fit(data.X[rows], data.y[rows])
    np.testing.assert_allclose(weighted.predict(data.X), repeated.predict(data.X), atol=1e-6)
    np.testing.assert_allclose(
        weighted.penalized_log_likelihood_, repeated.penalized_log_likelihood_, rtol=1e-9
    )


@pytest.mark.parametrize("cls", [MoERegressor, MoEClassifier, HMERegressor, HMEClassifier])
def test_it_clones_and_pickles(cls, rng):
    family = FAMILIES["gaussian" if cls in (MoERegressor, HMERegressor) else "multinomial"]
    data = simulate_for(family, rng, 100)
    options = {"n_init": 1, "random_state": 1}
    model = clone(cls(solver=EM(variant="cem", balance=2.0), **options))
    assert model.get_params()["solver__variant"] == "cem"
    model.set_params(max_iter=2000).fit(data.X, data.y)
    copied = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(copied.predict(data.X), model.predict(data.X))
    assert repr(copied.diagnostics_) == repr(model.diagnostics_)
