"""What a map shows besides the gates: the rows of data, and predictions along one feature."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from mixexp.displays._axes import place
from mixexp.displays._data import Data
from mixexp.text import shown


class Points(NamedTuple):
    """The rows of data on a map.

    Parameters
    ----------
    X : ndarray of shape (n, n_features_plotted)
        In raw units; where a category stands, see `_axes.py`.
    y : ndarray of shape (n,) or None
        In the unit of `Curves`: for classifiers 1 where y is the class that is drawn, else 0.
    gate_proba : ndarray of shape (n, n_experts)
        Before y is seen, at the row's own features, wherever the map holds them.
    responsibilities : ndarray of shape (n, n_experts) or None
        After y is seen.
    """

    X: np.ndarray
    y: np.ndarray | None
    gate_proba: np.ndarray
    responsibilities: np.ndarray | None

    @property
    def proba(self) -> np.ndarray:
        """The best that is known of who is responsible for each row."""
        return self.gate_proba if self.responsibilities is None else self.responsibilities

    @property
    def is_surprise(self) -> np.ndarray:
        """Whether the most probable expert is another one once y is seen, shape (n,)."""
        return self.proba.argmax(axis=1) != self.gate_proba.argmax(axis=1)


class Curves(NamedTuple):
    """What experts and mixture predict along one feature.

    Parameters
    ----------
    experts : ndarray of shape (n_grid, n_experts)
        Means in the unit of y, or probabilities of one class.
    mixture : ndarray of shape (n_grid,)
    label : str
        What is predicted.
    is_probability : bool
    """

    experts: np.ndarray
    mixture: np.ndarray
    label: str
    is_probability: bool


class Quantity(NamedTuple):
    """What has the vertical axis over one feature, as functions of a model's rows and y.

    Parameters
    ----------
    experts, mixture : callable
        Predictions of rows, and of an ``offset``: (n, n_experts) and (n,).
    target : callable
        The same quantity of observed y.
    label : callable
        Its name, from that of y.
    is_probability : bool
    """

    experts: Callable[..., np.ndarray]
    mixture: Callable[..., np.ndarray]
    target: Callable[[Any], np.ndarray]
    label: Callable[[str], str]
    is_probability: bool


def read_points(
    data: Data, y: Any, plotted: tuple[int, ...], axes: tuple[np.ndarray, ...]
) -> Points:
    """Return the rows of data without y, with who is responsible for them.

    Parameters
    ----------
    data : Data
    y : array-like of shape (n_given,) or None
    plotted : tuple of int
    axes : tuple of ndarray
        Of the plotted columns.
    """
    return Points(
        np.column_stack(
            [
                place(axis, data.columns.values[j], number)
                for number, (j, axis) in enumerate(zip(plotted, axes, strict=True))
            ]
        ),
        None,
        data.gate_proba(),
        None if y is None else data.responsibilities(y),
    )


def evaluate_rows(data: Data, quantity: Quantity | None, rows: Any) -> list[np.ndarray]:
    """Return gate probabilities of rows and, if wanted, what experts and mixture predict.

    Predictions are at the median of the data's offset, one trial and exposure 1.
    """
    seen = data.source.transform(rows)
    gate_proba = data.source.model.gate_proba(seen)
    if quantity is None:
        return [gate_proba]
    typical = data.typical_rows(("offset",), len(gate_proba))
    return [gate_proba, quantity.experts(seen, **typical), quantity.mixture(seen, **typical)]


def make_curves(quantity: Quantity, experts: np.ndarray, mixture: np.ndarray, y: Any) -> Curves:
    """Return predictions with the name of what is predicted."""
    label = quantity.label(str(getattr(y, "name", None) or "y"))
    return Curves(experts, mixture, label, quantity.is_probability)


def choose_quantity(model: Any, class_of_interest: Any) -> Quantity:
    """Return the mean of y for regressors, the probability of one class for classifiers.

    Raises
    ------
    ValueError
        If ``class_of_interest`` is none of the classes, or given for a regressor.
    """
    classes = getattr(model, "classes_", None)
    if classes is None:
        return _mean_of_target(model, class_of_interest)
    wanted = classes[-1] if class_of_interest is None else class_of_interest
    if wanted not in classes:
        raise ValueError(
            f"The 'class_of_interest' parameter must be one of {list(classes)}. Got "
            f"{shown(wanted)}."
        )
    number = int(np.flatnonzero(classes == wanted)[0])
    return Quantity(
        experts=lambda X, **known: model.predict_experts(X, **known)[:, :, number],
        mixture=lambda X, **known: model.predict_proba(X, **known)[:, number],
        target=lambda y: (np.asarray(y).ravel() == wanted).astype(float),
        label=lambda name: f"P({name} = {wanted})",
        is_probability=True,
    )


def _mean_of_target(model: Any, class_of_interest: Any) -> Quantity:
    if class_of_interest is not None:
        raise ValueError(
            f"The 'class_of_interest' parameter is for classifiers; leave it None for "
            f"{type(model).__name__}. Got {shown(class_of_interest)}."
        )
    return Quantity(
        experts=model.predict_experts,
        mixture=model.predict,
        target=model._check_target,
        label=lambda name: name,
        is_probability=False,
    )
