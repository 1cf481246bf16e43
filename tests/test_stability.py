"""Stability selection: which columns are in over bootstrap resamples."""

import numpy as np
import pytest
from sklearn.base import clone

from mixexp import EM, MoERegressor
from mixexp.exceptions import DegenerateExpertWarning
from mixexp.selection import stability_selection

QUICK = {"alpha": 0.0, "gate_alpha": 0.0, "n_init": 2, "random_state": 0}


def _rows(n=200):
    rng = np.random.default_rng(1)
    X = rng.normal(size=(n, 4))
    is_first = X[:, 0] > 0.0
    return X, np.where(is_first, 2.0 * X[:, 1], -2.0 * X[:, 2]) + 0.3 * rng.normal(size=n)


X, Y = _rows()


def test_columns_that_matter_are_always_in():
    model = MoERegressor(2, l1=40.0, gate_l1=8.0, **QUICK)
    table = stability_selection(model, X, Y, n_resamples=12, random_state=0)
    assert list(table.columns) == ["part", "unit", "term", "estimate", "share", "sign"]
    assert len(table) == 2 * 4 + 2 * 4
    experts = table[table["part"] == "expert"].pivot(index="unit", columns="term", values="share")
    strongest = np.sort(experts[["x1", "x2"]].max(axis=1))
    np.testing.assert_array_equal(strongest, [1.0, 1.0])
    assert experts[["x0", "x3"]].to_numpy().mean() < 0.6
    gates = table[table["part"] == "gate"].set_index("term")
    assert np.all(gates.loc["x0", "share"] == 1.0)
    np.testing.assert_array_equal(np.abs(gates.loc["x0", "sign"]), 1.0)
    again = stability_selection(model, X, Y, n_resamples=12, random_state=0)
    assert again.equals(table)


def test_only_what_has_a_penalty_is_listed():
    model = MoERegressor(2, gate_l1=8.0, **QUICK)
    table = stability_selection(model, X, Y, n_resamples=2, random_state=0)
    assert set(table["part"]) == {"gate"}


def test_without_a_penalty_there_is_nothing_to_select():
    with pytest.raises(ValueError, match="l1 or a gate_l1 above zero"):
        stability_selection(MoERegressor(1), X, Y, n_resamples=2)


def test_a_fitted_estimator_is_a_start_beside_its_own():
    """One start of labels at random may end lower than ten, of which the fit is the best."""
    strengths = {"l1": 40.0, "gate_l1": 8.0, "alpha": 0.0, "gate_alpha": 0.0}
    fitted = MoERegressor(2, n_init=10, random_state=0, **strengths).fit(X, Y)
    few = {"init": "random", "n_init": 1, "random_state": 1, "solver": EM(n_moves=0)}
    with pytest.warns(DegenerateExpertWarning):
        alone = clone(fitted).set_params(**few).fit(X, Y)
    assert alone.penalized_log_likelihood_ < fitted.penalized_log_likelihood_ - 1.0
    table = stability_selection(fitted.set_params(**few), X, Y, n_resamples=2, random_state=0)
    slopes = table[table["part"] == "expert"]["estimate"].to_numpy().reshape(2, 4)
    np.testing.assert_allclose(slopes, fitted.coef_, atol=1e-5)
