"""Formulas as MathML, written when the site is built: browsers draw it without any script.

A Sphinx extension. ``html_math_renderer = "mathml"`` is set here; a formula that cannot be
translated is a warning that names its page and line.
"""

from html import escape
from typing import Any

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.util import logging

_LOG = logging.getLogger(__name__)
# What latex2mathml has no word for, in words that it has.
_REWRITTEN = {r"\Big\{": r"\left\{", r"\Big\}": r"\right\}"}


def translate(latex: str, display: str, node: nodes.Element) -> str:
    """Return a formula as a MathML element; as code, with a warning, where that fails."""
    for old, new in _REWRITTEN.items():
        latex = latex.replace(old, new)
    try:
        found: str = convert(latex.strip(), display=display)
    except (ValueError, KeyError, IndexError, StopIteration, SyntaxError) as error:
        _LOG.warning("no MathML for %r: %r", latex, error, location=node)
        return f"<code>{escape(latex)}</code>"
    if "\\" in found:
        _LOG.warning("a command is left in the MathML of %r", latex, location=node)
    return found


def visit_inline(translator: Any, node: nodes.Element) -> None:
    """Write a formula within a line."""
    translator.body.append(translate(node.astext(), "inline", node))
    raise nodes.SkipNode


def visit_block(translator: Any, node: nodes.Element) -> None:
    """Write a formula on lines of its own."""
    formula = translate(node.astext(), "block", node)
    translator.body.append(f'<div class="formula">{formula}</div>\n')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the renderer."""
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_block, None))
    app.config.html_math_renderer = "mathml"  # type: ignore[attr-defined]
    return {"parallel_read_safe": True, "parallel_write_safe": True}
