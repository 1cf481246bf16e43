"""Bad input is refused with a message that names it."""

import re
import warnings
from datetime import date
from functools import partial
from inspect import signature

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.exceptions import DataConversionWarning, NotFittedError

from mixexp import EM, HMEClassifier, HMERegressor, MoEClassifier, MoERegressor
from mixexp.exceptions import ConvergenceWarning
from mixexp.experts import PointMass, Uniform

N_ROWS = 40
NAN, INF = float("nan"), float("inf")


def simple_data():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((N_ROWS, 2))
    return X, X[:, 0] - X[:, 1] + 0.3 * rng.standard_normal(N_ROWS)


def with_entry(array, at, value):
    out = array.astype(np.result_type(array, type(value)))
    out[at] = value
    return out


def with_mask(array):
    mask = np.zeros(array.shape, dtype=bool)
    mask.flat[3] = True
    return np.ma.MaskedArray(array, mask)


X, Y = simple_data()
CLASSES = (Y > 0).astype(int)
FRAME = pd.DataFrame(X, columns=["speed", "load"])
DATES = np.arange(N_ROWS).astype("datetime64[D]")
WORDS = pd.Series(["b", "a"] * (N_ROWS // 2)).where(np.arange(N_ROWS) != 3)  # NaN in row 3
STRINGS = np.array(["1.5"] * N_ROWS)


def refused(id, error, *texts, **arguments):
    """Return a case: arguments of fit that must raise, with texts the message must have."""
    return pytest.param(arguments, error, texts, id=id)


BAD_DATA = [
    # Features.
    refused("X_nan", ValueError, "X", "NaN", X=with_entry(X, (3, 1), NAN)),
    refused("X_inf", ValueError, "X", "infinity", X=with_entry(X, (3, 1), -INF)),
    refused("X_masked", ValueError, "X", "masked", X=with_mask(X)),
    refused("X_datetime", TypeError, "X", "dates", X=np.column_stack([DATES, DATES])),
    refused("X_timedelta", TypeError, "X", "dur", X=(DATES - DATES[0])[:, None]),
    refused("X_complex", ValueError, "X", "Complex data not supported", X=X + 1j),
    refused(
        "X_sparse_nan",
        ValueError,
        "NaN in column 1",
        "row 3",
        X=sparse.csr_matrix(with_entry(X, (3, 1), NAN)),
    ),
    refused("X_sparse_complex", ValueError, "Complex", X=sparse.coo_array(X + 1j)),
    refused("X_sparse_no_rows", ValueError, "0 sample", X=sparse.csr_array(X[:0]), y=Y[:0]),
    refused("X_1d", ValueError, "2D array", "Reshape", X=X[:, 0]),
    refused("X_3d", ValueError, "dim 3", X=X[:, :, None]),
    refused("X_scalar", ValueError, "2D array", X=3.0),
    refused("X_none", ValueError, "X", "None", X=None),
    refused("X_no_rows", ValueError, "0 sample", X=X[:0], y=Y[:0]),
    refused("X_no_columns", ValueError, "0 feature", X=X[:, :0]),
    refused("X_numeric_strings", ValueError, "X", "strings", X=STRINGS[:, None]),
    refused("X_bytes", ValueError, "X", X=STRINGS.astype("S")[:, None]),
    refused("X_object_strings", ValueError, "X", "'1.5'", X=STRINGS.astype(object)[:, None]),
    refused("X_object_date", TypeError, "X", X=np.array([[date(2020, 1, 1)]] * N_ROWS)),
    refused("X_string_in_list", ValueError, "X", X=[["a", 1.0]] * N_ROWS),
    refused("X_ragged_list", ValueError, "X", X=[[1.0, 2.0]] * (N_ROWS - 1) + [[1.0]]),
    refused("frame_category", ValueError, "X", "'kind'", X=FRAME.assign(kind=list("ab") * 20)),
    refused("frame_datetime", TypeError, "X", "'day'", X=FRAME.assign(day=DATES)),
    refused(
        "frame_missing",
        ValueError,
        "NaN",
        X=FRAME.assign(count=pd.array([None, *range(N_ROWS - 1)], dtype="Int64")),
    ),
    refused("frame_mixed_names", TypeError, "names", "str", X=FRAME.set_axis(["a", 1], axis=1)),
    refused(
        "frame_duplicate_names", ValueError, "X", "'speed'", X=FRAME.set_axis(["speed"] * 2, axis=1)
    ),
    refused(
        "frame_sparse_nan",
        ValueError,
        "NaN in column 'load'",
        X=FRAME.assign(load=NAN).astype("Sparse[float]"),
    ),
    refused("frame_text", ValueError, "X", "'kind'", X=FRAME.assign(kind=["ab"] * N_ROWS)),
    refused("frame_nan", ValueError, "X", "NaN", X=FRAME.assign(load=NAN)),
    refused("X_nan_column", ValueError, "column 1", "row 3", X=with_entry(X, (3, 1), NAN)),
    refused("frame_nan_column", ValueError, "'load'", "row 0", X=FRAME.assign(load=NAN)),
    refused("frame_no_columns", ValueError, "X is empty", "0 feature", X=FRAME[[]]),
    # Target.
    refused("y_text", ValueError, "y holds strings", "MoEClassifier", y=STRINGS),
    refused("y_object_text", ValueError, "y", "strings", "MoEClassifier", y=["a"] * N_ROWS),
    refused("y_nan", ValueError, "y", "NaN", y=with_entry(Y, 3, NAN)),
    refused("y_inf", ValueError, "y", "infinity", y=with_entry(Y, 3, INF)),
    refused("y_masked", ValueError, "y", "masked", y=with_mask(Y)),
    refused("y_datetime", TypeError, "y", "dates", y=DATES),
    refused("y_complex", ValueError, "y", "Complex data not supported", y=Y + 1j),
    refused("y_strings", ValueError, "y", "strings", y=STRINGS),
    refused("y_object_strings", ValueError, "y", y=np.array(["a"] * N_ROWS, dtype=object)),
    refused("y_numeric_object_strings", ValueError, "y", y=STRINGS.astype(object)),
    refused("y_three_axes", ValueError, "y", y=np.zeros((N_ROWS, 2, 2))),
    refused("y_scalar", (TypeError, ValueError), "scalar", y=3.0),
    refused("y_none", ValueError, "y", y=None),
    refused("y_short", ValueError, "inconsistent", "X", "40", "39", y=Y[:-1]),
    refused("y_long", ValueError, "inconsistent", "40", "41", y=np.append(Y, 1.0)),
    # Weights.
    refused("weight_nan", ValueError, "sample_weight", "NaN", w=with_entry(np.ones(40), 3, NAN)),
    refused("weight_inf", ValueError, "sample_weight", "inf", w=with_entry(np.ones(40), 3, INF)),
    refused("weight_negative", ValueError, "sample_weight", "-2.0", "row 3", w=[1, 1, 1, -2] * 10),
    refused("weight_zero", ValueError, "sample_weight", "zero", w=np.zeros(N_ROWS)),
    refused("weight_short", ValueError, "sample_weight", "(39,)", "(40,)", w=np.ones(39)),
    refused("weight_2d", ValueError, "sample_weight", "(40, 1)", w=np.ones((N_ROWS, 1))),
    refused("weight_masked", ValueError, "sample_weight", "masked", w=with_mask(np.ones(N_ROWS))),
    refused("weight_strings", ValueError, "sample_weight", w=STRINGS),
    refused("weight_complex", ValueError, "sample_weight", w=np.ones(N_ROWS) + 0j),
    # Too little.
    refused("few_rows", ValueError, "n_samples=2", "n_experts=3", X=X[:2], y=Y[:2]),
    refused(
        "few_weighted_rows",
        ValueError,
        "2 with positive weight",
        "n_experts=3",
        w=[0] * 38 + [1, 2],
    ),
]


@pytest.mark.parametrize(("arguments", "error", "texts"), BAD_DATA)
def test_bad_data_are_refused_by_name(arguments, error, texts):
    given = {"X": X, "y": Y, "w": None} | arguments
    assert_refused(error, texts, MoERegressor(n_init=1).fit, given["X"], given["y"], given["w"])


def assert_refused(error, texts, function, *arguments):
    with pytest.raises(error) as caught:
        function(*arguments)
    message = str(caught.value)
    for text in texts:
        assert re.search(rf"(?<![A-Za-z]){re.escape(text)}", message) or text in message, message


FRAMES = {
    "bool": FRAME > 0.0,
    "nullable": FRAME.round().astype("Int64"),
    "mixed": FRAME.assign(speed=FRAME["speed"].astype("float32"), load=FRAME["load"] > 0.0),
    # Neither names nor numbers: columns without names, as scikit-learn takes them.
    "two_levels": FRAME.set_axis(pd.MultiIndex.from_tuples([("a", "b"), ("a", "c")]), axis=1),
}


@pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES)
def test_frames_of_any_numbers_are_fitted_as_their_values(frame):
    model = MoERegressor(2, n_init=1, random_state=0).fit(frame, Y)
    plain = MoERegressor(2, n_init=1, random_state=0).fit(frame.to_numpy(dtype=float), Y)
    np.testing.assert_array_equal(model.predict(frame), plain.predict(frame.to_numpy(dtype=float)))


def test_column_vector_of_targets_is_flattened_with_a_warning():
    with pytest.warns(DataConversionWarning):
        model = MoERegressor(1).fit(X, Y[:, None])
    np.testing.assert_array_equal(model.coef_, MoERegressor(1).fit(X, Y).coef_)


BAD_CLASSES = [
    refused("one_class", ValueError, "y", "one class", y=np.ones(N_ROWS, dtype=int)),
    refused("one_weighted_class", ValueError, "y", "one class", w=(CLASSES == 1).astype(float)),
    refused("continuous", ValueError, "Unknown label type", y=Y),
    refused("missing", ValueError, "y", "NaN", y=with_entry(CLASSES, 3, NAN)),
    refused("missing_word", ValueError, "y", "NaN at row 3", y=WORDS),
    refused("missing_category", ValueError, "y", "NaN at row 3", y=pd.Categorical(WORDS)),
    refused("masked", ValueError, "y", "masked", y=with_mask(CLASSES)),
    refused("two_columns", ValueError, "y", y=np.column_stack([CLASSES, CLASSES])),
    refused("none", ValueError, "y", y=None),
]


@pytest.mark.parametrize(("arguments", "error", "texts"), BAD_CLASSES)
def test_bad_classes_are_refused_by_name(arguments, error, texts):
    given = {"X": X, "y": CLASSES, "w": None} | arguments
    assert_refused(error, texts, MoEClassifier(n_init=1).fit, given["X"], given["y"], given["w"])


def test_unseen_class_is_refused():
    model = MoEClassifier(1).fit(X, np.array(["no", "yes"])[CLASSES])
    for method in (model.log_density, model.responsibilities, model.log_likelihood):
        assert_refused(ValueError, ["y", "'maybe'", "row 1"], method, X[:2], ["no", "maybe"])


# Hyper-parameters.

BAD_PARAMETERS = {
    "n_experts": [0, -1, 2.5, 2.0, "3", True, None, NAN, [2]],
    "n_init": [0, -1, 1.5, "1", "all", True, None],
    "max_iter": [0, -1, 10.0, "10", True, None],
    "tol": [-1.0, NAN, INF, "1e-3", None, True],
    "alpha": [-1.0, NAN, INF, "1", None, True, [1.0]],
    "gate_alpha": [-1.0, NAN, INF, "1", None, True],
    "dispersion_prior": [-1.0, NAN, INF, "1", None, True],
    "gate": ["probit", "", None, 1, ["softmax", "softmax"]],
    "expert": ["unknown", "logistic", "", None, 3, 3.5, ["gaussian"], ["gaussian"] * 2 + [1]],
    "solver": ["em", "", 0, True, EM, BaseEstimator()],
    "init": [
        "kmeans",
        "",
        None,
        3,
        MoERegressor(),
        np.zeros(N_ROWS - 1),
        np.full(N_ROWS, 3),
        np.full(N_ROWS, -1),
        np.full(N_ROWS, 0.5),
        np.full(N_ROWS, NAN),
        ["0"] * N_ROWS,
        np.full((N_ROWS, 2), 0.5),
        np.full((N_ROWS, 4), 0.25),
        np.full((N_ROWS - 1, 3), 1.0 / 3.0),
        np.full((N_ROWS, 3), 0.5),
        np.full((N_ROWS, 3), NAN),
        np.tile([1.5, -0.5, 0.0], (N_ROWS, 1)),
        np.full((N_ROWS, 3, 1), 1.0 / 3.0),
        # Longer than X: made for other data.
        np.zeros(N_ROWS + 1, dtype=int),
        np.full((N_ROWS + 1, 3), 1.0 / 3.0),
    ],
    "random_state": ["a", -1, 1.5],
    "n_jobs": [0, 1.5, "2", True],
    "verbose": ["yes", -1, None, 1.5],
    # A set has no order of coefficients, and an iterator is empty at the second fit.
    "gate_features": [["speed"], [2], [-1], [0, 0], "speed", 1, [0.0], [True], {0}, iter([0])],
    "expert_features": [["speed"], [2], [-1], [0, 0], "speed", 1, [0.0], [True], {0}, iter([0])],
}


def parameter_id(value):
    """Return a name that is the same in every process."""
    if isinstance(value, np.ndarray):
        return f"array{value.shape}of{value.flat[0]:.2g}".replace(" ", "")
    return type(value).__name__ if " object at " in repr(value) else repr(value)[:40]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param(name, value, id=f"{name}={parameter_id(value)}")
        for name, values in BAD_PARAMETERS.items()
        for value in values
    ],
)
def test_bad_hyper_parameters_are_refused_in_fit_by_name(name, value):
    model = MoERegressor(**{"n_init": 1, name: value})
    with pytest.raises(ValueError, match=name):
        model.fit(X, Y)
    assert not hasattr(model, "coef_")


