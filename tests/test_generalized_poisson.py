"""Generalized Poisson experts: sums of probabilities, and fits against direct maxima."""

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.optimize import minimize
from scipy.special import gammaln
from statsmodels.tools.numdiff import approx_hess3

from mixexp import MoERegressor
from mixexp.experts import GeneralizedPoisson, Poisson, check_derivatives

ML = {"alpha": 0.0, "gate_alpha": 0.0, "dispersion_prior": 0.0, "tol": 1e-14, "max_iter": 2000}


def log_pmf(y, mean, dispersion):
    theta, share = mean / (1.0 + dispersion), dispersion / (1.0 + dispersion)
    rate = theta + share * y
    return np.log(theta) + (y - 1.0) * np.log(rate) - rate - gammaln(y + 1.0)


def heads_of(mean, dispersion):
    return np.log([[mean]]), np.log([[dispersion]])


@pytest.fixture(scope="module")
def counts():
    rng = np.random.default_rng(5)
    X = rng.standard_normal((400, 1))
    eta = (1.2 + 0.5 * X[:, 0])[None]
    y = GeneralizedPoisson().sample((eta, np.full_like(eta, np.log(0.6))), rng)[0]
    return X, y


@pytest.fixture(scope="module")
def model(counts):
    return MoERegressor(1, expert="generalized_poisson", **ML).fit(*counts)


def test_probabilities_known_by_hand():
    # theta = lambda = 1/2: exp(-1/2), then 1/2 * exp(-1), then 1/2 * 3/2 * exp(-3/2) / 2.
    found = np.exp(GeneralizedPoisson().log_density(np.arange(3.0), heads_of(1.0, 1.0)))[0]
    known = [np.exp(-0.5), 0.5 * np.exp(-1.0), 0.375 * np.exp(-1.5)]
    np.testing.assert_allclose(found, known, rtol=1e-13)


@pytest.mark.parametrize(
    ("mean", "dispersion"), [(0.01, 0.1), (2.0, 0.5), (2.0, 20.0), (50.0, 1e-8), (3e3, 3.0)]
)
def test_tails_and_excess_are_sums_with_their_digits(mean, dispersion):
    family, heads, j = GeneralizedPoisson(), heads_of(mean, dispersion), np.arange(60_000.0)
    mass = np.exp(log_pmf(j, mean, dispersion))
    deviation = np.sqrt(mean) * (1.0 + dispersion)
    y = np.floor(np.r_[0.0, 1.0, mean + deviation * np.array([-3.0, -0.5, 0.0, 0.5, 3.0, 8.0])])
    y = np.unique(np.maximum(y, 0.0))
    at = y.astype(int)
    beyond = np.cumsum(mass[::-1])[::-1]
    # The reference itself loses 1e-9 of exp(-mean + y * log(mean)), its digits, at most.
    np.testing.assert_allclose(family.cdf(y, heads)[0], np.cumsum(mass)[at], rtol=1e-9)
    np.testing.assert_allclose(family.survival(y, heads)[0], beyond[at + 1], rtol=1e-8)
    excess = [((j - k) * mass)[j > k].sum() for k in y]
    np.testing.assert_allclose(family.expected_excess(y, heads)[0], excess, rtol=1e-8)
    np.testing.assert_allclose(
        family.expected_excess(y + 0.25, heads)[0],
        [((j - k - 0.25) * mass)[j > k].sum() for k in y],
        rtol=1e-8,
    )


def test_large_counts_cost_no_more_and_add_up():
    # At 1e10 a generalized Poisson count is next to normal: skewness is 1e-5.
    family, heads = GeneralizedPoisson(), heads_of(1e10, 0.5)
    y = np.floor(1e10 + 1.5e5 * np.array([-1.0, 0.0, 1.0]))
    known = [0.15865525, 0.5, 0.84134475]
    np.testing.assert_allclose(family.cdf(y, heads)[0], known, atol=1e-5)
    np.testing.assert_allclose(family.cdf(y, heads) + family.survival(y, heads), 1.0, atol=1e-12)
    neighbours = family.cdf(np.array([1e10 - 2.0, 1e10 - 1.0, 1e10, 1e10 + 1.0]), heads)[0]
    mass = np.exp(family.log_density(np.array([1e10 - 1.0, 1e10, 1e10 + 1.0]), heads))[0]
    np.testing.assert_allclose(np.diff(neighbours), mass, rtol=1e-2)


