"""What a map shows besides the gates: the rows of data, and predictions along one feature."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from mixexp.displays._axes import place
from mixexp.displays._columns import Columns
from mixexp.displays._source import Source


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
        Predictions of rows: (n, n_experts) and (n,).
    target : callable
        The same quantity of observed y.
    label : callable
        Its name, from that of y.
    is_probability : bool
    """

    experts: Callable[[Any], np.ndarray]
    mixture: Callable[[Any], np.ndarray]
    target: Callable[[Any], np.ndarray]
    label: Callable[[str], str]
    is_probability: bool


def read_points(
    source: Source,
    X: Any,
    y: Any,
    columns: Columns,
    plotted: tuple[int, ...],
    axes: tuple[np.ndarray, ...],
    per_row: dict[str, Any],
) -> Points:
    """Return the rows of data without y, with who is responsible for them.

    Parameters
    ----------
    axes : tuple of ndarray
        Of the plotted columns.
    per_row : dict of str to ndarray of shape (n,) or None
        Further keywords of ``responsibilities``; those that are None are not handed on.
    """
    return Points(
        np.column_stack(
            [
                place(axis, columns.values[j], number)
                for number, (j, axis) in enumerate(zip(plotted, axes, strict=True))
            ]
        ),
        None,
        source.gate_proba(X),
        None if y is None else source.responsibilities(X, y, **per_row),
    )


def drawn_target(quantity: Quantity, y: Any, exposure: Any, trials: Any) -> np.ndarray | None:
    """Return y as it is drawn: per unit of exposure, per trial."""
    if y is None:
        return None
    target = quantity.target(y)
    for size in (exposure, trials):
        target = target if size is None else target / np.asarray(size, dtype=float)
    return target


def read_curves(source: Source, rows: Any, quantity: Quantity, y: Any) -> Curves:
    """Return the predictions for the rows of a grid."""
    _, experts, mixture = evaluate_rows(source, quantity, rows)
    return make_curves(quantity, experts, mixture, y)


def evaluate_rows(source: Source, quantity: Quantity | None, rows: Any) -> list[np.ndarray]:
    """Return gate probabilities of rows and, if wanted, what experts and mixture predict."""
    seen = source.transform(rows)
    gate_proba = source.model.gate_proba(seen)
    if quantity is None:
        return [gate_proba]
    return [gate_proba, quantity.experts(seen), quantity.mixture(seen)]


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
            f"The 'class_of_interest' parameter must be one of {list(classes)}. Got {wanted!r}."
        )
    number = int(np.flatnonzero(classes == wanted)[0])
    return Quantity(
        experts=lambda X: model.predict_experts(X)[:, :, number],
        mixture=lambda X: model.predict_proba(X)[:, number],
        target=lambda y: (np.asarray(y).ravel() == wanted).astype(float),
        label=lambda name: f"P({name} = {wanted})",
        is_probability=True,
    )


def _mean_of_target(model: Any, class_of_interest: Any) -> Quantity:
    if class_of_interest is not None:
        raise ValueError(
            f"The 'class_of_interest' parameter is for classifiers; leave it None for "
            f"{type(model).__name__}. Got {class_of_interest!r}."
        )
    return Quantity(
        experts=model.predict_experts,
        mixture=model.predict,
        target=lambda y: np.asarray(y, dtype=float).ravel(),
        label=lambda name: name,
        is_probability=False,
    )
