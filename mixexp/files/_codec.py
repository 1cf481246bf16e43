"""Values as JSON and back: a closed set of types, each of which comes back as it was.

Numbers, text, true, false, null and lists stand for themselves. All else is an object of one key
that says what it is: ``{"tuple": [...]}``, ``{"set": [...]}``, ``{"map": {...}}`` (or
``[[key, value], ...]``, where keys are no text), ``{"number": "nan"}``, ``{"array": {...}}``,
``{"scalar": {...}}``, ``{"tree": [[1, 1], 1]}`` or ``{"record": {"type": ..., "fields": {...}}}``.
Which records there are is told by a table of names: a file names no module and no function, so
reading one runs nothing but what the table holds.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from mixexp.exceptions import ExportError, ModelFileError
from mixexp.text import shown
from mixexp.tree import GatingTree

_NONFINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}
# Bytes of one value of an array: text of any sensible length.
_LARGEST_ITEM = 1 << 20
# Kinds of arrays: truth values, integers, floats, text, times, and objects that are plain values.
_KINDS = "biufUMmO"
_PLAIN = (str, bool, int, float, type(None))


class Record(NamedTuple):
    """A type of object that files may hold.

    Parameters
    ----------
    cls : type
        Objects of a subclass are others.
    write : callable
        Returns the fields of an object by name.
    read : callable
        Returns the object of the fields, or raises ModelFileError, ValueError or TypeError.
    """

    cls: type
    write: Callable[[Any], dict[str, Any]]
    read: Callable[[dict[str, Any]], Any]


class Codec:
    """Writes values as JSON and reads them back.

    Parameters
    ----------
    records : mapping of str to Record
        By the name that files use.
    """

    def __init__(self, records: Mapping[str, Record]) -> None:
        self._records = records
        self._names = {record.cls: name for name, record in records.items()}

    # Writing.

    def write(self, value: Any, where: str) -> Any:
        """Return a value as what `json` writes.

        Parameters
        ----------
        value : object
        where : str
            Where it stands in the model, for messages.

        Raises
        ------
        ExportError
            If it is of a type that files do not hold, or holds such; the message says where.
        """
        if value is None or type(value) in (bool, int, str):
            return value
        if type(value) is float:
            return value if math.isfinite(value) else {"number": str(value)}
        if type(value) in (list, tuple):
            items = [self.write(item, f"{where}[{at}]") for at, item in enumerate(value)]
            return items if type(value) is list else {"tuple": items}
        if type(value) in (set, frozenset):
            return {"set": [self.write(item, where) for item in sorted(value)]}
        if type(value) is dict:
            return {"map": self._write_map(value, where)}
        if isinstance(value, np.generic | np.ndarray) or hasattr(value, "to_numpy"):
            return _write_numbers(value, where)
        if type(value) is GatingTree:
            return {"tree": value.to_nested()}
        return self._write_record(value, where)

    def _write_map(self, value: dict[Any, Any], where: str) -> Any:
        written = {key: self.write(item, f"{where}[{key!r}]") for key, item in value.items()}
        if all(type(key) is str for key in value):
            return written
        return [[self.write(key, where), item] for key, item in written.items()]

    def _write_record(self, value: Any, where: str) -> Any:
        name = self._names.get(type(value))
        if name is None:
            raise ExportError(
                f"{where} is an object of type {type(value).__name__}, which the library does not "
                "know: a file without code cannot hold it. Use pickle, joblib or skops."
            )
        fields = self._records[name].write(value)
        written = {field: self.write(item, f"{where}.{field}") for field, item in fields.items()}
        return {"record": {"type": name, "fields": written}}

    # Reading.

    def read(self, written: Any, where: str) -> Any:
        """Return the value that was written.

        Raises
        ------
        ModelFileError
            If it is nothing that `write` writes; the message says where.
        """
        if written is None or isinstance(written, bool | int | float | str):
            return written
        if isinstance(written, list):
            return [self.read(item, f"{where}[{at}]") for at, item in enumerate(written)]
        if len(written) != 1:
            raise ModelFileError(f"{where} is {shown(written)}; expected an object of one key.")
        ((kind, content),) = written.items()
        reader = getattr(self, f"_read_{kind}", None) if kind in _WRAPPED else None
        if reader is None:
            raise ModelFileError(
                f"{where} has the kind {shown(kind)}; known are {', '.join(_WRAPPED)}."
            )
        return reader(content, where)

    def _read_tuple(self, content: Any, where: str) -> tuple[Any, ...]:
        return tuple(self.read(_expect(content, list, where), where))

    def _read_set(self, content: Any, where: str) -> frozenset[Any]:
        return frozenset(_hashable(self._read_tuple(content, where), where))

    def _read_map(self, content: Any, where: str) -> dict[Any, Any]:
        if isinstance(content, dict):
            return {key: self.read(item, f"{where}[{key!r}]") for key, item in content.items()}
        pairs = [self._read_tuple(pair, where) for pair in _expect(content, list, where)]
        if any(len(pair) != 2 for pair in pairs):
            raise ModelFileError(f"{where} has an entry that is no pair of key and value.")
        keys = _hashable(tuple(key for key, _ in pairs), where)
        return dict(zip(keys, (value for _, value in pairs), strict=True))

    def _read_number(self, content: Any, where: str) -> float:
        if not isinstance(content, str) or content not in _NONFINITE:
            raise ModelFileError(f"{where} is the number {shown(content)}; expected nan or inf.")
        return _NONFINITE[content]

    def _read_tree(self, content: Any, where: str) -> GatingTree:
        if content == 1:
            return GatingTree.from_nested(1)
        try:
            return GatingTree.from_spec(_expect(content, list, where))
        except ValueError as error:
            raise ModelFileError(f"{where} is no tree: {error}") from error

    def _read_array(self, content: Any, where: str) -> np.ndarray:
        return _read_numbers(content, where)

    def _read_scalar(self, content: Any, where: str) -> Any:
        found = _read_numbers(content, where)
        if found.shape != ():
            raise ModelFileError(f"{where} is a scalar of shape {found.shape}.")
        return found[()]

    def _read_record(self, content: Any, where: str) -> Any:
        _expect(content, dict, where)
        name, fields = content.get("type"), content.get("fields")
        record = self._records.get(name) if isinstance(name, str) else None
        if record is None or set(content) != {"type", "fields"}:
            raise ModelFileError(f"{where} is a record of the unknown type {shown(name)}.")
        _expect(fields, dict, where)
        read = {field: self.read(item, f"{where}.{field}") for field, item in fields.items()}
        try:
            return record.read(read)
        except ModelFileError:
            raise
        except (ValueError, TypeError) as error:
            raise ModelFileError(f"{where} is no {name}: {error}") from error


_WRAPPED = ("tuple", "set", "map", "number", "tree", "array", "scalar", "record")


def _expect(content: Any, kind: type, where: str) -> Any:
    if not isinstance(content, kind):
        raise ModelFileError(f"{where} is {shown(content)}; expected a {kind.__name__}.")
    return content


def _hashable(items: tuple[Any, ...], where: str) -> tuple[Any, ...]:
    if not all(isinstance(item, _PLAIN) for item in items):
        raise ModelFileError(f"{where} has keys or members that are no plain values.")
    return items


def _write_numbers(value: Any, where: str) -> dict[str, Any]:
    """Return an array, a number with a type of NumPy's, or a column of a frame."""
    array = np.asarray(value)
    kind = "scalar" if isinstance(value, np.generic) else "array"
    dtype = array.dtype
    plain = array.view(np.int64) if dtype.kind in "Mm" else array
    values = plain.ravel(order="C").tolist()
    is_plain = all(isinstance(item, _PLAIN) for item in values)
    if dtype.kind == "O":  # where text is a value, none can stand for a number
        is_plain = is_plain and all(map(_is_finite, values))
    if dtype.kind not in _KINDS or not is_plain:
        raise ExportError(
            f"{where} is an array of dtype {dtype} whose values a file without code cannot hold. "
            "Use pickle, joblib or skops."
        )
    values = [item if _is_finite(item) else str(item) for item in values]
    return {kind: {"dtype": dtype.str, "shape": list(array.shape), "values": values}}


