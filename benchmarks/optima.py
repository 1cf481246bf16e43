"""How often a fit finds the best optimum that is known.

For every data set the best penalised log-likelihood is sought by 500 starts; the default fit,
a single start and the best of ten plain starts then run with seeds 0 to 9. Printed is the share of
seeds that end within 0.1 log units of the best, how far short the worst one ends, how many
winners are degenerate, and the median time of a fit. What any of the fits finds counts as known.

    python benchmarks/optima.py [--quick] [--sets diabetes-3 tree]
"""

import argparse
import gzip
import statistics
import time
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.exceptions import ConvergenceWarning

from mixexp import EM, HMERegressor, MoEClassifier, MoERegressor
from mixexp.exceptions import DegenerateExpertWarning

REFERENCE = Path(__file__).parents[1] / "tests" / "reference"
CLOSE = 0.1  # log units
N_SEEDS = 10
N_STARTS = 500
METHODS: dict[str, dict[str, Any]] = {
    "default": {},
    "one start": {"n_init": 1, "solver": EM(n_moves=0)},
    "ten starts": {"n_init": 10, "solver": EM(n_moves=0)},
}


class Task(NamedTuple):
    """A data set, what is fitted to it, and labels that an optimum is sought from as well."""

    X: np.ndarray
    y: np.ndarray
    make: Callable[..., Any]
    labels: np.ndarray | None = None
    known: Mapping[str, np.ndarray] = MappingProxyType({})


class Result(NamedTuple):
    """What the seeds of one method came to."""

    objectives: list[float]
    n_degenerate: int
    seconds: list[float]


# The data.


