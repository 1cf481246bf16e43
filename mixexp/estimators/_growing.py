"""Fitted models with one expert more or less: the others stay as they are, to the bit."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial, reduce
from typing import Any, ClassVar, Unpack

import numpy as np
from joblib import effective_n_jobs
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

from mixexp.arguments import is_whole, is_word
from mixexp.data import RowArguments, Scaling, cut_features, single_threaded_blas
from mixexp.em import (
    Monitor,
    Options,
    Problem,
    Search,
    compete,
    params_from_responsibilities,
    stack_parameters,
    unchanged_and_even,
    without_leaves,
)
from mixexp.estimators._attributes import set_fitted_attributes
from mixexp.estimators._build import Columns, check_support
from mixexp.estimators._diagnostics import diagnose
from mixexp.estimators._docs import method_docs
from mixexp.estimators._features import check_features
from mixexp.estimators._groups import find_rivals, fix_family, lay_out_group, with_rivals
from mixexp.estimators._growing_rows import KnownRows
from mixexp.estimators._intervals import Interval
from mixexp.estimators._outputs import is_product_for_all, resolve_added
from mixexp.estimators._row_arguments import Given, row_arguments
from mixexp.estimators._solver import check_solver
from mixexp.estimators._submodels import bind_submodels
from mixexp.model import (
    ExpertGroup,
    FittedModel,
    Model,
    Parameters,
    object_array,
    posterior_of_block,
)
from mixexp.submodel import Submodel
from mixexp.text import shown
from mixexp.tree import GatingTree

# Shares of the rows, those that are explained worst, that a new expert is tried on.
_SHARES = (0.05, 0.15, 0.3, 0.5)
_OWN_SHARE = 0.9
# Steps that starts are followed before the best of them is chosen.
_N_TRIAL_STEPS = 4
_REFITS = ("new", "gates", "all")
_KEPT_REFITS = ("gates", "all")


@method_docs
class GrowingMixin:
    """What a fitted model becomes with one expert more, or without one."""

    fitted_model_: FittedModel
    tree_: GatingTree
    experts_: list[Any]
    expert: Any
    constraints: Any
    max_iter: int
    tol: float
    n_jobs: int | None
    expert_features_: list[int]
    gate_features_: list[int]
    _targets: ClassVar[tuple[str, ...]]
    solver: Any
    _read_target: Callable[[Any, Any, Mapping[str, Any]], tuple[np.ndarray, Interval]]
    _read_with_y: Callable[..., tuple[RowArguments, np.ndarray | None]]
    _row_weights: Callable[[Any, int], np.ndarray]
    _of_known_classes: Callable[[Any, Any], Any]

    @row_arguments
    def with_expert(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        expert: Any = None,
        at: int = 0,
        refit: str = "new",
        **given: Unpack[Given],
    ) -> Any:
        """Return a fitted estimator with one expert more.

        At the start the gate gives it next to nothing, so that the density is as it was, and EM
        never lowers the objective from there. It is tried on the rows that are explained worst.
        Where it gives single values a probability, a density of the others is nothing there, so
        that log-likelihoods before and after do not compare.

        Parameters
        ----------
        X : array-like of shape (n, n_features)
            Rows of a new region or segment, those of the fit, or both: what is fitted anew is
            fitted to these.
        y : array-like of shape (n,)
        sample_weight : array-like of shape (n,), default=None
            As in `fit`.
        expert : str, Expert, estimator or Submodel, default=None
            The new expert; None for one like the last.
        at : int, default=0
            Number of the node, a softmax gate, whose last child it becomes; 0 is the root.
        refit : {"new", "gates", "all"}, default="new"
            What is fitted: the new expert and the gate at its node; that and all gates; or all
            experts too. Other parts keep their coefficients to the bit.
        <PER_ROW>

        Returns
        -------
        estimator
            Of the same class; this one is left as it is. Old experts keep their order.

        Raises
        ------
        <RAISES>
        """
        check_is_fitted(self)
        if isinstance(expert, list) and len(expert) == 1:
            (expert,) = expert
        _check_refit(refit, _REFITS)
        _refuse_ties(self)
        _check_node(self.fitted_model_.model, at)
        known = self._rows_of_fit(X, y, sample_weight, given)
        fitted, added, design = self._new_part(expert, known)
        with single_threaded_blas():
            unchanged, even, node = unchanged_and_even(fitted, at, added, design)
            model, start = unchanged
            leaf = model.tree.leaf_position(node)
            family = added if isinstance(added, Submodel) else added.family
            model = with_rivals(model, [*self.experts_[:leaf], family, *self.experts_[leaf:]])
            origin = np.insert(np.arange(self.tree_.n_leaves), leaf, -1)
            problem = known.problem(model, effective_n_jobs(self.n_jobs), origin)
            start = _with_own(problem, start)
            even = even._replace(others=start.others)
            free = {node} | ({at} if refit == "new" else set(model.tree.inner_nodes.tolist()))
            held = tuple(sorted(set(range(model.tree.n_nodes)) - free))
            partly = replace(problem, model=replace(model, held=held))
            starts = _starts_of_new(partly, start, even, node)
            found = _from_best(partly, start, starts, self._options())
            spec = self._spec_with(expert, model, node)
            return self._grown(found, problem, known.scaling, refit, spec)

    @row_arguments
    def without_expert(
        self,
        k: int,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        refit: str = "gates",
        **given: Unpack[Given],
    ) -> Any:
        """Return a fitted estimator without one of the experts.

        Parameters
        ----------
        k : int
            Number of the expert that goes.
        X : array-like of shape (n, n_features)
            Rows that what is refitted is fitted to.
        y : array-like of shape (n,)
        sample_weight : array-like of shape (n,), default=None
            As in `fit`.
        refit : {"gates", "all"}, default="gates"
            What is fitted: the gates, while experts keep their coefficients to the bit, or all.
        <PER_ROW>

        Returns
        -------
        estimator
            Of the same class; this one is left as it is.

        Raises
        ------
        <RAISES>
        """
        check_is_fitted(self)
        _check_refit(refit, _KEPT_REFITS)
        _refuse_ties(self)
        n_experts = self.tree_.n_leaves
        if not is_whole(k) or not 0 <= int(k) < n_experts or n_experts == 1:
            raise ValueError(
                f"k must be the number of an expert, an int in the range [0, {n_experts}), where "
                f"there are two at least. Got {shown(k)} of {n_experts}."
            )
        kept = [family for number, family in enumerate(self.experts_) if number != int(k)]
        known = self._rows_of_fit(X, y, sample_weight, given, kept)
        with single_threaded_blas():
            model, start = without_leaves(self.fitted_model_, [int(k)])
            model = with_rivals(model, kept)
            origin = np.delete(np.arange(n_experts), int(k))
            problem = known.problem(model, effective_n_jobs(self.n_jobs), origin)
            held = tuple(model.tree.leaves.tolist())
            partly = replace(problem, model=replace(model, held=held))
            found = compete(partly, [("survivors", start)], self._options(), Monitor())
            spec: Any = self.expert
            if isinstance(spec, list | tuple) and not is_product_for_all(spec):
                spec = [entry for number, entry in enumerate(spec) if number != int(k)]
            return self._grown(found, problem, known.scaling, refit, spec)

    # How.

    def _options(self) -> Options:
        solver = check_solver(self.solver, self.constraints)
        return Options(int(self.max_iter), float(self.tol), solver.acceleration).near()

    def _rows_of_fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        given: Mapping[str, Any],
        families: Sequence[Any] | None = None,
    ) -> KnownRows:
        X = check_features(self, X, reset=False)
        y = self._of_known_classes(y, sample_weight)
        target, interval = self._read_target(X, y, given)
        if not interval.is_exact:
            raise ValueError(
                "Experts are added and taken away by rows whose y is exact and not truncated; fit "
                "anew with these row arguments."
            )
        per_row, chosen = self._read_with_y(X, given, self._row_weights(sample_weight, len(X)))
        if chosen is not None:
            target = target[chosen]
        check_support(families or self.experts_, target, per_row, chosen)
        scaling = self.fitted_model_.scaling.reaching(X, per_row.weight, chosen)
        blocks = cut_features(X, scaling, per_row, chosen)
        return KnownRows(blocks, target, per_row, chosen, scaling)

    def _new_part(
        self, expert: Any, known: KnownRows
    ) -> tuple[FittedModel, ExpertGroup | Submodel, int]:
        """Return the model with what the new expert sees, that expert, and a submodel's design."""
        fitted, last = self.fitted_model_, self.experts_[-1]
        (family,) = [last] if expert is None else resolve_added(expert, self, known.y)
        if isinstance(family, Submodel):
            columns = [0, *(1 + column for column in self.expert_features_)]
            fitted, design = _with_design(fitted, columns)
            (bound,), _ = bind_submodels(self, [family], [], self.tree_, self.expert_features_)
            return fitted, bound, design
        if any(family.shares_head(h) for h in range(len(family.heads))):
            raise ValueError(
                f"A {family.name} expert that shares its dispersion cannot be added to fitted "
                "ones; use dispersion='own', or fit anew."
            )
        for group in fitted.model.groups:
            if group.family is family or repr(group.family) == repr(family):
                return fitted, group, -1
        return *self._new_group(family, known), -1

    def _new_group(self, family: Any, known: KnownRows) -> tuple[FittedModel, ExpertGroup]:
        """Return a group of one expert, of a family that is new to the model."""
        of_dispersion = getattr(self, "dispersion_features_", ())
        columns = {
            "location": [0, *(1 + column for column in self.expert_features_)],
            "dispersion": [0, *(1 + column for column in of_dispersion)],
            "shape": [0],
        }
        alone = find_rivals([*self.experts_, family])[-1]  # the others may have no row here
        found = fix_family(alone, known.y, known.per_row)
        kinds = [head.kind for head in found.family.heads]
        fitted, designs = self.fitted_model_, []
        for kind in kinds:
            fitted, design = _with_design(fitted, columns[kind])
            designs.append(design)
        group = lay_out_group(found, tuple(designs), known.y, known.per_row)
        seen, _ = group.safe_target(known.y, known.per_row.trials)
        centers = []
        for kind, value in zip(kinds, found.family.start(seen, known.per_row.weight), strict=True):
            centers.append(np.zeros(len(columns[kind])))
            centers[-1][0] = value
        anchor = centers[kinds.index("dispersion")][0] if "dispersion" in kinds else 0.0
        group = group._replace(center=tuple(centers), prior_log_dispersion=float(anchor))
        return fitted, group

    def _spec_with(self, expert: Any, model: Model, node: int) -> Any:
        """Return the ``expert`` parameter of the grown estimator."""
        is_for_all = is_product_for_all(self.expert)
        is_list = isinstance(self.expert, list | tuple) and not is_for_all
        if expert is None and not is_list:
            return self.expert
        one = self.expert[0] if is_for_all else self.expert
        spec = list(self.expert) if is_list else [one] * (model.tree.n_leaves - 1)
        spec.insert(model.tree.leaf_position(node), spec[-1] if expert is None else expert)
        return spec

    def _grown(
        self, found: Search, problem: Problem, scaling: Scaling, refit: str, spec: Any
    ) -> Any:
        """Return the estimator of a search, all parts of it fitted once more if need be."""
        if refit == "all":
            best = found.best.evaluation.params
            found = compete(problem, [("grown", best)], self._options(), Monitor())
        tree = problem.model.tree
        shape = (
            {"tree": tree.to_nested()}
            if "tree" in self.get_params(deep=False)  # type: ignore[attr-defined]
            else {"n_experts": tree.n_leaves}
        )
        grown = clone(self).set_params(expert=spec, **shape)
        for name, value in vars(self).items():
            if name.endswith("_") and not name.endswith("__"):
                setattr(grown, name, value)
        dispersion = getattr(self, "dispersion_features_", ())
        columns = Columns(self.expert_features_, self.gate_features_, dispersion)
        set_fitted_attributes(
            grown,
            found,
            problem.model,
            scaling,
            columns,
            n_samples=problem.total_weight,
            is_sorted=False,
        )
        if refit != "all":
            grown.convergence_reason_ += f"; refitted: {refit}"
        grown.diagnostics_ = diagnose(problem, found.best, grown.fitted_model_.params)
        return grown


