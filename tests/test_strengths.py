"""Strengths of the prior that depend on the number of rows."""

import pytest

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
