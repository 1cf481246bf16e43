"""Beta-binomial and skew-normal experts, and Tweedie's power: against SciPy and direct maxima."""

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import minimize, minimize_scalar
from statsmodels.tools.numdiff import approx_hess3

from mixexp import EM, MoERegressor
from mixexp.constraints import Bounded, Fixed, Shared
from mixexp.data import Batches
from mixexp.experts import (
    Beta,
    BetaBinomial,
    Binomial,
    Censored,
    Gaussian,
    Product,
    SkewNormal,
    Tweedie,
    check_derivatives,
)

ML = {"alpha": 0.0, "gate_alpha": 0.0, "dispersion_prior": 0.0, "tol": 1e-12}
HEADS = np.array([[-0.4], [0.7]]), np.array([[-1.2], [0.3]])
TRIALS = np.array([0.0, 1.0, 5.0, 40.0, 40.0])
SUCCESSES = np.array([0.0, 1.0, 2.0, 37.0, 0.0])


def beta_parameters(heads):
    mean, precision = 1.0 / (1.0 + np.exp(-heads[0])), np.exp(-heads[1])
    return mean * precision, (1.0 - mean) * precision


def test_beta_binomial_with_trials_equals_scipy():
    family, y = BetaBinomial(), np.stack([SUCCESSES, TRIALS])
    known = stats.betabinom(TRIALS.astype(int), *beta_parameters(HEADS))
    np.testing.assert_allclose(family.log_density(y, HEADS), known.logpmf(SUCCESSES), atol=1e-12)
    np.testing.assert_allclose(family.cdf(y, HEADS), known.cdf(SUCCESSES), rtol=1e-12)
    np.testing.assert_allclose(family.survival(y, HEADS), known.sf(SUCCESSES), atol=1e-13)
    np.testing.assert_allclose(family.variance(HEADS, trials=TRIALS), known.var(), atol=1e-12)
    q = np.array([[0.02, 0.3, 0.5, 0.8, 0.99]])
    found = family.quantile(q, HEADS, trials=TRIALS)
    np.testing.assert_array_equal(found, np.maximum(known.ppf(q), 0.0))
    assert check_derivatives(family, y, HEADS) < 1e-5


def test_beta_binomial_excess_is_the_sum_of_what_is_beyond():
    trials, at = np.full(4, 12.0), np.array([-1.0, 0.0, 3.5, 12.0])
    found = BetaBinomial().expected_excess(np.stack([at, trials]), HEADS)
    counts = np.arange(13.0)[:, None]
    mass = stats.betabinom(12, *(p[:, None] for p in beta_parameters(HEADS))).pmf(counts)
    expected = (mass * np.maximum(counts - at, 0.0)).sum(axis=1)
    np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize(("a", "b"), [(0.5, 0.7), (3.0, 9.0), (200.0, 100.0)])
def test_beta_binomial_probabilities_of_many_trials_are_sums(a, b):
    # 5 000 trials: by quadrature; SciPy's log density is good to 1e-12 here.
    n, count = 5000, np.array([0.0, 40.0, 1200.0, 2500.0, 4990.0])
    heads = np.full((1, 1), np.log(a / b)), np.full((1, 1), -np.log(a + b))
    mass = stats.betabinom(n, a, b).pmf(np.arange(n + 1))
    expected = np.cumsum(mass)[count.astype(int)]
    y = np.stack([count, np.full(5, float(n))])
    np.testing.assert_allclose(BetaBinomial().cdf(y, heads)[0], expected, atol=1e-10)
    np.testing.assert_allclose(BetaBinomial().survival(y, heads)[0], 1.0 - expected, atol=1e-10)


def test_beta_binomial_is_binomial_at_its_least_dispersion():
    floor = np.full((2, 1), BetaBinomial().heads[1].lower)
    y = np.stack([SUCCESSES, TRIALS])
    found = BetaBinomial().log_density(y, (HEADS[0], floor))
    expected = Binomial().log_density(y, HEADS[:1])
    # They differ by trials**2 times the dispersion of 1e-10.
    np.testing.assert_allclose(found, expected, atol=2e-7)


@pytest.fixture(scope="module")
def batches():
    rng = np.random.default_rng(1)
    X, trials = rng.normal(size=(250, 1)), rng.integers(1, 30, 250).astype(float)
    mean = 1.0 / (1.0 + np.exp(-0.3 - 0.8 * X[:, 0]))
    y = rng.binomial(trials.astype(int), rng.beta(4.0 * mean, 4.0 * (1.0 - mean)))
    return X, y.astype(float), trials


