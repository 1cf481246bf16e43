"""Progress of fits: lines that are printed, and what scikit-learn's callbacks see and may do.

Callbacks came with scikit-learn 1.9; before, the tests of them are skipped.
"""

import pickle
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from fitted import ESTIMATORS, assert_same_outputs, data_for, outputs
from problems import simulate_regimes
from sklearn.base import clone
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mixexp import HMERegressor, MoERegressor
from mixexp.estimators import _fitting, _progress
from mixexp.exceptions import ConvergenceWarning

ASKED_TO_STOP = "a callback asked to stop"


@pytest.fixture
def callback():
    """Return the module of callbacks, or skip what needs it."""
    return pytest.importorskip("sklearn.callback")


@pytest.fixture
def data(rng):
    return simulate_regimes(rng, 300, n_regimes=2)


class Hooks:
    """A callback that notes its calls; subclasses raise, or ask to stop."""

    def __init__(self):
        self.calls = []

    def setup(self, estimator, context):
        self.note("setup", context)

    def teardown(self, estimator, context):
        self.note("teardown", context)

    def on_fit_task_begin(self, estimator, context):
        self.note("begin", context)

    def on_fit_task_end(self, estimator, context):
        self.note("end", context)
        return self.asks_to_stop(context)

    def note(self, hook, context):
        self.calls.append((hook, context.task_name))

    def asks_to_stop(self, context):
        return False


class Propagated(Hooks):
    """The same, handed down from pipelines and searches."""

    max_propagation_depth = None


class Keeper(Hooks):
    """Keeps the fitted estimators that it is given, and what comes with them."""

    def __init__(self):
        super().__init__()
        self.found = []

    def on_fit_task_end(self, estimator, context, *, X, y, metadata, fitted_estimator):
        self.found.append((context.task_name, fitted_estimator))
        self.told = X, y, metadata


class Raising(Hooks):
    def __init__(self, hook, task, error):
        super().__init__()
        self.where, self.error = (hook, task), error

    def note(self, hook, context):
        super().note(hook, context)
        if (hook, context.task_name) == self.where:
            raise self.error


class Stopping(Hooks):
    """Asks to stop at an iteration of a start, and at the end of it."""

    def __init__(self, n_iter, start=None):
        super().__init__()
        self.n_iter, self.start = n_iter, start

    def asks_to_stop(self, context):
        if context.task_name == "start":
            return context.task_id == self.start
        if context.task_name != "iteration" or context.task_id + 1 < self.n_iter:
            return False
        return self.start is None or context.parent.task_id == self.start


def own_score(estimator, X, y, **known):
    """Score as the estimator does; scikit-learn 1.9.1 fails with ``scoring=None``."""
    return {"score": estimator.score(X, y, **known)}


def fit_quietly(model, data):
    """Fit, whether or not it converges."""
    with pytest.warns(ConvergenceWarning):
        return model.fit(data.X, data.y)


# What callbacks see.


def test_progress_bar_shows_every_start(callback, data, capsys):
    model = MoERegressor(2, n_init=3, random_state=0)
    model.set_callbacks(callback.ProgressBar()).fit(data.X, data.y)
    shown = capsys.readouterr().out
    assert "MoERegressor - fit" in shown
    assert all(f"MoERegressor - start #{number}" in shown for number in range(3))
    assert shown.count("100%") == 4


def test_tasks_are_a_tree_of_starts_and_iterations(callback, data):
    log = Hooks()
    model = MoERegressor(2, n_init=5, random_state=0).set_callbacks(log).fit(data.X, data.y)
    n_iter = sum(restart.n_iter for restart in model.restarts_)
    for hook in ("begin", "end"):
        tasks = [task for name, task in log.calls if name == hook]
        counts = {name: tasks.count(name) for name in tasks}
        assert counts == {"fit": 1, "start": 5, "iteration": n_iter}
    assert log.calls[:2] == [("setup", "fit"), ("begin", "fit")]
    assert log.calls[-2:] == [("end", "fit"), ("teardown", "fit")]


