"""Models that travel: every fit comes back bit by bit, and what is no model is refused whole."""

import hashlib
import io
import json
import pickle

import joblib
import numpy as np
import pytest
import skops.io as skops
from fitted import assert_same_outputs
from portable import BUILDERS, QUICK, WITHOUT_FORMULA, fit
from sklearn.base import clone

from mixexp import MoERegressor, Submodel, from_json
from mixexp.constraints import Bounded, Fixed
from mixexp.exceptions import ExportError, ModelFileError
from mixexp.experts import Gaussian
from mixexp.files import seal
from mixexp.penalties import GroupedL1

every_fit = pytest.mark.parametrize("name", [*BUILDERS, *WITHOUT_FORMULA])


def said(model, case):
    """Return what a model says of rows, with offsets and the like."""
    X, y, known = case.X, case.y, case.per_row
    found = {
        "gate_proba": model.gate_proba(X),
        "predict": model.predict(X, **known),
        "predict_experts": model.predict_experts(X, **known),
        "responsibilities": model.responsibilities(X, y, **known),
        "log_density": model.log_density(X, y, **known),
    }
    if hasattr(model, "predict_proba"):
        found["predict_proba"] = model.predict_proba(X)
    return found


def learned(model):
    return {name: value for name, value in vars(model).items() if name.endswith("_")}


def travelled(model, tmp_path):
    path = tmp_path / "model.json"
    assert model.to_json(path) is None
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.json"]
    return from_json(path)


@every_fit
def test_every_fit_comes_back_bit_by_bit(name, tmp_path):
    case = fit(name)
    back = travelled(case.model, tmp_path)
    assert type(back) is type(case.model)
    assert_same_outputs(said(back, case), said(case.model, case))
    assert repr(back.get_params()) == repr(case.model.get_params()) or name == "constraints"
    assert learned(back).keys() == learned(case.model).keys()
    for attribute, value in learned(case.model).items():
        other = getattr(back, attribute)
        assert type(other) is type(value), attribute
        if isinstance(value, np.ndarray):
            assert other.dtype == value.dtype
            np.testing.assert_array_equal(other, value, err_msg=attribute)
        elif attribute not in ("fitted_model_", "tree_"):
            assert repr(other) == repr(value), attribute
    assert back.to_json() == case.model.to_json()


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # few iterations
@pytest.mark.parametrize("name", ["tree_of_other_gates", "constraints", "ordinal"])
def test_what_came_back_fits_and_infers_as_before(name, tmp_path):
    case = fit(name)
    back = travelled(case.model, tmp_path)
    made = [pickle.loads(pickle.dumps(back)), back, case.model]
    tables = [str(model.summary()) for model in made]
    assert tables[0] == tables[1] == tables[2]
    one, other = (clone(model).fit(case.X, case.y) for model in made[1:])
    assert_same_outputs(said(one, case), said(other, case))


@pytest.mark.parametrize("name", ["tree", "multinomial", "zero_inflated"])
def test_pickle_joblib_and_skops_keep_every_bit(name):
    case = fit(name)
    buffer = io.BytesIO()
    joblib.dump(case.model, buffer)
    buffer.seek(0)
    dumped = skops.dumps(case.model)
    trusted = skops.get_untrusted_types(data=dumped)
    assert all(kind.startswith("mixexp.") for kind in trusted)
    for back in (joblib.load(buffer), skops.loads(dumped, trusted=trusted)):
        assert_same_outputs(said(back, case), said(case.model, case))


# What cannot be written.


class Own(Gaussian):
    """A family that the library does not know."""


class Alone(Submodel):
    def start(self, rows, resp, random_state):
        return 0.0