def _with_design(fitted: FittedModel, columns: list[int]) -> tuple[FittedModel, int]:
    """Return a model that has a design, and where it stands among all."""
    designs = fitted.model.designs
    for position, own in enumerate(designs):
        if np.array_equal(own, columns):
            return fitted, position
    wider = replace(fitted.model, designs=(*designs, np.array(columns)))
    return fitted._replace(model=wider), len(designs)


def _with_own(problem: Problem, start: Parameters) -> Parameters:
    """Return a start whose new submodel, if there is one, is fitted to all rows."""
    model, others = problem.model, []
    for other, own in zip(model.others, start.others, strict=True):
        if own.item() is None:
            parts = [
                other.statistics(own, model.view(other, block), block.weight[None])
                for block in problem.held
            ]
            own = other.m_step(own, np.asarray(reduce(np.add, parts)))
            own = object_array([own.item()], ())
        others.append(own)
    return start._replace(others=tuple(others))


def _starts_of_new(
    problem: Problem, start: Parameters, even: Parameters, node: int
) -> list[tuple[str, Parameters]]:
    """Return starts where the new expert has the rows that the others explain worst."""

    log_density, resp = _old_posterior(problem, start)
    leaf = problem.model.tree.leaf_position(node)
    weight = np.concatenate([block.weight for block in problem.held.without_features])
    order = np.argsort(log_density, kind="stable")
    reached = np.cumsum(weight[order]) / weight.sum()
    starts = []
    for share in _SHARES:
        is_worst = np.zeros(len(weight), dtype=bool)
        is_worst[order[reached <= share]] = True
        own = np.where(is_worst, _OWN_SHARE, (1.0 - _OWN_SHARE) * share)
        given = resp * (1.0 - own)
        given[leaf] += own
        params = params_from_responsibilities(problem, [even], partial(_some_of, given))
        starts.append((f"worst {share:.0%} of the rows", _first(params)))
    return starts