def test_at_its_least_dispersion_it_is_poisson():
    y, location = np.array([0.0, 1.0, 7.0, 30.0]), np.array([[-3.0], [0.0], [2.5]])
    floor = np.full((3, 1), GeneralizedPoisson().heads[1].lower)
    found = GeneralizedPoisson().log_density(y, (location, floor))
    expected = Poisson().log_density(y, (location,))
    np.testing.assert_allclose(found, expected, atol=1e-10 * 1e4)


def test_derivatives_equal_differences():
    heads = np.array([[-1.0, 0.0, 0.5, 2.0]]), np.array([[-2.0, 0.0, 1.0, 3.0]])
    assert check_derivatives(GeneralizedPoisson(), np.array([0.0, 1.0, 4.0, 70.0]), heads) < 1e-5


def test_one_expert_is_maximum_likelihood(counts, model):
    X, y = counts

    def loss(at):
        return -log_pmf(y, np.exp(at[0] + at[1] * X[:, 0]), np.exp(at[2])).sum()

    best = minimize(loss, [1.0, 0.0, -1.0], method="BFGS", options={"gtol": 1e-5})
    best = minimize(loss, best.x, method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-11})
    found = np.r_[model.intercept_[0], model.coef_[0, 0], np.log(model.dispersion_[0])]
    assert model.log_likelihood_ == pytest.approx(-best.fun, abs=1e-8)
    np.testing.assert_allclose(found, best.x, atol=2e-6)
    assert np.all(np.abs(found - [1.2, 0.5, np.log(0.6)]) < 0.4)
    # In the table dispersions stand as themselves, and have an error by the delta method.
    errors = model.coef_table(X, y)["std_error"].to_numpy()
    expected = np.sqrt(np.diag(np.linalg.inv(approx_hess3(found, loss))))
    expected[2] *= model.dispersion_[0]
    np.testing.assert_allclose(errors, expected, rtol=1e-4)


def test_one_expert_equals_statsmodels(counts, model):
    X, y = counts
    other = sm.GeneralizedPoisson(y, sm.add_constant(X), p=1)
    at = np.r_[model.intercept_[0], model.coef_[0], model.dispersion_[0]]
    assert other.loglike(at) == pytest.approx(model.log_likelihood_, rel=1e-12)
    np.testing.assert_allclose(other.score(at), 0.0, atol=1e-3)


def test_counts_without_extra_variance_are_reported_as_poisson():
    rng = np.random.default_rng(2)
    X = rng.standard_normal((300, 1))
    y = rng.binomial(10, 1.0 / (1.0 + np.exp(-X[:, 0]))).astype(float)
    model = MoERegressor(1, expert="generalized_poisson", **ML).fit(X, y)
    assert model.limits_ == ["poisson"]
    poisson = MoERegressor(1, expert="poisson", **ML).fit(X, y)
    np.testing.assert_allclose(model.coef_, poisson.coef_, rtol=1e-6)


def test_draws_have_the_moments_and_the_probabilities():
    rng, n = np.random.default_rng(1), 40_000
    heads = np.log([[0.5], [6.0]]), np.log([[1.5], [0.3]])
    draws = GeneralizedPoisson().sample_rows(heads, rng, n)
    mean, variance = GeneralizedPoisson().mean(heads), GeneralizedPoisson().variance(heads)
    np.testing.assert_allclose(draws.mean(axis=1, keepdims=True), mean, atol=0.05)
    np.testing.assert_allclose(draws.var(axis=1, keepdims=True), variance, rtol=0.1)
    share = (draws <= 3.0).mean(axis=1, keepdims=True)
    np.testing.assert_allclose(share, GeneralizedPoisson().cdf(np.array([3.0]), heads), atol=0.012)


@pytest.mark.parametrize("most", [1e6, 1e15])
def test_counts_of_all_sizes_are_fitted_better_than_by_a_constant(most):
    # Their mean is far above most of them, where expected information is far too small a curvature.
    rng = np.random.default_rng(7)
    X = rng.uniform(-1.0, 1.0, (400, 1))
    y = np.round(np.exp(4.0 * rng.standard_t(2, 400)).clip(0.0, most))
    model = MoERegressor(1, expert="generalized_poisson", **ML).fit(X, y)
    assert model.converged_
    heads = heads_of(y.mean(), np.sqrt(y.var() / y.mean()))
    assert model.log_likelihood_ > GeneralizedPoisson().log_density(y, heads).sum()
    assert np.all(np.diff(model.history_) >= -1e-9 * np.abs(model.history_[-1]))
