"""L1 penalties on whole columns: a column leaves all experts, or all gates, together."""

import pickle

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.linear_model import ElasticNet, MultiTaskLasso
from sklearn.model_selection import GridSearchCV
from test_family_fits import few_rows_may_be_warned_of, simulate
from test_lasso import standardised, violation, with_noise

from mixexp import HMEClassifier, HMERegressor, MoEClassifier, MoERegressor, from_json
from mixexp.constraints import Shared
from mixexp.experts import Gamma, Gaussian, Multinomial, Poisson, StudentT
from mixexp.model._column_groups import Blocks, ColumnGroups
from mixexp.penalties import GroupedL1
from mixexp.selection import regularization_path, stability_selection

FAMILIES = (Gaussian(), Poisson(), Gamma(), StudentT(), Multinomial())
PLAIN = {"alpha": 0.0, "gate_alpha": 0.0, "dispersion_prior": 0.0}


def used(slopes):
    """Return which experts or edges use each column, after a check that they agree."""
    is_used = np.asarray(slopes) != 0.0
    np.testing.assert_array_equal(is_used, np.broadcast_to(is_used[:1], is_used.shape))
    return is_used[0]


def rises(model):
    return np.diff(model.history_).min() >= -1e-9 * (1.0 + abs(model.penalized_log_likelihood_))


def test_blocks_of_one_matrix_are_scikit_learns_multi_task_lasso(rng):
    n, p, n_tasks, strength = 80, 9, 3, 0.3
    X = rng.standard_normal((n, p))
    Y = X[:, :3] @ rng.standard_normal((3, n_tasks)) + rng.standard_normal((n, n_tasks))
    theirs = MultiTaskLasso(strength, fit_intercept=False, tol=1e-14, max_iter=100_000)
    theirs.fit(X, Y)
    groups = ColumnGroups(np.arange(p), np.full(p, n * strength), np.ones(p))
    free = np.full((n_tasks, p), np.inf)
    label = np.tile(np.arange(p), (n_tasks, 1))
    matrices = np.tile(X.T @ X, (1, n_tasks, 1, 1))
    blocks = Blocks(matrices, (X.T @ Y).T[None], np.zeros((1, n_tasks, p)), label, -free, free)
    found = groups.prox(blocks)[0]
    np.testing.assert_allclose(found, theirs.coef_, atol=1e-10)
    np.testing.assert_array_equal(found == 0.0, theirs.coef_ == 0.0)


def test_groups_that_reach_over_blocks_meet_the_conditions_of_an_optimum(rng):
    roots = rng.standard_normal((2, 6, 6))
    matrices = roots @ roots.swapaxes(1, 2) + 0.1 * np.eye(6)
    label = np.array([[-1, 0, 0, 1, 2, 2], [-1, 1, 0, -2, 2, 3]])
    slopes = 5.0 * rng.standard_normal((2, 6))
    matrices[1, 3] = matrices[1, :, 3] = slopes[1, 3] = 0.0
    strength, free = np.array([3.0, 2.0, 40.0, 1.0]), np.full((2, 6), np.inf)
    groups = ColumnGroups(np.arange(4), strength, strength)
    blocks = Blocks(matrices[None], slopes[None], np.zeros((1, 2, 6)), label, -free, free)
    found = groups.prox(blocks)[0]
    left = slopes - np.einsum("bij,bj->bi", matrices, found)
    np.testing.assert_allclose(left[label == -1], 0.0, atol=1e-12)
    for number, most in enumerate(strength):
        own, slope = found[label == number], left[label == number]
        if own.any():
            np.testing.assert_allclose(slope, most * own / np.linalg.norm(own), atol=1e-12)
        else:
            assert np.linalg.norm(slope) <= most
    assert not found[label == 2].any()


def test_one_expert_has_groups_of_one(rng):
    X = rng.standard_normal((200, 8)) * rng.uniform(0.5, 4.0, 8)
    y = X[:, 0] - 0.5 * X[:, 3] + rng.standard_normal(200)
    theirs = ElasticNet(alpha=0.3, l1_ratio=0.8, tol=1e-14, max_iter=100_000)
    theirs.fit(standardised(X), y)
    rate = len(y) * 0.3
    model = MoERegressor(1, expert=Gaussian(dispersion=1.0), l1=GroupedL1(0.8 * rate))
    model.set_params(alpha=0.2 * rate, dispersion_prior=0.0, tol=1e-14).fit(X, y)
    np.testing.assert_allclose(model.coef_[0] * X.std(axis=0), theirs.coef_, atol=1e-7)
    np.testing.assert_array_equal(model.coef_[0] == 0.0, theirs.coef_ == 0.0)


