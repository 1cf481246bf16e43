"""Information criteria, and how clearly rows belong to experts, in one pass over the rows."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from scipy.special import xlogy

from mixexp.data import Block
from mixexp.em import Problem
from mixexp.inference._tables import Table
from mixexp.model import Parameters, Posterior, posterior_of_block
from mixexp.tree import GatingTree

#: Names of the criteria to choose a model by, all lower is better.
CRITERIA = ("aic", "aicc", "bic", "sabic", "caic", "icl", "icl_bic")


class Scored(NamedTuple):
    """What criteria need of some rows.

    Parameters
    ----------
    log_density : ndarray of shape (rows,)
    resp : ndarray of shape (n_experts, rows)
        Responsibilities.
    weight : ndarray of shape (rows,)
    """

    log_density: np.ndarray
    resp: np.ndarray
    weight: np.ndarray


@dataclass(frozen=True)
class Criteria:
    """Log-likelihood of a fitted model on some rows, and the criteria made of it.

    Returned by an estimator's ``criteria(X, y)``. Below, l is the log-likelihood, d the number of
    free parameters, n the total weight, r the responsibilities and w the weights. Of information
    criteria lower is better.

    Parameters
    ----------
    log_likelihood : float
        Sum of the weighted log densities.
    n_parameters : int
        Free parameters of the model.
    n_experts : int
    n_rows : int
        Rows of positive weight; of rows that share an expert by ``groups``, the groups.
    total_weight : float
        Sum of their weights, which the criteria take for the number of rows or groups.
    entropy : float
        Of the responsibilities, ``-sum_i w_i sum_k r_ik log r_ik``, natural log: 0 if every row
        belongs to one expert for certain, ``n log n_experts`` if rows tell nothing.
    log_max_resp : float
        ``sum_i w_i log max_k r_ik``: what the log-likelihood loses if every row counts under its
        most probable expert alone.
    """

    log_likelihood: float
    n_parameters: int
    n_experts: int
    n_rows: int
    total_weight: float
    entropy: float
    log_max_resp: float

    @property
    def aic(self) -> float:
        """Akaike's criterion, ``-2 l + 2 d``. Akaike (1974)."""
        return -2.0 * self.log_likelihood + 2.0 * self.n_parameters

    @property
    def aicc(self) -> float:
        """AIC corrected for small samples, ``aic + 2 d (d + 1) / (n - d - 1)``.

        Infinite where n is at most d + 1. Hurvich & Tsai (1989).
        """
        d, n = self.n_parameters, self.total_weight
        if n <= d + 1.0:
            return math.inf
        return self.aic + 2.0 * d * (d + 1.0) / (n - d - 1.0)

    @property
    def bic(self) -> float:
        """Schwarz's criterion, ``-2 l + d log n``. Schwarz (1978)."""
        return self._penalized_by(math.log(self.total_weight))

    @property
    def sabic(self) -> float:
        """Sample-size adjusted BIC: ``log((n + 2) / 24)`` for ``log n``. Sclove (1987)."""
        return self._penalized_by(math.log((self.total_weight + 2.0) / 24.0))

    @property
    def caic(self) -> float:
        """Consistent AIC: ``log n + 1`` for ``log n`` of BIC. Bozdogan (1987)."""
        return self._penalized_by(math.log(self.total_weight) + 1.0)

    @property
    def icl(self) -> float:
        """Integrated completed likelihood, ``bic - 2 log_max_resp``.

        BIC of the log-likelihood that counts each row under its most probable expert alone.
        Biernacki, Celeux & Govaert (2000), eq. 8. `icl_bic` is the other usual definition.
        """
        return self.bic - 2.0 * self.log_max_resp

    @property
    def icl_bic(self) -> float:
        """Completed likelihood by entropy, ``bic + 2 entropy``; at least `icl`.

        McLachlan & Peel (2000), Finite Mixture Models, section 6.10.
        """
        return self.bic + 2.0 * self.entropy

    @property
    def relative_entropy(self) -> float:
        """``1 - entropy / (n log n_experts)``: 1 if rows are told apart for certain, 0 if not.

        1 for one expert. Ramaswamy, DeSarbo, Reibstein & Robinson (1993), Marketing Science 12.
        """
        if self.n_experts == 1:
            return 1.0
        return 1.0 - self.entropy / (self.total_weight * math.log(self.n_experts))

    def _penalized_by(self, per_parameter: float) -> float:
        return -2.0 * self.log_likelihood + self.n_parameters * per_parameter

    def as_dict(self) -> dict[str, Any]:
        """Return all figures by name: what was summed, then the criteria.

        Returns
        -------
        dict of str to number
        """
        names = [*(field.name for field in fields(self)), *CRITERIA, "relative_entropy"]
        return {name: getattr(self, name) for name in names}

    def to_frame(self) -> Any:
        """Return a pandas.DataFrame of one row, or a `Table` where there is no pandas.

        Returns
        -------
        pandas.DataFrame or Table
        """
        return Table({name: [value] for name, value in self.as_dict().items()}).to_frame()

    def __str__(self) -> str:
        figures = {
            name: str(value) if isinstance(value, int) else f"{value:.4f}"
            for name, value in self.as_dict().items()
        }
        name_width, width = max(map(len, figures)), max(map(len, figures.values()))
        return "\n".join(
            f"{name.ljust(name_width)}  {figure.rjust(width)}" for name, figure in figures.items()
        )


