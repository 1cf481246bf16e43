"""The experts of one family in a block of rows, on the scale of the user's y.

A family knows neither y's unit nor how many trials a row has; here both are put in.
"""

from typing import NamedTuple

import numpy as np

from mixexp.experts import Expert
from mixexp.model import ExpertGroup

Array = np.ndarray


class FamilyBlock(NamedTuple):
    """Experts of one family at the features of a block.

    Methods take y of shape (rows,) and return shape (n_group, rows), or (n_group, 1) where
    that does not vary.

    Parameters
    ----------
    group : ExpertGroup
    heads : tuple of ndarray of shape (n_group, rows) or (n_group, 1)
    trials : ndarray of shape (rows,) or None
    """

    group: ExpertGroup
    heads: tuple[Array, ...]
    trials: Array | None

    @property
    def family(self) -> Expert:
        return self.group.family

    @property
    def has_integers(self) -> bool:
        """Whether y is an integer, any of which may have a probability."""
        return self.family.is_discrete and not self.family.atoms

    @property
    def is_smooth(self) -> bool:
        """Whether y has a density, be it beside atoms."""
        return not self.family.is_discrete

    @property
    def is_point(self) -> bool:
        """Whether y is one value."""
        return self.family.is_discrete and len(self.family.atoms) == 1

    def take(self, rows: Array | slice) -> "FamilyBlock":
        """Return some of the rows."""
        heads = tuple(head if head.shape[-1] == 1 else head[:, rows] for head in self.heads)
        return self._replace(heads=heads, trials=None if self.trials is None else self.trials[rows])

    def expert(self, at: int) -> "FamilyBlock":
        """Return one of the experts."""
        group = self.group._replace(leaves=self.group.leaves[at : at + 1])
        return self._replace(group=group, heads=tuple(head[at : at + 1] for head in self.heads))

    def log_density(self, y: Array) -> Array:
        """Return the log density, or probability, of y among all experts of the mixture."""
        return self._log_density(self.group, y)

    def _log_density(self, group: ExpertGroup, y: Array) -> Array:
        seen, base = group.safe_target(y, self.trials)
        return self.family.log_kernel(seen, self.heads) + base

    def density(self, y: Array) -> Array:
        """Return the density, zero where the family gives y a probability.

        At atoms of other experts it is continued, for there it has no gap to be seen.
        """
        if not self.is_smooth:
            return np.zeros((len(self.group.leaves), 1))
        found = np.exp(self._log_density(self.group._replace(rivals=()), y))
        return np.where(self._is_atom(y), 0.0, found) if self.family.atoms else found

    def mass(self, y: Array) -> Array:
        """Return the probability of y itself."""
        if self.is_smooth and not self.family.atoms:
            return np.zeros((len(self.group.leaves), 1))
        found = np.exp(self.log_density(y))
        return np.where(self._is_atom(y), found, 0.0) if self.is_smooth else found

    def _is_atom(self, y: Array) -> Array:
        return np.isin(y, self.family.atoms)

    def cdf(self, y: Array) -> Array:
        return self.family.cdf(self.group.target(y, self.trials), self.heads)

    def survival(self, y: Array) -> Array:
        return self.family.survival(self.group.target(y, self.trials), self.heads)

    def expected_excess(self, y: Array) -> Array:
        found = self.family.expected_excess(self.group.target(y, self.trials), self.heads)
        return self.group.scale * found

    def limited_mean(self, y: Array) -> Array:
        if self._n_trials is not None:
            return self.mean() - self.expected_excess(y)
        found = self.family.limited_mean(self.group.target(y, self.trials), self.heads)
        return self.group.shift + self.group.scale * found

    def mean(self) -> Array:
        mean = self.group.shift + self.group.scale * self.family.mean(self.heads)
        return mean if self._n_trials is None else mean * self._n_trials

    def variance(self) -> Array:
        return self.group.scale**2 * self.family.variance(self.heads, *self._trials_argument)

    def bracket(self, q: Array) -> tuple[Array, Array]:
        """Return values that the quantiles at levels of shape (rows,) lie between."""
        if self.family.uses_trials:
            quantile = self.family.quantile(q, self.heads, *self._trials_argument)
            return quantile, quantile
        lower, upper = self.family.bracket(q, self.heads)
        shift, scale = self.group.shift, self.group.scale
        return shift + scale * lower, shift + scale * upper

    def sample(self, rng: np.random.Generator, n_rows: int) -> Array:
        """Draw y, shape (n_group, n_rows)."""
        if self._n_trials is None:
            seen = self.family.sample_rows(self.heads, rng, n_rows)
        else:
            shape = (*self.heads[0].shape[:-1], n_rows)
            heads = tuple(np.broadcast_to(head, shape) for head in self.heads)
            seen = self.family.sample(heads, rng, self._n_trials)  # type: ignore[call-arg]
        return self.group.shift + self.group.scale * seen

    @property
    def _n_trials(self) -> Array | None:
        return self.trials if self.family.uses_trials else None

    @property
    def _trials_argument(self) -> tuple[Array, ...]:
        return () if self._n_trials is None else (self._n_trials,)
