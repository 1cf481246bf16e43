"""The public protocol of probabilistic regression: random 90/10 splits, NLL and RMSE.

Every figure of a split is written as it comes (`Record`), and what is there already is not run
again, so a run that was stopped goes on. Splits are the outer loop: a run that is stopped early
has fewer of them, on all sets.
"""

import csv
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from prediction_methods import (
    Boosted,
    Method,
    WithGaussian,
    WithMaximumLikelihood,
    WithOutOfBag,
    is_installed,
)
from prediction_sets import Table, is_continuous, thin_out
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.linear_model import LinearRegression

from mixexp import MoERegressor
from mixexp.ensemble import BaggedMixture

FEWEST_ROWS = 100
MOST_ROWS = 1000
# Behind by more than this share of RMSE or this NLL, and by two standard errors, is counted.
WORSE_ERROR = 0.01
WORSE_LOSS = 0.02
N_STANDARD_ERRORS = 2.0
NEAR = 1.1
LINEAR, DEFAULT, EIGHT = "linear", "default", "eight experts"


class Split(NamedTuple):
    """What a method came to on one split: held-out figures, and seconds of processor time."""

    error: float
    loss: float
    seconds: float


# Splits by set, method and number of the split.
Found = dict[tuple[str, str, int], Split]


def protocol_methods() -> dict[str, Method]:
    """Return what is compared, by name; the linear model first."""
    auto = MoERegressor("auto", random_state=0)
    forest = RandomForestRegressor(random_state=0, oob_score=True)
    boosting = HistGradientBoostingRegressor(random_state=0)
    made: dict[str, Callable[[], object]] = {
        LINEAR: partial(WithMaximumLikelihood, LinearRegression()),
        "forest": partial(WithOutOfBag, forest),
        "boosting": partial(WithGaussian, boosting),
    }
    for name, module in (("ngboost", "ngboost"), ("xgboost-distribution", "xgboost_distribution")):
        if is_installed(module, name):
            made[name] = partial(Boosted, module)
    made |= {
        DEFAULT: partial(MoERegressor, random_state=0),
        EIGHT: partial(MoERegressor, 8, random_state=0),
        "auto": partial(clone, auto),
        "auto bagged": partial(BaggedMixture, auto, random_state=0),
    }
    return made


