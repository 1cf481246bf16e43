"""Several targets: families, fits against a known answer, distributions, claims, bad input."""

import json
from pathlib import Path

import numpy as np
import pytest
from problems import UNPENALIZED
from scipy.stats import multivariate_normal, multivariate_t

from mixexp import HMERegressor, MoERegressor, from_json
from mixexp.datasets import make_moe
from mixexp.displays import GateDisplay
from mixexp.experts import FAMILIES as REGISTRY
from mixexp.experts import (
    Gamma,
    MultivariateGaussian,
    MultivariateStudentT,
    Poisson,
    Product,
    StudentT,
    check_derivatives,
)

REFERENCE = Path(__file__).parent / "reference"
FAMILIES = {
    "full": MultivariateGaussian("full", 3),
    "diagonal": MultivariateGaussian("diagonal", 2),
    "student_t": MultivariateStudentT("full", None, 3),
    "student_t_known": MultivariateStudentT("diagonal", 4.0, 2),
    "product": Product((Poisson(), Gamma(), StudentT(df=5.0))),
}
TWO = {"n_init": 1, "random_state": 0}
# Those with a linear predictor, which do not count successes of trials.
OF_PRODUCTS = [
    name
    for name, family in REGISTRY.items()
    if family.target == "regression" and not family.uses_trials and family().heads
]


def draw_problem(name):
    """Return y as a family sees it, and heads of two experts, five rows."""
    family, rng = FAMILIES[name], np.random.default_rng(3)
    heads = tuple(0.5 * rng.standard_normal((2, 5)) for _ in family.heads)
    y = np.abs(rng.standard_normal((family.size, 5))).round(0) + 1.0
    if name == "product":
        y[1, 2:4] = y[2, 0] = np.nan
    return family, family.seen(y, None), heads


@pytest.mark.parametrize("name", FAMILIES)
def test_derivatives_are_those_of_the_density(name):
    family, y, heads = draw_problem(name)
    assert check_derivatives(family, y, heads) < 1e-7


@pytest.mark.parametrize("name", ["full", "student_t", "student_t_known"])
def test_densities_are_scipys(name):
    family, y, heads = draw_problem(name)
    scatter, mean = family.scatter_of(heads), family.mean(heads)
    found = family.log_density(y, heads)
    for k in range(2):
        for row in range(5):
            at = mean[:, k, row], scatter[..., k, row]
            if name == "full":
                expected = multivariate_normal(*at).logpdf(y[:, row])
            else:
                df = 4.0 if family.df is not None else np.exp(heads[-1][k, row])
                expected = multivariate_t(*at, df=df).logpdf(y[:, row])
            assert found[k, row] == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("name", ["full", "student_t_known", "product"])
def test_draws_have_the_moments_of_the_family(name):
    family, _, heads = draw_problem(name)
    one = tuple(head[:1, :1] for head in heads)
    drawn = family.sample_rows(one, np.random.default_rng(0), 40_000)[:, 0]
    deviation = np.sqrt(family.variance(one)[:, 0, 0])
    error = (drawn.mean(axis=1) - family.mean(one)[:, 0, 0]) / deviation
    assert np.abs(error).max() < 4.0 / np.sqrt(40_000)
    away = (np.cov(drawn) - family.covariance_of(one)[..., 0, 0]) / np.outer(deviation, deviation)
    assert np.abs(away).max() < 0.1  # of squares of t with four degrees of freedom: heavy tails


@pytest.fixture(scope="module")
def known():
    rows = np.loadtxt(REFERENCE / "multi_output_2.csv.gz", delimiter=",", skiprows=1)
    answer = json.loads((REFERENCE / "multi_output_2.json").read_text())
    model = MoERegressor(
        2, init=rows[:, 4].astype(int) - 1, tol=1e-12, max_iter=2000, **UNPENALIZED
    )
    return model.fit(rows[:, 2:4], rows[:, :2]), rows[:, 2:4], rows[:, :2], answer


