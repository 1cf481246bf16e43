"""The types of the public surface: a user's script passes mypy, and does what its types say."""

import runpy
from pathlib import Path

import numpy as np
import pytest

import mixexp
from mixexp.inference import Inference, Summary

SCRIPT = Path(__file__).parent / "typed_user.py"


def test_types_are_shipped():
    assert (Path(mixexp.__file__).parent / "py.typed").exists()


def test_a_users_script_passes_mypy(tmp_path):
    api = pytest.importorskip("mypy.api")
    options = ["--strict-equality", "--check-untyped-defs", f"--cache-dir={tmp_path}"]
    options += ["--follow-imports=silent", "--ignore-missing-imports"]
    report, errors, status = api.run([*options, str(SCRIPT)])
    assert status == 0, report + errors
    wrong = tmp_path / "wrong.py"
    wrong.write_text(SCRIPT.read_text().replace("bic: float", "bic: str"))
    report, _, status = api.run([*options, str(wrong)])
    assert status == 1
    assert '"float"' in report


def test_a_users_script_runs():
    names = runpy.run_path(str(SCRIPT))
    assert isinstance(names["summary"], Summary)
    assert isinstance(names["found"], Inference)
    assert isinstance(names["table"], str)
    assert isinstance(names["text"], str)
    arrays = ("quantiles", "responsibilities", "probabilities")
    assert all(isinstance(names[name], np.ndarray) for name in arrays)
