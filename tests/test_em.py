"""Contracts of the EM iteration, held to every family, gate and tree."""

import warnings

import numpy as np
import pytest
from problems import (
    FAMILIES,
    GATES,
    TREES,
    UNPENALIZED,
    UNPENALIZED_CLASSES,
    gate_options,
    make_problem,
    simulate_classes,
    simulate_for,
    simulate_regimes,
)
from sklearn.base import clone
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler

from mixexp import EM, HMEClassifier, HMERegressor, MoEClassifier, MoERegressor
from mixexp.em import Problem, _iteration
from mixexp.exceptions import (
    ConvergenceWarning,
    DegenerateExpertWarning,
    RankDeficientWarning,
    SeparationWarning,
)
from mixexp.experts import Gaussian
from mixexp.tree import GatingTree

N_ROWS = 300
PENALTIES = {"penalized": {}, "unpenalized": UNPENALIZED}

every_family = pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
every_tree = pytest.mark.parametrize("spec", TREES.values(), ids=TREES)
every_gate = pytest.mark.parametrize("gate", GATES)
every_penalty = pytest.mark.parametrize("penalty", PENALTIES.values(), ids=PENALTIES)


def tolerant(*categories):
    """Return marks for tests where these warnings may be due and are not the question."""
    marks = [pytest.mark.filterwarnings(f"ignore::{c.__module__}.{c.__name__}") for c in categories]

    def decorate(test):
        for mark in marks:
            test = mark(test)
        return test

    return decorate


def hierarchical(family, **options):
    """Return the estimator of a family's target, with a tree."""
    cls = HMERegressor if family.target == "regression" else HMEClassifier
    return cls(**{"expert": family, "random_state": 0, "n_init": 1} | known_to(cls, options))


def flat(family, n_experts, **options):
    cls = MoERegressor if family.target == "regression" else MoEClassifier
    defaults = {"expert": family, "random_state": 0, "n_init": 1}
    return cls(n_experts, **defaults | known_to(cls, options))


def known_to(cls, options):
    """Return the options that an estimator has; classifiers have no prior on dispersions."""
    return {name: value for name, value in options.items() if name in cls().get_params()}


def penalty_of(model):
    return model._penalty()


def learned(model):
    """Return the learned arrays of an estimator by name."""
    names = ("coef_", "intercept_", "gate_coef_", "gate_intercept_", "dispersion_", "history_")
    return {name: getattr(model, name) for name in names if hasattr(model, name)}


def assert_same_bits(first, second):
    for name, value in learned(first).items():
        np.testing.assert_array_equal(getattr(second, name), value, err_msg=name)


# Monotone, and honest about what it reports.


@tolerant(ConvergenceWarning, DegenerateExpertWarning, RankDeficientWarning, SeparationWarning)
@every_penalty
@every_tree
@every_gate
@every_family
def test_objective_never_falls_and_is_what_is_reported(family, gate, spec, penalty, rng):
    data = simulate_for(family, rng, N_ROWS)
    weight = rng.uniform(0.5, 2.0, N_ROWS)
    gates = gate_options(gate, spec)
    model = hierarchical(family, tree=spec, **gates, max_iter=80, **penalty)
    model.fit(data.X, data.y, weight)
    history = model.history_
    assert np.all(np.isfinite(history))
    assert len(history) == model.n_iter_ + 1
    # Sums of 300 log densities carry rounding of some 1e-13 of their size; 1e-9 is ample.
    assert np.diff(history).min(initial=0.0) >= -1e-9 * (1.0 + abs(history[-1]))
    assert history[-1] == model.penalized_log_likelihood_
    np.testing.assert_allclose(
        model.log_likelihood_, model.log_likelihood(data.X, data.y, weight), rtol=1e-10
    )
    problem = make_problem(data, family, spec, gate, penalty=penalty_of(model), weight=weight)
    evaluation = problem.evaluate(model.fitted_model_.params)
    np.testing.assert_allclose(history[-1], evaluation.objective, rtol=1e-10)
    if penalty:
        assert model.log_likelihood_ == model.penalized_log_likelihood_


