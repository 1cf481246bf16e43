"""What mixexp is timed against that needs no other package: two programs in NumPy.

The same mixture of experts by EM (full Newton for the gate, weighted least squares or
iteratively reweighted least squares for the experts) and by L-BFGS on the observed
log-likelihood with its exact gradient. Both work on whole arrays, features and experts along
the first axis, so that rows are contiguous. Also the reference sets, laid out for them.
"""

import gzip
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import minimize
from scipy.special import gammaln

REFERENCE = Path(__file__).parents[1] / "tests" / "reference"
N_EXPERTS = 3
OWN_SHARE = 0.9  # of a row's responsibilities at the start, the rest spread evenly
ACCURACY = 1e-9  # of the log-likelihood, relative
MAX_ITER = 3000
START = 3  # Newton steps of the M-step at the given responsibilities
FULL = 25  # Newton steps per M-step at most, where it is to converge

# The data.


class Rows(NamedTuple):
    """An expert's log density at each row, and its derivatives by predictor and log scale."""

    log_density: np.ndarray
    score: np.ndarray
    information: np.ndarray | None = None
    scale_score: np.ndarray | None = None


class Case(NamedTuple):
    """A reference set: features as rows of matrices of shape (q, n), intercept first."""

    name: str
    X: np.ndarray
    y: np.ndarray
    resp: np.ndarray  # (K, n), the start
    gate_features: np.ndarray
    expert_features: np.ndarray
    rows: Callable[..., Rows]
    base: np.ndarray | float  # what the log density adds that does not depend on parameters
    has_scale: bool
    optimum: float

    @property
    def target(self) -> float:
        return self.optimum - ACCURACY * abs(self.optimum)


def gaussian_rows(y: np.ndarray, eta: np.ndarray, log_scale: np.ndarray) -> Rows:
    deviation = np.exp(log_scale)[:, None]
    z = (y - eta) / deviation
    square = z * z
    return Rows(-0.5 * square - log_scale[:, None], z / deviation, None, square - 1.0)


def poisson_rows(y: np.ndarray, eta: np.ndarray, log_scale: object = None) -> Rows:
    mean = np.exp(eta)
    return Rows(y * eta - mean, y - mean, mean)


def logistic_rows(y: np.ndarray, eta: np.ndarray, log_scale: object = None) -> Rows:
    small = np.exp(-np.abs(eta))
    proba = np.where(eta >= 0.0, 1.0, small) / (1.0 + small)
    log_density = y * eta - np.maximum(eta, 0.0) - np.log1p(small)
    return Rows(log_density, y - proba, proba * (1.0 - proba))


def load_case(name: str) -> Case:
    """Read a reference set and lay it out for the NumPy rivals."""
    with gzip.open(REFERENCE / f"{name}.csv.gz", "rt") as file:
        columns = file.readline().strip().split(",")
        table = np.loadtxt(file, delimiter=",")
    answer = json.loads((REFERENCE / f"{name}.json").read_text())
    X = table[:, [at for at, column in enumerate(columns) if column.startswith("x")]]
    y, labels = table[:, columns.index("y")], table[:, columns.index("z")]
    is_own = labels == np.arange(1, N_EXPERTS + 1)[:, None]
    features = np.vstack([np.ones(len(X)), X.T])
    family = answer["params"]["family"]
    rows = {"gaussian": gaussian_rows, "poisson": poisson_rows}.get(family, logistic_rows)
    base = {"gaussian": -0.5 * np.log(2.0 * np.pi), "poisson": -gammaln(y + 1.0)}
    return Case(
        name,
        X,
        y,
        (1.0 - OWN_SHARE) / N_EXPERTS + OWN_SHARE * is_own,
        features,
        features[:1] if name == "C1" else features,
        rows,
        base.get(family, 0.0),
        family == "gaussian",
        answer["loglik"],
    )


class Trace(NamedTuple):
    """Log-likelihoods after each iteration, the start first, and passes over the data."""

    history: list[float]
    passes: int


# A mixture of experts in NumPy.


