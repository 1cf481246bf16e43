"""Maps with categories, averages over other features, and pairs of features."""

from functools import partial

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from drawn import DRAWING, QUICK
from sklearn.compose import make_column_transformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from mixexp import MoERegressor
from mixexp.datasets import make_moe
from mixexp.displays import ResponsibilityMapDisplay
from mixexp.displays._columns import spread_rows
from mixexp.displays._grid import ends, place, positions
from mixexp.displays._map import draw_numbers
from mixexp.displays._style import expert_styles
from mixexp.tree import GatingTree

pytestmark = DRAWING
draw = ResponsibilityMapDisplay.from_estimator
draw_pairs = partial(draw, pairs=True)
SITES = ["east", "north", "south"]


@pytest.fixture(scope="module")
def data():
    X, y, _ = make_moe(150, 3, 2, random_state=0)
    return X, y


@pytest.fixture(scope="module")
def model(data):
    return MoERegressor(2, **QUICK).fit(*data)


@pytest.fixture(scope="module")
def frame(data):
    """Return a frame with two columns of words, on which y depends."""
    X, y = data
    site = np.array(SITES)[np.arange(150) % 3]
    sex = np.where(np.arange(150) % 2 == 0, "f", "m")
    columns = {"age": X[:, 0], "dose": X[:, 1], "site": site, "sex": sex}
    return pd.DataFrame(columns), y + 4.0 * (site == "north")


@pytest.fixture(scope="module")
def pipeline(frame):
    encode = make_column_transformer((OneHotEncoder(), ["site", "sex"]), remainder=StandardScaler())
    return make_pipeline(encode, MoERegressor(2, **QUICK)).fit(*frame)


# Averages.


def test_average_is_the_mean_over_the_other_columns(model, data):
    X, y = data
    display = draw(model, X, y, features=[2, 0], others="averaged", grid_resolution=4)
    chosen = spread_rows(np.ones(len(X)), 60)
    assert display.n_averaged == len(chosen) == 60
    total = np.zeros((4, 4, 2))
    for row in chosen:
        for i, dose in enumerate(display.grid[1]):
            for j, age in enumerate(display.grid[0]):
                total[i, j] += model.gate_proba([[dose, X[row, 1], age]])[0]
    np.testing.assert_allclose(display.gate_proba, total / 60.0, rtol=1e-12)


def test_average_of_the_curves_is_not_that_of_their_parts(model, data):
    X, y = data
    display = draw(model, X, y, features=1, others="averaged", grid_resolution=3)
    rows = np.repeat(X[spread_rows(np.ones(len(X)), 60)], 3, axis=0)
    rows[:, 1] = np.tile(display.grid[0], 60)
    for found, expected in (
        (display.gate_proba, model.gate_proba(rows)),
        (display.curves.experts, model.predict_experts(rows)),
        (display.curves.mixture, model.predict(rows)),
    ):
        mean = expected.reshape(60, 3, *expected.shape[1:]).mean(axis=0)
        np.testing.assert_allclose(found, mean, rtol=1e-12)


def test_fixed_columns_are_held_while_others_are_averaged(model, data):
    X, y = data
    display = draw(model, X, y, features=1, others="averaged", fixed={0: 0.25}, grid_resolution=3)
    rows = np.repeat(X[spread_rows(np.ones(len(X)), 60)], 3, axis=0)
    rows[:, 0], rows[:, 1] = 0.25, np.tile(display.grid[0], 60)
    expected = model.gate_proba(rows).reshape(60, 3, 2).mean(axis=0)
    np.testing.assert_allclose(display.gate_proba, expected, rtol=1e-12)
    assert display.held == {"x0": 0.25}
    title = display.legend_.get_title().get_text()
    assert title == "held:\nx0 = 0.25\nothers averaged\nover 60 rows"


def test_average_over_words(pipeline, frame):
    X, y = frame
    display = draw(pipeline, X, y, features="dose", others="averaged", grid_resolution=2)
    rows = X.iloc[spread_rows(np.ones(len(X)), 60)].assign(dose=display.grid[0][1])
    np.testing.assert_allclose(display.curves.mixture[1], pipeline.predict(rows).mean())


# Categories.


