"""How often a fit finds the best optimum that is known.

For every data set the best penalised log-likelihood is sought by 500 starts; the default fit,
a single start and the best of ten plain starts then run with seeds 0 to 9. Printed is the share of
seeds that end within 0.1 log units of the best, how far short the worst one ends, how many
winners are degenerate, and the median time of a fit. What any of the fits finds counts as known.

With --kinds data sets are drawn anew for every seed, of kinds that a search may fail on
(`kinds.py`). The best is then sought from the labels that drew the data, labels at random and a fit
with weak priors as well, and printed is the share of data sets at which the default fit comes near.

    python benchmarks/optima.py [--quick] [--sets diabetes-3 tree]
    python benchmarks/optima.py --kinds [factors] [--starts 50] [--seeds 5] [--record best.jsonl]
"""

import argparse
import gzip
import json
import re
import statistics
import time
import warnings
from functools import partial
from itertools import groupby, product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from kinds import Task, load_cells
from sklearn.datasets import load_diabetes
from sklearn.exceptions import ConvergenceWarning

from mixexp import EM, HMERegressor, MoEClassifier, MoERegressor
from mixexp.em._degeneracy import is_spurious
from mixexp.exceptions import DegenerateExpertWarning

REFERENCE = Path(__file__).parents[1] / "tests" / "reference"
CLOSE = 0.1  # log units
N_SEEDS = 10
N_STARTS = 500
N_LABELINGS = 40
WEAK = {"alpha": 1.0, "gate_alpha": 0.1, "dispersion_prior": 1.0}
METHODS: dict[str, dict[str, Any]] = {
    "default": {},
    "one start": {"n_init": 1, "solver": EM(n_moves=0)},
    "ten starts": {"n_init": 10, "solver": EM(n_moves=0)},
}


class Result(NamedTuple):
    """What the seeds of one method came to."""

    objectives: list[float]
    n_degenerate: int
    seconds: list[float]


# The data.


Rows = tuple[np.ndarray, np.ndarray]


