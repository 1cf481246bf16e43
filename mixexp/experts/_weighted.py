"""Weighted summaries of y that starts are made of."""

import math

import numpy as np

# Sums of weights that should be equal differ by rounding.
_SLACK = 1e-9


def weighted_moments(y: np.ndarray, weight: np.ndarray) -> tuple[float, float]:
    """Return weighted mean and (maximum likelihood) variance."""
    mean = float(np.average(y, weights=weight))
    return mean, float(np.average((y - mean) ** 2, weights=weight))


def weighted_median(values: np.ndarray, weight: np.ndarray) -> float:
    """Return the least value at which half of the weight is reached."""
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weight[order])
    at = np.searchsorted(reached, 0.5 * reached[-1] * (1.0 - _SLACK))
    return float(values[order[min(int(at), len(values) - 1)]])


def log_or_zero(dispersion: float) -> float:
    """Return the log of a dispersion that starts a fit, 0 where data do not tell."""
    return math.log(dispersion) if 0.0 < dispersion < math.inf else 0.0
