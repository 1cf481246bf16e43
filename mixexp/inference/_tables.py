"""Plain tables: columns by name, as text, or as a frame where pandas is installed."""

from typing import Any, NamedTuple


class Table(NamedTuple):
    """A plain table, for where pandas is not installed.

    Parameters
    ----------
    columns : dict of str to list
        Columns of equal length by name.
    """

    columns: dict[str, list[Any]]

    def __str__(self) -> str:
        return render(
            list(self.columns), [list(row) for row in zip(*self.columns.values(), strict=True)]
        )

    def to_frame(self) -> Any:
        """Return a pandas.DataFrame, or the table itself where there is no pandas."""
        try:
            import pandas as pd
        except ImportError:
            return self
        return pd.DataFrame(self.columns)


def render(header: list[str], rows: list[list[Any]]) -> str:
    """Return rows as text: words to the left, numbers to the right."""
    cells = [header, *([_cell(value) for value in row] for row in rows)]
    widths = [max(len(row[j]) for row in cells) for j in range(len(header))]
    is_number = [bool(rows) and not isinstance(rows[0][j], str) for j in range(len(header))]
    lines = [
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, is_number, strict=True)
        ).rstrip()
        for row in cells
    ]
    return "\n".join([lines[0], "-" * (sum(widths) + 2 * len(widths) - 2), *lines[1:]])


def _cell(value: Any) -> str:
    return value if isinstance(value, str) else f"{value:.4g}"
