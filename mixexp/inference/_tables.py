"""Plain tables: columns by name, as text, or as a frame where pandas is installed."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from mixexp.data import Scaling
from mixexp.inference._terms import Label, Names, list_coefficients
from mixexp.model import Model, Parameters
from mixexp.text import printable


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
        """Return a pandas.DataFrame, or the table itself where there is no pandas.

        Returns
        -------
        pandas.DataFrame or Table
        """
        try:
            import pandas as pd
        except ImportError:
            return self
        return pd.DataFrame(self.columns)


def number_terms(columns: Mapping[str, Sequence[Any]]) -> list[int]:
    """Return, for every row of a table of coefficients, how many of its name came before.

    Terms of a unit stand in the order intercept, features, dispersion, shapes. A name does not
    tell them apart, for a column may be called "intercept"; name and number do.
    """
    seen: Counter[tuple[Any, ...]] = Counter()
    out = []
    for key in zip(columns["part"], columns["unit"], columns["term"], strict=True):
        out.append(seen[key])
        seen[key] += 1
    return out


def coefficient_table(
    labels: Sequence[Label], estimates: np.ndarray, **others: Sequence[Any]
) -> Table:
    """Return a table of coefficients: names, estimates as users see them, and other columns."""
    return Table(
        {
            "part": [label.part for label in labels],
            "unit": [label.unit for label in labels],
            "term": [label.term for label in labels],
            "estimate": undo_logarithms(labels, estimates).tolist(),
            **{name: list(column) for name, column in others.items()},
        }
    )


def undo_logarithms(labels: Sequence[Label], values: np.ndarray) -> np.ndarray:
    """Return values, shape (..., n_terms), as tables show them: no logarithms of dispersions.

    The end of an interval of a shape that the rows do not determine may be infinite.
    """
    is_log = np.array([label.is_log for label in labels], dtype=bool)
    with np.errstate(over="ignore"):
        return np.where(is_log, np.exp(np.where(is_log, values, 0.0)), values)


def estimate_table(
    model: Model, params: Parameters, scaling: Scaling, names: Names, reference: np.ndarray
) -> Table:
    """Return all coefficients, without standard errors; see `list_terms` for the arguments.

    Parameters
    ----------
    model : Model
    params : Parameters
    scaling : Scaling
    names : Names
    reference : ndarray of shape (n_nodes,), int
        As for `list_terms`.

    Returns
    -------
    Table
    """
    labels, values = list_coefficients(model, params, scaling, names, reference)
    return coefficient_table(labels, values)


def render(header: list[str], rows: list[list[Any]]) -> str:
    """Return rows as text: words to the left, numbers to the right.

    Parameters
    ----------
    header : list of str
    rows : list of list
        Cells, as many per row as the header has.

    Returns
    -------
    str
    """
    cells = [[_cell(value) for value in row] for row in (header, *rows)]
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
    return printable(value) if isinstance(value, str) else f"{value:.4g}"
