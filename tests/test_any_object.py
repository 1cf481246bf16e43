"""Whatever is handed in for whatever argument, the call works or refuses it by name."""

import inspect
import pickle
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hostile import columns, faults_of, frames, scalars
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge

from mixexp import (
    EM,
    ConformalRegressor,
    EstimatorExpert,
    Frozen,
    HMEClassifier,
    HMERegressor,
    MoEClassifier,
    MoERegressor,
    datasets,
    export_text,
    from_formula,
    from_json,
    gates,
    metrics,
    select_n_experts,
)
from mixexp.constraints import Fixed, Shared
from mixexp.experts import FAMILIES
from mixexp.penalties import GroupedL1
from mixexp.selection import Auto

N = 20
QUICK = {"n_init": 1, "solver": EM(n_moves=0), "max_iter": 3, "random_state": 0}
rng = np.random.default_rng(0)
X = rng.standard_normal((N, 2))
Y = X[:, 0] + 0.3 * rng.standard_normal(N)
CLASSES = (Y > 0.0).astype(int)
COUNTS = rng.poisson(2.0, N).astype(float)
ESTIMATORS = {
    MoERegressor: Y,
    HMERegressor: Y,
    MoEClassifier: CLASSES,
    HMEClassifier: CLASSES,
}
# Each asks for as many processes as it says.
SLOW = ("n_jobs",)


def vectors():
    return {**scalars(), **columns(N)}


def assert_no_fault(call, objects, names):
    found = faults_of(call, objects.items(), names)
    assert not found, "\n".join(f"{name}: {fault}" for name, fault in found.items())


@pytest.fixture(scope="module")
def fitted():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {
            "regressor": MoERegressor(1, alpha=0.0, dispersion_prior=0.0).fit(X, Y),
            "classifier": MoEClassifier(2, **QUICK).fit(X, CLASSES),
            "poisson": MoERegressor(1, expert="poisson").fit(X, COUNTS),
            "binomial": MoERegressor(1, expert="binomial").fit(X, COUNTS, trials=np.full(N, 20.0)),
        }


PARAMETERS = [
    pytest.param(cls, name, id=f"{cls.__name__}.{name}")
    for cls in ESTIMATORS
    for name in cls().get_params(deep=False)
    if cls is MoERegressor or name in ("tree", "n_experts", "expert", "init", "alpha")
]


@pytest.mark.parametrize(("cls", "name"), PARAMETERS)
def test_hyper_parameters(cls, name):
    objects = {k: v for k, v in scalars().items() if name not in SLOW or k != "minus_one"}
    assert_no_fault(lambda v: cls(**{**QUICK, name: v}).fit(X, ESTIMATORS[cls]), objects, name)


@pytest.mark.parametrize("name", ["expert_features", "gate_features", "constraints", "expert"])
def test_lists_of_anything(name):
    def call(value):
        return MoERegressor(2, **{**QUICK, name: [value, value]}).fit(X, Y)

    assert_no_fault(call, scalars(), name)


@pytest.mark.parametrize("head", ["location", "dispersion"])
def test_features_of_heads(head):
    def call(value):
        return MoERegressor(2, **{**QUICK, "expert_features": {head: value}}).fit(X, Y)

    assert_no_fault(call, scalars(), "expert_features")
    assert_no_fault(lambda value: call([value, value]), scalars(), "expert_features")


def test_starts():
    assert_no_fault(lambda v: MoERegressor(2, init=v, **QUICK).fit(X, Y), columns(N), "init")


@pytest.mark.parametrize("name", ["features", "value", "experts"])
@pytest.mark.parametrize("kind", [Fixed, Shared])
def test_constraints(kind, name):
    if name not in kind.__dataclass_fields__:
        return
    usual = {"features": 0, "value": 1.0} if kind is Fixed else {"features": 0}

    def call(value):
        return MoERegressor(2, **QUICK, constraints=[kind(**{**usual, name: value})]).fit(X, Y)

    assert_no_fault(call, scalars(), "constraints")


@pytest.mark.parametrize("make", [lambda v: (2, v), lambda v: [1, v], lambda v: [[1, v], 1]])
def test_parts_of_trees(make):
    assert_no_fault(lambda v: HMERegressor(make(v), **QUICK).fit(X, Y), scalars(), "tree")


