"""Formulas with groups: new rows need no column of groups, and a history may be a frame."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import r2_score

from mixexp import MoERegressor, from_formula
from mixexp.exceptions import FormulaError


def make_visits():
    rng = np.random.default_rng(3)
    person = np.repeat(np.arange(40), 5)
    is_steep = (rng.random(40) < 0.5)[person]
    x, years = rng.normal(size=200), rng.uniform(0.5, 2.0, 200)
    rate = np.where(is_steep, np.exp(1.0 + x), np.exp(0.3 - 0.5 * x))
    data = pd.DataFrame({"person": [f"p{i}" for i in person], "x": x, "years": years})
    return data.assign(n=rng.poisson(rate * years))


DATA = make_visits()
FORMULA = "n ~ x | 1"


@pytest.fixture(scope="module")
def model():
    estimator = MoERegressor(2, expert="poisson", random_state=0)
    return from_formula(FORMULA, DATA, estimator, groups="person", exposure="years")


def test_new_rows_need_no_column_of_groups(model):
    new = DATA[["x", "years"]].head(4)
    expected = model.estimator_.predict(new[["x"]], exposure=new["years"])
    np.testing.assert_array_equal(model.predict(new), expected)
    assert model.gate_proba(new).shape == (4, 2)
    assert model.predict_expert(new).shape == (4,)


def test_groups_are_read_beside_y(model):
    resp = model.responsibilities(DATA)
    np.testing.assert_array_equal(resp[0], resp[4])  # the rows of one person
    labels = model.predict_expert(DATA, model.target(DATA))
    np.testing.assert_array_equal(labels, resp.argmax(axis=1))


def test_the_score_goes_by_the_frame_alone(model):
    expected = r2_score(DATA["n"], model.predict(DATA))
    assert model.score(DATA) == pytest.approx(expected, rel=1e-12)
    assert model.score(DATA, history=DATA) > expected + 0.1


def test_a_history_may_be_a_frame(model):
    past, new = DATA[DATA.index % 5 < 4], DATA[DATA.index % 5 == 4]
    rest = {"exposure": past["years"]}
    expected = model.estimator_.predict(
        new[["x"]],
        exposure=new["years"],
        groups=new["person"],
        history=(past[["x"]], past["n"], past["person"], rest),
    )
    np.testing.assert_array_equal(model.predict(new, history=past), expected)
    assert not np.array_equal(model.predict(new), expected)


def test_a_frame_of_the_past_needs_groups_by_name():
    estimator = MoERegressor(2, expert="poisson", random_state=0)
    unnamed = from_formula(FORMULA, DATA, estimator, groups=DATA["person"].to_numpy())
    with pytest.raises(FormulaError, match="groups to be the name of a column"):
        unnamed.predict(DATA, history=DATA)
