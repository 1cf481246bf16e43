"""Break points of gates along one feature: where they are, their errors, and how they are drawn."""

import numpy as np
import pytest

from mixexp import HMERegressor, MoERegressor
from mixexp.constraints import Linear
from mixexp.displays import GateDisplay
from mixexp.inference._break_points import upper_envelope

QUICK = {"random_state": 0, "n_init": 2}


def _pieces(n=300, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.uniform(0.0, 10.0, size=(n, 2))
    y = np.select([X[:, 0] < 3.0, X[:, 0] < 7.0], [X[:, 0], 6.0 - X[:, 0]], 3.0 * X[:, 0] - 22.0)
    return X, y + 0.3 * rng.normal(size=n)


X, Y = _pieces()


@pytest.fixture(scope="module")
def fitted():
    model = MoERegressor(3, gate_features=[0], **QUICK).fit(X, Y)
    return model, model.inference(X, Y)


def test_the_upper_envelope_is_the_highest_line():
    rng = np.random.default_rng(5)
    grid = np.linspace(-50.0, 50.0, 20_001)
    for _ in range(20):
        a, w = rng.normal(size=(2, 6))
        w[3] = w[0]
        highest = (a[:, None] + w[:, None] * grid).argmax(axis=0)
        seen = highest[np.append(True, np.diff(highest) != 0)].tolist()
        found = upper_envelope(a, w)
        assert [line for line in found if line in seen] == seen


def test_neighbours_are_equally_probable_there(fitted):
    model, inference = fitted
    table = inference.break_points()
    assert len(table) == 2
    np.testing.assert_allclose(table["estimate"], [3.0, 7.0], atol=0.2)
    np.testing.assert_array_less(table["lower"], table["estimate"])
    for _, row in table.iterrows():
        gate = model.gate_proba([[row["estimate"], 5.0]])[0]
        sides = [int(row[side].split()[-1]) for side in ("left", "right")]
        assert gate[sides[0]] == pytest.approx(gate[sides[1]], rel=1e-9)
        assert gate[sides[0]] == pytest.approx(gate.max(), rel=1e-9)
        beyond = model.gate_proba([[row["estimate"] + row["width"], 5.0]])[0]
        assert np.log(beyond[sides[1]] / beyond[sides[0]]) == pytest.approx(1.0, rel=1e-6)


def test_errors_are_those_of_the_ratio_of_two_coefficients():
    model = MoERegressor(2, gate_features=[0], **QUICK).fit(X[Y < 9], Y[Y < 9])
    inference = model.inference(X[Y < 9], Y[Y < 9])
    (estimate,), (error,) = (inference.break_points()[name] for name in ("estimate", "std_error"))
    at = [i for i, label in enumerate(inference.labels) if label.unit == "root -> expert 0"]
    a, w = inference.estimates[at]
    assert estimate == pytest.approx(-a / w, rel=1e-9)
    slope = np.array([-1.0 / w, a / w**2])
    wanted = np.sqrt(slope @ inference.covariance[np.ix_(at, at)] @ slope)
    assert error == pytest.approx(wanted, rel=1e-7)


def test_the_bootstrap_has_intervals_too(fitted):
    model, inference = fitted
    refits = model.bootstrap(X, Y, n_resamples=20, random_state=0)
    table = inference.break_points(0.9, bootstrap=refits)
    wald = inference.break_points(0.9)
    np.testing.assert_array_equal(table["estimate"], wald["estimate"])
    np.testing.assert_array_less(np.abs(table["estimate"] - [3.0, 7.0]), 0.3)
    ratio = table["std_error"] / wald["std_error"]
    assert np.all((ratio > 0.3) & (ratio < 3.0))
    against = model.bootstrap(X, Y, n_resamples=2, reference=0, random_state=0)
    with pytest.raises(ValueError, match="without 'reference'"):
        inference.break_points(bootstrap=against)


def test_trees_have_them_at_every_node_and_displays_draw_them(fitted):
    import matplotlib

    matplotlib.use("Agg")
    model = HMERegressor([[1, 1], 1], gate_features=[0], **QUICK).fit(X, Y)
    table = model.inference(X, Y).break_points()
    assert set(table["gate"]) <= {"root", "node 0"}
    display = GateDisplay.from_estimator(model, X, break_points=table)
    assert len(display.breaks_) == len(table)
    assert display.breaks_[0].get_xdata()[0] == table["estimate"][0]


def test_pieces_meet_where_a_restriction_says_so():
    meet = "b[0:intercept] + 3 * b[0:x0] = b[1:intercept] + 3 * b[1:x0]"
    rows = X[:, 0] < 7.0
    model = MoERegressor(
        2, gate_features=[0], expert_features=[0], constraints=[Linear(meet)], **QUICK
    ).fit(X[rows], Y[rows])
    at = model.intercept_ + 3.0 * model.coef_.ravel()
    assert at[0] == pytest.approx(at[1], abs=1e-9)
    assert at[0] == pytest.approx(3.0, abs=0.2)


def test_gates_of_several_features_have_none(fitted):
    model = MoERegressor(2, **QUICK).fit(X, Y)
    with pytest.raises(ValueError, match="exactly one feature"):
        model.inference(X, Y).break_points()
