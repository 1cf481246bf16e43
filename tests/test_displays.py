"""Displays: what they store is what the estimator says, and what they draw is all there."""

import itertools
import subprocess
import sys

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import polars as pl
import pytest
from drawn import DRAWING, QUICK
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, PolynomialFeatures, StandardScaler

from mixexp import HMERegressor, MoEClassifier, MoERegressor
from mixexp.displays import ResponsibilityMapDisplay
from mixexp.displays._curves import Curves, strength_runs, vertical_range
from mixexp.displays._style import certainty, expert_styles, tint
from mixexp.tree import GatingTree

pytestmark = DRAWING

draw = ResponsibilityMapDisplay.from_estimator


@pytest.fixture(scope="module")
def data():
    """Return X of four features and y, which kinks along the third and less along the first."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(240, 4)) * [1.0, 2.0, 10.0, 1.0] + [0.0, 5.0, 100.0, 0.0]
    X[:, 3] = X[:, 3] > 0.0
    z = (X[:, 2] - 100.0) / 10.0
    y = np.where(z + 0.5 * X[:, 0] > 0.0, 3.0 * z, -2.0 * z) + 0.5 * rng.normal(size=240)
    return X, y


@pytest.fixture(scope="module")
def flat(data):
    return MoERegressor(n_experts=2, **QUICK).fit(*data)


@pytest.fixture(scope="module")
def line(data):
    X, y = data
    return MoERegressor(n_experts=2, **QUICK).fit(X[:, [2]], y)


@pytest.fixture(scope="module")
def classifier(data):
    X, y = data
    return MoEClassifier(n_experts=2, **QUICK).fit(X, np.where(y > 2.0, "high", "low"))


@pytest.fixture(scope="module")
def frame(data):
    return pd.DataFrame(data[0], columns=["age", "dose", "mass", "male"])


@pytest.fixture(scope="module")
def named(frame, data):
    """Return a pipeline that was fitted to a frame."""
    model = MoERegressor(n_experts=2, **QUICK)
    return make_pipeline(StandardScaler(), model).fit(frame, data[1])


def held_rows(X, display):
    """Return rows of the display's grid, other columns at their lower median."""
    mesh = np.meshgrid(*display.grid)
    rows = np.tile(np.quantile(X, 0.5, axis=0, method="lower"), (mesh[0].size, 1))
    for column, values in zip(display.features, mesh, strict=True):
        rows[:, column] = values.ravel()
    return rows


# Two features.


def test_plane_stores_the_gates_of_the_grid(flat, data):
    X, y = data
    display = draw(flat, X, y, features=(2, 1), grid_resolution=7, eps=0.0)
    assert display.features == (2, 1)
    assert display.feature_names == ("x2", "x1")
    assert [len(axis) for axis in display.grid] == [7, 7]
    np.testing.assert_array_equal(display.grid[0][[0, -1]], [X[:, 2].min(), X[:, 2].max()])
    assert display.gate_proba.shape == (7, 7, 2)
    expected = flat.gate_proba(held_rows(X, display)).reshape(7, 7, 2)
    np.testing.assert_array_equal(display.gate_proba, expected)


def test_plane_marks_data_by_posterior(flat, data):
    X, y = data
    points = draw(flat, X, y, features=[2, 0], grid_resolution=5).points
    np.testing.assert_array_equal(points.X, X[:, [2, 0]])
    np.testing.assert_array_equal(points.gate_proba, flat.gate_proba(X))
    np.testing.assert_array_equal(points.responsibilities, flat.responsibilities(X, y))
    np.testing.assert_array_equal(
        points.is_surprise, flat.predict_expert(X) != flat.predict_expert(X, y)
    )
    assert points.is_surprise.any()


def test_plane_draws_every_artist(flat, data):
    X, y = data
    display = draw(flat, X, y, features=[2, 0])
    assert display.ax_.get_figure() is display.figure_
    assert display.image_ in display.ax_.images
    assert len(display.contours_) == 1
    assert [label.get_text() for label in display.labels_] == ["0", "1"]
    assert sum(len(artist.get_offsets()) for artist in display.scatter_) == len(X)
    assert display.ax_.get_xlabel() == "x2"
    assert display.ax_.get_ylabel() == "x0"
    texts = [text.get_text() for text in display.legend_.get_texts()]
    assert texts[:2] == ["expert 0", "expert 1"]
    assert "posterior differs\nfrom gate" in texts