def test_one_beta_binomial_expert_is_maximum_likelihood(batches):
    X, y, trials = batches
    model = MoERegressor(1, expert="beta_binomial", **ML).fit(X, y, trials=trials)

    def loss(at):
        mean, precision = 1.0 / (1.0 + np.exp(-at[0] - at[1] * X[:, 0])), np.exp(-at[2])
        known = stats.betabinom(trials.astype(int), mean * precision, (1.0 - mean) * precision)
        return -known.logpmf(y).sum()

    best = minimize(loss, [0.0, 0.0, -1.0], method="BFGS", options={"gtol": 1e-7})
    assert model.log_likelihood_ == pytest.approx(-best.fun, abs=1e-7)
    found = [model.intercept_[0], model.coef_[0, 0], np.log(model.dispersion_[0])]
    np.testing.assert_allclose(found, best.x, atol=1e-4)
    errors = model.inference(X, y, trials=trials).std_errors
    expected = np.sqrt(np.diag(np.linalg.inv(approx_hess3(best.x, loss))))
    np.testing.assert_allclose(np.sort(errors), np.sort(expected), rtol=1e-3)
    assert model.log_density(X, y, trials=trials).shape == (250,)
    dist = model.predict_dist(X[:3], trials=trials[:3])
    assert np.all(dist.ppf(0.5) <= trials[:3])


def test_trials_choose_between_binomial_and_beta_binomial(batches):
    X, y, trials = batches
    model = MoERegressor(1, expert="auto", n_init=1, random_state=0)
    model.fit(X, y, trials=trials)
    assert model.experts_[0].name == "beta_binomial"
    assert set(model.selection_.columns["expert"]) == {"binomial", "beta_binomial"}


@pytest.fixture(scope="module")
def leaning():
    rng = np.random.default_rng(2)
    X = rng.normal(size=(600, 1))
    return X, 1.0 + 2.0 * X[:, 0] + stats.skewnorm.rvs(4.0, size=600, random_state=rng)


def test_one_skew_normal_expert_is_maximum_likelihood(leaning):
    X, y = leaning
    model = MoERegressor(1, expert="skew_normal", **ML).fit(X, y)

    def loss(at):
        location = at[0] + at[1] * X[:, 0]
        return -stats.skewnorm.logpdf(y, at[3], location, np.exp(at[2])).sum()

    best = minimize(loss, [1.0, 2.0, 0.0, 4.0], method="BFGS", options={"gtol": 1e-6})
    assert model.log_likelihood_ == pytest.approx(-best.fun, abs=1e-6)
    assert model.shape_[0]["shape"] == pytest.approx(best.x[3], abs=1e-2)
    np.testing.assert_allclose(model.coef_[0], best.x[1:2], atol=1e-4)


def test_a_mirrored_target_has_the_opposite_shape(leaning):
    X, y = leaning
    there, mirrored = (
        MoERegressor(1, expert="skew_normal", **ML).fit(X, sign * y) for sign in (1.0, -1.0)
    )
    assert mirrored.log_likelihood_ == pytest.approx(there.log_likelihood_, abs=1e-7)
    assert mirrored.shape_[0]["shape"] == pytest.approx(-there.shape_[0]["shape"], rel=1e-4)


@pytest.mark.parametrize("start", ["search", "labels"])
@pytest.mark.parametrize("wrap", [None, "limits"])
def test_skewed_experts_lean_to_the_side_that_their_rows_do(start, wrap, rng):
    label, shapes = np.repeat(np.arange(4), 100), np.array([5.0, 5.0, -5.0, 5.0])
    X = rng.uniform(-1.0, 1.0, (400, 1))
    noise = stats.skewnorm.rvs(shapes[label], random_state=rng)
    y = 30.0 * label + X[:, 0] + noise
    best = 0.0
    for level in range(4):
        rows = label == level

        def loss(at, x=X[rows, 0], own=y[rows]):
            return -stats.skewnorm.logpdf(own, at[3], at[0] + at[1] * x, np.exp(at[2])).sum()

        best -= minimize(loss, [30.0 * level, 1.0, 0.0, shapes[level]], method="BFGS").fun
    best += 400 * np.log(0.25)
    expert = "skew_normal" if wrap is None else Censored(SkewNormal(), upper=200.0)
    given = {"init": label} if start == "labels" else {"random_state": 0}
    model = MoERegressor(4, expert=expert, gate="constant", **ML, **given).fit(X, y)
    assert model.log_likelihood_ == pytest.approx(best, abs=1e-4)
    leans = sorted(np.sign([own["shape"] for own in model.shape_]).tolist())
    assert leans == [-1.0, 1.0, 1.0, 1.0]


