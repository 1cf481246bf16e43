"""The estimators as scikit-learn users meet them."""

import io
import pickle

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
from fitted import ESTIMATORS, N_ROWS, assert_same_outputs, data_for, outputs
from problems import UNPENALIZED, simulate_classes, simulate_regimes
from scipy import stats
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from mixexp import HMERegressor, MoEClassifier, MoERegressor
from mixexp.exceptions import DegenerateExpertWarning
from mixexp.metrics import log_density_scorer, negative_bic_scorer

pytestmark = pytest.mark.filterwarnings(
    "ignore::mixexp.exceptions.DegenerateExpertWarning",
    "ignore::mixexp.exceptions.SeparationWarning",
)

every_estimator = pytest.mark.parametrize("model", ESTIMATORS.values(), ids=ESTIMATORS)


# With scikit-learn's tools.


def frame_data(rng):
    data = simulate_regimes(rng, N_ROWS, n_regimes=2)
    frame = pd.DataFrame(data.X, columns=["speed", "load"])
    return frame.assign(kind=np.where(data.labels == 0, "dry", "wet")), data.y


def test_pipeline_with_column_transformer(rng):
    frame, y = frame_data(rng)
    columns = ColumnTransformer(
        [("numbers", StandardScaler(), ["speed", "load"]), ("kinds", OneHotEncoder(), ["kind"])],
        verbose_feature_names_out=False,
    ).set_output(transform="pandas")
    columns.set_params(kinds__sparse_output=False, kinds__drop="first")
    moe = MoERegressor(2, gate_features=["kind_wet"], expert_features=["speed", "load"])
    pipeline = Pipeline([("columns", columns), ("moe", moe.set_params(random_state=0, n_init=2))])
    pipeline.fit(frame, y)
    assert pipeline.score(frame, y) > 0.8
    assert list(pipeline[-1].feature_names_in_) == ["speed", "load", "kind_wet"]
    assert pipeline[-1].gate_coef_.shape == (2, 1)
    shuffled = frame[["kind", "load", "speed"]]
    np.testing.assert_array_equal(pipeline.predict(shuffled), pipeline.predict(frame))


def test_grid_search_over_experts_and_alpha(rng):
    data = simulate_regimes(rng, N_ROWS, n_regimes=2)
    grid = {"n_experts": [1, 2], "alpha": [0.1, 1.0]}
    search = GridSearchCV(
        MoERegressor(n_init=2, random_state=0), grid, cv=3, n_jobs=2, scoring=log_density_scorer
    )
    search.fit(data.X, data.y)
    assert search.best_params_["n_experts"] == 2
    assert np.all(np.isfinite(search.cv_results_["mean_test_score"]))


def test_grid_search_over_trees(rng):
    data = simulate_regimes(rng, N_ROWS, n_regimes=2)
    model = HMERegressor(n_init=1, random_state=0, max_iter=2000)
    grid = {"tree": [(1,), (2,), [[1, 1], 1]]}
    search = GridSearchCV(model, grid, cv=3, n_jobs=2, scoring=log_density_scorer)
    scores = search.fit(data.X, data.y).cv_results_["mean_test_score"]
    assert scores[0] < scores[1:].min()


def test_cross_val_predict(rng):
    data = simulate_regimes(rng, N_ROWS, n_regimes=2)
    model = MoERegressor(2, n_init=2, random_state=0)
    held_out = cross_val_predict(model, data.X, data.y, cv=3)
    assert held_out.shape == data.y.shape
    classes = simulate_classes(rng, N_ROWS, 3)
    proba = cross_val_predict(
        MoEClassifier(2, n_init=1, random_state=0, max_iter=2000),
        classes.X,
        classes.y,
        cv=3,
        method="predict_proba",
    )
    np.testing.assert_allclose(proba.sum(axis=1), 1.0, atol=1e-12)


@every_estimator
def test_clone_is_unfitted_and_equal(model, rng):
    data = data_for(model, rng)
    fitted = clone(model).fit(data.X, data.y)
    copied = clone(fitted)
    assert copied.get_params() == fitted.get_params()
    assert not [name for name in vars(copied) if name.endswith("_") or name == "fitted_model_"]
    assert_same_outputs(
        outputs(copied.fit(data.X, data.y), data.X, data.y), outputs(fitted, data.X, data.y)
    )