# One value per rule is enough: the rules are the same for all.
BAD_EVERYWHERE = {name: values[0] for name, values in BAD_PARAMETERS.items() if name != "n_experts"}
BAD_EVERYWHERE |= {"n_jobs": 0}


@pytest.mark.parametrize("cls", [HMERegressor, MoEClassifier, HMEClassifier])
@pytest.mark.parametrize("name", BAD_EVERYWHERE)
def test_every_estimator_refuses_bad_hyper_parameters(cls, name):
    if name not in signature(cls).parameters:
        assert (cls.__name__[3:], name) == ("Classifier", "dispersion_prior")
        return
    model = cls(**{"n_init": 1, name: BAD_EVERYWHERE[name]})
    assert_refused(ValueError, [name], model.fit, X, CLASSES)
    assert not hasattr(model, "coef_")


@pytest.mark.parametrize("features", [["speed"], [2], [0, 0], 1, [True]])
@pytest.mark.parametrize("cls", [MoERegressor, HMERegressor])
@pytest.mark.parametrize("head", ["location", "dispersion"])
def test_bad_features_of_a_head_are_refused_in_fit(cls, features, head):
    model = cls(expert_features={head: features})
    assert_refused(ValueError, [f"expert_features['{head}']"], model.fit, X, Y)


