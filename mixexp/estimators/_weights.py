"""What sample weights mean: numbers of like rows, or what compensates for sampling.

A frequency weight of 2 is the row twice: information and squared scores are multiplied by it. A
sampling weight of 2 is one row that stands for two of a population: its score is multiplied by
it, so that in the sandwich it is squared, and its scale means nothing (Binder 1983,
Int. Statist. Rev. 51, section 3; Pfeffermann 1993, Int. Statist. Rev. 61).
"""

import numpy as np

WEIGHT_TYPES = ("frequency", "sampling")
# Fractions with such a mean may be counts that were shared out; with a mean beyond they are not.
_MEANS_OF_COUNTS = 0.5, 2.0


def mean_one(weight: np.ndarray) -> np.ndarray:
    """Return weights in proportion whose positive ones have mean one: they sum to the rows."""
    share = weight / weight.max()
    return share * (np.count_nonzero(share) / share.sum())


def doubt_counts(weight: np.ndarray, kind: str) -> str:
    """Return why weights that standard errors take for numbers of rows are none; "" if they may be.

    Parameters
    ----------
    weight : ndarray of shape (n,)
    kind : {"model", "robust", "opg"}
        Of standard errors without clusters; within clusters weights are squared in any case.
    """
    used = weight[weight > 0.0]
    mean = float(used.mean())
    lower, upper = _MEANS_OF_COUNTS
    has_fractions = bool(np.any(used != np.round(used)))
    if not has_fractions or (kind != "robust" and lower <= mean <= upper):
        return ""
    return (
        f"sample_weight holds fractions (mean {mean:.4g}), which are no numbers of rows, but a row "
        "of weight w is taken for w rows here. If they compensate for sampling, fit with "
        "weight_type='sampling'; else give cluster=, for scores with their weights squared."
    )
