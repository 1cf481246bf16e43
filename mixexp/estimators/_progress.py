"""Progress of a fit: lines for ``verbose``, and tasks for scikit-learn's callbacks.

The tasks of a fit are a tree: the fit, its starts, their iterations. Callbacks are there from
scikit-learn 1.9 on; before, estimators have no ``set_callbacks`` and the rest does nothing.
"""

import time
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple

from mixexp.em import ASKED_TO_STOP, EMResult, Journal, Monitor, Restart, Search
from mixexp.estimators._meter import Meter

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:

    class _WithoutCallbacks:
        def _init_callback_context(self, **described: Any) -> "_NoTask":
            return _NoTask()

    def _unchanged(method: Callable[..., Any]) -> Callable[..., Any]:
        return method

    CallbackSupportMixin, with_callbacks = _WithoutCallbacks, _unchanged

__all__ = ["CallbackSupportMixin", "FitTask", "make_monitor", "with_callbacks"]

# Seconds between lines of a running fit.
_INTERVAL = 1.0

#: Sets the learned attributes of a search on an object.
Learn = Callable[[Any, Search], Any]


class _NoTask:
    """Stands for the task of a fit where there are no callbacks."""

    def call_on_fit_task_begin(self, **told: Any) -> None:
        pass

    def call_on_fit_task_end(self, **told: Any) -> None:
        pass


class FitTask(NamedTuple):
    """A fit as callbacks see it.

    Parameters
    ----------
    estimator : estimator
        With callbacks or without.
    context : sklearn.callback.CallbackContext
        Of the fit, the root of the tree.
    told : dict
        What every hook is told: the estimator, X and y as the user gave them, so that scorers
        take them the way ``fit`` did, and as metadata what else was given per row.
    """

    estimator: Any
    context: Any
    told: dict[str, Any]

    @classmethod
    def begin(
        cls, estimator: Any, X: Any, y: Any, metadata: dict[str, Any], n_starts: int
    ) -> "FitTask":
        """Open the task and tell callbacks of it.

        Parameters
        ----------
        estimator : estimator
        X, y : array-like
        metadata : dict
            Arguments of ``fit`` by name; None for those not given.
        n_starts : int
        """
        given = {name: value for name, value in metadata.items() if value is not None}
        told = {"estimator": estimator, "X": X, "y": y, "metadata": given or None}
        context = estimator._init_callback_context(max_subtasks=n_starts, sequential_subtasks=False)
        context.call_on_fit_task_begin(**told)
        return cls(estimator, context, told)

    def end(self) -> None:
        """Tell callbacks that the estimator is fitted."""
        self.context.call_on_fit_task_end(**self.told, reconstruction_attributes={})


def make_monitor(task: FitTask, learn: Learn, journal: Journal) -> Monitor:
    """Return what follows a search on behalf of ``verbose`` and of callbacks."""
    estimator, monitors = task.estimator, list[Monitor]()
    meter = Meter(journal, int(estimator.max_iter), float(estimator.tol))
    if estimator.verbose:
        name = type(estimator).__name__
        monitors.append(
            _StartPrinter(name) if estimator.verbose == 1 else _RunningPrinter(name, meter)
        )
    if hasattr(estimator, "_skl_callbacks"):
        monitors.append(_CallbackMonitor(task, learn, meter))
    if not any(monitor.follows_iterations for monitor in monitors):
        return monitors[0] if monitors else Monitor()
    return _Together(monitors, meter)


class _Together(Monitor):
    """Several monitors and a meter; each is told, whatever the others answer."""

    def __init__(self, monitors: Sequence[Monitor], meter: Meter):
        self._monitors, self._meter = monitors, meter
        self.follows_iterations = any(monitor.follows_iterations for monitor in monitors)

    def begin(self, names: Sequence[str]) -> None:
        self._meter.begin()
        for monitor in self._monitors:
            monitor.begin(names)

    def iterated(
        self, start: int, n_iter: int, objective: float, outcome: Callable[[int], EMResult]
    ) -> bool:
        self._meter.note(start, n_iter, objective)
        answers = [m.iterated(start, n_iter, objective, outcome) for m in self._monitors]
        return any(answers)

    def ended(self, start: int, restart: Restart, outcome: Callable[[int], EMResult]) -> None:
        for monitor in self._monitors:
            monitor.ended(start, restart, outcome)


