"""Time that mixexp and its peers take to the same log-likelihood, from the same start.

The reference sets of tests/reference have known optima. Every method starts from the same
softened labels, without penalties, on one thread, and is timed until its log-likelihood is
within 1e-9 (relative) of the optimum: a first run, which also compiles and fills caches, is
not timed and tells after how many iterations that is; the runs that are timed stop there.
Start, checks of input and whatever else a call does are part of the time. "passes" counts how
often the predictors of all rows were computed after the start; mixexp does one per iteration.
Medians, and the least times, which load on the machine changes less.

The rivals in rivals.py are a vectorised EM in NumPy and L-BFGS on the observed log-likelihood
with its exact gradient; others are called if installed. flexmix cannot be told to stop at a
given log-likelihood: it runs to its own stop at a relative change of 1e-9. StepMix does too,
and draws its own start. "short" says how far from the optimum a method ended, relative.

    python benchmarks/peers.py [--quick] [--sets G1 P1 B1 C1]
"""

import argparse
import importlib
import shutil
import statistics
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rivals import (
    ACCURACY,
    FULL,
    MAX_ITER,
    N_EXPERTS,
    Case,
    Trace,
    best_memory,
    load_case,
    run_lbfgs,
    run_numpy_em,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from threadpoolctl import threadpool_limits

from mixexp import EM, MoEClassifier, MoERegressor

N_REPEATS = 5
SLOW = 5.0  # seconds; what takes longer is timed once, what takes less up to 50 times
FEW, MANY = 5, 25  # iterations whose difference is timed; more, and some would have converged
UNPENALIZED: dict[str, Any] = {"alpha": 0.0, "gate_alpha": 0.0}

# mixexp.


def make_estimator(case: Case, **options: Any) -> Any:
    """Return the estimator of a reference set, without penalties."""
    options = UNPENALIZED | {"n_experts": N_EXPERTS} | options
    if case.name == "B1":
        return MoEClassifier(**options)
    options["dispersion_prior"] = 0.0
    if case.name == "C1":
        options["expert_features"] = []
    return MoERegressor(expert="poisson" if case.name == "P1" else "gaussian", **options)


def run_mixexp(case: Case, max_iter: int, acceleration: str) -> Trace:
    options = {"init": case.resp.T, "tol": 1e-13, "solver": EM(acceleration=acceleration)}
    model = make_estimator(case, max_iter=max_iter, **options).fit(case.X, case.y)
    return Trace([*model.history_[:-1], model.log_likelihood_], model.n_iter_)


# Timing.


class Result(NamedTuple):
    """A row of the table."""

    name: str
    seconds: list[float]
    iterations: int
    passes: int | None
    log_likelihood: float


Method = Callable[[int], Trace]


def iterations_needed(case: Case, history: list[float]) -> int:
    """Return after how many iterations the target is reached, all of them if never."""
    reached = np.flatnonzero(np.array(history) >= case.target)
    return int(reached[0]) if len(reached) else len(history) - 1


def time_methods(case: Case, methods: dict[str, Method]) -> list[Result]:
    """Time the methods in turn, so that what else the machine does falls on all of them."""
    needed, seconds, traces = {}, {name: list[float]() for name in methods}, {}
    for name, method in methods.items():
        needed[name] = iterations_needed(case, method(MAX_ITER).history)
    begin, n_rounds = time.perf_counter(), 0
    while n_rounds < N_REPEATS or (n_rounds < 50 and time.perf_counter() - begin < SLOW):
        n_rounds += 1
        for name, method in methods.items():
            if max(seconds[name], default=0.0) > SLOW:
                continue
            start = time.perf_counter()
            traces[name] = method(needed[name])
            seconds[name].append(time.perf_counter() - start)
    return [
        Result(
            name,
            seconds[name],
            needed[name],
            traces[name].passes,
            traces[name].history[-1],
        )
        for name in methods
    ]


def own_methods(case: Case, is_quick: bool) -> dict[str, Method]:
    """Return mixexp and the rivals kept here."""
    memory = best_memory(case)
    methods: dict[str, Method] = {
        "mixexp": partial(run_mixexp, case, acceleration="auto"),
        "mixexp, acceleration none": partial(run_mixexp, case, acceleration="none"),
        "NumPy EM, one Newton step": partial(run_numpy_em, case, max_steps=1),
        "NumPy EM, full M-steps": partial(run_numpy_em, case, max_steps=FULL),
        f"L-BFGS, memory {memory}": partial(run_lbfgs, case, memory=memory),
    }
    if is_quick and case.name == "B1":
        methods.pop("NumPy EM, full M-steps")
        methods.pop("NumPy EM, one Newton step")
    return methods


# Other packages.

FLEXMIX = """
suppressMessages(library(flexmix))
folder <- commandArgs(trailingOnly = TRUE)[1]
rows <- read.csv(file.path(folder, "rows.csv"))
start <- as.matrix(read.csv(file.path(folder, "start.csv"), header = FALSE))
family <- readLines(file.path(folder, "family.txt"))
features <- paste(grep("^x", names(rows), value = TRUE), collapse = " + ")
target <- if (family[1] == "binomial") "cbind(y, 1 - y)" else "y"
model <- as.formula(paste(target, "~", if (family[2] == "constant") "1" else features))
gate <- FLXPmultinom(as.formula(paste("~", features)))
control <- list(minprior = 0, tolerance = 1e-9, iter.max = 3000)
for (run in 1:6) {
  seconds <- system.time(fit <- flexmix(model, data = rows, k = ncol(start), cluster = start,
    model = FLXMRglm(family = family[1]), concomitant = gate, control = control))[["elapsed"]]
  cat(sprintf("%.6f %.12g %d\\n", seconds, as.numeric(logLik(fit)), fit@iter))
  if (seconds > 5) break
}
"""


def run_flexmix(case: Case) -> Result | None:
    """Run flexmix from the same start to its own stop, timed inside R."""
    if shutil.which("Rscript") is None:
        print("flexmix left out: no Rscript")
        return None
    family = {"P1": "poisson", "B1": "binomial"}.get(case.name, "gaussian")
    header = ",".join(["y", *(f"x{j + 1}" for j in range(case.X.shape[1]))])
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        rows = np.column_stack([case.y, case.X])
        np.savetxt(folder / "rows.csv", rows, "%.17g", ",", header=header, comments="")
        np.savetxt(folder / "start.csv", case.resp.T, "%.17g", ",")
        kind = "constant" if len(case.expert_features) == 1 else "linear"
        (folder / "family.txt").write_text(f"{family}\n{kind}\n")
        (folder / "fit.R").write_text(FLEXMIX)
        command = ["Rscript", str(folder / "fit.R"), made]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"flexmix left out: {done.stderr.strip().splitlines()[-1]}")
        return None
    runs = [line.split() for line in done.stdout.splitlines()]
    seconds = [float(run[0]) for run in runs[1:] or runs]
    return Result("flexmix, own stop", seconds, int(runs[-1][2]), None, float(runs[-1][1]))


