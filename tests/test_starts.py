"""Starts: partitions that are functions of the weighted data, for any tree and family."""

import numpy as np
import pytest
from problems import FAMILIES, make_problem, simulate_for, simulate_regimes

from mixexp import HMERegressor, MoERegressor
from mixexp.em import (
    STARTS,
    _initial_partitions,
    params_from_responsibilities,
    pooled_params,
    smooth_labels,
)
from mixexp.em._initial_partitions import draw_partitions, draw_starts
from mixexp.experts import (
    Gamma,
    Gaussian,
    InverseGaussian,
    Lognormal,
    NegativeBinomial,
    PointMass,
    Poisson,
    Uniform,
)
from mixexp.tree import GatingTree

every_strategy = pytest.mark.parametrize("strategy", STARTS)
every_family = pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
SHAPES = [(3,), (2, 2), [[1, 1], 1], [1, [1, 1, [1, 1]]]]


def partitions(data, strategy, spec=(3,), family=None, weight=None):
    """Return the labels of three seeds."""
    problem = make_problem(data, family or Gaussian(), spec, weight=weight)
    drawn = draw_partitions(problem, pooled_params(problem), strategy, [0, 1, 2])
    return np.stack([candidates[0] for candidates in drawn])


@every_strategy
@pytest.mark.parametrize("spec", SHAPES, ids=str)
def test_every_leaf_is_given_rows(strategy, spec, rng):
    labels = partitions(simulate_regimes(rng, 400), strategy, spec)
    n_leaves = GatingTree.from_spec(spec).n_leaves
    for own in labels:
        assert np.bincount(own, minlength=n_leaves).min() >= 2


def test_every_other_start_has_parts_that_tell_coefficients_apart(rng):
    """Eight experts of nine coefficients on 120 rows: three rows for each in four parts."""
    data = simulate_regimes(rng, 120)
    wide = data._replace(X=rng.standard_normal((120, 8)))

    def sizes(labels):
        return [np.sort(np.bincount(own, minlength=8)) for own in labels]

    for spec in ((8,), (2, 2, 2)):
        found = sizes(partitions(wide, "auto", spec))
        for own in (found[0], found[2]):
            assert own.min() >= 10
        assert found[1].min() >= 1  # what makes experts differ
        assert found[1][:4].max() <= 4 < 20 <= found[1][4:].min()
    for own in sizes(partitions(wide, "random", (8,))):
        assert own.min() >= 5
    assert sizes(partitions(wide, "auto", (8,), weight=np.full(120, 2.0)))[1].min() >= 10
    few = sizes(partitions(data._replace(X=rng.standard_normal((120, 40))), "auto", (8,)))
    assert few[1][:5].max() <= 4 < 20 <= few[1][5:].min()


@every_strategy
def test_row_of_weight_two_is_two_rows(strategy, rng):
    data = simulate_regimes(rng, 200)
    times = rng.integers(1, 4, 200)
    repeated = data._replace(X=np.repeat(data.X, times, axis=0), y=np.repeat(data.y, times))
    weighted = partitions(data, strategy, weight=times.astype(float))
    np.testing.assert_array_equal(
        np.repeat(weighted, times, axis=1), partitions(repeated, strategy)
    )


@every_strategy
def test_starts_are_the_same_whether_rows_are_projected_for_one_or_for_all(
    strategy, rng, monkeypatch
):
    data = simulate_regimes(rng, 200)
    together = partitions(data, strategy, [[1, 1], 1])
    monkeypatch.setattr(_initial_partitions, "_MOST_PROJECTIONS", 1)
    np.testing.assert_array_equal(partitions(data, strategy, [[1, 1], 1]), together)


@every_strategy
def test_order_of_rows_is_no_matter(strategy, rng):
    data, order = simulate_regimes(rng, 300), rng.permutation(300)
    shuffled = data._replace(X=data.X[order], y=data.y[order])
    np.testing.assert_array_equal(
        partitions(data, strategy)[:, order], partitions(shuffled, strategy)
    )


@every_strategy
@every_family
def test_every_family_can_start(strategy, family, rng):
    problem = make_problem(simulate_for(family, rng, 200), family, [[1, 1], 1])
    for start in draw_starts(problem, pooled_params(problem), strategy, [0, 1]):
        flat = problem.model.flatten(start)
        assert np.isfinite(problem.evaluate(start).objective)
        assert np.all(np.isfinite(flat))


@every_strategy
@pytest.mark.parametrize("families", [[Uniform(), Uniform()], [PointMass(0.0), Poisson()]])
def test_experts_without_coefficients_or_full_support_can_start(strategy, families, rng):
    data = simulate_regimes(rng, 200)
    counts = np.where(rng.random(200) < 0.4, 0.0, rng.poisson(3.0, 200))
    data = data._replace(y=counts if isinstance(families[1], Poisson) else data.y)
    problem = make_problem(data, families, (2,))
    for start in draw_starts(problem, pooled_params(problem), strategy, [0]):
        assert np.isfinite(problem.evaluate(start).objective)


@every_strategy
@pytest.mark.parametrize(("make", "spec"), [(MoERegressor, 2), (HMERegressor, (2, 1))])
def test_strategies_are_there_by_name(strategy, make, spec, rng):
    x = rng.uniform(-1.0, 1.0, (300, 1))
    y = 5.0 * np.abs(x[:, 0]) + 0.1 * rng.standard_normal(300)
    model = make(spec, init=strategy, n_init=3, random_state=0).fit(x, y)
    np.testing.assert_allclose(np.sort(model.coef_[:, 0]), [-5.0, 5.0], atol=0.2)
    assert model.restarts_[0].start == f"{strategy} 0"


@pytest.mark.parametrize(
    "family", [Gamma(), InverseGaussian(), NegativeBinomial(), Poisson()], ids=repr
)
def test_first_steps_from_far_below_y_are_held(family, rng):
    # Steps of a log mean are as far as y is above the mean: e**4 times, here, were they not held.
    data = simulate_regimes(rng, 300)
    mean = np.exp(0.3 * data.y)
    y = rng.poisson(5.0 * mean).astype(float) if family.is_discrete else rng.gamma(5.0, mean)
    problem = make_problem(data._replace(y=y), family, (3,))
    begun = pooled_params(problem)
    location, *others = begun.experts[0]
    low = begun._replace(experts=((location - [4.0, 0.0, 0.0], *others),))
    resp = smooth_labels(data.labels, 3)[:, None]
    found = params_from_responsibilities(problem, [low], lambda rows: resp[..., rows])
    moved = (found.experts[0][0][0] - low.experts[0][0]) @ problem.held[0].features.to_array()
    assert np.abs(moved).max() <= 3 * 5.0 + 1e-9  # in three steps


def test_first_steps_of_exact_families_are_whole(rng):
    data = simulate_regimes(rng, 300)
    y, far = np.exp(data.y), np.exp(data.y + 40.0 * (data.labels == 2))
    resp = smooth_labels(data.labels, 3)[:, None]
    for given in (y, far):
        problem = make_problem(data._replace(y=given), Lognormal(), (3,))
        begun = pooled_params(problem)
        found = params_from_responsibilities(problem, [begun], lambda rows: resp[..., rows])
        X, log_y = problem.held[0].features.to_array(), np.log(problem.held[0].targets[0])
        for k in range(3):
            root = np.sqrt(resp[k, 0])
            expected = np.linalg.lstsq((X * root).T, log_y * root, rcond=None)[0]
            np.testing.assert_allclose(found.experts[0][0][0, k], expected, atol=1e-8)