def in_support(family):
    if family.name == "point_mass":
        return np.zeros(N)
    if family.uses_trials:
        return CLASSES.astype(float)
    if family.is_discrete:
        return COUNTS + 1.0
    return 1.0 / (1.0 + np.exp(-Y))


OPTIONS = [
    pytest.param(family, option, id=f"{family.name}.{option}")
    for family in FAMILIES.values()
    for option in family().get_params()
]


@pytest.mark.parametrize(("family", "option"), OPTIONS)
def test_options_of_families(family, option):
    is_regression = family.target == "regression"
    cls, y = (MoERegressor, in_support(family)) if is_regression else (MoEClassifier, CLASSES)
    assert_no_fault(
        lambda v: cls(2, expert=family(**{option: v}), **QUICK).fit(X, y), scalars(), option
    )


# Objects that hold options of parameters: the parameter, the class, and what it cannot do without.
HOLDERS = [
    ("n_experts", Auto, {"max_experts": 2, "cv": 2}),
    ("expert", Auto, {"cv": 2, "families": ["gaussian"]}),
    ("alpha", Auto, {"cv": 2, "alphas": [10.0]}),
    ("solver", EM, {"n_moves": 0}),
    ("l1", GroupedL1, {"strength": 1.0}),
    ("gate", gates.Gaussian, {}),
    ("gate", gates.Quadratic, {}),
    ("gate", gates.Estimator, {"estimator": LogisticRegression()}),
    ("expert", EstimatorExpert, {"estimator": Ridge()}),
    ("expert", Frozen, {"model": LinearRegression().fit(X, Y)}),
]
HELD = [
    pytest.param(*holder, option, id=f"{holder[0]}.{holder[1].__name__}.{option}")
    for holder in HOLDERS
    for option in inspect.signature(holder[1]).parameters
]


@pytest.mark.parametrize(("parameter", "kind", "usual", "option"), HELD)
def test_options_of_what_parameters_hold(parameter, kind, usual, option):
    def call(value):
        held = kind(**{**usual, option: value})
        return MoERegressor(**{"n_experts": 2, **QUICK, parameter: held}).fit(X, Y)

    assert_no_fault(call, scalars(), (option, parameter))


FITS = {
    "X": {},
    "y": {},
    "sample_weight": {},
    "offset": {},
    "exposure": {"expert": "poisson"},
    "trials": {"expert": "binomial"},
}


@pytest.mark.parametrize("cls", [MoERegressor, MoEClassifier])
@pytest.mark.parametrize("name", FITS)
def test_data_of_fit(cls, name):
    if cls is MoEClassifier and FITS[name]:
        return
    y = CLASSES.astype(float) if FITS[name] else ESTIMATORS[cls]
    objects = {**vectors(), **(frames(N, 2) if name == "X" else {})}
    model = cls(2, **QUICK, **FITS[name])
    assert_no_fault(lambda v: model.fit(**{"X": X, "y": y, name: v}), objects, name)


def arguments_of(method):
    parameters = inspect.signature(method).parameters.values()
    return [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]


# One of each kind of check; the others share it.
METHODS = {
    "regressor": [
        "predict",
        "route",
        "responsibilities",
        "score",
        "predict_quantile",
        "predict_interval",
        "sample",
        "inference",
    ],
    "classifier": ["predict_proba", "log_density", "score", "sample", "inference"],
    "poisson": ["predict", "log_likelihood"],
    "binomial": ["predict", "log_likelihood"],
}
CALLS = [
    pytest.param(kind, method, argument, id=f"{kind}.{method}.{argument}")
    for kind, methods in METHODS.items()
    for method in methods
    for argument in arguments_of(
        getattr(MoEClassifier if kind == "classifier" else MoERegressor, method)
    )
    if argument != "self"
]
PER_ROW = ("y", "sample_weight", "offset", "exposure", "trials", "cluster", "q")


@pytest.mark.parametrize(("kind", "method", "argument"), CALLS)
def test_methods_of_estimators(kind, method, argument, fitted):
    call = getattr(fitted[kind], method)
    usual = {"X": X, "q": 0.5}
    usual["y"] = {"regressor": Y, "classifier": CLASSES}.get(kind, COUNTS)
    usual = {name: value for name, value in usual.items() if name in arguments_of(call)}
    if method == "predict_expert":
        del usual["y"]
    usual |= {"trials": np.full(N, 20.0)} if kind == "binomial" else {}
    objects = vectors() if argument in PER_ROW else scalars()
    if argument == "X":
        objects = {**objects, **frames(N, 2)}
        # Without names at fit they draw scikit-learn's warning.
        objects = {k: v for k, v in objects.items() if "columns" not in dir(type(v))}
    assert_no_fault(lambda v: call(**{**usual, argument: v}), objects, argument)


