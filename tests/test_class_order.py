"""Classes in an order: it is that of y, whatever type says it; the alphabet is none."""

import matplotlib
import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mixexp import EM, HMEClassifier, MoEClassifier, select_n_experts
from mixexp.displays import ResidualDisplay, ResponsibilityMapDisplay, TreeDisplay
from mixexp.experts import FAMILIES
from mixexp.metrics import log_density_scorer

NAMES = np.array(["low", "medium", "high"])
# A category that no row has, as in a slice of longer data.
DECLARED = ["none", *NAMES]
# Pseudo-rows keep an expert alive that nobody needs.
FEW = {"n_init": 1, "random_state": 0, "solver": EM(balance=10.0)}
MODELS = {
    "flat": MoEClassifier(2, expert="ordinal", **FEW),
    "tree": HMEClassifier((2, 1), expert="ordinal", **FEW),
    "list": MoEClassifier(2, expert=["ordinal", FAMILIES["ordinal"](link="probit")], **FEW),
}
ORDERED = {
    "Categorical": lambda code: pd.Categorical(NAMES[code], categories=DECLARED, ordered=True),
    "Series": lambda code: pd.Series(ORDERED["Categorical"](code), name="grade"),
    "index": lambda code: pd.CategoricalIndex(ORDERED["Categorical"](code)),
    "Enum": lambda code: pl.Series(NAMES[code].tolist(), dtype=pl.Enum(DECLARED)),
    "falling": lambda code: pd.Categorical(-code, categories=[0, -1, -2, -3], ordered=True),
    "floats": lambda code: code * 2.0 - 1.0,
    "int8": lambda code: pd.Series(code, dtype="Int8"),
}
UNORDERED = {
    "array": lambda code: NAMES[code],
    "list": lambda code: NAMES[code].tolist(),
    "Series": lambda code: pd.Series(NAMES[code]),
    "Categorical": lambda code: pd.Categorical(NAMES[code]),
    "numbers": lambda code: pd.Series(pd.Categorical(code)),
    "polars": lambda code: pl.Series(NAMES[code].tolist()),
    "polars Categorical": lambda code: pl.Series(NAMES[code].tolist(), dtype=pl.Categorical),
}


@pytest.fixture
def graded(rng):
    """Return X and codes 0, 1, 2 of a proportional-odds model; the slope is 1.5."""
    X = rng.normal(size=(160, 1))
    return X, np.digitize(1.5 * X[:, 0] + rng.logistic(size=160), [-1.0, 1.0])


@pytest.mark.parametrize(
    ("model", "kind"),
    [*(("flat", kind) for kind in ORDERED), ("tree", "Series"), ("list", "Categorical")],
)
def test_model_is_that_of_codes_in_the_declared_order(model, kind, graded):
    X, code = graded
    y = ORDERED[kind](code)
    labels = np.asarray(y)
    right, found = clone(MODELS[model]).fit(X, code), clone(MODELS[model]).fit(X, y)
    assert found.log_likelihood_ == right.log_likelihood_
    np.testing.assert_array_equal(found.coef_, right.coef_)
    for at in range(3):
        assert found.classes_[at] == labels[np.flatnonzero(code == at)[0]]
    np.testing.assert_array_equal(found.predict_proba(X), right.predict_proba(X))
    np.testing.assert_array_equal(found.predict(X), found.classes_[right.predict(X)])
    for target in (y, labels):  # labels say which class, whatever their type
        np.testing.assert_array_equal(found.log_density(X, target), right.log_density(X, code))
        assert found.score(X, target) == right.score(X, code)
        resp = found.responsibilities(X, target)
        np.testing.assert_array_equal(resp, right.responsibilities(X, code))
    dist = found.predict_dist(X)
    np.testing.assert_array_equal(dist.mode(), found.classes_[right.predict_dist(X).mode()])
    np.testing.assert_array_equal(dist.rvs(2, 0), found.classes_[right.predict_dist(X).rvs(2, 0)])


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("kind", UNORDERED)
def test_classes_without_an_order_are_refused_by_name(model, kind, graded):
    X, code = graded
    with pytest.raises(ValueError, match=r"ordinal.* y (holds|is an un).*ordered=True"):
        clone(MODELS[model]).fit(X, UNORDERED[kind](code))