@every_estimator
def test_pickle_and_joblib_keep_every_bit(model, rng):
    data = data_for(model, rng)
    fitted = clone(model).fit(data.X, data.y)
    expected = outputs(fitted, data.X, data.y)
    buffer = io.BytesIO()
    joblib.dump(fitted, buffer)
    buffer.seek(0)
    for copied in (pickle.loads(pickle.dumps(fitted)), joblib.load(buffer)):
        assert_same_outputs(outputs(copied, data.X, data.y), expected)
        assert copied.summary() == fitted.summary()
        np.testing.assert_array_equal(copied.history_, fitted.history_)


def test_fit_does_not_touch_its_arguments(rng):
    data = simulate_regimes(rng, N_ROWS)
    X, y, weight = data.X.copy(), data.y.copy(), rng.uniform(0.5, 2.0, N_ROWS)
    kept = weight.copy()
    init = np.full((N_ROWS, 2), 0.5)
    init[:, 0] += 0.1 * np.sign(X[:, 0])
    init[:, 1] = 1.0 - init[:, 0]
    start = init.copy()
    model = MoERegressor(2, init=init).fit(X, y, weight)
    model.log_density(X, y)
    model.predict(X)
    for found, expected in ((X, data.X), (y, data.y), (weight, kept), (init, start)):
        np.testing.assert_array_equal(found, expected)


# Rows.


@every_estimator
def test_one_row_at_a_time_gives_the_same_bits(model, rng):
    data = data_for(model, rng)
    fitted = clone(model).fit(data.X, data.y)
    expected = outputs(fitted, data.X, data.y)
    rows = [outputs(fitted, data.X[i : i + 1], data.y[i : i + 1]) for i in range(0, len(data.y), 7)]
    for name, value in expected.items():
        found = np.concatenate([row[name] for row in rows])
        np.testing.assert_array_equal(found, value[::7], err_msg=name)


@every_estimator
def test_order_and_blocks_of_rows_do_not_matter_to_prediction(model, rng):
    data = data_for(model, rng)
    fitted = clone(model).fit(data.X, data.y)
    order = rng.permutation(len(data.y))
    expected = outputs(fitted, data.X, data.y)
    found = outputs(fitted, data.X[order], data.y[order])
    assert_same_outputs(found, {name: value[order] for name, value in expected.items()})
    many = 4096 // len(data.y) + 2
    found = outputs(fitted, np.tile(data.X, (many, 1)), np.tile(data.y, many))
    assert_same_outputs({name: value[-len(order) :] for name, value in found.items()}, expected)


# Columns and containers.


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame], ids=["pandas", "polars"])
def test_frames_keep_their_names(make, rng):
    data = simulate_regimes(rng, N_ROWS, n_regimes=2)
    frame = make({"speed": data.X[:, 0], "load": data.X[:, 1]})
    target = frame["load"] * 0.0 + data.y
    model = MoERegressor(2, n_init=2, random_state=0).fit(frame, target)
    plain = clone(model).fit(data.X, data.y)
    assert list(model.feature_names_in_) == ["speed", "load"]
    np.testing.assert_array_equal(model.predict(frame), plain.predict(data.X))
    np.testing.assert_array_equal(
        model.log_density(frame, target), plain.log_density(data.X, data.y)
    )
    assert "speed" in model.summary()
    with pytest.raises(ValueError, match="names"):
        model.predict(frame[["load", "speed"]])
    with pytest.raises(ValueError, match="load"):
        model.predict(frame[["speed"]])
    with pytest.warns(UserWarning, match="feature names"):
        model.predict(data.X)


def read_only(values):
    out = values.copy()
    out.setflags(write=False)
    return out


def mapped(values, folder):
    name = f"{len(list(folder.iterdir()))}.dat"
    out = np.memmap(folder / name, dtype=values.dtype, mode="w+", shape=values.shape)
    out[:] = values
    return out


def strided(values):
    return np.repeat(values, 2, axis=0)[::2]


