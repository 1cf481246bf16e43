"""Displays of a fit: they store what the estimator says, and draw all of it."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from drawn import DISPLAYS, DRAWING, QUICK, overlapping
from scipy import stats
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mixexp import HMEClassifier, HMERegressor, MoEClassifier, MoERegressor
from mixexp.datasets import make_hme, make_moe
from mixexp.displays import (
    ConvergenceDisplay,
    ExpertFitDisplay,
    GateDisplay,
    RootogramDisplay,
    TreeDisplay,
)
from mixexp.displays._tree_drawing import lay_out, text_width, wrap_terms
from mixexp.em import Restart
from mixexp.estimators._words import expert_equation, read_terms
from mixexp.experts import FAMILIES, NumericalExpert
from mixexp.tree import GatingTree

pytestmark = DRAWING
TREES = {"balanced": (2, 2), "nested": [[1, [1, 1]], 1], "one": (1,)}
SHAPES = {**TREES, "flat": (3,), "chain": [[1], [1, 1]], "deep": (2, 2, 2, 2)}
every_tree = pytest.mark.parametrize("tree", TREES.values(), ids=TREES)
every_shape = pytest.mark.parametrize("tree", SHAPES.values(), ids=SHAPES)


@pytest.fixture(scope="module")
def frame():
    X, y, _ = make_hme(160, 3, (2, 2), random_state=0)
    return pd.DataFrame(X * [1.0, 10.0, 1.0], columns=["age", "dose", "mass"]), y


@pytest.fixture(scope="module")
def tree_model(frame):
    return HMERegressor((2, 2), **QUICK).fit(*frame)


@pytest.fixture(scope="module")
def fit_tree(frame):
    """Return a function that fits a tree once."""
    fitted = {}

    def fit(tree):
        if repr(tree) not in fitted:
            fitted[repr(tree)] = HMERegressor(tree, **QUICK).fit(*frame)
        return fitted[repr(tree)]

    return fit


@pytest.fixture(scope="module")
def line():
    X, y, _ = make_moe(150, 1, 2, random_state=1)
    return MoERegressor(2, **QUICK).fit(X, y), X, y


# Convergence.


def test_convergence_stores_the_history_and_the_other_starts(frame):
    model = MoERegressor(3, n_init=6, random_state=0).fit(*frame)
    display = ConvergenceDisplay.from_estimator(model)
    np.testing.assert_array_equal(display.history, model.history_)
    assert len(display.n_iter) == len(display.objective) == len(display.ends)
    assert len(display.ends) == len(model.restarts_) - 1 >= 5  # moves that led higher count as well
    everything = {restart.objective for restart in model.restarts_}
    assert {*display.objective, model.penalized_log_likelihood_} == everything
    # Starts that found the same optimum differ in its last digits.
    np.testing.assert_allclose(display.best, model.penalized_log_likelihood_, rtol=1e-8)
    kinds = ["dropped" if r.reason.startswith("dropped") else "kept" for r in model.restarts_]
    assert display.ends.count("dropped") == kinds.count("dropped")


def test_convergence_draws_distances_that_fall_to_the_floor(frame):
    model = MoERegressor(3, n_init=6, random_state=0).fit(*frame)
    display = ConvergenceDisplay.from_estimator(model)
    gaps = display.line_.get_ydata()
    assert (np.diff(gaps) <= 1e-9 * gaps[:-1]).all()
    assert gaps[-1] == display.floor
    assert display.ax_.get_yscale() == "log"
    low, high = display.ax_.get_ylim()
    assert low < display.floor
    assert gaps.max() < high
    drawn = sum(len(marks.get_xdata()) for marks in display.ends_.values())
    assert drawn == len(model.restarts_) - 1
    np.testing.assert_array_equal(display.winner_.get_xdata(), [model.n_iter_])


def test_starts_on_a_sample_are_counted_and_not_drawn(frame):
    model = MoERegressor(2, **QUICK).fit(*frame)
    far = Restart("hyperplane 9", -9.0, -9.0, 7, True, "met tol", False, 0)
    model.restarts_ = [*model.restarts_, far]
    display = ConvergenceDisplay.from_estimator(model)
    assert display.n_on_sample == 1
    assert len(display.objective) == 1
    assert "1 starts ended" in display.legend_.get_title().get_text()


def test_convergence_of_one_start(frame):
    display = ConvergenceDisplay.from_estimator(MoERegressor(1).fit(*frame))
    assert display.ends_ == {}
    assert display.line_ in display.ax_.lines


# Rootogram.


@every_tree
def test_rootogram_counts_responsibilities(tree, fit_tree, frame):
    X, y = frame
    model = fit_tree(tree)
    display = RootogramDisplay.from_estimator(model, X, y, bins=8, eps=0.01)
    resp = model.responsibilities(X, y)
    assert display.counts.shape == (resp.shape[1], 8)
    np.testing.assert_array_equal(display.counts.sum(axis=1), (resp >= 0.01).sum(axis=0))
    owners = np.bincount(resp.argmax(axis=1), minlength=resp.shape[1])
    np.testing.assert_array_equal(display.own_counts.sum(axis=1), owners)
    np.testing.assert_allclose(display.mass.sum(), 1.0)
    assert len(display.bars_) == len(display.own_bars_) == resp.shape[1]
    np.testing.assert_array_equal(display.bars_[0].get_data().values, display.counts[0])
    np.testing.assert_array_equal(display.own_bars_[0].get_data().values, display.own_counts[0])


def test_rootogram_heights_are_square_roots(tree_model, frame):
    panel = RootogramDisplay.from_estimator(tree_model, *frame).axes_.flat[0]
    at = panel.transData.transform([[0.0, 0.0], [0.0, 1.0], [0.0, 4.0]])[:, 1]
    np.testing.assert_allclose(at[2] - at[0], 2.0 * (at[1] - at[0]))


# Experts' fits.


def test_fit_stores_predictions_along_the_feature(line):
    model, X, y = line
    display = ExpertFitDisplay.from_estimator(model, X, y, grid_resolution=9)
    (panel,) = display.panels
    grid = panel.line.grid[:, None]
    np.testing.assert_array_equal(panel.curves.experts, model.predict_experts(grid))
    np.testing.assert_array_equal(panel.curves.mixture, model.predict(grid))
    np.testing.assert_array_equal(panel.gate_proba, model.gate_proba(grid))
    np.testing.assert_array_equal(display.points.responsibilities, model.responsibilities(X, y))
    assert len(display.lines_[0]) == 2
    assert sum(len(artist.get_offsets()) for artist in display.scatter_[0]) == len(y)


def test_band_is_the_central_interval_of_the_mixture(line):
    model, X, y = line
    display = ExpertFitDisplay.from_estimator(model, X, y, coverage=0.8, grid_resolution=7)
    (panel,) = display.panels
    grid = panel.line.grid[:, None]
    mean, sd = model.predict_experts(grid), np.sqrt(model.dispersion_)
    for q, ends in zip((0.1, 0.9), panel.band, strict=True):
        cdf = (model.gate_proba(grid) * stats.norm(mean, sd).cdf(ends[:, None])).sum(axis=1)
        np.testing.assert_allclose(cdf, q, rtol=1e-9)
    assert len(display.bands_) == 1
    texts = [text.get_text() for text in display.legend_.get_texts()]
    assert "80 % of y" in texts


def test_several_features_have_a_panel_each(tree_model, frame):
    X, y = frame
    display = ExpertFitDisplay.from_estimator(
        tree_model, X, y, features=["mass", 0, "dose"], grid_resolution=5, eps=0.0
    )
    assert [panel.line.name for panel in display.panels] == ["mass", "age", "dose"]
    for panel, column in zip(display.panels, ("mass", "age", "dose"), strict=True):
        rows = pd.DataFrame(
            {name: np.full(5, np.quantile(X[name], 0.5, method="lower")) for name in X.columns}
        )
        rows[column] = panel.line.grid
        np.testing.assert_array_equal(panel.curves.mixture, tree_model.predict(rows))
    assert [ax.get_xlabel() for ax in display.axes_.flat] == ["mass", "age", "dose"]
    assert len({ax.get_ylim() for ax in display.axes_.flat}) == 1


def test_default_feature_is_the_one_that_matters():
    X, y, _ = make_moe(200, 3, 2, random_state=0)
    model = MoERegressor(2, gate_features=[1], expert_features=[1], **QUICK).fit(X, y)
    assert ExpertFitDisplay.from_estimator(model, X, y).panels[0].line.feature == 1


def test_classifier_has_no_band(frame):
    X, y = frame
    model = MoEClassifier(2, **QUICK).fit(X, np.where(y > y.mean(), "high", "low"))
    display = ExpertFitDisplay.from_estimator(model, X, np.where(y > y.mean(), "high", "low"))
    assert display.panels[0].band is None
    assert display.bands_ == []
    assert display.axes_[0, 0].get_ylabel() == "P(y = low)"


class Bare(NumericalExpert):
    """A Gaussian expert of variance one that has a density and a mean and nothing else."""

    name = "bare"
    heads = (FAMILIES["poisson"]().heads[0],)

    def log_kernel(self, y, heads):
        return -0.5 * (y - heads[0]) ** 2

    def mean(self, heads):
        return heads[0]


def test_family_without_distribution_function_has_no_band(line):
    _, X, y = line
    model = MoERegressor(2, expert=Bare(), **QUICK).fit(X, y)
    display = ExpertFitDisplay.from_estimator(model, X, y)
    assert display.panels[0].band is None
    assert len(display.lines_[0]) == 2


# Gates.


@every_tree
def test_gates_multiply_to_the_experts_probabilities(tree, fit_tree, frame):
    X, _ = frame
    model = fit_tree(tree)
    display = GateDisplay.from_estimator(model, X, grid_resolution=11)
    shape = model.tree_
    assert display.gates.shape == (11, shape.n_edges)
    proba = model.gate_proba(display.line.rows)
    for position, leaf in enumerate(shape.leaves):
        path, node = np.ones(11), int(leaf)
        while node > 0:
            path *= display.gates[:, node - 1]
            node = int(shape.parent[node])
        np.testing.assert_allclose(path, proba[:, position], rtol=1e-9, atol=1e-300)
        np.testing.assert_allclose(display.reach[:, leaf], proba[:, position], rtol=1e-12)
    assert len(display.axes_) == len(shape.inner_nodes)
    assert len(display.reach_) == len(shape.inner_nodes) - 1
    assert [len(bands) for bands in display.bands_] == shape.n_children[shape.inner_nodes].tolist()


def test_gates_survive_where_a_node_is_never_reached(frame):
    X, y = frame
    model = HMERegressor((2, 2), **QUICK).fit(X, y)
    model.gate_coef_ = model.gate_coef_ * 1e4
    display = GateDisplay.from_estimator(model, X, feature="age")
    assert np.isfinite(display.gates).all()
    for node in model.tree_.inner_nodes:
        np.testing.assert_allclose(display.gates[:, model.tree_.edges(node)].sum(axis=1), 1.0)


def test_gate_names_its_children_and_the_feature(tree_model, frame):
    display = GateDisplay.from_estimator(tree_model, frame[0], feature="dose", fixed={"age": 0.5})
    assert display.line.name == "dose"
    assert display.line.held["age"] == 0.5
    names = {label.get_text() for labels in display.labels_ for label in labels}
    assert names <= {"node 0", "node 1", "0", "1", "2", "3"}
    assert display.axes_[1].get_xlabel() == "dose"
    assert display.axes_[0].get_xlabel() == ""


def test_gates_of_a_pipeline_are_in_raw_units(frame):
    X, y = frame
    pipeline = make_pipeline(StandardScaler(), MoERegressor(2, **QUICK)).fit(X, y)
    display = GateDisplay.from_estimator(pipeline, X, feature="dose", grid_resolution=5, eps=0.0)
    assert display.line.grid[-1] == X["dose"].max()
    expected = pipeline[-1].gate_proba(pipeline[:-1].transform(display.line.rows))
    np.testing.assert_allclose(display.gates, expected, rtol=1e-9)


# Trees.


@pytest.mark.parametrize(
    ("tree", "has_y"), [((2, 2), False), *((tree, True) for tree in TREES.values())]
)
def test_tree_stores_masses_and_histograms(tree, has_y, fit_tree, frame):
    X, y = frame
    model = fit_tree(tree)
    display = TreeDisplay.from_estimator(model, X, y if has_y else None)
    shape = model.tree_
    proba = model.responsibilities(X, y) if has_y else model.gate_proba(X)
    np.testing.assert_allclose(display.mass[shape.leaves], proba.mean(axis=0))
    np.testing.assert_allclose(display.mass[0], 1.0)
    np.testing.assert_allclose(display.histograms.sum(axis=1), 1.0)
    assert (display.cut_deviance is None) is not has_y
    assert len(display.nodes_) == len(display.notes_) == shape.n_nodes
    assert len(display.edges_) == len(display.histograms_) == shape.n_edges


@every_shape
def test_every_text_of_a_tree_is_on_the_page_and_clear_of_the_others(tree, fit_tree, frame):
    model = fit_tree(tree)
    display = TreeDisplay.from_estimator(model, *frame)
    assert overlapping(display.figure_, [*display.nodes_, *display.notes_, display.caption_]) == []
    assert overlapping(display.figure_, display.conditions_) == []
    page = display.figure_.bbox
    for text in (*display.nodes_, *display.notes_, *display.conditions_, display.caption_):
        box = text.get_window_extent()
        assert page.x0 <= box.x0, text.get_text()
        assert box.x1 <= page.x1, text.get_text()
        assert page.y0 <= box.y0, text.get_text()
        assert box.y1 <= page.y1, text.get_text()


def test_cut_at_the_root_is_one_expert_for_all(tree_model, frame):
    X, y = frame
    display = TreeDisplay.from_estimator(tree_model, X, y)
    alone = MoERegressor(1).fit(X, y)
    np.testing.assert_allclose(display.cut_deviance[0], -2.0 * alone.log_likelihood_, rtol=1e-9)
    np.testing.assert_allclose(display.deviance, -2.0 * tree_model.log_likelihood_, rtol=1e-12)
    np.testing.assert_array_equal(
        display.cut_deviance[tree_model.tree_.leaves], np.full(4, display.deviance)
    )


def test_cut_inside_keeps_the_other_branch(tree_model, frame):
    X, y = frame
    display = TreeDisplay.from_estimator(tree_model, X, y)
    tree, resp = tree_model.tree_, tree_model.responsibilities(X, y)
    single = MoERegressor(1).fit(X, y, sample_weight=resp[:, :2].sum(axis=1) + 1e-10)
    prior = tree_model.gate_proba(X)[:, :2].sum(axis=1)
    kept = np.exp(tree_model.log_density(X, y)) * resp[:, 2:].sum(axis=1)
    density = prior * np.exp(single.log_density(X, y)) + kept
    np.testing.assert_allclose(
        display.cut_deviance[tree.children(0)[0]], -2.0 * np.log(density).sum(), rtol=1e-6
    )


def test_a_cut_takes_a_family_that_could_have_drawn_every_y():
    X, y, _ = make_moe(200, 1, 2, expert=["point_mass", "poisson"], random_state=0)
    model = MoERegressor(2, expert=["point_mass", "poisson"], **QUICK).fit(X, y)
    display = TreeDisplay.from_estimator(model, X, y)
    assert np.isfinite(display.cut_deviance).all()
    X, y, _ = make_moe(200, 1, 2, expert=["point_mass", "gamma"], random_state=0)
    model = MoERegressor(2, expert=["point_mass", "gamma"], **QUICK).fit(X, y)
    display = TreeDisplay.from_estimator(model, X, y)
    assert display.cut_deviance[0] == np.inf
    assert display.notes_[0].get_text() == "cut: impossible"


def test_tree_of_a_classifier_with_names(frame):
    X, y = frame
    labels = np.array(["low", "mid", "high"])[np.digitize(y, np.quantile(y, [0.3, 0.7]))]
    model = HMEClassifier([[1, 1], 1], **QUICK).fit(X, labels)
    display = TreeDisplay.from_estimator(model, X, labels)
    assert all(equation.startswith("logit(") for equation in display.equations)
    np.testing.assert_allclose(display.deviance, -2.0 * model.log_likelihood_)


def test_tree_fits_into_given_axes(tree_model, frame):
    _, axes = plt.subplots(1, 2, figsize=(11.0, 3.0))
    display = TreeDisplay.from_estimator(tree_model, *frame, ax=axes[1])
    assert display.ax_ is axes[1]
    display.figure_.canvas.draw()
    box = axes[1].get_window_extent()
    for text in (*display.nodes_, *display.notes_):
        assert text.get_window_extent().x1 <= box.x1 + 1.0
    assert overlapping(display.figure_, [*display.nodes_, *display.notes_]) == []


def test_equation_has_the_coefficients_in_order_of_their_effect(frame):
    X, y = frame
    model = MoERegressor(1).fit(X, y)
    terms = read_terms(model)
    effect = np.abs(model.coef_[0]) * X.to_numpy().std(axis=0)
    equation = expert_equation(model, 0, terms, 2)
    names = [X.columns[j] for j in np.argsort(-effect)]
    assert equation.index(names[0]) < equation.index(names[1])
    assert names[2] not in equation
    assert "+ 1 more" in equation
    assert equation.endswith(f"\N{PLUS-MINUS SIGN} {np.sqrt(model.dispersion_[0]):.3g}")


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_has_an_equation(name):
    X, y, truth = make_moe(80, 2, 2, expert=name, random_state=0)
    is_class = truth.experts[0].target != "regression"
    is_fitted = name not in ("point_mass", "uniform")
    experts = truth.experts[0] if is_fitted else ["gaussian", truth.experts[0]]
    if name == "point_mass":  # which has all rows that are at its value
        y = np.where(X[:, 0] > 0.0, y, X[:, 1] + 1.5)
    model = (MoEClassifier if is_class else MoERegressor)(2, expert=experts, **QUICK).fit(X, y)
    terms = read_terms(model)
    assert expert_equation(model, 1, terms, 3).count(" = ") == (name != "uniform")


def test_equations_of_a_pipeline_have_the_names_of_the_frame(frame):
    X, y = frame
    pipeline = make_pipeline(StandardScaler(), HMERegressor((2,), **QUICK)).fit(X, y)
    display = TreeDisplay.from_estimator(pipeline, X, y)
    words = " ".join([*display.equations, *display.conditions])
    assert any(name in words for name in X.columns)
    assert "x0" not in words


def test_long_equations_break_before_a_sign():
    broken = wrap_terms("y = 1 + 2 petal length (cm) + 3 sepal width (cm) + 4 age + 2 more")
    assert broken.split("\n") == [
        "y = 1 + 2 petal length (cm)",
        "   + 3 sepal width (cm) + 4 age + 2 more",
    ]


def test_layout_puts_children_right_of_their_parents_and_leaves_in_rows():
    tree = GatingTree.from_spec([[1, [1, 1]], 1])
    names = [f"node {v}" for v in range(tree.n_nodes)]
    layout = lay_out(tree, _texts(tree, names))
    for node in range(1, tree.n_nodes):
        assert layout.left[node] > layout.right[tree.parent[node]]
    assert (np.diff(layout.y[tree.leaves]) < 0.0).all()
    assert len({float(x) for x in layout.left[tree.leaves]}) == 1
    assert text_width("mmmm") > text_width("iiii") > 0.0


def _texts(tree, names):
    from mixexp.displays._tree_drawing import Texts

    return Texts(names, ["high age"] * tree.n_edges, ["y = 1"] * tree.n_leaves, "")


# Options.


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("rootogram", {"bins": 0}, "'bins' parameter must be an int of at least 1"),
        ("rootogram", {"eps": 1.0}, r"'eps' parameter must be in the range \[0, 1\)"),
        ("fit", {"coverage": 1.0}, "'coverage' parameter must be between 0 and 1"),
        ("fit", {"features": []}, "'features' parameter must name at least one feature"),
        ("fit", {"features": ["age", 0]}, "'features' parameter must name at least one"),
        ("fit", {"features": "weight"}, "Unknown feature 'weight' in 'features'"),
        ("fit", {"features": "age", "fixed": {"age": 1.0}}, "'fixed' parameter holds 'age'"),
        ("fit", {"grid_resolution": 1}, "'grid_resolution' parameter must be an int"),
        ("fit", {"eps": -1.0}, "'eps' parameter must be a finite number"),
        ("gate", {"feature": 7}, "Unknown feature 7"),
        ("gate", {"fixed": 3.0}, "'fixed' parameter must be None or a dict"),
        ("tree", {"n_terms": 0}, "'n_terms' parameter must be an int of at least 1"),
    ],
)
def test_bad_options_are_named(name, options, message, tree_model, frame):
    with pytest.raises(ValueError, match=message):
        DISPLAYS[name].draw(tree_model, *frame, **options)
    assert plt.get_fignums() == []
