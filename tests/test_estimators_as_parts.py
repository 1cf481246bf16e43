"""scikit-learn's estimators as experts and gates, frozen experts, Gaussian and quadratic gates."""

import json
import pickle
import warnings
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from sklearn import config_context
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.ensemble import RandomForestRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import (
    GammaRegressor,
    LinearRegression,
    LogisticRegression,
    PoissonRegressor,
    Ridge,
    TweedieRegressor,
)
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from mixexp import (
    EM,
    EstimatorExpert,
    Frozen,
    HMEClassifier,
    HMERegressor,
    MoEClassifier,
    MoERegressor,
    Submodel,
    gates,
)

REFERENCE = Path(__file__).parent / "reference"
NO_PRIORS = {"alpha": 0.0, "gate_alpha": 0.0, "dispersion_prior": 0.0}
pytestmark = pytest.mark.filterwarnings("ignore::mixexp.exceptions.DegenerateExpertWarning")


def make_rows(rng, n=200):
    """Return rows of two regimes that lie apart, and the regime of each."""
    label = rng.integers(0, 2, n)
    X = rng.standard_normal((n, 2)) + np.where(label, 1.5, -1.5)[:, None]
    return X, np.where(label, 2.0, -1.0) * X[:, 0] + 0.3 * rng.standard_normal(n), label


def halves():
    """Return a frozen regressor for each of the two regimes."""
    X, y, label = make_rows(np.random.default_rng(1))
    return [Frozen(Ridge().fit(X[label == k], y[label == k])) for k in (0, 1)]


REGRESSORS = {
    "ridge": MoERegressor(2, expert=Ridge()),
    "mixed": MoERegressor(3, expert=[Ridge(), "gaussian", DecisionTreeRegressor(max_depth=3)]),
    "pipeline": MoERegressor(2, expert=[make_pipeline(StandardScaler(), Ridge()), "student_t"]),
    "resampled": MoERegressor(
        2, expert=EstimatorExpert(KNeighborsRegressor(9), weighting="resample", cross_fit=0)
    ),
    "wrapped": MoERegressor(2, expert=TransformedTargetRegressor(Ridge())),
    "laplace": MoERegressor(2, expert=EstimatorExpert(Ridge(), family="laplace")),
    "tree of experts": HMERegressor([[1, 1], 1], expert=["gaussian", Ridge(), "gaussian"]),
    "frozen": MoERegressor(2, expert=halves()),
    "frozen family": MoERegressor(2, expert=[Frozen("gaussian", [-1.0, 0.0]), "gaussian"]),
    "classifier gate": MoERegressor(2, gate=DecisionTreeClassifier(max_depth=2)),
    "gates by node": HMERegressor(
        [[1, 1], 1], gate=[LogisticRegression(), DecisionTreeClassifier(min_samples_leaf=20)]
    ),
    "gaussian": MoERegressor(2, gate="gaussian"),
    "diagonal": MoERegressor(2, gate=gates.Gaussian("diagonal")),
    "shared": MoERegressor(2, gate=gates.Gaussian("shared", prior=0.0)),
    "gaussian below": HMERegressor([[1, 1], 1], gate=["softmax", "gaussian"]),
    "quadratic": MoERegressor(2, gate="quadratic"),
}
CLASSIFIERS = {
    "logistic regression": MoEClassifier(2, expert=LogisticRegression()),
    "mixed": MoEClassifier(2, expert=["logistic", GaussianNB()]),
    "tree": HMEClassifier([[1, 1], 1], expert=["auto", GaussianNB(), "auto"], gate="gaussian"),
}


def check_common(model, X, y):
    """Check what every fitted model of this kind has to keep."""
    if model.fitted_model_.model.is_monotone:
        assert np.diff(model.history_).min(initial=0.0) >= -1e-9 * abs(model.history_[-1])
    else:
        assert not model.converged_ or "may lower the objective" in model.convergence_reason_
    assert model.penalized_log_likelihood_ == model.history_.max()
    np.testing.assert_allclose(model.responsibilities(X, y).sum(axis=1), 1.0, rtol=1e-12)
    np.testing.assert_allclose(model.log_density(X, y).sum(), model.log_likelihood_, rtol=1e-9)
    copied = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(copied.predict(X), model.predict(X))
    assert "Experts" in str(model.summary())


