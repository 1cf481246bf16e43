"""What inference says and refuses to say: tables, tests, effects, hard and bad input."""

import pickle
import re
import sys
from dataclasses import FrozenInstanceError
from functools import partial

import numpy as np
import pandas as pd
import pytest
from fitted import ESTIMATORS
from problems import UNPENALIZED, UNPENALIZED_CLASSES, Data, simulate_classes, simulate_regimes
from scipy.stats import chi2, norm
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from test_family_fits import EVERY_FAMILY
from test_inference import central_difference, problem_near_pooled

from mixexp import MoEClassifier, MoERegressor
from mixexp.constraints import Shared
from mixexp.exceptions import (
    ConvergenceWarning,
    DegenerateExpertWarning,
    InferenceWarning,
    RankDeficientWarning,
    SeparationWarning,
)
from mixexp.experts import Binomial, Gaussian, Multinomial, Ordinal
from mixexp.inference import ChiSquared
from mixexp.inference._effects import (
    feature_slope,
    marginal_effects,
    mean_effect,
    moving_slots,
)
from mixexp.metrics import NegativeBICScorer, NegativeCriterionScorer
from mixexp.text import hypertext

every_estimator = pytest.mark.parametrize(
    "model", [pytest.param(model, id=name) for name, model in ESTIMATORS.items()]
)


def numbers(table):
    return table.drop(columns=["part", "unit", "term", "note"]).to_numpy(dtype=float)


def data_for(model, rng, n=500):
    """Draw rows whose classes overlap, so that no expert is sure of one."""
    if not hasattr(model, "predict_proba"):
        return simulate_regimes(rng, n, n_regimes=3 if hasattr(model, "tree") else 2)
    X = rng.standard_normal((n, 2))
    labels = (X[:, 0] + rng.logistic(size=n) > 0.0).astype(int)
    slopes = np.array([[0.0, 1.0, -1.0], [0.0, -0.5, 0.5]])[labels]
    logits = slopes * X[:, 1:] + np.array([[0.0, 0.5, 0.5], [0.5, 0.0, -0.5]])[labels]
    return Data(X, (logits + rng.gumbel(size=(n, 3))).argmax(axis=1), labels)


def regimes(rng, n=400):
    return simulate_regimes(rng, n, n_regimes=2)


@every_estimator
def test_tables_hold_estimates_errors_and_tests(model, rng):
    data = data_for(model, rng)
    frame = pd.DataFrame(data.X, columns=["speed", "load"])
    fitted = clone(model).fit(frame, data.y)
    found = fitted.inference(frame, data.y)
    table = found.coef_table(level=0.9)
    plain = table[~table["term"].isin(["dispersion"])]
    np.testing.assert_allclose(plain["z"], plain["estimate"] / plain["std_error"], rtol=1e-12)
    np.testing.assert_allclose(plain["p_value"], 2.0 * norm.sf(np.abs(plain["z"])), rtol=1e-12)
    half = norm.isf(0.05) * plain["std_error"]
    np.testing.assert_allclose(plain["upper"] - plain["estimate"], half, rtol=1e-9)
    np.testing.assert_allclose(plain["estimate"] - plain["lower"], half, rtol=1e-9)
    assert set(table["note"]) == {""}
    assert (table["lower"] < table["estimate"]).all()
    experts = plain[plain["part"] == "expert"]
    expected = np.concatenate([fitted.intercept_[..., None], fitted.coef_], axis=-1)
    np.testing.assert_allclose(experts["estimate"], expected.ravel(), rtol=1e-10, atol=1e-14)
    if hasattr(fitted, "dispersion_"):
        dispersion = table[table["term"] == "dispersion"]
        np.testing.assert_allclose(dispersion["estimate"], fitted.dispersion_, rtol=1e-12)
        assert dispersion[["z", "p_value"]].isna().all(axis=None)
        product = dispersion["lower"] * dispersion["upper"]
        np.testing.assert_allclose(product, fitted.dispersion_**2, rtol=1e-10)


@every_estimator
def test_summary_with_data_has_criteria_and_errors(model, rng):
    data = data_for(model, rng)
    fitted = clone(model).fit(pd.DataFrame(data.X, columns=["speed", "lo<ad"]), data.y)
    X = pd.DataFrame(data.X, columns=["speed", "lo<ad"])
    text = fitted.summary(X, data.y)
    assert isinstance(text, str)
    for name, value in (
        ("Log-likelihood", fitted.log_likelihood_),
        ("AIC", fitted.aic(X, data.y)),
        ("BIC", fitted.bic(X, data.y)),
        ("ICL", fitted.criteria(X, data.y).icl),
        ("Relative entropy", fitted.criteria(X, data.y).relative_entropy),
    ):
        assert re.search(rf"{name} +{value:.4f}", text), name
    for word in (type(model).__name__, "Rows", "speed", "std error", "P>|z|", "[0.025", "found by"):
        assert word in text
    assert "penalised" in text
    assert "<table>" in text._repr_html_()
    assert "lo&lt;ad" in text._repr_html_()
    assert "lo<ad" not in text._repr_html_()
    assert max(map(len, text.splitlines()[3:-3])) <= max(map(len, text.splitlines()[:3]))