@tolerant(ConvergenceWarning, DegenerateExpertWarning, RankDeficientWarning, SeparationWarning)
@every_family
def test_plain_em_never_falls(family, rng):
    data = simulate_for(family, rng, N_ROWS)
    model = hierarchical(
        family, tree=[[1, 1], 1], max_iter=150, solver=EM(acceleration="none"), tol=0.0
    )
    history = model.fit(data.X, data.y).history_
    assert np.diff(history).min() >= -1e-9 * (1.0 + abs(history[-1]))


def test_penalty_is_that_of_the_documentation(rng):
    def excess(away):
        return (np.sqrt(1.0 + away**2) - 1.0).sum()

    data = simulate_regimes(rng, N_ROWS)
    model = MoERegressor(2, alpha=3.0, gate_alpha=2.0, dispersion_prior=4.0, random_state=0)
    model.fit(data.X, data.y)
    spread = data.X.std(axis=0)
    unit = model.fitted_model_.model.groups[0].scale
    single = MoERegressor(1, alpha=3.0, tol=1e-14).fit(data.X, data.y)
    slopes = (model.coef_ - single.coef_) * spread / unit
    logits = model.gate_coef_ * spread
    log_ratio = np.log(model.dispersion_ / single.dispersion_)
    room = slopes.size / 100.0
    pull = 3.0 * room * np.log1p(excess(slopes) / room)
    terms = pull + 2.0 * excess(logits) + 0.5 * 4.0 * excess(log_ratio)
    expected = model.log_likelihood_ - terms
    np.testing.assert_allclose(model.penalized_log_likelihood_, expected, rtol=1e-10)


# Solutions.


@tolerant(DegenerateExpertWarning, ConvergenceWarning)
@every_penalty
@every_tree
def test_em_step_leaves_the_optimum_alone(spec, penalty, rng):
    data = simulate_regimes(rng, 600, n_regimes=GatingTree.from_spec(spec).n_leaves)
    model = hierarchical(Gaussian(), tree=spec, tol=1e-13, max_iter=5000, **penalty)
    model.fit(data.X, data.y)
    step = clone(model).set_params(init=model, max_iter=1, solver=EM(acceleration="none"), tol=1e-7)
    step.fit(data.X, data.y)
    gain = step.history_[-1] - step.history_[0]
    assert abs(gain) <= 1e-12 * (1.0 + abs(step.history_[0]))
    # What is left to gain is below 1e-13 |l|, the square of the distance: 1e-6 of coefficients.
    for name, value in learned(model).items():
        if name != "history_":
            scale = 1.0 + np.abs(value).max()
            np.testing.assert_allclose(getattr(step, name), value, atol=1e-5 * scale, err_msg=name)


@tolerant(SeparationWarning, RankDeficientWarning)
def test_bound_on_an_intercept_does_not_stop_em():
    # An expert separates its rows, so that its intercept runs into its bound; the slopes must
    # then step as if the intercept were fixed, or the step need not rise however short it is.
    data = simulate_classes(np.random.default_rng(20240), 600, 2)
    X = np.round(data.X * 1024.0) / 1024.0
    model = MoEClassifier(2, init=data.labels, max_iter=5000, **UNPENALIZED_CLASSES).fit(X, data.y)
    assert model.converged_


@every_family
def test_gradient_vanishes_at_the_optimum(family, rng):
    data = simulate_for(family, rng, 600)
    model = flat(family, 2, tol=1e-13, max_iter=5000).fit(data.X, data.y)
    problem = make_problem(data, family, (2,), penalty=penalty_of(model))
    gradient = problem.model.free_basis.T @ problem.evaluate(model.fitted_model_.params).gradient
    # Half gradient**2 over a curvature of some n is below 1e-13 |l|: gradient / n below 1e-6.
    assert np.abs(gradient).max() <= 1e-6 * len(data.y)


