"""The conditional distribution as users of estimators meet it."""

import warnings

import numpy as np
import pytest
from fitted import ESTIMATORS, data_for
from problems import simulate_regimes
from scipy import stats
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from mixexp import HMERegressor, MoEClassifier, MoERegressor
from mixexp.experts import FAMILIES, Head, NumericalExpert

pytestmark = pytest.mark.filterwarnings(
    "ignore::mixexp.exceptions.DegenerateExpertWarning",
    "ignore::mixexp.exceptions.SeparationWarning",
)

REGRESSORS = {name: m for name, m in ESTIMATORS.items() if not hasattr(m, "predict_proba")}
CLASSIFIERS = {name: m for name, m in ESTIMATORS.items() if hasattr(m, "predict_proba")}
every_regressor = pytest.mark.parametrize("model", REGRESSORS.values(), ids=REGRESSORS)
every_classifier = pytest.mark.parametrize("model", CLASSIFIERS.values(), ids=CLASSIFIERS)
FITTED_FAMILIES = sorted(
    name
    for name, family in FAMILIES.items()
    # Point masses and noise have nothing to fit, and stand beside others alone.
    if family.target == "regression" and name not in ("point_mass", "uniform")
)


def statements(model, X):
    """Return everything that a fitted regressor says of y at rows, by name."""
    dist = model.predict_dist(X)
    return {
        "quantile": model.predict_quantile(X, [0.05, 0.5, 0.99]),
        "interval": model.predict_interval(X, 0.8),
        "variance": np.column_stack(model.predict_variance(X)),
        "std": model.predict(X, return_std=True)[1],
        "cdf": dist.cdf(0.3),
        "crps": dist.crps(0.3),
        "mode": dist.mode(),
        "hdr": dist.interval(0.8, kind="hdr")[:, 0],
        "tail": dist.tail_expectation(0.9),
        "entropy": dist.gate_entropy(),
    }


