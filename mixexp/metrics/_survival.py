"""Scores of predictions of y that may be right-censored, after scikit-survival's conventions.

Where y is censored, what is known is that it is larger. Kaplan and Meier's estimate of the
censoring stands for the rows that were lost to it (inverse probability of censoring weights).
"""

from typing import Any, NamedTuple

import numpy as np

from mixexp.arguments import as_finite, as_numbers
from mixexp.metrics._scores import check_row_weights, per_row

# Risks closer than this are tied, as in scikit-survival.
_TIED = 1e-8


class KaplanMeier(NamedTuple):
    """An estimate of a survival function, a step function from 1 down.

    Parameters
    ----------
    time : ndarray of shape (m,)
        Distinct values of y, ascending.
    survival : ndarray of shape (m,)
        Probability of a larger y, from each of these values on.
    """

    time: np.ndarray
    survival: np.ndarray

    def at(self, y: Any) -> np.ndarray:
        """Return the probability of a value above y.

        Parameters
        ----------
        y : array-like of any shape

        Returns
        -------
        ndarray of the shape of y
            1 before the first value, and that of the last one from there on.
        """
        place = np.searchsorted(self.time, np.asarray(y, dtype=float), side="right")
        return np.concatenate([[1.0], self.survival])[place]


def kaplan_meier(
    y: Any, censoring: Any = None, *, sample_weight: Any = None, truncation: Any = None
) -> KaplanMeier:
    """Return the Kaplan-Meier estimate of the survival function of y.

    The product over values of one less the share of the rows at risk whose y it is. Rows that
    are censored at a value are still at risk there; rows that are seen only above a limit (a late
    entry, a deductible) are at risk above it.

    Parameters
    ----------
    y : array-like of shape (n,)
    censoring : array-like of shape (n,), default=None
        0 where y is exact, 1 where it is a lower bound; as for ``fit``.
    sample_weight : array-like of shape (n,), default=None
    truncation : float or array-like of shape (n,), default=None
        Lower limits: a row is seen only because its y is above. The estimate is then of y given
        that it is above the least of them.

    Returns
    -------
    KaplanMeier
        With limits it falls to 0 where the one row that is at risk has its y, and stays there.

    Raises
    ------
    ValueError
        If an argument is not as described; the message names it.

    Notes
    -----
    O(n log n).

    References
    ----------
    Kaplan & Meier (1958), Nonparametric estimation from incomplete observations, J. Am. Statist.
    Assoc. 53, eq. 2b. With limits: Lynden-Bell (1971), A method of allowing for known observational
    selection in small samples applied to 3CR quasars, Mon. Not. R. Astron. Soc. 155.

    Examples
    --------
    >>> from mixexp.metrics import kaplan_meier
    >>> kaplan_meier([1.0, 2.0, 3.0, 4.0], [0, 1, 0, 1]).survival
    array([0.75 , 0.75 , 0.375, 0.375])
    """
    values = per_row(y, "y")
    is_exact = _is_exact(censoring, "censoring", len(values))
    given, entry = check_row_weights(sample_weight, len(values)), _read_entry(truncation, values)
    weight = np.ones(len(values)) if given is None else given
    kept = weight > 0.0
    return _product_limit(values[kept], is_exact[kept], weight[kept], entry=entry[kept])


def _read_entry(truncation: Any, y: np.ndarray) -> np.ndarray:
    """Return the limits that rows are seen above, (n,); minus infinity where there is none."""
    if truncation is None:
        return np.full(len(y), -np.inf)
    entry = as_numbers(truncation, "truncation")
    if entry.ndim > 1 or entry.size not in (1, len(y)):
        raise ValueError(
            f"truncation has shape {entry.shape}; expected a number or ({len(y)},), the lower "
            "limits: a product over rows at risk has no place for upper ones."
        )
    entry = np.broadcast_to(entry, len(y))
    if not np.all(entry < y):  # NaN too
        row = int(np.argmin(entry < y))
        raise ValueError(
            f"y must lie above its lower limit of truncation; found {y[row]:g} at row {row}, where "
            f"that is {entry[row]:g}. Such a row cannot have been observed."
        )
    return entry


def _product_limit(
    y: np.ndarray,
    is_event: np.ndarray,
    weight: np.ndarray,
    is_first: np.ndarray | None = None,
    entry: np.ndarray | None = None,
) -> KaplanMeier:
    """Return the product over values; rows of ``is_first`` leave those at risk before its events.

    So do the observed y where what is estimated is the censoring. Rows are at risk above
    ``entry``.
    """
    time, place = np.unique(y, return_inverse=True)
    total, events = (
        np.bincount(place, weights=part, minlength=len(time))
        for part in (weight, weight * is_event)
    )
    at_risk = np.cumsum(total[::-1])[::-1]
    if is_first is not None:
        at_risk = at_risk - np.bincount(place, weights=weight * is_first, minlength=len(time))
    if entry is not None:
        order = np.argsort(entry, kind="stable")
        later = np.concatenate([[0.0], np.cumsum(weight[order][::-1])])[::-1]
        at_risk = at_risk - later[np.searchsorted(entry[order], time, side="left")]
    share = np.divide(events, at_risk, out=np.zeros(len(time)), where=at_risk > 0.0)
    return KaplanMeier(time, np.cumprod(1.0 - share))