@pytest.mark.parametrize("model", REGRESSORS.values(), ids=REGRESSORS)
def test_a_regressor_of_such_parts_fits_and_predicts(model, rng):
    X, y, _ = make_rows(rng)
    model = clone(model).set_params(n_init=2, random_state=0).fit(X, y)
    assert model.converged_
    assert model.score(X, y) > 0.8
    check_common(model, X, y)
    proba, means = model.gate_proba(X), model.predict_experts(X)
    np.testing.assert_allclose(model.predict(X), (proba * means).sum(axis=1), rtol=1e-9)
    np.testing.assert_allclose(
        model.predict(X, routing=1), means[np.arange(len(y)), proba.argmax(axis=1)], rtol=1e-12
    )
    dist = model.predict_dist(X[:20])
    np.testing.assert_allclose(dist.mean(), model.predict(X[:20]), rtol=1e-9)
    np.testing.assert_allclose(dist.logpdf(y[:20]), model.log_density(X[:20], y[:20]), rtol=1e-9)
    np.testing.assert_allclose(dist.cdf(dist.ppf(0.9)), 0.9, rtol=1e-6)
    again = clone(model).fit(X, y)
    np.testing.assert_array_equal(again.predict(X), model.predict(X))


@pytest.mark.filterwarnings("ignore::mixexp.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("model", CLASSIFIERS.values(), ids=CLASSIFIERS)
def test_a_classifier_of_such_parts_fits_and_predicts(model, rng):
    X, _, _ = make_rows(rng)
    y = np.array(["no", "yes"])[(X[:, 0] * X[:, 1] > 1.0).astype(int)]
    model = clone(model).set_params(n_init=1, random_state=0, max_iter=20).fit(X, y)
    assert model.score(X, y) > 0.8
    check_common(model, X, y)
    np.testing.assert_allclose(model.predict_proba(X).sum(axis=1), 1.0, rtol=1e-9)
    np.testing.assert_allclose(
        model.predict_proba(X, routing=model.tree_.n_leaves), model.predict_proba(X), rtol=1e-9
    )


# The same maximum through another door.


def from_labels(rng):
    """Return rows, options of a fit by maximum likelihood from labels, and that fit."""
    X = rng.standard_normal((300, 2))
    label = (rng.random(300) < 1.0 / (1.0 + np.exp(-2.0 * X[:, 0] - X[:, 1]))).astype(int)
    y = np.where(label, 2.0, -1.0) * X[:, 0] + 2.0 * label + 0.3 * rng.standard_normal(300)
    options = {"init": label, "tol": 1e-12, "max_iter": 2000, **NO_PRIORS}
    return X, y, options, MoERegressor(2, **options).fit(X, y)


def test_linear_regression_is_the_gaussian_expert(rng):
    X, y, options, known = from_labels(rng)
    own = MoERegressor(2, expert=LinearRegression(), **options).fit(X, y)
    np.testing.assert_allclose(own.log_likelihood_, known.log_likelihood_, rtol=0.0, atol=1e-6)
    np.testing.assert_allclose(own.predict(X), known.predict(X), atol=1e-5)


def test_logistic_regression_is_the_softmax_gate(rng):
    X, y, options, known = from_labels(rng)
    gate = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000)
    own = MoERegressor(2, gate=gate, **options).fit(X, y)
    np.testing.assert_allclose(own.log_likelihood_, known.log_likelihood_, rtol=0.0, atol=1e-4)


def test_a_quadratic_gate_is_a_softmax_in_squares_and_products(rng):
    X, y, options, _ = from_labels(rng)
    z = (X - X.mean(axis=0)) / X.std(axis=0)
    wide = np.column_stack([z, z[:, 0] ** 2, z[:, 0] * z[:, 1], z[:, 1] ** 2])
    expected = MoERegressor(2, expert_features=[0, 1], **options).fit(wide, y)
    own = MoERegressor(2, gate="quadratic", **options).fit(z, y)
    np.testing.assert_allclose(own.log_likelihood_, expected.log_likelihood_, rtol=0.0, atol=1e-6)


