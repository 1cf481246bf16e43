"""Experts and gates in short words: an equation per leaf, what makes each child likely."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from mixexp.estimators._tables import feature_labels
from mixexp.text import printable

MINUS = "\N{MINUS SIGN}"
# What the location of a family is, where its link does not say it or it is not the mean of y.
_LEFT_SIDES = {
    "lognormal": "mean of log y",
    "weibull": "log scale of y",
    "burr": "log scale of y",
    "generalized_pareto": "log scale of y",
    "student_t": "centre of y",
    "skew_normal": "location of y",
    "zero_truncated_poisson": "log rate",
}
_LINK_SIDES = {
    "identity": "y",
    "log": "log y",
    "inverse": "1 / y",
    "inverse_squared": "1 / y\N{SUPERSCRIPT TWO}",
    "logit": "log odds",
    "probit": "probit",
    "cloglog": "cloglog",
}
# Children whose logit has less than this share of the steepest slope are not said to want more
# or less of a feature.
_LEAST_SHARE = 0.3
# A slope times spread below this share of the intercept does not show in its digits.
_NO_EFFECT = 1e-6


class Terms(NamedTuple):
    """The features that parts of a model look at, and how far each varies.

    Parameters
    ----------
    expert_names, gate_names : list of str
    expert_spread, gate_spread : ndarray of shape (p,) and (q,)
        Standard deviations in the data of the fit.
    """

    expert_names: list[str]
    gate_names: list[str]
    expert_spread: np.ndarray
    gate_spread: np.ndarray


def read_terms(model: Any, names: Sequence[str] | None = None) -> Terms:
    """Return names and spreads of the features of a fitted model.

    Parameters
    ----------
    model : fitted estimator
    names : sequence of str of length n_features, default=None
        By default those of the frame that it was fitted to, else x0, x1, ...
    """
    experts, gates = list(model.expert_features_), list(model.gate_features_)
    if names is None:
        names = feature_labels(model, list(range(model.n_features_in_)))
    spread = model.fitted_model_.scaling.scale
    return Terms(
        [printable(names[j]) for j in experts],
        [printable(names[j]) for j in gates],
        spread[experts],
        spread[gates],
    )


def expert_equation(model: Any, k: int, terms: Terms, n_terms: int) -> str:
    """Return the location of an expert as an equation in its most important features.

    Importance is the slope times the feature's standard deviation.
    """
    family = model.experts_[k]
    if not any(head.kind == "location" for head in family.heads):
        return _constant(family)
    coef = model.coef_[k]
    if coef.ndim > 1:
        return _leading_class(model, k, terms, n_terms)
    right = _linear(float(model.intercept_[k]), coef, terms, n_terms)
    return f"{_left_side(model, family)} = {right}{_spread(model, k)}"


def _constant(family: Any) -> str:
    at = getattr(family, "at", None)
    if at is not None:
        return f"y = {_number(at)}"
    return (
        f"y from {_number(family.low)} to {_number(family.high)}" if hasattr(family, "low") else "y"
    )


def _leading_class(model: Any, k: int, terms: Terms, n_terms: int) -> str:
    """Return the logit of the class that varies most."""
    sizes = np.abs(model.coef_[k] * terms.expert_spread).sum(axis=1)
    c = int(sizes.argmax())
    right = _linear(model.intercept_[k, c], model.coef_[k, c], terms, n_terms)
    return f"logit({printable(model.classes_[c])}) = {right}"


def _left_side(model: Any, family: Any) -> str:
    classes = getattr(model, "classes_", None)
    if classes is not None and len(classes) == 2:
        return f"log odds({printable(classes[1])})"
    if family.name in _LEFT_SIDES:
        return _LEFT_SIDES[family.name]
    return _LINK_SIDES.get(getattr(family, "link", ""), "location")


def _linear(intercept: float, coef: np.ndarray, terms: Terms, n_terms: int) -> str:
    effect = np.abs(coef * terms.expert_spread)
    # An expert that is sure of its class has slopes of 1e-30: they are none.
    matters = effect > _NO_EFFECT * (abs(intercept) + effect.max(initial=0.0))
    shown = [j for j in np.argsort(-effect, kind="stable")[:n_terms] if matters[j]]
    parts = [_number(intercept)]
    for j in shown:
        sign = "+" if coef[j] > 0.0 else MINUS
        parts.append(f"{sign} {_number(abs(coef[j]))} {terms.expert_names[j]}")
    n_more = int(matters.sum()) - len(shown)
    return " ".join(parts) + (f" + {n_more} more" if n_more else "")


def _spread(model: Any, k: int) -> str:
    """Return the noise about an expert: a standard deviation where y has a scale."""
    family = model.experts_[k]
    if not (family.has_dispersion and hasattr(model, "dispersion_")):
        return ""
    if model.dispersion_coef_.shape[1]:
        return ", spread varies"
    at = [head.kind for head in family.heads].index("dispersion")
    power = family.units[at].log_power
    if family.is_location_scale and power != 0.0:
        return f" \N{PLUS-MINUS SIGN} {_number(float(model.dispersion_[k] ** (1.0 / power)))}"
    return f", dispersion {_number(float(model.dispersion_[k]))}"


def gate_equation(model: Any, edge: int, terms: Terms, n_terms: int) -> str:
    """Return the logit of a gate's child; those of siblings sum to zero."""
    named = terms._replace(expert_names=terms.gate_names, expert_spread=terms.gate_spread)
    return _linear(model.gate_intercept_[edge], model.gate_coef_[edge], named, n_terms)


def percent(share: float) -> str:
    """Return a share in percent, "<1 %" where it would round to none."""
    return "<1 %" if 0.0 < share < 0.005 else f"{100.0 * share:.0f} %"


def _number(value: float) -> str:
    return f"{value:.3g}".replace("-", MINUS)


def edge_words(model: Any, terms: Terms, n_terms: int) -> list[str]:
    """Return for every edge what makes its child likely: "high bmi, low s5".

    Slopes are compared in units of the features' standard deviations; "" where the gate does
    not depend on any.
    """
    tree = model.tree_
    slopes = model.gate_coef_ * terms.gate_spread
    words = [""] * tree.n_edges
    for node in tree.inner_nodes:
        edges = tree.edges(node)
        own = slopes[edges]
        largest = np.abs(own).max(axis=0, initial=0.0)
        leading = [j for j in np.argsort(-largest, kind="stable")[:n_terms] if largest[j] > 1e-9]
        for edge, slope in zip(range(edges.start, edges.stop), own, strict=True):
            words[edge] = ", ".join(
                f"{'high' if slope[j] > 0.0 else 'low'} {terms.gate_names[j]}"
                for j in leading
                if abs(slope[j]) >= _LEAST_SHARE * largest[leading[0]]
            )
    return words
