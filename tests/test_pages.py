"""The manual's pages: their prompts print what they show, and no public name lacks a page."""

import doctest
import importlib
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parent.parent / "docs"
PROMPTS = re.compile(r"```\{doctest\}\n(.*?)```", re.DOTALL)
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
]
PAGES = [path for path in sorted(DOCS.rglob("*.md")) if PROMPTS.search(path.read_text())]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_prompts_print_what_the_page_shows(page):
    text = "\n".join(PROMPTS.findall(page.read_text()))
    test = doctest.DocTestParser().get_doctest(text, {}, page.name, str(page), 0)
    assert test.examples
    printed: list[str] = []
    failed, _ = doctest.DocTestRunner().run(test, out=printed.append)
    assert failed == 0, "".join(printed)


def test_every_public_name_has_a_page():
    listed = set(re.findall(r"^   (mixexp\.\S+)$", (DOCS / "api" / "index.rst").read_text(), re.M))
    for module in MODULES:
        names = importlib.import_module(module).__all__
        pages = {f"{module}.{name}" for name in names if not name.startswith("__")}
        assert pages <= listed
        listed -= pages
    assert not listed, "pages for names that are not public"