@pytest.mark.parametrize("name", ESTIMATORS)
def test_iterations_are_scored_as_fits_that_stop_there(name, callback, rng):
    model = clone(ESTIMATORS[name]).set_params(n_init=1)
    data = data_for(model, rng)
    monitor = callback.ScoringMonitor(scoring=own_score)
    n_iter = clone(model).set_callbacks(monitor).fit(data.X, data.y).n_iter_
    rows = [row for row in monitor.get_logs().data if row["task_name"] == "iteration"]
    assert [row["task_id_path"] for row in rows] == [(0, 0, i) for i in range(n_iter)]
    for i in {0, 2, n_iter - 2}:
        stopped = fit_quietly(clone(model).set_params(max_iter=i + 1), data)
        assert rows[i]["score"] == stopped.score(data.X, data.y)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_estimators_of_iterations_are_fits_that_stop_there(name, callback, rng):
    model = clone(ESTIMATORS[name]).set_params(n_init=1, max_iter=4)
    data = data_for(model, rng)
    keeper = Keeper()
    full = fit_quietly(clone(model).set_callbacks(keeper), data)
    stopped = fit_quietly(clone(model).set_params(max_iter=3), data)
    _, found = keeper.found[2]
    assert_same_outputs(outputs(found, data.X, data.y), outputs(stopped, data.X, data.y))
    np.testing.assert_array_equal(found.history_, stopped.history_)
    # Diagnostics need a pass of their own, once, at the end.
    assert set(vars(stopped)) - {"diagnostics_"} <= set(vars(found))
    assert found.convergence_reason_ == found.restarts_[0].reason == ASKED_TO_STOP
    assert "3" in found.summary()
    for task, found in keeper.found[-2:]:
        assert task in ("start", "fit")
        assert_same_outputs(outputs(found, data.X, data.y), outputs(full, data.X, data.y))


def test_scorers_get_the_data_of_the_user(callback, data):
    frame = pd.DataFrame(data.X, columns=["a", "b"])
    weight = np.linspace(0.0, 1.0, len(frame))
    keeper, monitor = Keeper(), callback.ScoringMonitor(scoring="r2")
    model = MoERegressor(2, n_init=2, random_state=0).set_callbacks(keeper, monitor)
    model.fit(frame, data.y, sample_weight=weight)
    assert keeper.told[0] is frame
    assert keeper.told[1] is data.y
    assert list(keeper.told[2]) == ["sample_weight"]
    last = next(row for row in monitor.get_logs().data if row["task_name"] == "fit")
    assert last["r2"] == r2_score(data.y, model.predict(frame), sample_weight=weight)


def test_offsets_reach_the_scorer(callback, data):
    monitor = callback.ScoringMonitor(scoring=own_score)
    offset = data.X[:, 0]
    model = MoERegressor(2, n_init=1, random_state=0).set_callbacks(monitor)
    model.fit(data.X, data.y, offset=offset)
    last = next(row for row in monitor.get_logs().data if row["task_name"] == "fit")
    assert last["score"] == model.score(data.X, data.y, offset=offset)


def test_nothing_is_made_that_no_callback_asks_for(callback, data, monkeypatch):
    calls = []

    def counted(*args, **kwargs):
        calls.append(args)
        return original(*args, **kwargs)

    original = _fitting.set_fitted_attributes
    monkeypatch.setattr(_fitting, "set_fitted_attributes", counted)
    MoERegressor(2, n_init=2, random_state=0).set_callbacks(Hooks()).fit(data.X, data.y)
    assert len(calls) == 1


def test_callbacks_change_nothing_about_a_fit(callback, data):
    model = MoERegressor(2, n_init=5, random_state=0)
    plain = clone(model).fit(data.X, data.y)
    followed = clone(model).set_callbacks(Hooks(), Keeper()).fit(data.X, data.y)
    assert set(vars(followed)) - set(vars(plain)) == {"_skl_callbacks"}
    assert followed.get_params() == plain.get_params()
    assert followed.restarts_ == plain.restarts_
    np.testing.assert_array_equal(followed.history_, plain.history_)
    expected = outputs(plain, data.X, data.y)
    assert_same_outputs(outputs(followed, data.X, data.y), expected)
    copied = pickle.loads(pickle.dumps(clone(model).set_callbacks(Hooks()).fit(data.X, data.y)))
    assert_same_outputs(outputs(copied, data.X, data.y), expected)
    assert_same_outputs(outputs(copied.fit(data.X, data.y), data.X, data.y), expected)


