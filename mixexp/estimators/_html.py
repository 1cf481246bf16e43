"""What a notebook shows below scikit-learn's diagram of a fitted estimator: the fit itself."""

from typing import Any

import numpy as np
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from mixexp.estimators._tables import coefficient_table
from mixexp.inference._tables import widen
from mixexp.text import hypertext

# More rows and columns than these would bury the rest of a notebook.
_MOST_TERMS, _MOST_UNITS = 30, 12
_STYLE = (
    "<style>.mixexp-fit{font-size:0.9em;margin-top:0.5em}"
    ".mixexp-fit table{border-collapse:collapse;margin:0.4em 0}"
    ".mixexp-fit th,.mixexp-fit td{padding:0.15em 0.7em;text-align:right;"
    "border-bottom:1px solid rgba(128,128,128,0.35)}"
    ".mixexp-fit th:first-child{text-align:left}"
    ".mixexp-fit caption{text-align:left;font-weight:bold;padding:0.3em 0}"
    ".mixexp-fit summary{cursor:pointer}</style>"
)


class FittedHTML:
    """Adds the fit to scikit-learn's HTML, wherever ``set_config(display=...)`` asks for HTML.

    To be mixed in before `BaseEstimator`, whose methods it extends.
    """

    def _repr_html_inner(self) -> str:
        return super()._repr_html_inner() + fitted_html(self)  # type: ignore[misc]

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, str]:
        bundle = super()._repr_mimebundle_(**kwargs)  # type: ignore[misc]
        if "text/html" in bundle:
            bundle["text/html"] += fitted_html(self)
        return bundle


def fitted_html(estimator: Any) -> str:
    """Return a fit as HTML that folds away: summary, experts and gates; "" before `fit`."""
    try:
        check_is_fitted(estimator)
    except NotFittedError:
        return ""
    table = coefficient_table(estimator).columns
    parts = [
        _STYLE,
        '<div class="mixexp-fit"><details open><summary>',
        hypertext(_headline(estimator)),
        "</summary>",
        _facts(estimator),
        _table("Experts", table, "expert"),
        _table("Gates: logits that sum to zero over the children of a node", table, "gate"),
        "</details></div>",
    ]
    return "".join(parts)


def _headline(estimator: Any) -> str:
    n_experts = estimator.tree_.n_leaves
    families = ", ".join(dict.fromkeys(family.name for family in estimator.experts_))
    return f"Fitted: {n_experts} expert{'s' if n_experts > 1 else ''} ({families})"


def _facts(estimator: Any) -> str:
    converged = "yes" if estimator.converged_ else "NO"
    facts = {
        "Log-likelihood": f"{estimator.log_likelihood_:.6g}",
        "Parameters": str(estimator.n_parameters_),
        "Tree": str(estimator.tree_.to_nested()),
        "Converged": f"{converged}: {estimator.convergence_reason_}",
        "Iterations": str(estimator.n_iter_),
        "Starts": str(len(estimator.restarts_)),
    }
    rows = "".join(
        f'<tr><th scope="row">{hypertext(name)}</th><td>{hypertext(value)}</td></tr>'
        for name, value in facts.items()
    )
    return f"<table><tbody>{rows}</tbody></table>"


def _table(title: str, columns: dict[str, list[Any]], part: str) -> str:
    """Return one part with a row per term and a column per unit."""
    units, terms, estimates = widen(columns, part)
    if not units:
        return ""
    head = "".join(f'<th scope="col">{hypertext(unit)}</th>' for unit in units[:_MOST_UNITS])
    rows = "".join(
        f'<tr><th scope="row">{hypertext(term)}</th>'
        + "".join(map(_cell, values[:_MOST_UNITS]))
        + "</tr>"
        for term, values in zip(terms[:_MOST_TERMS], estimates, strict=False)
    )
    left_out = _left_out(len(terms) - _MOST_TERMS, len(units) - _MOST_UNITS)
    return (
        f"<table><caption>{hypertext(title)}</caption><thead><tr><th></th>{head}</tr></thead>"
        f"<tbody>{rows}</tbody></table>{left_out}"
    )


def _cell(value: float) -> str:
    return f"<td>{value:.4g}</td>" if np.isfinite(value) else "<td></td>"


def _left_out(n_terms: int, n_units: int) -> str:
    counts = {"terms": n_terms, "columns": n_units}
    more = " and ".join(f"{count} more {name}" for name, count in counts.items() if count > 0)
    return f"<p>{more}: see <code>coef_table()</code></p>" if more else ""
