"""Constraints on the experts' slopes: shared by several experts, or fixed to a value.

Slopes alone, and on the scale of the features as they are given: what is shared or fixed there
is so for standardised features too, but for a factor. An intercept would not be, for it
depends on where the features have their zero.
"""

from dataclasses import dataclass
from typing import Any

__all__ = ["Fixed", "Shared"]


@dataclass(frozen=True)
class Shared:
    """One slope for several experts.

    Parameters
    ----------
    features : str, int, or list of these
        Names or numbers of the columns.
    experts : list of int, default=None
        Experts that share the slope of each, from left to right; None for all. They must be of
        one family. With several classes the slope of every class is shared.

    Examples
    --------
    >>> import numpy as np
    >>> from mixexp import MoERegressor
    >>> from mixexp.constraints import Shared
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(200, 2))
    >>> y = X[:, 0] + 2.0 * np.abs(X[:, 1]) + 0.3 * rng.normal(size=200)
    >>> model = MoERegressor(2, constraints=[Shared(0)], random_state=0).fit(X, y)
    >>> bool(model.coef_[0, 0] == model.coef_[1, 0])
    True
    """

    features: Any
    experts: Any = None


@dataclass(frozen=True)
class Fixed:
    """A slope that is known.

    Parameters
    ----------
    features : str, int, or list of these
        Names or numbers of the columns.
    value : float
        The slope, in units of y per unit of the feature; with a link, of the linear predictor.
        0 where there are more than two classes.
    experts : int or list of int, default=None
        Experts whose slope it is, from left to right; None for all.
    """

    features: Any
    value: float
    experts: Any = None
