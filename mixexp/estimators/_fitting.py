"""Fitting: from what a user hands in to a search for the best optimum, and its warnings."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar, Unpack

import numpy as np
from joblib import effective_n_jobs
from sklearn.utils import check_random_state

from mixexp.data import Scaling, read_source, single_threaded_blas
from mixexp.em import (
    Monitor,
    Options,
    Problem,
    Search,
    affordable_starts,
    draw_starts,
    find_on_columns,
    follow_given,
    has_many_columns,
    lay_course,
    respawn_experts,
    restrict_parameters,
    search,
    surviving_leaves,
)
from mixexp.estimators._attributes import set_fitted_attributes
from mixexp.estimators._auto import or_automatic
from mixexp.estimators._build import (
    Columns,
    Layout,
    build_problem,
    check_per_row_use,
    check_support,
)
from mixexp.estimators._checkpoint import FitRecord
from mixexp.estimators._choosing import AutomaticMixin
from mixexp.estimators._constraints import make_ties
from mixexp.estimators._diagnostics import diagnose
from mixexp.estimators._docs import method_docs
from mixexp.estimators._features import check_features, select_by_head
from mixexp.estimators._gates import NodeGate, columns_seen, needs_features, of_origin, select_gates
from mixexp.estimators._grouped import GroupsMixin
from mixexp.estimators._initial_guess import GrownStart, given_starts
from mixexp.estimators._intervals import Interval, has_limits, read_interval, with_intervals
from mixexp.estimators._l1 import L1, with_l1
from mixexp.estimators._outputs import resolve_experts
from mixexp.estimators._plausibility import find_cut_predictions, find_implausible
from mixexp.estimators._progress import CallbackSupportMixin, FitTask, make_monitor, with_callbacks
from mixexp.estimators._row_arguments import (
    Given,
    check_offset,
    read_rows,
    row_arguments,
    rows_in_order,
)
from mixexp.estimators._solver import EM, USUAL_EM, check_solver
from mixexp.estimators._source_fit import fit_source
from mixexp.estimators._submodels import bind_submodels
from mixexp.estimators._validation import (
    N_INIT,
    N_JOBS,
    RANDOM_STATE,
    VERBOSE,
    Rule,
    check_enough_rows,
    check_parameters,
    check_same_length,
    check_submodels,
    check_weights,
    one_of,
    real,
    require_target,
    whole,
)
from mixexp.estimators._warnings import (
    FitWarning,
    collect_warnings,
    dropped_experts,
    refuse_collapsed,
)
from mixexp.estimators._weights import WEIGHT_TYPES, mean_one
from mixexp.model import EqualityConstraints, Model, Parameters, Penalty
from mixexp.tree import GatingTree

Starts = Sequence[tuple[str, Parameters]]  # with their names

_RULES: dict[str, Rule] = {
    "alpha": or_automatic(real(0.0)),
    "gate_alpha": real(0.0),
    "l1": L1,
    "gate_l1": L1,
    "n_init": N_INIT,
    "max_iter": whole(1),
    "tol": real(0.0),
    "weight_type": one_of(*WEIGHT_TYPES),
    "random_state": RANDOM_STATE,
    "n_jobs": N_JOBS,
    "verbose": VERBOSE,
}


@method_docs
class FittedByEM(CallbackSupportMixin, GroupsMixin, AutomaticMixin):
    """What is fitted by EM, and how."""

    #: Targets that experts may be for.
    _targets: ClassVar[tuple[str, ...]]

    expert: Any
    gate: Any
    expert_features: Any
    gate_features: Any
    constraints: Any
    alpha: Any
    gate_alpha: float
    l1: Any
    gate_l1: Any
    n_init: int | str
    init: Any
    max_iter: int
    tol: float
    solver: EM | None
    weight_type: str
    random_state: Any
    n_jobs: int | None
    verbose: int
    experts_: list[Any]

    # What the subclasses add.

    def _make_tree(self) -> GatingTree:
        raise NotImplementedError

    def _check_target(self, y: Any) -> np.ndarray:
        """Return y as a one-dimensional array that is fit to learn from."""
        raise NotImplementedError

    def _learn_target(self, y: np.ndarray, given: Any) -> None:
        """Learn what is to be learned of y in rows with positive weight, as checked and given."""

    def _encode_target(self, y: np.ndarray) -> np.ndarray:
        """Return y as the float64 numbers that experts see."""
        return y

    def _of_known_classes(self, y: Any, sample_weight: Any) -> Any:
        """Return y with known labels in rows of weight zero, which do not count."""
        return y

    def _as_numbers(self, y: Any) -> Any:
        """Return y for fits that need not know its labels: classes as numbers, in their order."""
        return y

    def _expert_spec(self) -> Any:
        """Return the ``expert`` parameter with defaults that depend on y filled in."""
        return self._setting("expert")

    # Fitting.

    @row_arguments
    def fit(
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        resume: Any = None,
        **given: Unpack[Given],
    ) -> "FittedByEM":
        """Fit gates and experts by EM.

        Parameters
        ----------
        X : array-like of shape (n, n_features)
            NumPy array, sparse matrix, pandas or polars frame, Dask; or a source of `mixexp.data`.
        y : array-like of shape (n,)
            Target, (n, d) for several, where experts are for such; a source has its own.
        sample_weight : array-like of shape (n,), default=None
            Real-valued: weight 2 is the row twice, weight 0 the row absent; for other weights
            see ``weight_type``.
        resume : str or path-like, default=None
            File of a `Checkpoint` to go on from, with the same rows and parameters.
        <PER_ROW>

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            If a hyper-parameter or an argument is not as described; the message names it.
        DegenerateExpertError
            If an expert has collapsed and the solver's ``on_collapse`` is "error".
        CheckpointError, ModelFileError
            If ``resume`` is of other rows or parameters, or no checkpoint that can be read.

        Warns
        -----
        ConvergenceWarning
            If the winning start stopped before the criterion was met.
        ImplausibleFitWarning
            If means on the rows of the fit are beyond any plausible range of y.
        RankDeficientWarning
            If some coefficients are not determined by the data.
        DegenerateExpertWarning
            If an expert's dispersion is at its floor, or next to no rows are left to it, or it
            was dropped because of that.
        RoundedTargetWarning
            If an expert has shrunk onto values of y that repeat.
        SeparationWarning
            If, without a ridge, a gate or a logistic expert separates its rows.
        """
        before, is_complete = dict(vars(self)), False
        try:
            self.__dict__.pop("_online", None)  # rows of `partial_fit` are no part of this fit
            fit_warnings = self._fit(X, y, sample_weight, given, resume)
            is_complete = True
        finally:
            if not is_complete:  # refused or interrupted: as it was, never half fitted
                self.__dict__.clear()
                self.__dict__.update(before)
        for message, category in fit_warnings:
            warnings.warn(message, category, stacklevel=2)
        return self

    @with_callbacks  # inside the restoring of `fit`, for its cleaning up needs what it set
    def _fit(
        self, X: Any, y: Any, sample_weight: Any, given: Mapping[str, Any], resume: Any = None
    ) -> list[FitWarning]:
        """Check everything, fit, and return what the user should be warned of."""
        self._check_parameters()
        init, found_out = self._settle(X, y, sample_weight, given)
        record = FitRecord(self, resume)
        tree = self._make_tree()
        begin_task = partial(FitTask.begin, self, X, y, {"sample_weight": sample_weight, **given})
        source, beside = read_source(X, y, sample_weight, given)
        if source is not None:
            return fit_source(self, source, beside, tree, begin_task, record)
        needs = needs_features(self.gate, self.gate_features)
        X = check_features(self, X, reset=True, needs_features=needs)
        require_target(self, y)
        given_y, (known_y, interval) = y, self._read_interval(y, given)
        y = self._check_target(known_y)
        check_same_length(len(X), y)
        weight = self._row_weights(sample_weight, len(X))
        check_enough_rows(int(np.count_nonzero(weight)), len(X), tree.n_leaves)
        per_row = read_rows(given, weight, tree.n_leaves, interval=interval)
        chosen = rows_in_order(per_row)
        if chosen is not None:
            y, per_row = y[chosen], per_row.take(chosen)
        self._learn_target(y, given_y)
        target = self._encode_target(y)
        check_offset(per_row, target)
        families = resolve_experts(self._expert_spec(), target, tree.n_leaves, self._targets)
        check_per_row_use(families, given)
        if not interval.is_exact or has_limits(families):
            families = with_intervals(families, interval)
        check_support(families, target, per_row, chosen)
        columns, node_gates = self._select_columns(tree)
        self._check_groups(X, per_row, chosen, columns_seen(tree, node_gates), given)
        families, node_gates = bind_submodels(self, families, node_gates, tree, columns.expert)
        parts = [*families, *(gate.submodel for gate in node_gates)]
        penalty = self._penalty()
        check_submodels(penalty, self._solver, parts)
        build = partial(
            build_problem,
            X,
            target,
            per_row,
            columns=columns,
            penalty=penalty,
            n_threads=effective_n_jobs(self.n_jobs),
            chosen=chosen,
            tie=self._tie,
        )
        with single_threaded_blas():
            rows = init, chosen, len(X)
            laid_out = tree, families, columns, node_gates
            return [*found_out, *self._fit_rows(build, *laid_out, rows, begin_task, record)]

    def _check_parameters(self) -> None:
        """Check what is known of the hyper-parameters without the data."""
        check_parameters(self, _RULES)
        check_solver(self.solver, self.constraints)

    def _select_columns(self, tree: GatingTree) -> tuple[Columns, list[NodeGate]]:
        """Return the columns of each part of the model, and the gate of each node."""
        names, p = getattr(self, "feature_names_in_", None), self.n_features_in_
        offered, gates = select_gates(self.gate, self.gate_features, tree, names, p)
        location, dispersion = select_by_head(
            self.expert_features, names, p, has_dispersions="regression" in self._targets
        )
        return Columns(location, offered, dispersion), gates

    @property
    def _solver(self) -> EM:
        """The options of EM, which `_check_parameters` has looked at."""
        return USUAL_EM if self.solver is None else self.solver

    def _penalty(self) -> Penalty:
        alpha, gate_alpha = float(self._setting("alpha")), float(self.gate_alpha)
        penalty = Penalty(alpha, gate_alpha, 0.0, float(self._solver.balance))
        return with_l1(penalty, self.l1, self.gate_l1)

    def _tie(self, model: Model, scaling: Scaling) -> EqualityConstraints | None:
        if self.constraints is None:
            return None
        return make_ties(self.constraints, model, scaling, getattr(self, "feature_names_in_", None))

    def _row_weights(self, sample_weight: Any, n: int) -> np.ndarray:
        """Return how many rows each counts for: sampling weights have mean one."""
        weight = check_weights(sample_weight, n)
        return mean_one(weight) if self.weight_type == "sampling" else weight

    def _read_interval(self, y: Any, given: Mapping[str, Any]) -> tuple[Any, Interval]:
        """Return y, and the ends of the intervals that it is known to lie in, if it is."""
        return read_interval(y, given, "regression" in self._targets)

    def _fit_rows(
        self,
        build: Callable[..., tuple[Problem, Parameters, Scaling]],
        tree: GatingTree,
        families: Sequence[Any],
        columns: Columns,
        node_gates: list[NodeGate],
        rows: tuple[Any, np.ndarray | None, int],
        begin_task: Callable[[int], FitTask],
        record: FitRecord,
    ) -> list[FitWarning]:
        """Fit, and return what the user should be warned of."""

        def lay_out(
            tree: GatingTree, families: Sequence[Any], node_gates: list[NodeGate]
        ) -> Layout:
            problem, pooled, scaling = build(tree=tree, families=families, node_gates=node_gates)
            is_hard = self._solver.variant == "cem"
            problem = replace(problem, is_classification=is_hard, journal=record.journal)
            learn = partial(
                set_fitted_attributes,
                model=problem.model,
                scaling=scaling,
                columns=columns,
                n_samples=problem.total_weight,
                settings=self,
            )
            return Layout(problem, pooled, scaling, families, node_gates, learn)

        layout = lay_out(tree, families, node_gates)
        record.check_data(layout.problem, layout.scaling)
        init, chosen, n = rows
        given = given_starts(init, layout.problem, layout.pooled, layout.scaling, chosen, n)
        task = begin_task(len(given) or self._n_starts(layout.problem))
        monitor = make_monitor(task, layout.learn, record.journal)
        is_given, solver = bool(given), self._solver
        options = Options(int(self.max_iter), float(self.tol), solver.acceleration)
        is_grown = isinstance(init, GrownStart)
        found = self._find(
            layout.problem, layout.pooled, given, monitor, options, is_given, is_grown
        )
        if solver.on_collapse == "drop":
            layout, found = self._drop_collapsed(layout, found, options, is_given, lay_out)
        order = layout.learn(self, found)
        name, best = type(self).__name__, found.best.evaluation
        implausible = find_implausible(name, layout.problem, best, layout.pooled)
        if implausible:
            self.converged_, self.convergence_reason_ = False, "what it came to makes no sense"
        fit_warnings = [
            *implausible,
            *find_cut_predictions(name, layout.problem, best.params),
            *collect_warnings(self, layout.problem, found.best, order),
        ]
        if solver.on_collapse == "error":
            refuse_collapsed(fit_warnings)
        self.diagnostics_ = diagnose(layout.problem, found.best, self.fitted_model_.params)
        record.end()
        task.end()
        return [*dropped_experts(name, tree.n_leaves, self.tree_.n_leaves), *fit_warnings]

    def _find(
        self,
        problem: Problem,
        pooled: Parameters,
        first: Starts,
        monitor: Monitor,
        options: Options,
        is_given: bool,
        is_grown: bool = False,
    ) -> Search:
        """Run EM from some starts, and from those of ``init`` unless these were given.

        What was grown is given, but moves may lead on from it.
        """
        if problem.model.penalty.has_l1 and has_many_columns(problem):
            find = partial(self._find, is_given=is_given, is_grown=is_grown)
            return find_on_columns(problem, pooled, first, is_given, monitor, options, find)
        solver = self._solver
        if is_given and not is_grown:
            found = follow_given(problem, first, options, monitor, int(solver.n_moves))
        else:
            # Drawn all at once, so that the first m of more starts are those of m starts.
            n_own = 0 if is_given else self._n_starts(problem)
            most = np.iinfo(np.int32).max
            seeds = check_random_state(self.random_state).randint(most, size=1 + n_own).tolist()
            seed, *seeds = problem.journal.remember(seeds)
            course = lay_course(problem, np.random.default_rng(seed), options)
            drawn = [] if is_given else draw_starts(course.weak, pooled, self.init, seeds)
            named = [(f"{self.init} {number}", start) for number, start in enumerate(drawn)]
            n_moves = int(solver.n_moves)
            found = search(problem, course, [*first, *named], options, monitor, n_moves)
        if solver.on_collapse == "respawn":
            random = check_random_state(self.random_state).randint(np.iinfo(np.int32).max)
            (seed,) = problem.journal.remember([int(random)])
            found = respawn_experts(problem, found, seed, options)
        return found

    def _drop_collapsed(
        self,
        layout: Layout,
        found: Search,
        options: Options,
        is_given: bool,
        lay_out: Callable[..., Layout],
    ) -> tuple[Layout, Search]:
        """Search again without the experts that collapsed, until none has or one is left.

        Survivors' coefficients are the first start.
        """
        while found.best.collapsed and layout.problem.model.tree.n_leaves > 1:
            larger, params = layout.problem.model, found.best.evaluation.params
            alive = surviving_leaves(layout.problem, found.best)
            tree, origin = larger.tree.without(set(range(larger.tree.n_leaves)) - set(alive))
            kept = of_origin(layout.node_gates, larger.tree, origin[tree.inner_nodes])
            layout = lay_out(tree, [layout.families[leaf] for leaf in alive], kept)
            start = restrict_parameters(larger, params, layout.problem.model, origin)
            # One expert has one optimum, and needs no starts of its own.
            is_known = is_given or len(alive) == 1
            first, own = [("survivors", start)], layout.problem
            found = self._find(own, layout.pooled, first, Monitor(), options, is_known)
        return layout, found

    def _n_starts(self, problem: Problem) -> int:
        if problem.model.tree.n_leaves == 1:
            return 1
        return affordable_starts(problem) if self.n_init == "auto" else int(self.n_init)
