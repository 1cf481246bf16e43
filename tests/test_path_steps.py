"""What makes paths cheap: fits carried on along the strength, columns soon in, signed products."""

import numpy as np
import pytest
from sklearn.base import clone

from mixexp import MoERegressor
from mixexp.data import cross_grams
from mixexp.data._design import DenseDesign
from mixexp.selection import regularization_path
from mixexp.selection._path import _carried_on, _Strength, _with_strength


@pytest.mark.parametrize(
    "signs", [(1.0,), (-1.0,), (-1.0, 0.0, 1.0)], ids=["plus", "minus", "both"]
)
def test_products_with_weights_of_any_sign(signs):
    rng = np.random.default_rng(0)
    values = rng.standard_normal((40, 90))
    weights = rng.choice(signs, (2, 90)) * rng.uniform(size=(2, 90))
    expected = np.stack([(values * weight) @ values.T for weight in weights])
    np.testing.assert_allclose(DenseDesign(values).grams(weights), expected, atol=1e-12)


@pytest.mark.parametrize(("p_a", "p_b"), [(1, 9), (9, 1), (2, 9), (9, 8)])
def test_products_between_designs_of_any_width(p_a, p_b):
    rng = np.random.default_rng(0)
    first, second, weights = (rng.standard_normal((m, 50)) for m in (p_a, p_b, 3))
    found = cross_grams(DenseDesign(first), DenseDesign(second), weights)
    expected = np.einsum("ai,mi,bi->mab", first, weights, second)
    np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200, 90))
    is_first = X[:, 0] + 0.3 * rng.standard_normal(200) > 0.0
    return X, np.where(is_first, 2.0, -2.0) * X[:, 1] + 0.5 * rng.standard_normal(200)


@pytest.fixture(scope="module")
def path(rows):
    model = MoERegressor(2, alpha=0.0, gate_alpha=0.0, n_init=1, random_state=0)
    return regularization_path(model, *rows, n_strengths=8, least=0.2)


def test_all_columns_of_a_path_meet_the_conditions_of_an_optimum(path, rows):
    for model in path.estimators:
        problem, _ = model._restore_problem(*rows, None, {})
        gradient = problem.evaluate(model.fitted_model_.params).gradient
        assert model.converged_
        assert problem.model.prior.violation(gradient) <= 1e-6


def test_fits_that_are_carried_on_begin_nearer_to_where_they_end(path, rows):
    before, last, following = path.estimators[-3:]
    step = _Strength(following.l1, following.gate_l1)
    aim = following.fitted_model_.model.flatten(following.fitted_model_.params)
    ways = []
    for start in (last, _carried_on(before, last, step)):
        own = start.fitted_model_
        ways.append(np.linalg.norm(own.model.flatten(own.params) - aim))
    assert ways[1] < ways[0]
    again = _with_strength(path.estimators[0], step, _carried_on(before, last, step)).fit(*rows)
    found = following.penalized_log_likelihood_
    np.testing.assert_allclose(again.penalized_log_likelihood_, found, rtol=1e-8)


def test_fits_that_are_far_from_each_other_are_not_carried_on(path):
    first, last = path.estimators[0], path.estimators[-1]
    assert _carried_on(first, last, _Strength(1.0, 0.5)) is last


@pytest.mark.parametrize("strengths", [[30.0, 30.0, 29.0], [30.0, 29.9, 3.0]], ids=["same", "far"])
def test_strengths_may_be_equal_or_far_apart(rows, strengths):
    X, y = rows[0][:, :6], rows[1]
    model = MoERegressor(2, alpha=0.0, gate_alpha=0.0, n_init=1, random_state=0)
    path = regularization_path(model, X, y, strengths=strengths)
    for own in path.estimators:
        least = clone(own).fit(X, y).penalized_log_likelihood_
        assert own.penalized_log_likelihood_ >= least - 1e-6 * abs(least)


# Without any noise dispersions are at their floor.
@pytest.mark.filterwarnings("ignore::mixexp.exceptions.DegenerateExpertWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("noise", [0.0, 0.001, 0.01])
def test_paths_of_hardly_any_noise_begin_where_no_slopes_are_best(noise):
    """Experts so sharp keep their slopes at strengths of 1e7; a path from there had none."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((300, 6))
    y = np.abs(X[:, 0]) + X[:, 1] + noise * rng.standard_normal(300)
    model = MoERegressor(2, alpha=0.0, gate_alpha=0.0, n_init=2, random_state=0, max_iter=100)
    path = regularization_path(model, X, y, n_strengths=6)
    assert not path.estimators[0].coef_.any()
    kink = path.best_estimator_.coef_
    np.testing.assert_allclose(kink[:, :2], [[1.0, 1.0], [-1.0, 1.0]], atol=0.01)
