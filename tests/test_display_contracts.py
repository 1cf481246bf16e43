"""Contracts of all displays: axes of the user, weights, errors, categories, small figures."""

import inspect
import re
from collections import Counter
from dataclasses import fields

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from drawn import DISPLAYS, DRAWING, QUICK, displays, overlapping
from scipy.special import ndtr
from sklearn.compose import make_column_transformer
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import mixexp.displays
from mixexp import HMERegressor, MoEClassifier, MoERegressor
from mixexp.datasets import make_hme, make_moe
from mixexp.displays import PredictiveDisplay, ResidualDisplay, SurvivalDisplay
from mixexp.displays._columns import lower_median, most_frequent, spread_rows
from mixexp.displays._layout import wrap
from mixexp.displays._style import expert_styles
from mixexp.tree import GatingTree

pytestmark = DRAWING
FOR_NUMBERS = (PredictiveDisplay, SurvivalDisplay)
SITES = ["east", "north", "south"]
every_display = displays()
with_data = displays(lambda drawn: drawn.takes)
with_rows = displays(lambda drawn: drawn.per_row)
with_features = displays(lambda drawn: drawn.features)


@pytest.fixture(scope="module")
def data():
    X, y, _ = make_hme(160, 2, (2, 2), random_state=0)
    return pd.DataFrame(X * [1.0, 10.0], columns=["age", "dose"]), pd.Series(y, name="gain")


@pytest.fixture(scope="module")
def model(data):
    return HMERegressor((2, 2), **QUICK).fit(*data)


@pytest.fixture(scope="module")
def sites(data):
    """Return a frame with words, y, and a pipeline that was fitted to them."""
    X = data[0].assign(site=np.array(SITES)[np.arange(160) % 3])
    y = data[1] + 4.0 * (X["site"] == "north")
    encode = make_column_transformer((OneHotEncoder(), ["site"]), remainder=StandardScaler())
    return X, y, make_pipeline(encode, HMERegressor((2, 2), **QUICK)).fit(X, y)


def fields_of(display):
    return {field.name: getattr(display, field.name) for field in fields(display)}


def panels_of(display):
    """Return the axes that a display drew into."""
    axes = display.axes_.flat if hasattr(display, "axes_") else [display.ax_]
    return [ax for ax in axes if ax.axison]


# Axes and figures.


def test_every_display_is_in_the_registry():
    known = {drawn.cls.__name__ for drawn in DISPLAYS.values()}
    assert known | {"SelectionDisplay", "RegularizationPathDisplay"} == set(mixexp.displays.__all__)


@every_display
@pytest.mark.parametrize("method", ["from_estimator", "plot"])
def test_every_argument_is_documented(drawn, method):
    function = getattr(drawn.cls, method)
    section = function.__doc__.split("Parameters\n")[1].split("Returns\n")[0]
    listed = re.findall(r"^ {8}(\S.*?) : ", section, re.MULTILINE)
    documented = [name.strip("* ") for line in listed for name in line.split(",")]
    arguments = set(inspect.signature(function).parameters) - {"self"}
    assert sorted(documented) == sorted(arguments)
    assert not re.search(r"<[A-Z_]+>|CLASS", function.__doc__)


@every_display
def test_drawn_things_are_attributes_that_end_in_an_underscore(drawn, model, data):
    display = drawn.draw(model, *data)
    stored = set(fields_of(display))
    artists = {name for name in vars(display) if name not in stored}
    assert stored
    assert not any(name.endswith("_") for name in stored)
    assert all(name.endswith("_") for name in artists)
    assert "figure_" in artists
    assert {"ax_", "axes_"} & artists
    # Made of the same numbers, another display draws the same and knows of no artist before.
    again = drawn.cls(**fields_of(display))
    assert set(vars(again)) == stored
    assert again.plot() is again
    assert set(vars(again)) - stored == artists


