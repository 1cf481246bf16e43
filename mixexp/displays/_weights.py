"""Sample weights as numbers of rows: medians, counts and choices of rows that heed them.

A row of weight two is two rows, in whatever is drawn.
"""

from typing import Any

import numpy as np


def lower_median(values: np.ndarray, weight: np.ndarray) -> float:
    """Return the least value that half of the rows do not exceed; NaN is passed over."""
    known = ~np.isnan(values)
    if not known.any():
        return float("nan")
    order = np.argsort(values[known], kind="stable")
    total = np.cumsum(weight[known][order])
    # A little less than half, for sums of fractions that should be half may round to below it.
    return float(values[known][order][np.searchsorted(total, (0.5 - 1e-12) * total[-1])])


def most_frequent(values: np.ndarray, weight: np.ndarray) -> Any:
    """Return the value of most rows, of equals the one that comes first."""
    total: dict[Any, float] = {}
    for value, share in zip(list(values), weight.tolist(), strict=True):
        total[value] = total.get(value, 0.0) + share
    return max(total, key=lambda value: total[value])


def spread_rows(weight: np.ndarray, most: int) -> np.ndarray:
    """Return the numbers of at most so many rows, spread evenly over the data.

    Rows of larger weights come up more often, so that plain means over what is chosen heed the
    weights. Weights that sum to fewer rows than there are count in proportion.
    """
    total = np.cumsum(weight * max(1.0, len(weight) / weight.sum()))
    # Sums of fractions that should be a whole number may end a little below it.
    n_rows = int(total[-1] + 1e-9)
    at = np.linspace(0, n_rows - 1, min(n_rows, most)).astype(int)
    return np.searchsorted(total, at + 1e-9, side="right")
