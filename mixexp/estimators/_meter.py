"""How far a fit is: passes, rows per second, and how long it may take yet."""

import math
import time
from typing import NamedTuple

from mixexp.em import Journal


class FitProgress(NamedTuple):
    """How far a fit is.

    Parameters
    ----------
    n_passes : int
        Passes over blocks of rows so far, of all starts and samples; several starts that share
        one count once.
    rows_per_second : float
        Rows of all passes per second of wall time, each start's for itself.
    objective : float
        Highest penalised log-likelihood so far.
    seconds_left : float
        Until the best start is done, if its gains go on to shrink as they do and each iteration
        takes as long as those so far: a guess, which Newton's finish and moves may undo.
    """

    n_passes: int
    rows_per_second: float
    objective: float
    seconds_left: float

    def __str__(self) -> str:
        return (
            f"{self.n_passes} passes, {self.rows_per_second:.3g} rows per second; about "
            f"{self.seconds_left:.3g} s left"
        )


class Meter:
    """Follows the iterations of all starts.

    Parameters
    ----------
    journal : Journal
        Counts passes.
    max_iter : int
    tol : float
    """

    def __init__(self, journal: Journal, max_iter: int, tol: float) -> None:
        self._journal, self._max_iter, self._tol = journal, max_iter, tol
        self._began, self._n_passes, self._n_rows = time.monotonic(), 0, 0.0
        self._recent: dict[int, list[float]] = {}
        self._n_iter: dict[int, int] = {}

    def begin(self) -> None:
        """Hear that the first iteration is to come."""
        self._began = time.monotonic()
        self._n_passes, self._n_rows = self._journal.n_passes, self._journal.n_rows

    def note(self, start: int, n_iter: int, objective: float) -> None:
        """Hear of an iteration."""
        self._recent[start] = [*self._recent.get(start, [])[-2:], objective]
        self._n_iter[start] = n_iter

    @property
    def best(self) -> int:
        """The start that is highest."""
        return max(self._recent, key=lambda start: self._recent[start][-1])

    def progress(self) -> FitProgress:
        """Return how far the fit is; nothing is known before the first iteration."""
        if not self._recent:
            return FitProgress(self._journal.n_passes, 0.0, -math.inf, math.inf)
        seconds = max(time.monotonic() - self._began, 1e-9)
        best = self.best
        n_rows = self._journal.n_rows - self._n_rows
        per_iteration = seconds / max(self._n_iter.values())
        return FitProgress(
            self._journal.n_passes,
            n_rows / seconds,
            self._recent[best][-1],
            per_iteration * self._iterations_left(best),
        )

    def _iterations_left(self, start: int) -> float:
        """Return how many iterations it takes until gains that shrink geometrically are small."""
        most = float(self._max_iter - self._n_iter[start])
        recent = self._recent[start]
        if len(recent) < 3 or not all(map(math.isfinite, recent)):
            return most
        before, last = recent[1] - recent[0], recent[2] - recent[1]
        allowed = self._tol * (1.0 + abs(recent[2]))
        if not 0.0 < last < before or allowed == 0.0:
            return 0.0 if last <= allowed else most
        ratio = last / before
        remaining = last * ratio / (1.0 - ratio)
        n_left = math.log(allowed / remaining) / math.log(ratio) if remaining > allowed else 0.0
        return min(n_left, most)
