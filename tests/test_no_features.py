"""Mixtures that see no feature, and columns that do not vary."""

import numpy as np
import pandas as pd
import pytest
from problems import UNPENALIZED
from sklearn.base import clone
from sklearn.pipeline import make_pipeline

from mixexp import (
    EM,
    HMERegressor,
    MoEClassifier,
    MoERegressor,
    export_text,
    select_n_experts,
)
from mixexp.em import STARTS
from mixexp.exceptions import RankDeficientWarning

N_ROWS = 200
OPTIONS = {"n_init": 2, "random_state": 0}
EMPTY = {
    "array": np.empty((N_ROWS, 0)),
    "float32": np.empty((N_ROWS, 0), dtype=np.float32),
    "frame": pd.DataFrame(index=range(N_ROWS)),
}
SETTINGS = {
    "constant gate": {"gate": "constant"},
    "no features": {"gate_features": [], "expert_features": []},
}


@pytest.fixture
def two_heaps(rng):
    return np.where(rng.random(N_ROWS) < 0.4, 3.0, -3.0) + rng.normal(size=N_ROWS)


@pytest.mark.parametrize("penalty", [{}, UNPENALIZED], ids=["penalized", "unpenalized"])
@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("kind", EMPTY)
def test_model_without_features_is_a_mixture_of_densities(kind, setting, penalty, two_heaps):
    X, y = EMPTY[kind], two_heaps
    model = MoERegressor(2, **SETTINGS[setting], **OPTIONS, **penalty).fit(X, y)
    assert model.coef_.shape == model.gate_coef_.shape == (2, 0)
    assert model.n_features_in_ == 0
    assert model.n_parameters_ == 5
    np.testing.assert_allclose(model.intercept_, [-3.0, 3.0], atol=0.4)
    # The same as where there are columns that nobody looks at.
    beside = {"gate_features": [], "expert_features": []}
    other = MoERegressor(2, **beside, **OPTIONS, **penalty).fit(np.arange(N_ROWS)[:, None], y)
    np.testing.assert_allclose(model.log_likelihood_, other.log_likelihood_, rtol=1e-7)
    mean = float(model.gate_proba(X)[0] @ model.intercept_)
    np.testing.assert_allclose(model.predict(X), mean)
    np.testing.assert_allclose(model.predict(X, routing="hard"), model.intercept_[0])
    assert np.isfinite(model.predict_quantile(X, [0.1, 0.9])).all()
    assert np.isfinite(model.inference(X, y).std_errors).all()
    assert np.isfinite(model.bootstrap(X, y, n_resamples=2, random_state=0).std_errors).all()
    assert "node" not in export_text(model)
    assert "expert 1" in model.summary()


@pytest.mark.parametrize("init", STARTS)
def test_starts_need_no_features(init, two_heaps):
    model = MoERegressor(2, gate="constant", init=init, **OPTIONS).fit(EMPTY["array"], two_heaps)
    np.testing.assert_allclose(model.intercept_, [-3.0, 3.0], atol=0.4)


def test_trees_classes_and_selections_need_none(two_heaps):
    X, y = EMPTY["array"], two_heaps
    tree = HMERegressor([[1, 1], 1], gate="constant", solver=EM(balance=5.0), **OPTIONS).fit(X, y)
    assert np.isfinite(tree.predict(X)).all()
    one = MoEClassifier(1, gate="constant").fit(X, y > 0.0)
    np.testing.assert_allclose(one.predict_proba(X)[0], [1.0 - np.mean(y > 0), np.mean(y > 0)])
    chosen = select_n_experts(MoERegressor(gate="constant", **OPTIONS), X, y, [1, 2])
    assert chosen.best_candidate_ == 2
    pipeline = make_pipeline("passthrough", MoERegressor(2, gate="constant", **OPTIONS)).fit(X, y)
    assert pipeline.predict(X).shape == (N_ROWS,)


@pytest.mark.parametrize("kind", EMPTY)
def test_mistaken_lack_of_columns_is_refused_with_a_way_out(kind, two_heaps):
    with pytest.raises(ValueError, match=r"0 feature\(s\).*minimum of 1.*gate='constant'"):
        MoERegressor(2).fit(EMPTY[kind], two_heaps)
    fitted = MoERegressor(1).fit(two_heaps[::-1, None], two_heaps)
    with pytest.raises(ValueError, match="0 feature"):
        fitted.predict(EMPTY[kind])
    without = MoERegressor(1, gate="constant").fit(EMPTY[kind], two_heaps)
    with pytest.raises(ValueError, match=r"2 features.*0 features"):
        without.predict(np.ones((3, 2)))


@pytest.mark.parametrize("gate", ["softmax", "constant"])
@pytest.mark.parametrize("n_varying", [0, 1])
def test_constant_column_is_said_once(n_varying, gate, two_heaps, rng):
    X = np.column_stack([np.ones(N_ROWS), rng.normal(size=(N_ROWS, n_varying))])
    model = MoERegressor(2, gate=gate, **OPTIONS, **UNPENALIZED)
    with pytest.warns(RankDeficientWarning) as caught:
        model.fit(X, two_heaps)
    without = MoERegressor(2, gate="constant", expert_features=[], **OPTIONS)
    n_slopes = n_varying * (2 + (gate == "softmax"))
    assert model.n_parameters_ == 5 + n_slopes  # a slope that is none costs nothing in criteria
    assert without.fit(X, two_heaps).n_parameters_ == 5
    assert [str(warning.message) for warning in caught] == [
        "MoERegressor: columns [0] of X are constant; their coefficients are zero."
    ]


def test_constant_column_that_nobody_looks_at_is_not_said(two_heaps):
    X = np.ones((N_ROWS, 1))
    clone(MoERegressor(2, gate_features=[], expert_features=[], **OPTIONS)).fit(X, two_heaps)


def test_collinear_columns_are_still_said(two_heaps, rng):
    x = rng.normal(size=N_ROWS)
    with pytest.warns(RankDeficientWarning, match="collinear"):
        MoERegressor(1, **UNPENALIZED).fit(np.c_[x, 2.0 * x], two_heaps)
