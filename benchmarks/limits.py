"""Time of one EM iteration over its floor, one thread.

The floor is the work that any implementation of this iteration has to do, at the speed of the
BLAS and of NumPy's exponential: per cache-sized block of rows the linear predictors by one
matrix product, the row-wise products of features, one matrix product of these with the
weights of all curvature blocks (experts and the full gate), the gradients, and two
exponentials per row and expert. No logarithms, no sums over experts, no steps.

    python benchmarks/limits.py [--quick]
"""

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial

import numpy as np

from mixexp.data import RowArguments, RowBlocks, single_threaded_blas
from mixexp.em import Problem, draw_starts
from mixexp.em._iteration import stack_parameters
from mixexp.em._m_step import em_step
from mixexp.estimators._build import Columns, build_problem
from mixexp.estimators._gates import NodeGate
from mixexp.experts import Gaussian
from mixexp.kernels import packed_grams
from mixexp.model import Parameters, Penalty
from mixexp.tree import GatingTree

BLOCK_ROWS = 4096
PIECE_ROWS = 256
N_REPEATS = 7


def make_data(n: int, p: int, n_experts: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw linear regimes chosen by a softmax gate."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, p))
    regime = (X @ rng.standard_normal((p, n_experts))).argmax(axis=1)
    coef = rng.standard_normal((n_experts, p))
    return X, np.einsum("ij,ij->i", X, coef[regime]) + 0.3 * rng.standard_normal(n)


def make_problem(X: np.ndarray, y: np.ndarray, n_experts: int) -> tuple[Problem, Parameters]:
    """Return the problem with a start."""
    every = list(range(X.shape[1]))
    problem, pooled, _ = build_problem(
        X,
        y,
        RowArguments(np.ones(len(y))),
        tree=GatingTree.flat(n_experts),
        families=[Gaussian()] * n_experts,
        node_gates=[NodeGate(every)],
        columns=Columns(every, every),
        penalty=Penalty(1.0, 1.0, 1.0),
        n_threads=1,
    )
    return problem, stack_parameters(problem, draw_starts(problem, pooled, "hyperplane", [1]))


def floor_iteration(blocks: list[np.ndarray], n_experts: int) -> Callable[[], None]:
    """Return a function that does the floor's work once."""
    rng = np.random.default_rng(0)
    p = len(blocks[0])
    n_weights = n_experts + n_experts * (n_experts - 1) // 2
    coef = rng.standard_normal((2 * n_experts, p))
    weights = rng.random((n_weights, BLOCK_ROWS))
    scores = rng.standard_normal((2 * n_experts, BLOCK_ROWS))
    n_products = p * (p + 1) // 2
    grams = np.zeros((n_weights, n_products))
    scratch = (
        np.zeros((n_weights, PIECE_ROWS)),
        np.empty((n_products, PIECE_ROWS)),
        np.empty_like(grams),
    )
    logs = -rng.random((2 * n_experts, BLOCK_ROWS))

    def iterate() -> None:
        for features in blocks:
            rows = features.shape[1]
            coef @ features
            np.exp(logs[:, :rows])
            packed_grams(features, weights[:, :rows].copy(), *scratch, grams)
            scores[:, :rows] @ features.T

    return iterate


def iterate(problem: Problem, start: Parameters) -> object:
    """Do one EM iteration: pass over the data, and step."""
    return em_step(problem, problem.evaluate(start), 0, False)


def median_seconds(function: Callable[[], object], repeats: int) -> float:
    """Return the median time of a call, after one that is not counted."""
    function()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="leave out the largest shape")
    shapes = [(442, 10, 3), (20_000, 10, 5), (200_000, 10, 5), (1_000_000, 20, 8)]
    if parser.parse_args().quick:
        shapes.pop()
    print(f"{'n':>9} {'p':>3} {'K':>3} {'floor ms':>9} {'EM ms':>9} {'ratio':>6} {'2 threads':>10}")
    for n, p, n_experts in shapes:
        X, y = make_data(n, p, n_experts)
        problem, start = make_problem(X, y, n_experts)
        assert isinstance(problem.blocks, RowBlocks)  # in memory
        cut = [
            np.ascontiguousarray(block.features.to_array()[:, at : at + BLOCK_ROWS])
            for block in problem.blocks
            for at in range(0, block.features.shape[1], BLOCK_ROWS)
        ]
        two = Problem(problem.model, problem.blocks, 2)
        with single_threaded_blas():
            floor = median_seconds(floor_iteration(cut, n_experts), N_REPEATS)
            one_thread = median_seconds(partial(iterate, problem, start), N_REPEATS)
            two_threads = median_seconds(partial(iterate, two, start), N_REPEATS)
        print(
            f"{n:9} {p:3} {n_experts:3} {1e3 * floor:9.2f} {1e3 * one_thread:9.2f} "
            f"{one_thread / floor:6.2f} {one_thread / two_threads:9.2f}x"
        )


if __name__ == "__main__":
    main()