def load_optional(module: str) -> Any:
    """Import a package that need not be there; say so and return None if it is not."""
    try:
        return importlib.import_module(module)
    except ImportError:
        print(f"{module} left out: not installed")
        return None


def run_stepmix(case: Case) -> Result | None:
    """Run StepMix, which has experts without features only, from a start of its own."""
    stepmix = load_optional("stepmix")
    if stepmix is None:
        return None
    gate = {"method": "newton-raphson", "intercept": True, "max_iter": 1}
    seconds = []
    for _ in range(2):
        model = stepmix.StepMix(
            N_EXPERTS,
            measurement="continuous",
            structural="covariate",
            structural_params=gate,
            abs_tol=1e-10,
            max_iter=MAX_ITER,
            random_state=0,
            progress_bar=0,
        )
        start = time.perf_counter()
        model.fit(case.y[:, None], case.X)
        seconds.append(time.perf_counter() - start)
    log_likelihood = model.score(case.y[:, None], case.X) * len(case.y)
    return Result("StepMix, own start, own stop", seconds[1:], model.n_iter_, None, log_likelihood)


def print_optima(case: Case, is_quick: bool) -> None:
    """Print the time of every method to the optimum of a reference set."""
    results: list[Result | None] = list(time_methods(case, own_methods(case, is_quick)))
    if not is_quick or case.name == "G1":
        results.append(run_flexmix(case))
    if not is_quick and case.name == "C1":
        results.append(run_stepmix(case))
    found = [result for result in results if result is not None]
    n, p = case.X.shape
    print(f"\n{case.name}: n={n}, p={p}, K={N_EXPERTS}, log-likelihood {case.optimum:.9g}")
    print(
        f"{'':28} {'iterations':>10} {'passes':>7} {'ms':>10} {'ratio':>7} {'least ms':>10} "
        f"{'ratio':>7} {'short':>9}"
    )
    median, least = statistics.median(found[0].seconds), min(found[0].seconds)
    for name, seconds, iterations, passes, log_likelihood in found:
        short = (case.optimum - log_likelihood) / abs(case.optimum)
        mark = "" if abs(short) <= ACCURACY else "  not there"
        print(
            f"{name:28} {iterations:10} {passes or '':>7} "
            f"{1e3 * statistics.median(seconds):10.2f} {statistics.median(seconds) / median:7.2f} "
            f"{1e3 * min(seconds):10.2f} {min(seconds) / least:7.2f} {short:9.1e}{mark}"
        )


# One expert: a linear or generalized linear model.


def median_seconds(function: Callable[[], Any]) -> tuple[float, Any]:
    """Return the median time of a call and what the last one returned."""
    function()
    seconds = []
    for _ in range(N_REPEATS):
        start = time.perf_counter()
        found = function()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds), found


