"""Rows beyond memory: peak memory, what a pass costs from Parquet, and what Dask adds.

``python benchmarks/any_size.py [--rows 2000000] [--features 20] [--jobs 1] [--batch-rows 65536]
[--repeats 1] [--directory DIR] [--skip-files] [--dask] [--dask-rows 4000000]``: makes rows of three
regimes into Parquet files in a temporary directory, which is deleted after, and fits three Gaussian
experts. Every figure is of a process of its own: the peak of a whole fit (starts, moves, Newton
finish, then standard errors); seconds per EM pass from the files, in memory (of at most a million
rows, per million), and of reading the files alone. ``--dask`` compares passes over rows that two
worker processes hold with two threads over the same rows in memory, and one worker with half of
them (weak scaling). Seconds of CPU mean something on a loaded machine, those on the wall do not.
"""

import argparse
import multiprocessing
import os
import resource
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import numpy as np  # noqa: E402  # threads are set before

from mixexp import EM, MoERegressor  # noqa: E402
from mixexp.data import ParquetRows  # noqa: E402

N_EXPERTS, ROWS_PER_FILE, ROWS_PER_GROUP, MOST_IN_MEMORY = 3, 1_000_000, 65_536, 1_000_000
N_PARTS, MOST_MIB = 16, 600  # of the arrays on Dask; the target for peak memory
FEWER, MORE = 1, 6  # iterations, the difference of whose times is that of passes