def test_fit_reaches_the_known_optimum(known):
    model, X, y, answer = known
    assert model.converged_
    assert model.n_parameters_ == answer["n_params"]
    assert model.log_likelihood_ == pytest.approx(answer["loglik"], rel=1e-10)
    assert model.log_density(X, y).sum() == pytest.approx(answer["loglik"], rel=1e-10)
    location = np.concatenate([model.intercept_[..., None], model.coef_], axis=-1)
    theirs = np.array(answer["params"]["coef"]).transpose(1, 2, 0)
    np.testing.assert_allclose(location, theirs, atol=1e-6)
    np.testing.assert_allclose(model.covariance_, answer["params"]["cov"], atol=1e-6)


def test_standard_errors_are_the_known_ones(known):
    model, X, y, answer = known
    table = model.coef_table(X, y, reference=0)
    errors = dict(
        zip(zip(table["unit"], table["term"], strict=True), table["std_error"], strict=True)
    )
    terms = ("intercept", "x0", "x1")
    theirs = np.array(answer["standard_errors"]["coef"])
    for k in range(2):
        for j in range(2):
            found = [errors[f"expert {k}, y{j + 1}", term] for term in terms]
            np.testing.assert_allclose(found, theirs[:, k, j], rtol=1e-6)
    gate = [errors["root -> expert 1 vs expert 0", term] for term in terms]
    theirs = np.ravel(answer["standard_errors"]["gate_columns_2_to_K"])
    np.testing.assert_allclose(gate, theirs, rtol=1e-6)


def test_a_fit_does_not_depend_on_the_units_of_targets(known):
    model, X, y, _ = known
    factor, shift = np.array([1e3, 1e-2]), np.array([5.0, -2.0])
    other = MoERegressor(**model.get_params()).fit(X, y * factor + shift)
    np.testing.assert_allclose(other.coef_, model.coef_ * factor[:, None], rtol=1e-6)
    expected = model.covariance_ * np.outer(factor, factor)
    np.testing.assert_allclose(other.covariance_, expected, rtol=1e-6)
    log_unit = len(y) * np.log(factor).sum()
    assert other.log_likelihood_ == pytest.approx(model.log_likelihood_ - log_unit, rel=1e-10)


def test_one_expert_is_multivariate_least_squares(known):
    _, X, y, _ = known
    model = MoERegressor(1, **UNPENALIZED).fit(X, y)
    design = np.column_stack([np.ones(len(X)), X])
    coef = np.linalg.lstsq(design, y, rcond=None)[0]
    residual = y - design @ coef
    np.testing.assert_allclose(model.coef_[0], coef[1:].T, atol=1e-9)
    np.testing.assert_allclose(model.covariance_[0], residual.T @ residual / len(y), atol=1e-9)


def test_the_joint_distribution_agrees_with_itself(known):
    model, X, y, _ = known
    dist = model.predict_dist(X)
    np.testing.assert_allclose(dist.logpdf(y), model.log_density(X, y), rtol=1e-12)
    mean, std = model.predict(X, return_std=True)
    assert mean.shape == y.shape
    np.testing.assert_allclose(mean, dist.mean(), rtol=1e-10)
    np.testing.assert_allclose(np.einsum("njj->nj", dist.cov()), dist.var(), rtol=1e-10)
    np.testing.assert_allclose(std, dist.std(), rtol=1e-12)
    for j in range(2):
        np.testing.assert_allclose(dist.marginal(j).mean(), mean[:, j], rtol=1e-10)
    assert np.abs(np.einsum("njj->nj", dist.corr()) - 1.0).max() < 1e-12
    assert model.predict_variance(X).total.shape == y.shape
    np.testing.assert_allclose(model.predict(X, routing=2), mean, rtol=1e-10)
    assert model.predict_experts(X).shape == (len(X), 2, 2)
    drawn, expert = model.predict_dist(X[:1]).sample(20_000, 0)
    assert drawn.shape == (1, 20_000, 2)
    assert expert.shape == (1, 20_000)
    sampled = np.cov(drawn[0].T)
    assert np.abs(sampled - dist.cov()[0]).max() < 0.05 * np.trace(dist.cov()[0])


