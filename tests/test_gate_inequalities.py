"""Bounds and orders of gates' coefficients."""

import numpy as np
import pytest
from scipy.optimize import minimize

from mixexp import HMERegressor, MoEClassifier, MoERegressor, from_json
from mixexp.constraints import Bounded, Linear, Ordered

FREE = {"alpha": 0.0, "gate_alpha": 0.0, "dispersion_prior": 5.0, "random_state": 0, "n_init": 2}


def _rows(n=400):
    rng = np.random.default_rng(4)
    X = rng.normal([3.0, 0.0, -1.0], [1.0, 2.0, 1.0], size=(n, 3))
    logits = np.stack(
        [np.zeros(n), 0.8 * (X[:, 0] - 3.0), -0.5 * (X[:, 0] - 3.0) + X[:, 2]], axis=1
    )
    chance = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    label = (rng.uniform(size=(n, 1)) > chance.cumsum(axis=1)).sum(axis=1)
    mean = np.array([0.0, 8.0, -8.0])[label] + np.array([1.0, -1.0, 0.5])[label] * X[:, 1]
    return X, mean + 0.5 * rng.normal(size=n), label


X, Y, LABEL = _rows()
CASES = {
    "order": [Ordered(0, gate=[0, 1, 2])],
    "falling": [Ordered(0, gate=[0, 1, 2], decreasing=True)],
    "columns": [Ordered([0, 1, 2], gate=[1])],
    "sign": [Bounded([0, 2], lower=0.0, gate=1)],
    "intercept": [Bounded("intercept", -0.5, 0.2, gate=[0, 2])],
    "both": [
        Bounded(0, upper=0.3, gate=1),
        Linear("gate[0:x1] = 0"),
        Bounded(1, lower=-0.2),
        Ordered(1, gate=[0, 1]),
    ],
}


def _fit(name, **options):
    model = MoERegressor(3, constraints=CASES[name], init=LABEL, **{**FREE, **options})
    return model.fit(X, Y)


@pytest.fixture(scope="module")
def fits():
    return {name: _fit(name) for name in CASES}


@pytest.mark.parametrize("name", CASES)
def test_fits_rise_and_converge(fits, name):
    model = fits[name]
    assert model.converged_
    assert np.diff(model.history_).min() >= -1e-9 * abs(model.history_[-1])
    assert model.diagnostics_.gradient_norm < 1e-4
    ties = model.fitted_model_.model.ties
    flat = model.fitted_model_.model.flatten(model.fitted_model_.params)
    assert ties.slack(flat).min() >= -1e-9
    assert len(ties.rows_at_boundary(flat)) > 0  # the test tells something


def test_users_units_are_met(fits):
    assert np.diff(fits["order"].gate_coef_[:, 0]).min() >= 0.0
    assert np.diff(fits["falling"].gate_coef_[:, 0]).max() <= 0.0
    assert np.diff(fits["columns"].gate_coef_[1]).min() >= 0.0
    assert fits["sign"].gate_coef_[1, [0, 2]].min() >= 0.0
    own = fits["intercept"].gate_intercept_[[0, 2]]
    assert own.min() >= -0.5
    assert own.max() <= 0.2
    both = fits["both"]
    assert both.gate_coef_[1, 0] <= 0.3
    assert abs(both.gate_coef_[0, 1]) < 1e-12
    assert both.coef_[:, 1].min() >= -0.2
    for model in fits.values():
        np.testing.assert_allclose(model.gate_coef_.sum(axis=0), 0.0, atol=1e-12)


@pytest.mark.parametrize("name", ["order", "sign", "intercept"])
def test_the_gate_is_the_best_that_meets_them(fits, name):
    """With the responsibilities as they are, by another program: the M-step at its fixed point."""
    model = fits[name]
    resp = model.responsibilities(X, Y)
    Z = np.column_stack([np.ones(len(X)), X])

    def value(v):
        coef = v.reshape(3, 4)
        logits = Z @ coef.T
        top = logits.max(axis=1, keepdims=True)
        log_gate = logits - top - np.log(np.exp(logits - top).sum(axis=1, keepdims=True))
        return -(resp * log_gate).sum(), (-(resp - np.exp(log_gate)).T @ Z).ravel()

    def inside(v):
        coef = v.reshape(3, 4) - v.reshape(3, 4).mean(axis=0)
        if name == "order":
            return np.diff(coef[:, 1])
        if name == "sign":
            return coef[1, [1, 3]]
        return np.r_[coef[[0, 2], 0] + 0.5, 0.2 - coef[[0, 2], 0]]

    own = np.column_stack([model.gate_intercept_, model.gate_coef_]).ravel()
    found = minimize(
        value,
        own,
        jac=True,
        method="SLSQP",
        constraints={"type": "ineq", "fun": inside},
        options={"ftol": 1e-13, "maxiter": 500},
    )
    assert inside(own).min() >= -1e-9
    assert value(own)[0] <= found.fun + 1e-6 * abs(found.fun)