def test_tables_need_no_pandas(rng, monkeypatch):
    data = regimes(rng)
    model = MoERegressor(2, n_init=1, random_state=0).fit(data.X, data.y)
    monkeypatch.setitem(sys.modules, "pandas", None)
    table = model.coef_table(data.X, data.y)
    assert len(table.columns["std_error"]) == len(table.columns["estimate"]) == 14
    assert "std_error" in str(table)


def test_results_are_told_in_a_line(rng):
    data = regimes(rng)
    model = MoERegressor(2, n_init=1, random_state=0).fit(data.X, data.y)
    found = model.inference(data.X, data.y)
    n_terms = len(found.coef_table())
    assert repr(found) == f"Inference({n_terms} coefficients; {found.kind_in_words})"
    resampled = model.bootstrap(data.X, data.y, n_resamples=2, random_state=0)
    assert repr(resampled) == f"BootstrapResult({n_terms} coefficients; 2 refits, 0 failed)"


def test_results_survive_pickling(rng):
    data = regimes(rng)
    found = MoERegressor(2, n_init=1, random_state=0).fit(data.X, data.y).inference(*data[:2])
    again = pickle.loads(pickle.dumps(found))
    text = pickle.loads(pickle.dumps(found.summary()))
    assert (text, text._repr_html_()) == (found.summary(), found.summary()._repr_html_())
    np.testing.assert_array_equal(again.covariance, found.covariance)
    pd.testing.assert_frame_equal(again.predict_mean(data.X[:3]), found.predict_mean(data.X[:3]))


@pytest.mark.parametrize("kind", ["model", "robust", "opg"])
def test_units_do_not_matter(kind, rng):
    data = regimes(rng)
    given = {"n_init": 1, "random_state": 0, "tol": 1e-12}
    plain = MoERegressor(2, **given).fit(data.X, data.y).coef_table(*data[:2], kind=kind)
    X, y = data.X * [1e3, 0.1] + [5e3, -7.0], 100.0 * data.y
    moved = MoERegressor(2, **given).fit(X, y).coef_table(X, y, kind=kind)
    factor = np.select(
        [
            (plain["part"] == "expert") & (plain["term"] == "x0"),
            (plain["part"] == "expert") & (plain["term"] == "x1"),
            plain["term"] == "x0",
            plain["term"] == "x1",
            plain["term"] == "dispersion",
        ],
        [0.1, 1e3, 1e-3, 10.0, 1e4],
        np.nan,
    )
    is_slope = np.isfinite(factor)
    found = (moved["std_error"] / factor)[is_slope]
    np.testing.assert_allclose(found, plain["std_error"][is_slope], rtol=1e-6)


@pytest.mark.parametrize("kind", ["model", "robust", "opg"])
def test_weights_are_numbers_of_rows(kind, rng):
    data = regimes(rng)
    weight = rng.integers(0, 3, len(data.y))
    model = MoERegressor(2, n_init=1, random_state=0).fit(data.X, data.y, weight)
    weighted = model.inference(data.X, data.y, weight, kind=kind)
    X, y = np.repeat(data.X, weight, axis=0), np.repeat(data.y, weight)
    repeated = model.inference(X, y, kind=kind)
    np.testing.assert_allclose(weighted.covariance, repeated.covariance, rtol=1e-8, atol=1e-12)
    pd.testing.assert_frame_equal(weighted.marginal_effects(), repeated.marginal_effects())


def test_each_row_its_own_cluster_is_the_sandwich(rng):
    data = regimes(rng)
    model = MoERegressor(2, n_init=1, random_state=0).fit(data.X, data.y)
    robust = model.inference(data.X, data.y, kind="robust")
    labels = [f"row {row}" for row in range(len(data.y))]
    clustered = model.inference(data.X, data.y, cluster=labels)
    np.testing.assert_allclose(clustered.covariance, robust.covariance, rtol=1e-10, atol=1e-15)
    assert "400 clusters" in clustered.summary()


def test_bits_do_not_depend_on_threads(rng):
    data = simulate_regimes(rng, 20000)
    model = MoERegressor(3, n_init=1, random_state=0).fit(data.X, data.y)
    one = model.inference(data.X, data.y, kind="robust").covariance
    two = clone(model).set_params(n_jobs=2)
    two.__dict__.update(
        {k: v for k, v in vars(model).items() if k.endswith("_") or k == "fitted_model_"}
    )
    np.testing.assert_array_equal(two.inference(data.X, data.y, kind="robust").covariance, one)


def test_gate_contrasts_follow_the_reference(rng):
    data = simulate_regimes(rng, 400)
    model = MoERegressor(3, n_init=2, random_state=0).fit(data.X, data.y)
    last, first = (model.inference(data.X, data.y, reference=r) for r in (-1, 0))
    pair = {("root -> expert 0 vs expert 2", "x0"): 1.0}
    other = {("root -> expert 2 vs expert 0", "x0"): -1.0}
    np.testing.assert_allclose(last.contrast(pair), first.contrast(other), rtol=1e-9)
    difference = {**pair, ("root -> expert 1 vs expert 2", "x0"): -1.0}
    turned = {("root -> expert 1 vs expert 0", "x0"): -1.0}
    np.testing.assert_allclose(last.contrast(difference), first.contrast(turned), rtol=1e-8)


