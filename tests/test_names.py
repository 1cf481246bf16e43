"""Names are data: whatever columns and classes are called, it is shown and never obeyed."""

import inspect
import re

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

from mixexp import EM, HMERegressor, MoEClassifier, MoERegressor, displays, export_text
from mixexp.text import drawn, hypertext, printable, shown

mpl.use("Agg")
QUICK = {"n_init": 1, "solver": EM(n_moves=0), "random_state": 0}
RESERVED = ["intercept", "dispersion", "log dispersion: x", "df"]
HOSTILE = {
    "dollars": ["price in $", "cost in $"],
    "mathematics": [r"$\frac$", r"\frac{1}{2}"],
    "line breaks": ["speed\nX = 0", "load\r\x0b"],
    "terminal": ["\x1b[31mred\x1b[0m", "bell\x07\x9b1m"],
    "tags": ["<script>alert(1)</script>", "a&amp;b\"'"],
    "direction": ["\u202eevil", "zero\u200bwidth"],
    "separators": ["a\u2028b", "c\u2029d"],
    "percent": ["%s {0}", "{model} %d"],
}
# All at once: drawing takes its time.
DRAWN = [[r"$\frac$" + "\n<b>\x1b[31m", "price in $ and $"], [r"$x_1$", "100 % $"]]
every_names = pytest.mark.parametrize("names", HOSTILE.values(), ids=HOSTILE)


def data(n=120):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, 2))
    return X, np.where(X[:, 0] > 0.0, 2.0, -2.0) * X[:, 1] + 0.3 * rng.standard_normal(n)


def fit(names, **options):
    X, y = data()
    frame = pd.DataFrame(X, columns=names)
    return MoERegressor(2, **QUICK, **options).fit(frame, y), frame, y


def fit_classes(names, classes):
    X, y = data()
    frame = pd.DataFrame(X, columns=names)
    labels = pd.Series(np.array(classes)[(y > 0.0).astype(int)], name=names[0])
    return MoEClassifier(2, **QUICK).fit(frame, labels), frame, labels


def numbers_in(line):
    return re.findall(r"-?\d+\.\d+", line)


@pytest.mark.parametrize("name", RESERVED)
@pytest.mark.parametrize("expert", ["gaussian", "student_t"])
def test_a_column_with_the_name_of_another_term_has_its_own_row(name, expert):
    model, frame, y = fit([name, "x1"], expert=expert)
    plain, _, _ = fit(["x0", "x1"], expert=expert)
    for text, expected in (
        (model.summary(), plain.summary()),
        (str(model.summary(frame, y)), str(plain.summary(frame.set_axis(["x0", "x1"], axis=1), y))),
    ):
        found = [numbers_in(line) for line in text.splitlines() if numbers_in(line)]
        wanted = [numbers_in(line) for line in expected.splitlines() if numbers_in(line)]
        assert found == wanted
    table = model.coef_table()
    own = table[(table.part == "expert") & (table.unit == "expert 0")]
    expected = [model.intercept_[0], *model.coef_[0]]
    np.testing.assert_allclose(own.estimate[:3], expected, rtol=1e-14)
    assert list(own.term[:3]) == ["intercept", name, "x1"]
    html = model._repr_mimebundle_(include=None, exclude=None)["text/html"]
    assert f"{model.coef_[0, 0]:.4g}" in html
    assert f"{model.intercept_[0]:.4g}" in html


@pytest.mark.parametrize("name", RESERVED)
@pytest.mark.parametrize("part", ["expert", "gate"])
def test_slopes_are_drawn_whatever_the_columns_are_called(name, part):
    model, frame, y = fit([name, "x1"])
    for table in (None, model.coef_table(frame, y)):
        display = displays.CoefficientDisplay.from_estimator(
            model, part=part, scale="unit", table=table if part == "expert" else None
        )
        slopes = model.coef_ if part == "expert" else model.gate_coef_
        np.testing.assert_allclose(display.estimates[0], slopes)
        mpl.pyplot.close(display.figure_)


def test_an_ambiguous_name_is_no_guess():
    model, frame, y = fit(["intercept", "x1"])
    found = model.inference(frame, y)
    with pytest.raises(ValueError, match="2 coefficients, rows"):
        found.contrast({("expert 0", "intercept"): 1.0})
    with pytest.raises(ValueError, match="2 coefficients, rows"):
        found.equality_test("intercept")
    assert found.contrast({("expert 0", "x1"): 1.0}).estimate == pytest.approx(model.coef_[0, 1])


