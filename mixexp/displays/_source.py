"""What a map asks of a fitted model, also of one at the end of a pipeline.

Columns are those of the X that the user holds. Where the estimator is a `Pipeline`, rows go
through its transformers first, so that axes keep raw units and names whatever the
transformers make of them.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
from sklearn.utils.validation import check_is_fitted

from mixexp.displays._columns import Columns, column_number, repeated, typical_values
from mixexp.estimators._tables import feature_labels

# Enough rows to tell which features matter, few enough to cost nothing.
_MOST_PROBED_ROWS = 200
# A feature that moves less probability (or less of an expert's spread) than this is not used.
_UNUSED = 1e-9
# A feature with fewer values than this, such as 0 and 1, gets an axis only if asked for.
_FEWEST_VALUES = 5
# The second feature gets an axis if it moves the gates at least this share of the first's.
_SECOND_AXIS = 0.05


class Source(NamedTuple):
    """A fitted mixture of experts and what is done to rows before it sees them.

    Parameters
    ----------
    transform : callable
        Raw rows to what the model was fitted to.
    model : fitted estimator
        With ``gate_proba``, ``predict_experts`` and ``tree_``.
    """

    transform: Callable[[Any], Any]
    model: Any

    def gate_proba(self, X: Any) -> np.ndarray:
        """Return gate probabilities of raw rows, shape (n, n_experts)."""
        return self.model.gate_proba(self.transform(X))

    def responsibilities(self, X: Any, y: Any, **per_row: Any) -> np.ndarray:
        """Return posteriors of raw rows, shape (n, n_experts); None stands for no keyword."""
        known = {name: values for name, values in per_row.items() if values is not None}
        return self.model.responsibilities(self.transform(X), y, **known)


def open_source(estimator: Any) -> Source:
    """Split an estimator into transformers and a fitted mixture of experts.

    Raises
    ------
    TypeError
        If it is neither a mixture of experts nor a pipeline that ends in one.
    NotFittedError
        If it has not been fitted.
    """
    transform, model = _same, estimator
    if hasattr(estimator, "steps"):
        model = estimator.steps[-1][1]
        transform = estimator[:-1].transform if len(estimator.steps) > 1 else _same
    if isinstance(model, type) or not hasattr(model, "gate_proba"):
        raise TypeError(
            f"estimator must be a fitted mixture of experts, or a Pipeline that ends in one; got "
            f"{_kind_of(model)}. Of a search pass best_estimator_, of another wrapper the fitted "
            "estimator inside it."
        )
    check_is_fitted(model)
    return Source(transform, model)


def model_feature_names(source: Source, estimator: Any) -> list[str]:
    """Return names of all features as the model sees them; x0, x1, ... where there are none."""
    model = source.model
    if not hasattr(model, "feature_names_in_") and estimator is not model:
        steps = estimator[:-1]
        # Transformers that were fitted to a frame know names that the array they made lost.
        if len(steps) and hasattr(steps, "get_feature_names_out"):
            return [str(name) for name in steps.get_feature_names_out()]
    return feature_labels(model, list(range(model.n_features_in_)))


def _same(X: Any) -> Any:
    return X


def _kind_of(model: Any) -> str:
    return f"the class {model.__name__}" if isinstance(model, type) else type(model).__name__


def feature_use(source: Source, columns: Columns) -> np.ndarray:
    """Measure how much gates and experts depend on each column.

    A column is set to the value that `typical_values` gives it; what counts is how much that
    changes, on average over at most 200 rows spread over X. For a gate with one slope this is
    the standardised slope on the scale of probabilities; it also covers trees, and features
    that a pipeline transforms.

    Returns
    -------
    ndarray of shape (2, n_columns)
        First the probability that moves between experts, in [0, 1]; second the change of the
        experts' predictions in units of their standard deviation.
    """
    n = len(columns.values[0])
    probed = np.unique(np.linspace(0, n - 1, min(n, _MOST_PROBED_ROWS)).astype(int))
    rows = [values[probed] for values in columns.values]
    gate, experts = _ask(source, columns.build(rows))
    spread = max(float(experts.std()), np.finfo(float).tiny)
    use = np.empty((2, len(rows)))
    for column, value in enumerate(typical_values(columns)):
        held = [*rows[:column], repeated(value, len(probed)), *rows[column + 1 :]]
        held_gate, held_experts = _ask(source, columns.build(held))
        use[0, column] = 0.5 * np.abs(held_gate - gate).sum(axis=1).mean()
        use[1, column] = np.abs(held_experts - experts).mean() / spread
    return use


def _ask(source: Source, X: Any) -> tuple[np.ndarray, np.ndarray]:
    seen = source.transform(X)
    experts = source.model.predict_experts(seen)
    return source.model.gate_proba(seen), np.where(np.isfinite(experts), experts, 0.0)


def is_used(use: np.ndarray) -> np.ndarray:
    """Return which columns matter, from one row of `feature_use`."""
    return use > _UNUSED


def choose_features(features: Any, columns: Columns, use: np.ndarray) -> tuple[int, ...]:
    """Return the columns that get an axis: those asked for, or those that matter most.

    Parameters
    ----------
    features : None, str, int, or sequence of one or two of these
    columns : Columns
    use : ndarray of shape (2, n_columns)
        See `feature_use`.

    Raises
    ------
    ValueError
        If there are not one or two different features.
    """
    if features is None:
        return _most_used(columns, use)
    is_one = isinstance(features, str) or not isinstance(features, Iterable)
    asked = [features] if is_one else list(features)
    numbers = tuple(column_number(feature, "features", columns) for feature in asked)
    if len(numbers) not in (1, 2) or len(set(numbers)) < len(numbers):
        raise ValueError(
            f"The 'features' parameter must be one feature or two different ones; got "
            f"{features!r}. ResponsibilityPairsDisplay draws every pair of several."
        )
    return numbers


def _most_used(columns: Columns, use: np.ndarray) -> tuple[int, ...]:
    by_gates, by_experts = use
    if not columns.numeric:
        return (int((by_gates + by_experts).argmax()),)
    fit = [j for j in columns.numeric if not has_few_values(columns.values[j])]
    fit = fit or columns.numeric
    if by_gates[fit].max() <= _UNUSED:
        # Nothing changes along any axis but the experts' predictions: one axis shows them.
        return (max(fit, key=lambda j: by_experts[j]),)
    first, *others = sorted(fit, key=lambda j: -by_gates[j])
    return (first, *(j for j in others[:1] if by_gates[j] >= _SECOND_AXIS * by_gates[first]))


def has_few_values(values: np.ndarray) -> bool:
    """Return whether a numeric column has too few values to be drawn along unasked."""
    return len(np.unique(values[~np.isnan(values)])) < _FEWEST_VALUES
