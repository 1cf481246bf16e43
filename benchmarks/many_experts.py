"""What many experts cost: processor time of fits against experts, flat and in binary trees.

Data are simulated in the shapes that many experts are fitted to: 506 rows of housing prices by 13
features, 8 192 positions of a robot arm by 8 joints, 6 400 prices of stones by 23 columns, of
which 17 are dummies and 4 collinear sizes. Printed are the processor time of a fit (least of
several, one thread, warm from the second on) and the penalised log-likelihood that it reaches.

    python benchmarks/many_experts.py [--curves] [--grid] [--repeats 3] [--only TEXT] [--json FILE]

--curves prints time against 2 to 64 experts for 500 and 10 000 rows, --grid what a search comes to
over families, trees and seeds (to be compared before and after a change, with --json).
"""

import argparse
import json
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from mixexp import HMERegressor, MoEClassifier, MoERegressor
from mixexp.exceptions import DegenerateExpertWarning

EXPERTS = [2, 4, 8, 16, 32, 64]


class Case(NamedTuple):
    """A fit that is timed, and the seconds that it may take (none: not known)."""

    name: str
    model: Any
    X: np.ndarray
    y: np.ndarray
    target: float | None = None


def draw_housing(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Draw 13 features that share three factors, one of them a dummy, and kinked prices."""
    rng = np.random.default_rng(seed)
    factors = rng.standard_normal((n, 3))
    X = factors @ rng.standard_normal((3, 13)) + rng.standard_normal((n, 13))
    X[:, 0] = np.exp(X[:, 0])
    X[:, 3] = X[:, 3] > 1.5
    rooms, poor = X[:, 5], X[:, 12]
    y = 22.0 + 4.0 * np.maximum(rooms, 0.5) - 3.0 * np.tanh(poor) - 0.2 * np.minimum(X[:, 0], 20.0)
    y += (
        2.0 * X[:, 3] + (rooms > 1.0) * (poor < 0.0) * X[:, 7] + X[:, [2, 9, 10]] @ [0.3, -0.6, 0.5]
    )
    return X, y + (1.0 + 0.5 * np.abs(rooms)) * rng.standard_normal(n)


def draw_arm(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Draw eight joints of an arm, and how far its end is from a point."""
    rng = np.random.default_rng(seed)
    X = rng.uniform(-0.5 * np.pi, 0.5 * np.pi, (n, 8))
    angle = np.cumsum(X, axis=1)
    end = 0.125 * np.stack([np.cos(angle).sum(axis=1), np.sin(angle).sum(axis=1)], axis=1)
    return X, np.hypot(*(end - [0.1, 0.1]).T) + 0.05 * rng.standard_normal(n)


def draw_stones(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Draw dummies of three grades, collinear sizes, and log prices with kinks."""
    rng = np.random.default_rng(seed)
    grades = [rng.integers(levels, size=n) for levels in (5, 7, 8)]
    dummies = [np.eye(levels)[g][:, 1:] for g, levels in zip(grades, (5, 7, 8), strict=True)]
    carat = np.round(0.2 + rng.gamma(1.5, 0.4, n), 2)
    side = 6.5 * np.cbrt(carat)[:, None] * (1.0 + 0.02 * rng.standard_normal((n, 3)))
    shape = np.array([61.8, 57.5]) + rng.standard_normal((n, 2)) * [1.4, 2.2]
    y = 8.4 + 1.7 * np.log(carat) - 0.06 * grades[1] + 0.12 * grades[2] + 0.03 * grades[0]
    y += 0.1 * (carat >= 1.0) + 0.05 * grades[2] * (carat > 1.5)
    y += 0.1 * (1.0 + (carat < 0.4)) * rng.standard_normal(n)
    return np.column_stack([*dummies, carat, side, shape]), y


def targets() -> Iterator[Case]:
    """Yield the fits that are to be fast."""
    housing, arm, stones = draw_housing(506), draw_arm(8192), draw_stones(6400)
    five: dict[str, Any] = {"n_init": 5, "random_state": 0}
    yield Case("506 x 13, tree (2,2,2,2)", HMERegressor((2, 2, 2, 2), **five), *housing, 1.5)
    yield Case("506 x 13, flat, 32", MoERegressor(32, **five), *housing, 1.5)
    yield Case("8192 x 8, flat, 16", MoERegressor(16, **five), *arm, 4.0)
    yield Case("6400 x 23, flat, 6, default", MoERegressor(6, random_state=0), *stones, 3.0)


def curves() -> Iterator[Case]:
    """Yield fits of 2 to 64 experts."""
    for n in (500, 10_000):
        for k in EXPERTS:
            options: dict[str, Any] = {"n_init": 2, "random_state": 0, "max_iter": 200}
            tree = (2,) * int(np.log2(k))
            data = draw_housing(n)
            yield Case(f"{n} x 13, flat, {k}", MoERegressor(k, **options), *data)
            if k > 2:
                yield Case(f"{n} x 13, binary tree, {k}", HMERegressor(tree, **options), *data)


def grid() -> Iterator[Case]:
    """Yield fits of several families, trees and seeds, small enough to be many."""
    for seed in range(3):
        options: dict[str, Any] = {"n_init": 4, "random_state": seed}
        X, y = draw_housing(300, seed + 1)
        counts = np.random.default_rng(seed).poisson(np.exp(0.1 * np.clip(y, 0.0, 35.0)))
        positive = np.exp(0.1 * y)
        arm = draw_arm(600, seed + 1)
        for k in (3, 6, 12):
            yield Case(f"housing, {k}, {seed}", MoERegressor(k, **options), X, y)
            yield Case(f"arm, {k}, {seed}", MoERegressor(k, **options), *arm)
        for tree in ((2, 2), (2, 2, 2), (3, 2), (2, 2, 2, 2)):
            yield Case(f"housing, {tree}, {seed}", HMERegressor(tree, **options), X, y)
            yield Case(f"arm, {tree}, {seed}", HMERegressor(tree, **options), *arm)
        for family, target in {"poisson": counts, "gamma": positive, "student_t": y}.items():
            yield Case(
                f"{family}, 4, {seed}", MoERegressor(4, expert=family, **options), X[:, :6], target
            )
        classes = np.digitize(y, np.quantile(y, [0.3, 0.7]))
        yield Case(f"classes, 3, {seed}", MoEClassifier(3, **options), X[:, :6], classes)


def measure(case: Case, n_repeats: int) -> dict[str, float]:
    """Return least processor seconds, the objective, and iterations of the winner."""
    seconds = []
    for _ in range(n_repeats):
        start = time.process_time()
        case.model.fit(case.X, case.y)
        seconds.append(time.process_time() - start)
    return {
        "seconds": min(seconds),
        "objective": float(case.model.penalized_log_likelihood_),
        "iterations": float(case.model.n_iter_),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--curves", action="store_true", help="time against the number of experts")
    parser.add_argument("--grid", action="store_true", help="what searches come to")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", default="", help="cases whose names have this in them")
    parser.add_argument("--json", type=Path, help="file for the numbers")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)  # what is reached is printed
    warnings.simplefilter("ignore", DegenerateExpertWarning)
    cases = curves() if arguments.curves else grid() if arguments.grid else targets()
    n_repeats = 1 if arguments.grid else arguments.repeats
    found: dict[str, dict[str, float]] = {}
    print(f"{'':<32} {'CPU s':>8} {'at most':>8} {'objective':>12} {'iterations':>11}")
    with threadpool_limits(1):
        for case in cases:
            if arguments.only not in case.name:
                continue
            own = found[case.name] = measure(case, n_repeats)
            limit = "" if case.target is None else f"{case.target:.1f}"
            print(
                f"{case.name:<32} {own['seconds']:8.2f} {limit:>8} {own['objective']:12.3f} "
                f"{own['iterations']:11.0f}",
                flush=True,
            )
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
