"""What a summary leads with: shares and means of the experts, and what tells them apart.

Slopes are compared per standard deviation of a feature in the rows of the fit: those of gates
as log odds between two children, those of experts on the scale of their linear predictors.
"""

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np

from mixexp.estimators._row_arguments import read_rows
from mixexp.inference import Section
from mixexp.text import printable

#: What its numbers are.
LEAD_NOTE = (
    "Shares: mean gate probabilities. Means: of y under each expert, every feature at its average "
    "in the fit. Differences: between the largest and the smallest slope, by standard deviation "
    "of the feature; for gates in log odds."
)
# Contrasts of gates, and of experts, that are shown.
_MOST = 3
# Contrasts below this are those of slopes that are no slopes.
_NONE = 1e-9


class _Difference(NamedTuple):
    """The largest slope less the smallest, and who has them."""

    name: str
    size: float
    highest: str
    lowest: str


def lead(estimator: Any, names: Any, share: np.ndarray | None = None) -> list[Section]:
    """Return the sections that a summary of a fitted estimator begins with.

    Parameters
    ----------
    estimator : fitted estimator
    names : Names
    share : ndarray of shape (n_experts,), default=None
        Of each expert in the rows of the summary; by default in those of the fit. While a fit goes
        on there are none.
    """
    tree = estimator.tree_
    experts = [names.nodes[int(leaf)] for leaf in tree.leaves]
    if share is None and hasattr(estimator, "diagnostics_"):
        share = estimator.diagnostics_.importance
    columns, means = _means(estimator, names.classes)
    cells = [[f"{value:.4g}" for value in values] for values in means]
    if share is not None:
        columns = ["share", *columns]
        cells = [[f"{100.0 * part:.1f} %", *own] for part, own in zip(share, cells, strict=True)]
    rows = [[printable(name), *own] for name, own in zip(experts, cells, strict=True)]
    found = [Section("At a glance", columns, rows)]
    differences = [
        *_largest(_gate_differences(estimator, names)),
        *_largest(_expert_differences(estimator, names, experts)),
    ]
    if differences:
        rows = [
            [printable(one.name), f"{one.size:.3g}", printable(one.highest), printable(one.lowest)]
            for one in differences
        ]
        header = ["difference per SD", "highest", "lowest"]
        found.append(Section("What tells experts apart", header, rows))
    return found


def _means(estimator: Any, classes: Iterable[object]) -> tuple[list[str], np.ndarray]:
    """Return names and means of y, (n_experts, n_columns), at the average of all features."""
    center = estimator.fitted_model_.scaling.center[None, :]
    per_row = read_rows({}, np.ones(1), estimator.tree_.n_leaves)
    (found,) = estimator.fitted_model_.predictions(center, per_row)
    mean = found.mean[..., 0]
    named = [f"P({printable(label)})" for label in classes]
    if not named:
        targets = _targets_of(estimator)
        named = [f"mean of {target} at average x" for target in targets] or ["mean at average x"]
    return named, mean.reshape(len(mean), -1)


def _targets_of(estimator: Any) -> list[str]:
    """Return the names of several targets; none where there is one."""
    n_targets = estimator.fitted_model_.model.n_outputs
    return [f"y{j + 1}" for j in range(n_targets)] if n_targets > 1 else []


def _largest(found: Iterator[_Difference]) -> list[_Difference]:
    return sorted((one for one in found if one.size > _NONE), key=lambda one: -one.size)[:_MOST]


def _differences(
    title: str, slopes: np.ndarray, features: list[str], units: list[str]
) -> Iterator[_Difference]:
    """Yield one difference per feature; slopes have shape (n_units, n_features)."""
    for feature, slope in zip(features, slopes.T, strict=True):
        high, low = int(slope.argmax()), int(slope.argmin())
        yield _Difference(
            f"{title}: {feature}", float(slope[high] - slope[low]), units[high], units[low]
        )


def _gate_differences(estimator: Any, names: Any) -> Iterator[_Difference]:
    tree, model = estimator.tree_, estimator.fitted_model_.model
    columns = list(estimator.gate_features_)
    slopes = estimator.gate_coef_ * estimator.fitted_model_.scaling.scale[columns]
    features = [names.features[column] for column in columns]
    for node in map(int, tree.inner_nodes):
        if model.gate_of(node) < 0:  # a gate of one's own has no slopes
            continue
        edges = tree.edges(node)
        units = [names.nodes[edge + 1] for edge in range(edges.start, edges.stop)]
        yield from _differences(f"gate {names.nodes[node]}", slopes[edges], features, units)


def _expert_differences(estimator: Any, names: Any, experts: list[str]) -> Iterator[_Difference]:
    """Yield differences between experts whose linear predictors are on one scale."""
    columns = list(estimator.expert_features_)
    features = [names.features[column] for column in columns]
    slopes = estimator.coef_ * estimator.fitted_model_.scaling.scale[columns]
    for members in _on_one_scale(estimator):
        units, own = [experts[k] for k in members], slopes[members]
        if own.ndim == 2:
            yield from _differences("slopes", own, features, units)
            continue
        labels = [f"class {label}" for label in names.classes] or _targets_of(estimator)
        for c, label in enumerate(labels):
            yield from _differences(f"slopes of {label}", own[:, c], features, units)


def _on_one_scale(estimator: Any) -> list[list[int]]:
    """Return the numbers of experts of one family and one link, where there are two or more."""
    scales = {
        k: (family.name, getattr(family, "link", ""))
        for k, family in enumerate(estimator.experts_)
        if any(head.kind == "location" for head in getattr(family, "heads", ()))
    }
    ordered = sorted(scales, key=scales.__getitem__)
    found = [list(members) for _, members in groupby(ordered, key=scales.__getitem__)]
    return [members for members in found if len(members) > 1]
