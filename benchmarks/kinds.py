"""Data of the kinds that a search may fail on: regimes plainly apart, factors alone, many rows.

A `Cell` is one setting of a kind, and draws a data set of it for every seed, with the labels
that drew it. `optima.py` fits them.
"""

from collections.abc import Callable, Mapping
from functools import partial
from itertools import product
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from mixexp import MoERegressor

LIKELIHOOD: dict[str, Any] = {"alpha": 0.0, "gate_alpha": 0.0, "dispersion_prior": 0.0}


class Task(NamedTuple):
    """A data set, what is fitted to it, and labels that an optimum is sought from as well."""

    X: np.ndarray
    y: np.ndarray
    make: Callable[..., Any]
    labels: np.ndarray | None = None
    known: Mapping[str, np.ndarray] = MappingProxyType({})


class Cell(NamedTuple):
    """A setting of a kind, and what draws its data from a seed."""

    kind: str
    name: str
    draw: Callable[[int], Task]


def draw_lines(
    n_lines: int, gap: float, n: int, is_crossing: bool, gate: str, n_features: int, seed: int
) -> Task:
    """Draw lines ``gap`` standard deviations of their noise apart, in no order of the features."""
    rng = np.random.default_rng(seed)
    label = np.repeat(np.arange(n_lines), n // n_lines)
    X = rng.uniform(-3.0, 3.0, (len(label), n_features))
    slope = np.linspace(-2.0, 2.0, n_lines)[label] if is_crossing else 2.4
    y = slope * X[:, 0] + gap * label + rng.normal(size=len(label))
    return Task(X, y, partial(MoERegressor, n_experts=n_lines, gate=gate), label)


def draw_factors(
    family: str, n_levels: int, n_factors: int, n: int, priors: dict[str, Any], seed: int
) -> Task:
    """Draw two regimes over dummies of factors, with effects of their own."""
    rng = np.random.default_rng(seed)
    columns, eta = [], np.zeros((2, n))
    for _ in range(n_factors):
        level = rng.integers(0, n_levels, n)
        columns.append(np.eye(n_levels)[level][:, 1:])
        eta += 1.2 * rng.normal(size=(2, n_levels))[:, level]
    label = rng.choice(2, n, p=[0.6, 0.4])
    own = eta[label, np.arange(n)]
    known = {}
    if family == "poisson":
        y = rng.poisson(np.exp(1.5 + 0.8 * np.minimum(own, 9.0))).astype(float)
    elif family == "binomial":
        y = rng.binomial(10, 1.0 / (1.0 + np.exp(-own))).astype(float)
        known["trials"] = np.full(n, 10.0)
    else:
        y = 2.0 * own + 0.7 * rng.normal(size=n)
    make = partial(MoERegressor, n_experts=2, expert=family, gate="constant", **priors)
    return Task(np.hstack(columns), y, make, label, known)


def draw_many_rows(n: int, n_lines: int, gap: float, seed: int) -> Task:
    """Draw lines apart and one column of noise, more rows than starts compete on."""
    return draw_lines(n_lines, gap, n, seed % 2 == 1, "softmax", 2, seed)


def load_cells() -> list[Cell]:
    """Return all settings, those of a kind one after another."""
    cells = []
    sizes = ((3, 150), (4, 400), (5, 400), (5, 1000), (7, 1000), (10, 1000))
    for is_crossing, gate in product((False, True), ("constant", "softmax")):
        kind = f"{'crossing' if is_crossing else 'parallel'} lines, {gate} gate"
        for (n_lines, n), gap in product(sizes, (10.0, 30.0, 100.0)):
            draw = partial(draw_lines, n_lines, gap, n, is_crossing, gate, 1)
            cells.append(Cell(kind, f"{n_lines} lines, {n} rows, gap {gap:g}", draw))
    sizes = ((3, 1), (5, 1), (8, 1), (3, 2), (5, 2), (8, 2))
    for family, is_default in product(("gaussian", "poisson", "binomial"), (True, False)):
        kind = f"factors, {family}, {'default priors' if is_default else 'maximum likelihood'}"
        priors = {} if is_default else LIKELIHOOD
        for (n_levels, n_factors), n in product(sizes, (60, 400)):
            draw_own = partial(draw_factors, family, n_levels, n_factors, n, priors)
            cells.append(Cell(kind, f"{n_factors} x {n_levels} levels, {n} rows", draw_own))
    for n_lines, gap in ((3, 10.0), (5, 10.0)):
        draw_long = partial(draw_many_rows, 150_000, n_lines, gap)
        cells.append(Cell("many rows", f"{n_lines} lines, 150 000 rows, gap {gap:g}", draw_long))
    return cells
