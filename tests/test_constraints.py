"""Shared and fixed slopes: what is maximised under them, and what is said of it."""

import pickle

import numpy as np
import pandas as pd
import pytest
from problems import UNPENALIZED, simulate_classes, simulate_regimes
from scipy import optimize
from scipy.special import logsumexp
from scipy.stats import norm
from sklearn.linear_model import Ridge

from mixexp import EM, HMERegressor, MoEClassifier, MoERegressor, select_n_experts
from mixexp.constraints import Bounded, Fixed, Shared
from mixexp.em._iteration import stack_parameters
from mixexp.em._m_step import em_step
from mixexp.experts import Gaussian
from mixexp.inference._covariance import held_coordinates

N_ROWS = 300
QUICK = {"n_init": 2, "random_state": 0, "max_iter": 2000}
FREE = {**QUICK, **UNPENALIZED}
# Sums of n log densities are equal but for rounding, some 1e-13 of their size.
ROUNDING = 1e-10
CASES = {
    "shared": MoERegressor(3, constraints=[Shared(0)], **QUICK),
    "some": MoERegressor(3, constraints=[Shared([0, 1], experts=[0, 2])], **QUICK),
    "fixed": MoERegressor(3, constraints=[Fixed(1, 0.5, experts=1)], **QUICK),
    "both": HMERegressor([[1, 1], 1], constraints=[Shared(0), Fixed(1, -1.0, [0, 2])], **QUICK),
    "free": MoERegressor(2, constraints=Shared([0, 1]), gate="constant", **FREE),
    "anderson": MoERegressor(
        2, constraints=[Shared(0)], solver=EM(acceleration="anderson"), **QUICK
    ),
    "shared_dispersion": MoERegressor(
        2, expert=Gaussian(dispersion="shared"), constraints=[Shared(0)], **QUICK
    ),
    "student_t": MoERegressor(
        2, expert="student_t", constraints=[Shared(1), Fixed(0, 0.0)], **QUICK
    ),
    "logistic": MoEClassifier(2, constraints=[Shared(0), Fixed(1, 0.5, experts=0)], **QUICK),
    "multinomial": MoEClassifier(2, constraints=[Shared(0), Fixed(1, 0.0, experts=0)], **QUICK),
}
every_case = pytest.mark.parametrize("name", CASES)


def data_for(name, rng):
    if name in ("logistic", "multinomial"):
        return simulate_classes(rng, N_ROWS, 2 if name == "logistic" else 3)
    return simulate_regimes(rng, N_ROWS, n_regimes=2 if name == "free" else 3)


@pytest.fixture(scope="module")
def fitted(request):
    """Return a function that fits a case once, to features in units of their own."""
    found = {}

    def fit(name):
        if name not in found:
            data = data_for(name, np.random.default_rng(request.config.getoption("--seed")))
            X = data.X * [1.0, 4.0] + [3.0, 0.0]
            found[name] = CASES[name].fit(X, data.y), X, data.y
        return found[name]

    return fit


def with_restored(model, X, y):
    """Return the problem of a fit, and the evaluation of its coefficients."""
    problem, _ = model._restore_problem(X, y, None, {})
    return problem, problem.evaluate(model.fitted_model_.params)


# Contracts.


@every_case
def test_constraints_hold_and_the_objective_never_falls(fitted, name):
    model, _, _ = fitted(name)
    constraints = model.constraints
    for constraint in constraints if isinstance(constraints, list) else [constraints]:
        experts = constraint.experts
        leaves = range(model.tree_.n_leaves) if experts is None else np.atleast_1d(experts)
        slopes = model.coef_[np.ix_(list(leaves), np.arange(model.coef_.shape[1]))]
        slopes = slopes[..., np.atleast_1d(constraint.features)]
        expected = constraint.value if isinstance(constraint, Fixed) else slopes[:1]
        np.testing.assert_allclose(slopes, np.broadcast_to(expected, slopes.shape), rtol=1e-12)
    noise = 1e-12 * (N_ROWS + abs(model.history_[-1]))
    assert np.diff(model.history_).min(initial=0.0) >= -noise


