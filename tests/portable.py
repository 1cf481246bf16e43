"""Fitted models that contracts of files run over: families, links, gates, trees, constraints."""

import warnings
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from mixexp import EM, HMEClassifier, HMERegressor, MoEClassifier, MoERegressor
from mixexp.constraints import Bounded, Fixed, Linear, Ordered, Shared
from mixexp.experts import FAMILIES, Binomial, Censored, Gaussian, PointMass, StudentT, Uniform
from mixexp.gates import Gaussian as GaussianGate
from mixexp.gates import Quadratic
from mixexp.penalties import GroupedL1

N_ROWS = 120
QUICK = {"n_init": 1, "max_iter": 6, "random_state": 0, "solver": EM(n_moves=0)}


class Fit(NamedTuple):
    """A fitted model with its rows, and what is known of each row."""

    model: Any
    X: pd.DataFrame
    y: Any
    per_row: dict[str, Any]


def _features(rng):
    dose = 1e3 + 10.0 * rng.uniform(-1.0, 1.0, N_ROWS)
    return pd.DataFrame({"age": rng.uniform(-1.0, 1.0, N_ROWS), "a dose": dose})


def _of_family(family, make=MoERegressor, **options):
    def fit(rng):
        X = _features(rng)
        eta = 1.5 + np.where(X["age"] > 0.0, 0.6, -0.6) * X["age"].to_numpy()
        eta = {"inverse_squared": 0.2, "inverse": 0.5}.get(getattr(family, "link", ""), 1.0) * eta
        value = {"location": eta[None], "dispersion": np.full((1, 1), -1.2)}
        heads = tuple(
            value.get(head.kind, np.full((1, 1), min(0.4, head.upper - 1.0)))
            for head in family.heads
        )
        y = family.sample(heads, rng)[0] if heads else np.maximum(eta + X["age"], 0.5)
        given = family if heads else [family, Gaussian()]
        model = make(2, expert=given, **QUICK, **options)
        return Fit(model.fit(X, y), X, y, {})

    return fit


def _classes(make, expert, labels, **options):
    def fit(rng):
        X = _features(rng)
        score = np.abs(X["age"]) + 0.4 * rng.standard_normal(N_ROWS)
        y = np.asarray(labels)[np.digitize(score, np.linspace(0.2, 0.8, len(labels) - 1))]
        return Fit(make(expert=expert, **QUICK, **options).fit(X, y), X, y, {})

    return fit


def _regression(make, mean=np.abs, X=_features, **options):
    def fit(rng):
        frame = X(rng)
        y = mean(np.asarray(frame)[:, 0]) + 0.2 * rng.standard_normal(N_ROWS)
        return Fit(make(**{**QUICK, **options}).fit(frame, y), frame, y, {})

    return fit


def _counts(expert, **per_row):
    def fit(rng):
        X = _features(rng)
        given = {name: draw(rng) for name, draw in per_row.items()}
        rate = np.exp(0.5 + np.abs(X["age"])) * given.get("exposure", 1.0)
        y = rng.poisson(rate).astype(float)
        y[rng.random(N_ROWS) < 0.3] = 0.0
        y = np.minimum(y, given["trials"]) if "trials" in given else y
        return Fit(MoERegressor(2, expert=expert, **QUICK).fit(X, y, **given), X, y, given)

    return fit


def _of_intervals(make_given):
    def fit(rng):
        X = _features(rng)
        y = np.abs(X["age"].to_numpy()) + 0.2 * rng.standard_normal(N_ROWS)
        y, given = make_given(y)
        return Fit(MoERegressor(2, **QUICK).fit(X, y, **given), X, y, {})

    return fit


def _families():
    for name, cls in FAMILIES.items():
        if cls.target == "regression":
            for link in cls.links or (None,):
                options = {} if link is None else {"link": link}
                options |= {"low": -3.0, "high": 3.0} if cls is Uniform else {}
                options |= {"at": 0.5} if cls is PointMass else {}
                suffix = "" if link is None or len(cls.links) == 1 else f"_{link}"
                yield name + suffix, _of_family(cls(**options))