LAYOUTS = {
    "fortran": lambda values, _: np.asfortranarray(values),
    "list": lambda values, _: values.tolist(),
    "tuple": lambda values, _: tuple(map(tuple, values)) if values.ndim == 2 else tuple(values),
    "read_only": lambda values, _: read_only(values),
    "memmap": mapped,
    "negative_stride": lambda values, _: values[::-1].copy()[::-1],
    "strided": lambda values, _: strided(values),
    "big_endian": lambda values, _: values.astype(">f8"),
    "object": lambda values, _: values.astype(object),
    "long_double": lambda values, _: values.astype(np.longdouble),
    "unmasked": lambda values, _: np.ma.MaskedArray(values),
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_layouts_give_the_same_bits(layout, rng, tmp_path):
    data = simulate_regimes(rng, N_ROWS, n_regimes=2)
    weight = rng.uniform(0.5, 2.0, N_ROWS)
    model = MoERegressor(2, n_init=2, random_state=0)
    expected = clone(model).fit(data.X, data.y, weight)
    X, y, w = (layout(values, tmp_path) for values in (data.X, data.y, weight))
    found = clone(model).fit(X, y, w)
    assert_same_outputs(outputs(found, X, y), outputs(expected, data.X, data.y))
    np.testing.assert_array_equal(found.history_, expected.history_)


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint8, np.int64, np.float16, np.float32])
def test_dtypes_give_the_same_bits_as_their_float64_values(dtype, rng):
    X = rng.integers(0, 2 if dtype is bool else 9, (N_ROWS, 3)).astype(dtype)
    numbers = X.astype(float)
    y = (numbers[:, 0] * np.sign(numbers[:, 1] - numbers[:, 1].mean())).round().astype(np.int32)
    noisy = y + rng.integers(0, 3, N_ROWS)
    model = MoERegressor(2, n_init=2, random_state=0)
    found = clone(model).fit(X, noisy)
    expected = clone(model).fit(numbers, noisy.astype(float))
    assert_same_outputs(outputs(found, X, noisy), outputs(expected, numbers, noisy))


@pytest.mark.parametrize(
    "names",
    [np.array(["lo", "mid", "up"]), np.array([-5, 3, 70]), np.array(list("abc"), dtype=object)],
    ids=["strings", "gaps", "objects"],
)
def test_classes_may_have_any_names(names, rng):
    data = simulate_classes(rng, N_ROWS, 3)
    model = MoEClassifier(2, n_init=1, random_state=0, max_iter=2000)
    plain = clone(model).fit(data.X, data.y)
    named = clone(model).fit(data.X, names[data.y.astype(int)])
    np.testing.assert_array_equal(named.classes_, names)
    np.testing.assert_array_equal(named.predict_proba(data.X), plain.predict_proba(data.X))
    np.testing.assert_array_equal(named.predict(data.X), names[plain.predict(data.X).astype(int)])


@pytest.mark.parametrize(
    ("by_name", "by_index"), [(["x2"], [2]), (["x2", "x0"], [2, 0]), ([], [])], ids=str
)
def test_features_by_name_and_by_index(by_name, by_index, rng):
    X = rng.standard_normal((N_ROWS, 3))
    y = np.where(X[:, 2] > 0, X[:, 0], 2.0 - X[:, 0]) + 0.3 * rng.standard_normal(N_ROWS)
    frame = pd.DataFrame(X, columns=["x0", "x1", "x2"])
    for option, coef in (("gate_features", "gate_coef_"), ("expert_features", "coef_")):
        model = MoERegressor(2, n_init=2, random_state=0, max_iter=2000)
        named = clone(model).set_params(**{option: by_name}).fit(frame, y)
        numbered = clone(model).set_params(**{option: by_index}).fit(X, y)
        np.testing.assert_array_equal(named.predict(frame), numbered.predict(X))
        assert getattr(named, coef).shape == (2, len(by_index))
        blind = X.copy()
        blind[:, [c for c in range(3) if c not in by_index]] = 7.0
        outcome = "gate_proba" if option == "gate_features" else "predict_experts"
        np.testing.assert_array_equal(
            getattr(numbered, outcome)(blind), getattr(numbered, outcome)(X)
        )


# What a fit tells.


def test_log_density_is_that_of_the_mixture(rng):
    data = simulate_regimes(rng, N_ROWS, n_regimes=2)
    model = MoERegressor(3, n_init=2, random_state=0).fit(data.X, data.y)
    logits = model.gate_intercept_ + data.X @ model.gate_coef_.T
    gate = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    mean = model.intercept_ + data.X @ model.coef_.T
    density = gate * stats.norm.pdf(data.y[:, None], mean, np.sqrt(model.dispersion_))
    np.testing.assert_allclose(model.gate_proba(data.X), gate, atol=1e-10)
    np.testing.assert_allclose(model.predict_experts(data.X), mean, atol=1e-10)
    np.testing.assert_allclose(model.predict(data.X), (gate * mean).sum(axis=1), atol=1e-10)
    np.testing.assert_allclose(model.log_density(data.X, data.y), np.log(density.sum(1)), atol=1e-9)
    resp = density / density.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(model.responsibilities(data.X, data.y), resp, atol=1e-9)
    np.testing.assert_array_equal(model.predict_expert(data.X), gate.argmax(axis=1))
    np.testing.assert_array_equal(model.predict_expert(data.X, data.y), resp.argmax(axis=1))


