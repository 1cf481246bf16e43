"""Averages of resampled fits: densities, out-of-bag scores, groups, and what scikit-learn asks."""

import pickle
import warnings

import numpy as np
import pytest
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.model_selection import cross_val_score

from mixexp import HMERegressor, MoEClassifier, MoERegressor
from mixexp.data import Batches
from mixexp.ensemble import BaggedMixture
from mixexp.ensemble._bags import Bag, count_warnings
from mixexp.ensemble._units import Units
from mixexp.estimators._warnings import FitWarning
from mixexp.exceptions import ConvergenceWarning, DegenerateExpertWarning
from mixexp.metrics import log_density_scorer
from mixexp.selection import Auto


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
    drawn = Units.of_rows(codes, weight, None).draw(5)
    others = codes != 2
    alone = Units.of_rows(np.repeat([0, 1, 2], 3), np.ones(9), None).draw(5)
    np.testing.assert_array_equal(drawn[others], alone)
    assert not drawn[~others].any()


# Classes.


def rows_of_rare_classes():
    """120 rows of two features and classes 0 to 2, the last of two rows and 9 of one."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 2))
    y = np.digitize(X[:, 0] + 0.3 * rng.normal(size=120), [-0.4, 0.4])
    y[y == 2] = 1
    y[[5, 77]], y[9] = 2, 9
    return X, y


@pytest.mark.parametrize("expert", ["multinomial", "ordinal"])
@pytest.mark.parametrize("n_experts", [2, Auto(max_experts=2)])
def test_every_member_knows_rare_classes(expert, n_experts):
    X, y = rows_of_rare_classes()
    member = MoEClassifier(n_experts, expert=expert, n_init=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DegenerateExpertWarning)
        model = BaggedMixture(member, 6, random_state=0).fit(X, y)
    for own in model.estimators_:
        np.testing.assert_array_equal(own.classes_, [0, 1, 2, 9])
    assert np.isfinite(model.log_density(X, y)).all()
    # A class of one row is in every resample, others are out of bag as all rows are.
    assert np.isnan(model.oob_log_density_[9])
    assert np.isfinite(np.delete(model.oob_log_density_, 9)).sum() > 100
    assert np.isfinite(model.oob_score_)


@pytest.mark.parametrize("seed", range(5))
def test_classes_are_as_frequent_in_resamples_as_in_the_rows(seed):
    labels = np.repeat(["a", "b", "c", "d"], [50, 7, 2, 1])
    times = Units.of_rows(np.arange(60), np.ones(60), labels).draw(seed)
    for label in "abcd":
        assert times[labels == label].sum() == np.sum(labels == label)
    assert times.max() > 1.0


@pytest.mark.parametrize("seed", range(20))
def test_groups_are_drawn_so_that_every_class_is_there(seed):
    rng = np.random.default_rng(seed)
    codes = np.repeat(np.arange(30), 4)
    # "c" is in groups 0 to 4, of which each has a class of its own that is rarer.
    labels = np.where(rng.random(120) < 0.5, "a", "b").astype(object)
    labels[:20:4] = "c"
    labels[1:21:4] = ["d", "d", "e", "e", "f"]
    labels[40], labels[44], labels[48] = "d", "e", "f"
    weight = np.ones(120)
    weight[4:8] = 0.0
    times = Units.of_rows(codes, weight, labels).draw(seed)
    assert (times.reshape(30, 4) == times.reshape(30, 4)[:, :1]).all()
    assert not times[4:8].any()
    assert set(labels[times > 0.0]) == set("abcdef")


@pytest.mark.parametrize("seed", range(20))
def test_folds_leave_every_class_to_their_fits(seed):
    rng = np.random.default_rng(seed)
    codes = np.repeat(np.arange(30), 2)
    labels = rng.choice(["a", "b", "c", "d"], p=[0.6, 0.34, 0.03, 0.03], size=60)
    weight = np.where(codes == 3, 0.0, 1.0)
    units = Units.of_rows(codes, weight, labels)
    fold = units.hold_out(5, seed)
    assert set(fold[weight > 0.0]) - {-1} == set(range(5))
    assert (fold.reshape(30, 2) == fold.reshape(30, 2)[:, :1]).all()
    known = set(labels[weight > 0.0])
    for number in range(5):
        assert set(labels[(weight > 0.0) & (fold != number)]) == known
    # No more than one group of each rare class is left out of the test.
    assert len(np.unique(codes[fold == -1])) <= 2
    assert (
        Units.of_rows(codes, (codes == 1) * 1.0, None).hold_out(5, seed)[codes == 1] == -1
    ).all()


@pytest.mark.parametrize("n_experts", [2, Auto(max_experts=2)])
def test_a_class_of_rows_of_weight_zero_is_as_if_absent(n_experts):
    X, y = rows_of_rare_classes()
    weight = np.where(y == 9, 0.0, 1.0)
    model = BaggedMixture(MoEClassifier(n_experts, n_init=1), 3, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DegenerateExpertWarning)
        model.fit(X, y, weight)
        assert model.classes_.tolist() == [0, 1, 2]
        kept = model.predict_proba(X)
        assert np.isnan(model.oob_log_density_[9])
        model.fit(X, np.where(y == 9, 0, y), weight)
    np.testing.assert_array_equal(model.predict_proba(X), kept)


# What users are told.


def test_members_warn_once_and_with_their_number():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 2))
    y = X[:, 0] + 0.1 * rng.normal(size=80)
    alone = []
    for n_jobs in (1, 2):
        model = BaggedMixture(MoERegressor(3, max_iter=1), 4, random_state=0, n_jobs=n_jobs)
        with pytest.warns(ConvergenceWarning) as caught:
            model.fit(X, y)
        told = [str(own.message) for own in caught if own.category is ConvergenceWarning]
        assert len(told) == 1
        expected = "BaggedMixture: 4 of 4 members: MoERegressor did not converge: stopped after"
        assert told[0].startswith(expected)
        assert caught[0].filename == __file__
        alone.append(told)
    assert alone[0] == alone[1]


def test_a_warning_that_differs_between_members_is_told_as_the_first():
    found = [
        [
            FitWarning("experts [0]", DegenerateExpertWarning),
            FitWarning("max_iter", ConvergenceWarning),
            FitWarning("experts [2] are not used", DegenerateExpertWarning),
        ],
        [],
        [FitWarning("experts [1]", DegenerateExpertWarning)],
    ]
    others = [[FitWarning("of no weight", ConvergenceWarning)]]
    bags = [Bag({}, [None] * len(own), np.zeros(1), own, False) for own in (found, others)]
    told = count_warnings(bags, np.array([1.0, 0.0]))
    first = "BaggedMixture: 2 of 3 members, the first of which: experts [0]"
    assert told == [
        FitWarning(first, DegenerateExpertWarning),
        FitWarning("BaggedMixture: 1 of 3 members: max_iter", ConvergenceWarning),
        FitWarning(
            "BaggedMixture: 1 of 3 members: experts [2] are not used", DegenerateExpertWarning
        ),
    ]


class Parts(list):
    """Batches that can be visited again."""


def test_sources_are_refused(data):
    with pytest.raises(ValueError, match="draws rows, which must be in memory"):
        BaggedMixture(MoERegressor(2), 2).fit(Batches(Parts([data])), None)


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
