"""Survival: conditional distributions, scores of censored y, and the display of both."""

import numpy as np
import pytest
from scipy import stats

from mixexp import MoERegressor
from mixexp.displays import SurvivalDisplay
from mixexp.metrics import brier_score_censored, concordance_index_censored, kaplan_meier


@pytest.fixture(scope="module")
def lives():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((400, 2))
    is_late = X[:, 1] + rng.logistic(size=400) > 0.0
    y = np.exp(np.where(is_late, 1.2 + 0.4 * X[:, 0], -0.2)) * rng.weibull(2.0, 400)
    end = rng.exponential(4.0, 400)
    return X, np.minimum(y, end), (y > end).astype(int)


@pytest.fixture(scope="module")
def model(lives):
    X, y, censoring = lives
    return MoERegressor(2, expert="weibull", n_init=2, random_state=0).fit(
        X, y, censoring=censoring
    )


# Conditional on survival so far.


def test_distribution_above_a_threshold_is_the_part_that_is_left(model, lives):
    dist, above = model.predict_dist(lives[0][:20]), np.linspace(0.2, 3.0, 20)
    rest = dist.given_above(above)
    y = above[:, None] + np.array([[-0.1, 0.0, 0.5, 2.0]])
    np.testing.assert_allclose(rest.sf(y)[:, :2], 1.0)
    np.testing.assert_allclose(rest.sf(y)[:, 2:], dist.sf(y[:, 2:]) / dist.sf(above)[:, None])
    np.testing.assert_allclose(rest.cdf(y), 1.0 - rest.sf(y))
    np.testing.assert_allclose(rest.cdf(rest.ppf([0.1, 0.5, 0.99])), [[0.1, 0.5, 0.99]] * 20)
    np.testing.assert_allclose(rest.ppf(0.0), above)
    assert np.isinf(rest.ppf(1.0)).all()
    np.testing.assert_allclose(rest.mean(), above + dist.mean_excess(above))
    assert (rest.pdf(y)[:, :2] == 0.0).all()
    step = 1e-5
    slope = (rest.cdf(y[:, 2:] + step) - rest.cdf(y[:, 2:] - step)) / (2.0 * step)
    np.testing.assert_allclose(rest.pdf(y)[:, 2:], slope, rtol=1e-5)


def test_a_threshold_below_all_of_y_changes_nothing(model, lives, rng):
    dist = model.predict_dist(lives[0][:5])
    rest = dist.given_above(-1.0)
    np.testing.assert_allclose(rest.mean(), dist.mean(), rtol=1e-9)
    np.testing.assert_allclose(rest.ppf([0.0, 0.3, 0.9]), dist.ppf([0.0, 0.3, 0.9]), atol=1e-9)
    # Nor do weights of experts whose sum is rounded, of which some rows are sure to have such.
    everyone = model.predict_dist(
        np.repeat(lives[0], 5, axis=0) * rng.uniform(size=(5 * len(lives[0]), 1))
    )
    np.testing.assert_array_equal(everyone.given_above(-1.0).ppf(0.0), 0.0)


def test_level_zero_is_the_threshold_or_the_least_of_y(rng):
    X = rng.standard_normal((300, 1))
    counts = MoERegressor(2, expert="poisson", n_init=1, random_state=0)
    dist = counts.fit(X, rng.poisson(3.0 + X[:, 0] ** 2)).predict_dist(X)
    for threshold in (-1.0, 0.0, 2.0, 20.0):
        found = dist.given_above(threshold).ppf([0.0, 0.5])
        np.testing.assert_array_equal(found[:, 0], max(threshold, 0.0))
        assert (found[:, 1] > threshold).all()


def test_an_exponential_does_not_age(rng):
    X = np.zeros((500, 1)) + rng.standard_normal((500, 1))
    y = rng.exponential(size=500)
    dist = MoERegressor(1, expert="weibull").fit(X, y).predict_dist(X[:1])
    # Deep in the tail digits are left.
    far = dist.given_above(30.0)
    assert 30.0 < far.ppf(0.5)[0] < 34.0
    np.testing.assert_allclose(far.sf(far.ppf([0.5, 0.9])), [[0.5, 0.1]], rtol=1e-8)