def _from_best(
    problem: Problem, unchanged: Parameters, starts: list[tuple[str, Parameters]], options: Options
) -> Search:
    """Follow all starts a few steps, and the best, or the unchanged density, to its end.

    The latter is a slow way: an expert that has next to nothing gains it by factors.
    """
    few = options._replace(max_iter=min(_N_TRIAL_STEPS, options.max_iter))
    tried = compete(problem, starts, few, Monitor())
    best = (tried.restarts[tried.places[0]].start, tried.best.evaluation.params)
    found = compete(problem, [best], options, Monitor())
    before = problem.evaluate(stack_parameters(problem, [unchanged])).objective[0]
    if found.best.objective >= before:
        return found
    return compete(problem, [("unchanged", unchanged)], options, Monitor())


def _some_of(resp: np.ndarray, rows: slice) -> np.ndarray:
    return resp[:, None, rows]


def _first(params: Parameters) -> Parameters:
    return Parameters(
        tuple(coef[0] for coef in params.gates),
        tuple(tuple(coef[0] for coef in heads) for heads in params.experts),
        tuple(own[0, ...] for own in params.others),
    )


def _old_posterior(problem: Problem, start: Parameters) -> tuple[np.ndarray, np.ndarray]:
    """Return log densities, (n,), and responsibilities of the leaves, (n_leaves, n)."""
    model = problem.model
    found = [posterior_of_block(model, start, block) for block in problem.held]
    leaves = problem.model.tree.leaves
    return (
        np.concatenate([part.log_density for part in found]),
        np.concatenate([part.node_resp[leaves] for part in found], axis=1),
    )


def _check_refit(refit: Any, allowed: tuple[str, ...]) -> None:
    if not is_word(refit, allowed):
        raise ValueError(f"refit must be one of {list(allowed)}. Got {shown(refit)} instead.")


def _refuse_ties(model: Any) -> None:
    if model.fitted_model_.model.ties is not None:
        raise ValueError(
            "Experts with constraints cannot be kept while one is added or taken away; fit anew."
        )
    penalty = model.fitted_model_.model.penalty
    if penalty.has_l1 and (penalty.l1_groups or penalty.gate_l1_groups):
        raise ValueError(
            "Experts cannot be kept while one is added or taken away where a GroupedL1 ties their "
            "slopes to those of others; fit anew."
        )


def _check_node(model: Model, at: Any) -> None:
    inner = model.tree.inner_nodes.tolist()
    if not is_whole(at) or int(at) not in inner:
        raise ValueError(
            f"at must be the number of a gate's node, one of {inner}. Got {shown(at)} instead."
        )
    if model.gate_of(int(at)) < 0:
        raise ValueError(
            f"An expert can be added below a softmax gate, which the one at node {at} is not; "
            "choose another node, or fit anew."
        )
