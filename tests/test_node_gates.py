"""Gates that differ from node to node of one tree."""

import numpy as np
import pandas as pd
import pytest
from problems import simulate_regimes
from sklearn.base import clone

from mixexp import EM, HMEClassifier, HMERegressor, MoERegressor, select_n_experts

LEFT = [[1, 1], 1]
QUICK = {"n_init": 2, "random_state": 0}
# What is tested are gates, where experts may be too many.
pytestmark = pytest.mark.filterwarnings("ignore::mixexp.exceptions.DegenerateExpertWarning")


def make_rows(rng, n=400):
    """Return rows that the first feature sends to the right, and no feature below the left gate."""
    X = rng.standard_normal((n, 2))
    is_right = X[:, 0] + 0.3 * rng.standard_normal(n) > 0.0
    is_steep = rng.random(n) < 0.4
    slope = np.where(is_right, 0.0, np.where(is_steep, 4.0, -4.0))
    return X, slope * X[:, 1] + 3.0 * is_right + 0.2 * rng.standard_normal(n)


@pytest.mark.parametrize("gate", [["softmax", "constant"], ["constant", "softmax"]])
def test_a_constant_gate_stands_beside_one_of_features(gate, rng):
    X, y = make_rows(rng)
    model = HMERegressor(LEFT, gate=gate, init=np.clip(y > 1.0, 0, 1) * 2, random_state=0).fit(X, y)
    proba = model.gate_proba(X)
    at_root, below = proba[:, 2], proba[:, 0] / (1.0 - proba[:, 2])
    assert (np.ptp(at_root) < 1e-8) == (gate[0] == "constant")
    assert (np.ptp(below) < 1e-8) == (gate[1] == "constant")
    own = {"softmax": 2, "constant": 0}
    edges_of = {0: [0, 1], 1: [2, 3]}
    for node, edges in edges_of.items():
        assert np.count_nonzero(model.gate_coef_[edges]) == 2 * own[gate[node]]
    assert np.diff(model.history_).min() >= -1e-9 * abs(model.history_[-1])
    assert model.n_parameters_ == 3 * 4 + 2 + 2


def test_the_truth_is_found_and_has_fewer_parameters_at_no_loss(rng):
    X, y = make_rows(rng)
    mixed = HMERegressor(LEFT, gate=["softmax", "constant"], random_state=0).fit(X, y)
    full = HMERegressor(LEFT, random_state=0).fit(X, y)
    assert mixed.n_parameters_ == full.n_parameters_ - 2
    assert mixed.log_likelihood_ > full.log_likelihood_ - 3.0
    assert mixed.bic(X, y) < full.bic(X, y)


@pytest.mark.parametrize(
    ("options", "plain"),
    [
        ({"gate": ["softmax", "softmax", "softmax"]}, {}),
        ({"gate": ["constant", ["constant"], "constant"]}, {"gate": "constant"}),
        ({"gate_features": [["x1"], ["x1"], [["x1"]]]}, {"gate_features": ["x1"]}),
        ({"gate_features": [None, None, None]}, {}),
    ],
    ids=["softmax", "constant", "features", "all"],
)
def test_one_value_at_every_node_is_one_for_all(options, plain, rng):
    data = simulate_regimes(rng, 300)
    X = pd.DataFrame(data.X, columns=["x0", "x1"])
    each = HMERegressor((2, 2), **options, **QUICK).fit(X, data.y)
    one = HMERegressor((2, 2), **plain, **QUICK).fit(X, data.y)
    np.testing.assert_array_equal(each.gate_coef_, one.gate_coef_)
    np.testing.assert_array_equal(each.coef_, one.coef_)
    assert each.gate_features_ == one.gate_features_


def test_features_of_each_node_are_seen_there_alone(rng):
    X, y = make_rows(rng)
    features = [[0], [1], None]
    model = HMERegressor((2, 2), gate_features=features, solver=EM(balance=20.0), **QUICK).fit(X, y)
    np.testing.assert_array_equal(model.gate_coef_[:2, 1], 0.0)
    np.testing.assert_array_equal(model.gate_coef_[2:4, 0], 0.0)
    assert np.all(model.gate_coef_[4:] != 0.0)
    changed = X.copy()
    changed[:, 1] = 0.0
    at_root = [model.gate_proba(rows)[:, :2].sum(axis=1) for rows in (X, changed)]
    np.testing.assert_allclose(at_root[0], at_root[1], rtol=1e-13)
    table = model.coef_table()
    by_unit = table[table["part"] == "gate"].groupby("unit", sort=False)["term"].apply(set)
    assert by_unit.iloc[0] == {"intercept", "x0"}
    assert {"x1"} < by_unit.iloc[2]
    errors = model.coef_table(X, y)["std_error"]
    assert np.isfinite(errors).all()