@every_display
def test_axes_of_the_user_are_drawn_into_and_no_other_figure_is_opened(drawn, model, data):
    figure, axes = plt.subplots(1, 2, figsize=(12.0, 5.0))
    display = drawn.draw(model, *data, ax=axes[1])
    assert plt.get_fignums() == [figure.number]
    assert display.figure_ is figure
    assert not axes[0].has_data()
    left = axes[0].get_position().x1
    assert all(ax.get_position().x0 > left for ax in panels_of(display))
    if drawn.n_panels == 1:
        assert panels_of(display) in ([axes[1]], [])
    figure.canvas.draw()
    assert display.plot() is display
    assert display.figure_ is not figure


@every_display
def test_axes_of_a_part_of_a_figure_are_drawn_into(drawn, model, data):
    _, right = plt.figure(figsize=(12.0, 5.0), layout="constrained").subfigures(1, 2)
    display = drawn.draw(model, *data, ax=right.subplots())
    assert display.figure_ is right
    assert {ax.get_figure() for ax in panels_of(display)} <= {right}


@every_display
def test_an_array_of_axes_holds_one_for_each_panel(drawn, model, data):
    _, axes = plt.subplots(drawn.n_panels, 1, squeeze=False)
    display = drawn.draw(model, *data, ax=axes)
    found = display.axes_.flat if hasattr(display, "axes_") else [display.ax_]
    assert [*found] == [*axes.flat]
    _, axes = plt.subplots(1, drawn.n_panels + 1)
    with pytest.raises(ValueError, match=f"'ax' parameter holds {drawn.n_panels + 1} axes"):
        drawn.draw(model, *data, ax=axes)


@displays(lambda drawn: drawn.n_panels > 1)
def test_axes_put_down_by_hand_have_no_place_for_panels(drawn, model, data):
    by_hand = plt.figure().add_axes((0.1, 0.1, 0.8, 0.8))
    with pytest.raises(ValueError, match="put down by hand"):
        drawn.draw(model, *data, ax=by_hand)


@every_display
def test_displays_of_pipelines_can_be_saved(drawn, data, tmp_path):
    pipeline = make_pipeline(StandardScaler(), MoERegressor(2, **QUICK)).fit(*data)
    drawn.draw(pipeline, *data).figure_.savefig(tmp_path / "figure.png", dpi=30)
    assert (tmp_path / "figure.png").stat().st_size > 1000


# Errors.


@every_display
def test_other_estimators_are_refused(drawn, data):
    with pytest.raises(TypeError, match="estimator must be a fitted mixture of experts"):
        drawn.draw(LinearRegression().fit(*data), *data)
    with pytest.raises(NotFittedError):
        drawn.draw(MoERegressor(), *data)
    assert plt.get_fignums() == []


@with_features
@pytest.mark.parametrize("unknown", ["weight", 7])
def test_unknown_features_are_named(drawn, unknown, model, data):
    asked = ["age", unknown] if drawn.features == "features" else unknown
    with pytest.raises(ValueError, match=f"Unknown feature {unknown!r} in '{drawn.features}'"):
        drawn.draw(model, *data, **{drawn.features: asked})
    assert plt.get_fignums() == []


@every_display
def test_unknown_keywords_are_named_before_anything_is_drawn(drawn, model, data):
    refused = f"{drawn.cls.__name__}.from_estimator has no parameter "
    with pytest.raises(TypeError, match=refused + r"'weights'. (Did you mean|It takes \[)"):
        drawn.draw(model, *data, weights=1)
    with pytest.raises(TypeError, match=refused + "'axs'. Did you mean 'ax'"):
        drawn.draw(model, *data, axs=None)
    if drawn.features:
        other = {"feature": "features", "features": "feature"}[drawn.features]
        with pytest.raises(TypeError, match=f"'{other}'. Did you mean '{drawn.features}'"):
            drawn.draw(model, *data, **{other: "age"})
    assert plt.get_fignums() == []


@pytest.mark.parametrize(
    ("part", "scale", "label"),
    [
        ("expert", "deviation", "slope per standard deviation"),
        ("expert", "unit", "slope"),
        ("gate", "deviation", "slope of the logit per standard deviation"),
        ("gate", "unit", "slope of the logit"),
    ],
)
def test_axes_of_coefficients_say_what_they_are_slopes_of(part, scale, label, model):
    display = DISPLAYS["coefficient"].draw(model, None, None, part=part, scale=scale)
    assert panels_of(display)[-1].get_xlabel().replace("\n", " ") == label


