"""Fits of every family: monotone, equal to the references, and sound on hard data."""

import gzip
import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats
from sklearn import config_context
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from statsmodels.miscmodels.ordinal_model import OrderedModel
from statsmodels.othermod.betareg import BetaModel

from mixexp import HMERegressor, MoEClassifier, MoERegressor
from mixexp.data import RowArguments
from mixexp.estimators._build import Columns, build_problem
from mixexp.estimators._gates import NodeGate
from mixexp.exceptions import (
    ConvergenceWarning,
    DegenerateExpertWarning,
    RankDeficientWarning,
    SeparationWarning,
)
from mixexp.experts import FAMILIES, Binomial, Gamma, Gaussian, PointMass, StudentT, Uniform
from mixexp.metrics import LogDensityScorer
from mixexp.model import FittedModel

REFERENCE = Path(__file__).parent / "reference"
ML_CLASSES = {"alpha": 0.0, "gate_alpha": 0.0}
ML = {**ML_CLASSES, "dispersion_prior": 0.0}
POSITIVE_LINKS = (
    "Gamma(link='inverse')",
    "Gamma(link='identity')",
    "InverseGaussian(link='inverse_squared')",
)


def regression_families():
    """Every family for regression that has something to fit, with every link."""
    for cls in FAMILIES.values():
        if cls.target == "regression" and cls not in (PointMass, Uniform):
            for link in cls.links or (None,):
                yield cls() if link is None else cls(link=link)


EVERY_FAMILY = list(regression_families())
every_family = pytest.mark.parametrize("family", EVERY_FAMILY, ids=repr)


def simulate(family, rng, n=250):
    """Draw y of a family whose location changes with the regime."""
    X = rng.uniform(-1.0, 1.0, (n, 2))
    is_second = X[:, 0] + 0.3 * rng.standard_normal(n) > 0.0
    if repr(family) in POSITIVE_LINKS:
        eta = np.where(is_second, 2.0 + 0.6 * X[:, 1], 0.8 - 0.3 * X[:, 1])
    else:
        eta = np.where(is_second, 1.0 + 0.8 * X[:, 1], -0.3 - 0.8 * X[:, 1])
    value = {"location": eta[None], "dispersion": np.full((1, 1), -1.2)}
    heads = [
        value.get(head.kind, np.full((1, 1), min(1.2, head.upper - 1.0))) for head in family.heads
    ]
    y = family.sample(tuple(heads), rng)
    return X, y.ravel()


def few_rows_may_be_warned_of(test):
    """Mark tests in which iterations are few, or experts without rows are not the question."""
    for category in ("DegenerateExpertWarning", "RankDeficientWarning", "SeparationWarning"):
        test = pytest.mark.filterwarnings(f"ignore::mixexp.exceptions.{category}")(test)
    return pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")(test)


@few_rows_may_be_warned_of
@every_family
@pytest.mark.parametrize("tree", [(2,), [[1, 1], 1]], ids=["flat", "tree"])
@pytest.mark.parametrize("penalty", [{}, ML], ids=["penalized", "unpenalized"])
def test_every_iteration_rises_and_all_is_finite(family, tree, penalty, rng):
    X, y = simulate(family, rng)
    model = HMERegressor(tree, expert=family, n_init=1, max_iter=60, random_state=0, **penalty)
    model.fit(X, y)
    smallest = np.diff(model.history_).min()
    assert smallest >= -1e-9 * (1.0 + abs(model.penalized_log_likelihood_))
    for name in ("coef_", "intercept_", "gate_coef_", "gate_intercept_"):
        assert np.isfinite(getattr(model, name)).all(), name
    assert np.isfinite(model.predict(X)).all()
    np.testing.assert_allclose(model.log_likelihood(X, y), model.log_likelihood_, rtol=1e-10)


@pytest.fixture
def sample():
    rng = np.random.default_rng(11)
    X = rng.standard_normal((300, 2))
    return X, 0.4 + X @ [0.5, -0.3], rng


def fit_one(expert, X, y, **row):
    model = MoERegressor(1, expert=expert, tol=1e-14, max_iter=2000, **ML)
    return model.fit(X, y, **row)