class Params(NamedTuple):
    """Coefficients: gate (K, q) with a first row of zeros, experts (K, p), log scales (K,)."""

    gate: np.ndarray
    coef: np.ndarray
    log_scale: np.ndarray


class Pass(NamedTuple):
    """What one pass over the data computes; ``resp`` and ``gate`` have shape (K, n)."""

    log_likelihood: float
    resp: np.ndarray
    gate: np.ndarray
    rows: Rows


def pass_over(case: Case, params: Params) -> Pass:
    """Compute log-likelihood, responsibilities, gate and scores of all rows."""
    rows = case.rows(case.y, params.coef @ case.expert_features, params.log_scale)
    logits = params.gate @ case.gate_features
    logits -= logits.max(axis=0)
    joint = logits + rows.log_density
    gate = np.exp(logits, out=logits)
    gate_sum = gate.sum(axis=0)
    largest = joint.max(axis=0)
    joint -= largest
    resp = np.exp(joint, out=joint)
    resp_sum = resp.sum(axis=0)
    value = (np.log(resp_sum / gate_sum) + largest + case.base).sum()
    gate /= gate_sum
    resp /= resp_sum
    return Pass(float(value), resp, gate, rows)


def zero_params(case: Case) -> Params:
    n_gate, n_expert = len(case.gate_features), len(case.expert_features)
    zeros = np.zeros((N_EXPERTS, n_gate)), np.zeros((N_EXPERTS, n_expert))
    return Params(*zeros, np.zeros(N_EXPERTS))


# Value of a concave function, and a function that returns gradient and negative Hessian there.
Evaluated = tuple[float, Callable[[], tuple[np.ndarray, np.ndarray]]]


def newton(
    evaluate: Callable[[np.ndarray], Evaluated], at: np.ndarray, max_steps: int
) -> tuple[np.ndarray, int]:
    """Maximise by Newton's method, halving steps that fall; return also the evaluations."""
    value, derive = evaluate(at)
    n_evaluations = 1
    for _ in range(max_steps):
        gradient, curvature = derive()
        step = np.linalg.solve(curvature, gradient)
        if gradient @ step < 1e-9:
            break
        for _ in range(30):
            trial, derive_there = evaluate(at + step)
            n_evaluations += 1
            if trial >= value:
                break
            step = step / 2.0
        else:
            break
        at, value, derive = at + step, trial, derive_there
    return at, n_evaluations


def evaluate_gate(case: Case, resp: np.ndarray, flat: np.ndarray) -> Evaluated:
    """Evaluate the multinomial log-likelihood of responsibilities; the first expert is base."""
    features = case.gate_features
    logits = np.zeros_like(resp)
    logits[1:] = flat.reshape(N_EXPERTS - 1, -1) @ features
    logits -= logits.max(axis=0)
    gate = np.exp(logits)
    gate_sum = gate.sum(axis=0)
    value = np.vdot(resp, logits) - np.log(gate_sum).sum()
    gate /= gate_sum

    def derive() -> tuple[np.ndarray, np.ndarray]:
        q = len(features)
        curvature = np.empty((N_EXPERTS - 1, q, N_EXPERTS - 1, q))
        for a in range(N_EXPERTS - 1):
            for b in range(a + 1):
                weight = gate[a + 1] * ((a == b) - gate[b + 1])
                curvature[a, :, b] = (features * weight) @ features.T
                curvature[b, :, a] = curvature[a, :, b]
        gradient = (resp - gate)[1:] @ features.T
        return gradient.ravel(), curvature.reshape(gradient.size, gradient.size)

    return float(value), derive


def evaluate_expert(case: Case, weight: np.ndarray, coef: np.ndarray) -> Evaluated:
    """Evaluate the weighted log-likelihood of a generalized linear model."""
    features = case.expert_features
    rows = case.rows(case.y, coef @ features)

    def derive() -> tuple[np.ndarray, np.ndarray]:
        gradient = features @ (weight * rows.score)
        return gradient, (features * (weight * rows.information)) @ features.T

    return float(weight @ rows.log_density), derive


