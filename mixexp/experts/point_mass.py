"""Point mass expert: all of y at one value, as the zeros of zero-inflated models."""

import numpy as np

from mixexp.arguments import is_in_range
from mixexp.experts._base import Derivatives, Expert, Head, Heads


class PointMass(Expert):
    """Expert that says y is one given value; beside others it makes zero inflation.

    It has no heads, so its arrays have shape (1, rows), or (1, 1) where y is not given.

    Parameters
    ----------
    at : float, default=0.0

    Examples
    --------
    >>> import numpy as np
    >>> PointMass().log_density(np.array([0.0, 1.0]), ())
    array([[  0., -inf]])
    """

    name = "point_mass"
    is_discrete = True
    support = "the value `at`"

    def __init__(self, at: float = 0.0) -> None:
        self.at = at

    def check_options(self) -> None:
        self._check_range("at", is_in_range(self.at, -np.inf, np.inf), "a finite number")

    @property
    def heads(self) -> tuple[Head, ...]:
        return ()

    def log_kernel(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        return np.where(y == self.at, 0.0, -np.inf)[None]

    def derivatives(self, y: np.ndarray, heads: Heads) -> Derivatives:
        return Derivatives((), {})

    def mean(self, heads: Heads) -> np.ndarray:
        return np.full((1, 1), float(self.at))

    def variance(self, heads: Heads) -> np.ndarray:
        return np.zeros((1, 1))

    def cdf(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        return np.atleast_2d(y >= self.at).astype(float)

    def survival(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        return np.atleast_2d(y < self.at).astype(float)

    @property
    def atoms(self) -> tuple[float, ...]:
        return (float(self.at),)

    def expected_excess(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        return np.atleast_2d(np.maximum(self.at - y, 0.0))

    def quantile(self, q: np.ndarray, heads: Heads) -> np.ndarray:
        return np.full_like(np.atleast_2d(q), float(self.at))

    def sample(self, heads: Heads, rng: np.random.Generator) -> np.ndarray:
        return self.mean(heads)

    def sample_rows(self, heads: Heads, rng: np.random.Generator, n_rows: int) -> np.ndarray:
        return np.full((1, n_rows), float(self.at))

    def start(self, y: np.ndarray, weight: np.ndarray) -> tuple[float, ...]:
        return ()