# Tests of hypotheses.


def test_wald_test_follows_its_formula(rng):
    data = regimes(rng)
    found = MoERegressor(2, n_init=1, random_state=0).fit(data.X, data.y).inference(*data[:2])
    R = rng.standard_normal((3, len(found.labels)))
    q = rng.standard_normal(3)
    result = found.wald_test(R, q)
    distance = R @ found.estimates - q
    expected = distance @ np.linalg.solve(R @ found.covariance @ R.T, distance)
    np.testing.assert_allclose(result.statistic, expected, rtol=1e-8)
    assert result.df == 3
    np.testing.assert_allclose(result.p_value, chi2.sf(expected, 3), rtol=1e-6)
    assert "chi2(3)" in str(result)
    # One hypothesis is the square of z.
    table = found.coef_table()
    for j in (0, 1, len(found.labels) - 1):
        z2 = found.wald_test(np.eye(len(found.labels))[j]).statistic
        np.testing.assert_allclose(z2, table["z"][j] ** 2, rtol=1e-9)


def test_tests_state_their_p_values():
    assert str(ChiSquared(11.0, 1, 0.0009)) == "chi2(1) = 11, p = 0.001"
    assert str(ChiSquared(125.3, 2, 1e-28)) == "chi2(2) = 125.3, p < 0.001"


def test_equality_across_experts_is_a_wald_test(rng):
    data = simulate_regimes(rng, 400)
    found = MoERegressor(3, n_init=2, random_state=0).fit(data.X, data.y).inference(*data[:2])
    at = [i for i, label in enumerate(found.labels) if label[:3:2] == ("expert", "x1")]
    R = np.zeros((2, len(found.labels)))
    R[0, at[0]] = R[1, at[1]] = 1.0
    R[0, at[1]] = R[1, at[2]] = -1.0
    expected = found.wald_test(R)
    np.testing.assert_allclose(found.equality_test("x1"), expected, rtol=1e-8)
    pair = found.contrast({("expert 0", "x1"): 1.0, ("expert 2", "x1"): -1.0})
    two = found.equality_test("x1", ["expert 0", "expert 2"])
    np.testing.assert_allclose(two.statistic, pair.z**2, rtol=1e-9)


def test_experts_without_the_term_are_no_part_of_an_equality(rng):
    data = simulate_regimes(rng, 300)
    y = np.where(rng.random(300) < 0.3, 0.0, np.exp(0.3 * data.y))
    experts = ["gamma", "gamma", "point_mass"]
    found = MoERegressor(expert=experts, n_init=2, random_state=0).fit(data.X, y)
    found = found.inference(data.X, y)
    assert found.equality_test("x1").df == 1
    with pytest.raises(ValueError, match="units names 'expert 2', which has no term 'x1'"):
        found.equality_test("x1", ["expert 0", "expert 1", "expert 2"])


def test_equality_of_targets_and_classes_compares_each_with_itself(rng):
    X = rng.normal(size=(300, 2))
    piece = np.searchsorted([-0.5, 0.5], X[:, 0])
    means = np.array([-3.0, 0.0, 3.0])[piece, None] + np.outer((piece - 1.0) * X[:, 1], [1.0, 2.0])
    Y = means + 0.5 * rng.normal(size=means.shape)
    found = MoERegressor(3, n_init=2, random_state=0).fit(X, Y).inference(X, Y)
    labels = [label[:3] for label in found.labels]

    def row(*pair):
        at = np.zeros(len(labels))
        at[[labels.index(("expert", unit, "x1")) for unit in pair]] = -1.0, 1.0
        return at

    others = [(f"expert 0, {y}", f"expert {k}, {y}") for y in ("y1", "y2") for k in (1, 2)]
    expected = found.wald_test([row(*pair) for pair in others])
    assert expected.df == 4
    np.testing.assert_allclose(found.equality_test("x1"), expected, rtol=1e-9)
    pair = found.equality_test("x1", ["expert 0", "expert 2"])
    np.testing.assert_allclose(pair, found.wald_test([row(*p) for p in others[1::2]]), rtol=1e-9)
    within = found.equality_test("x1", ["expert 0, y1", "expert 0, y2"])
    np.testing.assert_allclose(
        within, found.wald_test(row("expert 0, y1", "expert 0, y2")), rtol=1e-9
    )


