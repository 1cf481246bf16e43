"""Coefficients of all parts of a model, of one set or of several starts."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np


class Parameters(NamedTuple):
    """Coefficients for standardised features, immutable.

    A leading axis, written "...", numbers several sets of coefficients that are evaluated
    together, such as the starts of a fit; there need be none.

    Parameters
    ----------
    gates : tuple of ndarray of shape (..., n_edges, q)
        Per group of gates; intercept first, siblings sum to zero.
    experts : tuple of tuple of ndarray
        Per group, per head, an array of shape (..., n_group, p_head).
    others : tuple of ndarray of object of shape (...)
        Parameters of each submodel of one's own.
    """

    gates: tuple[np.ndarray, ...]
    experts: tuple[tuple[np.ndarray, ...], ...]
    others: tuple[np.ndarray, ...] = ()

    @property
    def lead(self) -> tuple[int, ...]:
        """Shape of the leading axis, () if there is none."""
        for own in self.others:
            return own.shape
        arrays = (*self.gates, *(coef for heads in self.experts for coef in heads))
        return next((coef.shape[:-2] for coef in arrays), ())


def map_parameters(function: Callable[..., np.ndarray], *parts: Parameters) -> Parameters:
    """Apply a function to the arrays that stand in the same place in all parts."""
    return Parameters(
        tuple(function(*same) for same in zip(*(part.gates for part in parts), strict=True)),
        tuple(
            tuple(function(*same) for same in zip(*heads, strict=True))
            for heads in zip(*(part.experts for part in parts), strict=True)
        ),
        tuple(function(*same) for same in zip(*(part.others for part in parts), strict=True)),
    )


def unstack_parameters(params: Parameters) -> list[Parameters]:
    """Return each of several sets of coefficients by itself."""

    def one(at: int) -> Parameters:
        # The ellipsis makes an object an array without axes, as it does a number.
        return map_parameters(lambda array: array[at, ...], params)

    return [one(at) for at in range(params.lead[0])]


def flatten_slots(slots: Sequence[np.ndarray], lead: tuple[int, ...] = ()) -> np.ndarray:
    """Return arrays (..., rows, columns), slot by slot, as one of shape (..., n_flat)."""
    if not slots:
        return np.zeros((*lead, 0))
    return np.concatenate([slot.reshape(*slot.shape[:-2], -1) for slot in slots], axis=-1)
