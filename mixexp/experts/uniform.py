"""Uniform expert: noise spread evenly over a range, for rows that no other expert explains.

``log f(y) = -log(high - low)`` for low <= y <= high. Banfield & Raftery (1993),
Model-based Gaussian and non-Gaussian clustering, Biometrics 49, section 4.
"""

import math

import numpy as np

from mixexp.arguments import is_in_range
from mixexp.experts._base import Derivatives, Expert, Head, Heads
from mixexp.text import shown


class Uniform(Expert):
    """Noise component.

    It has no heads, so its arrays have shape (1, rows), or (1, 1) where y is not given.

    Parameters
    ----------
    low, high : float or None, default=None
        Limits; None means the least or largest y of the data, rows of weight zero aside.
        `fixed_to` fills it in, and must have been called before anything else.

    Examples
    --------
    >>> import numpy as np
    >>> Uniform(low=0.0, high=2.0).log_density(np.array([1.0, 3.0]), ()).round(4)
    array([[-0.6931,    -inf]])
    """

    name = "uniform"
    support = "between `low` and `high`"
    is_noise = True

    def __init__(self, low: float | None = None, high: float | None = None) -> None:
        self.low = low
        self.high = high

    def check_options(self) -> None:
        for option in ("low", "high"):
            value = getattr(self, option)
            is_valid = value is None or is_in_range(value, -math.inf, math.inf)
            self._check_range(option, is_valid, "a finite number or None")
        if self.low is not None and self.high is not None:
            self._check_range("high", self.high > self.low, f"above low={shown(self.low)}")

    def fixed_to(self, y: np.ndarray, weight: np.ndarray) -> "Uniform":
        """Return a copy whose limits are numbers, see `Expert.fixed_to`.

        Raises
        ------
        ValueError
            If a limit is to come from data and leaves no range.
        """
        used = y[weight > 0.0]
        low = float(used.min()) if self.low is None else self.low
        high = float(used.max()) if self.high is None else self.high
        if not high > low:
            raise ValueError(
                f"The uniform expert needs a range of y, but found it from {low} to {high}. "
                "Give low and high, with low < high."
            )
        return Uniform(low, high)

    @property
    def heads(self) -> tuple[Head, ...]:
        return ()

    def _limits(self) -> tuple[float, float]:
        if self.low is None or self.high is None:
            raise ValueError("The uniform expert has no limits yet; call fixed_to(y, weight).")
        return self.low, self.high

    def log_kernel(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        low, high = self._limits()
        return np.where((y >= low) & (y <= high), -math.log(high - low), -np.inf)[None]

    def derivatives(self, y: np.ndarray, heads: Heads) -> Derivatives:
        return Derivatives((), {})

    def mean(self, heads: Heads) -> np.ndarray:
        low, high = self._limits()
        return np.full((1, 1), low + 0.5 * (high - low))

    def variance(self, heads: Heads) -> np.ndarray:
        low, high = self._limits()
        return np.full((1, 1), (high - low) ** 2 / 12.0)

    def cdf(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        low, high = self._limits()
        return np.atleast_2d(np.clip((y - low) / (high - low), 0.0, 1.0))

    def survival(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        low, high = self._limits()
        return np.atleast_2d(np.clip((high - y) / (high - low), 0.0, 1.0))

    def expected_excess(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        low, high = self._limits()
        inside = 0.5 * (high - np.clip(y, low, high)) ** 2 / (high - low)
        return np.atleast_2d(inside + np.maximum(low - y, 0.0))

    def quantile(self, q: np.ndarray, heads: Heads) -> np.ndarray:
        low, high = self._limits()
        return np.atleast_2d(low + q * (high - low))

    def sample(self, heads: Heads, rng: np.random.Generator) -> np.ndarray:
        return self.sample_rows(heads, rng, 1)

    def sample_rows(self, heads: Heads, rng: np.random.Generator, n_rows: int) -> np.ndarray:
        low, high = self._limits()
        return rng.uniform(low, high, (1, n_rows))

    def start(self, y: np.ndarray, weight: np.ndarray) -> tuple[float, ...]:
        return ()
