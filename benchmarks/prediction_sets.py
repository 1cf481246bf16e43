"""The data sets that `prediction.py` predicts held-out rows of.

They come with scikit-learn, with statsmodels and with R (MASS and datasets), or are simulated.
Frames become numbers by one rule for all: only complete rows; a column of text or of a factor as
dummies less one if it has at most ten levels, otherwise not at all, for it numbers subjects. Counts
that are skewed to the right (moment coefficient above 1) become log(1 + y). A series is predicted
from its last three values. What is named here for each set is its target, and columns that
number the rows or were made of the target.
"""

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from sklearn import datasets

MOST_ROWS = 200
MOST_LEVELS = 10
N_LAGS = 3
SKEWED = 1.0
MOST_EQUAL = 0.2

Table = tuple[np.ndarray, np.ndarray]


class Source(NamedTuple):
    """What a frame is read by: the column that is predicted, and columns that are no features."""

    target: str
    left_out: tuple[str, ...] = ()


MASS = {
    "Boston": Source("medv"),
    "birthwt": Source("bwt", ("low",)),
    "cats": Source("Hwt"),
    "coop": Source("Conc"),
    "cpus": Source("perf", ("estperf",)),
    "crabs": Source("CW", ("index",)),
    "epil": Source("y", ("subject",)),
    "fgl": Source("RI"),
    "GAGurine": Source("GAG"),
    "geyser": Source("waiting"),
    "mcycle": Source("accel"),
    "michelson": Source("Speed"),
    "minn38": Source("f"),
    "nlschools": Source("lang"),
    "npr1": Source("perm"),
    "quine": Source("Days"),
    "Sitka": Source("size", ("tree",)),
    "Sitka89": Source("size", ("tree",)),
    "survey": Source("Height"),
    "Traffic": Source("y"),
}
R_FRAMES = {
    "airquality": Source("Ozone"),
    "attenu": Source("accel", ("event",)),
    "ChickWeight": Source("weight"),
    "DNase": Source("density"),
    "faithful": Source("eruptions"),
    "iris": Source("Sepal.Length"),
    "quakes": Source("mag"),
    "randu": Source("z"),
    "Theoph": Source("conc"),
}
R_SERIES = ("AirPassengers", "BJsales", "UKDriverDeaths", "co2", "lynx", "nottem", "treering")

# Writes every frame as a table in which levels of factors cannot be taken for numbers.
WRITE = """
folder <- commandArgs(TRUE)[1]
for (entry in commandArgs(TRUE)[-1]) {
  name <- strsplit(entry, "::")[[1]]
  data(list = name[2], package = name[1], envir = environment())
  frame <- as.data.frame(get(name[2]))
  for (column in names(frame))
    if (is.factor(frame[[column]]) || is.character(frame[[column]]))
      frame[[column]] <- ifelse(
        is.na(frame[[column]]), NA, paste("level", as.character(frame[[column]])))
    else frame[[column]] <- as.numeric(frame[[column]])
  write.csv(frame, file.path(folder, paste0(name[2], ".csv")), row.names = FALSE)
}
"""


def load_regressions() -> dict[str, Table]:
    """Return the sets with a real target, by name, whole."""
    found: dict[str, Table] = {"diabetes": datasets.load_diabetes(return_X_y=True)}
    exercise = datasets.load_linnerud()
    found["linnerud"] = exercise.data, exercise.target[:, 1]
    found |= load_statsmodels()
    found |= {
        "friedman1": datasets.make_friedman1(300, noise=1.0, random_state=0),
        "friedman2": datasets.make_friedman2(300, noise=100.0, random_state=0),
        "friedman3": datasets.make_friedman3(300, noise=0.1, random_state=0),
    }
    return found | simulate() | load_r()


def load_statsmodels() -> dict[str, Table]:
    """Return the regression sets that come with statsmodels, numeric columns as they are."""
    try:
        bundled = import_module("statsmodels.datasets")
    except ImportError:
        print("statsmodels is not installed: its data sets are left out")
        return {}
    names = ["engel", "ccard", "stackloss", "statecrime", "copper", "scotland", "star98"]
    names += ["grunfeld", "strikes", "fair", "longley"]
    found = {}
    for name in names:
        data = getattr(bundled, name).load_pandas()
        X = data.exog.select_dtypes("number").to_numpy(float)
        y = np.asarray(data.endog, dtype=float)
        # star98 counts those above and below a median: the share above is predicted.
        found[name] = X, y if y.ndim == 1 else y[:, 0] / y.sum(axis=1)
    frames = {
        "cancer": Source("cancer"),
        "interest_inflation": Source("Dp"),
        "macrodata": Source("infl", ("realint",)),
        "randhie": Source("mdvis"),
    }
    for name, source in frames.items():
        found[name] = read_frame(getattr(bundled, name).load_pandas().data, source)
    spots = bundled.sunspots.load_pandas().data["SUNACTIVITY"]
    return found | {"sunspots": lag(spots.to_numpy(float))}