# What callbacks may do: stop, and raise.


# Priors so weak that no start is dropped under weaker ones before callbacks hear of it.
WEAK = {"alpha": 1.0, "gate_alpha": 0.3, "dispersion_prior": 1.0}


def test_stopping_at_an_iteration_stops_its_start(callback, data):
    model = MoERegressor(2, n_init=3, random_state=0, **WEAK)
    stopped = clone(model).set_callbacks(Stopping(3)).fit(data.X, data.y)  # and warns of nothing
    assert [restart.n_iter for restart in stopped.restarts_] == [3, 3, 3]
    assert {restart.reason for restart in stopped.restarts_} == {ASKED_TO_STOP}
    assert stopped.convergence_reason_ == ASKED_TO_STOP
    assert not stopped.converged_
    bounded = fit_quietly(clone(model).set_params(max_iter=3), data)
    np.testing.assert_array_equal(stopped.predict(data.X), bounded.predict(data.X))


@pytest.mark.parametrize("tol", [1e-8, 1e-2])
def test_stopping_ends_the_search_of_a_tree_whatever_its_tolerance(callback, tol, data):
    model = HMERegressor((2, 2), n_init=1, tol=tol, random_state=0, **WEAK)
    stopped = model.set_callbacks(Stopping(1)).fit(data.X, data.y)
    assert [restart.reason for restart in stopped.restarts_] == [ASKED_TO_STOP]
    assert stopped.convergence_reason_ == ASKED_TO_STOP


def test_stopping_at_the_end_of_a_start_stops_the_others(callback, data):
    model = MoERegressor(2, n_init=2, random_state=0, **WEAK)
    first, second = model.set_callbacks(Stopping(2, start=0)).fit(data.X, data.y).restarts_
    assert first.reason == second.reason == ASKED_TO_STOP
    assert first.n_iter == 2
    assert second.n_iter <= 3


def test_one_of_two_callbacks_is_enough_to_stop(callback, data):
    log = Hooks()
    model = MoERegressor(2, n_init=1, random_state=0, verbose=2).set_callbacks(Stopping(2), log)
    assert model.fit(data.X, data.y).n_iter_ == 2
    assert log.calls.count(("end", "iteration")) == 2


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
@pytest.mark.parametrize(
    ("hook", "task"),
    [
        ("setup", "fit"),
        ("begin", "fit"),
        ("begin", "start"),
        ("begin", "iteration"),
        ("end", "iteration"),
        ("end", "start"),
        ("end", "fit"),
        ("teardown", "fit"),
    ],
)
def test_what_a_callback_raises_leaves_the_estimator_as_it_was(hook, task, error, callback, data):
    model = MoERegressor(2, n_init=2, random_state=0)
    raising = Raising(hook, task, error)
    for fitted in (False, True):
        if fitted:
            model.set_callbacks().fit(data.X, data.y)
        before = dict(vars(model.set_callbacks(raising)))
        with pytest.raises(type(error)) as caught:
            model.fit(-data.X, data.y)
        assert caught.value is error
        assert raising.calls[-1] == ("teardown", "fit")
        after = vars(model)
        assert after.keys() == before.keys()
        assert all(after[name] is value for name, value in before.items())


def test_data_that_are_refused_reach_no_callback(callback, data):
    log = Hooks()
    model = MoERegressor(2).set_callbacks(log)
    with pytest.raises(ValueError, match="NaN"):
        model.fit(np.full_like(data.X, np.nan), data.y)
    assert not log.calls
    assert vars(model).keys() == vars(MoERegressor().set_callbacks(log)).keys()


# Inside pipelines and searches.


def test_pipeline_hands_callbacks_down(callback, data):
    log = Propagated()
    pipeline = make_pipeline(StandardScaler(), MoERegressor(2, n_init=2, random_state=0))
    pipeline.set_callbacks(log).fit(data.X, data.y)
    model = pipeline[-1]
    n_iter = sum(restart.n_iter for restart in model.restarts_)
    assert log.calls.count(("end", "iteration")) == n_iter
    assert "_skl_callbacks" not in vars(model)
    assert "_parent_callback_ctx" not in vars(model)


