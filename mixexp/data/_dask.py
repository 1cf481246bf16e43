"""Partitions of Dask collections: functions go to where the rows are, and sums come back.

Rows are never brought here. What runs them is the client in use, or Dask's local scheduler; what
is done with them is told by the functions that a fit gives to its source.
"""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import reduce
from typing import Any, NamedTuple, TypeVar
from uuid import uuid4

import numpy as np

from mixexp.data._executor import single_threaded_blas
from mixexp.data._sources import Batch, Source, as_batch, as_source
from mixexp.data._waiting import Cluster
from mixexp.exceptions import ClusterError, PartitionError
from mixexp.text import shown

Result = TypeVar("Result")

# Results that are added in one task: fewer tasks than with two, and the same order for any workers.
_FAN_IN = 8
# Partitions that Dask's local scheduler is given at a time where each result is kept.
_AT_A_TIME = 32


class DaskRows:
    """Rows of Dask arrays, Dask dataframes or delayed partitions.

    `fit` makes one of Dask collections itself; make one for delayed partitions, or to give it to
    `inference` and to predictions again. Needs dask (extra ``dask``).

    Parameters
    ----------
    X : dask array of shape (n, n_features), dask dataframe, or list of delayed
        A delayed partition is a tuple as of `Batches`; ``y`` and what follows are then left out.
    y : dask array or series of shape (n,), default=None
        In as many partitions as X; arrays whose chunks are known are cut as X is.
    sample_weight : dask array or series of shape (n,), default=None
    patience : float, default=30.0
        Seconds to wait for a worker where none is left before the fit is given up.
    **given : dask array or series of shape (n,)
        Further arguments per row, by the names that ``fit`` has for them, such as ``offset``.

    Raises
    ------
    ImportError
        If there is no dask.
    ValueError, TypeError
        If the partitions of one do not match those of X, or it is no Dask collection.

    Notes
    -----
    Each pass of EM makes the partitions anew: ``persist`` collections that the workers' memory
    holds. A pass sends the parameters to every worker once, and fetches sums, added in a fixed
    tree order: the same partitions give the same bits for any number of workers.
    """

    #: Functions run elsewhere, several at a time.
    is_local = False

    def __init__(
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        patience: float = 30.0,
        **given: Any,
    ) -> None:
        self._dask = _import_dask()
        self._patience = float(patience)
        beside = {"y": y, "sample_weight": sample_weight, **given}
        beside = {name: values for name, values in beside.items() if values is not None}
        if isinstance(X, list | tuple):
            self._names: tuple[str, ...] = ()
            self._parts = [(part,) for part in _check_delayed(X, beside)]
        else:
            self._names = ("X", *beside)
            X = _whole_rows(X)
            columns = [_delayed(X), *(_partitions(X, *each) for each in beside.items())]
            self._parts = list(zip(*columns, strict=True))

    def __len__(self) -> int:
        return len(self._parts)

    def each(self, function: Callable[[int, Batch], Result]) -> Iterator[Result]:
        """Yield what a function returns for the number and the rows of each partition, in order."""
        tasks = self.tasks(function)
        with self._blaming(), single_threaded_blas():
            client = _client(self._dask)
            if client is not None:
                yield from Cluster(client, self._patience).results(tasks)
                return
            for at in range(0, len(tasks), _AT_A_TIME):
                yield from self._dask.compute(*tasks[at : at + _AT_A_TIME])

    def total(
        self, function: Callable[[int, Batch], Result], add: Callable[[Result, Result], Result]
    ) -> Result:
        """Return the sum of these, in an order that depends on the partitions alone."""
        tasks, together = self.tasks(function), self._dask.delayed(_Sum(add), name=_fresh("sum"))
        while len(tasks) > 1:
            tasks = [
                together(tasks[at : at + _FAN_IN], dask_key_name=_fresh("total"))
                for at in range(0, len(tasks), _FAN_IN)
            ]
        with self._blaming(), single_threaded_blas():
            client = _client(self._dask)
            if client is None:
                return self._dask.compute(*tasks)[0]
            return next(Cluster(client, self._patience).results(tasks))

    def tasks(self, function: Callable[[int, Batch], Any]) -> list[Any]:
        """Return a delayed result of a function for each partition.

        Parameters
        ----------
        function : callable
            Takes number and rows. It is sent to every worker once, whatever it holds.

        Returns
        -------
        list of dask.delayed.Delayed
        """
        name = _fresh("pass")
        sent = self._dask.delayed(_Pass(function, self._names), name=name, traverse=False)
        return [
            sent(number, *parts, dask_key_name=f"{name}-{number}")
            for number, parts in enumerate(self._parts)
        ]

    def _blaming(self) -> "_Blame":
        """Return a context that says which partition an error comes from."""
        return _Blame(self._dask, self._parts, self._patience)


