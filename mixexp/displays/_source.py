"""What a map asks of a fitted model, also of one at the end of a pipeline.

Columns are those of the X that the user holds. Where the estimator is a `Pipeline`, rows go
through its transformers first, so that axes keep raw units and names whatever the
transformers make of them.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from sklearn.utils.validation import check_is_fitted

from mixexp.estimators._tables import feature_labels


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

    @property
    def is_classifier(self) -> bool:
        return hasattr(self.model, "classes_")

    def gate_proba(self, X: Any) -> np.ndarray:
        """Return gate probabilities of raw rows, shape (n, n_experts)."""
        return self.model.gate_proba(self.transform(X))

    def responsibilities(self, X: Any, y: Any, **per_row: Any) -> np.ndarray:
        """Return posteriors of raw rows, shape (n, n_experts); None stands for no keyword."""
        return self.model.responsibilities(self.transform(X), y, **given(**per_row))


def given(**per_row: Any) -> dict[str, Any]:
    """Return the keywords that the user gave."""
    return {name: values for name, values in per_row.items() if values is not None}


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
