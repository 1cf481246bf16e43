"""Which optimum is kept: the best that is regular, and moves that leave lesser ones."""

import numpy as np
import pytest
from problems import UNPENALIZED, simulate_regimes

from mixexp import EM, HMERegressor, MoEClassifier, MoERegressor
from mixexp.exceptions import ConvergenceWarning, DegenerateExpertWarning

tolerant = pytest.mark.filterwarnings("ignore::mixexp.exceptions.DegenerateExpertWarning")


def with_points_on_a_line(rng, n=120):
    """Return noisy rows, three of which stand on one line: a spike of the likelihood."""
    x = rng.uniform(-1.0, 1.0, n)
    y = np.abs(x) + 0.3 * rng.standard_normal(n)
    y[:3] = 3.0 + x[:3]
    return x[:, None], y


@tolerant
@pytest.mark.filterwarnings("ignore::mixexp.exceptions.SeparationWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("n_init", [1, 8])
def test_regular_optimum_wins_against_a_spike(n_init, rng):
    X, y = with_points_on_a_line(rng)
    spiked = np.full(len(y), 0.0)
    spiked[:3] = 1.0
    resp = np.column_stack([1.0 - spiked, spiked])
    spike = MoERegressor(2, init=resp, **UNPENALIZED).fit(X, y)
    assert spike.degenerate_.any()
    model = MoERegressor(2, n_init=n_init, random_state=0, **UNPENALIZED).fit(X, y)
    assert spike.log_likelihood_ > model.log_likelihood_
    assert not model.degenerate_.any()


@pytest.mark.filterwarnings("ignore::mixexp.exceptions.SeparationWarning")
def test_degenerate_experts_are_those_of_the_warning(rng):
    X, y = with_points_on_a_line(rng)
    is_spiked = np.arange(len(y)) < 3
    resp = np.column_stack([~is_spiked, is_spiked]).astype(float)
    model = MoERegressor(2, init=resp, **UNPENALIZED)
    with pytest.warns(DegenerateExpertWarning) as caught:
        model.fit(X, y)
    numbers = np.flatnonzero(model.degenerate_).tolist()
    assert any(f"experts {numbers}" in str(entry.message) for entry in caught)


@tolerant
@pytest.mark.parametrize("make", [MoERegressor, HMERegressor, MoEClassifier])
def test_optima_are_those_of_the_starts(make, rng):
    data = simulate_regimes(rng, 300, n_regimes=4)
    y = (data.y > 0.0).astype(int) if make is MoEClassifier else data.y
    model = make(n_init=6, random_state=0).fit(data.X, y)
    converged = [restart for restart in model.restarts_ if restart.converged]
    assert sum(optimum.n_starts for optimum in model.optima_) == len(converged)
    objectives = [optimum.objective for optimum in model.optima_]
    assert objectives == sorted(objectives, reverse=True)
    assert objectives[0] == max(restart.objective for restart in converged)
    np.testing.assert_allclose(model.penalized_log_likelihood_, objectives[0], rtol=1e-6)
    assert "starts" in model.summary()


@tolerant
@pytest.mark.parametrize("data_seed", range(3))
def test_moves_never_end_lower(data_seed):
    data = simulate_regimes(np.random.default_rng(data_seed), 300, n_regimes=5)
    without = MoERegressor(5, n_init=1, solver=EM(n_moves=0), random_state=1).fit(data.X, data.y)
    reached = [without.penalized_log_likelihood_]
    for n_moves in (1, 2):
        moved = MoERegressor(5, n_init=1, solver=EM(n_moves=n_moves), random_state=1).fit(
            data.X, data.y
        )
        reached.append(moved.penalized_log_likelihood_)
        assert len(moved.restarts_) <= 1 + n_moves
        assert np.diff(moved.history_).min() >= -1e-9 * (1.0 + abs(moved.history_[-1]))
    assert np.diff(reached).min() >= -1e-8 * (1.0 + abs(reached[0]))


def test_size_decides_how_many_starts_are_affordable(rng):
    numbers = []
    for n, n_experts in ((100, 2), (3000, 4), (3000, 8)):
        data = simulate_regimes(rng, n, n_regimes=2)
        model = MoERegressor(
            n_experts, n_init="auto", solver=EM(n_moves=0), max_iter=1, random_state=0
        )
        with pytest.warns(ConvergenceWarning, match="max_iter=1"):
            model.fit(data.X, data.y)
        numbers.append(len(model.restarts_))
    assert numbers == sorted(numbers, reverse=True)
    assert numbers[0] == 50
    assert numbers[-1] >= 5
