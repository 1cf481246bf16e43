"""Names of experts: in every table, test, text, display and export."""

import pickle

import numpy as np
import pandas as pd
import pytest
from drawn import DISPLAYS, DRAWING, displays
from matplotlib.text import Text
from portable import fit
from problems import simulate_classes, simulate_regimes

from mixexp import HMERegressor, MoEClassifier, MoERegressor, export_text, from_json

pytestmark = DRAWING
NAMES = ["frugal", "in $debt", "<b>rich</b>"]


@pytest.fixture(scope="module")
def named():
    """Return a fitted tree whose experts have names, and its rows."""
    data = simulate_regimes(np.random.default_rng(3), 400)
    X = pd.DataFrame(data.X, columns=["age", "dose"])
    model = HMERegressor([[1, 1], 1], n_init=4, random_state=0).fit(X, data.y)
    return model.rename_experts(dict(enumerate(NAMES))), X, data.y


def test_tables_and_tests_go_by_the_names(named):
    model, X, y = named
    found = model.inference(X, y)
    for table in (model.coef_table(), found.coef_table()):
        of_experts = table[table["part"] == "expert"]["unit"]
        assert list(dict.fromkeys(of_experts)) == NAMES
        edges = set(table[table["part"] == "gate"]["unit"])
        assert {"root -> <b>rich</b>", "node 0 -> frugal", "node 0 -> in $debt"} <= edges
    whole = found.equality_test("age")
    some = found.equality_test("age", units=NAMES)
    assert whole == some
    assert found.contrast({("frugal", "age"): 1.0, ("in $debt", "age"): -1.0}).std_error > 0.0
    with pytest.raises(ValueError, match="frugal"):
        found.equality_test("age", units=["expert 0", "expert 1"])
    summaries = [str(model.summary()), str(found.summary()), export_text(model)]
    for text in summaries:
        assert "expert 0" not in text
        assert all(name in text for name in NAMES)
    html = found.summary()._repr_html_()
    assert "&lt;b&gt;rich&lt;/b&gt;" in html
    assert "<b>rich" not in html


def test_resamples_go_by_the_names(named):
    model, X, y = named
    table = model.bootstrap(X, y, n_resamples=3, random_state=0).coef_table()
    assert list(dict.fromkeys(table[table["part"] == "expert"]["unit"])) == NAMES


@displays(lambda drawn: drawn.cls is not DISPLAYS["convergence"].cls)
def test_displays_show_the_names(drawn, named):
    model, X, y = named
    display = drawn.draw(model, X, y)
    texts = [text.get_text() for text in display.figure_.findobj(Text)]
    shown = " ".join(texts)
    assert not any(text.startswith("expert ") for text in texts)
    if drawn.cls.__name__ != "PredictiveDisplay":  # which draws the mixture alone
        assert "frugal" in shown
        assert r"in \$debt" in shown


def test_classes_have_the_names_too(rng):
    data = simulate_classes(rng, 300, 3)
    model = MoEClassifier(2, n_init=2, random_state=0, max_iter=300).fit(data.X, data.y)
    table = model.rename_experts(["young", "old"]).coef_table()
    units = list(dict.fromkeys(table[table["part"] == "expert"]["unit"]))
    assert units[0].startswith("young, ")
    assert units[-1].startswith("old, ")
    display = DISPLAYS["coefficient"].draw(model, data.X, data.y)
    assert display.units[0] == ["young", "old"]
    assert '"proba_young_0.0"' in model.to_sql("data")


def test_names_travel_and_end_with_another_fit(tmp_path):
    case = fit("tree")
    model = pickle.loads(pickle.dumps(case.model))
    assert model.expert_names_ == ["expert 0", "expert 1", "expert 2", "expert 3"]
    model.rename_experts({"expert 1": "b", 3: "d"}).rename_experts({"b": "c"})
    assert model.expert_names_ == ["expert 0", "c", "expert 2", "d"]
    model.to_json(tmp_path / "model.json")
    for back in (from_json(tmp_path / "model.json"), pickle.loads(pickle.dumps(model))):
        assert back.expert_names_ == model.expert_names_
    assert '"gate_0"' in model.to_sql("data")
    assert '"mean_c"' in model.to_sql("data")
    again = model.set_params(tree=(1,)).fit(case.X, case.y)
    assert again.expert_names_ == ["expert 0"]


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ({4: "a"}, "no expert 4 to rename"),
        ({-1: "a"}, "no expert -1"),
        ({True: "a"}, "no expert True"),
        ({"frugal": "a"}, "no expert 'frugal'"),
        ({0: "a", 1: "a"}, "'a' would be the name of 2"),
        ({0: "expert 1"}, "'expert 1' would be the name of 2"),
        ({0: "a", "expert 0": "b"}, "renamed twice"),
        ({0: ""}, "must be text"),
        ({0: "a\nb"}, "must be text"),
        ({0: 3}, "must be text"),
        ({0: "a -> b"}, "holds ' -> '"),
        ({0: "a, b"}, "holds ', '"),
        ({0: "root"}, "that of a gate"),
        ({0: "node 1"}, "that of a gate"),
        (["a", "b"], "list of 4 names"),
        ("abcd", "list of 4 names"),
        (None, "must be a mapping"),
    ],
)
def test_what_cannot_be_a_name_is_refused_and_changes_nothing(names, words):
    model = fit("tree").model
    with pytest.raises(ValueError, match=words):
        model.rename_experts(names)
    assert model.expert_names_[0] == "expert 0"


def test_before_the_fit_there_are_no_names():
    assert not hasattr(MoERegressor(), "tree_")
    with pytest.raises(AttributeError, match="not fitted"):
        MoERegressor().rename_experts({0: "a"})