def test_class_probabilities_are_those_of_the_mixture(rng):
    data = simulate_classes(rng, N_ROWS, 3)
    model = MoEClassifier(2, n_init=2, random_state=0, max_iter=2000).fit(data.X, data.y)
    assert model.coef_.shape == (2, 3, 2)
    logits = model.intercept_ + np.einsum("kcp,np->nkc", model.coef_, data.X)
    classes = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    gate = model.gate_proba(data.X)
    proba = np.einsum("nk,nkc->nc", gate, classes)
    np.testing.assert_allclose(model.predict_experts(data.X), classes, atol=1e-10)
    np.testing.assert_allclose(model.predict_proba(data.X), proba, atol=1e-10)
    at_class = proba[np.arange(N_ROWS), data.y.astype(int)]
    np.testing.assert_allclose(model.log_density(data.X, data.y), np.log(at_class), atol=1e-10)
    np.testing.assert_array_equal(model.predict(data.X), proba.argmax(axis=1))
    np.testing.assert_allclose(model.coef_.sum(axis=1), 0.0, atol=1e-10)


@every_estimator
def test_shares_are_probabilities(model, rng):
    data = data_for(model, rng)
    fitted = clone(model).fit(data.X, data.y)
    far = 1e3 * data.X
    for X in (data.X, far):
        for shares in (fitted.gate_proba(X), fitted.responsibilities(X, data.y)):
            assert np.all(shares >= 0.0)
            np.testing.assert_allclose(shares.sum(axis=1), 1.0, atol=1e-12)


@every_estimator
def test_criteria_follow_their_formulas(model, rng):
    data = data_for(model, rng)
    weight = rng.uniform(0.5, 2.0, N_ROWS)
    fitted = clone(model).fit(data.X, data.y, weight)
    log_likelihood = weight @ fitted.log_density(data.X, data.y)
    n_parameters = fitted.n_parameters_
    given = (data.X, data.y, weight)
    np.testing.assert_allclose(fitted.log_likelihood(*given), log_likelihood, rtol=1e-12)
    np.testing.assert_allclose(fitted.log_likelihood_, log_likelihood, rtol=1e-10)
    aic = -2.0 * log_likelihood + 2.0 * n_parameters
    bic = -2.0 * log_likelihood + n_parameters * np.log(weight.sum())
    certainty = np.log(fitted.responsibilities(data.X, data.y).max(axis=1))
    np.testing.assert_allclose(fitted.aic(*given), aic, rtol=1e-12)
    np.testing.assert_allclose(fitted.bic(*given), bic, rtol=1e-12)
    np.testing.assert_allclose(
        fitted.criteria(*given).icl, bic - 2.0 * weight @ certainty, rtol=1e-12
    )
    assert fitted.criteria(*given).icl >= fitted.bic(*given)


@pytest.mark.parametrize(
    ("model", "n_parameters"),
    [
        # gates + experts + dispersions, for two features
        (MoERegressor(3), 2 * 3 + 3 * 3 + 3),
        (MoERegressor(3, gate="constant"), 2 + 3 * 3 + 3),
        (MoERegressor(3, gate_features=[1], expert_features=[]), 2 * 2 + 3 + 3),
        (HMERegressor((2, 2)), 3 * 3 + 4 * 3 + 4),
        (HMERegressor([[1, 1], 1]), 2 * 3 + 3 * 3 + 3),
        (MoERegressor(1), 3 + 1),
    ],
    ids=str,
)
def test_free_parameters_are_counted(model, n_parameters, rng):
    data = simulate_regimes(rng, N_ROWS)
    model = clone(model).set_params(n_init=1, random_state=0, max_iter=2000)
    assert model.fit(data.X, data.y).n_parameters_ == n_parameters


@pytest.mark.parametrize(("n_classes", "n_parameters"), [(2, 3 + 2 * 3), (3, 3 + 2 * 2 * 3)])
def test_free_parameters_of_classifiers_are_counted(n_classes, n_parameters, rng):
    data = simulate_classes(rng, N_ROWS, n_classes)
    model = MoEClassifier(2, n_init=1, random_state=0, max_iter=2000)
    assert model.fit(data.X, data.y).n_parameters_ == n_parameters


