"""Other people's estimators: how one is told weights, fitted, and asked for predictions."""

from collections.abc import Callable
from importlib.util import find_spec
from inspect import Parameter, signature
from typing import Any

import numpy as np
from sklearn import get_config
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import has_fit_parameter

from mixexp.text import shown

#: Rows that count for less than this share of the row that counts most are left out of a fit.
LEAST_SHARE = 1e-9
# Where an estimator leaves its seed open it is this one, lest EM meet another fit every time.
_SEED = 0
# Blocks of rows whose predictions are kept: those of a million rows.
_MOST_BLOCKS = 64
# Names under which estimators that wrap another keep it.
_INNER = ("estimator", "regressor", "base_estimator")


def is_estimator(value: Any) -> bool:
    """Return whether a value is an estimator of scikit-learn's kind that predicts."""
    methods = ("fit", "get_params")
    if isinstance(value, type) or not all(hasattr(value, name) for name in methods):
        return False
    # Estimators that ask another may have no `predict` before they are fitted: stacking.
    return hasattr(value, "predict") or (
        hasattr(value, "__sklearn_tags__") and (is_regressor(value) or is_classifier(value))
    )


def has_probabilities(estimator: Any) -> bool:
    """Return whether a classifier has ``predict_proba``, as far as is known before a fit.

    Parameters
    ----------
    estimator : classifier
        Stacking asks its last estimator, which has probabilities if it is left to scikit-learn.
    """
    if isinstance(estimator, Pipeline):
        return has_probabilities(estimator.steps[-1][1])
    if getattr(estimator, "final_estimator", "none is asked for") is None:
        return hasattr(type(estimator), "predict_proba")
    return hasattr(estimator, "predict_proba")


def title_of(estimator: Any) -> str:
    """Return what messages call an estimator: its class, of a pipeline that of its last step."""
    last = estimator.steps[-1][1] if isinstance(estimator, Pipeline) else estimator
    return type(last).__name__


def weight_argument(estimator: Any) -> str | None:
    """Return the argument of an estimator's ``fit`` that takes weights, None if there is none.

    Parameters
    ----------
    estimator : estimator
        In a pipeline it is the last step that takes them; in an estimator that wraps another, the
        inner one; in one of several, such as votes, all of them.
    """
    if has_fit_parameter(estimator, "sample_weight"):
        return "sample_weight"
    if isinstance(estimator, Pipeline):
        name, last = estimator.steps[-1]
        found = None if last in (None, "passthrough") else weight_argument(last)
        if found is None or get_config()["enable_metadata_routing"]:
            return found
        return f"{name}__{found}"
    kinds = [parameter.kind for parameter in signature(estimator.fit).parameters.values()]
    if Parameter.VAR_KEYWORD in kinds:
        for part in _parts_of(estimator)[:1]:
            return weight_argument(part)
        members = _members_of(estimator)
        if members and all(weight_argument(own) == "sample_weight" for own in members):
            return "sample_weight"
    return None


def _parts_of(estimator: Any) -> list[Any]:
    """Return the estimator that another wraps, in a list; none of such as wrap none."""
    found = (getattr(estimator, name, None) for name in _INNER)
    return [part for part in found if hasattr(part, "fit")]


def _members_of(estimator: Any) -> list[Any]:
    """Return the estimators that one of several is made of, without those that are dropped."""
    pairs = getattr(estimator, "estimators", None)
    pairs = pairs if isinstance(pairs, list | tuple) else []
    return [own for _, own in pairs if hasattr(own, "fit")]


def check_weighting(estimator: Any, weighting: str, where: str, wrapper: str) -> None:
    """Check that an estimator can be fitted to weighted rows.

    Parameters
    ----------
    estimator : estimator
    weighting : {"sample_weight", "resample"}
    where : str
        Which part of the model it is.
    wrapper : str
        Public name of what takes ``weighting``.

    Raises
    ------
    ValueError
        Naming it, and what there is in place of weights.
    """
    if weighting == "sample_weight" and weight_argument(estimator) is None:
        raise ValueError(
            f"{title_of(estimator)}, {where}, takes no sample_weight in fit, which every row has "
            "here. Use another estimator, or wrap it so that rows are drawn in proportion to their "
            f'weights: {wrapper}(estimator, weighting="resample").'
        )


def new_copy(estimator: Any) -> Any:
    """Return an unfitted copy with a seed wherever one was left open."""
    copy = clone(estimator)
    open_seeds = {
        name: _SEED
        for name, value in copy.get_params(deep=True).items()
        if value is None and (name == "random_state" or name.endswith("__random_state"))
    }
    if open_seeds:
        copy.set_params(**open_seeds)
    if get_config()["enable_metadata_routing"]:
        _request_weights(copy)
    return copy


