"""What a fit is laid out as before a search begins."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from mixexp.data import Scaling
from mixexp.em import Problem, Search
from mixexp.estimators._gates import NodeGate
from mixexp.model import Parameters


class Layout(NamedTuple):
    """A model, what it is fitted to, and how its coefficients are told.

    Parameters
    ----------
    problem : Problem
    pooled : Parameters
    scaling : Scaling
    families : sequence of Expert
        One per leaf, left to right.
    node_gates : list of NodeGate
        Per inner node.
    learn : callable
        Sets the fitted attributes of an estimator from a search.
    """

    problem: Problem
    pooled: Parameters
    scaling: Scaling
    families: Sequence[Any]
    node_gates: list[NodeGate]
    learn: Callable[[Any, Search], np.ndarray]
