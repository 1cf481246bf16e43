"""What displays ask of a fitted estimator: the only file here that knows its private methods.

Columns are those of the X that the user holds. Where the estimator is a `Pipeline`, rows go
through its transformers first, so that axes keep raw units and names whatever the
transformers make of them.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from sklearn.utils.validation import check_is_fitted

from mixexp.data import refuse_dask
from mixexp.displays._columns import (
    Columns,
    lower_median,
    read_columns,
    repeated,
    spread_rows,
    typical_values,
)
from mixexp.estimators._intervals import Interval
from mixexp.estimators._outputs import refuse_several
from mixexp.estimators._row_arguments import NOTHING, GivenOfX
from mixexp.estimators._tables import feature_labels
from mixexp.estimators._validation import check_same_length
from mixexp.tree import GatingTree

# Enough rows to tell which features matter, few enough to cost nothing.
_MOST_PROBED_ROWS = 200


class Source(NamedTuple):
    """A fitted mixture of experts and what is done to rows before it sees them.

    Parameters
    ----------
    transform : callable
        Raw rows to what the model was fitted to.
    model : fitted estimator
        With ``gate_proba``, ``predict_experts`` and ``tree_``.
    """

    transform: Callable[[Any], Any]
    model: Any

    @property
    def tree(self) -> GatingTree:
        return self.model.tree_

    @property
    def is_classifier(self) -> bool:
        return hasattr(self.model, "classes_")

    def gate_proba(self, X: Any) -> np.ndarray:
        """Return gate probabilities of raw rows, shape (n, n_experts)."""
        return self.model.gate_proba(self.transform(X))

    def responsibilities(self, X: Any, y: Any, known: Mapping[str, Any]) -> np.ndarray:
        """Return posteriors of raw rows, shape (n, n_experts)."""
        return self.model.responsibilities(self.transform(X), y, **known)

    def row_weights(
        self, sample_weight: Any, n: int, known: Mapping[str, Any] = NOTHING
    ) -> np.ndarray:
        """Return the weights of n rows, (n,), once these and what else is per row are checked."""
        return self.model._read_weights(sample_weight, n, known)

    def read_interval(self, y: Any, known: Mapping[str, Any]) -> tuple[Any, Interval]:
        """Return y with a finite value in every row, and the intervals it is known to lie in."""
        return self.model._read_interval(y, known)

    def of_known_classes(self, y: Any, sample_weight: Any) -> Any:
        """Return y with a class of the fit in rows of weight zero that are of none of these."""
        return self.model._of_known_classes(y, sample_weight)

    def check_target(self, y: Any) -> np.ndarray:
        """Return y as the estimator checks it: numbers, or labels of classes."""
        return self.model._check_target(y)

    def as_numbers(self, y: Any) -> np.ndarray:
        """Return y as numbers: those of classes in the order of ``classes_``."""
        return self.model._as_numbers(y)

    def feature_scales(self) -> np.ndarray:
        """Return the standard deviation of each feature in the data of the fit, (n_features,)."""
        return self.model.fitted_model_.scaling.scale


def of_features(known: Mapping[str, Any]) -> dict[str, Any]:
    """Return what predictions, which do not see y, have a use for."""
    return {name: values for name, values in known.items() if name in GivenOfX.__annotations__}


def open_source(estimator: Any) -> Source:
    """Split an estimator into transformers and a fitted mixture of experts.

    Raises
    ------
    TypeError
        If it is neither a mixture of experts nor a pipeline that ends in one.
    NotFittedError
        If it has not been fitted.
    """
    transform, model = _same, estimator
    if hasattr(estimator, "steps"):
        model = estimator.steps[-1][1]
        transform = estimator[:-1].transform if len(estimator.steps) > 1 else _same
    if isinstance(model, type) or not hasattr(model, "gate_proba"):
        raise TypeError(
            f"estimator must be a fitted mixture of experts, or a Pipeline that ends in one; got "
            f"{_kind_of(model)}. Of a search pass best_estimator_, of another wrapper the fitted "
            "estimator inside it."
        )
    check_is_fitted(model)
    refuse_several(model, "A display", "Draw predict_dist(X).marginal(output) yourself.")
    return Source(transform, model)


def model_feature_names(source: Source, estimator: Any) -> list[str]:
    """Return names of all features as the model sees them; x0, x1, ... where there are none."""
    model = source.model
    if not hasattr(model, "feature_names_in_") and estimator is not model:
        steps = estimator[:-1]
        # Transformers that were fitted to a frame know names that the array they made lost.
        if len(steps) and hasattr(steps, "get_feature_names_out"):
            return [str(name) for name in steps.get_feature_names_out()]
    return feature_labels(model, list(range(model.n_features_in_)))


def _same(X: Any) -> Any:
    refuse_dask(X, "A display")
    return X


def _kind_of(model: Any) -> str:
    return f"the class {model.__name__}" if isinstance(model, type) else type(model).__name__


class Data(NamedTuple):
    """A user's rows, and what a fitted model says of them.

    Parameters
    ----------
    source : Source
    X : array-like of shape (n_given, n_features)
        As the user gave it.
    columns : Columns
        Of the n rows of positive weight.
    is_kept : ndarray of shape (n_given,), bool
        Which these are.
    per_row : dict of str to array-like of shape (n_given,)
        Row arguments, those that are given.
    use : ndarray of shape (2, n_features)
        See `feature_use`.
    """

    source: Source
    X: Any
    columns: Columns
    is_kept: np.ndarray
    per_row: dict[str, Any]
    use: np.ndarray

    def gate_proba(self) -> np.ndarray:
        """Return gate probabilities, shape (n, n_experts)."""
        return self.source.gate_proba(self.X)[self.is_kept]

    def responsibilities(self, y: Any) -> np.ndarray:
        """Return posteriors, shape (n, n_experts)."""
        # Without weights there is nothing to leave out, and no weight to be named in an error.
        known = y if self.is_kept.all() else self.source.of_known_classes(y, 1.0 * self.is_kept)
        return self.source.responsibilities(self.X, known, self.per_row)[self.is_kept]

    def target(self, y: Any, read: Callable[[Any], np.ndarray]) -> np.ndarray | None:
        """Return y as it is drawn: per unit of exposure, per trial; shape (n,).

        One that is known to lie in an interval is drawn at its middle, at the end that is finite
        where the other is not.

        Parameters
        ----------
        y : array-like of shape (n_given,) or None
        read : callable
            Makes numbers of y.
        """
        if y is None:
            return None
        target = read(self.source.read_interval(y, self.per_row)[0])
        check_same_length(len(self.is_kept), target)
        for name in ("exposure", "trials"):
            if name in self.per_row:
                target = target / np.asarray(self.per_row[name], dtype=float)
        return target[self.is_kept]

    def typical(self, name: str) -> float | None:
        """Return the (lower) median of what is given per row, None where it is not given."""
        if name not in self.per_row:
            return None
        values = np.asarray(self.per_row[name], dtype=float)[self.is_kept]
        return lower_median(values, self.columns.weight)

    def typical_rows(self, names: Sequence[str], n: int) -> dict[str, np.ndarray]:
        """Return what n rows of a grid have per row, as arrays of shape (n,)."""
        sizes = {name: self.typical(name) for name in names}
        return {name: np.full(n, size) for name, size in sizes.items() if size is not None}

    def quantiles(self, rows: Any, levels: Sequence[float]) -> np.ndarray:
        """Return quantiles of y per unit of exposure and trials, at the median of these.

        At one trial, or a tiny exposure, y is next to nothing or one, and its spread that of no
        row of the data.

        Parameters
        ----------
        rows : array-like of shape (n_grid, n_features)
            Raw rows, not those of the data.
        levels : sequence of float

        Returns
        -------
        ndarray of shape (n_levels, n_grid)
        """
        return self._per_unit(self._predicted(rows).ppf(levels)).T

    def expert_quantiles(self, rows: Any, levels: Sequence[float]) -> np.ndarray:
        """Return the same under each expert alone, shape (n_experts, n_levels, n_grid)."""
        by_expert = [expert.ppf(levels) for expert in self._predicted(rows).experts()]
        return np.stack([self._per_unit(found).T for found in by_expert])

    def _predicted(self, rows: Any) -> Any:
        seen = self.source.transform(rows)
        typical = self.typical_rows(("offset", "exposure", "trials"), len(seen))
        return self.source.model.predict_dist(seen, **typical)

    def _per_unit(self, found: np.ndarray) -> np.ndarray:
        for name in ("exposure", "trials"):
            found = found / (self.typical(name) or 1.0)
        return found


def read_data(estimator: Any, X: Any, sample_weight: Any, known: dict[str, Any]) -> Data:
    """Open an estimator, and read the rows that a user gave.

    Parameters
    ----------
    estimator : fitted estimator
    X : array-like of shape (n_given, n_features)
    sample_weight : array-like of shape (n_given,) or None
    known : dict of str to array-like of shape (n_given,)
        Row arguments, those that are given.

    Raises
    ------
    ValueError
        Naming the argument that is not as it should be.
    TypeError
        If the estimator is no mixture of experts.
    NotFittedError
        If it has not been fitted.
    """
    source = open_source(estimator)
    refuse_dask(X, "A display")
    columns = read_columns(X, estimator)
    n = len(columns.weight)
    weight = source.row_weights(sample_weight, n, known)
    kept = columns.weighted(weight)
    return Data(source, X, kept, weight > 0.0, known, feature_use(source, kept))


def feature_use(source: Source, columns: Columns) -> np.ndarray:
    """Measure how much gates and experts depend on each column.

    A column is set to the value that `typical_values` gives it; what counts is how much that
    changes, on average over at most 200 rows spread over X. For a gate with one slope this is
    the standardised slope on the scale of probabilities; it also covers trees, and features
    that a pipeline transforms.

    Returns
    -------
    ndarray of shape (2, n_columns)
        First the probability that moves between experts, in [0, 1]; second the change of the
        experts' predictions in units of their standard deviation.
    """
    probed = spread_rows(columns.weight, _MOST_PROBED_ROWS)
    rows = [values[probed] for values in columns.values]
    gate, experts = _ask(source, columns.build(rows))
    spread = max(float(experts.std()), np.finfo(float).tiny)
    use = np.empty((2, len(rows)))
    for column, value in enumerate(typical_values(columns)):
        held = [*rows[:column], repeated(value, len(probed)), *rows[column + 1 :]]
        held_gate, held_experts = _ask(source, columns.build(held))
        use[0, column] = 0.5 * np.abs(held_gate - gate).sum(axis=1).mean()
        use[1, column] = np.abs(held_experts - experts).mean() / spread
    return use


def _ask(source: Source, X: Any) -> tuple[np.ndarray, np.ndarray]:
    seen = source.transform(X)
    experts = source.model.predict_experts(seen)
    return source.model.gate_proba(seen), np.where(np.isfinite(experts), experts, 0.0)
