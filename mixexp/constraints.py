"""Constraints on coefficients: shared slopes, known ones, bounds, and linear restrictions.

All of them in the user's units. What is shared, fixed or bounded of a slope is so for
standardised features too, but for a positive factor; an intercept is not, for it depends on where
the features have their zero, so that it takes a linear restriction.
"""

from dataclasses import dataclass
from typing import Any

__all__ = ["Bounded", "Fixed", "Linear", "Shared"]


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


@dataclass(frozen=True)
class Bounded:
    """Slopes between bounds, such as those whose sign is known.

    A slope that ends at its bound is no estimate: it has no standard error ("at its bound") and
    counts as no degree of freedom.

    Parameters
    ----------
    features : str, int, or list of these
        Names or numbers of the columns.
    lower, upper : float, default=None
        Least and largest slope, in units of y per unit of the feature; with a link, of the linear
        predictor. None for no bound. At least one is to be given, and ``lower < upper``.
    experts : int or list of int, default=None
        Experts whose slope it is, from left to right; None for all.

    Examples
    --------
    >>> import numpy as np
    >>> from mixexp import MoERegressor
    >>> from mixexp.constraints import Bounded
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(200, 2))
    >>> y = -0.1 * X[:, 0] + 2.0 * np.abs(X[:, 1]) + 0.3 * rng.normal(size=200)
    >>> model = MoERegressor(2, constraints=[Bounded(0, lower=0.0)], random_state=0).fit(X, y)
    >>> bool(model.coef_[:, 0].min() >= 0.0)
    True
    """

    features: Any
    lower: Any = None
    upper: Any = None
    experts: Any = None


@dataclass(frozen=True)
class Linear:
    """A linear equation between coefficients, in the user's units.

    Parameters
    ----------
    equation : str
        Sums of multiples of coefficients on both sides of ``=``, such as
        ``"b[0:dose] - 2 * b[1:dose] = 0.5"``. ``b[k:name]`` is the coefficient of a column, or
        the ``intercept``, of expert k, counted from 0, left to right. ``gate[k:name]`` is that of
        the logit of row k of ``gate_coef_`` or ``gate_intercept_``; those of one gate sum to zero,
        so that ``gate[0:intercept] - gate[1:intercept]`` are log odds. Columns of an X without
        names are ``x0``, ``x1``, ... A column that is called "intercept" cannot be named.

    Notes
    -----
    One equation is about the gate of one node, or about experts of one family with one linear
    predictor. Each takes one degree of freedom. Mixing weights that are known are equations of
    a gate: ``gate_features=[]`` and
    ``Linear("gate[0:intercept] - gate[1:intercept] = 0.405")`` for 0.6 and 0.4. Not
    beside an L1 penalty on the same coefficients, nor beside bounds on them.

    Examples
    --------
    >>> import numpy as np
    >>> from mixexp import MoERegressor
    >>> from mixexp.constraints import Linear
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(200, 1)) + 5.0
    >>> y = np.where(rng.uniform(size=200) < 0.5, 2.0, -1.0) * X[:, 0] + 0.3 * rng.normal(size=200)
    >>> origin = [Linear("b[0:intercept] = 0"), Linear("b[1:intercept] = 0")]
    >>> model = MoERegressor(2, constraints=origin, random_state=0).fit(X, y)
    >>> bool(abs(model.intercept_).max() < 1e-10)
    True
    """

    equation: str
