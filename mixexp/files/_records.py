"""How objects are taken apart for a file, and made again: by their fields, or by their options."""

import types
from collections.abc import Sequence
from dataclasses import fields as dataclass_fields
from dataclasses import is_dataclass
from typing import Any, Union, get_args, get_origin, get_type_hints

import numpy as np

from mixexp.exceptions import ModelFileError
from mixexp.files._codec import Record
from mixexp.model import Parameters, object_array
from mixexp.text import shown

_BIT_GENERATORS = ("MT19937", "PCG64", "PCG64DXSM", "Philox", "SFC64")


def by_fields(cls: Any, optional: Sequence[str] = ()) -> Record:
    """Return the record of a named tuple or a dataclass.

    Reading asks for all fields and no others, each of its type.

    Parameters
    ----------
    cls : type
    optional : sequence of str, default=()
        Fields that files may lack, whose defaults then say that nothing is known, or was done.

    Returns
    -------
    Record
    """
    is_plain = is_dataclass(cls)
    names = [field.name for field in dataclass_fields(cls)] if is_plain else list(cls._fields)
    hints = get_type_hints(cls)

    def write(value: Any) -> dict[str, Any]:
        return {name: getattr(value, name) for name in names}

    def read(fields: dict[str, Any]) -> Any:
        left_out = [name for name in optional if name not in fields]
        _expect_names(fields, [name for name in names if name not in left_out])
        for name, value in fields.items():
            if not conforms(value, hints.get(name, Any)):
                raise ModelFileError(f"{cls.__name__}.{name} is {shown(value)}: of another type.")
        return cls(**fields)

    return Record(cls, write, read)


def by_options(cls: Any, check: str = "") -> Record:
    """Return the record of an object that is made of its constructor's options.

    Parameters
    ----------
    cls : type
        With scikit-learn's ``get_params``.
    check : str, default=""
        Name of a method that refuses options with ValueError.
    """
    names = cls._get_param_names()

    def write(value: Any) -> dict[str, Any]:
        return dict(value.get_params(deep=False))

    def read(fields: dict[str, Any]) -> Any:
        _expect_names(fields, names)
        made = cls(**fields)
        if check:
            getattr(made, check)()
        return made

    return Record(cls, write, read)


def of_parameters() -> Record:
    """Return the record of parameters; those of submodels as the objects that they are."""
    plain = by_fields(Parameters)

    def write(params: Any) -> dict[str, Any]:
        others = tuple(own.item() for own in params.others)
        return plain.write(params._replace(others=others))

    def read(fields: dict[str, Any]) -> Any:
        others = fields.get("others")
        if not isinstance(others, tuple):
            raise ModelFileError(f"Parameters.others is {shown(others)}: of another type.")
        return plain.read({**fields, "others": tuple(object_array([own], ()) for own in others)})

    return Record(Parameters, write, read)


def random_generators() -> dict[str, Record]:
    """Return the records of NumPy's generators: their name and state."""

    def read_legacy(fields: dict[str, Any]) -> np.random.RandomState:
        made = np.random.RandomState()
        made.set_state(_state_of(fields))
        return made

    def read_generator(fields: dict[str, Any]) -> np.random.Generator:
        state = _state_of(fields)
        made = getattr(np.random, state["bit_generator"])()
        made.state = state
        return np.random.Generator(made)

    return {
        "RandomState": Record(
            np.random.RandomState,
            lambda value: {"state": value.get_state(legacy=False)},
            read_legacy,
        ),
        "Generator": Record(
            np.random.Generator, lambda value: {"state": value.bit_generator.state}, read_generator
        ),
    }


def _state_of(fields: dict[str, Any]) -> dict[str, Any]:
    _expect_names(fields, ["state"])
    state = fields["state"]
    if not isinstance(state, dict) or state.get("bit_generator") not in _BIT_GENERATORS:
        raise ModelFileError(f"there is no generator of random numbers {shown(state)}.")
    return state


def _expect_names(fields: dict[str, Any], names: Sequence[str]) -> None:
    if set(fields) != set(names):
        missing, unknown = sorted(set(names) - set(fields)), sorted(set(fields) - set(names))
        raise ModelFileError(f"fields are missing: {missing}, or unknown: {unknown}")


def conforms(value: Any, hint: Any) -> bool:
    """Return whether a value is of an annotated type, members of collections included."""
    origin, inner = get_origin(hint), get_args(hint)
    if hint is Any:
        return True
    if origin in (Union, types.UnionType):
        return any(conforms(value, one) for one in inner)
    if origin is tuple:
        if not isinstance(value, tuple):
            return False
        if len(inner) == 2 and inner[1] is Ellipsis:
            return all(conforms(item, inner[0]) for item in value)
        return len(value) == len(inner) and all(map(conforms, value, inner))
    if origin in (list, frozenset):
        return isinstance(value, origin) and all(conforms(item, inner[0]) for item in value)
    if origin is dict:
        pairs = value.items() if isinstance(value, dict) else [(None, None)]
        return isinstance(value, dict) and all(
            conforms(key, inner[0]) and conforms(item, inner[1]) for key, item in pairs
        )
    if hint is float:
        return isinstance(value, float | int | np.floating | np.integer) and not isinstance(
            value, bool
        )
    if hint is int:
        return isinstance(value, int | np.integer) and not isinstance(value, bool)
    if hint is bool:
        return isinstance(value, bool | np.bool_)
    return isinstance(value, hint if isinstance(hint, type) else object)
