"""Orders of slopes and bounds on intercepts: linear inequalities between coefficients."""

from itertools import chain, combinations

import numpy as np
import pytest
from scipy.optimize import lsq_linear, minimize
from scipy.special import expit, gammaln, log_softmax, logsumexp

from mixexp import EM, HMERegressor, MoEClassifier, MoERegressor, from_json
from mixexp.constraints import Bounded, Fixed, Linear, Ordered, Shared
from mixexp.model import step_within

BARE = {"alpha": 0.0, "gate_alpha": 0.0, "random_state": 0, "n_init": 2}
FREE = {**BARE, "dispersion_prior": 0.0}


def _rows(n=200):
    rng = np.random.default_rng(3)
    X = rng.normal(size=(n, 3))
    X[:, 1] += 0.8 * X[:, 0]
    is_first = rng.uniform(size=n) < expit(1.5 * X[:, 2])
    X += [5.0, 0.0, -2.0]
    first, second = 1.0 + 0.4 * X[:, 0] - X[:, 1], 3.0 - 0.2 * X[:, 0] + 0.5 * X[:, 1] - X[:, 2]
    return X, np.where(is_first, first, second), rng


X, MEAN, RNG = _rows()
Y = MEAN + 0.5 * RNG.normal(size=len(X))
COUNTS = RNG.poisson(np.exp(0.4 * MEAN)).astype(float)
TIMES = RNG.gamma(4.0, np.exp(0.3 * MEAN) / 4.0)
CLASSES = (RNG.uniform(size=len(X)) < expit(MEAN - MEAN.mean())).astype(float)
TARGETS = {
    "gaussian": Y,
    "student_t": Y,
    "laplace": Y,
    "poisson": COUNTS,
    "negative_binomial": COUNTS,
    "gamma": TIMES,
    "lognormal": TIMES,
    "weibull": TIMES,
}
CONSTRAINTS = [Ordered(1), Ordered([0, 1, 2], decreasing=True), Bounded("intercept", lower=2.5)]


@pytest.mark.parametrize("family", TARGETS)
def test_the_objective_never_falls_and_inequalities_hold(family):
    model = MoERegressor(2, expert=family, constraints=CONSTRAINTS, random_state=0, n_init=1)
    model.fit(X, TARGETS[family])
    coef = model.coef_
    assert model.converged_
    assert np.diff(model.history_).min() >= -1e-8 * abs(model.history_[-1])
    assert np.diff(coef[:, 1]).min() >= -1e-10
    assert np.diff(coef, axis=1).max() <= 1e-10
    assert model.intercept_.min() >= 2.5 - 1e-9
    free = MoERegressor(2, expert=family, random_state=0, n_init=1).fit(X, TARGETS[family])
    if family != "laplace":  # whose log density has kinks
        assert model.diagnostics_.gradient_norm < 1e-5
    held = np.isclose(np.diff(coef, axis=1), 0.0, atol=1e-9).sum()
    held += np.isclose(np.diff(coef[:, 1]), 0.0, atol=1e-9).sum()
    held += np.isclose(model.intercept_, 2.5, atol=1e-7).sum()
    assert held > 0
    assert model.n_parameters_ == free.n_parameters_ - held


def _gaussian(y, eta, log_dispersion):
    return -0.5 * (np.log(2 * np.pi) + log_dispersion + (y - eta) ** 2 / np.exp(log_dispersion))


def _poisson(y, eta, _):
    return y * eta - np.exp(eta) - gammaln(y + 1.0)


def _logistic(y, eta, _):
    return -np.logaddexp(0.0, np.where(y == 1.0, -eta, eta))


def _minus_log_likelihood(theta, y, log_density):
    """Of two experts and a softmax gate; numbers in the user's units, the dispersions last."""
    design = np.column_stack([np.ones(len(X)), X])
    eta, logit, dispersion = design @ theta[:8].reshape(2, 4).T, design @ theta[8:12], theta[12:]
    log_gate = log_softmax(np.column_stack([logit, np.zeros(len(X))]), axis=1)
    parts = [log_gate[:, k] + log_density(y, eta[:, k], dispersion[k]) for k in (0, 1)]
    return -float(logsumexp(parts, axis=0).sum())


