"""Prediction of groups that are known by their past, and rows whose expert is known."""

from functools import cache

import numpy as np
import pytest
from sklearn.base import clone
from test_panels import model_of, panel

from mixexp import HMERegressor, MoEClassifier, MoERegressor

MODELS = {
    "flat": MoERegressor(3, gate_features=[2]),
    "mixed": MoERegressor(2, gate_features=[2], expert=["gaussian", "student_t"]),
    "constant gate": MoERegressor(2, gate="constant"),
    "tree": HMERegressor([[1, 1], [1, [1, 1]]], gate_features=[2]),
    "nested gates": HMERegressor((2, 2), gate_features=[[2], [], [2]]),
}
every_model = pytest.mark.parametrize("name", MODELS)
pytestmark = pytest.mark.filterwarnings("ignore::mixexp.exceptions.DegenerateExpertWarning")


@cache
def fitted(name):
    """Return a fitted model with rows and their groups, which are not certain."""
    X, y, groups, _ = panel(np.random.default_rng(4), 50, 3, noise=1.5)
    model = clone(MODELS[name]).set_params(n_init=1, random_state=0)
    return model.fit(X, y, groups=groups), X, y, groups


# History.


@every_model
def test_gates_that_know_the_past_are_responsibilities(name, rng):
    model, X, y, groups = fitted(name)
    past = {"groups": groups, "history": (X, y, groups)}
    proba, resp = model.gate_proba(X, **past), model.responsibilities(X, y, groups=groups)
    np.testing.assert_allclose(proba, resp, rtol=1e-9, atol=1e-12)
    means, alone = model.predict_experts(X), model.predict_experts(X, **past)
    np.testing.assert_array_equal(alone, means)  # experts know as much as before
    mean = (proba * means).sum(axis=1)
    np.testing.assert_allclose(model.predict(X, **past), mean, rtol=1e-9, atol=1e-9)
    # The order of the past does not matter, nor that of the rows.
    order, again = rng.permutation(len(y)), rng.permutation(len(y))
    shuffled = (X[order], y[order], groups[order])
    found = model.predict(X[again], groups=groups[again], history=shuffled)
    np.testing.assert_allclose(found, mean[again], rtol=1e-9, atol=1e-9)


