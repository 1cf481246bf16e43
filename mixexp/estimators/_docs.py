"""The parts of the estimators' docstrings that are the same for all four."""

from collections.abc import Callable
from inspect import signature
from textwrap import fill
from typing import Any, TypeVar

from mixexp.experts import FAMILIES

Class = TypeVar("Class", bound=type)
Method = TypeVar("Method", bound=Callable[..., Any])

_PARAMETERS = """gate : str, classifier, Submodel or nested list of these, default="softmax"
        How rows are handed to experts. "softmax": by a multinomial logit of the gate's features;
        "constant": in proportions that are the same everywhere (a mixture of regressions);
        "quadratic": a softmax in squares and products too; "gaussian": by where rows lie, see
        `mixexp.gates.Gaussian`; a classifier of scikit-learn's is refitted by EM. A list gives
        every gate of a tree its own: that of the gate, then one entry for each gate right below it,
        again a list or one value for all from there down. ``["softmax", "constant"]`` for the tree
        ``[[1, 1], 1]``.
    expert_features : list of str or int<BY_HEAD>, default=None
        Names or numbers of the columns that the experts look at; None for all.<OF_DISPERSIONS>
    gate_features : list of str or int, default=None
        The same for the gates. An empty list makes the gate constant. A list of such
        selections, as for ``gate``, gives every gate its own: ``[["age"], ["dose"]]``.
    constraints : list of objects of `mixexp.constraints`, default=None
        Slopes that experts share or that are known, bounds, slopes in order, and linear equations
        between coefficients: Shared, Fixed, Bounded, Ordered and Linear, the last three for gates
        too. Shared slopes have the ridge once. Experts that a constraint names keep their places.
    alpha : float, "auto" or Auto, default=<ALPHA>
        Shrinkage of the experts' slopes to those of a pooled model (partial pooling): a ridge of
        this strength while experts are alike, which fades as the data draw them apart. Large
        values make all experts alike. "auto" chooses by held-out log density; see
        `mixexp.selection.Auto`.
    gate_alpha : float, default=3.0
        Ridge on the gates' slopes; keeps a gate finite that separates its rows perfectly.
        Weaker at gates of m > 4 children, by 4 / m, but for strengths up to 0.3.
    l1, gate_l1 : float or GroupedL1, default=0.0
        L1 penalty on the slopes of experts' locations and of gates, which makes some of them zero:
        ``l1 * sum(abs(slopes))``, for standardised features and y in the unit that ``alpha`` is
        for. Where it is positive, ``alpha`` (``gate_alpha``) is the ridge of an elastic net,
        ``alpha / 2 * sum(slopes**2)`` toward zero; for a plain lasso set it to 0. With
        `mixexp.penalties.GroupedL1` a column leaves all experts, or all gates, together.
    <DISPERSION_PRIOR>n_init : int or "auto", default=10
        Number of starts; the fit with the highest penalised log-likelihood is kept. "auto" is
        as many, from 5 to 50, as the size of data and model allows.
    init : str, array or estimator, default="auto"
        Where EM starts. "hyperplane": rows are cut at quantiles along random directions in the
        space of features and residuals; "residual": along residuals of one pooled expert;
        "random": labels drawn for distinct rows; "auto": the first start by residuals, the others
        by hyperplanes, some by drawn labels, half of those if features have few distinct rows.
        Or one start of the user's: labels of shape (n,) in 0, ..., n_experts - 1 (softened to
        0.9 for the row's own expert), responsibilities of shape (n, n_experts), or a fitted
        estimator with the same experts, gates and features, from whose coefficients EM goes on
        (drawn toward the pooled expert where they explain rows by 1e4 log units less).
    max_iter : int, default=500
        Most iterations per start.
    tol : float, default=1e-8
        EM stops when the gain still to be had, estimated from its progress and from the
        gradient, is below ``tol * (1 + |penalised log-likelihood|)``.
    solver : EM, default=None
        Classification EM, acceleration, split-and-merge moves, what is done with experts that
        collapse, and pseudo-observations that keep them alive; see `EM`.
    weight_type : {"frequency", "sampling"}, default="frequency"
        What ``sample_weight`` means. "frequency": a row of weight 2 is the row twice. "sampling":
        it is one row that stands for twice as many of a population, as survey weights and
        inverse probabilities do; weights are then divided by their mean, so that penalties,
        criteria and standard errors count rows, and standard errors are those of the sandwich
        with squared weights.
    random_state : int, RandomState instance or None, default=None
        Seed of the random starts.
    n_jobs : int, default=None
        Threads over blocks of rows, of fits and predictions; a fit uses them where there are
        rows and experts enough to gain. Results have the same bits for any number.
    verbose : int, default=0
        1 prints a line per start when it ends; 2 or more prints also, about once a second, how
        far the search is: objective, passes, rows per second, expected time left. For progress
        bars, scores per iteration and early stopping see ``set_callbacks`` (scikit-learn 1.9 and
        later); fitted estimators that callbacks are given say the same in ``progress_``."""

