"""Degenerate and badly scaled data give a finite fit, and a warning that says what is wrong."""

import warnings

import numpy as np
import pytest
from problems import UNPENALIZED, UNPENALIZED_CLASSES
from sklearn.base import clone

from mixexp import EM, HMEClassifier, HMERegressor, MoEClassifier, MoERegressor
from mixexp.exceptions import (
    ConvergenceWarning,
    DegenerateExpertWarning,
    RankDeficientWarning,
    RoundedTargetWarning,
    SeparationWarning,
)


def two_lines(n=60):
    rng = np.random.default_rng(1)
    x = np.linspace(-1.0, 1.0, n)
    return x[:, None], np.abs(x) + 0.1 * rng.standard_normal(n)


def constant_column():
    x, y = two_lines()
    return np.column_stack([x, np.full(len(y), 7.0)]), y


def collinear_columns():
    x, y = two_lines()
    return np.column_stack([x, 2.0 * x + 1.0]), y


def nearly_collinear_columns():
    x, y = two_lines()
    noise = 1e-9 * np.random.default_rng(2).standard_normal(len(y))
    return np.column_stack([x[:, 0], x[:, 0] + noise]), y


def more_columns_than_rows():
    rng = np.random.default_rng(3)
    return rng.standard_normal((12, 20)), rng.standard_normal(12)


def constant_target():
    return two_lines()[0], np.full(60, 3.25)


def constant_zero_target():
    return two_lines()[0], np.zeros(60)


def constant_in_one_region():
    x, y = two_lines()
    return x, np.where(x[:, 0] > 0.0, y, 1.0)


def identical_rows():
    return np.full((30, 2), 1.5), np.full(30, -2.0)


def identical_features():
    return np.full((30, 2), 1.5), np.linspace(0.0, 1.0, 30)


def few_distinct_rows():
    x, y = two_lines(4)
    return np.repeat(x, 10, axis=0), np.repeat(y, 10)


def gross_outlier():
    x, y = two_lines()
    y[7] = 1e12
    return x, y


def gross_outlier_in_features():
    x, y = two_lines()
    x[7, 0] = 1e12
    return x, y


def exact_lines():
    x = two_lines()[0]
    return x, np.where(x[:, 0] > 0.0, 3.0 * x[:, 0], -2.0 * x[:, 0] + 1.0)


def one_exact_line():
    x = two_lines()[0]
    return x, 3.0 * x[:, 0] - 2.0


def some_subnormal_features():
    x, y = two_lines()
    return np.where(np.abs(x) < 0.3, x * 1e-310, x), y


def large_features():
    x, y = two_lines()
    return x * 1e200, y


def large_target():
    x, y = two_lines()
    return x, y * 1e150


def small_target():
    x, y = two_lines()
    return x, y * 1e-150


HARD_DATA = [
    # (data, warnings of which one is due when unpenalised)
    (constant_column, {RankDeficientWarning}),
    (collinear_columns, {RankDeficientWarning}),
    (nearly_collinear_columns, set()),
    (more_columns_than_rows, {RankDeficientWarning}),
    (constant_target, {DegenerateExpertWarning}),
    (constant_zero_target, {DegenerateExpertWarning}),
    (constant_in_one_region, {DegenerateExpertWarning, SeparationWarning}),
    (identical_rows, {DegenerateExpertWarning, RankDeficientWarning}),
    (identical_features, {RankDeficientWarning}),
    (few_distinct_rows, {DegenerateExpertWarning, SeparationWarning, RoundedTargetWarning}),
    (gross_outlier, set()),
    (gross_outlier_in_features, set()),
    (exact_lines, {DegenerateExpertWarning, SeparationWarning}),
    (one_exact_line, {DegenerateExpertWarning}),
    (some_subnormal_features, set()),
    (large_features, set()),
    (large_target, set()),
    (small_target, set()),
]
OURS = (
    ConvergenceWarning,
    DegenerateExpertWarning,
    RankDeficientWarning,
    RoundedTargetWarning,
    SeparationWarning,
)


