"""Models as ONNX: what the runtime computes is what the model predicts."""

import json
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
from portable import BUILDERS, N_ROWS, QUICK, WITHOUT_FORMULA, fit
from test_files import Own

from mixexp import MoERegressor
from mixexp.exceptions import ExportError
from mixexp.files import OPSET

CLOSED = (
    "gaussian_identity",
    "gaussian_log",
    "student_t",
    "laplace",
    "lognormal",
    "weibull",
    "burr",
    "generalized_pareto",
)


def run(content, X, **inputs):
    """Return the outputs of a graph by name."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    providers = ["CPUExecutionProvider"]
    session = onnxruntime.InferenceSession(content, options, providers=providers)
    given = {"X": np.asarray(X, dtype=np.float64)}
    given |= {name: np.asarray(value)[:, None] for name, value in inputs.items()}
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, given), strict=True))


@pytest.mark.parametrize("name", BUILDERS)
def test_every_fit_predicts_the_same_in_the_runtime(name):
    case = fit(name)
    model, X, known = case.model, case.X, case.per_row
    inputs = {"trials": known["trials"]} if "trials" in known else {}
    inputs |= {"offset": np.log(known["exposure"])} if "exposure" in known else {}
    found = run(model.to_onnx(**dict.fromkeys(inputs, True)), X, **inputs)
    expected = {"gate": model.gate_proba(X)}
    if hasattr(model, "predict_proba"):
        expected |= {"proba": model.predict_proba(X), "expert_proba": model.predict_experts(X)}
        np.testing.assert_array_equal(found.pop("label"), model.predict(X))
    else:
        expected |= {"mean": model.predict(X, **known)}
        expected |= {"expert_mean": model.predict_experts(X, **known)}
    assert found.keys() == expected.keys()
    for output, value in expected.items():
        # Rounding alone: the same formulas in double precision.
        np.testing.assert_allclose(found[output], value, rtol=1e-11, atol=1e-13, err_msg=output)


def test_far_from_the_data_nothing_overflows():
    for name in ("logistic", "multinomial", "beta_probit", "poisson", "tree"):
        case = fit(name)
        far = case.X * np.linspace(-1e5, 1e5, N_ROWS)[:, None]
        found = run(case.model.to_onnx(), far)
        np.testing.assert_allclose(found["gate"], case.model.gate_proba(far), rtol=1e-8, atol=1e-14)
        by_expert = found["expert_proba" if "expert_proba" in found else "expert_mean"]
        expected = case.model.predict_experts(far)
        np.testing.assert_allclose(by_expert, expected, rtol=1e-8, atol=1e-14)


DISPERSIONS = ("dispersions", "dispersions_student_t", "dispersions_lognormal")


@pytest.mark.parametrize("name", [*CLOSED, "gamma_log", "point_mass", "uniform", *DISPERSIONS])
def test_quantiles_of_experts_are_closed(name):
    case, levels = fit(name), [0.05, 0.5, 0.9]
    found = run(case.model.to_onnx(quantiles=levels), case.X)["expert_quantile"]
    assert found.shape == (N_ROWS, 2, 3)
    for k, alone in enumerate(case.model.predict_dist(case.X).experts()):
        np.testing.assert_allclose(found[:, k], alone.ppf(levels), rtol=1e-9, atol=1e-12)


def test_the_quantile_of_one_expert_is_that_of_y():
    case, levels = fit("one"), [0.1, 0.75]
    found = run(case.model.to_onnx(quantiles=levels), case.X)["quantile"]
    np.testing.assert_allclose(found, case.model.predict_quantile(case.X, levels), rtol=1e-9)


def test_the_file_says_what_it_is(tmp_path):
    model = fit("tree").model
    assert model.to_onnx(tmp_path / "model.onnx", quantiles=[0.5]) is None
    read = onnx.load(tmp_path / "model.onnx")
    assert [(opset.domain, opset.version) for opset in read.opset_import] == [("", OPSET)]
    said = {entry.key: entry.value for entry in read.metadata_props}
    assert json.loads(said["features"]) == ["age", "a dose"]
    assert json.loads(said["experts"]) == model.expert_names_
    assert json.loads(said["quantiles"]) == [0.5]


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("poisson", {"quantiles": [0.5]}, "poisson expert have no closed form"),
        ("tree", {"quantiles": [1.5]}, "quantiles must be"),
        ("tree", {"quantiles": 0.5}, "quantiles must be"),
        ("tree", {"offset": "id"}, "offset must be True or False"),
        ("logistic", {"quantiles": [0.5]}, "quantiles are for regressors"),
    ],
)
def test_what_there_is_not_is_refused_by_name(name, arguments, words, tmp_path):
    with pytest.raises(ValueError, match=words):
        fit(name).model.to_onnx(tmp_path / "model.onnx", **arguments)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", WITHOUT_FORMULA)
def test_gates_without_a_formula_are_refused_by_name(name):
    with pytest.raises(ExportError, match=r"no linear predictors, .*Gate"):
        fit(name).model.to_onnx()


def test_families_of_ones_own_are_refused_by_name():
    case = fit("one")
    with pytest.raises(ExportError, match="The Own family"):
        MoERegressor(1, expert=Own(), **QUICK).fit(case.X, case.y).to_onnx()


def test_without_onnx_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r"mixexp\[onnx\]"):
        fit("one").model.to_onnx()
