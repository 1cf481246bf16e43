"""Gates and experts of one's own, each a few lines: they fit, rise monotonically and predict."""

import pickle

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.base import clone
from sklearn.linear_model import Ridge

from mixexp import EM, HMERegressor, MoEClassifier, MoERegressor, Submodel

pytestmark = pytest.mark.filterwarnings("ignore::mixexp.exceptions.DegenerateExpertWarning")


class GaussianGate(Submodel):
    """Joint density of child and features: one Gaussian per child."""

    def log_terms(self, params, rows):
        share, mean, variance = (part[..., None] for part in params)
        away = (rows.X.T - mean) ** 2 / variance + np.log(2.0 * np.pi * variance)
        return np.log(share) - 0.5 * away.sum(axis=1)

    def statistics(self, params, rows, weight):
        return weight.sum(axis=1), weight @ rows.X, weight @ rows.X**2

    def m_step(self, params, stats):
        mass, first, second = stats
        mean = first / mass[:, None]
        return mass / mass.sum(), mean, second / mass[:, None] - mean**2


class ProportionGate(Submodel):
    """Mixing proportions in closed form: what ``gate="constant"`` is."""

    def log_terms(self, params, rows):
        return np.tile(np.log(params)[:, None], len(rows.X))

    def statistics(self, params, rows, weight):
        return weight.sum(axis=1)

    def m_step(self, params, stats):
        return stats / stats.sum()


class RidgeExpert(Submodel):
    """A scikit-learn regressor with Gaussian noise about it."""

    def log_terms(self, params, rows):
        return norm.logpdf(rows.y, self.mean(params, rows), params[1])

    def statistics(self, params, rows, weight):
        return [(rows.X, rows.y, weight)]

    def m_step(self, params, stats):
        X, y, weight = map(np.concatenate, zip(*stats, strict=True))
        ridge = Ridge(alpha=1e-8).fit(X, y, weight)
        return ridge, np.sqrt(np.average((y - ridge.predict(X)) ** 2, weights=weight + 1e-12))

    def mean(self, params, rows):
        return params[0].predict(rows.X)


def make_rows(rng, n=500):
    """Return rows of two regimes with features that are Gaussian in each."""
    label = rng.integers(0, 2, n)
    X = rng.standard_normal((n, 2)) + np.where(label, 1.5, -1.5)[:, None]
    return X, np.where(label, 2.0, -1.0) * X[:, 0] + 0.3 * rng.standard_normal(n), label


NO_PRIORS = {"alpha": 0.0, "gate_alpha": 0.0, "dispersion_prior": 0.0}
CASES = {
    "closed gate": MoERegressor(2, gate=ProportionGate()),
    "gaussian gate": MoERegressor(2, gate=GaussianGate()),
    "unlike gates": HMERegressor([[1, 1], 1], gate=[ProportionGate(), "softmax"]),
    "another expert": MoERegressor(2, expert=["gaussian", RidgeExpert()]),
    "other experts": MoERegressor(2, expert=RidgeExpert()),
    "all others": MoERegressor(2, expert=RidgeExpert(), gate=ProportionGate()),
    "in a tree": HMERegressor((2, 2), expert=["gaussian", RidgeExpert(), "gaussian", "student_t"]),
}
every_case = pytest.mark.parametrize("model", CASES.values(), ids=CASES)


@every_case
def test_it_fits_rises_and_predicts(model, rng):
    X, y, _ = make_rows(rng)
    weight = rng.integers(1, 4, len(y)).astype(float)
    model = clone(model).set_params(n_init=3, random_state=0).fit(X, y, weight)
    assert np.diff(model.history_).min() >= -1e-9 * abs(model.history_[-1])
    assert model.converged_
    if not isinstance(model.gate, ProportionGate):  # which sees no features
        assert model.score(X, y) > 0.9
    np.testing.assert_allclose(model.responsibilities(X, y).sum(axis=1), 1.0, rtol=1e-12)
    np.testing.assert_allclose(model.log_density(X, y) @ weight, model.log_likelihood_, rtol=1e-12)
    proba, means = model.gate_proba(X), model.predict_experts(X)
    np.testing.assert_allclose(model.predict(X), (proba * means).sum(axis=1), rtol=1e-12)
    assert "Converged" in str(model.summary())
    copied = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(copied.predict(X), model.predict(X))


@every_case
def test_a_row_of_weight_two_is_the_row_twice(model, rng):
    X, y, _ = make_rows(rng, 200)
    weight = rng.integers(1, 3, len(y))
    model = clone(model).set_params(n_init=1, random_state=0, tol=1e-13, max_iter=3000)
    rows = np.repeat(np.arange(len(y)), weight)
    weighted, repeated = clone(model).fit(X, y, weight), clone(model).fit(X[rows], y[rows])
    np.testing.assert_allclose(weighted.log_likelihood_, repeated.log_likelihood_, rtol=1e-9)