@every_case
def test_fits_end_where_free_directions_have_no_slope(fitted, name):
    model, X, y = fitted(name)
    assert model.converged_
    problem, current = with_restored(model, X, y)
    basis = problem.model.free_basis
    assert basis.shape[1] == np.linalg.matrix_rank(basis) == model.n_parameters_
    held = held_coordinates(problem, current, model.fitted_model_.scaling)
    basis = basis[:, ~np.any(basis[held] != 0.0, axis=0)]
    information = problem.information(current.params) + current.penalty.information()
    gradient = basis.T @ current.gradient
    remaining = 0.5 * gradient @ np.linalg.solve(basis.T @ information @ basis, gradient)
    # What is left to gain is what ``tol`` allows.
    assert 0.0 <= remaining <= 1e-8 * (1.0 + abs(model.penalized_log_likelihood_))


@every_case
def test_steps_of_several_starts_are_those_of_each(fitted, name, rng):
    model, X, y = fitted(name)
    problem, _ = with_restored(model, X, y)
    layout = problem.model
    flat = layout.flatten(model.fitted_model_.params)
    drawn = flat + layout.free_basis @ (0.1 * rng.standard_normal((layout.n_parameters, 3)))[:, 0]
    starts = [layout.unflatten(flat), layout.unflatten(np.clip(drawn, *layout.flat_bounds))]
    together = em_step(problem, problem.evaluate(stack_parameters(problem, starts)), 0, False)
    for row, start in zip(layout.flatten(together.params), starts, strict=True):
        alone = em_step(problem, problem.evaluate(stack_parameters(problem, [start])), 0, False)
        expected = layout.flatten(alone.params)[0]
        np.testing.assert_allclose(row, expected, rtol=1e-9, atol=1e-9)
        settled = layout.flatten(layout.project(layout.unflatten(expected)))
        np.testing.assert_allclose(expected, settled, rtol=1e-12, atol=1e-12)


def test_a_shared_slope_has_the_ridge_once(rng):
    data = simulate_regimes(rng, N_ROWS, n_regimes=2)
    model = MoERegressor(
        2,
        gate="constant",
        constraints=[Shared([0, 1])],
        alpha=50.0,
        dispersion_prior=0.0,
        **QUICK,
    ).fit(data.X, data.y)
    (group,), (heads,) = model.fitted_model_.model.groups, model.fitted_model_.params.experts
    away = heads[0][0, 1:] - group.center[0][1:]
    # Two slopes of their own, and the shared ones once; a hundredth of a mean excess per slope.
    excess = (np.sqrt(1.0 + away**2) - 1.0).sum()
    expected = -50.0 * 0.02 * np.log1p(excess / 0.02)
    assert model.penalized_log_likelihood_ - model.log_likelihood_ == pytest.approx(
        expected, abs=ROUNDING * abs(model.log_likelihood_)
    )


# Known answers.


@pytest.mark.parametrize("family", ["gaussian", "poisson"])
def test_one_expert_with_a_fixed_slope_is_regression_with_an_offset(family, rng):
    X = rng.standard_normal((N_ROWS, 2)) * [1.0, 3.0] + [0.0, 1.0]
    mean = 0.2 + 0.3 * X[:, 0] + 0.1 * X[:, 1]
    y = rng.poisson(np.exp(mean)) if family == "poisson" else rng.normal(mean)
    fixed = MoERegressor(1, expert=family, constraints=[Fixed(1, 0.2)], **FREE).fit(X, y)
    other = MoERegressor(1, expert=family, expert_features=[0], **FREE)
    other.fit(X, y, offset=0.2 * X[:, 1])
    assert fixed.log_likelihood_ == pytest.approx(other.log_likelihood_, rel=ROUNDING)
    # The objective is known to 1e-8 of itself, so that slopes are to some 1e-4 of their errors.
    np.testing.assert_allclose(fixed.coef_[0], [other.coef_[0, 0], 0.2], rtol=0.0, atol=1e-5)
    assert fixed.intercept_[0] == pytest.approx(other.intercept_[0], abs=1e-5)
    assert fixed.n_parameters_ == other.n_parameters_


def _common_slopes(theta, X, y):
    """Return minus the log-likelihood of two Gaussians with common slopes and proportions."""
    log_share = np.array([-np.logaddexp(0.0, -theta[6]), -np.logaddexp(0.0, theta[6])])
    mean = theta[:2] + (X @ theta[2:4])[:, None]
    density = norm.logpdf(y[:, None], mean, np.exp(theta[4:6])) + log_share
    return -logsumexp(density, axis=1).sum()


