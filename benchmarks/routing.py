"""Time of prediction: soft over its floor, and hard or top-k routing over soft.

The floor of soft prediction is one matrix product of the features, with a column of ones, and
the coefficients of all gate logits and locations, and the exponentials of the gate logits. It
reads no input but its own and writes its results to memory; `predict` checks and standardises
X, and averages.

Routing is timed in a balanced binary tree. Its regimes are cut by random hyperplanes, one per
node, and it is fitted from the true labels by two iterations, with weak and strong penalties
on the gates: the less sure gates are, the less often the greedy route ends at the most probable
expert. Least times of runs that take turns. CPU time on one thread, except in the last column.

    python benchmarks/routing.py [--quick]
"""

import argparse
import time
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import r2_score
from sklearn.utils import check_array
from threadpoolctl import threadpool_limits

from mixexp import EM, HMERegressor, MoERegressor
from mixexp.exceptions import DegenerateExpertWarning, RankDeficientWarning

N_REPEATS = 9
N_FIT = 8192  # rows to fit a deep tree to, 8 per leaf with 1 024 leaves
NOISE = 0.3


class Size(NamedTuple):
    """Rows, features and experts of a flat model."""

    n: int
    p: int
    n_experts: int


def least_seconds(
    functions: list[Callable[[], Any]], clock: Callable[[], float] = time.process_time
) -> list[float]:
    """Return the least time of each function; they take turns."""
    least = np.full(len(functions), np.inf)
    for repeat in range(1 + N_REPEATS):
        for at, function in enumerate(functions):
            start = clock()
            function()
            if repeat > 0:  # the first compiles, and fills caches
                least[at] = min(least[at], clock() - start)
    return least.tolist()


def print_soft(size: Size) -> None:
    """Print the time of soft prediction of a flat model beside its floor."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((size.n, size.p))
    some = X[:2000]
    y = np.where(some[:, 0] > 0.0, some[:, 1], -some[:, 1]) + rng.standard_normal(len(some))
    model = MoERegressor(size.n_experts, n_init=1, max_iter=5, random_state=0).fit(some, y)
    with_ones = np.column_stack([np.ones(size.n), X])
    coef = rng.standard_normal((1 + size.p, 2 * size.n_experts))
    logits = rng.standard_normal((size.n, size.n_experts))

    def floor() -> None:
        with_ones @ coef
        np.exp(logits)

    def predict() -> None:
        model.predict(X)

    with threadpool_limits(1):
        bare, whole, checks = least_seconds([floor, predict, lambda: check_array(X)])
    model.set_params(n_jobs=2)
    with threadpool_limits(2):
        bare_two, whole_two = least_seconds([floor, predict], time.perf_counter)
    print(
        f"{size.n:9} {size.p:3} {size.n_experts:3} {1e3 * bare:9.2f} {1e3 * whole:11.2f} "
        f"{whole / bare:6.2f} {1e3 * checks:11.2f} {whole_two / bare_two:12.2f}",
        flush=True,
    )


class Regimes:
    """Linear regimes at the leaves of a binary tree of random hyperplanes."""

    def __init__(self, depth: int, p: int) -> None:
        self._rng = np.random.default_rng(0)
        self._depth = depth
        self._planes = self._rng.standard_normal((2**depth - 1, p))
        self._coef = self._rng.standard_normal((2**depth, p))

    def draw(self, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return X, y and the leaf of each row."""
        X = self._rng.standard_normal((n, self._planes.shape[1]))
        leaf = np.zeros(n, dtype=int)
        for level in range(self._depth):
            plane = self._planes[2**level - 1 + leaf]
            leaf = 2 * leaf + (np.einsum("ij,ij->i", X, plane) > 0.0)
        y = np.einsum("ij,ij->i", X, self._coef[leaf]) + NOISE * self._rng.standard_normal(n)
        return X, y, leaf


def print_routing(depth: int, p: int, gate_alpha: float, n: int) -> None:
    """Print time and outcome of every routing in a deep tree."""
    regimes = Regimes(depth, p)
    X, y, leaf = regimes.draw(N_FIT)
    solver = EM(acceleration="none")
    model = HMERegressor(
        (2,) * depth, init=leaf, gate_alpha=gate_alpha, max_iter=2, solver=solver
    ).fit(X, y)
    X, y, _ = regimes.draw(n)
    routings: list[str | int] = ["soft", "hard", 1, 2, 4, 16]

    def prediction(routing: str | int) -> Callable[[], Any]:
        return lambda: model.predict(X, routing=routing)

    with threadpool_limits(1):
        seconds = least_seconds([prediction(routing) for routing in routings])
    print(f"\n{2**depth} leaves, p={p}, n={n}, gate_alpha={gate_alpha}")
    print(f"{'routing':>9} {'us per row':>11} {'soft over it':>13} {'mass kept':>10} {'R2':>6}")
    for routing, taken in zip(routings, seconds, strict=True):
        kept = 1.0 - model.route(X, routing).dropped.mean()
        print(
            f"{routing:>9} {1e6 * taken / n:11.2f} {seconds[0] / taken:12.1f}x {kept:10.2f} "
            f"{r2_score(y, model.predict(X, routing=routing)):6.2f}",
            flush=True,
        )
    agreement = np.mean(model.route(X, "hard").experts == model.route(X, 1).experts)
    print(f"hard leads to the most probable expert in {agreement:.0%} of rows")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="leave out the largest sizes")
    is_quick = parser.parse_args().quick
    for category in (ConvergenceWarning, DegenerateExpertWarning, RankDeficientWarning):
        warnings.simplefilter("ignore", category)  # stopping early is the point
    sizes = [Size(1_000, 10, 5), Size(20_000, 10, 5), Size(200_000, 10, 5), Size(1_000_000, 20, 8)]
    print(f"{'n':>9} {'p':>3} {'K':>3} {'floor, ms':>9} {'predict, ms':>11} {'ratio':>6} ", end="")
    print(f"{'checks, ms':>11} {'two threads':>12}")
    for size in sizes[: -1 if is_quick else None]:
        print_soft(size)
    for gate_alpha in (3.0, 0.1, 0.001):
        print_routing(8 if is_quick else 10, 20, gate_alpha, 20_000)


if __name__ == "__main__":
    main()
