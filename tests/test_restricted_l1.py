"""L1 penalties beside orders, bounds of intercepts and linear equations."""

import warnings

import numpy as np
import pytest
from scipy.optimize import lsq_linear, minimize
from test_family_fits import few_rows_may_be_warned_of, simulate

from mixexp import HMERegressor, MoEClassifier, MoERegressor
from mixexp.constraints import Bounded, Fixed, Linear, Ordered, Shared
from mixexp.experts import FAMILIES
from mixexp.model import flat_gradient
from mixexp.selection import regularization_path

FREE = {"alpha": 0.0, "gate_alpha": 0.0, "dispersion_prior": 0.0, "random_state": 0, "n_init": 2}


def _rows(n=300):
    rng = np.random.default_rng(3)
    X = rng.normal(size=(n, 6))
    X[:, 1] += 0.8 * X[:, 0]
    is_first = rng.uniform(size=n) < 1.0 / (1.0 + np.exp(-2.0 * X[:, 2]))
    X += [5.0, 0.0, -2.0, 0.0, 0.0, 0.0]
    first, second = 1.0 + 2.0 * X[:, 0] - X[:, 1], -3.0 - X[:, 0] + 0.5 * X[:, 1] - 0.4 * X[:, 2]
    return X, np.where(is_first, first, second) + 0.5 * rng.normal(size=n)


X, Y = _rows()
CONSTRAINTS = {
    "equation": [Linear("b[0:x0] + 2 * b[1:x0] = 0.5 + b[0:x1]")],
    "origin": [Linear("b[0:intercept] = 0"), Linear("b[1:intercept] = 1.5")],
    "intercepts": [Bounded("intercept", lower=0.5)],
    "columns": [Ordered([3, 4, 5])],
    "experts": [Ordered(0)],
    "monotone": [Ordered([0, 1, 2]), Bounded(0, lower=0.0)],
    "apart": [Linear("b[0:x3] = b[1:x4]"), Bounded([0, 5], -0.5, 1.0)],
    "all": [
        Shared(1),
        Fixed(2, 0.1, experts=0),
        Ordered([3, 4, 5]),
        Linear("b[0:x0] = b[1:x1]"),
        Bounded(5, upper=0.1),
    ],
}


def left_over(model, X, y):
    """Return what no multiplier explains of the gradient, as a share of the least strength.

    By a bounded least-squares problem in all multipliers, written without the library's.
    """
    problem, _ = model._restore_problem(X, y, None, {})
    own, params = problem.model, model.fitted_model_.params
    flat, ties, l1 = own.flatten(params), own.ties, own.prior.l1
    current = problem.evaluate(params)
    smooth = flat_gradient(own, current.stats) + current.penalty.gradient
    is_zero = (flat == 0.0) & (l1 > 0.0)
    target = smooth - l1 * np.sign(flat)
    columns = [np.eye(own.n_flat)[:, is_zero]]
    lower, upper = [-l1[is_zero]], [l1[is_zero]]
    if ties.rows is not None:
        columns.append(ties.rows.T)
        lower.append(np.full(len(ties.rows), -np.inf))
        upper.append(np.full(len(ties.rows), np.inf))
    held = ties.rows_at_boundary(flat)
    columns.append(-held.T)
    lower.append(np.zeros(len(held)))
    upper.append(np.full(len(held), np.inf))
    for first, copy in enumerate(ties.owner):  # what is one moves together
        if copy != first:
            columns.append(np.eye(own.n_flat)[:, [first]] - np.eye(own.n_flat)[:, [copy]])
            lower.append([-np.inf])
            upper.append([np.inf])
    known = np.eye(own.n_flat)[:, ~np.isnan(ties.known)]
    columns.append(known)
    lower.append(np.full(known.shape[1], -np.inf))
    upper.append(np.full(known.shape[1], np.inf))
    is_location = np.zeros(own.n_flat, dtype=bool)
    for (g, h), slot in own.slot_of.items():
        is_location[own.slot_slices[slot]] = own.groups[g].family.heads[h].kind == "location"
    wide = np.concatenate(columns, axis=1)[is_location]
    ends = np.concatenate(lower), np.concatenate(upper)
    is_one = ends[0] == ends[1]
    found = lsq_linear(
        wide[:, ~is_one],
        target[is_location],
        (ends[0][~is_one], ends[1][~is_one]),
        tol=1e-14,
        method="bvls",
    )
    left = target[is_location] - wide[:, ~is_one] @ found.x
    return np.max(np.abs(left)[l1[is_location] > 0.0]) / l1[l1 > 0.0].min()