def test_thresholds_that_nothing_is_above_are_refused(model, lives):
    dist = model.predict_dist(lives[0][:3])
    with pytest.raises(ValueError, match=r"threshold is 1e.09 at row 0"):
        dist.given_above(1e9)
    with pytest.raises(ValueError, match="one per row"):
        dist.given_above(np.ones((3, 2)))


# Scores.


def test_kaplan_meier_is_that_of_scipy(lives):
    _, y, censoring = lives
    y = np.round(y, 1)  # with ties
    data = stats.CensoredData(uncensored=y[censoring == 0], right=y[censoring == 1])
    expected = stats.ecdf(data).sf
    found = kaplan_meier(y, censoring)
    np.testing.assert_allclose(found.at(expected.quantiles), expected.probabilities, atol=1e-12)
    assert found.at(y.min() - 1.0) == 1.0
    weight = np.random.default_rng(1).integers(0, 3, len(y))
    repeated = kaplan_meier(np.repeat(y, weight), np.repeat(censoring, weight))
    weighted = kaplan_meier(y, censoring, sample_weight=weight)
    np.testing.assert_allclose(weighted.survival, repeated.survival)


def test_kaplan_meier_of_late_entries_is_that_of_survfit():
    entry = [0.0, 0.5, 1.0, 0.0, 2.0, 1.5, 0.2, 3.0]
    y, censoring = [2.5, 2.0, 3.5, 1.0, 4.0, 3.5, 5.0, 6.0], [0, 0, 1, 0, 0, 0, 0, 1]
    found = kaplan_meier(y, censoring, truncation=entry)
    # R's survival 3.5: survfit(Surv(entry, y, event) ~ 1)
    np.testing.assert_allclose(found.survival, [0.75, 0.6, 0.48, 0.384, 0.256, 0.128, 0.128])
    for limit, message in ((3.0, "found 2.5 at row 0"), ([[0.0, 9.0]] * 8, r"shape \(8, 2\)")):
        with pytest.raises(ValueError, match=message):
            kaplan_meier(y, censoring, truncation=limit)


def test_survival_of_weighted_late_entries_ends_at_zero_and_not_below():
    for seed in range(30):  # sums of such weights do not cancel to the last digit
        rng = np.random.default_rng(seed)
        y, weight = rng.exponential(size=9), rng.uniform(0.1, 1.0, 9)
        entry, wanted = y * rng.uniform(0.3, 0.99, 9), []
        found = kaplan_meier(y, truncation=entry, sample_weight=weight)
        for place in np.argsort(y):
            is_at_risk = (entry < y[place]) & (y >= y[place])
            share = 1.0 if is_at_risk.sum() == 1 else weight[place] / weight[is_at_risk].sum()
            wanted.append((wanted or [1.0])[-1] * (1.0 - share))
        np.testing.assert_allclose(found.survival, wanted, rtol=1e-10, atol=0.0)


def test_rows_above_a_deductible_stand_for_those_that_are_not_seen(closed_figures):
    rng = np.random.default_rng(4)
    x = rng.uniform(-1.0, 1.0, (3000, 1))
    loss = np.exp(0.5 + x[:, 0] + 0.5 * rng.standard_normal(3000))
    limit = rng.choice([0.8, 1.5], 3000)
    seen = loss > limit
    X, y, limit = x[seen], loss[seen], limit[seen]
    model = MoERegressor(1, expert="lognormal", random_state=0).fit(X, y, truncation=limit)
    display = SurvivalDisplay.from_estimator(model, X, y, truncation=limit)
    everyone = np.mean(loss[:, None] > display.grid, axis=0)
    assert np.abs(display.mixture - everyone).max() < 0.05
    assert display.begin[0] == 0.8
    past = display.grid > 0.8
    steps = np.interp(display.grid[past], *display.steps)
    assert np.abs(steps - everyone[past]).max() < 0.05
    assert np.abs(kaplan_meier(y).at(display.grid) - everyone).max() > 0.2  # as if all were seen
    np.testing.assert_allclose(display.steps_.get_data()[1][0], display.begin[1])