class Record:
    """Splits that are done, in a file of comma-separated values if one is named.

    Parameters
    ----------
    path : Path or None
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self.found: Found = {}
        if path is not None and path.exists():
            with path.open(newline="") as lines:
                for name, method, split, *figures in csv.reader(lines):
                    self.found[name, method, int(split)] = Split(*map(float, figures))

    def add(self, name: str, method: str, number: int, split: Split) -> None:
        """Keep a split, and write it."""
        self.found[name, method, number] = split
        if self._path is not None:
            with self._path.open("a", newline="") as lines:
                csv.writer(lines).writerow([name, method, number, *split])


def run_protocol(
    n_splits: int, methods: Mapping[str, Method], tables: Mapping[str, Table], path: Path | None
) -> None:
    """Run what has not been run, and print the figures of every method on every set.

    Parameters
    ----------
    n_splits : int
    methods : mapping of str to callable
        The linear model first.
    tables : mapping of str to tuple
    path : Path or None
        Where splits are kept.
    """
    record = Record(path)
    whole = {name: thin_out(*table, most=MOST_ROWS) for name, table in tables.items()}
    for number in range(n_splits):
        for name, (X, y) in whole.items():
            order = nth_order(number, len(y))
            for method, make in methods.items():
                if (name, method, number) not in record.found:
                    record.add(name, method, number, try_split(make, X, y, order))
        print(f"split {number + 1} of {n_splits} is done", flush=True)
    asked = {
        (name, method): [record.found[name, method, number] for number in range(n_splits)]
        for name in whole
        for method in methods
    }
    print_sets(whole, methods, asked)
    print_summary(list(whole), list(methods), asked)


def is_for_protocol(y: np.ndarray) -> bool:
    """Return whether there are rows enough, of a target that has a density."""
    return len(y) >= FEWEST_ROWS and is_continuous(y)


def nth_order(number: int, n: int) -> np.ndarray:
    """Return the order of the rows in one split, the same however many there are."""
    rng = np.random.default_rng(0)
    return [rng.permutation(n) for _ in range(number + 1)][-1]


def try_split(make: Method, X: np.ndarray, y: np.ndarray, order: np.ndarray) -> Split:
    """Fit to nine tenths of the rows, and ask about the others."""
    n_held = max(1, round(0.1 * len(y)))
    test, train = order[:n_held], order[n_held:]
    begun = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = make().fit(X[train], y[train])
        error = float(np.sqrt(np.mean((model.predict(X[test]) - y[test]) ** 2)))
        loss = -float(np.mean(model.log_density(X[test], y[test])))
    return Split(error, loss, time.process_time() - begun)


# The figures.

Asked = Mapping[tuple[str, str], list[Split]]


def print_sets(tables: Mapping[str, Table], methods: Mapping[str, Method], asked: Asked) -> None:
    """Print RMSE, NLL and time of every method on every set, with standard errors."""
    print("\n| set (n, p) | method | RMSE | NLL | seconds |\n|---|---|---:|---:|---:|")
    for name, (X, y) in tables.items():
        for method in methods:
            error, loss, seconds = map(np.array, zip(*asked[name, method], strict=True))
            print(
                f"| {name} ({len(y)}, {X.shape[1]}) | {method} | {error.mean():.4g} +- "
                f"{standard_error(error):.2g} | {loss.mean():.3f} +- {standard_error(loss):.2g} "
                f"| {seconds.mean():.2f} |"
            )


def standard_error(values: np.ndarray) -> float:
    return float(values.std(ddof=min(1, len(values) - 1)) / np.sqrt(len(values)))


def print_summary(names: list[str], methods: list[str], asked: Asked) -> None:
    """Print how often each method is best, near the best, or behind, and its time."""
    means = {key: Split(*np.mean(splits, axis=0)) for key, splits in asked.items()}
    least_loss = {name: min(means[name, m].loss for m in methods) for name in names}
    least_error = {name: min(means[name, m].error for m in methods) for name in names}
    print("\n| method | best NLL | RMSE within 10 % of the best | seconds per fit |")
    print("|---|---:|---:|---:|")
    for method in methods:
        n_best = sum(means[name, method].loss == least_loss[name] for name in names)
        n_near = sum(means[name, method].error <= NEAR * least_error[name] for name in names)
        seconds = np.mean([means[name, method].seconds for name in names])
        print(f"| {method} | {n_best} of {len(names)} | {n_near} | {seconds:.2f} |")
    print()
    for method in methods:
        if method != LINEAR:
            print_behind(method, LINEAR, list_behind(names, method, LINEAR, asked))
    if EIGHT in methods and DEFAULT in methods:
        print_behind(EIGHT, DEFAULT, list_behind(names, EIGHT, DEFAULT, asked))


def print_behind(method: str, base: str, told: Iterator[str]) -> None:
    told_all = list(told)
    print(f"{method} behind {base} on {len(told_all)} sets; {'; '.join(told_all)}")


def list_behind(names: list[str], method: str, base: str, asked: Asked) -> Iterator[str]:
    """Tell the sets on which a method is behind another by more than chance.

    Differences are between the same splits.
    """
    for name in names:
        own, other = np.array(asked[name, method]), np.array(asked[name, base])
        loss = own[:, 1] - other[:, 1]
        error = (own[:, 0] - other[:, 0]) / other[:, 0].mean()
        told = [
            f"{figure} {values.mean():+.3f} ({standard_error(values):.3f})"
            for figure, values, most in (("NLL", loss, WORSE_LOSS), ("RMSE", error, WORSE_ERROR))
            if values.mean() > max(most, N_STANDARD_ERRORS * standard_error(values))
        ]
        if told:
            yield f"{name}: {', '.join(told)}"