@pytest.mark.parametrize("l1", [2.0, 20.0, 80.0])
@pytest.mark.parametrize("family", ["gaussian", "student_t", "laplace"])
@pytest.mark.parametrize("name", CONSTRAINTS)
def test_fits_rise_to_an_optimum_that_meets_all(family, name, l1):
    model = MoERegressor(2, expert=family, constraints=CONSTRAINTS[name], l1=l1, **FREE)
    model.fit(X, Y)
    assert model.converged_
    assert np.diff(model.history_).min() >= -1e-9 * abs(model.history_[-1])
    assert left_over(model, X, Y) <= 1e-6
    own = model.fitted_model_
    ties, flat = own.model.ties, own.model.flatten(own.params)
    assert ties.slack(flat).min(initial=0.0) >= -1e-9
    if ties.rows is not None:
        np.testing.assert_allclose(ties.rows @ flat, ties.values, atol=1e-9)
    assert model.diagnostics_.gradient_norm < 1e-5


def test_users_units_are_met():
    def fit(name):
        return MoERegressor(2, constraints=CONSTRAINTS[name], l1=20.0, **FREE).fit(X, Y)

    np.testing.assert_allclose(fit("origin").intercept_, [0.0, 1.5], atol=1e-9)
    assert fit("intercepts").intercept_.min() >= 0.5 - 1e-9
    assert np.diff(fit("columns").coef_[:, 3:], axis=1).min() >= -1e-12
    assert fit("experts").coef_[1, 0] >= fit("experts").coef_[0, 0]
    both = fit("all").coef_
    np.testing.assert_allclose(both[0, 0], both[1, 1], rtol=1e-9)
    assert both[0, 1] == both[1, 1]


@few_rows_may_be_warned_of
@pytest.mark.parametrize("tree", [(2,), [[1, 1], 1]], ids=["flat", "tree"])
@pytest.mark.parametrize(
    "family", ["gaussian", "poisson", "gamma", "negative_binomial", "inverse_gaussian", "weibull"]
)
def test_every_family_rises_to_an_optimum_with_zeros(family, tree, rng):
    X, y = simulate(FAMILIES[family](), rng, 200)
    X = np.column_stack([X, rng.standard_normal((len(X), 3))])
    p = X.shape[1]
    constraints = [Ordered([p - 3, p - 2, p - 1]), Linear(f"b[0:x0] - b[1:x{p - 1}] = 0.1")]
    strengths = {"l1": 8.0, "gate_l1": 6.0, "alpha": 0.1, "gate_alpha": 0.1}
    model = HMERegressor(
        tree, expert=family, constraints=constraints, n_init=1, random_state=0, **strengths
    ).fit(X, y)
    assert np.diff(model.history_).min() >= -1e-9 * (1.0 + abs(model.penalized_log_likelihood_))
    if model.converged_:
        assert left_over(model, X, y) <= 1e-6


def test_logistic_experts_have_orders_and_l1():
    y = np.median(Y) < Y
    model = MoEClassifier(1, constraints=[Ordered([3, 4, 5])], l1=3.0, alpha=0.0).fit(X, y)
    assert model.converged_
    assert np.diff(np.squeeze(model.coef_)[3:]).min() >= -1e-12
    assert left_over(model, X, model._encode_target(y)) <= 1e-6