class _Pass:
    """A function of number and rows, called where the parts of a partition are."""

    def __init__(self, function: Callable[[int, Batch], Any], names: tuple[str, ...]) -> None:
        self._function, self._names = function, names

    def __call__(self, number: int, *parts: Any) -> Any:
        with single_threaded_blas():  # for the sake of bits, in whatever process this is
            return self._function(number, self._batch(number, parts))

    def _batch(self, number: int, parts: Sequence[Any]) -> Batch:
        if not self._names:
            return as_batch(number, parts[0])
        found = dict(zip(self._names, parts, strict=True))
        return Batch(found.pop("X"), found.pop("y", None), found.pop("sample_weight", None), found)


class _Sum:
    """Adds results from first to last."""

    def __init__(self, add: Callable[[Any, Any], Any]) -> None:
        self._add = add

    def __call__(self, found: list[Any]) -> Any:
        return reduce(self._add, found)


class _Blame(NamedTuple):
    """Names the partition that could not be made, where an error does not tell that."""

    dask: Any
    parts: list[tuple[Any, ...]]
    patience: float

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        is_known = isinstance(error, ClusterError) or str(error).startswith("Partition ")
        if is_known or not isinstance(error, Exception):
            return
        client = _client(self.dask)
        made = self.dask.delayed(_is_made, name=_fresh("made"), traverse=False)
        tasks = [made(*parts) for parts in self.parts]
        for number, cause in enumerate(_errors(self.dask, client, tasks)):
            if cause is not None:
                raise PartitionError(
                    f"Partition {number} of the source could not be made: "
                    f"{type(cause).__name__}: {cause}"
                ) from cause


def _is_made(*parts: Any) -> bool:
    return True


def _errors(dask: Any, client: Any, tasks: list[Any]) -> Iterator[Exception | None]:
    """Yield the error of each task, None where it has none."""
    if client is not None:
        for future in client.compute(tasks):
            yield future.exception()
        return
    for task in tasks:
        try:
            dask.compute(task)
        except Exception as error:  # noqa: BLE001  # reported by whoever asks
            yield error
        else:
            yield None


def is_dask(X: Any) -> bool:
    """Return whether an object is a Dask collection, or a list of delayed partitions.

    Parameters
    ----------
    X : object
    """
    if isinstance(X, list) and X:
        return all(hasattr(part, "__dask_graph__") for part in X)
    return hasattr(X, "__dask_graph__")


def refuse_dask(X: Any, what: str) -> None:
    """Refuse Dask collections where rows in memory are needed.

    Raises
    ------
    TypeError
        Naming X, and what it was for.
    """
    if is_dask(X):
        raise TypeError(
            f"{what} needs rows in memory, but X is a Dask collection, {type(X).__name__}: give "
            "X.compute() and y.compute(), or those of a sample of the rows."
        )


def read_source(
    X: Any, y: Any, sample_weight: Any, given: Mapping[str, Any]
) -> tuple[Source | None, dict[str, Any]]:
    """Return what a user gave in the place of rows as a source, and what was given beside it.

    Parameters
    ----------
    X : object
    y, sample_weight : object
    given : mapping of str to object
        Further arguments per row.

    Returns
    -------
    source : Source or None
        None if X are rows.
    beside : dict
        Empty for Dask collections, whose arguments are part of the source.
    """
    per_row = {"y": y, "sample_weight": sample_weight, **given}
    if is_dask(X):
        return DaskRows(X, **per_row), {}
    return as_source(X, y), per_row