def test_equality_of_classes_is_that_of_their_log_odds(rng):
    X = rng.normal(size=(600, 2))
    logits = X @ rng.normal(size=(2, 3)) * np.where(X[:, :1] > 0.0, 2.0, -2.0)
    y = np.argmax(logits + rng.gumbel(size=logits.shape), axis=1)
    found = MoEClassifier(2, n_init=2, random_state=0).fit(X, y).inference(X, y)
    labels = [label[:3] for label in found.labels]
    # Against any class: log odds of the two others in both experts.
    statistics = []
    for base in range(3):
        R = np.zeros((2, len(labels)))
        for number, other in enumerate({0, 1, 2} - {base}):
            for expert, sign in ((0, 1.0), (1, -1.0)):
                for c, part in ((other, sign), (base, -sign)):
                    R[number, labels.index(("expert", f"expert {expert}, class {c}", "x1"))] = part
        statistics.append(found.wald_test(R))
    found_test = found.equality_test("x1")
    assert found_test.df == 2
    for test in statistics:
        np.testing.assert_allclose(found_test, test, rtol=1e-8)


# Means and effects.


def effect_models():
    families = [*EVERY_FAMILY, Multinomial(n_classes=3), Ordinal(n_classes=3)]
    return [family for family in families if repr(family) != "Laplace()"]


@pytest.mark.parametrize("family", effect_models(), ids=repr)
def test_gradients_of_means_and_effects_match_differences(family, rng):
    problem, flat = problem_near_pooled(family, rng, spec=[[1, 1], 1])
    model, block = problem.model, problem.blocks[0]
    slots = moving_slots(model, model.unflatten(flat), block)
    means = mean_effect(model, model.unflatten(flat), block, slots).value[0]
    block = block.take(np.argsort(np.abs(means))[:6])  # away from the pole of an inverse link
    direction = rng.standard_normal(len(flat))

    def mean(at):
        return mean_effect(model, model.unflatten(at), block, slots)

    def effect(at, part):
        params = model.unflatten(at)
        slope = feature_slope(model, params, 0, 2.0)
        return marginal_effects(model, params, block, slots, slope)[part]

    # Slopes of means are differences good to 1e-11 of the mean, their changes to 1e-7 of it, and a
    # mean may be a hundred times its effect.
    for function in (mean, partial(effect, part=0), partial(effect, part=1)):

        def value(t, function=function):
            return function(flat + t[0] * direction).value

        (expected,) = central_difference(value, np.zeros(1), step=3e-4)
        found = np.tensordot(direction, function(flat).gradient, axes=1)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize(
    "expert", ["gaussian", "student_t", "skew_normal", ["gaussian", "skew_normal"]], ids=str
)
def test_effects_and_means_of_y_far_from_zero_are_those_of_y_near_zero(expert, rng):
    """Seconds since 1970, say: a step of a difference is lost beside 1e9."""
    data = simulate_regimes(rng, 300)
    data.y[:] = np.round(data.y * 2.0**10) / 2.0**10  # so that nothing of it is lost
    model = MoERegressor(2, expert=expert, n_init=2, random_state=0)
    tables = []
    for away in (0.0, 2.0**30):
        found = model.fit(data.X, data.y + away).inference(data.X, data.y + away)
        effects, means = found.marginal_effects(), found.predict_mean(data.X[:40])
        numbers = [effects["estimate"], effects["std_error"], means["mean"] - away]
        tables.append(np.concatenate([*numbers, means["std_error"]]))
    np.testing.assert_allclose(tables[1], tables[0], rtol=1e-4, atol=1e-5)


def test_means_of_rows_far_from_all_others_have_errors(rng):
    data = simulate_regimes(rng, 300)
    found = MoERegressor(1).fit(data.X, data.y).inference(data.X, data.y)
    for far in (1e6, 1e30, 1e100):
        table = found.predict_mean(far * data.X[:1])
        row = np.concatenate([[1.0], far * data.X[0]])  # intercept and slopes, in the table first
        expected = np.sqrt(row @ found.covariance[: len(row), : len(row)] @ row)
        np.testing.assert_allclose(table["std_error"], expected, rtol=1e-9)


@every_estimator
def test_marginal_effects_are_derivatives_of_predictions(model, rng):
    data = data_for(model, rng)
    X = data.X * [10.0, 1.0]
    fitted = clone(model).fit(X, data.y)
    predict = getattr(fitted, "predict_proba", fitted.predict)
    table = fitted.inference(X, data.y).marginal_effects(X[:20])
    for column in (0, 1):
        step = np.eye(2)[column] * 1e-4
        slope = (predict(X[:20] + step) - predict(X[:20] - step)) / 2e-4
        experts = (
            fitted.predict_experts(X[:20] + step) - fitted.predict_experts(X[:20] - step)
        ) / 2e-4
        within = np.einsum("nk,nk...->n...", fitted.gate_proba(X[:20]), experts)
        own = table[table["feature"] == f"x{column}"].set_index("part")["estimate"]
        np.testing.assert_allclose(own["total"], slope.ravel(), atol=1e-7)
        np.testing.assert_allclose(own["within experts"], within.ravel(), atol=1e-7)
        parts = own["within experts"].to_numpy() + own["re-routing"].to_numpy()
        np.testing.assert_allclose(parts, own["total"], rtol=1e-10, atol=1e-14)


