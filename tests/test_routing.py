"""Routing at prediction: which experts a row goes to, and what they say of it alone.

The oracle is what an estimator says of all experts, `gate_proba` and `predict_experts`, sorted
and averaged by NumPy; and for greedy routes the gates of the tree, walked down row by row.
"""

from functools import cache

import numpy as np
import pytest
from fitted import ESTIMATORS, assert_same_outputs, data_for
from problems import simulate_classes, simulate_regimes
from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from test_memory import LAYOUTS, peak_bytes

from mixexp import EM, HMEClassifier, HMERegressor, MoERegressor
from mixexp.data import RowArguments
from mixexp.experts import Binomial, Gaussian, PointMass, Poisson
from mixexp.model import _prediction, _routing

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning",
    "ignore::mixexp.exceptions.DegenerateExpertWarning",
    "ignore::mixexp.exceptions.RankDeficientWarning",
    "ignore::mixexp.exceptions.SeparationWarning",
)

N_ROWS = 300
FEW = {"n_init": 1, "max_iter": 5, "random_state": 0}
# Probabilities of leaves are products of at most eight gates, of a few roundings each.
SLACK = 1e-13


def positive_counts(rng):
    data = simulate_regimes(rng, N_ROWS)
    return data.X, rng.poisson(np.exp(np.clip(data.y, -2.0, 2.0))) * (data.y > -1.0)


def row_vectors(rng):
    """Return an offset, an exposure and trials."""
    return {
        "offset": rng.standard_normal(N_ROWS),
        "exposure": rng.uniform(0.5, 2.0, N_ROWS),
        "trials": rng.integers(1, 5, N_ROWS),
    }


# Models, and the names of what they are given per row.
MORE = {
    "counts": (MoERegressor(3, expert="poisson", **FEW), ("offset", "exposure")),
    "offset": (HMERegressor((2, 2), expert_features=[0], **FEW), ("offset",)),
    "inflated": (
        MoERegressor(3, expert=[PointMass(), Poisson(), "negative_binomial"], **FEW),
        ("exposure",),
    ),
    "trials": (HMERegressor((2, 2), expert=Binomial(), **FEW), ("offset", "trials")),
    "mixed": (
        HMERegressor(
            [[1, 1, 1], 1],
            expert=["poisson", "negative_binomial", Binomial(), "negative_binomial"],
            **FEW,
        ),
        ("offset", "trials"),
    ),
    "log_link": (MoERegressor(2, expert=Gaussian(link="log"), gate_features=[1], **FEW), ()),
    "dispersion": (
        MoERegressor(2, expert="lognormal", expert_features={"dispersion": [0]}, **FEW),
        (),
    ),
    "ordinal": (HMEClassifier((2, 2), expert="ordinal", **FEW), ()),
    "logistic": (HMEClassifier([[1, 1], 1], expert="logistic", **FEW), ("offset",)),
    "one": (MoERegressor(1, **FEW), ()),
    "constant_tree": (HMERegressor((2, 3), gate="constant", **FEW), ()),
}
CASES = {name: (model, ()) for name, model in ESTIMATORS.items()} | MORE
every_case = pytest.mark.parametrize("name", CASES)


def make_case(name, seed):
    """Return a fitted model, its rows, and what is known of each row."""
    model, per_row = CASES[name]
    rng = np.random.default_rng(seed)
    if name in ESTIMATORS:
        X, y, _ = data_for(model, rng)
    elif name == "logistic":
        X, y, _ = simulate_classes(rng, N_ROWS, 2)
    elif name == "ordinal":
        X, y, _ = simulate_classes(rng, N_ROWS, 3)
    elif name in ("log_link", "dispersion"):
        X, y = positive_counts(rng)
        y = y + 0.5
    else:
        X, y = positive_counts(rng)
    known = {key: row_vectors(rng)[key] for key in per_row}
    if "trials" in known:
        y = np.minimum(y, known["trials"])
    return clone(model).fit(X, y, **known), X, known


# Fitted once per process: contracts ask many questions of the same models.
fitted = cache(make_case)


def predict(model, X, routing="soft", **known):
    """Return means, or class probabilities, as (rows,) or (rows, n_classes)."""
    method = getattr(model, "predict_proba", model.predict)
    return method(X, routing=routing, **known)


def routed_twin(model, X, route, **known):
    """Return the means over chosen experts, from those of all."""
    means = model.predict_experts(X, **known)
    chosen = means[np.arange(len(X))[:, None], route.experts]
    weights = route.weights if chosen.ndim == 2 else route.weights[..., None]
    return (weights * chosen).sum(axis=1)


def assert_route_adds_up(route, gate):
    share = np.take_along_axis(gate, route.experts, axis=1)
    np.testing.assert_allclose(route.weights.sum(axis=1), 1.0, rtol=SLACK)
    np.testing.assert_allclose(route.dropped, 1.0 - share.sum(axis=1), atol=SLACK)
    kept = 1.0 - route.dropped
    np.testing.assert_allclose(route.weights * kept[:, None], share, atol=SLACK)
    assert np.all((route.dropped >= 0.0) & (route.dropped <= 1.0))