def simulate(seed: int, n: int, p: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw rows of regimes that overlap."""
    truth, rng = np.random.default_rng(0), np.random.default_rng(1 + seed)
    gate, coef = truth.normal(size=(p, N_EXPERTS)) / 2.0, truth.normal(size=(p, N_EXPERTS))
    X = rng.standard_normal((n, p))
    regime = np.argmax(X @ gate + rng.gumbel(size=(n, N_EXPERTS)), axis=1)
    mean = (X @ coef)[np.arange(n), regime] + 3.0 * regime
    return X, mean + (0.5 + 0.2 * regime) * rng.standard_normal(n)


def make_files(where: Path, asked: argparse.Namespace) -> str:
    """Write the rows, a million per file."""
    import pyarrow as pa
    from pyarrow import parquet

    n, p = asked.rows, asked.features
    for number, start in enumerate(range(0, n, ROWS_PER_FILE)):
        X, y = simulate(number, min(ROWS_PER_FILE, n - start), p)
        table = pa.table({**{f"x{j}": X[:, j] for j in range(p)}, "y": y})
        parquet.write_table(table, where / f"{number:05d}.parquet", row_group_size=ROWS_PER_GROUP)
    size = sum(path.stat().st_size for path in where.iterdir()) / 2**20
    return f"{n} rows x {p}: {size:.0f} MiB of Parquet"


def open_files(where: Path, asked: argparse.Namespace) -> ParquetRows:
    names = [f"x{j}" for j in range(asked.features)]
    return ParquetRows(where, names, "y", batch_rows=asked.batch_rows)


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0


def seconds() -> tuple[float, float]:
    """Return CPU seconds of this process, and those on the wall."""
    return time.process_time(), time.perf_counter()


def fit_whole(where: Path, asked: argparse.Namespace) -> str:
    """Fit as users do, and ask for standard errors."""
    before, (cpu, wall) = peak_mib(), seconds()
    source = open_files(where, asked)
    model = MoERegressor(N_EXPERTS, n_init=3, random_state=0, n_jobs=asked.jobs).fit(source)
    fitted, cpu_fit = peak_mib(), seconds()[0] - cpu
    model.inference(source)
    return (
        f"whole fit and standard errors: peak {peak_mib():.0f} MiB resident (target {MOST_MIB}; "
        f"{before:.0f} before, {fitted:.0f} after the fit); {model.n_iter_} iterations of the best "
        f"start, converged {model.converged_}, log-likelihood {model.log_likelihood_:.6f}, "
        f"{cpu_fit:.1f} s of CPU for the fit, {seconds()[1] - wall:.0f} s on the wall in all"
    )


def _time_passes(
    fit: Callable[[MoERegressor], Any],
    first: MoERegressor,
    asked: argparse.Namespace,
    clock: Callable[[], tuple[float, ...]] = seconds,
) -> list[float]:
    """Return what the clock shows of one plain EM iteration, the median of several."""
    plain, found = EM(acceleration="none", n_moves=0), []
    for _ in range(asked.repeats):
        spent = []
        for n_passes in (FEWER, MORE):
            model = MoERegressor(N_EXPERTS, init=first, solver=plain, max_iter=n_passes)
            began = np.array(clock())
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # it is stopped on the way, which is what is asked
                fit(model.set_params(n_jobs=asked.jobs))
            spent.append(np.array(clock()) - began)
        found.append((spent[1] - spent[0]) / (MORE - FEWER))
    return [float(value) for value in np.median(found, axis=0)]


def _first_fit(p: int) -> MoERegressor:
    return MoERegressor(N_EXPERTS, n_init=2, random_state=0).fit(*simulate(0, 5000, p))


def time_passes(where: Path, asked: argparse.Namespace) -> str:
    """Time passes over the files, reading them alone, and passes over rows in memory."""
    n, p, millions = asked.rows, asked.features, asked.rows / 1e6
    source, first = open_files(where, asked), _first_fit(p)
    held = simulate(0, min(n, MOST_IN_MEMORY), p)
    scale = 1e6 / len(held[1])
    in_memory = [scale * x for x in _time_passes(lambda m: m.fit(*held), first, asked)]
    from_files = [x / millions for x in _time_passes(lambda m: m.fit(source), first, asked)]
    began = seconds()
    for _ in source:
        pass
    reading = [(now - then) / millions for now, then in zip(seconds(), began, strict=True)]
    told = ["seconds per pass and million rows:        CPU    wall"]
    for what, (cpu, wall) in (
        (f"from Parquet, {n} rows", from_files),
        (f"in memory, {len(held[1])} rows", in_memory),
        ("reading the files alone", reading),
    ):
        told.append(f"  {what:36s} {cpu:7.3f} {wall:7.3f}")
    for what, rival in (("memory (target 1.5)", in_memory), ("reading alone", reading)):
        cpu, wall = np.divide(from_files, rival)
        told.append(f"  Parquet : {what:26s} {cpu:7.2f} {wall:7.2f}")
    return "\n".join(told)


def time_dask(where: Path, asked: argparse.Namespace) -> str:
    """Time passes of two worker processes, of one with half of the rows, and of two threads.

    They take turns, for the speed of a machine drifts; ratios are medians over turns.
    """
    size, first = -(-asked.dask_rows // N_PARTS), _first_fit(asked.features)
    parts = [simulate(number, size, asked.features) for number in range(N_PARTS)]
    rows = [np.concatenate(each) for each in zip(*parts, strict=True)]
    del parts
    once = argparse.Namespace(**{**vars(asked), "repeats": 1})
    with _cluster(2, size, first, asked) as of_two, _cluster(1, size, first, asked) as of_one:
        turns = [
            (
                _time_passes(lambda m: m.set_params(n_jobs=2).fit(*rows), first, once),
                of_two(once),
                of_one(once),
            )
            for _ in range(asked.repeats)
        ]
    threads, two, one = (np.array(each) for each in zip(*turns, strict=True))
    driver, there, wall = np.median(two, axis=0)
    cpu = np.median(two[:, :2].sum(axis=1) / threads[:, 0])
    return "\n".join(
        [
            f"seconds per pass, {N_PARTS} partitions of {size} rows:      CPU    wall",
            "  two threads in memory                {:7.2f} {:7.2f}".format(
                *np.median(threads, axis=0)
            ),
            f"  two workers                          {driver + there:7.2f} {wall:7.2f}",
            f"    of which client and scheduler      {driver:7.2f}",
            "  one worker, half of the partitions   {:7.2f} {:7.2f}".format(
                *np.median([one[:, :2].sum(axis=1), one[:, 2]], axis=1)
            ),
            f"  workers : threads (target 1.3)       {cpu:7.2f} "
            f"{np.median(two[:, 2] / threads[:, 1]):7.2f}",
            "  weak scaling, wall of one worker : two       "
            f"{np.median(one[:, 2] / two[:, 2]):7.2f}",
        ]
    )


@contextmanager
def _cluster(
    n_workers: int, size: int, first: MoERegressor, asked: argparse.Namespace
) -> Iterator[Callable[[argparse.Namespace], list[float]]]:
    """Hold partitions on some workers, 8 on each, and offer to time passes over them.

    Seconds of CPU are those of this process and of the workers, then come those on the wall.
    """
    import dask
    import dask.array as da
    import distributed

    p, made = asked.features, dask.delayed(simulate, nout=2)
    parts = [made(number, size, p) for number in range(N_PARTS * n_workers // 2)]
    X = da.concatenate([da.from_delayed(X, (size, p), float) for X, _ in parts])
    y = da.concatenate([da.from_delayed(y, (size,), float) for _, y in parts])
    cluster = distributed.LocalCluster(n_workers, threads_per_worker=1, dashboard_address=None)
    with cluster, distributed.Client(cluster, set_as_default=False) as client:
        with client.as_current():
            held = dask.persist(X, y)
            distributed.wait(held)

        def clock() -> tuple[float, float, float]:
            cpu, wall = seconds()
            return cpu, sum(client.run(time.process_time).values()), wall

        def time_passes(asked: argparse.Namespace) -> list[float]:
            with client.as_current():
                return _time_passes(lambda model: model.fit(*held), first, asked, clock)

        time_passes(asked)  # so that workers read their kernels
        yield time_passes


def _report(
    answers: Any, measure: Callable[..., str], where: Path, asked: argparse.Namespace
) -> None:
    answers.put(measure(where, asked))


def _in_own_process(measure: Callable[..., str], where: Path, asked: argparse.Namespace) -> str:
    spawn = multiprocessing.get_context("spawn")
    answers = spawn.Queue()
    process = spawn.Process(target=_report, args=(answers, measure, where, asked))
    process.start()
    process.join()
    if process.exitcode:
        raise SystemExit(f"{measure.__name__} failed")
    return str(answers.get())


def main() -> None:
    """Measure, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--features", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=1, help="threads per process")
    parser.add_argument("--batch-rows", type=int, default=65_536)
    parser.add_argument("--repeats", type=int, default=1, help="of the timings of passes")
    parser.add_argument("--directory", default=None, help="where the files are made")
    parser.add_argument("--skip-files", action="store_true", help="measure Dask alone")
    parser.add_argument("--dask", action="store_true")
    parser.add_argument("--dask-rows", type=int, default=4_000_000)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.directory) as directory:
        where = Path(directory)
        if not asked.skip_files:
            print(_in_own_process(make_files, where, asked), flush=True)
            print(_in_own_process(fit_whole, where, asked), flush=True)
            print(_in_own_process(time_passes, where, asked), flush=True)
        if asked.dask:
            print(_in_own_process(time_dask, where, asked), flush=True)


if __name__ == "__main__":
    main()
