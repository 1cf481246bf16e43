"""The rows that a display is made of, and the model that is asked about them."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from mixexp.displays._columns import Columns, read_columns
from mixexp.displays._source import Source, given, open_source
from mixexp.displays._use import feature_use
from mixexp.displays._weights import lower_median
from mixexp.estimators._validation import check_same_length


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
        ``offset``, ``exposure`` and ``trials``, those that are given.
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
        return self.source.responsibilities(self.X, y, **self.per_row)[self.is_kept]

    def target(self, y: Any, read: Callable[[Any], np.ndarray]) -> np.ndarray | None:
        """Return y as it is drawn: per unit of exposure, per trial; shape (n,).

        Parameters
        ----------
        y : array-like of shape (n_given,) or None
        read : callable
            Makes numbers of y.
        """
        if y is None:
            return None
        target = read(y)
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
        sizes = given(**{name: self.typical(name) for name in names})
        return {name: np.full(n, size) for name, size in sizes.items()}

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
        seen = self.source.transform(rows)
        typical = self.typical_rows(("offset", "exposure", "trials"), len(seen))
        found = self.source.model.predict_quantile(seen, levels, **typical)
        for name in ("exposure", "trials"):
            found = found / (self.typical(name) or 1.0)
        return found.T


def read_data(estimator: Any, X: Any, sample_weight: Any, **per_row: Any) -> Data:
    """Open an estimator, and read the rows that a user gave.

    Parameters
    ----------
    estimator : fitted estimator
    X : array-like of shape (n_given, n_features)
    sample_weight : array-like of shape (n_given,) or None
    **per_row : array-like of shape (n_given,) or None
        ``offset``, ``exposure`` and ``trials``.

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
    columns = read_columns(X, estimator)
    n = len(columns.weight)
    known = {"offset": None, "exposure": None, "trials": None, **per_row}
    weight = source.model._check_per_row(n, sample_weight, **known).weight
    kept = columns.weighted(weight)
    return Data(source, X, kept, weight > 0.0, given(**per_row), feature_use(source, kept))
