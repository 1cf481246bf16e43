"""Observer of a multi-start search: told of starts, iterations and ends; may ask to stop early."""

from collections.abc import Callable, Sequence

from mixexp.em._results import EMResult, Restart

#: Reason of a start that ended because its monitor asked for it.
ASKED_TO_STOP = "a callback asked to stop"


class Monitor:
    """Follows a search; this one ignores what it is told, and never asks to stop.

    Starts go by number, from 0 in the order of their names; their iterations may interleave.
    All calls come from the thread that called `search`. What a monitor raises goes through.

    ``outcome`` gives the outcome of a start as it stands, when called with its number: so
    nothing is gathered that nobody asks for. It holds for the time of the call only.
    """

    #: Whether `iterated` wants to be called; where it does not, a search may leave it out.
    follows_iterations = False

    def begin(self, names: Sequence[str]) -> None:
        """Hear the names of all starts, before the first iteration."""

    def iterated(
        self, start: int, n_iter: int, objective: float, outcome: Callable[[int], EMResult]
    ) -> bool:
        """Hear of an iteration that was accepted; return whether its start should stop there.

        Parameters
        ----------
        start : int
        n_iter : int
            Iterations of this start so far, this one included.
        objective : float
            Penalised log-likelihood that it reached.
        outcome : callable
        """
        return False

    def ended(self, start: int, restart: Restart, outcome: Callable[[int], EMResult]) -> None:
        """Hear what a start came to, once per start, as soon as it is over or dropped."""
