"""The summary of a fit, with or without standard errors, as text and as HTML."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np

from mixexp.inference._hypotheses import format_p
from mixexp.inference._tables import Table, number_terms
from mixexp.text import hypertext, printable

# Facts longer than this have a line of their own below the header's two columns.
_WIDE = 64
# So many have no need of two columns.
_FEW = 8


class Summary(str):
    """Text that notebooks show as tables.

    Parameters
    ----------
    text : str
    html : str
        What notebooks show.
    """

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


class Section(NamedTuple):
    """Rows of a summary under one title: a name and a cell per column.

    Parameters
    ----------
    title : str
    columns : list of str
    rows : list of list of str
        A name, and a cell per column.
    """

    title: str
    columns: list[str]
    rows: list[list[str]]


def summarize(
    header: Sequence[tuple[str, str]],
    table: Table,
    notes: Sequence[str],
    level: float = 0.95,
    most: tuple[int, int] | None = None,
    lead: Sequence[Section] = (),
) -> Summary:
    """Return lead, header, coefficients and notes as text and as HTML.

    Parameters
    ----------
    header : sequence of (str, str)
        The first is the title.
    table : Table
        Of coefficients. With a column "std_error" every expert and edge of a gate is a block
        with a row per term; without it all experts are one, with a column each, and so are gates.
    notes : sequence of str
    level : float, default=0.95
        Coverage of the intervals, if there are any.
    most : (int, int), default=None
        Most rows and columns of a block; a note tells what is left out. None for all.
    lead : sequence of Section, default=()
        What stands above the header.

    Returns
    -------
    Summary
    """
    blocks = list(_with_errors(table, level) if "std_error" in table.columns else _wide(table))
    notes, lead = list(notes), list(lead)
    if most is not None:
        notes += [note for block in [*lead, *blocks] for note in _left_out(block, *most)]
        lead, blocks = ([_cut(block, *most) for block in part] for part in (lead, blocks))
    return Summary(_as_text(header, lead, blocks, notes), _as_html(header, lead, blocks, notes))


def _with_errors(table: Table, level: float) -> Iterator[Section]:
    tail = 0.5 * (1.0 - level)
    header = ["estimate", "std error", "z", "P>|z|", f"[{tail:.4g}", f"{1.0 - tail:.4g}]"]
    columns = table.columns
    rows = zip(*(columns[name] for name in columns if name != "note"), strict=True)
    for (part, unit), members in groupby(rows, key=lambda row: row[:2]):
        title = unit if part == "expert" else f"gate {unit}"
        yield Section(printable(title), header, [_cells(row[2:]) for row in members])


def _cells(row: Sequence[Any]) -> list[str]:
    term, estimate, deviation, z, p_value, lower, upper = row
    # Without a test there is nothing to show; without a standard error that is to be seen.
    tests = ["", ""] if np.isnan(z) else [f"{z:.3f}", format_p(p_value)]
    numbers = [f"{estimate:.5g}", f"{deviation:.4g}", *tests, f"{lower:.5g}", f"{upper:.5g}"]
    return [printable(term), *numbers]


def _wide(table: Table) -> Iterator[Section]:
    columns = table.columns
    named = [columns[name] for name in ("part", "unit", "term", "estimate")]
    for part, title in (("expert", "Experts"), ("gate", "Gates")):
        cells: dict[str, dict[tuple[str, int], str]] = {}
        for kind, unit, term, estimate, number in zip(*named, number_terms(columns), strict=True):
            if kind == part:
                cells.setdefault(unit, {})[term, number] = f"{estimate:.4g}"
        keys = list(dict.fromkeys(key for values in cells.values() for key in values))
        rows = [
            [printable(key[0]), *(values.get(key, "") for values in cells.values())] for key in keys
        ]
        if rows:
            yield Section(title, [printable(unit) for unit in cells], rows)


def _cut(block: Section, n_rows: int, n_columns: int) -> Section:
    rows = [row[: n_columns + 1] for row in block.rows[:n_rows]]
    return Section(block.title, block.columns[:n_columns], rows)


def _left_out(block: Section, n_rows: int, n_columns: int) -> list[str]:
    counts = {"terms": len(block.rows) - n_rows, "columns": len(block.columns) - n_columns}
    more = " and ".join(f"{count} more {name}" for name, count in counts.items() if count > 0)
    return [f"{block.title}: {more}, see coef_table()."] if more else []


def _as_text(
    header: Sequence[tuple[str, str]],
    lead: Sequence[Section],
    blocks: Sequence[Section],
    notes: Sequence[str],
) -> str:
    above, body = _lines(lead), _lines(blocks)
    (_, title), *rest = header
    pairs = _align_header(rest)
    width = max(len(line) for line in [title, *pairs, *above, *body] if line is not None)
    wide = [f"{name}: {text}" for name, text in rest if len(text) > _WIDE]
    lines: list[str | None] = [title.center(width).rstrip(), "=" * width, *above[1:]]
    lines += [*([None] if above else []), *pairs, *wide, *body, None]
    drawn = ["-" * width if line is None else line for line in lines]
    return "\n".join([*drawn, *(f"[{i}] {note}" for i, note in enumerate(notes, start=1))])


def _lines(blocks: Sequence[Section]) -> list[str | None]:
    """Return the lines of some sections, each after a rule, None."""
    named = [name for block in blocks for name in (block.title, *(row[0] for row in block.rows))]
    first, body = max(map(len, named), default=0), list[str | None]()
    for columns, members in groupby(blocks, key=lambda block: block.columns):
        group = list(members)
        rows = [row[1:] for block in group for row in block.rows]
        widths = [max(map(len, cells)) for cells in zip(columns, *rows, strict=True)]
        alone = len(group) == 1
        body += [None, _line(group[0].title if alone else "", columns, first, widths)]
        for block in group:
            body += [None] if alone else [None, block.title]
            body += [_line(row[0], row[1:], first, widths) for row in block.rows]
    return body


def _line(name: str, cells: Sequence[str], first: int, widths: Sequence[int]) -> str:
    numbers = [cell.rjust(width) for cell, width in zip(cells, widths, strict=True)]
    return "  ".join([name.ljust(first), *numbers]).rstrip()


def _align_header(header: Sequence[tuple[str, str]]) -> list[str]:
    short = [(name, text) for name, text in header if len(text) <= _WIDE]
    label = max(len(name) for name, _ in short)
    cells = [f"{name.ljust(label)}  {text}" for name, text in short]
    if len(cells) <= _FEW:
        return cells
    half = (len(cells) + 1) // 2
    left, right = cells[:half], [*cells[half:], ""]
    column = max(map(len, left)) + 3
    return [f"{a.ljust(column)}{b}".rstrip() for a, b in zip(left, right, strict=False)]


def _as_html(
    header: Sequence[tuple[str, str]],
    lead: Sequence[Section],
    blocks: Sequence[Section],
    notes: Sequence[str],
) -> str:
    (_, title), *rest = header
    known = "".join(_html_row(name, [text]) for name, text in rest)
    above = "".join(f"<table><tbody>{_html_rows([block])}</tbody></table>" for block in lead)
    facts = f"<table><caption>{hypertext(title)}</caption><tbody>{known}</tbody></table>"
    said = "".join(f"<li>{hypertext(note)}</li>" for note in notes)
    return f"{above}{facts}<table><tbody>{_html_rows(blocks)}</tbody></table><ol>{said}</ol>"


def _html_rows(blocks: Sequence[Section]) -> str:
    body = ""
    for columns, members in groupby(blocks, key=lambda block: block.columns):
        head = "".join(f'<th scope="col">{hypertext(name)}</th>' for name in columns)
        body += f"<tr><th></th>{head}</tr>"
        for block in members:
            body += f'<tr><th colspan="{len(columns) + 1}">{hypertext(block.title)}</th></tr>'
            body += "".join(_html_row(row[0], row[1:]) for row in block.rows)
    return body


def _html_row(name: str, cells: Sequence[str]) -> str:
    found = "".join(f"<td>{hypertext(cell)}</td>" for cell in cells)
    return f'<tr><th scope="row">{hypertext(name)}</th>{found}</tr>'