def test_what_holds_takes_degrees_of_freedom_and_has_no_standard_error(fits):
    free = MoERegressor(3, init=LABEL, **FREE).fit(X, Y)
    for name in ("falling", "sign"):
        model = fits[name]
        ties, own = model.fitted_model_.model.ties, model.fitted_model_
        held = ties.rows_at_boundary(own.model.flatten(own.params))
        assert model.n_parameters_ == free.n_parameters_ - np.linalg.matrix_rank(held)
        assert model.log_likelihood_ < free.log_likelihood_
    found = fits["sign"].inference(X, Y)
    table = found.coef_table()
    errors = np.asarray(table["std_error"], dtype=float)
    notes = np.asarray(table["note"]).astype(str)
    assert "at its bound" in notes
    assert np.isnan(errors[notes == "at its bound"]).all()
    assert np.isfinite(errors).any()


def test_inequalities_that_do_not_press_change_nothing():
    free = MoERegressor(3, init=LABEL, **FREE).fit(X, Y)
    wide = MoERegressor(3, constraints=[Bounded(0, -50.0, 50.0, gate=[0, 1])], init=LABEL, **FREE)
    wide.fit(X, Y)
    np.testing.assert_allclose(wide.log_likelihood_, free.log_likelihood_, rtol=1e-10)
    order, other = np.argsort(wide.intercept_), np.argsort(free.intercept_)  # one names experts
    np.testing.assert_allclose(wide.gate_coef_[order], free.gate_coef_[other], atol=1e-5)
    assert wide.n_parameters_ == free.n_parameters_


def test_trees_classifiers_and_default_starts_take_them():
    tree = HMERegressor([1, [1, 1]], constraints=[Bounded(0, lower=0.1, gate=3)], random_state=0)
    tree.set_params(n_init=2).fit(X, Y)
    assert tree.gate_coef_[3, 0] >= 0.1
    classes = MoEClassifier(2, constraints=[Ordered(0, gate=[0, 1])], random_state=0, n_init=2)
    classes.fit(X, np.median(Y) < Y)
    assert classes.gate_coef_[1, 0] >= classes.gate_coef_[0, 0]
    beside = MoERegressor(2, constraints=[Bounded(0, lower=0.0, gate=1)], l1=2.0, random_state=0)
    assert beside.fit(X, Y).gate_coef_[1, 0] >= 0.0


def test_files_keep_them(fits, tmp_path):
    model = fits["order"]
    model.to_json(tmp_path / "model.json")
    other = from_json(tmp_path / "model.json")
    assert other.constraints == model.constraints
    np.testing.assert_array_equal(other.gate_coef_, model.gate_coef_)


@pytest.mark.parametrize(
    ("constraints", "message"),
    [
        ([Bounded(0, lower=0.0, gate=7)], r"range \[0, 3\)"),
        ([Bounded(0, lower=0.0, gate=[0, 0])], "different rows"),
        ([Bounded(0, lower=0.0, gate="first")], "a row of gate_coef_"),
        ([Bounded(0, lower=0.0, gate=[])], "a row of gate_coef_"),
        ([Bounded(0, lower=0.0, gate=0, experts=1)], "leave one out"),
        ([Ordered(0, gate=[1])], "two at least"),
        ([Bounded(0, lower=1.0, gate=[0, 1, 2])], "cannot all be met"),
        ([Bounded("x9", lower=1.0, gate=0)], "x9"),
    ],
)
def test_what_cannot_be_is_refused(constraints, message):
    with pytest.raises(ValueError, match=message):
        MoERegressor(3, constraints=constraints, **FREE).fit(X[:60], Y[:60])


def test_gates_of_a_penalty_other_gates_and_columns_are_refused():
    bound = [Bounded(0, lower=0.0, gate=1)]
    with pytest.raises(ValueError, match="gate_l1=0"):
        MoERegressor(2, constraints=bound, gate_l1=1.0).fit(X, Y)
    with pytest.raises(ValueError, match="softmax"):
        MoERegressor(2, constraints=bound, gate="gaussian").fit(X, Y)
    with pytest.raises(ValueError, match="the gate does not see"):
        MoERegressor(2, constraints=bound, gate_features=[1]).fit(X, Y)
    with pytest.raises(ValueError, match="one gate"):
        HMERegressor([1, [1, 1]], constraints=[Ordered(0, gate=[0, 2])]).fit(X, Y)
    with pytest.raises(ValueError, match="names rows of gates"):
        MoERegressor("auto", constraints=bound).fit(X, Y)