@pytest.fixture(scope="module")
def leaning_lines():
    rng = np.random.default_rng(5)
    label, shapes = np.repeat(np.arange(4), 100), np.array([5.0, 5.0, -5.0, 5.0])
    X = rng.uniform(-1.0, 1.0, (400, 2))
    y = 30.0 * label + X[:, 0] + stats.skewnorm.rvs(shapes[label], random_state=rng)
    return X, y, label


@pytest.mark.parametrize(
    "constraint", [Fixed(1, 0.0), Bounded(0, lower=-100.0), Shared(0), Shared(1)], ids=str
)
def test_experts_lean_to_the_right_side_under_constraints(constraint, leaning_lines):
    X, y, label = leaning_lines
    options = {**ML, "gate": "constant", "constraints": [constraint], "init": label}
    found = MoERegressor(4, expert="skew_normal", **options).fit(X, y)
    assert np.sign([own["shape"] for own in found.shape_]).tolist() == [1.0, 1.0, -1.0, 1.0]
    again = MoERegressor(4, expert="skew_normal", **{**options, "init": found}).fit(X, y)
    assert again.log_likelihood_ == pytest.approx(found.log_likelihood_, abs=1e-6)


def test_without_moves_no_expert_is_reflected_and_sources_have_reflections(leaning_lines):
    X, y, label = leaning_lines
    options = {**ML, "gate": "constant", "expert": "skew_normal"}
    moved = MoERegressor(4, init=label, **options).fit(X, y)
    names = [restart.start for restart in moved.restarts_]
    assert names[0] == "labels"
    assert any("reflected" in name for name in names)
    still = MoERegressor(4, init=label, solver=EM(n_moves=0), **options).fit(X, y)
    assert [restart.start for restart in still.restarts_] == ["labels"]
    assert still.log_likelihood_ < moved.log_likelihood_ - 1.0
    searched = MoERegressor(4, random_state=0, **options).fit(X, y)
    source = Batches([(X[::2], y[::2]), (X[1::2], y[1::2])])
    streamed = MoERegressor(4, random_state=0, **options).fit(source)
    assert searched.log_likelihood_ == pytest.approx(moved.log_likelihood_, abs=1e-5)
    assert streamed.log_likelihood_ == pytest.approx(moved.log_likelihood_, abs=1e-5)


@pytest.mark.parametrize("fault", ["few", "shape", "nan"])
def test_reflections_that_are_none_are_refused_by_name(fault, leaning_lines):
    class Mirrored(SkewNormal):
        name = "mirrored"

        def reflections(self, heads):
            made = {
                "few": heads[:1],
                "shape": tuple(own[:1] for own in heads),
                "nan": tuple(own * np.nan for own in heads),
            }
            return [made[fault]]

    X, y, label = leaning_lines
    with pytest.raises(ValueError, match=r"Mirrored\.reflections must return finite heads"):
        MoERegressor(4, expert=Mirrored(), init=label).fit(X, y)


def test_reflections_keep_mean_and_variance_and_those_of_products_move_one_target():
    family = SkewNormal()
    heads = tuple(
        np.array(h)[:, None] for h in ([0.3, 1.0, 0.0], [-1.0, 0.5, 0.0], [2.0, -40.0, 0.1])
    )
    other, same = family.reflections(heads)
    for found in (other, same):
        np.testing.assert_allclose(family.mean(found), family.mean(heads), rtol=1e-13)
        np.testing.assert_allclose(family.variance(found), family.variance(heads), rtol=1e-13)
    np.testing.assert_array_equal(other[2][:, 0], [-2.0, 40.0, -2.0])
    np.testing.assert_array_equal(same[2][:, 0], [2.0, -40.0, 2.0])
    np.testing.assert_array_equal([own[:2] for own in same], [own[:2] for own in heads])
    assert list(SkewNormal(shape=3.0).reflections(heads[:2])) == []
    all_heads = (*heads, *heads[:2], *heads)
    found = Product((family, Gaussian(), family)).reflections(all_heads)
    expected = [(*own, *all_heads[3:]) for own in (other, same)]
    expected += [(*all_heads[:5], *own) for own in (other, same)]
    np.testing.assert_array_equal(found, expected)


def test_single_trials_leave_the_dispersion_where_it_is():
    y, family = np.array([0.0, 1.0, 1.0]), BetaBinomial()
    for heads in (HEADS, (HEADS[0] * 100.0, HEADS[1] * 100.0)):
        np.testing.assert_array_equal(family.derivatives(y, heads).score[1], 0.0)
        np.testing.assert_array_equal(family.observed_curvature(y, heads)[1, 1], 0.0)


