"""What bootstrap resamples say: standard errors, percentile intervals, ratio tests."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from mixexp.inference._formats import format_table
from mixexp.inference._hypotheses import critical_value, state_p
from mixexp.inference._tables import coefficient_table, undo_logarithms
from mixexp.inference._terms import Label


@dataclass(frozen=True, eq=False)
class BootstrapResult:
    """Coefficients of refits to resampled data, experts matched to those of the fit.

    Parameters
    ----------
    labels : sequence of Label
        Part, unit and term of every coefficient, as in `Inference`.
    estimates : ndarray of shape (n_terms,)
        Of the fit; logarithms where they are estimated as such.
    replicates : ndarray of shape (n_resamples - n_failed, n_terms)
        Of the refits.
    n_failed : int
        Resamples that could not be fitted.
    warnings : dict of str to int
        How many refits gave each warning.
    """

    labels: Sequence[Label]
    estimates: np.ndarray
    replicates: np.ndarray
    n_failed: int
    warnings: Mapping[str, int]

    def __repr__(self) -> str:
        n_refits, n_terms = self.replicates.shape
        return f"BootstrapResult({n_terms} coefficients; {n_refits} refits, {self.n_failed} failed)"

    @cached_property
    def covariance(self) -> np.ndarray:
        """Covariance of the replicates, shape (n_terms, n_terms)."""
        return np.cov(self.replicates, rowvar=False, ddof=1)

    @property
    def std_errors(self) -> np.ndarray:
        """Standard deviations of the replicates, shape (n_terms,)."""
        return self.replicates.std(axis=0, ddof=1)

    def coef_table(self, level: float = 0.95, format: str | None = None) -> Any:
        """Return all coefficients with standard errors and percentile intervals.

        Parameters
        ----------
        level : float, default=0.95
            Coverage of the intervals; Efron & Tibshirani (1993), section 13.3.
        format : {"latex", "markdown", "html"}, default=None
            Text for a paper or a page.

        Returns
        -------
        pandas.DataFrame, or Table without pandas, or str
            Columns "part", "unit", "term", "estimate", "std_error", "lower" and "upper";
            dispersions and log shapes are mapped back.
        """
        critical_value(level)
        tail = 0.5 * (1.0 - level)
        seen = undo_logarithms(self.labels, self.replicates)
        lower, upper = np.quantile(seen, [tail, 1.0 - tail], axis=0)
        table = coefficient_table(
            self.labels,
            self.estimates,
            std_error=seen.std(axis=0, ddof=1).tolist(),
            lower=lower.tolist(),
            upper=upper.tolist(),
        )
        return format_table(table, format)


class BootstrapRatioTest(NamedTuple):
    """A likelihood-ratio test whose distribution under the hypothesis is simulated.

    Parameters
    ----------
    statistic : float
        Twice the gain of the fuller model in what is maximised.
    p_value : float
        ``(1 + number of replicates that reach the statistic) / (1 + number of replicates)``.
    replicates : ndarray of shape (n_resamples - n_failed,)
        The statistic in data drawn from the restricted model.
    n_failed : int
        Draws that could not be fitted.
    """

    statistic: float
    p_value: float
    replicates: np.ndarray
    n_failed: int

    def __str__(self) -> str:
        return (
            f"bootstrap likelihood ratio = {self.statistic:.4g}, {state_p(self.p_value)} "
            f"({len(self.replicates)} resamples)"
        )