def fit_with_warnings(model, X, y):
    """Fit, and return the categories of the warnings; only ours are allowed."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(X, y)
    foreign = [w for w in caught if not issubclass(w.category, OURS)]
    assert not foreign, [str(w.message) for w in foreign]
    return {w.category for w in caught}


def assert_finite(model, X, y):
    """Check every learned number, and everything that is told of the rows."""
    for name, value in vars(model).items():
        if name.endswith("_") and getattr(value, "dtype", np.dtype(type(value))).kind == "f":
            assert np.all(np.isfinite(value)), name
    assert np.all(np.diff(model.history_) >= -1e-9 * (1.0 + abs(model.history_[-1])))
    proba, resp = model.gate_proba(X), model.responsibilities(X, y)
    for shares in (proba, resp):
        np.testing.assert_allclose(shares.sum(axis=1), 1.0, atol=1e-12)
        assert np.all(shares >= 0.0)
    assert np.all(np.isfinite(model.predict_experts(X)))
    assert np.all(np.isfinite(model.log_density(X, y)))
    assert isinstance(model.summary(), str)


every_hard_data = pytest.mark.parametrize(
    ("data", "due"), HARD_DATA, ids=[data.__name__ for data, _ in HARD_DATA]
)


@every_hard_data
@pytest.mark.parametrize("n_experts", [1, 2, 3])
def test_hard_data_give_a_finite_fit(data, due, n_experts):
    features, y = data()
    model = MoERegressor(n_experts, n_init=2, random_state=0)
    fit_with_warnings(model, features, y)
    assert_finite(model, features, y)


@every_hard_data
@pytest.mark.parametrize("n_experts", [1, 2, 3])
def test_hard_data_give_a_finite_warned_of_fit_without_penalty(data, due, n_experts):
    features, y = data()
    model = MoERegressor(n_experts, n_init=2, random_state=0, **UNPENALIZED)
    found = fit_with_warnings(model, features, y)
    assert_finite(model, features, y)
    is_one_line_enough = data in (constant_in_one_region, few_distinct_rows, exact_lines)
    if due and not (n_experts == 1 and is_one_line_enough):
        assert found & due, found


@every_hard_data
def test_hard_data_give_a_finite_tree(data, due):
    features, y = data()
    model = HMERegressor([[1, 1], 1], n_init=1, solver=EM(n_moves=0), max_iter=50, random_state=0)
    fit_with_warnings(model, features, y)
    assert_finite(model, features, y)


@every_hard_data
@pytest.mark.parametrize("expert", ["student_t", "laplace"])
def test_hard_data_give_a_finite_fit_of_heavy_tails(data, due, expert):
    features, y = data()
    model = MoERegressor(
        2, expert=expert, n_init=1, solver=EM(n_moves=0), max_iter=50, random_state=0
    )
    fit_with_warnings(model, features, y)
    assert_finite(model, features, y)


# Targets that are hard for families of positive numbers and of counts.

POSITIVE = {
    "constant": lambda rng: np.full(60, 3.25),
    "large": lambda rng: 1e60 * rng.lognormal(size=60),
    "small": lambda rng: 1e-60 * rng.lognormal(size=60),
    "spread": lambda rng: np.exp(rng.uniform(-100.0, 100.0, 60)),
    "outlier": lambda rng: np.r_[1e12, rng.lognormal(size=59)],
    "far_from_zero": lambda rng: 1e9 + rng.random(60),
}
COUNTS = {
    "all_zero": lambda rng: np.zeros(60),
    "one_event": lambda rng: np.eye(60)[11],
    "constant": lambda rng: np.full(60, 7.0),
    "large": lambda rng: np.floor(1e9 * rng.random(60)),
    "outlier": lambda rng: np.r_[1e9, rng.poisson(2.0, 59)],
}


@pytest.mark.parametrize("target", POSITIVE.values(), ids=POSITIVE)
@pytest.mark.parametrize("expert", ["gamma", "lognormal", "inverse_gaussian", "weibull", "tweedie"])
def test_hard_positive_targets_give_a_finite_fit(expert, target, rng):
    features, y = two_lines()[0], target(rng)
    model = MoERegressor(
        2, expert=expert, n_init=1, solver=EM(n_moves=0), max_iter=50, random_state=0
    )
    fit_with_warnings(model, features, y)
    assert_finite(model, features, y)


@pytest.mark.parametrize("unit", [1e-150, 1e150])
@pytest.mark.parametrize("expert", ["gamma", "inverse_gaussian", "tweedie"])
def test_means_beyond_the_variance_function_are_refused(expert, unit, rng):
    features, y = two_lines()[0], unit * rng.lognormal(size=60)
    with pytest.raises(ValueError, match=f"y has mean .* {expert}"):
        MoERegressor(2, expert=expert).fit(features, y)


@pytest.mark.parametrize("target", COUNTS.values(), ids=COUNTS)
@pytest.mark.parametrize("expert", ["poisson", "negative_binomial", ["point_mass", "poisson"]])
def test_hard_counts_give_a_finite_fit(expert, target, rng):
    features, y = two_lines()[0], target(rng)
    model = MoERegressor(
        2, expert=expert, n_init=1, solver=EM(n_moves=0), max_iter=50, random_state=0
    )
    fit_with_warnings(model, features, y)
    assert_finite(model, features, y)


def separated_classes():
    x = np.concatenate([np.linspace(-2.0, -1.0, 30), np.linspace(1.0, 2.0, 30)])
    return x[:, None], (x > 0.0).astype(int)


def rare_class():
    x, _ = two_lines()
    return x, (np.arange(60) == 11).astype(int)


HARD_CLASSES = [
    (separated_classes, {SeparationWarning}),
    (rare_class, set()),
    (lambda: (constant_column()[0], np.arange(60) % 2), {RankDeficientWarning}),
    (lambda: (collinear_columns()[0], np.arange(60) % 2), {RankDeficientWarning}),
    (lambda: (more_columns_than_rows()[0], np.arange(12) % 2), set(OURS)),
    (lambda: (identical_features()[0], np.arange(30) % 3), {RankDeficientWarning}),
]


@pytest.mark.parametrize("penalty", [{}, UNPENALIZED_CLASSES], ids=["penalized", "unpenalized"])
@pytest.mark.parametrize("n_experts", [1, 2])
@pytest.mark.parametrize(
    ("data", "due"),
    HARD_CLASSES,
    ids=["separated", "rare_class", "constant", "collinear", "more_columns", "identical"],
)
def test_hard_classes_give_a_finite_fit(data, due, n_experts, penalty):
    features, y = data()
    model = MoEClassifier(n_experts, n_init=2, random_state=0, **penalty)
    found = fit_with_warnings(model, features, y)
    assert_finite(model, features, y)
    np.testing.assert_allclose(model.predict_proba(features).sum(axis=1), 1.0, atol=1e-12)
    if penalty and due:
        assert found & due, found


@pytest.mark.parametrize("data", [case[0] for case in HARD_CLASSES])
def test_hard_classes_give_a_finite_tree(data):
    features, y = data()
    model = HMEClassifier([[1, 1], 1], n_init=1, solver=EM(n_moves=0), max_iter=50, random_state=0)
    fit_with_warnings(model, features, y)
    assert_finite(model, features, y)


def test_nearly_collinear_columns_keep_six_digits_of_the_fitted_values():
    features, y = nearly_collinear_columns()
    model = MoERegressor(2, init=(features[:, 0] > 0.0).astype(int), tol=1e-12)
    fitted = clone(model).fit(features, y).predict(features)
    equal = features[:, [0, 0]]
    np.testing.assert_allclose(fitted, model.fit(equal, y).predict(equal), atol=1e-6)


def test_experts_that_are_given_as_identical_are_told_apart_or_reported():
    features, y = two_lines()
    model = MoERegressor(2, init=np.full((60, 2), 0.5))
    fit_with_warnings(model, features, y)
    assert_finite(model, features, y)
    # Identical experts are a saddle that EM cannot leave: the model is then that of one expert.
    single = MoERegressor(1).fit(features, y)
    assert model.log_likelihood_ >= single.log_likelihood_ - 1e-6


def test_single_expert_without_coefficients_is_fitted():
    y = np.random.default_rng(2).uniform(-3.0, 5.0, 40)
    model = MoERegressor(1, expert="uniform").fit(np.arange(40.0)[:, None], y)
    np.testing.assert_allclose(model.log_likelihood_, -40.0 * np.log(np.ptp(y)), rtol=1e-6)


@pytest.mark.slow
def test_many_experts_are_finite():
    rng = np.random.default_rng(7)
    features = rng.standard_normal((400, 2))
    y = rng.standard_normal(400)
    model = MoERegressor(60, n_init=1, solver=EM(n_moves=0), max_iter=10, random_state=0)
    fit_with_warnings(model, features, y)
    assert_finite(model, features, y)


def test_separating_gate_is_told_of_without_penalty():
    x = np.concatenate([np.linspace(-2.0, -1.0, 60), np.linspace(1.0, 2.0, 60)])
    y = np.where(x > 0.0, 5.0, -5.0) + 0.1 * np.random.default_rng(4).standard_normal(120)
    free = MoERegressor(2, n_init=2, random_state=0, expert_features=[], **UNPENALIZED)
    assert SeparationWarning in fit_with_warnings(free, x[:, None], y)
    assert_finite(free, x[:, None], y)
    held = MoERegressor(2, n_init=2, random_state=0, expert_features=[])
    assert SeparationWarning not in fit_with_warnings(held, x[:, None], y)
    np.testing.assert_allclose(held.intercept_, [-5.0, 5.0], atol=0.1)


def test_constant_column_changes_nothing():
    features, y = constant_column()
    with pytest.warns(RankDeficientWarning, match=r"columns \[1\]"):
        model = MoERegressor(2, n_init=2, random_state=0).fit(features, y)
    reduced = MoERegressor(2, n_init=2, random_state=0).fit(features[:, :1], y)
    assert np.all(model.coef_[:, 1] == 0.0)
    np.testing.assert_allclose(model.predict(features), reduced.predict(features[:, :1]), rtol=1e-7)


def test_collinear_columns_predict_as_one_does():
    features, y = collinear_columns()
    init = (features[:, 0] > 0.0).astype(int)
    options = {"init": init, "tol": 1e-12} | UNPENALIZED
    model = MoERegressor(2, **options)
    assert RankDeficientWarning in fit_with_warnings(model, features, y)
    reduced = MoERegressor(2, **options).fit(features[:, :1], y)
    np.testing.assert_allclose(
        model.predict(features), reduced.predict(features[:, :1]), rtol=1e-6, atol=1e-6
    )


def test_identical_rows_predict_their_mean():
    features, y = identical_rows()
    model = MoERegressor(2, n_init=1, random_state=0)
    fit_with_warnings(model, features, y)
    np.testing.assert_allclose(model.predict(features), -2.0, rtol=1e-7)


def test_as_many_experts_as_rows_is_finite():
    rng = np.random.default_rng(5)
    features, y = rng.standard_normal((9, 1)), rng.standard_normal(9)
    for n_experts in (8, 9):
        for penalty in ({}, UNPENALIZED):
            model = MoERegressor(n_experts, n_init=2, random_state=0, **penalty)
            assert fit_with_warnings(model, features, y)
            assert_finite(model, features, y)


def test_features_below_the_least_normal_number_are_refused_or_fitted():
    # A slope per unit of 1e-310 is beyond float64; it must not become inf or nan unsaid.
    features, y = two_lines()
    model = MoERegressor(2, n_init=1, random_state=0)
    try:
        fit_with_warnings(model, features * 1e-310, y)
    except ValueError:
        return
    assert_finite(model, features * 1e-310, y)


def test_single_row_can_be_fitted_by_one_expert():
    model = MoERegressor(1)
    features, y = np.array([[0.5, -1.0]]), np.array([2.0])
    assert fit_with_warnings(model, features, y)
    np.testing.assert_allclose(model.predict(features), y, rtol=1e-7)


def test_exact_lines_are_found_to_nine_digits():
    features, y = exact_lines()
    model = MoERegressor(2, init=(features[:, 0] > 0.0).astype(int), **UNPENALIZED)
    assert DegenerateExpertWarning in fit_with_warnings(model, features, y)
    np.testing.assert_allclose(np.sort(model.coef_[:, 0]), [-2.0, 3.0], rtol=1e-9)


def test_outlier_does_not_spoil_the_other_experts():
    features, y = gross_outlier()
    model = MoERegressor(3, n_init=5, random_state=0)
    fit_with_warnings(model, features, y)
    assert_finite(model, features, y)
