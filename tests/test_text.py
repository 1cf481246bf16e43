"""A fit as text and as HTML: all of it is there, in the right place, and escaped."""

from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from sklearn import config_context
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mixexp import HMERegressor, MoEClassifier, MoERegressor, export_text
from mixexp.datasets import make_hme, make_moe
from mixexp.exceptions import ConvergenceWarning, DegenerateExpertWarning
from mixexp.text import shown

pytestmark = [
    pytest.mark.filterwarnings(f"ignore::{category.__module__}.{category.__name__}")
    for category in (ConvergenceWarning, DegenerateExpertWarning)
]
QUICK = {"n_init": 2, "random_state": 0, "max_iter": 60}
MINUS = "\N{MINUS SIGN}"


@pytest.fixture(scope="module")
def frame():
    X, y, _ = make_hme(150, 2, [[1, 1], 1], random_state=0)
    return pd.DataFrame(X, columns=["age", "<b>dose</b>"]), y


@pytest.fixture(scope="module")
def tree(frame):
    return HMERegressor([[1, 1], 1], **QUICK).fit(*frame)


# Text.


def test_text_has_a_line_per_node_indented_by_its_level(tree):
    lines = export_text(tree).splitlines()
    heads = [line for line in lines if "|-- " in line]
    assert lines[0] == "root"
    assert [head.split("|-- ")[1].split(":")[0] for head in heads] == [
        "node 0",
        "expert 0 (gaussian)",
        "expert 1 (gaussian)",
        "expert 2 (gaussian)",
    ]
    assert [head.index("|-- ") for head in heads] == [0, 4, 4, 0]


def test_text_has_all_coefficients(tree):
    text = export_text(tree).replace(MINUS, "-")
    equations = [line.split("y = ")[1] for line in text.splitlines() if "y = " in line]
    names = list(tree.feature_names_in_)
    for k, equation in enumerate(equations):
        words = equation.split()
        assert words[0] == f"{tree.intercept_[k]:.3g}"
        for name, slope in zip(names, tree.coef_[k], strict=True):
            at = words.index(name)
            assert words[at - 2 : at] == ["+" if slope > 0.0 else "-", f"{abs(slope):.3g}"]
        assert words[-1] == f"{np.sqrt(tree.dispersion_[k]):.3g}"


def test_text_cuts_equations_and_takes_names(tree):
    text = export_text(tree, feature_names=["a", "b"], n_terms=1)
    assert "+ 1 more" in text
    assert "age" not in text
    assert " a" in text or " b" in text


def test_text_of_a_flat_mixture_a_pipeline_and_a_classifier(frame):
    X, y = frame
    flat = MoERegressor(3, **QUICK).fit(X, y)
    assert export_text(flat).count("|-- expert") == 3
    pipeline = make_pipeline(StandardScaler(), flat).fit(X, y)
    assert export_text(pipeline) == export_text(pipeline[-1])
    classifier = MoEClassifier(2, **QUICK).fit(X, np.where(y > 0.0, "high", "low"))
    assert export_text(classifier).count("log odds(low) = ") == 2


def test_text_of_experts_without_coefficients():
    X, y, _ = make_moe(200, 1, 2, expert=["point_mass", "poisson"], random_state=0)
    model = MoERegressor(2, expert=["point_mass", "poisson"], gate_features=[], **QUICK).fit(X, y)
    text = export_text(model)
    assert "y = 0\n" in text
    assert "log y = " in text
    # A constant gate does not depend on anything.
    assert "|-- expert 0 (point_mass)\n" in text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_terms": 0}, "'n_terms' parameter must be an int of at least 1"),
        ({"feature_names": ["a"]}, "feature_names must have one name for each of the 2 features"),
    ],
)
def test_bad_options_of_text_are_named(tree, options, message):
    with pytest.raises(ValueError, match=message):
        export_text(tree, **options)


def test_text_needs_a_fit():
    with pytest.raises(NotFittedError):
        export_text(MoERegressor())
    with pytest.raises(TypeError, match=r"must be a mixture of experts.*got LinearRegression"):
        export_text(LinearRegression())


# HTML.


