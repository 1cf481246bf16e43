"""Models by formula: terms keep their names everywhere, frames are all that calls need."""

import pickle
import sys

import numpy as np
import pandas as pd
import polars as pl
import pytest
from drawn import DISPLAYS, DRAWING, displays

from mixexp import (
    FormulaModel,
    HMERegressor,
    MoEClassifier,
    MoERegressor,
    export_text,
    from_formula,
)
from mixexp.exceptions import FormulaError

pytestmark = DRAWING
N_ROWS = 300
FORMULA = "y ~ x1 * x2 + C(region) | age + bs(income, df=4)"
EXPERTS = ["x1", "x2", "C(region)[T.south]", "C(region)[T.west]", "x1:x2"]
GATES = ["age", *(f"bs(income, df=4)[{k}]" for k in (1, 2, 3, 4))]
QUICK = {"n_init": 2, "random_state": 0}


def make_data():
    rng = np.random.default_rng(5)
    data = pd.DataFrame(rng.normal(size=(N_ROWS, 3)), columns=["x1", "x2", "age"])
    data["region"] = rng.choice(["north", "south", "west"], N_ROWS)
    data["income"] = rng.uniform(1.0, 9.0, N_ROWS)
    data["exposure"] = rng.uniform(0.5, 2.0, N_ROWS)
    data["weight"] = rng.integers(1, 4, N_ROWS)
    sign = np.where(data["age"] > 0.0, 2.0, -1.0)
    noise = 0.3 * rng.normal(size=N_ROWS)
    data["y"] = sign * data["x1"] + (data["region"] == "west") + noise
    data["n"] = rng.poisson(data["exposure"] * np.exp(0.4 * sign))
    data["kind"] = np.where(data["y"] > 0.3, "high", "low")
    return data


DATA = make_data()


@pytest.fixture(scope="module")
def model():
    return from_formula(FORMULA, DATA, MoERegressor(2, **QUICK))


def by_hand(data):
    """Return the columns of the experts, and those of the gates."""
    dummies = pd.DataFrame(
        {f"C(region)[T.{name}]": data["region"] == name for name in ("south", "west")}
    )
    X = pd.concat([data[["x1", "x2"]], dummies], axis=1).assign(**{"x1:x2": data.x1 * data.x2})
    return X.astype(float)


def test_it_is_the_fit_to_columns_made_by_hand(model):
    X = pd.concat([by_hand(DATA), model.transform(DATA)[GATES]], axis=1)
    alone = MoERegressor(2, expert_features=EXPERTS, gate_features=GATES, **QUICK)
    alone.fit(X, DATA["y"])
    assert model.feature_names_in_.tolist() == [*EXPERTS, *GATES]
    np.testing.assert_allclose(model.coef_, alone.coef_, rtol=1e-8)
    np.testing.assert_allclose(model.predict(DATA), alone.predict(X), rtol=1e-8)
    np.testing.assert_allclose(model.log_density(DATA), alone.log_density(X, DATA["y"]), rtol=1e-8)


def test_few_rows_of_another_frame_have_the_same_columns(model):
    rows = DATA.iloc[[7, 3]].drop(columns=["y", "n", "kind"]).assign(extra=1.0)
    np.testing.assert_array_equal(model.predict(rows), model.predict(DATA)[[7, 3]])
    np.testing.assert_array_equal(model.gate_proba(X=rows), model.gate_proba(DATA)[[7, 3]])
    np.testing.assert_array_equal(
        model.predict(pl.DataFrame(rows.to_dict("list"))), model.predict(rows)
    )
    np.testing.assert_array_equal(model.predict(rows.to_dict("list")), model.predict(rows))
    interval = model.predict_interval(rows, 0.8)
    np.testing.assert_allclose(model.predict_quantile(rows, [0.1, 0.9]), interval, rtol=1e-12)


def test_terms_keep_their_names_in_tables_tests_and_texts(model):
    tables = [model.coef_table(), model.coef_table(DATA), model.inference(DATA).coef_table()]
    for table in tables:
        of_experts = table[table["unit"] == "expert 0"]["term"].tolist()
        assert of_experts == ["intercept", *EXPERTS, "dispersion"]
        of_gates = table[table["unit"] == "root -> expert 1"]["term"].tolist()
        assert of_gates == ["intercept", *GATES]
    assert model.inference(DATA).equality_test("x1:x2").df == 1
    assert "C(region)[T.west]" in str(model.summary(DATA))
    assert "C(region)[T.west]" in export_text(model, n_terms=9)
    effects = model.inference(DATA).marginal_effects(features=["age"])
    assert set(effects["feature"]) == {"age"}


