"""What the prior is at given coefficients: value, gradient and curvature."""

from typing import NamedTuple

import numpy as np


class PenaltyTerms(NamedTuple):
    """The prior at given coefficients.

    Parameters
    ----------
    value : ndarray of shape (...)
        Added to the log-likelihood; at most zero.
    gradient : ndarray of shape (..., n_flat)
        Without the L1 penalty.
    curvature : ndarray of shape (..., n_flat)
        Minus the Hessian is the diagonal matrix of these less the outer product of
        ``hessian_downdate`` with itself.
    hessian_downdate : ndarray of shape (..., n_flat)
        Rank-one part of the Hessian: the shrinkage of each slope fades with all others.
    majorizer : ndarray of shape (..., n_flat)
        Curvature of the quadratic minorizer that touches the prior here: what M-steps use, so
        that the objective cannot fall.
    group_downdate : ndarray of shape (..., n_flat)
        The same as ``hessian_downdate``, for the coefficients of each group alone.
    group : ndarray of shape (..., n_flat)
        Numbers of the groups that an L1 penalty makes zero together, -1 without.
    """

    value: np.ndarray
    gradient: np.ndarray
    curvature: np.ndarray
    hessian_downdate: np.ndarray
    majorizer: np.ndarray
    group_downdate: np.ndarray
    group: np.ndarray

    def information(self) -> np.ndarray:
        """Return minus the Hessian, (n_flat, n_flat), without a leading axis."""
        whole = np.diag(self.curvature) - np.outer(self.hessian_downdate, self.hessian_downdate)
        if not self.group_downdate.any():
            return whole
        is_together = self.group[:, None] == self.group
        return whole - is_together * np.outer(self.group_downdate, self.group_downdate)
