"""Centre and scale of the features, so that their units do not matter to the fit."""

from typing import NamedTuple

import numpy as np

# A column whose spread is below this share of its magnitude is rounding noise about a constant.
_CONSTANT = 1e-13
# Slopes per unit of a column that spreads less than this would not be representable.
_SMALLEST_SPREAD = 1e-290


class Scaling(NamedTuple):
    """Location and spread per column.

    Parameters
    ----------
    center : ndarray of shape (p,)
        Weighted mean, in the column's unit.
    scale : ndarray of shape (p,)
        Weighted standard deviation, in the column's unit; 1 where the column is constant.
    is_constant : ndarray of shape (p,), bool
    """

    center: np.ndarray
    scale: np.ndarray
    is_constant: np.ndarray

    def standardize(self, X: np.ndarray) -> np.ndarray:
        """Return ``[1, (X - center) / scale]`` with rows last, shape (1 + p, rows).

        Constant columns become zero.
        """
        out = np.empty((X.shape[1] + 1, X.shape[0]))
        out[0] = 1.0
        np.subtract(X.T, self.center[:, None], out=out[1:])
        out[1:] /= self.scale[:, None]
        out[1:][self.is_constant] = 0.0
        return out

    def unstandardize(self, coef: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Return intercept and slopes for raw features.

        Parameters
        ----------
        coef : ndarray of shape (..., q)
            Intercept first, for standardised features.
        columns : ndarray of shape (q,), int
            Columns of the standardised design, 0 for the intercept.
        """
        at = columns[1:] - 1
        slopes = coef[..., 1:] / self.scale[at]
        intercept = coef[..., :1] - (coef[..., 1:] / self.scale[at]) @ self.center[at, None]
        return np.concatenate([intercept, slopes], axis=-1)

    def restandardize(self, coef: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Return intercept and slopes for standardised features: undo `unstandardize`."""
        at = columns[1:] - 1
        intercept = coef[..., :1] + coef[..., 1:] @ self.center[at, None]
        return np.concatenate([intercept, coef[..., 1:] * self.scale[at]], axis=-1)


def weighted_scaling(X: np.ndarray, weight: np.ndarray) -> Scaling:
    """Measure weighted mean and standard deviation of every column.

    Parameters
    ----------
    X : ndarray of shape (n, p)
    weight : ndarray of shape (n,)

    Returns
    -------
    Scaling

    Notes
    -----
    Deviations are divided by the largest of them before they are squared, so that columns
    at 1e-200 or 1e200 neither vanish nor overflow.
    """
    share = weight / weight.sum()
    magnitude = np.abs(X).max(axis=0, initial=0.0)
    center = _weighted_mean(X, share, magnitude)
    deviation = X - center
    largest = np.abs(deviation).max(axis=0, initial=0.0)
    is_constant = largest <= np.maximum(_CONSTANT * magnitude, _SMALLEST_SPREAD)
    unit = np.where(is_constant, 1.0, largest)
    deviation /= unit
    scale = unit * np.sqrt(share @ deviation**2)
    return Scaling(center, np.where(is_constant, 1.0, scale), is_constant)


def _weighted_mean(X: np.ndarray, share: np.ndarray, magnitude: np.ndarray) -> np.ndarray:
    unit = np.where(magnitude > 0.0, magnitude, 1.0)
    first = (share @ (X / unit)) * unit
    # Once more about the first guess: at 1e9 +- 1 the first is only good to 1e-7.
    return first + (share @ ((X - first) / unit)) * unit