def test_surprising_points_are_ringed(flat, data):
    X, y = data
    display = draw(flat, X, y, features=[2, 0], grid_resolution=5)
    ringed = [a for a in display.scatter_ if (a.get_edgecolor()[0, :3] == 0.0).all()]
    n_ringed = sum(len(artist.get_offsets()) for artist in ringed)
    assert n_ringed == display.points.is_surprise.sum()


def test_certain_points_are_larger(flat, data):
    X, y = data
    display = draw(flat, X, y, features=[2, 0], grid_resolution=5)
    sizes = np.concatenate([artist.get_sizes() for artist in display.scatter_])
    where = np.concatenate([np.asarray(artist.get_offsets()) for artist in display.scatter_])
    largest = display.points.proba.max(axis=1)
    rows = [int(np.abs(X[:, [2, 0]] - point).sum(axis=1).argmin()) for point in where]
    np.testing.assert_array_equal(np.argsort(sizes), np.argsort(largest[rows]))


def test_without_y_points_follow_the_gates(flat, line, data):
    assert draw(line, data[0][:, [2]]).scatter_ == []
    display = draw(flat, data[0], features=[2, 0], grid_resolution=5)
    assert display.points.responsibilities is None
    assert sum(len(artist.get_offsets()) for artist in display.scatter_) == len(data[0])


def test_hard_map_has_one_colour_per_expert(flat, data):
    display = draw(flat, data[0], features=[2, 0], kind="hard")
    colors = np.asarray(display.image_.get_array()).reshape(-1, 3)
    assert len(np.unique(colors, axis=0)) == 2


def test_one_expert_is_a_plain_map(data):
    model = MoERegressor(n_experts=1).fit(*data)
    display = draw(model, *data, features=[0, 2], grid_resolution=5)
    np.testing.assert_array_equal(display.gate_proba, np.ones((5, 5, 1)))
    assert display.contours_ == []


# One feature.


def test_bands_store_gates_and_predictions(line, data):
    X, y = data
    display = draw(line, X[:, [2]], y, grid_resolution=9)
    (grid,) = display.grid
    assert display.gate_proba.shape == (9, 2)
    np.testing.assert_array_equal(display.gate_proba, line.gate_proba(grid[:, None]))
    np.testing.assert_array_equal(display.curves.experts, line.predict_experts(grid[:, None]))
    np.testing.assert_array_equal(display.curves.mixture, line.predict(grid[:, None]))
    np.testing.assert_array_equal(display.points.y, y)


def test_bands_draw_every_artist(line, data):
    X, y = data
    display = draw(line, X[:, [2]], pd.Series(y, name="yield"))
    assert len(display.bands_) == len(display.lines_) == 2
    tops = [band.get_paths()[0].get_extents().ymax for band in display.bands_]
    np.testing.assert_allclose(max(tops), 1.0, rtol=1e-12)
    assert display.mixture_ in display.ax_.lines
    assert display.bands_ax_ in display.figure_.axes
    assert sum(len(artist.get_offsets()) for artist in display.scatter_) == len(y)
    assert display.ax_.get_xlabel() == "x0"
    assert display.ax_.get_ylabel() == "yield"
    np.testing.assert_allclose(display.bands_ax_.get_xlim(), display.ax_.get_xlim())
    assert "mixture" in [text.get_text() for text in display.legend_.get_texts()]


def test_other_features_are_held_where_asked(flat, data):
    X, y = data
    display = draw(flat, X, y, features=2, fixed={0: 1.5, 1: -2}, grid_resolution=6)
    rows = held_rows(X, display)
    rows[:, 0], rows[:, 1] = 1.5, -2.0
    np.testing.assert_array_equal(display.gate_proba, flat.gate_proba(rows))
    assert display.held["x0"] == 1.5
    assert display.held["x1"] == -2