@with_data
def test_rows_of_another_width_are_refused(drawn, model, data):
    X, y = data
    with pytest.raises(ValueError, match=r"feature|columns"):
        drawn.draw(model, X[["age"]], y)
    assert plt.get_fignums() == []


@with_data
@pytest.mark.parametrize(
    "wrong", [-np.ones(160), np.zeros(160), np.ones(7), np.full(160, np.nan), ["a"] * 160]
)
def test_bad_weights_have_the_errors_of_the_estimators(drawn, wrong, model, data):
    with pytest.raises(ValueError, match="sample_weight") as of_fit:
        MoERegressor(1).fit(*data, sample_weight=wrong)
    with pytest.raises(ValueError, match="sample_weight") as found:
        drawn.draw(model, *data, sample_weight=wrong)
    assert str(found.value) == str(of_fit.value)
    assert plt.get_fignums() == []


@with_rows
@pytest.mark.parametrize("name", ["offset", "exposure", "trials"])
def test_bad_numbers_per_row_have_the_errors_of_the_estimators(drawn, name, model, data):
    X, y = data
    wrong = {name: np.ones(7)}
    with pytest.raises(ValueError, match=f"{name} has shape") as expected:
        model.responsibilities(X, y, **wrong)
    with pytest.raises(ValueError, match=f"{name} has shape") as found:
        drawn.draw(model, X, y, **wrong)
    assert str(found.value) == str(expected.value)


@with_rows
def test_y_of_another_length_is_refused(drawn, model, data):
    with pytest.raises(ValueError, match="X has 160 rows, y has 9"):
        drawn.draw(model, data[0], data[1][:9])


# Weights.


def parts_of(value):
    """Return all arrays, numbers and words that something holds."""
    if isinstance(value, dict):
        return [*value, *parts_of(list(value.values()))]
    if isinstance(value, list | tuple):
        return [part for one in value for part in parts_of(one)]
    return [value.to_numpy() if isinstance(value, pd.DataFrame) else value]


def assert_repeats(found, expected, weight):
    """Compare what is stored of weighted and of repeated rows, (n, ...) with (sum(weight), ...)."""
    for one, other in zip(parts_of(found), parts_of(expected), strict=True):
        if isinstance(one, np.ndarray | float):
            one, other = np.asarray(one), np.asarray(other)
            one = np.repeat(one, weight, axis=0) if one.shape[:1] == (len(weight),) else one
            # Cuts are fits of their own, of weighted and of repeated rows; those agree to 1e-7.
            np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-9)
        else:
            assert one == other


WEIGHTED = {name: drawn for name, drawn in DISPLAYS.items() if drawn.takes}
WEIGHTED_OPTIONS = {"map": [{"features": "age"}, {"others": "averaged", "features": "dose"}]}


@pytest.mark.parametrize(
    ("drawn", "options"),
    [
        pytest.param(drawn, options, id=f"{name}{number}")
        for name, drawn in WEIGHTED.items()
        for number, options in enumerate(WEIGHTED_OPTIONS.get(name, [{}]))
    ],
)
def test_weighted_rows_are_drawn_as_repeated_ones(drawn, options, data, rng):
    """Medians, ranges, use of features, averages, counts and bands heed weights, zero included."""
    X, y = data
    weight = rng.integers(0, 4, len(X))
    # Rows that would stretch the axes if they counted.
    weight[np.argmax(X.to_numpy(), axis=0)] = 0
    model = MoERegressor(2, expert="gaussian", **QUICK).fit(X, y)
    per_row = {"offset": rng.normal(0.0, 0.1, len(X))} if drawn.per_row else {}
    chosen = np.repeat(np.arange(len(X)), weight)
    weighted = drawn.draw(model, X, y, sample_weight=weight, **per_row, **options)
    repeated = drawn.draw(
        model,
        X.iloc[chosen],
        y.iloc[chosen],
        **{name: values[chosen] for name, values in per_row.items()},
        **options,
    )
    stored, expected = fields_of(weighted), fields_of(repeated)
    for name in stored.keys() - {"weight"}:
        assert_repeats(stored[name], expected[name], weight[weight > 0])


