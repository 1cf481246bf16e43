"""Rows far outside of the range of X: what is extrapolated is no more certain than it is large.

A linear predictor goes on beyond all rows that it was fitted to, and a dispersion says nothing of
how well. Values beyond the limits of a feature (`Scaling.limits`) have an excess e. The part
``b e`` of a location b stands on nothing but the form of the model: it is taken for an error of
that size, independent between features, so that the variance of y grows by the sum of ``(b e)**2``.
A dispersion that falls along the excess is held, in families of such a location. Means are as they
were, and so is all that is said of rows within these limits.
"""

from collections.abc import Callable, Sequence

import numpy as np

from mixexp.data import Block, Excess
from mixexp.model._model import Model
from mixexp.model._parameters import Parameters

# Deviations of this many units of y have a square, and a square over any dispersion, that no
# exponential cuts.
_LARGEST_ERROR = 1e36


def widen_far_rows(
    model: Model, params: Parameters, block: Block, g: int, heads: Sequence[np.ndarray]
) -> tuple[np.ndarray, ...]:
    """Return the heads of a group of experts, whose dispersions allow for what is extrapolated.

    Parameters
    ----------
    model : Model
    params : Parameters
        Of one start.
    block : Block
        With limits of its features.
    g : int
        Number of the group.
    heads : sequence of ndarray of shape (experts, rows) or (experts, 1)
        As they are where rows are within the limits, or no location moves y.
    """
    family, out = model.groups[g].family, list(heads)
    excess = block.find_excess() if family.moving_heads else None
    if excess is None:
        return tuple(out)
    (n_columns, n_rows), designs = block.features.shape, model.groups[g].designs

    def sum_terms(h: int, of_terms: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        seen = excess.select(model.designs[designs[h]], n_columns)
        return _sum_by_row(params.experts[g][h], seen, of_terms, n_rows)

    for h, head in enumerate(family.heads):
        if head.kind == "dispersion" and not model.is_narrow[designs[h]]:
            out[h] = out[h] - sum_terms(h, lambda terms: np.minimum(terms, 0.0))
    errors = [np.sqrt(sum_terms(h, np.square)) for h in family.moving_heads]
    if not any(error.any() for error in errors):
        return tuple(out)
    return family.widened(tuple(out), errors)


def _sum_by_row(
    coef: np.ndarray, excess: Excess, of_terms: Callable[[np.ndarray], np.ndarray], n_rows: int
) -> np.ndarray:
    """Return the sums over features of a function of slope times excess, (experts, rows)."""
    out = np.empty((len(coef), n_rows))
    for own, slopes in zip(out, coef, strict=True):
        with np.errstate(over="ignore"):
            terms = slopes[excess.feature] * excess.value
        kept = np.clip(terms, -_LARGEST_ERROR, _LARGEST_ERROR)
        own[:] = np.bincount(excess.row, of_terms(kept), n_rows)
    return out