@pytest.mark.parametrize(
    ("estimator", "y", "log_density"),
    [
        (MoERegressor(2, constraints=CONSTRAINTS, **FREE), Y, _gaussian),
        (MoERegressor(2, expert="poisson", constraints=CONSTRAINTS, **BARE), COUNTS, _poisson),
        (MoEClassifier(2, constraints=CONSTRAINTS, **BARE), CLASSES, _logistic),
    ],
    ids=["gaussian", "poisson", "logistic"],
)
def test_the_optimum_is_that_of_sequential_quadratic_programming(estimator, y, log_density):
    model = estimator.fit(X, y)
    coef = model.coef_.reshape(2, 3)
    experts = np.column_stack([model.intercept_.ravel(), coef])
    gate = np.append(np.subtract(*model.gate_intercept_), np.subtract(*model.gate_coef_))
    own = np.concatenate([experts.ravel(), gate, np.zeros(2)])
    if log_density is _gaussian:
        own[12:] = np.log(model.dispersion_)
    rows = np.zeros((7, 14))
    rows[0, [2, 6]] = -1.0, 1.0
    rows[[1, 2, 3, 4], [1, 2, 5, 6]], rows[[1, 2, 3, 4], [2, 3, 6, 7]] = 1.0, -1.0
    rows[[5, 6], [0, 4]] = 1.0
    least = np.append(np.zeros(5), [2.5, 2.5])
    assert (rows @ own - least).min() >= -1e-9
    assert np.isclose(rows @ own, least, atol=1e-8).any()
    begin = own + 0.05 * np.random.default_rng(0).normal(size=14)
    wanted = minimize(
        _minus_log_likelihood,
        begin,
        (y, log_density),
        method="SLSQP",
        constraints={"type": "ineq", "fun": lambda theta: rows @ theta - least - 1e-8},
        options={"maxiter": 500, "ftol": 1e-12},
    )
    # It breaks inequalities by 1e-8, which they are made stricter by.
    assert -wanted.fun == pytest.approx(model.log_likelihood_, abs=1e-4)
    assert model.log_likelihood_ >= -wanted.fun - 1e-6


def test_one_expert_is_least_squares_with_a_bounded_intercept():
    constraints = [Bounded(["intercept", 1], lower=0.0, upper=0.5)]
    model = MoERegressor(1, constraints=constraints, **FREE).fit(X, Y)
    bounds = [0.0, -np.inf, 0.0, -np.inf], [0.5, np.inf, 0.5, np.inf]
    wanted = lsq_linear(np.column_stack([np.ones(len(X)), X]), Y, bounds, tol=1e-14).x
    np.testing.assert_allclose([*model.intercept_, *model.coef_[0]], wanted, atol=1e-7)
    np.testing.assert_allclose(wanted[[0, 2]], [0.5, 0.0], atol=1e-10)
    moved = MoERegressor(1, constraints=[Bounded("intercept", upper=50.0)], **FREE)
    moved.fit(X * [0.1, 1.0, 10.0], 100.0 * Y)
    wanted = lsq_linear(
        np.column_stack([np.ones(len(X)), X]), Y, ([-np.inf] * 4, [0.5] + [np.inf] * 3), tol=1e-14
    ).x
    np.testing.assert_allclose(moved.coef_[0] * [0.1, 1.0, 10.0] / 100.0, wanted[1:], atol=1e-7)


def test_one_expert_is_monotone_least_squares():
    model = MoERegressor(1, constraints=[Ordered([1, 2, 0])], **FREE).fit(X, Y)
    sums = np.column_stack([np.ones(len(X)), X.sum(axis=1), X[:, 2] + X[:, 0], X[:, 0]])
    bounds = [-np.inf, -np.inf, 0.0, 0.0], np.inf
    steps = lsq_linear(sums, Y, bounds, tol=1e-14).x
    np.testing.assert_allclose(model.coef_[0, [1, 2, 0]], np.cumsum(steps[1:]), atol=1e-7)
    n_held = int(np.sum(steps[2:] < 1e-10))
    assert n_held > 0
    assert model.n_parameters_ == 5 - n_held


