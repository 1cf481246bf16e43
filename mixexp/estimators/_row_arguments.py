"""What is known of each row beside features, y and weight: declared once, taken as keywords.

Methods take row arguments as ``**given`` and hand them on as they are; `row_arguments` shows them
as keywords, to users and to scikit-learn's metadata routing. A further one is an entry of
`GivenWithoutY` or `Given`, its description in `_DOCS`, and its check in `read_rows`.
"""

from collections.abc import Callable, Mapping, Sequence
from inspect import Parameter, signature
from types import MappingProxyType
from typing import Any, TypedDict, TypeVar, get_args

import numpy as np

from mixexp.arguments import in_memory
from mixexp.data import RowArguments
from mixexp.estimators._features import refuse_source
from mixexp.estimators._intervals import EXACT, Interval
from mixexp.estimators._panels import known_leaves, number_groups, read_labels
from mixexp.estimators._validation import (
    LARGEST_SHIFT,
    LARGEST_TARGET,
    check_exposure,
    check_per_row,
    check_size,
    check_trials,
)
from mixexp.text import shown

Method = TypeVar("Method", bound=Callable[..., Any])


class GivenOfX(TypedDict, total=False):
    """Row arguments that stand beside features alone."""

    offset: Any
    exposure: Any
    trials: Any


class GivenWithoutY(GivenOfX, total=False):
    """Row arguments of methods that predict y."""

    groups: Any
    history: Any


class GivenOfClasses(TypedDict, total=False):
    """Row arguments of methods that predict classes."""

    offset: Any
    groups: Any
    history: Any


class GivenOfGates(TypedDict, total=False):
    """Row arguments of methods that ask gates alone."""

    groups: Any
    history: Any


class Given(GivenOfX, total=False):
    """Row arguments of methods that are given y."""

    groups: Any
    known_expert: Any
    censoring: Any
    y_upper: Any
    y_resolution: Any
    truncation: Any


#: No row argument at all.
NOTHING: Mapping[str, Any] = MappingProxyType({})

_DOCS = {
    "offset": """array-like of shape (n,), default=None
            Added to the linear predictor of every expert, on its scale (of y for an identity
            link, of the log mean for a log link); 0 if absent.""",
    "exposure": """array-like of shape (n,), default=None
            Positive; its logarithm is added to the offset. For experts with a log link: the
            mean is then a rate times the exposure; 1 if absent. Nothing is kept of what `fit` was
            given: without it, predictions and scores are those of an exposure of 1.""",
    "trials": """array-like of shape (n,), default=None
            Number of trials of which y counts the successes; for binomial experts, 1 if absent.""",
    "groups": """array-like of shape (n,), default=None
            Labels, numbers or strings, of groups of rows that share their expert, in any order.
            Weights and what gates look at are the same in all rows of a group. None if every row
            has an expert of its own.""",
    "known_expert": """array-like of shape (n,) or (n, n_experts), default=None
            Number of the expert that a row is known to belong to, -1 where it is not known; or
            a boolean matrix of the experts that it may belong to. In `fit` it says which expert
            has which number.""",
    "censoring": """array-like of shape (n,), default=None
            0 where y is exact, 1 where it is a lower bound (right-censored: y is known to be
            larger), -1 where it is an upper bound (left-censored). Predictions are of y itself.""",
    "y_upper": """array-like of shape (n,), default=None
            y is known to lie in [y, y_upper]: equal where it is exact, inf where y is a lower
            bound; y may be -inf where ``y_upper`` is the only bound.""",
    "y_resolution": """float or array-like of shape (n,), default=None
            Step that exact y are rounded to, 0 where they are not: y is known to that only.""",
    "truncation": """float, or array-like of shape (n,) or (n, 2), default=None
            y is seen only because it is above this, or above the first and not above the second:
            a deductible, a late entry, a least size. Gates and experts are those of the population
            that rows are drawn from, and so are predictions.""",
    "history": """tuple of (X, y, groups), default=None
            Rows whose y is known, of the groups whose rows are predicted: these are weighted by
            what their group's y say, those of other groups by the gate. A fourth entry may be a
            mapping of further row arguments of these rows.""",
}
# Of predictions.
_GROUPS_OF_HISTORY = """array-like of shape (n,), default=None
            Labels of groups, as in ``history``; of use with it alone."""


def row_arguments(method: Method) -> Method:
    """Show the row arguments that a method takes as ``**given`` in its signature and docstring."""
    shape = signature(method)
    (own,) = (p for p in shape.parameters.values() if p.kind is Parameter.VAR_KEYWORD)
    (declared,) = get_args(own.annotation)
    names = list(declared.__annotations__)
    keywords = [Parameter(name, Parameter.KEYWORD_ONLY, default=None) for name in names]
    others = [p for p in shape.parameters.values() if p is not own]
    method.__signature__ = shape.replace(parameters=[*others, *keywords])  # type: ignore[attr-defined]
    doc = method.__doc__ or ""
    indent = doc[: doc.find("<PER_ROW>")].rpartition("\n")[2]
    method.__doc__ = doc.replace(
        "<PER_ROW>", describe(names).replace("\n" + " " * 8, "\n" + indent)
    )
    return method


def describe(names: Sequence[str]) -> str:
    """Return the entries of row arguments in a docstring's list of parameters."""
    docs = {**_DOCS, "groups": _GROUPS_OF_HISTORY} if "history" in names else _DOCS
    return "\n        ".join(f"{name} : {docs[name]}" for name in names)