def _request_weights(estimator: Any, is_wanted: bool = True) -> None:
    """Ask for weights where an estimator takes them and its user has said nothing.

    In a pipeline the last step is to have them, and none before.
    """
    if isinstance(estimator, Pipeline):
        *before, (_, last) = estimator.steps
        for _, step in before:
            _request_weights(step, False)
        _request_weights(last, is_wanted)
        return
    for part in (*_parts_of(estimator), *_members_of(estimator)):
        _request_weights(part, is_wanted)
    if hasattr(estimator, "set_fit_request") and has_fit_parameter(estimator, "sample_weight"):
        # Of one that routes, too, there is no public word on what it asks for itself.
        own = getattr(estimator.get_metadata_routing(), "fit", None)
        if own is None or own.requests.get("sample_weight") is None:
            estimator.set_fit_request(sample_weight=is_wanted)


def counted_rows(weight: np.ndarray) -> np.ndarray:
    """Return the numbers of the rows whose weight is more than next to nothing."""
    return np.flatnonzero(weight > LEAST_SHARE * weight.max())


def fit_weighted(estimator: Any, X: Any, y: np.ndarray, weight: np.ndarray, weighting: str) -> Any:
    """Return a copy of an estimator, fitted to weighted rows.

    Parameters
    ----------
    estimator : estimator
        Left as it is.
    X : ndarray of shape (rows, p), or a frame
    y : ndarray of shape (rows,)
    weight : ndarray of shape (rows,)
        Positive.
    weighting : {"sample_weight", "resample"}
        "resample" gives as many rows as there are, each as often as its weight says, to a whole
        number.
    """
    copy = new_copy(estimator)
    if weighting == "resample":
        rows = _resampled(weight)
        return copy.fit(take_rows(X, rows), y[rows])
    return copy.fit(X, y, **{str(weight_argument(copy)): weight})


def _resampled(weight: np.ndarray) -> np.ndarray:
    """Return numbers of rows, systematically: each as often as its share of all, rounded."""
    reached = np.cumsum(weight) / weight.sum() * len(weight)
    counts = np.diff(np.round(reached), prepend=0.0).astype(np.int64)
    return np.repeat(np.arange(len(weight)), counts)


def take_rows(X: Any, rows: np.ndarray) -> Any:
    """Return some rows of an array or a frame."""
    return X.iloc[rows] if hasattr(X, "iloc") else X[rows]


def as_table(X: np.ndarray, names: list[str] | None) -> Any:
    """Return rows as a frame where columns have names, and pandas is there; else as they are."""
    if names is None or find_spec("pandas") is None:
        return X
    from pandas import DataFrame

    return DataFrame(X, columns=names)


class Told:
    """Notes on an error of someone else's code where it was met, and lets it pass.

    Parameters
    ----------
    what : str
    """

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        if error is not None:
            error.add_note(self._what)


class Memory:
    """What an estimator that does not change has predicted, block by block.

    EM asks for the same rows at every pass, and of every start. It is not pickled.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[tuple[int, ...], int], np.ndarray] = {}

    def __reduce__(self) -> Any:
        return Memory, ()

    def recall(self, X: np.ndarray, predict: Callable[[], np.ndarray]) -> np.ndarray:
        """Return what is predicted for some rows, by asking for it if they are new."""
        key = X.shape, hash(X.tobytes())
        found = self._known.get(key)
        if found is None:
            found = predict()
            if len(self._known) >= _MOST_BLOCKS:
                self._known.clear()
            self._known[key] = found
        return found


def check_predicted(values: Any, shape: tuple[int, ...], title: str, where: str) -> np.ndarray:
    """Return predictions as float64 numbers of a shape.

    Raises
    ------
    ValueError
        If they have another shape, or are NaN or infinite; naming the estimator.
    """
    found = np.asarray(values, dtype=np.float64)
    if found.ndim == 2 and len(shape) == 1 and found.shape[1] == 1:
        found = found[:, 0]
    if found.shape != shape:
        raise ValueError(
            f"{title}, {where}, predicts an array of shape {found.shape}; expected {shape}."
        )
    is_bad = ~np.isfinite(found)
    if is_bad.any():
        raise ValueError(
            f"{title}, {where}, predicts {shown(float(found[is_bad][0]))} for "
            f"{int(is_bad.sum())} of {len(found)} rows; expected finite numbers. Scale X or y, or "
            "use another estimator."
        )
    return found
