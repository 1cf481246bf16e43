"""Parameters that choose themselves: how they are asked for, and what they are refused with."""

from collections.abc import Mapping
from typing import Any

from sklearn.base import BaseEstimator

from mixexp.arguments import MOST_NUMBERS, is_listed, is_real, is_whole, is_word
from mixexp.estimators._constraints import list_constraints
from mixexp.estimators._outputs import is_product_for_all
from mixexp.estimators._validation import Rule, check_parameters, whole
from mixexp.experts import FAMILIES, Expert
from mixexp.text import shown
from mixexp.tree import MOST_SIBLINGS

#: Short for ``Auto()``.
WORD = "auto"


class Auto(BaseEstimator):
    """A parameter that is chosen in `fit`, by held-out log density.

    Given to an estimator as ``n_experts``, ``tree``, ``alpha`` or, for regressors, ``expert``, one
    or several of them; ``"auto"`` is short for ``Auto()``. Every fold grows its own model, from one
    expert on, on its own rows, each size from the one before, and says how dense the rows are that
    it has not seen. Of the candidates that the best is not worth having over, the one of fewest
    experts is taken, of these that of fewest parameters, and fitted to all rows. Worth it is a gain
    beyond one unit of log density per parameter (at most 0.01 per row) and, over one expert, the
    linear model, beyond one standard error.

    Parameters
    ----------
    max_experts : int, default=12
        Most experts, flat or in a tree.
    max_depth : int, default=6
        Most gates between root and expert of a tree.
    cv : int, splitter or list of pairs, default=5
        Folds. A number: rows in random order, by ``random_state``, classes spread evenly, groups
        whole. Or as in scikit-learn: an object with a method ``split``, or numbers of the rows to
        fit to and of those to hold out, fold by fold.
    patience : int, default=2
        Sizes that are tried beyond the best one so far.
    n_standard_errors : float, default=1.0
        How far behind the best one expert may be, in standard errors of the difference on the same
        rows. Between models of several experts the mean decides.
    alphas : list of float, default=(10.0, 30.0, 100.0, 300.0)
        Candidates for ``alpha="auto"``.
    families : list of str or Expert, default=None
        Candidates for ``expert="auto"``; None for those whose support holds y.

    Notes
    -----
    A size costs, per fold, up to three starts that split an expert of the size before, and up to
    three experts two starts of a flat model's own; none has moves. A tree is also grown on all
    rows, the trees of the folds are fitted to all rows once the size is known, and the best has
    moves. There are never more than ``max_experts`` sizes, times the number of ``alphas`` and
    ``families``: all of these are tried with up to three experts, and those go on that are within
    two standard errors of the best. A line ends ``patience`` sizes after the last that was worth
    it. Ctrl-C ends the search: the best so far is fitted, with a warning.

    A row of weight w stays in one fold, so that weights are repeated rows for all but the
    folds; a row of weight zero is as if absent. A class of one row is in every fit and never held
    out. Groups stay whole. Standard errors of differences allow for folds that share rows.

    In a `mixexp.ensemble.BaggedMixture` sizes are not chosen but averaged over, where ``cv`` and
    ``n_standard_errors`` matter only to the choice of ``alpha`` and ``expert``.

    References
    ----------
    Nadeau & Bengio (2003), Inference for the generalization error, Machine Learning 52.

    Examples
    --------
    >>> import numpy as np
    >>> from mixexp import MoERegressor
    >>> from mixexp.selection import Auto
    >>> x = np.linspace(-1.0, 1.0, 200)[:, None]
    >>> y = np.abs(x[:, 0]) + 0.05 * np.sin(50.0 * x[:, 0])
    >>> model = MoERegressor(n_experts=Auto(max_experts=3), random_state=0).fit(x, y)
    >>> model.tree_.n_leaves
    2
    """

    def __init__(
        self,
        *,
        max_experts: int = 12,
        max_depth: int = 6,
        cv: Any = 5,
        patience: int = 2,
        n_standard_errors: float = 1.0,
        alphas: Any = (10.0, 30.0, 100.0, 300.0),
        families: Any = None,
    ) -> None:
        self.max_experts = max_experts
        self.max_depth = max_depth
        self.cv = cv
        self.patience = patience
        self.n_standard_errors = n_standard_errors
        self.alphas = alphas
        self.families = families


def _is_strength(value: Any) -> bool:
    return is_real(value) and 0.0 <= float(value) < float("inf")


def _is_pair(value: Any) -> bool:
    return is_listed(value) and len(value) == 2


def _is_family(value: Any) -> bool:
    return is_word(value, FAMILIES) or isinstance(value, Expert)


