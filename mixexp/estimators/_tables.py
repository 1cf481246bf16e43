"""A fit without its data as a table, and as a summary in text and HTML."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from mixexp.em import Evaluation, Problem
from mixexp.estimators._lead import LEAD_NOTE, lead
from mixexp.inference import (
    Criteria,
    Summary,
    Table,
    choose_reference,
    describe_gates,
    estimate_table,
    problem_criteria,
    summarize,
)
from mixexp.text import hypertext
from mixexp.tree import GatingTree

# Terms and columns of a table: more would bury the rest of a notebook.
_MOST = (30, 12)
_STYLE = (
    "<style>.mixexp-fit{font-size:0.9em;margin-top:0.5em}"
    ".mixexp-fit table{border-collapse:collapse;margin:0.4em 0}"
    ".mixexp-fit th,.mixexp-fit td{padding:0.15em 0.7em;text-align:right;"
    "border-bottom:1px solid rgba(128,128,128,0.35)}"
    ".mixexp-fit th:first-child{text-align:left}"
    ".mixexp-fit caption{text-align:left;font-weight:bold;padding:0.3em 0}"
    ".mixexp-fit summary{cursor:pointer}</style>"
)
# Experts that differ by less, in standard deviations of features and of pooled residuals or in
# logarithms, say the same.
_ALIKE = 0.1
# Two densities that are less than two standard deviations apart have one peak.
_ONE_PEAK = 2.0
_ALIKE_ADVICE = (
    "experts say the same: there is one regime, or too few rows to part them under these priors "
    "(regimes that are known to be there: alpha=1, gate_alpha=0.01, dispersion_prior=1)"
)


def node_names(tree: GatingTree) -> list[str]:
    """Return a name per node: "root", the path of child numbers, names of experts for leaves."""
    paths = ["root"]
    for node in range(1, tree.n_nodes):
        parent = int(tree.parent[node])
        child = str(node - int(tree.first_child[parent]))
        paths.append(child if parent == 0 else f"{paths[parent]}.{child}")
    for leaf, name in zip(tree.leaves, tree.names_of_leaves, strict=True):
        paths[leaf] = name
    return [
        f"node {path}" if tree.n_children[node] and node else path
        for node, path in enumerate(paths)
    ]


def feature_labels(estimator: Any, columns: list[int]) -> list[str]:
    """Return names of some features, x0, x1, ... where X had none."""
    names = getattr(estimator, "feature_names_in_", None)
    return [f"x{column}" if names is None else str(names[column]) for column in columns]


def coefficient_table(estimator: Any, reference: int | Mapping[str, int] | None = None) -> Table:
    """Return all coefficients of a fitted estimator, one per row, as `inference` has them."""
    (model, params, scaling), names = estimator.fitted_model_, estimator._names()
    places = choose_reference(estimator.tree_, names, reference)
    return estimate_table(model, params, scaling, names, places)


def summarize_fit(
    estimator: Any,
    reference: int | Mapping[str, int] | None = None,
    most: tuple[int, int] | None = None,
) -> Summary:
    """Return header, experts and gates of a fitted estimator, without its data."""
    places = choose_reference(estimator.tree_, estimator._names(), reference)
    table = coefficient_table(estimator, reference)
    notes = [f"Gates: {describe_gates(places)}.", LEAD_NOTE]
    above = lead(estimator, estimator._names())
    return summarize(fit_header(estimator), table, notes, most=most, lead=above)


def _how_often_found(estimator: Any) -> str:
    """Return in words how many starts came to the optimum that was kept."""
    best = estimator.penalized_log_likelihood_
    slack = 1e-6 * (1.0 + abs(best))
    ended = [restart for restart in estimator.restarts_ if restart.n_starts]
    found = sum(restart.n_starts for restart in ended if abs(restart.objective - best) <= slack)
    n_dropped = sum(restart.reason.startswith("dropped") for restart in estimator.restarts_)
    dropped = f", {n_dropped} of them dropped early" if n_dropped else ""
    n_optima = len(estimator.optima_)
    distinct = f"; {n_optima} distinct optima" if n_optima > 1 else ""
    return f"found by {found} of {len(estimator.restarts_)} starts{dropped}{distinct}"


def _are_alike(estimator: Any) -> bool:
    """Return whether all experts are next to the same, coefficients for standardised features."""
    model, params, _ = estimator.fitted_model_
    is_one_family = len(model.groups) == 1 and model.is_linear
    if not is_one_family or model.tree.n_leaves == 1 or not params.experts[0]:
        return False
    group = model.groups[0]
    for h, coef in enumerate(params.experts[0]):
        apart = np.ptp(coef, axis=0)
        if group.is_location_scale and group.is_location(h):  # intercepts are free
            apart[0] *= _ALIKE / _ONE_PEAK
        if apart.max() >= _ALIKE:
            return False
    return True


def _families_in_words(estimator: Any) -> str:
    names = [
        f"{family.name} (in effect {limit})" if limit else family.name
        for family, limit in zip(estimator.experts_, estimator.limits_, strict=True)
    ]
    return ", ".join(dict.fromkeys(names))


def problem_header(estimator: Any, problem: Problem, current: Evaluation) -> list[tuple[str, str]]:
    """Return `fit_header` with what the rows of the fit add."""
    found = problem_criteria(problem, current.params, estimator.n_parameters_)
    counted = "Groups" if problem.blocks.has_groups else "Rows"
    return fit_header(estimator, found, float(current.objective), counted)


def fit_header(
    estimator: Any,
    criteria: Criteria | None = None,
    objective: float | None = None,
    counted: str = "Rows",
) -> list[tuple[str, str]]:
    """Return what a summary says of a fit; the first is its title.

    Parameters
    ----------
    estimator : fitted estimator
    criteria : Criteria, default=None
        On the rows of the summary. Without them there are no information criteria.
    objective : float, default=None
        What was maximised, on these rows; by default that of the fit.
    counted : str, default="Rows"
        What the criteria count.
    """
    log_likelihood = criteria.log_likelihood if criteria else estimator.log_likelihood_
    penalized = estimator.penalized_log_likelihood_ if objective is None else objective
    is_penalized = bool(estimator.fitted_model_.model.penalty.given)
    families = _families_in_words(estimator)
    return [
        ("", type(estimator).__name__),
        *([(counted, _rows_in_words(criteria))] if criteria else []),
        ("Experts", f"{estimator.tree_.n_leaves} ({families})"),
        *_choice_in_words(estimator),
        ("Tree", f"{estimator.tree_.to_nested()}"),
        ("Converged", f"{'yes' if estimator.converged_ else 'NO'}, {estimator.n_iter_} iterations"),
        ("Ended", estimator.convergence_reason_),
        ("Best optimum", _how_often_found(estimator)),
        *([("Alike", _ALIKE_ADVICE)] if _are_alike(estimator) else []),
        ("Parameters", _parameters_in_words(estimator)),
        ("Log-likelihood", f"{log_likelihood:.4f}"),
        *([("  with penalty", f"{penalized:.4f}")] if is_penalized else []),
        *(_criteria_in_words(criteria, estimator) if criteria else []),
    ]


def _choice_in_words(estimator: Any) -> list[tuple[str, str]]:
    selection = getattr(estimator, "selection_", None)
    return [] if selection is None else [("Chosen", selection.in_words())]


def _rows_in_words(criteria: Criteria) -> str:
    n, total = criteria.n_rows, criteria.total_weight
    return f"{n}" if n == total else f"{n} (total weight {total:.6g})"


def _parameters_in_words(estimator: Any) -> str:
    model = estimator.fitted_model_.model
    besides = "" if model.is_linear else f", besides {' and '.join(model.other_names)}"
    return f"{estimator.n_parameters_}{besides}"


def _criteria_in_words(criteria: Criteria, estimator: Any) -> list[tuple[str, str]]:
    entropy = ("Relative entropy", f"{criteria.relative_entropy:.4f}")
    if not estimator.fitted_model_.model.is_linear:  # how many parameters there are is not known
        return [entropy]
    return [
        ("AIC", f"{criteria.aic:.4f}"),
        ("BIC", f"{criteria.bic:.4f}"),
        ("ICL", f"{criteria.icl:.4f}"),
        entropy,
    ]


class HTMLMixin:
    """Adds the fit to scikit-learn's HTML, wherever ``set_config(display=...)`` asks for HTML.

    To be mixed in before `BaseEstimator`, whose methods it extends.
    """

    def _repr_html_inner(self) -> str:
        return super()._repr_html_inner() + _folding_summary(self)  # type: ignore[misc]

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, str]:
        bundle = super()._repr_mimebundle_(**kwargs)  # type: ignore[misc]
        if "text/html" in bundle:
            bundle["text/html"] += _folding_summary(self)
        return bundle


def _folding_summary(estimator: Any) -> str:
    """Return the summary of a fit as HTML that folds away; "" before `fit`."""
    try:
        check_is_fitted(estimator)
    except NotFittedError:
        return ""
    n, families = estimator.tree_.n_leaves, _families_in_words(estimator)
    headline = hypertext(f"Fitted: {n} expert{'s' if n > 1 else ''} ({families})")
    fit = summarize_fit(estimator, most=_MOST)._repr_html_()
    return (
        f'{_STYLE}<div class="mixexp-fit"><details open><summary>{headline}</summary>'
        f"{fit}</details></div>"
    )