def test_frozen_coefficients_are_the_expert_that_they_come_from(rng):
    X, y, _, known = from_labels(rng)
    parts = [
        Frozen("gaussian", coef, intercept, dispersion=float(dispersion))
        for coef, intercept, dispersion in zip(
            known.coef_, known.intercept_, known.dispersion_, strict=True
        )
    ]
    own = MoERegressor(2, expert=parts, init=known.responsibilities(X, y), tol=1e-12, **NO_PRIORS)
    own.fit(X, y)
    np.testing.assert_allclose(own.log_likelihood_, known.log_likelihood_, rtol=1e-7)


def test_a_frozen_regressor_predicts_to_the_bit_what_it_did(rng):
    X, y, _ = make_rows(rng)
    known = RandomForestRegressor(5, random_state=0).fit(X, y)
    model = MoERegressor(2, expert=[FrozenEstimator(known), "gaussian"], random_state=0).fit(X, y)
    np.testing.assert_array_equal(model.predict_experts(X)[:, 0], known.predict(X))
    assert model.converged_
    assert np.diff(model.history_).min() >= -1e-9 * abs(model.history_[-1])


def test_the_gaussian_gate_is_the_joint_mixture_of_gaussians():
    rows = np.loadtxt(REFERENCE / "gaussian_gate.csv.gz", delimiter=",", skiprows=1)
    answer = json.loads((REFERENCE / "gaussian_gate.json").read_text())
    X, y, label = rows[:, 1:-1], rows[:, 0], rows[:, -1].astype(int) - 1
    options = {"init": label, "tol": 1e-14, "max_iter": 5000, **NO_PRIORS}
    model = MoERegressor(3, gate="gaussian", **options).fit(X, y)
    np.testing.assert_allclose(model.joint_log_likelihood_, answer["loglik"], atol=1e-8, rtol=0.0)
    np.testing.assert_allclose(model.log_likelihood_, answer["loglik_conditional"], atol=1e-4)
    params, found = answer["params"], model.submodel_params_["gate 0"]
    theirs = np.array(params["coef"]).T
    own = np.column_stack([model.intercept_, model.coef_])
    order = np.abs(theirs[:, None] - own).sum(axis=-1).argmin(axis=-1)
    np.testing.assert_allclose(model.coef_[order], theirs[:, 1:], atol=1e-5)
    gate = params["gate"]
    np.testing.assert_allclose(found.weights[order], gate["weights"], atol=1e-5)
    np.testing.assert_allclose(found.means[order], gate["means"], atol=1e-5)
    np.testing.assert_allclose(found.covariances[order], gate["covariances"], atol=1e-5)


@pytest.mark.parametrize("covariance", ["full", "diagonal", "shared"])
def test_a_gaussian_gate_has_no_unit_and_needs_no_full_rank(covariance, rng):
    X, y, _ = make_rows(rng)
    gate = gates.Gaussian(covariance)
    model = MoERegressor(2, gate=gate, n_init=1, random_state=0, tol=1e-12)
    plain = clone(model).fit(X, y)
    scale = np.array([1e-6, 1e9])
    scaled = clone(model).fit(X * scale + 3.0 * scale, y)
    np.testing.assert_allclose(scaled.predict(X * scale + 3.0 * scale), plain.predict(X), atol=1e-5)
    np.testing.assert_allclose(
        scaled.joint_log_likelihood_ + len(y) * np.log(scale).sum(),
        plain.joint_log_likelihood_,
        rtol=1e-6,
    )
    if covariance != "diagonal":  # a column that says what others say adds nothing
        more = np.column_stack([X, X.sum(axis=1)])
        twice = clone(model).set_params(expert_features=[0, 1]).fit(more, y)
        np.testing.assert_allclose(twice.predict(more), plain.predict(X), atol=1e-5)


