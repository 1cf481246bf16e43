"""Tests of linear hypotheses, and of one fit against another."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.linalg import cho_factor, cho_solve, eigvalsh
from scipy.stats import chi2, norm

from mixexp.arguments import is_in_range
from mixexp.inference._terms import Label
from mixexp.text import shown

# Hypotheses whose correlation matrix has an eigenvalue below this say the same thing twice.
_REDUNDANT = 1e-10
# Share of a hypothesis that rounding leaves where it follows from others.
_DEPENDENT = 1e-9


class ChiSquared(NamedTuple):
    """A test by a statistic that is chi-squared under the hypothesis, asymptotically.

    Parameters
    ----------
    statistic : float
    df : int
    p_value : float
    """

    statistic: float
    df: int
    p_value: float

    def __str__(self) -> str:
        return f"chi2({self.df}) = {self.statistic:.4g}, {state_p(self.p_value)}"


class Contrast(NamedTuple):
    """A linear combination of coefficients, with its interval and test against a value.

    Parameters
    ----------
    estimate, std_error, z, p_value, lower, upper : float
    """

    estimate: float
    std_error: float
    z: float
    p_value: float
    lower: float
    upper: float


def format_p(p_value: float) -> str:
    """Return a p-value as people print it."""
    return "<0.001" if p_value < 0.0005 else f"{p_value:.3f}"


def state_p(p_value: float) -> str:
    """Return what a p-value is, in a sentence."""
    return "p < 0.001" if p_value < 0.0005 else f"p = {p_value:.3f}"


class Asked(NamedTuple):
    """How a user asked for some hypotheses, for errors.

    Parameters
    ----------
    each : sequence of str
        Beginnings of sentences, one per hypothesis.
    together : str
    """

    each: Sequence[str]
    together: str


def asked_of_rows(n: int) -> Asked:
    """Return how n rows of R ask."""
    return Asked([f"R asks in row {number}" for number in range(n)], f"The {n} rows of R")


def asked_of_term(term: str, labels: Sequence[Label], rows: np.ndarray) -> Asked:
    """Return how differences of a term between units ask.

    Parameters
    ----------
    term : str
    labels : sequence of Label
    rows : ndarray of shape (m, n_terms)
        With the one unit at the one -1, the other at the one 1.
    """
    units = [[labels[int(at)].unit for at in (row.argmin(), row.argmax())] for row in rows]
    each = [f"term {shown(term)} of {shown(a)} and {shown(b)} asks" for a, b in units]
    return Asked(each, f"The {len(rows)} differences of term {shown(term)}")


def independent_rows(rows: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Return the first hypotheses of which none follows from those before it.

    Those of all classes add up to nothing, because the classes' logits do.

    Parameters
    ----------
    rows : ndarray of shape (m, n_terms)
    matrix : ndarray of shape (n_terms, n_flat)
        To what is estimated.
    """
    basis: list[np.ndarray] = []
    kept = []
    for number, row in enumerate(rows @ matrix):
        rest = row.copy()
        for direction in (*basis, *basis):  # twice, against rounding
            rest -= (direction @ rest) * direction
        size = np.linalg.norm(rest)
        if size > _DEPENDENT * np.linalg.norm(row):
            basis.append(rest / size)
            kept.append(number)
    return rows[kept]


def wald(distance: np.ndarray, covariance: np.ndarray, asked: Asked) -> ChiSquared:
    """Test whether some estimates are zero, by ``distance' inv(covariance) distance``.

    Parameters
    ----------
    distance : ndarray of shape (m,)
        Estimates less what they are under the hypothesis.
    covariance : ndarray of shape (m, m)
    asked : Asked

    Raises
    ------
    ValueError
        If some combination of them has no variance.
    """
    deviation = np.sqrt(np.maximum(np.diagonal(covariance), 0.0))
    if not np.all(deviation > 0.0):
        raise ValueError(
            f"{asked.each[int(np.argmin(deviation))]} for something without a standard error: "
            "what is given, shared, at its bound or of a constant column. Leave it out."
        )
    correlation = covariance / deviation / deviation[:, None]
    if eigvalsh(correlation)[0] < _REDUNDANT:
        raise ValueError(
            f"{asked.together} are redundant: some say what others say already. Leave them out."
        )
    scaled = distance / deviation
    statistic = float(scaled @ cho_solve(cho_factor(correlation), scaled))
    return chi_squared(statistic, len(distance))


def chi_squared(statistic: float, df: int) -> ChiSquared:
    """Return the test by a statistic with so many degrees of freedom.

    Parameters
    ----------
    statistic : float
    df : int
        Degrees of freedom.

    Returns
    -------
    ChiSquared
    """
    return ChiSquared(statistic, df, float(chi2.sf(statistic, df)))


def two_sided(z: np.ndarray) -> np.ndarray:
    """Return the p-value of a standard normal deviate."""
    return 2.0 * norm.sf(np.abs(z))


def critical_value(level: float) -> float:
    """Return how many standard errors a two-sided interval reaches.

    Raises
    ------
    ValueError
        If the level is not strictly between 0 and 1.
    """
    if not is_in_range(level, 0.0, 1.0):
        raise ValueError(
            f"level must be a number strictly between 0 and 1. Got {shown(level)} instead."
        )
    return float(norm.isf(0.5 * (1.0 - level)))
