"""What sample weights mean: numbers of like rows, or what compensates for sampling.

A frequency weight of 2 is the row twice: information and squared scores are multiplied by it. A
sampling weight of 2 is one row that stands for two of a population: its score is multiplied by
it, so that in the sandwich it is squared, and its scale means nothing (Binder 1983,
Int. Statist. Rev. 51, section 3; Pfeffermann 1993, Int. Statist. Rev. 61).
"""

from typing import NamedTuple

import numpy as np

WEIGHT_TYPES = ("frequency", "sampling")
# Fractions with such a mean may be counts that were shared out; with a mean beyond they are not.
_MEANS_OF_COUNTS = 0.5, 2.0


def mean_one(weight: np.ndarray) -> np.ndarray:
    """Return weights in proportion whose positive ones have mean one: they sum to the rows."""
    share = weight / weight.max()
    return share * (np.count_nonzero(share) / share.sum())


class WeightFacts(NamedTuple):
    """What tells whether weights are numbers of rows: of those that are positive.

    Parameters
    ----------
    n_rows : int
    total : float
    has_fractions : bool
    """

    n_rows: int
    total: float
    has_fractions: bool

    def plus(self, other: "WeightFacts") -> "WeightFacts":
        """Return what both tell."""
        return WeightFacts(
            self.n_rows + other.n_rows,
            self.total + other.total,
            self.has_fractions or other.has_fractions,
        )


def weight_facts(weight: np.ndarray) -> WeightFacts:
    """Return what some weights tell of being numbers of rows."""
    used = weight[weight > 0.0]
    return WeightFacts(len(used), float(used.sum()), bool(np.any(used != np.round(used))))


def doubt_counts(facts: WeightFacts, kind: str) -> str:
    """Return why weights that standard errors take for numbers of rows are none; "" if they may be.

    Parameters
    ----------
    facts : WeightFacts
    kind : {"model", "robust", "opg"}
        Of standard errors without clusters; within clusters weights are squared in any case.
    """
    mean = facts.total / facts.n_rows
    lower, upper = _MEANS_OF_COUNTS
    if not facts.has_fractions or (kind != "robust" and lower <= mean <= upper):
        return ""
    return (
        f"sample_weight holds fractions (mean {mean:.4g}), which are no numbers of rows, but a row "
        "of weight w is taken for w rows here. If they compensate for sampling, fit with "
        "weight_type='sampling'; else give cluster=, for scores with their weights squared."
    )
