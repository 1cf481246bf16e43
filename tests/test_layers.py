"""Who may import whom, and how long files and functions may be.

The layers are those of docs/design.md. A layer may import itself and the layers named here;
nothing else of the package.
"""

import ast
from functools import cache
from pathlib import Path

import pytest

import mixexp

PACKAGE = Path(mixexp.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
# Checks of arguments, sections of docstrings, eigenvalues and text, which any layer but the
# kernels may import.
COMMON = {"arguments", "docstrings", "symmetric", "text"}
MAX_FILE_LINES = 450
MAX_BODY_LINES = 50

_EXPERTS = {"kernels", "links", "contrast"}
_SUBMODELS = {*_EXPERTS, "experts", "submodel"}
_MODEL = {*_SUBMODELS, "submodels", "gates", "tree", "data"}
_EM = {*_MODEL, "model"}
_ESTIMATORS = {
    *_EM,
    "em",
    "files",
    "_version",
    "constraints",
    "penalties",
    "distribution",
    "inference",
    "exceptions",
    "metrics",
}
ALLOWED = {
    "kernels": set(),
    "symmetric": set(),
    "text": set(),
    "docstrings": set(),
    "arguments": set(),
    "contrast": set(),
    "constraints": set(),
    "penalties": set(),
    "exceptions": set(),
    "_version": set(),
    "tree": set(),
    "submodel": set(),
    "links": {"kernels"},
    "data": {"kernels", "exceptions"},
    "experts": _EXPERTS,
    "submodels": _SUBMODELS,
    "gates": {*_SUBMODELS, "submodels", "tree"},
    "model": _MODEL,
    "em": _EM,
    "distribution": _EM,
    "inference": {*_EM, "em", "exceptions"},
    "files": {*_EM, "exceptions"},
    "datasets": {"links", "experts", "gates", "tree"},
    "metrics": set(),
    "estimators": _ESTIMATORS,
    "selection": {*_ESTIMATORS, "estimators"},
    "ensemble": {*_ESTIMATORS, "estimators"},
    "formula": {"exceptions"},
    "displays": {*_ESTIMATORS, "estimators", "selection"},
    "__init__": {*_ESTIMATORS, "estimators", "selection", "displays", "datasets", "formula"},
}
# Where scikit-learn may be imported; below, only the base of experts for get_params.
SKLEARN = {
    "datasets",
    "displays",
    "ensemble",
    "estimators",
    "exceptions",
    "formula",
    "metrics",
    "selection",
    "submodels",
}

every_file = pytest.mark.parametrize(
    "path", FILES, ids=[str(path.relative_to(PACKAGE)) for path in FILES]
)


def layer_of(path):
    """Return the top-level name that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports_in(tree):
    """Return every module that is imported anywhere, by its absolute name."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import: write the absolute name"
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return found


@cache
def parse(path):
    return ast.parse(path.read_text(), str(path))


def top(name):
    return name.split(".")[0]


@every_file
def test_layers_import_downwards_only(path):
    layer = layer_of(path)
    assert layer in ALLOWED, f"{layer} has no layer yet: give it one here and in docs/design.md"
    inside = {name.split(".")[1] for name in imports_in(parse(path)) if top(name) == "mixexp"}
    assert inside - {layer, *COMMON} <= ALLOWED[layer]


@every_file
def test_only_kernels_import_numba(path):
    if layer_of(path) != "kernels":
        assert "numba" not in map(top, imports_in(parse(path)))


@every_file
def test_kernels_import_next_to_nothing(path):
    if layer_of(path) == "kernels" and path.name not in ("_jit.py", "__init__.py"):
        outside = [name for name in imports_in(parse(path)) if top(name) != "mixexp"]
        assert set(map(top, outside)) <= {"math", "numpy", "numba"}
        inside = [name for name in imports_in(parse(path)) if top(name) == "mixexp"]
        marks = "kernel", "fused_kernel", "part_of_kernels", "part_of_fused_kernels"
        own = {f"mixexp.kernels._jit.{mark}" for mark in marks}
        assert inside
        assert set(inside) <= own


@every_file
def test_only_displays_import_matplotlib_and_only_when_they_plot(path):
    tree = parse(path)
    if layer_of(path) != "displays":
        assert "matplotlib" not in map(top, imports_in(tree))
        return
    functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)]
    within = [name for function in functions for name in imports_in(function)]
    at_import = list(imports_in(tree))
    for name in within:
        if name in at_import:
            at_import.remove(name)
    for node in ast.walk(tree):  # imports for annotations never run
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            for name in imports_in(node):
                at_import.remove(name)
    assert "matplotlib" not in map(top, at_import)


@every_file
def test_displays_ask_estimators_for_what_is_private_in_one_file(path):
    if layer_of(path) != "displays" or path.name == "_source.py":
        return
    private = [
        node.attr
        for node in ast.walk(parse(path))
        if isinstance(node, ast.Attribute)
        and node.attr.startswith("_")
        and not node.attr.startswith("__")
        and ast.unparse(node.value) not in ("self", "cls")
    ]
    # Of named tuples.
    assert set(private) <= {"_replace"}


@every_file
def test_only_the_surface_imports_sklearn(path):
    if layer_of(path) in SKLEARN:
        return
    found = [name for name in imports_in(parse(path)) if top(name) == "sklearn"]
    if path.relative_to(PACKAGE) == Path("experts", "_base.py"):
        assert found == ["sklearn.base.BaseEstimator"]
    else:
        assert not found


@every_file
def test_files_are_short(path):
    assert len(path.read_text().splitlines()) <= MAX_FILE_LINES


@every_file
def test_function_bodies_are_short(path):
    long = {}
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) is not None else node.body
            if body:
                n_lines = body[-1].end_lineno - body[0].lineno + 1
                if n_lines > MAX_BODY_LINES:
                    long[node.name] = n_lines
    assert not long


@every_file
def test_files_say_what_lives_in_them(path):
    assert ast.get_docstring(parse(path))


def test_layers_form_no_circle():
    for layer, below in ALLOWED.items():
        for other in below:
            assert layer not in ALLOWED[other], (layer, other)