def test_brier_score_without_censoring_is_a_mean_square(lives, model):
    X, y, _ = lives
    times = np.array([0.5, 1.0, 2.0])
    survival = model.predict_dist(X).sf(times[None])
    expected = np.mean((survival - (y[:, None] > times)) ** 2, axis=0)
    np.testing.assert_allclose(brier_score_censored(y, survival, times), expected)
    half = np.full((len(y), 3), 0.5)
    np.testing.assert_allclose(brier_score_censored(y, half, times), 0.25)


def test_brier_score_weighs_by_the_chance_of_not_being_censored():
    # By hand: censored at 2, so that half of those who are left at 3 and 4 were not.
    y, censoring = np.array([1.0, 2.0, 3.0, 4.0]), np.array([0, 1, 0, 0])
    survival = np.array([[0.1], [0.4], [0.6], [0.8]])
    found = brier_score_censored(y, survival, [3.0], censoring=censoring)
    chance = 2.0 / 3.0
    expected = (0.1**2 / 1.0 + 0.6**2 / chance + 0.2**2 / chance) / 4.0
    np.testing.assert_allclose(found, expected)
    other = brier_score_censored(
        y, survival, [3.0], censoring=censoring, y_train=y, censoring_train=censoring
    )
    np.testing.assert_array_equal(found, other)


def test_the_better_model_has_the_better_scores(lives, model):
    X, y, censoring = lives
    times = np.array([0.5, 1.0, 2.0])
    flat = np.tile(kaplan_meier(y, censoring).at(times), (len(y), 1))
    own = brier_score_censored(y, model.predict_dist(X).sf(times[None]), times, censoring=censoring)
    assert (own < brier_score_censored(y, flat, times, censoring=censoring)).all()
    assert concordance_index_censored(y, -model.predict(X), censoring=censoring) > 0.6


def test_concordance_counts_pairs():
    y, censoring = [1.0, 2.0, 2.0, 3.0], [0, 0, 1, 0]
    # Pairs: (1,2), (1,2+), (1,3), (2,2+), (2,3); two have the greater risk first, one is tied.
    assert concordance_index_censored(y, [2.0, 3.0, 1.0, 2.0], censoring=censoring) == (
        pytest.approx((1 + 0.5 + 1 + 1) / 5)
    )
    assert concordance_index_censored(y, [4, 3, 2, 1], censoring=censoring) == 1.0
    assert concordance_index_censored(y, np.zeros(4), censoring=censoring) == 0.5


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda y: kaplan_meier(y, np.full(3, 2)), "censoring must have shape"),
        (lambda y: brier_score_censored(y, np.ones((2, 1)), [1.0]), "survival has shape"),
        (lambda y: brier_score_censored(y, 2 * np.ones((3, 1)), [1.0]), "probabilities"),
        (lambda y: brier_score_censored(y, np.ones((3, 1)), [1.0], censoring_train=[0]), "y_train"),
        (lambda y: concordance_index_censored(y, [1.0]), "risk has 1 rows"),
        (lambda y: concordance_index_censored(y, y, censoring=np.ones(3)), "No pair of rows"),
    ],
)
def test_scores_name_what_is_wrong(call, message):
    with pytest.raises(ValueError, match=message):
        call(np.array([1.0, 2.0, 3.0]))


# The display.


@pytest.mark.usefixtures("closed_figures")
def test_display_draws_the_average_and_one_row(lives, model):
    X, y, censoring = lives
    display = SurvivalDisplay.from_estimator(model, X, y, censoring=censoring)
    dist, gate = model.predict_dist(X), model.gate_proba(X)
    at = display.grid[40]
    np.testing.assert_allclose(display.mixture[40], dist.sf(at).mean())
    own = np.average(dist.experts()[1].sf(at), weights=gate[:, 1])
    np.testing.assert_allclose(display.experts[1, 40], own)
    np.testing.assert_allclose(display.steps[1], kaplan_meier(y, censoring).survival)
    # A model that is true follows the estimate.
    assert np.abs(kaplan_meier(y, censoring).at(display.grid) - display.mixture).max() < 0.1
    one = SurvivalDisplay.from_estimator(model, X, y, censoring=censoring, row=3)
    np.testing.assert_allclose(one.mixture[40], dist.sf(one.grid[40])[3])
    assert one.steps_ is None
    with pytest.raises(ValueError, match="'row' parameter must be an int"):
        SurvivalDisplay.from_estimator(model, X, y, row=400)
