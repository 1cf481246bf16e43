"""Penalties beside plain numbers, for ``l1=`` and ``gate_l1=``."""

from dataclasses import dataclass
from typing import Any

__all__ = ["GroupedL1"]


@dataclass(frozen=True)
class GroupedL1:
    """An L1 penalty under which a column leaves all experts, or all gates, together.

    The group lasso of Yuan & Lin (2006): ``strength * sum(sqrt(m) * norm(slopes))`` over the
    columns, where ``slopes`` are those of all experts (or of all gates) for one column, and ``m``
    is their number. They are zero together or not at all. For ``l1=`` and ``gate_l1=`` in place of
    a number.

    Parameters
    ----------
    strength : float
        In the units of ``l1``, for standardised features: with a single expert, or a single gate
        between two children, it is the same penalty.
    groups : {"column"}, default="column"
        What leaves together.

    Notes
    -----
    A gate between m children has m slopes per column, which sum to zero. The classes of a
    multinomial expert likewise, so that it has this penalty whatever the number of classes, and the
    ``m`` of its slopes is one less than that.

    References
    ----------
    Yuan & Lin (2006), Model selection and estimation in regression with grouped variables,
    equation 2.4.

    Examples
    --------
    >>> import numpy as np
    >>> from mixexp import MoERegressor
    >>> from mixexp.penalties import GroupedL1
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(200, 4))
    >>> y = np.where(X[:, 0] > 0.0, 2.0, -2.0) * X[:, 1] + 0.3 * rng.normal(size=200)
    >>> model = MoERegressor(2, l1=GroupedL1(30.0), alpha=0.0, random_state=0).fit(X, y)
    >>> model.coef_ != 0.0
    array([[False,  True,  True,  True],
           [False,  True,  True,  True]])
    """

    strength: float
    groups: Any = "column"