@pytest.mark.parametrize("wanted", [None, "high"])
def test_classifier_draws_the_probability_of_a_class(classifier, data, wanted):
    X, y = data
    labels = np.where(y > 2.0, "high", "low")
    display = draw(classifier, X, labels, features=2, class_of_interest=wanted)
    number = 1 if wanted is None else 0
    rows = held_rows(X, display)
    np.testing.assert_array_equal(
        display.curves.experts, classifier.predict_experts(rows)[:, :, number]
    )
    np.testing.assert_array_equal(display.curves.mixture, classifier.predict_proba(rows)[:, number])
    with pytest.raises(ValueError, match="'class_of_interest' parameter must be one of"):
        draw(classifier, X, features=0, class_of_interest="medium")
    name = classifier.classes_[number]
    assert display.ax_.get_ylabel() == f"P(y = {name})"
    np.testing.assert_array_equal(display.points.y, labels == name)


def test_one_expert_along_one_feature(data):
    model = MoERegressor(n_experts=1).fit(*data)
    display = draw(model, *data)
    # There is no gate to use a feature: it is the one that the expert uses most.
    assert display.features == (np.abs(model.coef_[0] * data[0].std(axis=0)).argmax(),)
    assert len(display.bands_) == len(display.lines_) == 1


def test_exposure_reaches_the_posterior_and_scales_what_is_drawn(data):
    X, y = data
    exposure = np.where(np.arange(len(X)) % 2 == 0, 1.0, 50.0)
    counts = np.random.default_rng(0).poisson(exposure * np.exp(0.1 * y))
    model = MoERegressor(2, expert="poisson", **QUICK).fit(X, counts, exposure=exposure)
    points = draw(model, X, counts, features=2, exposure=exposure).points
    expected = model.responsibilities(X, counts, exposure=exposure)
    np.testing.assert_array_equal(points.responsibilities, expected)
    np.testing.assert_array_equal(points.y, counts / exposure)


# Default features.


def test_default_features_are_those_the_gates_use_most(flat, data):
    display = draw(flat, *data, grid_resolution=4)
    use = np.abs(flat.gate_coef_[0]) * data[0].std(axis=0)
    assert display.features == tuple(np.argsort(-use)[:2])


def test_default_is_one_feature_where_the_gates_use_one_or_none(data):
    model = MoERegressor(n_experts=2, gate_features=[2], **QUICK).fit(*data)
    assert draw(model, *data).features == (2,)
    model = MoERegressor(n_experts=2, gate="constant", **QUICK).fit(*data)
    assert len(draw(model, *data).features) == 1


def test_what_does_not_matter_is_not_called_held(data):
    model = MoERegressor(n_experts=2, gate_features=[0, 2], **QUICK).fit(*data)
    assert draw(model, *data, grid_resolution=4).held == {}


def test_features_of_two_values_get_an_axis_only_if_asked(data):
    model = MoERegressor(n_experts=2, gate_features=[2, 3], **QUICK).fit(*data)
    assert draw(model, *data).features == (2,)
    assert draw(model, *data, features=[3, 2], grid_resolution=4).features == (3, 2)


# Trees.


def test_tree_has_a_hue_per_branch():
    styles = expert_styles(GatingTree.balanced((2, 2)))
    blue = [style.color[2] > style.color[0] for style in styles]
    assert blue == [True, True, False, False]
    lightness = [style.color.sum() for style in styles]
    assert lightness[0] < lightness[1]
    assert lightness[2] < lightness[3]


def test_tree_is_drawn(data):
    X, y = data
    model = HMERegressor(tree=[[1, 1], 1], **QUICK).fit(X, y)
    display = draw(model, X, y, features=(2, 0), grid_resolution=20)
    assert display.gate_proba.shape == (20, 20, 3)
    np.testing.assert_array_equal(
        display.gate_proba.reshape(-1, 3), model.gate_proba(held_rows(X, display))
    )
    assert len(display.legend_.get_texts()) >= 3


@pytest.mark.parametrize("tree", [(1,), (1, 4), (12,), (6, 2), (2, 2, 2), [[1, 1], 1]])
def test_styles_of_experts_differ(tree):
    styles = expert_styles(GatingTree.from_spec(tree))
    looks = {(*style.color.round(6), style.hatch) for style in styles}
    assert len(looks) == len(styles)
    assert all((style.color >= 0.0).all() and (style.color <= 1.0).all() for style in styles)
    neighbours = itertools.pairwise(styles)
    assert all(a.marker != b.marker and a.dashes != b.dashes for a, b in neighbours)