@pytest.mark.parametrize("dispersion", ["own", "shared"])
def test_one_gaussian_expert_is_least_squares(dispersion, rng):
    data = simulate_regimes(rng, N_ROWS, p=4)
    weight = rng.uniform(0.5, 2.0, N_ROWS)
    model = flat(Gaussian(dispersion=dispersion), 1, **UNPENALIZED).fit(data.X, data.y, weight)
    expected = LinearRegression().fit(data.X, data.y, weight)
    residual = data.y - expected.predict(data.X)
    np.testing.assert_allclose(model.coef_[0], expected.coef_, rtol=1e-10)
    np.testing.assert_allclose(model.intercept_[0], expected.intercept_, rtol=1e-10)
    np.testing.assert_allclose(model.predict(data.X), expected.predict(data.X), rtol=1e-10)
    variance = np.average(residual**2, weights=weight)
    np.testing.assert_allclose(model.dispersion_, [variance], rtol=1e-10)


def test_one_gaussian_expert_with_alpha_is_ridge(rng):
    data = simulate_regimes(rng, N_ROWS, p=4)
    model = flat(Gaussian(), 1, alpha=0.8, tol=1e-14, max_iter=2000).fit(data.X, data.y)
    features = StandardScaler().fit_transform(data.X)
    # alpha penalises slopes in standard deviations of y; Ridge counts squares, not squares per
    # variance.
    unit = data.y.std()
    expected = Ridge(alpha=0.8 * model.dispersion_[0] / unit**2).fit(features, data.y)
    np.testing.assert_allclose(model.predict(data.X), expected.predict(features), rtol=1e-7)


@pytest.mark.parametrize("alpha", [0.0, 0.3])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_one_expert_for_classes_is_logistic_regression(n_classes, alpha, rng):
    data = simulate_classes(rng, 500, n_classes)
    features = StandardScaler().fit_transform(data.X)
    model = MoEClassifier(1, alpha=alpha, tol=1e-14).fit(features, data.y)
    inverse = np.inf if alpha == 0.0 else 1.0 / alpha
    expected = LogisticRegression(C=inverse, tol=1e-12, solver="newton-cg", max_iter=1000)
    expected.fit(features, data.y)
    np.testing.assert_allclose(
        model.predict_proba(features), expected.predict_proba(features), rtol=1e-6
    )
    centred = expected.coef_ if n_classes == 2 else expected.coef_ - expected.coef_.mean(axis=0)
    np.testing.assert_allclose(model.coef_.reshape(centred.shape), centred, atol=1e-6)


# One model under two names.


@tolerant(DegenerateExpertWarning, RankDeficientWarning, ConvergenceWarning)
@every_family
def test_tree_with_one_gate_is_the_flat_model(family, rng):
    data = simulate_for(family, rng, N_ROWS)
    options = {"n_init": 2, "max_iter": 60}
    first = flat(family, 4, **options).fit(data.X, data.y)
    second = hierarchical(family, tree=(4,), **options).fit(data.X, data.y)
    assert_same_bits(first, second)


@tolerant(DegenerateExpertWarning)
@every_family
def test_constant_gate_is_a_softmax_gate_without_features(family, rng):
    data = simulate_for(family, rng, 600)
    options = {"tol": 1e-10, "max_iter": 5000}
    constant = flat(family, 2, gate="constant", **options).fit(data.X, data.y)
    empty = flat(family, 2, gate_features=[], **options).fit(data.X, data.y)
    np.testing.assert_allclose(empty.log_likelihood_, constant.log_likelihood_, rtol=1e-10)
    np.testing.assert_allclose(empty.predict(data.X), constant.predict(data.X), rtol=1e-8)
    proba = constant.gate_proba(data.X)
    np.testing.assert_array_equal(proba, np.broadcast_to(proba[0], proba.shape))
    assert np.all(constant.gate_coef_ == 0.0)
    assert empty.gate_coef_.shape == (2, 0)
    assert empty.n_parameters_ == constant.n_parameters_