def test_other_experts_take_any_labels_sorted(graded):
    X, code = graded
    for kind in ("Categorical", "Enum"):
        model = MoEClassifier(2, **FEW).fit(X, ORDERED[kind](code))
        assert list(model.classes_) == sorted(NAMES)


def test_two_classes_and_truth_values_have_an_order(graded):
    X, code = graded
    y = pd.Categorical(np.where(code > 0, "b", "c"), categories=["c", "b"], ordered=True)
    named = MoEClassifier(1, expert="ordinal").fit(X, y)
    truth = MoEClassifier(1, expert="ordinal").fit(X, code > 0)
    assert list(named.classes_) == ["c", "b"]
    np.testing.assert_array_equal(named.coef_, truth.coef_)


@pytest.mark.parametrize("kind", ["Series", "Enum"])
def test_searches_keep_the_order(kind, graded):
    X, code = graded
    y = ORDERED[kind](code)
    pipeline = make_pipeline(StandardScaler(), MoEClassifier(1, expert="ordinal"))
    options = {"param_grid": {"moeclassifier__alpha": [1.0, 100.0]}, "cv": 2}
    for scoring in (None, log_density_scorer):
        found = GridSearchCV(pipeline, scoring=scoring, **options).fit(X, y)
        right = GridSearchCV(pipeline, scoring=scoring, **options).fit(X, code)
        np.testing.assert_array_equal(
            found.cv_results_["mean_test_score"], right.cv_results_["mean_test_score"]
        )
    model, options = clone(MODELS["flat"]), {"criterion": log_density_scorer, "cv": 2}
    chosen = select_n_experts(model, X, y, [1, 2], **options)
    right = select_n_experts(model, X, code, [1, 2], **options)
    np.testing.assert_array_equal(chosen.values, right.values)


def test_slice_without_a_class_has_the_order_of_the_others(graded):
    X, code = graded
    y = ORDERED["Categorical"](code)
    kept = code != 1
    model = MoEClassifier(1, expert="ordinal").fit(X[kept], y[kept])
    assert list(model.classes_) == ["low", "high"]
    weighted = MoEClassifier(1, expert="ordinal").fit(X, y, sample_weight=kept.astype(float))
    assert list(weighted.classes_) == ["low", "high"]


@pytest.mark.parametrize("kind", ["nonparametric", "parametric"])
def test_bootstrap_keeps_the_order(kind, graded):
    X, code = graded
    options = {"kind": kind, "n_resamples": 2, "random_state": 0}
    y = ORDERED["Categorical"](code)
    found, right = (MoEClassifier(1, expert="ordinal").fit(X, target) for target in (y, code))
    np.testing.assert_array_equal(
        found.bootstrap(X, y, **options).replicates, right.bootstrap(X, code, **options).replicates
    )


def test_displays_count_classes_in_the_order(graded, closed_figures):
    matplotlib.use("Agg")
    X, code = graded
    y = ORDERED["Series"](code)
    found, right = clone(MODELS["tree"]).fit(X, y), clone(MODELS["tree"]).fit(X, code)
    pair = [(found, y), (right, code)]
    residuals = [ResidualDisplay.from_estimator(model, X, target) for model, target in pair]
    np.testing.assert_array_equal(residuals[0].residuals, residuals[1].residuals)
    trees = [TreeDisplay.from_estimator(model, X, target) for model, target in pair]
    assert [text.get_text() for text in trees[0].figure_.findobj(matplotlib.text.Text)]
    for model, target in pair:
        ResponsibilityMapDisplay.from_estimator(model, np.c_[X], target)


def test_experts_with_coefficients_of_other_shapes_are_refused(graded):
    X, code = graded
    with pytest.raises(ValueError, match="mixes 'ordinal' and 'multinomial'"):
        MoEClassifier(2, expert=["ordinal", "multinomial"]).fit(X, code)