def test_more_experts_than_colours_are_hatched(data):
    X, _ = data
    number = np.floor(9.999 * np.argsort(np.argsort(X[:, 2])) / len(X)).astype(int)
    y = 5.0 * number + 0.1 * X[:, 0]
    model = MoERegressor(10, init=number, gate_alpha=0.01, tol=0.1)
    display = draw(model.fit(X, y), X, y, features=(2, 0))
    winners = np.unique(display.gate_proba.argmax(axis=-1))
    assert winners.max() >= 8
    assert len(display.regions_) == (winners >= 8).sum()


# Frames and pipelines.


def test_frame_names_the_axes(frame, data):
    model = MoERegressor(n_experts=2, **QUICK).fit(frame, data[1])
    display = draw(model, frame, data[1], features=["mass", 0], grid_resolution=5)
    assert display.feature_names == ("mass", "age")
    assert display.ax_.get_xlabel() == "mass"


@pytest.mark.parametrize("features", [None, ("mass", "age"), "mass"])
def test_pipeline_has_axes_in_raw_units(named, frame, data, features):
    display = draw(named, frame, data[1], features=features, grid_resolution=5, eps=0.0)
    assert display.feature_names[0] == "mass"
    assert display.grid[0][0] == frame["mass"].min()
    rows = pd.DataFrame(held_rows(frame.to_numpy(), display), columns=frame.columns)
    expected = named[-1].gate_proba(named[:-1].transform(rows))
    np.testing.assert_array_equal(display.gate_proba.reshape(-1, 2), expected)


def test_pipeline_may_change_the_number_of_columns(data):
    X, y = data
    pipeline = make_pipeline(
        StandardScaler(), PolynomialFeatures(2, include_bias=False), MoERegressor(2, **QUICK)
    ).fit(X[:, :3], y)
    display = draw(pipeline, X[:, :3], y, grid_resolution=6)
    assert set(display.features) <= {0, 1, 2}
    alone = make_pipeline(MoERegressor(2, **QUICK)).fit(X, y)
    assert draw(alone, X, y, grid_resolution=4).gate_proba.shape == (4, 4, 2)
    assert display.gate_proba.shape == (6, 6, 2)


