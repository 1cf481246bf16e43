"""L1 and elastic-net penalties: exact zeros, at optima that others confirm."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.linear_model import ElasticNet, LogisticRegression
from test_family_fits import EVERY_FAMILY, few_rows_may_be_warned_of, simulate

from mixexp import HMEClassifier, HMERegressor, MoEClassifier, MoERegressor
from mixexp.constraints import Fixed, Shared
from mixexp.experts import Gaussian

REFERENCE = Path(__file__).parent / "reference"
ROWS = {"elastic_net_gaussian": "lasso_gaussian"}
SETS = ("lasso_gaussian", "lasso_logistic", "lasso_gaussian_3", "elastic_net_gaussian")
PLAIN = {"alpha": 0.0, "gate_alpha": 0.0, "dispersion_prior": 0.0}


def standardised(X):
    return (X - X.mean(axis=0)) / X.std(axis=0)


def residual_deviation(X, y):
    """Return what ``alpha`` and ``l1`` are in units of: y's deviation from a linear model."""
    design = np.column_stack([np.ones(len(y)), standardised(X)])
    return np.std(y - design @ np.linalg.lstsq(design, y, rcond=None)[0])


def up_to_order(found, expected):
    """Return whichever order of experts is nearer; arrays (K, ...)."""
    orders = [list(range(len(found)))]
    if len(found) == 2:
        orders.append([1, 0])
    else:
        orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]]
    return min(orders, key=lambda order: np.abs(expected[order] - found).max())


@pytest.mark.parametrize("name", SETS)
def test_references_are_met_with_their_zeros(name):
    rows = np.loadtxt(REFERENCE / f"{ROWS.get(name, name)}.csv.gz", delimiter=",", skiprows=1)
    answer = json.loads((REFERENCE / f"{name}.json").read_text())
    y, X = rows[:, 0], rows[:, 1:]
    is_gaussian = "disp" in answer["params"]
    unit = residual_deviation(X, y) if is_gaussian else 1.0
    strengths = {
        "l1": unit * answer["lambda_experts"],
        "alpha": unit**2 * answer["ridge_experts"],
        "gate_l1": answer["lambda_gate"],
        "gate_alpha": answer["ridge_gate"],
        "random_state": 0,
    }
    if is_gaussian:
        model = MoERegressor(answer["K"], dispersion_prior=0.0, **strengths)
    else:
        model = MoEClassifier(answer["K"], **strengths)
    model.fit(X, y)
    assert model.converged_
    np.testing.assert_allclose(model.penalized_log_likelihood_, answer["objective"], rtol=1e-8)
    np.testing.assert_allclose(model.log_likelihood_, answer["loglik"], rtol=1e-8)
    theirs = np.array(answer["params"]["coef"]).T[:, 1:]
    found = np.atleast_2d(model.coef_) * X.std(axis=0)
    order = up_to_order(found, theirs)
    np.testing.assert_allclose(found, theirs[order], atol=1e-6)
    np.testing.assert_array_equal(found == 0.0, theirs[order] == 0.0)
    gate = np.array(answer["params"]["gate"]).T[order, 1:]
    if answer["K"] == 2:
        gate = gate - gate.mean(axis=0)
    mine = model.gate_coef_ * X.std(axis=0)
    np.testing.assert_allclose(mine, gate, atol=1e-6)
    np.testing.assert_array_equal(mine == 0.0, gate == 0.0)
    n_slopes = answer["nonzeros"]["experts"] + answer["nonzeros"]["gate"]
    n_others = 2 * answer["K"] - 1 + (answer["K"] if is_gaussian else 0)
    assert model.n_parameters_ == n_slopes + n_others


@pytest.fixture(scope="module")
def one_model():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((300, 12)) * rng.uniform(0.5, 4.0, 12) + rng.normal(0.0, 3.0, 12)
    eta = X[:, 0] - 0.5 * X[:, 3]
    return X, eta + 4.0 + rng.standard_normal(300), (eta + rng.logistic(size=300) > 0.0).astype(int)


@pytest.mark.parametrize(("strength", "ratio"), [(0.1, 1.0), (0.2, 0.5), (0.5, 0.9)])
def test_one_expert_is_scikit_learns_elastic_net(one_model, strength, ratio):
    X, y, _ = one_model
    theirs = ElasticNet(alpha=strength, l1_ratio=ratio, tol=1e-14, max_iter=100_000)
    theirs.fit(standardised(X), y)
    variance, rate = 1.7, len(y) * strength / 1.7
    # Of a known variance the unit of y is the deviation that it says.
    unit = np.sqrt(variance)
    model = MoERegressor(
        1,
        expert=Gaussian(dispersion=variance),
        l1=unit * ratio * rate,
        alpha=unit**2 * (1.0 - ratio) * rate,
        dispersion_prior=0.0,
        tol=1e-14,
    ).fit(X, y)
    np.testing.assert_allclose(model.coef_[0] * X.std(axis=0), theirs.coef_, atol=1e-7)
    np.testing.assert_array_equal(model.coef_[0] == 0.0, theirs.coef_ == 0.0)