@pytest.mark.parametrize("head", ["shape", "scale", 0, None])
@pytest.mark.parametrize("cls", [MoERegressor, HMERegressor, MoEClassifier, HMEClassifier])
def test_features_of_unknown_heads_are_refused_in_fit(cls, head):
    model = cls(expert_features={"location": [0], head: [0]})
    y = (np.median(Y) < Y).astype(int)
    assert_refused(ValueError, ["expert_features", repr(head), "'location'"], model.fit, X, y)


@pytest.mark.parametrize("cls", [MoEClassifier, HMEClassifier])
def test_classes_have_no_dispersion_to_have_features(cls):
    model = cls(expert_features={"dispersion": [0]})
    y = (np.median(Y) < Y).astype(int)
    assert_refused(ValueError, ["expert_features", "'dispersion'"], model.fit, X, y)


BAD_SOLVERS = {
    "acceleration": ["squarem", "", None, True, False],
    "variant": ["random", "", None, True, 0.5],
    "on_collapse": ["ignore", "", None, True],
    "n_moves": [-1, 1.0, True, None],
    "balance": [-1.0, NAN, INF, "1", None, True],
}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in BAD_SOLVERS.items() for value in values]
)
def test_bad_options_of_the_solver_are_refused_in_fit(name, value):
    model = MoERegressor(solver=EM(**{name: value}))
    assert_refused(ValueError, [name, "EM"], model.fit, X, Y)