@pytest.mark.parametrize("constraint", [Bounded(0, upper=-1.0), Ordered([0, 2], decreasing=True)])
def test_one_expert_far_from_its_pooled_fit_has_the_plain_prior_of_its_dispersion(constraint):
    model = MoERegressor(1, constraints=constraint, dispersion_prior=30.0).fit(X, 10.0 * Y)
    assert model.converged_
    assert np.diff(model.history_).min() >= -1e-8 * abs(model.history_[-1])
    assert model.diagnostics_.gradient_norm < 1e-8


def test_standard_errors_are_those_of_the_equations_that_hold():
    ordered = MoERegressor(1, constraints=[Ordered([2, 0])], **FREE).fit(X, Y)
    equal = MoERegressor(1, constraints=[Linear("b[0:x2] = b[0:x0]")], **FREE).fit(X, Y)
    if ordered.coef_[0, 0] != pytest.approx(ordered.coef_[0, 2]):
        ordered = MoERegressor(1, constraints=[Ordered([0, 2])], **FREE).fit(X, Y)
    assert ordered.n_parameters_ == equal.n_parameters_
    found, wanted = (model.inference(X, Y) for model in (ordered, equal))
    np.testing.assert_allclose(found.std_errors, wanted.std_errors, rtol=1e-5)
    assert any("hold with equality" in note for note in found.notes)
    with pytest.raises(ValueError, match="at its bound"):
        found.contrast({("expert 0", "x0"): 1.0, ("expert 0", "x2"): -1.0})
    assert found.contrast({("expert 0", "x0"): 1.0}).std_error == found.std_errors[1]
    bounded = MoERegressor(1, constraints=[Bounded("intercept", upper=-1.0)], **FREE).fit(X, Y)
    table = bounded.inference(X, Y).coef_table()
    assert list(table["note"][:2]) == ["at its bound", ""]
    assert np.isnan(table["std_error"][0])


def test_experts_are_told_apart_by_an_order():
    rng = np.random.default_rng(4)
    x, label = rng.uniform(-2.0, 2.0, size=(300, 1)), rng.integers(3, size=300)
    y = np.array([0.0, 3.0, 1.5])[label] + np.array([1.0, -2.0, 3.0])[label] * x[:, 0]
    y += 0.3 * rng.normal(size=300)
    options = {"gate_features": [], "n_init": 1}
    free = MoERegressor(3, random_state=0, **options).fit(x, y)
    for seed in range(3):
        rising = MoERegressor(3, constraints=[Ordered(0)], random_state=seed, **options).fit(x, y)
        np.testing.assert_allclose(rising.coef_[:, 0], np.sort(free.coef_[:, 0]), atol=1e-4)
    falling = Ordered("x0", decreasing=True)
    model = MoERegressor(3, constraints=falling, random_state=0, **options).fit(x, y)
    np.testing.assert_allclose(model.coef_[:, 0], -np.sort(-free.coef_[:, 0]), atol=1e-4)
    assert model.log_likelihood_ == pytest.approx(free.log_likelihood_, abs=1e-6)


def test_trees_anderson_and_files_keep_to_orders(tmp_path):
    constraints = [Ordered(2, experts=[0, 2]), Shared(0), Bounded(1, -0.2, 0.1), Fixed(2, 0.0, [1])]
    tree = HMERegressor([[1, 1], 1], constraints=constraints, random_state=0, n_init=1).fit(X, Y)
    assert tree.converged_
    assert tree.coef_[2, 2] >= tree.coef_[0, 2] - 1e-10
    assert tree.coef_[1, 2] == 0.0
    assert np.ptp(tree.coef_[:, 0]) == 0.0
    assert tree.coef_[:, 1].min() >= -0.2 - 1e-10
    assert tree.coef_[:, 1].max() <= 0.1 + 1e-10
    tree.to_json(tmp_path / "model.json")
    read = from_json(tmp_path / "model.json")
    assert read.constraints == constraints
    np.testing.assert_array_equal(read.predict(X), tree.predict(X))
    newton, anderson = (
        MoERegressor(2, constraints=CONSTRAINTS, solver=EM(acceleration=name), **FREE).fit(X, Y)
        for name in ("newton", "anderson")
    )
    assert anderson.log_likelihood_ == pytest.approx(newton.log_likelihood_, abs=1e-3)
    assert np.diff(anderson.coef_[:, 1]).min() >= -1e-10