@pytest.mark.parametrize("spec", [[[1, 1, 1]], [[1], [1], [1]]], ids=str)
@every_penalty
def test_degenerate_deeper_model_is_not_worse_than_the_flat_one(spec, penalty, rng):
    data = simulate_regimes(rng, 600)
    flat_model = MoERegressor(3, random_state=0, n_init=3, **penalty).fit(data.X, data.y)
    resp = flat_model.responsibilities(data.X, data.y)
    deeper = HMERegressor(spec, init=resp, **penalty).fit(data.X, data.y)
    # Both stop with an estimated 1e-8, relative, left to gain.
    least = flat_model.history_[-1] - 1e-8 * (1.0 + abs(flat_model.history_[-1]))
    assert deeper.history_[-1] >= least
    assert deeper.n_parameters_ == flat_model.n_parameters_


# Seeds, threads, restarts.


@tolerant(DegenerateExpertWarning, ConvergenceWarning)
@every_family
def test_fit_is_deterministic_by_seed(family, rng):
    data = simulate_for(family, rng, N_ROWS)
    options = {"tree": [[1, 1], 1], "n_init": 2, "max_iter": 40}
    first = hierarchical(family, **options).fit(data.X, data.y)
    second = hierarchical(family, **options).fit(data.X, data.y)
    assert_same_bits(first, second)
    np.random.seed(3)  # noqa: NPY002 - the global generator must not matter
    assert_same_bits(first, hierarchical(family, **options).fit(data.X, data.y))
    state = hierarchical(family, **options).set_params(random_state=np.random.RandomState(0))
    assert_same_bits(first, state.fit(data.X, data.y))


@tolerant(DegenerateExpertWarning, ConvergenceWarning)
@every_family
def test_bits_do_not_depend_on_the_number_of_threads(family, rng):
    data = simulate_for(family, rng, 2 * 4096 + 700)
    weight = rng.uniform(0.5, 2.0, len(data.y))
    models = [
        flat(family, 3, n_init=2, max_iter=12, n_jobs=n_jobs).fit(data.X, data.y, weight)
        for n_jobs in (1, 2, 4)
    ]
    for model in models[1:]:
        assert_same_bits(models[0], model)


@pytest.mark.parametrize("data_seed", range(4))
@tolerant(DegenerateExpertWarning, ConvergenceWarning)
def test_one_more_restart_is_never_worse(data_seed):
    data = simulate_regimes(np.random.default_rng(data_seed), N_ROWS, n_regimes=4)
    reached = []
    for n_init in range(1, 7):
        model = MoERegressor(4, n_init=n_init, random_state=1, tol=1e-6).fit(data.X, data.y)
        reached.append(model.penalized_log_likelihood_)
        moved = [restart for restart in model.restarts_ if " merged, " in restart.start]
        assert len(model.restarts_) == n_init + len(moved)
    # Objectives within tol count as one optimum.
    assert np.diff(reached).min() >= -1e-6 * (1.0 + abs(reached[-1]))


@pytest.mark.parametrize("data_seed", range(8))
@tolerant(DegenerateExpertWarning)
def test_winner_has_converged_where_starts_find_one_optimum(data_seed):
    data = simulate_regimes(np.random.default_rng(data_seed), N_ROWS)
    model = MoERegressor(3, n_init=6, random_state=0).fit(data.X, data.y)
    best = max(restart.objective for restart in model.restarts_ if restart.converged)
    assert model.penalized_log_likelihood_ >= best - 1e-8 * (1.0 + abs(best))
    assert model.converged_


@tolerant(DegenerateExpertWarning)
def test_restarts_tell_of_every_start(rng):
    data = simulate_regimes(rng, N_ROWS)
    model = MoERegressor(3, n_init=4, random_state=0).fit(data.X, data.y)
    best = max(restart.objective for restart in model.restarts_)
    assert model.penalized_log_likelihood_ >= best - 1e-8 * (1.0 + abs(best))
    assert model.penalized_log_likelihood_ in [r.objective for r in model.restarts_]
    assert all(r.n_iter >= 0 and isinstance(r.reason, str) for r in model.restarts_)


# When to stop.


