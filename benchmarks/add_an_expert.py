"""What does one expert more cost, against fitting all of them anew?

Rows of a regime that was not there appear in the second half. A model of the first half gets one
expert more from all rows (`with_expert(refit="new")`, the others as they are), and a new model of
that many experts is fitted to all rows. Prints log-likelihoods, CPU seconds and their ratio, the
median of five runs taken in turns.

Usage: ``python benchmarks/add_an_expert.py``
"""

import time
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

import numpy as np

from mixexp import MoERegressor

N_RUNS = 5
SIZES = ((2_000, 5, 2), (2_000, 5, 4))


def draw(n: int, p: int, n_old: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw rows of regimes that share out the first feature, and a new one far along the second."""
    rng = np.random.default_rng(seed)
    X = rng.uniform(-1.0, 1.0, (n, p))
    own = np.minimum((0.5 * (X[:, 0] + 1.0) * n_old).astype(int), n_old - 1)
    slopes = 2.0 * np.cos(1.7 * np.arange(n_old)[:, None] + 1.3 * np.arange(p))
    y = 2.0 * np.sin(2.0 * own) + np.einsum("ij,ij->i", slopes[own], X)
    is_new = (np.arange(n) >= n // 2) & (rng.random(n) < 0.5)
    X[is_new, 1] += 3.0
    y[is_new] = 6.0 - 2.0 * X[is_new, 0]
    return X, y + 0.3 * rng.standard_normal(n)


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """Return what a function returns, and its CPU seconds."""
    start = time.process_time()
    found = work()
    return found, time.process_time() - start


def compare(n: int, p: int, n_old: int) -> tuple[float, float, float, float]:
    """Return log-likelihoods and median CPU seconds of an addition and of a fit anew."""
    X, y = draw(n, p, n_old, seed=0)
    half = n // 2
    old = MoERegressor(n_old, random_state=0).fit(X[:half], y[:half])
    new_times, full_times = [], []
    for seed in range(N_RUNS):
        grown, seconds = timed(partial(old.with_expert, X, y, refit="new"))
        new_times.append(seconds)
        full, seconds = timed(partial(MoERegressor(n_old + 1, random_state=seed).fit, X, y))
        full_times.append(seconds)
    return grown.log_likelihood_, full.log_likelihood_, median(new_times), median(full_times)


def main() -> None:
    """Print a line per size."""
    print(
        f"{'rows':>7} {'p':>3} {'K':>3} {'loglik new':>11} {'full':>11} {'new s':>7} {'full s':>7}"
    )
    for n, p, n_old in SIZES:
        new, full, new_time, full_time = compare(n, p, n_old)
        shown = f"{new:>11.1f} {full:>11.1f} {new_time:>7.2f} {full_time:>7.2f}"
        print(f"{n:>7} {p:>3} {n_old + 1:>3} {shown}  1 / {full_time / new_time:.1f}", flush=True)


if __name__ == "__main__":
    main()