def assert_on_lines_of_its_own(text, names):
    """Check that names are there, and that nothing in them breaks a line or moves a cursor."""
    for line in text.splitlines():
        assert line.isprintable(), line
    for name in names:
        assert printable(name) in text


@every_names
def test_names_are_shown_in_text(names):
    model, frame, y = fit(names, expert_features={"dispersion": [0]})
    for text in (model.summary(), str(model.summary(frame, y)), export_text(model)):
        assert_on_lines_of_its_own(text, names)
    assert list(model.coef_table().term[1:3]) == names  # data stay data
    classifier, frame, labels = fit_classes(names, names)
    texts = classifier.summary(), str(classifier.summary(frame, labels)), export_text(classifier)
    for text in texts:
        assert_on_lines_of_its_own(text, names)
    n_lines = len(export_text(fit(["a", "b"])[0]).splitlines())
    assert len(export_text(fit(names)[0]).splitlines()) == n_lines


@every_names
def test_names_are_shown_in_html(names):
    model, frame, y = fit(names)
    for html in (
        model._repr_mimebundle_(include=None, exclude=None)["text/html"].split("mixexp-fit")[-1],
        model.summary(frame, y)._repr_html_(),
    ):
        for name in names:
            assert hypertext(name) in html
        assert "<script>" not in html
        assert "\x1b" not in html


NOT_OF_FITS = ("SelectionDisplay", "RegularizationPathDisplay")
DISPLAYS = [name for name in displays.__all__ if name not in NOT_OF_FITS]


def texts_of(figure):
    return [text for text in figure.findobj(mpl.text.Text) if text.get_text()]


def assert_drawn_as_written(figure):
    figure.canvas.draw()
    for text in texts_of(figure):
        _, is_math = text._preprocess_math(text.get_text())
        # Ticks of logarithmic axes are matplotlib's own.
        assert is_math is False or "mathdefault" in text.get_text(), text.get_text()


@pytest.mark.parametrize("names", DRAWN, ids=["mathematics", "money"])
@pytest.mark.parametrize("name", DISPLAYS)
def test_names_are_drawn_as_they_are_written(name, names):
    model, frame, y = fit(names)
    make = getattr(displays, name).from_estimator
    y = pd.Series(y, name=names[1])
    wanted = {"estimator": model, "X": frame, "y": y}
    arguments = inspect.signature(make).parameters
    display = make(**{key: value for key, value in wanted.items() if key in arguments})
    assert_drawn_as_written(display.figure_)
    mpl.pyplot.close(display.figure_)


@pytest.mark.parametrize("names", DRAWN, ids=["mathematics", "money"])
def test_names_of_pairs_are_drawn_as_they_are_written(names):
    model, frame, y = fit(names)
    display = displays.ResponsibilityMapDisplay.from_estimator(
        model, frame, y, pairs=True, grid_resolution=5
    )
    assert_drawn_as_written(display.figure_)
    mpl.pyplot.close(display.figure_)


@pytest.mark.parametrize("names", DRAWN[:1], ids=["mathematics"])
@pytest.mark.parametrize("name", ["ExpertFitDisplay", "CoefficientDisplay", "TreeDisplay"])
def test_classes_are_drawn_as_they_are_written(name, names):
    model, frame, labels = fit_classes(names, [*names])
    make = getattr(displays, name).from_estimator
    given = () if name == "CoefficientDisplay" else (frame, labels)
    display = make(model, *given)
    assert_drawn_as_written(display.figure_)
    mpl.pyplot.close(display.figure_)


def test_helpers_say_what_there_is():
    assert printable("plain \N{MINUS SIGN} text") == "plain \N{MINUS SIGN} text"
    assert printable("a\n\x1b") == r"a\n\x1b"
    assert drawn("$\n") == r"\$\n"
    assert hypertext("<\n>") == r"&lt;\n&gt;"
    assert shown("a\nb") == r"'a\nb'"
    assert len(shown(list(range(10**4)))) <= 120
    assert shown(10**5000).startswith("an object of type int")


def test_a_tree_has_names_in_its_conditions():
    X, y = data()
    frame = pd.DataFrame(X, columns=HOSTILE["terminal"])
    text = export_text(HMERegressor((2,), **QUICK).fit(frame, y))
    assert_on_lines_of_its_own(text, HOSTILE["terminal"])
