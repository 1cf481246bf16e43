"""The priors: their derivatives, the bound of EM's steps, and how the pull on experts fades."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from problems import (
    FAMILIES,
    TREES,
    make_problem,
    random_params,
    simulate_for,
    simulate_regimes,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

from mixexp import MoERegressor
from mixexp.experts import Gaussian
from mixexp.model import Penalty

PENALTY = Penalty(alpha=50.0, gate_alpha=2.0, dispersion_prior=20.0)
STEP = 1e-5

every_family = pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
every_tree = pytest.mark.parametrize("spec", TREES.values(), ids=TREES)


def anywhere(family, spec, rng, penalty=PENALTY):
    """Return a model and some of its parameters."""
    model = make_problem(simulate_for(family, rng, 60), family, spec, penalty=penalty).model
    return model, random_params(model, rng)


@every_family
@every_tree
def test_derivatives_match_central_differences(family, spec, rng):
    model, params = anywhere(family, spec, rng)
    prior, flat = model.prior, model.flatten(params)
    found = prior.at(flat)

    def differences(function):
        steps = STEP * np.eye(len(flat))
        return np.stack(
            [(function(flat + step) - function(flat - step)) / (2.0 * STEP) for step in steps]
        )

    gradient = differences(lambda at: prior.at(at).value)
    hessian = differences(lambda at: prior.at(at).gradient)
    # step**2 times third derivatives, and rounding, 1e-16 * 1e3 / 1e-5.
    np.testing.assert_allclose(found.gradient, gradient, atol=1e-7)
    np.testing.assert_allclose(found.information(), -hessian, atol=1e-7)


@every_family
@every_tree
def test_bound_touches_the_penalty_and_is_nowhere_above(family, spec, rng):
    model, params = anywhere(family, spec, rng)
    flat, here = model.flatten(params), model.prior.at(model.flatten(params))
    for size in (1e-3, 0.1, 1.0, 10.0):
        step = size * rng.standard_normal(len(flat))
        there = model.prior.at(flat + step).value
        parabola = here.value + here.gradient @ step - 0.5 * here.majorizer @ step**2
        assert there >= parabola - 1e-12 * (1.0 + abs(there))


def test_pull_fades_for_all_slopes_as_some_part(rng):
    model, _ = anywhere(Gaussian(), (3,), rng)
    center = model.prior.center
    slopes = np.flatnonzero(model.prior.pull)
    near, apart = center.copy(), center.copy()
    near[slopes[0]] += 1e-3
    apart[slopes[:2]] += [1e-3, 2.0]
    strengths = [-model.prior.at(at).gradient[slopes[0]] / 1e-3 for at in (near, apart)]
    np.testing.assert_allclose(strengths[0], PENALTY.alpha, rtol=1e-4)
    faded = 1.0 + 100.0 / len(slopes) * (np.sqrt(5.0) - 1.0)
    np.testing.assert_allclose(strengths[1], PENALTY.alpha / faded, rtol=1e-4)


@pytest.mark.parametrize("alpha", [0.5, 1.0, 30.0])
def test_single_expert_is_a_ridge_of_at_most_one(alpha, rng):
    data = simulate_regimes(rng, 200)
    model = MoERegressor(1, alpha=alpha).fit(data.X, data.y)
    Z = StandardScaler().fit_transform(data.X)
    # Per unit of the residual variance, with y in units of its standard deviation.
    strength = min(alpha, 1.0) * model.dispersion_[0] / data.y.var()
    ridge = Ridge(alpha=strength).fit(Z, data.y)
    np.testing.assert_allclose(model.predict(data.X), ridge.predict(Z), rtol=1e-7, atol=1e-9)


def test_strong_pull_makes_experts_the_pooled_one(rng):
    data = simulate_regimes(rng, 300)
    model = MoERegressor(3, alpha=1e7, n_init=2, random_state=0).fit(data.X, data.y)
    single = MoERegressor(1).fit(data.X, data.y)
    np.testing.assert_allclose(model.coef_, np.repeat(single.coef_, 3, axis=0), atol=1e-3)


def test_clear_regimes_are_left_alone(rng):
    x = np.concatenate([rng.uniform(-2.0, -1.0, 50), rng.uniform(1.0, 2.0, 50)])
    y = np.where(x < 0.0, 20.0 * x, -20.0 * x) + rng.standard_normal(100)
    model = MoERegressor(2, random_state=0).fit(x[:, None], y)
    np.testing.assert_allclose(np.sort(model.coef_[:, 0]), [-20.0, 20.0], atol=2.0)


def test_no_alpha_is_no_pull(rng):
    model, params = anywhere(Gaussian(), (3,), rng, PENALTY._replace(alpha=0.0))
    flat = model.flatten(params)
    found = model.prior.at(flat)
    is_slope = model.prior.pull > 0.0
    for of_slopes in (found.gradient, found.curvature, found.hessian_downdate, found.majorizer):
        np.testing.assert_array_equal(of_slopes[is_slope], 0.0)
    without = replace(model, penalty=Penalty(gate_alpha=2.0, dispersion_prior=20.0))
    assert found.value == without.prior.at(flat).value


UNITS = {
    "poisson": lambda mean, dispersion: mean**-0.5,
    "negative_binomial": lambda mean, dispersion: (1.0 / mean + dispersion) ** 0.5,
    "gamma": lambda mean, dispersion: dispersion**0.5,
    "lognormal": lambda mean, dispersion: dispersion**0.5,
    "inverse_gaussian": lambda mean, dispersion: (dispersion * mean) ** 0.5,
    "weibull": lambda mean, dispersion: dispersion,
    "tweedie": lambda mean, dispersion: (dispersion * mean**-0.5) ** 0.5,
}


@every_family
def test_slopes_are_measured_in_what_a_row_tells(family, rng):
    """Without features to go by, the information of a row has a closed form at the optimum."""
    data = simulate_for(family, rng, 400)
    problem = make_problem(data._replace(X=np.zeros((400, 0))), family, (2,), penalty=PENALTY)
    group, name = problem.model.groups[0], next(n for n, f in FAMILIES.items() if f is family)
    unit = UNITS.get(name)
    if unit is None:
        lower, upper = family.support_limits
        is_half_line = np.isfinite(lower) and np.isinf(upper) and not family.uses_trials
        assert (group.slope_unit != 1.0) == is_half_line
        return
    mean = data.y.mean() / group.scale
    found = unit(mean, np.exp(group.prior_log_dispersion))
    assert group.slope_unit == pytest.approx(found, rel=0.02)


@pytest.mark.filterwarnings("ignore::mixexp.exceptions.DegenerateExpertWarning")
@pytest.mark.parametrize("n_features", [3, 5])
@pytest.mark.parametrize("n_experts", [3, 5])
def test_lognormal_experts_are_gaussian_ones_of_log_y(n_experts, n_features):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200, n_features))
    slopes = np.where(X[:, :1] > 0.3, 1.0, -0.6) * (np.arange(n_features) < 3)
    y = np.exp((X * slopes).sum(axis=1) + 0.3 * rng.standard_normal(200))
    model = MoERegressor(n_experts, expert="lognormal", random_state=0).fit(X, y)
    of_logs = MoERegressor(n_experts, random_state=0).fit(X, np.log(y))
    # The pooled fit alone has a ridge, of one, in another unit.
    for name in ("log_likelihood_", "penalized_log_likelihood_"):
        gap = getattr(model, name) + np.log(y).sum() - getattr(of_logs, name)
        assert abs(gap) < 0.02


@pytest.mark.filterwarnings("ignore::mixexp.exceptions.DegenerateExpertWarning")
@pytest.mark.parametrize("options", [{"n_experts": 1}, {"l1": 5.0}])
def test_ridges_to_zero_know_no_such_unit(options):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200, 2))
    y = rng.poisson(np.exp(3.0 + 0.3 * X[:, 0])).astype(float)
    model = MoERegressor(expert="poisson", random_state=0, **options).fit(X, y)
    assert all(slot.unit == 1.0 for slot in model.fitted_model_.model.prior.slots)


def test_rows_whose_y_may_be_anything_leave_the_unit_alone():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((600, 2))
    y = np.exp(X[:, 0] + 0.7 * rng.standard_normal(600))
    units = []
    for n in (120, 600):
        lower = np.where(np.arange(n) < 120, y[:n], 1e-13)
        upper = np.where(np.arange(n) < 120, y[:n], np.inf)
        model = MoERegressor(2, expert="lognormal", init=np.arange(n) % 2, max_iter=1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(X[:n], lower, y_upper=upper)
        units.append(model.fitted_model_.model.groups[0].slope_unit)
    np.testing.assert_allclose(units[1], units[0], rtol=1e-2)


@pytest.mark.filterwarnings("ignore::mixexp.exceptions.DegenerateExpertWarning")
@pytest.mark.parametrize("n_experts", [3, 8])
def test_objective_is_what_theory_says(n_experts):
    """The second term of the objective in the manual, without gates and dispersions."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200, 3))
    y = rng.poisson(np.exp(2.0 + 0.4 * np.abs(X[:, 0]))).astype(float)
    model = MoERegressor(n_experts, expert="poisson", gate="constant", random_state=0).fit(X, y)
    pooled = MoERegressor(1, expert="poisson").fit(X, y)
    unit = pooled.predict(X).mean() ** -0.5
    away = (model.coef_ - pooled.coef_) * X.std(axis=0) / unit
    r = 0.01 * away.size * (3.0 / n_experts if n_experts > 4 else 1.0)
    prior = -100.0 * r * np.log1p(np.sum(np.sqrt(1.0 + away**2) - 1.0) / r)
    assert model.penalized_log_likelihood_ - model.log_likelihood_ == pytest.approx(prior, rel=1e-6)
