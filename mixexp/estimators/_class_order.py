"""The order of classes: declared by the type of y, that of numbers, or none.

McCullagh's cumulative model (experts with `has_ordered_classes`) is about an order. The alphabet
is none: "high" < "low" < "medium".
"""

import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np

_MOST_SHOWN = 6


def declared_order(y: Any) -> list[Any] | None:
    """Return the categories of y in the order that its type declares, lowest first.

    Parameters
    ----------
    y : array-like
        A pandas Categorical, a Series or index of such, a polars Series of an Enum, or a frame
        of one such column.

    Returns
    -------
    list or None
        None for all that declares no order, such as an unordered Categorical.
    """
    dtype = _dtype(y)
    # A polars Enum is ordered; a polars Categorical is not, and neither knows of `ordered`.
    is_ordered = getattr(dtype, "ordered", type(dtype).__name__ == "Enum")
    categories = getattr(dtype, "categories", None)
    if categories is None or not is_ordered:
        return None
    listed: list[Any] = categories.to_list()
    return listed


def sort_classes(labels: np.ndarray, y: Any) -> np.ndarray:
    """Return the distinct labels from the lowest to the highest.

    Parameters
    ----------
    labels : ndarray of shape (n,)
        Those of y that count.
    y : array-like
        As the user gave it.

    Raises
    ------
    ValueError
        If they have no order.
    """
    found = np.unique(labels)
    order = declared_order(y)
    if order is not None:
        rank = {label: place for place, label in enumerate(order)}
        return found[np.argsort([rank[label] for label in found.tolist()])]
    is_categorical = hasattr(_dtype(y), "categories")
    if is_categorical or not all(isinstance(c, numbers.Real | np.bool_) for c in found.tolist()):
        raise ValueError(_refusal(found.tolist(), is_categorical))
    return found


def _dtype(y: Any) -> Any:
    """Return the type of the elements of y, as pandas and polars tell it."""
    columns = list(getattr(y, "columns", []))
    return getattr(y[columns[0]] if len(columns) == 1 else y, "dtype", None)


def _refusal(classes: Sequence[Any], is_categorical: bool) -> str:
    shown = ", ".join(map(repr, classes[:_MOST_SHOWN]))
    more = ", ..." if len(classes) > _MOST_SHOWN else ""
    found = "is an unordered Categorical" if is_categorical else "holds labels without an order"
    return (
        f"The 'expert' parameter asks for ordinal experts, whose classes have an order, but y "
        f"{found}: {shown}{more}. Say the order: y = pandas.Categorical(y, categories=[lowest, "
        "..., highest], ordered=True), a polars Enum, or numbers 0, 1, ... in that order."
    )
