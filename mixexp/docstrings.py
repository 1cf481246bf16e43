"""Sections that the docstrings of a class's methods have in common, from one table.

Where twenty methods take the same arguments, what these are is said once, and filled in for the
readers of ``help`` and of the API reference.
"""

from collections.abc import Callable, Mapping
from inspect import cleandoc, isfunction, signature
from typing import TypeVar

Class = TypeVar("Class", bound=type)

_LATER = ("Returns", "Raises", "Warns", "Notes", "References", "Examples")


def fill_sections(
    parameters: Mapping[str, str], returns: Mapping[str, str]
) -> Callable[[Class], Class]:
    """Return a decorator that adds Parameters and Returns to public methods without them.

    Parameters
    ----------
    parameters : mapping of str to str
        Name of an argument to its type and, on further lines, its description.
    returns : mapping of str to str
        The same of what is returned, by name of the method; by "" for methods not named.

    Returns
    -------
    callable
        Of a class; methods without a docstring are left alone, for they inherit one.
    """

    def decorate(cls: Class) -> Class:
        for name, method in vars(cls).items():
            if name.startswith("_") or not isfunction(method) or not method.__doc__:
                continue
            doc = cleandoc(method.__doc__)
            known = [key for key in signature(method).parameters if key in parameters]
            entries = [_entry(f"{key} : {parameters[key]}") for key in known]
            if entries:
                doc = _insert(doc, "Parameters", "\n".join(entries))
            result = returns.get(name, returns.get("", ""))
            if result:
                doc = _insert(doc, "Returns", _entry(result))
            method.__doc__ = doc
        return cls

    return decorate


def _entry(text: str) -> str:
    head, *rest = text.splitlines()
    return "\n".join([head, *(f"    {line}" for line in rest)])


def _insert(doc: str, title: str, body: str) -> str:
    """Return a docstring with one more section, unless there is one, at numpydoc's place."""
    if f"\n{title}\n---" in doc:
        return doc
    section = f"{title}\n{'-' * len(title)}\n{body}"
    later = _LATER if title == "Parameters" else _LATER[1:]
    places = [doc.find(f"\n\n{other}\n---") for other in later]
    at = min((place for place in places if place >= 0), default=len(doc))
    return f"{doc[:at]}\n\n{section}{doc[at:]}"
