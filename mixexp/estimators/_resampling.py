"""What a bootstrap refits to: rows, or clusters of them, drawn as weights, or y from the model."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from mixexp.estimators._validation import number_clusters
from mixexp.inference import draw_target

# float64 holds every number of rows up to here.
_MOST_ROWS = 2.0**53


@dataclass(frozen=True)
class _Rows:
    """Draws rows, or clusters of them, with replacement: as weights, so that X is not copied."""

    y: Any
    weight: np.ndarray
    codes: np.ndarray | None
    keeps_total: bool

    def __call__(self, rng: np.random.Generator) -> tuple[Any, np.ndarray]:
        if self.codes is None:
            total = self.weight.sum()
            return self.y, rng.multinomial(round(total), self.weight / total).astype(float)
        n_clusters = int(self.codes.max()) + 1
        times = np.bincount(rng.integers(n_clusters, size=n_clusters), minlength=n_clusters)
        out = np.zeros(len(self.weight))
        out[self.weight > 0.0] = times[self.codes]
        out *= self.weight
        if self.keeps_total:
            out *= self.weight.sum() / out.sum()
        return self.y, out


@dataclass(frozen=True)
class _Draws:
    """Draws y from a fitted model at given rows, classes as numbers."""

    model: Any
    X: Any
    known: dict[str, Any]

    def __call__(self, rng: np.random.Generator) -> tuple[Any, np.ndarray]:
        state = self.model.fitted_model_
        blocks = self.model._read_rows(self.X, **self.known)
        parts = [draw_target(state.model, state.params, block, rng) for block in blocks]
        y = np.concatenate(parts)
        return y, np.ones(len(y))


def resampling(
    model: Any,
    X: Any,
    y: Any,
    weight: np.ndarray,
    kind: str,
    cluster: Any,
    known: dict[str, Any],
) -> Callable[[np.random.Generator], tuple[Any, np.ndarray]]:
    """Return what draws a target and weights."""
    if kind == "nonparametric":
        codes = None if cluster is None else number_clusters(cluster, weight > 0.0)
        if weight.sum() > _MOST_ROWS:
            raise ValueError(
                f"sample_weight stands for {weight.sum():.4g} rows, of which no sample can be "
                "drawn; for kind='nonparametric' weights are numbers of like rows."
            )
        return _Rows(y, weight, codes, model.weight_type == "sampling")
    if not np.all(weight == 1.0):
        raise ValueError(
            "sample_weight must be 1 for kind='parametric', which draws one y per row; repeat rows "
            "in place of weights."
        )
    return _Draws(model, X, known)