@pytest.mark.parametrize("n", [1, 2, 7, 90, 400])
def test_typical_values_and_chosen_rows_heed_weights_as_repeats(n, rng):
    values, weight = rng.integers(0, 9, n).astype(float), rng.integers(1, 4, n)
    words, chosen = np.array([f"site {value:g}" for value in values]), np.arange(n).repeat(weight)
    expected = np.quantile(values[chosen], 0.5, method="lower")
    assert lower_median(values, weight) == lower_median(values, 0.1 * weight) == expected
    assert most_frequent(words, weight) == Counter(words[chosen]).most_common(1)[0][0]
    rows = spread_rows(np.ones(len(chosen)), 60)
    np.testing.assert_array_equal(spread_rows(weight.astype(float), 60), chosen[rows])
    # Weights that sum to less than there are rows count in proportion.
    np.testing.assert_array_equal(spread_rows(np.full(n, 0.1), 60), spread_rows(np.ones(n), 60))


def test_quantile_plot_of_weighted_rows_is_that_of_repeated_ones(data, rng):
    """A row stands at the mean rank of its copies, in a band for as many rows."""
    X, y = data
    weight = rng.integers(1, 4, len(X))
    model = MoERegressor(2, **QUICK).fit(X, y)
    draw = DISPLAYS["residual"].draw
    weighted = draw(model, X, y, sample_weight=weight)
    chosen = np.repeat(np.arange(len(X)), weight)
    repeated = draw(model, X.iloc[chosen], y.iloc[chosen])
    order = np.argsort(weighted.residuals)
    rank = ndtr(repeated.quantiles_.get_xdata())
    starts = np.concatenate([[0], np.cumsum(weight[order])[:-1]])
    mean_rank = np.add.reduceat(rank, starts) / weight[order]
    np.testing.assert_allclose(ndtr(weighted.quantiles_.get_xdata()), mean_rank, rtol=1e-9)
    # Where a row is there once, its place and its band are those among all.
    alone = np.flatnonzero(weight[order] == 1)
    half = len(order)
    found = weighted.band_.get_paths()[0].vertices[1 : half + 1][alone]
    expected = repeated.band_.get_paths()[0].vertices[1 : len(chosen) + 1][starts[alone]]
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_marks_of_the_fan_have_areas_in_proportion_to_the_weights(data):
    X, y = data
    weight = np.where(np.arange(160) < 40, 3.0, 1.0)
    model = MoERegressor(1).fit(X, y)
    sizes = DISPLAYS["predictive"].draw(model, X, y, sample_weight=weight).scatter_.get_sizes()
    np.testing.assert_allclose(sizes / sizes[-1], weight)


def test_curves_stand_at_the_median_of_the_offset(data):
    X, y = data
    offset = np.linspace(3.0, 9.0, len(X))
    model = MoERegressor(1).fit(X, y + offset, offset=offset)
    middle = float(np.quantile(offset, 0.5, method="lower"))
    fan = DISPLAYS["predictive"].draw(model, X, y + offset, offset=offset)
    rows = fan.line.rows
    np.testing.assert_allclose(fan.mean, model.predict(rows) + middle)
    np.testing.assert_allclose(fan.median, fan.mean)
    fit = DISPLAYS["fit"].draw(model, X, y + offset, offset=offset, features=fan.line.feature)
    np.testing.assert_allclose(fit.panels[0].curves.mixture, fan.mean)
    np.testing.assert_allclose(fit.panels[0].band.mean(axis=0), fan.mean)
    one = DISPLAYS["map"].draw(model, X, y + offset, offset=offset, features=fan.line.feature)
    np.testing.assert_allclose(one.curves.mixture, fan.mean)


# Categories.


@displays(lambda drawn: drawn.features and not drawn.options)
def test_a_feature_without_numbers_has_a_strip_and_a_tick_per_category(drawn, sites):
    X, y, pipeline = sites
    display = drawn.draw(pipeline, X, y, **{drawn.features: "site"})
    display.figure_.canvas.draw()
    lowest = panels_of(display)[-1]
    assert [text.get_text() for text in lowest.get_xticklabels()] == SITES
    np.testing.assert_array_equal(lowest.get_xticks(), [0.0, 1.0, 2.0])
    assert all(ax.get_xlim() == (-0.5, 2.5) for ax in panels_of(display))
    assert lowest.get_xlabel() == "site"


