"""Checks of what users hand in: hyper-parameters and vectors. Raised in ``fit``, never before.

X is looked at in `_features.py`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import type_of_target

from mixexp.arguments import (
    SEED,
    as_array,
    as_finite,
    as_numbers,
    is_real,
    is_seed,
    is_whole,
    is_word,
    refuse_nonfinite,
    refuse_nonlabels,
)
from mixexp.model import Penalty
from mixexp.submodel import Submodel
from mixexp.text import shown
from mixexp.tree import MOST_SIBLINGS


class Rule(NamedTuple):
    """What a hyper-parameter may be.

    Parameters
    ----------
    accepts : callable
        Tells whether a value is fine.
    wording : str
        What is fine, to follow "must be".
    """

    accepts: Callable[[Any], bool]
    wording: str


def whole(lower: int, upper: float = np.inf) -> Rule:
    """Return the rule for an int between two limits, both included."""
    end = "inf)" if upper == np.inf else f"{upper}]"
    return Rule(
        lambda value: is_whole(value) and lower <= int(value) <= upper,
        f"an int in the range [{lower}, {end}",
    )


def real(lower: float) -> Rule:
    """Return the rule for a finite number of at least ``lower``."""
    return Rule(
        lambda value: is_real(value) and lower <= float(value) < np.inf,
        f"a float in the range [{lower}, inf)",
    )


def one_of(*names: str) -> Rule:
    """Return the rule for one of some names."""
    listed = ", ".join(repr(name) for name in names)
    return Rule(lambda value: is_word(value, names), f"one of {listed}")


BOOLEAN = Rule(lambda value: isinstance(value, bool | np.bool_), "a bool")
# Threads and processes that no machine has would be asked of the system all the same.
_MOST_JOBS = 4096
N_JOBS = Rule(
    lambda value: value is None or (is_whole(value) and 0 < abs(int(value)) <= _MOST_JOBS),
    f"None, a positive int up to {_MOST_JOBS}, or a negative int (-1 for all cores)",
)
RANDOM_STATE = Rule(is_seed, SEED)
# All starts are drawn at once, which more would not have the memory for.
_STARTS = whole(1, 1_000_000)
N_EXPERTS = whole(1, MOST_SIBLINGS)
N_INIT = Rule(
    lambda value: (isinstance(value, str) and value == "auto") or _STARTS.accepts(value),
    f"'auto' or {_STARTS.wording}",
)
VERBOSE = Rule(
    lambda value: isinstance(value, bool | np.bool_) or (is_whole(value) and int(value) >= 0),
    "a bool or an int in the range [0, inf)",
)


def check_parameters(estimator: Any, rules: Mapping[str, Rule]) -> None:
    """Check every hyper-parameter against its rule.

    Raises
    ------
    ValueError
        Naming the parameter, what is allowed and what was found.
    """
    for name, rule in rules.items():
        value = getattr(estimator, name)
        if not rule.accepts(value):
            raise ValueError(
                f"The {name!r} parameter of {type(estimator).__name__} must be {rule.wording}. "
                f"Got {shown(value)} instead."
            )


def check_argument(name: str, value: Any, rule: Rule) -> None:
    """Check an argument of a method against a rule.

    Raises
    ------
    ValueError
        Naming the argument, what is allowed and what was found.
    """
    if not rule.accepts(value):
        raise ValueError(f"{name} must be {rule.wording}. Got {shown(value)} instead.")


def check_submodels(penalty: Penalty, solver: Any, parts: Sequence[Any]) -> None:
    """Check that submodels are not asked for what they are not known to do.

    Raises
    ------
    ValueError
        Naming the parameter and the submodel.
    """
    own = [part.title for part in parts if isinstance(part, Submodel)]
    _check_l1(penalty, parts)
    balance = penalty.balance
    for name, value, allowed in (
        ("on_collapse", solver.on_collapse, ("warn", "error")),
        ("balance", balance, (0.0,)),
        ("variant", solver.variant, ("em",)),
    ):
        if own and value not in allowed:
            raise ValueError(
                f"The {name!r} parameter of EM must be {' or '.join(map(repr, allowed))} for a "
                f"model with a {own[0]}. Got {shown(value)}."
            )


def _check_l1(penalty: Penalty, parts: Sequence[Any]) -> None:
    """Refuse L1 penalties on what has no linear predictor, or several of which none is y's own."""
    for part in parts if penalty.has_l1 else ():
        if isinstance(part, Submodel):
            raise ValueError(
                "The 'l1' and 'gate_l1' parameters, which a regularization_path sets, must be 0 "
                f"for a model with a {part.title}, which is no linear predictor. Got "
                f"{penalty.l1:g} and {penalty.gate_l1:g}."
            )
        if part is not None and penalty.l1 > 0.0:
            n_locations = sum(head.kind == "location" for head in part.heads)
            if part.has_outputs:
                raise ValueError(
                    "The 'l1' parameter, which a regularization_path sets, must be 0 for experts "
                    f"of several targets. Got {penalty.l1:g}. Use 'alpha', or 'gate_l1' alone."
                )
            if n_locations > 1 and not penalty.l1_groups:
                raise ValueError(
                    f"The 'l1' parameter must be 0 for {part.name!r} experts of more than two "
                    f"classes, whose slopes are contrasts of classes. Got {penalty.l1:g}. "
                    "Use GroupedL1, 'alpha', or 'gate_l1' alone; a regularization_path sets 'l1'."
                )


