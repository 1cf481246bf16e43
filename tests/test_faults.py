"""Threads, forks, interrupts: nothing aborts, and nothing is left half written."""

import multiprocessing
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np
import pytest
from problems import simulate_regimes

from mixexp import MoERegressor
from mixexp.data import single_threaded_blas


@pytest.fixture(scope="module")
def data():
    # Three blocks of rows, so that threads have something to share.
    return simulate_regimes(np.random.default_rng(5), 9000)


def fit(data, **options):
    model = MoERegressor(3, n_init=1, max_iter=20, tol=1e-3, random_state=0, **options)
    return model.fit(data.X, data.y)


@pytest.fixture(scope="module")
def expected(data):
    return fit(data).coef_


def test_many_threads_fit_at_once(data, expected):
    with ThreadPoolExecutor(32) as pool:
        models = list(pool.map(lambda n_jobs: fit(data, n_jobs=n_jobs), [1, 2] * 16))
    for model in models:
        np.testing.assert_array_equal(model.coef_, expected)


def test_blas_limit_is_lifted_when_the_last_fit_ends():
    from threadpoolctl import threadpool_info

    def n_threads():
        return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]

    before = n_threads()
    inside, leave = threading.Event(), threading.Event()

    def hold():
        with single_threaded_blas():
            inside.set()
            leave.wait()

    other = threading.Thread(target=hold)
    other.start()
    inside.wait()
    with single_threaded_blas():
        leave.set()
        other.join()
        assert set(n_threads()) <= {1}
    assert n_threads() == before


@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_joblib_fits_in_parallel(data, expected, backend):
    coefs = joblib.Parallel(n_jobs=2, backend=backend)(
        joblib.delayed(fit_coef)(data, n_jobs) for n_jobs in (1, 2)
    )
    for coef in coefs:
        np.testing.assert_array_equal(coef, expected)


def fit_coef(data, n_jobs):
    return fit(data, n_jobs=n_jobs).coef_


def test_fork_after_threads_have_run(data, expected):
    fit(data, n_jobs=2)  # the parent's pool is live
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=lambda: sender.send(fit_coef(data, 2)))
    child.start()
    assert receiver.poll(60.0), "the child hangs"
    np.testing.assert_array_equal(receiver.recv(), expected)
    child.join()
    assert child.exitcode == 0


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_interrupt_stops_a_long_fit_soon_and_leaves_it_unfitted(n_jobs):
    data = simulate_regimes(np.random.default_rng(5), 200_000, p=8)
    model = MoERegressor(6, max_iter=10_000, tol=0.0, acceleration="none", n_jobs=n_jobs)
    sent = []

    def interrupt():
        time.sleep(1.5)
        sent.append(time.perf_counter())
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        model.fit(data.X, data.y)
    # Kernels return within milliseconds; the rest is the machine's noise.
    assert time.perf_counter() - sent[0] < 0.5
    assert set(vars(model)) == set(model.get_params())


def test_a_failed_refit_keeps_the_fit_before(data):
    model = fit(data)
    before = dict(vars(model))
    with pytest.raises(ValueError, match="NaN"):
        model.fit(np.full((10, 5), np.nan), np.zeros(10))
    assert vars(model) == before


def test_small_fits_leave_no_threads_behind(data):
    fit(data, n_jobs=2)
    n_threads = threading.active_count()
    for _ in range(50):
        MoERegressor(1).fit(data.X[:50], data.y[:50])
    assert threading.active_count() == n_threads