@pytest.mark.parametrize("cls", [HMERegressor, HMEClassifier])
def test_fewer_rows_than_leaves_are_refused(cls):
    texts = ["n_samples=3", "n_experts=4"]
    assert_refused(ValueError, texts, cls((2, 2)).fit, X[:3], np.array([0, 1, 0]))


@pytest.mark.parametrize("tree", [3, (), [], (0,), (2.5,), "22", None, [2], [[]], {2: 2}, (True,)])
@pytest.mark.parametrize("cls", [HMERegressor, HMEClassifier])
def test_bad_trees_are_refused_in_fit(cls, tree):
    assert_refused(ValueError, ["tree", repr(tree)], cls(tree).fit, X, CLASSES)


@pytest.mark.parametrize("expert", ["gaussian", "unknown", None, 3, ["logistic"]])
def test_bad_experts_of_classifiers_are_refused(expert):
    assert_refused(ValueError, ["expert"], MoEClassifier(expert=expert).fit, X, CLASSES)


def test_logistic_experts_refuse_three_classes():
    y = np.arange(N_ROWS) % 3
    texts = ["expert", "logistic", "3", "multinomial"]
    assert_refused(ValueError, texts, MoEClassifier(expert="logistic").fit, X, y)


@pytest.mark.parametrize("name", ["gate_features", "expert_features"])
def test_unknown_feature_names_are_refused_with_the_known_ones(name):
    model = MoERegressor(**{name: ["speed", "weight"]})
    assert_refused(ValueError, [name, "'weight'", "'speed'", "'load'"], model.fit, FRAME, Y)
    assert_refused(ValueError, [name, "'speed'", "set_output"], model.fit, X, Y)


