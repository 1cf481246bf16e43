"""What one mistyped size costs in held-out log density, beside a line.

Simulated stones of `many_experts.py`, 5 760 rows of fit and 640 held out, of which one has its
height times ten; with --diamonds the file of R's ggplot2::diamonds, whose own three rows with a
size of 31.8 or 58.9 are held out in turn, alone or with another of them in the fit. y is the log
price in units of its deviation. The line has variance and slopes by maximum likelihood.

    Rscript -e 'write.csv(ggplot2::diamonds, "diamonds.csv", row.names = FALSE)'
    python benchmarks/far_rows.py [--diamonds diamonds.csv] [--seeds 3]

Printed are minus the mean log density of the held-out rows, without the mistyped one and with it,
and its log density, with limits of features and without.
"""

import argparse
import csv
import warnings
from copy import copy
from pathlib import Path
from typing import Any

import numpy as np
from many_experts import draw_stones
from sklearn.exceptions import ConvergenceWarning

from mixexp import MoERegressor
from mixexp.exceptions import DegenerateExpertWarning

N_FIT, N_HELD = 5760, 640
HEIGHT = 20  # of the simulated stones, after 17 dummies, carat, length and width
SIZES = ("carat", "x", "y", "z", "depth", "table")
GRADES = ("cut", "color", "clarity")


def read_diamonds(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return features, log prices, and which rows are mistyped."""
    with path.open() as file:
        rows = list(csv.DictReader(file))
    sizes = np.array([[float(row[name]) for name in SIZES] for row in rows])
    columns = [sizes]
    for name in GRADES:
        labels = np.array([row[name] for row in rows])
        columns.append(np.stack([labels == one for one in np.unique(labels)[1:]], axis=1))
    y = np.log([float(row["price"]) for row in rows])
    bad = np.flatnonzero(sizes[:, 1:4].max(axis=1) > 20.0)
    return np.hstack(columns).astype(float), (y - y.mean()) / y.std(), bad


def without_limits(model: Any) -> Any:
    """Return a fitted estimator to which no row is far."""
    bare, state = copy(model), model.fitted_model_
    bare.fitted_model_ = state._replace(scaling=state.scaling._replace(lowest=None))
    return bare


def compare(title: str, fit: tuple[Any, Any], held: tuple[Any, Any], bad: tuple[Any, Any]) -> None:
    """Fit a line and two mixtures, and print what they say of held-out rows."""
    no_prior: dict[str, Any] = {"alpha": 0.0, "gate_alpha": 0.0, "dispersion_prior": 0.0}
    for k in (1, 3, 8):
        model = MoERegressor(k, random_state=0, **(no_prior if k == 1 else {})).fit(*fit)
        clean = model.log_density(*held)
        own = [one.log_density(*bad) for one in (model, without_limits(model))]
        means = [-np.mean(np.append(clean, found)) for found in own]
        print(
            f"{title}, K = {k}: {-clean.mean():.3f} without it, {means[0]:.3f} with it "
            f"({means[1]:.3f}); its log density {own[0][0]:.1f} ({own[1][0]:.0f})",
            flush=True,
        )


def run_stones(seed: int) -> None:
    """Hold one simulated row out whose height is times ten; then with six more in the fit."""
    X, y = draw_stones(N_FIT + N_HELD, seed)
    y = y / y.std()
    for n_in_fit in (0, 6):
        Z = X.copy()
        Z[[*range(n_in_fit), N_FIT], HEIGHT] *= 10.0
        parts = slice(N_FIT), slice(N_FIT + 1, None), slice(N_FIT, N_FIT + 1)
        name = f"stones, seed {seed}, {n_in_fit} in the fit"
        compare(name, *((Z[rows], y[rows]) for rows in parts))


def run_diamonds(data: tuple[np.ndarray, np.ndarray, np.ndarray], seed: int) -> None:
    """Hold each mistyped row out, alone and with the next of them in the fit."""
    X, y, bad = data
    rest = np.setdiff1d(np.arange(len(y)), bad)
    order = np.random.default_rng(seed).permutation(rest)[: N_FIT + N_HELD]
    for at, row in enumerate(bad):
        for others in ([], [bad[at - 1]]):
            rows = np.append(order[:N_FIT], np.array(others, dtype=int)), order[N_FIT:], [row]
            name = f"diamonds, seed {seed}, largest {X[row, 1:4].max()}, {len(others)} in the fit"
            compare(name, *((X[own], y[own]) for own in rows))


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--diamonds", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    for category in (ConvergenceWarning, DegenerateExpertWarning):
        warnings.simplefilter("ignore", category)
    data = None if options.diamonds is None else read_diamonds(options.diamonds)
    for seed in range(options.seeds):
        if data is None:
            run_stones(seed)
        else:
            run_diamonds(data, seed)


if __name__ == "__main__":
    main()