#: Squares of y, and of residuals, are still numbers.
LARGEST_TARGET = 1e153
#: Sums over rows of weights times squares are, too.
LARGEST_WEIGHT = 1e100
# Below, shares of the largest weight lose their digits.
SMALLEST_WEIGHT = 1e-305
#: Known parts of a linear predictor of more than this, in units of y or of a logarithm, leave no
#: digit to what is to be fitted beside them.
LARGEST_SHIFT = 1e30
#: What a regressor says of y that are no numbers.
FOR_CLASSES = (
    "A regressor's y are numbers: encode it as such, or use MoEClassifier or HMEClassifier for "
    "classes."
)


def check_real_target(y: Any) -> np.ndarray:
    """Return y as a float64 vector of finite numbers; one column is made one, with a warning.

    Raises
    ------
    ValueError, TypeError
        Naming y, what it holds and what to do.
    """
    return finite_column(as_numbers(y, "y", FOR_CLASSES))


def finite_column(y: np.ndarray) -> np.ndarray:
    """Return a float64 y as a vector of finite numbers, see `check_real_target`."""
    refuse_nonfinite(y, "y")
    check_size(y, "y", LARGEST_TARGET, "their squares overflow. Give y in a larger unit")
    return _as_column(y, "y")


def check_size(values: np.ndarray, name: str, largest: float, why: str) -> None:
    """Refuse numbers whose powers or sums float64 does not hold.

    Raises
    ------
    ValueError
        Naming the argument, and the first such number.
    """
    is_large = np.abs(values) > largest
    if is_large.any():
        row = int(np.argmax(is_large.reshape(len(values), -1).any(axis=1))) if values.ndim else 0
        raise ValueError(
            f"{name} must be within +-{largest:.3g}, but is {values.flat[np.argmax(is_large)]:.3g} "
            f"at row {row}: beyond, {why}."
        )


def check_labels(y: Any) -> np.ndarray:
    """Return y as a vector of classes: numbers or strings, none of them missing.

    Raises
    ------
    ValueError, TypeError
        Naming y, what it holds and what to do.
    """
    labels = as_array(y, "y")
    refuse_nonlabels(labels, "y")
    is_number = labels.dtype.kind == "f" or (labels.dtype.kind == "O" and not _has_text(labels))
    found = _as_column(as_finite(labels, "y") if is_number else _comparable(labels), "y")
    kind = type_of_target(found, input_name="y") if len(found) else "binary"
    if kind not in ("binary", "multiclass"):
        raise ValueError(
            f"Unknown label type: {kind}. y must hold classes, whole numbers or strings; for other "
            "numbers use MoERegressor or HMERegressor."
        )
    return found


def _as_column(array: np.ndarray, name: str) -> np.ndarray:
    if array.ndim not in (1, 2) or (array.ndim == 2 and array.shape[1] != 1):
        what = "a scalar" if array.ndim == 0 else f"of shape {array.shape}"
        raise ValueError(f"{name} should be a 1d array, (n,), one value per row; got {what}.")
    return column_or_1d(array, warn=True)


def _has_text(labels: np.ndarray) -> bool:
    return any(isinstance(label, str) for label in labels.ravel())


