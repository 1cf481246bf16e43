"""Time to the same log-likelihood beside L-BFGS, where gradients alone are cheap.

Many features, for which a pass with EM's curvature costs many with gradients alone, and families
whose curvature is dear. Simulated regimes without penalties, one thread, from the same softened
labels; both are timed until the log-likelihood is within 1e-9 (relative) of what mixexp ends at.
mixexp's time is that of a whole `fit`. L-BFGS is SciPy's, on the observed log-likelihood with its
exact gradient, two matrix products per pass, in NumPy, from weighted least squares (classes from
zero) and ten steps of the gate; it is told when to stop. CPU seconds, medians of several runs that
take turns.

    OPENBLAS_NUM_THREADS=1 python benchmarks/gradients.py [--quick | --sets gamma,20000,10,3 ...]
"""

import argparse
import statistics
import time
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import minimize
from scipy.special import digamma, gammaln
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from mixexp import MoEClassifier, MoERegressor

SETS = [
    "gaussian,50000,100,4",
    "gaussian,20000,60,4",
    "poisson,20000,40,5",
    "gamma,20000,40,4",
    "student_t,20000,40,3",
    "multinomial,20000,40,3",
    "gaussian,20000,10,3",
    "poisson,20000,10,3",
    "gamma,20000,10,3",
    "student_t,20000,10,3",
    "multinomial,20000,10,3",
]
OWN_SHARE, ACCURACY, N_CLASSES = 0.9, 1e-9, 4
MEMORY, MAX_ITER, N_GATE_STEPS = 20, 3000, 10

Array = np.ndarray


class Rows(NamedTuple):
    """Log densities (K, n), slopes in predictors (K, heads, n), and in scalars (m, K, n)."""

    log_density: Array
    score: Array
    scalar_scores: Array


class Set(NamedTuple):
    """Simulated rows: features (1 + p, n), intercept first, and softened labels (K, n)."""

    family: str
    X: Array
    features: Array
    y: Array
    resp: Array


