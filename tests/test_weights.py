"""Two meanings of weights: numbers of like rows, and what compensates for sampling."""

import numpy as np
import pytest
import statsmodels.api as sm
from matplotlib.text import Text
from problems import UNPENALIZED, UNPENALIZED_CLASSES, simulate_classes, simulate_regimes
from scipy.special import expit
from sklearn.base import clone

from mixexp import EM, HMERegressor, MoEClassifier, MoERegressor, select_n_experts
from mixexp.displays import TreeDisplay
from mixexp.ensemble import BaggedMixture
from mixexp.exceptions import InferenceWarning
from mixexp.metrics import log_density_scorer, negative_bic_scorer

N_ROWS = 300
MODELS = {
    "flat": MoERegressor(2, n_init=1, random_state=0),
    "tree": HMERegressor((2, 1), n_init=1, random_state=0, solver=EM(balance=5.0)),
    "classes": MoEClassifier(2, n_init=1, random_state=0, solver=EM(balance=5.0)),
}


@pytest.fixture
def sampled(rng):
    """Return a function that draws X, y and weights of mean 600 for a model, some of them zero."""

    def draw(model):
        make = simulate_classes if hasattr(model, "predict_proba") else simulate_regimes
        X, y = make(rng, N_ROWS, 2)[:2]
        weight = rng.gamma(2.0, 300.0, N_ROWS) * (rng.random(N_ROWS) < 0.95)
        return X, y, weight

    return draw


def mean_one(weight):
    return weight * np.sum(weight > 0.0) / weight.sum()


def sampling(model):
    return clone(model).set_params(weight_type="sampling")


@pytest.mark.parametrize("name", MODELS)
def test_sampling_weights_are_counts_of_mean_one_with_rows_as_clusters(name, sampled):
    model, (X, y, weight) = MODELS[name], sampled(MODELS[name])
    found, counts = sampling(model).fit(X, y, weight), mean_one(weight)
    right = clone(model).fit(X, y, counts)
    np.testing.assert_allclose(found.log_likelihood_, right.log_likelihood_, rtol=1e-9)
    np.testing.assert_allclose(found.coef_, right.coef_, rtol=1e-6, atol=1e-9)
    for criterion in ("log_likelihood", "aic", "bic", "icl", "entropy"):
        value = getattr(found.criteria(X, y, weight), criterion)
        expected = getattr(right.criteria(X, y, counts), criterion)
        np.testing.assert_allclose(value, expected, rtol=1e-6)
    by_row = right.inference(X, y, counts, cluster=np.arange(N_ROWS))
    inference = found.inference(X, y, weight)
    np.testing.assert_allclose(inference.std_errors, by_row.std_errors, rtol=1e-5)
    assert "sampling weights" in str(found.summary(X, y, weight))
    groups = np.arange(N_ROWS) // 3
    np.testing.assert_allclose(
        found.inference(X, y, weight, cluster=groups).std_errors,
        right.inference(X, y, counts, cluster=groups).std_errors,
        rtol=1e-5,
    )


@pytest.mark.parametrize("name", MODELS)
def test_scale_of_sampling_weights_means_nothing(name, sampled):
    X, y, weight = sampled(MODELS[name])
    first, second = (sampling(MODELS[name]).fit(X, y, s * weight) for s in (1.0, 1024.0))
    np.testing.assert_array_equal(first.coef_, second.coef_)
    errors = [m.inference(X, y, s * weight).std_errors for m, s in [(first, 1.0), (second, 1024.0)]]
    np.testing.assert_array_equal(*errors)


def test_one_expert_has_the_errors_of_weighted_least_squares(sampled):
    X, y, weight = sampled(MODELS["flat"])
    options = {"tol": 1e-14, "weight_type": "sampling", **UNPENALIZED}
    found = MoERegressor(1, **options).fit(X, y, weight).inference(X, y, weight)
    used = weight > 0.0
    other = sm.WLS(y[used], sm.add_constant(X[used]), weights=weight[used]).fit(cov_type="HC0")
    np.testing.assert_allclose(found.std_errors[:3], other.bse, rtol=1e-8)


def test_one_logistic_expert_has_the_survey_sandwich(sampled):
    X, y, weight = sampled(MODELS["classes"])
    options = {"tol": 1e-14, "weight_type": "sampling", **UNPENALIZED_CLASSES}
    model = MoEClassifier(1, **options).fit(X, y, weight)
    design = sm.add_constant(X)
    mean = expit(model.intercept_[0] + X @ model.coef_[0])
    bread = np.linalg.inv((design.T * (weight * mean * (1.0 - mean))) @ design)
    scores = design * (weight * ((y == model.classes_[1]) - mean))[:, None]
    expected = np.sqrt(np.diagonal(bread @ (scores.T @ scores) @ bread))
    np.testing.assert_allclose(model.inference(X, y, weight).std_errors, expected, rtol=1e-6)


def test_bootstrap_of_sampling_weights_resamples_rows(sampled):
    X, y, weight = sampled(MODELS["flat"])
    model = MoERegressor(1, weight_type="sampling").fit(X, y, weight)
    resampled = model.bootstrap(X, y, weight, n_resamples=60, random_state=0)
    ratio = resampled.std_errors / model.inference(X, y, weight).std_errors
    assert np.all(np.abs(np.log(ratio)) < np.log(1.5))  # 60 draws: 10 % each way


