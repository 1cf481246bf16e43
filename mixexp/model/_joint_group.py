"""The experts of a family of several targets: each output has a unit of its own.

y has shape (rows, d) where it is the user's, and (d, rows) where a family sees it. An output that
is NaN is not known, for families that allow it.
"""

import numpy as np

from mixexp.experts import JointExpert
from mixexp.model._group import ExpertGroup


class JointGroup(ExpertGroup):
    """The experts of one family of several targets.

    As `ExpertGroup`, but for the units of y, which ``outputs`` holds in place of ``shift``,
    ``scale`` and ``prior_log_dispersion``. Densities are with respect to the product of lengths and
    counts, one factor per output, so that there are no rivals.
    """

    family: JointExpert

    @property
    def _shift(self) -> np.ndarray:
        return np.array([shift for shift, _, _ in self.outputs])

    @property
    def _scale(self) -> np.ndarray:
        return np.array([scale for _, scale, _ in self.outputs])

    @property
    def log_scale(self) -> float:
        return float(np.log(self._scale).sum())

    def anchor_of(self, h: int) -> float:
        return self.outputs[self.family.output_of(h)][2]

    def with_intervals(self) -> "JointGroup":
        return self

    def without_intervals(self) -> "JointGroup":
        return self

    def uncensored(self) -> "JointGroup":
        return self

    def change(self, h: int) -> tuple[float, float]:
        return self.family.change_of(h, self.outputs)

    def add_offset(self, h: int, eta: np.ndarray, offset: np.ndarray) -> np.ndarray:
        return eta + offset / self.change(h)[0] if self.family.takes_offset(h) else eta

    def in_unit(self, mean: np.ndarray, trials: np.ndarray | None) -> np.ndarray:
        return mean * self._scale[:, None] + self._shift[:, None]

    def target(
        self, y: np.ndarray, trials: np.ndarray | None, ends: np.ndarray | None = None
    ) -> np.ndarray:
        values = (y - self._shift) / self._scale
        return self.family.seen(np.ascontiguousarray(values.T), self.placeholder_y)

    def safe_target(
        self, y: np.ndarray, trials: np.ndarray | None, ends: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray | float]:
        seen = self.target(y, trials)
        is_outside = self.family.find_unsupported(seen)
        if is_outside.any() and self.placeholder_y is not None:
            seen[:, is_outside] = self.family.seen(self.placeholder_y[:, None], None)
        base = self.family.log_base(seen) - np.log(self._scale) @ self.family.has_unit(seen)
        return seen, np.where(is_outside, -np.inf, base) if is_outside.any() else base

    def find_impossible(
        self,
        y: np.ndarray,
        trials: np.ndarray | None,
        ends: np.ndarray | None = None,
        seen: np.ndarray | None = None,
    ) -> np.ndarray:
        return self.family.find_unsupported(self.target(y, trials) if seen is None else seen)

    def marginal(
        self, output: int, heads: tuple[np.ndarray, ...]
    ) -> tuple[ExpertGroup, tuple[np.ndarray, ...]]:
        """Return the experts of one output alone, and their heads.

        Parameters
        ----------
        output : int
        heads : tuple of ndarray of shape (n_group, rows) or (n_group, 1)

        Returns
        -------
        tuple of (ExpertGroup, tuple of ndarray)
        """
        family, own = self.family.marginal(output, heads)
        shift, scale, _ = self.outputs[output]
        group = ExpertGroup(family, self.leaves, (), shift=shift, scale=scale, units=family.units)
        return group, own
