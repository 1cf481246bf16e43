"""Methods that predict, for rows in partitions: lazily on Dask, batch by batch from sources."""

import inspect
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, NamedTuple, TypeVar

import numpy as np
from sklearn.utils.validation import check_is_fitted

from mixexp.data import Batch, ColumnRows, DaskRows, NamedRows, Rows, is_dask, lazy_array
from mixexp.estimators._features import refuse_nonfinite_rows
from mixexp.estimators._row_arguments import Given, GivenWithoutY
from mixexp.text import shown

Method = TypeVar("Method", bound=Callable[..., Any])

_PER_ROW = {"y", *Given.__annotations__, *GivenWithoutY.__annotations__} - {"history"}


def by_partition(method: Method) -> Method:
    """Let a method that returns numbers per row take rows in partitions in the place of X.

    Of Dask collections it returns a lazy Dask array, of other sources an iterator over what it
    returns for each batch. Arguments per row come with the source, or are Dask collections.
    """
    shape = inspect.signature(method)

    @wraps(method)
    def apply(self: Any, X: Any, *rest: Any, **named: Any) -> Any:
        if not isinstance(X, Rows | DaskRows) and not is_dask(X):
            return method(self, X, *rest, **named)
        check_is_fitted(self)
        bound = shape.bind_partial(self, X, *rest, **named)
        given = {k: v for k, v in list(bound.arguments.items())[2:] if v is not None}
        per_row = {name: given.pop(name) for name in list(given) if name in _PER_ROW}
        part = _Part(self, method, given, frozenset(shape.parameters))
        if isinstance(X, Rows | DaskRows):
            if per_row:
                raise ValueError(
                    f"{next(iter(per_row))} comes with the rows of a source, not beside them; name "
                    "its column, or put it into the batches."
                )
            return _lazily(X, part, None) if isinstance(X, DaskRows) else X.each(part.of_batches)
        return _lazily(DaskRows(X, **per_row), part, X)

    apply.takes_sources = True  # type: ignore[attr-defined]
    return apply  # type: ignore[return-value]


class _Part(NamedTuple):
    """A method of a fitted estimator, for the rows of one partition."""

    estimator: Any
    method: Callable[..., Any]
    options: Mapping[str, Any]
    names: frozenset[str]

    def of_batch(self, number: int, batch: Batch) -> Any:
        """Return what the method says of the rows of a batch.

        Raises
        ------
        ValueError, TypeError
            Naming the partition.
        """
        rows = {**batch.given, "y": batch.y}
        if "history" in self.names and "history" not in self.options:
            rows.pop("groups", None)  # which say nothing of rows whose y is not known
        rows = {k: v for k, v in rows.items() if v is not None and k in self.names}
        try:
            X = _as_rows(self.estimator, batch.X)
            return self.method(self.estimator, X, **rows, **self.options)
        except (ValueError, TypeError) as error:
            kind = TypeError if isinstance(error, TypeError) else ValueError
            raise kind(f"Partition {number} of the source: {error}") from error

    def of_batches(self, number: int, batch: Batch) -> Any:
        """Return the same, of no rows where there are none."""
        if _has_rows(batch):
            return self.of_batch(number, batch)
        example = self.example()
        none = tuple(each[:0] for each in example) if isinstance(example, tuple) else example[:0]
        return type(example)(*none) if hasattr(example, "_fields") else none

    def of_any_batch(self, number: int, batch: Batch, empty: tuple[np.ndarray, ...]) -> Any:
        """Return the same as a tuple of arrays, those of no rows where there are none."""
        if not _has_rows(batch):
            return empty
        found = self.of_batch(number, batch)
        return found if isinstance(found, tuple) else (found,)

    def example(self) -> Any:
        """Return what the method returns for one row; given y, one number or one per expert."""
        rows = ColumnRows([np.zeros(1)] * self.estimator.n_features_in_)
        named = self.method.__name__
        if "y" in self.names:
            by_expert = self.estimator.gate_proba(rows)
            return {
                "log_density": by_expert[:, 0],
                "predict_expert": by_expert.argmax(axis=1),
            }.get(named, by_expert)
        return self.method(self.estimator, rows, **self.options)


class _OfPartition(NamedTuple):
    """What a worker is sent."""

    part: _Part
    empty: tuple[np.ndarray, ...]

    def __call__(self, number: int, batch: Batch) -> Any:
        return self.part.of_any_batch(number, batch, self.empty)


def _lazily(source: DaskRows, part: _Part, X: Any) -> Any:
    """Return a Dask array, or several, of what a method returns for each partition."""
    example = part.example()
    several = example if isinstance(example, tuple) else (example,)
    empty = tuple(each[:0] for each in several)
    tasks = source.tasks(_OfPartition(part, empty).__call__)
    sizes = X.chunks[0] if hasattr(X, "chunks") else (np.nan,) * len(source)
    found = tuple(lazy_array(tasks, at, sizes, each) for at, each in enumerate(empty))
    if hasattr(example, "_fields"):
        return type(example)(*found)
    return found if isinstance(example, tuple) else found[0]


def _has_rows(batch: Batch) -> bool:
    X = batch.X.values if isinstance(batch.X, NamedRows) else batch.X
    return bool(X.shape[0] if hasattr(X, "shape") else len(X))


def _as_rows(estimator: Any, X: Any) -> Any:
    """Return rows of a source as methods take them; compare the names of their columns."""
    if not isinstance(X, NamedRows):
        return X
    known = getattr(estimator, "feature_names_in_", None)
    if known is not None and list(known) != X.names:
        raise ValueError(f"its columns are {shown(X.names)}, those of the fit {list(known)}.")
    gaps = estimator.fitted_model_.model.gap_columns
    refuse_nonfinite_rows(X.values, np.array(X.names, dtype=object), gaps)
    return ColumnRows(list(X.values.T))
