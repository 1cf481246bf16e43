"""Displays of rows that are known by intervals, by groups or by their expert."""

import numpy as np
import pytest
from drawn import DRAWING, QUICK, displays
from scipy.special import logsumexp
from sklearn.base import clone

from mixexp import HMERegressor, MoERegressor
from mixexp.displays import ResidualDisplay, SurvivalDisplay, TreeDisplay

pytestmark = DRAWING
ROWS = 120
KINDS = ["censored", "interval", "rounded", "truncated", "known", "groups"]
of_y = displays(lambda drawn: drawn.per_row and drawn.cls is not SurvivalDisplay)


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = rng.uniform(-1.0, 1.0, (ROWS, 2))
    slope = np.where(rng.random(ROWS) < 0.5, 3.0, -3.0)
    return X, slope * X[:, 0] + 0.3 * rng.standard_normal(ROWS)


def as_known(y):
    """Return y and row arguments of every kind."""
    upper = np.where(y > 1.0, np.inf, y + 0.2)
    return {
        "censored": (np.minimum(y, 1.5), {"censoring": (y > 1.5).astype(int)}),
        "interval": (np.where(y < -1.0, -np.inf, y), {"y_upper": np.where(y < -1.0, -1.0, upper)}),
        "rounded": (np.round(y), {"y_resolution": 1.0}),
        "truncated": (y, {"truncation": y.min() - 0.1}),
        "known": (y, {"known_expert": np.where(np.arange(ROWS) < 4, np.arange(ROWS) % 2, -1)}),
        "groups": (y, {"groups": np.repeat(np.arange(ROWS // 4), 4)}),
    }


@pytest.fixture(scope="module")
def fits(data):
    X, y = data
    options = {**QUICK, "gate_features": []}
    known = as_known(y)
    return {
        kind: MoERegressor(2, **options).fit(X, seen, **given)
        for kind, (seen, given) in known.items()
    }


@of_y
@pytest.mark.parametrize(
    "kind", ["censored", "interval", "rounded", "truncated", "known", "groups"]
)
def test_everything_that_is_known_of_rows_is_drawn(drawn, kind, fits, data):
    y, given = as_known(data[1])[kind]
    display = drawn.draw(fits[kind], data[0], y, **given)
    for value in vars(display).values():
        if isinstance(value, np.ndarray) and value.dtype.kind == "f":
            assert not np.isnan(value).any()


def test_residuals_of_intervals_and_windows_are_normal_under_the_truth():
    rng = np.random.default_rng(1)
    x = rng.uniform(-1.0, 1.0, 6000)
    y = 1.0 + 2.0 * x + rng.standard_normal(6000)
    seen = y > 0.0
    x, y = x[seen, None], y[seen]
    n = len(y)
    limit = rng.uniform(0.5, 4.0, n)
    kinds = {
        "censored": (np.minimum(y, limit), {"censoring": (y > limit).astype(int)}),
        "rounded": (np.floor(y) + 0.5, {"y_resolution": 1.0}),
        "exact": (y, {}),
    }
    for kept, given in kinds.values():
        given["truncation"] = 0.0
        model = MoERegressor(1, random_state=0).fit(x, kept, **given)
        found = ResidualDisplay.from_estimator(model, x, kept, **given).residuals
        assert abs(found.mean()) < 4.0 / np.sqrt(n)
        assert abs(found.std() - 1.0) < 4.0 / np.sqrt(2.0 * n)
        without = {name: value for name, value in given.items() if name != "truncation"}
        naive = ResidualDisplay.from_estimator(model, x, kept, **without).residuals
        assert naive.mean() > 0.05  # rows below 0 are missing


def test_cut_deviances_count_groups(data):
    X, y = data
    groups = np.repeat(np.arange(ROWS // 4), 4)
    model = HMERegressor([[1, 1], 1], gate_features=[], **QUICK).fit(X, y, groups=groups)
    display = TreeDisplay.from_estimator(model, X, y, groups=groups)
    node = next(int(n) for n in model.tree_.inner_nodes if n != 0)
    left = np.flatnonzero(model.tree_.covers[node])
    (right,) = set(range(3)) - set(left)
    share = np.maximum(model.responsibilities(X, y, groups=groups)[:, left].sum(axis=1), 1e-10)
    single = clone(model).set_params(tree=(1,), n_init=1)
    single.fit(X, y, sample_weight=share, groups=groups)
    gate = model.gate_proba(X)[0]
    other = model.predict_dist(X).experts()[right].logpdf(y)
    by_group = [
        np.bincount(groups, density) for density in (single.log_density(X, y, groups=groups), other)
    ]
    weights = np.log([gate[left].sum(), gate[right]])
    expected = -2.0 * logsumexp(np.stack(by_group) + weights[:, None], axis=0).sum()
    assert display.cut_deviance[node] == pytest.approx(expected, rel=1e-9)


def test_trees_have_no_deviances_where_they_would_mean_nothing(data):
    X, y = data
    model = MoERegressor(2, **QUICK).fit(X, y, truncation=y.min() - 1.0)
    assert TreeDisplay.from_estimator(model, X, y, truncation=y.min() - 1.0).deviance is None