def test_bounds_go_with_equations():
    constraints = [Linear("b[0:x0] + b[1:x0] = 0.5"), Bounded(0, lower=0.1), Bounded(1, upper=-0.3)]
    model = MoERegressor(2, constraints=constraints, **FREE).fit(X, Y)
    assert model.converged_
    assert model.coef_[:, 0].sum() == pytest.approx(0.5, abs=1e-10)
    assert model.coef_[:, 0].min() >= 0.1 - 1e-10
    assert model.coef_[:, 1].max() <= -0.3 + 1e-10


def test_steps_within_inequalities_are_the_best_of_all_sets_that_may_hold():
    rng = np.random.default_rng(0)
    for _ in range(20):
        root, rows = rng.normal(size=(4, 4)), rng.normal(size=(5, 4))
        rows[4] = rows[0] + rows[1]  # implied, where both are
        matrix, gradient = root @ root.T, 3.0 * rng.normal(size=4)
        slack = np.array([0.0, 0.0, 0.5, rng.uniform(), 0.0])
        best = max(
            (_top(matrix, gradient, rows, slack, held) for held in _subsets(5)),
            key=lambda step: gradient @ step - 0.5 * step @ matrix @ step,
        )
        found = step_within(matrix, gradient, rows, slack)
        assert (rows @ found + slack).min() >= -1e-9
        np.testing.assert_allclose(found, best, atol=1e-6)


def _subsets(m):
    return chain.from_iterable(combinations(range(m), size) for size in range(5))


def _top(matrix, gradient, rows, slack, held):
    """Return the top where some inequalities hold with equality; no step where others break."""
    own, n = rows[list(held)], len(held)
    system = np.block([[matrix, own.T], [own, np.zeros((n, n))]])
    step = np.linalg.lstsq(system, np.append(gradient, -slack[list(held)]), rcond=None)[0][:4]
    return step if (rows @ step + slack).min() >= -1e-9 else np.zeros(4)


@pytest.mark.parametrize(
    ("constraints", "message"),
    [
        ([Ordered([])], "at least one column"),
        ([Ordered(0, experts=[1])], "two at least"),
        ([Ordered(0, decreasing="yes")], "True or False"),
        ([Ordered("dose")], "Unknown feature 'dose'"),
        ([Ordered("intercept")], "Unknown feature 'intercept'"),
        ([Ordered([0, 0])], "names a feature twice"),
        ([Ordered(None)], "must name features"),
        ([Ordered(0, experts=[0, 7])], r"range \[0, 2\)"),
        ([Bounded("intercept")], "lower bound below"),
        ([Bounded("intercept", 2.0, 1.0)], "lower bound below"),
        ([Bounded("intercept", 2.0), Bounded("intercept", upper=1.0)], "cannot all be met"),
        ([Fixed(0, 2.0, experts=0), Fixed(0, 1.0, experts=1), Ordered(0)], "cannot all be met"),
        ([Linear("b[0:x0] = 3"), Bounded(0, upper=1.0)], "cannot all be met"),
    ],
)
def test_what_cannot_be_is_refused(constraints, message):
    with pytest.raises(ValueError, match=message):
        MoERegressor(2, constraints=constraints, **FREE).fit(X[:40], Y[:40])


def test_orders_are_of_one_family_also_with_an_l1_penalty():
    model = MoERegressor(2, constraints=[Ordered(0)], l1=1.0, random_state=0).fit(X, Y)
    assert np.diff(model.coef_[:, 0]).min() >= 0.0
    with pytest.raises(ValueError, match="one family"):
        MoERegressor(2, expert=["gaussian", "laplace"], constraints=[Ordered(0)]).fit(X, Y)
    with pytest.raises(ValueError, match="one linear predictor"):
        MoEClassifier(2, constraints=[Ordered(0)]).fit(X, np.arange(len(X)) % 3)
    with pytest.raises(ValueError, match="does not see"):
        MoERegressor(2, expert_features=[1], constraints=[Ordered(0)]).fit(X, Y)
    with pytest.raises(ValueError, match="constant"):
        MoERegressor(2, constraints=[Ordered(0)]).fit(X * [0.0, 1.0, 1.0], Y)
