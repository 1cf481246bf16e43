"""Constraints on coefficients: shared slopes, known ones, bounds, orders, linear restrictions.

All of them in the user's units. What is shared, fixed or bounded of a slope is so for
standardised features too, but for a positive factor; an intercept is not, for it depends on where
the features have their zero, so that its bound is an inequality between intercept and slopes.
"""

from dataclasses import dataclass
from typing import Any

__all__ = ["Bounded", "Fixed", "Linear", "Ordered", "Shared"]


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
    """Slopes or intercepts between bounds, such as those whose sign is known.

    A coefficient that ends at its bound is no estimate: it has no standard error ("at its bound")
    and counts as no degree of freedom.

    Parameters
    ----------
    features : str, int, or list of these
        Names or numbers of the columns; "intercept" for the intercept, unless a column has that
        name.
    lower, upper : float, default=None
        Least and largest slope, in units of y per unit of the feature; with a link, of the linear
        predictor. Those of an intercept are of the linear predictor where all features are zero.
        None for no bound. At least one is to be given, and ``lower < upper``.
    experts : int or list of int, default=None
        Experts whose slope it is, from left to right; None for all.
    gate : int or list of int, default=None
        Rows of ``gate_coef_`` and ``gate_intercept_`` whose coefficient it is, in the place of
        experts. Those of one gate sum to zero: of two experts a slope of at least zero for the
        second says that its probability does not fall. Of softmax gates, without ``gate_l1``, and
        not where the number of experts is chosen (``n_experts="auto"``).

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
    gate: Any = None


@dataclass(frozen=True)
class Ordered:
    """Slopes in order: of one column over experts, or of several columns within each expert.

    ``Ordered("dose")`` says that no expert has a smaller slope of dose than the expert before it,
    ``Ordered(["low", "mid", "high"])`` that the slopes of these columns do not fall in every
    expert: the effect of levels that are coded as dummies is monotone. Neighbours that the data
    would have the other way round end as one.

    Parameters
    ----------
    features : str, int, or list of these
        Name or number of one column, whose slopes do not fall from one expert to the next; or a
        list of two columns and more, whose slopes do not fall from one to the next.
    experts : list of int, default=None
        Experts that it is about, from left to right; None for all. For one column at least two.
    decreasing : bool, default=False
        Whether slopes do not rise instead.
    gate : list of int, default=None
        Rows of ``gate_coef_`` that it is about, in the place of experts; for one column rows of
        one gate. ``Ordered("dose", gate=[0, 1, 2])`` says that the odds of each expert against the
        one before it do not fall with dose. Under the conditions that `Bounded` states.

    Notes
    -----
    Differences are in units of y per unit of the features; with a link, of the linear predictor.
    Each pair that ends as one takes a degree of freedom. For experts of one family with one linear
    predictor.

    Examples
    --------
    >>> import numpy as np
    >>> from mixexp import MoERegressor
    >>> from mixexp.constraints import Bounded, Ordered
    >>> rng = np.random.default_rng(0)
    >>> level = rng.integers(0, 4, size=300)
    >>> X = (level[:, None] == [1, 2, 3]).astype(float)
    >>> y = np.array([0.0, 1.0, 0.9, 2.0])[level] + 0.3 * rng.normal(size=300)
    >>> monotone = [Bounded(0, lower=0.0), Ordered([0, 1, 2])]
    >>> model = MoERegressor(1, constraints=monotone).fit(X, y)
    >>> bool(np.diff(model.coef_[0]).min() >= 0.0)
    True
    """

    features: Any
    experts: Any = None
    decreasing: Any = False
    gate: Any = None


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
    of gates that have an L1 penalty (``gate_l1``), whose slopes are told but for a shift.

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