@every_estimator
def test_average_effect_is_the_average_over_rows(model, rng):
    data = data_for(model, rng)
    fitted = clone(model).fit(data.X, data.y)
    found = fitted.inference(data.X, data.y)
    keys = ["feature", "part", *(["class"] if hasattr(fitted, "classes_") else [])]
    rows = found.marginal_effects(data.X).groupby(keys)["estimate"].mean()
    average = found.marginal_effects().set_index(keys)["estimate"]
    np.testing.assert_allclose(average.sort_index(), rows.sort_index(), rtol=1e-8, atol=1e-12)
    only = found.marginal_effects(features=["x1"])
    assert set(only["feature"]) == {"x1"}
    assert only.equals(found.marginal_effects(features=[1]))


@every_estimator
def test_means_are_predictions_with_intervals(model, rng):
    data = data_for(model, rng)
    fitted = clone(model).fit(data.X, data.y)
    found = fitted.inference(data.X, data.y)
    table = found.predict_mean(data.X[:30])
    expected = getattr(fitted, "predict_proba", fitted.predict)(data.X[:30])
    np.testing.assert_allclose(table["mean"], expected.ravel(), rtol=1e-12)
    assert (table["lower"] < table["mean"]).all()
    assert (table["mean"] < table["upper"]).all()
    if hasattr(fitted, "classes_"):
        assert table["lower"].min() > 0.0
        assert table["upper"].max() < 1.0
    pd.testing.assert_frame_equal(found.predict_mean().iloc[: len(table)], table)


def test_effect_of_one_linear_expert_is_its_coefficient(rng):
    data = regimes(rng)
    found = MoERegressor(1, **UNPENALIZED).fit(data.X, data.y).inference(data.X, data.y)
    effects = found.marginal_effects().set_index(["part", "feature"])
    table = found.coef_table().set_index("term")
    for term in ("x0", "x1"):
        for column in ("estimate", "std_error", "lower", "upper"):
            own = effects.loc[("total", term), column]
            # Slopes are differences good to 1e-11 of the mean, here about 1.
            np.testing.assert_allclose(own, table.loc[term, column], rtol=1e-8, atol=1e-8)
        assert effects.loc[("re-routing", term), "estimate"] == 0.0


def test_exposure_and_trials_scale_means(rng):
    X = rng.standard_normal((300, 1))
    trials = rng.integers(1, 9, 300).astype(float)
    y = rng.binomial(trials.astype(int), 1.0 / (1.0 + np.exp(-X[:, 0]))).astype(float)
    model = MoERegressor(1, expert=Binomial()).fit(X, y, trials=trials)
    found = model.inference(X, y, trials=trials)
    single = found.predict_mean(X[:5])
    np.testing.assert_allclose(
        found.predict_mean(X[:5], trials=trials[:5])["std_error"],
        single["std_error"] * trials[:5],
        rtol=1e-8,
    )
    with pytest.raises(ValueError, match="exposure"):
        found.predict_mean(X[:5], exposure=np.ones(5))
    with pytest.raises(ValueError, match="trials"):
        found.predict_mean(trials=trials)


# What has no standard error.


def test_collinear_columns_leave_the_others_alone(rng):
    data = regimes(rng)
    X = np.column_stack([data.X, data.X[:, 1]])
    with pytest.warns(RankDeficientWarning):
        model = MoERegressor(1, **UNPENALIZED).fit(X, data.y)
    with pytest.warns(InferenceWarning, match="not determined"):
        found = model.inference(X, data.y)
    table = found.coef_table().set_index("term")
    alone = MoERegressor(1, **UNPENALIZED).fit(data.X, data.y).coef_table(data.X, data.y)
    alone = alone.set_index("term")
    assert table.loc[["x1", "x2"], ["std_error", "z", "lower"]].isna().all(axis=None)
    assert (table.loc[["x1", "x2"], "note"] == "not determined").all()
    for term in ("x0", "intercept", "dispersion"):
        np.testing.assert_allclose(
            table.loc[term, "std_error"], alone.loc[term, "std_error"], rtol=1e-6
        )
    # Their sum is determined.
    total = found.contrast({("expert 0", "x1"): 1.0, ("expert 0", "x2"): 1.0})
    np.testing.assert_allclose(total.std_error, alone.loc["x1", "std_error"], rtol=1e-6)
    with pytest.raises(ValueError, match="weights ask for something the data do not determine"):
        found.contrast({("expert 0", "x1"): 1.0})
    effects = found.marginal_effects().set_index(["feature", "part"])["std_error"]
    assert np.isnan(effects["x1", "total"])
    assert np.isfinite(effects["x0", "total"])


def test_what_is_not_estimated_is_named(rng):
    data = regimes(rng)
    X = np.column_stack([data.X, np.full(len(data.y), 3.0)])
    with pytest.warns(RankDeficientWarning):
        model = MoERegressor(2, expert=Gaussian(dispersion=0.25), n_init=1, random_state=0).fit(
            X, data.y
        )
    table = model.coef_table(X, data.y)
    assert (table.loc[table["term"] == "x2", "note"] == "constant column").all()
    assert (table.loc[table["term"] == "dispersion", "note"] == "given").all()
    with pytest.raises(ValueError, match="'x2' did not vary"):
        model.inference(X, data.y).marginal_effects(features=["x2"])
    rest = table[~table["term"].isin(["x2", "dispersion"])]
    assert np.isfinite(numbers(rest)).all()
    without = clone(model).fit(data.X, data.y).coef_table(data.X, data.y)
    without = without[without["term"] != "dispersion"]
    np.testing.assert_allclose(numbers(rest), numbers(without), rtol=1e-5, atol=1e-9)


