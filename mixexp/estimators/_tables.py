"""Fits as tables and text."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from mixexp.em import Evaluation, Problem
from mixexp.inference import (
    Table,
    choose_reference,
    describe_gates,
    estimate_table,
    problem_criteria,
    render,
)
from mixexp.inference._tables import widen
from mixexp.tree import GatingTree

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
    """Return a name per node: "root", the path of child numbers, "expert k" for leaves."""
    paths = ["root"]
    for node in range(1, tree.n_nodes):
        parent = int(tree.parent[node])
        child = str(node - int(tree.first_child[parent]))
        paths.append(child if parent == 0 else f"{paths[parent]}.{child}")
    for position, leaf in enumerate(tree.leaves):
        paths[leaf] = f"expert {position}"
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
    (model, params, scaling), names = estimator._state, estimator._names()
    places = choose_reference(estimator.tree_, names, reference)
    return estimate_table(model, params, scaling, names, places)


def summarize(estimator: Any, reference: int | Mapping[str, int] | None = None) -> str:
    """Return header, experts and gates of a fitted estimator as text."""
    table = coefficient_table(estimator, reference)
    places = choose_reference(estimator.tree_, estimator._names(), reference)
    return "\n\n".join(
        [
            _header(estimator),
            "Experts\n" + _wide(table, "expert"),
            f"Gates ({describe_gates(places)})\n" + _wide(table, "gate"),
        ]
    )


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
    model, params, _ = estimator._state
    if len(model.groups) > 1 or model.tree.n_leaves == 1 or not params.experts[0]:
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


def describe_fit(estimator: Any, problem: Problem, current: Evaluation) -> list[tuple[str, str]]:
    """Return what a summary says of a fit on some rows; the first is its title."""
    found = problem_criteria(problem, current.params, estimator.n_parameters_)
    n, n_experts = found.total_weight, found.n_experts
    is_penalized = any(problem.model.penalty)
    penalized = [("  with penalty", f"{float(current.objective):.4f}")] if is_penalized else []
    weighted = "" if n == problem.n_rows else f" (total weight {n:.6g})"
    return [
        ("", type(estimator).__name__),
        ("Rows", f"{problem.n_rows}{weighted}"),
        ("Experts", f"{n_experts} ({_families_in_words(estimator)})"),
        ("Tree", f"{estimator.tree_.to_nested()}"),
        ("Converged", f"{'yes' if estimator.converged_ else 'NO'}, {estimator.n_iter_} iterations"),
        ("Best optimum", _how_often_found(estimator)),
        *([("Alike", _ALIKE_ADVICE)] if _are_alike(estimator) else []),
        ("Parameters", f"{found.n_parameters}"),
        ("Log-likelihood", f"{found.log_likelihood:.4f}"),
        *penalized,
        ("AIC", f"{found.aic:.4f}"),
        ("BIC", f"{found.bic:.4f}"),
        ("ICL", f"{found.icl:.4f}"),
        ("Relative entropy", f"{found.relative_entropy:.4f}"),
    ]


def _header(estimator: Any) -> str:
    families = _families_in_words(estimator)
    facts = {
        "Experts": f"{estimator.tree_.n_leaves} ({families}), tree {estimator.tree_.to_nested()}",
        "Log-likelihood": f"{estimator.log_likelihood_:.6f}",
        "  with penalty": f"{estimator.penalized_log_likelihood_:.6f}",
        "Parameters": f"{estimator.n_parameters_}",
        "Converged": f"{'yes' if estimator.converged_ else 'NO'}: {estimator.convergence_reason_}",
        "Iterations": f"{estimator.n_iter_}",
        "Best optimum": _how_often_found(estimator),
        **({"Alike": _ALIKE_ADVICE} if _are_alike(estimator) else {}),
    }
    width = max(len(name) for name in facts)
    lines = [f"{name.ljust(width)}  {value}" for name, value in facts.items()]
    return "\n".join([type(estimator).__name__, "=" * len(type(estimator).__name__), *lines])


def _wide(table: Table, part: str) -> str:
    """Return one part with a row per term and a column per unit."""
    units, terms, estimates = widen(table.columns, part)
    rows = [[term, *values] for term, values in zip(terms, estimates, strict=True)]
    return render(["", *units], rows)
