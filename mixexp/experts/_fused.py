"""Densities and their derivatives in one compiled loop, for `Expert.evaluate`."""

import numpy as np

from mixexp import kernels
from mixexp.links import LARGEST_LOG

# Rows whose numbers stay in the first-level cache between the steps of a loop.
_CHUNK = 512

Terms = tuple[np.ndarray, np.ndarray, np.ndarray]


def square_terms(
    y: np.ndarray, mean: np.ndarray, log_dispersion: np.ndarray, precision: np.ndarray
) -> Terms:
    """Return ``-(z**2 + log_dispersion) / 2``, its derivative in mean, and ``(z**2 - 1) / 2``.

    Parameters
    ----------
    y : ndarray of shape (rows,)
    mean : ndarray of shape (..., rows) or (..., 1)
    log_dispersion, precision : ndarray of shape (..., 1)
        ``z**2`` is the squared distance of y from the mean, times the precision.

    Returns
    -------
    tuple of ndarray of shape (..., rows)
    """
    spread, shape, out = _prepare(mean, y)
    kernels.square_terms(y, spread, log_dispersion.flatten(), precision.flatten(), *out)
    return _folded(out, shape)


def exponential_terms(y: np.ndarray, eta: np.ndarray) -> Terms:
    """Return ``y * eta - extended_exp(eta)``, ``y - mean``, and the mean shaped as eta."""
    spread, shape, out = _prepare(eta, y)
    kernels.exponential_terms(y, spread, LARGEST_LOG, np.empty((3, _CHUNK)), *out)
    log_kernel, score, mean = _folded(out, shape)
    return log_kernel, score, mean[..., : eta.shape[-1]]


def logistic_terms(y: np.ndarray, eta: np.ndarray) -> Terms:
    """Return ``y * eta - log(1 + exp(eta))``, its slope, and minus its bend, this shaped as eta."""
    spread, shape, out = _prepare(eta, y)
    kernels.logistic_terms(y, spread, np.empty((5, _CHUNK)), *out)
    log_kernel, score, curvature = _folded(out, shape)
    return log_kernel, score, curvature[..., : eta.shape[-1]]


def _prepare(values: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, tuple[int, ...], Terms]:
    """Return values (..., rows) or (..., 1) as kernels see them, (m, rows), their shape, and room.

    The room is for what a kernel finds.
    """
    shape = (*values.shape[:-1], len(y))
    spread = np.ascontiguousarray(values)
    if values.shape != shape:
        spread = np.array(np.broadcast_to(values, shape), order="C")
    spread = spread.reshape(-1, len(y))
    return spread, shape, (np.empty_like(spread), np.empty_like(spread), np.empty_like(spread))


def _folded(arrays: Terms, shape: tuple[int, ...]) -> Terms:
    first, second, third = arrays
    return first.reshape(shape), second.reshape(shape), third.reshape(shape)