def load_r() -> dict[str, Table]:
    """Return the regression sets of R's packages MASS and datasets, if R is installed."""
    if shutil.which("Rscript") is None:
        print("R is not installed: its data sets are left out")
        return {}
    packages = {"MASS": MASS, "datasets": R_FRAMES | {name: Source("x") for name in R_SERIES}}
    entries = [f"{package}::{name}" for package, own in packages.items() for name in own]
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        (folder / "write.R").write_text(WRITE)
        command = ["Rscript", str(folder / "write.R"), made, *entries]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"the data sets of R are left out: {done.stderr.strip().splitlines()[-1]}")
            return {}
        read = import_module("pandas").read_csv
        frames = {path.stem: read(path) for path in folder.glob("*.csv")}
    found = {name: read_frame(frames[name], own) for name, own in (MASS | R_FRAMES).items()}
    return found | {name: lag(frames[name]["x"].to_numpy(float)) for name in R_SERIES}


def read_frame(frame: Any, source: Source) -> Table:
    """Return a frame's features and target, by the rule of all sets."""
    frame = frame.drop(columns=list(source.left_out)).dropna()
    columns: list[np.ndarray] = []
    for name in frame.columns.drop(source.target):
        column = frame[name].to_numpy()
        if column.dtype != object and not frame[name].dtype.name.startswith(("str", "cat")):
            columns.append(column.astype(float))
            continue
        levels = np.unique(column.astype(str))
        if len(levels) <= MOST_LEVELS:
            columns += [(column.astype(str) == level).astype(float) for level in levels[1:]]
    features = [column for column in columns if np.ptp(column) > 0.0]
    return np.column_stack(features), tame(frame[source.target].to_numpy(float))


def tame(y: np.ndarray) -> np.ndarray:
    """Return the logarithm of one more than counts that are skewed to the right."""
    is_count = bool(np.all(y >= 0.0) and np.all(y == np.round(y)))
    standard = (y - y.mean()) / y.std()
    return np.log1p(y) if is_count and np.mean(standard**3) > SKEWED else y


def lag(series: Sequence[float] | np.ndarray) -> Table:
    """Return the last values before each of a series as its features."""
    windows = np.lib.stride_tricks.sliding_window_view(tame(np.asarray(series)), N_LAGS + 1)
    return windows[:, :-1].copy(), windows[:, -1].copy()


def simulate() -> dict[str, Table]:
    """Return simulated sets, from none to all of what experts are for."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((300, 4))
    noise = rng.standard_normal(300)
    group = rng.random(300) < 1.0 / (1.0 + np.exp(-2.0 * X[:, 1]))
    by_group = np.where(group, 2.0 + X[:, 0], -1.0 - 2.0 * X[:, 0])
    return {
        "kinked": (X, 2.0 * np.abs(X[:, 0]) + X[:, 1] + 0.5 * noise),
        "heteroscedastic": (X, X[:, 0] - X[:, 1] + np.exp(X[:, 0] - 0.5) * noise),
        "regimes": (X, by_group + 0.5 * noise),
        "linear": (X, X @ [1.0, -1.0, 0.5, 0.0] + noise),
        "linear, few rows": (X[:60], (X @ [1.0, -1.0, 0.5, 0.0] + noise)[:60]),
        "no signal": (X[:150], noise[:150]),
    }


def load_classes() -> dict[str, Table]:
    """Return the sets with classes, by name."""
    images, digit = datasets.load_digits(return_X_y=True)
    is_kept = np.isin(digit, (3, 5, 8))
    # Means of 2 x 2 pixels: sixteen features of the three digits that are most alike.
    coarse = images.reshape(-1, 4, 2, 4, 2).mean(axis=(2, 4)).reshape(-1, 16)
    found = {
        "breast cancer": datasets.load_breast_cancer(return_X_y=True),
        "wine": datasets.load_wine(return_X_y=True),
        "iris": datasets.load_iris(return_X_y=True),
        "digits 3, 5, 8": (coarse[is_kept], digit[is_kept]),
    }
    return {name: thin_out(*table) for name, table in found.items()}


def is_continuous(y: np.ndarray) -> bool:
    """Return whether no value is so frequent that a density could be of any height there."""
    return bool(np.unique(y, return_counts=True)[1].max() < MOST_EQUAL * len(y))


def thin_out(X: np.ndarray, y: np.ndarray, most: int = MOST_ROWS) -> Table:
    """Return no more than so many rows of a set, at random."""
    if len(y) <= most:
        return X, y
    rows = np.random.default_rng(0).choice(len(y), most, replace=False)
    return X[rows], y[rows]