class Derived(MoERegressor):
    """An estimator that the library does not know."""


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"expert": Own()}, "parameters.'expert'. is an object of type Own"),
        ({"gate": [Alone()]}, "parameters.'gate'..0. is an object of type Alone"),
        ({"init": len}, "parameters.'init'. is an object of type builtin"),
        ({"alpha": 1j}, "parameters.'alpha'. is an object of type complex"),
        ({"init": np.array([1j])}, "parameters.'init'. is an array of dtype complex128"),
    ],
)
def test_objects_of_ones_own_are_refused_by_name_and_leave_no_file(change, words, tmp_path):
    model = pickle.loads(pickle.dumps(fit("one").model)).set_params(**change)
    with pytest.raises(ExportError, match=words):
        model.to_json(tmp_path / "model.json")
    assert not list(tmp_path.iterdir())


def test_estimators_and_families_of_ones_own_are_refused_by_name():
    case = fit("one")
    with pytest.raises(ExportError, match="Derived"):
        Derived(1, **QUICK).fit(case.X, case.y).to_json()
    with pytest.raises(ExportError, match="type Own"):
        MoERegressor(1, expert=Own(), **QUICK).fit(case.X, case.y).to_json()


@pytest.mark.parametrize(
    "change",
    [
        {"random_state": np.random.RandomState(3)},
        {"init": np.array([0, 1, 1]), "expert_features": ("age",)},
        {"alpha": float("inf"), "tol": np.float32(1e-3)},
        {"n_jobs": np.int64(2), "gate_features": [None]},
        {"constraints": [Fixed(0, np.int64(1)), Bounded(1, np.int64(0), np.float32(2.0))]},
        {"l1": GroupedL1(np.int64(2)), "gate_l1": GroupedL1(np.float64(2.0))},
    ],
)
def test_parameters_of_every_kind_travel(change, tmp_path):
    model = pickle.loads(pickle.dumps(fit("one").model)).set_params(**change)
    model.to_json(tmp_path / "one.json")
    found = from_json(tmp_path / "one.json").get_params(deep=False)
    assert {name: type(found[name]) for name in change} == {
        name: type(value) for name, value in change.items()
    }
    for name in {"constraints", "l1", "gate_l1"} & set(change):
        assert found[name] == change[name]


def test_generators_and_estimators_travel_as_parameters(tmp_path):
    case = fit("one")
    model = pickle.loads(pickle.dumps(case.model))
    model.set_params(random_state=np.random.RandomState(3), init=case.model)
    back = travelled(model, tmp_path)
    assert back.random_state.randint(10**9) == np.random.RandomState(3).randint(10**9)
    np.testing.assert_array_equal(back.init.coef_, case.model.coef_)


def without(tree, names):
    """Return a nested list or dictionary without entries of these names."""
    if isinstance(tree, dict):
        return {key: without(value, names) for key, value in tree.items() if key not in names}
    return [without(value, names) for value in tree] if isinstance(tree, list) else tree


def test_files_from_before_slopes_had_units_are_read(tmp_path):
    model = fit("tree").model
    envelope = json.loads(model.to_json())
    older = without(envelope["model"], {"slope_unit", "sooner"})
    assert older != envelope["model"]
    path = tmp_path / "older.json"
    path.write_text(seal(older, "a test"))
    back = from_json(path)
    np.testing.assert_array_equal(back.coef_, model.coef_)
    assert back.fitted_model_.model.penalty == model.fitted_model_.model.penalty
    assert all(group.slope_unit == 1.0 for group in back.fitted_model_.model.groups)


# What cannot be read.


def changed(text, *path, value):
    """Return a file with one entry replaced, and a checksum that is right."""
    envelope = json.loads(text)
    at = envelope["model"]["record"]["fields"]
    for key in path[:-1]:
        at = at[key]
    assert path[-1] in at if isinstance(at, dict) else True
    at[path[-1]] = value
    return seal(envelope["model"], "a test")