@pytest.mark.parametrize("ratio", [1.0, 0.5])
def test_one_expert_is_scikit_learns_logistic_regression(one_model, ratio):
    X, _, y = one_model
    theirs = LogisticRegression(solver="saga", l1_ratio=ratio, C=0.1, tol=1e-13, max_iter=200_000)
    theirs.fit(standardised(X), y)
    model = MoEClassifier(1, l1=ratio / 0.1, alpha=(1.0 - ratio) / 0.1, tol=1e-14).fit(X, y)
    np.testing.assert_allclose(model.coef_ * X.std(axis=0), theirs.coef_, atol=1e-7)
    np.testing.assert_array_equal(model.coef_ == 0.0, theirs.coef_ == 0.0)


def with_noise(X, rng):
    return np.column_stack([X, rng.standard_normal((len(X), 3))])


def violation(model, X, y):
    """Return by how much the conditions of an optimum are missed, in shares of strengths."""
    problem, _ = model._restore_problem(X, y, None, {})
    params = model.fitted_model_.params
    return problem.model.prior.violation(problem.evaluate(params).gradient)


@few_rows_may_be_warned_of
@pytest.mark.parametrize("family", EVERY_FAMILY, ids=repr)
@pytest.mark.parametrize("tree", [(2,), [[1, 1], 1]], ids=["flat", "tree"])
def test_every_family_rises_to_an_optimum_with_zeros(family, tree, rng):
    X, y = simulate(family, rng, 200)
    X = with_noise(X, rng)
    strengths = {"l1": 8.0, "gate_l1": 6.0, "alpha": 0.1, "gate_alpha": 0.1}
    model = HMERegressor(tree, expert=family, n_init=1, random_state=0, **strengths).fit(X, y)
    assert np.diff(model.history_).min() >= -1e-9 * (1.0 + abs(model.penalized_log_likelihood_))
    assert (model.coef_ == 0.0).any()
    assert (model.gate_coef_ == 0.0).any()
    if model.converged_:
        assert violation(model, X, y) <= 1e-6
    assert model.n_parameters_ < model.fitted_model_.model.n_parameters


@few_rows_may_be_warned_of
@pytest.mark.parametrize("n_classes", [2, 3])
def test_gates_of_classifiers_drop_columns(n_classes, rng):
    X = with_noise(rng.standard_normal((300, 2)), rng)
    y = np.where(X[:, 0] > 0, X[:, 1] > 0, X[:, 1] < 0.3).astype(int)
    y += (n_classes - 2) * (X[:, 1] > 1)
    model = HMEClassifier((2, 2), gate_l1=6.0, gate_alpha=0.0, n_init=1, random_state=0)
    model.fit(X, y)
    assert (model.gate_coef_ == 0.0).any()
    assert violation(model, X, model._encode_target(y)) <= 1e-6


@pytest.fixture(scope="module")
def two_lines():
    rng = np.random.default_rng(3)
    X = rng.standard_normal((300, 6))
    is_first = X[:, 0] + 0.3 * rng.standard_normal(300) > 0.0
    y = np.where(is_first, 2.0 * X[:, 1], -X[:, 1] + X[:, 2]) + 0.5 * rng.standard_normal(300)
    return X, y, MoERegressor(2, l1=60.0, gate_l1=15.0, n_init=3, random_state=0, **PLAIN)


def test_columns_without_a_part_are_dropped(two_lines):
    X, y, model = two_lines
    fitted = clone(model).fit(X, y)
    used = np.any(fitted.coef_ != 0.0, axis=0)
    np.testing.assert_array_equal(used, [False, True, True, False, False, False])
    of_gate = np.any(fitted.gate_coef_ != 0.0, axis=0)
    np.testing.assert_array_equal(of_gate, [True, False, False, False, False, False])


def test_strengths_beyond_the_largest_slope_drop_all(two_lines):
    X, y, model = two_lines
    fitted = clone(model).set_params(l1=1e5, gate_l1=1e5).fit(X, y)
    assert not fitted.coef_.any()
    assert not fitted.gate_coef_.any()


