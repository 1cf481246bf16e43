"""Tables of coefficients for papers and pages: LaTeX, Markdown and HTML."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mixexp.arguments import is_word
from mixexp.inference._hypotheses import format_p
from mixexp.inference._tables import Table
from mixexp.text import hypertext, printable, shown

#: What tables of coefficients may be asked for as, beside a frame.
FORMATS = ("latex", "markdown", "html")
_HEADS = {
    "part": "Part",
    "unit": "Unit",
    "term": "Term",
    "estimate": "Estimate",
    "std_error": "Std. error",
    "z": "z",
    "p_value": "p",
    "lower": "Lower",
    "upper": "Upper",
    "note": "Note",
}
_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
}
_MARKED = "\\`*_{}[]<>#|~$"


def format_table(table: Table, kind: Any) -> Any:
    """Return a table of coefficients as a frame, or as text in a format.

    Parameters
    ----------
    table : Table
    kind : {"latex", "markdown", "html"} or None
        None for a frame.

    Returns
    -------
    pandas.DataFrame, Table or str

    Raises
    ------
    ValueError
        If there is no such format.
    """
    if kind is None:
        return table.to_frame()
    if not is_word(kind, FORMATS):
        raise ValueError(f"format must be None or one of {list(FORMATS)}. Got {shown(kind)}.")
    columns = table.columns
    names = [name for name in columns if name != "note" or any(columns["note"])]
    is_number = [name not in ("part", "unit", "term", "note") for name in names]
    rows = [
        [_cell(name, value) for name, value in zip(names, row, strict=True)]
        for row in zip(*(columns[name] for name in names), strict=True)
    ]
    write: Callable[..., str] = {"latex": _latex, "markdown": _markdown, "html": _html}[kind]
    return write([_HEADS.get(name, name) for name in names], rows, is_number)


def _cell(name: str, value: Any) -> str:
    if isinstance(value, str):
        return printable(value)
    if np.isnan(value):
        return ""
    return format_p(value) if name == "p_value" else f"{value:.4g}"


def _latex(heads: Sequence[str], rows: Sequence[Sequence[str]], is_number: Sequence[bool]) -> str:
    """Return a tabular of the package booktabs."""
    escaped = [[_escape_latex(cell) for cell in row] for row in (heads, *rows)]
    lines = [" & ".join(row) + r" \\" for row in escaped]
    layout = "".join("r" if right else "l" for right in is_number)
    body = "\n".join([r"\toprule", lines[0], r"\midrule", *lines[1:], r"\bottomrule"])
    return f"\\begin{{tabular}}{{{layout}}}\n{body}\n\\end{{tabular}}\n"


def _escape_latex(text: str) -> str:
    escaped = "".join(_LATEX.get(sign, sign) for sign in text)
    return (
        escaped.replace("<", r"\textless{}").replace("->", r"$\to$").replace(">", r"\textgreater{}")
    )


def _markdown(
    heads: Sequence[str], rows: Sequence[Sequence[str]], is_number: Sequence[bool]
) -> str:
    """Return a table of GitHub's Markdown."""
    lines = [[_escape_markdown(cell) for cell in row] for row in (heads, *rows)]
    rule = ["---:" if right else ":---" for right in is_number]
    return "".join(f"| {' | '.join(row)} |\n" for row in (lines[0], rule, *lines[1:]))


def _escape_markdown(text: str) -> str:
    return "".join(f"\\{sign}" if sign in _MARKED else sign for sign in text)


def _html(heads: Sequence[str], rows: Sequence[Sequence[str]], is_number: Sequence[bool]) -> str:
    def line(tag: str, cells: Sequence[str]) -> str:
        styles = ['style="text-align:right"' if right else "" for right in is_number]
        joined = "".join(
            f"<{tag}{' ' + style if style else ''}>{hypertext(cell)}</{tag}>"
            for cell, style in zip(cells, styles, strict=True)
        )
        return f"<tr>{joined}</tr>"

    body = "\n".join(line("td", row) for row in rows)
    return f"<table>\n<thead>\n{line('th', heads)}\n</thead>\n<tbody>\n{body}\n</tbody>\n</table>\n"