_RULES = {
    "max_experts": whole(1, MOST_SIBLINGS),
    "max_depth": whole(1),
    "patience": whole(1),
    "n_standard_errors": Rule(_is_strength, "a float in the range [0, inf)"),
    "alphas": Rule(
        lambda value: is_listed(value) and len(value) > 0 and all(map(_is_strength, value)),
        "a list of floats in the range [0, inf)",
    ),
    "families": Rule(
        lambda value: (
            value is None or (is_listed(value) and len(value) > 0 and all(map(_is_family, value)))
        ),
        f"None or a list of families: of {list(FAMILIES)}, or objects of mixexp.experts",
    ),
    "cv": Rule(
        lambda value: (
            (is_whole(value) and 2 <= int(value) <= MOST_NUMBERS)
            or (hasattr(value, "split") and not isinstance(value, str | bytes | type))
            or (is_listed(value) and len(value) > 0 and all(map(_is_pair, value)))
        ),
        "an int of at least 2, an object with a method 'split', or a list of pairs: numbers of the "
        "rows to fit to, and of those to hold out",
    ),
}


def is_automatic(value: Any) -> bool:
    """Return whether a parameter is to choose itself."""
    return isinstance(value, Auto) or (isinstance(value, str) and value == WORD)


def or_automatic(rule: Rule) -> Rule:
    """Return the rule of a parameter that may also choose itself."""
    return Rule(
        lambda value: is_automatic(value) or rule.accepts(value),
        f"{rule.wording}, 'auto' or an Auto(...)",
    )


def read_options(automatic: Mapping[str, Any]) -> Auto:
    """Return the options of the parameters that choose themselves, for there is one choice.

    Parameters
    ----------
    automatic : mapping of str to object
        Their values by name.

    Raises
    ------
    ValueError
        If an option is not as described, or two parameters have different ones.
    """
    given = {name: value for name, value in automatic.items() if isinstance(value, Auto)}
    options: Auto = next(iter(given.values()), Auto())
    for name, other in given.items():
        check_parameters(other, _RULES)
        if not all(_is_same(getattr(other, own), getattr(options, own)) for own in _RULES):
            raise ValueError(
                f"The {name!r} parameter is {shown(other)}, but another is {shown(options)}; all "
                "are chosen at once. Give the options to one of them, and 'auto' to the others."
            )
    return options


def _is_same(one: Any, other: Any) -> bool:
    """Tell whether options are alike, whatever of a long list its text leaves out."""
    if is_listed(one) and is_listed(other):
        return len(one) == len(other) and all(map(_is_same, one, other))
    return repr(one) == repr(other)


def refuse_what_has_numbers(
    estimator: Any, name: str, settings: Mapping[str, Any], given: Mapping[str, Any]
) -> None:
    """Refuse what names experts by their number where that number is to be chosen.

    Parameters
    ----------
    estimator : estimator
    name : {"n_experts", "tree"}
    settings : mapping of str to object
        The parameters ``expert``, ``gate``, ``init`` and ``constraints``.
    given : mapping of str to object
        Row arguments of `fit`.
    """
    prefix = f"The {name!r} parameter of {type(estimator).__name__} is 'auto', but"
    advice = f"Give {name} a value, or compare some with mixexp.select_n_experts."
    if not isinstance(settings["init"], str):
        kind = type(settings["init"]).__name__
        raise ValueError(
            f"{prefix} 'init' is of type {kind}, a start for one number of experts. {advice}"
        )
    for other in ("expert", "gate"):
        if isinstance(settings[other], list | tuple) and not is_product_for_all(settings[other]):
            raise ValueError(
                f"{prefix} {other!r} is a list, which is for one number of experts. Give one for "
                f"all, or {advice[0].lower()}{advice[1:]}"
            )
    for constraint in list_constraints(settings["constraints"]):
        if getattr(constraint, "experts", None) is not None:
            raise ValueError(
                f"{prefix} 'constraints' names experts: {shown(constraint)}. Leave 'experts' out, "
                f"so that it is for all, or {advice[0].lower()}{advice[1:]}"
            )
        if getattr(constraint, "gate", None) is not None:
            raise ValueError(
                f"{prefix} 'constraints' names rows of gates, of which there is one per expert: "
                f"{shown(constraint)}. {advice}"
            )
    if given.get("known_expert") is not None:
        raise ValueError(f"{prefix} known_expert names experts. {advice}")
    if estimator._solver.on_collapse == "drop":
        raise ValueError(
            f"{prefix} 'on_collapse' of the solver is 'drop', with which fits would not have the "
            "experts that they stand for. Use 'warn', 'respawn' or 'error'."
        )
