"""Strengths of the prior that depend on the numbers of rows and of columns."""

import numpy as np
import pytest

from mixexp import MoERegressor
from mixexp.model import share_taken


@pytest.mark.parametrize(
    ("n_slopes", "n_rows", "taken"),
    [
        (1, 15.0, 0.0),
        (3, 16.0, 2 / 16),
        (6, 13.0, 5 / 13),
        (6, 80.0, 3 / 80),  # a coefficient per 20 rows is free
        (6, 8.0, 0.5),
        (5, 300.0, 0.0),
        (65, 300.0, 0.2),
        (3, 0.0, 0.0),
    ],
)
def test_pooled_dispersion_is_told_of_rows_that_coefficients_use_up(n_slopes, n_rows, taken):
    assert share_taken(n_slopes, n_rows) == pytest.approx(taken)


@pytest.mark.filterwarnings("ignore::mixexp.exceptions.RankDeficientWarning")
@pytest.mark.parametrize("n_rows", [60, 200])
def test_columns_that_do_not_vary_do_not_count_among_slopes(n_rows):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n_rows, 5))
    y = np.abs(X[:, 0]) + rng.standard_normal(n_rows)
    init = (X[:, 0] > 0.0).astype(int)
    model = MoERegressor(2, init=init).fit(X, y)
    wide = MoERegressor(2, init=init).fit(np.hstack([X, np.ones((n_rows, 3))]), y)
    np.testing.assert_allclose(
        wide.penalized_log_likelihood_, model.penalized_log_likelihood_, rtol=1e-9
    )
