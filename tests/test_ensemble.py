"""Averages of resampled fits: densities, out-of-bag scores, groups, and what scikit-learn asks."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.model_selection import cross_val_score

from mixexp import HMERegressor, MoEClassifier, MoERegressor
from mixexp.ensemble import BaggedMixture
from mixexp.ensemble._bags import draw_units
from mixexp.metrics import log_density_scorer


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(240, 2))
    return X, np.where(X[:, 0] > 0.0, 1.0 + X[:, 1], -X[:, 1]) + 0.3 * rng.normal(size=240)


@pytest.fixture(scope="module")
def bagged(data):
    return BaggedMixture(MoERegressor(2), n_estimators=4, random_state=0).fit(*data)


def test_density_is_the_mean_of_the_members(bagged, data):
    X, y = data
    members = np.stack([member.log_density(X, y) for member in bagged.estimators_])
    expected = np.logaddexp.reduce(members, axis=0) - np.log(4)
    np.testing.assert_allclose(bagged.log_density(X, y), expected, rtol=1e-12)
    np.testing.assert_allclose(bagged.predict_dist(X).logpdf(y), expected, rtol=1e-10)


def test_predictions_are_those_of_the_average(bagged, data):
    X, _ = data
    dist = bagged.predict_dist(X)
    np.testing.assert_allclose(bagged.predict(X), dist.mean(), rtol=1e-12)
    median = bagged.predict_quantile(X, 0.5)
    np.testing.assert_allclose(dist.cdf(median), 0.5, atol=1e-8)
    low, high = bagged.predict_interval(X, 0.8).T
    np.testing.assert_allclose(dist.cdf(high) - dist.cdf(low), 0.8, atol=1e-8)


def test_rows_that_were_drawn_are_not_scored(bagged, data):
    X, y = data
    seed = np.random.RandomState(0).randint(np.iinfo(np.int32).max, size=(4, 2))[:, 0]
    drawn = [np.random.default_rng(s).integers(len(y), size=len(y)) for s in seed]
    row = int(np.argmax([sum(r not in d for d in drawn) == 2 for r in range(len(y))]))
    members = [m for m, d in zip(bagged.estimators_, drawn, strict=True) if row not in d]
    by_member = [member.log_density(X[[row]], y[[row]])[0] for member in members]
    expected = np.logaddexp.reduce(by_member) - np.log(2)
    np.testing.assert_allclose(bagged.oob_log_density_[row], expected, rtol=1e-12)


def test_an_average_holds_out_better_than_its_members_on_average(bagged, rng):
    X = rng.normal(size=(500, 2))
    y = np.where(X[:, 0] > 0.0, 1.0 + X[:, 1], -X[:, 1]) + 0.3 * rng.normal(size=500)
    members = [member.log_density(X, y).mean() for member in bagged.estimators_]
    # Jensen's inequality, with a gain where members differ.
    assert bagged.log_density(X, y).mean() > np.mean(members) + 1e-3


def test_results_do_not_depend_on_processes(data):
    X, y = data
    one, two = (
        BaggedMixture(MoERegressor(2, n_init=1), 2, random_state=3, n_jobs=jobs).fit(X, y)
        for jobs in (1, 2)
    )
    np.testing.assert_array_equal(one.predict(X), two.predict(X))


def test_groups_are_drawn_as_a_whole():
    rng = np.random.default_rng(1)
    groups = np.repeat(np.arange(40), 5)
    X = rng.normal(size=(200, 1))
    y = np.where(groups % 2, X[:, 0], -X[:, 0]) + 0.2 * rng.normal(size=200)
    member = MoERegressor(2, gate_features=[])
    model = BaggedMixture(member, 3, random_state=0).fit(X, y, groups=groups)
    density = model.log_density(X, y, groups=groups)
    by_group = [
        m.log_density(X, y, groups=groups).reshape(40, 5).sum(axis=1) for m in model.estimators_
    ]
    expected = np.logaddexp.reduce(by_group, axis=0) - np.log(3)
    np.testing.assert_allclose(density.reshape(40, 5).sum(axis=1), expected, rtol=1e-10)
    is_known = ~np.isnan(model.oob_log_density_.reshape(40, 5))
    assert (is_known.all(axis=1) | ~is_known.any(axis=1)).all()


def test_classes_are_averaged():
    rng = np.random.default_rng(2)
    X = rng.normal(size=(200, 2))
    y = np.where(np.abs(X[:, 0]) > 0.7, "far", "near")
    model = BaggedMixture(MoEClassifier(2, n_init=2), 3, random_state=0).fit(X, y)
    proba = np.mean([member.predict_proba(X) for member in model.estimators_], axis=0)
    np.testing.assert_allclose(model.predict_proba(X), proba)
    np.testing.assert_allclose(model.predict_dist(X).proba(), proba, rtol=1e-12)
    assert model.score(X, y) > 0.8
    assert is_classifier(model)
    assert not hasattr(model, "predict_interval")


def test_it_is_an_estimator(bagged, data):
    X, y = data
    assert is_regressor(bagged)
    assert not hasattr(bagged, "predict_proba")
    again = pickle.loads(pickle.dumps(bagged))
    np.testing.assert_array_equal(again.predict(X), bagged.predict(X))
    unfitted = clone(bagged).set_params(n_estimators=2, estimator__n_init=1)
    scores = cross_val_score(unfitted, X, y, scoring=log_density_scorer, cv=2)
    assert np.isfinite(scores).all()


def test_weight_zero_is_a_row_less(data):
    X, y = data
    weight = np.ones(240)
    weight[200:] = 0.0
    model = BaggedMixture(MoERegressor(2, n_init=1), 2, random_state=0)
    far = np.where(weight > 0.0, y, 1e6)
    kept = model.fit(X, y, weight).predict(X)
    np.testing.assert_array_equal(clone(model).fit(X, far, weight).predict(X), kept)


def test_rows_of_weight_zero_are_not_drawn(data):
    X, y = data
    model = BaggedMixture(MoERegressor(2, n_init=1), 3, random_state=0)
    kept = model.fit(X, y).predict(X)
    out_of_bag = model.oob_log_density_
    place = np.insert(np.arange(240), 100, [0] * 60)  # rows that are not there, among the others
    weight = np.insert(np.ones(240), 100, [0.0] * 60)
    model.fit(X[place], np.where(weight > 0.0, y[place], 1e6), weight)
    # Sums over rows are of other lengths, and round otherwise.
    np.testing.assert_allclose(model.predict(X), kept, rtol=1e-6)
    np.testing.assert_allclose(model.oob_log_density_[weight > 0.0], out_of_bag, rtol=1e-6)


def test_groups_of_weight_zero_are_not_drawn():
    codes = np.repeat([0, 1, 2, 3], 3)
    weight = np.resize([0.0, 1.0, 2.0], 12) * (codes != 2)
    drawn = draw_units(codes, weight, 5)
    others = codes != 2
    np.testing.assert_array_equal(drawn[others], draw_units(np.repeat([0, 1, 2], 3), np.ones(9), 5))
    assert not drawn[~others].any()


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"n_estimators": 0}, "n_estimators"),
        ({"estimator": "forest"}, "estimator"),
        ({"estimator": HMERegressor}, "estimator"),
    ],
)
def test_bad_options_are_named(data, options, match):
    with pytest.raises((TypeError, ValueError), match=match):
        BaggedMixture(**options).fit(*data)