def refused(text, tmp_path, words):
    path = tmp_path / "model.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ModelFileError, match=words):
        from_json(path)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_truncated_files_are_refused(share, tmp_path):
    text = fit("tree").model.to_json()
    refused(text[: int(share * len(text))], tmp_path, "truncated")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"\xff\xfe\x00", "holds no JSON"),
        ("[" * 100_000, "holds no JSON"),
        ("[]", "holds no model"),
        ('{"format": "other"}', "holds no model"),
        ('{"format": "mixexp-model", "version": 2, "written_by": "mixexp 9.0"}', "mixexp 9.0"),
        ('{"format": "mixexp-model", "version": true}', "version True"),
        ('{"format": "mixexp-model", "version": 1}', "entries"),
        ('{"format": "mixexp-model", "format": "mixexp-model"}', "same key twice"),
        ('{"format": NaN}', "NaN"),
    ],
)
def test_what_is_no_model_file_is_refused(text, words, tmp_path):
    refused(text, tmp_path, words)


def test_the_text_of_a_file_is_no_name_of_one():
    with pytest.raises(ValueError, match="path must be the name of a file, and is the text of one"):
        from_json(fit("one").model.to_json())


def test_a_changed_number_is_refused(tmp_path):
    text = fit("one").model.to_json()
    number = json.loads(text)["model"]["record"]["fields"]["attributes"]["map"]["log_likelihood_"]
    refused(text.replace(repr(number), repr(number + 1.0), 1), tmp_path, "checksum")


def test_spaces_and_order_are_no_change(tmp_path):
    model = fit("tree").model
    path = tmp_path / "model.json"
    path.write_text(json.dumps(json.loads(model.to_json()), indent=2, sort_keys=True))
    np.testing.assert_array_equal(from_json(path).coef_, model.coef_)


def array(shape, dtype="<f8"):
    value = 0 if "i" in dtype else 0.0
    values = [value] * int(np.prod(shape))
    return {"array": {"dtype": dtype, "shape": list(shape), "values": values}}


MODEL = ("attributes", "map", "fitted_model_", "record", "fields", "model", "record", "fields")
PARAMS = (*MODEL[:5], "params", "record", "fields")
SCALING = (*MODEL[:5], "scaling", "record", "fields")
GROUP = (*MODEL, "groups", "tuple", 0, "record", "fields")
GATES = (*MODEL, "gates", "tuple", 0, "record", "fields")
ATTRIBUTES = ("attributes", "map")


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ((*PARAMS, "gates", "tuple", 0), array((4, 3)), "coefficients of slot 0"),
        ((*PARAMS, "gates"), {"tuple": []}, "params.gates"),
        ((*PARAMS, "experts", "tuple", 0, "tuple", 0), array((4, 3), "<i8"), "slot 1 has dtype"),
        ((*PARAMS, "experts"), {"tuple": []}, "params.experts"),
        ((*SCALING, "center"), array((7,)), "scaling.center"),
        ((*SCALING, "scale"), array((2,)), "scaling.scale is not positive"),
        ((*MODEL, "designs", "tuple", 0), array((3,), "<i8"), "designs.0. is no set"),
        ((*MODEL, "tree"), {"tree": [1, 1]}, "leaves"),
        ((*MODEL, "tree"), {"tree": [1, "x"]}, "no tree"),
        ((*MODEL, "tree"), 3, "Model.tree is 3"),
        ((*GROUP, "leaves"), array((4,), "<i8"), "leaves of the groups"),
        ((*GROUP, "designs"), {"tuple": [0, 99]}, "designs"),
        ((*GROUP, "scale"), {"number": "nan"}, "finite unit"),
        ((*GROUP, "family"), "gaussian", "ExpertGroup.family"),
        ((*GROUP, "family", "record", "type"), "Poisson", "fields are"),
        ((*GROUP, "family", "record", "type"), "os.system", "unknown type"),
        ((*GROUP, "family", "record", "fields", "link"), "cube", "link"),
        ((*GATES, "nodes"), array((3,), "<i8"), "nodes of the gates"),
        ((*GATES, "design"), -1, "design"),
        ((*ATTRIBUTES, "coef_"), array((2, 2)), "coef_ has not 4 entries"),
        ((*ATTRIBUTES, "n_features_in_"), "2", "another type"),
        ((*ATTRIBUTES, "fitted_model_"), None, "another type"),
        ((*ATTRIBUTES, "feature_names_in_"), array((3,)), "feature_names_in_ has not 2"),
        ((*ATTRIBUTES, "predict"), 3, "learns no attribute 'predict'"),
        ((*ATTRIBUTES, "__class__"), 3, "learns no attribute '__class__'"),
        (ATTRIBUTES, {}, "no fitted estimator"),
        (("parameters", "map", "alpha"), {"code": "1"}, "the kind 'code'"),
        (("parameters", "map", "alpha"), {"number": "1"}, "the number '1'"),
        (("parameters", "map", "alpha"), {}, "one key"),
        (("parameters", "map", "beta"), 1, "beta"),
        (("parameters", "map", "init"), {"array": {"dtype": "O", "shape": [1]}}, "no array"),
        (("parameters", "map", "init"), array((2, 2), "<x9"), "unknown dtype"),
        (("parameters", "map", "init"), array((1,), "<c16"), "dtype <c16"),
    ],
)
def test_parts_that_do_not_fit_are_refused(path, value, words, tmp_path):
    text = fit("tree").model.to_json()
    if path[-1] in ("predict", "__class__", "beta"):
        envelope = json.loads(text)
        at = envelope["model"]["record"]["fields"]
        for key in path[:-1]:
            at = at[key]
        at[path[-1]] = value
        text = seal(envelope["model"], "a test")
    else:
        text = changed(text, *path, value=value)
    refused(text, tmp_path, words)