def compute_criteria(blocks: Iterable[Scored], n_parameters: int) -> Criteria:
    """Sum over blocks of rows; rows of weight zero count for nothing.

    Parameters
    ----------
    blocks : iterable of Scored
    n_parameters : int
        Free parameters of the model.

    Returns
    -------
    Criteria
    """
    sums, n_experts = np.zeros(5), 0
    for block in blocks:
        n_experts = len(block.resp)
        sums += _sums(block)
    return _criteria_of(sums, n_parameters, n_experts)


def _sums(block: Scored) -> np.ndarray:
    """Return log-likelihood, weight, entropy, log of the largest responsibilities, and rows."""
    used = block.weight > 0.0
    density, resp, weight = block.log_density[used], block.resp[:, used], block.weight[used]
    return np.array(
        [
            weight @ density,
            weight.sum(),
            -(xlogy(resp, resp).sum(axis=0) @ weight),
            np.log(resp.max(axis=0)) @ weight,
            len(weight),
        ]
    )


def _criteria_of(sums: np.ndarray, n_parameters: int, n_experts: int) -> Criteria:
    log_likelihood, total, entropy, log_max, n_rows = sums.tolist()
    return Criteria(log_likelihood, n_parameters, n_experts, int(n_rows), total, entropy, log_max)


def score_block(found: Posterior, block: Block, tree: GatingTree) -> Scored:
    """Return what criteria look at: rows, or one row for each group that shares an expert.

    Parameters
    ----------
    found : Posterior
    block : Block
        Whose posterior it is.
    tree : GatingTree

    Returns
    -------
    Scored
    """
    resp, starts = found.node_resp[tree.leaves], block.group_starts
    if starts is None:
        return Scored(found.log_density, resp, block.weight)
    size = np.diff(starts, append=len(block.weight))
    return Scored(found.log_density[starts] * size, resp[:, starts], block.weight[starts])


def problem_criteria(problem: Problem, params: Parameters, n_parameters: int) -> Criteria:
    """Return the criteria of a model on the rows of a fit.

    Parameters
    ----------
    problem : Problem
    params : Parameters
    n_parameters : int
        Free parameters of the model.

    Returns
    -------
    Criteria
    """
    sums = problem.total(partial(_sums_of_rows, params=params), np.add)
    return _criteria_of(sums, n_parameters, problem.model.tree.n_leaves)


def _sums_of_rows(problem: Problem, params: Parameters) -> np.ndarray:
    sums = np.zeros(5)
    for block in problem.held:
        found = posterior_of_block(problem.model, params, block)
        sums += _sums(score_block(found, block, problem.model.tree))
    return sums