def test_expert_at_a_named_limit_has_the_errors_of_that_family(rng):
    X = rng.standard_normal((300, 1))
    y = rng.binomial(20, 0.1 * np.exp(0.2 * X[:, 0]) / (1.0 + 0.1 * np.exp(0.2 * X[:, 0])))
    options = {"tol": 1e-12, **UNPENALIZED}
    model = MoERegressor(1, expert="negative_binomial", **options).fit(X, y.astype(float))
    assert model.limits_ == ["poisson"]
    table = model.coef_table(X, y)
    assert table["note"].tolist() == ["", "", "at its bound"]
    poisson = MoERegressor(1, expert="poisson", **options).fit(X, y).coef_table(X, y)
    # The limit is a small dispersion, not none.
    np.testing.assert_allclose(table["std_error"][:2], poisson["std_error"], rtol=1e-3)


def assert_nothing_is_said(found, words):
    table = found.coef_table()
    assert table[["std_error", "z", "p_value", "lower", "upper"]].isna().all(axis=None)
    assert np.isfinite(table["estimate"]).all()
    assert any(words in note for note in found.notes)
    assert words in found.summary()
    assert found.predict_mean()["std_error"].isna().all()
    with pytest.raises(ValueError, match=words):
        found.equality_test("x0")


def test_expert_at_its_floor_is_refused(rng):
    X = rng.standard_normal((40, 1))
    y = np.where(X[:, 0] > 0.0, 1.0 + X[:, 0], rng.standard_normal(40))
    options = UNPENALIZED | {"gate_alpha": 1.0}
    with pytest.warns(DegenerateExpertWarning):
        model = MoERegressor(2, init=(X[:, 0] > 0.0).astype(int), **options).fit(X, y)
    with pytest.warns(InferenceWarning, match="fit their rows exactly"):
        found = model.inference(X, y)
    assert_nothing_is_said(found, "fit their rows exactly")


@pytest.mark.filterwarnings("ignore::mixexp.exceptions.RankDeficientWarning")
def test_two_experts_that_are_one_are_refused(rng):
    data = simulate_regimes(rng, 300, n_regimes=1)
    start = np.full((300, 2), 0.5)
    model = MoERegressor(2, init=start, **UNPENALIZED).fit(data.X, data.y)
    np.testing.assert_allclose(model.coef_[0], model.coef_[1], atol=1e-4)
    with pytest.warns(InferenceWarning):
        table = model.coef_table(data.X, data.y)
    assert table["std_error"].isna().all()


def test_separated_classes_are_refused(rng):
    X = rng.standard_normal((200, 1))
    y = X[:, 0] > 0.0
    X += np.sign(X)
    with pytest.warns(SeparationWarning):
        model = MoEClassifier(1, **UNPENALIZED_CLASSES).fit(X, y)
    with pytest.warns(InferenceWarning, match="singular"):
        table = model.coef_table(X, y)
    assert table["std_error"].isna().all()


def test_kinked_densities_have_errors_by_scores_alone(rng):
    X = rng.standard_normal((4000, 1))
    y = 1.0 + X[:, 0] + rng.laplace(0.0, 0.5, 4000)
    model = MoERegressor(1, expert="laplace", **UNPENALIZED).fit(X, y)
    for kind in ("model", "robust"):
        with pytest.warns(InferenceWarning, match="kink"):
            table = model.coef_table(X, y, kind=kind)
        assert table["std_error"].isna().all()
    table = model.coef_table(X, y, kind="opg")
    # Theory: scale / sqrt(n) for both, with features of variance one; sampling moves them by
    # 1 / sqrt(2 n) for the scale and 1 / sqrt(n / 2) for the variance, five of which is 0.13.
    np.testing.assert_allclose(table["std_error"][:2], 0.5 / np.sqrt(4000), rtol=0.13)


def test_penalised_fits_are_labelled(rng):
    data = regimes(rng)
    for options, is_penalized in (({}, True), (UNPENALIZED, False), ({"alpha": 0.0}, True)):
        model = MoERegressor(2, n_init=1, random_state=0, **options).fit(data.X, data.y)
        found = model.inference(data.X, data.y)
        assert found.is_penalized == is_penalized
        assert ("penalised" in " ".join(found.notes)) == is_penalized


