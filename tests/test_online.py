"""`partial_fit`: stepwise EM against fits to all rows, and what it refuses."""

import json
import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from fitted import ESTIMATORS, data_for
from problems import UNPENALIZED, UNPENALIZED_CLASSES, make_problem, random_params, simulate_regimes
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge
from test_reference import REFERENCE

from mixexp import EM, HMERegressor, MoEClassifier, MoERegressor, from_json
from mixexp.constraints import Shared
from mixexp.em import begin_sums, evaluation_of, learn_batch, resume_sums
from mixexp.em._m_step import em_step
from mixexp.em._online import carry_statistics
from mixexp.estimators._online import _problem_of, _Rows
from mixexp.exceptions import ConvergenceWarning
from mixexp.experts import Gaussian
from mixexp.model import map_parameters, posterior_of_block

# Few rows are kept before steps begin, and fits to them are quick.
QUICK = {"n_init": 1, "random_state": 0}


@pytest.fixture
def few_are_kept(monkeypatch):
    monkeypatch.setattr("mixexp.estimators._online._KEPT_ROWS", 200)
    monkeypatch.setattr("mixexp.em._online.BATCH_ROWS", 64)


def held_out(model, data):
    return float(model.log_density(data.X, data.y).mean())


# Ten epochs, and the optimum of all rows.


@pytest.mark.filterwarnings("ignore::mixexp.exceptions.SeparationWarning")  # of the first rows
@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("G1", MoERegressor(3, **UNPENALIZED, n_init=3, random_state=0)),
        ("P1", MoERegressor(3, expert="poisson", **UNPENALIZED, n_init=3, random_state=0)),
        ("B1", MoEClassifier(3, **UNPENALIZED_CLASSES, n_init=10, random_state=0)),
    ],
)
def test_ten_epochs_end_near_the_optimum_of_all_rows(name, model):
    table = pd.read_csv(REFERENCE / f"{name}.csv.gz")  # whose columns are not in the same order
    X, y = table.drop(columns=["y", "z"]).to_numpy(), table["y"].to_numpy(float)
    answer = json.loads((REFERENCE / f"{name}.json").read_text())
    classes = {"classes": [0.0, 1.0]} if name == "B1" else {}
    for _ in range(10):
        model.partial_fit(X, y, **classes)
    reached = model.log_density(X, y).sum()
    assert reached == pytest.approx(answer["loglik"], rel=1e-4)
    assert model.n_samples_seen_ == 10 * len(y)


# The sums.


@pytest.mark.parametrize("tree", [(3,), [[1, 1], 1]])
def test_carried_sums_of_gaussian_experts_are_those_of_the_rows(tree, rng):
    problem = make_problem(simulate_regimes(rng, 200), Gaussian(), tree)
    model = problem.model
    params = random_params(model, rng)
    first = map_parameters(lambda array: array[None], params)
    sums = begin_sums(problem, params)
    after = em_step(problem, evaluation_of(model, first, sums.stats), 0, False).params
    carried = carry_statistics(model, sums.stats, first, after)
    (block,) = problem.blocks
    resp = posterior_of_block(model, params, block).node_resp[model.tree.leaves]
    expected = problem.evaluate(after, lambda rows, own: resp[:, None]).stats
    for own, theirs in zip(carried.groups, expected.groups, strict=True):
        for found, wanted in zip(own.gradient, theirs.gradient, strict=True):
            np.testing.assert_allclose(found, wanted, atol=1e-9 * problem.total_weight)
        np.testing.assert_allclose(own.curvature[0, 0], theirs.curvature[0, 0], rtol=1e-9)