@pytest.fixture(scope="module")
def beyond():
    """Return a model that goes on beyond the data, as axes of maps do."""
    formula = FORMULA.replace("df=4", "df=4, extrapolation='clip'")
    return from_formula(formula, DATA, MoERegressor(2, **QUICK))


@displays()
def test_displays_take_the_frame(beyond, drawn):
    display = drawn.draw(beyond, DATA, DATA["y"])
    if isinstance(display, DISPLAYS["coefficient"].cls):
        assert set(display.terms) - {"intercept"} <= set(beyond.feature_names_in_)


def test_y_is_made_from_the_frame_where_it_is_needed(model):
    assert model.score(DATA) == model.estimator_.score(model.transform(DATA), DATA["y"])
    by_gate = model.gate_proba(DATA).argmax(axis=1)
    np.testing.assert_array_equal(model.predict_expert(DATA), by_gate)
    given = model.responsibilities(DATA, DATA["y"])
    np.testing.assert_array_equal(model.responsibilities(DATA), given)
    np.testing.assert_array_equal(model.responsibilities(DATA, y=DATA["y"]), given)
    assert model.aic(DATA) == model.estimator_.aic(model.transform(DATA), DATA["y"])


def test_it_pickles_and_renames(model):
    back = pickle.loads(pickle.dumps(model))
    assert isinstance(back, FormulaModel)
    np.testing.assert_array_equal(back.predict(DATA), model.predict(DATA))
    assert back.rename_experts({0: "low"}) is back
    assert back.expert_names_ == ["low", "expert 1"]
    assert "'expert_names_'" in repr(dir(back))
    assert repr(back).startswith("FormulaModel('y ~ x1")
    assert not hasattr(back, "fit")


def test_row_arguments_go_by_name_or_expression():
    poisson = MoERegressor(2, expert="poisson", **QUICK)
    formula = "n ~ x1 | age"
    by_name = from_formula(formula, DATA, poisson, exposure="exposure", sample_weight="weight")
    by_expression = from_formula(
        formula, DATA, poisson, offset="log(exposure)", sample_weight="weight"
    )
    by_value = from_formula(
        formula, DATA, poisson, exposure=DATA["exposure"], sample_weight=DATA["weight"]
    )
    np.testing.assert_allclose(by_expression.coef_, by_name.coef_, rtol=1e-10)
    np.testing.assert_array_equal(by_value.coef_, by_name.coef_)
    rows = DATA.head(5)
    expected = by_value.predict(rows, exposure=rows["exposure"])
    np.testing.assert_array_equal(by_name.predict(rows), expected)
    np.testing.assert_allclose(by_expression.predict(rows), expected)
    doubled = by_name.predict(rows, exposure=2.0 * rows["exposure"])
    np.testing.assert_allclose(doubled, 2.0 * expected)
    with pytest.raises(FormulaError, match=r"exposure was given .* as values"):
        by_value.predict(rows)
    with pytest.raises(FormulaError, match="exposure"):
        by_name.predict(rows.drop(columns="exposure"))
    criteria = by_name.criteria(DATA)
    assert criteria.total_weight == DATA["weight"].sum()


def test_other_left_sides_and_parts():
    classes = from_formula("kind ~ x1 | age", DATA, MoEClassifier(2, **QUICK))
    assert classes.classes_.tolist() == ["high", "low"]
    assert classes.score(DATA) > 0.8
    logs = from_formula("log(exposure) ~ x1 + x2 | 1", DATA, MoERegressor(1))
    direct = MoERegressor(1, gate_features=[]).fit(DATA[["x1", "x2"]], np.log(DATA["exposure"]))
    np.testing.assert_allclose(logs.coef_, direct.coef_)
    both = from_formula("y ~ x1 + age", DATA, MoERegressor(2, **QUICK))
    assert both.gate_features_ == both.expert_features_ == [0, 1]
    spread = from_formula("y ~ x1 | age | x2", DATA, HMERegressor((2,), **QUICK))
    assert spread.dispersion_coef_.shape == (2, 1)
    quoted = from_formula(
        "`my y` ~ `a b`", DATA.rename(columns={"y": "my y", "x1": "a b"}), MoERegressor(1)
    )
    assert quoted.feature_names_in_.tolist() == ["a b"]


