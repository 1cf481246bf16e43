"""Bounds and orders hold to the last digit in the user's units, beside constant columns too."""

import numpy as np
import pytest

from mixexp import MoERegressor
from mixexp.constraints import Bounded, Fixed, Linear, Ordered, Shared

RNG = np.random.default_rng(1)
X = RNG.normal([0.0, 5.0, 100.0], size=(160, 3))
Y = (
    np.where(X[:, 0] > 0.0, 1.0, -1.0) * (X[:, 1] - 5.0)
    + 0.05 * X[:, 2]
    + 0.3 * RNG.normal(size=160)
)


def _fit(constraints, n_experts=2, features=X):
    labels = (X[:, 0] > 0.0).astype(int) if n_experts == 2 else "auto"
    model = MoERegressor(n_experts, constraints=constraints, init=labels, n_init=1, random_state=0)
    return model.fit(features, Y)


@pytest.mark.parametrize("bounds", [(0.1, 0.3), (0.0, None), (None, -0.7), (0.3, 0.7)])
@pytest.mark.parametrize("n_experts", [1, 2])
def test_bounds(bounds, n_experts):
    low, high = bounds
    model = _fit([Bounded(["intercept", 0, 1], lower=low, upper=high)], n_experts)
    found = np.column_stack([model.intercept_, model.coef_[:, :2]])
    assert low is None or found.min() >= low
    assert high is None or found.max() <= high
    assert np.any((found == low) | (found == high))  # the test tells something


def test_an_intercept_at_zero_reads_zero_in_tables():
    model = _fit([Bounded("intercept", lower=-1e-300, upper=0.0)])
    table = model.inference(X, Y).coef_table()
    own = np.asarray(table["term"]) == "intercept"
    at_bound = own & (np.asarray(table["note"]) == "at its bound")
    assert at_bound.sum() == 2
    assert np.all(np.asarray(table["estimate"])[at_bound] == 0.0)
    assert np.all((model.intercept_ <= 0.0) & (model.intercept_ >= -1e-300))


@pytest.mark.parametrize(
    "constraints",
    [
        [Ordered(1, decreasing=True), Ordered(2)],
        [Ordered([0, 1, 2]), Ordered([2, 1, 0])],
        [Ordered([0, 1, 2], decreasing=True), Shared(1), Bounded(2, upper=0.1)],
        [Ordered([2, 0, 1]), Fixed(0, 0.1), Bounded("intercept", lower=0.2)],
    ],
    ids=["experts", "all one", "shared", "fixed"],
)
def test_orders(constraints):
    coef = _fit(constraints).coef_
    for constraint in constraints:
        if isinstance(constraint, Ordered):
            columns = constraint.features
            values = coef[:, columns].T if isinstance(columns, int) else coef[:, columns]
            steps = np.diff(values) * (-1.0 if constraint.decreasing else 1.0)
            assert steps.min() >= 0.0
        elif isinstance(constraint, Shared):
            assert np.ptp(coef[:, constraint.features]) == 0.0
        elif isinstance(constraint, Bounded) and constraint.upper is not None:
            assert coef[:, constraint.features].max() <= constraint.upper


@pytest.mark.parametrize(
    "constraints",
    [
        [Bounded("intercept", lower=20.0)],
        [Linear("b[0:intercept] = 20"), Linear("b[1:intercept] = 20")],
        [Linear("gate[0:intercept] - gate[1:intercept] = 1")],
    ],
    ids=["bound", "equation", "gate"],
)
def test_constant_columns_take_no_part_of_an_intercept(constraints):
    with pytest.warns(UserWarning, match=r"columns \[3\] of X are constant"):
        model = _fit(constraints, features=np.column_stack([X, np.full(len(X), 7.0)]))
    np.testing.assert_array_equal(model.coef_[:, 3], 0.0)
    np.testing.assert_array_equal(model.gate_coef_[:, 3], 0.0)
    bare = _fit(constraints)
    assert model.log_likelihood_ == pytest.approx(bare.log_likelihood_, rel=1e-8)


def test_a_bound_of_a_constant_column_is_named():
    features = np.column_stack([X, np.full(len(X), 7.0)])
    with pytest.raises(ValueError, match=r"Bounded\(features=3.* that is constant"):
        _fit([Bounded(3, lower=1.0)], features=features)
