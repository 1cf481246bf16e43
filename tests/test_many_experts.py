"""What keeps fits of many experts cheap: products without zeros, and few moves followed."""

import numpy as np
import pytest

from mixexp import MoERegressor
from mixexp.em import _multistart
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


def test_only_the_best_moves_are_followed(monkeypatch: pytest.MonkeyPatch) -> None:

    lengths: list[tuple[int, int]] = []
    advance = _multistart.advance

    def note(problem, runs, max_iter, *rest):  # type: ignore[no-untyped-def]
        lengths.append((len(runs), max_iter))
        return advance(problem, runs, max_iter, *rest)

    monkeypatch.setattr(_multistart, "advance", note)
    rng = np.random.default_rng(0)
    X = rng.uniform(-3.0, 3.0, (150, 1))
    y = 3.0 * np.where(np.abs(X[:, 0]) < 1.0, -1.0, 1.0) * X[:, 0] + rng.standard_normal(150)
    MoERegressor(3, n_init=2, random_state=0, max_iter=30).fit(X, y)
    looks = [at for at, (n, length) in enumerate(lengths) if length == _multistart._FIRST_LOOK]
    assert looks
    for at in looks:
        assert lengths[at + 1][0] == min(_multistart._N_HOPEFUL, lengths[at][0])
