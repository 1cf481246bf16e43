"""Checks of what users hand in: hyper-parameters and data. Raised in ``fit``, never before."""

import numbers
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse
from sklearn.utils import check_array
from sklearn.utils.validation import validate_data


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


def whole(lower: int) -> Rule:
    """Return the rule for an int of at least ``lower``."""
    return Rule(
        lambda value: is_whole(value) and int(value) >= lower,
        f"an int in the range [{lower}, inf)",
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
    return Rule(lambda value: isinstance(value, str) and value in names, f"one of {listed}")


def is_whole(value: Any) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool | np.bool_)


def is_real(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool | np.bool_)


BOOLEAN = Rule(lambda value: isinstance(value, bool | np.bool_), "a bool")
N_JOBS = Rule(
    lambda value: value is None or (is_whole(value) and int(value) != 0),
    "None, a positive int, or a negative int (-1 for all cores)",
)
RANDOM_STATE = Rule(
    lambda value: (
        value is None
        or isinstance(value, np.random.RandomState)
        or (is_whole(value) and 0 <= int(value) < 2**32)
    ),
    "None, an int in the range [0, 2**32), or a numpy.random.RandomState",
)
N_INIT = Rule(
    lambda value: (isinstance(value, str) and value == "auto") or whole(1).accepts(value),
    f"'auto' or {whole(1).wording}",
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
                f"Got {value!r} instead."
            )


def check_acceleration(responsibility: str, acceleration: str) -> None:
    """Check that acceleration is not asked for where there is none.

    Raises
    ------
    ValueError
        Naming both parameters.
    """
    if responsibility == "hard" and acceleration not in ("auto", "none"):
        raise ValueError(
            f"The 'acceleration' parameter is {acceleration!r}, which needs a smooth objective; "
            "that of responsibility='hard' has kinks. Leave it at 'auto'."
        )


def check_collapse(on_collapse: str, constraints: Any) -> None:
    """Check that experts that may be dropped are not named by their numbers.

    Raises
    ------
    ValueError
        Naming both parameters.
    """
    if on_collapse == "drop" and constraints:
        raise ValueError(
            "The 'on_collapse' parameter is 'drop', which changes the numbers by which "
            "'constraints' name experts. Use 'respawn', 'warn' or 'error'."
        )


def refuse_nonnumbers(values: Any, name: str) -> None:
    """Refuse what would be turned into numbers without a word.

    Masked arrays lose their mask, dates become integers and numeric strings are parsed by
    the usual conversion to an array.

    Raises
    ------
    ValueError, TypeError
        Naming the argument.
    """
    _refuse(values, name, "mMcUS", (str, bytes, np.datetime64, np.timedelta64))


def refuse_nonlabels(values: Any, name: str) -> None:
    """Refuse what is neither a number nor a string, where labels are expected."""
    _refuse(values, name, "mMc", (np.datetime64, np.timedelta64))


_KINDS = {
    "m": "durations",
    "M": "dates",
    "c": "complex numbers (Complex data not supported)",
    "U": "strings",
    "S": "strings",
}


def _refuse(values: Any, name: str, kinds: str, types: tuple[type, ...]) -> None:
    if sparse.issparse(values):
        return  # scikit-learn's own check says what to do
    columns = getattr(values, "columns", ())
    if len(columns) and hasattr(values, "sparse"):  # pandas, every column sparse
        raise TypeError(f"{name} is a sparse frame; make it dense with {name}.sparse.to_dense().")
    if isinstance(values, np.ma.MaskedArray) and np.ma.getmaskarray(values).any():
        raise ValueError(
            f"{name} is a masked array with masked entries; got {values.mask.sum()} of them. "
            "Impute or drop them first."
        )
    array = _as_array(values, name)
    if array.dtype.kind in kinds:
        error = TypeError if array.dtype.kind in "mM" else ValueError
        found = _KINDS[array.dtype.kind]
        raise error(f"{name} holds {found}, dtype {array.dtype}; expected numbers.")
    if array.dtype.kind == "O":
        _refuse_objects(array, name, types, getattr(values, "columns", None))


def _as_array(values: Any, name: str) -> np.ndarray:
    try:
        return np.asarray(values)
    except ValueError as error:
        raise ValueError(f"{name} cannot be made an array: {error}") from error


def _refuse_objects(array: np.ndarray, name: str, types: tuple[type, ...], columns: Any) -> None:
    for position, value in np.ndenumerate(array):
        if isinstance(value, types) or hasattr(value, "isoformat"):
            where = f"column {columns[position[1]]!r}" if columns is not None else f"{position}"
            raise ValueError(
                f"{name} must be numeric; found {value!r} of type {type(value).__name__} at "
                f"{where}. Encode it as numbers first, for instance with a ColumnTransformer."
            )


def _refuse_duplicate_names(names: Any) -> None:
    """Refuse columns that a name does not tell apart, where features may be given by name."""
    for name, count in Counter(names).items():
        if count > 1:
            raise ValueError(f"X has {count} columns named {name!r}; give each a name of its own.")