@pytest.mark.parametrize("shape", [-5.0, 0.0, 0.5, 30.0])
def test_skew_normal_tails_have_their_digits(shape):
    z = np.array([-8.0, -3.0, -0.5, 0.0, 1.0, 4.0, 9.0])
    heads = np.zeros((1, 1)), np.zeros((1, 1)), np.full((1, 1), shape)
    ends = np.linspace(0.0, 20.0, 2001)
    at, weight = np.polynomial.legendre.leggauss(20)
    inner = (ends[:-1, None] + 0.005 * (1.0 + at)).ravel()
    mass = np.tile(0.005 * weight, 2000)
    for sign, found in ((-1.0, SkewNormal().cdf(z, heads)), (1.0, SkewNormal().survival(z, heads))):
        below = stats.skewnorm.pdf(z[:, None] + sign * inner, shape)
        np.testing.assert_allclose(found[0], below @ mass, rtol=1e-8, atol=1e-290)


def test_estimated_power_of_tweedie_is_where_its_profile_is_highest():
    rng = np.random.default_rng(3)
    X = rng.normal(size=(300, 1))
    heads = (0.3 + 0.5 * X.T, np.full((1, 1), -0.5))
    y = Tweedie(power=1.35).sample(heads, rng)[0]
    model = MoERegressor(1, expert=Tweedie(power="estimate"), **ML).fit(X, y)

    def loss(power):
        return -MoERegressor(1, expert=Tweedie(power=power), **ML).fit(X, y).log_likelihood_

    best = minimize_scalar(loss, bounds=(1.2, 1.6), method="bounded", options={"xatol": 1e-5})
    assert model.shape_[0]["power"] == pytest.approx(best.x, abs=1e-3)
    assert model.log_likelihood_ == pytest.approx(-best.fun, abs=1e-6)
    assert model.log_likelihood_ > -loss(1.5) + 1.0
    scaled = MoERegressor(1, expert=Tweedie(power="estimate")).fit(X, 1e4 * y)
    there = MoERegressor(1, expert=Tweedie(power="estimate")).fit(X, y)
    assert scaled.shape_[0]["power"] == pytest.approx(there.shape_[0]["power"], rel=1e-5)
    np.testing.assert_allclose(scaled.dispersion_, there.dispersion_, rtol=1e-5)
    assert np.isfinite(model.inference(X, y).std_errors).all()


def test_tweedie_densities_are_finite_next_to_a_power_of_one():
    heads = np.zeros((1, 1)), np.zeros((1, 1))
    y = np.array([0.4, 0.99, 1.0, 1.3, 1.49, 1.51, 2.0, 7.3])
    for power in (1.0 + 1e-4, 1.0 + 1e-5, 1.0 + 1e-6):
        value, found = Tweedie(power=power).evaluate(y, heads)
        assert np.isfinite(value).all()
        assert all(np.isfinite(own).all() for own in (*found.score, *found.curvature.values()))
        # A spike at every whole number of jumps, each of its Poisson probability.
        assert np.argmax(value) in (2, 6)


def test_a_dispersion_of_tweedies_own_is_used():
    class Doubled(Tweedie):
        name = "doubled"

        def dispersion_terms(self, y, heads):
            return tuple(2.0 * own for own in super().dispersion_terms(y, heads))

    y, heads = np.array([0.0, 0.7, 3.0]), (np.full((1, 1), 0.3), np.full((1, 1), -0.5))
    plain, own = Tweedie().derivatives(y, heads), Doubled().derivatives(y, heads)
    np.testing.assert_array_equal(own.score[1], 2.0 * plain.score[1])
    np.testing.assert_array_equal(Doubled().evaluate(y, heads)[1].score[1], own.score[1])
    bend = Tweedie().observed_curvature(y, heads)[1, 1]
    np.testing.assert_array_equal(Doubled().observed_curvature(y, heads)[1, 1], 2.0 * bend)


@pytest.mark.parametrize("family", [Beta(), BetaBinomial()], ids=lambda family: family.name)
def test_densities_do_not_depend_on_the_rows_beside(family, rng):
    heads = rng.normal(size=(2, 50)), np.array([[-1.0], [0.4]])
    y = np.array([rng.integers(0, 9, 50), np.full(50, 9)], dtype=float)
    y = y if family.uses_trials else rng.uniform(0.1, 0.9, 50)
    alone = family.log_density(y, heads)
    far = heads[0].copy()
    far[:, 0] = 1e4
    beside = family.log_density(y, (far, heads[1]))
    np.testing.assert_array_equal(beside[:, 1:], alone[:, 1:])


def test_products_refuse_families_with_limits():
    with pytest.raises(ValueError, match="known exactly"):
        Product((Censored(Gaussian(), lower=0.0), Gaussian())).check_options()
