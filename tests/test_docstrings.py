"""Docstrings of all that is public: numpydoc's rules, shapes of arrays, and what is raised."""

import ast
import importlib
import inspect
import re
import textwrap
from functools import cache

import pytest
from numpydoc.docscrape import NumpyDocString
from numpydoc.validate import validate

from mixexp import HMEClassifier, HMERegressor, MoEClassifier, MoERegressor
from mixexp.experts import FAMILIES

MODULES = [
    "mixexp",
    "mixexp.constraints",
    "mixexp.datasets",
    "mixexp.displays",
    "mixexp.distribution",
    "mixexp.exceptions",
    "mixexp.experts",
    "mixexp.inference",
    "mixexp.metrics",
    "mixexp.selection",
]
ESTIMATORS = [MoERegressor, HMERegressor, MoEClassifier, HMEClassifier]

# No docstring; a parameter that is not described, or that is not there; order; no type; no
# description of what is returned.
CODES = {"GL08", "PR01", "PR02", "PR03", "PR04", "RT01", "YD01"}


def is_ours(member):
    return (getattr(member, "__module__", None) or "").startswith("mixexp")


def defining_class(cls, name):
    return next(c for c in cls.__mro__ if name in vars(c))


def is_override(owner, name):
    """Return whether a base says already what a member does."""
    return any(getattr(vars(base).get(name), "__doc__", None) for base in owner.__mro__[1:])


def members(cls):
    """Yield the functions and properties of a class that the package defines."""
    for name in dir(cls):
        if name.startswith("_"):
            continue
        owner = defining_class(cls, name)
        member = inspect.getattr_static(cls, name)
        member = getattr(member, "__func__", member)
        function = member.fget if isinstance(member, property) else member
        if inspect.isfunction(function) and is_ours(function):
            yield name, owner, function, isinstance(member, property)


@cache
def public():
    """Return all public names with their objects, each object once."""
    found = {}
    for module in map(importlib.import_module, MODULES):
        names = [name for name in dir(module) if not name.startswith("_")]
        for name in getattr(module, "__all__", names):
            value = getattr(module, name)
            if is_ours(value) and (inspect.isclass(value) or inspect.isfunction(value)):
                found.setdefault(id(value), (f"{module.__name__}.{name}", value))
    return list(found.values())


def everything():
    """Return what is to be checked: names, where they are defined, and the rules for them."""
    found = {}
    for path, value in public():
        found.setdefault(id(value), (path, value, CODES if value.__doc__ else {"GL08"}))
        if not inspect.isclass(value):
            continue
        for name, owner, function, is_property in members(value):
            if is_override(owner, name):
                continue
            is_protocol = getattr(owner, "_is_protocol", False)
            codes = {"GL08"} if is_property or is_protocol else CODES
            found.setdefault(id(function), (f"{path}.{name}", function, codes))
    return [pytest.param(*entry, id=entry[0]) for entry in found.values()]


@pytest.mark.parametrize(("path", "value", "codes"), everything())
def test_docstrings_follow_numpydoc(path, value, codes):
    errors = validate(path)["errors"]
    assert [text for code, text in errors if code in codes] == []


def described(value):
    """Return the entries of a docstring's parameters and results."""
    doc = NumpyDocString(inspect.getdoc(value) or "")
    return [*doc["Parameters"], *doc["Returns"]]


@pytest.mark.parametrize(("path", "value", "codes"), everything())
def test_arrays_have_a_shape(path, value, codes):
    for entry in described(value):
        kinds = entry.type or entry.name
        if re.search(r"\b(array-like|ndarray)\b", kinds):
            text = kinds + " ".join(entry.desc)
            assert "shape" in text or "scalar" in text, f"{path}: {entry.name} : {entry.type}"


def raised(function):
    """Return the names of the exceptions that a function raises in its own body."""
    if function.__code__.co_filename.startswith("<"):  # made by dataclass
        return set()
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    calls = (node.exc for node in ast.walk(tree) if isinstance(node, ast.Raise))
    return {ast.unparse(getattr(call, "func", call)) for call in calls if call is not None}


@pytest.mark.parametrize(("path", "value", "codes"), everything())
def test_what_is_raised_is_documented(path, value, codes):
    function = value.__init__ if inspect.isclass(value) else value
    if not inspect.isfunction(function) or codes == {"GL08"}:
        return
    doc = inspect.getdoc(value) or ""
    section = doc.split("Raises\n------", 1)[-1] if "Raises\n------" in doc else ""
    missing = {name for name in raised(function) - {"NotImplementedError"} if name not in section}
    assert not missing


def methods_of_estimators():
    found = {}
    for cls in ESTIMATORS:
        for name, _, function, is_property in members(cls):
            if not is_property and not name.startswith("set_"):
                found.setdefault(id(function), (f"{cls.__name__}.{name}", name, function))
    return [pytest.param(*entry[1:], id=entry[0]) for entry in found.values()]


@pytest.mark.parametrize(("name", "method"), methods_of_estimators())
def test_methods_of_estimators_say_what_they_raise(name, method):
    doc = NumpyDocString(inspect.getdoc(method))
    kinds = ", ".join(entry.type or entry.name for entry in doc["Raises"])
    assert "ValueError" in kinds or name == "fit"
    assert ("NotFittedError" in kinds) == (name not in ("fit", "partial_fit"))


@pytest.mark.parametrize("cls", ESTIMATORS, ids=lambda cls: cls.__name__)
def test_estimators_name_the_families_that_they_take(cls):
    entry = next(e for e in NumpyDocString(cls.__doc__)["Parameters"] if e.name == "expert")
    text = " ".join([entry.type, *entry.desc])
    is_for_classes = "Classifier" in cls.__name__
    for name, family in FAMILIES.items():
        assert (f'"{name}"' in text) == ((family.target != "regression") == is_for_classes), name
    assert not re.search(r"<[A-Z_]+>", cls.__doc__)
