"""Checkpoints: fits that were killed go on to the same bits, and files that are not for them."""

import json

import numpy as np
import pytest
from fitted import assert_same_outputs, outputs
from killed import kill_after_writes
from problems import simulate_classes, simulate_regimes
from sklearn.linear_model import Ridge

from mixexp import EM, Checkpoint, HMERegressor, MoEClassifier, MoERegressor
from mixexp.estimators import _checkpoint
from mixexp.exceptions import CheckpointError, ModelFileError

pytest.importorskip("sklearn.callback")
N_ROWS = 300
MODELS = {
    "newton": lambda: MoERegressor(3, n_init=4, random_state=0),
    "anderson": lambda: HMERegressor(
        [[1, 1], 1], n_init=4, random_state=0, solver=EM(acceleration="anderson")
    ),
    "classes": lambda: MoEClassifier(2, n_init=2, random_state=np.random.RandomState(3)),
    "lasso": lambda: MoERegressor(2, n_init=2, l1=5.0, random_state=0),
}


class CrashError(Exception):
    """Stands for a crash."""


@pytest.fixture
def data():
    rng = np.random.default_rng(1)
    return simulate_regimes(rng, N_ROWS, n_regimes=3)


def crash_after(monkeypatch, n_writes):
    """Have the process fail at a write, once it is done."""
    original, writes = _checkpoint.write_whole, []

    def write(path, content):
        original(path, content)
        writes.append(len(content))
        if len(writes) == n_writes:
            raise CrashError

    monkeypatch.setattr(_checkpoint, "write_whole", write)


def rows_for(name, data):
    if name == "classes":
        return simulate_classes(np.random.default_rng(2), N_ROWS, 3)
    return data


@pytest.mark.parametrize("n_writes", [1, 30])
@pytest.mark.parametrize("name", MODELS)
def test_resumed_fits_have_the_same_bits(name, n_writes, data, tmp_path, monkeypatch):
    path, (X, y, _) = tmp_path / "fit.json", rows_for(name, data)
    whole = MODELS[name]().fit(X, y)
    with monkeypatch.context() as patch:
        crash_after(patch, n_writes)
        model = MODELS[name]().set_callbacks(Checkpoint(path, iterations=1))
        with pytest.raises(CrashError):
            model.fit(X, y)
    resumed = MODELS[name]()
    if name == "classes":  # seeds are those that were drawn, whoever would draw others now
        resumed.set_params(random_state=np.random.RandomState(4))
    resumed.fit(X, y, resume=path)
    assert_same_outputs(outputs(resumed, X, y), outputs(whole, X, y))
    np.testing.assert_array_equal(resumed.history_, whole.history_)
    assert resumed.restarts_ == whole.restarts_


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Return the checkpoint of a fit that came to its end, and its rows."""
    data = simulate_regimes(np.random.default_rng(1), N_ROWS, n_regimes=2)
    path = tmp_path_factory.mktemp("fits") / "fit.json"
    model = MoERegressor(2, n_init=1, random_state=0).set_callbacks(Checkpoint(path, minutes=60))
    return path, model.fit(data.X, data.y), data


def test_a_finished_fit_is_resumed_at_its_end(written):
    path, model, data = written
    resumed = MoERegressor(2, n_init=1, random_state=0, n_jobs=2, verbose=0)
    resumed.fit(data.X, data.y, resume=path)
    np.testing.assert_array_equal(resumed.coef_, model.coef_)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda X, y: (X + 1.0, y, {}), "other data: X differ"),
        (lambda X, y: (X, y + 1.0, {}), "other data: y differ"),
        (lambda X, y: (X[1:], y[1:], {}), "shape of X"),
        (lambda X, y: (X, y, {"sample_weight": np.arange(1.0, 301.0)}), "sample_weight"),
    ],
)
def test_other_rows_are_refused_by_name(change, message, written):
    path, _, data = written
    X, y, given = change(data.X, data.y)
    model = MoERegressor(2, n_init=1, random_state=0)
    with pytest.raises(CheckpointError, match=message):
        model.fit(X, y, resume=path, **given)
    assert not hasattr(model, "coef_")


@pytest.mark.parametrize("changes", [{"alpha": 1.0}, {"random_state": 1}, {"max_iter": 7}])
def test_other_settings_are_refused_by_name(changes, written):
    path, _, data = written
    model = MoERegressor(2, n_init=1, random_state=0).set_params(**changes)
    with pytest.raises(CheckpointError, match=f"other settings: {next(iter(changes))} differs"):
        model.fit(data.X, data.y, resume=path)


def change_entry(name, value):
    def change(text):
        return json.dumps(json.loads(text) | {name: value})

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text[: len(text) // 2], "truncated"),
        (lambda text: text.replace('"is_converged": true', '"is_converged": false'), "checksum"),
        (change_entry("version", 99), "version 99"),
        (change_entry("format", "mixexp-model"), "holds no checkpoint"),
    ],
)
def test_files_that_are_damaged_or_newer_are_refused(change, message, written, tmp_path):
    path, _, data = written
    text = path.read_text()
    damaged = tmp_path / "damaged.json"
    damaged.write_text(change(text))
    assert damaged.read_text() != text
    with pytest.raises(ModelFileError, match=message):
        MoERegressor(2, n_init=1, random_state=0).fit(data.X, data.y, resume=damaged)


def test_a_folder_that_is_not_there_is_told_of_before_the_fit(data, tmp_path, monkeypatch):
    path = tmp_path / "nowhere" / "fit.json"
    model = MoERegressor(2).set_callbacks(Checkpoint(path, minutes=1e6))
    monkeypatch.setattr(type(model), "_make_tree", None)  # nothing is begun
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*nowhere'; make it before"):
        model.fit(*data)


def test_bad_arguments_and_submodels_are_refused(data, tmp_path):
    with pytest.raises(ValueError, match="minutes must be"):
        Checkpoint(tmp_path / "a", minutes=-1.0)
    with pytest.raises(ValueError, match="iterations must be"):
        Checkpoint(tmp_path / "a", iterations=0)
    with pytest.raises(TypeError, match="path must be"):
        Checkpoint(3)
    with pytest.raises(FileNotFoundError):
        MoERegressor(2).fit(data.X, data.y, resume=tmp_path / "none.json")
    model = MoERegressor(2, expert=Ridge(), n_init=1).set_callbacks(Checkpoint(tmp_path / "a"))
    with pytest.raises(ValueError, match="not a"):
        model.fit(data.X, data.y)


_CHILD = """
import sys
import numpy as np
from mixexp import Checkpoint, MoERegressor

rows = np.load(sys.argv[1])
model = MoERegressor(3, n_init=4, random_state=0)
model.set_callbacks(Checkpoint(sys.argv[2], iterations=1)).fit(rows[:, 1:], rows[:, 0])
"""


def test_a_killed_process_loses_one_interval_at_most(data, tmp_path):
    path, rows = tmp_path / "fit.json", tmp_path / "rows.npy"
    np.save(rows, np.column_stack([data.y, data.X]))
    kill_after_writes(_CHILD, 25, rows, path)
    # What is left may be of a later iteration than the last that was heard of, and is whole.
    whole = MODELS["newton"]().fit(data.X, data.y)
    resumed = MODELS["newton"]().fit(data.X, data.y, resume=path)
    assert_same_outputs(outputs(resumed, data.X, data.y), outputs(whole, data.X, data.y))
    np.testing.assert_array_equal(resumed.history_, whole.history_)