_DISPERSION_PRIOR = """dispersion_prior : float, default=30.0
        Prior on the experts' log dispersions, centred at the pooled one and there as informative
        as so many rows. Keeps an expert from collapsing onto fewer rows than that. More than four
        experts have fewer each, where all of theirs are more than 42 % of the rows.
    """

_BY_HEAD = """
        A dict says it for locations and for dispersions, ``{"location": None, "dispersion":
        ["age"]}``, again None for all: log dispersions are then linear in these columns, and their
        prior holds at the mean of the features. Without the entry, or with an empty list, a
        dispersion is the same everywhere."""

_ATTRIBUTES = """gate_coef_ : ndarray of shape (n_nodes - 1, n_gate_features)
        Slopes of the gate logits per unit of each feature, one row per edge of the tree (per
        expert in a flat model); rows of siblings sum to zero.
    gate_intercept_ : ndarray of shape (n_nodes - 1,)
    log_likelihood_ : float
        Sum over rows of weight times log density of y given x, natural log, unpenalised.
    penalized_log_likelihood_ : float
        What was maximised: ``log_likelihood_`` plus the penalty, see Notes and, for another
        objective, ``EM(variant="cem")``.
    history_ : ndarray of shape (1 + iterations,)
        Penalised log-likelihood at the start and after every iteration; never falls, but where
        an estimator of someone else's is an expert or a gate: the best iterate is then kept.
    n_iter_ : int
        Iterations of the winning start; of models of many parameters fifteen quasi-Newton steps
        count as one. Iterations in which a move was chosen among others do not count where that was
        on a sample of the rows, nor in trees of more than one level, and are not in ``history_``.
    converged_ : bool
        Whether the winning start met the criterion.
    convergence_reason_ : str
        Which, or why not.
    restarts_ : list of Restart
        Start, log_likelihood, objective, n_iter, converged, reason, degenerate and n_starts of
        every start, and of the moves that led higher. With more than 125 000 rows starts compete
        on a sample: then n_starts is 0 where the values are estimates from it.
    optima_ : list of Optimum
        The distinct optima of the starts that were followed to the end on all rows, the highest
        first: log_likelihood, objective, n_starts (how many ended there) and degenerate.
    degenerate_ : ndarray of shape (n_experts,), bool
        Experts at the floor of their dispersion, or without rows.
    diagnostics_ : Diagnostics
        How experts are used by the gate (importance, load, entropy), rows that none of them
        explains, and how good the optimum is (gradient_norm, smallest_eigenvalue of the
        penalised observed information, None where that matrix is dear or there is none,
        monotonicity_margin). In the order of the experts.
    selection_ : AutoSelection or None
        What parameters of "auto" were chosen among, and the choice; None without such parameters.
    fitted_model_ : FittedModel
        Gates and experts with their parameters for standardised features, for those who build on
        the library.
    submodel_params_ : dict
        Parameters of each `Submodel`, by "gate" and number of the node, or "expert" and number.
    n_parameters_ : int
        Free parameters, for information criteria.
    tree_ : GatingTree
    experts_ : list of Expert
        The family of each expert.
    limits_ : list of str
        The family that an expert has become in the limit: "poisson" for a negative binomial
        without extra variance, "gaussian" for a Student t of many degrees of freedom, else "".
    expert_features_, gate_features_ : list of int
        Columns of X that experts and gates look at.
    n_samples_seen_ : float
        Rows that it was fitted to, by weight, those of ``partial_fit`` included.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        If X had column names."""

