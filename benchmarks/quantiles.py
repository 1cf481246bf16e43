"""Time of quantiles, intervals, scores and draws of a mixture, against one evaluation of its cdf.

A model is fitted to few rows; then the questions are asked of many, which are worked on block
by block. Least times of several, for load on the machine only adds; warm. The ratio is to one
cdf at one y per row, on as many threads: what a search costs in evaluations.

    python benchmarks/quantiles.py [--rows 1000000] [--experts 5] [--jobs 2]
"""

import argparse
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from mixexp import MoERegressor

N_FEATURES = 10
N_FITTED = 5000
N_REPEATS = 3
LEVELS = (0.05, 0.5, 0.95)
# Questions that look at some hundred nodes per row are asked of this share of the rows.
FEW = 20


def make_model(n_experts: int, n_jobs: int) -> tuple[Any, np.random.Generator]:
    """Fit Gaussian experts to linear regimes that a softmax gate chooses between."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((N_FITTED, N_FEATURES))
    logits = X @ rng.standard_normal((N_FEATURES, n_experts))
    regime = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    coef = rng.standard_normal((n_experts, N_FEATURES))
    y = np.einsum("ij,ij->i", X, coef[regime]) + 0.5 * rng.standard_normal(N_FITTED)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = MoERegressor(n_experts, n_init=2, random_state=0, n_jobs=n_jobs).fit(X, y)
    return model, rng


def least_seconds(function: Callable[[], Any]) -> float:
    """Return the least time of some calls, after one that warms up."""
    seconds = []
    for _ in range(N_REPEATS + 1):
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return min(seconds[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--experts", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    model, rng = make_model(options.experts, options.jobs)
    X = rng.standard_normal((options.rows, N_FEATURES))
    y = model.predict(X)
    dist = model.predict_dist(X)
    some = model.predict_dist(X[: options.rows // FEW])
    questions: dict[str, tuple[int, Callable[[], Any]]] = {
        "cdf, one y per row": (1, lambda: dist.cdf(y)),
        "predict_dist": (1, lambda: model.predict_dist(X)),
        f"predict_quantile, {len(LEVELS)} levels": (1, lambda: model.predict_quantile(X, LEVELS)),
        "ppf, 0.5": (1, lambda: dist.ppf(0.5)),
        "ppf, 1e-9": (1, lambda: dist.ppf(1e-9)),
        "rvs": (1, lambda: dist.rvs(1, 0)),
        "crps": (1, lambda: dist.crps(y)),
        "tail_expectation, 0.99": (1, lambda: dist.tail_expectation(0.99)),
        "interval, hdr": (FEW, lambda: some.interval(0.9, kind="hdr")),
        "modes": (FEW, lambda: some.modes()),
    }
    print(f"{options.rows} rows, {options.experts} experts, {options.jobs} threads")
    unit = None
    for name, (share, function) in questions.items():
        seconds = least_seconds(function) * share
        unit = unit or seconds
        note = f", from {options.rows // share} rows" if share > 1 else ""
        print(f"{name:32s} {seconds:8.2f} s {seconds / unit:8.1f} x{note}")
    error = np.abs(dist.cdf(dist.ppf(0.05)) - 0.05).max()
    print(f"largest |cdf(ppf(q)) - q|: {error:.1e}")


if __name__ == "__main__":
    main()