@pytest.mark.parametrize("argument", ["cluster", "kind", "n_resamples", "random_state"])
def test_bootstrap(argument, fitted):
    def call(value):
        if argument == "n_resamples" and isinstance(value, int) and value > 2:
            return
        fitted["regressor"].bootstrap(X, Y, **{"n_resamples": 2, argument: value})

    names = (argument, "resamples")  # a draw of two clusters may be one twice
    assert_no_fault(call, vectors() if argument == "cluster" else scalars(), names)


EXPORTS = {
    "rename_experts": {"names": {0: "one"}},
    "to_sql": {
        "table": "data",
        "keep": ["id"],
        "feature_names": ["a", "b"],
        **dict.fromkeys(("offset", "exposure", "trials")),
    },
    "to_onnx": {"path": None, "quantiles": [0.5], "offset": False, "trials": False},
    "to_json": {"path": None},
    "coef_table": {"format": "latex"},
    "tidy": {"conf_level": 0.9},
}


@pytest.mark.parametrize(
    ("method", "argument"), [(m, a) for m, known in EXPORTS.items() for a in known]
)
def test_exports(method, argument, fitted, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # names of files are among the objects
    model = pickle.loads(pickle.dumps(fitted["regressor"]))
    rows = {"X": X, "y": Y} if method == "tidy" else {}
    names = (argument, "expert", "level") if method in ("rename_experts", "tidy") else argument

    def call(value):
        getattr(model, method)(**{**EXPORTS[method], **rows, argument: value})

    assert_no_fault(call, {**scalars(), "text": "a", "key": {0: 1}, "many": ["a", 1]}, names)


@pytest.mark.parametrize("argument", ["formula", "data", "estimator", "offset"])
def test_formulas(argument):
    data = pd.DataFrame(X, columns=["a", "b"]).assign(y=Y)
    usual = {"formula": "y ~ a | b", "data": data, "estimator": MoERegressor(1)}

    def call(value):
        from_formula(**{**usual, argument: value})

    objects = vectors() if argument == "offset" else scalars()
    assert_no_fault(call, {**objects, "text": "a", "none": {}}, (argument, "formula", "column"))


def test_files():
    # Names of files that there are not raise what `open` raises.
    objects = {k: v for k, v in scalars().items() if not isinstance(v, str) or not v}
    assert_no_fault(from_json, objects, "path")


INFERENCE = {
    "wald_test": {"R": np.eye(4)[0], "q": 0.0},
    "contrast": {"weights": {("expert 0", "x0"): 1.0}, "value": 0.0, "level": 0.9},
    "equality_test": {"term": "x0", "units": ["expert 0", "expert 0"]},
    "marginal_effects": {"features": [0], "level": 0.9},
    "predict_mean": {"X": X, "level": 0.9},
    "coef_table": {"level": 0.9},
}


@pytest.mark.parametrize(
    ("method", "argument"), [(m, a) for m, known in INFERENCE.items() for a in known]
)
def test_methods_of_inference(method, argument, fitted):
    call = getattr(fitted["regressor"].inference(X, Y), method)
    objects = {**scalars(), **(columns(4) if argument == "R" else {})}
    names = ("term", "units", "rows") if method == "equality_test" else argument
    assert_no_fault(lambda v: call(**{**INFERENCE[method], argument: v}), objects, names)


def test_names_of_coefficients_and_features(fitted):
    found = fitted["regressor"].inference(X, Y)
    assert_no_fault(lambda v: found.contrast({("expert 0", "x0"): v}), scalars(), "weights")
    assert_no_fault(lambda v: found.marginal_effects(features=[v]), scalars(), "features")
    names = ("units", "coefficient", "redundant")
    assert_no_fault(lambda v: found.equality_test("x0", [v, v]), scalars(), names)


DISTRIBUTION = {
    "cdf": {"y": 0.0},
    "pit": {"y": 0.0, "random_state": 0},
    "ppf": {"q": 0.5},
    "tail_expectation": {"q": 0.5},
    "interval": {"coverage": 0.9, "kind": "central"},
    "expected_excess": {"threshold": 0.0},
    "conformal_score": {"y": 0.0, "method": "central"},
    "conformal_interval": {"score": 0.0, "method": "central"},
    "sample": {"n_samples": 1, "random_state": 0},
}


@pytest.mark.parametrize(
    ("method", "argument"), [(m, a) for m, known in DISTRIBUTION.items() for a in known]
)
def test_methods_of_distributions(method, argument, fitted):
    call = getattr(fitted["regressor"].predict_dist(X), method)
    is_vector = argument in ("y", "q", "threshold")
    objects = vectors() if is_vector else scalars()
    assert_no_fault(lambda v: call(**{**DISTRIBUTION[method], argument: v}), objects, argument)


INTERVALS = np.column_stack([Y - 1.0, Y + 1.0])
SCORES = {
    "log_score": {"y_true": Y, "dist": None},
    "crps_score": {"y_true": Y, "dist": None},
    "pinball_loss": {"y_true": Y, "quantiles": Y, "q": 0.5},
    "interval_coverage": {"y_true": Y, "intervals": INTERVALS},
    "interval_width": {"intervals": INTERVALS},
    "pit_values": {"y_true": Y, "dist": None},
}


@pytest.mark.parametrize("name", SCORES)
def test_metrics(name, fitted):
    usual = SCORES[name] | (
        {"dist": fitted["regressor"].predict_dist(X)} if "dist" in SCORES[name] else {}
    )
    function = getattr(metrics, name)
    for argument in arguments_of(function):
        assert_no_fault(lambda v, a=argument: function(**{**usual, a: v}), vectors(), argument)


@pytest.mark.parametrize("argument", ["estimator", "X", "y", "sample_weight", "offset", "trials"])
@pytest.mark.parametrize("scorer", [metrics.log_density_scorer, metrics.PinballScorer()])
def test_scorers(scorer, argument, fitted):
    usual = {"estimator": fitted["regressor"], "X": X, "y": Y}
    assert_no_fault(lambda v: scorer(**{**usual, argument: v}), vectors(), argument)


@pytest.mark.parametrize(
    "make",
    [datasets.make_moe, datasets.make_hme, datasets.make_motorcycle],
    ids=lambda f: f.__name__,
)
def test_datasets(make):
    for argument in arguments_of(make):
        assert_no_fault(lambda v, a=argument: make(**{a: v}), scalars(), argument)
    trials = {"n_samples": N, "expert": "binomial"}
    if make is datasets.make_moe:
        assert_no_fault(lambda v: make(**trials, trials=v), vectors(), "trials")


@pytest.mark.parametrize("argument", ["estimator", "candidates", "criterion", "n_jobs", "verbose"])
def test_selection(argument):
    usual = {"estimator": MoERegressor(**QUICK), "X": X, "y": Y, "candidates": [1]}
    other = ("minus_one", "large_int", "function") if argument != "candidates" else ()
    objects = {name: value for name, value in scalars().items() if name not in other}
    assert_no_fault(lambda v: select_n_experts(**{**usual, argument: v}), objects, argument)


def test_candidates():
    flat, tree = MoERegressor(**QUICK), HMERegressor(**QUICK)
    assert_no_fault(
        lambda v: select_n_experts(flat, X, Y, [v]), scalars(), ("candidates", "n_experts")
    )
    assert_no_fault(lambda v: select_n_experts(tree, X, Y, [v]), scalars(), ("candidates", "tree"))


@pytest.mark.parametrize("argument", ["estimator", "feature_names", "n_terms"])
def test_text(argument, fitted):
    usual = {"estimator": fitted["regressor"]}
    assert_no_fault(lambda v: export_text(**{**usual, argument: v}), scalars(), argument)


@pytest.mark.parametrize("name", ["estimator", "method", "calibration_size", "random_state"])
def test_conformal(name):
    def call(value):
        usual = {"estimator": MoERegressor(2, **QUICK)}
        return ConformalRegressor(**{**usual, name: value}).fit(X, Y)

    assert_no_fault(call, scalars(), name)


# Silently accepted once.


@pytest.mark.parametrize("name", ["dates", "datetimes", "durations", "times"])
def test_columns_of_time_in_polars_are_refused(name):
    frame = pl.DataFrame({"x": X[:, 0], "when": columns(N)[f"polars_{name}"]})
    with pytest.raises((TypeError, ValueError), match=r"X .*'when'"):
        MoERegressor(1).fit(frame, Y)


@pytest.mark.parametrize(
    "method", ["predict", "predict_experts", "predict_dist", "predict_variance"]
)
@pytest.mark.parametrize("name", ["exposure", "trials"])
def test_what_experts_have_no_use_for_is_refused_after_the_fit(method, name, fitted):
    with pytest.raises(ValueError, match=name):
        getattr(fitted["regressor"], method)(X, **{name: np.ones(N)})


@pytest.mark.parametrize("bad", [-1.0, 0.5, 1e300])
@pytest.mark.parametrize("method", ["predict", "predict_dist", "log_density"])
def test_trials_are_whole_numbers_after_the_fit(method, bad, fitted):
    trials = np.full(N, 20.0)
    trials[3] = bad
    y = [COUNTS] if method == "log_density" else []
    with pytest.raises(ValueError, match=r"trials .* row 3"):
        getattr(fitted["binomial"], method)(X, *y, trials=trials)


# Hangs once.


@pytest.mark.parametrize("tree", [(10**8,), (2,) * 40, (10**400,), (2,) * 10**4, [[1] * 10**5]])
def test_trees_that_no_memory_holds_are_refused_at_once(tree):
    with pytest.raises(ValueError, match="'tree' parameter"):
        HMERegressor(tree).fit(X, Y)
    with pytest.raises(ValueError, match="'tree' parameter"):
        datasets.make_hme(tree=tree)


@pytest.mark.parametrize("n_experts", [10**8, 10**30, 5000])
def test_numbers_of_experts_that_no_memory_holds_are_refused_at_once(n_experts):
    for cls, y in ((MoERegressor, Y), (MoEClassifier, CLASSES)):
        with pytest.raises(ValueError, match="'n_experts' parameter"):
            cls(n_experts).fit(X, y)


# Numbers whose squares and sums float64 does not hold.

EXTREMES = {
    "y": ({"y": 1e300 * Y}, "y"),
    "one_y": ({"y": np.where(np.arange(N) == 3, 1e300, Y)}, "y .* row 3"),
    "offset": ({"offset": np.full(N, 1e100)}, "offset"),
    "one_offset": ({"offset": np.where(np.arange(N) == 3, 1.7e308, 0.0)}, "offset .* row 3"),
    "weight": ({"sample_weight": np.full(N, 1.7e308)}, "sample_weight"),
    "small_weight": ({"sample_weight": np.full(N, 5e-324)}, "sample_weight"),
}


@pytest.mark.parametrize(("arguments", "text"), EXTREMES.values(), ids=EXTREMES)
@pytest.mark.parametrize("n_experts", [1, 2])
def test_extremes_are_refused_by_name(arguments, text, n_experts):
    with pytest.raises(ValueError, match=text):
        MoERegressor(n_experts, **QUICK).fit(**{"X": X, "y": Y, **arguments})


@pytest.mark.parametrize("value", [1e300, -1e300, 1.7e308, 1e100])
def test_slopes_of_extremes_are_refused_by_name(value):
    with pytest.raises(ValueError, match="constraints"):
        MoERegressor(2, **QUICK, constraints=[Fixed(0, value)]).fit(X, Y)


REGRESSION = [name for name, family in FAMILIES.items() if family.target == "regression"]


@pytest.mark.parametrize("name", REGRESSION)
@pytest.mark.parametrize("n_experts", [1, 2])
def test_what_is_large_and_held_gives_a_finite_fit(name, n_experts):
    y, signs = in_support(FAMILIES[name]), np.where(np.arange(N) % 2, 1.0, -1.0)
    usual = {"X": X, "y": y}
    cases = [
        (MoERegressor(n_experts, expert=name, **QUICK), {"sample_weight": np.full(N, 9e99)}),
        (MoERegressor(n_experts, expert=name, **QUICK), {"sample_weight": np.full(N, 1e-190)}),
    ]
    if any(head.kind == "location" for head in FAMILIES[name]().heads):
        cases += [
            (MoERegressor(n_experts, expert=name, **QUICK), {"offset": 1e29 * signs}),
            (MoERegressor(n_experts, expert=name, constraints=[Fixed(0, -1e28)], **QUICK), {}),
        ]
    for number, (model, arguments) in enumerate(cases):
        found = faults_of(lambda a, m=model: m.fit(**usual, **a), [(number, arguments)], "y")
        assert not found, found
        if hasattr(model, "coef_"):
            assert np.isfinite(model.coef_).all()
            assert np.isfinite(model.log_likelihood_)
