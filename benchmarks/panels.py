"""Time of one EM iteration of a panel over that of the same rows without groups.

20 000 groups of 10 rows, 10 features, 4 experts, a gate on 2 further features that are the same in
all rows of a group. From the same start, without acceleration or a stopping rule; the time that the
additional iterations take, over their number, leaves out what a fit does once. Runs alternate and
the least times count, for load on the machine only adds; warm, one thread.

    python benchmarks/panels.py [--quick]
"""

import argparse
import time
import warnings
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from mixexp import EM, MoERegressor

N_REPEATS = 5
N_EXPERTS, N_FEATURES, SIZE = 4, 10, 10
FEW, MANY = 2, 12  # iterations


def make_panel(n_groups: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Draw X, y, groups in no order, and labels that are right half the time."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(n_groups), SIZE)
    of_group = rng.standard_normal((n_groups, 2))
    logits = of_group @ rng.standard_normal((2, N_EXPERTS))
    label = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)[groups]
    X = np.column_stack([rng.standard_normal((len(groups), N_FEATURES)), of_group[groups]])
    coef = rng.standard_normal((N_EXPERTS, N_FEATURES)) / np.sqrt(N_FEATURES)
    mean = np.einsum("ij,ij->i", X[:, :N_FEATURES], coef[label])
    y = mean + rng.standard_normal(len(groups))
    guess = np.where(
        rng.random(n_groups) < 0.5, label[::SIZE], rng.integers(N_EXPERTS, size=n_groups)
    )
    order = rng.permutation(len(groups))
    return X[order], y[order], groups[order], guess[groups][order]


def fit_seconds(data: tuple[np.ndarray, ...], max_iter: int, **given: Any) -> float:
    """Return the time of a fit of some iterations."""
    X, y, _, guess = data
    model = MoERegressor(
        N_EXPERTS,
        expert_features=list(range(N_FEATURES)),
        gate_features=[N_FEATURES, N_FEATURES + 1],
        init=guess,
        max_iter=max_iter,
        tol=0.0,
        solver=EM(acceleration="none"),
    )
    start = time.perf_counter()
    model.fit(X, y, **given)
    return time.perf_counter() - start


def main() -> None:
    """Print milliseconds per iteration with and without groups, and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="2 000 groups")
    n_groups = 2_000 if parser.parse_args().quick else 20_000
    data = make_panel(n_groups)
    warnings.simplefilter("ignore", ConvergenceWarning)
    kinds: dict[str, dict[str, Any]] = {"rows": {}, "groups": {"groups": data[2]}}
    least: dict[tuple[str, int], float] = {}
    with threadpool_limits(1):
        for _ in range(N_REPEATS + 1):  # the first compiles
            for name, given in kinds.items():
                for max_iter in (FEW, MANY):
                    seconds = fit_seconds(data, max_iter, **given)
                    least[name, max_iter] = min(least.get((name, max_iter), np.inf), seconds)
    each = {name: (least[name, MANY] - least[name, FEW]) / (MANY - FEW) for name in kinds}
    print(f"{n_groups} groups of {SIZE} rows, p = {N_FEATURES}, K = {N_EXPERTS}")
    for name, seconds in each.items():
        print(f"  {name:6} {1e3 * seconds:8.2f} ms per iteration")
    print(f"  ratio  {each['groups'] / each['rows']:8.2f}")


if __name__ == "__main__":
    main()