def load_reference(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return features and target; the column z, the regime that drew a row, is left out."""
    with gzip.open(REFERENCE / f"{name}.csv.gz", "rt") as file:
        columns = np.array(file.readline().strip().split(","))
        table = np.loadtxt(file, delimiter=",")
    is_feature = np.char.startswith(columns, "x")
    return table[:, is_feature], table[:, columns == "y"].ravel()


def draw_regimes(seed: int, n: int, shares: list[float], noise: float, apart: float) -> Any:
    """Draw linear regimes with soft gates: coefficients ``apart`` from each other."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, 3))
    coef = apart * rng.standard_normal((len(shares), 4))
    logits = np.log(shares) + X @ rng.standard_normal((3, len(shares)))
    labels = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    mean = coef[labels, 0] + np.einsum("ij,ij->i", coef[labels, 1:], X)
    return X, mean + noise * rng.standard_normal(n)


def draw_lines(n_lines: int, gap: float, n: int, is_crossing: bool) -> Any:
    """Draw lines ``gap`` standard deviations of their noise apart, in no order of x; and labels."""
    rng = np.random.default_rng(1)
    label = np.repeat(np.arange(n_lines), n // n_lines)
    x = rng.uniform(-3.0, 3.0, len(label))
    slope = np.linspace(-2.0, 2.0, n_lines)[label] if is_crossing else 2.4
    return x[:, None], slope * x + gap * label + rng.normal(size=len(label)), label


def draw_factors(family: str, n_levels: int, n_factors: int, n: int) -> Any:
    """Draw two regimes over dummies of factors, with effects of their own; and labels."""
    rng = np.random.default_rng(1)
    columns, eta = [], np.zeros((2, n))
    for _ in range(n_factors):
        level = rng.integers(0, n_levels, n)
        columns.append(np.eye(n_levels)[level][:, 1:])
        eta += 1.2 * rng.normal(size=(2, n_levels))[:, level]
    label = rng.choice(2, n, p=[0.6, 0.4])
    own = eta[label, np.arange(n)]
    if family == "poisson":
        y = rng.poisson(np.exp(1.5 + 0.8 * np.minimum(own, 9.0))).astype(float)
    elif family == "binomial":
        y = rng.binomial(10, 1.0 / (1.0 + np.exp(-own))).astype(float)
    else:
        y = 2.0 * own + 0.7 * rng.normal(size=n)
    return np.hstack(columns), y, label


def load_kinds() -> dict[str, Task]:
    """Return data of two kinds: lines that are plainly apart, and factors as the only features."""
    tasks = {}
    for n_lines, n in ((3, 150), (5, 400), (5, 1000), (10, 1000)):
        for gap in (10.0, 100.0):
            for is_crossing in (False, True):
                X, y, label = draw_lines(n_lines, gap, n, is_crossing)
                name = f"{'crossing' if is_crossing else 'parallel'}-{n_lines}-{n}-{gap:g}"
                tasks[name] = Task(X, y, partial(MoERegressor, n_experts=n_lines), label)
    for family in ("gaussian", "poisson", "binomial"):
        for n_levels, n_factors, n in ((3, 1, 60), (5, 1, 400), (8, 1, 400), (4, 2, 400)):
            X, y, label = draw_factors(family, n_levels, n_factors, n)
            known = {"trials": np.full(n, 10.0)} if family == "binomial" else {}
            make = partial(MoERegressor, n_experts=2, expert=family, gate="constant")
            likelihood = partial(make, alpha=0.0, gate_alpha=0.0, dispersion_prior=0.0)
            name = f"{family}-{n_levels}-{n_factors}-{n}"
            tasks[name] = Task(X, y, make, label, known)
            tasks[f"{name}-ml"] = Task(X, y, likelihood, label, known)
    return tasks


def load_tasks() -> dict[str, Task]:
    """Return the data sets by name, quick ones first."""
    diabetes = load_diabetes(return_X_y=True)
    regression = MoERegressor
    tasks = {f"diabetes-{k}": Task(*diabetes, partial(regression, n_experts=k)) for k in (2, 3, 4)}
    overlapping = draw_regimes(1, 600, [1.0, 1.0, 1.0], 1.0, 1.0)
    unbalanced = draw_regimes(2, 1000, [0.7, 0.2, 0.07, 0.03], 0.5, 2.0)
    tree = draw_regimes(3, 800, [1.0, 1.0, 1.0, 1.0], 0.5, 1.5)
    tasks |= {
        "overlapping-3": Task(*overlapping, partial(regression, n_experts=3)),
        "unbalanced-4": Task(*unbalanced, partial(regression, n_experts=4)),
        "tree-2-2": Task(*tree, partial(HMERegressor, tree=(2, 2))),
        "G1": Task(*load_reference("G1"), regression),
        "T1": Task(*load_reference("T1"), partial(regression, expert="student_t")),
        "C1": Task(*load_reference("C1"), partial(regression, expert_features=[])),
        "GA1": Task(*load_reference("GA1"), partial(regression, expert="gamma")),
        "P1": Task(*load_reference("P1"), partial(regression, expert="poisson")),
        "B1": Task(*load_reference("B1"), partial(MoEClassifier, n_experts=3)),
    }
    return tasks | load_kinds()


# The trial.


def find_best(task: Task, n_starts: int) -> float:
    """Return the best objective of many starts, the labels and drawn ones, and weak priors."""
    models = [task.make(random_state=10_000, n_init=n_starts)]
    if task.labels is not None:
        rng, n_experts = np.random.default_rng(0), int(task.labels.max()) + 1
        models.append(task.make(init=task.labels))
        models += [task.make(init=rng.integers(0, n_experts, len(task.y))) for _ in range(40)]
        weak = {"alpha": 1.0, "gate_alpha": 0.1, "dispersion_prior": 1.0}
        models.append(task.make(init=fit_quietly(task.make(random_state=1, **weak), task)[0]))
    return max(float(fit_quietly(model, task)[0].penalized_log_likelihood_) for model in models)


def run_seeds(task: Task, options: dict[str, Any], n_seeds: int) -> Result:
    """Fit with every seed, and note what came of it."""
    result = Result([], 0, [])
    for seed in range(n_seeds):
        begin = time.perf_counter()
        model, is_degenerate = fit_quietly(task.make(random_state=seed, **options), task)
        result.seconds.append(time.perf_counter() - begin)
        result.objectives.append(float(model.penalized_log_likelihood_))
        result = result._replace(n_degenerate=result.n_degenerate + is_degenerate)
    return result


def fit_quietly(model: Any, task: Task) -> tuple[Any, bool]:
    """Return the fitted model, and whether it warned of a degenerate expert."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", DegenerateExpertWarning)
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(task.X, task.y, **task.known)
    return model, any(entry.category is DegenerateExpertWarning for entry in caught)


def report(name: str, best: float, results: dict[str, Result]) -> None:
    """Print one line per method."""
    best = max([best, *(max(result.objectives) for result in results.values())])
    for method, result in results.items():
        short = [best - value for value in result.objectives]
        share = sum(value <= CLOSE for value in short) / len(short)
        print(
            f"{name:24s} {method:11s} {share:6.0%} {max(short):10.2f} {result.n_degenerate:6d}"
            f" {statistics.median(result.seconds):9.3f}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="50 starts and 5 seeds")
    parser.add_argument("--sets", nargs="*", help="names of data sets; all by default")
    arguments = parser.parse_args()
    n_starts, n_seeds = (50, 5) if arguments.quick else (N_STARTS, N_SEEDS)
    print(
        f"{'data':24s} {'method':11s} {'found':>6s} {'short, max':>10s} {'degen.':>6s}"
        f" {'seconds':>9s}"
    )
    for name, task in load_tasks().items():
        if arguments.sets and name not in arguments.sets:
            continue
        best = find_best(task, n_starts)
        results = {m: run_seeds(task, options, n_seeds) for m, options in METHODS.items()}
        report(name, best, results)


if __name__ == "__main__":
    main()