def test_too_few_iterations_are_told_of(rng):
    data = simulate_regimes(rng, N_ROWS)
    model = MoERegressor(3, n_init=1, random_state=0, max_iter=1)
    with pytest.warns(ConvergenceWarning, match="max_iter"):
        model.fit(data.X, data.y)
    assert model.converged_ is False
    assert model.n_iter_ == 1
    assert "max_iter" in model.convergence_reason_
    assert np.all(np.isfinite(model.predict(data.X)))


@pytest.mark.parametrize("acceleration", ["auto", "anderson", "none"])
def test_zero_tolerance_terminates(acceleration, rng):
    data = simulate_regimes(rng, N_ROWS, n_regimes=2)
    model = MoERegressor(
        2, n_init=1, random_state=0, tol=0.0, max_iter=500, solver=EM(acceleration=acceleration)
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(data.X, data.y)
    assert model.n_iter_ <= 500
    is_warned = any(issubclass(w.category, ConvergenceWarning) for w in caught)
    assert is_warned != model.converged_
    reference = clone(model).set_params(tol=1e-10).fit(data.X, data.y)
    assert model.history_[-1] >= reference.history_[-1] - 1e-10 * abs(reference.history_[-1])


@tolerant(RankDeficientWarning)  # an expert without rows of one class
@every_family
@pytest.mark.parametrize("acceleration", ["newton", "anderson"])
def test_acceleration_reaches_the_optimum_of_plain_em(family, acceleration, rng):
    data = simulate_for(family, rng, 600)
    options = {"init": data.labels % 2, "tol": 1e-12, "max_iter": 20000}
    quick = flat(family, 2, solver=EM(acceleration=acceleration), **options).fit(data.X, data.y)
    plain = flat(family, 2, solver=EM(acceleration="none"), **options).fit(data.X, data.y)
    # Both stop with an estimated 1e-12 left to gain; EM's estimate may be some ten times off.
    np.testing.assert_allclose(
        quick.penalized_log_likelihood_, plain.penalized_log_likelihood_, rtol=1e-9
    )
    assert quick.n_iter_ <= plain.n_iter_
    np.testing.assert_allclose(quick.gate_proba(data.X), plain.gate_proba(data.X), atol=1e-4)


def test_models_too_large_for_newtons_method_are_extrapolated(rng):
    features = rng.standard_normal((3000, 205))
    regime = (features[:, 0] + 0.5 * rng.standard_normal(3000) > 0.0).astype(int)
    y = np.where(regime, features[:, 1], -features[:, 1]) + 0.5 * rng.standard_normal(3000)
    fits = {
        acceleration: MoERegressor(
            2, solver=EM(acceleration=acceleration), init=regime, tol=1e-10
        ).fit(features, y)
        for acceleration in ("auto", "anderson", "none")
    }
    auto, plain = fits["auto"], fits["none"]
    assert auto.n_parameters_ > 600
    np.testing.assert_array_equal(auto.history_, fits["anderson"].history_)
    assert np.diff(auto.history_).min() >= -1e-9
    assert auto.n_iter_ < plain.n_iter_
    np.testing.assert_allclose(auto.history_[-1], plain.history_[-1], rtol=1e-8)


# Starts.


@every_family
def test_fit_from_the_optimum_stops_at_once(family, rng):
    data = simulate_for(family, rng, 600)
    model = flat(family, 2, tol=1e-12, max_iter=5000).fit(data.X, data.y)
    copied = clone(model).set_params(init=model, tol=1e-9).fit(data.X, data.y)
    again = clone(model).set_params(tol=1e-9, init=copied).fit(data.X, data.y)
    for other in (copied, again):
        assert other.n_iter_ <= 2
        assert other.converged_
        np.testing.assert_allclose(other.log_likelihood_, model.log_likelihood_, rtol=1e-10)
        assert [restart.start for restart in other.restarts_] == ["estimator"]


def test_a_fit_goes_on_where_its_last_one_stopped(rng):
    data = simulate_regimes(rng, N_ROWS)
    model = MoERegressor(2, n_init=1, random_state=0, max_iter=3)
    with pytest.warns(ConvergenceWarning):
        model.fit(data.X, data.y)
    stopped = model.history_[-1]
    model.set_params(max_iter=500, init=model).fit(data.X, data.y)
    np.testing.assert_allclose(model.history_[0], stopped, rtol=1e-10)
    assert model.history_[-1] > stopped


@tolerant(DegenerateExpertWarning)
def test_forms_of_given_starts_agree(rng):
    data = simulate_regimes(rng, N_ROWS)
    model = MoERegressor(3)
    labels = clone(model).set_params(init=data.labels).fit(data.X, data.y)
    soft = 0.1 / 3 + 0.9 * np.eye(3)[data.labels]
    for init in (
        data.labels.tolist(),
        data.labels.astype(float),
        data.labels.astype(np.int8),
        soft,
        soft.tolist(),
        np.asfortranarray(soft),
    ):
        other = clone(model).set_params(init=init).fit(data.X, data.y)
        np.testing.assert_allclose(other.history_[0], labels.history_[0], rtol=1e-10)
        np.testing.assert_allclose(other.history_[-1], labels.history_[-1], rtol=1e-10)
    assert [restart.start for restart in labels.restarts_] == ["labels"]
    assert [restart.start for restart in other.restarts_] == ["responsibilities"]


@tolerant(DegenerateExpertWarning)
def test_permuted_labels_lead_to_the_same_experts(rng):
    data = simulate_regimes(rng, 600)
    models = [
        MoERegressor(3, init=order[data.labels], tol=1e-12).fit(data.X, data.y)
        for order in np.array([[0, 1, 2], [2, 0, 1], [1, 0, 2]])
    ]
    for model in models[1:]:
        for name, value in learned(models[0]).items():
            if name != "history_":
                np.testing.assert_allclose(getattr(model, name), value, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("init", ["auto", "hyperplane", "residual"])
def test_named_starts_find_well_separated_regimes(init, rng):
    x = rng.uniform(-1.0, 1.0, (400, 1))
    y = np.where(x[:, 0] > 0.0, 4.0 * x[:, 0], -4.0 * x[:, 0]) + 0.1 * rng.standard_normal(400)
    model = MoERegressor(2, init=init, n_init=5, random_state=0).fit(x, y)
    np.testing.assert_allclose(np.sort(model.coef_[:, 0]), [-4.0, 4.0], atol=0.2)


@pytest.mark.parametrize("taken", [0, 2])
@tolerant(DegenerateExpertWarning, RankDeficientWarning, ConvergenceWarning)
def test_start_with_all_rows_in_one_expert_stays_finite(taken, rng):
    data = simulate_regimes(rng, N_ROWS)
    resp = np.zeros((N_ROWS, 3))
    resp[:, taken] = 1.0
    for init in (resp, np.full(N_ROWS, taken)):
        for penalty in PENALTIES.values():
            model = MoERegressor(3, init=init, **penalty).fit(data.X, data.y)
            for name, value in learned(model).items():
                assert np.all(np.isfinite(value)), name


@tolerant(RankDeficientWarning, DegenerateExpertWarning, ConvergenceWarning)
@every_family
def test_starts_come_to_the_same_together_as_alone(family, rng, monkeypatch):
    data = simulate_for(family, rng, 200)
    model = hierarchical(
        family, tree=[[1, 1], 1], n_init=4, max_iter=25, solver=EM(acceleration="none")
    )
    # Under weak priors logistic experts separate rows, and a start that is cut short there goes by
    # the last digits: X times 1 + 1e-15 moves one by 1.0, together as alone.
    monkeypatch.setattr(Problem, "with_weak_priors", lambda problem: problem)
    together = clone(model).fit(data.X, data.y)
    monkeypatch.setattr(_iteration, "_MOST_TOGETHER", 1)
    alone = clone(model).fit(data.X, data.y)
    found = [restart.objective for restart in together.restarts_]
    np.testing.assert_allclose(found, [r.objective for r in alone.restarts_], rtol=1e-8)