@pytest.mark.parametrize("l1", [1.0, 30.0])
def test_one_expert_is_the_quadratic_program(l1):
    """Minimised in the positive and negative parts of the slopes, by another program."""
    constraints = [Ordered([3, 4, 5]), Bounded("intercept", upper=-1.0)]
    model = MoERegressor(1, constraints=constraints, l1=l1, alpha=0.0, dispersion_prior=0.0)
    model.fit(X, Y)
    center, scale = X.mean(axis=0), X.std(axis=0)
    Z, unit = (X - center) / scale, model.fitted_model_.model.groups[0].scale
    y, variance = Y / unit, model.dispersion_[0] / unit**2
    mean = y.mean()

    def raw(v):
        return v[1:7] - v[7:]

    def value(v):
        error = y - mean - v[0] - Z @ raw(v)
        slope = -error @ Z / variance + 0.0
        gradient = np.r_[-error.sum() / variance, slope + l1, -slope + l1]
        return 0.5 * error @ error / variance + l1 * v[1:].sum(), gradient

    def inside(v):
        slopes = raw(v) / scale
        return np.r_[np.diff(slopes[3:]), -1.0 / unit - (mean + v[0] - slopes @ center)]

    found = minimize(
        value,
        np.r_[-5.0, np.full(12, 0.1)],
        jac=True,
        method="SLSQP",
        bounds=[(None, None), *[(0.0, None)] * 12],
        constraints={"type": "ineq", "fun": inside},
        options={"ftol": 1e-15, "maxiter": 2000},
    )
    scaled = model.coef_[0] * scale / unit
    own = np.r_[
        model.intercept_[0] / unit + scaled @ (center / scale) - mean,
        np.maximum(scaled, 0.0),
        np.maximum(-scaled, 0.0),
    ]
    assert inside(own).min() >= -1e-9
    assert value(own)[0] <= value(found.x)[0] * (1.0 + 1e-9)
    np.testing.assert_allclose(own, found.x, atol=1e-4)


def test_degrees_of_freedom_count_what_is_said_twice_once():
    rng = np.random.default_rng(0)
    Z = rng.standard_normal((300, 4))
    y = Z[:, 0] + 0.5 * rng.standard_normal(300)
    model = MoERegressor(1, constraints=[Ordered([1, 2, 3])], l1=100.0, alpha=0.0).fit(Z, y)
    np.testing.assert_array_equal(model.coef_[0, 1:], 0.0)
    assert model.n_parameters_ == 3  # intercept, slope, dispersion: two orders say nothing new
    equal = [Linear("b[0:x1] = b[0:x2]"), Bounded(3, lower=0.0)]
    model = MoERegressor(1, constraints=equal, l1=100.0, alpha=0.0).fit(Z, y)
    np.testing.assert_array_equal(model.coef_[0, 1:], 0.0)
    assert model.n_parameters_ == 3


def test_standard_errors_are_of_what_is_free():
    model = MoERegressor(2, constraints=CONSTRAINTS["columns"], l1=60.0, **FREE).fit(X, Y)
    table = model.inference(X, Y).coef_table()
    estimate = np.asarray(table["estimate"], dtype=float)
    errors = np.asarray(table["std_error"], dtype=float)
    assert (estimate == 0.0).any()
    assert np.isnan(errors[estimate == 0.0]).all()
    free = MoERegressor(2, l1=60.0, **FREE).fit(X, Y)
    assert model.penalized_log_likelihood_ <= free.penalized_log_likelihood_ + 1e-9
    assert model.n_parameters_ <= free.n_parameters_ + 2


def test_a_strength_next_to_zero_is_none():
    for name in ("columns", "monotone", "intercepts", "equation"):
        plain = MoERegressor(2, constraints=CONSTRAINTS[name], **FREE).fit(X, Y)
        model = MoERegressor(2, constraints=CONSTRAINTS[name], l1=1e-7, **FREE).fit(X, Y)
        np.testing.assert_allclose(model.log_likelihood_, plain.log_likelihood_, rtol=1e-7)


