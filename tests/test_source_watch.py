"""Sources whose weights change between passes, and what is told of a fit to a source."""

import re

import numpy as np
import pytest

from mixexp import MoERegressor
from mixexp.data import Batches
from mixexp.estimators import _progress

BACKENDS = ["batches", "dask"]


@pytest.fixture(scope="module")
def batches():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(240, 1))
    y = np.abs(X[:, 0]) + 0.1 * rng.normal(size=240)
    return [(X[:100], y[:100], np.ones(100)), (X[100:], y[100:], np.ones(140))]


class Watched:
    """Makes a batch, from its third time on with a weight that has grown."""

    def __init__(self, batch, n_same):
        self.batch, self.n_left = batch, n_same

    def __call__(self):
        self.n_left -= 1
        X, y, weight = self.batch
        return X, y, weight + (self.n_left < 0) * (np.arange(len(y)) == 7)


class Made:
    """Batches that are made by calls."""

    def __init__(self, calls):
        self.calls = calls

    def __len__(self):
        return len(self.calls)

    def __iter__(self):
        return (call() for call in self.calls)


def as_source(backend, calls):
    if backend == "batches":
        return Batches(Made(calls))
    dask = pytest.importorskip("dask")
    return [dask.delayed(call.__call__, pure=False)() for call in calls]


@pytest.fixture(params=BACKENDS)
def backend(request):
    if request.param == "batches":
        yield request.param
        return
    dask = pytest.importorskip("dask")
    with dask.config.set(scheduler="synchronous"):
        yield request.param


@pytest.mark.parametrize("n_same", [1, 3, 6])
def test_weights_that_change_between_passes_are_refused(n_same, backend, batches):
    calls = [Watched(batches[0], 1000), Watched(batches[1], n_same)]
    model = MoERegressor(2, n_init=1, random_state=0)
    message = "Partition 1 of the source has changed between passes: 140 rows of weight 141, before"
    with pytest.raises(ValueError, match=message):
        model.fit(as_source(backend, calls))
    assert vars(model) == vars(MoERegressor(2, n_init=1, random_state=0))


def test_progress_is_told_of_every_source(backend, batches, capsys, monkeypatch):
    monkeypatch.setattr(_progress, "_INTERVAL", 0.0)
    calls = [Watched(batch, 1000) for batch in batches]
    model = MoERegressor(2, n_init=1, random_state=0, verbose=2).fit(as_source(backend, calls))
    running = [line for line in capsys.readouterr().out.splitlines() if "starts running" in line]
    assert len(running) == model.restarts_[0].n_iter
    told = re.search(r"(\d+) passes, (\S+) rows per second; about \S+ s left", running[-1])
    assert int(told[1]) >= model.n_iter_
    assert float(told[2]) > 0.0
    assert f"{model.penalized_log_likelihood_:.6g}" in running[-1]