def check_features(
    estimator: Any, X: Any, *, reset: bool, needs_features: bool = True
) -> np.ndarray:
    """Return X as a float64 or float32 array, names and number of features kept or compared.

    Arrays of these types are not copied, whatever their layout: blocks of rows are cast when
    they are standardised. All else becomes float64.

    Parameters
    ----------
    estimator : estimator
    X : array-like of shape (n, n_features)
    reset : bool
        Whether to keep names and number, or to compare them.
    needs_features : bool, default=True
        Whether X of no columns is refused, if there is nothing to compare with.
    """
    refuse_nonnumbers(X, "X")
    _refuse_duplicate_names(getattr(X, "columns", ()))
    least = int(needs_features) if reset else min(int(estimator.n_features_in_), 1)
    if least:
        _refuse_no_columns(estimator, X)
    dtype = [np.float64, np.float32]
    if not least and np.shape(X)[1:] == (0,):  # a frame without columns has no type
        X = np.empty(np.shape(X))
    return validate_data(estimator, X, reset=reset, dtype=dtype, ensure_min_features=least)


def _refuse_no_columns(estimator: Any, X: Any) -> None:
    shape: tuple[int, ...] = tuple(getattr(X, "shape", ()))
    if shape[1:] == (0,) and shape[0] > 0:
        raise ValueError(  # begins as scikit-learn's own message, which its checks look for
            f"Found array with 0 feature(s) (shape={shape}) while a minimum of 1 is required by "
            f"{type(estimator).__name__}. A model without features is one with gate='constant', "
            "or with gate_features=[] and expert_features=[]."
        )


def check_real_target(y: Any) -> np.ndarray:
    """Return y as a float64 array of finite numbers."""
    refuse_nonnumbers(y, "y")
    array = check_array(y, ensure_2d=False, dtype=np.float64, input_name="y", estimator="y")
    return np.ascontiguousarray(array)


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
    if weight.max() == 0.0:
        raise ValueError("sample_weight is zero for every row; at least one must be positive.")
    return weight


def check_per_row(values: Any, name: str, n: int) -> np.ndarray:
    """Return finite numbers, one per row.

    Raises
    ------
    ValueError
        Naming the argument.
    """
    refuse_nonnumbers(values, name)
    if is_real(values):
        raise ValueError(f"{name} must have shape ({n},), one per row; found {values!r} alone.")
    array = check_array(values, ensure_2d=False, dtype=np.float64, input_name=name)
    if array.ndim != 1 or len(array) != n:
        raise ValueError(f"{name} has shape {array.shape}; expected ({n},), one per row.")
    return np.ascontiguousarray(array)


def number_clusters(cluster: Any, is_used: np.ndarray) -> np.ndarray:
    """Return the numbers 0, 1, ... of the clusters of the rows that are used.

    Raises
    ------
    ValueError
        Naming ``cluster``.
    """
    refuse_nonlabels(cluster, "cluster")
    labels = np.asarray(cluster)
    if labels.shape != is_used.shape:
        raise ValueError(
            f"cluster has shape {labels.shape}; expected {is_used.shape}, one label per row."
        )
    if labels.dtype.kind == "f" and not np.isfinite(labels).all():
        raise ValueError("cluster holds NaN or infinity; give every row the label of a cluster.")
    found, codes = np.unique(labels[is_used], return_inverse=True)
    if len(found) < 2:
        raise ValueError(f"cluster has the one label {found[0]!r}; expected at least two.")
    return codes


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


def check_same_length(n: int, y: np.ndarray) -> None:
    """Raise ValueError unless y has one value per row of X."""
    if len(y) != n:
        raise ValueError(
            f"Found input variables with inconsistent numbers of samples: X has {n} rows, "
            f"y has {len(y)}."
        )


_NO_NAMES = (
    "a column number, for X has no column names. In a pipeline the steps before give them with "
    "set_output(transform='pandas')"
)


def select_columns(features: Any, name: str, names: np.ndarray | None, p: int) -> list[int]:
    """Return the column numbers of a user's selection of features.

    Parameters
    ----------
    features : None, or sequence of str or int
    name : str
        The hyper-parameter, for messages.
    names : ndarray of str or None
        Names of the columns, if they have any.
    p : int
        Number of columns.

    Raises
    ------
    ValueError
        If a name is unknown, a number out of range, or one occurs twice.
    """
    if features is None:
        return list(range(p))
    if not isinstance(features, list | tuple | np.ndarray) and not hasattr(features, "take"):
        raise ValueError(
            f"The {name!r} parameter must be None or a list of names or column numbers. "
            f"Got {features!r} instead."
        )
    columns = [_column_number(feature, name, names, p) for feature in features]
    if len(set(columns)) < len(columns):
        raise ValueError(f"The {name!r} parameter names a feature twice. Got {list(features)!r}.")
    return columns


def _column_number(feature: Any, name: str, names: np.ndarray | None, p: int) -> int:
    if isinstance(feature, str):
        known = [] if names is None else list(names)
        if feature not in known:
            allowed = f"one of {known}" if known else _NO_NAMES
            raise ValueError(f"Unknown feature {feature!r} in {name!r}; expected {allowed}.")
        return known.index(feature)
    if not is_whole(feature) or not 0 <= int(feature) < p:
        raise ValueError(
            f"Unknown feature {feature!r} in {name!r}; expected a name or a column number in "
            f"the range [0, {p})."
        )
    return int(feature)
