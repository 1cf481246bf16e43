"""Rows beyond memory: peak memory, what a pass costs from Parquet, and what Dask adds.

``python benchmarks/any_size.py [--rows 2000000] [--features 20] [--dask]``: makes rows of three
regimes into Parquet files in a temporary directory, which is deleted after, and fits three Gaussian
experts. Every figure is of a process of its own: the peak of a whole fit (starts, moves, Newton
finish, then standard errors), seconds of CPU per EM pass from the files, in memory (extrapolated
from at most a million rows), and of reading the files alone. ``--dask`` compares passes over a
Dask array on two worker processes with two threads over the same rows in memory.
"""

import argparse
import multiprocessing
import os
import resource
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import numpy as np  # noqa: E402  # threads are set before

from mixexp import EM, MoERegressor  # noqa: E402
from mixexp.data import ParquetRows  # noqa: E402

N_EXPERTS, ROWS_PER_FILE, ROWS_PER_GROUP, MOST_IN_MEMORY = 3, 1_000_000, 65_536, 1_000_000
FEWER, MORE = 1, 4  # iterations, the difference of whose times is that of passes


def simulate(seed: int, n: int, p: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw rows of regimes that overlap."""
    truth, rng = np.random.default_rng(0), np.random.default_rng(1 + seed)
    gate, coef = truth.normal(size=(p, N_EXPERTS)) / 2.0, truth.normal(size=(p, N_EXPERTS))
    X = rng.standard_normal((n, p))
    regime = np.argmax(X @ gate + rng.gumbel(size=(n, N_EXPERTS)), axis=1)
    mean = (X @ coef)[np.arange(n), regime] + 3.0 * regime
    return X, mean + (0.5 + 0.2 * regime) * rng.standard_normal(n)


def make_files(where: Path, n: int, p: int) -> None:
    """Write the rows, a million per file."""
    import pyarrow as pa
    from pyarrow import parquet

    for number, start in enumerate(range(0, n, ROWS_PER_FILE)):
        X, y = simulate(number, min(ROWS_PER_FILE, n - start), p)
        table = pa.table({**{f"x{j}": X[:, j] for j in range(p)}, "y": y})
        parquet.write_table(table, where / f"{number:05d}.parquet", row_group_size=ROWS_PER_GROUP)


def open_files(where: Path, p: int) -> ParquetRows:
    return ParquetRows(where, [f"x{j}" for j in range(p)], "y")


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0


def seconds() -> tuple[float, float]:
    """Return CPU seconds of this process and its children, and those on the wall."""
    own = time.process_time()
    return own, time.perf_counter()


def fit_whole(where: Path, n: int, p: int) -> str:
    """Fit as users do, and ask for standard errors."""
    before, (cpu, wall) = peak_mib(), seconds()
    source = open_files(where, p)
    model = MoERegressor(N_EXPERTS, n_init=3, random_state=0).fit(source)
    fitted, cpu_fit = peak_mib(), seconds()[0] - cpu
    model.inference(source)
    return (
        f"whole fit and standard errors: peak {peak_mib():.0f} MiB resident ({before:.0f} before, "
        f"{fitted:.0f} after the fit); {model.n_iter_} iterations of the best start, "
        f"{cpu_fit:.1f} s of CPU for the fit, {seconds()[1] - wall:.0f} s on the wall in all"
    )


def _time_passes(fit: Callable[[MoERegressor], Any], first: MoERegressor) -> tuple[float, float]:
    """Return CPU and wall seconds of one plain EM iteration."""
    spent = []
    plain = EM(acceleration="none", n_moves=0)
    for n_passes in (FEWER, MORE):
        model = MoERegressor(N_EXPERTS, init=first, solver=plain, max_iter=n_passes)
        began = seconds()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it is stopped on the way, which is what is asked
            fit(model)
        spent.append([now - then for now, then in zip(seconds(), began, strict=True)])
    cpu, wall = (np.subtract(spent[1], spent[0]) / (MORE - FEWER)).tolist()
    return cpu, wall


def _first_fit(p: int) -> MoERegressor:
    return MoERegressor(N_EXPERTS, n_init=2, random_state=0).fit(*simulate(0, 5000, p))


def time_files(where: Path, n: int, p: int) -> str:
    """Time passes over the files, and reading them alone."""
    source, first = open_files(where, p), _first_fit(p)
    cpu, wall = _time_passes(lambda model: model.fit(source), first)
    began = seconds()
    for _ in source:
        pass
    read_cpu, read_wall = (now - then for now, then in zip(seconds(), began, strict=True))
    return (
        f"from Parquet: {1e6 * cpu / n:.3f} CPU s per pass and million rows ({wall:.1f} s on the "
        f"wall per pass); reading alone {1e6 * read_cpu / n:.3f} ({read_wall:.1f} s)"
    )


def time_memory(where: Path, n: int, p: int) -> str:
    """Time passes over rows in memory, one thread."""
    n = min(n, MOST_IN_MEMORY)
    X, y = simulate(0, n, p)
    cpu, wall = _time_passes(lambda model: model.fit(X, y), _first_fit(p))
    return (
        f"in memory, {n} rows: {1e6 * cpu / n:.3f} CPU s per pass and million rows "
        f"({wall:.1f} s on the wall per pass)"
    )


def time_dask(where: Path, n: int, p: int) -> str:
    """Time passes of two worker processes, of one, and of two threads in this one."""
    import dask.array as da
    import distributed

    n = min(n, 4 * MOST_IN_MEMORY)
    size = -(-n // 16)
    X, y = simulate(0, n, p)
    first, told = _first_fit(p), []
    for n_threads in (1, 2):
        cpu, wall = _time_passes(
            lambda model, n_threads=n_threads: model.set_params(n_jobs=n_threads).fit(X, y), first
        )
        told.append(f"{n_threads} threads in memory {cpu:.2f} CPU s, {wall:.2f} s on the wall")
    parts = da.from_array(X, chunks=(size, p)), da.from_array(y, chunks=size)
    for n_workers in (1, 2):
        cluster = distributed.LocalCluster(n_workers, threads_per_worker=1, dashboard_address=None)
        with cluster, distributed.Client(cluster) as client:
            held = [part.persist() for part in parts]
            distributed.wait(held)
            client.run(_import_there)

            def fit(model: MoERegressor, held: list[Any] = held) -> None:
                model.fit(*held)

            fit(MoERegressor(N_EXPERTS, init=first, max_iter=1, tol=1.0))  # compiled kernels read
            before = sum(client.run(time.process_time).values())
            cpu, wall = _time_passes(fit, first)
            there = sum(client.run(time.process_time).values()) - before
            told.append(f"{n_workers} workers {wall:.2f} s on the wall, driver {cpu:.2f} CPU s")
            told.append(f"(workers {there:.1f} CPU s for both fits)")
    return f"Dask, {n} rows in 16 partitions, per pass: " + "; ".join(told)


def _import_there() -> None:
    import mixexp  # noqa: F401


def _report(answers: Any, measure: Callable[..., str], where: Path, n: int, p: int) -> None:
    answers.put(measure(where, n, p))


def main() -> None:
    """Measure, and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--features", type=int, default=20)
    parser.add_argument("--dask", action="store_true")
    asked = parser.parse_args()
    spawn = multiprocessing.get_context("spawn")
    measures = [fit_whole, time_files, time_memory, *([time_dask] if asked.dask else [])]
    with tempfile.TemporaryDirectory() as directory:
        where = Path(directory)
        maker = spawn.Process(target=make_files, args=(where, asked.rows, asked.features))
        maker.start()
        maker.join()
        size = sum(path.stat().st_size for path in where.iterdir()) / 2**20
        print(f"{asked.rows} rows x {asked.features}: {size:.0f} MiB of Parquet", flush=True)
        for measure in measures:
            answers = spawn.Queue()
            arguments = answers, measure, where, asked.rows, asked.features
            process = spawn.Process(target=_report, args=arguments)
            process.start()
            process.join()
            if process.exitcode:
                raise SystemExit(f"{measure.__name__} failed")
            print(answers.get(), flush=True)


if __name__ == "__main__":
    main()
