"""Right-censored Weibull experts: mixexp beside L-BFGS on the same log-likelihood.

``python benchmarks/censored.py [--quick]``: time from the same start to within 1e-6 of the best
log-likelihood, for scipy's L-BFGS with numerical gradients and, if torch is installed, with its
automatic ones. One thread, warm.
"""

import argparse
import importlib.util
import os
import time
from collections.abc import Callable
from typing import Any, NamedTuple

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import numpy as np  # noqa: E402  # threads are set before
from scipy.optimize import minimize  # noqa: E402

from mixexp import MoERegressor  # noqa: E402

UNPENALIZED: dict[str, Any] = {"alpha": 0.0, "gate_alpha": 0.0, "dispersion_prior": 0.0}
N_EXPERTS = 3


class Rows(NamedTuple):
    """Features with an intercept, log y, censoring codes and the labels to start from."""

    design: np.ndarray
    log_y: np.ndarray
    censoring: np.ndarray
    labels: np.ndarray


def simulate(n: int, p: int, seed: int = 0) -> Rows:
    """Draw lives of three kinds, a third of them censored."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, p))
    logits = X @ rng.normal(size=(p, N_EXPERTS))
    labels = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    coef = rng.normal(size=(N_EXPERTS, p)) * 0.4
    location = np.array([-1.0, 0.5, 2.0])[labels] + np.einsum("ij,ij->i", coef[labels], X)
    life = np.exp(location) * rng.weibull(np.array([1.2, 2.0, 3.0])[labels])
    end = rng.exponential(5.0, n)
    noisy = np.where(rng.random(n) < 0.3, rng.integers(0, N_EXPERTS, n), labels)
    design = np.column_stack([np.ones(n), X])
    return Rows(design, np.log(np.minimum(life, end)), (life > end).astype(int), noisy)


def shapes(q: int) -> list[tuple[int, int]]:
    """Return the shapes of gate, location and log scale in the flat vector."""
    return [(N_EXPERTS - 1, q), (N_EXPERTS, q), (N_EXPERTS, 1)]


def split(flat, q: int):
    """Return gate, location and log scale of a flat vector of NumPy or torch."""
    out, at = [], 0
    for rows, columns in shapes(q):
        out.append(flat[at : at + rows * columns].reshape(rows, columns))
        at += rows * columns
    return out


def negative_log_likelihood(flat: np.ndarray, rows: Rows) -> float:
    """Return minus the log-likelihood."""
    gate, location, log_scale = split(flat, rows.design.shape[1])
    logits = np.vstack([gate @ rows.design.T, np.zeros(len(rows.design))])
    z = (rows.log_y - location @ rows.design.T) / np.exp(log_scale)
    term = -np.exp(np.minimum(z, 500.0))
    term = np.where(rows.censoring == 1, term, term + z - log_scale - rows.log_y)
    total = np.logaddexp.reduce(logits + term, axis=0) - np.logaddexp.reduce(logits, axis=0)
    return -float(total.sum())


def with_torch(rows: Rows) -> Callable[[np.ndarray], tuple[float, np.ndarray]]:
    """Return the same with its gradient by torch."""
    import torch

    torch.set_num_threads(1)
    design, log_y, censoring = (torch.from_numpy(np.asarray(part)) for part in rows[:3])

    def evaluate(flat: np.ndarray) -> tuple[float, np.ndarray]:
        at = torch.tensor(flat, requires_grad=True)
        gate, location, log_scale = split(at, design.shape[1])
        logits = torch.vstack([gate @ design.T, torch.zeros(1, len(design), dtype=at.dtype)])
        z = (log_y - location @ design.T) / log_scale.exp()
        term = -z.clamp(max=500.0).exp()
        term = torch.where(censoring == 1, term, term + z - log_scale - log_y)
        total = -(torch.logsumexp(logits + term, 0) - torch.logsumexp(logits, 0)).sum()
        total.backward()
        return float(total), at.grad.numpy()

    return evaluate


def flatten(model: MoERegressor) -> np.ndarray:
    """Return the coefficients of a fit as L-BFGS sees them."""
    gate = np.column_stack([model.gate_intercept_, model.gate_coef_])
    location = np.column_stack([model.intercept_, model.coef_])
    return np.concatenate(
        [(gate[:-1] - gate[-1]).ravel(), location.ravel(), np.log(model.dispersion_)]
    )


def timed(run: Callable[[], Any]) -> tuple[float, Any]:
    begin = time.perf_counter()
    found = run()
    return time.perf_counter() - begin, found


def main() -> None:
    """Print times, log-likelihoods and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="2 000 rows in place of 20 000")
    n = 2_000 if parser.parse_args().quick else 20_000
    rows = simulate(n, 5)
    X, y = rows.design[:, 1:], np.exp(rows.log_y)

    def fit(max_iter: int = 500, init: object = rows.labels) -> MoERegressor:
        model = MoERegressor(
            N_EXPERTS, expert="weibull", init=init, max_iter=max_iter, **UNPENALIZED
        )
        return model.fit(X, y, censoring=rows.censoring)

    fit()  # compiles
    start = quiet(lambda: fit(max_iter=1))
    own, model = timed(lambda: fit(init=start))
    print(f"{n} rows, {rows.censoring.mean():.0%} censored, 5 features, 3 experts")
    print(f"mixexp {own:8.2f} s  log-likelihood {model.log_likelihood_:.4f}")
    options = {"maxiter": 2000, "maxfun": 10**7, "ftol": 1e-12, "gtol": 1e-6 * n}
    rivals: dict[str, Callable[[], Any]] = {
        "L-BFGS, numerical": lambda: minimize(
            negative_log_likelihood, flatten(start), (rows,), "L-BFGS-B", options=options
        )
    }
    if importlib.util.find_spec("torch"):
        evaluate = with_torch(rows)
        rivals["L-BFGS, torch"] = lambda: minimize(
            evaluate, flatten(start), method="L-BFGS-B", jac=True, options=options
        )
    else:
        print("torch is not installed")
    for name, run in rivals.items():
        spent, found = timed(run)
        print(f"{name} {spent:8.2f} s  log-likelihood {-found.fun:.4f}  ratio {spent / own:.1f}")


def quiet(run: Callable[[], MoERegressor]) -> MoERegressor:
    """Return a fit that is stopped early, without the warning that it was."""
    import warnings

    from mixexp.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return run()


if __name__ == "__main__":
    main()
