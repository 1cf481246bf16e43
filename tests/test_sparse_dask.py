"""Sparse partitions on Dask are fitted and predicted as the same rows in memory."""

import numpy as np
import pytest
from scipy import sparse

from mixexp import MoERegressor

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")

HERE = {"scheduler": "synchronous"}
ROWS = (50, 0, 130, 60)
KINDS = [sparse.csr_array, sparse.csc_matrix, sparse.coo_array]


def mostly_zeros(n=240):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 4)) * (rng.random((n, 4)) < 0.4)
    is_up = rng.random(n) < 1.0 / (1.0 + np.exp(-2.0 * X[:, 0]))
    return X, np.where(is_up, 1.0 + 2.0 * X[:, 1], -1.0 - X[:, 2]) + 0.4 * rng.normal(size=n)


@pytest.fixture(scope="module")
def held():
    X, y = mostly_zeros()
    model = MoERegressor(2, n_init=1, random_state=0).fit(sparse.csr_array(X), y)
    return model, X, y


def as_dask(kind, X, y, columns=(4,)):
    whole = da.from_array(X, chunks=(ROWS, columns)).map_blocks(kind)
    return whole, da.from_array(y, chunks=(ROWS,))


@pytest.mark.parametrize(("kind", "columns"), [(KINDS[0], (1, 3)), *((k, (4,)) for k in KINDS)])
def test_sparse_partitions_are_fitted_as_rows_in_memory(kind, columns, held):
    model, X, y = held
    rows = as_dask(kind, X, y, columns)
    with dask.config.set(HERE):
        found = MoERegressor(2, n_init=1, random_state=0).fit(*rows)
        assert found.log_likelihood_ == pytest.approx(model.log_likelihood_, rel=1e-10)
        np.testing.assert_allclose(found.coef_, model.coef_, rtol=1e-8, atol=1e-8)
        own = found.inference(*rows, kind="robust").std_errors
        expected = model.inference(sparse.csr_array(X), y, kind="robust").std_errors
        np.testing.assert_allclose(own, expected, rtol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_sparse_partitions_are_predicted(kind, held):
    model, X, y = held
    rows = as_dask(kind, X, y)
    with dask.config.set(HERE):
        np.testing.assert_allclose(model.predict(rows[0]).compute(), model.predict(X), rtol=1e-10)
        np.testing.assert_allclose(
            model.log_density(*rows).compute(), model.log_density(X, y), rtol=1e-10
        )


def test_no_number_in_a_sparse_partition_is_named(held):
    _model, X, y = held
    hole = X.copy()
    hole[200, 2] = np.nan
    with (
        dask.config.set(HERE),
        pytest.raises(ValueError, match=r"Partition 3 of the source: .*column.* 2"),
    ):
        MoERegressor(2, n_init=1).fit(*as_dask(sparse.csr_array, hole, y))