@pytest.mark.parametrize("frame_type", [pd.DataFrame, pl.DataFrame])
def test_words_are_held_at_the_most_frequent(frame, data, frame_type):
    X = frame_type(
        {name: frame[name].to_numpy() for name in frame.columns}
        | {"site": ["south", "south", "north"] * (len(frame) // 3)}
    )
    encode = make_column_transformer((OneHotEncoder(), ["site"]), remainder=StandardScaler())
    pipeline = make_pipeline(encode, MoERegressor(2, **QUICK)).fit(X, data[1])
    assert draw(pipeline, X, data[1], features=["mass", "age"]).held["site"] == "south"
    fixed = {"site": "north"}
    assert draw(pipeline, X, features=["mass", "age"], fixed=fixed).held["site"] == "north"
    display = draw(pipeline, X, data[1], features=["site", "mass"], grid_resolution=5)
    assert display.grid[0].tolist() == ["north", "south"]
    assert display.gate_proba.shape == (5, 2, 2)


def test_polars_frame(frame, data):
    X = pl.DataFrame({name: frame[name].to_numpy() for name in frame.columns})
    model = MoERegressor(n_experts=2, **QUICK).fit(X, data[1])
    display = draw(model, X, pl.Series("gain", data[1]), features="mass")
    assert display.ax_.get_xlabel() == "mass"
    assert display.ax_.get_ylabel() == "gain"


# Drawing.


def test_draws_into_given_axes_and_again(flat, data):
    _, axes = plt.subplots(1, 2)
    display = draw(flat, *data, features=[0, 2], ax=axes[0])
    assert display.ax_ is axes[0]
    assert display.plot(ax=axes[1], xlabel="time", ylabel="place") is display
    assert display.ax_ is axes[1]
    assert axes[1].get_xlabel() == "time"
    assert axes[1].get_ylabel() == "place"


def test_keywords_reach_matplotlib(flat, data):
    display = draw(
        flat, *data, features=[0, 2], scatter_kwargs={"s": 3.0}, legend_kwargs={"title": "who"}
    )
    assert all((artist.get_sizes() == 3.0).all() for artist in display.scatter_)
    assert display.legend_.get_title().get_text() == "who"


def test_constructor_only_stores(flat):
    display = ResponsibilityMapDisplay(
        features=(0,),
        feature_names=("a",),
        grid=(np.array([0.0, 1.0]),),
        gate_proba=np.full((2, 2), 0.5),
        tree=flat.tree_,
    )
    assert not [name for name in vars(display) if name.endswith("_")]


def test_matplotlib_is_imported_only_to_draw():
    code = "import sys, mixexp.displays; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_missing_matplotlib_says_what_to_do(flat, data, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match="pip install matplotlib"):
        draw(flat, *data, features=2)


def test_strength_runs_cover_the_grid_without_gaps():
    runs = strength_runs(np.array([0.0, 0.05, 0.5, 0.5, 1.0, 1.0]))
    assert runs == [slice(0, 3), slice(2, 5), slice(4, 6)]


def test_vertical_range_holds_the_data_and_only_so_much_of_the_mixture():
    target = np.array([0.0, 4.0])
    mixture = np.array([1.0, 2.0, np.inf, 1e9])
    low, high = vertical_range(Curves(mixture[:, None], mixture, "y", False), target)
    assert -1.0 < low < 0.0
    assert 5.0 < high < 6.0


def test_tints_run_from_pale_to_strong():
    assert certainty(np.array([0.25, 1.0]), 4).tolist() == [0.0, 1.0]
    pale, strong = tint(np.array([0.0, 0.0, 1.0]), np.array([0.0, 1.0]))
    assert (pale[:2] > strong[:2]).all()


# Errors.


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"features": "mass"}, "Unknown feature 'mass' in 'features'; expected a column number"),
        ({"features": [0, 4]}, r"Unknown feature 4 in 'features'.*range \[0, 4\)"),
        ({"features": [0, -1]}, "Unknown feature -1 in 'features'"),
        ({"features": True}, "Unknown feature True in 'features'"),
        ({"features": [1, 1]}, "'features' parameter must name at least one feature"),
        ({"features": []}, "'features' parameter must name at least one feature"),
        ({"features": [0, 1], "fixed": {1: 0.0}}, "'fixed' parameter holds 1, which is on an axis"),
        ({"features": [0, 1], "fixed": {9: 0.0}}, "Unknown feature 9 in 'fixed'"),
        ({"features": [0, 1], "fixed": {2: "x"}}, "'fixed' parameter must give 2 a finite number"),
        ({"features": [0, 1], "fixed": {2: np.nan}}, "'fixed' parameter must give 2 a finite"),
        ({"features": [0, 1], "fixed": [1.0]}, "'fixed' parameter must be None or a dict"),
        ({"kind": "soft"}, "'kind' parameter must be one of"),
        ({"grid_resolution": 1}, "'grid_resolution' parameter must be an int of at least 2"),
        ({"grid_resolution": 9.5}, "'grid_resolution' parameter must be an int of at least 2"),
        ({"eps": -0.1}, "'eps' parameter must be a finite number >= 0"),
        ({"features": 0, "class_of_interest": 1}, "'class_of_interest' parameter is for class"),
    ],
)
def test_bad_options_are_named(flat, data, options, message):
    with pytest.raises(ValueError, match=message):
        draw(flat, *data, **options)
    assert plt.get_fignums() == []


def test_unknown_name_lists_the_known(named, frame):
    with pytest.raises(ValueError, match=r"Unknown feature 'weight' in 'features'.*'mass'"):
        draw(named, frame, features="weight")


@pytest.mark.parametrize(
    "estimator", [LinearRegression(), make_pipeline(LinearRegression()), MoERegressor]
)
def test_other_estimators_are_refused(estimator, data):
    with pytest.raises(TypeError, match="estimator must be a fitted mixture of experts"):
        draw(estimator, *data)


def test_odd_data_are_refused(flat, named, frame):
    with pytest.raises(ValueError, match="X must have at least one row"):
        draw(flat, [1.0, 2.0])
    with pytest.raises(ValueError, match="a name of its own"):
        draw(named, frame.iloc[:, [0, 0, 1, 2]])
