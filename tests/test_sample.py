"""The sample of rows on which starts compete, where there are many rows."""

import numpy as np
import pytest

from mixexp import EM, HMERegressor, MoEClassifier, MoERegressor
from mixexp.data import RowArguments
from mixexp.datasets import make_hme
from mixexp.em import _subsample
from mixexp.em._subsample import sample_problem
from mixexp.estimators._build import Columns, build_problem
from mixexp.estimators._gates import NodeGate
from mixexp.experts import Gaussian
from mixexp.model import Penalty
from mixexp.tree import GatingTree

N_ROWS = 9_000


@pytest.fixture
def few_rows_suffice(monkeypatch):
    """Sample a thousand rows, so that nine thousand are many."""
    monkeypatch.setattr(_subsample, "_FEWEST_ROWS", 1_000)
    monkeypatch.setattr(_subsample, "_ROWS_PER_PARAMETER", 20)


def simulate(rng, n=N_ROWS):
    X = rng.standard_normal((n, 2))
    y = np.where(X[:, 0] > 0.0, X[:, 1], 2.0 - X[:, 1]) + 0.3 * rng.standard_normal(n)
    return X, y


def make_problem(X, y, weight):
    return build_problem(
        X,
        y,
        RowArguments(weight),
        tree=GatingTree.flat(2),
        families=[Gaussian()] * 2,
        node_gates=[NodeGate([0, 1])],
        columns=Columns([0, 1], [0, 1]),
        penalty=Penalty(1.0, 1.0, 1.0),
        n_threads=1,
    )[0]


def rows_of(problem):
    """Return features, target and weight of all rows, one row each."""
    blocks = list(problem.blocks)
    features = np.concatenate([block.features.values for block in blocks], axis=1)
    targets = np.concatenate([block.targets[0] for block in blocks])
    return np.column_stack([features.T, targets, np.concatenate([b.weight for b in blocks])])


def test_sample_has_the_weight_and_the_moments_of_all_rows(few_rows_suffice, rng):
    X, y = simulate(rng)
    problem = make_problem(X, y, rng.uniform(0.0, 3.0, N_ROWS))
    sample = sample_problem(problem, np.random.default_rng(0))
    assert 900 <= sample.n_rows <= 1_000
    np.testing.assert_allclose(sample.total_weight, problem.total_weight, rtol=1e-12)
    found = rows_of(sample)
    known = {tuple(row) for row in rows_of(problem)[:, :-1]}
    assert all(tuple(row) in known for row in found[:, :-1])
    # Features are standardised: 5 standard errors of a mean of a thousand.
    assert np.all(np.abs(np.average(found[:, 1:3], axis=0, weights=found[:, -1])) < 0.16)


def test_sample_of_weighted_rows_is_that_of_repeated_rows(few_rows_suffice, rng):
    X, y = simulate(rng)
    weight = rng.integers(0, 4, N_ROWS)
    repeated = make_problem(X.repeat(weight, axis=0), y.repeat(weight), np.ones(weight.sum()))
    is_used = weight > 0
    weighted = make_problem(X[is_used], y[is_used], weight[is_used].astype(float))
    found = [rows_of(sample_problem(p, np.random.default_rng(3))) for p in (repeated, weighted)]
    # Copies of one row may both be drawn.
    merged = []
    for rows in found:
        places, inverse = np.unique(rows[:, :-1].round(8), axis=0, return_inverse=True)
        merged.append(np.column_stack([places, np.bincount(inverse.ravel(), rows[:, -1])]))
    np.testing.assert_allclose(merged[0], merged[1], atol=1e-7)


def test_few_rows_are_all_used(rng):
    X, y = simulate(rng)
    problem = make_problem(X, y, np.ones(N_ROWS))
    assert sample_problem(problem, np.random.default_rng(0)) is problem


