"""Strengths of the prior that depend on the numbers of experts, rows and columns."""

import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from mixexp import HMERegressor, MoERegressor
from mixexp.constraints import Shared
from mixexp.exceptions import DegenerateExpertWarning
from mixexp.experts import Gaussian
from mixexp.model import Penalty, share_taken

N_ROWS = 300


@pytest.mark.parametrize(
    ("n_slopes", "n_rows", "taken"),
    [
        (1, 15.0, 0.0),
        (3, 16.0, 2 / 16),
        (6, 13.0, 5 / 13),
        (6, 80.0, 3 / 80),  # a coefficient per 20 rows is free
        (6, 8.0, 0.5),
        (5, 300.0, 0.0),
        (65, 300.0, 0.2),
        (3, 0.0, 0.0),
    ],
)
def test_pooled_dispersion_is_told_of_rows_that_coefficients_use_up(n_slopes, n_rows, taken):
    assert share_taken(n_slopes, n_rows) == pytest.approx(taken)


@pytest.mark.filterwarnings("ignore::mixexp.exceptions.RankDeficientWarning")
@pytest.mark.parametrize("n_rows", [60, 200])
def test_columns_that_do_not_vary_do_not_count_among_slopes(n_rows):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n_rows, 5))
    y = np.abs(X[:, 0]) + rng.standard_normal(n_rows)
    init = (X[:, 0] > 0.0).astype(int)
    model = MoERegressor(2, init=init).fit(X, y)
    wide = MoERegressor(2, init=init).fit(np.hstack([X, np.ones((n_rows, 3))]), y)
    np.testing.assert_allclose(
        wide.penalized_log_likelihood_, model.penalized_log_likelihood_, rtol=1e-9
    )


@pytest.mark.parametrize(
    ("n_rows", "n_dispersions", "n_slopes", "rows"),
    [
        (15.0, 4, 1, 30.0),  # few experts have what one has
        (442.0, 6, 3, 30.0),
        (300.0, 8, 4, 15.75),  # 42 % of the rows
        (600.0, 8, 4, 30.0),
        (100.0, 8, 1, 15.0),  # those of four
        (400.0, 8, 11, 24.0),  # two per coefficient
        (400.0, 8, 40, 30.0),  # no more than one alone has
        (60.0, 8, 4, 20.0),  # 40 coefficients in 60 rows
        (20.0, 8, 4, 30.0),
    ],
)
def test_pseudo_rows_of_many_dispersions_are_few(n_rows, n_dispersions, n_slopes, rows):
    penalty = Penalty(alpha=100.0, gate_alpha=3.0, dispersion_prior=30.0)
    found = penalty.for_rows(n_rows, n_dispersions, n_slopes, 3.0)
    assert found == penalty._replace(dispersion_prior=rows)


@pytest.mark.parametrize(
    ("alpha", "n_rows", "n_experts", "share"),
    [
        (100.0, 200.0, 1.0, 1.0),
        (100.0, 200.0, 4.0, 1.0),
        (100.0, 200.0, 4.5, 2 / 3),
        (100.0, 200.0, 8.0, 3 / 8),
        (100.0, 200.0, 64.0, 0.3),
        (100.0, 600.0, 8.0, 0.6),  # what parts by chance gains more on more rows
        (100.0, 1000.0, 8.0, 1.0),
        (60.0, 200.0, 8.0, 5 / 8),  # parting costs less as it is
        (30.0, 200.0, 8.0, 1.0),
        (30.0, 200.0, 64.0, 1.0),  # the default for classes
        (0.0, 200.0, 8.0, 1.0),
        (1e-320, 200.0, 8.0, 1.0),
        (1e6, 200.0, 8.0, 3 / 8),  # a pull that is to hold experts together does
    ],
)
def test_many_experts_part_at_the_cost_of_three(alpha, n_rows, n_experts, share):
    penalty = Penalty(alpha=alpha, dispersion_prior=30.0)
    found = penalty.for_rows(n_rows, 4, 1, n_experts)
    assert found == penalty._replace(sooner=pytest.approx(1.0 - share))
    assert found.fades_at(1) == pytest.approx(0.01 * share)
    assert found.fades_at(15) == pytest.approx(0.01 * share * 2.0**-1.5)
    assert found.weakened(1).fades_at(1) == 0.01
    assert found.given == [*["alpha"] * (alpha > 0.0), "dispersion_prior"]


