"""Follower of all runs of a search, of whatever phase; may put them where they stood before.

A search is a function of its problem and its seeds, and all of its iterations are those of
`mixexp.em._iteration.advance`. Whoever remembers what each call of that came to can go through a
search once more, without its iterations, to where it was. Who does is in `mixexp.em._recording`.
"""

from collections.abc import Sequence
from typing import Any


class Journal:
    """Follows a search; this one remembers nothing, and only counts.

    Attributes
    ----------
    n_passes : int
        Over all blocks of a problem.
    n_rows : float
        Of all passes, each start's for itself.
    """

    def __init__(self) -> None:
        self.n_passes, self.n_rows = 0, 0.0

    def count(self, n_rows: int, n_starts: int) -> None:
        """Hear of a pass over rows for some starts at once."""
        self.n_passes += 1
        self.n_rows += n_rows * n_starts

    def enter(self, runs: Sequence[Any]) -> None:
        """Hear of the runs that are to be carried on, and put them where they stood, if known."""

    def iterated(self, runs: Sequence[Any]) -> None:
        """Hear that each of them that goes on has done one more iteration."""

    def leave(self, runs: Sequence[Any]) -> None:
        """Hear that they have been carried as far as they should be."""

    def remember(self, seeds: list[int]) -> list[int]:
        """Return seeds that were drawn, or those that were drawn in their place before."""
        return seeds
