"""What the surface promises of every family and estimator: attributes, arguments, one table."""

import re
from inspect import signature

import numpy as np
import pandas as pd
import pytest
from fitted import ESTIMATORS, data_for
from problems import simulate_regimes
from sklearn.base import clone

from mixexp import EM, HMEClassifier, HMERegressor, MoEClassifier, MoERegressor, export_text
from mixexp.constraints import Shared
from mixexp.datasets import make_hme, make_moe
from mixexp.displays import CoefficientDisplay
from mixexp.experts import FAMILIES

every_estimator = pytest.mark.parametrize("model", ESTIMATORS.values(), ids=ESTIMATORS)


def documented(cls):
    """Return the names of a class's documented attributes."""
    section = cls.__doc__.split("Attributes\n")[1].split("Notes\n")[0]
    listed = re.findall(r"^    ((?:\w+_(?:, )?)+) : ", section, re.MULTILINE)
    return {name for names in listed for name in names.split(", ")}


def learned(model):
    return {name for name in vars(model) if name.endswith("_") and not name.startswith("_")}


# Documented attributes.


@pytest.mark.parametrize("shape", ["flat", "tree"])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_has_the_documented_attributes(family, shape):
    expert = {"uniform": FAMILIES["uniform"](low=-9.0, high=9.0)}.get(family, family)
    options = {
        "n_init": 1,
        "random_state": 0,
        "solver": EM(balance=10.0),
        "max_iter": 200,
        "tol": 1e-3,
    }
    if FAMILIES[family].target == "regression":
        X, y, _ = make_moe(150, 2, 2, expert=expert, random_state=0)
        flat, tree = MoERegressor, HMERegressor
    else:
        expert = clone(FAMILIES[family]())
        X, y, _ = make_moe(150, 2, 2, expert=expert, random_state=0)
        flat, tree = MoEClassifier, HMEClassifier
    model = flat(2, expert=expert, **options) if shape == "flat" else None
    model = model or tree((2,), expert=expert, **options)
    model.fit(pd.DataFrame(X, columns=["a", "b"]), y)
    assert learned(model) == documented(type(model))
    assert len(model.shape_) == 2
    heads = FAMILIES[family]().heads if family not in ("ordinal", "multinomial") else ()
    has_shape = any(head.kind == "shape" for head in heads)
    assert all(bool(shape) == has_shape for shape in model.shape_)
    if FAMILIES[family].target == "regression":
        assert model.dispersion_.shape == (2,)
        assert model.dispersion_coef_.shape == (2, 0)
        if not any(head.kind == "dispersion" for head in heads):
            np.testing.assert_array_equal(model.dispersion_, 1.0)


# Arguments of the constructors.

OTHERS = {
    "n_experts": [1],
    "tree": [(1, 2)],
    "gate": ["constant"],
    "expert_features": [[0], {"location": [0]}],
    "gate_features": [[0]],
    "constraints": [[Shared(0)]],
    "alpha": [0.1],
    "gate_alpha": [0.1],
    "l1": [1.0],
    "gate_l1": [1.0],
    "dispersion_prior": [1.0],
    "n_init": [1],
    "init": ["hyperplane"],
    "max_iter": [1],
    "tol": [1e-2],
    "solver": [EM(acceleration="none"), EM(variant="cem"), EM(balance=50.0)],
    "random_state": [7],
    "weight_type": ["sampling"],
}
# These change no number of a fit like this: their values are checked, and they have tests.
ELSEWHERE = {"n_jobs", "verbose", "expert"}


def told(model):
    """Return all numbers of a fit."""
    table = model.coef_table()["estimate"].tolist()
    starts = [(r.start, r.n_iter, r.objective) for r in model.restarts_]
    return table, starts, model.history_.tolist()


@pytest.mark.filterwarnings("ignore::mixexp.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore::mixexp.exceptions.DegenerateExpertWarning")
@pytest.mark.parametrize(
    "cls", [MoERegressor, HMERegressor, MoEClassifier, HMEClassifier], ids=lambda cls: cls.__name__
)
def test_every_argument_of_a_constructor_changes_something(cls, rng):
    size = {"tree": (3,)} if "tree" in signature(cls).parameters else {"n_experts": 3}
    model = cls(**size, n_init=2, random_state=0, max_iter=100)
    X, y = simulate_regimes(rng, 200)[:2]
    y = y if "Regressor" in cls.__name__ else y > np.median(y)
    weight = rng.integers(1, 4, 200)
    plain = told(clone(model).fit(X, y, weight))
    unused = []
    for name in signature(cls).parameters:
        if name in ELSEWHERE:
            with pytest.raises(ValueError, match=name):
                clone(model).set_params(**{name: -0.5}).fit(X, y)
            continue
        for value in OTHERS[name]:
            if told(clone(model).set_params(**{name: value}).fit(X, y, weight)) == plain:
                unused.append(name)
    assert not unused


