"""Rows that come batch by batch: what can be iterated again and again, and Parquet files.

A source is asked for two things: to apply a function to each of its partitions, in order, and to
sum what comes back. Where the function runs is the source's affair.
"""

import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import copy
from functools import reduce
from itertools import islice
from os import PathLike
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol, TypeVar, runtime_checkable

import numpy as np

from mixexp.arguments import check_count, is_listed
from mixexp.data._executor import give_back_pages
from mixexp.text import shown

Result = TypeVar("Result")

_NOTHING: Mapping[str, Any] = MappingProxyType({})
#: Before the names of columns that are kept for whoever writes them.
KEPT = "kept column "
# Batches that are read while one is worked on.
_READ_AHEAD = 1
# To give 80 MB back and to take them anew costs 7 ms; a million rows by 20 columns cost hundreds.
_BATCHES_PER_TRIM = 16


class Batch(NamedTuple):
    """Rows as a source gives them, unchecked.

    Parameters
    ----------
    X : array-like of shape (rows, n_features)
    y : array-like of shape (rows,) or None
    weight : array-like of shape (rows,) or None
    given : mapping of str to array-like
        Further arguments per row, by the names that ``fit`` has for them.
    """

    X: Any
    y: Any = None
    weight: Any = None
    given: Mapping[str, Any] = _NOTHING


@runtime_checkable
class Source(Protocol):
    """Partitions of rows, which a fit passes over many times."""

    #: Whether functions run in this process, one partition at a time.
    is_local: bool

    def __len__(self) -> int: ...

    def each(self, function: Callable[[int, Batch], Result]) -> Iterator[Result]:
        """Yield what a function returns for the number and the rows of each partition, in order."""
        ...

    def total(
        self, function: Callable[[int, Batch], Result], add: Callable[[Result, Result], Result]
    ) -> Result:
        """Return the sum of these, in an order that depends on the partitions alone."""
        ...


class Rows:
    """Rows that are passed over in this process; the next batch is read while one is worked on."""

    is_local = True

    def __iter__(self) -> Iterator[Any]:
        raise NotImplementedError

    def each(self, function: Callable[[int, Batch], Result]) -> Iterator[Result]:
        for number, batch in enumerate(_read_ahead(self)):
            if number % _BATCHES_PER_TRIM == 0:
                give_back_pages()
            yield function(number, as_batch(number, batch))

    def total(
        self, function: Callable[[int, Batch], Result], add: Callable[[Result, Result], Result]
    ) -> Result:
        found = self.each(function)
        first = list(islice(found, 1))
        if not first:
            raise ValueError(
                "The source has no partition, or none any more: an iterator can be passed over "
                "once only. Give an object whose __iter__ starts anew."
            )
        return reduce(add, found, first[0])


class Batches(Rows):
    """Batches of rows from any object that can be iterated again and again.

    Give it to `fit` in the place of X. Each pass of EM iterates once; a batch or two are in memory.

    Parameters
    ----------
    batches : iterable with a length
        Of tuples (X, y), (X, y, sample_weight) or (X, y, sample_weight, rest), where ``rest`` is a
        mapping of further arguments per row, such as ``{"groups": ...}``. X and y are whatever
        ``fit`` takes. Every iteration has to give the same rows. A group lies in one batch.

    Raises
    ------
    TypeError
        If it is an iterator, which can be passed over once only, or has no length.

    Examples
    --------
    >>> import numpy as np
    >>> from mixexp import MoERegressor
    >>> from mixexp.data import Batches
    >>> x = np.linspace(-1.0, 1.0, 200)[:, None]
    >>> y = np.abs(x[:, 0]) + 0.05 * np.sin(50.0 * x[:, 0])
    >>> source = Batches([(x[:120], y[:120]), (x[120:], y[120:])])
    >>> model = MoERegressor(n_experts=2, random_state=0).fit(source)
    >>> [len(model.predict(X)) for X, _ in source]
    [120, 80]
    """

    def __init__(self, batches: Any) -> None:
        if isinstance(batches, Iterator):
            raise TypeError(
                f"{type(batches).__name__} can be iterated once, but a fit passes over the rows "
                "many times: give an object whose __iter__ starts anew, such as a list or a class "
                "of your own."
            )
        if not isinstance(batches, Iterable) or not hasattr(batches, "__len__"):
            raise TypeError(
                f"batches must have __iter__ and __len__; got {type(batches).__name__}. Wrap it in "
                "a class that has both."
            )
        self._batches: Any = batches

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._batches)


