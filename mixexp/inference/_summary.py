"""The summary of a fit in the habit of statistical packages, as text and as HTML."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np

from mixexp.inference._hypotheses import format_p
from mixexp.inference._tables import Table
from mixexp.text import hypertext, printable


class Summary(str):
    """Text that notebooks show as tables."""

    __slots__ = ("_html",)
    _html: str

    def __new__(cls, text: str, html: str) -> "Summary":
        made = super().__new__(cls, text)
        made._html = html
        return made

    def __reduce__(self) -> tuple[type["Summary"], tuple[str, str]]:
        return Summary, (str(self), self._html)

    def _repr_html_(self) -> str:
        return self._html

    def __repr__(self) -> str:
        return str(self)


class _Section(NamedTuple):
    """Coefficients of one expert, or of one edge of a gate."""

    title: str
    rows: list[list[str]]


def summarize(
    facts: Sequence[tuple[str, str]], table: Table, level: float, notes: Sequence[str]
) -> Summary:
    """Return facts, coefficients by expert and gate, and notes.

    Parameters
    ----------
    facts : sequence of (str, str)
        The first is the title.
    table : Table
        As `Inference.table` makes it.
    level : float
        Coverage of its intervals.
    notes : sequence of str
    """
    tail = 0.5 * (1.0 - level)
    header = ["estimate", "std error", "z", "P>|z|", f"[{tail:.4g}", f"{1.0 - tail:.4g}]"]
    sections = list(_sections(table))
    return Summary(
        _as_text(facts, header, sections, notes), _as_html(facts, header, sections, notes)
    )


def _sections(table: Table) -> Iterator[_Section]:
    columns = table.columns
    rows = zip(*(columns[name] for name in columns if name != "note"), strict=True)
    for (part, unit), members in groupby(rows, key=lambda row: row[:2]):
        title = unit if part == "expert" else f"gate {unit}"
        yield _Section(printable(title), [_cells(row[2:]) for row in members])


def _cells(row: Sequence[Any]) -> list[str]:
    term, estimate, deviation, z, p_value, lower, upper = row
    # Without a test there is nothing to show; without a standard error that is to be seen.
    tests = ["", ""] if np.isnan(z) else [f"{z:.3f}", format_p(p_value)]
    return [
        printable(term),
        f"{estimate:.5g}",
        f"{deviation:.4g}",
        *tests,
        f"{lower:.5g}",
        f"{upper:.5g}",
    ]


def _as_text(
    facts: Sequence[tuple[str, str]],
    header: Sequence[str],
    sections: Sequence[_Section],
    notes: Sequence[str],
) -> str:
    names = [row[0] for section in sections for row in section.rows]
    first = max(len(name) for name in [*names, *(section.title for section in sections)])
    others = [section.rows for section in sections]
    widths = [
        max(len(title), *(len(row[j]) for rows in others for row in rows))
        for j, title in enumerate(header, start=1)
    ]
    rule = "-" * (first + sum(widths) + 2 * len(widths))
    lines = [*_facts_as_text(facts, len(rule)), rule]
    lines.append(_line("", header, first, widths))
    for section in sections:
        lines += [rule, section.title]
        lines += [_line(row[0], row[1:], first, widths) for row in section.rows]
    lines += [rule, *(f"[{number}] {note}" for number, note in enumerate(notes, start=1))]
    return "\n".join(lines)


def _line(name: str, cells: Sequence[str], first: int, widths: Sequence[int]) -> str:
    numbers = [cell.rjust(width) for cell, width in zip(cells, widths, strict=True)]
    return "  ".join([name.ljust(first), *numbers]).rstrip()


def _facts_as_text(facts: Sequence[tuple[str, str]], width: int) -> list[str]:
    """Return facts in two columns below a title."""
    (_, title), *rest = facts
    label = max(len(name) for name, _ in rest)
    cells = [f"{name.ljust(label)}  {value}" for name, value in rest]
    half = (len(cells) + 1) // 2
    left, right = cells[:half], [*cells[half:], ""]
    column = max(len(cell) for cell in left) + 3
    pairs = [f"{a.ljust(column)}{b}".rstrip() for a, b in zip(left, right, strict=False)]
    return [title.center(width).rstrip(), "=" * width, *pairs]


def _as_html(
    facts: Sequence[tuple[str, str]],
    header: Sequence[str],
    sections: Sequence[_Section],
    notes: Sequence[str],
) -> str:
    (_, title), *rest = facts
    known = "".join(f"<tr><th>{hypertext(a)}</th><td>{hypertext(b)}</td></tr>" for a, b in rest)
    head = "".join(f"<th>{hypertext(name)}</th>" for name in ("", *header))
    body = "".join(_section_as_html(section, len(header)) for section in sections)
    said = "".join(f"<li>{hypertext(note)}</li>" for note in notes)
    return (
        f"<table><caption>{hypertext(title)}</caption>{known}</table>"
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table><ol>{said}</ol>"
    )


def _section_as_html(section: _Section, n_numbers: int) -> str:
    title = f'<tr><th colspan="{n_numbers + 1}">{hypertext(section.title)}</th></tr>'
    rows = (
        f"<tr><th>{hypertext(row[0])}</th>"
        + "".join(f"<td>{hypertext(cell)}</td>" for cell in row[1:])
        + "</tr>"
        for row in section.rows
    )
    return title + "".join(rows)