@pytest.fixture(scope="module")
def two_lines():
    rng = np.random.default_rng(3)
    X = rng.standard_normal((300, 6))
    is_first = X[:, 0] + 0.3 * rng.standard_normal(300) > 0.0
    y = np.where(is_first, 2.0 * X[:, 1], -X[:, 1] + X[:, 2]) + 0.5 * rng.standard_normal(300)
    return X, y


MODEL = MoERegressor(
    2, l1=GroupedL1(40.0), gate_l1=GroupedL1(15.0), n_init=2, random_state=0, **PLAIN
)


@pytest.fixture(scope="module")
def fitted(two_lines):
    return clone(MODEL).fit(*two_lines)


def test_a_column_leaves_all_experts_together(fitted, two_lines):
    assert fitted.converged_
    assert violation(fitted, *two_lines) <= 1e-6
    np.testing.assert_array_equal(used(fitted.coef_), [False, True, True, False, False, False])
    np.testing.assert_array_equal(np.flatnonzero(used(fitted.gate_coef_)), [0])
    assert fitted.n_parameters_ == 2 + 4 + 2 + 1 + 1  # intercepts, slopes, dispersions, gate


def test_the_objective_is_the_norms_of_columns(fitted, two_lines):
    X, _ = two_lines
    unit = fitted.fitted_model_.model.groups[0].scale
    slopes = fitted.coef_ * X.std(axis=0) / unit
    gates = fitted.gate_coef_ * X.std(axis=0)
    penalty = 40.0 * np.sqrt(2.0) * np.linalg.norm(slopes, axis=0).sum()
    penalty += 15.0 * np.sqrt(2.0) * np.linalg.norm(gates, axis=0).sum()
    np.testing.assert_allclose(
        fitted.log_likelihood_ - fitted.penalized_log_likelihood_, penalty, rtol=1e-9
    )


def test_a_gate_between_two_has_the_same_penalty_as_without_groups(two_lines):
    grouped = clone(MODEL).set_params(l1=0.0, n_init=1).fit(*two_lines)
    alone = clone(grouped).set_params(gate_l1=15.0).fit(*two_lines)
    np.testing.assert_allclose(grouped.penalized_log_likelihood_, alone.penalized_log_likelihood_)
    np.testing.assert_allclose(grouped.gate_coef_, alone.gate_coef_, atol=1e-6)


@few_rows_may_be_warned_of
@pytest.mark.parametrize("family", FAMILIES, ids=repr)
@pytest.mark.parametrize(
    ("tree", "weighted"), [((2,), True), ([[1, 1], 1], False)], ids=["weighted-flat", "tree"]
)
def test_families_rise_to_an_optimum_of_whole_columns(family, tree, weighted, rng):
    if family.target == "classes":
        X = rng.standard_normal((200, 2))
        y = (X[:, 0] * np.sign(X[:, 1]) + rng.logistic(size=200) > 0.0).astype(int)
        maker = HMEClassifier
    else:
        X, y = simulate(family, rng, 200)
        maker = HMERegressor
    X = with_noise(X, rng)
    strengths = {"l1": GroupedL1(8.0), "gate_l1": GroupedL1(5.0), "alpha": 0.1, "gate_alpha": 0.1}
    model = maker(tree, n_init=1, random_state=0, **strengths)
    if maker is HMERegressor:
        model.set_params(expert=family)
    weight = rng.uniform(0.5, 1.5, 200) if weighted else None
    model.fit(X, y, sample_weight=weight)
    assert rises(model)
    assert not used(model.coef_).all()
    assert not used(model.gate_coef_).all()
    assert model.converged_
    encoded = model._encode_target(y) if maker is HMEClassifier else y
    problem, _ = model._restore_problem(X, encoded, weight, {})
    gradient = problem.evaluate(model.fitted_model_.params).gradient
    assert problem.model.prior.violation(gradient) <= 1e-6
    count = np.count_nonzero(model.coef_)
    assert count < model.coef_.size


def test_several_classes_and_several_families_are_grouped(rng):
    X = with_noise(rng.standard_normal((240, 2)), rng)
    logit = 4.0 * X[:, [1]] * np.sign(X[:, [0]])
    y = np.argmax(logit * [1.0, -1.0, 0.0] + rng.gumbel(size=(240, 3)), axis=1)
    model = MoEClassifier(2, l1=GroupedL1(3.0), gate_l1=GroupedL1(2.0), alpha=0.0, gate_alpha=0.1)
    model.set_params(n_init=4, random_state=0).fit(X, y)
    assert rises(model)
    assert violation(model, X, model._encode_target(y)) <= 1e-6
    is_used = np.any(model.coef_ != 0.0, axis=1)
    np.testing.assert_array_equal(is_used[0], is_used[1])
    assert is_used[0].any()
    assert not is_used[0].all()
    mixed = MoERegressor(
        2, expert=["gaussian", "student_t"], l1=GroupedL1(15.0), gate_l1=GroupedL1(8.0)
    )
    target = np.where(X[:, 0] > 0.0, 2.0, -1.0) * X[:, 1] + 0.4 * rng.standard_normal(240)
    mixed.set_params(alpha=0.0, gate_alpha=0.1, n_init=1, random_state=0).fit(X, target)
    assert rises(mixed)
    assert violation(mixed, X, target) <= 1e-6
    assert not used(mixed.coef_).all()
    assert not used(mixed.gate_coef_).all()