def _is_finite(item: Any) -> bool:
    return not isinstance(item, float) or math.isfinite(item)


def _read_numbers(content: Any, where: str) -> np.ndarray:
    _expect(content, dict, where)
    if set(content) != {"dtype", "shape", "values"}:
        raise ModelFileError(f"{where} is no array: it has {sorted(content)}.")
    try:
        dtype = np.dtype(_expect(content["dtype"], str, where))
    except TypeError as error:
        raise ModelFileError(f"{where} has the unknown dtype {shown(content['dtype'])}.") from error
    shape, values = content["shape"], _expect(content["values"], list, where)
    is_shape = isinstance(shape, list) and all(type(n) is int and n >= 0 for n in shape)
    is_known = dtype.kind in _KINDS and dtype.itemsize <= _LARGEST_ITEM
    if not is_known or not is_shape:
        raise ModelFileError(f"{where} has dtype {dtype.str} and shape {shown(shape)}.")
    if math.prod(shape) != len(values):
        raise ModelFileError(f"{where} has shape {shape}, but {len(values)} values.")
    return _fill(dtype, values, where).reshape(shape)


def _fill(dtype: np.dtype, values: list[Any], where: str) -> np.ndarray:
    """Return an array of values, each of which must be of its kind: nothing is rounded."""
    allowed: dict[str, tuple[type, ...]] = {"b": (bool,), "U": (str,), "f": (float, int, str)}
    kinds = allowed.get(dtype.kind, _PLAIN if dtype.kind == "O" else (int,))
    if not all(type(value) in kinds for value in values):
        raise ModelFileError(f"{where} has values that are none of dtype {dtype.str}.")
    if dtype.kind == "f":
        if any(isinstance(value, str) and value not in _NONFINITE for value in values):
            raise ModelFileError(f"{where} has text among its numbers.")
        values = [_NONFINITE[value] if isinstance(value, str) else value for value in values]
    try:
        if dtype.kind in "Mm":
            return np.array(values, dtype=np.int64).view(dtype)
        out = np.empty(len(values), dtype=dtype)
        out[:] = values
    except (ValueError, OverflowError) as error:
        raise ModelFileError(f"{where} has values beyond dtype {dtype.str}.") from error
    return out
