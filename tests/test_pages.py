"""The manual's pages: their code runs and prints what they show, and no public name lacks a page.

The blocks of a page are one session: they run in order and share their names. At a prompt
(``{doctest}``) what is printed is compared, a bare ``python`` block has to run.
"""

import doctest
import importlib
import re

import matplotlib
import matplotlib.pyplot as plt
import pytest
from repository import needed

from mixexp.data import Batches, DaskRows, ParquetRows, write_parquet

DOCS = needed("docs")
BLOCKS = re.compile(r"^```(\{doctest\}|python)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
MODULES = [
    "mixexp",
    "mixexp.constraints",
    "mixexp.datasets",
    "mixexp.displays",
    "mixexp.distribution",
    "mixexp.ensemble",
    "mixexp.exceptions",
    "mixexp.experts",
    "mixexp.gates",
    "mixexp.inference",
    "mixexp.metrics",
    "mixexp.penalties",
    "mixexp.selection",
]
SOURCES = [
    needed("README.md"),
    *(path for path in sorted(DOCS.rglob("*.md")) if "_build" not in path.parts),
]
PAGES = [path for path in SOURCES if BLOCKS.search(path.read_text())]


def run_prompts(text, namespace, page, line):
    """Run a block of prompts and return what differs from the page."""
    test = doctest.DocTestParser().get_doctest(text, {}, page.name, str(page), line)
    assert test.examples, f"{page.name}:{line} has no prompt"
    test.globs = namespace
    printed: list[str] = []
    doctest.DocTestRunner(verbose=False).run(test, out=printed.append, clear_globs=False)
    return "".join(printed)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_code_of_a_page_runs_and_prints_what_is_shown(page, monkeypatch, tmp_path):
    matplotlib.use("Agg")
    monkeypatch.chdir(tmp_path)  # for files that an example writes
    text, namespace = page.read_text(), {"__name__": "__main__"}
    for block in BLOCKS.finditer(text):
        line = text.count("\n", 0, block.start(2))
        if block[1] == "python":
            exec(compile("\n" * line + block[2], str(page), "exec"), namespace)
        else:
            differences = run_prompts(block[2], namespace, page, line)
            assert not differences, differences
    plt.close("all")


def test_every_public_name_has_a_page():
    listed = set(re.findall(r"^   (mixexp\.\S+)$", (DOCS / "api" / "index.rst").read_text(), re.M))
    # A name that the package itself exports has its page there; of `mixexp.data` few are public.
    of_data = (Batches, DaskRows, ParquetRows, write_parquet)
    shortest = {id(source): f"mixexp.data.{source.__name__}" for source in of_data}
    for module in map(importlib.import_module, MODULES):
        for name in module.__all__:
            if not name.startswith("__"):
                shortest.setdefault(id(getattr(module, name)), f"{module.__name__}.{name}")
    assert set(shortest.values()) == listed


def test_no_code_of_a_page_is_passed_over():
    foreign = {"sh", "r", "stata", "{toctree}"}
    for page in SOURCES:
        fences = re.findall(r"^```(\S+)$", page.read_text(), re.MULTILINE)
        assert set(fences) - foreign <= {"python", "{doctest}"}, page.name