OTHER = (*MODEL, "others", "tuple", 0, "record", "fields")
OWN = (*PARAMS, "others", "tuple", 0)
OWN_FIELDS = (*OWN, "record", "fields")


@pytest.mark.parametrize(
    ("name", "path", "value", "words"),
    [
        ("quadratic_gate", OWN, array((2, 5)), r"parameters of others\[0\] has dtype"),
        ("quadratic_gate", OWN, 3, "are no array"),
        ("quadratic_gate", (*PARAMS, "others"), {"tuple": []}, "not one part per submodel"),
        ("quadratic_gate", (*PARAMS, "others"), 3, "Parameters.others is 3"),
        ("quadratic_gate", (*OTHER, "is_gate"), False, "is no gate"),
        ("quadratic_gate", (*OTHER, "design"), 9, "design is none"),
        ("quadratic_gate", (*OTHER, "nodes"), array((2,), "<i8"), "not the children of one node"),
        ("quadratic_gate", (*MODEL, "others"), {"tuple": []}, "nodes of the gates"),
        ("gaussian_gate", OWN, array((3, 6)), "are those of another"),
        ("gaussian_gate", (*OWN_FIELDS, "means"), array((3, 1)), r"others\[0\].means"),
        ("gaussian_gate", (*OWN_FIELDS, "basis"), array((2,)), "basis is no matrix"),
        ("gaussian_gate", (*OWN_FIELDS, "factors"), array((3, 9, 9)), "factors"),
        (
            "gaussian_gate",
            (*OTHER, "submodel", "record", "fields", "covariance"),
            "round",
            "'covariance' parameter",
        ),
        ("censored", (*GROUP, "family", "record", "fields", "lower"), None, "'lower' or an"),
    ],
)
def test_gates_and_limits_that_do_not_fit_are_refused(name, path, value, words, tmp_path):
    refused(changed(fit(name).model.to_json(), *path, value=value), tmp_path, words)


def test_the_checksum_is_that_of_the_documented_form():
    envelope = json.loads(fit("one").model.to_json())
    plain = json.dumps(envelope["model"], sort_keys=True, separators=(",", ":"))
    assert envelope["sha256"] == hashlib.sha256(plain.encode()).hexdigest()
