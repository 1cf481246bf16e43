"""Predictions written to a Parquet file batch by batch, from a source of rows."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from mixexp.arguments import is_listed
from mixexp.data._sources import KEPT, Batch, ParquetRows, Rows
from mixexp.text import shown

Result = TypeVar("Result")


def write_parquet(
    path: Any,
    model: Any,
    source: Rows,
    methods: Sequence[str] | Mapping[str, Mapping[str, Any]] = ("predict",),
    *,
    keep: Sequence[str] = (),
) -> int:
    """Write what a fitted estimator predicts for the rows of a source to a Parquet file.

    Memory holds a batch or two, whatever the number of rows. Needs pyarrow (extra ``parquet``).

    Parameters
    ----------
    path : str or path-like
        Of the file, which appears when it is complete.
    model : estimator
        Fitted.
    source : ParquetRows or Batches
    methods : sequence of str, or mapping of str to mapping
        Methods of the estimator that return numbers per row; in a mapping with their further
        arguments, such as ``{"predict": {}, "predict_quantile": {"q": [0.05, 0.95]}}``. A column
        has the name of its method; several are numbered, named by class, or by quantile.
    keep : sequence of str, default=()
        Columns of the files of a `ParquetRows` to write first, such as a key.

    Returns
    -------
    int
        Rows written.

    Raises
    ------
    ImportError
        If there is no pyarrow.
    ValueError
        If an argument is not as described, ``path`` is a file of the source, or a partition
        cannot be predicted; named.
    TypeError
        If an argument is of another type than described.
    """
    wanted = _check_methods(model, methods)
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"path must be that of a file. Got {shown(path)}.")
    if len(keep):
        if not isinstance(source, ParquetRows):
            raise ValueError(
                "keep names columns of Parquet files, but the source is a "
                f"{type(source).__name__}; use ParquetRows, or leave it out."
            )
        source = source.keeping(keep)
    if not isinstance(source, Rows):
        raise TypeError(
            f"source must be ParquetRows or Batches. Got {shown(source)}; of Dask collections "
            "predictions are Dask arrays, which write themselves."
        )
    target = Path(path)
    if isinstance(source, ParquetRows) and source.reads(target):
        raise ValueError(
            f"path is {shown(str(path))}, which the source is read from: name another."
        )
    partial = target.with_name(target.name + ".part")
    try:
        n_rows = _write(partial, _tables(model, source, wanted, keep))
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)
    return n_rows


def _check_methods(
    model: Any, methods: Sequence[str] | Mapping[str, Mapping[str, Any]]
) -> Mapping[str, Mapping[str, Any]]:
    if isinstance(methods, str):
        methods = (methods,)
    if not is_listed(methods) and not isinstance(methods, Mapping):
        raise TypeError(f"methods must be a list of names, or a mapping. Got {shown(methods)}.")
    wanted = methods if isinstance(methods, Mapping) else {name: {} for name in methods}
    kind = type(model).__name__
    for name in wanted:
        if not isinstance(name, str) or not callable(getattr(model, name, None)):
            raise ValueError(f"methods names {shown(name)}, which {kind} has not.")
        if not any(hasattr(vars(c).get(name), "takes_sources") for c in type(model).__mro__):
            raise ValueError(
                f"methods names {shown(name)}, with which {kind} returns no numbers per row of a "
                "source; name methods such as 'predict', 'log_density' or 'gate_proba'."
            )
    if not wanted:
        raise ValueError("methods is empty; name at least one, such as 'predict'.")
    return wanted


def _tables(
    model: Any, source: Rows, methods: Mapping[str, Mapping[str, Any]], keep: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """Yield the columns of each batch."""

    def columns(number: int, batch: Batch) -> dict[str, Any]:
        found = {name: batch.given[KEPT + name] for name in keep}
        one = _OneBatch(number, batch)
        for name, options in methods.items():
            values = next(iter(getattr(model, name)(one, **options)))
            named = _named_columns(model, name, options, values)
            for column, numbers in named.items():
                if column in found:
                    raise ValueError(f"Two columns would be named {shown(column)}; keep another.")
                found[column] = numbers
        return found

    return source.each(columns)


class _OneBatch(Rows):
    """A batch as a source of its own, which has the number that it had."""

    def __init__(self, number: int, batch: Batch) -> None:
        self._number, self._batch = number, batch

    def __len__(self) -> int:
        return 1

    def each(self, function: Callable[[int, Batch], Result]) -> Iterator[Result]:
        yield function(self._number, self._batch)


def _named_columns(
    model: Any, name: str, options: Mapping[str, Any], values: Any
) -> dict[str, np.ndarray]:
    if hasattr(values, "_fields"):
        parts = zip(values._fields, values, strict=True)
        named = [_named_columns(model, f"{name}_{part}", options, own) for part, own in parts]
        return {column: numbers for columns in named for column, numbers in columns.items()}
    if not isinstance(values, np.ndarray):
        raise ValueError(f"{name} returns several arrays; write what returns one.")
    if values.ndim == 1:
        return {name: values}
    if name == "predict_proba":
        labels = [f"{label}" for label in model.classes_]
    elif name == "predict_quantile":
        labels = [f"{level:g}" for level in np.atleast_1d(options["q"])]
    else:
        labels = ["_".join(map(str, place)) for place in np.ndindex(*values.shape[1:])]
    flat = values.reshape(len(values), -1)
    return {f"{name}_{label}": flat[:, at] for at, label in enumerate(labels)}


def _write(path: Path, tables: Iterator[dict[str, Any]]) -> int:
    import pyarrow as pa
    from pyarrow import parquet

    n_rows, writer = 0, None
    try:
        for columns in tables:
            table = pa.table(columns)
            writer = writer or parquet.ParquetWriter(path, table.schema)
            writer.write_table(table)
            n_rows += table.num_rows
    finally:
        if writer is not None:
            writer.close()
    if writer is None:
        raise ValueError("The source has no row, so that there is nothing to write.")
    return n_rows
