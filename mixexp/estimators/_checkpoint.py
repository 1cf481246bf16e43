"""Checkpoints of a fit: a callback that writes them, and `fit` that goes on from one.

A file holds where the runs of the search stand (`mixexp.em.Recording`) and nothing of the data but
their checksums: it is of use with the same rows, settings and version alone.
"""

import hashlib
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from mixexp._version import __version__
from mixexp.data import Block, Scaling, as_array
from mixexp.em import Journal, Problem, Progress, Recording
from mixexp.estimators._validation import check_argument, real, whole
from mixexp.exceptions import CheckpointError, ModelFileError
from mixexp.files import (
    Codec,
    Kind,
    as_path,
    read_text,
    refuse_no_folder,
    seal,
    unseal,
    write_whole,
)
from mixexp.text import shown

_KIND = Kind("checkpoint", "mixexp-checkpoint", 3, "mixexp.Checkpoint")
_CODEC = Codec({})
# What may differ where a fit goes on: results have the same bits for any of it.
_FREE = ("n_jobs", "verbose")


class Checkpoint:
    """Callback that saves the state of a fit, so that `fit` can resume it in another process.

    ``model.set_callbacks(Checkpoint("fit.json")).fit(X, y)`` is resumed by ``model.fit(X, y,
    resume="fit.json")``, with the same rows and settings, to the same bits. Needs scikit-learn 1.9
    or later, whose callbacks it is one of.

    Parameters
    ----------
    path : str or path-like
        File that is written, each time whole and at once: who reads it finds the last state or
        the one before. JSON without code or data, with a version and a checksum.
    minutes : float, default=5.0
        A state is written when so many minutes have passed since the last; 0 for every iteration.
    iterations : int, default=None
        A state is also written after so many iterations of the search, those of starts side by
        side counted once.

    Notes
    -----
    At most one interval is lost. A state has the parameters of all starts, their histories and
    the information matrices of those that run; resuming takes a few passes over the data for
    each phase of the search that is over.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from mixexp import Checkpoint, MoERegressor
    >>> x = np.linspace(-1.0, 1.0, 200)[:, None]
    >>> y = np.abs(x[:, 0]) + 0.05 * np.sin(50.0 * x[:, 0])
    >>> model = MoERegressor(2, random_state=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "fit.json")
    ...     if hasattr(model, "set_callbacks"):
    ...         _ = model.set_callbacks(Checkpoint(path, iterations=10)).fit(x, y)
    ...         _ = MoERegressor(2, random_state=0).fit(x, y, resume=path)
    """

    def __init__(self, path: Any, *, minutes: float = 5.0, iterations: int | None = None) -> None:
        as_path(path)
        check_argument("minutes", minutes, real(0.0))
        if iterations is not None:
            check_argument("iterations", iterations, whole(1))
        self.path, self.minutes, self.iterations = path, minutes, iterations

    # Hooks of scikit-learn's callbacks: the fit itself writes, between iterations.

    def setup(self, estimator: Any, context: Any) -> None:
        """Hear that a fit begins.

        Parameters
        ----------
        estimator : estimator
        context : sklearn.callback.CallbackContext
        """

    def teardown(self, estimator: Any, context: Any) -> None:
        """Hear that a fit is over.

        Parameters
        ----------
        estimator : estimator
        context : sklearn.callback.CallbackContext
        """

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
        """Hear that a task of a fit begins.

        Parameters
        ----------
        estimator : estimator
        context : sklearn.callback.CallbackContext
        """

    def on_fit_task_end(self, estimator: Any, context: Any) -> bool:
        """Hear that a task of a fit is over; never ask to stop.

        Parameters
        ----------
        estimator : estimator
        context : sklearn.callback.CallbackContext

        Returns
        -------
        bool
            False.
        """
        return False