def test_a_gaussian_gate_does_with_what_is_known(rng):
    X, y, _ = make_rows(rng)
    model = MoERegressor(2, gate="gaussian", expert_features=[0], random_state=0, n_init=2)
    model.fit(X, y)
    missing = X.copy()
    missing[::2, 1] = np.nan
    found, full = model.gate_proba(missing), model.gate_proba(X)
    np.testing.assert_allclose(found[1::2], full[1::2], rtol=1e-9)
    params = model.submodel_params_["gate 0"]
    variance = params.covariances[:, 0, 0]
    density = (
        params.weights
        / np.sqrt(variance)
        * np.exp(-0.5 * (X[::2, :1] - params.means[:, 0]) ** 2 / variance)
    )
    np.testing.assert_allclose(found[::2], density / density.sum(axis=1, keepdims=True), rtol=1e-9)
    assert np.isfinite(model.predict(missing)).all()
    assert np.isfinite(model.predict_quantile(missing, 0.5)).all()
    with pytest.raises(ValueError, match="infinity in column 1"):
        model.predict(np.where([False, True], np.inf, X))


def test_missing_features_are_integrated_out_of_gaussian_experts(rng):
    label = rng.integers(0, 2, 300)
    X = rng.multivariate_normal(np.zeros(3), 0.5 * np.eye(3) + 0.5, 300)
    X += 2.0 * label[:, None]
    y = np.where(label, X @ [1.0, 2.0, -1.0], 3.0 - X.sum(axis=1)) + 0.4 * rng.normal(size=300)
    model = MoERegressor(2, gate="gaussian", random_state=0, n_init=1).fit(X, y)
    holed = X[:40].copy()
    holed[::3, 1] = holed[1::4, 0] = holed[7] = np.nan
    gate, chance, joint = model.submodel_params_["gate 0"], np.zeros((2, 40)), np.zeros((2, 40))
    mean = np.zeros((2, 40))
    for k, (coef, center) in enumerate(zip(model.coef_, gate.means, strict=True)):
        lift = np.vstack([np.eye(3), coef])  # x and y together are normal under each expert
        cov = lift @ gate.covariances[k] @ lift.T
        cov[3, 3] += model.dispersion_[k]
        all_means = np.append(center, model.intercept_[k] + coef @ center)
        for i, row in enumerate(holed):
            own = np.flatnonzero(~np.isnan(row))
            inner, away = cov[np.ix_(own, own)], row[own] - all_means[own]
            slopes = np.linalg.solve(inner, cov[own, 3])
            chance[k, i] = gate.weights[k]
            if len(own):
                chance[k, i] *= stats.multivariate_normal(cov=inner).pdf(away)
            mean[k, i] = all_means[3] + slopes @ away
            spread = np.sqrt(cov[3, 3] - slopes @ cov[own, 3])
            joint[k, i] = chance[k, i] * stats.norm(mean[k, i], spread).pdf(y[i])
    prior = chance / chance.sum(axis=0)
    np.testing.assert_allclose(model.gate_proba(holed), prior.T, rtol=1e-9)
    np.testing.assert_allclose(model.predict_experts(holed), mean.T, rtol=1e-9)
    np.testing.assert_allclose(model.predict(holed), (prior * mean).sum(axis=0), rtol=1e-9)
    best = mean[prior.argmax(axis=0), np.arange(40)]
    np.testing.assert_allclose(model.predict(holed, routing="hard"), best, rtol=1e-9)
    density = joint.sum(axis=0) / chance.sum(axis=0)
    np.testing.assert_allclose(model.log_density(holed, y[:40]), np.log(density), rtol=1e-9)
    half = model.predict_quantile(holed, 0.5)
    np.testing.assert_allclose(model.predict_dist(holed).cdf(half), 0.5, atol=1e-9)
    beside = model.predict(np.vstack([holed, X]))[40:]
    np.testing.assert_array_equal(beside, model.predict(X))  # bits go by the row alone


def test_experts_of_other_families_need_the_features_that_they_see(rng):
    X, y, _ = make_rows(rng)
    holed = np.where([True, False], np.nan, X)
    for model in (
        MoERegressor(2, gate="gaussian", expert="student_t", random_state=0, n_init=1),
        HMERegressor([[1, 1], 1], gate="gaussian", random_state=0, n_init=1),
    ):
        model.fit(X, y)
        assert np.isfinite(model.gate_proba(holed)).all()
        with pytest.raises(ValueError, match="NaN in column 0"):
            model.predict(holed)