@every_regressor
def test_distribution_agrees_with_what_the_estimator_says(model, rng):
    data = data_for(model, rng)
    fitted = clone(model).fit(data.X, data.y)
    dist = fitted.predict_dist(data.X)
    mean, std = fitted.predict(data.X, return_std=True)
    np.testing.assert_array_equal(mean, fitted.predict(data.X))
    np.testing.assert_allclose(dist.mean(), mean, rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(dist.std(), std)
    np.testing.assert_allclose(
        dist.logpdf(data.y), fitted.log_density(data.X, data.y), rtol=1e-12, atol=1e-12
    )
    gate = fitted.gate_proba(data.X)
    np.testing.assert_allclose(dist.gate_entropy(), stats.entropy(gate.T), atol=1e-12)
    np.testing.assert_array_equal(dist.ppf(0.9), fitted.predict_quantile(data.X, 0.9))
    np.testing.assert_array_equal(dist.interval(0.5), fitted.predict_quantile(data.X, [0.25, 0.75]))
    np.testing.assert_allclose(dist.cdf(dist.ppf(0.9)), 0.9, atol=1e-10)


@every_regressor
def test_one_row_says_the_same_as_among_many(model, rng):
    data = data_for(model, rng)
    fitted = clone(model).fit(data.X, data.y)
    X = np.tile(data.X[:50], (100, 1))
    many = statements(clone(fitted).set_params(n_jobs=2).fit(data.X, data.y), X)
    for row in (0, 17, 49):
        for name, value in statements(fitted, X[row : row + 1]).items():
            for at in (row, row + 50, len(X) - 50 + row):
                np.testing.assert_array_equal(value[0], many[name][at], err_msg=name)


@pytest.mark.parametrize("tree", [(2,), [[1, 1], 1]], ids=["flat", "tree"])
@pytest.mark.parametrize("name", FITTED_FAMILIES)
def test_every_family_is_fitted_and_asked(name, tree, rng):
    n, family = 120, FAMILIES[name]()
    X = rng.uniform(-1.0, 1.0, (n, 1))
    heads = tuple(
        0.3 * np.sign(X[:, 0])[None] if head.kind == "location" else np.full((1, 1), -1.0)
        for head in family.heads
    )
    y = family.sample_rows(heads, rng, n)[0]
    model = HMERegressor(tree, expert=name, n_init=1, random_state=0, max_iter=50)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(X, y)
    some = X[:5]
    quantiles = model.predict_quantile(some, [0.0, 1e-9, 0.5, 1.0 - 1e-9, 1.0])
    assert np.all(np.diff(quantiles, axis=1) >= 0.0)
    assert np.all(np.isfinite(quantiles[:, 1:-1]))
    total, within, between = model.predict_variance(some)
    assert np.all((within >= 0.0) & (between >= 0.0))
    np.testing.assert_allclose(total, within + between)
    draws, expert = model.sample(some, 3, random_state=0)
    assert draws.shape == expert.shape == (5, 3)
    assert np.all(np.isfinite(model.log_density(np.repeat(some, 3, axis=0), draws.ravel())))
    assert np.all(model.predict_dist(some).crps(y[:5]) >= 0.0)


def test_offset_exposure_and_trials_reach_the_distribution(rng):
    X, exposure = rng.uniform(-1.0, 1.0, (200, 1)), rng.uniform(0.5, 2.0, 200)
    counts = rng.poisson(exposure * np.exp(1.0 + X[:, 0])).astype(float)
    model = MoERegressor(2, expert="poisson", n_init=1, random_state=0)
    model.fit(X, counts, exposure=exposure)
    dist = model.predict_dist(X, exposure=exposure)
    np.testing.assert_allclose(dist.mean(), model.predict(X, exposure=exposure), rtol=1e-12)
    same = model.predict_dist(X, offset=np.log(exposure))
    np.testing.assert_array_equal(same.ppf(0.9), dist.ppf(0.9))
    trials = rng.integers(1, 20, 200).astype(float)
    wins = rng.binomial(trials.astype(int), 0.4).astype(float)
    model = MoERegressor(2, expert="binomial", n_init=1, random_state=0)
    model.fit(X, wins, trials=trials)
    assert np.all(model.predict_quantile(X, 1.0, trials=trials) == trials)
    np.testing.assert_allclose(
        model.predict_dist(X, trials=trials).logpdf(wins),
        model.log_density(X, wins, trials=trials),
        rtol=1e-10,
    )
    y, _ = model.sample(X, 5, random_state=0, trials=trials)
    assert np.all((y >= 0.0) & (y <= trials[:, None]))


def test_a_family_without_a_cdf_says_what_to_write(rng):
    class Triangle(NumericalExpert):
        name = "triangle"

        @property
        def heads(self):
            return (Head("location", "location"),)

        def log_kernel(self, y, heads):
            return -np.abs(y - heads[0])

        def mean(self, heads):
            return heads[0]

    data = simulate_regimes(rng, 60)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = MoERegressor(1, expert=Triangle(), n_init=1, max_iter=5).fit(data.X, data.y)
    dist = model.predict_dist(data.X)
    assert np.all(np.isfinite(dist.logpdf(data.y)))
    for ask, method in (
        (dist.var, "variance"),
        (lambda: dist.ppf(0.5), "cdf"),
        (dist.rvs, "sample"),
    ):
        with pytest.raises(NotImplementedError, match=f"triangle.*'{method}'"):
            ask()


# Classes.


@every_classifier
def test_class_distribution_agrees_with_the_probabilities(model, rng, seed):
    data = data_for(model, rng)
    fitted = clone(model).fit(data.X, data.y)
    dist = fitted.predict_dist(data.X)
    proba = fitted.predict_proba(data.X)
    np.testing.assert_allclose(dist.proba(), proba, rtol=1e-12)
    np.testing.assert_array_equal(dist.mode(), fitted.predict(data.X))
    np.testing.assert_allclose(dist.entropy(), stats.entropy(proba.T), atol=1e-12)
    assert np.all(dist.expected_entropy() <= dist.entropy() + 1e-12)
    gate = fitted.gate_proba(data.X)
    np.testing.assert_allclose(dist.gate_entropy(), stats.entropy(gate.T), atol=1e-12)
    n = 400
    y, expert = fitted.sample(data.X, n, random_state=seed)
    np.testing.assert_array_equal(y, dist.rvs(n, seed))
    for drawn, expected in ((y, proba), (expert, gate)):
        found = np.stack([(drawn == c).sum() for c in range(expected.shape[1])])
        # Sums over rows of independent draws; one false alarm in 1e7.
        noise = np.sqrt(n * (expected * (1.0 - expected)).sum(axis=0))
        assert np.all(np.abs(found - n * expected.sum(axis=0)) <= 5.4 * noise + 1e-9)
    assert not hasattr(fitted, "predict_quantile")


# Refusals.

BAD_CALLS = {
    "q_above": (lambda m, X: m.predict_quantile(X, 1.5), r"q must lie in \[0, 1\]; found 1.5"),
    "q_percent": (lambda m, X: m.predict_quantile(X, [0.5, 90]), r"q must .* found 90"),
    "q_nan": (lambda m, X: m.predict_quantile(X, np.nan), "q must be finite, but contains NaN"),
    "q_string": (lambda m, X: m.predict_quantile(X, "0.5"), "q holds strings"),
    "coverage_one": (lambda m, X: m.predict_interval(X, 1.0), "coverage .* got 1.0"),
    "coverage_zero": (lambda m, X: m.predict_interval(X, 0), "coverage .* got 0"),
    "coverage_list": (lambda m, X: m.predict_interval(X, [0.5]), "coverage .* got"),
    "kind": (lambda m, X: m.predict_interval(X, kind="hpd"), "kind .* 'hpd'"),
    "n_samples": (lambda m, X: m.sample(X, 0), "n_samples .* got 0"),
    "n_samples_float": (lambda m, X: m.sample(X, 2.0), "n_samples .* got 2.0"),
    "random_state": (lambda m, X: m.sample(X, 1, "a"), "random_state .* 'a'"),
    "y_nan": (lambda m, X: m.predict_dist(X).cdf(np.nan), "y must be finite, but contains NaN"),
    "y_shape": (lambda m, X: m.predict_dist(X).cdf(np.ones(3)), r"y has shape \(3,\).*40 rows"),
    "limit": (
        lambda m, X: m.predict_dist(X).limited_expected_value(np.inf),
        "limit must be finite",
    ),
    "X_columns": (lambda m, X: m.predict_quantile(X[:, :1], 0.5), "features"),
    "trials": (lambda m, X: m.predict_dist(X, trials=np.ones(3)), "trials"),
}


@pytest.mark.parametrize(("call", "text"), BAD_CALLS.values(), ids=BAD_CALLS)
def test_bad_questions_are_refused_by_name(call, text, rng):
    data = simulate_regimes(rng, 40)
    model = MoERegressor(2, n_init=1, random_state=0).fit(data.X, data.y)
    with pytest.raises(ValueError, match=text):
        call(model, data.X)


@pytest.mark.parametrize("ask", ["predict_dist", "predict_interval", "predict_variance", "sample"])
def test_unfitted_models_are_refused(ask):
    with pytest.raises(NotFittedError):
        getattr(MoERegressor(), ask)(np.zeros((2, 2)))


def test_unfitted_classifiers_are_refused():
    with pytest.raises(NotFittedError):
        MoEClassifier().predict_dist(np.zeros((2, 2)))


# Simulated truth.


@pytest.mark.slow
def test_intervals_cover_what_they_say(rng):
    """90 % intervals of a well specified model; three standard errors of 40 000 rows are 0.45 %."""
    data = simulate_regimes(rng, 48000)
    model = MoERegressor(3, n_init=5, random_state=0).fit(data.X[:8000], data.y[:8000])
    y = data.y[8000:]
    for kind in ("central", "hdr"):
        found = model.predict_interval(data.X[8000:], 0.9, kind=kind).reshape(len(y), -1, 2)
        inside = np.any((y[:, None] >= found[..., 0]) & (y[:, None] <= found[..., 1]), axis=1)
        assert abs(inside.mean() - 0.9) <= 0.015
