"""Weights of an average of densities: those that make held-out rows most probable."""

import numpy as np

from mixexp.em import rows_per_weight

# Weights are found to so much of log density per row.
_GAP, _MOST_STEPS = 1e-5, 10_000
# Models of less weight are left out, to save their time, as long as all rows together lose less
# than a unit of log density. One of them may be all that explains some row.
_LEAST_WEIGHT, _MOST_LOST = 0.01, 1.0


def average(log_density: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the log of a weighted mean of densities.

    Parameters
    ----------
    log_density : ndarray of shape (m, n)
    weights : ndarray of shape (m,)
        Sum to one.

    Returns
    -------
    ndarray of shape (n,)
    """
    has_weight = weights > 0.0
    terms = log_density[has_weight] + np.log(weights[has_weight])[:, None]
    return np.logaddexp.reduce(terms, axis=0)


def total_gain(log_density: np.ndarray, before: np.ndarray) -> float:
    """Return how much log densities of rows have risen together.

    Parameters
    ----------
    log_density, before : ndarray of shape (n,)
        Rows that both exclude tell nothing, as in `stack_weights`.

    Returns
    -------
    float
        Infinite where rows are no longer excluded.
    """
    is_told = np.isfinite(log_density) | np.isfinite(before)
    return float(np.sum(log_density[is_told] - before[is_told]))


def stack_weights(
    log_density: np.ndarray, row_weight: np.ndarray, n_for_first: float = 0.0
) -> np.ndarray:
    """Return the weights of an average of densities that make held-out rows most probable.

    Maximises ``sum_i row_weight[i] * log(sum_m weights[m] * density[m, i])`` by EM, a concave
    problem. The mean density ratio of a model to the average is one for those that have weight,
    and bounds what is still to be gained, by which EM stops.

    Parameters
    ----------
    log_density : ndarray of shape (m, n)
        Of rows that the models have not seen. Rows that all of them exclude tell nothing.
    row_weight : ndarray of shape (n,)
    n_for_first : float, default=0.0
        Rows that weights are found with besides, and that only the first model explains.

    Returns
    -------
    ndarray of shape (m,)
        Sum to one. Less than a hundredth is zero where rows lose less than one unit by that.

    References
    ----------
    Smyth & Wolpert (1999), Linearly combining density estimators via stacking, Machine Learning
    36. Yao, Vehtari, Simpson & Gelman (2018), Using stacking to average Bayesian predictive
    distributions, Bayesian Analysis 13.
    """
    weights = np.full(len(log_density), 1.0 / len(log_density))
    with np.errstate(invalid="ignore"):
        most = log_density.max(axis=0)
    is_told = (row_weight > 0.0) & np.isfinite(most)
    if not is_told.any():
        return weights
    row_weight = row_weight[is_told]
    row_weight = rows_per_weight(row_weight) * row_weight  # numbers of rows
    density, share = np.exp(log_density[:, is_told] - most[is_told]), row_weight
    if n_for_first > 0.0:
        density = np.column_stack([density, np.eye(len(weights))[0]])
        share = np.append(share, n_for_first)
    share = share / share.sum()
    for _ in range(_MOST_STEPS):
        ratio = (density / (weights @ density)) @ share
        if ratio.max() - 1.0 <= _GAP:
            break
        weights = weights * ratio
    return _leave_out(weights, log_density[:, is_told], row_weight)


def _leave_out(weights: np.ndarray, log_density: np.ndarray, row_weight: np.ndarray) -> np.ndarray:
    """Return weights without the smallest, one after another while rows lose next to nothing."""
    best, kept = average(log_density, weights), weights
    for model in np.argsort(weights):
        if weights[model] >= _LEAST_WEIGHT:
            break
        fewer = np.where(np.arange(len(weights)) == model, 0.0, kept)
        fewer /= fewer.sum()
        if row_weight @ (best - average(log_density, fewer)) < _MOST_LOST:
            kept = fewer
    return kept / kept.sum()
