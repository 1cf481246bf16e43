"""Quantiles of Student's t against values of 40 digits, whatever SciPy's own are good to."""

import numpy as np
import pytest

from mixexp.experts import StudentT

# Degrees of freedom, level, quantile: the root of the regularised incomplete beta function, by
# mpmath with 40 digits.
VALUES = [
    (1.2, 1e-12, -4020549315.1330023),
    (2.5, 0.25, -0.7850136829923011),
    (4.0, 0.05, -2.1318467863266504),
    (4.0, 0.4999, -0.0002666666706172547),
    (7.3, 1e-12, -91.09486659389755),
    (30.0, 0.05, -1.6972608865939578),
    (100.0, 1e-12, -8.025825594493254),
    (1000.0, 0.49, -0.025075180209466443),
    (1.0, 1e-200, -3.183098861837907e199),
    (1.1, 1e-200, -2.372175323145823e181),
]


@pytest.mark.parametrize(("df", "level", "expected"), VALUES)
def test_quantiles_have_all_their_digits(df, level, expected):
    heads = (np.zeros((1, 1)), np.zeros((1, 1)))
    low, high = StudentT(df=df).quantile(np.array([[level, 1.0 - level]]), heads)[0]
    # At the median F has an absolute error of 1e-16, which a small quantile feels in its digits.
    np.testing.assert_allclose(low, expected, rtol=5e-13, atol=1e-15)
    if level > 1e-5:  # 1 - level is rounded
        np.testing.assert_allclose(high, -expected, rtol=5e-10)