@every_model
def test_groups_without_a_past_have_the_gates_prior(name):
    model, X, y, groups = fitted(name)
    is_known = groups % 2 == 0
    past = {"groups": groups, "history": (X[is_known], y[is_known], groups[is_known])}
    new, proba = ~is_known, model.gate_proba(X, **past)
    np.testing.assert_allclose(proba[new], model.gate_proba(X)[new], rtol=1e-12, atol=1e-15)
    resp = model.responsibilities(X[is_known], y[is_known], groups=groups[is_known])
    np.testing.assert_allclose(proba[is_known], resp, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(model.predict(X, **past)[new], model.predict(X)[new], rtol=1e-9)


@every_model
def test_every_prediction_weighs_experts_by_the_past(name, rng):
    model, X, y, groups = fitted(name)
    some = rng.permutation(len(y))[:40]
    X_new, past = X[some], {"groups": groups[some], "history": (X, y, groups)}
    proba, means = model.gate_proba(X_new, **past), model.predict_experts(X_new)
    mean = (proba * means).sum(axis=1)
    dist = model.predict_dist(X_new, **past)
    np.testing.assert_allclose(dist.mean(), mean, rtol=1e-9, atol=1e-9)
    by_expert = np.stack([expert.pdf(y[some]) for expert in dist.experts()], axis=1)
    np.testing.assert_allclose(dist.pdf(y[some]), (proba * by_expert).sum(axis=1), rtol=1e-9)
    predicted, deviation = model.predict(X_new, return_std=True, **past)
    np.testing.assert_allclose(predicted, mean, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(deviation, dist.std(), rtol=1e-9)
    quantiles = model.predict_quantile(X_new, [0.1, 0.9], **past)
    np.testing.assert_allclose(dist.cdf(quantiles), [[0.1, 0.9]] * 40, atol=1e-6)
    lower, upper = model.predict_interval(X_new, 0.8, **past).T
    np.testing.assert_allclose(np.stack([lower, upper], axis=1), quantiles, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(model.predict_variance(X_new, **past).total, dist.var(), rtol=1e-9)
    _, expert = model.sample(X_new, 4000, random_state=0, **past)
    shares = np.stack([(expert == k).mean(axis=1) for k in range(proba.shape[1])], axis=1)
    # 4000 draws: a standard error of 0.008 at most, five of them.
    assert np.abs(shares - proba).max() < 0.04


@every_model
def test_rows_are_routed_by_the_past(name):
    model, X, y, groups = fitted(name)
    past = {"groups": groups, "history": (X, y, groups)}
    proba, means = model.gate_proba(X, **past), model.predict_experts(X)
    rows = np.arange(len(y))
    hard = model.route(X, **past)
    np.testing.assert_allclose(
        model.predict(X, routing="hard", **past), means[rows, hard.experts[:, 0]], rtol=1e-9
    )
    if not isinstance(model, HMERegressor):
        np.testing.assert_array_equal(hard.experts[:, 0], proba.argmax(axis=1))
    best = np.sort(proba, axis=1)[:, ::-1]
    for k in (1, 2):
        routed = model.route(X, k, **past)
        chosen = np.take_along_axis(proba, routed.experts, axis=1)
        np.testing.assert_allclose(chosen, best[:, :k], rtol=1e-9, atol=1e-12)
        weight = chosen / chosen.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(routed.weights, weight, rtol=1e-9, atol=1e-12)
        mean = (weight * np.take_along_axis(means, routed.experts, axis=1)).sum(axis=1)
        np.testing.assert_allclose(model.predict(X, routing=k, **past), mean, rtol=1e-9, atol=1e-9)


def test_the_past_may_have_exposures_of_its_own(rng):
    X, _, groups, label = panel(rng, 60)
    exposure = rng.uniform(0.5, 3.0, len(groups))
    y = rng.poisson(exposure * np.exp(np.where(label, 1.0, -0.5) + 0.2 * X[:, 0]))
    model = model_of(expert="poisson").fit(X, y, groups=groups, exposure=exposure)
    history = (X, y, groups, {"exposure": exposure})
    found = model.gate_proba(X, groups=groups, history=history)
    resp = model.responsibilities(X, y, groups=groups, exposure=exposure)
    np.testing.assert_allclose(found, resp, rtol=1e-9, atol=1e-12)
    rate = model.predict(X, groups=groups, history=history)
    count = model.predict(X, groups=groups, history=history, exposure=exposure)
    np.testing.assert_allclose(count, rate * exposure, rtol=1e-9)
    assert np.mean((count - y) ** 2) < np.mean((model.predict(X, exposure=exposure) - y) ** 2)


def test_a_past_of_any_length_leaves_probabilities():
    model, X, y, groups = fitted("tree")
    for factor in (1.0, 1e3, 1e8):  # log densities far below that of any double
        history = (X, factor * y, groups)
        proba = model.gate_proba(X, groups=groups, history=history)
        np.testing.assert_allclose(proba.sum(axis=1), 1.0, rtol=1e-12)
        assert np.isfinite(model.predict(X, groups=groups, history=history)).all()


def test_noise_is_left_out_as_without_a_past(rng):
    X, y, groups, _ = panel(rng)
    y[::17] = rng.uniform(-30.0, 30.0, len(y[::17]))
    model = MoERegressor(3, expert=["gaussian", "gaussian", "uniform"], gate="constant")
    model.set_params(random_state=0, n_init=2).fit(X, y, groups=groups)
    past = {"groups": groups, "history": (X, y, groups)}
    proba, means = model.gate_proba(X, **past)[:, :2], model.predict_experts(X)[:, :2]
    is_seen = proba.sum(axis=1) > 1e-9  # of noise alone nothing is left
    weight = proba[is_seen] / proba[is_seen].sum(axis=1, keepdims=True)
    found = model.predict(X, without_noise=True, **past)
    np.testing.assert_allclose(found[is_seen], (weight * means[is_seen]).sum(axis=1), rtol=1e-6)
    assert np.isfinite(found).all()


BAD_HISTORIES = {
    "no history": (lambda X, y, g: {"groups": g}, "groups say nothing of rows|history="),
    "no groups": (lambda X, y, g: {"history": (X, y, g)}, "say by groups="),
    "no tuple": (lambda X, y, g: {"groups": g, "history": 3}, r"history must be a tuple"),
    "two parts": (lambda X, y, g: {"groups": g, "history": (X, y)}, "history must be a tuple"),
    "groups": (lambda X, y, g: {"groups": g[:3], "history": (X, y, g)}, r"groups has shape \(3,\)"),
    "past groups": (
        lambda X, y, g: {"groups": g, "history": (X, y, g[:3])},
        r"the groups of history has shape \(3,\)",
    ),
    "past y": (lambda X, y, g: {"groups": g, "history": (X, y[:3], g)}, "inconsistent|same length"),
    "NaN": (
        lambda X, y, g: {"groups": g, "history": (X, np.where(g == 2, np.nan, y), g)},
        "y must be finite",
    ),
    "kinds": (
        lambda X, y, g: {"groups": [f"a{i}" for i in g], "history": (X, y, g)},
        "give labels of one kind",
    ),
    "columns": (lambda X, y, g: {"groups": g, "history": (X[:, :2], y, g)}, "features"),
    "fourth": (
        lambda X, y, g: {"groups": g, "history": (X, y, g, {"offsett": y})},
        "unexpected keyword argument 'offsett'",
    ),
    "groups twice": (
        lambda X, y, g: {"groups": g, "history": (X, y, g, {"groups": g})},
        "leave them out of the fourth",
    ),
    "no use": (
        lambda X, y, g: {"groups": g, "history": (X, y, g, {"exposure": np.ones(len(y))})},
        "exposure is for experts with a log link",
    ),
}


@pytest.mark.parametrize("name", BAD_HISTORIES)
def test_bad_histories_are_named(name):
    make, message = BAD_HISTORIES[name]
    model, X, y, groups = fitted("flat")
    for method in (model.predict, model.gate_proba, model.predict_dist, model.route):
        with pytest.raises((ValueError, TypeError), match=message):
            method(X, **make(X, y, groups))


# Rows whose expert is known.


@pytest.mark.parametrize("tree", [(2,), (3,), (2, 2), [[1, 1], 1]], ids=str)
def test_known_experts_keep_their_number(tree, rng):
    X, y, _, _ = panel(rng, 60)
    n_leaves = HMERegressor(tree, random_state=0, n_init=1).fit(X, y).tree_.n_leaves
    label = rng.integers(0, n_leaves, len(y))
    y = (
        np.array([0.0, 6.0, -6.0, 12.0])[label]
        + X[:, 0] * (label - 1)
        + rng.standard_normal(len(y))
    )
    for renumbering in (np.arange(n_leaves), np.arange(n_leaves)[::-1]):
        known = np.where(rng.random(len(y)) < 0.2, renumbering[label], -1)
        model = HMERegressor(tree, random_state=0, n_init=2).fit(X, y, known_expert=known)
        is_known = known >= 0
        resp = model.responsibilities(X, y, known_expert=known)
        right = np.eye(n_leaves)[known[is_known]]
        np.testing.assert_array_equal(resp[is_known], right)
        assert np.diff(model.history_).min() >= -1e-9 * abs(model.history_[-1])
        np.testing.assert_allclose(
            model.log_likelihood(X, y, known_expert=known), model.log_likelihood_, rtol=1e-10
        )
        # Others follow: experts are those that their known rows are of.
        free = model.responsibilities(X, y).argmax(axis=1)
        assert np.mean(free == renumbering[label]) > 0.9


def test_a_matrix_says_what_is_allowed(rng):
    X, y, _, label = panel(rng, 60, 3)
    known = np.where(rng.random(len(y)) < 0.3, label, -1)
    allowed = (known[:, None] == -1) | (known[:, None] == np.arange(3))
    first = model_of(3).fit(X, y, known_expert=known)
    second = model_of(3).fit(X, y, known_expert=allowed)
    np.testing.assert_array_equal(first.coef_, second.coef_)
    not_zero = np.ones((len(y), 3), dtype=bool)
    not_zero[:9, 0] = False
    resp = (
        model_of(3).fit(X, y, known_expert=not_zero).responsibilities(X, y, known_expert=not_zero)
    )
    np.testing.assert_array_equal(resp[:9, 0], 0.0)
    np.testing.assert_allclose(resp.sum(axis=1), 1.0, rtol=1e-12)


def test_nothing_known_changes_nothing(rng):
    X, y, _, _ = panel(rng)
    plain = model_of().fit(X, y)
    for nothing in (np.full(len(y), -1), np.ones((len(y), 2), dtype=bool)):
        model = model_of().fit(X, y, known_expert=nothing)
        np.testing.assert_array_equal(model.coef_, plain.coef_)


def test_what_is_known_of_one_row_is_known_of_its_group(rng):
    X, y, groups, label = panel(rng)
    first = np.unique(groups, return_index=True)[1]
    known = np.full(len(y), -1)
    known[first[::4]] = label[first[::4]]
    order = rng.permutation(len(y))
    model = model_of().fit(X[order], y[order], groups=groups[order], known_expert=known[order])
    resp = model.responsibilities(X, y, groups=groups, known_expert=known)
    is_known = np.isin(groups, groups[first[::4]])
    np.testing.assert_array_equal(resp[is_known], np.eye(2)[label[is_known]])
    np.testing.assert_array_equal(resp, resp[first][groups])
    inference = model.inference(X, y, groups=groups, known_expert=known)
    assert np.isfinite(inference.std_errors).all()
    np.testing.assert_allclose(inference.predict_mean()["mean"], model.predict(X), rtol=1e-9)
    assert (
        model.bootstrap(
            X, y, groups=groups, known_expert=known, n_resamples=3, random_state=0
        ).n_failed
        == 0
    )


def test_information_given_what_is_known_matches_differences(rng):
    # All rows are known: the gate is a logistic regression, and experts are apart.
    X, y, groups, label = panel(rng, 100)
    given = {"groups": groups, "known_expert": label}
    model = MoERegressor(
        2, gate_features=[2], random_state=0, alpha=0.0, gate_alpha=0.0, dispersion_prior=0.0
    ).fit(X, y, **given)
    table = model.inference(X, y, **given).coef_table()
    for k in range(2):
        rows = label == k
        design = np.column_stack([np.ones(rows.sum()), X[rows]])
        coef = np.linalg.lstsq(design, y[rows])[0]
        residual = y[rows] - design @ coef
        errors = np.sqrt(np.diag(np.linalg.inv(design.T @ design)) * np.mean(residual**2))
        own = (table["part"] == "expert") & (table["unit"] == f"expert {k}")
        location = own & (table["term"] != "dispersion")
        np.testing.assert_allclose(np.asarray(table["estimate"])[location], coef, rtol=1e-6)
        np.testing.assert_allclose(np.asarray(table["std_error"])[location], errors, rtol=1e-6)


def test_classes_may_be_known_to_belong(rng):
    X, y, _, label = panel(rng, 100)
    y = np.where(y > 0.0, "high", "low")
    known = np.where(rng.random(len(y)) < 0.3, label, -1)
    model = MoEClassifier(2, random_state=0, n_init=2).fit(X, y, known_expert=known)
    resp = model.responsibilities(X, y, known_expert=known)
    np.testing.assert_array_equal(resp[known >= 0], np.eye(2)[known[known >= 0]])


CONTRADICTIONS = {
    "number": ({"known_expert": np.full(40, 2)}, r"0, \.\.\., 1, or -1 .* found 2 at row 0"),
    "below": ({"known_expert": np.full(40, -2)}, "found -2 at row 0"),
    "fraction": ({"known_expert": np.full(40, 0.5)}, "found 0.5 at row 0"),
    "NaN": ({"known_expert": np.full(40, np.nan)}, "found nan at row 0"),
    "length": ({"known_expert": np.zeros(3)}, r"known_expert has shape \(3,\)"),
    "columns": ({"known_expert": np.ones((40, 3))}, r"known_expert has shape \(40, 3\)"),
    "shares": ({"known_expert": np.full((40, 2), 0.5)}, "True and False alone"),
    "none left": ({"known_expert": np.arange(80).reshape(40, 2) > 9}, "no expert to row 0"),
    "strings": ({"known_expert": ["a"] * 40}, "known_expert"),
    "groups": (
        {"known_expert": np.arange(40) % 2, "groups": np.arange(40) // 4},
        "no expert to the group of row 0",
    ),
}


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_contradictions_are_named(name, rng):
    given, message = CONTRADICTIONS[name]
    X, y = rng.standard_normal((40, 1)), rng.standard_normal(40)
    model = MoERegressor(2, gate="constant", n_init=1, random_state=0)
    with pytest.raises((ValueError, TypeError), match=message):
        model.fit(X, y, **given)
    model.fit(X, y)
    with pytest.raises((ValueError, TypeError), match=message):
        model.responsibilities(X, y, **given)