def test_penalised_errors_are_those_of_ridge(rng):
    # Known variance: the posterior of a linear model, ((X'X + variance * alpha * D))^-1 variance
    # for standardised features.
    data = regimes(rng)
    model = MoERegressor(1, expert=Gaussian(dispersion=2.0), alpha=0.7).fit(data.X, data.y)
    centre, scale = data.X.mean(axis=0), data.X.std(axis=0)
    Z = np.column_stack([np.ones(len(data.y)), (data.X - centre) / scale])
    unit = data.y.var()  # the ridge of a single expert is for y in standard deviations
    information = Z.T @ Z / 2.0 + np.diag([0.0, 0.7, 0.7]) / unit
    to_raw = np.array([[1.0, *(-centre / scale)], [0, 1 / scale[0], 0], [0, 0, 1 / scale[1]]])
    expected = np.sqrt(np.diagonal(to_raw @ np.linalg.inv(information) @ to_raw.T))
    table = model.coef_table(data.X, data.y)
    np.testing.assert_allclose(table["std_error"][:3], expected, rtol=1e-8)


# Bad input.


@pytest.fixture(scope="module")
def small():
    data = regimes(np.random.default_rng(5), 80)
    model = MoERegressor(2, n_init=1, random_state=0).fit(data.X, data.y)
    return data, model, model.inference(data.X, data.y)


@pytest.mark.parametrize("name", ["inference", "coef_table", "summary"])
def test_unfitted_models_say_so(name, small):
    data, _, _ = small
    with pytest.raises(NotFittedError, match="MoERegressor"):
        getattr(MoERegressor(), name)(data.X, data.y)


BAD_OPTIONS = {
    "kind": [{"kind": "hessian"}, {"kind": 3}],
    "cluster": [
        {"cluster": np.arange(79)},
        {"cluster": np.zeros(80)},
        {"cluster": np.full(80, np.nan)},
        {"cluster": np.zeros((80, 1))},
        {"cluster": np.arange(80), "kind": "model"},
        {"cluster": np.arange(80), "kind": "opg"},
    ],
    "reference": [
        {"reference": 2},
        {"reference": -3},
        {"reference": "last"},
        {"reference": True},
        {"reference": {"node 0": 0}},
        {"reference": {"root": 5}},
    ],
    "level": [{"level": 0.0}, {"level": 1.0}, {"level": 95}, {"level": "0.95"}, {"level": True}],
    "sample_weight": [{"sample_weight": np.ones(79)}],
    "trials": [{"trials": np.ones(80)}],
}


@pytest.mark.parametrize(
    ("name", "options"),
    [(name, options) for name, listed in BAD_OPTIONS.items() for options in listed],
    ids=str,
)
def test_bad_options_are_refused_by_name(name, options, small):
    data, model, _ = small
    with pytest.raises(ValueError, match=name):
        model.coef_table(data.X, data.y, **options)


def test_options_without_data_are_refused(small):
    data, model, _ = small
    for options in ({"kind": "robust"}, {"y": data.y}, {"level": 0.9}):
        with pytest.raises(ValueError, match="pass X and y"):
            model.coef_table(**options)
    with pytest.raises(ValueError, match="inconsistent"):
        model.inference(data.X, data.y[:-1])
    with pytest.raises(ValueError, match="NaN"):
        model.inference(data.X, np.where(data.y == data.y[0], np.nan, data.y))


def test_bad_contrasts_are_refused(small):
    _, _, found = small
    n = len(found.labels)
    with pytest.raises(ValueError, match="R must be finite, but contains NaN"):
        found.wald_test(np.full(n, np.nan))
    for R in (np.ones(n - 1), np.ones((2, n + 1)), np.ones((1, 1, n))):
        with pytest.raises(ValueError, match="R has shape"):
            found.wald_test(R)
    with pytest.raises(ValueError, match="q has shape"):
        found.wald_test(np.eye(n)[:2], np.zeros(3))
    with pytest.raises(ValueError, match="redundant"):
        found.wald_test(np.ones((2, n)))
    with pytest.raises(ValueError, match="expert 7"):
        found.contrast({("expert 7", "x0"): 1.0})
    with pytest.raises(ValueError, match="speed"):
        found.equality_test("speed")
    shared = MoERegressor(2, constraints=[Shared("x0")], n_init=2, random_state=0)
    shared = shared.fit(small[0].X, small[0].y).inference(small[0].X, small[0].y)
    with pytest.raises(ValueError, match="term 'x0' of 'expert 0' and 'expert 1' asks"):
        shared.equality_test("x0")
    with pytest.raises(ValueError, match="units names 'expert 0' more than once"):
        found.equality_test("x0", ["expert 0", "expert 0"])
    with pytest.raises(ValueError, match=r"There is no coefficient .'expert 7', 'x0'"):
        found.equality_test("x0", ["expert 0", "expert 7"])
    with pytest.raises(ValueError, match="speed"):
        found.marginal_effects(features=["speed"])
    with pytest.raises(ValueError, match="2"):
        found.marginal_effects(features=[2])
    with pytest.raises(ValueError, match="3 features"):
        found.predict_mean(np.ones((2, 3)))


def test_other_rows_than_those_of_the_fit_are_told_of(small):
    data, model, _ = small
    with pytest.warns(ConvergenceWarning, match="not at an optimum"):
        found = model.inference(data.X, data.y + 0.1)
    assert any("other rows" in note for note in found.notes)