def test_words_and_distances_are_no_strengths():
    assert Penalty(l1_groups="column", gate_l1_groups="column", sooner=0.5).given == []
    assert Penalty(alpha=1.0, l1=2.0, l1_groups="column").given == ["alpha", "l1"]


@pytest.mark.parametrize(
    ("n_slopes", "grown"), [(0, 1.0), (4, 1.0), (14, 3.5), (120, 30.0), (500, 30.0)]
)
def test_weak_priors_of_many_slopes_are_less_weak(n_slopes, grown):
    penalty = Penalty(alpha=100.0, gate_alpha=3.0, dispersion_prior=30.0)
    weak = penalty.weakened(n_slopes)
    assert weak == Penalty(grown, min(0.3 * grown, 3.0), grown)
    assert weak.weakened(n_slopes) == weak
    assert Penalty(0.5, 0.1, 0.2).weakened(n_slopes) == Penalty(0.5, 0.1, 0.2)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    ("n_experts", "expert", "shared", "counted"),
    [
        (8, "gaussian", [], 8.0),
        (8, "gaussian", ["x0"], 4.5),  # nine slopes of two columns
        (8, "gaussian", ["x0", "x1"], 1.0),
        (8, ["gaussian"] * 4 + ["student_t"] * 3 + ["uniform"], [], 7.0),  # one has no slopes
        (8, "gamma", [], 8.0),
    ],
    ids=["alone", "one shared", "all shared", "families", "gamma"],
)
def test_experts_that_share_slopes_are_one_to_the_pull(n_experts, expert, shared, counted):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200, 2))
    y = np.exp(0.5 * X[:, 0] + 0.3 * rng.standard_normal(200))
    init, constraints = np.arange(200) % n_experts, [Shared(name) for name in shared] or None
    model = MoERegressor(
        n_experts, expert=expert, constraints=constraints, init=init, max_iter=1
    ).fit(X, y)
    found = model.fitted_model_.model.penalty.fades_at(2)
    assert found == pytest.approx(0.01 * (3.0 / counted if counted > 4.0 else 1.0))


@pytest.mark.parametrize(
    ("gate_alpha", "gate_l1", "n_slopes", "ridges"),
    [
        (3.0, 0.0, 1, [3.0, 3.0, 2.4, 1.5, 0.3]),
        (3.0, 0.0, 9, [9.0, 9.0, 7.2, 4.5, 0.9]),  # three times as strong for nine slopes
        (0.01, 0.0, 1, [0.01] * 5),  # what is weak is taken as it is
        (3.0, 1.0, 9, [3.0] * 5),  # that of an elastic net, too
    ],
)
def test_gates_of_many_children_have_a_weaker_ridge(gate_alpha, gate_l1, n_slopes, ridges):
    penalty = Penalty(gate_alpha=gate_alpha, gate_l1=gate_l1)
    found = penalty.gate_ridge(n_slopes, np.array([2, 4, 5, 8, 100]))
    np.testing.assert_allclose(found, ridges)