# What is given stays as it is, and what cannot be is said.


def test_nothing_of_the_callers_estimators_changes(rng):
    X, y, _ = make_rows(rng)
    tree, fitted = DecisionTreeRegressor(max_depth=2), Ridge().fit(X, y)
    before = fitted.coef_.copy()
    model = MoERegressor(2, expert=[tree, Frozen(fitted)], n_init=1, random_state=0).fit(X, y)
    assert not hasattr(tree, "tree_")
    assert tree.random_state is None
    np.testing.assert_array_equal(fitted.coef_, before)
    assert clone(model).expert[1].model is fitted
    assert isinstance(model.submodel_params_["expert 0"].predictor, DecisionTreeRegressor)


def test_estimators_see_what_was_given(rng):
    pd = pytest.importorskip("pandas")
    X, y, label = make_rows(rng)
    frame = pd.DataFrame({"a": X[:, 0], "kind": np.where(label, 3.0, 0.1), "b": X[:, 1]})
    encode = ColumnTransformer([("kind", OneHotEncoder(), ["kind"])], remainder="passthrough")
    whole = make_pipeline(encode, Ridge()).fit(frame, y)
    parts = [make_pipeline(encode, Ridge()), Frozen(whole)]
    model = MoERegressor(2, expert=parts, gate_features=["a"], n_init=1, random_state=0)
    model.fit(frame, y)
    np.testing.assert_array_equal(model.predict_experts(frame)[:, 1], whole.predict(frame))


def test_weights_take_their_way_with_metadata_routing(rng):
    X, y, _ = make_rows(rng)
    pipeline = make_pipeline(StandardScaler(), Ridge())
    model = MoERegressor(2, expert=pipeline, n_init=1, random_state=0)
    plain = clone(model).fit(X, y).predict(X)
    with config_context(enable_metadata_routing=True):
        np.testing.assert_allclose(clone(model).fit(X, y).predict(X), plain, rtol=1e-6)


def test_a_refit_starts_from_a_fit_and_bootstraps(rng):
    X, y, _ = make_rows(rng)
    model = MoERegressor(2, expert=["gaussian", Ridge()], gate="gaussian", n_init=2, random_state=0)
    model.fit(X, y)
    again = clone(model).set_params(init=model).fit(X, y)
    np.testing.assert_allclose(again.log_likelihood_, model.log_likelihood_, rtol=1e-6)
    found = model.bootstrap(X, y, n_resamples=3, random_state=0)
    assert found.n_failed == 0
    assert np.isfinite(found.estimates).all()
    drawn = model.bootstrap(X, y, kind="parametric", n_resamples=2, random_state=0)
    assert np.isfinite(drawn.estimates).all()


class Picky(RegressorMixin, BaseEstimator):
    """A regressor that can be told to fail."""

    def __init__(self, predicts=0.0, error=None):
        self.predicts = predicts
        self.error = error

    def fit(self, X, y, sample_weight=None):
        if self.error is not None:
            raise self.error
        self.n_features_in_ = X.shape[1]
        return self

    def predict(self, X):
        return np.full(len(X), self.predicts)


def count_model(rng):
    X, _, _ = make_rows(rng)
    return X, rng.poisson(np.exp(0.3 * X[:, 0])).astype(float)


@pytest.mark.filterwarnings("ignore::mixexp.exceptions.ConvergenceWarning")
def test_a_regressor_of_counts_has_the_family_that_it_is_given(rng):
    X, y = count_model(rng)
    part = EstimatorExpert(PoissonRegressor(), family="poisson")
    model = MoERegressor(2, expert=[part, "poisson"], n_init=1, random_state=0, max_iter=5)
    model.fit(X, y)
    dist = model.predict_dist(X[:5])
    np.testing.assert_allclose(dist.mean(), model.predict(X[:5]), rtol=1e-9)
    np.testing.assert_array_equal(dist.ppf(0.5), np.round(dist.ppf(0.5)))