def _common_slope_fit(rng):
    X = rng.standard_normal((N_ROWS, 2))
    labels = rng.random(N_ROWS) < 0.4
    y = X @ [1.0, -0.5] + np.where(labels, -2.0, 2.0) + rng.normal(0.0, 0.8, N_ROWS)
    model = MoERegressor(2, gate="constant", constraints=[Shared([0, 1])], **FREE).fit(X, y)
    gate = model.gate_intercept_[0] - model.gate_intercept_[1]
    own = [*model.intercept_, *model.coef_[0], *(0.5 * np.log(model.dispersion_)), gate]
    return model, X, y, np.array(own)


def test_common_slopes_are_those_of_a_direct_optimisation(rng):
    model, X, y, own = _common_slope_fit(rng)
    start = own + 0.05 * rng.standard_normal(len(own))
    direct = optimize.minimize(_common_slopes, start, args=(X, y), method="BFGS", tol=1e-7)
    assert model.log_likelihood_ == pytest.approx(-_common_slopes(own, X, y), rel=ROUNDING)
    assert model.log_likelihood_ >= -direct.fun - 1e-8 * abs(direct.fun)
    # BFGS with gradients by differences is good to some 1e-5.
    np.testing.assert_allclose(own, direct.x, atol=1e-4)
    assert model.n_parameters_ == len(own)


def test_standard_errors_of_shared_slopes_are_those_of_the_hessian(rng):
    model, X, y, own = _common_slope_fit(rng)
    step, eye = 1e-4, np.eye(len(own))

    def value(*moves):
        return _common_slopes(own + step * np.sum(moves, axis=0), X, y)

    hessian = np.array(
        [
            [
                (value(a, b) - value(a, -b) - value(-a, b) + value(-a, -b)) / (4.0 * step**2)
                for b in eye
            ]
            for a in eye
        ]
    )
    errors = np.sqrt(np.diag(np.linalg.inv(hessian)))[2:4]
    table = model.coef_table(X, y)
    # Differences of sums of size 600 leave 1e-13 * 600 / step**2, of curvatures of 100 and more.
    for feature, expected in zip(("x0", "x1"), errors, strict=True):
        found = table.loc[table["term"] == feature, "std_error"]
        np.testing.assert_allclose(found, expected, rtol=1e-3)


def test_a_shared_slope_is_tested_against_free_ones(rng):
    X = rng.standard_normal((400, 2))
    labels = rng.random(400) < 1.0 / (1.0 + np.exp(-2.0 * X[:, 1]))
    y = X[:, 0] + np.where(labels, 3.0, -3.0) * (1.0 + X[:, 1]) + 0.5 * rng.standard_normal(400)
    full = MoERegressor(2, **FREE).fit(X, y)
    true = MoERegressor(2, constraints=[Shared(0)], init=full, **UNPENALIZED).fit(X, y)
    wrong = MoERegressor(2, constraints=[Shared(1)], init=full, **UNPENALIZED).fit(X, y)
    tests = [full.likelihood_ratio_test(model, X, y) for model in (true, wrong)]
    # One false alarm in 10 000 seeds.
    assert tests[0].p_value > 1e-4
    assert tests[1].p_value < 1e-10
    assert full.n_parameters_ - true.n_parameters_ == 1


# The surface.


def test_features_are_named_and_refits_settle_on_the_constraints(rng):
    data = simulate_regimes(rng, N_ROWS, n_regimes=2)
    X = pd.DataFrame(data.X, columns=["age", "dose"])
    free = MoERegressor(2, **QUICK).fit(X, data.y)
    constraints = [Shared("age"), Fixed("dose", 0.25, experts=0)]
    model = MoERegressor(2, constraints=constraints, init=free).fit(X, data.y)
    assert model.coef_[0, 0] == model.coef_[1, 0]
    assert model.coef_[0, 1] == pytest.approx(0.25, rel=1e-12)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    table = model.coef_table(X, data.y)
    fixed = table[(table["unit"] == "expert 0") & (table["term"] == "dose")]
    assert fixed["note"].item() == "given"
    resampled = model.bootstrap(X, data.y, n_resamples=3, random_state=0).coef_table()
    held = (resampled["unit"] == "expert 0") & (resampled["term"] == "dose")
    assert resampled.loc[held, "std_error"].item() == pytest.approx(0.0, abs=1e-12)


