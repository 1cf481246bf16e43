"""Models as SQL: what databases compute is what the model predicts."""

import sqlite3

import duckdb
import numpy as np
import pandas as pd
import pytest
from portable import BUILDERS, N_ROWS, QUICK, WITHOUT_FORMULA, fit
from test_files import Own

from mixexp import MoERegressor
from mixexp.exceptions import ExportError


def in_sqlite(statement, data):
    with sqlite3.connect(":memory:") as connection:
        data.to_sql("data", connection, index=False)
        return pd.read_sql(statement, connection)


def in_duckdb(statement, data):
    with duckdb.connect() as connection:
        connection.register("data", data)
        return connection.execute(statement).df()


def has_math():
    with sqlite3.connect(":memory:") as connection:
        try:
            connection.execute("SELECT EXP(1.0), LN(1.0), SQRT(1.0)")
        except sqlite3.OperationalError:
            return False
    return True


DATABASES = [
    pytest.param(
        in_sqlite,
        id="sqlite",
        marks=pytest.mark.skipif(not has_math(), reason="SQLite without math functions"),
    ),
    pytest.param(in_duckdb, id="duckdb"),
]
in_every_database = pytest.mark.parametrize("run", DATABASES)


def as_table(case):
    names = getattr(case.model, "feature_names_in_", ["x0", "x1"])
    data = pd.DataFrame(np.asarray(case.X), columns=list(names)).assign(**case.per_row)
    return data.assign(id=np.arange(N_ROWS) + 7)


def predicted(case):
    """Return what the model says in the order of the columns of its SQL."""
    model, X, known = case.model, case.X, case.per_row
    by_expert = model.predict_experts(X, **known).reshape(N_ROWS, -1)
    is_classifier = hasattr(model, "predict_proba")
    mean = model.predict_proba(X) if is_classifier else model.predict(X, **known)
    return np.column_stack([np.arange(N_ROWS) + 7, mean, model.gate_proba(X), by_expert])


@in_every_database
@pytest.mark.parametrize("name", BUILDERS)
def test_every_fit_predicts_the_same_in_a_database(name, run):
    case = fit(name)
    columns = {argument: argument for argument in case.per_row}
    found = run(case.model.to_sql("data", keep=["id"], **columns), as_table(case))
    expected = predicted(case)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found.to_numpy(float), expected, rtol=1e-12, atol=1e-14)


@in_every_database
def test_far_from_the_data_nothing_overflows(run):
    for name in ("logistic", "multinomial", "beta_probit", "poisson", "ordinal_probit", "tree"):
        case = fit(name)
        far = case.X * np.linspace(-1e5, 1e5, N_ROWS)[:, None]
        case = case._replace(X=far)
        found = run(case.model.to_sql("data", keep=["id"]), as_table(case)).to_numpy(float)
        np.testing.assert_allclose(found, predicted(case), rtol=1e-9, atol=1e-14)


def test_results_are_named_by_experts_and_classes():
    model = fit("multinomial").model
    with sqlite3.connect(":memory:") as connection:
        connection.execute('CREATE TABLE data ("age" INTEGER, "a dose" INTEGER)')
        connection.execute("INSERT INTO data VALUES (1, 1000), (NULL, 3)")
        rows = connection.execute(model.to_sql("data"))
        names = [column[0] for column in rows.description]
        whole, missing = rows.fetchall()
    proba, gates = ["proba_low", "proba_mid", "proba_top"], ["gate_0", "gate_1"]
    by_expert = [f"proba_{k}_{c}" for k in (0, 1) for c in ("low", "mid", "top")]
    assert names == [*proba, *gates, *by_expert]
    assert sum(whole[:3]) == pytest.approx(1.0)
    assert missing[:3] == (None, None, None)


def test_names_are_quoted():
    X = np.random.default_rng(0).normal(size=(N_ROWS, 1))
    frame = pd.DataFrame({'a "b"; DROP TABLE data --': X[:, 0]})
    model = MoERegressor(1).fit(frame, X[:, 0] + np.sin(9.0 * X[:, 0]))
    found = in_sqlite(model.to_sql("data", keep=list(frame)), frame)
    np.testing.assert_allclose(found["mean"], model.predict(frame))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"table": 3}, "table must be"),
        ({"table": "data", "keep": "id"}, "keep must name"),
        ({"table": "data", "keep": ["mean"]}, "same name: .'mean'."),
        ({"table": "data", "feature_names": ["a"]}, "feature_names must have one name for each"),
        ({"table": "data", "offset": 0.5}, "offset must name"),
    ],
)
def test_arguments_are_refused_by_name(arguments, words):
    with pytest.raises(ValueError, match=words):
        fit("tree").model.to_sql(**arguments)


@pytest.mark.parametrize("name", WITHOUT_FORMULA)
def test_gates_without_a_formula_are_refused_by_name(name):
    with pytest.raises(ExportError, match=r"no linear predictors, .*Gate"):
        fit(name).model.to_sql("data")


def test_families_without_a_formula_are_refused_by_name():
    case = fit("one")
    with pytest.raises(ExportError, match="The Own family"):
        MoERegressor(1, expert=Own(), **QUICK).fit(case.X, case.y).to_sql("data")
    case = fit("weibull")
    options = {**QUICK, "expert_features": {"dispersion": ["age"]}, "max_iter": 500}
    model = MoERegressor(1, expert="weibull", **options).fit(case.X, case.y)
    with pytest.raises(ExportError, match="weibull"):
        model.to_sql("data")
