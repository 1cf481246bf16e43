"""Time of one EM iteration against rows, features, experts, depth and threads.

Fits differ in the number of iterations only, from the same start and without acceleration or
a stopping rule; the time that the additional iterations take, over their number, leaves out
all that a fit does once. Least times of several fits, for load on the machine only adds; warm,
one BLAS thread. The ratios are to the first row: a cost that is linear in n or in the number
of leaves shows as the ratio in parentheses, that of the sizes.

    python benchmarks/scaling.py [--quick]
"""

import argparse
import time
import warnings
from typing import Any, NamedTuple

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from mixexp import EM, HMERegressor, MoERegressor

N_REPEATS = 5
FEW = 2
LEAST_SECONDS = 0.3  # that the additional iterations should take
NOISE = 1.0  # as much as the signal: regimes overlap, and EM goes on for long


class Shape(NamedTuple):
    """A problem: rows, features, and experts in a tree of ``branching``."""

    n: int
    p: int
    branching: tuple[int, ...]

    @property
    def n_leaves(self) -> int:
        return int(np.prod(self.branching))


def make_data(shape: Shape) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw linear regimes chosen by a softmax gate, and labels that are right half the time."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((shape.n, shape.p))
    logits = X @ rng.standard_normal((shape.p, shape.n_leaves))
    regime = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    coef = rng.standard_normal((shape.n_leaves, shape.p)) / np.sqrt(shape.p)
    y = np.einsum("ij,ij->i", X, coef[regime]) + NOISE * rng.standard_normal(shape.n)
    guess = rng.integers(shape.n_leaves, size=shape.n)
    return X, y, np.where(rng.random(shape.n) < 0.5, regime, guess)


def make_estimator(shape: Shape, **options: Any) -> Any:
    options |= {"n_init": 1, "tol": 0.0, "solver": EM(acceleration="none")}
    if len(shape.branching) == 1:
        return MoERegressor(n_experts=shape.branching[0], **options)
    return HMERegressor(tree=shape.branching, **options)


def fit_seconds(shape: Shape, data: tuple[np.ndarray, ...], max_iter: int, n_jobs: int) -> float:
    """Return the time of a fit with so many iterations."""
    X, y, labels = data
    model = make_estimator(shape, init=labels, max_iter=max_iter, n_jobs=n_jobs)
    start = time.perf_counter()
    model.fit(X, y)
    seconds = time.perf_counter() - start
    if model.n_iter_ != max_iter:
        raise RuntimeError(f"{shape} stopped after {model.n_iter_} iterations, not {max_iter}")
    return seconds


def more_iterations(shape: Shape, data: tuple[np.ndarray, ...]) -> int:
    """Return how many iterations to add, by fits that also compile and fill caches."""
    fit_seconds(shape, data, FEW, 2)
    few, many = (fit_seconds(shape, data, max_iter, 1) for max_iter in (FEW, FEW + 4))
    return int(np.clip(4 * LEAST_SECONDS / max(many - few, 1e-4), 4, 20))


def iteration_seconds(shapes: list[Shape]) -> np.ndarray:
    """Return the time of an iteration with one and two threads, shape (n_shapes, 2).

    The shapes take turns, so that what else the machine does falls on all of them.
    """
    data = [make_data(shape) for shape in shapes]
    more = [more_iterations(*problem) for problem in zip(shapes, data, strict=True)]
    least = np.full((len(shapes), 2, 2), np.inf)
    for _ in range(N_REPEATS):
        for at, n_jobs, is_long in np.ndindex(least.shape):
            max_iter = FEW + is_long * more[at]
            seconds = fit_seconds(shapes[at], data[at], max_iter, n_jobs + 1)
            least[at, n_jobs, is_long] = min(least[at, n_jobs, is_long], seconds)
    return (least[:, :, 1] - least[:, :, 0]) / np.array(more)[:, None]


def print_table(title: str, shapes: list[Shape], sizes: list[int]) -> None:
    """Print times of one and two threads; ``sizes`` are what the table varies."""
    print(f"\n{title}")
    print(f"{'':>9} {'ms':>9} {'ratio':>7} {'(size)':>8} {'ns/row/leaf':>12} {'2 threads':>10}")
    seconds = iteration_seconds(shapes)
    for shape, size, (one, two) in zip(shapes, sizes, seconds, strict=True):
        print(
            f"{size:9} {1e3 * one:9.3f} {one / seconds[0, 0]:7.2f} {f'({size / sizes[0]:.2f})':>8} "
            f"{1e9 * one / shape.n / shape.n_leaves:12.1f} {one / two:9.2f}x",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="leave out the largest sizes")
    last = -1 if parser.parse_args().quick else None
    warnings.simplefilter("ignore", ConvergenceWarning)  # stopping early is the point
    rows = [1_000, 3_000, 10_000, 30_000, 100_000, 300_000][:last]
    features = [2, 5, 10, 20, 40, 80][:last]
    experts = [2, 3, 4, 8, 16, 32][:last]
    depths = [1, 2, 3, 4, 5, 6][:last]
    n = 20_000
    with threadpool_limits(1):
        print_table("n, with p=10 and K=5", [Shape(n, 10, (5,)) for n in rows], rows)
        print_table(f"p, with n={n} and K=4", [Shape(n, p, (4,)) for p in features], features)
        print_table(f"K, flat, with n={n} and p=10", [Shape(n, 10, (k,)) for k in experts], experts)
        print_table(
            f"leaves of balanced binary trees, with n={n} and p=10",
            [Shape(n, 10, (2,) * depth) for depth in depths],
            [2**depth for depth in depths],
        )


if __name__ == "__main__":
    main()