class FitRecord:
    """The journal of a fit, and the files that it comes from and goes to.

    Parameters
    ----------
    estimator : estimator
    resume : str, path-like or None
        File to go on from.

    Raises
    ------
    CheckpointError
        If the file is of other settings.
    ModelFileError
        If it is no checkpoint, of another version, or changed since it was written.
    FileNotFoundError
        If there is no folder for the checkpoints.
    """

    def __init__(self, estimator: Any, resume: Any) -> None:
        callbacks = getattr(estimator, "_skl_callbacks", [])
        self._outputs = [own for own in callbacks if isinstance(own, Checkpoint)]
        for own in self._outputs:  # not first when there is something to lose
            refuse_no_folder(own.path)
        is_idle = not self._outputs and resume is None
        self._settings = {} if is_idle else _settings_of(estimator)
        self._resume, self._data, self._known = resume, dict[str, str](), None
        progress = None
        if resume is not None:
            self._known = _read(resume)
            self._check("settings", self._settings)
            progress = Progress(**self._known["progress"])
        self._last = time.monotonic()
        self._last_iter = 0 if progress is None else progress.n_iter
        self._n_iter = self._last_iter
        self._recording = None if is_idle else Recording(progress, self._note)
        #: Follows the search.
        self.journal: Journal = Journal() if self._recording is None else self._recording

    def check_data(self, problem: Problem, scaling: Scaling) -> None:
        """Check that a fit goes on with the rows that it began with.

        Raises
        ------
        CheckpointError
            Naming what differs.
        ValueError
            If the model has parts that no file can hold.
        """
        if self._recording is None:
            return
        if not problem.model.is_linear:
            raise ValueError(
                "Checkpoints hold softmax gates and experts with linear predictors, not a "
                f"{problem.model.others[0].submodel.title}. Fit without."
            )
        self._data = _checksums(problem, scaling)
        if self._known is not None:
            self._check("data", self._data)

    def end(self) -> None:
        """Write the last state."""
        if self._recording is not None:
            self._write(self._recording.progress())

    def _note(self, gather: Callable[[], Progress]) -> None:
        self._n_iter += 1
        waited = time.monotonic() - self._last
        n_since = self._n_iter - self._last_iter
        is_due = [
            waited >= 60.0 * own.minutes
            or (own.iterations is not None and n_since >= own.iterations)
            for own in self._outputs
        ]
        if any(is_due):
            self._write(gather())
            self._last, self._last_iter = time.monotonic(), self._n_iter

    def _write(self, progress: Progress) -> None:
        if not self._outputs:
            return
        state = {
            "settings": self._settings,
            "data": self._data,
            "progress": progress._asdict(),
        }
        written = {name: _CODEC.write(part, name) for name, part in state.items()}
        content = seal(written, f"mixexp {__version__}", _KIND).encode("utf-8")
        for own in self._outputs:
            write_whole(own.path, content)

    def _check(self, what: str, own: dict[str, str]) -> None:
        known = {} if self._known is None else self._known[what]
        differing = sorted(n for n in {*known, *own} if known.get(n) != own.get(n))
        if differing:
            raise CheckpointError(
                f"resume={shown(str(self._resume))} is of a fit with other {what}: "
                f"{', '.join(differing)} differ{'s' if len(differing) == 1 else ''}. Give the same "
                "as then, or fit from the start."
            )


def _read(path: Any) -> dict[str, Any]:
    """Return what a checkpoint holds, the shape of it checked."""
    content = unseal(read_text(path), _KIND)
    found = {name: _CODEC.read(part, name) for name, part in content.items()}
    progress = found.get("progress", {})
    is_whole = set(found) == {"settings", "data", "progress"} and isinstance(progress, dict)
    if not is_whole or set(progress) != set(Progress._fields):
        raise ModelFileError(f"The file is no checkpoint that can be read: it has {sorted(found)}.")
    return found


def _settings_of(estimator: Any) -> dict[str, str]:
    """Return the parameters that results depend on, as text; seeds are kept by themselves."""
    found = {"class": type(estimator).__name__, "version": __version__}
    for name, value in estimator.get_params(deep=False).items():
        if name in _FREE:
            continue
        if name == "random_state" and not isinstance(value, int | np.integer):
            found[name] = type(value).__name__
        elif hasattr(value, "fitted_model_"):  # a fit to start from, perhaps the estimator itself
            found[name] = _digest([value.coef_, value.gate_coef_])
        elif isinstance(value, np.ndarray):
            found[name] = _digest([value])
        else:
            found[name] = repr(value)
    return found


def _checksums(problem: Problem, scaling: Scaling) -> dict[str, str]:
    parts = problem.total(_checksums_of_rows, list.__add__)
    found = {name: _digest([part[name] for part in parts]) for name in parts[0]}
    return {
        "shape of X": f"{problem.n_rows} rows, {len(scaling.center)} columns",
        **found,
        "X": _digest([*scaling, found["X"]]),
    }


def _checksums_of_rows(problem: Problem) -> list[dict[str, str]]:
    """Return those of a partition, in a list of one."""
    blocks = problem.held
    others = (
        values for block in blocks.without_features for values in block.known if values is not None
    )
    found = {
        "X": _digest(_as_rows(block) for block in blocks),
        "y": _digest(block.y for block in blocks.without_features if block.y is not None),
        "sample_weight or what else is known of rows": _digest(others),
    }
    return [found]


def _as_rows(block: Block) -> np.ndarray:
    if block.read_raw is None:
        return np.asarray(block.features.to_array())
    return as_array(block.read_raw())


def _digest(arrays: Any) -> str:
    """Return the checksum of the values of some arrays, whatever their layout."""
    digest = hashlib.blake2b(digest_size=16)
    for array in map(np.asarray, arrays):
        is_number = array.dtype.kind in "biuf"
        read = np.ascontiguousarray(array, dtype=np.float64).tobytes if is_number else None
        digest.update(read() if read else repr(array.tolist()).encode())
    return digest.hexdigest()