def load_reference(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return features and target; the column z, the regime that drew a row, is left out."""
    with gzip.open(REFERENCE / f"{name}.csv.gz", "rt") as file:
        columns = np.array(file.readline().strip().split(","))
        table = np.loadtxt(file, delimiter=",")
    is_feature = np.char.startswith(columns, "x")
    return table[:, is_feature], table[:, columns == "y"].ravel()


def draw_regimes(seed: int, n: int, shares: list[float], noise: float, apart: float) -> Rows:
    """Draw linear regimes with soft gates: coefficients ``apart`` from each other."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, 3))
    coef = apart * rng.standard_normal((len(shares), 4))
    logits = np.log(shares) + X @ rng.standard_normal((3, len(shares)))
    labels = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    mean = coef[labels, 0] + np.einsum("ij,ij->i", coef[labels, 1:], X)
    return X, mean + noise * rng.standard_normal(n)


def load_tasks() -> dict[str, Task]:
    """Return the data sets by name, quick ones first."""
    X, y = load_diabetes(return_X_y=True)
    regression = MoERegressor
    tasks = {f"diabetes-{k}": Task(X, y, partial(regression, n_experts=k)) for k in (2, 3, 4)}
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
    return tasks


# The trial.


def find_best(task: Task, n_starts: int) -> float:
    """Return the best objective of many starts, the labels and drawn ones, and weak priors.

    Degenerate and spurious optima do not count: in a search they win against no regular one.
    """
    models = [task.make(random_state=10_000, n_init=n_starts)]
    if task.labels is not None:
        rng, n_experts = np.random.default_rng(0), int(task.labels.max()) + 1
        models.append(task.make(init=np.eye(n_experts)[task.labels]))
        drawn = rng.integers(0, n_experts, (min(N_LABELINGS, n_starts), len(task.y)))
        models += [task.make(init=np.eye(n_experts)[labels]) for labels in drawn]
        weak = fit_quietly(task.make(random_state=1, **WEAK), task)[0]
        models.append(task.make(init=weak))
    fits = [fit_quietly(model, task) for model in models]
    regular = [
        float(fit.penalized_log_likelihood_) for fit, is_degenerate in fits if not is_degenerate
    ]
    return max(regular, default=-np.inf)


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
    """Return the fitted model, and whether it has a degenerate expert or a spurious optimum."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", DegenerateExpertWarning)
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(task.X, task.y, **task.known)
    has_warned = any(entry.category is DegenerateExpertWarning for entry in caught)
    return model, has_warned or passes_through_rows(model, task)


def passes_through_rows(model: Any, task: Task) -> bool:
    """Tell whether the search ranks a fit last: an expert passes through its few rows."""
    fitted = model.fitted_model_
    if fitted.model.penalty.dispersion_prior > 0.0:
        return False
    mass = model.responsibilities(task.X, task.y, **task.known).sum(axis=0)
    return is_spurious(fitted.model, fitted.params, fitted.model.tree.covers @ mass)


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


def try_kinds(pattern: str, n_starts: int, n_seeds: int, record: Path | None) -> None:
    """Print, per kind, at how many data seeds the default fit ends near the best that is known."""
    cells = [cell for cell in load_cells() if re.search(pattern, f"{cell.kind}, {cell.name}")]
    known = read_known(record)
    print(f"{'kind':44s} {'fits':>5s} {'found':>6s} {'short, max':>10s} {'seconds':>9s}")
    for kind, members in groupby(cells, key=lambda cell: cell.kind):
        short, seconds = [], []
        for cell, seed in product(members, range(n_seeds)):
            task = cell.draw(seed)
            place = (kind, cell.name, seed, n_starts)
            if place not in known:
                note_known(record, place, find_best(task, n_starts), known)
            result = run_seeds(task, {}, 1)
            short.append(max(known[place] - result.objectives[0], 0.0))
            seconds += result.seconds
            if short[-1] > CLOSE:
                print(f"    {cell.name}, data seed {seed}: {short[-1]:.2f} short", flush=True)
        share = sum(value <= CLOSE for value in short) / len(short)
        print(
            f"{kind:44s} {len(short):5d} {share:6.1%} {max(short):10.2f}"
            f" {statistics.median(seconds):9.3f}",
            flush=True,
        )


#: Kind, cell, data seed and number of starts.
Place = tuple[str, str, int, int]


def read_known(record: Path | None) -> dict[Place, float]:
    """Return the best optima that earlier runs have found."""
    if record is None or not record.exists():
        return {}
    lines = [json.loads(line) for line in record.read_text().splitlines()]
    return {(kind, cell, seed, n_starts): best for kind, cell, seed, n_starts, best in lines}


def note_known(record: Path | None, place: Place, best: float, known: dict[Place, float]) -> None:
    """Note the best optimum of a data set: seeking it takes most of the time of a run."""
    known[place] = best
    if record is not None:
        with record.open("a") as file:
            file.write(json.dumps([*place, best]) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="50 starts and 5 seeds")
    parser.add_argument("--sets", nargs="*", help="names of data sets; all by default")
    parser.add_argument("--kinds", nargs="?", const="", help="kinds, all or those like this")
    parser.add_argument("--starts", type=int, help="starts that the best is sought from")
    parser.add_argument("--seeds", type=int, help="seeds: of fits, or of the data of kinds")
    parser.add_argument(
        "--record", type=Path, help="file that the best optima of kinds are kept in"
    )
    arguments = parser.parse_args()
    n_starts, n_seeds = (50, 5) if arguments.quick else (N_STARTS, N_SEEDS)
    n_starts, n_seeds = arguments.starts or n_starts, arguments.seeds or n_seeds
    if arguments.kinds is not None:
        try_kinds(arguments.kinds, n_starts, n_seeds, arguments.record)
        return
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