def test_criteria_follow_their_formulas(rng):
    data = simulate_classes(rng, 200, 2)
    weight = rng.uniform(0.5, 2.0, 200)
    given = (data.X, data.y, weight)
    model = MoEClassifier(2, n_init=1, random_state=0).fit(*given)
    fit, d, n = -2.0 * model.log_likelihood(*given), model.n_parameters_, weight.sum()
    resp = model.responsibilities(data.X, data.y)
    entropy = -(weight @ (resp * np.log(resp)).sum(axis=1))
    expected = {
        "aicc": fit + 2 * d + 2 * d * (d + 1) / (n - d - 1),
        "sabic": fit + d * np.log((n + 2) / 24),
        "caic": fit + d * (np.log(n) + 1),
        "icl_bic": fit + d * np.log(n) + 2 * entropy,
        "entropy": entropy,
        "relative_entropy": 1 - entropy / (n * np.log(2)),
    }
    found = model.criteria(*given)
    for name, value in expected.items():
        np.testing.assert_allclose(getattr(found, name), value, rtol=1e-10, err_msg=name)
    assert found.icl_bic >= found.icl
    assert (found.n_rows, found.n_experts, found.n_parameters) == (200, 2, d)
    few = (data.X[:d], data.y[:d])
    assert model.criteria(*few).aicc == np.inf


def test_scorers_are_minus_the_criteria(rng):
    data = regimes(rng, 100)
    model = MoERegressor(2, n_init=1, random_state=0).fit(data.X, data.y)
    for criterion in ("aic", "aicc", "bic", "caic", "icl", "icl_bic", "sabic"):
        scorer = clone(NegativeCriterionScorer(criterion))
        expected = -getattr(model.criteria(data.X, data.y), criterion)
        assert scorer(model, data.X, data.y) == expected
    assert clone(NegativeBICScorer())(model, data.X, data.y) == -model.bic(data.X, data.y)
    with pytest.raises(ValueError, match="criterion"):
        NegativeCriterionScorer("entropy")(model, data.X, data.y)


def test_entropy_of_certain_rows_is_zero():
    x = np.concatenate([np.linspace(-2.0, -1.0, 50), np.linspace(1.0, 2.0, 50)])[:, None]
    y = 20.0 * np.abs(x[:, 0]) + 0.1 * np.sin(40.0 * x[:, 0])
    model = MoERegressor(2, alpha=1.0, n_init=2, random_state=0).fit(x, y)
    np.testing.assert_allclose(model.criteria(x, y).relative_entropy, 1.0, atol=1e-6)
    assert MoERegressor(1).fit(x, y).criteria(x, y).relative_entropy == 1.0


def test_criteria_are_a_table_and_forget_rows_of_weight_zero(rng, monkeypatch):
    data = regimes(rng, 100)
    model = MoERegressor(2, n_init=1, random_state=0).fit(data.X, data.y)
    weight = np.arange(100.0) % 3
    found = model.criteria(data.X, data.y, weight)
    used = weight > 0.0
    again = model.criteria(data.X[used], data.y[used], weight[used])
    for name, value in again.as_dict().items():
        np.testing.assert_allclose(getattr(found, name), value, rtol=1e-12, err_msg=name)
    assert found.n_rows == used.sum()
    assert found.total_weight == weight.sum()
    frame = found.to_frame()
    assert len(frame) == 1
    assert frame["bic"].iloc[0] == found.bic == model.bic(data.X, data.y, weight)
    assert all(name in str(found) for name in frame.columns)
    with pytest.raises(FrozenInstanceError):
        found.bic = 0.0
    monkeypatch.setitem(sys.modules, "pandas", None)
    assert found.to_frame().columns["aic"] == [found.aic]


@every_estimator
def test_summaries_with_and_without_data_share_header_and_figures(model, rng):
    data = data_for(model, rng)
    fitted = clone(model).fit(data.X, data.y)
    plain, full = fitted.summary(), fitted.summary(data.X, data.y)
    for text in (plain, full):
        for name, value in (
            ("Experts", f"{fitted.tree_.n_leaves} "),
            ("Converged", f"yes, {fitted.n_iter_} iterations"),
            ("Ended", fitted.convergence_reason_),
            ("Parameters", str(fitted.n_parameters_)),
            ("Log-likelihood", f"{fitted.log_likelihood_:.4f}"),
            ("  with penalty", f"{fitted.penalized_log_likelihood_:.4f}"),
        ):
            assert re.search(rf"{name} +{re.escape(value)}", text), name
        assert "logits that sum to zero" in text
        assert hypertext(fitted.convergence_reason_) in text._repr_html_()
    assert "BIC" not in plain
    assert f"BIC               {fitted.criteria(data.X, data.y).bic:.4f}" in full
    for row in fitted.coef_table().itertuples():
        assert f"{row.estimate:.4g}" in plain
        assert f"{row.estimate:.4g}" in plain._repr_html_()
        assert f"{row.estimate:.5g}" in full
    assert plain._repr_html_().split("<table>")[2] in fitted._repr_html_inner()
