"""Time of the first fit in a fresh process, with numba's cache empty and filled.

Prints CPU seconds (user and system) of the import and of the first fit beyond it, the median
of several processes each.
"""

import os
import statistics
import subprocess
import sys
import tempfile

N_WARM = 5
_CHILD = """
import time
start = time.process_time()
import numpy as np
from mixexp import MoERegressor
imported = time.process_time()
rng = np.random.default_rng(0)
X = rng.normal(size=(442, 10))
y = np.where(X[:, 0] > 0, X[:, 1], -X[:, 2]) + 0.3 * rng.normal(size=442)
MoERegressor(n_experts=3, n_init=1, random_state=0).fit(X, y)
print(imported - start, time.process_time() - imported)
"""


def run_child(cache: str) -> tuple[float, float]:
    """Return CPU seconds of import and of the first fit in a fresh process."""
    environment = {**os.environ, "NUMBA_CACHE_DIR": cache}
    done = subprocess.run(
        [sys.executable, "-c", _CHILD], env=environment, capture_output=True, text=True, check=True
    )
    imported, fitted = map(float, done.stdout.split())
    return imported, fitted


def main() -> None:
    with tempfile.TemporaryDirectory() as cache:
        run_child(cache)  # reads the libraries from disk once, so that cold means numba alone
    with tempfile.TemporaryDirectory() as cache:
        imported, cold = run_child(cache)
        warm = [run_child(cache)[1] for _ in range(N_WARM)]
    print(f"import mixexp          {imported:6.2f} s CPU")
    print(f"first fit, empty cache {cold:6.2f} s CPU")
    print(f"first fit, warm cache  {statistics.median(warm):6.2f} s CPU (median of {N_WARM})")


if __name__ == "__main__":
    main()