def rows_of(X, site):
    """Return a row of a site, other columns where displays hold them."""
    held = {name: np.quantile(X[name], 0.5, method="lower") for name in ("age", "dose")}
    return pd.DataFrame({**held, "site": site}, index=[0])


def test_gates_of_categories_are_bars_at_every_node(sites):
    X, y, pipeline = sites
    display = DISPLAYS["gate"].draw(pipeline, X, y, feature="site")
    for at, site in enumerate(SITES):
        proba = pipeline[-1].gate_proba(pipeline[:-1].transform(rows_of(X, site)))[0]
        np.testing.assert_allclose(display.reach[at, display.tree.leaves], proba, rtol=1e-9)
    for node, bands in zip(display.tree.inner_nodes, display.bands_, strict=True):
        heights = [[bar.get_height() for bar in bars] for bars in bands]
        edges = display.tree.edges(int(node))
        # Heights are differences of the bars' ends, good to the last digit of 1.
        np.testing.assert_allclose(np.transpose(heights), display.gates[:, edges], atol=1e-15)
    for line, node in zip(display.reach_, display.tree.inner_nodes[1:], strict=True):
        # Level in each strip, with a gap behind it.
        np.testing.assert_array_equal(line.get_ydata()[::3], display.reach[:, node])
        assert np.isnan(line.get_xdata()[2::3]).all()


def test_fits_and_fans_of_categories_are_level_in_each_strip(sites):
    X, y, pipeline = sites
    fit = DISPLAYS["fit"].draw(pipeline, X, y, features="site")
    fan = DISPLAYS["predictive"].draw(pipeline, X, y, feature="site", coverages=[0.9])
    expected = [pipeline.predict(rows_of(X, site))[0] for site in SITES]
    np.testing.assert_allclose(fan.mean, expected)
    np.testing.assert_allclose(fit.panels[0].curves.mixture, expected)
    np.testing.assert_allclose(fit.mixtures_[0].get_ydata()[::3], expected)
    np.testing.assert_allclose(fit.panels[0].band, fan.intervals[0])
    for band in (fit.bands_[0], fan.bands_[0]):
        tops = [path.get_extents().ymax for path in band.get_paths()]
        np.testing.assert_allclose(tops, fan.intervals[0][1])
    strips = np.round(fan.scatter_.get_offsets()[:, 0]).astype(int)
    assert np.array(SITES)[strips].tolist() == X["site"].tolist()


def test_only_words_are_drawn_along_unasked_if_there_is_nothing_else():
    X = pd.DataFrame({"site": np.array(SITES)[np.arange(90) % 3]})
    y = np.arange(90) % 3 + 0.1 * np.sin(np.arange(90.0))
    encode = make_column_transformer((OneHotEncoder(drop="first"), ["site"]))
    fitted = make_pipeline(encode, MoERegressor(1)).fit(X, y)
    assert DISPLAYS["gate"].draw(fitted, X, y).line.name == "site"
    assert DISPLAYS["predictive"].draw(fitted, X, y).line.name == "site"


# Small figures and long names.


@pytest.mark.parametrize("size", [(4.0, 3.0), None], ids=["small", "default"])
@displays(lambda drawn: drawn.cls.__name__ != "TreeDisplay")
def test_titles_names_and_legend_of_long_names_do_not_meet(drawn, size, data):
    X, y = data
    names = ["mean radius of the cell nucleus (mm)", "worst fractal dimension, standardised"]
    X = X.set_axis(names, axis=1)
    fitted = HMERegressor((2, 2), **QUICK).fit(X, y)
    ax = None if size is None else plt.subplots(figsize=size, layout="constrained")[1]
    display = drawn.draw(fitted, X, y, ax=ax)
    panels = panels_of(display)
    texts = [t for ax in panels for t in (ax.title, ax.xaxis.label, ax.yaxis.label)]
    assert overlapping(display.figure_, texts) == []
    legend = display.legend_.get_window_extent()
    page = display.figure_.bbox
    assert page.x0 <= legend.x0
    assert legend.x1 <= page.x1 + 1.0
    inside = panels[0] if len(panels) == 1 else None
    if inside is not None:
        assert legend.x0 >= inside.get_window_extent().x1