@every_estimator
def test_coefficient_table_holds_every_coefficient(model, rng):
    data = data_for(model, rng)
    frame = pd.DataFrame(data.X, columns=["speed", "load"])
    fitted = clone(model).fit(frame, data.y)
    table = fitted.coef_table()
    assert list(table.columns[:4]) == ["part", "unit", "term", "estimate"]
    assert set(table["part"]) == {"expert", "gate"}
    parts = [fitted.coef_, fitted.intercept_, fitted.gate_coef_, fitted.gate_intercept_]
    if hasattr(fitted, "dispersion_"):
        parts.append(fitted.dispersion_)
    expected = np.sort(np.concatenate([np.ravel(part) for part in parts]))
    # Zeros are those of a gate that sees nothing, or has nothing to choose.
    expected = expected[expected != 0.0]
    np.testing.assert_allclose(np.sort(table["estimate"]), expected, rtol=1e-12)
    speeds = table[(table["term"] == "speed") & (table["part"] == "expert")]
    np.testing.assert_allclose(speeds["estimate"], fitted.coef_[..., 0].ravel(), rtol=1e-12)


@every_estimator
def test_summary_tells_what_matters(model, rng):
    data = data_for(model, rng)
    fitted = clone(model).fit(pd.DataFrame(data.X, columns=["speed", "load"]), data.y)
    text = fitted.summary()
    for word in (type(model).__name__, "Log-likelihood", "Parameters", "Converged", "speed"):
        assert word in text
    for k in range(fitted.tree_.n_leaves):
        assert f"expert {k}" in text
    assert f"{fitted.n_parameters_}" in text
    assert f"{fitted.n_iter_}" in text


def test_experts_are_sorted_by_their_prediction_at_the_centre(rng):
    data = simulate_regimes(rng, N_ROWS, n_regimes=3)
    X = data.X + np.array([3.0, -20.0])
    for seed in range(3):
        model = MoERegressor(3, n_init=4, random_state=seed).fit(X, data.y)
        assert np.all(np.diff(model.predict_experts(X.mean(axis=0, keepdims=True))[0]) >= 0.0)


# Scorers.


def test_scorers_follow_their_formulas(rng):
    data = simulate_regimes(rng, N_ROWS, n_regimes=2)
    weight = rng.uniform(0.5, 2.0, N_ROWS)
    model = MoERegressor(2, n_init=2, random_state=0).fit(data.X, data.y)
    density = model.log_density(data.X, data.y)
    np.testing.assert_allclose(log_density_scorer(model, data.X, data.y), density.mean())
    np.testing.assert_allclose(
        log_density_scorer(model, data.X, data.y, weight), np.average(density, weights=weight)
    )
    assert negative_bic_scorer(model, data.X, data.y) == -model.bic(data.X, data.y)


@pytest.mark.parametrize("scorer", [log_density_scorer, negative_bic_scorer])
def test_scorers_see_through_pipelines(scorer, rng):
    data = simulate_regimes(rng, N_ROWS, n_regimes=2)
    model = MoERegressor(2, n_init=2, random_state=0)
    pipeline = make_pipeline(StandardScaler(), "passthrough", model).fit(data.X, data.y)
    nested = make_pipeline(make_pipeline(StandardScaler()), model).fit(data.X, data.y)
    features = StandardScaler().fit_transform(data.X)
    expected = scorer(clone(model).fit(features, data.y), features, data.y)
    np.testing.assert_allclose(scorer(pipeline, data.X, data.y), expected, rtol=1e-12)
    np.testing.assert_allclose(scorer(nested, data.X, data.y), expected, rtol=1e-12)
    scores = cross_val_score(pipeline, data.X, data.y, scoring=scorer, cv=3)
    assert np.all(np.isfinite(scores))


def test_scorer_prefers_the_model_that_data_were_drawn_from(rng):
    data = simulate_regimes(rng, 600, n_regimes=2)
    scores = [
        cross_val_score(
            MoERegressor(k, n_init=3, random_state=0),
            data.X,
            data.y,
            scoring=log_density_scorer,
            cv=3,
        ).mean()
        for k in (1, 2)
    ]
    assert scores[1] > scores[0] + 0.1


@pytest.mark.filterwarnings("ignore::mixexp.exceptions.RankDeficientWarning")
def test_degenerate_expert_is_named_in_its_sorted_place(rng):
    x = np.concatenate([rng.uniform(-1.0, 1.0, 100), np.full(20, 3.0)])
    y = np.concatenate([rng.standard_normal(100), np.full(20, 50.0)])
    model = MoERegressor(2, init=(x == 3.0).astype(int), **UNPENALIZED)
    with pytest.warns(DegenerateExpertWarning, match=r"experts \[1\]"):
        model.fit(x[:, None], y)
    np.testing.assert_allclose(model.predict_experts([[3.0]])[0, 1], 50.0, rtol=1e-6)
