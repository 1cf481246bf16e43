"""A cluster of processes that breaks in mid-pass, searches on it, and a driver that is killed."""

import os
import signal

import joblib
import numpy as np
import pytest
from killed import kill_after_writes
from sklearn.model_selection import GridSearchCV

from mixexp import Checkpoint, MoEClassifier, MoERegressor
from mixexp.data import DaskRows, ParquetRows
from mixexp.exceptions import ClusterError

dask = pytest.importorskip("dask")
distributed = pytest.importorskip("distributed")

HERE = {"scheduler": "synchronous"}
QUICK = {"n_init": 1, "random_state": 0}
CUTS = [(0, 50), (50, 130), (130, 240)]


def two_lines(n=240):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 2))
    is_up = rng.random(n) < 1.0 / (1.0 + np.exp(-2.0 * X[:, 0]))
    return X, np.where(is_up, 1.0 + 2.0 * X[:, 0], -1.0 - X[:, 0]) + 0.4 * rng.normal(size=n)


def batches_of(X, y):
    return [(X[a:b], y[a:b]) for a, b in CUTS]


def bits(model):
    return model.log_likelihood_.hex(), model.coef_.tobytes(), model.gate_coef_.tobytes()


class Deadly:
    """Makes a partition; at its n-th call, whoever counts, it kills processes."""

    def __init__(self, batch, counter, n=-1, pids=()):
        self.batch, self.counter, self.n, self.pids = batch, str(counter), n, pids

    def __call__(self):
        with open(self.counter, "a") as file:
            file.write("x")
        if os.path.getsize(self.counter) == self.n:
            for pid in sorted((*self.pids, os.getpid()), key=os.getpid().__eq__):  # itself last
                os.kill(pid, signal.SIGKILL)
        return self.batch


def delayed_with(first, batches):
    """Return delayed partitions, the first of which is made by a call."""
    return [dask.delayed(first.__call__, pure=False)(), *map(dask.delayed, batches[1:])]


@pytest.mark.parametrize("n_workers", [1, 2, 4])
def test_any_number_of_workers_gives_the_same_bits(n_workers):
    batches = batches_of(*two_lines())
    model = MoERegressor(2, **QUICK)
    with dask.config.set(HERE):
        expected = bits(model.fit([dask.delayed(batch) for batch in batches]))
    options = {"processes": False, "threads_per_worker": 1, "dashboard_address": None}
    with distributed.LocalCluster(n_workers, **options) as local, distributed.Client(local):
        assert bits(model.fit([dask.delayed(batch) for batch in batches])) == expected


@pytest.fixture(scope="module")
def cluster():
    with (
        distributed.LocalCluster(2, threads_per_worker=1, dashboard_address=None) as found,
        distributed.Client(found) as client,
    ):
        yield found, client


@pytest.mark.slow
@pytest.mark.parametrize("kind", [MoERegressor, MoEClassifier])
def test_a_grid_search_on_a_client_finds_what_it_finds_here(kind, cluster):
    X, y = two_lines(120)
    if kind is MoEClassifier:
        y = np.where(y > 0.0, "up", "down")
    grid = {"n_experts": [1, 2], "alpha": [1.0, 10.0]}

    def search():
        return GridSearchCV(kind(2, **QUICK), grid, cv=2)

    here = search().fit(X, y)
    with joblib.parallel_backend("dask"):
        there = search().fit(X, y)
    for name in ("mean_test_score", "std_test_score", "rank_test_score"):
        np.testing.assert_array_equal(there.cv_results_[name], here.cv_results_[name])
    assert there.best_params_ == here.best_params_
    assert bits(there.best_estimator_) == bits(here.best_estimator_)


@pytest.mark.slow
def test_no_number_on_a_worker_is_named_by_partition_and_column(cluster):
    X, y = two_lines()
    hole = X.copy()
    hole[60, 1] = np.nan
    lazy = [dask.delayed(batch, traverse=False) for batch in batches_of(hole, y)]
    with pytest.raises(ValueError, match=r"Partition 1 of the source: .*column.* 1"):
        MoERegressor(2, **QUICK).fit(lazy)


@pytest.mark.slow
def test_a_partition_that_brings_workers_down_is_named(cluster, tmp_path):
    _, client = cluster
    batches = batches_of(*two_lines())

    def allow(n, dask_scheduler):
        found, dask_scheduler.allowed_failures = dask_scheduler.allowed_failures, n
        return found

    before = client.run_on_scheduler(allow, 0)
    try:
        lazy = delayed_with(Deadly(batches[0], tmp_path / "calls", 3), batches)
        with pytest.raises(ClusterError, match="Workers died again and again at"):
            MoERegressor(2, **QUICK).fit(lazy)
    finally:
        client.run_on_scheduler(allow, before)
    client.wait_for_workers(2)


@pytest.mark.slow
def test_all_workers_gone_in_mid_pass_leave_a_checkpoint(cluster, tmp_path):
    local, client = cluster
    X, y = two_lines()
    batches, calls, path = batches_of(X, y), tmp_path / "calls", tmp_path / "fit.json"
    with dask.config.set(HERE):
        whole = MoERegressor(2, **QUICK).fit(delayed_with(Deadly(batches[0], calls), batches))
    n_calls = os.path.getsize(calls)
    calls.unlink()
    model = MoERegressor(2, **QUICK).fit(X[:100], y[:100])
    if not hasattr(model, "set_callbacks"):
        pytest.skip("callbacks are of scikit-learn 1.9")
    model.set_callbacks(Checkpoint(path, iterations=1))
    before = dict(vars(model))
    pids = client.run(os.getpid).values()
    for nanny in local.workers.values():
        nanny.close_gracefully()  # so that it starts no other
    first = Deadly(batches[0], calls, n_calls - 4, tuple(pids))
    with pytest.raises(ClusterError, match="no worker for 1 seconds"):
        model.fit(DaskRows(delayed_with(first, batches), patience=1.0))
    assert vars(model) == before
    with dask.config.set(HERE):
        lazy = [dask.delayed(batch) for batch in batches]
        found = MoERegressor(2, **QUICK).fit(lazy, resume=path)
    assert bits(found) == bits(whole)


_DRIVER = """
import sys
from mixexp import Checkpoint, MoERegressor
from mixexp.data import ParquetRows

model = MoERegressor(2, n_init=3, random_state=0)
model.set_callbacks(Checkpoint(sys.argv[2], iterations=1))
model.fit(ParquetRows(sys.argv[1], ["a", "b"], "y", batch_rows=100))
"""


def test_a_killed_driver_goes_on_to_the_same_bits(tmp_path):
    pytest.importorskip("sklearn.callback")
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    X, y = two_lines()
    rows, path = tmp_path / "rows.parquet", tmp_path / "fit.json"
    parquet.write_table(pa.table({"a": X[:, 0], "b": X[:, 1], "y": y}), rows)
    kill_after_writes(_DRIVER, 10, rows, path)
    model, source = (
        MoERegressor(2, n_init=3, random_state=0),
        ParquetRows(rows, ["a", "b"], "y", batch_rows=100),
    )
    whole = bits(model.fit(source))
    assert bits(model.fit(source, resume=path)) == whole