def test_paths_go_with_restrictions():
    model = MoERegressor(2, constraints=CONSTRAINTS["monotone"], **FREE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = regularization_path(model, X, Y, n_strengths=8)
    for own in path.estimators:
        assert np.diff(own.coef_[:, :3], axis=1).min() >= -1e-9
        assert own.coef_[:, 0].min() >= 0.0


@pytest.mark.filterwarnings("ignore::mixexp.exceptions.DegenerateExpertWarning")
@pytest.mark.parametrize("mean", [20.0, 50.0, 200.0])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_columns_far_from_zero_beside_a_bound_on_the_intercept_end_at_an_optimum(mean, seed):
    rng = np.random.default_rng([int(mean), seed])
    far = np.column_stack([mean + rng.normal(size=200), rng.normal(size=200)])
    y = -3.0 + 0.5 * far[:, 1] + rng.normal(size=200)
    model = MoERegressor(
        2, l1=500.0, constraints=[Bounded("intercept", lower=0.0)], n_init=1, random_state=seed
    )
    model.fit(far, y)
    assert model.converged_
    assert model.n_iter_ < 200
    assert model.diagnostics_.gradient_norm < 1e-5


@pytest.mark.parametrize("strength", [1e3, 1e6, 1e7])
def test_two_slopes_of_given_sum_are_not_both_zero_under_any_strength(strength):
    rules = [Linear("b[0:x3] + b[1:x3] = 1")]
    model = MoERegressor(2, constraints=rules, l1=strength, **FREE).fit(X, Y)
    np.testing.assert_allclose(model.coef_[:, 3].sum(), 1.0, rtol=1e-9)
    others = np.delete(model.coef_, 3, axis=1)
    np.testing.assert_array_equal(others, 0.0)


@pytest.mark.parametrize(
    "rules", [[Fixed("x3", 0.7)], [Linear("b[0:x3] = 0.7"), Linear("b[1:x3] = 0.7")]]
)
def test_a_path_of_a_known_slope_is_that_of_what_it_leaves_of_y(rules):
    """It began at a strength a million times too large, where all other slopes are zero."""
    path = regularization_path(MoERegressor(2, constraints=rules, **FREE), X, Y, n_strengths=5)
    left = MoERegressor(2, constraints=[Fixed("x3", 0.0)], **FREE)
    expected = regularization_path(left, X, Y - 0.7 * X[:, 3], n_strengths=5)
    known = 0.7 * (np.arange(6) == 3)
    np.testing.assert_allclose(path.strengths, expected.strengths, rtol=1e-6)
    for found, other in zip(path.estimators, expected.estimators, strict=True):
        np.testing.assert_allclose(found.coef_, other.coef_ + known, atol=1e-5)
        np.testing.assert_allclose(found.log_likelihood_, other.log_likelihood_, rtol=1e-8)


@pytest.mark.parametrize(
    "rules", [[Bounded("x3", lower=0.5)], [Linear("b[0:x3] + b[1:x3] = 1")]], ids=["bound", "sum"]
)
def test_paths_begin_where_no_more_slopes_are_left_than_constraints_ask_for(rules):
    model = MoERegressor(2, constraints=rules, **FREE)
    path = regularization_path(model, X, Y, n_strengths=3, least=0.5)
    free = regularization_path(MoERegressor(2, **FREE), X, Y, n_strengths=2)
    assert not np.delete(path.estimators[0].coef_, 3, axis=1).any()
    assert path.strengths[0] < 10.0 * free.strengths[0]


# Slopes that are held so much leave a likelihood far below that of an expert with free ones.
@pytest.mark.filterwarnings("ignore::mixexp.exceptions.ImplausibleFitWarning")
@pytest.mark.parametrize("weight", [1.0, 1e6])
def test_paths_of_counts_and_weights_of_any_size_begin_next_to_the_largest_score(weight):
    rng = np.random.default_rng(0)
    y = rng.poisson(np.exp(18.0 + 0.1 * (X[:, 0] - 5.0)))
    model = MoERegressor(1, expert="poisson", **FREE)
    path = regularization_path(model, X, y, np.full(len(X), weight), n_strengths=2)
    score = weight * np.abs((X - X.mean(axis=0)).T @ (y - y.mean())) / X.std(axis=0)
    assert score.max() <= path.strengths[0] * (1.0 + 1e-9) <= 1.4 * score.max()
    assert not path.estimators[0].coef_.any()


def test_paths_of_a_constant_y_and_of_an_unknown_number_of_experts_are_refused():
    with pytest.raises(ValueError, match="No slope of this model would be other than zero"):
        regularization_path(MoERegressor(2, **FREE), X, np.full(len(X), 7.3))
    with pytest.raises(ValueError, match="'n_experts' parameter of the estimator is 'auto'"):
        regularization_path(MoERegressor("auto"), X, Y)