def check_weights(sample_weight: Any, n: int) -> np.ndarray:
    """Return one finite, non-negative weight per row, not all zero.

    Raises
    ------
    ValueError
        Naming ``sample_weight``.
    """
    if sample_weight is None:
        return np.ones(n)
    if is_real(sample_weight):
        sample_weight = np.full(n, float(sample_weight))
    weight = check_per_row(sample_weight, "sample_weight", n)
    if weight.min() < 0.0:
        row = int(np.argmin(weight))
        raise ValueError(
            f"sample_weight must be non-negative; found {weight[row]} at row {row}. "
            "Drop the row, or give it weight zero."
        )
    check_size(weight, "sample_weight", LARGEST_WEIGHT, "their sums overflow. Divide them all")
    if weight.max() == 0.0:
        raise ValueError("sample_weight is zero for every row; at least one must be positive.")
    if weight.max() < SMALLEST_WEIGHT:
        raise ValueError(
            f"sample_weight is at most {weight.max():.3g}, of which no share can be told; expected "
            f"at least {SMALLEST_WEIGHT:.3g}. Divide them all by their mean."
        )
    return weight


def check_per_row(values: Any, name: str, n: int) -> np.ndarray:
    """Return finite numbers, one per row.

    Raises
    ------
    ValueError
        Naming the argument.
    """
    array = as_finite(values, name)
    if array.ndim == 0:
        raise ValueError(
            f"{name} must have shape ({n},), one per row; found {shown(values)} alone."
        )
    if array.shape != (n,):
        raise ValueError(f"{name} has shape {array.shape}; expected ({n},), one per row.")
    return array


def number_clusters(cluster: Any, n: int, chosen: np.ndarray | None) -> np.ndarray:
    """Return the numbers 0, 1, ... of the clusters of the rows that are used.

    Parameters
    ----------
    cluster : array-like of shape (n,)
    n : int
    chosen : ndarray of shape (n_used,), int, or None
        Numbers of the rows that are used; None for all of them.

    Raises
    ------
    ValueError
        Naming ``cluster``.
    """
    labels = as_array(cluster, "cluster")
    refuse_nonlabels(labels, "cluster")
    if labels.shape != (n,):
        raise ValueError(f"cluster has shape {labels.shape}; expected ({n},), one label per row.")
    if labels.dtype.kind == "f" and not np.isfinite(labels).all():
        raise ValueError("cluster holds NaN or infinity; give every row the label of a cluster.")
    found, codes = np.unique(
        _comparable(labels if chosen is None else labels[chosen]), return_inverse=True
    )
    if len(found) < 2:
        raise ValueError(f"cluster has the one label {shown(found[0])}; expected at least two.")
    return codes


def _comparable(labels: np.ndarray) -> np.ndarray:
    """Return labels that have an order: numbers, or strings where both occur."""
    if labels.dtype.kind == "O":
        return labels.astype(str if _has_text(labels) else np.float64)
    return labels


def check_exposure(values: Any, n: int) -> np.ndarray:
    """Return positive exposures, one per row."""
    exposure = check_per_row(values, "exposure", n)
    if exposure.min() <= 0.0:
        row = int(np.argmin(exposure))
        raise ValueError(
            f"exposure must be positive; found {exposure[row]} at row {row}. Drop rows that "
            "were not exposed."
        )
    return exposure


# float64 holds every whole number up to here.
_MOST_TRIALS = 2.0**53


def check_trials(values: Any, n: int) -> np.ndarray:
    """Return numbers of trials, one per row: whole, none of them negative."""
    trials = check_per_row(values, "trials", n)
    is_count = (trials >= 0.0) & (trials <= _MOST_TRIALS) & (trials == np.floor(trials))
    if not is_count.all():
        row = int(np.argmin(is_count))
        raise ValueError(
            f"trials must be whole numbers in the range [0, 2**53]; found {trials[row]} at row "
            f"{row}. Give the number of trials of which y counts the successes."
        )
    return trials


def check_same_length(n: int, y: np.ndarray) -> None:
    """Raise ValueError unless y has one value per row of X."""
    if len(y) != n:
        raise ValueError(
            f"Found input variables with inconsistent numbers of samples: X has {n} rows, "
            f"y has {len(y)}."
        )


def check_enough_rows(n_weighted: int, n: int, n_experts: int) -> None:
    """Refuse fewer rows of positive weight than there are experts.

    Raises
    ------
    ValueError
        Telling how many there are.
    """
    if n_weighted < n_experts:
        raise ValueError(
            f"Found n_samples={n} ({n_weighted} with positive weight), fewer than the "
            f"n_experts={n_experts} experts; give more rows or ask for fewer experts."
        )


def require_target(estimator: Any, y: Any) -> None:
    """Refuse a fit without y."""
    if y is None:
        raise ValueError(
            f"{type(estimator).__name__} requires y to be passed, but the target y is None."
        )