def coefficients(model):
    return np.r_[model.intercept_[0], model.coef_[0]]


# Both sides stop when a quadratic's remaining gain is at rounding, so coefficients agree to
# the square root of it times the standard error: 1e-7 at worst, asserted at 1e-6 absolute
# where statsmodels uses a general optimiser and at 1e-8 where it uses IRLS.


@pytest.mark.parametrize(
    ("expert", "sm_family", "draw"),
    [
        ("poisson", sm.families.Poisson(), lambda eta, rng: rng.poisson(np.exp(eta))),
        (
            "gamma",
            sm.families.Gamma(sm.families.links.Log()),
            lambda eta, rng: rng.gamma(2.0, np.exp(eta) / 2.0),
        ),
        (
            "inverse_gaussian",
            sm.families.InverseGaussian(sm.families.links.Log()),
            lambda eta, rng: rng.wald(np.exp(eta), 3.0),
        ),
        (
            "tweedie",
            sm.families.Tweedie(sm.families.links.Log(), var_power=1.5),
            lambda eta, rng: rng.gamma(2.0, np.exp(eta) / 2.0) * (rng.random(len(eta)) > 0.2),
        ),
        ("gaussian", sm.families.Gaussian(), lambda eta, rng: eta + rng.standard_normal(len(eta))),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_one_expert_is_the_glm(expert, sm_family, draw, sample):
    X, eta, rng = sample
    y = draw(eta, rng).astype(float)
    expected = sm.GLM(y, sm.add_constant(X), family=sm_family).fit(tol=1e-14, maxiter=200)
    model = fit_one(expert, X, y)
    np.testing.assert_allclose(coefficients(model), expected.params, rtol=1e-8, atol=1e-8)
    if expert == "poisson":
        np.testing.assert_allclose(model.log_likelihood_, expected.llf, rtol=1e-10)


@pytest.mark.parametrize("link", ["logit", "probit", "cloglog"])
def test_one_binomial_expert_is_the_glm_with_trials(link, sample):
    X, eta, rng = sample
    trials = rng.integers(1, 9, len(X)).astype(float)
    y = rng.binomial(trials.astype(int), 1.0 / (1.0 + np.exp(-eta))).astype(float)
    links = {"logit": "Logit", "probit": "Probit", "cloglog": "CLogLog"}
    family = sm.families.Binomial(getattr(sm.families.links, links[link])())
    design = sm.add_constant(X)
    expected = sm.GLM(np.c_[y, trials - y], design, family=family).fit(tol=1e-14, maxiter=200)
    model = fit_one(Binomial(link=link), X, y, trials=trials)
    np.testing.assert_allclose(coefficients(model), expected.params, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(model.log_likelihood_, expected.llf, rtol=1e-10)
    np.testing.assert_allclose(
        model.predict(X, trials=trials), trials * expected.fittedvalues, rtol=1e-8
    )


def test_one_negative_binomial_expert_is_maximum_likelihood(sample):
    X, eta, rng = sample
    y = rng.poisson(np.exp(eta) * rng.gamma(2.0, 0.5, len(X))).astype(float)
    expected = sm.NegativeBinomial(y, sm.add_constant(X)).fit(
        disp=False, method="newton", maxiter=200, tol=1e-12
    )
    model = fit_one("negative_binomial", X, y)
    found = np.r_[coefficients(model), model.dispersion_[0]]
    np.testing.assert_allclose(found, expected.params, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(model.log_likelihood_, expected.llf, rtol=1e-10)


def test_one_beta_expert_is_beta_regression(sample):
    X, eta, rng = sample
    mean = 1.0 / (1.0 + np.exp(-eta))
    y = rng.beta(8.0 * mean, 8.0 * (1.0 - mean))
    # With a smaller gtol its optimiser warns that it has not converged.
    expected = BetaModel(y, sm.add_constant(X)).fit(disp=False, gtol=1e-7, maxiter=500)
    model = fit_one("beta", X, y)
    np.testing.assert_allclose(coefficients(model), expected.params[:3], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(1.0 / model.dispersion_[0], np.exp(expected.params[3]), rtol=1e-5)
    np.testing.assert_allclose(model.log_likelihood_, expected.llf, rtol=1e-9)


@pytest.mark.parametrize("link", ["logit", "probit"])
def test_one_ordinal_expert_is_the_cumulative_model(link, sample):
    X, eta, rng = sample
    y = np.digitize(eta + rng.logistic(size=len(X)), [-0.5, 1.0])
    expected = OrderedModel(y, X, distr=link).fit(disp=False, method="bfgs", gtol=1e-6)
    model = MoEClassifier(1, expert=clone(FAMILIES["ordinal"](link=link)), tol=1e-14, **ML_CLASSES)
    model.fit(X, y)
    np.testing.assert_allclose(model.log_likelihood_, expected.llf, rtol=1e-9)
    np.testing.assert_allclose(model.predict_proba(X), expected.predict(X), atol=1e-5)


@pytest.mark.parametrize("name", ["P1", "GA1", "T1"])
def test_reference_optimum_is_reached(name):
    expert = {"P1": "poisson", "GA1": "gamma", "T1": "student_t"}[name]
    with gzip.open(REFERENCE / f"{name}.csv.gz", "rt") as file:
        table = np.loadtxt(file, delimiter=",", skiprows=1)
    expected = json.loads((REFERENCE / f"{name}.json").read_text())
    labels, y, X = table[:, 0].astype(int) - 1, table[:, 1], table[:, 2:]
    model = MoERegressor(3, expert=expert, init=labels, tol=1e-12, max_iter=1000, **ML).fit(X, y)
    assert model.converged_
    assert model.log_likelihood_ >= expected["loglik"] - 1e-6 * abs(expected["loglik"])
    coef = np.array(expected["params"]["coef"])
    order = np.argsort(coef[0] + coef[1:].T @ X.mean(axis=0))
    found = np.c_[model.intercept_, model.coef_].T
    np.testing.assert_allclose(found, coef[:, order], atol=1e-5)
    gate = np.array(expected["params"]["gate"])[:, order]
    found_gate = np.c_[model.gate_intercept_, model.gate_coef_].T
    np.testing.assert_allclose(found_gate, gate - gate.mean(axis=1, keepdims=True), atol=2e-5)


def standard_errors(model, X, y, expert, **row):
    """Return standard errors of the raw coefficients from the observed information."""
    state = model.fitted_model_
    every = list(range(X.shape[1]))
    problem, _, _ = build_problem(
        X,
        y,
        RowArguments(np.ones(len(y)), **row),
        tree=state.model.tree,
        families=model.experts_,
        node_gates=[NodeGate(every)],
        columns=Columns(every, every),
        penalty=state.model.penalty,
        n_threads=1,
    )
    basis = state.model.free_basis
    covariance = np.linalg.inv(basis.T @ problem.information(state.params) @ basis)

    def raw(flat):
        moved = FittedModel(state.model, state.model.unflatten(flat), state.scaling)
        return np.concatenate([slot.ravel() for slot in moved.raw_slots()])

    flat = state.model.flatten(state.params)
    to_raw = np.stack([raw(flat + e) - raw(flat) for e in np.eye(len(flat))], axis=1) @ basis
    return raw(flat), np.sqrt(np.diag(to_raw @ covariance @ to_raw.T))


def test_zero_inflated_poisson_recovers_its_parameters(rng):
    n = 6000
    X = rng.standard_normal((n, 2))
    is_zero = rng.random(n) < 1.0 / (1.0 + np.exp(-(X @ [1.0, 0.0] - 0.4)))
    y = np.where(is_zero, 0.0, rng.poisson(np.exp(0.8 + X @ [0.0, 0.5])))
    model = MoERegressor(2, expert=["point_mass", "poisson"], random_state=0, tol=1e-12, **ML)
    model.fit(X, y)
    found, error = standard_errors(model, X, y, model.experts_)
    half = np.array([-0.2, 0.5, 0.0])  # logits that sum to zero: half the log-odds
    truth = np.r_[half, -half, 0.8, 0.0, 0.5]
    # 9 coefficients at 4 standard errors: a false alarm in fewer than one of 1 700 seeds.
    assert np.all(np.abs(found - truth) <= 4.0 * error)


def test_hurdle_is_a_point_mass_and_a_truncated_poisson(rng):
    X = rng.standard_normal((800, 1))
    is_zero = rng.random(800) < 0.4
    rate = np.exp(0.5 + 0.4 * X[:, 0])
    positive = np.array(
        [next(k for k in iter(lambda r=r: rng.poisson(r), None) if k) for r in rate]
    )
    y = np.where(is_zero, 0.0, positive)
    model = MoERegressor(2, expert=["point_mass", "zero_truncated_poisson"], gate="constant", **ML)
    model.fit(X, y)
    # The parts do not overlap: the hurdle is passed by exactly the share of positive counts.
    np.testing.assert_allclose(model.gate_proba(X)[0], [is_zero.mean(), 1 - is_zero.mean()])
    alone = fit_one("zero_truncated_poisson", X[~is_zero], y[~is_zero])
    np.testing.assert_allclose(model.coef_[1], alone.coef_[0], rtol=1e-4)


def test_noise_expert_takes_the_outliers(rng):
    X = rng.uniform(-1.0, 1.0, (400, 1))
    y = 2.0 * X[:, 0] + 0.1 * rng.standard_normal(400)
    y[:40] = rng.uniform(-20.0, 20.0, 40)
    model = MoERegressor(2, expert=["gaussian", "uniform"], gate="constant", random_state=0)
    model.fit(X, y)
    np.testing.assert_allclose(model.coef_[0], [2.0], atol=0.05)
    assert model.responsibilities(X, y)[:40, 1].mean() > 0.9


def test_mixed_families_in_a_tree_agree_with_the_order_given(rng):
    X = rng.standard_normal((500, 1))
    y = np.where(rng.random(500) < 0.3, 0.0, rng.poisson(np.exp(1.0 + 0.5 * X[:, 0])))
    experts = ["point_mass", "poisson", "negative_binomial"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        model = HMERegressor([[1, 1], 1], expert=experts, random_state=0).fit(X, y)
    assert [family.name for family in model.experts_] == experts
    assert np.all(np.diff(model.history_) >= -1e-9 * (1.0 + abs(model.history_[-1])))
    assert model.log_density(X, y).max() <= 0.0  # probabilities


def test_exposure_is_a_log_offset_and_scales_the_mean(rng):
    X = rng.standard_normal((400, 2))
    exposure = rng.uniform(0.2, 3.0, 400)
    y = rng.poisson(exposure * np.exp(0.3 + 0.5 * X[:, 0])).astype(float)
    by_exposure = MoERegressor(2, expert="poisson", random_state=0).fit(X, y, exposure=exposure)
    by_offset = clone(by_exposure).fit(X, y, offset=np.log(exposure))
    np.testing.assert_array_equal(by_exposure.coef_, by_offset.coef_)
    np.testing.assert_allclose(
        by_exposure.predict(X, exposure=exposure), exposure * by_exposure.predict(X), rtol=1e-12
    )
    np.testing.assert_allclose(
        by_exposure.log_likelihood(X, y, exposure=exposure), by_exposure.log_likelihood_, rtol=1e-10
    )


def test_many_classes_step_on_a_bound_of_the_curvature(rng):
    X = rng.standard_normal((300, 2))
    logits = 2.0 * X @ rng.standard_normal((2, 14))
    y = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    model = MoEClassifier(2, n_init=1, random_state=0).fit(X, y)
    assert model.converged_
    assert np.diff(model.history_).min() >= -1e-9 * (1.0 + abs(model.history_[-1]))

    family, codes = model.experts_[0], np.searchsorted(model.classes_, y).astype(float)
    heads = tuple(rng.standard_normal((len(model.classes_) - 1, 1, 300)))
    exact = family.observed_curvature(codes, heads)
    bound = family.derivatives(codes, heads).curvature
    slack = np.zeros((len(heads), len(heads), 300))
    for (a, b), value in exact.items():
        slack[a, b] = slack[b, a] = np.broadcast_to(bound.get((a, b), 0.0), (1, 300)) - value
    assert np.linalg.eigvalsh(np.moveaxis(slack, -1, 0)).min() >= -1e-12


def test_offset_shifts_the_log_odds_of_a_classifier(rng):
    X = rng.standard_normal((400, 2))
    offset = rng.standard_normal(400)
    y = (X[:, 0] + offset + rng.logistic(size=400) > 0.0).astype(int)
    model = MoEClassifier(1, **ML_CLASSES).fit(X, y, offset=offset)
    expected = sm.Logit(y, sm.add_constant(X), offset=offset).fit(disp=False)
    np.testing.assert_allclose(coefficients(model), expected.params, rtol=1e-5)
    odds = model.intercept_[0] + X @ model.coef_[0] + offset
    found = model.predict_proba(X, offset=offset)[:, 1]
    np.testing.assert_allclose(found, 1.0 / (1.0 + np.exp(-odds)), rtol=1e-10)
    assert model.score(X, y, offset=offset) > model.score(X, y)


def test_exposure_is_routed_through_a_search(rng):
    X = rng.standard_normal((300, 2))
    exposure = rng.uniform(0.2, 3.0, 300)
    y = rng.poisson(exposure * np.exp(0.3 + 0.5 * X[:, 0])).astype(float)
    with config_context(enable_metadata_routing=True):
        model = MoERegressor(expert="poisson", n_init=2, random_state=0)
        search = GridSearchCV(
            model.set_fit_request(exposure=True),
            {"n_experts": [1]},
            scoring=LogDensityScorer().set_score_request(exposure=True),
            cv=3,
        ).fit(X, y, exposure=exposure)
    fold = slice(0, 100)
    rest = np.r_[100:300]
    alone = clone(model).set_params(n_experts=1).fit(X[rest], y[rest], exposure=exposure[rest])
    expected = alone.log_density(X[fold], y[fold], exposure=exposure[fold]).mean()
    np.testing.assert_allclose(search.cv_results_["split0_test_score"], [expected], rtol=1e-10)


def test_gaussian_offset_is_subtracted_from_y(rng):
    X = rng.standard_normal((300, 2))
    offset = 5.0 * rng.standard_normal(300)
    y = np.where(X[:, 0] > 0.0, X[:, 1], -X[:, 1]) + 0.2 * rng.standard_normal(300)
    plain = fit_one("gaussian", X, y)
    shifted = fit_one("gaussian", X, y + offset, offset=offset)
    np.testing.assert_allclose(shifted.coef_, plain.coef_, rtol=1e-8)
    np.testing.assert_allclose(shifted.dispersion_, plain.dispersion_, rtol=1e-8)


def test_dispersion_follows_its_features(rng):
    n = 4000
    X = rng.uniform(-1.0, 1.0, (n, 2))
    y = X[:, 0] + np.exp(0.5 * (-1.0 + 1.5 * X[:, 1])) * rng.standard_normal(n)
    model = MoERegressor(1, expert_features={"dispersion": [1]}, tol=1e-12, **ML).fit(X, y)
    # Standard error of a log-variance slope: sqrt(2 / n) / sd(x) = 0.039; four of them.
    np.testing.assert_allclose(model.dispersion_coef_, [[1.5]], atol=0.16)
    np.testing.assert_allclose(np.log(model.dispersion_), [-1.0], atol=0.09)
    assert model.n_parameters_ == 3 + 2


WITH_DISPERSION = [family for family in EVERY_FAMILY if family.has_dispersion]


@few_rows_may_be_warned_of
@pytest.mark.parametrize("family", WITH_DISPERSION, ids=repr)
def test_dispersion_may_be_shared_or_known(family, rng):
    X, y = simulate(family, rng)
    fits = {}
    for option in ("own", "shared", 0.3):
        expert = clone(family).set_params(dispersion=option)
        model = HMERegressor((3,), expert=expert, init=np.arange(len(y)) % 3, max_iter=60, **ML)
        fits[option] = model.fit(X, y)
        assert np.diff(model.history_).min() >= -1e-9 * (1.0 + abs(model.history_[-1]))
    np.testing.assert_array_equal(fits["shared"].dispersion_, fits["shared"].dispersion_[0])
    np.testing.assert_allclose(fits[0.3].dispersion_, 0.3, rtol=1e-12)
    assert fits["own"].n_parameters_ == fits["shared"].n_parameters_ + 2
    assert fits["own"].n_parameters_ == fits[0.3].n_parameters_ + 3


def test_known_dispersion_is_that_of_the_density(rng):
    X = rng.standard_normal((200, 1))
    y = 50.0 + 10.0 * X[:, 0] + 3.0 * rng.standard_normal(200)
    model = MoERegressor(1, expert=Gaussian(dispersion=9.0), **ML).fit(X, y)
    expected = stats.norm.logpdf(y, model.predict(X), 3.0)
    np.testing.assert_allclose(model.log_density(X, y), expected, rtol=1e-10)


def test_fixed_degrees_of_freedom_leave_no_shape(rng):
    X = rng.standard_normal((300, 1))
    y = X[:, 0] + rng.standard_t(4, 300)
    estimated = MoERegressor(1, expert="student_t", **ML).fit(X, y)
    fixed = MoERegressor(1, expert=StudentT(df=estimated.shape_[0]["df"]), **ML).fit(X, y)
    np.testing.assert_allclose(fixed.log_likelihood_, estimated.log_likelihood_, rtol=1e-8)
    assert fixed.n_parameters_ == estimated.n_parameters_ - 1
    assert fixed.shape_ == [{}]


def test_negative_binomial_without_extra_variance_is_reported_as_poisson(rng):
    X = rng.standard_normal((400, 1))
    y = rng.binomial(10, 1.0 / (1.0 + np.exp(-X[:, 0]))).astype(float)  # less than Poisson's
    model = fit_one("negative_binomial", X, y)
    assert model.limits_ == ["poisson"]
    assert "in effect poisson" in model.summary()
    poisson = fit_one("poisson", X, y)
    np.testing.assert_allclose(model.coef_, poisson.coef_, rtol=1e-6)
    np.testing.assert_allclose(model.log_likelihood_, poisson.log_likelihood_, rtol=1e-7)


WITH_LIMITS = {
    name: head.at_lower or head.at_upper
    for name, family in FAMILIES.items()
    for head in family().heads
    if head.at_lower or head.at_upper
}
AS_EXPERT = {"exponential": Gamma(dispersion=1.0)}


def draw_beyond(limit, eta, rng):
    """Draw y with lighter tails, or less variance, than any member of a family with this limit."""
    spread = rng.random(len(eta))
    if limit == "gaussian":
        return eta + spread, {}
    if limit in ("weibull", "exponential"):
        return np.exp(eta) * (0.05 + spread), {}
    odds = np.exp(eta)
    if limit == "poisson":
        return rng.binomial(20, 0.1 * odds / (1.0 + 0.1 * odds)).astype(float), {}
    trials = np.full(len(eta), 10.0)
    return np.round(10.0 * odds / (1.0 + odds) + 0.4 * (spread - 0.5)), {"trials": trials}


@pytest.mark.parametrize("name", WITH_LIMITS)
def test_one_expert_beyond_its_limit_ends_there_and_is_reported(name, rng):
    X = rng.standard_normal((400, 2))
    limit = WITH_LIMITS[name]
    y, given = draw_beyond(limit, 0.3 * X[:, 0], rng)
    model = MoERegressor(1, expert=name, tol=1e-10, **ML).fit(X, y, **given)
    assert model.limits_ == [limit]
    at_limit = AS_EXPERT.get(limit, limit)
    expected = MoERegressor(1, expert=at_limit, tol=1e-10, **ML).fit(X, y, **given)
    # Limits of shapes are finite: 1 000 degrees of freedom, a shape of 0.001.
    assert abs(model.log_likelihood_ - expected.log_likelihood_) < 1e-3 * len(y)
    if name in ("negative_binomial", "generalized_poisson", "beta_binomial"):
        np.testing.assert_allclose(model.log_likelihood_, expected.log_likelihood_, rtol=1e-9)


# Bad input and hard data.


@pytest.mark.parametrize(
    ("expert", "values", "row", "texts"),
    [
        ("poisson", [1.0, -2.0], {}, ["y must be", "poisson", "-2.0", "row 1"]),
        ("poisson", [1.5, 2.0], {}, ["poisson", "1.5", "row 0"]),
        ("gamma", [1.0, 0.0], {}, ["gamma", "0.0", "row 1"]),
        ("beta", [0.5, 1.0], {}, ["beta", "1.0", "row 1"]),
        ("lognormal", [-1.0, 1.0], {}, ["lognormal", "-1.0", "row 0"]),
        ("tweedie", [1.0, -0.5], {}, ["tweedie", "-0.5", "row 1"]),
        ("zero_truncated_poisson", [0.0, 3.0], {}, ["zero_truncated_poisson", "row 0"]),
        ("binomial", [3.0, 1.0], {"trials": [2.0, 2.0]}, ["binomial", "3.0", "2 trials", "row 0"]),
        ("poisson", [1.0, 2.0], {"exposure": [1.0, 0.0]}, ["exposure", "0.0", "row 1"]),
        ("poisson", [1.0, 2.0], {"exposure": [1.0]}, ["exposure", "(1,)"]),
        ("poisson", [1.0, 2.0], {"offset": [np.nan, 0.0]}, ["offset", "NaN"]),
        ("gaussian", [1.0, 2.0], {"exposure": [1.0, 1.0]}, ["exposure", "log link", "offset"]),
        ("gaussian", [1.0, 2.0], {"trials": [1.0, 1.0]}, ["trials", "binomial"]),
    ],
)
def test_targets_outside_of_the_support_are_refused(expert, values, row, texts):
    y = np.r_[values, np.full(8, 0.5 if expert == "beta" else 1.0)]
    padded = {name: np.r_[v, np.ones(8)] if len(v) == 2 else v for name, v in row.items()}
    with pytest.raises(ValueError, match=r"y must be|exposure|offset|trials") as caught:
        MoERegressor(1, expert=expert).fit(np.arange(10.0)[:, None], y, **padded)
    for text in texts:
        assert text in str(caught.value)


@pytest.mark.parametrize(
    ("expert", "text"),
    [
        ("cauchy", "'expert'"),
        (Gaussian(link="cube"), "'link'"),
        (StudentT(df=-1.0), "'df'"),
        (Gaussian(dispersion=-1.0), "'dispersion'"),
        (Gaussian(dispersion="none"), "'dispersion'"),
        (PointMass(at=np.nan), "'at'"),
        (["poisson"], "'expert'"),
        ("logistic", "'expert'"),
    ],
)
def test_unknown_families_and_options_are_refused(expert, text):
    with pytest.raises(ValueError, match=text):
        MoERegressor(2, expert=expert).fit(np.arange(10.0)[:, None], np.arange(10.0))


def assert_finite(model, X):
    for name in ("coef_", "intercept_", "gate_coef_", "gate_intercept_", "history_"):
        assert np.isfinite(getattr(model, name)).all(), name
    assert np.isfinite(model.predict(X)).all()


HARD = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@HARD
@pytest.mark.filterwarnings("ignore::mixexp.exceptions.DegenerateExpertWarning")
@pytest.mark.parametrize("expert", ["poisson", "negative_binomial"])
def test_counts_that_are_all_zero_in_one_regime_or_huge(expert, rng):
    X = rng.standard_normal((200, 1))
    zeros = np.where(X[:, 0] > 0.0, rng.poisson(5.0, 200), 0).astype(float)
    huge = rng.poisson(1e9, 200).astype(float)
    for y in (zeros, huge):
        assert_finite(MoERegressor(2, expert=expert, random_state=0).fit(X, y), X)


@HARD
def test_separable_binomials_are_finite_with_a_warning(rng):
    X = rng.standard_normal((200, 1))
    y = (X[:, 0] > 0.0).astype(float)
    with pytest.warns((SeparationWarning, RankDeficientWarning, DegenerateExpertWarning)):
        model = MoERegressor(1, expert="binomial", **ML).fit(X, y)
    assert_finite(model, X)
    assert issubclass(ConvergenceWarning, UserWarning)