@pytest.mark.parametrize("values", [{"n_init": np.int64(1)}, {"alpha": np.float32(1)}, {"tol": 0}])
def test_numpy_scalars_are_fine(values):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        MoERegressor(**{"n_experts": 1} | values).fit(X, Y)


@pytest.mark.filterwarnings("ignore::mixexp.exceptions.DegenerateExpertWarning")
def test_estimator_of_another_shape_is_refused_as_start():
    other = MoERegressor(2, n_init=1, random_state=0).fit(X, Y)
    assert_refused(ValueError, ["init", "tree"], MoERegressor(3, init=other).fit, X, Y)
    assert_refused(ValueError, ["init"], MoERegressor(2, init=other, gate_features=[0]).fit, X, Y)


@pytest.mark.filterwarnings("ignore::mixexp.exceptions.DegenerateExpertWarning")
@pytest.mark.parametrize("expert", ["point_mass", PointMass(at=1.0), Uniform(low=-0.1, high=0.1)])
def test_experts_without_coefficients_refuse_what_none_of_them_explains(expert):
    model = MoERegressor(2, expert=expert)
    assert_refused(ValueError, ["y", "expert", "row"], model.fit, X, Y)


# Prediction.

METHODS_OF_X = ["predict", "gate_proba", "predict_expert", "predict_experts", "route"]
CRITERIA = ["aic", "bic", "criteria"]
WEIGHTED_METHODS = ["log_likelihood", *CRITERIA, "inference", "bootstrap"]
METHODS_OF_X_AND_Y = ["responsibilities", "log_density", *WEIGHTED_METHODS]
ESTIMATORS = [MoERegressor, MoEClassifier, HMERegressor, HMEClassifier]


