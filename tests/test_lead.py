"""What a summary leads with: right shares, means and differences, before all tables."""

import numpy as np
import pandas as pd
import pytest
from fitted import ESTIMATORS, data_for
from sklearn.base import clone

from mixexp import MoERegressor
from mixexp.estimators._lead import lead

every_estimator = pytest.mark.parametrize("kind", ESTIMATORS)

pytestmark = [
    pytest.mark.filterwarnings("ignore::mixexp.exceptions.InferenceWarning"),
    pytest.mark.filterwarnings("ignore::mixexp.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::mixexp.exceptions.DegenerateExpertWarning"),
]


@pytest.fixture(scope="module")
def fits():
    found = {}
    for kind, model in ESTIMATORS.items():
        data = data_for(model, np.random.default_rng(4))
        found[kind] = clone(model).set_params(n_init=1).fit(data.X, data.y), data.X, data.y
    return found


def sections(model):
    return {section.title: section for section in lead(model, model._names())}


@every_estimator
def test_shares_are_mean_gate_probabilities(kind, fits):
    model, X, _ = fits[kind]
    expected = model.gate_proba(X).mean(axis=0)
    np.testing.assert_allclose(model.diagnostics_.importance, expected, rtol=1e-9)
    cells = [row[1] for row in sections(model)["At a glance"].rows]
    assert cells == [f"{100.0 * share:.1f} %" for share in expected]


@every_estimator
def test_means_are_those_at_the_average_of_features(kind, fits):
    model, X, _ = fits[kind]
    found = model.predict_experts(X.mean(axis=0)[None, :])[0]
    cells = [row[2:] for row in sections(model)["At a glance"].rows]
    assert cells == [[f"{value:.4g}" for value in np.atleast_1d(row)] for row in found]


@every_estimator
def test_differences_are_ranges_of_slopes_times_spread(kind, fits):
    model, X, _ = fits[kind]
    rows = sections(model)["What tells experts apart"].rows
    of_gates = [row for row in rows if row[0].startswith("gate")]
    if kind == "constant_gate":
        assert not of_gates
        return
    tree, sizes = model.tree_, []
    for node in tree.inner_nodes:
        edges = tree.edges(int(node))
        sizes += list(np.ptp(model.gate_coef_[edges] * X.std(axis=0), axis=0))
    largest = sorted((size for size in sizes if size > 1e-9), reverse=True)[:3]
    assert [row[1] for row in of_gates] == [f"{size:.3g}" for size in largest]
    slopes = model.coef_ * X.std(axis=0)
    ranges = np.sort(np.ptp(slopes, axis=0).ravel())[::-1][:3]
    assert [row[1] for row in rows if row not in of_gates] == [f"{size:.3g}" for size in ranges]


@every_estimator
def test_summaries_lead_with_it_and_rows_have_their_own_shares(kind, fits):
    model, X, y = fits[kind]
    for text in (model.summary(), model.summary(X, y)):
        lines = str(text).splitlines()
        assert lines[2].startswith("At a glance")
        assert str(text).index("Converged") > str(text).index("At a glance")
        assert text._repr_html_().index("At a glance") < text._repr_html_().index("Converged")
    part = model.inference(X[:100], y[:100]) if kind == "moe_regressor" else None
    if part is not None:
        expected = model.gate_proba(X[:100])[:, 0].mean()
        assert part.lead[0].rows[0][1] == f"{100.0 * expected:.1f} %"


def test_experts_without_slopes_are_not_compared_and_names_are_printable():
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"dose\n": rng.normal(size=120), "age": rng.normal(size=120)})
    y = np.where(rng.random(120) < 0.3, 0.0, rng.poisson(np.exp(0.5 + 0.4 * X["age"])))
    model = MoERegressor(2, expert=["point_mass", "poisson"], n_init=1, random_state=0)
    model.fit(X, y).rename_experts({0: "never"})
    found = sections(model)
    assert "mean at average x" in found["At a glance"].columns
    assert all(row[0].startswith("gate") for row in found["What tells experts apart"].rows)
    assert "gate root: dose\n" not in model.summary()
    assert "never" in model.summary().splitlines()[4]