def test_fits_are_the_same_in_any_unit_and_by_sparse_rows_and_weights(two_lines):
    X, y, model = two_lines
    fitted = clone(model).fit(X, y)
    other = clone(model).fit(X * [1e3, 1e-3, 1.0, 7.0, 1.0, 1.0], 1000.0 * y)
    np.testing.assert_allclose(
        other.coef_ * [1e3, 1e-3, 1.0, 7.0, 1.0, 1.0] / 1000.0, fitted.coef_, rtol=1e-7
    )
    by_sparse = clone(model).fit(sparse.csr_array(X), y)
    np.testing.assert_allclose(by_sparse.coef_, fitted.coef_, rtol=1e-8, atol=1e-12)
    weight = np.where(np.arange(300) < 100, 2.0, 1.0)
    weighted = clone(model).fit(X, y, sample_weight=weight)
    repeated = clone(model).fit(np.r_[X, X[:100]], np.r_[y, y[:100]])
    np.testing.assert_allclose(weighted.coef_, repeated.coef_, rtol=1e-6, atol=1e-9)
    np.testing.assert_array_equal(weighted.coef_ == 0.0, repeated.coef_ == 0.0)


def test_shared_slopes_pay_once_and_known_ones_stay(two_lines):
    X, y, model = two_lines
    constraints = [Shared([3]), Fixed([4], 0.25)]
    fitted = clone(model).set_params(constraints=constraints, n_init=1).fit(X, y)
    assert fitted.coef_[0, 3] == fitted.coef_[1, 3]
    np.testing.assert_allclose(fitted.coef_[:, 4], 0.25)
    assert violation(fitted, X, y) <= 1e-6
    forced = clone(model).set_params(constraints=[Shared([2])], l1=20.0).fit(X, y)
    assert forced.coef_[0, 2] == forced.coef_[1, 2] != 0.0


def test_standard_errors_are_of_what_was_selected(two_lines):
    X, y, model = two_lines
    fitted = clone(model).fit(X, y)
    found = fitted.inference(X, y)
    table = found.coef_table()
    is_zero = np.asarray(table["estimate"], dtype=float) == 0.0
    errors = np.asarray(table["std_error"], dtype=float)
    assert is_zero.any()
    assert np.isnan(errors[is_zero]).all()
    assert np.isfinite(errors[~is_zero]).all()
    assert "conditional on the columns that were selected" in str(found.summary())


@pytest.mark.parametrize("name", ["l1", "gate_l1"])
@pytest.mark.parametrize("bad", [-1.0, np.nan, np.inf, "strong", None])
def test_bad_strengths_are_refused_by_name(two_lines, name, bad):
    X, y, model = two_lines
    with pytest.raises(ValueError, match=f"'{name}' parameter"):
        clone(model).set_params(**{name: bad}).fit(X, y)


def test_contrasts_of_classes_are_refused(rng):
    X, y = rng.standard_normal((90, 2)), np.repeat([0, 1, 2], 30)
    with pytest.raises(ValueError, match="'l1' parameter must be 0 for 'multinomial'"):
        MoEClassifier(2, l1=1.0).fit(X, y)


@few_rows_may_be_warned_of
def test_unit_of_wide_data_is_the_deviation_of_y(rng):
    X = rng.standard_normal((40, 60))
    y = 2.0 * X[:, 1] + 0.3 * rng.standard_normal(40)
    fitted = MoERegressor(1, l1=20.0, alpha=0.0).fit(X, y)
    np.testing.assert_allclose(fitted.fitted_model_.model.groups[0].scale, y.std(), rtol=1e-9)
    assert fitted.coef_[0, 1] != 0.0
    assert np.count_nonzero(fitted.coef_) < 30


@pytest.mark.parametrize("strength", [5e-324, 1e-300, 1e-20, 1e-9])
def test_strengths_next_to_nothing_end_as_none_does(two_lines, strength):
    X, y, _ = two_lines
    free = MoERegressor(2, n_init=2, random_state=0, **PLAIN)
    plain = clone(free).fit(X, y)
    model = clone(free).set_params(l1=strength, gate_l1=strength).fit(X, y)
    assert model.converged_
    assert model.n_iter_ <= plain.n_iter_ + 20
    np.testing.assert_allclose(model.log_likelihood_, plain.log_likelihood_, rtol=1e-6)


def test_a_single_expert_of_tiny_strength_takes_few_iterations(rng):
    n, levels = 4000, 300
    code = rng.integers(0, levels, n)
    X = sparse.csr_array((np.ones(n), code, np.arange(n + 1)), shape=(n, levels))
    y = rng.standard_normal(levels)[code] + rng.standard_normal(n)
    model = MoERegressor(1, l1=1e-9, alpha=10.0).fit(X, y)
    assert model.converged_
    assert model.n_iter_ <= 20