@every_case
def test_top_experts_are_the_most_probable(name, seed):
    model, X, _ = fitted(name, seed)
    gate = model.gate_proba(X)
    for k in range(1, gate.shape[1] + 1):
        route = model.route(X, k)
        order = np.argsort(-gate, axis=1, kind="stable")[:, :k]
        np.testing.assert_array_equal(route.experts, order)
        assert_route_adds_up(route, gate)
    assert route.dropped.max() == 0.0
    assert_same_outputs(model.route(X, "soft")._asdict(), route._asdict())
    np.testing.assert_array_equal(model.route(X, 1).experts[:, 0], model.predict_expert(X))


def greedy_twin(model, X):
    """Walk down the tree by the sums of leaf probabilities below each child."""
    tree, gate = model.tree_, model.gate_proba(X)
    below = gate @ tree.covers.T.astype(float)
    experts = []
    for row in below:
        node = 0
        while tree.n_children[node] > 0:
            node = max(tree.children(node), key=lambda child: (row[child], -child))
        experts.append(tree.leaf_position(node))
    return np.array(experts)


@every_case
def test_hard_routes_follow_the_most_probable_child(name, seed):
    model, X, _ = fitted(name, seed)
    route = model.route(X)
    assert route.experts.shape == route.weights.shape == (N_ROWS, 1)
    np.testing.assert_array_equal(route.experts[:, 0], greedy_twin(model, X))
    assert_route_adds_up(route, model.gate_proba(X))
    if model.tree_.depth == 1:
        np.testing.assert_array_equal(route.experts, model.route(X, 1).experts)


@every_case
def test_predictions_are_those_of_the_chosen_experts(name, seed):
    model, X, known = fitted(name, seed)
    n_experts = model.tree_.n_leaves
    for routing in ("hard", *range(1, n_experts + 1)):
        expected = routed_twin(model, X, model.route(X, routing), **known)
        found = predict(model, X, routing, **known)
        # Means of a log link spread over powers of ten, hence relative to the largest.
        np.testing.assert_allclose(found, expected, atol=1e-12 * np.abs(expected).max())
    np.testing.assert_array_equal(found, predict(model, X, **known))
    if hasattr(model, "classes_"):
        best = predict(model, X, "hard", **known).argmax(axis=1)
        np.testing.assert_array_equal(
            model.predict(X, routing="hard", **known), model.classes_[best]
        )


@every_case
def test_one_row_at_a_time_gives_the_same_bits(name, seed):
    model, X, known = fitted(name, seed)
    for routing in ("soft", "hard", 1, model.tree_.n_leaves):
        whole, route = predict(model, X, routing, **known), model.route(X, routing)
        for i in range(0, N_ROWS, 29):
            one = {key: values[i : i + 1] for key, values in known.items()}
            alone = predict(model, X[i : i + 1], routing, **one)
            np.testing.assert_array_equal(alone, whole[i : i + 1])
            for found, expected in zip(model.route(X[i : i + 1], routing), route, strict=True):
                np.testing.assert_array_equal(found, expected[i : i + 1])


# Trees that are searched.


def deep_model(n_classes=0):
    """Return a fitted tree of 256 leaves, and rows some of which its gates cannot place."""
    rng = np.random.default_rng(0)
    data = simulate_classes(rng, 600, 3) if n_classes else simulate_regimes(rng, 600, p=3)
    cls = HMEClassifier if n_classes else HMERegressor
    labels = np.argsort(np.argsort(data.X[:, 0])) * 256 // 600
    model = cls((2,) * 8, init=labels, max_iter=2, gate_alpha=0.1, solver=EM(acceleration="none"))
    return model.fit(data.X, data.y), rng.standard_normal((400, data.X.shape[1]))


@pytest.fixture(scope="module", params=[0, 3], ids=["regression", "classes"])
def deep(request):
    return deep_model(request.param)


def test_search_of_a_deep_tree_is_exact(deep, monkeypatch):
    model, X = deep
    gate = model.gate_proba(X)
    for k in (1, 2, 3):
        monkeypatch.setattr(_routing, "_SEARCH_COST", 1)  # searched to the end
        searched = model.route(X, k)
        monkeypatch.undo()
        found = model.route(X, k)
        for route in (searched, found):
            assert_route_adds_up(route, gate)
            share = np.take_along_axis(gate, route.experts, axis=1)
            expected = -np.sort(-gate, axis=1)[:, :k]
            np.testing.assert_allclose(share, expected, rtol=SLACK)
        np.testing.assert_allclose(predict(model, X, k), routed_twin(model, X, found), atol=1e-12)
    assert_route_adds_up(model.route(X, "hard"), gate)


def test_rows_that_a_search_gives_up_keep_their_bits(deep):
    model, X = deep
    budget = len(model.tree_.inner_nodes) // _routing._SEARCH_COST
    known = RowArguments(np.ones(len(X)))
    rows = _routing.Rows(model.fitted_model_.scaling.standardize_rows(X), known)
    leaf, _, _ = _routing._search(
        model.fitted_model_.model, model.fitted_model_.params, rows, 1, budget
    )
    is_lost = leaf[:, 0] < 0
    assert 0 < is_lost.sum() < len(X)  # both kinds of rows are there
    whole = model.route(X, 1)
    for some in (is_lost, ~is_lost, np.arange(len(X)) == np.argmax(is_lost)):
        for found, expected in zip(model.route(X[some], 1), whole, strict=True):
            np.testing.assert_array_equal(found, expected[some])