def test_a_step_at_the_optimum_goes_nowhere(rng):
    data = simulate_regimes(rng, 600, n_regimes=2)
    model = MoERegressor(2, tol=1e-12, **QUICK).fit(data.X, data.y)
    fitted = model.fitted_model_
    problem = _problem_of(model, _Rows(data.X, data.y, np.ones(600), {}))
    start = fitted.model.flatten(fitted.params)
    for sums in (
        begin_sums(problem, fitted.params),
        resume_sums(problem, fitted.params, 600.0),
    ):
        after = learn_batch(problem, sums, forget=0.5)
        moved = fitted.model.flatten(after.params)[0] - start
        # tol leaves 1e-12 of the objective, some 1e-9, to gain; curvature is at least 1.
        assert np.abs(moved).max() < 1e-4


# Every estimator.


@pytest.mark.parametrize("name", ESTIMATORS)
def test_more_rows_teach_more(name, few_are_kept, rng):
    model = clone(ESTIMATORS[name]).set_params(n_init=1)
    data, other = data_for(model, rng, 1500), data_for(model, rng, 1500)
    classes = {"classes": [0, 1, 2]} if hasattr(model, "predict_proba") else {}
    whole = clone(model).fit(data.X, data.y)
    scratch = clone(model)
    for part in np.array_split(np.arange(1500), 7):
        scratch.partial_fit(data.X[part], data.y[part], **classes)
    warm = clone(model).fit(data.X[:300], data.y[:300])
    before = held_out(warm, other)
    warm.partial_fit(data.X[300:], data.y[300:])
    assert scratch.n_samples_seen_ == warm.n_samples_seen_ == 1500
    for online in (scratch, warm):
        # A start from fewer rows may be of another optimum: as good, but for a hundredth.
        assert held_out(online, other) > held_out(whole, other) - 0.02
    assert held_out(warm, other) > before - 0.005


def test_mixed_families_constraints_and_penalties_are_kept(few_are_kept, rng):
    data = simulate_regimes(rng, 1200, n_regimes=2)
    mixed = MoERegressor(2, expert=["gaussian", "student_t"], **QUICK)
    mixed.partial_fit(data.X, data.y)
    assert held_out(mixed, data) > held_out(MoERegressor(1).fit(data.X, data.y), data) + 0.1
    tied = MoERegressor(2, constraints=[Shared(0)], **QUICK).partial_fit(data.X, data.y)
    assert tied.coef_[0, 0] == pytest.approx(tied.coef_[1, 0], rel=1e-12)
    sparse_one = MoERegressor(2, l1=60.0, solver=EM(balance=5.0), **QUICK)
    noise = rng.standard_normal((1200, 3))
    sparse_one.partial_fit(np.column_stack([data.X, noise]), data.y)
    assert (sparse_one.coef_ == 0.0).any()
    hard = MoERegressor(2, solver=EM(variant="cem"), **QUICK).partial_fit(data.X, data.y)
    assert np.isfinite(held_out(hard, data))


def test_row_arguments_frames_and_sparse_rows(few_are_kept, rng):
    X = rng.standard_normal((900, 2))
    y = rng.poisson(np.exp(0.3 * X[:, 0] + 1.0) * 2.0).astype(float)
    frame = pd.DataFrame(X, columns=["age", "km"])
    options = {"expert": "poisson", "expert_features": ["age"], **QUICK}
    named = MoERegressor(2, **options)
    plain = MoERegressor(2, **options | {"expert_features": [0]})
    packed = MoERegressor(2, **options | {"expert_features": [0]})
    for at in (slice(0, 150), slice(150, 500), slice(500, 900)):
        given = {"exposure": np.full(len(y[at]), 2.0)}
        named.partial_fit(frame[at], y[at], **given)
        plain.partial_fit(X[at], y[at], **given)
        packed.partial_fit(sparse.csr_array(X[at]), y[at], **given)
    assert list(named.feature_names_in_) == ["age", "km"]
    np.testing.assert_array_equal(named.coef_, plain.coef_)
    np.testing.assert_allclose(packed.coef_, plain.coef_, rtol=1e-6, atol=1e-8)