def fit_statsmodels(api: Any, y: np.ndarray, design: np.ndarray, family: Any) -> float:
    """Fit, and return the log-likelihood, which statsmodels computes when asked for."""
    model = api.OLS(y, design) if family is None else api.GLM(y, design, family=family)
    return float(model.fit().llf)


def print_one_expert(cases: list[Case]) -> None:
    """Print the time of fits with one expert beside statsmodels."""
    api = load_optional("statsmodels.api")
    if api is None or not cases:
        return
    print(f"\none expert{'':8} {'mixexp ms':>10} {'statsmodels ms':>15} {'ratio':>7} {'apart':>9}")
    for case in cases:
        design = case.expert_features.T.copy()
        family = {"P1": api.families.Poisson(), "B1": api.families.Binomial()}.get(case.name)
        model = make_estimator(case, n_experts=1, tol=ACCURACY)
        ours, fitted = median_seconds(partial(model.fit, case.X, case.y))
        theirs, llf = median_seconds(partial(fit_statsmodels, api, case.y, design, family))
        apart = (fitted.log_likelihood_ - llf) / abs(llf)
        kind = "OLS" if family is None else f"GLM {type(family).__name__}"
        print(
            f"{case.name} {kind:15} {1e3 * ours:10.2f} {1e3 * theirs:15.2f} "
            f"{theirs / ours:7.2f} {apart:9.1e}"
        )


# One iteration: Gaussian mixtures of features and target.


def seconds_per_iteration(fit: Callable[[int], Any]) -> float:
    """Return the median over runs of the time that more iterations add, per iteration."""
    if getattr(fit(MANY), "n_iter_", MANY) != MANY:
        raise RuntimeError("A fit stopped before the last iteration.")
    added = []
    for _ in range(3 * N_REPEATS):
        start = time.perf_counter()
        fit(FEW)
        between = time.perf_counter()
        fit(MANY)
        added.append((time.perf_counter() - between) - (between - start))
    return statistics.median(added) / (MANY - FEW)


def fit_experts(case: Case, max_iter: int) -> Any:
    """Fit linear experts and gates in all features, whatever the set is for."""
    options = UNPENALIZED | {"dispersion_prior": 0.0, "init": case.resp.T, "tol": 0.0}
    model = MoERegressor(N_EXPERTS, max_iter=max_iter, solver=EM(acceleration="none"), **options)
    return model.fit(case.X, case.y)


def moments(case: Case) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return features beside target, and shares, means and covariances by responsibility."""
    joint = np.column_stack([case.X, case.y])
    mass = case.resp.sum(axis=1)
    means = case.resp @ joint / mass[:, None]
    centred = joint - means[:, None]
    covariances = np.einsum("kn,kni,knj->kij", case.resp, centred, centred) / mass[:, None, None]
    return joint, mass / mass.sum(), means, covariances


def fit_gaussian_mixture(case: Case, max_iter: int) -> Any:
    joint, shares, means, covariances = moments(case)
    return GaussianMixture(
        N_EXPERTS,
        tol=0.0,
        reg_covar=0.0,
        max_iter=max_iter,
        weights_init=shares,
        means_init=means,
        precisions_init=np.linalg.inv(covariances),
    ).fit(joint)


def fit_gmr(gmr: Any, case: Case, max_iter: int) -> Any:
    joint, shares, means, covariances = moments(case)
    mixture = gmr.GMM(N_EXPERTS, shares, means, covariances)
    return mixture.from_samples(joint, R_diff=0.0, n_iter=max_iter)


def print_iterations(cases: list[Case]) -> None:
    """Print the time of one EM iteration beside that of Gaussian mixtures of (x, y)."""
    if not cases:
        return
    gmr = load_optional("gmr")
    print(f"\none EM iteration {'ms':>38} {'ratio':>7}")
    for case in cases:
        fits = {
            "mixexp": partial(fit_experts, case),
            "sklearn GaussianMixture of (x, y)": partial(fit_gaussian_mixture, case),
        }
        if gmr is not None:
            fits["gmr GMM of (x, y)"] = partial(fit_gmr, gmr, case)
        seconds = {name: seconds_per_iteration(fit) for name, fit in fits.items()}
        for name, value in seconds.items():
            label = f"{case.name} n={len(case.y)} {name}"
            print(f"{label:45} {1e3 * value:8.3f} {value / seconds['mixexp']:7.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="leave out what takes minutes")
    parser.add_argument("--sets", nargs="+", default=["G1", "P1", "C1", "B1"], metavar="SET")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)  # stopping early is the point
    cases = [load_case(name) for name in arguments.sets]
    with threadpool_limits(1):
        print_one_expert([case for case in cases if case.name != "C1"])
        print_iterations([case for case in cases if case.has_scale])
        for case in cases:
            print_optima(case, arguments.quick)


if __name__ == "__main__":
    main()