@pytest.mark.parametrize("features", [["site", "dose"], ["dose", "site"], ["sex", "site"]])
def test_categories_have_a_strip_each(pipeline, frame, features):
    X, y = frame
    display = draw(pipeline, X, y, features=features, grid_resolution=6)
    sizes = [6 if name == "dose" else len(set(X[name])) for name in features]
    assert display.gate_proba.shape == (*reversed(sizes), 2)
    at = features.index("site")
    assert display.grid[at].tolist() == SITES
    ax = display.ax_
    axis = ax.yaxis if at else ax.xaxis
    assert [text.get_text() for text in axis.get_ticklabels()] == SITES
    low, high = ax.get_ylim() if at else ax.get_xlim()
    assert (low, high) == (-0.5, 2.5)
    assert sum(len(artist.get_offsets()) for artist in display.scatter_) == len(y)


def test_map_of_categories_asks_for_rows_of_each(pipeline, frame):
    X, y = frame
    display = draw(pipeline, X, y, features=["site", "dose"], grid_resolution=3)
    for j, site in enumerate(SITES):
        rows = pd.DataFrame(
            {
                "age": np.full(3, np.quantile(X["age"], 0.5, method="lower")),
                "dose": display.grid[1],
                "site": site,
                "sex": "f",
            }
        )
        expected = pipeline[-1].gate_proba(pipeline[:-1].transform(rows))
        np.testing.assert_array_equal(display.gate_proba[:, j], expected)


def test_bands_of_categories_are_bars(pipeline, frame):
    X, y = frame
    display = draw(pipeline, X, y, features="site")
    heights = [[bar.get_height() for bar in bars] for bars in display.bands_]
    np.testing.assert_allclose(np.transpose(heights), display.gate_proba)
    segments = [lines.get_segments() for lines in display.lines_]
    assert [len(own) for own in segments] == [3, 3]
    np.testing.assert_allclose(
        [[segment[0, 1] for segment in own] for own in segments], display.curves.experts.T
    )
    assert np.isnan(display.mixture_.get_xdata()).sum() == 3


def test_categories_of_pandas_keep_their_order(pipeline, frame):
    X, y = frame
    kind = pd.CategoricalDtype(["south", "east", "west", "north"], ordered=True)
    display = draw(pipeline, X.astype({"site": kind}), y, features=["dose", "site"])
    assert display.grid[1].tolist() == ["south", "east", "north"]


def test_rows_stand_in_their_own_strip():
    axis = np.array(["a", "b"], dtype=object)
    values = np.array(["b", "a"] * 40, dtype=object)
    x, y = place(axis, values, 0), place(axis, values, 1)
    np.testing.assert_array_equal(np.round(x), [1.0, 0.0] * 40)
    # Spread in both directions independently: no line through the rows of a cell.
    assert abs(np.corrcoef(x[::2], y[::2])[0, 1]) < 0.2
    assert ends(axis) == (-0.5, 1.5)
    np.testing.assert_array_equal(positions(axis), [0.0, 1.0])


def test_ties_within_a_strip_are_lines_across_it(pipeline, frame):
    X, y = frame
    display = draw(pipeline, X, y, features=["dose", "site"], grid_resolution=40)
    winner = display.gate_proba.argmax(axis=-1)
    n_ties = np.count_nonzero(np.diff(winner, axis=1))
    drawn = sum(len(lines.get_segments()) for lines in display.contours_)
    assert drawn == n_ties


def test_number_of_an_expert_is_in_the_middle_of_its_longest_run():
    _, ax = plt.subplots()
    grid = np.linspace(0.0, 1.0, 9), np.array(["a", "b"], dtype=object)
    proba = np.zeros((2, 9, 2))
    proba[0, :3, 0] = proba[1, :7, 0] = 1.0
    proba[..., 1] = 1.0 - proba[..., 0]
    labels = draw_numbers(ax, grid, proba, expert_styles(GatingTree.flat(2)), np.empty((0, 2)))
    assert [label.get_position() for label in labels] == [(0.375, 1.0), (0.625, 0.0)]


def test_only_words_get_an_axis_unasked():
    X = pd.DataFrame({"site": np.array(SITES)[np.arange(90) % 3]})
    y = np.arange(90) % 3 + 0.1 * np.sin(np.arange(90.0))
    encode = make_column_transformer((OneHotEncoder(drop="first"), ["site"]))
    fitted = make_pipeline(encode, MoERegressor(1)).fit(X, y)
    assert draw(fitted, X, y).features == (0,)


# Pairs.