def test_weights_are_numbers_of_rows(few_are_kept, rng):
    data = simulate_regimes(rng, 500, n_regimes=2)
    model = MoERegressor(2, **QUICK).fit(data.X, data.y)
    weight = rng.integers(0, 3, 500).astype(float)
    repeated = np.repeat(np.arange(500), weight.astype(int))
    weighed, copied = pickle.loads(pickle.dumps(model)), pickle.loads(pickle.dumps(model))
    for at in range(0, 500, 50):  # parts of the rows that are less than a mini-batch
        own = repeated[(repeated >= at) & (repeated < at + 50)]
        weighed.partial_fit(data.X[at : at + 50], data.y[at : at + 50], weight[at : at + 50])
        copied.partial_fit(data.X[own], data.y[own])
    assert weighed.n_samples_seen_ == copied.n_samples_seen_
    # The first rows are kept until there are 200, with weights or without.
    assert held_out(weighed, data) == pytest.approx(held_out(copied, data), abs=0.01)


def test_a_constant_rate_follows_drift(few_are_kept, rng):
    X = rng.standard_normal((4000, 1))
    moving = np.where(np.arange(4000) < 2000, 1.0, -1.0)
    y = moving * X[:, 0] + 0.1 * rng.standard_normal(4000)
    options = {"alpha": 0.0, **QUICK}
    keeps = MoERegressor(1, **options).partial_fit(X, y)
    forgets = MoERegressor(1, **options).partial_fit(X, y, forget=0.005)
    # Steps that decay stand for the last t**0.6 mini-batches and their average; the constant
    # rate has 0.995**2000 = 4e-5 of the old rows left.
    assert forgets.coef_[0, 0] == pytest.approx(-1.0, abs=0.03)
    assert abs(keeps.coef_[0, 0] + 1.0) > abs(forgets.coef_[0, 0] + 1.0)


def test_models_that_travel_go_on(few_are_kept, tmp_path, rng):
    data = simulate_regimes(rng, 900, n_regimes=2)
    model = MoERegressor(2, **QUICK).partial_fit(data.X[:500], data.y[:500])
    model.rename_experts(["a", "b"]).to_json(tmp_path / "model.json")
    copied = pickle.loads(pickle.dumps(model)).partial_fit(data.X[500:], data.y[500:])
    read = from_json(tmp_path / "model.json").partial_fit(data.X[500:], data.y[500:])
    model.partial_fit(data.X[500:], data.y[500:])
    np.testing.assert_array_equal(model.coef_, copied.coef_)
    assert model.expert_names_ == ["a", "b"]
    assert read.n_samples_seen_ == 900  # as warm as after a fit
    assert held_out(read, data) == pytest.approx(held_out(model, data), abs=0.02)


def test_fit_forgets_what_came_in_parts(few_are_kept, rng):
    data = simulate_regimes(rng, 400, n_regimes=2)
    model = MoERegressor(2, **QUICK).partial_fit(data.X, data.y)
    fresh = MoERegressor(2, **QUICK).fit(data.X[:200], data.y[:200])
    np.testing.assert_array_equal(model.fit(data.X[:200], data.y[:200]).coef_, fresh.coef_)
    assert model.n_samples_seen_ == 200


def test_progress_is_printed(few_are_kept, rng, capsys):
    data = simulate_regimes(rng, 600, n_regimes=2)
    MoERegressor(2, verbose=1, **QUICK).partial_fit(data.X, data.y)
    assert "600 rows so far" in capsys.readouterr().out


# Bad input.


def test_too_few_rows_are_kept_until_there_are_more(rng):
    data = simulate_regimes(rng, 100, n_regimes=2)
    model = MoERegressor(2, **QUICK).partial_fit(data.X[:1], data.y[:1])
    with pytest.raises(NotFittedError):
        model.predict(data.X)
    model.partial_fit(data.X[1:], data.y[1:])
    assert model.n_samples_seen_ == 100
    np.testing.assert_array_equal(model.coef_, MoERegressor(2, **QUICK).fit(data.X, data.y).coef_)