def test_hard_routes_and_quantiles_follow_the_gates(rng):
    X, y = make_rows(rng)
    model = HMERegressor((2, 2), gate_features=[[0], [1], []], **QUICK).fit(X, y)
    proba = model.gate_proba(X)
    np.testing.assert_array_equal(model.route(X, 1).experts[:, 0], proba.argmax(axis=1))
    np.testing.assert_allclose(
        model.predict(X), (proba * model.predict_experts(X)).sum(axis=1), rtol=1e-12
    )
    assert np.all(np.diff(model.predict_quantile(X[:20], [0.1, 0.5, 0.9]), axis=1) > 0.0)


def test_experts_that_are_dropped_leave_the_gates_of_the_others(rng):
    X = rng.standard_normal((300, 2))
    y = np.where(X[:, 0] > 0.0, 2.0, -2.0) * X[:, 1] + 0.1 * rng.standard_normal(300)
    gate = ["softmax", "constant", "constant"]
    model = HMERegressor((2, 3), gate=gate, solver=EM(on_collapse="drop"), alpha=0.0, **QUICK)
    model.set_params(dispersion_prior=300.0).fit(X, y)
    tree = model.tree_
    assert tree.n_leaves < 6
    at_root = tree.edges(0)
    below = np.delete(model.gate_coef_, np.r_[at_root], axis=0)
    assert np.any(model.gate_coef_[at_root] != 0.0)
    np.testing.assert_array_equal(below, 0.0)  # constant, as they were


def test_clones_classifiers_and_starts_from_a_fit_keep_them(rng):
    X, y = make_rows(rng)
    model = HMERegressor(LEFT, gate=["softmax", "constant"], **QUICK).fit(X, y)
    again = clone(model).set_params(init=model).fit(X, y)
    np.testing.assert_allclose(again.gate_coef_, model.gate_coef_, atol=1e-6)
    with pytest.raises(ValueError, match=r"'init'.*other experts, gates or features"):
        HMERegressor(LEFT, init=model).fit(X, y)
    classes = HMEClassifier(LEFT, gate=["constant", "softmax"], **QUICK).fit(X, y > 1.0)
    assert classes.predict_proba(X).shape == (len(X), 2)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"gate": ["softmax"]}, ["'gate'", "1 gates below it", "['softmax']", "[[1, 1], 1]"]),
        ({"gate": ["softmax", "hard"]}, ["'gate'", "'softmax', 'constant'", "'hard'"]),
        ({"gate": ["softmax", ["constant", "constant"]]}, ["'gate'", "The gate at node 1"]),
        ({"gate": []}, ["'gate'", "The root"]),
        ({"gate_features": [[0], [0], [0]]}, ["'gate_features'", "2 entries"]),
        ({"gate_features": [[0], [7]]}, ["7", "'gate_features'"]),
    ],
)
def test_a_list_of_another_shape_is_refused(options, words, rng):
    X, y = make_rows(rng, 40)
    with pytest.raises(ValueError) as refused:  # noqa: PT011 - the words are looked at below
        HMERegressor(LEFT, **options).fit(X, y)
    for word in words:
        assert word in str(refused.value)


def test_a_flat_model_has_one_gate(rng):
    X, y = make_rows(rng, 100)
    listed = MoERegressor(2, gate=["constant"], **QUICK).fit(X, y)
    plain = MoERegressor(2, gate="constant", **QUICK).fit(X, y)
    np.testing.assert_array_equal(listed.predict(X), plain.predict(X))


def test_trees_are_not_chosen_with_gates_of_one_shape(rng):
    X, y = make_rows(rng, 100)
    model = HMERegressor(LEFT, gate=["softmax", "constant"], **QUICK)
    with pytest.raises(ValueError, match="gate"):
        select_n_experts(model, X, y, [(2,), (2, 2)])