class _StartPrinter(Monitor):
    """Prints a line per start when it has ended."""

    def __init__(self, title: str):
        self._title = title

    def ended(self, start: int, restart: Restart, outcome: Callable[[int], EMResult]) -> None:
        print(
            f"{self._title}: start {restart.start}: log-likelihood "
            f"{restart.log_likelihood:.6g} after {restart.n_iter} iterations; {restart.reason}"
        )


class _RunningPrinter(_StartPrinter):
    """Prints also how far the search is, about once a second."""

    follows_iterations = True

    def __init__(self, title: str, meter: Meter):
        super().__init__(title)
        self._meter = meter

    def begin(self, names: Sequence[str]) -> None:
        self._names, self._n_running = names, len(names)
        self._last = time.monotonic()

    def iterated(
        self, start: int, n_iter: int, objective: float, outcome: Callable[[int], EMResult]
    ) -> bool:
        now = time.monotonic()
        if now - self._last >= _INTERVAL:
            self._last = now
            best, progress = self._meter.best, self._meter.progress()
            print(
                f"{self._title}: iteration {n_iter} of start {self._names[start]}, "
                f"{self._n_running} of {len(self._names)} starts running; best penalised "
                f"log-likelihood {progress.objective:.6g}, of start {self._names[best]}; {progress}"
            )
        return False

    def ended(self, start: int, restart: Restart, outcome: Callable[[int], EMResult]) -> None:
        self._n_running -= 1
        super().ended(start, restart, outcome)


class _CallbackMonitor(Monitor):
    """Tells callbacks of starts and iterations, and passes their wish to stop on.

    A callback that returns True at an iteration stops its start; at the end of a start it stops
    the other starts, each at its next iteration. An iteration is told of when it is done, so
    its begin and its end come together.
    """

    follows_iterations = True

    def __init__(self, task: FitTask, learn: Learn, meter: Meter):
        self._task, self._learn, self._meter = task, learn, meter
        self._names: Sequence[str] = ()
        self._starts: list[Any] = []
        self._is_stopping = False

    def begin(self, names: Sequence[str]) -> None:
        self._names = names
        max_iter = int(self._task.estimator.max_iter)
        for start in range(len(names)):
            context = self._task.context.subcontext(
                task_name="start", task_id=start, max_subtasks=max_iter
            )
            context.call_on_fit_task_begin(**self._task.told)
            self._starts.append(context)

    def iterated(
        self, start: int, n_iter: int, objective: float, outcome: Callable[[int], EMResult]
    ) -> bool:
        context = self._starts[start].subcontext(task_name="iteration")
        context.call_on_fit_task_begin(**self._task.told)
        return self._end(context, start, outcome) or self._is_stopping

    def ended(self, start: int, restart: Restart, outcome: Callable[[int], EMResult]) -> None:
        if self._end(self._starts[start], start, outcome):
            self._is_stopping = True

    def _end(self, context: Any, start: int, outcome: Callable[[int], EMResult]) -> bool:
        # Callbacks that ask for a fitted estimator have these attributes made; others do not.
        return context.call_on_fit_task_end(
            **self._task.told,
            reconstruction_attributes=lambda: self._attributes(start, outcome(start)),
        )

    def _attributes(self, start: int, outcome: EMResult) -> dict[str, Any]:
        """Return the learned attributes of a fit that stopped here, by name."""
        learned = SimpleNamespace()
        self._learn(learned, _search_stopped_at(self._names[start], outcome))
        learned.progress_ = self._meter.progress()
        return vars(learned)


def _search_stopped_at(name: str, outcome: EMResult) -> Search:
    """Return the search that would have ended with this outcome of one start."""
    best = outcome if outcome.reason else outcome._replace(reason=ASKED_TO_STOP)
    return Search([best], [0], [Restart.of(name, best)])
