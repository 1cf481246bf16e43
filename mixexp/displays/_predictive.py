"""The distribution of y that a fitted mixture predicts for some rows: cdf and quantiles.

F(y | x) = sum over experts k of  gate_k(x) * F_k(y | x)
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from mixexp.data import cut_features, cut_rows
from mixexp.displays._source import Source
from mixexp.estimators._validation import check_features
from mixexp.experts._quantile import invert_cdf, least_integer
from mixexp.model import ExpertGroup, group_heads, linear_predictors, row_stable_product


class _Part(NamedTuple):
    """One family's experts at a block of rows."""

    rows: slice
    group: ExpertGroup
    heads: tuple[np.ndarray, ...]


class Predictive(NamedTuple):
    """What a model predicts for n rows.

    Parameters
    ----------
    gate_proba : ndarray of shape (n, n_experts)
    parts : list of _Part
        Heads of the experts, block by block.
    trials : ndarray of shape (n,) or None
    """

    gate_proba: np.ndarray
    parts: list[_Part]
    trials: np.ndarray | None

    def expert_cdf(self, y: np.ndarray) -> np.ndarray:
        """Return the probability of a value of at most y under each expert, (n, n_experts).

        Raises
        ------
        NotImplementedError
            If a family has no distribution function.
        """
        out = np.empty_like(self.gate_proba)
        for rows, group, heads in self.parts:
            trials = None if self.trials is None else self.trials[rows]
            values = group.family.cdf(group.target(y[rows], trials), heads)
            out[rows, group.leaves] = np.broadcast_to(values, (len(group.leaves), len(y[rows]))).T
        return out

    def cdf(self, y: np.ndarray) -> np.ndarray:
        """Return the probability of a value of at most y under the mixture, shape (n,)."""
        return (self.gate_proba * self.expert_cdf(y)).sum(axis=1)

    def quantile(self, q: float) -> np.ndarray:
        """Return the least y whose cdf reaches q, shape (n,)."""
        families = [part.group.family for part in self.parts]
        limits = np.array([family.support_limits for family in families])
        # A little less, for a sum of probabilities that should be q may round to below it.
        wanted = np.full(len(self.gate_proba), q * (1.0 - 1e-12))
        is_count = all(
            family.is_discrete and np.isfinite(family.support_limits[0]) for family in families
        )
        search = least_integer if is_count else invert_cdf
        return search(self.cdf, wanted, float(limits[:, 0].min()), float(limits[:, 1].max()))


def typical_quantiles(
    source: Source, X: Any, probabilities: Sequence[float], exposure: Any, trials: Any
) -> np.ndarray:
    """Return quantiles of y per unit of exposure and trials, at the data's median of these.

    At one trial, or a tiny exposure, y is next to nothing or one, and its spread that of no row
    of the data.

    Parameters
    ----------
    source : Source
    X : array-like of shape (n, n_features)
        Raw rows, not those of the data.
    probabilities : sequence of float
    exposure, trials : array-like or None
        Of the data.

    Returns
    -------
    ndarray of shape (n_probabilities, n)
    """
    n, sizes = len(X), {}
    for name, given in (("exposure", exposure), ("trials", trials)):
        if given is not None:
            values = np.asarray(given, dtype=float).ravel()
            sizes[name] = float(np.quantile(values, 0.5, method="lower"))
    per_row = {name: np.full(n, size) for name, size in sizes.items()}
    predictive = read_predictive(source, X, **per_row)
    size = float(np.prod(list(sizes.values())))
    return np.stack([predictive.quantile(q) for q in probabilities]) / size


def read_predictive(source: Source, X: Any, **per_row: Any) -> Predictive:
    """Return what a fitted regressor predicts for raw rows.

    Parameters
    ----------
    source : Source
    X : array-like of shape (n, n_features)
    **per_row : array-like of shape (n,) or None
        ``offset``, ``exposure`` and ``trials``.
    """
    model = source.model
    seen = source.transform(X)
    rows = check_features(model, seen, reset=False)
    known = {"sample_weight": None, "offset": None, "exposure": None, "trials": None, **per_row}
    checked = model._check_per_row(len(rows), **known)
    state = model._state
    parts = []
    partition = list(cut_rows(len(rows)))
    for at, block in zip(partition, cut_features(rows, state.scaling, checked), strict=True):
        eta = linear_predictors(state.model, state.params, block, row_stable_product)
        for group, heads in zip(state.model.groups, group_heads(state.model, eta), strict=True):
            parts.append(_Part(at, group, heads))
    return Predictive(model.gate_proba(seen), parts, checked.trials)