@displays(lambda drawn: drawn.features)
def test_small_figures_have_short_legends(drawn, model, data):
    small = plt.subplots(figsize=(4.0, 3.0))[1]
    short, full = drawn.draw(model, *data, ax=small), drawn.draw(model, *data)
    entries, everything = ([t.get_text() for t in d.legend_.get_texts()] for d in (short, full))
    assert set(entries) <= set(everything)
    assert not any("\n" in entry for entry in entries)


def test_small_trees_leave_out_equations(model, data):
    _, ax = plt.subplots(figsize=(4.0, 3.0))
    draw = DISPLAYS["tree"].draw
    small, full = draw(model, *data, ax=ax), draw(model, *data)
    leaves = model.tree_.leaves
    assert all("=" not in small.notes_[leaf].get_text() for leaf in leaves)
    assert all("=" in full.notes_[leaf].get_text() for leaf in leaves)
    assert small.equations == full.equations


def test_lines_wrap_between_words_only():
    assert wrap("mean radius of the cell nucleus", 12) == "mean radius\nof the cell\nnucleus"
    assert wrap("responsibility", 5) == "responsibility"
    assert wrap("", 5) == ""


@pytest.mark.parametrize("n_experts", [2, 8, 16, 40])
def test_no_two_experts_look_alike(n_experts):
    styles = expert_styles(GatingTree.flat(n_experts))
    for looks in (
        {(*style.color, style.dashes) for style in styles},
        {(*style.color, style.hatch) for style in styles},
    ):
        assert len(looks) == n_experts


def test_classifiers_and_one_expert_are_drawn(data):
    X, y = data
    labels = np.where(y > y.mean(), "high", "low")
    classifier, single = MoEClassifier(2, **QUICK).fit(X, labels), MoERegressor(1).fit(X, y)
    weight = np.arange(160) % 3
    for name, drawn in DISPLAYS.items():
        options = {"sample_weight": weight} if drawn.takes else {}
        assert drawn.draw(single, X, y, **options).figure_ is not None
        if name not in ("predictive", "survival"):
            assert drawn.draw(classifier, X, labels, **options).figure_ is not None
        plt.close("all")


@displays(lambda drawn: drawn.takes == "Xy" and drawn.cls not in FOR_NUMBERS)
def test_classes_that_have_no_weight_are_left_out(drawn):
    X, y, _ = make_moe(90, 2, 2, expert="logistic", random_state=0)
    labels = np.where(y > 0, "high", "low").astype(object)
    labels[::9] = "unheard of"
    weight = np.where(labels == "unheard of", 0, 1)
    model = MoEClassifier(2, **QUICK).fit(X, labels, weight)
    found = fields_of(drawn.draw(model, X, labels, sample_weight=weight))
    kept = weight > 0
    expected = fields_of(drawn.draw(model, X[kept], labels[kept], sample_weight=weight[kept]))
    if drawn.cls is ResidualDisplay:  # its draws within steps are by place
        found.pop("residuals"), found.pop("expert_residuals")
    for name, value in found.items():
        assert_repeats(value, expected[name], weight[kept])
    with pytest.raises(ValueError, match="y holds class 'unheard of' at row 0"):
        drawn.draw(model, X, labels)


def test_residuals_of_weighted_classes_are_of_the_rows_that_count():
    X, y, _ = make_moe(90, 1, 2, expert="logistic", random_state=0)
    model = MoEClassifier(2, **QUICK).fit(X, y)
    weight = np.arange(90) % 3
    draw = DISPLAYS["residual"].draw
    found, full = draw(model, X, y, sample_weight=weight), draw(model, X, y)
    np.testing.assert_array_equal(found.residuals, full.residuals[weight > 0])
    np.testing.assert_array_equal(found.fitted, full.fitted[weight > 0])