def refuse_unknown(given: Mapping[str, Any], declared: type | None = None) -> None:
    """Refuse keywords that are no row arguments.

    Parameters
    ----------
    given : mapping of str to object
    declared : TypedDict, optional
        What may be given; any row argument by default.

    Raises
    ------
    TypeError
        Naming the first.
    """
    known = {**GivenWithoutY.__annotations__, **Given.__annotations__}
    if declared is not None:
        known = declared.__annotations__
    for name in given:
        if name not in known:
            raise TypeError(
                f"got an unexpected keyword argument {name!r}; what may be given per row is "
                f"{', '.join(known)}."
            )


def read_rows(
    given: Mapping[str, Any],
    weight: np.ndarray,
    n_leaves: int,
    evidence: np.ndarray | None = None,
    interval: Interval = EXACT,
) -> RowArguments:
    """Return what is known of each row, exposure as part of the offset.

    Parameters
    ----------
    given : mapping of str to object
        Row arguments, as users give them.
    weight : ndarray of shape (n,)
    n_leaves : int
    evidence : ndarray of shape (n_leaves, n), optional
        What other rows say of these.
    interval : Interval
        What y are known to lie in.

    Raises
    ------
    ValueError, TypeError
        Naming the argument, what was found and what to do.
    """
    refuse_unknown(given)
    n, get = len(weight), given.get
    offset, exposure, trials = get("offset"), get("exposure"), get("trials")
    total = None if offset is None else check_per_row(offset, "offset", n)
    if total is not None:
        check_size(total, "offset", LARGEST_TARGET, "sums with it overflow. Use smaller units")
    if exposure is not None:
        log_exposure = np.log(check_exposure(exposure, n))
        total = log_exposure if total is None else total + log_exposure
    counts = None if trials is None else check_trials(trials, n)
    groups = None if get("groups") is None else number_groups(get("groups"), weight)
    if get("known_expert") is not None:
        evidence = known_leaves(get("known_expert"), n, n_leaves, groups)
    if groups is not None and interval.window is not None:
        raise ValueError(
            "truncation and groups do not go together: whether a group is seen depends on all of "
            "its rows. Leave one of them out."
        )
    return RowArguments(weight, total, counts, groups, evidence, *interval)


def check_offset(known: RowArguments, target: np.ndarray) -> None:
    """Refuse offsets beside which y has no digits left.

    Raises
    ------
    ValueError
        Naming the offset.
    """
    if known.offset is not None:
        most = LARGEST_SHIFT * max(1.0, float(np.abs(target).max()))
        check_size(known.offset, "offset", most, "it leaves no digit of y to be explained")


def rows_in_order(known: RowArguments) -> np.ndarray | None:
    """Return the rows with positive weight, those of a group beside each other; None if so given.

    Parameters
    ----------
    known : RowArguments

    Returns
    -------
    ndarray of shape (n_used,), int, or None
    """
    is_used = known.weight > 0.0
    if known.groups is None:
        return None if is_used.all() else np.flatnonzero(is_used)
    order = np.argsort(known.groups, kind="stable")
    return order[is_used[order]]


def in_given_order(parts: list[np.ndarray], order: np.ndarray | None) -> np.ndarray:
    """Return the values of blocks of rows, (n, ...), where their rows were given."""
    values = np.concatenate(parts)
    if order is None:
        return values
    out = np.empty_like(values)
    out[order] = values
    return out


def refuse_history(given: Mapping[str, Any]) -> None:
    """Refuse labels of groups without what is known of the groups.

    Raises
    ------
    ValueError
        Naming the argument.
    """
    if given.get("groups") is not None and given.get("history") is None:
        raise ValueError(
            "groups say nothing of rows whose y is not known unless history=(X, y, groups) says "
            "what their groups did before; give both or none."
        )
    if given.get("history") is not None and given.get("groups") is None:
        raise ValueError("history tells of groups: say by groups= which rows are of which group.")


def predict_to_score(predict: Callable[..., Any], X: Any, given: Mapping[str, Any]) -> Any:
    """Return predictions for rows whose y they are compared with.

    Groups come with such rows in searches and formulas. Without a history they say nothing of a
    prediction, which is then that of the gate alone.

    Parameters
    ----------
    predict : callable
    X : array-like of shape (n, n_features)
    given : mapping of str to object
        Row arguments of ``predict``.

    Raises
    ------
    ValueError, TypeError
        As ``predict``, and if groups are no labels of the rows or X is a source.
    """
    refuse_source(X)
    groups = given.get("groups")
    if groups is None or given.get("history") is not None:
        return in_memory(predict(X, **given))
    known = {name: value for name, value in given.items() if name != "groups"}
    predicted, groups = in_memory(predict(X, **known)), in_memory(groups)
    read_labels(groups, "groups", len(predicted))
    return predicted


def read_history(history: Any) -> tuple[Any, Any, Any, Mapping[str, Any]]:
    """Return features, y, groups and further row arguments of past rows.

    Raises
    ------
    ValueError
        Naming ``history``.
    """
    parts = list(history) if isinstance(history, tuple | list) else []
    if len(parts) == 3:
        parts.append(NOTHING)
    if len(parts) != 4 or not isinstance(parts[3], Mapping):
        raise ValueError(
            "history must be a tuple (X, y, groups) of rows whose y is known, with a mapping of "
            f"further row arguments, if any, as a fourth entry. Got {shown(history)}."
        )
    if parts[3].get("groups") is not None:
        raise ValueError("history has its groups as the third entry; leave them out of the fourth.")
    return parts[0], parts[1], parts[2], parts[3]
