"""Starts that a user hands in: labels, responsibilities or a fitted estimator."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from mixexp.arguments import as_array
from mixexp.data import Scaling
from mixexp.em import STARTS, Problem, params_from_afar, smooth_labels
from mixexp.estimators._plausibility import bring_near
from mixexp.model import FittedModel, Model, Parameters, unstack_parameters
from mixexp.text import shown


class SeveralStarts(NamedTuple):
    """Starts that run together, for fits that the library asks for.

    Parameters
    ----------
    inits : list
        What a user may hand in as ``init``.
    """

    inits: list[Any]


class GrownStart(NamedTuple):
    """A fit of the same model that the library made a step at a time: moves may lead on from it.

    Parameters
    ----------
    estimator : estimator
    """

    estimator: Any


def given_starts(init: Any, *known: Any) -> list[tuple[str, Parameters]]:
    """Return the starts that are handed in, none if ``init`` names a strategy.

    Parameters
    ----------
    init : SeveralStarts, GrownStart, or as for `given_start`
    *known : object
        The other arguments of `given_start`.
    """
    if isinstance(init, GrownStart):
        return [("grown", params) for _, params in given_starts(init.estimator, *known)]
    inits = init.inits if isinstance(init, SeveralStarts) else [init]
    return [start for own in inits if (start := given_start(own, *known)) is not None]


def given_start(
    init: Any,
    problem: Problem,
    pooled: Parameters,
    scaling: Scaling,
    chosen: np.ndarray | None,
    n: int,
) -> tuple[str, Parameters] | None:
    """Return the user's start with a name for it, or None if ``init`` names a strategy.

    Parameters
    ----------
    init : str, array-like or fitted estimator
    problem : Problem
    pooled : Parameters
    scaling : Scaling
    chosen : ndarray of shape (n_used,), int, or None
        Numbers of the rows of the user's X that are used, in their order; None for all.
    n : int
        Rows of the user's X.

    Raises
    ------
    ValueError
        If it is none of these, or does not fit the model.
    """
    if isinstance(init, str):
        if init not in STARTS:
            raise ValueError(
                f"The 'init' parameter must be one of {sorted(STARTS)}, labels of shape (n,), "
                "responsibilities of shape (n, n_experts) or a fitted estimator. Got "
                f"{shown(init)}."
            )
        return None
    if hasattr(init, "get_params"):
        params = problem.model.project(_params_of_estimator(init, problem.model, scaling))
        return "estimator", bring_near(problem, params, pooled)
    resp = _given_responsibilities(init, problem.model.tree.n_leaves, chosen, n)
    name = "labels" if np.ndim(init) == 1 else "responsibilities"
    params = params_from_afar(problem, pooled, 1, resp)
    return name, unstack_parameters(params)[0]


def _params_of_estimator(init: Any, model: Model, scaling: Scaling) -> Parameters:
    state = getattr(init, "fitted_model_", None)
    if state is None:
        raise ValueError(f"The 'init' parameter is an estimator that is not fitted: {shown(init)}.")
    if _layout(state.model) != _layout(model):
        raise ValueError(
            "The 'init' parameter is an estimator with other experts, gates or features: it has "
            f"tree {state.model.tree.to_nested()} and coefficients {state.model.slot_shapes}, "
            f"this one tree {model.tree.to_nested()} and {model.slot_shapes}."
        )
    found = FittedModel.from_raw_slots(model, scaling, state.raw_slots())
    return found.params._replace(others=state.others_for(scaling))


def _layout(model: Model) -> tuple[Any, ...]:
    families = [
        (type(g.uncensored().family).__name__, tuple(g.leaves), g.designs) for g in model.groups
    ]
    designs = [tuple(columns) for columns in model.designs]
    gates = [(own.nodes.tolist(), own.design) for own in model.gates]
    others = [(type(o.submodel), o.nodes.tolist(), o.design) for o in model.others]
    return model.tree.to_nested(), families, designs, gates, others


def _given_responsibilities(
    init: Any, n_leaves: int, chosen: np.ndarray | None, n: int
) -> Callable[[slice], np.ndarray]:
    """Return what gives responsibilities of weighted rows, shape (n_leaves, 1, rows)."""
    given = as_array(init, "init")
    if given.dtype.kind not in "biuf" or given.ndim not in (1, 2):
        raise ValueError(
            f"The 'init' parameter must be a name, labels, responsibilities or a fitted "
            f"estimator. Got {type(init).__name__} of dtype {given.dtype}, shape {given.shape}."
        )
    if len(given) != n:
        raise ValueError(
            f"The 'init' parameter has {len(given)} rows, but X has {n}; give one "
            "label or one row of responsibilities per row of X."
        )
    if given.ndim == 1:
        labels = given if chosen is None else given[chosen]
        if not np.all(np.isin(labels, np.arange(n_leaves))):
            raise ValueError(
                f"The 'init' parameter holds labels outside of 0, ..., {n_leaves - 1}; "
                f"found {labels.min()} to {labels.max()}."
            )
        return lambda rows: smooth_labels(labels[None, rows], n_leaves)
    resp = given if chosen is None else given[chosen]
    if resp.shape[1] != n_leaves:
        raise ValueError(
            f"The 'init' parameter has shape {given.shape}; expected (n, {n_leaves}), one column "
            "of responsibilities per expert."
        )
    if not np.all(resp >= 0.0) or not np.allclose(resp.sum(axis=1), 1.0, atol=1e-6):
        raise ValueError(
            "The 'init' parameter must have responsibilities that are non-negative and sum to "
            "one in every row; got rows that do not."
        )
    return lambda rows: np.ascontiguousarray(resp[rows].T[:, None], dtype=np.float64)
