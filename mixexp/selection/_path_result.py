"""What a path of L1 penalties found: the fit at every strength, and a choice."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from mixexp.inference import Table
from mixexp.selection._result import best_sound


@dataclass(frozen=True, eq=False)
class RegularizationPath:
    """Fits with different L1 penalties, and the one that is chosen.

    Returned by `regularization_path`.

    Parameters
    ----------
    strengths : ndarray of shape (n_strengths,)
        Values of ``l1``, the largest first.
    gate_ratio : float
        ``gate_l1`` over ``l1``.
    criterion : str
        Column of the table to choose by.
    greater_is_better : bool
        Whether the highest value is the best, as for scores, or the lowest.
    columns : dict of str to list
        The table, a value per strength: the criteria, and how the fits went.
    estimators : list of estimator
        The fit of every strength to all rows.
    """

    strengths: np.ndarray
    gate_ratio: float
    criterion: str
    greater_is_better: bool
    columns: dict[str, list[Any]]
    estimators: list[Any]

    @property
    def values(self) -> np.ndarray:
        """Criterion of every strength, shape (n_strengths,)."""
        return np.array(self.columns[self.criterion], dtype=float)

    @property
    def best_index_(self) -> int:
        """Place of the best strength; of equals the strongest. See `Selection` on spikes."""
        return best_sound(self.values, self.greater_is_better, self.columns["has_spike"])

    @property
    def one_se_index_(self) -> int:
        """Place of the strongest whose score is within a standard error of the best.

        The best itself, where the criterion is no score with standard errors.
        """
        errors = self.columns.get("score_se")
        if errors is None or not np.isfinite(errors[self.best_index_]):
            return self.best_index_
        least = self.values[self.best_index_] - errors[self.best_index_]
        return int(np.flatnonzero(self.values >= least)[0])

    @property
    def best_estimator_(self) -> Any:
        """The fit of the best strength to all rows."""
        return self.estimators[self.best_index_]

    @property
    def one_se_estimator_(self) -> Any:
        """The fit of the strength by the rule of one standard error."""
        return self.estimators[self.one_se_index_]

    @property
    def best_strength_(self) -> float:
        """``l1`` of the best."""
        return float(self.strengths[self.best_index_])

    @property
    def coefs(self) -> np.ndarray:
        """Slopes of the experts, shape (n_strengths, n_experts, n_expert_features).

        Experts are in the order of the best fit, and followed from strength to strength by the
        nearest coefficients. For classes (n_strengths, n_experts, n_classes, n_features).
        """
        return self._followed()[0]

    @property
    def gate_coefs(self) -> np.ndarray:
        """Slopes of the gates, (n_strengths, n_edges, n_gate_features); flat models as `coefs`."""
        return self._followed()[1]

    def _followed(self) -> tuple[np.ndarray, np.ndarray]:
        coefs = [model.coef_ for model in self.estimators]
        gates = [model.gate_coef_ for model in self.estimators]
        best = self.best_index_
        for order in (range(best + 1, len(coefs)), range(best - 1, -1, -1)):
            previous = best
            for i in order:
                moved = self._order_like(previous, i, coefs[previous])
                coefs[i] = coefs[i][moved]
                if len(gates[i]) == len(moved):
                    gates[i] = gates[i][moved]
                previous = i
        return np.stack(coefs), np.stack(gates)

    def _order_like(self, previous: int, i: int, coef: np.ndarray) -> np.ndarray:
        """Return the order of experts nearest to slopes; in a tree they have their places."""
        other = self.estimators[i].coef_
        if self.estimators[i].tree_.depth > 1:
            return np.arange(len(other))
        distance = np.abs(coef[:, None] - other[None]).reshape(len(coef), len(other), -1)
        return linear_sum_assignment(distance.sum(axis=2))[1]

    @property
    def table(self) -> Any:
        """All strengths, one per row, as pandas.DataFrame, or `Table` without pandas.

        Columns: "l1", "gate_l1"; "n_nonzero", slopes of experts that are not zero;
        "log_likelihood", "n_parameters"; the criteria; with a scorer "score" and "score_se";
        and how the fits went, as in `Selection.table`.
        """
        return self._table().to_frame()

    def _table(self) -> Table:
        nonzero = [int(np.count_nonzero(model.coef_)) for model in self.estimators]
        strengths = {"l1": self.strengths.tolist()}
        gates = {"gate_l1": (self.gate_ratio * self.strengths).tolist()}
        return Table({**strengths, **gates, "n_nonzero": nonzero, **self.columns})

    def __repr__(self) -> str:
        return (
            f"RegularizationPath({len(self.strengths)} strengths; l1={self.best_strength_:.4g} by "
            f"{self.criterion})"
        )
