"""Many columns and an L1 penalty: the optimum of all columns, and no array of their square."""

import tracemalloc

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone

from mixexp import EM, HMERegressor, MoEClassifier, MoERegressor
from mixexp.constraints import Bounded, Fixed, Shared
from mixexp.em import _screening as screening
from mixexp.em import compete
from mixexp.model import columns_of, indispensable_columns, narrow_model, seen_by
from mixexp.selection import regularization_path

# The prior on dispersions grows with the columns: as many rows as usual for 80 are too many here.
LASSO = {
    "alpha": 0.0,
    "gate_alpha": 0.0,
    "dispersion_prior": 1.5,
    "n_init": 1,
    "random_state": 0,
}
N_COLUMNS = 80
# Two regimes are not to be had of so few rows, with a prior of so many; here it is for the memory.
TOO_FEW_ROWS = pytest.mark.filterwarnings("ignore::mixexp.exceptions.DegenerateExpertWarning")


def _rows(n=240, p=N_COLUMNS, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, p))
    is_first = X[:, 0] + 0.3 * rng.standard_normal(n) > 0.0
    mean = np.where(is_first, 3.0 + 2.0 * X[:, 1], -3.0 - 2.0 * X[:, 1] + X[:, 2])
    return X, mean + 0.5 * rng.standard_normal(n)


X, Y = _rows()
COUNTS = np.random.default_rng(1).poisson(np.exp(np.clip(Y, -3.0, 2.0)))
CASES = {
    "gaussian": (MoERegressor(2, l1=12.0, gate_l1=8.0, **LASSO), {}),
    "experts": (MoERegressor(2, l1=20.0, gate_features=[0, 5], **LASSO), {}),
    "gates": (
        MoERegressor(2, gate_l1=20.0, expert_features=[1, 2], **{**LASSO, "alpha": 1.0}),
        {},
    ),
    "poisson": (MoERegressor(2, expert="poisson", l1=25.0, gate_l1=12.0, **LASSO), {}),
    "student": (MoERegressor(2, expert="student_t", l1=12.0, gate_l1=8.0, **LASSO), {}),
    "tree": (
        HMERegressor([[1, 1], 1], l1=12.0, gate_l1=8.0, **{**LASSO, "dispersion_prior": 30.0}),
        {},
    ),
    "ridge": (MoERegressor(2, l1=12.0, gate_l1=8.0, **{**LASSO, "alpha": 2.0}), {}),
    "balance": (MoERegressor(2, l1=12.0, gate_l1=8.0, solver=EM(balance=5.0), **LASSO), {}),
    "tied": (
        MoERegressor(
            2,
            l1=12.0,
            gate_l1=8.0,
            constraints=[Shared([2, 3]), Fixed(7, 0.1), Bounded(1, lower=-0.5)],
            **LASSO,
        ),
        {},
    ),
    "classes": (
        MoEClassifier(2, l1=5.0, gate_l1=4.0, alpha=0.0, gate_alpha=0.0, n_init=1, random_state=0),
        {},
    ),
    "truncated": (
        MoERegressor(2, l1=12.0, gate_l1=8.0, **LASSO),
        {"truncation": -20.0},
    ),
}


def _target(name):
    targets = {"poisson": COUNTS, "classes": (Y > 0.0).astype(int)}
    return targets.get(name, Y)


def _violation(model, y, given):
    encoded = model._encode_target(y)
    problem, _ = model._restore_problem(X, encoded, None, given)
    params = model.fitted_model_.params
    return problem.model.prior.violation(problem.evaluate(params).gradient)


# The data have two regimes, and a tree three experts.
@pytest.mark.filterwarnings("ignore::mixexp.exceptions.DegenerateExpertWarning")
@pytest.mark.parametrize("name", CASES)
def test_fits_of_some_columns_are_optima_of_all(name, monkeypatch):
    model, given = CASES[name]
    y = _target(name)
    given = {} if name != "truncated" else given
    narrow = clone(model).fit(X, y, **given)
    assert narrow.converged_
    assert np.count_nonzero(narrow.coef_) > 0
    assert _violation(narrow, y, given) <= 1e-6
    history = narrow.history_
    assert np.diff(history).min() >= -1e-9 * abs(history[-1])
    assert history[-1] == narrow.penalized_log_likelihood_
    monkeypatch.setattr(screening, "_FEWEST_COLUMNS", 10**9)
    start = clone(model).set_params(init=narrow)
    whole = start.fit(X, y, **given)
    np.testing.assert_allclose(
        whole.penalized_log_likelihood_, narrow.penalized_log_likelihood_, rtol=1e-9
    )
    np.testing.assert_allclose(whole.coef_, narrow.coef_, atol=1e-5)
    np.testing.assert_array_equal(whole.coef_ == 0.0, narrow.coef_ == 0.0)
    assert whole.n_parameters_ == narrow.n_parameters_