def test_pipeline_is_as_it_was_after_a_callback_raised(callback, data):
    pipeline = make_pipeline(StandardScaler(), MoERegressor(2, n_init=2, random_state=0))
    pipeline.set_callbacks(PropagatedRaising("end", "iteration", OSError("disk full")))
    before = dict(vars(pipeline[-1]))
    with pytest.raises(OSError, match="disk full"):
        pipeline.fit(data.X, data.y)
    assert vars(pipeline[-1]) == before


class PropagatedRaising(Raising, Propagated):
    pass


def search_over(model, n_jobs=None):
    return GridSearchCV(model, {"n_experts": [1, 2]}, cv=2, n_jobs=n_jobs)


def test_search_hands_callbacks_down(callback, data):
    log = Propagated()
    search = search_over(MoERegressor(2, n_init=2, random_state=0))
    search.set_callbacks(log).fit(data.X, data.y)
    # Four fits, and the best once more; one expert has one start.
    assert log.calls.count(("end", "start")) == 2 * 1 + 2 * 2 + len(
        search.best_estimator_.restarts_
    )
    assert search.predict(data.X).shape == data.y.shape


@pytest.mark.parametrize("n_jobs", [None, pytest.param(2, marks=pytest.mark.slow)])
def test_fits_of_a_search_are_scored(n_jobs, callback, data):
    monitor = callback.ScoringMonitor(scoring="r2")
    model = make_pipeline(
        StandardScaler(), MoERegressor(2, n_init=2, random_state=0).set_callbacks(monitor)
    )
    search = GridSearchCV(model, {"moeregressor__n_experts": [1, 2]}, cv=2, n_jobs=n_jobs)
    search.fit(data.X, data.y)
    rows = monitor.get_logs().data
    assert sum(row["task_name"] == "fit" for row in rows) == 4 + 1
    assert all(np.isfinite(row["r2"]) for row in rows)


# Printing.


def test_verbose_1_prints_one_line_per_start(data, capsys):
    model = MoERegressor(2, n_init=3, random_state=0, verbose=1).fit(data.X, data.y)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    for restart in model.restarts_:
        start = f"MoERegressor: start {restart.start}: "
        (line,) = [line for line in lines if line.startswith(start)]
        assert line.endswith(f"after {restart.n_iter} iterations; {restart.reason}")


def test_verbose_2_also_prints_while_it_runs(data, capsys, monkeypatch):
    monkeypatch.setattr(_progress, "_INTERVAL", 0.0)
    model = MoERegressor(2, n_init=3, random_state=0, verbose=2).fit(data.X, data.y)
    lines = capsys.readouterr().out.splitlines()
    running = [line for line in lines if "starts running" in line]
    assert len(running) == sum(restart.n_iter for restart in model.restarts_)
    assert len(lines) == len(running) + 3
    assert f"{model.penalized_log_likelihood_:.6g}" in running[-1]


def test_verbose_2_prints_about_once_a_second(data, capsys):
    MoERegressor(2, n_init=3, random_state=0, verbose=2).fit(data.X, data.y)
    few = capsys.readouterr().out.splitlines()
    assert len(few) < 3 + 10  # a fit of milliseconds, even on a machine under load


def test_verbose_0_prints_nothing(data, capsys):
    MoERegressor(2, n_init=3, random_state=0).fit(data.X, data.y)
    assert capsys.readouterr().out == ""


# Before scikit-learn 1.9.


def test_estimators_do_without_callbacks():
    code = """
import pickle, sys
import numpy as np
import sklearn.model_selection, sklearn.pipeline
sys.modules["sklearn.callback"] = None
from sklearn.base import clone
from mixexp import MoERegressor
x = np.linspace(-1.0, 1.0, 120)[:, None]
y = np.abs(x[:, 0]) + 0.1 * np.sin(50.0 * x[:, 0])
model = clone(MoERegressor(2, n_init=2, random_state=0, verbose=2)).fit(x, y)
model = pickle.loads(pickle.dumps(model))
assert model.score(x, y) > 0.9
assert not hasattr(model, "set_callbacks")
print("done")
"""
    command = [sys.executable, "-W", "error", "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == "done"
