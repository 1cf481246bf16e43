"""The priors: their derivatives, the bound of EM's steps, and how the pull on experts fades."""

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


@every_tree
def test_bound_touches_the_penalty_and_is_nowhere_above(spec, rng):
    model, params = anywhere(Gaussian(), spec, rng)
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