BAD = {
    "no weights": (
        {"expert": KNeighborsRegressor()},
        r"KNeighborsRegressor, expert 0, takes no sample_weight.*resample",
    ),
    "no weights in a gate": ({"gate": KNeighborsClassifier()}, "KNeighborsClassifier.*node 0"),
    "a regressor as a gate": ({"gate": Ridge()}, "gate must be a classifier"),
    "a classifier as an expert": ({"expert": GaussianNB()}, "'expert' parameter must be one of"),
    "no probabilities": ({"gate": LinearSVC()}, "predict_proba"),
    "unfitted": ({"expert": Frozen(Ridge())}, r"Frozen\(Ridge\) is not fitted"),
    "NaN": ({"expert": Picky(np.nan)}, "Picky, expert 0, predicts nan"),
    "family": ({"expert": EstimatorExpert(Ridge(), family="lognormal")}, "'family' parameter"),
    "support": (
        {"expert": EstimatorExpert(Picky(-9.0), family="poisson")},
        "No row of y is .* which Picky, expert 0, needs",
    ),
    "weighting": ({"expert": EstimatorExpert(Ridge(), weighting="no")}, "'weighting' parameter"),
    "folds": ({"expert": EstimatorExpert(Ridge(), cross_fit=1)}, "'cross_fit' parameter"),
    "no estimator": ({"expert": EstimatorExpert("ridge")}, "'estimator' parameter"),
    "covariance": ({"gate": gates.Gaussian("round")}, "'covariance' parameter"),
    "prior": ({"gate": gates.Gaussian(prior=-1.0)}, "'prior' parameter"),
    "ridge": ({"gate": gates.Quadratic(alpha=-1.0)}, "'alpha' parameter"),
    "no coefficients": ({"expert": Frozen("gaussian")}, "needs coef="),
    "coefficients": ({"expert": Frozen("gaussian", [1.0])}, "has 1 coefficients, and sees 2"),
    "no family": ({"expert": Frozen("gausian", [1.0, 2.0])}, "'model' parameter of Frozen"),
    "dispersion": ({"expert": Frozen("gaussian", [1.0, 2.0], dispersion=0.0)}, "'dispersion'"),
    "collapse": ({"expert": Ridge(), "solver": EM(on_collapse="drop")}, "'on_collapse'.*Ridge"),
}


@pytest.mark.parametrize(("options", "words"), BAD.values(), ids=BAD)
def test_what_cannot_be_is_named(options, words, rng):
    X, y, _ = make_rows(rng, 60)
    with pytest.raises(ValueError, match=words):
        MoERegressor(2, **options).fit(X, y)


def test_an_error_of_someone_elses_fit_says_where_it_was_met(rng):
    X, y, _ = make_rows(rng, 60)
    with pytest.raises(KeyError) as met:
        MoERegressor(2, expert=["gaussian", Picky(error=KeyError("lost"))]).fit(X, y)
    assert met.value.__notes__ == ["Picky, expert 1, in its fit number 0 of a start"]


def test_an_offset_is_refused_where_nothing_takes_it(rng):
    X, y, _ = make_rows(rng, 60)
    with pytest.raises(ValueError, match=r"offset is for experts with a linear predictor.*Ridge"):
        MoERegressor(2, expert=[Ridge(), "gaussian"]).fit(X, y, offset=np.ones(60))


def test_a_frozen_expert_with_other_features_or_classes_is_refused(rng):
    X, y, label = make_rows(rng, 60)
    with pytest.raises(ValueError, match=r"has 1 features, and sees 2.*expert_features"):
        MoERegressor(2, expert=Frozen(Ridge().fit(X[:, :1], y))).fit(X, y)
    known = GaussianNB().fit(X, np.array(["a", "b"])[label])
    with pytest.raises(ValueError, match="knows class 'a', which y does not hold"):
        MoEClassifier(2, expert=Frozen(known)).fit(X, np.array(["b", "c"])[label])


def test_a_class_that_an_expert_has_never_seen_is_not_impossible(rng):
    X, _, label = make_rows(rng, 90)
    y = np.array(["a", "b"])[label]
    known = Frozen(GaussianNB().fit(X, y))
    y[:9] = "c"
    model = MoEClassifier(2, expert=[known, "multinomial"], n_init=1, random_state=0).fit(X, y)
    assert np.isfinite(model.log_density(X, y)).all()
    assert model.predict_proba(X).shape == (90, 3)