BUILDERS: dict[str, Callable[[Any], Fit]] = {
    **dict(_families()),
    "logistic": _classes(MoEClassifier, "auto", [False, True], n_experts=2),
    "multinomial": _classes(MoEClassifier, "auto", ["low", "mid", "top"], n_experts=2),
    "ordinal": _classes(HMEClassifier, "ordinal", [3, 5, 8], tree=(2, 2)),
    "ordinal_probit": _classes(
        MoEClassifier, FAMILIES["ordinal"](link="probit"), [0, 1, 2, 3], n_experts=2
    ),
    "one": _regression(MoERegressor, n_experts=1),
    "no_names": _regression(MoERegressor, X=lambda rng: rng.normal(size=(N_ROWS, 2)), n_experts=3),
    "flat_constant": _regression(MoERegressor, n_experts=2, gate="constant"),
    "tree": _regression(HMERegressor, tree=[[1, [1, 1]], 1]),
    "tree_of_other_gates": _regression(HMERegressor, tree=[[1, [1, 1]], 1], **{
        "gate_features": [["age"], [["a dose"], ["age", "a dose"]]]
    }),
    "tree_of_some_constant_gates": _regression(
        HMERegressor, tree=[[1, [1, 1]], 1], gate=["softmax", ["constant", "softmax"]]
    ),
    "censored": _regression(
        MoERegressor,
        lambda x: np.maximum(x, 0.0),
        n_experts=2,
        expert=Censored("gaussian", lower=0.0),
    ),
    "constraints": _regression(
        MoERegressor,
        n_experts=3,
        constraints=[Shared("age", experts=[0, 1]), Fixed("a dose", 0.0, experts=2)],
        expert_features=pd.Index(["a dose", "age"]),
    ),
    "orders": _regression(
        MoERegressor, n_experts=2, constraints=[Ordered("age"), Bounded("intercept", upper=5.0)]
    ),
    "equations": _regression(
        MoERegressor, n_experts=2, constraints=Linear("b[0:age] + b[1:age] = 0")
    ),
    "grouped": _regression(MoERegressor, n_experts=2, l1=GroupedL1(2.0), gate_l1=GroupedL1(1.0)),
    "dispersions": _regression(
        MoERegressor,
        n_experts=2,
        expert_features={"location": ["a dose"], "dispersion": ["age"]},
    ),
    "dispersions_student_t": _regression(
        MoERegressor, n_experts=2, expert="student_t", expert_features={"dispersion": ["age"]}
    ),
    "dispersions_lognormal": _regression(
        MoERegressor,
        np.exp,
        n_experts=2,
        expert="lognormal",
        expert_features={"dispersion": ["age"]},
    ),
    "shared_dispersion": _regression(
        MoERegressor, n_experts=2, expert=Gaussian(dispersion="shared")
    ),
    "known": _regression(
        MoERegressor, n_experts=2, expert=[Gaussian(dispersion=0.5), StudentT(df=4.0)]
    ),
    "noise": _regression(MoERegressor, n_experts=2, expert=["gaussian", "uniform"]),
    "dropped": _regression(HMERegressor, tree=(2, 3), solver=EM(on_collapse="drop"), max_iter=99),
    "zero_inflated": _counts(["point_mass", "poisson"]),
    "hurdle": _counts(["point_mass", "zero_truncated_poisson"]),
    "rounded": _of_intervals(lambda y: (np.round(y, 1), {"y_resolution": 0.1})),
    "intervals": _of_intervals(lambda y: (y, {"y_upper": y + np.where(y > 0.4, 0.3, 0.0)})),
    "right_censored": _of_intervals(
        lambda y: (np.minimum(y, 0.6), {"censoring": np.where(y > 0.6, 1, 0)})
    ),
    "truncated": _of_intervals(lambda y: (y, {"truncation": -2.0})),
    "exposure": _counts("poisson", exposure=lambda rng: rng.uniform(0.5, 2.0, N_ROWS)),
    "trials": _counts(Binomial(), trials=lambda rng: rng.integers(1, 9, N_ROWS).astype(float)),
}  # fmt: skip

# Of the library, but no formula: files hold them, databases and other runtimes do not.
WITHOUT_FORMULA: dict[str, Callable[[Any], Fit]] = {
    "gaussian_gate": _regression(MoERegressor, n_experts=3, gate="gaussian"),
    "quadratic_gate": _regression(MoERegressor, n_experts=2, gate="quadratic"),
    "gates_of_all_kinds": _regression(
        HMERegressor,
        tree=[[1, [1, 1]], 1],
        gate=[Quadratic(alpha=1.0), ["softmax", GaussianGate("diagonal")]],
        gate_features=[["age"], [["a dose"], ["age", "a dose"]]],
    ),
}


@cache
def fit(name: str) -> Fit:
    """Return the fitted model of a name; a few iterations of one start, whatever they come to."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {**BUILDERS, **WITHOUT_FORMULA}[name](np.random.default_rng(0))
