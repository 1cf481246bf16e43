"""Rows that a grown or pruned model is fitted to, and what is known of their experts."""

from functools import partial

import numpy as np

from mixexp.data import Block, RowArguments, RowBlocks, Scaling
from mixexp.em import Problem
from mixexp.model import Model, with_targets


class KnownRows:
    """Rows that a grown model is fitted to, and the scaling of their features."""

    def __init__(
        self,
        blocks: RowBlocks,
        y: np.ndarray,
        per_row: RowArguments,
        chosen: np.ndarray | None,
        scaling: Scaling,
    ) -> None:
        self._blocks, self.y, self.per_row, self._chosen = blocks, y, per_row, chosen
        self.scaling = scaling

    def problem(self, model: Model, n_threads: int, origin: np.ndarray) -> Problem:
        """Return the problem of a model on these rows.

        Parameters
        ----------
        model : Model
        n_threads : int
        origin : ndarray of shape (n_leaves,), int
            Number of each expert in the model that ``known_expert`` is about, -1 for a new one.

        Raises
        ------
        ValueError
            If a row is known to belong to none of them.
        """
        blocks = self._blocks
        if self.per_row.evidence is not None:
            self._check_known(_evidence_of(self.per_row.evidence, origin))
            blocks = blocks.map_blocks(partial(_with_evidence_of, origin))
        blocks = with_targets(model, blocks, self.y).keep_small()
        return Problem(model, blocks, n_threads)

    def _check_known(self, evidence: np.ndarray) -> None:
        is_left = (evidence == -np.inf).all(axis=0)
        if is_left.any():
            row = int(np.argmax(is_left))
            row = row if self._chosen is None else int(self._chosen[row])
            raise ValueError(
                f"known_expert says that row {row} belongs to the expert that is taken away; leave "
                "such rows out, or give -1 for them."
            )


def _evidence_of(evidence: np.ndarray, origin: np.ndarray) -> np.ndarray:
    """Return what is known of some leaves; a new one may have the rows of which nothing is."""
    is_open = (evidence > -np.inf).all(axis=0)
    return np.where((origin < 0)[:, None], np.where(is_open, 0.0, -np.inf), evidence[origin])


def _with_evidence_of(origin: np.ndarray, block: Block) -> Block:
    evidence = block.known.evidence
    assert evidence is not None
    return block._replace(known=block.known._replace(evidence=_evidence_of(evidence, origin)))
