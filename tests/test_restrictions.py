"""Bounds and linear restrictions, in the user's units: fits, parameters, standard errors."""

import numpy as np
import pytest
from scipy.optimize import lsq_linear

from mixexp import HMERegressor, MoEClassifier, MoERegressor, from_json
from mixexp.constraints import Bounded, Fixed, Linear, Shared

FREE = {"alpha": 0.0, "gate_alpha": 0.0, "dispersion_prior": 0.0, "random_state": 0, "n_init": 1}


def _rows(n=200):
    rng = np.random.default_rng(3)
    X = rng.normal(size=(n, 3))
    X[:, 1] += 0.8 * X[:, 0]
    is_first = rng.uniform(size=n) < 1.0 / (1.0 + np.exp(-2.0 * X[:, 2]))
    X += [5.0, 0.0, -2.0]
    first, second = 1.0 + 2.0 * X[:, 0] - X[:, 1], -3.0 - X[:, 0] + 0.5 * X[:, 1] - 0.4 * X[:, 2]
    return X, np.where(is_first, first, second) + 0.5 * rng.normal(size=n)


X, Y = _rows()
MODELS = {
    "bounded": MoERegressor(2, constraints=[Bounded(1, lower=0.0)], **FREE),
    "some": MoERegressor(2, constraints=[Bounded([0, 1], -0.5, 0.5, experts=1)], **FREE),
    "shared": MoERegressor(2, constraints=[Shared(0), Bounded(0, upper=0.1)], **FREE),
    "student": MoERegressor(
        2, expert="student_t", constraints=Bounded(1, lower=0.0), random_state=0, n_init=1
    ),
    "l1": MoERegressor(2, constraints=[Bounded(1, lower=0.0)], l1=1.0, **FREE),
    "logistic": MoEClassifier(1, constraints=Bounded(0, upper=0.1), random_state=0, n_init=1),
    "equation": MoERegressor(
        2, constraints=[Linear("b[0:x0] + 2 * b[1:x0] = 0.5 + b[0:x1]")], **FREE
    ),
    "intercept": MoERegressor(
        2, constraints=[Linear("b[0:intercept] = 0"), Linear("b[1:intercept] = 1.5")], **FREE
    ),
    "gate": MoERegressor(
        2, constraints=[Linear("gate[0:x2] = 0.7"), Linear("b[0:x0] = b[1:x1]")], **FREE
    ),
    "weights": MoERegressor(
        3,
        gate_features=[],
        constraints=[
            Linear("gate[0:intercept] - gate[1:intercept] = 0.4"),
            Linear("gate[0:intercept] - gate[2:intercept] = 1"),
        ],
        **{**FREE, "dispersion_prior": 10.0},
    ),
    "tree": HMERegressor(
        [1, 1],
        constraints=[Linear("gate[1:x0] = 0"), Bounded(1, lower=-0.5), Fixed(2, 0.0, experts=0)],
        random_state=0,
        n_init=1,
    ),
}


@pytest.fixture(scope="module")
def fitted():
    fits = {}

    def fit(name):
        if name not in fits:
            y = Y if name != "logistic" else np.median(Y) < Y
            fits[name] = MODELS[name].fit(X, y)
        return fits[name]

    return fit


@pytest.mark.parametrize("name", MODELS)
def test_the_objective_never_falls_and_the_fit_converges(fitted, name):
    model = fitted(name)
    assert model.converged_
    assert np.diff(model.history_).min() >= -1e-8 * abs(model.history_[-1])
    assert model.diagnostics_.gradient_norm < 1e-4


def test_bounds_hold_in_the_users_units(fitted):
    assert fitted("bounded").coef_[:, 1].min() == 0.0
    assert np.abs(fitted("some").coef_[1, :2]).max() <= 0.5 + 1e-12
    assert np.abs(fitted("some").coef_[0, :2]).max() > 0.5
    shared = fitted("shared").coef_[:, 0]
    assert shared[0] == shared[1] <= 0.1
    assert fitted("student").coef_[:, 1].min() >= 0.0
    assert fitted("l1").coef_[:, 1].min() >= 0.0
    assert fitted("logistic").coef_[:, 0].max() == pytest.approx(0.1, abs=1e-12)
    assert fitted("tree").coef_[:, 1].min() == pytest.approx(-0.5, abs=1e-12)
    assert fitted("tree").coef_[0, 2] == 0.0


def test_equations_hold_in_the_users_units(fitted):
    coef = fitted("equation").coef_
    assert coef[0, 0] + 2.0 * coef[1, 0] == pytest.approx(0.5 + coef[0, 1], abs=1e-12)
    np.testing.assert_allclose(fitted("intercept").intercept_, [0.0, 1.5], atol=1e-11)
    gate = fitted("gate")
    assert gate.gate_coef_[0, 2] == pytest.approx(0.7, abs=1e-12)
    assert gate.coef_[0, 0] == pytest.approx(gate.coef_[1, 1], abs=1e-12)
    weights = fitted("weights").gate_intercept_
    np.testing.assert_allclose(weights[0] - weights[1:], [0.4, 1.0], atol=1e-12)
    assert fitted("tree").gate_coef_[1, 0] == pytest.approx(0.0, abs=1e-12)