def test_a_narrow_model_is_the_whole_one_at_zeros():
    model, _ = CASES["tied"]
    fitted = clone(model).fit(X, Y)
    whole = fitted.fitted_model_.model
    needed = indispensable_columns(whole)
    np.testing.assert_array_equal(np.flatnonzero(needed.any(axis=0)), [0, 2, 8])
    flat = whole.flatten(fitted.fitted_model_.params)
    seen = seen_by(whole, flat != 0.0) | needed
    narrow = narrow_model(whole, seen)
    taken = narrow.take(fitted.fitted_model_.params)
    np.testing.assert_array_equal(whole.flatten(narrow.widen(taken)), flat)
    np.testing.assert_array_equal(
        narrow.columns[columns_of(narrow)], columns_of(whole)[narrow.kept]
    )
    assert narrow.n_slopes(0) == whole.n_slopes(0) == N_COLUMNS
    problem, _ = fitted._restore_problem(X, Y, None, {})
    evaluated = problem.evaluate(fitted.fitted_model_.params)
    alone = problem.gradients(fitted.fitted_model_.params)
    np.testing.assert_allclose(alone.gradient, evaluated.gradient, atol=1e-9)
    np.testing.assert_allclose(alone.objective, evaluated.objective, rtol=1e-14)


def test_sparse_rows_and_weights_go_the_same_way():
    model, _ = CASES["gaussian"]
    weight = np.where(np.arange(len(X)) < 60, 2.0, 1.0)
    weighted = clone(model).fit(X, Y, sample_weight=weight)
    repeated = clone(model).fit(np.r_[X, X[:60]], np.r_[Y, Y[:60]])
    np.testing.assert_allclose(weighted.coef_, repeated.coef_, atol=1e-6)
    few = np.where(np.abs(X) > 1.0, X, 0.0)
    dense = clone(model).fit(few, Y)
    stored = clone(model).fit(sparse.csr_array(few), Y)
    np.testing.assert_allclose(stored.coef_, dense.coef_, rtol=1e-7, atol=1e-10)


@TOO_FEW_ROWS
def test_memory_does_not_grow_as_the_square_of_the_columns():
    n, p = 200, 3000
    wide, y = _rows(n, p)
    model = MoERegressor(2, l1=30.0, gate_l1=15.0, **{**LASSO, "dispersion_prior": 30.0})
    clone(model).fit(wide[:, :8], y)  # imports and caches
    tracemalloc.start()
    try:
        fitted = clone(model).fit(wide, y)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert fitted.converged_
    # A few copies of X: one array of p by p has 72 MB.
    assert peak < 6 * wide.nbytes
    assert peak < 8.0 * p * p / 2


@TOO_FEW_ROWS
def test_a_path_of_wide_data_has_no_square_of_the_columns():
    wide, y = _rows(80, 2000, seed=3)
    model = MoERegressor(2, **{**LASSO, "dispersion_prior": 30.0})
    regularization_path(model, wide[:, :80], y, strengths=[60.0])  # imports and caches
    tracemalloc.start()
    try:
        path = regularization_path(model, wide, y, strengths=[60.0, 32.0])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4.0 * wide.shape[1] ** 2
    assert path.columns["converged"] == [True] * 2
    assert not path.estimators[0].coef_.any()


def test_monitors_hear_of_coefficients_of_all_columns():
    heard = []

    class Ear(screening.Monitor):
        follows_iterations = True

        def iterated(self, start, n_iter, objective, outcome):
            heard.append((n_iter, objective))
            assert outcome(start).evaluation.params.gates[0].shape == (2, 1 + N_COLUMNS)
            return len(heard) == 4

    model, _ = CASES["gaussian"]
    fitted = clone(model).fit(X, Y)
    problem, _ = fitted._restore_problem(X, Y, None, {})
    start = fitted.fitted_model_.params
    narrow = narrow_model(problem.model, indispensable_columns(problem.model))
    nothing = narrow.widen(narrow.take(start))
    options = screening.Options(500, 1e-10, "auto")

    def find(problem, pooled, first, monitor, options):
        return compete(problem, first, options, monitor)

    given = [("given", nothing)], True, Ear(), options, find
    found = screening.find_on_columns(problem, nothing, *given)
    assert [n for n, _ in heard] == [1, 2, 3, 4]
    assert found.best.reason == screening.ASKED_TO_STOP
    assert found.restarts[0].reason == screening.ASKED_TO_STOP