def test_selection_by_a_criterion_counts_rows(sampled):
    X, y, weight = sampled(MODELS["flat"])
    model = sampling(MODELS["flat"])
    chosen = select_n_experts(model, X, y, [1, 2], weight)
    best = chosen.best_estimator_
    np.testing.assert_allclose(chosen.values[chosen.best_index_], best.bic(X, y, weight))
    thousand = select_n_experts(model, X, y, [1, 2], 1024.0 * weight)
    np.testing.assert_allclose(thousand.values, chosen.values)


def test_tree_is_drawn_alike_for_weights_of_any_scale(sampled, closed_figures):
    X, y, weight = sampled(MODELS["tree"])
    model = sampling(MODELS["tree"]).fit(X, y, weight)
    first, second = (
        TreeDisplay.from_estimator(model, X, y, sample_weight=s * weight) for s in (1.0, 1024.0)
    )
    drawn = [d.figure_.findobj(Text) for d in (first, second)]
    texts = [[text.get_text() for text in found] for found in drawn]
    assert texts[0] == texts[1]


def test_what_is_not_for_sampling_weights_is_refused(sampled):
    X, y, weight = sampled(MODELS["flat"])
    options = {**UNPENALIZED, "n_init": 1, "random_state": 0, "weight_type": "sampling"}
    full = MoERegressor(2, **options).fit(X, y, weight)
    for kind in ("model", "opg"):
        with pytest.raises(ValueError, match=f"kind='{kind}'.*'sampling'.*'robust'"):
            full.inference(X, y, weight, kind=kind)
    restricted = MoERegressor(2, gate="constant", **options).fit(X, y, weight)
    with pytest.raises(ValueError, match=r"'sampling'.*not chi-squared.*wald_test"):
        full.likelihood_ratio_test(restricted, X, y, weight)
    with pytest.raises(ValueError, match="weight_type"):
        MoERegressor(weight_type="survey").fit(X, y)


def test_fractions_that_are_no_counts_draw_a_warning(sampled):
    X, y, weight = sampled(MODELS["flat"])
    model = MoERegressor(1).fit(X, y, weight)
    expected = r"sample_weight holds fractions \(mean \d+.*weight_type='sampling'"
    for options in ({"kind": "robust"}, {"kind": "model"}, {"kind": "opg"}):
        with pytest.warns(InferenceWarning, match=expected):
            model.coef_table(X, y, weight, **options)
    with pytest.warns(InferenceWarning, match=expected):
        model.bootstrap(X, y, weight, n_resamples=2, random_state=0)
    counts = mean_one(weight)
    model = MoERegressor(1).fit(X, y, counts)
    with pytest.warns(InferenceWarning, match=r"fractions \(mean 1\)"):
        model.coef_table(X, y, counts, kind="robust")


def test_counts_and_clusters_draw_none(sampled, rng):
    X, y, weight = sampled(MODELS["flat"])
    counts = rng.integers(0, 5, N_ROWS)
    model = MoERegressor(1).fit(X, y, counts)
    model.inference(X, y, counts, kind="robust")
    model = MoERegressor(1).fit(X, y, weight)
    model.inference(X, y, weight, cluster=np.arange(N_ROWS))
    shared = 0.5 * counts + 0.25  # model-based errors of counts that are shared out
    MoERegressor(1).fit(X, y, shared).inference(X, y, shared)


ASKED_WITH_WEIGHTS = {
    "log_likelihood": lambda model, *rows: model.log_likelihood(*rows),
    "criteria": lambda model, *rows: model.criteria(*rows).icl,
    "inference": lambda model, *rows: model.inference(*rows).std_errors,
    "score": lambda model, *rows: model.score(*rows),
    "log_density_scorer": lambda model, X, y, w: log_density_scorer(model, X, y, sample_weight=w),
    "bic_scorer": lambda model, X, y, w: negative_bic_scorer(model, X, y, sample_weight=w),
    "with_expert": lambda model, *rows: model.with_expert(*rows).log_likelihood_,
    "bag": lambda model, X, y, w: log_density_scorer(
        BaggedMixture(model, 2, random_state=0).fit(X, y, w), X, y, sample_weight=w
    ),
}


@pytest.mark.parametrize("labels", [[0, 1, 2], ["a", "b", "c"]], ids=["numbers", "strings"])
@pytest.mark.parametrize("name", ASKED_WITH_WEIGHTS)
def test_a_class_of_rows_of_weight_zero_is_as_if_absent(name, labels, rng):
    X, y = simulate_classes(rng, N_ROWS, 2)[:2]
    weight = rng.integers(1, 3, N_ROWS).astype(float)
    y = np.array(labels)[np.where(rng.random(N_ROWS) < 0.1, 2, (y > 0).astype(int))]
    is_used = y != labels[2]
    weight[~is_used] = 0.0
    model = MoEClassifier(2, n_init=1, random_state=0).fit(X, y, weight)
    assert model.classes_.tolist() == labels[:2]
    found = ASKED_WITH_WEIGHTS[name](model, X, y, weight)
    expected = ASKED_WITH_WEIGHTS[name](model, X[is_used], y[is_used], weight[is_used])
    np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_more_rows_may_have_unknown_classes_of_weight_zero(rng):
    X, y = simulate_classes(rng, N_ROWS, 2)[:2]
    y, weight = (y > 0).astype(int), np.ones(N_ROWS)
    model = MoEClassifier(2, n_init=1, random_state=0).fit(X, y)
    y[0], weight[0] = 7, 0.0
    assert np.isfinite(clone(model).fit(X, y, weight).partial_fit(X, y, weight).coef_).all()
    resampled = model.bootstrap(X, y, weight, n_resamples=2, random_state=0)
    assert np.isfinite(resampled.std_errors).all()
    with pytest.raises(ValueError, match="class 7 at row 0"):
        model.log_likelihood(X, y)
