"""What a bootstrap refits: rows or clusters drawn as weights, or y from the model; and how."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import clone

from mixexp.estimators._features import check_features
from mixexp.estimators._row_arguments import in_given_order
from mixexp.estimators._solver import EM
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
    known: Mapping[str, Any]

    def __call__(self, rng: np.random.Generator) -> tuple[Any, np.ndarray]:
        state = self.model.fitted_model_
        X = check_features(self.model, self.X, reset=False)
        per_row, order = self.model._read_with_y(X, self.known, np.ones(len(X)))
        blocks = state.read_rows(X, per_row, order)
        parts = [draw_target(state.model, state.params, block, rng) for block in blocks]
        y = in_given_order(parts, order)
        return y, np.ones(len(y))


def resampling(
    model: Any,
    X: Any,
    y: Any,
    weight: np.ndarray,
    kind: str,
    cluster: Any,
    known: Mapping[str, Any],
) -> Callable[[np.random.Generator], tuple[Any, np.ndarray]]:
    """Return what draws a target and weights."""
    if kind == "nonparametric":
        codes = (
            None
            if cluster is None
            else number_clusters(cluster, len(weight), np.flatnonzero(weight > 0.0))
        )
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


def to_start_here(model: Any) -> Any:
    """Return an unfitted copy that starts from the coefficients of a fitted one."""
    return clone(model).set_params(
        **_keeping_experts(model),
        init=model,
        n_init=1,
        weight_type="frequency",  # those of a resample are numbers of rows by now
        n_jobs=1,
        verbose=0,
    )


def to_start_afresh(model: Any, seed: int) -> Any:
    """Return an unfitted copy; `clone` alone would also forget the fit of an ``init``."""
    return clone(model).set_params(
        **_keeping_experts(model),
        init=model.init,
        random_state=seed,
        n_jobs=1,
        verbose=0,
    )


def _keeping_experts(model: Any) -> dict[str, Any]:
    """Return parameters that make refits have the experts of a fit, all of them and no more."""
    solver = EM() if model.solver is None else model.solver
    kept: dict[str, Any] = {"solver": clone(solver).set_params(on_collapse="warn")}
    if solver.on_collapse != "drop":
        return kept
    if "tree" in model.get_params(deep=False):
        kept["tree"] = model.tree_.to_nested()
    else:
        kept["n_experts"] = model.tree_.n_leaves
    if isinstance(model.expert, list | tuple):
        kept["expert"] = list(model.experts_)
    return kept
