"""A fit with an L1 penalty to many more columns than rows: CPU seconds and memory.

    python -m benchmarks.wide [--rows 500] [--columns 5000] [--l1 20]

One fit of two experts and a gate, all with an L1 penalty, from three starts.
"""

import argparse
import resource
import time
import tracemalloc

import numpy as np

from mixexp import MoERegressor


def make_rows(n: int, p: int) -> tuple[np.ndarray, np.ndarray]:
    """Return rows of two regimes in which three columns matter."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, p))
    is_first = X[:, 0] + 0.3 * rng.standard_normal(n) > 0.0
    mean = np.where(is_first, 2.0 * X[:, 1], -2.0 * X[:, 1] + X[:, 2])
    return X, mean + 0.5 * rng.standard_normal(n)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=500)
    parser.add_argument("--columns", type=int, default=5000)
    parser.add_argument("--l1", type=float, default=20.0)
    options = parser.parse_args()
    X, y = make_rows(options.rows, options.columns)
    model = MoERegressor(
        2, l1=options.l1, gate_l1=options.l1 / 2, alpha=0, gate_alpha=0, n_init=3, random_state=0
    )
    model.fit(X[:, :80], y)  # imports and compiled loops
    begun = time.process_time()
    model.fit(X, y)
    seconds = time.process_time() - begun
    tracemalloc.start()
    model.fit(X, y)
    peak = tracemalloc.get_traced_memory()[1]
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(
        f"n={options.rows}, p={options.columns}: {seconds:.1f} CPU s, {peak / 2**20:.0f} MB "
        f"in the fit beside X of {X.nbytes / 2**20:.0f} MB, {resident / 1024:.0f} MB resident; "
        f"{np.count_nonzero(model.coef_)} slopes, converged: {model.converged_}"
    )


if __name__ == "__main__":
    main()
