"""Tables as frames of stable columns, in broom's names, and as LaTeX, Markdown and HTML."""

import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from fitted import ESTIMATORS, data_for
from sklearn.base import clone

from mixexp import MoERegressor, from_formula

TEXT, FLOAT = ("part", "unit", "term", "note"), ("estimate", "std_error", "z", "p_value")
BROOM = ["component", "group", "term", "estimate", "std.error", "statistic", "p.value"]
HARD = "a|b_1 & <i>50%</i> $x$ \\ ~^#{}"

every_estimator = pytest.mark.parametrize("kind", ESTIMATORS)


@pytest.fixture(scope="module")
def fits():
    """Return fitted estimators of every kind with their rows."""
    found = {}
    for kind, model in ESTIMATORS.items():
        data = data_for(model, np.random.default_rng(4))
        X = pd.DataFrame(data.X, columns=[HARD, "dose"])
        found[kind] = clone(model).fit(X, data.y), X, data.y
    return found


pytestmark = [
    pytest.mark.filterwarnings("ignore::mixexp.exceptions.InferenceWarning"),
    pytest.mark.filterwarnings("ignore::mixexp.exceptions.RankDeficientWarning"),
    pytest.mark.filterwarnings("ignore::mixexp.exceptions.DegenerateExpertWarning"),
]


def assert_types(frame, floats):
    for name in frame.columns:
        is_float = name in floats
        assert (frame[name].dtype == np.float64) == is_float, name
        if not is_float:
            assert all(isinstance(value, str) for value in frame[name]), name


@every_estimator
def test_frames_have_stable_columns_and_types(kind, fits):
    model, X, y = fits[kind]
    bare, full = model.coef_table(), model.coef_table(X, y)
    assert list(bare) == [*TEXT[:3], "estimate"]
    assert list(full) == [*TEXT[:3], *FLOAT, "lower", "upper", "note"]
    assert_types(bare, ("estimate",))
    assert_types(full, (*FLOAT, "lower", "upper"))


@every_estimator
def test_tidy_and_glance_have_the_names_of_broom(kind, fits):
    model, X, y = fits[kind]
    full, bare = model.tidy(X, y, conf_level=0.9), model.tidy()
    for frame in (full, bare):
        assert list(frame) == [*BROOM, "conf.low", "conf.high"]
        assert_types(frame, [*BROOM[3:], "conf.low", "conf.high"])
    table = model.coef_table(X, y, level=0.9)
    for name, ours in {"std_error": "std.error", "z": "statistic", "upper": "conf.high"}.items():
        np.testing.assert_array_equal(full[ours], table[name])
    np.testing.assert_allclose(bare["estimate"], full["estimate"], rtol=1e-12)
    assert bare["std.error"].isna().all()
    row = model.glance(X, y)
    assert len(row) == 1
    criteria = model.criteria(X, y)
    assert row["logLik"][0] == criteria.log_likelihood
    assert (row["AIC"][0], row["BIC"][0]) == (criteria.aic, criteria.bic)
    assert (row["df"][0], row["nobs"][0]) == (model.n_parameters_, len(y))
    assert [str(dtype) for dtype in row.dtypes] == [
        "int64",
        *["float64"] * 4,
        "int64",
        "float64",
        "int64",
        "bool",
    ]


class Cells(HTMLParser):
    """Collects the text of cells, and refuses tags that are no table's."""

    def __init__(self):
        super().__init__()
        self.rows = []

    def handle_starttag(self, tag, attrs):
        assert tag in ("table", "thead", "tbody", "tr", "th", "td")
        if tag == "tr":
            self.rows.append([])
        if tag in ("th", "td"):
            self.rows[-1].append("")

    def handle_data(self, data):
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data.strip("\n")


@every_estimator
def test_texts_hold_the_cells_of_the_frame_and_escape_names(kind, fits):
    model, X, y = fits[kind]
    found = model.inference(X, y)
    table = found.coef_table()
    parser = Cells()
    parser.feed(found.coef_table(format="html"))
    assert len(parser.rows) == len(table) + 1
    assert [row[2] for row in parser.rows[1:]] == table["term"].tolist()
    assert parser.rows[1][3] == f"{table['estimate'][0]:.4g}"

    markdown = found.coef_table(format="markdown").splitlines()
    assert len(markdown) == len(table) + 2
    cells = [re.split(r"(?<!\\)\|", line)[1:-1] for line in markdown]
    assert len({len(row) for row in cells}) == 1
    terms = [re.sub(r"\\(.)", r"\1", row[2].strip()) for row in cells[2:]]
    assert terms == table["term"].tolist()

    latex = found.coef_table(format="latex").splitlines()
    body = latex[4:-2]
    assert len(body) == len(table)
    n_columns = len(re.search(r"\{([lr]+)\}$", latex[0])[1])
    assert all(len(re.findall(r"(?<!\\)&", line)) == n_columns - 1 for line in body)
    of_hard = next(line for line in body if "50" in line)
    expected = r"a|b\_1 \& \textless{}i\textgreater{}50\%\textless{}/i\textgreater{} \$x\$ "
    expected += r"\textbackslash{} \textasciitilde{}\textasciicircum{}\#\{\}"
    assert f" {expected} &" in of_hard


def test_every_table_takes_the_formats(fits):
    model, X, y = fits["moe_regressor"]
    bare = model.coef_table(format="markdown")
    assert bare.startswith("| Part | Unit | Term | Estimate |\n| :--- | :--- | :--- | ---: |\n")
    with_rows = model.coef_table(X, y, format="latex", level=0.9)
    assert with_rows == model.inference(X, y).coef_table(0.9, "latex")
    resampled = model.bootstrap(X, y, n_resamples=2, random_state=0)
    assert resampled.coef_table(format="html").startswith("<table>")
    for call in (model.coef_table, model.inference(X, y).coef_table, resampled.coef_table):
        with pytest.raises(ValueError, match=r"format must be None or one of \['latex'"):
            call(format="word")
    with pytest.raises(ValueError, match="pass X and y"):
        model.tidy(y=y)


def test_tables_of_a_formula_take_its_offset():
    rng = np.random.default_rng(2)
    data = pd.DataFrame({"x": rng.normal(size=200), "time": rng.uniform(0.5, 2.0, 200)})
    data["n"] = rng.poisson(data["time"] * np.exp(0.5 * data["x"]))
    poisson = MoERegressor(1, expert="poisson")
    model = from_formula("n ~ x", data, poisson, exposure="time")
    expected = model.inference(data).coef_table()
    pd.testing.assert_frame_equal(model.coef_table(data), expected)
    np.testing.assert_array_equal(model.tidy(data)["estimate"], expected["estimate"])
    assert model.glance(data)["logLik"][0] == pytest.approx(model.log_likelihood_)
    assert str(model.summary(data)) == str(model.inference(data).summary())
