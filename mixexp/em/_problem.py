"""The function that is maximised: penalised log-likelihood of a model on blocks of rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import NamedTuple

import numpy as np

from mixexp.data import RowBlocks, map_blocks
from mixexp.model import (
    Model,
    Parameters,
    PenaltyTerms,
    Statistics,
    add_statistics,
    assemble_information,
    em_statistics,
    flat_gradient,
    observed_statistics,
    penalty_terms,
)


class Evaluation(NamedTuple):
    """All that one pass over the data tells about some parameters.

    Parameters
    ----------
    params : Parameters
    stats : Statistics
    penalty : PenaltyTerms
    objective : float
        Log-likelihood plus penalty.
    gradient : ndarray of shape (n_flat,)
        Of the objective.
    """

    params: Parameters
    stats: Statistics
    penalty: PenaltyTerms
    objective: float
    gradient: np.ndarray


@dataclass(frozen=True, eq=False)
class Problem:
    """A model and the blocks of rows it is fitted to.

    Parameters
    ----------
    model : Model
    blocks : RowBlocks
    n_threads : int
    """

    model: Model
    blocks: RowBlocks
    n_threads: int = 1

    def evaluate(self, params: Parameters, resp: Sequence[np.ndarray] | None = None) -> Evaluation:
        """Pass once over the data, with responsibilities given or from the parameters."""
        parts = map_blocks(
            lambda at: em_statistics(
                self.model, params, self.blocks[at], None if resp is None else resp[at]
            ),
            range(len(self.blocks)),
            self.n_threads,
        )
        stats = reduce(lambda total, part: add_statistics([total, part]), parts)
        penalty = penalty_terms(self.model, params)
        return Evaluation(
            params,
            stats,
            penalty,
            stats.log_likelihood + penalty.value,
            flat_gradient(self.model, stats) + penalty.gradient,
        )

    def information(self, params: Parameters) -> np.ndarray:
        """Return the observed information of the log-likelihood, shape (n_flat, n_flat)."""
        parts = map_blocks(
            lambda block: observed_statistics(self.model, params, block),
            self.blocks,
            self.n_threads,
        )
        return assemble_information(
            self.model,
            reduce(lambda total, part: list(map(np.add, total, part)), parts),
        )

    @cached_property
    def total_weight(self) -> float:
        return float(sum(block.weight.sum() for block in self.blocks.bare))

    @cached_property
    def gate_gram(self) -> np.ndarray:
        """Weighted Gram matrix of the gates' design: the fixed part of Bohning's bound."""
        parts = [
            (features * block.weight) @ features.T
            for block in self.blocks
            for features in (self.model.design(block, self.model.gate_design),)
        ]
        return np.sum(parts, axis=0)
