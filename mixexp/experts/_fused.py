"""Densities and their derivatives in one compiled loop, for `Expert.evaluate`."""

import math
from functools import cache

import numpy as np

from mixexp import kernels
from mixexp.contrast import contrast
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


def exponential_excesses(x: np.ndarray) -> Terms:
    """Return ``exp(x)``, ``exp(x) - 1`` and ``exp(x) - 1 - x`` of any shape, for x up to 700."""
    spread = np.ascontiguousarray(x).reshape(-1)
    out = np.empty_like(spread), np.empty_like(spread), np.empty_like(spread)
    kernels.exponential_excesses(spread, *out)
    return _folded(out, x.shape)


def softmax_terms(
    at_class: np.ndarray, heads: tuple[np.ndarray, ...]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return log probabilities of classes, their slopes, and minus their second derivatives.

    Parameters
    ----------
    at_class : ndarray of shape (rows,), int64
    heads : tuple of ndarray of shape (..., rows) or (..., 1)
        Coordinates of the logits, which sum to zero, in `contrast`.

    Returns
    -------
    log_proba : ndarray of shape (..., rows)
    score : ndarray of shape (n_heads, ..., rows)
    curvature : ndarray of shape (n_pairs, ..., rows)
        By pair of heads (0, 0), (0, 1), ...
    """
    n_heads, shape = len(heads), (*heads[0].shape[:-1], len(at_class))
    basis, products = _class_products(n_heads + 1)
    spread = np.empty((n_heads, *shape))
    for own, head in zip(spread, heads, strict=True):
        own[...] = head
    m = math.prod(shape[:-1])
    logits = (basis @ spread.reshape(n_heads, m * shape[-1])).reshape(n_heads + 1, m, shape[-1])
    top = logits.max(axis=0)
    logits -= top
    chosen = np.take_along_axis(logits, at_class[None, None], axis=0)[0]
    odds = np.exp(logits, out=logits)
    total = odds.sum(axis=0)
    found = np.empty((n_heads + len(products), *total.shape))
    score, curvature = found[:n_heads], found[n_heads:]
    room = np.empty((n_heads + 1, _CHUNK)), np.empty((2, _CHUNK))
    kernels.softmax_derivatives(at_class, odds, total, basis, products, *room, score, curvature)
    found = found.reshape(len(found), *shape)
    return (chosen - np.log(total)).reshape(shape), found[:n_heads], found[n_heads:]


@cache
def _class_products(n_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the contrast, and what a product of two classes' probabilities counts by.

    That is for each pair of heads, (n_pairs_of_heads, n_pairs_of_classes).
    """
    basis = np.ascontiguousarray(contrast(n_classes))
    first, second = np.triu_indices(n_classes, 1)
    a, b = np.triu_indices(n_classes - 1)
    apart = basis[first] - basis[second]
    return basis, np.ascontiguousarray((apart[:, a] * apart[:, b]).T)


def _prepare(values: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, tuple[int, ...], Terms]:
    """Return values (..., rows) or (..., 1) as kernels see them, (m, rows), their shape, and room.

    The room is for what a kernel finds.
    """
    shape = (*values.shape[:-1], len(y))
    spread = np.ascontiguousarray(values)
    if values.shape != shape:
        spread = np.array(np.broadcast_to(values, shape), order="C")
    spread = spread.reshape(math.prod(shape[:-1]), len(y))
    return spread, shape, (np.empty_like(spread), np.empty_like(spread), np.empty_like(spread))


def _folded(arrays: Terms, shape: tuple[int, ...]) -> Terms:
    first, second, third = arrays
    return first.reshape(shape), second.reshape(shape), third.reshape(shape)
