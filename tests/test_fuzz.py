"""Whatever is handed in, a fit is refused by name or ends in finite numbers.

Hypothesis chooses sizes, scales and faults, a seeded generator the numbers. Whatever a fit learns,
and says of the rows that it was fitted to, is finite; rows of weight zero may be impossible.
"""

import re
import warnings
from itertools import cycle, islice
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.exceptions import DataConversionWarning

from mixexp import HMEClassifier, HMERegressor, MoEClassifier, MoERegressor
from mixexp import exceptions as mixexp_exceptions
from mixexp.experts import FAMILIES

NAMED = tuple(getattr(mixexp_exceptions, name) for name in mixexp_exceptions.__all__)
ARGUMENTS = r"\b(X|y|sample_weight|n_experts|tree|expert|init)\b"
REGRESSION = sorted(name for name, family in FAMILIES.items() if family.target == "regression")
MIXED = (
    ("point_mass", "poisson"),
    ("point_mass", "gamma"),
    ("uniform", "gaussian"),
    ("gaussian", "student_t", "laplace"),
    ("gamma", "lognormal"),
)
TREES = (None, (2,), (2, 2), [[1, 1], 1], [1, [1, [1, 1]]])
DTYPES = ("float64", "float32", "int64", "bool", "object")


class Case(NamedTuple):
    """What hypothesis chooses."""

    seed: int
    n: int
    p: int
    n_experts: int
    tree: object
    expert: object
    scale_of_x: float
    scale_of_y: float
    shift: float
    dtype: str
    n_distinct: int
    n_constant: int
    n_outliers: int
    share_without_weight: float
    penalty: float
    gate: str
    init: str


def scales():
    """Powers of ten; 1 is the likeliest."""
    return st.one_of(st.just(1.0), st.integers(-100, 100).map(lambda power: 10.0**power))


def cases(expert):
    return st.builds(
        Case,
        seed=st.integers(0, 2**32 - 1),
        n=st.integers(1, 40),
        p=st.integers(1, 5),
        n_experts=st.integers(1, 4),
        tree=st.sampled_from(TREES),
        expert=expert,
        scale_of_x=scales(),
        scale_of_y=scales(),
        shift=st.sampled_from([0.0, 0.0, 1.0, -1e6, 1e12]),
        dtype=st.sampled_from(DTYPES),
        n_distinct=st.integers(1, 60),
        n_constant=st.sampled_from([0, 0, 1, 5]),
        n_outliers=st.sampled_from([0, 0, 1, 3]),
        share_without_weight=st.sampled_from([0.0, 0.0, 0.3, 0.9]),
        penalty=st.sampled_from([0.0, 1e-3, 10.0, 1e6]),
        gate=st.sampled_from(["softmax", "constant"]),
        init=st.sampled_from(["auto", "labels"]),
    )


def draw_features(case, rng):
    X = rng.standard_normal((case.n, case.p))
    X[:, : case.n_constant] = 1.0
    X = X[rng.integers(0, min(case.n, case.n_distinct), case.n)]
    X[: case.n_outliers] *= 1e6
    with np.errstate(invalid="ignore", over="ignore"):
        return ((X + case.shift) * case.scale_of_x).astype(case.dtype)


def draw_target(case, rng):
    """Draw numbers that are in the support of the experts named, but for overflow."""
    names = {case.expert} if isinstance(case.expert, str) else set(case.expert)
    y = rng.standard_normal(case.n)
    if names & {"binomial", "beta_binomial"}:
        return (y > 0.0).astype(float)
    if names & {"beta"}:
        return rng.random(case.n)
    if names == {"point_mass"}:
        return np.zeros(case.n)
    if any(FAMILIES[name].is_discrete for name in names - {"point_mass"}):
        counts = np.floor(rng.exponential(min(max(case.scale_of_y, 0.1), 1e6), case.n))
        return counts + ("zero_truncated_poisson" in names)
    if names <= {"gaussian", "student_t", "laplace", "skew_normal", "uniform"}:
        y[: case.n_outliers] *= 1e6
        return (y + case.shift) * case.scale_of_y
    return np.exp(y) * case.scale_of_y * (y > -1.0 if "point_mass" in names else 1.0)


def fit(model, X, y, weight):
    """Return whether there is a fit; check what a refusal or a warning says."""
    refusal = ""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            model.fit(X, y, weight)
        except (TypeError, ValueError) as error:
            refusal = str(error)
    assert not refusal or re.search(ARGUMENTS, refusal), refusal
    for warning in caught if not refusal else ():
        assert issubclass(warning.category, (*NAMED, DataConversionWarning)), str(warning.message)
    return not refusal


def assert_all_finite(model, X, y):
    for name, value in vars(model).items():
        if name.endswith("_") and getattr(value, "dtype", np.dtype(type(value))).kind == "f":
            assert np.all(np.isfinite(value)), (name, value)
    for name in ("predict_experts", "gate_proba"):
        assert np.all(np.isfinite(getattr(model, name)(X))), name
    for name in ("responsibilities", "log_density"):
        assert np.all(np.isfinite(getattr(model, name)(X, y))), name
    assert isinstance(model.summary(), str)


def check(case, flat, hierarchical, draw):
    rng = np.random.default_rng(case.seed)
    X, y = draw_features(case, rng), draw(case, rng)
    is_used = rng.random(case.n) >= case.share_without_weight
    model = flat(case.n_experts) if case.tree is None else hierarchical(case.tree)
    n_leaves = model._make_tree().n_leaves
    names = case.expert
    model.set_params(
        expert=names if isinstance(names, str) else list(islice(cycle(names), n_leaves)),
        gate=case.gate,
        alpha=case.penalty,
        gate_alpha=case.penalty,
        init="auto" if case.init == "auto" else rng.integers(0, n_leaves, case.n),
        n_init=2,
        max_iter=50,
        random_state=0,
    )
    if "dispersion_prior" in model.get_params():
        model.set_params(dispersion_prior=case.penalty)
    if fit(model, X, y, is_used * rng.exponential(size=case.n)):
        assert_all_finite(model, X[is_used], y[is_used])


def check_regression(case):
    check(case, MoERegressor, HMERegressor, draw_target)


def draw_classes(case, rng):
    return np.array(["a", "b", "c", "d"])[rng.integers(0, 1 + case.n_distinct % 4, case.n)]


def check_classes(case):
    check(case, MoEClassifier, HMEClassifier, draw_classes)


experts = st.one_of(st.sampled_from(REGRESSION), st.sampled_from(MIXED))
quick = settings(max_examples=20, deadline=None, derandomize=True, database=None)
long = settings(max_examples=300, deadline=None, derandomize=True, database=None)


@quick
@given(cases(experts))
def test_regression_is_refused_by_name_or_finite(case):
    check_regression(case)


@quick
@given(cases(st.just("auto")))
def test_classification_is_refused_by_name_or_finite(case):
    check_classes(case)


@pytest.mark.slow
@long
@given(cases(experts))
def test_many_regressions_are_refused_by_name_or_finite(case):
    check_regression(case)


@pytest.mark.slow
@long
@given(cases(st.just("auto")))
def test_many_classifications_are_refused_by_name_or_finite(case):
    check_classes(case)
