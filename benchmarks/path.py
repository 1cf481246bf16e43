"""A path of L1 penalties beside one fit at the strength that it chose: CPU seconds.

    python -m benchmarks.path [--rows 2000] [--columns 200] [--experts 3] [--strengths 50]

The path searches its strongest penalty, has the estimator's own starts at three strengths and goes
down and back up; the fit has the estimator's default starts. Both in one process, in turns.
"""

import argparse
import time

import numpy as np
from sklearn.base import clone

from mixexp import MoERegressor
from mixexp.selection import regularization_path


def make_rows(n: int, p: int, n_experts: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return rows of regimes, each with four slopes of its own, told by two columns."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, p))
    gate = 2.0 * X[:, :2] @ rng.standard_normal((2, n_experts))
    regime = np.argmax(gate + rng.gumbel(size=gate.shape), axis=1)
    slopes = np.zeros((n_experts, p))
    for own in slopes:
        own[rng.choice(p, 4, replace=False)] = rng.choice([-2.0, 2.0], 4)
    mean = 1.5 * regime + np.einsum("ij,ij->i", X, slopes[regime])
    return X, mean + 0.7 * rng.standard_normal(n)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--columns", type=int, default=200)
    parser.add_argument("--experts", type=int, default=3)
    parser.add_argument("--strengths", type=int, default=50)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    X, y = make_rows(options.rows, options.columns, options.experts)
    model = MoERegressor(options.experts, alpha=0.0, gate_alpha=0.0, random_state=0)
    clone(model).set_params(l1=50.0, gate_l1=25.0).fit(X, y)  # imports and compiled loops
    ratios = []
    for _ in range(options.repeats):
        begun = time.process_time()
        path = regularization_path(model, X, y, n_strengths=options.strengths)
        of_path = time.process_time() - begun
        chosen = clone(model).set_params(
            l1=path.best_strength_, gate_l1=path.gate_ratio * path.best_strength_
        )
        begun = time.process_time()
        chosen.fit(X, y)
        of_fit = time.process_time() - begun
        ratios.append(of_path / of_fit)
        print(
            f"path {of_path:.1f} CPU s, fit {of_fit:.2f} CPU s: {ratios[-1]:.1f}; "
            f"{np.count_nonzero(chosen.coef_)} slopes, objective "
            f"{chosen.penalized_log_likelihood_:.6f}, "
            f"on the path {path.best_estimator_.penalized_log_likelihood_:.6f}",
            flush=True,
        )
    print(f"median {np.median(ratios):.1f} times one fit")


if __name__ == "__main__":
    main()
