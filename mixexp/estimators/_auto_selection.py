"""What a parameter of "auto" was chosen among: a table, and the choice in words."""

from dataclasses import dataclass
from typing import Any

from mixexp.inference import Table


@dataclass(frozen=True, eq=False)
class AutoSelection:
    """Candidates for the parameters that are "auto", and the one that was chosen.

    The attribute ``selection_`` of such a fit.

    Parameters
    ----------
    chosen : dict of str to object
        The parameters that chose themselves, and their values.
    columns : dict of str to list
        The table, a value per candidate.
    best_index_ : int
        Place of the one that was taken.
    n_folds : int
    counted : {"rows", "groups"}
        What was held out.
    reason : str
        Why no more was tried.
    """

    chosen: dict[str, Any]
    columns: dict[str, list[Any]]
    best_index_: int
    n_folds: int
    counted: str
    reason: str

    @property
    def table(self) -> Any:
        """All candidates, one per row, as pandas.DataFrame, or `Table` without pandas.

        Columns: "n_experts"; "tree", "expert" and "alpha" where they were chosen; "score", mean log
        density of the held-out rows, and "score_se", its standard error; "behind", how much less
        that is than the best one, and "behind_se", the standard error of this difference on the
        same rows, wider because folds share rows to fit to; "n_parameters"; "has_spike", whether an
        expert has shrunk onto a single value of y in a fold; "chosen".
        """
        return self._table().to_frame()

    @property
    def varying(self) -> list[str]:
        """What sets the candidates apart: names of columns."""
        known = ("n_experts", "tree", "expert", "alpha")
        names: list[str] = [name for name in known if name in self.columns]
        if "tree" in names:
            names.remove("n_experts")
        varying = [name for name in names if len(set(map(str, self.columns[name]))) > 1]
        return varying or names[:1]

    @property
    def candidates(self) -> list[str]:
        """What sets the candidates apart, in words."""
        rows = zip(*(self.columns[name] for name in self.varying), strict=True)
        return [
            ", ".join(f"{cell:g}" if isinstance(cell, float) else str(cell) for cell in row)
            for row in rows
        ]

    def in_words(self) -> str:
        """Return the choice in one sentence.

        Returns
        -------
        str
        """
        columns, best = self.columns, self.best_index_
        values = ", ".join(f"{name}={_name_of(value)}" for name, value in self.chosen.items())
        score = f"{columns['score'][best]:.4g} +- {columns['score_se'][best]:.2g}"
        return (
            f"{values}: held-out log density {score} per row in {self.n_folds} folds of "
            f"{self.counted}, of {len(columns['score'])} candidates"
        )

    def _table(self) -> Table:
        n = len(self.columns["score"])
        chosen = [place == self.best_index_ for place in range(n)]
        return Table({**self.columns, "chosen": chosen})

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.in_words()})"

    def __str__(self) -> str:
        return f"{self._table()}\n\n{self.in_words()}; {self.reason}."


def _name_of(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value).replace(" ", "")
