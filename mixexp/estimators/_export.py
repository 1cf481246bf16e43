"""A fitted tree of gates and experts as text, the way decision trees are printed."""

from collections.abc import Sequence
from typing import Any

from sklearn.utils.validation import check_is_fitted

from mixexp.arguments import is_listed, is_whole
from mixexp.estimators._tables import node_names
from mixexp.estimators._words import Terms, edge_words, expert_equation, gate_equation, read_terms
from mixexp.text import printable, shown


def export_text(
    estimator: Any, *, feature_names: Sequence[str] | None = None, n_terms: int = 5
) -> str:
    """Return a fitted mixture of experts as indented text.

    One line per node of the tree: what makes the gate choose it, and at the leaves the equation
    of the expert. Features come in the order of their slope times standard deviation. A flat
    mixture is the tree of one gate.

    Parameters
    ----------
    estimator : fitted MoERegressor, MoEClassifier, HMERegressor or HMEClassifier
        Or a `Pipeline` that ends in one: equations are in what its transformers make of X.
    feature_names : sequence of str of length n_features, default=None
        By default the names in the frame that it was fitted to, else x0, x1, ...
    n_terms : int, default=5
        Most features in an equation.

    Returns
    -------
    str

    Raises
    ------
    NotFittedError
        If the estimator has not been fitted.
    TypeError
        If it is no mixture of experts.
    ValueError
        If an argument is not as described; the message names it.

    Examples
    --------
    >>> import numpy as np
    >>> from mixexp import HMERegressor, export_text
    >>> x = np.linspace(-1.0, 1.0, 200)[:, None]
    >>> y = np.abs(np.abs(x[:, 0]) - 0.5) + 0.02 * np.sin(50.0 * x[:, 0])
    >>> model = HMERegressor(tree=[[1, 1], 1], random_state=0).fit(x, y)
    >>> print(export_text(model).replace("\N{MINUS SIGN}", "-").splitlines()[1])
    |-- node 0: low x0
    """
    model = estimator.steps[-1][1] if hasattr(estimator, "steps") else estimator
    if isinstance(model, type) or not hasattr(model, "gate_proba"):
        raise TypeError(
            f"estimator must be a mixture of experts, or a Pipeline that ends in one; got "
            f"{type(model).__name__}."
        )
    check_is_fitted(model)
    if not is_whole(n_terms) or n_terms < 1:
        raise ValueError(
            f"The 'n_terms' parameter must be an int of at least 1. Got {shown(n_terms)}."
        )
    if feature_names is not None:
        _check_names(feature_names, model.n_features_in_)
    return "\n".join(_tree_lines(model, read_terms(model, feature_names), n_terms))


def _check_names(names: Any, n_features: int) -> None:
    is_index = hasattr(names, "take") and getattr(names, "ndim", 0) == 1
    if not (is_listed(names) or is_index) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"feature_names must be a list of str. Got {shown(names)} instead.")
    if len(names) != n_features:
        raise ValueError(
            f"feature_names must have one name for each of the {n_features} features; got "
            f"{len(names)}."
        )


def _tree_lines(model: Any, terms: Terms, n_terms: int) -> list[str]:
    tree, names = model.tree_, node_names(model.tree_)
    words = edge_words(model, terms, min(n_terms, 2))
    lines: list[str] = []

    def visit(node: int, indent: str) -> None:
        if tree.n_children[node] == 0:
            k = tree.leaf_position(node)
            lines.append(f"{indent}{expert_equation(model, k, terms, n_terms)}")
            return
        for child in tree.children(node):
            title = _title(model, child, names[child])
            condition = f": {words[child - 1]}" if words[child - 1] else ""
            lines.append(f"{indent}|-- {title}{condition}")
            lines.append(f"{indent}|   gate: {gate_equation(model, child - 1, terms, n_terms)}")
            visit(child, indent + "|   ")

    lines.append("root")
    visit(0, "")
    return lines


def _title(model: Any, node: int, name: str) -> str:
    """Return a node's name, with the family of an expert."""
    if model.tree_.n_children[node] > 0:
        return name
    return f"{printable(name)} ({model.experts_[model.tree_.leaf_position(node)].name})"