def test_regions_hold_what_they_should(known):
    model, X, _, _ = known
    dist = model.predict_dist(X)
    y, expert = dist.sample(1, 1)
    inside = dist.ellipsoids(0.8).contains(y[:, 0])
    n, rows = len(X), np.arange(len(X))
    # Four standard errors of shares of 1 000 rows.
    assert abs(inside[rows, expert[:, 0]].mean() - 0.8) < 4.0 * np.sqrt(0.16 / n)
    assert inside.any(axis=1).mean() > 0.8 - 4.0 * np.sqrt(0.16 / n)
    level = dist.region_level(y[:, 0], 200, 2)
    assert abs((level <= 0.5).mean() - 0.5) < 4.0 * np.sqrt(0.25 / n)
    below = y[:, 0, 1] <= dist.marginal(1).ppf(0.9)
    assert abs(below.mean() - 0.9) < 4.0 * np.sqrt(0.09 / n)


@pytest.mark.parametrize("covariance", ["shared", "diagonal"])
def test_restricted_covariances_are_so(known, covariance):
    full, X, y, _ = known
    options = {**full.get_params(), "expert": MultivariateGaussian(covariance)}
    model = MoERegressor(**options).fit(X, y)
    assert model.converged_
    assert model.log_likelihood_ < full.log_likelihood_
    assert model.n_parameters_ == full.n_parameters_ - {"shared": 3, "diagonal": 2}[covariance]
    if covariance == "shared":
        np.testing.assert_allclose(model.covariance_[0], model.covariance_[1], rtol=1e-10)
    else:
        assert np.abs(model.covariance_[:, 0, 1]).max() == 0.0


def test_student_t_finds_the_tails(known):
    _, X, _, _ = known
    rng = np.random.default_rng(0)
    noise = multivariate_t(shape=[[1.0, 0.5], [0.5, 1.0]], df=4.0).rvs(len(X), random_state=rng)
    y = np.column_stack([X[:, 0], -X[:, 1]]) + 0.3 * noise
    model = MoERegressor(1, expert="student_t", **UNPENALIZED).fit(X, y)
    # Some four standard errors of log df, of 1 000 rows.
    assert 2.6 < model.shape_[0]["df"] < 6.5
    gaussian = MoERegressor(1, **UNPENALIZED).fit(X, y)
    assert model.log_likelihood_ > gaussian.log_likelihood_ + 50.0


def test_fits_travel(known, tmp_path):
    model, X, y, _ = known
    tree = HMERegressor((2,), expert=[("gaussian", "gaussian")], **TWO).fit(X[:200], y[:200])
    for fitted in (model, tree):
        fitted.to_json(tmp_path / "model.json")
        made = from_json(tmp_path / "model.json")
        np.testing.assert_array_equal(made.predict(X), fitted.predict(X))
        np.testing.assert_array_equal(made.log_density(X, y), fitted.log_density(X, y))


# Frequency and severity.


def draw_claims(n, seed):
    """Return age and kind of policies, claims and mean severities (NaN without a claim), class."""
    rng = np.random.default_rng(seed)
    X = rng.uniform(-1.0, 1.0, (n, 2))
    is_rash = (rng.random(n) < 1.0 / (1.0 + np.exp(1.0 + 2.0 * X[:, 0]))).astype(int)
    rate = np.exp(np.array([-0.7, 1.0])[is_rash] + 0.3 * X[:, 1])
    claims = rng.poisson(rate).astype(float)
    mean = np.exp(np.array([6.0, 8.0])[is_rash] + 0.4 * X[:, 1])
    severity = np.where(claims > 0, rng.gamma(2.0, mean / 2.0), np.nan)
    return X, np.column_stack([claims, severity]), is_rash


@pytest.fixture(scope="module")
def claims():
    X, y, is_rash = draw_claims(1500, 0)
    options = {"gate_features": [0], "expert_features": [1], **TWO}
    model = MoERegressor(2, expert=[("poisson", "gamma")], **options).fit(X, y)
    return model, X, y, is_rash, options