class Descending(Submodel):
    """Means on a list of values, each worse than the one before it until the fifth."""

    is_monotone = False
    means = (3.0, 3.2, 2.0, 1.0, 0.0)

    def _mean(self, params):
        return self.means[min(params, 4)]

    def log_terms(self, params, rows):
        return -0.5 * (np.asarray(rows.y) - self._mean(params)) ** 2

    def statistics(self, params, rows, weight):
        return np.array(weight.sum())

    def m_step(self, params, stats):
        return 0 if params is None else params + 1

    def mean(self, params, rows):
        return np.full(len(rows.X), self._mean(params))


def test_one_expert_that_may_fall_goes_on_after_a_fall():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 1))
    model = MoERegressor(1, expert=Descending()).fit(X, X[:, 0] + rng.normal(size=300))
    assert model.history_[1] < model.history_[0]  # and yet
    assert "may lower the objective" in model.convergence_reason_
    assert model.log_likelihood_ == max(model.history_)


# One measure: where some experts have a probability, the densities of others are nothing.


class Waiting(Submodel):
    """A density of one's own: that of an exponential, around its mean."""

    def log_terms(self, params, rows):
        return np.where(rows.y >= 0.0, -rows.y / params - np.log(params), -np.inf)

    def statistics(self, params, rows, weight):
        return np.array([weight.sum(), weight @ rows.y])

    def m_step(self, params, stats):
        return stats[1] / stats[0] if stats[0] > 0.0 else params

    def mean(self, params, rows):
        return np.full(len(rows.X), params)


class AtZero(Submodel):
    """A point mass at zero, of one's own."""

    atoms = (0.0,)
    support = "zero"

    def log_terms(self, params, rows):
        return np.where(rows.y == 0.0, 0.0, -np.inf)

    def statistics(self, params, rows, weight):
        return np.zeros(1)

    def m_step(self, params, stats):
        return 0

    def mean(self, params, rows):
        return np.zeros(len(rows.X))


def make_claims(n=300):
    """Return rows of which a quarter are zero, and the others positive."""
    rng = np.random.default_rng(3)
    X = rng.standard_normal((n, 2))
    y = np.exp(0.3 * X[:, 1]) * rng.gamma(4.0, 0.25, n)
    return X, np.where(rng.random(n) < 0.25, 0.0, y)


def mean_of_claims():
    X, y = make_claims()
    return LinearRegression().fit(X, y)


class Counts(Submodel):
    """Geometric counts, of one's own."""

    is_discrete = True
    support = "a count"

    def log_terms(self, params, rows):
        is_count = (rows.y >= 0.0) & (rows.y == np.floor(rows.y))
        held = np.where(is_count, rows.y, 0.0)
        return np.where(is_count, np.log(params) + held * np.log1p(-params), -np.inf)

    def statistics(self, params, rows, weight):
        is_count = (rows.y >= 0.0) & (rows.y == np.floor(rows.y))
        return weight @ np.stack([is_count, np.where(is_count, rows.y, 0.0)], axis=1)

    def m_step(self, params, stats):
        return (stats[0] + 1.0) / (stats[0] + stats[1] + 2.0)

    def mean(self, params, rows):
        return np.full(len(rows.X), 1.0 / params - 1.0)


def test_counts_of_ones_own_leave_other_values_to_densities():
    rng = np.random.default_rng(4)
    X = rng.standard_normal((300, 2))
    y = np.where(rng.random(300) < 0.5, rng.geometric(0.3, 300) - 1.0, rng.normal(5.0, 1.0, 300))
    model = MoERegressor(2, expert=["gaussian", Counts()], n_init=2, random_state=0).fit(X, y)
    np.testing.assert_array_equal(Counts().has_mass(np.array([0.0, 2.0, 1.5])), [True, True, False])
    is_count = y == np.floor(y)
    at = [isinstance(expert, Counts) for expert in model.experts_].index(True)
    np.testing.assert_allclose(model.responsibilities(X, y)[:, at], is_count, atol=1e-12)


