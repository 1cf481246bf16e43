"""A gate over frozen estimators beside each alone, their mean, and scikit-learn's stacking.

    python benchmarks/stacking.py [seed]

Ten sets, bundled or simulated. Ridge, forest, boosting and nearest neighbours are fitted to half
of the training rows; what combines them sees the other half: the gate (`Frozen` experts), the
weights of `StackingRegressor(cv="prefit")`, nothing for `VotingRegressor`'s mean. Test rows are
half of all. Log densities are per row, of a Gaussian with the variance of the residuals of the
second half; but for the gate, whose density is that of the mixture. Wins and losses are printed
as they are.
"""

import os
import sys
import warnings

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from scipy.stats import norm
from sklearn.datasets import (
    load_diabetes,
    make_friedman1,
    make_friedman2,
    make_friedman3,
    make_regression,
)
from sklearn.ensemble import (
    HistGradientBoostingRegressor,
    RandomForestRegressor,
    StackingRegressor,
)
from sklearn.linear_model import Ridge
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mixexp import Frozen, MoERegressor
from mixexp.exceptions import DegenerateExpertWarning

LEARNERS = {
    "ridge": lambda: make_pipeline(StandardScaler(), Ridge()),
    "forest": lambda: RandomForestRegressor(100, random_state=0),
    "boosting": lambda: HistGradientBoostingRegressor(max_iter=100, random_state=0),
    "k-NN": lambda: make_pipeline(StandardScaler(), KNeighborsRegressor(10)),
}


def two_regimes(rng, n=1200):
    """Return rows that are linear on one side, and waves on the other."""
    X = rng.uniform(-2.0, 2.0, (n, 4))
    waves = 3.0 * np.sin(4.0 * X[:, 1]) * np.cos(3.0 * X[:, 2])
    y = np.where(X[:, 0] > 0.0, 4.0 * X[:, 1] - 2.0 * X[:, 3], waves)
    return X, y + rng.normal(scale=np.where(X[:, 0] > 0.0, 0.2, 1.0))


def steps(rng, n=1200):
    """Return rows of a function with jumps."""
    X = rng.uniform(-1.0, 1.0, (n, 3))
    return X, np.floor(3.0 * X[:, 0]) * np.sign(X[:, 1]) + 0.3 * rng.standard_normal(n)


def unequal_noise(rng, n=1200):
    """Return rows of a line whose noise grows."""
    X = rng.uniform(0.0, 3.0, (n, 3))
    return X, X @ [1.0, -2.0, 0.5] + 0.1 * np.exp(X[:, 0]) * rng.standard_normal(n)


def kinks(rng, n=1200):
    """Return rows of a piecewise linear function."""
    X = rng.uniform(-2.0, 2.0, (n, 5))
    return X, np.abs(X[:, 0]) + np.maximum(X[:, 1], 0.0) + 0.2 * rng.standard_normal(n)


def waves(rng, n=1200):
    """Return rows of a wave that runs faster to the right."""
    X = rng.uniform(0.0, 3.0, (n, 2))
    return X, np.sin(X[:, 0] ** 2 * 2.0) + 0.5 * X[:, 1] + 0.2 * rng.standard_normal(n)


def make_sets(seed):
    """Return features and targets by name."""
    rng = np.random.default_rng(seed)
    linear = make_regression(800, 10, n_informative=5, noise=20.0, random_state=seed)
    return {
        "diabetes": load_diabetes(return_X_y=True),
        "waves": waves(rng),
        "friedman 1": make_friedman1(1000, noise=1.0, random_state=seed),
        "friedman 2": make_friedman2(1000, noise=100.0, random_state=seed),
        "friedman 3": make_friedman3(1000, noise=0.1, random_state=seed),
        "linear": linear,
        "two regimes": two_regimes(rng),
        "steps": steps(rng),
        "unequal noise": unequal_noise(rng),
        "kinks": kinks(rng),
    }


def compare(X, y, seed):
    """Return (log density per row, RMSE) on test rows, by method."""
    X_fit, X_test, y_fit, y_test = train_test_split(X, y, test_size=0.5, random_state=seed)
    X_own, X_gate, y_own, y_gate = train_test_split(X_fit, y_fit, test_size=0.5, random_state=seed)
    fitted = {name: make().fit(X_own, y_own) for name, make in LEARNERS.items()}
    predict = {name: model.predict for name, model in fitted.items()}
    predict["mean"] = lambda rows: np.mean([m.predict(rows) for m in fitted.values()], axis=0)
    stacked = StackingRegressor(list(fitted.items()), cv="prefit").fit(X_gate, y_gate)
    predict["stacking"] = stacked.predict
    found = {}
    for name, function in predict.items():
        scale = np.sqrt(np.mean((y_gate - function(X_gate)) ** 2))
        mean = function(X_test)
        density = norm.logpdf(y_test, mean, scale).mean()
        found[name] = density, np.sqrt(np.mean((y_test - mean) ** 2))
    experts = [Frozen(model) for model in fitted.values()]
    gate = MoERegressor(len(experts), expert=experts, random_state=seed, n_init=5)
    with (
        warnings.catch_warnings()
    ):  # an expert that is of no use is named, which is no trouble here
        warnings.simplefilter("ignore", DegenerateExpertWarning)
        gate.fit(X_gate, y_gate)
    away = y_test - gate.predict(X_test)
    found["gate"] = gate.log_density(X_test, y_test).mean(), np.sqrt(np.mean(away**2))
    return found


def main():
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
    methods = [*LEARNERS, "mean", "stacking", "gate"]
    print("log density per row / RMSE on held-out rows")
    print(f"{'':14s}" + "".join(f"{name:>18s}" for name in methods))
    tables = []
    for name, (X, y) in make_sets(seed).items():
        found = compare(X, y, seed)
        tables.append(found)
        cells = (f"{found[m][0]:.3f} / {found[m][1]:.4g}" for m in methods)
        print(f"{name:14s}" + "".join(f"{cell:>18s}" for cell in cells), flush=True)
    for place, (what, sign) in enumerate((("log density", 1.0), ("RMSE", -1.0))):
        for rival in methods[:-1]:
            ahead = [sign * (table["gate"][place] - table[rival][place]) for table in tables]
            wins = sum(value > 0.0 for value in ahead)
            print(f"{what}: the gate beats {rival} in {wins} of {len(tables)} sets")


if __name__ == "__main__":
    main()