def test_one_expert_is_bounded_least_squares():
    model = MoERegressor(1, constraints=[Bounded([0, 1, 2], lower=0.0, upper=0.6)], **FREE)
    model.fit(X, Y)
    bounds = [-np.inf, 0.0, 0.0, 0.0], [np.inf, 0.6, 0.6, 0.6]
    wanted = lsq_linear(np.column_stack([np.ones(len(X)), X]), Y, bounds, tol=1e-14).x
    np.testing.assert_allclose([*model.intercept_, *model.coef_[0]], wanted, atol=1e-7)


def test_one_expert_is_restricted_least_squares():
    model = MoERegressor(
        1, constraints=[Linear("b[0:intercept] = 1"), Linear("b[0:x0] - b[0:x1] = -0.5")], **FREE
    ).fit(X, Y)
    # With y less its known part the slopes are those of least squares on x0 + x1 and x2.
    design = np.column_stack([X[:, 0] + X[:, 1], X[:, 2]])
    slopes = np.linalg.lstsq(design, Y - 1.0 - 0.5 * X[:, 1], rcond=None)[0]
    wanted = [1.0, slopes[0], slopes[0] + 0.5, slopes[1]]
    np.testing.assert_allclose([*model.intercept_, *model.coef_[0]], wanted, atol=1e-9)
    table = model.inference(X, Y).coef_table()
    rss = np.sum((Y - 1.0 - 0.5 * X[:, 1] - design @ slopes) ** 2) / len(Y)
    wanted = np.sqrt(rss * np.linalg.inv(design.T @ design)[0, 0])
    assert table["std_error"][1] == pytest.approx(wanted, rel=1e-6)
    assert table["std_error"][2] == pytest.approx(wanted, rel=1e-6)
    assert table["note"][0] == "given"


def test_degrees_of_freedom_go_by_restrictions(fitted):
    n = MoERegressor(2, **FREE).fit(X, Y).n_parameters_
    assert fitted("equation").n_parameters_ == n - 1
    assert fitted("intercept").n_parameters_ == fitted("gate").n_parameters_ == n - 2
    held = int(np.sum(fitted("bounded").coef_[:, 1] == 0.0))
    assert held > 0
    assert fitted("bounded").n_parameters_ == n - held
    assert fitted("weights").n_parameters_ == 15


def test_coefficients_that_are_held_are_labelled(fitted):
    table = fitted("bounded").inference(X, Y).coef_table()
    note, error = np.array(table["note"]), np.array(table["std_error"])
    assert np.sum(note == "at its bound") == np.sum(fitted("bounded").coef_[:, 1] == 0.0)
    np.testing.assert_array_equal(np.isnan(error), note != "")


def test_restrictions_do_not_know_the_unit_of_y_or_x(fitted):
    model = MoERegressor(
        2, constraints=[Linear("b[0:x0] + 2 * b[1:x0] = 0.05 + b[0:x1]")], **FREE
    ).fit(X * 100.0, Y * 10.0)
    np.testing.assert_allclose(model.coef_, fitted("equation").coef_ / 10.0, atol=1e-7)


def test_a_file_holds_them(fitted, tmp_path):
    fitted("tree").to_json(tmp_path / "model.json")
    read = from_json(tmp_path / "model.json")
    assert read.constraints == fitted("tree").constraints
    np.testing.assert_array_equal(read.predict(X), fitted("tree").predict(X))


@pytest.mark.parametrize(
    ("constraints", "message"),
    [
        ([Bounded(0)], "lower bound below"),
        ([Bounded(0, 1.0, -1.0)], "lower bound below"),
        ([Bounded(0, "low")], "lower bound below"),
        ([Bounded(0, lower=1.0), Fixed(0, 0.0)], "beyond its bounds"),
        ([Bounded(0, lower=1.0), Bounded(0, upper=0.0)], "at or above"),
        ([Linear("b[0:x0]")], "one '='"),
        ([Linear(3)], "one '='"),
        ([Linear("b[0:x0] = fast")], "cannot be read from"),
        ([Linear("b[0:x0] 2 = 1")], "cannot be read from"),
        ([Linear("b[0:x9] = 1")], "no 'x9'"),
        ([Linear("b[7:x0] = 1")], "no expert 7"),
        ([Linear("gate[5:x0] = 1")], "no row 5"),
        ([Linear("b[0:x0] - b[0:x0] = 1")], "cancel"),
        ([Linear("2 = 1")], "no coefficient"),
        ([Linear("b[0:x0] = gate[0:x0]")], "one gate, or"),
        ([Linear("b[0:x0] = 1"), Linear("2 * b[0:x0] = 1")], "repeat or contradict"),
        ([Linear("b[0:x0] = 1"), Fixed(0, 1.0)], "repeat or contradict"),
        ([Linear("b[0:x0] = -1"), Bounded(0, lower=0.0)], "cannot all be met"),
        ([Shared(0), Linear("b[0:x0] - b[1:x0] = 0")], "repeat or contradict"),
    ],
)
def test_what_cannot_be_is_refused(constraints, message):
    with pytest.raises(ValueError, match=message):
        MoERegressor(2, constraints=constraints, **FREE).fit(X[:40], Y[:40])


def test_equations_go_with_an_l1_penalty_but_for_those_of_gates():
    fixed = [Linear("b[0:x0] = 1"), Linear("b[1:x0] = 1")]
    model = MoERegressor(2, constraints=fixed, l1=1.0, **FREE).fit(X, Y)
    np.testing.assert_allclose(model.coef_[:, 0], 1.0, rtol=1e-9)