def test_weights_count_as_repeated_rows(rng):
    data = simulate_regimes(rng, N_ROWS, n_regimes=2)
    times = np.arange(N_ROWS) % 3
    model = MoERegressor(2, constraints=[Shared(0)], **QUICK)
    weighted = model.fit(data.X, data.y, times).coef_
    repeated = model.fit(np.repeat(data.X, times, axis=0), np.repeat(data.y, times)).coef_
    np.testing.assert_allclose(weighted, repeated, rtol=1e-6, atol=1e-6)


def test_the_number_of_experts_is_chosen_under_constraints(rng):
    data = simulate_regimes(rng, N_ROWS, n_regimes=2)
    model = MoERegressor(constraints=[Shared(0)], **QUICK)
    found = select_n_experts(model, data.X, data.y, [1, 2])
    assert np.diff(found.columns["n_parameters"]) == [6]  # 7 less the slope that is shared


def test_columns_without_names_are_called_as_tables_call_them(rng):
    data = simulate_regimes(rng, N_ROWS, n_regimes=2)
    by_number = MoERegressor(2, constraints=[Fixed(1, 0.5)], gate_features=[0], **QUICK)
    by_name = MoERegressor(2, constraints=[Fixed("x1", 0.5)], gate_features=["x0"], **QUICK)
    same = by_number.fit(data.X, data.y).coef_
    np.testing.assert_array_equal(by_name.fit(data.X, data.y).coef_, same)


@pytest.mark.parametrize(
    ("constraints", "message"),
    [
        ("age", "must be None or a list of Shared, Fixed"),
        ([Shared(0), "dose"], "must be None or a list of Shared, Fixed"),
        ([Shared("age")], "Unknown feature 'age' in 'constraints'"),
        ([Shared(None)], "must name features"),
        ([Shared(2)], "Unknown feature 2 in 'constraints'"),
        ([Shared("intercept")], "Unknown feature 'intercept'"),
        ([Shared(0, experts=[0, 2])], r"must be numbers in the range \[0, 2\)"),
        ([Shared(0, experts="both")], r"must be numbers in the range \[0, 2\)"),
        ([Shared(0, experts=[1])], "different ones, at least two"),
        ([Fixed(0, 1.0, experts=[1, 1])], "different ones"),
        ([Fixed(0, 1.0, experts=[])], "different ones"),
        ([Fixed(0, np.nan)], "must be a finite number"),
        ([Fixed(0, "one")], "must be a finite number"),
        ([Fixed(0, 1.0), Fixed(0, 2.0, experts=1)], "fixes a slope that is fixed before"),
        ([Fixed(0, 1.0, experts=1), Shared(0)], "fixes a slope that it also shares"),
    ],
)
def test_constraints_that_cannot_be_met_are_refused(rng, constraints, message):
    data = simulate_regimes(rng, 30, n_regimes=2)
    with pytest.raises(ValueError, match=message):
        MoERegressor(2, constraints=constraints).fit(data.X, data.y)


def test_constraints_that_do_not_fit_the_model_are_refused(rng):
    data = simulate_regimes(rng, 30, n_regimes=2)
    X, y = data.X, data.y
    with pytest.raises(ValueError, match=r"a slope that expert 0 \(gaussian\) does not have"):
        MoERegressor(2, constraints=[Shared(0)], expert_features=[1]).fit(X, y)
    with pytest.raises(ValueError, match="experts of several families"):
        MoERegressor(2, expert=["gaussian", "laplace"], constraints=[Shared(0)]).fit(X, y)
    with pytest.raises(ValueError, match="column that is constant"):
        MoERegressor(2, constraints=[Fixed(0, 1.0)]).fit(X * [0.0, 1.0], y)
    mixed = MoERegressor(2, expert=["gaussian", Ridge()], constraints=[Bounded(0, lower=0.0)])
    with pytest.raises(ValueError, match="about slopes, which expert 1, an estimator"):
        mixed.fit(X, y)
    classes = simulate_classes(rng, 60, 3)
    with pytest.raises(ValueError, match="a value of 0 where there are more than two classes"):
        MoEClassifier(2, constraints=[Fixed(0, 1.0)]).fit(classes.X, classes.y)
