"""A fit to one-hot columns, sparse and dense: seconds and memory.

    python -m benchmarks.sparse_rows [--rows 200000] [--dense]

Three categorical columns of 50, 200 and 1 000 levels and five numeric ones; two experts see all
of them, a gate that sees the numeric ones, a fixed number of EM iterations from one start.
"""

import argparse
import resource
import time
import warnings

import numpy as np
from scipy import sparse

from mixexp import EM, MoERegressor

LEVELS = (50, 200, 1000)
N_NUMERIC = 5
N_ITERATIONS = 10


def make_rows(n: int) -> tuple[sparse.csr_array, np.ndarray]:
    """Return one-hot and numeric columns, and y of two regimes."""
    rng = np.random.default_rng(0)
    numeric = rng.standard_normal((n, N_NUMERIC))
    codes = [rng.integers(0, levels, n) for levels in LEVELS]
    parts = [sparse.csr_array(numeric)]
    effect = np.zeros(n)
    for code, levels in zip(codes, LEVELS, strict=True):
        parts.append(sparse.csr_array((np.ones(n), code, np.arange(n + 1)), shape=(n, levels)))
        effect += rng.standard_normal(levels)[code]
    slope = np.where(numeric[:, 0] > 0.0, 2.0, -2.0)
    return sparse.csr_array(sparse.hstack(parts)), effect + slope * numeric[:, 1] + rng.normal(
        size=n
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--dense", action="store_true")
    options = parser.parse_args()
    X, y = make_rows(options.rows)
    rows = X.toarray() if options.dense else X
    model = MoERegressor(
        2,
        gate_features=list(range(N_NUMERIC)),
        solver=EM(acceleration="none", n_moves=0),
        n_init=1,
        max_iter=N_ITERATIONS,
        random_state=0,
    )
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it has not converged, of course
        model.fit(rows, y)
    seconds = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(
        f"{'dense' if options.dense else 'sparse'}: {seconds:.1f} s, peak {after / 1024:.0f} MB, "
        f"{(after - before) / 1024:.0f} MB of it in the fit; "
        f"log-likelihood {model.log_likelihood_:.6f}"
    )


if __name__ == "__main__":
    main()
