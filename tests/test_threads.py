"""Fits side by side: in threads, after a fork, and what they leave behind.

Each runs in a process of its own, for what is asked is the state of the process.
"""

import os
import platform
import subprocess
import sys

import pytest

SETUP = """
import multiprocessing
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import threadpoolctl
from mixexp import MoERegressor
from mixexp.data import single_threaded_blas
from mixexp.em import _objective

warnings.simplefilter("ignore")
_objective.FEWEST_ELEMENTS = 0  # threads, however little there is for them to do
rng = np.random.default_rng(0)
X = rng.standard_normal((9000, 3))
y = np.where(X[:, 0] > 0, X[:, 1], -X[:, 1]) + 0.3 * rng.standard_normal(9000)

def fit(n_jobs):
    model = MoERegressor(2, n_init=1, random_state=0, n_jobs=n_jobs, max_iter=10)
    return model.fit(X, y).history_.tobytes()

def blas_threads():
    return [d["num_threads"] for d in threadpoolctl.threadpool_info() if d["user_api"] == "blas"]

before = blas_threads()
"""


def run(code):
    result = subprocess.run(
        [sys.executable, "-P", "-c", SETUP + code],
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, result.stderr


def test_fits_in_threads_have_the_bits_of_a_lonely_one():
    run("""
expected = fit(1)
with ThreadPoolExecutor(32) as pool:
    found = list(pool.map(fit, [1, 2] * 16))
assert all(history == expected for history in found)
""")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_fit_works_after_a_fork():
    run("""
expected = fit(2)
with multiprocessing.get_context("fork").Pool(2) as pool:
    found = pool.map_async(fit, [2, 2]).get(60)
assert all(history == expected for history in found)
""")


def test_limit_of_blas_threads_is_lifted_after_a_fit():
    run("""
fit(2)
assert blas_threads() == before
try:
    MoERegressor(2, init="unknown").fit(X, y)
except ValueError:
    pass
assert blas_threads() == before
""")


def test_limit_of_blas_threads_is_lifted_by_whoever_leaves_last():
    run("""
inside, meet = [], threading.Barrier(2)

def overlap():
    with single_threaded_blas():
        meet.wait()
        inside.append(blas_threads())
    meet.wait()

threads = [threading.Thread(target=overlap) for _ in range(2)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert all(set(n_threads) <= {1} for n_threads in inside)
assert blas_threads() == before, (blas_threads(), before)
""")


def test_limit_of_blas_threads_is_lifted_where_the_first_to_enter_leaves_first():
    run("""
entered, left = threading.Event(), threading.Event()

def other():
    with single_threaded_blas():
        entered.set()
        left.wait()

thread = threading.Thread(target=other)
with single_threaded_blas():
    thread.start()
    entered.wait()
left.set()
thread.join()
assert blas_threads() == before, (blas_threads(), before)
""")


_ALLOCATE = """
import resource
import numpy as np
from mixexp.data import single_threaded_blas

with single_threaded_blas():
    np.ones(1 << 20)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        np.ones(1 << 20)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the limits are those of glibc")
@pytest.mark.parametrize("fixed", [{}, {"MALLOC_TRIM_THRESHOLD_": "65536"}], ids=["free", "dask"])
def test_temporary_arrays_take_no_new_pages(fixed):
    """Dask sets that limit for its workers; each array of 8 MB would take 2 048 pages anew."""
    program = [sys.executable, "-c", _ALLOCATE]
    told = subprocess.run(program, env={**os.environ, **fixed}, capture_output=True, check=True)
    assert int(told.stdout) < 2048


_LEAVE_GAPS = """
import numpy as np
from mixexp.data import Batches, single_threaded_blas


def resident_mib():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 / 2**20


with single_threaded_blas():
    scattered = [np.ones(25_000) for _ in range(800)]
    kept = scattered[::8]
    del scattered
    before = resident_mib()
    for _ in Batches([(np.zeros((2, 1)), np.zeros(2))]).each(lambda number, batch: None):
        pass
    print(before - resident_mib())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the gaps are those of glibc's heap")
def test_passes_over_batches_give_freed_pages_back():
    """Of 153 MiB, all but an eighth is freed, in gaps between what stays."""
    told = subprocess.run([sys.executable, "-c", _LEAVE_GAPS], capture_output=True, check=True)
    assert float(told.stdout) > 100.0
