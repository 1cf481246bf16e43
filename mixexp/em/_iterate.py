"""Where starts stand, among those that were measured in the same pass."""

from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

import numpy as np

from mixexp.em._objective import Evaluation, map_evaluations


class Iterate(NamedTuple):
    """The present parameters of a start, among those that were measured in the same pass.

    Parameters
    ----------
    batch : Evaluation
        With a leading axis of starts.
    row : int
        Number of this start on that axis.
    """

    batch: Evaluation
    row: int

    def alone(self) -> Evaluation:
        """Return the start's own evaluation, without the leading axis."""
        return self.batch.take(self.row)


def gather(standings: Sequence[Iterate]) -> Evaluation:
    """Return the evaluations of several starts as one, copying as little as may be."""
    parts = []
    for _, members in groupby(standings, key=lambda standing: id(standing.batch)):
        together = list(members)
        batch, rows = together[0].batch, [standing.row for standing in together]
        parts.append(batch if rows == list(range(len(batch.objective))) else batch.take(rows))
    if len(parts) == 1:
        return parts[0]
    return map_evaluations(lambda *arrays: np.concatenate(arrays), *parts)
