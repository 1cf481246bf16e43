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
from mixexp.model import Penalty, share_taken

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


@pytest.mark.parametrize(
    ("n_slopes", "n_own", "rows"),
    [
        (2, 1, 30.0),
        (2, 3, 30.0),
        (2, 12, 15.0),  # by the root of four times as many
        (9, 48, 20.0),  # two per coefficient
        (35, 48, 60.0),  # more than it has of its own: what one expert has
    ],
)
def test_pseudo_rows_of_a_dispersion_fall_with_the_number_of_experts(n_slopes, n_own, rows):
    assert Penalty(dispersion_prior=30.0).dispersion_rows(n_slopes, n_own) == pytest.approx(rows)


@pytest.mark.parametrize(
    ("n_slopes", "n_rows", "taken"),
    [(3, 16.0, 0.2), (6, 13.0, 6.35 / 13), (6, 8.0, 0.5), (5, 300.0, 0.0), (65, 300.0, 0.2)],
)
def test_pooled_dispersion_is_told_of_the_rows_that_coefficients_use_up(n_slopes, n_rows, taken):
    assert share_taken(n_slopes, n_rows) == pytest.approx(taken)


@pytest.mark.filterwarnings("ignore::mixexp.exceptions.RankDeficientWarning")
def test_columns_that_do_not_vary_do_not_count_among_slopes():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 5))
    y = np.abs(X[:, 0]) + rng.standard_normal(60)
    init = (X[:, 0] > 0.0).astype(int)
    model = MoERegressor(2, init=init).fit(X, y)
    wide = MoERegressor(2, init=init).fit(np.hstack([X, np.ones((60, 3))]), y)
    np.testing.assert_allclose(
        wide.penalized_log_likelihood_, model.penalized_log_likelihood_, rtol=1e-9
    )


@pytest.mark.filterwarnings("ignore::mixexp.exceptions.DegenerateExpertWarning")  # of eight
def test_experts_too_many_do_no_harm_where_noise_differs():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((1800, 4))
    y = X[:, 0] - X[:, 1] + np.exp(X[:, 0] - 0.5) * rng.standard_normal(1800)

    def score(n_experts):
        model = MoERegressor(n_experts, n_init=2, random_state=0).fit(X[:300], y[:300])
        return model.log_density(X[300:], y[300:]).mean()

    assert score(8) > score(3) - 0.02  # 0.09 less with 30 pseudo-rows for each of eight