BESIDE_ATOMS = {
    "estimator": [Ridge(), "point_mass"],
    "tree": [DecisionTreeRegressor(max_depth=2), "point_mass", "gaussian"],
    "gamma": [EstimatorExpert(GammaRegressor(), family="gamma"), "point_mass"],
    "frozen": [Frozen(mean_of_claims()), "tweedie"],
    "two": [Ridge(), EstimatorExpert(TweedieRegressor(power=1.5), family="tweedie")],
    "own_mass": ["gaussian", AtZero()],
    "own_density": [Waiting(), "point_mass"],
    "both_own": [Waiting(), AtZero()],
}


@pytest.mark.parametrize("name", BESIDE_ATOMS)
def test_densities_beside_probabilities_add_up_to_one(name):
    X, y = make_claims()
    experts = BESIDE_ATOMS[name]
    model = MoERegressor(len(experts), expert=experts, n_init=2, random_state=0).fit(X, y)
    assert model.log_density(X, y).sum() == pytest.approx(model.log_likelihood_, rel=1e-9)
    between = np.linspace(-20.0, 60.0, 160_001) + 1e-5
    for row in X[:3, None]:
        density = np.exp(model.log_density(np.repeat(row, len(between), axis=0), between))
        mass = np.exp(model.log_density(row, [0.0])).item()
        assert np.trapezoid(density, between) + mass == pytest.approx(1.0, abs=2e-3)
    # At zero a density has no share.
    has_mass = [getattr(family, "measure", family).atoms == (0.0,) for family in model.experts_]
    shares = model.responsibilities(X[:1], [0.0])[0]
    np.testing.assert_array_equal(shares[~np.array(has_mass)], 0.0)


@pytest.mark.parametrize("name", ["estimator", "tree"])
def test_estimators_beside_probabilities_know_no_unit(name):
    X, y = make_claims()
    experts = BESIDE_ATOMS[name]
    one, other = (
        MoERegressor(len(experts), expert=experts, n_init=2, random_state=0).fit(X, scale * y)
        for scale in (1.0, 1024.0)
    )
    expected = other.log_likelihood_ + np.count_nonzero(y) * np.log(1024.0)
    assert one.log_likelihood_ == pytest.approx(expected, rel=1e-6)


def test_an_estimator_without_a_row_beside_counts_is_refused():
    X, y = make_claims()
    with pytest.raises(ValueError, match="No row is left to the Ridge expert"):
        MoERegressor(2, expert=[Ridge(), "poisson"]).fit(X, np.round(4.0 * y))


@pytest.mark.parametrize("family", ["gamma", "poisson", "inverse_gaussian", "tweedie"])
@pytest.mark.parametrize("scale", [1.0, 1e-4, 10.0])
def test_predictions_that_a_family_cannot_have_are_warned_of(family, scale):
    x = np.linspace(-1.0, 1.0, 120)[:, None]
    y = np.ceil(np.exp(4.0 * x[:, 0]))  # a line through it is below zero on the left
    n_below = int((LinearRegression().fit(x, y).predict(x) <= 0.0).sum())
    assert n_below > 10
    line = EstimatorExpert(LinearRegression(), family=family)
    weight = np.full(120, scale)
    text = rf"LinearRegression, expert 0, predicts zero or less for {n_below} of its rows"
    with pytest.warns(UserWarning, match=text):
        MoERegressor(1, expert=line).fit(x, y, weight)
    frozen = Frozen(LinearRegression().fit(x, y), family=family)
    with pytest.warns(UserWarning, match=rf"Frozen\(LinearRegression\), expert 0, .* {n_below} of"):
        MoERegressor(1, expert=frozen).fit(x, y, weight)


@pytest.mark.parametrize("family", ["gamma", "gaussian"])
def test_predictions_that_a_family_can_have_are_not(family):
    x = np.linspace(-1.0, 1.0, 120)[:, None]
    y = np.exp(x[:, 0] + 0.1 * np.sin(99.0 * x[:, 0]))
    log_linear = TransformedTargetRegressor(LinearRegression(), func=np.log, inverse_func=np.exp)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        MoERegressor(1, expert=EstimatorExpert(log_linear, family=family)).fit(x, y)
