"""What formulas of means are made of, whoever carries them out: a database, a graph, NumPy.

A value is a number, an array of such, or whatever a subclass makes of a column. Of numbers alone
the result is computed at once, so that what is the same for all rows is a constant of the export.
"""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

# Hart's rational approximation of the normal distribution function, as in West (2005), Better
# approximations to cumulative normal functions, Wilmott Magazine: 15 digits.
_UPPER = (
    3.52624965998911e-02,
    0.700383064443688,
    6.37396220353165,
    33.912866078383,
    112.079291497871,
    221.213596169931,
    220.206867912376,
)
_LOWER = (
    8.83883476483184e-02,
    1.75566716318264,
    16.064177579207,
    86.7807322029461,
    296.564248779674,
    637.333633378831,
    793.826512519948,
    440.413735824752,
)
_FAR, _TAIL, _ROOT_2PI = 37.0, 7.07106781186547, 2.506628274631
# Beyond, exp is 0 or infinite to any reader, and some refuse it.
LARGEST_EXPONENT = 600.0


def is_number(value: Any) -> bool:
    """Return whether a value is the same for all rows."""
    return isinstance(value, int | float | np.floating | np.ndarray)


class Operations(ABC):
    """Arithmetic on columns, folded where all is known."""

    @abstractmethod
    def _binary(self, symbol: str, a: Any, b: Any) -> Any:
        """Return ``a + b``, ``a - b``, ``a * b`` or ``a / b``; one of them is a column."""

    @abstractmethod
    def _unary(self, name: str, x: Any) -> Any:
        """Return "exp", "log" or "sqrt" of a column."""

    @abstractmethod
    def choose_below(self, x: Any, bound: float, below: Any, above: Any) -> Any:
        """Return ``below`` where x < bound, else ``above``; x is a column."""

    def let(self, x: Any, name: str) -> Any:
        """Return a value that is used often, as something short; ``name`` is a hint."""
        return x

    def add(self, a: Any, b: Any) -> Any:
        """Return ``a + b``."""
        return a + b if is_number(a) and is_number(b) else self._binary("+", a, b)

    def subtract(self, a: Any, b: Any) -> Any:
        """Return ``a - b``."""
        return a - b if is_number(a) and is_number(b) else self._binary("-", a, b)

    def multiply(self, a: Any, b: Any) -> Any:
        """Return ``a * b``."""
        return a * b if is_number(a) and is_number(b) else self._binary("*", a, b)

    def divide(self, a: Any, b: Any) -> Any:
        """Return ``a / b``."""
        return a / b if is_number(a) and is_number(b) else self._binary("/", a, b)

    def exp(self, x: Any) -> Any:
        """Return the exponential."""
        return np.exp(x) if is_number(x) else self._unary("exp", x)

    def log(self, x: Any) -> Any:
        """Return the natural logarithm."""
        return np.log(x) if is_number(x) else self._unary("log", x)

    def sqrt(self, x: Any) -> Any:
        """Return the square root."""
        return np.sqrt(x) if is_number(x) else self._unary("sqrt", x)

    def clip(self, x: Any, low: float, high: float) -> Any:
        """Return x cut to the range from low to high."""
        if is_number(x):
            return np.clip(x, low, high)
        x = self.let(x, "v")
        above = self._where_above(x, high, high, x) if np.isfinite(high) else x
        return self.choose_below(x, low, low, above) if np.isfinite(low) else above

    def _where_above(self, x: Any, bound: float, above: Any, below: Any) -> Any:
        return self.choose_below(self.subtract(0.0, x), -bound, above, below)

    def sum(self, values: list[Any]) -> Any:
        """Return the sum of some values."""
        total, *rest = values
        for value in rest:
            total = self.add(total, value)
        return total

    def logistic(self, x: Any) -> Any:
        """Return ``1 / (1 + exp(-x))``."""
        return self.divide(1.0, self.add(1.0, self.exp(self.subtract(0.0, self._cut(x)))))

    def softmax(self, logits: list[Any], name: str) -> list[Any]:
        """Return probabilities of logits, each against all others, so that none overflows."""
        found = []
        for a, own in enumerate(logits):
            odds = [
                self.exp(self._cut(self.subtract(other, own)))
                for b, other in enumerate(logits)
                if b != a
            ]
            found.append(self.let(self.divide(1.0, self.sum([1.0, *odds])), f"{name}_{a}"))
        return found

    def _cut(self, x: Any) -> Any:
        return self.clip(x, -LARGEST_EXPONENT, LARGEST_EXPONENT)

    def normal_cdf(self, x: Any) -> Any:
        """Return the distribution function of the standard normal."""
        x = self.let(self.clip(x, -_FAR, _FAR), "z")
        size = self.let(self._where_negative(x, self.subtract(0.0, x), x), "size")
        bell = self.exp(self.multiply(-0.5, self.multiply(size, size)))
        near = self.divide(
            self.multiply(bell, self._power_sum(_UPPER, size)), self._power_sum(_LOWER, size)
        )
        fraction = self.add(size, 0.65)
        for count in (4.0, 3.0, 2.0, 1.0):
            fraction = self.add(size, self.divide(count, fraction))
        far = self.divide(bell, self.multiply(fraction, _ROOT_2PI))
        tail = self.let(self._where_below(size, _TAIL, near, far), "tail")
        return self._where_negative(x, tail, self.subtract(1.0, tail))

    def _where_negative(self, x: Any, below: Any, above: Any) -> Any:
        return self._where_below(x, 0.0, below, above)

    def _where_below(self, x: Any, bound: float, below: Any, above: Any) -> Any:
        return (
            np.where(x < bound, below, above)
            if is_number(x)
            else self.choose_below(x, bound, below, above)
        )

    def _power_sum(self, coefficients: tuple[float, ...], x: Any) -> Any:
        total: Any = coefficients[0]
        for coefficient in coefficients[1:]:
            total = self.add(self.multiply(total, x), coefficient)
        return total

    def ratio_to_loss(self, rate: Any) -> Any:
        """Return ``rate / (1 - exp(-rate))`` for rate > 0, by its series near zero."""
        rate = self.let(rate, "rate")
        near = self.add(1.0, self.multiply(rate, self.add(0.5, self.divide(rate, 12.0))))
        far = self.divide(rate, self.subtract(1.0, self.exp(self.subtract(0.0, rate))))
        return self._where_below(rate, 1e-4, near, far)
