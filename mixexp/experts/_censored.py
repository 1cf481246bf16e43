"""Experts that see y up to limits only, the Tobit model: they censor by value."""

from typing import Any

import numpy as np

from mixexp.arguments import is_real
from mixexp.experts._base import Expert
from mixexp.experts._interval import IntervalExpert
from mixexp.text import shown


class Censored(IntervalExpert):
    """A family whose y is censored at fixed limits, as in the Tobit model.

    The Tobit model is ``Censored("gaussian", lower=0)``: y at 0 says that what is behind it is 0 or
    less. Coefficients, means and predicted distributions are those of the uncensored y. Limits
    that differ from row to row are the row arguments ``censoring`` and ``y_upper``.

    Parameters
    ----------
    expert : str or Expert, default="gaussian"
        A family with a distribution function.
    lower, upper : float, default=None
        Limits in the unit of y, one of them at least.

    References
    ----------
    Tobin (1958), Estimation of relationships for limited dependent variables, Econometrica 26.

    Examples
    --------
    >>> import numpy as np
    >>> from mixexp import MoERegressor
    >>> from mixexp.experts import Censored
    >>> x = np.linspace(-1.0, 1.0, 200)[:, None]
    >>> y = np.maximum(2.0 * x[:, 0] + np.sin(50.0 * x[:, 0]), 0.0)
    >>> model = MoERegressor(1, expert=Censored("gaussian", lower=0.0)).fit(x, y)
    >>> bool(model.coef_[0, 0] > 1.5)
    True
    """

    def __init__(
        self, expert: Any = "gaussian", *, lower: float | None = None, upper: float | None = None
    ) -> None:
        self.expert = expert
        self.lower = lower
        self.upper = upper

    @property
    def base(self) -> Expert:  # type: ignore[override]  # stored as the option that it is
        """The family of the uncensored y."""
        found: Expert = self.expert
        return found

    @property
    def limits(self) -> tuple[float, float]:
        lower = -np.inf if self.lower is None else float(self.lower)
        return lower, np.inf if self.upper is None else float(self.upper)

    def check_options(self) -> None:
        self.check_limits()
        self.base.check_options()

    def check_limits(self) -> None:
        """Refuse limits that are none.

        Raises
        ------
        ValueError
            Naming them.
        """
        for name in ("lower", "upper"):
            value = getattr(self, name)
            if value is not None and (not is_real(value) or not np.isfinite(float(value))):
                raise ValueError(
                    f"The {name!r} option of a Censored expert must be a finite number or None. "
                    f"Got {shown(value)}."
                )
        lower, upper = self.limits
        if not lower < upper or np.isinf([lower, upper]).all():
            raise ValueError(
                "A Censored expert needs a 'lower' or an 'upper' limit, and the lower one below "
                f"the upper; got lower={shown(self.lower)} and upper={shown(self.upper)}."
            )

    def of(self, base: Expert) -> "Censored":
        """Return the same limits of another family."""
        return Censored(base, lower=self.lower, upper=self.upper)
