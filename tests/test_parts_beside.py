"""Parts that are no linear predictors, and what a model of them has besides fit and predict."""

import numpy as np
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.ensemble import (
    BaggingRegressor,
    StackingClassifier,
    StackingRegressor,
    VotingRegressor,
)
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mixexp import Frozen, HMERegressor, MoEClassifier, MoERegressor
from mixexp.exceptions import ConvergenceWarning, DegenerateExpertWarning, InferenceWarning
from mixexp.experts import MultivariateStudentT
from mixexp.selection import Auto

FEW = {"n_init": 1, "random_state": 0, "max_iter": 4}
pytestmark = [
    pytest.mark.filterwarnings(f"ignore::{category.__module__}.{category.__name__}")
    for category in (ConvergenceWarning, DegenerateExpertWarning)
]


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    label = rng.integers(0, 2, 120)
    X = rng.standard_normal((120, 2)) + np.where(label, 1.5, -1.5)[:, None]
    return X, np.where(label, 2.0, -1.0) * X[:, 0] + 0.3 * rng.standard_normal(120)


PARTS = {
    "ridge": MoERegressor(2, expert=[Ridge(), "gaussian"], **FEW),
    "gates": MoERegressor(2, gate="gaussian", **FEW),
    "quadratic": MoERegressor(2, gate="quadratic", **FEW),
    "frozen": MoERegressor(2, expert=[Frozen("gaussian", [1.0, 0.0]), "gaussian"], **FEW),
    "nothing linear": MoERegressor(2, expert=Ridge(), gate="gaussian", **FEW),
    "tree": HMERegressor(
        [[1, 1], 1],
        expert=["gaussian", Ridge(), "student_t"],
        gate=["softmax", LogisticRegression()],
        **FEW,
    ),
}


@pytest.mark.parametrize("model", PARTS.values(), ids=PARTS)
@pytest.mark.parametrize("kind", ["model", "robust", "opg"])
def test_standard_errors_are_nan_with_the_reason(model, kind, rows):
    X, y = rows
    fitted = model.fit(X, y)
    with pytest.warns(InferenceWarning, match=r"no information matrix.*use bootstrap"):
        found = fitted.inference(X, y, kind=kind)
    table, known = found.coef_table(), fitted.coef_table()
    np.testing.assert_allclose(table["estimate"], known["estimate"], rtol=1e-12)
    assert np.isnan(np.asarray(table["std_error"], dtype=float)).all()
    assert set(table["note"]) <= {"refused"}
    text = str(found.summary())
    assert "use bootstrap(X, y)" in text
    assert "Standard errors:" not in text  # nor how they would have been found
    assert "BIC" not in text
    assert ", besides " in text  # parameters of others are not counted
    mean = found.predict_mean(X[:3])
    np.testing.assert_allclose(mean["mean"], fitted.predict(X[:3]), rtol=1e-12)
    assert np.isnan(np.asarray(mean["std_error"], dtype=float)).all()
    with pytest.raises(ValueError, match="slopes of every part"):
        found.marginal_effects()


def test_what_newton_cannot_finish_is_said(rows):
    X, y = rows
    model = MoERegressor(2, gate="gaussian", n_init=1, random_state=0).fit(X, y)
    assert "no Newton finish beside GaussianGate" in model.convergence_reason_


STACK = StackingRegressor([("a", Ridge()), ("b", LinearRegression())], cv=2)
BAG = BaggingRegressor(make_pipeline(StandardScaler(), Ridge()), n_estimators=2, random_state=0)
VOTE = VotingRegressor([("a", Ridge()), ("b", LinearRegression()), ("c", "drop")])
SEVERAL = {
    "stack": (STACK, "sample_weight"),
    "vote": (VOTE, "sample_weight"),
    "pipeline": (make_pipeline(StandardScaler(), STACK), "stackingregressor__sample_weight"),
}


@pytest.mark.parametrize(("estimator", "argument"), SEVERAL.values(), ids=SEVERAL)
def test_estimators_of_several_are_experts(estimator, argument, rows):
    X, y = rows
    weight = 1.0 + (X[:, 0] > 0.0)
    alone = clone(estimator).fit(X, y, **{argument: weight}).predict(X)
    for routing in (False, True):
        with config_context(enable_metadata_routing=routing):
            model = MoERegressor(1, expert=estimator, **FEW).fit(X, y, weight)
        np.testing.assert_allclose(model.predict(X), alone, rtol=1e-9)


def test_estimators_within_others_are_asked_for_weights_where_they_are_routed(rows):
    X, y = rows
    with config_context(enable_metadata_routing=True):
        model = MoERegressor(2, expert=[BAG, "gaussian"], **FEW).fit(X, y)
    assert np.isfinite(model.predict(X)).all()


def test_votes_need_weights_of_all_members(rows):
    vote = VotingRegressor([("a", Ridge()), ("b", KNeighborsRegressor())])
    with pytest.raises(ValueError, match="VotingRegressor, expert 0, takes no sample_weight"):
        MoERegressor(2, expert=vote).fit(*rows)


def test_a_stack_of_classifiers_is_an_expert_and_a_gate(rows):
    X, y = rows
    stack = StackingClassifier([("a", LogisticRegression()), ("b", GaussianNB())], cv=2)
    model = MoEClassifier(2, expert=[stack, "logistic"], **FEW).fit(X, y > 0.0)
    np.testing.assert_allclose(model.predict_proba(X).sum(axis=1), 1.0, rtol=1e-12)
    gated = MoERegressor(2, gate=stack, **FEW).fit(X, y)
    np.testing.assert_allclose(gated.gate_proba(X).sum(axis=1), 1.0, rtol=1e-12)