_NOTES = """What is maximised is the log-likelihood less the penalties of ``alpha`` and
    ``gate_alpha``<AND_DISPERSION>, and with the pseudo-observations of the solver's ``balance``.
    Strengths are for standardised features and grow with the number of slopes; as in `Ridge` they
    are absolute, and fade as rows are added. Intercepts are free, constrained slopes shared by
    experts have their ridge once. The formulas are in docs/theory.md, "What is maximised". All
    strengths zero is plain maximum likelihood, which <UNBOUNDED>; floors keep it finite.

    An iteration costs O(n * K * p**2) for K experts and p features; nothing of size
    n * K * p is stored.

    References
    ----------
    Jacobs, Jordan, Nowlan & Hinton (1991), Adaptive mixtures of local experts.
    Jordan & Jacobs (1994), Hierarchical mixtures of experts and the EM algorithm."""


_RAISES = """NotFittedError
            If `fit` has not been called.
        ValueError
            If an argument is not as described; the message names it."""


_ROUTING = """routing : {"soft", "hard"} or int, default=DEFAULT
            Which experts count. "soft": all, weighted by the gate. An int k: each row's k most
            probable experts, of equals those with lower numbers, with renormalised weights; as
            many as there are is "soft". "hard": one expert, where the most probable child at
            every gate leads. In a flat model that is the most probable expert, as with 1; in a
            tree it need not be, but a row opens one gate per level, however sure gates are.
            Only the experts that count are computed."""


# What is said of dispersions, for estimators whose experts have one, and for those of classes.
_OF_DISPERSIONS = {
    "DISPERSION_PRIOR": (_DISPERSION_PRIOR, ""),
    "BY_HEAD": (", or dict of such lists", ""),
    "OF_DISPERSIONS": (_BY_HEAD, ""),
    "AND_DISPERSION": (" and of the ``dispersion_prior``", ""),
    "UNBOUNDED": (
        "is unbounded where an expert can fit some rows exactly",
        "has no finite optimum where classes are separated",
    ),
}


def shared_docs(cls: Class) -> Class:
    """Fill the placeholders of an estimator's docstring."""
    doc = cls.__doc__ or ""
    for name, text in (("PARAMETERS", _PARAMETERS), ("ATTRIBUTES", _ATTRIBUTES), ("NOTES", _NOTES)):
        doc = doc.replace(f"<{name}>", text)
    known = signature(cls).parameters
    doc = doc.replace("<ALPHA>", str(known["alpha"].default))
    doc = doc.replace("<FAMILIES>", _list_families(is_for_classes="dispersion_prior" not in known))
    for name, (with_one, without) in _OF_DISPERSIONS.items():
        doc = doc.replace(f"<{name}>", with_one if "dispersion_prior" in known else without)
    cls.__doc__ = doc
    return cls


def _list_families(is_for_classes: bool) -> str:
    """Return the legal names of families as lines of a parameter's description."""
    names = [f'"{k}"' for k, v in FAMILIES.items() if (v.target != "regression") == is_for_classes]
    return fill(f"{', '.join(names[:-1])} or {names[-1]}", 90, subsequent_indent=" " * 8)


def method_docs(cls: Class) -> Class:
    """Fill the placeholder of methods' docstrings: what is raised."""
    for method in vars(cls).values():
        if callable(method) and method.__doc__:
            method.__doc__ = method.__doc__.replace("<RAISES>", _RAISES)
    return cls


def routing_docs(method: Method) -> Method:
    """Fill the placeholder of a method's docstring with what routing means."""
    default = signature(method).parameters["routing"].default
    text = _ROUTING.replace("DEFAULT", f'"{default}"')
    method.__doc__ = (method.__doc__ or "").replace("<ROUTING>", text)
    return method