def test_a_closed_form_gate_is_the_constant_gate(rng):
    X, y, label = make_rows(rng)
    options = {
        **NO_PRIORS,
        "init": label,
        "solver": EM(acceleration="none"),
        "tol": 1e-13,
        "max_iter": 2000,
    }
    own = MoERegressor(2, gate=ProportionGate(), **options).fit(X, y)
    known = MoERegressor(2, gate="constant", **options).fit(X, y)
    np.testing.assert_allclose(own.log_likelihood_, known.log_likelihood_, rtol=1e-10)
    # Children of a gate of one's own keep their places, others are sorted.
    np.testing.assert_allclose(np.sort(own.coef_, axis=0), np.sort(known.coef_, axis=0), atol=1e-6)
    np.testing.assert_allclose(own.predict(X[:3]), known.predict(X[:3]), atol=1e-6)


def test_a_wrapped_regressor_is_the_linear_expert(rng):
    X, y, label = make_rows(rng)
    options = {
        **NO_PRIORS,
        "init": label,
        "solver": EM(acceleration="none"),
        "tol": 1e-13,
        "max_iter": 2000,
    }
    own = MoERegressor(2, expert=RidgeExpert(), **options).fit(X, y)
    known = MoERegressor(2, **options).fit(X, y)
    np.testing.assert_allclose(own.log_likelihood_, known.log_likelihood_, rtol=1e-8)
    np.testing.assert_allclose(own.predict(X), known.predict(X), atol=1e-4)


def test_a_gaussian_gate_finds_where_regimes_are(rng):
    X, y, label = make_rows(rng)
    model = MoERegressor(2, gate=GaussianGate(), random_state=0, **NO_PRIORS).fit(X, y)
    share, mean, variance = model.submodel_params_["gate 0"]
    order = np.argsort(mean[:, 0])
    scale = X.std(axis=0)
    centers = mean[order] * scale + X.mean(axis=0)
    np.testing.assert_allclose(centers, [[-1.5, -1.5], [1.5, 1.5]], atol=0.2)
    np.testing.assert_allclose(variance * scale**2, 1.0, atol=0.3)
    np.testing.assert_allclose(share, 0.5, atol=0.1)
    # What is maximised is the likelihood of y and the standardised features.
    seen = ((X - X.mean(axis=0)) / scale)[:, None]
    log_joint = np.log(share) + norm.logpdf(seen, mean, np.sqrt(variance)).sum(axis=-1)
    expected = model.log_likelihood_ + np.logaddexp.reduce(log_joint, axis=1).sum()
    np.testing.assert_allclose(model.penalized_log_likelihood_, expected, rtol=1e-10)
    found = model.predict_expert(X) == order[0]
    assert max(np.mean(found == label), np.mean(found != label)) > 0.95


def test_routes_and_distributions_take_gates_of_ones_own(rng):
    X, y, _ = make_rows(rng)
    model = HMERegressor((2, 2), gate=[ProportionGate(), "softmax", "constant"], random_state=0)
    model.fit(X, y)
    proba = model.gate_proba(X)
    route = model.route(X, 2)
    np.testing.assert_array_equal(route.experts[:, 0], proba.argmax(axis=1))
    assert np.all(np.diff(model.predict_quantile(X[:20], [0.1, 0.9]), axis=1) > 0.0)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda model, X, y: model.bic(X, y), ["parameters", "RidgeExpert", "log_likelihood"]),
        (lambda model, X, y: model.predict_quantile(X, 0.5), ["RidgeExpert", "distribution"]),
    ],
)
def test_what_there_is_not_is_said(call, words, rng):
    X, y, _ = make_rows(rng, 100)
    model = MoERegressor(2, expert=["gaussian", RidgeExpert()], random_state=0).fit(X, y)
    with pytest.raises(ValueError) as refused:  # noqa: PT011 - the words are looked at below
        call(model, X, y)
    for word in words:
        assert word in str(refused.value)


def test_what_it_is_told_by_a_fit_does_not_change_with_what_is_asked_for(rng):
    X, y, _ = make_rows(rng, 100)
    with pytest.raises(ValueError, match=r"'expert' parameter must be one of"):
        MoEClassifier(2, expert=RidgeExpert()).fit(X, y > 0.0)
    with pytest.raises(ValueError, match=r"'on_collapse'.*RidgeExpert"):
        MoERegressor(2, expert=RidgeExpert(), solver=EM(on_collapse="drop")).fit(X, y)


class Wrong(ProportionGate):
    """Log terms of a shape that cannot be."""

    def log_terms(self, params, rows):
        return np.log(params)


def test_log_terms_of_another_shape_are_refused_by_name(rng):
    X, y, _ = make_rows(rng, 100)
    with pytest.raises(ValueError, match=r"Wrong.log_terms must return.*\(2, 100\); found shape"):
        MoERegressor(2, gate=Wrong()).fit(X, y)
