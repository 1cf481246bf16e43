"""What a selection found: every candidate's fit, its criteria, and the best."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from mixexp.inference import Table


def best_sound(values: np.ndarray, greater_is_better: bool, has_spike: list[bool]) -> int:
    """Return the place of the best value, of those without spikes if there are any.

    Parameters
    ----------
    values : ndarray of shape (n_candidates,)
    greater_is_better : bool
    has_spike : list of bool, n_candidates
    """
    loss = -values if greater_is_better else values
    is_sound = np.isfinite(loss) & ~np.array(has_spike, dtype=bool)
    return int(np.nanargmin(np.where(is_sound, loss, np.nan) if is_sound.any() else loss))


@dataclass(frozen=True, eq=False)
class Selection:
    """Fits with different numbers of experts, or different trees, and the one that is chosen.

    Returned by `select_n_experts`.

    Parameters
    ----------
    parameter : {"n_experts", "tree"}
        What the candidates differ in.
    candidates : list
        Its values, in the order given.
    criterion : str
        Column of the table to choose by.
    greater_is_better : bool
        Whether the highest value is the best, as for scores, or the lowest.
    columns : dict of str to list
        The table, a value per candidate: the criteria, and how the fits went.
    estimators : list of estimator
        The fit of every candidate to all rows.
    """

    parameter: str
    candidates: list[Any]
    criterion: str
    greater_is_better: bool
    columns: dict[str, list[Any]]
    estimators: list[Any]

    @property
    def values(self) -> np.ndarray:
        """Criterion of every candidate, shape (n_candidates,)."""
        return np.array(self.columns[self.criterion], dtype=float)

    @property
    def best_index_(self) -> int:
        """Place of the best candidate; of equals the first.

        Fits with an expert on a single value of y, whose density is as high as one likes, are
        passed over unless there are no others.
        """
        return best_sound(self.values, self.greater_is_better, self.columns["has_spike"])

    @property
    def best_candidate_(self) -> Any:
        """Number of experts, or tree, of the best."""
        return self.candidates[self.best_index_]

    @property
    def best_estimator_(self) -> Any:
        """The best candidate, fitted to all rows."""
        return self.estimators[self.best_index_]

    @property
    def best_value_(self) -> float:
        """Criterion of the best."""
        return float(self.values[self.best_index_])

    @property
    def table(self) -> Any:
        """All candidates, one per row, as pandas.DataFrame, or `Table` without pandas.

        Columns: "n_experts" or "tree"; "log_likelihood", "n_parameters"; the criteria "aic",
        "aicc", "bic", "sabic", "caic", "icl" and "icl_bic"; with a scorer "score", its mean
        over the folds, and "score_se", its standard error; "converged"; "n_degenerate",
        experts at their floor or without rows; "has_spike", whether this fit or that of a fold
        has an expert that has shrunk onto a single value of y; "n_found" of "n_starts" came to
        the optimum that was kept; "warnings", the names of those that the fit gave.
        """
        return self._table().to_frame()

    def _table(self) -> Table:
        shown = [c if self.parameter == "n_experts" else str(c) for c in self.candidates]
        return Table({self.parameter: shown, **self.columns})

    def __repr__(self) -> str:
        chosen = f"{self.parameter}={self.best_candidate_}"
        return f"Selection({len(self.candidates)} candidates; {chosen} by {self.criterion})"

    def __str__(self) -> str:
        chosen = f"{self.parameter}={self.best_candidate_}"
        return f"{self._table()}\n\n{chosen} has the best {self.criterion}, {self.best_value_:.6g}."
