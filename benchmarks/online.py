"""One epoch of `partial_fit` beside EM passes over all rows, in held-out log density.

``python benchmarks/online.py [--rows 2000000] [--passes 3]``: rows of four linear regimes by five
features, 100 000 more held out. The EM begins where `partial_fit` does, at the fit to the first
rows, and takes plain steps. One thread, warm; CPU seconds.
"""

import argparse
import os
import time
import warnings

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import numpy as np  # noqa: E402  # threads are set before

from mixexp import EM, MoERegressor  # noqa: E402

N_EXPERTS, N_FEATURES, N_FIRST, N_HELD_OUT = 4, 5, 5000, 100_000


def simulate(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw rows of regimes that overlap."""
    truth = np.random.default_rng(0)
    gate = truth.normal(size=(N_FEATURES, N_EXPERTS))
    coef = truth.normal(size=(N_FEATURES, N_EXPERTS))
    X = rng.standard_normal((n, N_FEATURES))
    regime = np.argmax(X @ gate + rng.gumbel(size=(n, N_EXPERTS)), axis=1)
    mean = (X @ coef)[np.arange(n), regime] + regime
    return X, mean + (0.5 + 0.2 * regime) * rng.standard_normal(n)


def main() -> None:
    """Fit both ways, and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--passes", type=int, default=3)
    asked = parser.parse_args()
    X, y = simulate(np.random.default_rng(1), asked.rows)
    held_out = simulate(np.random.default_rng(2), N_HELD_OUT)

    def tell(what: str, model: MoERegressor, seconds: float) -> None:
        reached = model.log_density(*held_out).mean()
        print(f"{what:32s} {reached:.6f} per held-out row, {seconds:7.1f} s of CPU", flush=True)

    first = MoERegressor(N_EXPERTS, n_init=5, random_state=0).fit(X[:N_FIRST], y[:N_FIRST])
    tell(f"fit to the first {N_FIRST}", first, 0.0)
    online = MoERegressor(N_EXPERTS, n_init=5, random_state=0)
    online.partial_fit(X[:N_FIRST], y[:N_FIRST])
    began = time.process_time()
    online.partial_fit(X[N_FIRST:], y[N_FIRST:])
    tell("one epoch of partial_fit", online, time.process_time() - began)
    for n_passes in range(1, 1 + asked.passes):
        plain = EM(acceleration="none", n_moves=0)
        batch = MoERegressor(N_EXPERTS, init=first, solver=plain, max_iter=n_passes)
        began = time.process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it is stopped on the way, which is what is asked
            batch.fit(X, y)
        tell(f"{n_passes} EM iterations on all rows", batch, time.process_time() - began)


if __name__ == "__main__":
    main()