def least_squares(case: Case, weight: np.ndarray) -> tuple[np.ndarray, float]:
    """Return weighted least-squares coefficients and the log standard deviation."""
    weighted = case.expert_features * weight
    coef = np.linalg.solve(weighted @ case.expert_features.T, weighted @ case.y)
    residual = case.y - coef @ case.expert_features
    return coef, 0.5 * np.log(weight @ residual**2 / weight.sum())


def m_step(case: Case, params: Params, resp: np.ndarray, max_steps: int) -> tuple[Params, int]:
    """Fit gate and experts to responsibilities; return also the passes that took."""
    flat = params.gate[1:].ravel()
    flat, passes = newton(partial(evaluate_gate, case, resp), flat, max_steps)
    gate = np.vstack([np.zeros(len(case.gate_features)), flat.reshape(N_EXPERTS - 1, -1)])
    if case.has_scale:
        fits = [least_squares(case, weight) for weight in resp]
        coefs, log_scales = zip(*fits, strict=True)
        return Params(gate, np.array(coefs), np.array(log_scales)), passes
    found = [
        newton(partial(evaluate_expert, case, weight), coef, max_steps)
        for weight, coef in zip(resp, params.coef, strict=True)
    ]
    coef = np.array([coef for coef, _ in found])
    return Params(gate, coef, params.log_scale), passes + max(count for _, count in found)


def run_numpy_em(case: Case, max_iter: int, max_steps: int) -> Trace:
    """Do EM until the target is reached, with Newton steps per M-step up to a number."""
    params, _ = m_step(case, zero_params(case), case.resp, START)
    now = pass_over(case, params)
    history, passes = [now.log_likelihood], 1
    while len(history) <= max_iter and history[-1] < case.target:
        params, step_passes = m_step(case, params, now.resp, max_steps)
        now = pass_over(case, params)
        history.append(now.log_likelihood)
        passes += 1 + step_passes
    return Trace(history, passes)


# L-BFGS on the observed log-likelihood.


def flatten(case: Case, params: Params) -> np.ndarray:
    parts = [params.gate[1:].ravel(), params.coef.ravel()]
    return np.concatenate([*parts, params.log_scale] if case.has_scale else parts)


def unflatten(case: Case, flat: np.ndarray) -> Params:
    params = zero_params(case)
    n_gate, n_coef = params.gate[1:].size, params.coef.size
    params.gate[1:] = flat[:n_gate].reshape(N_EXPERTS - 1, -1)
    params.coef[:] = flat[n_gate : n_gate + n_coef].reshape(N_EXPERTS, -1)
    if case.has_scale:
        params.log_scale[:] = flat[n_gate + n_coef :]
    return params


def negative_mean(case: Case, flat: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the negative log-likelihood and its gradient, per row."""
    now = pass_over(case, unflatten(case, flat))
    gate = (now.resp - now.gate)[1:] @ case.gate_features.T
    coef = (now.resp * now.rows.score) @ case.expert_features.T
    gradient = [gate.ravel(), coef.ravel()]
    if now.rows.scale_score is not None:
        gradient.append(np.einsum("kn,kn->k", now.resp, now.rows.scale_score))
    n = len(case.y)
    return -now.log_likelihood / n, np.concatenate(gradient) / -n


def run_lbfgs(case: Case, max_iter: int, memory: int) -> Trace:
    """Climb from where the M-step at the given responsibilities leads."""
    params, _ = m_step(case, zero_params(case), case.resp, START)
    start, history = flatten(case, params), [-np.inf]

    def record(intermediate_result: Any) -> None:
        history.append(-intermediate_result.fun * len(case.y))
        if history[-1] >= case.target:
            raise StopIteration

    options = {"maxcor": memory, "maxiter": max_iter, "maxfun": MAX_ITER, "ftol": 0.0, "gtol": 0.0}
    found = minimize(
        partial(negative_mean, case),
        start,
        jac=True,
        method="L-BFGS-B",
        callback=record,
        options=options,
    )
    return Trace(history, int(found.nfev))


def best_memory(case: Case) -> int:
    """Return the memory that takes the fewest passes."""
    return min((10, 20, 50), key=lambda memory: run_lbfgs(case, MAX_ITER, memory).passes)
