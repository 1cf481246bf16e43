"""Predictions without the experts that are noise."""

import numpy as np
import pytest
import sklearn
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mixexp import EM, HMERegressor, MoERegressor
from mixexp.experts import FAMILIES, Gaussian

OPTIONS = {"n_init": 1, "random_state": 0}
MODELS = {
    "last": MoERegressor(3, expert=["gaussian", "gaussian", "uniform"], **OPTIONS),
    "between": MoERegressor(3, expert=["gaussian", "uniform", "student_t"], **OPTIONS),
    "two": MoERegressor(4, expert=["uniform", "gaussian", "gaussian", "uniform"], **OPTIONS),
    "tree": HMERegressor([[1, 1], 1], expert=["gaussian", "uniform", "gaussian"], **OPTIONS),
}


@pytest.fixture
def spoilt(rng):
    """Return two lines with gross errors in one row of twenty, and their means."""
    X = rng.normal(size=(400, 2))
    mean = np.where(X[:, 0] > 0.0, 2.0 + 3.0 * X[:, 1], -1.0 - X[:, 1])
    y = mean + 0.3 * rng.normal(size=400)
    y[::20] += 200.0 * rng.normal(size=20)
    return X, y, mean


@pytest.mark.filterwarnings("ignore::mixexp.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore::mixexp.exceptions.DegenerateExpertWarning")
@pytest.mark.parametrize("name", MODELS)
def test_mean_is_that_of_the_others_with_renormalised_gates(name, spoilt):
    X, y, mean = spoilt
    model = sklearn.clone(MODELS[name]).fit(X, y)
    found, spread = model.predict(X, without_noise=True, return_std=True)
    kept = [k for k, family in enumerate(model.experts_) if not family.is_noise]
    share = model.gate_proba(X)[:, kept]
    share /= share.sum(axis=1, keepdims=True)
    by_expert = model.predict_experts(X)[:, kept]
    np.testing.assert_allclose(found, (share * by_expert).sum(axis=1), rtol=1e-10, atol=1e-10)
    np.testing.assert_array_equal(found, model.predict(X, without_noise=True))
    alone = [dist.std() for k, dist in enumerate(model.predict_dist(X).experts()) if k in kept]
    second = (share * (np.column_stack(alone) ** 2 + by_expert**2)).sum(axis=1)
    np.testing.assert_allclose(spread, np.sqrt(second - found**2), rtol=1e-6)
    error, spoilt_error = (np.mean((p - mean) ** 2) for p in (found, model.predict(X)))
    assert error < spoilt_error
    # Far away the gate gives all others next to nothing, and the answer is theirs all the same.
    assert np.isfinite(model.predict(1e6 * X, without_noise=True, return_std=True)).all()


def test_pipelines_and_searches_pass_it_on(spoilt):
    X, y, _ = spoilt
    pipeline = make_pipeline(StandardScaler(), sklearn.clone(MODELS["last"])).fit(X, y)
    inner = pipeline[-1].predict(pipeline[:-1].transform(X), without_noise=True)
    np.testing.assert_array_equal(pipeline.predict(X, without_noise=True), inner)
    with sklearn.config_context(enable_metadata_routing=True):
        model = sklearn.clone(MODELS["last"]).set_predict_request(without_noise=True)
        routed = make_pipeline(StandardScaler(), model).fit(X, y)
        np.testing.assert_array_equal(routed.predict(X, without_noise=True), inner)


def test_family_of_ones_own_may_be_noise(spoilt):
    class Wide(Gaussian):
        name = "wide"
        is_noise = True

    X, y, _ = spoilt
    expert = ["gaussian", "gaussian", Wide(dispersion=4e4)]
    model = MoERegressor(3, expert=expert, expert_features=[1], **OPTIONS).fit(X, y)
    share = model.gate_proba(X)[:, :2]
    expected = (share * model.predict_experts(X)[:, :2]).sum(axis=1) / share.sum(axis=1)
    np.testing.assert_allclose(model.predict(X, without_noise=True), expected, rtol=1e-9)


def test_noise_is_the_uniform_family_alone():
    assert [name for name, family in FAMILIES.items() if family.is_noise] == ["uniform"]


@pytest.mark.parametrize("expert", ["gaussian", "uniform"])
def test_nothing_to_leave_out_or_to_keep_is_refused(expert, spoilt):
    X, y, _ = spoilt
    model = MoERegressor(2, expert=expert, alpha=1e3, solver=EM(balance=5.0), **OPTIONS).fit(X, y)
    with pytest.raises(ValueError, match=f"'without_noise'.*'{expert}', '{expert}'"):
        model.predict(X, without_noise=True)


def test_routing_of_its_own_is_said(spoilt):
    X, y, _ = spoilt
    model = sklearn.clone(MODELS["last"]).fit(X, y)
    with pytest.raises(ValueError, match=r"'routing'.*'soft'.*'hard'"):
        model.predict(X, routing="hard", without_noise=True)