@pytest.mark.parametrize(
    ("formula", "words"),
    [
        (3, "left and a right side"),
        ("x1 | age", "left and a right side"),
        ("~ x1", "left and a right side"),
        ("y ~ x1 +", "is not one"),
        ("y ~ (x1", "is not one"),
        ("y ~ x1 + nope", "Term 'nope' cannot .* `nope` is not present .* Columns are .'x1'"),
        ("y ~ x1 | bs(nope, df=4)", "Term 'bs.nope, df=4.' cannot .*'nope' is not"),
        ("y ~ x1 + f(1 +", "is not one"),
        ("y ~ foo(x1)", "Term 'foo.x1.' cannot be made of the data: NameError: name 'foo'"),
        ("y ~ 0 + x1", "experts leaves out the intercept"),
        ("y ~ x1 | age - 1", "gates leaves out the intercept"),
        ("y ~ x1 | age | x2 | x1", "4 parts"),
        ("nope ~ x1", "left side of the formula 'nope"),
        ("region:kind ~ x1", "left side"),
    ],
)
def test_formulas_are_refused_with_term_and_column(formula, words):
    with pytest.raises(FormulaError, match=words):
        from_formula(formula, DATA, MoERegressor(1))


def test_data_are_refused_with_term_and_column(model):
    with pytest.raises(
        FormulaError, match=r"Column 'region' \(term 'C\(region\)'\) .*: \['east'\]; k"
    ):
        model.predict(DATA.head(3).assign(region=["south", "east", "west"]))
    with pytest.raises(FormulaError, match=r"Column 'age' \(term 'age'\) is not in the data"):
        model.predict(DATA.drop(columns="age"))
    holes = DATA.assign(income=DATA["income"].where(DATA.index != 4))
    words = (
        r"Column 'income' \(term 'bs\(income, df=4\)'\) has 1 missing values, the first at row 4"
    )
    for call in (model.predict, lambda data: from_formula(FORMULA, data, MoERegressor(1))):
        with pytest.raises(FormulaError, match=words):
            call(holes)
    with pytest.raises(FormulaError, match=r"bs\(income, df=4\)"):
        model.predict(DATA.assign(income=99.0))
    with pytest.raises(FormulaError, match="left side of the formula 'y"):
        model.score(DATA.drop(columns="y"))
    with pytest.raises(ValueError, match=r"infinity in column 'log\(w\)'"):
        from_formula("y ~ log(w)", DATA.assign(w=0.0), MoERegressor(1))


def test_a_call_that_is_refused_changes_nothing(model):
    expected = model.predict(DATA)
    with pytest.raises(FormulaError, match="x1"):
        model.predict(DATA.assign(x1="a"))
    with pytest.raises(FormulaError, match=r"Column 'region' .*: \[1\]; known are \['north'"):
        model.predict(DATA.assign(region=1))
    np.testing.assert_array_equal(model.predict(DATA), expected)


def test_other_arguments_are_refused_by_name(monkeypatch):
    with pytest.raises(TypeError, match="data must be a frame"):
        from_formula("y ~ x1", DATA.to_numpy(), MoERegressor(1))
    with pytest.raises(TypeError, match="estimator must be"):
        from_formula("y ~ x1", DATA, MoERegressor)
    with pytest.raises(ValueError, match="gate_features"):
        from_formula("y ~ x1", DATA, MoERegressor(1, gate_features=["x1"]))
    with pytest.raises(TypeError, match="no argument 'weights'"):
        from_formula("y ~ x1", DATA, MoERegressor(1), weights="weight")
    with pytest.raises(FormulaError, match="sample_weight 'nope'"):
        from_formula("y ~ x1", DATA, MoERegressor(1), sample_weight="nope")
    with pytest.raises(FormulaError, match="no dispersions"):
        from_formula("kind ~ x1 | 1 | x2", DATA, MoEClassifier(2))
    monkeypatch.setitem(sys.modules, "formulaic", None)
    with pytest.raises(ImportError, match=r"mixexp\[formula\]"):
        from_formula("y ~ x1", DATA, MoERegressor(1))
