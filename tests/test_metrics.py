"""Scores, diagnostics and scorers of distributions, and conformal intervals."""

import warnings

import numpy as np
import pytest
from problems import simulate_regimes
from scipy import stats
from sklearn.exceptions import NotFittedError
from sklearn.metrics import mean_pinball_loss, r2_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mixexp import ConformalRegressor, MoEClassifier, MoERegressor
from mixexp.metrics import (
    CRPSScorer,
    PinballScorer,
    crps_score,
    interval_coverage,
    interval_width,
    log_density_scorer,
    log_score,
    negative_bic_scorer,
    negative_crps_scorer,
    pinball_loss,
    pit_values,
)

SMALL = MoERegressor(2, n_init=1, random_state=0)


@pytest.fixture
def fitted(rng):
    data = simulate_regimes(rng, 300, n_regimes=2)
    return SMALL.fit(data.X, data.y), data.X, data.y


def test_scores_are_weighted_means_of_what_the_distribution_says(fitted, rng):
    model, X, y = fitted
    dist, weight = model.predict_dist(X), rng.uniform(size=len(y))
    np.testing.assert_allclose(log_score(y, dist), -log_density_scorer(model, X, y), rtol=1e-12)
    assert crps_score(y, dist) == -negative_crps_scorer(model, X, y)
    for score, rows in ((log_score, -dist.logpdf(y)), (crps_score, dist.crps(y))):
        assert score(y, dist, sample_weight=weight) == np.average(rows, weights=weight)
    q = [0.1, 0.5, 0.9]
    found = model.predict_quantile(X, q)
    expected = [
        mean_pinball_loss(y, found[:, j], alpha=level, sample_weight=weight)
        for j, level in enumerate(q)
    ]
    assert pinball_loss(y, found, q, sample_weight=weight) == pytest.approx(np.mean(expected))
    assert PinballScorer(q)(model, X, y, weight) == pytest.approx(-np.mean(expected))


def test_crps_is_twice_the_mean_pinball_loss_over_levels(fitted):
    # Gneiting & Raftery (2007), section 4.2; a midpoint rule of 400 levels is good to 1e-3.
    model, X, y = fitted
    q = (np.arange(400) + 0.5) / 400
    loss = pinball_loss(y, model.predict_quantile(X, q), q)
    assert crps_score(y, model.predict_dist(X)) == pytest.approx(2.0 * loss, rel=1e-3)


def test_coverage_and_width_of_intervals_and_of_several():
    y = np.array([0.0, 2.5, 5.0])
    ends = np.array([[0.0, 1.0], [1.0, 2.0], [4.0, 6.0]])
    assert interval_coverage(y, ends) == pytest.approx(2 / 3)
    assert interval_width(ends) == pytest.approx(4 / 3)
    assert interval_coverage(y, ends, sample_weight=[0.0, 1.0, 0.0]) == 0.0
    several = np.stack([ends, np.array([[np.nan, np.nan], [2.4, 2.6], [np.nan, np.nan]])], axis=1)
    assert interval_coverage(y, several) == 1.0
    assert interval_width(several) == pytest.approx((1.0 + 1.2 + 2.0) / 3)


def test_pit_values_are_uniform_where_the_model_is_true(rng, seed):
    X = rng.uniform(-1.0, 1.0, (2000, 1))
    counts = rng.poisson(np.exp(0.5 + X[:, 0])).astype(float)
    model = MoERegressor(1, expert="poisson", alpha=0.0).fit(X, counts)
    found = pit_values(counts, model.predict_dist(X), random_state=seed)
    # Two parameters fitted to 2 000 rows move it by less than this test sees; 1e-5 false alarms.
    assert stats.kstest(found, "uniform").pvalue > 1e-5
    with_ties = model.predict_dist(X).cdf(counts)
    assert stats.kstest(with_ties, "uniform").pvalue < 1e-10


def test_scorers_choose_models_also_at_the_end_of_a_pipeline(rng):
    data = simulate_regimes(rng, 300, n_regimes=2)
    for scorer in (CRPSScorer(), PinballScorer([0.05, 0.95])):
        search = GridSearchCV(SMALL, {"n_experts": [1, 2]}, cv=3, scoring=scorer)
        assert search.fit(data.X, data.y).best_params_ == {"n_experts": 2}
    pipeline = make_pipeline(StandardScaler(), SMALL)
    np.testing.assert_allclose(
        cross_val_score(pipeline, data.X, data.y, cv=3, scoring=negative_crps_scorer),
        cross_val_score(SMALL, data.X, data.y, cv=3, scoring=negative_crps_scorer),
        rtol=1e-5,
    )


def test_several_scorers_take_the_weights_of_a_search(rng):
    data = simulate_regimes(rng, 120, n_regimes=2)
    weight = rng.integers(1, 3, 120).astype(float)
    scorers = {
        "log_density": log_density_scorer,
        "crps": negative_crps_scorer,
        "pinball": PinballScorer(0.3),
        "bic": negative_bic_scorer,
    }
    model = SMALL.set_params(n_experts=1)
    search = GridSearchCV(model, {"alpha": [1.0, 100.0]}, cv=3, scoring=scorers, refit="crps")
    search.fit(data.X, data.y, sample_weight=weight)
    for name, scorer in scorers.items():
        alone = GridSearchCV(model, {"alpha": [1.0, 100.0]}, cv=3, scoring=scorer)
        alone.fit(data.X, data.y, sample_weight=weight)
        np.testing.assert_array_equal(
            search.cv_results_[f"mean_test_{name}"], alone.cv_results_["mean_test_score"]
        )


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: pinball_loss([1.0], [1.0], 1.5), "q must lie in"),
        (lambda: pinball_loss([1.0], [[1.0, 2.0]], [0.5]), "2 columns, but q has 1"),
        (lambda: interval_coverage([1.0], [1.0, 2.0, 3.0]), r"intervals has shape \(3,\)"),
        (lambda: interval_coverage([1.0, 2.0], [[1.0, 2.0]]), "1 rows, but y_true has 2"),
        (lambda: log_score([[1.0]], None), r"y_true has shape \(1, 1\)"),
    ],
)
def test_bad_arguments_are_refused_by_name(call, text):
    with pytest.raises(ValueError, match=text):
        call()