def test_units_sparse_rows_and_repeated_rows_change_nothing(fitted, two_lines):
    X, y = two_lines
    unit = np.array([1e3, 1e-3, 1.0, 7.0, 1.0, 1.0])
    other = clone(MODEL).fit(X * unit, 1000.0 * y)
    np.testing.assert_allclose(other.coef_ * unit / 1000.0, fitted.coef_, rtol=1e-6, atol=1e-12)
    by_sparse = clone(MODEL).fit(sparse.csr_array(X), y)
    np.testing.assert_allclose(by_sparse.coef_, fitted.coef_, rtol=1e-7, atol=1e-12)


@few_rows_may_be_warned_of
def test_paths_searches_and_files_keep_the_groups(fitted, two_lines, tmp_path):
    X, y = two_lines
    held = clone(MODEL).set_params(n_init=3, dispersion_prior=5.0)
    path = regularization_path(held, X, y, strengths=[500.0, 30.0])
    assert not path.estimators[0].coef_.any()
    assert not path.estimators[0].gate_coef_.any()
    for model, strength in zip(path.estimators, path.strengths, strict=True):
        assert model.l1 == GroupedL1(strength)
        assert model.gate_l1 == GroupedL1(0.5 * strength)
        used(model.coef_)
    assert path.estimators[1].coef_.any()
    grid = {"l1": [GroupedL1(5.0), GroupedL1(1e4)]}
    search = GridSearchCV(held, grid, cv=2).fit(X, y)
    assert search.best_params_ == {"l1": GroupedL1(5.0)}
    single = MoERegressor(1, alpha=0.0, l1=GroupedL1(1.0))
    tops = [
        regularization_path(model, X, y, n_strengths=2).strengths[0]
        for model in (single, clone(single).set_params(l1=0.0))
    ]
    np.testing.assert_allclose(tops[0], tops[1], rtol=1e-6)
    fitted.to_json(tmp_path / "model.json")
    for again in (from_json(tmp_path / "model.json"), pickle.loads(pickle.dumps(fitted))):
        assert again.l1 == fitted.l1
        np.testing.assert_array_equal(again.predict(X), fitted.predict(X))


def test_standard_errors_and_stability_are_of_whole_columns(fitted, two_lines):
    table = fitted.inference(*two_lines).coef_table()
    is_zero = np.asarray(table["estimate"], dtype=float) == 0.0
    errors = np.asarray(table["std_error"], dtype=float)
    assert np.isnan(errors[is_zero]).all()
    assert np.isfinite(errors[~is_zero]).all()
    shares = stability_selection(fitted, *two_lines, n_resamples=3, random_state=0)
    by_column = shares[shares["part"] == "expert"].groupby("term")["share"]
    assert (by_column.min() == by_column.max()).all()


@few_rows_may_be_warned_of
def test_wide_rows_are_fitted_on_columns_that_may_be_in(rng):
    X = rng.standard_normal((150, 160))
    y = 3.0 * X[:, 1] + np.sign(X[:, 0]) * X[:, 2] + 0.3 * rng.standard_normal(150)
    model = MoERegressor(2, l1=GroupedL1(12.0), gate_l1=GroupedL1(9.0), n_init=1, random_state=0)
    model.set_params(alpha=0.0, gate_alpha=0.0).fit(X, y)
    assert rises(model)
    assert violation(model, X, y) <= 1e-6
    assert used(model.coef_)[1]
    assert used(model.coef_).sum() < 40


@pytest.mark.parametrize("name", ["l1", "gate_l1"])
@pytest.mark.parametrize(
    "bad", [GroupedL1(-1.0), GroupedL1(np.nan), GroupedL1("strong"), GroupedL1(1.0, "row")]
)
def test_bad_groups_are_refused_by_name(two_lines, name, bad):
    with pytest.raises(ValueError, match=f"'{name}' parameter"):
        clone(MODEL).set_params(**{name: bad}).fit(*two_lines)


def test_what_keeps_single_experts_is_refused(fitted, two_lines):
    with pytest.raises(ValueError, match="'constraints' parameter must be None"):
        clone(MODEL).set_params(constraints=Shared(0)).fit(*two_lines)
    with pytest.raises(ValueError, match="GroupedL1 ties their slopes"):
        fitted.with_expert(*two_lines)