def brier_score_censored(
    y_true: Any,
    survival: Any,
    times: Any,
    *,
    censoring: Any = None,
    y_train: Any = None,
    censoring_train: Any = None,
) -> np.ndarray:
    """Return the Brier score of survival functions at some times; lower is better.

    The mean squared distance of the survival function from the indicator of ``y > time``. Rows
    that are censored before a time are left out, and the others weighted by one over the
    probability of not being censored until then, as `kaplan_meier` estimates it.

    Parameters
    ----------
    y_true : array-like of shape (n,)
    survival : array-like of shape (n, m)
        Predicted probabilities of larger values: ``predict_dist(X).sf([times])``.
    times : array-like of shape (m,)
    censoring : array-like of shape (n,), default=None
        0 where y is exact, 1 where it is a lower bound.
    y_train, censoring_train : array-like of shape (n_train,), default=None
        Rows that the censoring is estimated from; these by default.

    Returns
    -------
    ndarray of shape (m,)
        0.25 for a survival function that is one half everywhere, without censoring.

    Raises
    ------
    ValueError
        If an argument is not as described, or a row has no chance of not being censored.

    Notes
    -----
    As scikit-survival's ``brier_score``: where observed and censored values are tied the
    observed come first, and the weight of an observed row is that at its own y.

    References
    ----------
    Graf, Schmoor, Sauerbrei & Schumacher (1999), Assessment and comparison of prognostic
    classification schemes for survival data, Statist. Med. 18.
    """
    y = per_row(y_true, "y_true")
    is_exact = _is_exact(censoring, "censoring", len(y))
    at = np.atleast_1d(as_finite(times, "times"))
    predicted = as_finite(survival, "survival")
    if at.ndim != 1 or predicted.shape != (len(y), len(at)):
        raise ValueError(
            f"survival has shape {predicted.shape}; expected ({len(y)}, {at.size}), one row per "
            "value of y_true and one column per time."
        )
    if predicted.min(initial=0.0) < 0.0 or predicted.max(initial=0.0) > 1.0:
        raise ValueError("survival must hold probabilities, between 0 and 1.")
    remaining = _censoring_curve(y, is_exact, y_train, censoring_train)
    is_over = (y[:, None] <= at) & is_exact[:, None]
    is_open = y[:, None] > at
    chance = np.where(is_over, remaining.at(y)[:, None], remaining.at(at))
    lost = (is_over | is_open) & (chance <= 0.0)
    if lost.any():
        row, column = np.argwhere(lost)[0]
        raise ValueError(
            f"All rows are censored before the time {at[column]:g}, so that row {row} has no "
            "weight; give earlier times."
        )
    missed = np.where(is_over, predicted, 1.0 - predicted) ** 2
    weight = np.divide(is_over | is_open, chance, out=np.zeros(predicted.shape), where=chance > 0.0)
    return np.mean(missed * weight, axis=0)


def concordance_index_censored(y_true: Any, risk: Any, *, censoring: Any = None) -> float:
    """Return Harrell's concordance index: how often the greater risk has the smaller y.

    Of all pairs of rows of which it is known whose y is smaller; ties of risk count half.

    Parameters
    ----------
    y_true : array-like of shape (n,)
    risk : array-like of shape (n,)
        Larger where y is expected to be smaller: minus a predicted mean or median, say.
    censoring : array-like of shape (n,), default=None
        0 where y is exact, 1 where it is a lower bound.

    Returns
    -------
    float
        1 for a perfect order, 0.5 for one by chance.

    Raises
    ------
    ValueError
        If an argument is not as described, or no pair can be compared.

    Notes
    -----
    As scikit-survival's ``concordance_index_censored``: two observed y that are equal are not
    compared, and risks within 1e-8 are tied. Time grows with the square of n.

    References
    ----------
    Harrell, Lee & Mark (1996), Multivariable prognostic models, Statist. Med. 15.
    """
    y, score = per_row(y_true, "y_true"), per_row(risk, "risk")
    if len(score) != len(y):
        raise ValueError(f"risk has {len(score)} rows, but y_true has {len(y)}.")
    is_exact = _is_exact(censoring, "censoring", len(y))
    concordant, n_pairs = 0.0, 0
    for row in np.flatnonzero(is_exact):
        is_later = (y > y[row]) | ((y == y[row]) & ~is_exact)
        ahead = score[row] - score[is_later]
        is_tied = np.abs(ahead) <= _TIED
        concordant += np.sum(ahead[~is_tied] > 0.0) + 0.5 * np.sum(is_tied)
        n_pairs += len(ahead)
    if n_pairs == 0:
        raise ValueError("No pair of rows can be compared: every y is censored, or all are equal.")
    return float(concordant / n_pairs)


def _is_exact(censoring: Any, name: str, n: int) -> np.ndarray:
    if censoring is None:
        return np.ones(n, dtype=bool)
    codes = as_finite(censoring, name)
    if codes.shape != (n,) or not np.isin(codes, (0.0, 1.0)).all():
        raise ValueError(
            f"{name} must have shape ({n},), 0 where y is exact and 1 where it is a lower bound "
            "(right-censored); nothing else can be scored here."
        )
    return codes == 0.0


def _censoring_curve(
    y: np.ndarray, is_exact: np.ndarray, y_train: Any, censoring_train: Any
) -> KaplanMeier:
    """Return the probability of not being censored until some time."""
    if y_train is not None:
        y = per_row(y_train, "y_train")
        is_exact = _is_exact(censoring_train, "censoring_train", len(y))
    elif censoring_train is not None:
        raise ValueError("censoring_train needs y_train beside it.")
    return _product_limit(y, ~is_exact, np.ones(len(y)), is_first=is_exact)