class ParquetRows(Rows):
    """Rows of Parquet files, read batch by batch, and of each only the columns that are named.

    Give it to `fit` in the place of X. Needs pyarrow (extra ``parquet``).

    Parameters
    ----------
    path : str, path, or list of these
        A file, several, or a directory of files.
    features : sequence of str
        Columns of X, in their order.
    target : str, default=None
        Column of y; needed where y is.
    weight : str, default=None
        Column of sample weights.
    batch_rows : int, default=65536
        Rows per batch at most; a batch or two are in memory.
    **given : str
        Columns of further arguments per row, by the names that ``fit`` has for them, such as
        ``groups="customer"``. A group has to lie in one batch.

    Raises
    ------
    ImportError
        If there is no pyarrow.
    ValueError
        If a column is not there, the target is among the features, or ``batch_rows`` no count.
    TypeError
        If a feature holds no numbers, or an argument is of another type than described.
    """

    def __init__(
        self,
        path: Any,
        features: Sequence[str],
        target: str | None = None,
        weight: str | None = None,
        *,
        batch_rows: int = 65536,
        **given: str,
    ) -> None:
        paths = _read_paths(path)
        features = _read_columns("features", features)
        if target is not None and target in features:
            raise ValueError(f"features holds {shown(target)}, which is the target: leave it out.")
        parquet = _parquet()
        # Not a whole file ahead, as is the default: of a million rows by 20 columns 200 MB.
        self._scan_options = parquet.ParquetFragmentScanOptions(
            pre_buffer=False, use_buffered_stream=True
        )
        self._dataset = parquet.dataset(paths[0] if len(paths) == 1 else paths, format="parquet")
        self._features, self._target, self._weight = features, target, weight
        self._given, self._batch_rows = given, check_count("batch_rows", batch_rows)
        self._kept: list[str] = []
        named = [*self._features, target, weight, *given.values()]
        self._columns = list(dict.fromkeys(name for name in named if name is not None))
        self._check_columns()

    def keeping(self, names: Sequence[str]) -> "ParquetRows":
        """Return the same rows with further columns as they are in the files.

        Parameters
        ----------
        names : sequence of str

        Raises
        ------
        ValueError
            If a column is not there.
        """
        found = copy(self)
        found._kept = _read_columns("keep", names)
        found._columns = list(dict.fromkeys([*self._columns, *found._kept]))
        found._check_columns()
        return found

    def reads(self, path: Any) -> bool:
        """Return whether a file is one of those that are read."""
        target = Path(path)
        return target.exists() and any(target.samefile(one) for one in self._dataset.files)

    def _check_columns(self) -> None:
        missing = [name for name in self._columns if name not in self._dataset.schema.names]
        if missing:
            raise ValueError(
                f"The files have no column {shown(missing[0])}; they have "
                f"{list(self._dataset.schema.names)}."
            )
        for name in self._features:
            kind = self._dataset.schema.field(name).type
            if not _is_number(kind):
                raise TypeError(
                    f"Column {shown(name)} of the files holds {kind}; features must be numbers. "
                    "Encode it before it is written, or leave it out of 'features'."
                )

    def __len__(self) -> int:
        rows = [
            group.num_rows
            for fragment in self._dataset.get_fragments()
            for group in fragment.row_groups
        ]
        return sum(-(-n // self._batch_rows) for n in rows)

    def __iter__(self) -> Iterator[Batch]:
        # Group by group: asked for whole files, Arrow holds two or three groups ahead.
        for file in self._dataset.get_fragments():
            for group in file.split_by_row_group(schema=self._dataset.schema):
                for batch in group.to_batches(
                    schema=self._dataset.schema,
                    columns=self._columns,
                    batch_size=self._batch_rows,
                    batch_readahead=0,
                    use_threads=False,
                    fragment_scan_options=self._scan_options,
                ):
                    if batch.num_rows:
                        yield self._rows_of(batch)

    def _rows_of(self, batch: Any) -> Batch:
        def column(name: str | None) -> Any:
            return None if name is None else batch[name].to_numpy(zero_copy_only=False)

        X = np.empty((len(self._features), batch.num_rows))
        for place, name in zip(X, self._features, strict=True):
            place[:] = column(name)
        given = {argument: column(name) for argument, name in self._given.items()}
        given.update({KEPT + name: batch[name] for name in self._kept})
        return Batch(
            NamedRows(X.T, self._features), column(self._target), column(self._weight), given
        )


def _read_paths(path: Any) -> list[str]:
    paths = list(path) if is_listed(path) else [path]
    if not paths or not all(isinstance(one, str | PathLike) for one in paths):
        raise TypeError(f"path must be a file or directory, or a list of files. Got {shown(path)}.")
    return [str(one) for one in paths]


def _read_columns(name: str, columns: Any) -> list[str]:
    is_many = isinstance(columns, Iterable) and not isinstance(columns, str | Mapping)
    found: list[Any] = list(columns) if is_many else [None]
    if not all(isinstance(one, str) for one in found):
        raise TypeError(f"{name} must be a list of names of columns. Got {shown(columns)}.")
    return found


class NamedRows(NamedTuple):
    """Features in an array, with the names of its columns.

    Parameters
    ----------
    values : ndarray of shape (rows, n_features)
    names : list of str
    """

    values: np.ndarray
    names: list[str]


def _is_number(kind: Any) -> bool:
    """Tell whether a type of Arrow's is one of real numbers or of truth values."""
    from pyarrow import types

    tests = types.is_integer, types.is_floating, types.is_decimal, types.is_boolean
    return any(test(kind) for test in tests)


def _parquet() -> Any:
    try:
        import pyarrow.dataset as dataset
    except ImportError as error:
        raise ImportError(
            "ParquetRows needs pyarrow: pip install 'mixexp[parquet]', or give Batches of arrays."
        ) from error
    return dataset


def as_source(X: Any, y: Any) -> "Source | None":
    """Return what a user gave in the place of X as a source, None if it is rows.

    Parameters
    ----------
    X : object
    y : object
        A source has its own, so that none is given beside it.
    """
    if isinstance(X, Source):
        return X
    is_rows = isinstance(X, list | tuple | str | Mapping) or any(
        hasattr(X, name) for name in ("shape", "columns", "__array__", "__dataframe__", "dtype")
    )
    if y is not None or is_rows or not isinstance(X, Iterable):
        return None
    return Batches(X)


def as_batch(number: int, batch: Any) -> Batch:
    """Return what a source gave as a partition; refuse what is none.

    Raises
    ------
    TypeError
        Naming the partition.
    """
    if isinstance(batch, Batch):
        return batch
    if not isinstance(batch, tuple) or not 2 <= len(batch) <= 4:
        raise TypeError(
            f"Partition {number} must be a tuple (X, y), (X, y, sample_weight) or (X, y, "
            f"sample_weight, mapping of further arguments). Got {shown(batch)}."
        )
    found = Batch(*batch)
    if not isinstance(found.given, Mapping):
        raise TypeError(
            f"The fourth entry of partition {number} must be a mapping of arguments per row by "
            f"name. Got {shown(found.given)}."
        )
    return found


def _read_ahead(batches: Iterable[Any]) -> Iterator[Any]:
    """Yield the items of an iterable, the next of which is made on a thread meanwhile."""
    made: queue.Queue[tuple[Any, BaseException | None]] = queue.Queue(_READ_AHEAD)
    is_over, end = threading.Event(), object()

    def put(item: Any, error: BaseException | None) -> bool:
        while not is_over.is_set():
            try:
                made.put((item, error), timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def read() -> None:
        try:
            for item in batches:
                if not put(item, None):
                    return
        except BaseException as error:  # noqa: BLE001  # raised where the batches are asked for
            put(end, error)
            return
        put(end, None)

    thread = threading.Thread(target=read, name="mixexp-read", daemon=True)
    thread.start()
    try:
        while True:
            item, error = made.get()
            if error is not None:
                raise error
            if item is end:
                return
            yield item
    finally:
        is_over.set()
        thread.join()