# Conformal intervals.

METHODS = ("central", "hdr")


@pytest.mark.parametrize("method", METHODS)
def test_conformal_regions_hold_the_share_of_held_out_rows_that_they_should(method, rng):
    data = simulate_regimes(rng, 400, n_regimes=2)
    model = ConformalRegressor(SMALL, method=method, random_state=0).fit(data.X, data.y)
    assert len(model.scores_) == 100
    order = np.random.RandomState(0).permutation(400)
    held_out = np.sort(order[:100])
    for coverage in (0.5, 0.9, 0.99):
        found = model.predict_interval(data.X[held_out], coverage)
        rank = int(np.ceil(101 * coverage - 1e-9))
        # Scores and regions agree row by row: exactly the rows up to the threshold are inside.
        assert interval_coverage(data.y[held_out], found) * 100 == pytest.approx(rank)
    np.testing.assert_array_equal(model.predict(data.X), model.estimator_.predict(data.X))


FAMILIES_OF_CALIBRATION = ["gamma", "poisson", "negative_binomial", ["point_mass", "gamma"]]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("expert", FAMILIES_OF_CALIBRATION, ids=str)
def test_conformal_regions_hold_their_rows_for_counts_and_zeros(expert, method, rng):
    X = rng.integers(0, 3, (300, 1)).astype(float)
    y = rng.poisson(np.exp(0.3 * X[:, 0])).astype(float)
    if expert == "gamma":
        y = rng.gamma(2.0, np.exp(X[:, 0]))
    if isinstance(expert, list):
        y = np.where(rng.random(300) < 0.3, 0.0, rng.gamma(2.0, 1.0, 300))
    model = MoERegressor(2, expert=expert, n_init=1, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        conformal = ConformalRegressor(model, method=method, random_state=0).fit(X, y)
    held_out = np.sort(np.random.RandomState(0).permutation(300)[:75])
    for coverage in (0.5, 0.9):
        found = conformal.predict_interval(X[held_out], coverage)
        rank = np.ceil(76 * coverage - 1e-9)
        assert interval_coverage(y[held_out], found) * 75 >= rank - 1e-9


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"method": "naive"}, ValueError, "'method' parameter .* 'naive'"),
        ({"calibration_size": 1.0}, ValueError, "'calibration_size' parameter .* 1.0"),
        ({"random_state": "a"}, ValueError, "'random_state' parameter"),
        ({"estimator": StandardScaler()}, TypeError, "predict_dist.*StandardScaler"),
        ({"estimator": MoEClassifier()}, TypeError, "'estimator'.*MoEClassifier"),
    ],
)
def test_bad_conformal_parameters_are_refused(options, error, text, rng):
    data = simulate_regimes(rng, 40)
    with pytest.raises(error, match=text):
        ConformalRegressor(**({"estimator": SMALL} | options)).fit(data.X, data.y)


def test_bad_conformal_questions_are_refused(rng):
    data = simulate_regimes(rng, 80)
    with pytest.raises(NotFittedError):
        ConformalRegressor(SMALL).predict_interval(data.X)
    model = ConformalRegressor(SMALL, random_state=0).fit(data.X, data.y)
    with pytest.raises(ValueError, match=r"coverage=0.99 needs at least 99 rows .* there are 20"):
        model.predict_interval(data.X, 0.99)
    with pytest.raises(ValueError, match="coverage must be a number between"):
        model.predict_interval(data.X, 2.0)


def test_the_score_of_a_conformal_regressor_is_that_of_predictions_for_the_same_exposure(rng):
    X, exposure = rng.normal(size=(200, 1)), rng.uniform(0.1, 10.0, 200)
    y = rng.poisson(exposure * np.exp(X[:, 0]))
    model = ConformalRegressor(MoERegressor(1, expert="poisson"), random_state=0)
    model.fit(X, y, exposure=exposure)
    weight = rng.uniform(size=200)
    expected = r2_score(y, model.predict(X, exposure=exposure), sample_weight=weight)
    assert model.score(X, y, weight, exposure=exposure) == pytest.approx(expected, rel=1e-12)
    assert expected > model.score(X, y, weight) + 0.1


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_conformal_intervals_cover_where_the_model_is_wrong(method, rng):
    """One Gaussian where noise is skewed and grows: its own 90 % intervals are off.

    Coverage given the held-out rows varies by sqrt(0.9 * 0.1 / 1500) = 0.8 %, its mean over 20
    fits by 0.2 %.
    """
    covered, plain = [], []
    for _ in range(20):
        X = rng.uniform(0.0, 1.0, (5000, 1))
        y = np.sin(6.0 * X[:, 0]) + (0.1 + X[:, 0]) * rng.standard_exponential(5000)
        model = ConformalRegressor(MoERegressor(1), method=method, calibration_size=0.5)
        model.set_params(random_state=0).fit(X[:3000], y[:3000])
        covered.append(interval_coverage(y[3000:], model.predict_interval(X[3000:], 0.9)))
        own = model.estimator_.predict_interval(X[3000:], 0.9)
        plain.append(interval_coverage(y[3000:], own))
    assert np.mean(covered) >= 0.9 - 3 * 0.002
    assert abs(np.mean(plain) - 0.9) > 0.01