def test_pairs_hold_a_map_for_each_and_bands_on_the_diagonal(model, data):
    X, y = data
    display = draw_pairs(model, X, y, features=[2, 0, 1], grid_resolution=5)
    assert display.feature_names == ("x2", "x0", "x1")
    for (i, j), gates in display.gate_proba.items():
        shown = [display.features[number] for number in dict.fromkeys((j, i))]
        single = draw(model, X, y, features=shown, grid_resolution=5)
        np.testing.assert_array_equal(gates, single.gate_proba)
    np.testing.assert_array_equal(display.points.responsibilities, model.responsibilities(X, y))


def test_pairs_draw_below_the_diagonal_and_on_it(model, data):
    display = draw_pairs(model, *data, grid_resolution=5)
    assert display.axes_.shape == (3, 3)
    assert sorted(display.images_) == [(1, 0), (2, 0), (2, 1)]
    assert [len(bands) for bands in display.bands_] == [2, 2, 2]
    names = {label.get_text() for labels in display.labels_.values() for label in labels}
    assert names == {"0", "1"}
    for artists in display.scatter_.values():
        assert sum(len(artist.get_offsets()) for artist in artists) == 150
    assert [ax.get_xlabel() for ax in display.axes_[2]] == list(display.feature_names)
    assert not any(ax.get_xlabel() for ax in display.axes_[:2].flat)
    assert not display.axes_[0, 2].axison


def test_three_features_are_drawn_in_pairs(model, data):
    display = draw(model, *data, features=[0, 1, 2], grid_resolution=3)
    wanted = draw_pairs(model, *data, features=[0, 1, 2], grid_resolution=3)
    assert list(display.gate_proba) == list(wanted.gate_proba)
    assert display.axes_.shape == (3, 3)


def test_pairs_average_and_hold(model, data):
    X, y = data
    averaged = draw_pairs(model, X, y, features=[0, 1], others="averaged", grid_resolution=3)
    single = draw(model, X, y, features=[0, 1], others="averaged", grid_resolution=3)
    np.testing.assert_array_equal(averaged.gate_proba[1, 0], single.gate_proba)
    assert averaged.n_averaged == 60
    held = draw_pairs(model, X, y, features=[0, 1], fixed={2: 0.5}, grid_resolution=3)
    assert held.held == {"x2": 0.5}


def test_pairs_with_categories(pipeline, frame):
    display = draw_pairs(pipeline, *frame, features=["dose", "site", "sex"], grid_resolution=5)
    assert display.gate_proba[1, 0].shape == (3, 5, 2)
    assert display.gate_proba[2, 1].shape == (2, 3, 2)
    labels = [text.get_text() for text in display.axes_[1, 0].get_yticklabels()]
    assert labels == SITES


def test_default_pairs_are_of_the_features_that_gates_use():
    X, y, _ = make_moe(150, 6, 2, random_state=0)
    fitted = MoERegressor(2, gate_features=[1, 3, 4], **QUICK).fit(X, y)
    display = draw_pairs(fitted, X, y, grid_resolution=3)
    assert sorted(display.features) == [1, 3, 4]
    everything = MoERegressor(2, **QUICK).fit(X, y)
    assert len(draw_pairs(everything, X, y, grid_resolution=3).features) == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"features": [0]}, "'features' parameter must be at least two different features"),
        ({"features": [0, 0]}, "'features' parameter must name at least one feature, none twice"),
        ({"features": "x0"}, "'features' parameter must be at least two different features"),
        ({"features": [0, 9]}, "Unknown feature 9 in 'features'"),
        ({"others": "mean"}, "'others' parameter must be one of"),
        ({"kind": "soft"}, "'kind' parameter must be one of"),
        ({"pairs": "yes"}, "'pairs' parameter must be True or False"),
        ({"xlabel": "age"}, "'xlabel' and 'ylabel' parameters are for one map"),
        ({"features": [0, 1], "fixed": {1: 0.0}}, "'fixed' parameter holds 1, which is on an axis"),
    ],
)
def test_bad_options_of_pairs_are_named(model, data, options, message):
    with pytest.raises(ValueError, match=message):
        draw_pairs(model, *data, **options)
    assert plt.get_fignums() == []


def test_bad_others_of_a_map_is_named(model, data):
    with pytest.raises(ValueError, match="'others' parameter must be one of"):
        draw(model, *data, others="mean")


def test_one_column_has_no_pairs(data):
    X, y = data
    fitted = MoERegressor(2, **QUICK).fit(X[:, :1], y)
    with pytest.raises(ValueError, match="X has no two numeric columns"):
        draw_pairs(fitted, X[:, :1], y)
