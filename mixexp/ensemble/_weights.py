"""Weights of an average of densities: those that make held-out rows most probable."""

import numpy as np

# Weights are found to so much of log density per row; sizes of less than the least are left out.
_GAP, _MOST_STEPS, _LEAST_WEIGHT = 1e-5, 10_000, 0.01


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


def stack_weights(log_density: np.ndarray, row_weight: np.ndarray) -> np.ndarray:
    """Return the weights of an average of densities that make held-out rows most probable.

    Maximises ``sum_i row_weight[i] * log(sum_m weights[m] * density[m, i])`` by EM, a concave
    problem. The mean density ratio of a model to the average is one for those that have weight,
    and bounds what is still to be gained, by which EM stops.

    Parameters
    ----------
    log_density : ndarray of shape (m, n)
        Of rows that the models have not seen. Rows that all of them exclude tell nothing.
    row_weight : ndarray of shape (n,)

    Returns
    -------
    ndarray of shape (m,)
        Sum to one; less than a hundredth is zero.

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
    share = row_weight[is_told] / row_weight[is_told].sum()
    density = np.exp(log_density[:, is_told] - most[is_told])
    for _ in range(_MOST_STEPS):
        ratio = (density / (weights @ density)) @ share
        if ratio.max() - 1.0 <= _GAP:
            break
        weights = weights * ratio
    weights = np.where(weights < _LEAST_WEIGHT, 0.0, weights)
    return weights / weights.sum()