class Reader(HTMLParser):
    """Collects tables, and refuses tags that are not closed in their order."""

    def __init__(self):
        super().__init__()
        self.open, self.rows, self.text = [], [], ""

    def handle_starttag(self, tag, attrs):
        if tag not in ("link", "input", "br", "meta"):
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th") and self.rows:
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data
        if self.open and self.open[-1] in ("td", "th") and self.rows[-1]:
            self.rows[-1][-1] += data


def read(html):
    """Return what a browser would show of the fit's own part of the page."""
    at = html.index('<div class="mixexp-fit">')
    reader = Reader()
    reader.feed(html[at:])
    assert reader.open == []
    return reader


def test_html_follows_the_diagram_of_scikit_learn(tree):
    html = tree._repr_html_()
    assert html.index("sk-container") < html.index("mixexp-fit")
    assert tree._repr_mimebundle_()["text/html"].count("mixexp-fit") == html.count("mixexp-fit")
    assert tree._repr_mimebundle_()["text/plain"] == repr(tree)


def test_html_holds_every_coefficient(tree):
    rows = {row[0]: row[1:] for row in read(tree._repr_html_()).rows}
    experts = next(row for row in read(tree._repr_html_()).rows if row[1:2] == ["expert 0"])
    assert experts == ["", "expert 0", "expert 1", "expert 2"]
    assert rows["dispersion"] == [f"{value:.4g}" for value in tree.dispersion_]
    assert rows["Log-likelihood"] == [f"{tree.log_likelihood_:.4f}"]
    # Both tables have a row of slopes; the later one is that of the gates.
    assert rows["age"] == [f"{value:.4g}" for value in tree.gate_coef_[:, 0]]


def test_names_are_escaped(tree):
    html = tree._repr_html_()
    assert "<b>dose" not in html[html.index("mixexp-fit") :]
    assert "<b>dose</b>" in [row[0] for row in read(html).rows if row]


def test_html_of_an_unfitted_estimator_is_scikit_learns():
    assert "mixexp-fit" not in MoERegressor()._repr_html_()


def test_text_display_is_respected(tree):
    with config_context(display="text"):
        assert not hasattr(tree, "_repr_html_")
        assert list(tree._repr_mimebundle_()) == ["text/plain"]


def test_large_tables_are_cut_and_say_so():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 40)), rng.normal(size=60)
    reader = read(MoERegressor(13, n_init=1, random_state=0, max_iter=3).fit(X, y)._repr_html_())
    assert "12 more terms and 1 more columns" in reader.text
    assert max(len(row) for row in reader.rows) == 13


def test_html_of_classes(frame):
    X, y = frame
    labels = np.array(["<low>", "mid", "high"])[np.digitize(y, np.quantile(y, [0.3, 0.7]))]
    model = MoEClassifier(2, **QUICK).fit(X, labels)
    rows = read(model._repr_html_()).rows
    head = next(row for row in rows if row[1:2] == ["expert 0, class <low>"])
    assert len(head) == 1 + 6


def test_a_summary_says_where_experts_are_alike():
    x = np.linspace(1.0, 15.0, 15)
    y = np.where(x <= 6.0, 4.0 + 2.5 * x, 19.0 + 12.4 * (x - 6.0))
    y += np.random.default_rng(0).normal(size=15)
    alike = MoERegressor(2, random_state=0).fit(x[:, None], y)
    weak = {"alpha": 1.0, "gate_alpha": 0.01, "dispersion_prior": 1.0}
    apart = MoERegressor(2, random_state=0, **weak).fit(x[:, None], y)
    assert "experts say the same" in alike.summary()
    assert "experts say the same" in alike.summary(x[:, None], y)
    assert "experts say the same" not in apart.summary()
    np.testing.assert_allclose(np.sort(apart.coef_.ravel()), [2.5, 12.4], rtol=0.05)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.str_("low"), "'low'"),
        ([np.int64(3), np.float64(0.5), np.bool_(True)], "[3, 0.5, True]"),
        ({"alpha": np.float32(2.0)}, "{'alpha': 2.0}"),
        (np.array([1.0, 2.0]), "array([1., 2.])"),
    ],
)
def test_messages_show_values_without_numpys_types(value, expected):
    assert shown(value) == expected


def test_errors_name_classes_as_users_write_them():
    X = np.arange(6.0)[:, None]
    with pytest.raises(ValueError, match="y has only one class, 'low'; a classifier needs"):
        MoEClassifier(1).fit(X, np.full(6, "low"))