def test_frequency_and_severity_share_a_class(claims):
    model, X, _, is_rash, _ = claims
    np.testing.assert_allclose(model.intercept_, [[-0.7, 6.0], [1.0, 8.0]], atol=0.2)
    np.testing.assert_allclose(model.coef_[..., 0], [[0.3, 0.4], [0.3, 0.4]], atol=0.2)
    np.testing.assert_allclose(model.dispersion_[:, 1], 0.5, atol=0.12)
    assert abs(model.gate_proba(X)[:, 1].mean() - is_rash.mean()) < 0.03


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e3])
@pytest.mark.parametrize("name", OF_PRODUCTS)
def test_a_product_of_one_expert_is_its_families_apart(name, scale):
    # Values with a probability of their own, and targets that are not known, have no unit.
    found = make_moe(120, 2, 1, expert=name, random_state=0)
    family = REGISTRY[name]()
    has_unit = any(unit.moves or unit.log_power for unit in family.units)
    first = found.y * (scale if has_unit and not family.is_discrete else 1.0)
    for atom in family.atoms:
        first[::5] = atom
    second = scale * np.random.default_rng(1).standard_normal(120)
    second[::7] = np.nan
    y, seen = np.column_stack([first, second]), ~np.isnan(second)
    both = MoERegressor(1, expert=[(name, "gaussian")], **UNPENALIZED).fit(found.X, y)
    alone = MoERegressor(1, expert=name, **UNPENALIZED).fit(found.X, first)
    other = MoERegressor(1, **UNPENALIZED).fit(found.X[seen], second[seen])
    expected = alone.log_density(found.X, first)
    expected[seen] += other.log_density(found.X[seen], second[seen])
    np.testing.assert_allclose(both.log_density(found.X, y), expected, rtol=1e-5, atol=1e-5)
    assert both.log_likelihood_ == pytest.approx(both.log_density(found.X, y).sum())


def test_together_they_predict_better_than_apart(claims):
    model, X, y, _, options = claims
    new_X, new_y, _ = draw_claims(1500, 1)
    has_claim, new_claim = ~np.isnan(y[:, 1]), ~np.isnan(new_y[:, 1])
    frequency = MoERegressor(2, expert="poisson", **options).fit(X, y[:, 0])
    severity = MoERegressor(2, expert="gamma", **options).fit(X[has_claim], y[has_claim, 1])
    apart = frequency.log_density(new_X, new_y[:, 0]).sum()
    apart += severity.log_density(new_X[new_claim], new_y[new_claim, 1]).sum()
    assert model.log_density(new_X, new_y).sum() > apart + 0.05 * len(new_X)


def test_a_target_that_is_not_known_adds_nothing(claims):
    model, X, y, _, _ = claims
    only = np.column_stack([y[:, 0], np.full(len(y), np.nan)])
    dist = model.predict_dist(X)
    expected = dist.marginal(0).logpdf(y[:, 0])
    np.testing.assert_allclose(model.log_density(X, only), expected, rtol=1e-10)
    np.testing.assert_allclose(dist.cov()[:, 1, 1], dist.marginal(1).var(), rtol=1e-10)


def test_exposure_is_of_the_first_target(claims):
    model, X, _, _, _ = claims
    twice = model.predict(X, exposure=np.full(len(X), 2.0))
    np.testing.assert_allclose(twice, model.predict(X) * [2.0, 1.0], rtol=1e-10)


# Bad input.