@pytest.mark.parametrize(
    ("changes", "given", "message"),
    [
        ({}, {"forget": 1.0}, "forget must be None or a share"),
        ({}, {"forget": "slowly"}, "forget must be None or a share"),
        ({}, {"groups": np.zeros(60)}, "groups is not for partial_fit"),
        ({}, {"truncation": -9.0}, "truncation is not for partial_fit"),
        ({"init": np.zeros(60, dtype=int)}, {}, "'init' parameter must be a name"),
        ({}, {"sample_weight": np.zeros(60)}, "sample_weight is zero"),
    ],
)
def test_what_cannot_be_learned_in_parts_is_refused(changes, given, message, rng):
    data = simulate_regimes(rng, 60, n_regimes=2)
    model = MoERegressor(2, **QUICK).set_params(**changes)
    before = set(vars(model))
    with pytest.raises(ValueError, match=message):
        model.partial_fit(data.X, data.y, **given)
    assert set(vars(model)) == before


def test_other_classes_and_other_row_arguments_are_refused(rng):
    X, y = rng.standard_normal((90, 2)), np.arange(90) % 3
    model = MoEClassifier(2, max_iter=20, **QUICK)
    with pytest.raises(ValueError, match="classes must be given in the first call"):
        model.partial_fit(X, y)
    with pytest.warns(ConvergenceWarning):  # a class without a row
        model.partial_fit(X[:30], y[:30] % 2, classes=[0, 1, 2])
    assert list(model.classes_) == [0, 1, 2]
    assert model.predict_proba(X).shape == (90, 3)
    with pytest.raises(ValueError, match="classes must be the same in every call"):
        model.partial_fit(X, y, classes=[0, 1])
    with pytest.raises(ValueError, match="was not there in fit"):
        model.partial_fit(X, y + 1)
    with pytest.raises(ValueError, match="give the same per row in every call"):
        model.partial_fit(X, y, offset=np.ones(90))
    with pytest.raises(ValueError, match="features"):
        model.partial_fit(X[:, :1], y)
    assert list(model.classes_) == [0, 1, 2]


@pytest.mark.parametrize("n_before", [1, 40, 6000])
@pytest.mark.parametrize("is_fitted", [False, True])
def test_another_number_of_targets_is_refused_by_name(n_before, is_fitted, rng):
    x = rng.normal(size=(6000, 1))
    y = x[:, 0] + 0.1 * rng.normal(size=6000)
    both = np.column_stack([y, y + rng.normal(size=6000)])
    for first, second in ((y, both), (both, y), (both, np.column_stack([both, y]))):
        model = MoERegressor(2, max_iter=5, n_init=1, random_state=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if is_fitted:
                model.fit(x[:50], first[:50])
            model.partial_fit(x[:n_before], first[:n_before])
        before = dict(vars(model))
        with pytest.raises(ValueError, match=r"^y has "):
            model.partial_fit(x[:20], second[:20])
        assert all(vars(model)[name] is value for name, value in before.items())


def test_trees_stay_in_order(few_are_kept, rng):
    data = simulate_regimes(rng, 1000)
    model = HMERegressor([[1, 1], 1], n_init=2, random_state=0).fit(data.X, data.y)
    before = model.coef_.copy()
    model.partial_fit(data.X, data.y)
    distance = np.abs(model.coef_[:, None] - before[None]).sum(axis=2)
    np.testing.assert_array_equal(distance.argmin(axis=1), np.arange(3))


def test_estimators_fitted_to_all_rows_have_no_partial_fit():
    for model in (MoERegressor(2, expert=Ridge()), MoERegressor(2, gate="gaussian")):
        assert not hasattr(model, "partial_fit")
    assert hasattr(
        MoERegressor(2, expert=["gaussian", "student_t"], gate="constant"), "partial_fit"
    )
