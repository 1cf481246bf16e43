"""Anderson's extrapolation of EM, for models too large for Newton's method.

EM is a fixed-point map. From the last few points and their steps Anderson (1965) finds the
combination whose step would have been smallest, and goes on from there; on a quadratic this
is a Krylov method (Walker & Ni 2011, SIAM J. Numer. Anal. 49, section 2). The iteration takes
its proposals only as far as the objective rises, as Henderson & Varadhan (2019), J. Comput.
Graph. Stat. 28, section 3, do for EM.
"""

import numpy as np

_MOST_STEPS = 10
# Steps that are nearly combinations of others are left out of the fit.
_SMALLEST_RATIO = 1e-6


class AndersonMemory:
    """The last points of a fixed-point iteration and its steps from them."""

    def __init__(self) -> None:
        self._points: list[np.ndarray] = []
        self._steps: list[np.ndarray] = []

    def forget(self) -> None:
        """Start afresh, where an extrapolation has failed."""
        self._points.clear()
        self._steps.clear()

    def state(self) -> list[list[np.ndarray]]:
        """Return points and steps."""
        return [list(self._points), list(self._steps)]

    def restore(self, state: list[list[np.ndarray]]) -> None:
        """Undo `state`."""
        self._points, self._steps = (list(arrays) for arrays in state)

    def propose(self, point: np.ndarray, step: np.ndarray) -> np.ndarray | None:
        """Note a point with EM's step from it, and return the extrapolated next point.

        Parameters
        ----------
        point, step : ndarray of shape (n_flat,)

        Returns
        -------
        ndarray of shape (n_flat,), or None
            None as long as there is nothing to extrapolate from.
        """
        self._points = [*self._points[-_MOST_STEPS:], point]
        self._steps = [*self._steps[-_MOST_STEPS:], step]
        if len(self._steps) < 2:
            return None
        points, steps = np.diff(self._points, axis=0), np.diff(self._steps, axis=0)
        share = np.linalg.lstsq(steps.T, step, rcond=_SMALLEST_RATIO)[0]
        return point + step - share @ (points + steps)