@pytest.mark.parametrize(
    ("expert", "words"),
    [
        ("poisson", "is for one target: y should be a 1d array"),
        (StudentT(), "is for one target"),
        (MultivariateGaussian("none"), "'covariance' option"),
        (MultivariateGaussian(n_outputs=3), "is for 3 targets, but y has 2 columns"),
        ([("gaussian", "gaussian", "gamma")], "is for 3 targets, but y has 2 columns"),
        ([("gaussian", "binomial")], "cannot be part of a product"),
        ([("gaussian", "nonsense")], "must be one of"),
        ([("gaussian", "poisson"), ("gaussian", "gamma")], "for column 1 of y a family of counts"),
        (("gaussian", "gaussian", "gaussian"), "lists 3 experts"),
    ],
)
def test_families_and_targets_that_do_not_go_together_are_refused(expert, words):
    X, y = np.arange(20.0)[:, None], np.ones((20, 2)) + np.arange(20.0)[:, None]
    with pytest.raises(ValueError, match=words):
        MoERegressor(2, expert=expert).fit(X, y)


@pytest.mark.parametrize("expert", [MultivariateGaussian(), [("poisson", "gamma")]])
def test_one_target_is_refused_by_families_of_several(expert):
    with pytest.raises(ValueError, match="is for several targets, but y has shape"):
        MoERegressor(2, expert=expert).fit(np.arange(20.0)[:, None], np.arange(20.0))


def test_bad_targets_are_refused_by_name(known, claims):
    model, X, y, _ = known
    holes, infinite = y.copy(), y.copy()
    holes[7, 1], infinite[3, 0] = np.nan, np.inf
    with pytest.raises(ValueError, match=r"y contains NaN at row 7.*needs every target"):
        MoERegressor(2).fit(X, holes)
    with pytest.raises(ValueError, match="y contains NaN at row 7"):
        model.log_density(X, holes)
    with pytest.raises(ValueError, match="contains infinity at row 3"):
        MoERegressor(2).fit(X, infinite)
    with pytest.raises(ValueError, match="y has 1 columns, but the model was fitted to 2"):
        model.log_density(X, y[:, 0])
    with pytest.raises(ValueError, match="y has 3 columns, but the model was fitted to 2"):
        model.responsibilities(X, np.column_stack([y, y[:, 0]]))
    with pytest.raises(ValueError, match=r"found .*-1.0.* at row 0"):
        claims[0].fit(X, np.column_stack([np.full(len(X), -1.0), np.ones(len(X))]))
    with pytest.raises(ValueError, match="NaN in all columns at row 0"):
        claims[0].log_density(claims[1], np.full(claims[2].shape, np.nan))


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda model, X, y: model.predict_quantile(X, 0.5), r"marginal\(0\)\.ppf"),
        (lambda model, X, y: model.predict_interval(X), r"marginal\(0\)\.interval"),
        (lambda model, X, y: model.predict_dist(X).crps(y), r"marginal\(0\)\.crps"),
        (lambda model, X, y: model.predict_dist(X).marginal(2), "a column of y"),
        (lambda model, X, y: model.inference(X, y).marginal_effects(), "of one target"),
        (lambda model, X, y: GateDisplay.from_estimator(model, X), "A display is of one target"),
        (lambda model, X, y: model.with_expert(X, y, expert="gaussian"), "of one target"),
        (lambda model, X, y: model.set_params(l1=1.0).fit(X, y), "experts of several targets"),
    ],
)
def test_what_is_of_one_target_is_refused(known, ask, words):
    _, X, y, _ = known
    fitted = MoERegressor(1, **TWO).fit(X[:50], y[:50])
    with pytest.raises(ValueError, match=words):
        ask(fitted, X[:50], y[:50])


def test_ellipsoids_of_a_product_are_refused(claims):
    with pytest.raises(ValueError, match="no ellipsoids"):
        claims[0].predict_dist(claims[1]).ellipsoids(0.9)


def test_summaries_lead_with_every_target():
    rng = np.random.default_rng(0)
    X = rng.uniform(-1.0, 1.0, (120, 2))
    y = np.stack([X[:, 0], -X[:, 1]], axis=1) + 0.3 * rng.standard_normal((120, 2))
    model = MoERegressor(2, n_init=1, random_state=0).fit(X, y)
    for text in (model.summary(), model.inference(X, y).summary()):
        assert "mean of y1 at average x" in text
        assert "mean of y2 at average x" in text