def test_ridges_go_by_the_children_of_each_gate():
    X, y = draw_growing_noise(200)
    model = HMERegressor([[1] * 8, 1, 1], init=np.arange(200) % 10, max_iter=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        prior = model.fit(X, y).fitted_model_.model.prior
    of_gates = prior.strength[: 11 * 5].reshape(11, 5)
    np.testing.assert_array_equal(of_gates[:, 0], 0.0)
    np.testing.assert_allclose(of_gates[:3, 1:], 3.0)
    np.testing.assert_allclose(of_gates[3:, 1:], 1.5)


def draw_steps(n, rng):
    """Draw eight levels along the first of two features, which a gate has to part."""
    X = rng.uniform(-1.0, 1.0, (n, 2))
    return X, np.floor(4.0 * X[:, 0]) ** 2 + 0.3 * rng.standard_normal(n)


@pytest.mark.filterwarnings(f"ignore::{DegenerateExpertWarning.__module__}.DegenerateExpertWarning")
def test_borders_between_eight_pieces_are_not_flat():
    rng = np.random.default_rng(0)
    X, y = draw_steps(400, rng)
    new_X, new_y = draw_steps(4000, rng)
    model = MoERegressor(8, n_init=5, random_state=0).fit(X, y)
    held_out = model.log_density(new_X, new_y).mean()
    assert held_out > -0.75  # -0.87 with the ridge that gates of few children have


def draw_growing_noise(n):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, 4))
    return X, X[:, 0] - X[:, 1] + np.exp(X[:, 0] - 0.5) * rng.standard_normal(n)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    ("expert", "rows"),
    [
        ("gaussian", 15.75),
        (["gaussian"] * 4 + ["student_t"] * 4, 15.75),
        (Gaussian(dispersion="shared"), 30.0),  # is one
        ([Gaussian(dispersion="shared")] * 3 + ["laplace"] * 5, 21.0),  # six of them
    ],
    ids=["own", "two families", "shared", "some shared"],
)
def test_dispersions_are_counted(expert, rows):
    X, y = draw_growing_noise(N_ROWS)
    labels = np.arange(N_ROWS) % 8
    model = MoERegressor(8, expert=expert, init=labels, max_iter=1).fit(X, y)
    assert model.fitted_model_.model.penalty.dispersion_prior == rows


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_integer_weights_count_as_rows():
    X, y = draw_growing_noise(200)
    labels = np.arange(200) % 8
    weight = np.random.default_rng(1).integers(1, 3, 200)
    options = {"max_iter": 1}
    weighted = MoERegressor(8, init=labels, **options).fit(X, y, sample_weight=weight)
    repeated = MoERegressor(8, init=np.repeat(labels, weight), **options)
    repeated.fit(np.repeat(X, weight, axis=0), np.repeat(y, weight))
    np.testing.assert_allclose(
        weighted.penalized_log_likelihood_, repeated.penalized_log_likelihood_, rtol=1e-9
    )


@pytest.mark.filterwarnings(f"ignore::{DegenerateExpertWarning.__module__}.DegenerateExpertWarning")
def test_experts_too_many_do_no_harm_where_noise_grows():
    X, y = draw_growing_noise(N_ROWS + 1500)

    def score(n_experts):
        model = MoERegressor(n_experts, n_init=2, random_state=0).fit(X[:N_ROWS], y[:N_ROWS])
        return model.log_density(X[N_ROWS:], y[N_ROWS:]).mean()

    assert score(8) > score(3) - 0.02  # 0.09 less with 30 pseudo-rows for each of eight


def draw_stones(n):
    """Draw log sizes that are nearly the same, prices of two regimes, and other columns."""
    rng = np.random.default_rng(0)
    size = 0.45 * rng.standard_normal(n)
    sizes = size[:, None] + np.array([0.05, 0.07, 0.1]) * rng.standard_normal((n, 3))
    others = rng.standard_normal((n, 4))
    is_large = size + 0.1 * rng.standard_normal(n) > 0.2
    y = np.where(is_large, 0.4 + 2.2 * size, 1.6 * size) + 0.05 * others[:, 0] * is_large
    y += 0.06 * (1.0 + is_large) * rng.standard_normal(n)
    return np.hstack([sizes, others]), (y - y.mean()) / y.std()


@pytest.mark.filterwarnings(f"ignore::{DegenerateExpertWarning.__module__}.DegenerateExpertWarning")
@pytest.mark.parametrize("n_experts", [3, 8])
def test_slopes_of_collinear_columns_stay_near_the_pooled_ones(n_experts):
    X, y = draw_stones(N_ROWS + 1000)
    assert np.corrcoef(X[:, :3].T).min() > 0.95
    line = MoERegressor(1).fit(X[:N_ROWS], y[:N_ROWS])
    model = MoERegressor(n_experts, random_state=0).fit(X[:N_ROWS], y[:N_ROWS])
    # Where regimes differ by a third of the slope of size, which three columns share.
    assert np.abs(model.coef_[:, :3]).max() < 1.5 * np.abs(line.coef_[0, :3]).max()
    gain = model.log_density(X[N_ROWS:], y[N_ROWS:]) - line.log_density(X[N_ROWS:], y[N_ROWS:])
    assert gain.mean() > 0.3