def test_a_gate_without_weights_is_told_of_its_own_wrapper(rows):
    with pytest.raises(ValueError, match=r"KNeighborsClassifier.*mixexp\.gates\.Estimator\("):
        MoERegressor(2, gate=KNeighborsClassifier()).fit(*rows)


def test_missing_features_of_the_gate_beside_columns_that_it_does_not_see(rows):
    X, y = rows
    X = np.column_stack([X, np.cos(X[:, 0])])
    columns = {"gate_features": [0, 1], "expert_features": [0, 2]}
    model = MoERegressor(2, gate="gaussian", **columns, **FEW).fit(X, y)
    holed = X[:20].copy()
    holed[:, 0] = np.nan
    gate, means = model.submodel_params_["gate 0"], np.empty((20, 2))
    for k in range(2):
        slope = gate.covariances[k, 0, 1] / gate.covariances[k, 1, 1]
        filled = gate.means[k, 0] + slope * (X[:20, 1] - gate.means[k, 1])
        means[:, k] = model.intercept_[k] + model.coef_[k] @ [filled, X[:20, 2]]
    expected = (model.gate_proba(holed) * means).sum(axis=1)
    np.testing.assert_allclose(model.predict(holed), expected, rtol=1e-9)
    holed[:, 2] = np.nan
    with pytest.raises(ValueError, match="NaN in column 2"):
        model.predict(holed)


# Adding and removing experts.


def test_known_experts_keep_their_rows_when_one_is_added_or_goes(rows):
    X, y = rows
    known = np.where(np.arange(120) < 9, 0, -1)
    model = MoERegressor(2, **FEW).fit(X, y, known_expert=known)
    more = model.with_expert(X, y, known_expert=known)
    np.testing.assert_array_equal(more.coef_[:2], model.coef_)
    np.testing.assert_array_equal(more.responsibilities(X, y, known_expert=known)[:9, 0], 1.0)
    both = np.array([[True, False]] * 9 + [[True, True]] * 111)
    again = model.with_expert(X, y, known_expert=both)
    np.testing.assert_allclose(again.coef_, more.coef_, rtol=1e-9)
    fewer = more.without_expert(1, X, y, known_expert=known)
    np.testing.assert_array_equal(fewer.coef_[0], model.coef_[0])
    weight = (np.arange(120) > 4).astype(float)
    with pytest.raises(ValueError, match="known_expert says that row 5 belongs to the expert"):
        model.without_expert(0, X, y, weight, known_expert=known)


@pytest.mark.parametrize(
    ("expert", "added", "listed"),
    [
        ([("poisson", "gaussian")], None, [("poisson", "gaussian")]),
        ([("poisson", "gaussian")], ("poisson", "student_t"), 3),
        ([("poisson", "gaussian")], [("negative_binomial", "gaussian")], 3),
        ("gaussian", MultivariateStudentT(), 3),
        ("gaussian", ("gaussian", "laplace"), 3),
    ],
)
def test_experts_of_several_targets_are_added(expert, added, listed, rows):
    X, y = rows
    counts = np.random.default_rng(1).poisson(1.0 + np.abs(y))
    both = np.column_stack([counts if isinstance(expert, list) else X @ [1.0, 2.0], y])
    model = MoERegressor(2, expert=expert, **FEW).fit(X, both)
    more = model.with_expert(X, both, expert=added)
    np.testing.assert_array_equal(more.coef_[:2], model.coef_)
    assert (len(more.expert) if isinstance(listed, int) else more.expert) == listed
    assert more.without_expert(2, X, both).predict(X[:2]).shape == (2, 2)
    assert more.set_params(max_iter=2).fit(X, both).tree_.n_leaves == 3


def test_added_experts_of_several_targets_must_go_with_the_others(rows):
    X, y = rows
    both = np.column_stack([np.abs(np.round(y)), y])
    model = MoERegressor(2, expert=[("poisson", "gaussian")], **FEW).fit(X, both)
    with pytest.raises(ValueError, match="column 0 of y a family of counts"):
        model.with_expert(X, both, expert=("gaussian", "gaussian"))
    with pytest.raises(ValueError, match="2 columns, but the expert Ridge"):
        model.with_expert(X, both, expert=Ridge())


@pytest.mark.parametrize("options", [{"gate": "gaussian"}, {"gate": "quadratic"}])
def test_a_tree_is_grown_below_any_gate(options):
    rng = np.random.default_rng(0)
    x = rng.uniform(-2.0, 2.0, (200, 1))
    y = 2.0 * np.abs(x[:, 0]) + 0.2 * rng.standard_normal(200)
    choice = Auto(max_experts=2, cv=2)
    model = HMERegressor(choice, random_state=0, max_iter=50, **options).fit(x, y)
    assert model.tree_.to_nested() == [1, 1]
    assert model.score(x, y) > 0.9


def test_a_tree_of_estimators_is_grown(rows):
    X, y = rows
    choice = Auto(max_experts=2, cv=2)
    model = HMERegressor(choice, expert=Ridge(), random_state=0, max_iter=20).fit(X, y)
    assert model.tree_.to_nested() == [1, 1]