def lazy_array(tasks: Sequence[Any], at: int, sizes: Sequence[float], example: np.ndarray) -> Any:
    """Return a Dask array of the arrays that delayed partitions have in some place.

    Parameters
    ----------
    tasks : sequence of dask.delayed.Delayed
        Each of a tuple of arrays.
    at : int
        Which of them.
    sizes : sequence of float
        Rows of each, NaN where they are not known.
    example : ndarray of shape (0, ...)

    Returns
    -------
    dask.array.Array
    """
    import dask.array as da

    parts = [
        da.from_delayed(task[at], (rows, *example.shape[1:]), example.dtype)
        for task, rows in zip(tasks, sizes, strict=True)
    ]
    return da.concatenate(parts, allow_unknown_chunksizes=True)


def _import_dask() -> Any:
    try:
        import dask
        import dask.delayed
    except ImportError as error:
        raise ImportError(
            "Dask collections need dask: pip install 'mixexp[dask]', or give Batches of arrays."
        ) from error
    return dask


def _client(dask: Any) -> Any:
    """Return the client in use, None if Dask's local scheduler is."""
    distributed = sys.modules.get("distributed")  # without it there is no client
    chosen = dask.config.get("scheduler", None)
    if distributed is None or chosen not in (None, "distributed", "dask.distributed"):
        return None
    try:
        return distributed.default_client()
    except ValueError:
        return None


def _fresh(what: str) -> str:
    """Return a name that no task has yet."""
    return f"mixexp-{what}-{uuid4().hex}"


def _check_delayed(parts: Sequence[Any], beside: Mapping[str, Any]) -> Sequence[Any]:
    if beside:
        raise ValueError(
            f"{next(iter(beside))} comes with the rows of delayed partitions, not beside them: let "
            "each be a tuple (X, y) or (X, y, sample_weight, mapping of further arguments)."
        )
    for number, part in enumerate(parts):
        if not hasattr(part, "__dask_graph__") or not hasattr(part, "key"):
            raise TypeError(
                f"Partition {number} must be delayed, as dask.delayed makes them. Got "
                f"{shown(part)}; give Batches where partitions are in memory."
            )
    if not parts:
        raise ValueError("There is no partition; give at least one.")
    return parts


def _whole_rows(X: Any) -> Any:
    """Return features whose partitions hold all columns."""
    if not hasattr(X, "__dask_graph__") or not hasattr(X, "to_delayed"):
        raise TypeError(
            f"X must be a dask array, a dask dataframe or a list of delayed. Got {shown(X)}; give "
            "arrays in memory to the estimator itself."
        )
    if hasattr(X, "chunks"):
        if X.ndim != 2:
            raise ValueError(
                f"X must have shape (n, n_features), but the dask array has {X.ndim} dimensions."
            )
        return X.rechunk({1: -1})
    if not hasattr(X, "columns"):
        raise TypeError(f"X must be a dask array or a dask dataframe. Got {type(X).__name__}.")
    return X


def _partitions(X: Any, name: str, values: Any) -> list[Any]:
    """Return the partitions of an argument per row, which match those of X."""
    if not hasattr(values, "__dask_graph__") or not hasattr(values, "to_delayed"):
        raise TypeError(
            f"{name} must be a Dask collection where X is one, in the same partitions. Got "
            f"{type(values).__name__}; use dask.array.from_array(..., chunks=X.chunks[0])."
        )
    if hasattr(values, "chunks"):
        cuts = getattr(X, "chunks", ((None,),))[0]
        if _are_known(cuts) and _are_known(values.chunks[0]) and values.chunks[0] != cuts:
            if sum(values.chunks[0]) != sum(cuts):
                raise ValueError(
                    f"{name} has {sum(values.chunks[0])} rows, but X has {sum(cuts)}; give one for "
                    "each row."
                )
            values = values.rechunk({0: cuts})
        if values.ndim > 1:
            values = values.rechunk({1: -1})
    found, n = _delayed(values), len(_delayed(X))
    if len(found) != n:
        raise ValueError(
            f"{name} has {len(found)} partitions, but X has {n}, and what is of unknown size "
            "cannot be cut anew. Give the same divisions, or call compute_chunk_sizes()."
        )
    return found


def _delayed(collection: Any) -> list[Any]:
    parts = collection.to_delayed()
    return list(parts.ravel() if hasattr(parts, "ravel") else parts)


def _are_known(sizes: Sequence[Any]) -> bool:
    return all(size is not None and size == size for size in sizes)
