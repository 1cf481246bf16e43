"""What keeps fits of many experts cheap: products without zeros."""

import numpy as np
import pytest

from mixexp.em._newton import _congruence


@pytest.mark.parametrize("share", [0.0, 0.05, 0.5, 1.0])
def test_congruence_is_the_dense_product(share: float) -> None:
    rng = np.random.default_rng(0)
    half = rng.standard_normal((30, 30))
    basis = np.where(rng.random((30, 20)) < share, rng.standard_normal((30, 20)), 0.0)
    matrix = half @ half.T
    found = _congruence(basis, matrix)
    assert found.shape == (20, 20)
    np.testing.assert_allclose(found, basis.T @ matrix @ basis, rtol=1e-12, atol=1e-11)
