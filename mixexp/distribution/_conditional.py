"""The distribution of y given that it is larger than some value: survival so far, a deductible."""

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from mixexp.distribution._arguments import as_levels, as_values
from mixexp.distribution._block import over_columns
from mixexp.distribution._docs import mixture_docs
from mixexp.distribution._quantile import upper_quantile

if TYPE_CHECKING:
    from mixexp.distribution._mixture import MixtureDistribution

Array = np.ndarray


@mixture_docs
class ConditionalDistribution:
    """Distribution of y at n rows, given that it is above a threshold per row.

    Made by `MixtureDistribution.given_above`. Who outlives the threshold is told by the experts'
    tails, so that this is no mixture with the gate's probabilities any more.

    Parameters
    ----------
    dist : MixtureDistribution
        Without that condition.
    threshold : float or array-like of shape (n,)
        In the unit of y.

    Raises
    ------
    ValueError
        If the probability above a threshold is 0 in some row.
    """

    def __init__(self, dist: "MixtureDistribution", threshold: Any) -> None:
        above, is_single = as_values(threshold, "threshold", len(dist))
        if not is_single:
            raise ValueError(
                f"threshold must be a number or of shape ({len(dist)},), one per row; got a matrix."
            )
        self._dist = dist
        self._above: Array = np.array(above[:, 0])
        # All of y is above where nothing is below, however the experts' weights are rounded.
        self._beyond = np.where(dist.cdf(self._above) > 0.0, dist.sf(self._above), 1.0)
        if (self._beyond <= 0.0).any():
            row = int(np.argmax(self._beyond <= 0.0))
            raise ValueError(
                f"threshold is {self._above[row]:g} at row {row}, above which y has no "
                "probability; nothing can be said given that it is there."
            )

    def __len__(self) -> int:
        return len(self._dist)

    def __repr__(self) -> str:
        return f"{type(self).__name__} of {len(self)} rows"

    def sf(self, y: Any) -> Array:
        """Return the probability of a value above y, ``sf(y) / sf(threshold)``."""
        values, is_single = as_values(y, "y", len(self))
        found = self._dist.sf(np.maximum(values, self._above[:, None])) / self._beyond[:, None]
        return found[:, 0] if is_single else found

    def cdf(self, y: Any) -> Array:
        """Return the probability of a value of at most y."""
        return 1.0 - self.sf(y)

    def logpdf(self, y: Any) -> Array:
        """Return the log density at y, natural log; -inf up to the threshold."""
        values, is_single = as_values(y, "y", len(self))
        density = self._dist.logpdf(values) - np.log(self._beyond[:, None])
        found = np.where(values > self._above[:, None], density, -np.inf)
        return found[:, 0] if is_single else found

    def pdf(self, y: Any) -> Array:
        """Return the density at y, per unit of y; 0 up to the threshold."""
        return np.exp(self.logpdf(y))

    def ppf(self, q: Any) -> Array:
        """Return quantiles: the least y whose cdf is at least q.

        Parameters
        ----------
        q : float or array-like of shape (m,) or (n, m)
            Levels in [0, 1]; 0 gives the threshold, or the lower limit of y where that is above
            it, 1 the upper limit of y.

        Returns
        -------
        ndarray of shape (n,) or (n, m)
            In the unit of y.

        Raises
        ------
        ValueError
            If a level lies outside of [0, 1].
        """
        levels, is_single = as_levels(q, len(self))
        tail = np.minimum((1.0 - levels) * self._beyond[:, None], 1.0)
        is_small = (tail > 0.0) & (tail < 0.5)
        some = np.where(is_small, tail, 0.25)
        far = self._dist._over_blocks(partial(over_columns, upper_quantile), some)
        # Level 0 is the lower limit, and not what the rounding of a difference leaves of it.
        near = self._dist.ppf(np.where(is_small, 0.5, np.where(levels == 0.0, 0.0, 1.0 - tail)))
        found = np.where(is_small, far, near)
        found = np.maximum(found, self._above[:, None])
        return found[:, 0] if is_single else found

    def mean(self) -> Array:
        """Return the mean of y, ``threshold + mean_excess(threshold)``."""
        return self._above + self._dist.mean_excess(self._above)