# One table.


def keyed(table):
    """Return the estimates of a table by part, unit and term."""
    names = zip(table["part"], table["unit"], table["term"], strict=True)
    return dict(zip(names, table["estimate"], strict=True))


@pytest.mark.parametrize("reference", [None, 0, -1])
@every_estimator
def test_tables_have_the_same_coefficients_with_and_without_errors(model, reference, rng):
    X, y = data_for(model, rng)[:2]
    fitted = clone(model).fit(X, y)
    plain = keyed(fitted.coef_table(reference=reference))
    found = fitted.inference(X, y, reference=reference)
    assert plain.keys() == keyed(found.coef_table()).keys()
    for key, value in keyed(found.coef_table()).items():
        np.testing.assert_allclose(value, plain[key], rtol=1e-10, atol=1e-12)
    resampled = fitted.bootstrap(X, y, n_resamples=2, random_state=0, reference=reference)
    assert keyed(resampled.coef_table()).keys() == plain.keys()


@every_estimator
def test_gates_are_the_same_everywhere(model, rng, closed_figures):
    X, y = data_for(model, rng)[:2]
    fitted = clone(model).fit(X, y)
    table = keyed(fitted.coef_table(X, y))
    gates = {key: value for key, value in table.items() if key[0] == "gate"}
    units = list(dict.fromkeys(unit for _, unit, _ in gates))
    text, html = fitted.summary(), fitted._repr_html_inner()
    with_data, exported = fitted.summary(X, y), export_text(fitted)
    for unit in units:
        edge = _edge_of(fitted, unit)
        assert gates["gate", unit, "intercept"] == pytest.approx(fitted.gate_intercept_[edge])
        for j, feature in enumerate(fitted.gate_features_):
            value = gates.get(("gate", unit, f"x{feature}"), 0.0)
            assert value == pytest.approx(fitted.gate_coef_[edge, j], rel=1e-10)
        shown = f"{fitted.gate_intercept_[edge]:.4g}"
        assert unit in text
        assert shown in text
        assert unit in html.replace("&gt;", ">")
        assert shown in html
        assert f"gate {unit}" in with_data
        assert f"{fitted.gate_intercept_[edge]:.5g}" in with_data
        assert (
            f"gate: {fitted.gate_intercept_[edge]:.3g}".replace("-", "\N{MINUS SIGN}") in exported
        )
    if fitted.gate != "constant":
        drawn = CoefficientDisplay.from_estimator(fitted, part="gate", scale="unit")
        count = sum(len(units) for units in drawn.units)
        assert count == len(units)
    contrasts = fitted.summary(X, y, reference=-1)
    assert " vs " in contrasts
    assert " vs " not in with_data


def _edge_of(fitted, unit):
    from mixexp.estimators._tables import node_names

    names = node_names(fitted.tree_)
    return names.index(unit.split(" -> ")[1]) - 1


def test_contrasts_are_differences_of_the_logits_that_sum_to_zero(rng):
    X, y, _ = make_hme(400, 2, (2, 2), random_state=0)
    model = HMERegressor((2, 2), n_init=1, random_state=0).fit(X, y)
    zero, last = (model.inference(X, y, reference=r) for r in (None, -1))
    for name, first, second in [("root", "node 0", "node 1"), ("node 0", "expert 0", "expert 1")]:
        for term in ("intercept", "x0"):
            both = {(f"{name} -> {first}", term): 1.0, (f"{name} -> {second}", term): -1.0}
            one = {(f"{name} -> {first} vs {second}", term): 1.0}
            np.testing.assert_allclose(zero.contrast(both), last.contrast(one), rtol=1e-8)
    only = model.coef_table(reference={"node 1": 0})["unit"].unique().tolist()
    assert "node 1 -> expert 3 vs expert 2" in only
    assert "root -> node 0" in only
