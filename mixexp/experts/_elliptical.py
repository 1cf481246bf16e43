"""What Gaussian and Student t experts of several targets share: a covariance matrix as heads.

The covariance is told by regressions of each output on those before it. With residuals ``r = y -
mean`` and innovations ``e_j = r_j - sum over i < j of b_ji r_i``, ``dispersion_j`` the variance of
e_j, ``log f(y) = -(d log(2 pi) + sum over j of log dispersion_j + Q) / 2`` where ``Q = sum over j
of e_j**2 / dispersion_j`` is the squared Mahalanobis distance. Log dispersions and b are free: the
matrix is positive definite whatever they are (Pourahmadi 1999, Biometrika 86, section 2). For
Student t the same Q stands in ``-(df + d) / 2 * log(1 + Q / df)`` (Lange, Little & Taylor 1989, J.
Am. Statist. Assoc. 84, section 2).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mixexp.arguments import is_whole
from mixexp.experts._base import LOG_DISPERSION_FLOOR, Curvature, Head, Heads
from mixexp.experts._interval_terms import of_rows, over_rows
from mixexp.experts._joint import JointExpert
from mixexp.experts._units import Unit
from mixexp.experts._weighted import log_or_zero
from mixexp.links import capped_exp, safe_exp

# Residuals whose square over the least dispersion is a number.
_LARGEST_DISTANCE = 1e100
# d (d + 1) / 2 numbers for the covariance of each expert.
_MOST_OUTPUTS = 50
_COVARIANCES = ("full", "shared", "diagonal")


class Parts(NamedTuple):
    """What densities and derivatives are made of, per output.

    Parameters
    ----------
    residual, innovation : list of ndarray of shape (..., rows)
    precision : list of ndarray of shape (..., rows) or (..., 1)
        One over the dispersions.
    """

    residual: list[np.ndarray]
    innovation: list[np.ndarray]
    precision: list[np.ndarray]

    @property
    def distance(self) -> np.ndarray:
        """The squared Mahalanobis distance Q."""
        total = self.innovation[0] ** 2 * self.precision[0]
        for innovation, precision in zip(self.innovation[1:], self.precision[1:], strict=True):
            total = total + innovation**2 * precision
        return total


class Elliptical(JointExpert):
    """What the two share: heads, and derivatives of minus half the squared distance.

    Heads are d locations, d log dispersions, the b_ji row by row, and then what a family adds.
    """

    has_scatter = True
    covariance: str
    n_outputs: int | None

    def check_options(self) -> None:
        self._check_choice("covariance", _COVARIANCES)
        is_valid = self.n_outputs is None or (
            is_whole(self.n_outputs) and 2 <= self.n_outputs <= _MOST_OUTPUTS
        )
        self._check_range(
            "n_outputs", is_valid, f"None or an int in the range [2, {_MOST_OUTPUTS}]"
        )

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """Outputs j and i < j of each b_ji."""
        if self.covariance == "diagonal":
            return []
        return [(j, i) for j in range(self.size) for i in range(j)]

    @property
    def heads(self) -> tuple[Head, ...]:
        location, square = Unit(power=1.0, moves=True), Unit(log_power=2.0)
        outputs = range(self.size)
        return (
            *(Head("location", "location", unit=location) for _ in outputs),
            *(
                Head("log_dispersion", "dispersion", lower=LOG_DISPERSION_FLOOR, unit=square)
                for _ in outputs
            ),
            *(Head(f"residual of y{i + 1}", "shape") for _, i in self.pairs),
        )

    @property
    def moving_heads(self) -> tuple[int, ...]:
        """The locations of all outputs."""
        return tuple(range(self.size))

    def output_of(self, h: int) -> int:
        if h < 2 * self.size:
            return h % self.size
        own = self.pairs[h - 2 * self.size : h - 2 * self.size + 1]
        return own[0][0] if own else -1  # degrees of freedom are of all of them

    def change_of(
        self, h: int, outputs: Sequence[tuple[float, float, float]]
    ) -> tuple[float, float]:
        if h < 2 * self.size:
            return super().change_of(h, outputs)
        if self.output_of(h) < 0:
            return 1.0, 0.0
        j, i = self.pairs[h - 2 * self.size]
        return outputs[j][1] / outputs[i][1], 0.0

    def shares_head(self, h: int) -> bool:
        return self.covariance == "shared" and self.size <= h and self.output_of(h) >= 0

    def find_unsupported(self, y: np.ndarray) -> np.ndarray:
        return ~np.isfinite(y).all(axis=0)

    # Densities.

    def _slopes(self, heads: Heads) -> dict[tuple[int, int], np.ndarray]:
        return {pair: heads[2 * self.size + at] for at, pair in enumerate(self.pairs)}

    def _parts(self, y: np.ndarray, heads: Heads) -> Parts:
        d, slopes = self.size, self._slopes(heads)
        residual = [
            np.clip(y[j] - heads[j], -_LARGEST_DISTANCE, _LARGEST_DISTANCE) for j in range(d)
        ]
        innovation = list(residual)
        for (j, i), slope in slopes.items():
            innovation[j] = innovation[j] - slope * residual[i]
        return Parts(residual, innovation, [capped_exp(-heads[d + j]) for j in range(d)])

    def _log_determinant(self, heads: Heads) -> np.ndarray:
        return sum(heads[self.size + 1 : 2 * self.size], heads[self.size])

    def _factor(self, heads: Heads, j: int, a: int) -> np.ndarray | float:
        """Return minus the derivative of the innovation j in the location a <= j."""
        if j == a:
            return 1.0
        slope = self._slopes(heads).get((j, a))
        return 0.0 if slope is None else -slope

    def _distance_score(self, parts: Parts, heads: Heads) -> list[np.ndarray]:
        """Return the derivatives of ``-Q / 2`` in all heads but those that a family adds."""
        d = self.size
        pull = [e * rate for e, rate in zip(parts.innovation, parts.precision, strict=True)]
        score = []
        for a in range(d):
            total = pull[a]
            for j in range(a + 1, d):
                total = total + pull[j] * self._factor(heads, j, a)
            score.append(total)
        score += [0.5 * pull[j] * parts.innovation[j] for j in range(d)]
        return score + [pull[j] * parts.residual[i] for j, i in self.pairs]

    def _distance_curvature(self, parts: Parts, heads: Heads) -> Curvature:
        """Return minus the second derivatives of ``-Q / 2``."""
        d = self.size
        pull = [e * rate for e, rate in zip(parts.innovation, parts.precision, strict=True)]
        out = self._precision_matrix(parts, heads)
        for a in range(d):
            for j in range(a, d):
                factor = self._factor(heads, j, a)
                out[a, d + j] = pull[j] * factor
            for at, (j, i) in enumerate(self.pairs, start=2 * d):
                factor = self._factor(heads, j, a) if a <= j else 0.0
                bend = parts.precision[j] * factor * parts.residual[i]
                out[a, at] = bend + pull[j] if a == i else bend
        for j in range(d):
            out[d + j, d + j] = 0.5 * pull[j] * parts.innovation[j]
        for at, (j, i) in enumerate(self.pairs, start=2 * d):
            out[d + j, at] = pull[j] * parts.residual[i]
            for other, (k, m) in enumerate(self.pairs, start=2 * d):
                if k == j and other >= at:
                    out[at, other] = parts.precision[j] * parts.residual[i] * parts.residual[m]
        return out

    def _precision_matrix(self, parts: Parts, heads: Heads) -> Curvature:
        """Return the inverse of the scatter matrix, by pair of locations."""
        out: Curvature = {}
        for a in range(self.size):
            for b in range(a, self.size):
                terms = [
                    parts.precision[j] * self._factor(heads, j, a) * self._factor(heads, j, b)
                    for j in range(b, self.size)
                ]
                if self.covariance != "diagonal" or a == b:
                    out[a, b] = sum(terms[1:], terms[0])
        return out

    def _slope_curvature(self, parts: Parts, weight: np.ndarray | float) -> Curvature:
        """Return curvatures of the b_ji for EM steps, each head for itself.

        A square of m terms is at most m times the sum of their squares, so steps cannot overshoot.
        """
        return {
            (at, at): j * weight * parts.precision[j] * parts.residual[i] ** 2
            for at, (j, i) in enumerate(self.pairs, start=2 * self.size)
        }

    # What users ask.

    def mean(self, heads: Heads) -> np.ndarray:
        return np.stack(np.broadcast_arrays(*heads[: self.size]))

    def scatter_of(self, heads: Heads) -> np.ndarray:
        d, slopes = self.size, self._slopes(heads)
        shape = np.broadcast_shapes(*(head.shape for head in heads[d:]))
        # Residuals are innovations mixed by a lower triangular matrix with a diagonal of ones.
        mixing = np.zeros((d, d, *shape))
        for j in range(d):
            mixing[j, j] = 1.0
            for i in range(j):
                if (j, i) in slopes:
                    mixing[j] += slopes[j, i] * mixing[i]
        dispersion = np.stack([np.broadcast_to(safe_exp(heads[d + j]), shape) for j in range(d)])
        return np.einsum("ak...,bk...,k...->ab...", mixing, mixing, dispersion)

    def widened(self, heads: Heads, errors: Sequence[np.ndarray]) -> Heads:
        """Return the heads of a scatter matrix with the squares of errors on its diagonal.

        Parameters
        ----------
        heads : tuple of ndarray of shape (experts, rows) or (experts, 1)
        errors : sequence of ndarray of shape (experts, rows)
            Of each output; the heads of experts and rows without an error are the same.

        Returns
        -------
        tuple of ndarray of shape (experts, rows) or (experts, 1)
        """
        has_error = np.any(errors, axis=0)
        d, rows = self.size, np.flatnonzero(has_error.any(axis=0))
        has_error = has_error[:, rows]
        far = of_rows(heads, rows)
        n_experts = max(len(head) for head in heads)
        scatter = np.empty((d, d, n_experts, len(rows)))
        scatter[:] = self.scatter_of(far)
        for j in range(d):
            scatter[j, j] += np.square(errors[j][:, rows])
        scatter[:, :, ~has_error] = np.eye(d)[..., None]  # has a root, and is not used
        changed = self._heads_of_scatter(scatter)
        out = [over_rows(head, errors[0].shape[-1]) for head in heads[d : d + len(changed)]]
        for head, own in zip(out, changed, strict=True):
            head[:, rows] = np.where(has_error, own, head[:, rows])
        return (*heads[:d], *out, *heads[d + len(changed) :])

    def _heads_of_scatter(self, scatter: np.ndarray) -> list[np.ndarray]:
        """Return the log dispersions and the b_ji of scatter matrices: undo `scatter_of`."""
        if not self.pairs:
            return [np.log(scatter[j, j]) for j in range(self.size)]
        lower = np.linalg.cholesky(np.moveaxis(scatter, (0, 1), (-2, -1)))
        root = np.diagonal(lower, axis1=-2, axis2=-1)
        # Innovations are residuals times the inverse of what mixes them.
        slopes = -np.linalg.inv(lower / root[..., None, :])
        dispersions = [2.0 * np.log(root[..., j]) for j in range(self.size)]
        return dispersions + [slopes[..., j, i] for j, i in self.pairs]

    def variance(self, heads: Heads) -> np.ndarray:
        covariance = self.covariance_of(heads)
        return np.stack([covariance[j, j] for j in range(self.size)])

    def sample(self, heads: Heads, rng: np.random.Generator) -> np.ndarray:
        d, slopes, shape = self.size, self._slopes(heads), heads[0].shape
        spread = self._draw_spread(heads, rng)
        residual = [
            safe_exp(0.5 * heads[d + j]) * rng.standard_normal(shape) * spread for j in range(d)
        ]
        for (j, i), slope in slopes.items():
            residual[j] = residual[j] + slope * residual[i]
        return np.stack([heads[j] + residual[j] for j in range(d)])

    def _draw_spread(self, heads: Heads, rng: np.random.Generator) -> np.ndarray | float:
        return 1.0

    def start(self, y: np.ndarray, weight: np.ndarray) -> tuple[float, ...]:
        d = self.size
        mean = np.average(y, axis=1, weights=weight)
        away = y - mean[:, None]
        covariance = (away * (weight / weight.sum())) @ away.T
        dispersions = np.diagonal(covariance).copy()
        slopes: list[float] = []
        for j in range(d if self.pairs else 0):
            before = covariance[:j, :j]
            slope = np.linalg.lstsq(before, covariance[:j, j], rcond=1e-10)[0] if j else np.zeros(0)
            dispersions[j] = max(covariance[j, j] - slope @ covariance[:j, j], 0.0)
            slopes += slope.tolist()
        return (*mean.tolist(), *(log_or_zero(float(own)) for own in dispersions), *slopes)
