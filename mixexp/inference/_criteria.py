"""Information criteria, lower is better, and how clearly rows belong to experts.

With l the log-likelihood, d the number of free parameters and n the sum of the weights:
aic -2l + 2d (Akaike 1974), aicc adds 2d(d + 1)/(n - d - 1) (Hurvich & Tsai 1989), bic
-2l + d log n (Schwarz 1978), sabic has log((n + 2)/24) instead (Sclove 1987), caic log n + 1
(Bozdogan 1987).
"""

import math
from typing import NamedTuple

import numpy as np
from scipy.special import xlogy

from mixexp.em import Problem
from mixexp.model import Parameters, posterior_of_block


class Separation(NamedTuple):
    """Sums over rows that tell how clearly they belong to experts.

    Parameters
    ----------
    entropy : float
        ``-sum_i w_i sum_k r_ik log r_ik``, natural log; 0 if every row belongs to one expert.
    log_largest : float
        ``sum_i w_i log max_k r_ik``.
    """

    entropy: float
    log_largest: float


def measure_separation(resp: np.ndarray, weight: np.ndarray) -> Separation:
    """Sum over rows, from responsibilities of shape (n_experts, rows)."""
    return Separation(
        float(-(xlogy(resp, resp).sum(axis=0) @ weight)),
        float(np.log(resp.max(axis=0)) @ weight),
    )


def problem_separation(problem: Problem, params: Parameters) -> Separation:
    """Pass once over the data for `Separation`."""
    leaves = problem.model.tree.leaves
    parts = [
        measure_separation(
            posterior_of_block(problem.model, params, block).node_resp[leaves], block.weight
        )
        for block in problem.blocks
    ]
    return Separation(*(float(sum(same)) for same in zip(*parts, strict=True)))


def relative_entropy(entropy: float, n: float, n_experts: int) -> float:
    """Return ``1 - entropy / (n log K)``: 1 if rows are told apart perfectly, also for K = 1.

    Ramaswamy, DeSarbo, Reibstein & Robinson (1993), Marketing Science 12.
    """
    return 1.0 if n_experts == 1 else 1.0 - entropy / (n * math.log(n_experts))


def aic(log_likelihood: float, d: int) -> float:
    return -2.0 * log_likelihood + 2.0 * d


def aicc(log_likelihood: float, d: int, n: float) -> float:
    """Return AIC corrected for small samples; infinite where n is not above d + 1."""
    if n <= d + 1.0:
        return math.inf
    return aic(log_likelihood, d) + 2.0 * d * (d + 1.0) / (n - d - 1.0)


def bic(log_likelihood: float, d: int, n: float) -> float:
    return -2.0 * log_likelihood + d * math.log(n)


def sabic(log_likelihood: float, d: int, n: float) -> float:
    return -2.0 * log_likelihood + d * math.log((n + 2.0) / 24.0)


def caic(log_likelihood: float, d: int, n: float) -> float:
    return -2.0 * log_likelihood + d * (math.log(n) + 1.0)
