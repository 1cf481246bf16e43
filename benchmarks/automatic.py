"""What automatic choices come to where the truth is known.

    python -m benchmarks.automatic [--leaves] [--nothing] [--arm] [--draws 10] [--rows 5000]

``--leaves``: rows of a tree of five leaves, by `HMERegressor(tree="auto")`: the number of leaves,
and the held-out log density less that of a fit with the true tree. ``--nothing``: noise, and one
line: the number of experts of a flat model and of a tree. ``--arm``: the simulated robot arm of
Jordan & Jacobs (1994), the error of a grown tree over the variance of y, beside other regressors.
All three without arguments.
"""

import argparse
import time
import warnings
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LinearRegression, RidgeCV
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, SplineTransformer, StandardScaler
from sklearn.tree import DecisionTreeRegressor

from mixexp import HMERegressor, MoERegressor
from mixexp.datasets import make_hme, make_robot_arm
from mixexp.exceptions import DegenerateExpertWarning
from mixexp.selection import Auto

FIVE_TREE = [[[1, 1], 1], [1, 1]]
N_HELD_OUT = 5000


def count_leaves(n_draws: int, n_rows: int) -> None:
    """Print leaves found and held-out log density, for data of a tree of five leaves."""
    print("\n| draw | leaves | held out, less the true tree's | less the truth's | CPU s |")
    print("|---|---:|---:|---:|---:|")
    for seed in range(n_draws):
        X, y, truth = make_hme(n_rows + N_HELD_OUT, 3, tree=FIVE_TREE, random_state=seed)
        given = make_fit(HMERegressor(FIVE_TREE, random_state=0), X[:n_rows], y[:n_rows])
        begun = time.process_time()
        grown = make_fit(HMERegressor("auto", random_state=0), X[:n_rows], y[:n_rows])
        seconds = time.process_time() - begun
        held = X[n_rows:], y[n_rows:]
        own = grown.log_density(*held).mean()
        print(
            f"| {seed} | {grown.tree_.n_leaves} | {own - given.log_density(*held).mean():+.4f} | "
            f"{own - truth.log_density[n_rows:].mean():+.4f} | {seconds:.1f} |",
            flush=True,
        )


def count_experts_for_nothing(n_draws: int) -> None:
    """Print how often one expert is chosen where there is one model."""
    print("\n| data | estimator | one expert |\n|---|---|---:|")
    for what in ("noise", "line"):
        found = {"flat": 0, "tree": 0}
        for seed in range(n_draws):
            rng = np.random.default_rng(seed)
            X, noise = rng.normal(size=(300, 4)), rng.normal(size=300)
            y = noise if what == "noise" else X @ [1.0, -1.0, 0.5, 0.0] + noise
            flat = make_fit(MoERegressor("auto", random_state=0), X, y)
            tree = make_fit(HMERegressor("auto", random_state=0), X, y)
            found["flat"] += flat.tree_.n_leaves == 1
            found["tree"] += tree.tree_.n_leaves == 1
        for estimator, number in found.items():
            print(f"| {what} | {estimator} | {number} of {n_draws} |", flush=True)


def bend_arm(n_rows: int) -> None:
    """Print errors of the four joints' accelerations, each over its variance, and their mean."""
    X, y = make_robot_arm(n_rows + N_HELD_OUT, random_state=0)
    splines = make_pipeline(  # pieces in each column and their products, as MARS adds them
        StandardScaler(), SplineTransformer(4, degree=1), PolynomialFeatures(2), RidgeCV()
    )
    network = make_pipeline(
        StandardScaler(), MLPRegressor(hidden_layer_sizes=(64, 64), max_iter=500, random_state=0)
    )
    models: dict[str, Any] = {
        "linear": LinearRegression(),
        "CART": DecisionTreeRegressor(min_samples_leaf=5, random_state=0),
        "linear splines and their products, ridge": splines,
        "boosting": HistGradientBoostingRegressor(random_state=0),
        "network of 64 and 64": network,
        "HME, 16 experts, 35 passes": HMERegressor(
            (2, 2, 2, 2), max_iter=35, n_init=1, random_state=0
        ),
        'HME, tree="auto", 35 passes': HMERegressor(
            Auto(max_experts=12, max_depth=5, cv=3), max_iter=35, random_state=0
        ),
    }
    print("\n| regressor | relative error, by joint | mean | leaves, passes | CPU s |")
    print("|---|---|---:|---|---:|")
    for name, model in models.items():
        errors, sizes = [], []
        begun = time.process_time()
        for joint in range(y.shape[1]):
            fitted = make_fit(model, X[:n_rows], y[:n_rows, joint])
            residual = y[n_rows:, joint] - fitted.predict(X[n_rows:])
            errors.append(np.mean(residual**2) / np.var(y[n_rows:, joint]))
            if isinstance(fitted, HMERegressor):
                sizes.append(f"{fitted.tree_.n_leaves}, {fitted.n_iter_}")
        seconds = time.process_time() - begun
        by_joint = " ".join(f"{error:.3f}" for error in errors)
        print(
            f"| {name} | {by_joint} | {np.mean(errors):.3f} | {'; '.join(sizes)} | {seconds:.0f} |",
            flush=True,
        )


def make_fit(model: Any, X: np.ndarray, y: np.ndarray) -> Any:
    """Fit, without what is said of 35 passes and of leaves that are not used."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DegenerateExpertWarning)
        warnings.filterwarnings("ignore", category=UserWarning)
        return model.fit(X, y)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--leaves", action="store_true")
    parser.add_argument("--nothing", action="store_true")
    parser.add_argument("--arm", action="store_true")
    parser.add_argument("--draws", type=int, help="10 of trees, 20 of nothing by default")
    parser.add_argument("--rows", type=int, default=5000, help="of fits to trees")
    parser.add_argument("--arm-rows", type=int, default=15000)
    options = parser.parse_args()
    is_all = not (options.leaves or options.nothing or options.arm)
    if options.nothing or is_all:
        count_experts_for_nothing(options.draws or 20)
    if options.leaves or is_all:
        count_leaves(options.draws or 10, options.rows)
    if options.arm or is_all:
        bend_arm(options.arm_rows)


if __name__ == "__main__":
    main()
