"""What experts and mixture predict along one feature, and its drawing."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from mixexp.displays._grid import STRIP, as_levels, is_categorical, positions
from mixexp.displays._source import Data, Source
from mixexp.displays._style import ExpertStyle
from mixexp.text import shown

# Levels of strength that a line of an expert is drawn in.
_N_STRENGTHS = 8
# Rows of a class lie this far beyond probability 0 or 1, spread so that all are seen.
_NEAREST, _FARTHEST = 0.03, 0.11
# The mixture may take up this much more height than the data, as a share of theirs.
_FARTHEST_CURVE = 0.25
_GOLDEN = 0.6180339887498949


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


def choose_quantity(source: Source, class_of_interest: Any) -> Quantity:
    """Return the mean of y for regressors, the probability of one class for classifiers.

    Raises
    ------
    ValueError
        If ``class_of_interest`` is none of the classes, or given for a regressor.
    """
    model = source.model
    if not source.is_classifier:
        return _mean_of_target(source, class_of_interest)
    classes = model.classes_
    wanted = classes[-1] if class_of_interest is None else class_of_interest
    if wanted not in classes:
        raise ValueError(
            f"The 'class_of_interest' parameter must be one of "
            f"{shown(classes.tolist())}. Got {shown(wanted)}."
        )
    number = int(np.flatnonzero(classes == wanted)[0])
    return Quantity(
        experts=lambda X, **known: model.predict_experts(X, **known)[:, :, number],
        mixture=lambda X, **known: model.predict_proba(X, **known)[:, number],
        target=lambda y: (np.asarray(y).ravel() == wanted).astype(float),
        label=lambda name: f"P({name} = {wanted})",
        is_probability=True,
    )


def _mean_of_target(source: Source, class_of_interest: Any) -> Quantity:
    if class_of_interest is not None:
        raise ValueError(
            f"The 'class_of_interest' parameter is for classifiers; leave it None for "
            f"{type(source.model).__name__}. Got {shown(class_of_interest)}."
        )
    return Quantity(
        experts=source.model.predict_experts,
        mixture=source.model.predict,
        target=source.check_target,
        label=lambda name: name,
        is_probability=False,
    )


def draw_experts(
    ax: Any, x: np.ndarray, curves: Curves, gate_proba: np.ndarray, styles: list[ExpertStyle]
) -> list[Any]:
    """Draw each expert's prediction, the wider and stronger the more the gates trust it."""
    from matplotlib.collections import LineCollection

    if is_categorical(x):
        return _draw_levels(ax, x, curves.experts, gate_proba, styles)
    artists = []
    for k, style in enumerate(styles):
        runs = strength_runs(gate_proba[:, k])
        strength = np.array([gate_proba[run, k].mean() for run in runs])
        line = np.column_stack([x, curves.experts[:, k]])
        lines = LineCollection(
            [line[run] for run in runs],
            colors=[(*style.color, 0.35 + 0.65 * share) for share in strength],
            linewidths=0.9 + 3.1 * strength,
            linestyles=style.linestyle,
            zorder=5,
        )
        artists.append(ax.add_collection(lines))
    return artists


def _draw_levels(
    ax: Any, x: np.ndarray, height: np.ndarray, proba: np.ndarray, styles: list[ExpertStyle]
) -> list[Any]:
    """Draw each expert's prediction for each category as a level line across its strip."""
    left, right = positions(x) - 0.5 * STRIP, positions(x) + 0.5 * STRIP
    return [
        ax.hlines(
            height[:, k],
            left,
            right,
            colors=[(*style.color, 0.35 + 0.65 * share) for share in proba[:, k]],
            linewidths=0.9 + 3.1 * proba[:, k],
            linestyles=style.linestyle,
            zorder=5,
        )
        for k, style in enumerate(styles)
    ]


def strength_runs(proba: np.ndarray) -> list[slice]:
    """Cut a grid into runs of about the same probability; each ends where the next begins.

    Runs instead of single segments, for dashes start anew in each piece of a line.
    """
    level = np.floor(_N_STRENGTHS * np.clip(proba, 0.0, 1.0 - 1e-12)).astype(int)
    starts = np.concatenate([[0], np.flatnonzero(np.diff(level)) + 1])
    ends = np.append(starts[1:] + 1, len(proba))
    return [slice(int(a), int(b)) for a, b in zip(starts, ends, strict=True)]


def draw_mixture(ax: Any, x: np.ndarray, curves: Curves) -> Any:
    """Draw the mixture's prediction, black with a white rim to stand out from data and experts."""
    from matplotlib.patheffects import Normal, Stroke

    (line,) = ax.plot(*as_levels(x, curves.mixture), color="black", linewidth=1.4, zorder=5.5)
    line.set_path_effects([Stroke(linewidth=2.4, foreground="white"), Normal()])
    return line


def spread_classes(target: np.ndarray) -> np.ndarray:
    """Move 0 down and 1 up by amounts that differ from row to row."""
    # Multiples of the golden ratio fill the strip evenly, and are the same in every drawing.
    share = (_GOLDEN * np.arange(len(target))) % 1.0
    offset = _NEAREST + (_FARTHEST - _NEAREST) * share
    return np.where(target > 0.5, 1.0 + offset, -offset)


def vertical_range(curves: Curves, target: np.ndarray | None) -> tuple[float, float]:
    """Return limits that hold the data, and the mixture unless it runs far out of them."""
    if curves.is_probability:
        return -_FARTHEST - 0.03, 1.0 + _FARTHEST + 0.03
    low, high = _finite_range(curves.mixture)
    if target is not None:
        least, greatest = _finite_range(target)
        reach = _FARTHEST_CURVE * (greatest - least)
        # A log link takes the mean to any height in the margin beyond the data.
        low = min(least, max(low, least - reach))
        high = max(greatest, min(high, greatest + reach))
    margin = 0.06 * (high - low) or 0.5
    return low - margin, high + margin


def _finite_range(values: np.ndarray) -> tuple[float, float]:
    # A mean need not exist: that of Student's t with one degree of freedom does not.
    known = values[np.isfinite(values)]
    return (float(known.min()), float(known.max())) if len(known) else (0.0, 0.0)
