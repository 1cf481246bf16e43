"""A journal that is written down, for a search that is carried on in another process.

A run is what it has measured and how it goes on. Of the former only the parameters are kept, of
all starts that were measured in the same pass: measured again they have the same bits, for a
product of matrices has these for factors of the same shape.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from mixexp.em._iterate import Iterate
from mixexp.em._iteration import Run
from mixexp.em._journal import Journal
from mixexp.model import map_parameters

#: A state of a search, of numbers, text, arrays, lists and mappings of these.
State = dict[str, Any]


class Progress(NamedTuple):
    """How far a search was when it was written down.

    Parameters
    ----------
    calls : list
        Where the runs of each phase stood at its end.
    present : list or mapping or None
        Where those of the phase that has not ended stand.
    seeds : list of list of int
    n_iter : int
        Iterations in all, of starts side by side counted once.
    """

    calls: list[State]
    present: State | None
    seeds: list[list[int]]
    n_iter: int


class Recording(Journal):
    """Remembers all runs, and goes through those of a state that was written down.

    Parameters
    ----------
    known : Progress or None
    write : callable
        Told of the progress after every iteration, by a callable that returns it, so that it is
        only gathered where it is wanted; and at the end of all.
    """

    def __init__(
        self,
        known: Progress | None,
        write: Callable[[Callable[[], Progress]], None],
    ) -> None:
        super().__init__()
        self._calls = [] if known is None else list(known.calls)
        self._present = None if known is None else known.present
        self._seeds = [] if known is None else list(known.seeds)
        self._n_iter = 0 if known is None else known.n_iter
        self._write = write
        self._n_entered = self._n_drawn = 0

    def enter(self, runs: Sequence[Run]) -> None:
        at, self._n_entered = self._n_entered, self._n_entered + 1
        if at < len(self._calls):
            _restore(runs, self._calls[at])
        elif self._present is not None:
            _restore(runs, self._present)
            self._present = None

    def iterated(self, runs: Sequence[Run]) -> None:
        self._n_iter += 1
        self._write(lambda: self._progress(_state_of(runs)))

    def leave(self, runs: Sequence[Run]) -> None:
        if self._n_entered > len(self._calls):
            self._calls.append(_state_of(runs))

    def remember(self, seeds: list[int]) -> list[int]:
        at, self._n_drawn = self._n_drawn, self._n_drawn + 1
        if at == len(self._seeds):
            self._seeds.append(seeds)
        return self._seeds[at]

    def progress(self) -> Progress:
        """Return how far the search is between two phases."""
        return self._progress(None)

    def _progress(self, present: State | None) -> Progress:
        return Progress(list(self._calls), present, list(self._seeds), self._n_iter)


def _state_of(runs: Sequence[Run]) -> State:
    """Return where runs stand, and the parameters of all passes that they were measured in."""
    batches: dict[int, int] = {}
    flat, out = list[np.ndarray](), list[State]()
    for run in runs:
        places = []
        for iterate in (run.standing, run.best):
            number = batches.setdefault(id(iterate.batch), len(flat))
            if number == len(flat):
                flat.append(run.problem.model.flatten(iterate.batch.params))
            places.append([number, iterate.row])
        out.append({"places": places, "state": run.state()})
    return {"batches": flat, "runs": out}


def _restore(runs: Sequence[Run], known: State) -> None:
    """Put runs where they stood.

    Raises
    ------
    ValueError
        If there were others.
    """
    if len(known["runs"]) != len(runs):
        raise ValueError(f"there were {len(known['runs'])} runs, and are {len(runs)}")
    if not runs:
        return
    problem = runs[0].problem
    measured = []
    for flat in known["batches"]:
        params = problem.model.unflatten(flat)
        measured.append(problem.evaluate(map_parameters(np.ascontiguousarray, params)))
    for run, own in zip(runs, known["runs"], strict=True):
        standing, best = (Iterate(measured[number], row) for number, row in own["places"])
        run.restore(own["state"], standing, best)