@pytest.mark.parametrize("cls", ESTIMATORS)
def test_methods_before_fit_say_so(cls):
    model = cls()
    for name in METHODS_OF_X:
        with pytest.raises(NotFittedError, match=cls.__name__):
            getattr(model, name)(X)
    for name in METHODS_OF_X_AND_Y:
        with pytest.raises(NotFittedError, match=cls.__name__):
            getattr(model, name)(X, CLASSES)
    for name in ("coef_table", "summary"):
        with pytest.raises(NotFittedError, match=cls.__name__):
            getattr(model, name)()


@pytest.mark.parametrize("name", METHODS_OF_X + METHODS_OF_X_AND_Y)
def test_methods_refuse_bad_features(name):
    model = MoERegressor(1).fit(X, Y)
    y = [Y] if name in METHODS_OF_X_AND_Y else []
    method = getattr(model, name)
    assert_refused(ValueError, ["X", "NaN"], method, with_entry(X, (3, 1), NAN), *y)
    assert_refused(ValueError, ["3 features", "2 features"], method, np.ones((N_ROWS, 3)), *y)
    assert_refused(ValueError, ["masked"], method, with_mask(X), *y)
    assert_refused(ValueError, ["0 sample"], method, X[:0], *(part[:0] for part in y))


@pytest.mark.parametrize("name", METHODS_OF_X_AND_Y)
def test_methods_refuse_bad_targets(name):
    method = getattr(MoERegressor(1).fit(X, Y), name)
    assert_refused(ValueError, ["y", "NaN"], method, X, with_entry(Y, 3, NAN))
    assert_refused(ValueError, ["inconsistent"], method, X, Y[:-1])


@pytest.mark.parametrize("name", METHODS_OF_X + METHODS_OF_X_AND_Y)
def test_methods_refuse_frames_with_other_columns(name):
    method = getattr(MoERegressor(1).fit(FRAME, Y), name)
    y = [Y] if name in METHODS_OF_X_AND_Y else []
    assert_refused(ValueError, ["order"], method, FRAME[["load", "speed"]], *y)
    assert_refused(ValueError, ["load"], method, FRAME[["speed"]], *y)
    assert_refused(ValueError, ["extra"], method, FRAME.assign(extra=1.0), *y)


@pytest.mark.parametrize("name", ["predict", "predict_experts"])
def test_methods_refuse_bad_offsets_and_exposures(name):
    model = MoERegressor(1, expert="poisson").fit(X, np.arange(N_ROWS) % 5)
    for wrong, texts in {
        "offset": ["offset", "(39,)", "(40,)"],
        "exposure": ["exposure", "(39,)", "(40,)"],
    }.items():
        call = partial(getattr(model, name), X, **{wrong: np.ones(N_ROWS - 1)})
        assert_refused(ValueError, texts, call)
    call = partial(getattr(model, name), X, exposure=np.zeros(N_ROWS))
    assert_refused(ValueError, ["exposure", "positive", "row 0"], call)
    call = partial(getattr(model, name), X, exposure=0.5)
    assert_refused(ValueError, ["exposure", "(40,)", "0.5 alone"], call)


@pytest.mark.parametrize("name", METHODS_OF_X)
def test_one_row_is_enough_to_predict(name):
    found = getattr(MoERegressor(2, n_init=1, random_state=0).fit(X, Y), name)(X[:1])
    assert len(found.experts if name == "route" else found) == 1


@pytest.mark.parametrize("name", WEIGHTED_METHODS)
def test_criteria_refuse_bad_weights(name):
    method = getattr(MoERegressor(1).fit(X, Y), name)
    assert_refused(ValueError, ["sample_weight"], method, X, Y, np.ones(N_ROWS - 1))
    assert_refused(ValueError, ["sample_weight"], method, X, Y, -np.ones(N_ROWS))