@pytest.mark.parametrize("n_init", [1, 6])
def test_fit_after_a_sample_is_an_optimum_of_all_rows(few_rows_suffice, n_init, rng):
    X, y = simulate(rng)
    model = MoERegressor(2, n_init=n_init, random_state=0).fit(X, y)
    assert model.converged_
    again = MoERegressor(2, init=model, tol=1e-12).fit(X, y)
    np.testing.assert_allclose(
        model.penalized_log_likelihood_, again.penalized_log_likelihood_, rtol=1e-9
    )
    reasons = [restart.reason for restart in model.restarts_]
    assert len(reasons) == n_init
    assert sum("on a sample of" in reason for reason in reasons) == n_init - 1
    (winner,) = [r for r in model.restarts_ if "on a sample of" not in r.reason]
    assert winner.objective == model.penalized_log_likelihood_
    # What the others reached is an estimate on the scale of all rows.
    others = [r.objective for r in model.restarts_ if r is not winner and r.converged]
    assert all(abs(value / winner.objective - 1.0) < 0.2 for value in others)


def test_what_moves_on_a_sample_led_to_is_followed_on_all_rows(few_rows_suffice):
    tree = [[[1, 1], 1], [1, 1]]
    X, y, _ = make_hme(N_ROWS, 3, tree=tree, random_state=102)
    without = HMERegressor(tree, n_init=1, solver=EM(n_moves=0), random_state=0).fit(X, y)
    model = HMERegressor(tree, n_init=1, random_state=0).fit(X, y)
    assert any("nested as" in restart.start for restart in model.restarts_)
    assert model.penalized_log_likelihood_ > without.penalized_log_likelihood_ + 100.0


@pytest.mark.parametrize("n_classes", [2, 3])
def test_classes_sorted_by_label_are_sampled_evenly(few_rows_suffice, n_classes, rng):
    X, y = simulate(rng)
    labels = np.sort(np.digitize(y, [1.0, 2.0][: n_classes - 1]))
    X = X + labels[:, None]
    model = MoEClassifier(2, n_init=2, random_state=0).fit(X, labels)
    share = model.predict_proba(X).mean(axis=0)
    np.testing.assert_allclose(share, np.bincount(labels) / N_ROWS, atol=0.01)


@pytest.mark.parametrize("expert", ["poisson", ["point_mass", "poisson"]], ids=["one", "mixed"])
def test_counts_with_exposure_are_sampled(few_rows_suffice, expert, rng):
    X, _ = simulate(rng)
    exposure = rng.uniform(0.5, 2.0, N_ROWS)
    y = rng.poisson(exposure * np.exp(np.where(X[:, 0] > 0.0, 1.0 + 0.3 * X[:, 1], -0.5)))
    model = MoERegressor(2, expert=expert, n_init=2, random_state=0)
    model.fit(X, y.astype(float), exposure=exposure)
    again = MoERegressor(2, expert=expert, init=model, tol=1e-12)
    again.fit(X, y.astype(float), exposure=exposure)
    np.testing.assert_allclose(model.history_[-1], again.history_[-1], rtol=1e-8)


@pytest.mark.parametrize("seed", range(3))
def test_optima_are_those_of_all_rows(seed, few_rows_suffice):
    X, y = simulate(np.random.default_rng(seed))
    model = MoERegressor(2, random_state=seed).fit(X, y)
    assert model.optima_[0].log_likelihood == model.log_likelihood_
    assert model.optima_[0].objective == model.penalized_log_likelihood_
    followed = [restart for restart in model.restarts_ if restart.n_starts]
    assert 1 <= len(followed) <= 3 < len(model.restarts_)
    for restart in model.restarts_:
        assert ("on a sample of" in restart.reason) == (restart.n_starts == 0)
    n_found = sum(
        restart.n_starts
        for restart in followed
        if restart.objective > model.optima_[0].objective - 0.01
    )
    assert f"found by {n_found} of" in model.summary()


def test_sixty_thousand_rows_compete_whole():
    # Where events are rare, a sample of 20 000 of so many has optima of its own.
    rng = np.random.default_rng(41)
    X = rng.normal(size=(60_000, 2))
    problem = make_problem(X, X[:, 0] + rng.normal(size=60_000), np.ones(60_000))
    assert sample_problem(problem, np.random.default_rng(0)) is problem
