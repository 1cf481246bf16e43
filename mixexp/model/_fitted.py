"""A fitted model: gates and experts with their parameters, and what they say of users' rows.

Estimators hold one and hand rows to it; selection, inference and displays read it.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeVar

import numpy as np

from mixexp.data import (
    Block,
    RowArguments,
    RowBlocks,
    RowSource,
    Scaling,
    cut_features,
    cut_rows,
    rows_to_expand,
    run_blocks,
)
from mixexp.model._e_step import (
    Posterior,
    leaf_log_density,
    linear_predictors,
    posterior_of_block,
)
from mixexp.model._model import Model
from mixexp.model._others import object_array
from mixexp.model._parameters import Parameters
from mixexp.model._prediction import (
    Prediction,
    batch_invariant_product,
    block_priors,
    mean_of_block,
    piece_rows,
    predict_block,
)
from mixexp.model._routing import Route, Rows, greedy_leaf, greedy_route, routed_mean, top_route
from mixexp.model._targets import with_targets

Result = TypeVar("Result")


class FittedModel(NamedTuple):
    """A model, its parameters, and the scale of its features.

    Parameters
    ----------
    model : Model
    params : Parameters
        For standardised features, without a leading axis.
    scaling : Scaling
    """

    model: Model
    params: Parameters
    scaling: Scaling

    # Rows.

    def read_rows(
        self, X: RowSource, per_row: RowArguments, chosen: np.ndarray | None = None
    ) -> RowBlocks:
        """Return blocks of rows whose y is not known, with the limits that rows are far beyond."""
        return cut_features(X, self.scaling, per_row, chosen, limits=self.scaling.limits)

    def read_known_rows(
        self,
        X: RowSource,
        y: np.ndarray,
        per_row: RowArguments,
        chosen: np.ndarray | None = None,
    ) -> RowBlocks:
        """Return blocks of rows to learn from, with y as each family sees it.

        They have no limits: scores and curvatures are those of linear predictors as they are.

        Parameters
        ----------
        X : ndarray of shape (n, p), ColumnRows or SparseRows
        y : ndarray of shape (n_used,)
            As numbers, in its own unit.
        per_row : RowArguments
            Of the rows that are used.
        chosen : ndarray of shape (n_used,), int, optional
            Numbers of the rows of X that are used; all of them by default.
        """
        blocks = cut_features(X, self.scaling, per_row, chosen)
        return with_targets(self.model, blocks, y)

    # What gates and experts say.

    def posteriors(
        self,
        X: RowSource,
        y: np.ndarray,
        per_row: RowArguments,
        chosen: np.ndarray | None = None,
    ) -> Iterator[tuple[Posterior, Block]]:
        """Yield log densities and responsibilities block by block, with the block.

        The bits of a row do not depend on which rows are beside it.
        """
        for block in with_targets(self.model, self.read_rows(X, per_row, chosen), y):
            found = posterior_of_block(self.model, self.params, block, batch_invariant_product)
            yield found, block

    def leaf_log_densities(self, X: RowSource, y: np.ndarray, per_row: RowArguments) -> np.ndarray:
        """Return the log density of each row under every expert, shape (n_leaves, n)."""
        parts = []
        for block in with_targets(self.model, self.read_rows(X, per_row), y):
            eta = linear_predictors(self.model, self.params, block, batch_invariant_product)
            parts.append(leaf_log_density(self.model, self.params, eta, block))
        return np.concatenate(parts, axis=1)

    def predictions(self, X: RowSource, per_row: RowArguments) -> Iterator[Prediction]:
        """Yield priors and means of all experts block by block."""
        for block in cut_features(X, self.scaling, per_row, block_rows=piece_rows(self.model)):
            yield predict_block(self.model, self.params, block)

    def find_extrapolated(self, X: RowSource, per_row: RowArguments) -> np.ndarray:
        """Return which features of which rows are beyond their limits, (n, p), bool."""
        parts = []
        for block in self.read_rows(X, per_row):
            is_beyond = np.zeros(block.features.shape, dtype=bool)
            excess = block.find_excess()
            if excess is not None:
                is_beyond[excess.feature, excess.row] = True
            parts.append(is_beyond[1:].T)
        return np.concatenate(parts)

    def priors(self, X: RowSource, per_row: RowArguments) -> np.ndarray:
        """Return the probability of each expert before y is seen, shape (n, n_leaves)."""
        blocks = cut_features(X, self.scaling, per_row, block_rows=piece_rows(self.model))
        return np.concatenate(
            [block_priors(self.model, self.params, block)[1].T for block in blocks]
        )

    def mean(
        self, X: RowSource, per_row: RowArguments, k: int | None, n_threads: int
    ) -> np.ndarray:
        """Return the mean over experts, shape (n,) or (n_classes, n).

        Parameters
        ----------
        X : ndarray of shape (n, p), ColumnRows or SparseRows
        per_row : RowArguments
        k : int or None
            How many of the most probable experts have a say; None for the one that the most
            probable child at every gate leads to.
        n_threads : int
        """
        if k == self.model.tree.n_leaves:
            blocks = cut_features(X, self.scaling, per_row, block_rows=piece_rows(self.model))
            mean: Callable[[Block], np.ndarray] = partial(mean_of_block, self.model, self.params)
            return np.concatenate(list(run_blocks(mean, blocks, n_threads)), axis=-1)
        means = self._map_rows(partial(self._routed_mean, k), X, per_row, n_threads)
        return np.concatenate(list(means), axis=-1)

    def _routed_mean(self, k: int | None, rows: Rows) -> np.ndarray:
        if k is None:
            leaf = greedy_leaf(self.model, self.params, rows)
            return routed_mean(self.model, self.params, rows, leaf, np.ones(leaf.shape))
        found = top_route(self.model, self.params, rows, k)
        return routed_mean(self.model, self.params, rows, found.leaf, found.weight)

    def route(self, X: RowSource, per_row: RowArguments, k: int | None, n_threads: int) -> Route:
        """Return the experts that rows are sent to; parameters as for `mean`."""

        def find(rows: Rows) -> Route:
            if k is None:
                return greedy_route(self.model, self.params, rows)
            return top_route(self.model, self.params, rows, k)

        found = self._map_rows(find, X, per_row, n_threads)
        return Route(*map(np.concatenate, zip(*found, strict=True)))

    def _map_rows(
        self,
        function: Callable[[Rows], Result],
        X: RowSource,
        per_row: RowArguments,
        n_threads: int,
    ) -> Iterator[Result]:
        """Apply a function to all rows, block by block, features in rows."""
        partition = cut_rows(len(X), rows_to_expand(X))

        def apply(at: int) -> Result:
            known = per_row.take(partition[at])
            raw = X[partition[at]]
            return function(Rows(self.scaling.standardize_rows(raw), known, raw))

        return run_blocks(apply, range(len(partition)), n_threads)

    # Units.

    def raw_slots(self) -> list[np.ndarray]:
        """Return the coefficients for raw features and y in its own unit, slot by slot."""
        model, slots = self.model, self.model.slots(self.params)
        out = [
            self.scaling.unstandardize(coef, model.designs[gates.design])
            for gates, coef in zip(model.gates, slots, strict=False)
        ]
        for (g, h), coef in zip(model.slot_heads, slots[len(out) :], strict=True):
            group = model.groups[g]
            raw = self.scaling.unstandardize(coef, model.designs[group.designs[h]])
            out.append(group.to_raw(h, raw))
        return out

    def raw_others(self) -> list[Any]:
        """Return the parameters of one's own submodels for raw features."""
        shift, factor = -self.scaling.center / self.scaling.scale, 1.0 / self.scaling.scale
        return self._rescale_others(shift, factor)

    def others_for(self, scaling: Scaling) -> tuple[np.ndarray, ...]:
        """Return the parameters of one's own submodels for another scaling of the features."""
        shift = (scaling.center - self.scaling.center) / self.scaling.scale
        found = self._rescale_others(shift, scaling.scale / self.scaling.scale)
        return tuple(object_array([own], ()) for own in found)

    def _rescale_others(self, shift: np.ndarray, factor: np.ndarray) -> list[Any]:
        found = []
        for other, own in zip(self.model.others, self.params.others, strict=True):
            at = self.model.designs[other.design][1:] - 1
            is_given = other.submodel.sees_raw
            params = own.item()
            found.append(
                params if is_given else other.submodel.rescaled(params, shift[at], factor[at])
            )
        return found

    @classmethod
    def from_raw_slots(
        cls, model: Model, scaling: Scaling, slots: Sequence[np.ndarray]
    ) -> "FittedModel":
        """Return the fitted model of raw coefficients: undo `raw_slots`."""
        out = [
            scaling.restandardize(coef, model.designs[gates.design])
            for gates, coef in zip(model.gates, slots, strict=False)
        ]
        for (g, h), coef in zip(model.slot_heads, slots[len(out) :], strict=True):
            group = model.groups[g]
            moved = group.from_raw(h, coef)
            out.append(scaling.restandardize(moved, model.designs[group.designs[h]]))
        return cls(model, model.from_slots(out), scaling)