def simulate(family: str, n: int, p: int, k: int) -> Set:
    """Draw regimes by a softmax gate, and y of a family in each."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, p))
    features = np.vstack([np.ones(n), X.T])
    logits = (rng.normal(size=(k, p + 1)) * 1.5 / np.sqrt(p)) @ features
    proba = np.exp(logits - logits.max(axis=0))
    z = (np.cumsum(proba / proba.sum(axis=0), axis=0) < rng.random(n)).sum(axis=0).clip(0, k - 1)
    coef = rng.normal(size=(k, p + 1)) / np.sqrt(p)
    coef[:, 0] += np.linspace(-1.5, 1.5, k)
    eta, at = (coef @ features)[z, np.arange(n)], np.linspace(0.4, 1.0, k)[z]
    if family == "multinomial":
        slopes = rng.normal(size=(k, N_CLASSES, p + 1)) * 2.0 / np.sqrt(p)
        odds = np.exp(np.einsum("kcp,pn->knc", slopes, features)[z, np.arange(n)])
        share = np.cumsum(odds, axis=1) / odds.sum(axis=1, keepdims=True)
        y = (share < rng.random((n, 1))).sum(axis=1).clip(0, N_CLASSES - 1).astype(float)
    elif family == "gamma":
        y = np.maximum(rng.gamma(2.0 / at, 0.5 * at * np.exp(0.7 * eta)), 1e-12)
    elif family == "poisson":
        y = rng.poisson(np.exp(np.minimum(eta + 1.0, 6.0))).astype(float)
    else:
        y = eta + at * (rng.normal(size=n) if family == "gaussian" else rng.standard_t(4, size=n))
    resp = np.full((k, n), (1.0 - OWN_SHARE) / k)
    resp[z, np.arange(n)] += OWN_SHARE
    return Set(family, X, features, y, resp)


# L-BFGS on the observed log-likelihood.


def gaussian_rows(y: Array, eta: Array, scalars: Array) -> Rows:
    rate = np.exp(-0.5 * scalars[0])[:, None]
    z = (y - eta[:, 0]) * rate
    density = -0.5 * (z * z + scalars[0][:, None] + np.log(2.0 * np.pi))
    return Rows(density, (z * rate)[:, None], 0.5 * (z * z - 1.0)[None])


def poisson_rows(y: Array, eta: Array, scalars: Array) -> Rows:
    mean = np.exp(eta[:, 0])
    return Rows(y * eta[:, 0] - mean - gammaln(y + 1.0), (y - mean)[:, None], np.empty((0, 1, 1)))


def gamma_rows(y: Array, eta: Array, scalars: Array) -> Rows:
    shape, log_y = np.exp(-scalars[0])[:, None], np.log(y)
    ratio = y * np.exp(-eta[:, 0])
    inner = np.log(shape) + log_y - eta[:, 0] - ratio
    density = shape * inner - gammaln(shape) - log_y
    slope = -shape * (inner + 1.0 - digamma(shape))
    return Rows(density, (shape * (ratio - 1.0))[:, None], slope[None])


def student_t_rows(y: Array, eta: Array, scalars: Array) -> Rows:
    rate, df = np.exp(-scalars[0])[:, None], np.exp(scalars[1])[:, None]
    z = (y - eta[:, 0]) * rate
    square = z * z / df
    constant = gammaln(0.5 * (df + 1.0)) - gammaln(0.5 * df) - 0.5 * np.log(df * np.pi)
    log_more, pull = np.log(1.0 + square), (df + 1.0) * square / (1.0 + square)
    density = constant - scalars[0][:, None] - 0.5 * (df + 1.0) * log_more
    gap = digamma(0.5 * (df + 1.0)) - digamma(0.5 * df) - 1.0 / df
    in_df = 0.5 * (df * (gap - log_more) + pull)
    score = (df + 1.0) / df * z / (1.0 + square) * rate
    return Rows(density, score[:, None], np.stack([pull - 1.0, in_df]))


def multinomial_rows(y: Array, eta: Array, scalars: Array) -> Rows:
    at = y.astype(int)
    logits = np.concatenate([np.zeros_like(eta[:, :1]), eta], axis=1)
    logits -= logits.max(axis=1, keepdims=True)
    proba = np.exp(logits)
    total = proba.sum(axis=1, keepdims=True)
    density = logits[:, at, np.arange(len(y))] - np.log(total[:, 0])
    is_own = np.arange(1, N_CLASSES)[:, None] == at
    return Rows(density, is_own - proba[:, 1:] / total, np.empty((0, 1, 1)))


ROWS: dict[str, tuple[Callable[[Array, Array, Array], Rows], int]] = {
    "gaussian": (gaussian_rows, 1),
    "poisson": (poisson_rows, 0),
    "gamma": (gamma_rows, 1),
    "student_t": (student_t_rows, 2),
    "multinomial": (multinomial_rows, 0),
}


def negative_mean(data: Set, flat: Array) -> tuple[float, Array]:
    """Return the negative log-likelihood and its gradient, per row."""
    rows_of, n_scalars = ROWS[data.family]
    k, (q, n) = len(data.resp), data.features.shape
    coef = flat[: len(flat) - n_scalars * k].reshape(-1, q)
    scalars = flat[len(flat) - n_scalars * k :].reshape(n_scalars, k)
    predictors = coef @ data.features
    rows = rows_of(data.y, predictors[k - 1 :].reshape(k, -1, n), scalars)
    logits = np.vstack([np.zeros(n), predictors[: k - 1]])
    logits -= logits.max(axis=0)
    joint, gate = logits + rows.log_density, np.exp(logits)
    gate_sum, largest = gate.sum(axis=0), joint.max(axis=0)
    resp = np.exp(joint - largest)
    resp_sum = resp.sum(axis=0)
    value = np.sum(np.log(resp_sum / gate_sum) + largest)
    resp /= resp_sum
    residual = (resp - gate / gate_sum)[1:]
    left = np.concatenate([residual, (resp[:, None] * rows.score).reshape(-1, n)])
    in_scalars = (resp * rows.scalar_scores).sum(axis=-1) if n_scalars else np.empty(0)
    gradient = np.concatenate([(left @ data.features.T).ravel(), in_scalars.ravel()])
    return -float(value) / n, gradient / -n


def start_of(data: Set) -> Array:
    """Return weighted least squares for each label, and a gate after some bounded steps."""
    features, resp = data.features, data.resp
    inverse, gate = np.linalg.inv(features @ features.T), np.zeros((len(resp), len(features)))
    for _ in range(N_GATE_STEPS):
        odds = np.exp(gate @ features)
        gate += 2.0 * ((resp - odds / odds.sum(axis=0)) @ features.T) @ inverse
    gate = (gate - gate[0])[1:].ravel()
    if data.family == "multinomial":
        return np.concatenate([gate, np.zeros(len(resp) * (N_CLASSES - 1) * len(features))])
    is_log = data.family in ("gamma", "poisson")
    target = np.log(np.maximum(data.y, 0.3)) if is_log else data.y
    coefs, spreads = [], []
    for own in resp:
        coef = np.linalg.solve((features * own) @ features.T, features @ (own * target))
        spreads.append(np.log(own @ (target - coef @ features) ** 2 / own.sum()))
        coefs.append(coef)
    log_square = np.array(spreads)
    by_family = {"gaussian": [log_square], "gamma": [log_square]}
    by_family["student_t"] = [0.5 * log_square - 0.3, np.full(len(resp), np.log(6.0))]
    return np.concatenate([gate, *coefs, *by_family.get(data.family, [])])


def run_lbfgs(data: Set, target: float) -> tuple[float, int]:
    """Climb to a log-likelihood; return what was reached, and the passes that took."""
    n, reached = len(data.y), [-np.inf]

    def record(intermediate_result: Any) -> None:
        reached.append(-intermediate_result.fun * n)
        if reached[-1] >= target:
            raise StopIteration

    options = {"maxcor": MEMORY, "maxiter": MAX_ITER, "maxfun": 5 * MAX_ITER, "ftol": 0, "gtol": 0}
    function = partial(negative_mean, data)
    found = minimize(
        function, start_of(data), jac=True, method="L-BFGS-B", callback=record, options=options
    )
    return reached[-1], int(found.nfev)


# mixexp.


def run_mixexp(data: Set, max_iter: int) -> Any:
    options: dict[str, Any] = {"alpha": 0.0, "gate_alpha": 0.0, "tol": 1e-13, "n_jobs": 1}
    options |= {"init": data.resp.T, "max_iter": max_iter}
    k = len(data.resp)
    if data.family == "multinomial":
        return MoEClassifier(k, **options).fit(data.X, data.y)
    return MoERegressor(k, expert=data.family, dispersion_prior=0.0, **options).fit(data.X, data.y)


def compare(name: str, n_repeats: int) -> None:
    """Print the times of both on one set."""
    family, *sizes = name.split(",")
    data = simulate(family, *map(int, sizes))
    full = run_mixexp(data, 500)
    history = np.array([*full.history_[:-1], full.log_likelihood_])
    target = full.log_likelihood_ - ACCURACY * abs(full.log_likelihood_)
    needed = max(1, int(np.flatnonzero(history >= target)[0]))
    reached, passes = run_lbfgs(data, target)
    mark = "" if reached >= target else f"  L-BFGS ends {target - reached:.3g} below"
    own, other = [], []
    for _ in range(n_repeats):
        begun = time.process_time()
        run_mixexp(data, needed)
        between = time.process_time()
        run_lbfgs(data, min(target, reached))
        own.append(between - begun)
        other.append(time.process_time() - between)
    ratio = statistics.median(b / a for a, b in zip(own, other, strict=True))
    print(
        f"{name:26} {statistics.median(own):8.2f} s {needed:4} iterations {passes:5} passes "
        f"{ratio:6.2f}{mark}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument("--quick", action="store_true", help="two sets, once")
    chosen.add_argument("--sets", nargs="+", default=SETS)
    options = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)  # runs that are stopped on the way
    print(f"{'':26} {'mixexp':>10} {'':15} {'L-BFGS':>12} {'ratio of times':>16}")
    with threadpool_limits(1):
        for name in SETS[-4:-2] if options.quick else options.sets:
            compare(name, 1 if options.quick else 3)


if __name__ == "__main__":
    main()
