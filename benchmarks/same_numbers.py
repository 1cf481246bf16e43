"""Whether fits are what they were: every family, gate, tree, weights and constraints.

``python benchmarks/same_numbers.py FILE`` writes the numbers of all fits to a file if there is
none, and else compares with it: run it before a change and after. Numbers agree if they differ
by no more than 1e-9 of their size.
"""

import json
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mixexp import EM, HMEClassifier, HMERegressor, MoEClassifier, MoERegressor
from mixexp.constraints import Fixed, Shared
from mixexp.experts import FAMILIES

TOLERANCE = 1e-9
N_ROWS = 240
TREES = {"one": (1,), "flat": (2,), "deep": [[1, 1], 1]}
CLASSES = {"logistic": 2, "multinomial": 3, "ordinal": 3}


def simulate(family: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return features, y in the support of a family, and labels of two regimes."""
    X = rng.normal(size=(N_ROWS, 2))
    label = (X[:, 0] + 0.7 * rng.normal(size=N_ROWS) > 0.0).astype(int)
    eta = np.where(label == 0, 0.8 * X[:, 1], 1.0 - 0.5 * X[:, 1])
    mean, noise = np.exp(0.5 * eta + 0.5), rng.normal(size=N_ROWS)
    if family in CLASSES:
        y = np.digitize(eta + noise, np.linspace(0.0, 1.0, CLASSES[family] - 1))
        return X, y, label
    positive = mean * np.exp(0.3 * noise)
    drawn = {
        "beta": lambda: 1.0 / (1.0 + np.exp(-eta - 0.5 * noise)),
        "poisson": lambda: rng.poisson(mean),
        "negative_binomial": lambda: rng.poisson(mean * rng.gamma(2.0, 0.5, N_ROWS)),
        "generalized_poisson": lambda: rng.poisson(mean * rng.gamma(2.0, 0.5, N_ROWS)),
        "zero_truncated_poisson": lambda: 1 + rng.poisson(mean),
        "binomial": lambda: rng.binomial(1, 1.0 / (1.0 + np.exp(-eta))),
        "beta_binomial": lambda: rng.binomial(1, 1.0 / (1.0 + np.exp(-eta))),
        "tweedie": lambda: positive * (rng.random(N_ROWS) < 0.8),
    }
    if family in ("gaussian", "student_t", "laplace"):
        return X, 3.0 * eta + noise, label
    return X, np.asarray(drawn.get(family, lambda: positive)(), dtype=float), label


def describe(model: Any, X: np.ndarray, y: np.ndarray, weight: np.ndarray | None) -> dict[str, Any]:
    """Return the numbers of a fit."""
    out = {
        "log_likelihood": model.log_likelihood_,
        "objective": model.penalized_log_likelihood_,
        "history": float(len(model.history_)),
        "coef": model.coef_,
        "gate_coef": np.column_stack([model.gate_intercept_, model.gate_coef_]),
        "dispersion": getattr(model, "dispersion_", np.zeros(0)),
        "predict": np.asarray(model.predict(X[:9]), dtype=float),
        "log_density": model.log_density(X[:9], y[:9]),
        "responsibilities": model.responsibilities(X[:9], y[:9]),
    }
    table = model.inference(X, y, weight).coef_table()
    out["errors"] = table["std_error"].to_numpy(dtype=float)
    return {key: np.asarray(v, dtype=float).tolist() for key, v in out.items()}


def fits() -> Iterator[tuple[str, Any, np.ndarray, np.ndarray, np.ndarray | None]]:
    """Yield the name of every case, its estimator, and its data."""
    for family in FAMILIES:
        if family in ("point_mass", "uniform"):
            continue
        X, y, label = simulate(family, np.random.default_rng(7))
        weight = np.random.default_rng(8).integers(1, 4, N_ROWS).astype(float)
        flat, deep = (MoEClassifier, HMEClassifier) if family in CLASSES else _REGRESSORS
        for tree, shape in TREES.items():
            k = {"one": 1, "flat": 2, "deep": 3}[tree]
            init = np.where(X[:, 1] > 0.3, k - 1, np.minimum(label, k - 1))
            for gate in ("softmax", "constant"):
                options = {"expert": family, "gate": gate, "init": init}
                model = deep(shape, **options) if tree == "deep" else flat(k, **options)
                yield f"{family} {tree} {gate}", model, X, y, None
                if tree != "one":
                    yield f"{family} {tree} {gate} weighted", model, X, y, weight
            constraints = [Shared(0), Fixed(1, 0.0, experts=0)]
            if tree == "flat":
                model = flat(k, expert=family, init=init, constraints=constraints)
                yield f"{family} {tree} constrained", model, X, y, None
        yield f"{family} searched", flat(2, expert=family, random_state=0), X, y, None
    yield from _others()


_REGRESSORS = MoERegressor, HMERegressor


def _others() -> Iterator[tuple[str, Any, np.ndarray, np.ndarray, np.ndarray | None]]:
    X, y, _ = simulate("gaussian", np.random.default_rng(9))
    variants: dict[str, dict[str, Any]] = {
        "three": {"n_experts": 3},
        "balanced": {"n_experts": 3, "solver": EM(balance=5.0)},
        "likelihood": {"n_experts": 2, "alpha": 0.0, "gate_alpha": 0.0, "dispersion_prior": 0.0},
        "features": {"expert_features": [1], "gate_features": [0]},
        "dispersions": {"expert_features": {"dispersion": [0]}},
        "noise": {"n_experts": 3, "expert": ["gaussian", "gaussian", "uniform"]},
        "mixed": {"n_experts": 3, "expert": ["gaussian", "student_t", "laplace"]},
        "plain": {"solver": EM(acceleration="none"), "max_iter": 60},
        "anderson": {"solver": EM(acceleration="anderson")},
        "drop": {"n_experts": 4, "solver": EM(on_collapse="drop")},
        "respawn": {"n_experts": 4, "solver": EM(on_collapse="respawn")},
    }
    for name, options in variants.items():
        yield name, MoERegressor(**{"random_state": 0, **options}), X, y, None
    yield "tree searched", HMERegressor((2, 2), random_state=0), X, y, None
    counts = simulate("poisson", np.random.default_rng(9))[1]
    zeros = np.where(np.arange(N_ROWS) % 4 == 0, 0.0, counts)
    inflated = MoERegressor(2, expert=["point_mass", "poisson"], random_state=0)
    yield "zero inflated", inflated, X, zeros, None


def differences(name: str, old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Return what differs between two fits of one case, a line for each number."""
    out = []
    for key in old.keys() | new.keys():
        if key not in old or key not in new:
            out.append(f"{name}: {key} only in one of both")
            continue
        a, b = np.asarray(old[key], dtype=float), np.asarray(new[key], dtype=float)
        if a.shape != b.shape:
            out.append(f"{name}: {key} had shape {a.shape}, has {b.shape}")
            continue
        size = max(1.0, float(np.abs(a[np.isfinite(a)]).max(initial=0.0)))
        with np.errstate(invalid="ignore"):
            away = np.nanmax(np.where(a == b, 0.0, np.abs(a - b)), initial=0.0) / size
        if away > TOLERANCE or np.any(np.isnan(a) != np.isnan(b)):
            out.append(f"{name}: {key} differs by {away:.1e}")
    return out


def main(file: Path) -> int:
    warnings.simplefilter("ignore")
    found = {}
    for name, model, X, y, weight in fits():
        found[name] = describe(model.fit(X, y, weight), X, y, weight)
    if not file.exists():
        file.write_text(json.dumps(found))
        print(f"{len(found)} fits written")
        return 0
    known, problems = json.loads(file.read_text()), []
    for name in known.keys() | found.keys():
        if name not in known or name not in found:
            problems.append(f"{name}: only in one of both")
            continue
        problems += differences(name, known[name], found[name])
    print("\n".join(sorted(problems)))
    print(f"{len(found)} fits, {len(problems)} differences")
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