# Rows, blocks, threads.


@pytest.mark.parametrize("routing", ["soft", "hard", 2])
def test_blocks_threads_and_layouts_change_no_bit(routing, monkeypatch):
    rng = np.random.default_rng(0)
    data = simulate_regimes(rng, 9000, p=3)
    X = data.X.astype(np.float32)
    model = HMERegressor((2, 2), n_init=1, max_iter=5, random_state=0).fit(X, data.y)
    plain = X.astype(np.float64)
    expected, route = model.predict(plain, routing=routing), model.route(plain, routing)
    for layout in LAYOUTS.values():
        np.testing.assert_array_equal(model.predict(layout(X), routing=routing), expected)
    monkeypatch.setattr(_prediction, "_PIECE_LIMITS", (7, 50))
    model.set_params(n_jobs=2)
    np.testing.assert_array_equal(model.predict(plain, routing=routing), expected)
    assert_same_outputs(model.route(plain, routing)._asdict(), route._asdict())


@pytest.mark.parametrize("routing", ["soft", "hard", 2])
def test_memory_does_not_grow_with_the_features(routing):
    rng = np.random.default_rng(0)
    n, p = 100_000, 44
    X = rng.standard_normal((n, p), dtype=np.float32)
    model = MoERegressor(3, n_init=1, max_iter=1, random_state=0).fit(X[:500], X[:500, 0])
    model.predict(X[:10], routing=routing)  # compiles kernels
    assert peak_bytes(lambda: model.predict(X, routing=routing)) < X.nbytes / 2


def test_soft_prediction_of_a_deep_tree_needs_little_memory(deep):
    model, X = deep
    many = np.tile(X, (10, 1))
    everything = 8 * len(many) * model.tree_.n_nodes
    # In pieces: not even the gates of all rows exist at a time.
    assert peak_bytes(lambda: predict(model, many)) < everything


# The surface.


@pytest.mark.parametrize("routing", ["Soft", "", "top", 0, -1, 4, 1.0, True, None, [1], np.nan])
def test_unknown_routing_is_refused_by_name(routing):
    model, X, _ = fitted("hme_regressor", 0)
    for method in (model.predict, model.route):
        with pytest.raises(ValueError, match=r"'routing' argument must be .*\[1, 3\].*Got"):
            method(X, routing=routing)
    classifier, X, _ = fitted("moe_classifier", 0)
    for method in (classifier.predict, classifier.predict_proba, classifier.route):
        with pytest.raises(ValueError, match=r"'routing' argument must be .*\[1, 2\].*Got"):
            method(X, routing=routing if routing != 2 else 3)


def test_routing_before_fit_says_so():
    for method in (MoERegressor().predict, MoERegressor().route, HMEClassifier().predict_proba):
        with pytest.raises(NotFittedError):
            method([[0.0]], routing="hard")


def test_numpy_integers_are_fine():
    model, X, _ = fitted("hme_regressor", 0)
    np.testing.assert_array_equal(
        model.predict(X, routing=np.int64(2)), model.predict(X, routing=2)
    )


def test_routing_passes_through_pipelines_and_metadata_routing():
    model, X, _ = fitted("hme_regressor", 0)
    y = model.predict(X)
    pipeline = make_pipeline(StandardScaler(), clone(model)).fit(X, y)
    scaled = pipeline[0].transform(X)
    expected = pipeline[-1].predict(scaled, routing="hard")
    np.testing.assert_array_equal(pipeline.predict(X, routing="hard"), expected)
    with config_context(enable_metadata_routing=True):
        asking = clone(model).set_predict_request(routing=True)
        pipeline = make_pipeline(StandardScaler(), asking).fit(X, y)
        np.testing.assert_array_equal(pipeline.predict(X, routing="hard"), expected)


def test_equal_experts_are_taken_from_the_left():
    """Gates that see nothing and share alike leave it to the order of the experts."""
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((80, 2)), rng.standard_normal(80)
    labels = np.arange(80) % 4
    model = HMERegressor((2, 2), gate="constant", init=labels, max_iter=1).fit(X, y)
    model.fitted_model_ = model.fitted_model_._replace(
        params=model.fitted_model_.params._replace(gates=model.fitted_model_.model.no_gates())
    )
    for k in (1, 2, 3, 4):
        np.testing.assert_array_equal(model.route(X, k).experts, np.tile(np.arange(k), (80, 1)))
        np.testing.assert_array_equal(model.route(X, k).weights, np.full((80, k), 1.0 / k))
        np.testing.assert_array_equal(model.route(X, k).dropped, np.full(80, 1.0 - k / 4.0))
    np.testing.assert_array_equal(model.route(X).experts, np.zeros((80, 1)))
    np.testing.assert_array_equal(model.route(X).dropped, np.full(80, 0.75))
