"""What all four estimators share: fitting, and everything that is asked of gates and experts."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

import numpy as np
from joblib import effective_n_jobs
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from mixexp.data import PerRow, Scaling, cut_features, cut_rows, single_threaded_blas
from mixexp.em import (
    RESPONSIBILITIES,
    Monitor,
    Options,
    Problem,
    Search,
    affordable_starts,
    compete,
    draw_starts,
    search,
)
from mixexp.estimators._attributes import set_fitted_attributes
from mixexp.estimators._bootstrap import Resampled
from mixexp.estimators._build import (
    Columns,
    FitState,
    build_problem,
    check_per_row_use,
    check_support,
    resolve_families,
    with_target,
)
from mixexp.estimators._constraints import make_ties
from mixexp.estimators._criteria import Criteria
from mixexp.estimators._diagnosis import Trouble, find_troubles
from mixexp.estimators._docs import per_row_docs
from mixexp.estimators._fit_diagnostics import diagnose
from mixexp.estimators._html import FittedHTML
from mixexp.estimators._inference import Inferential
from mixexp.estimators._init import given_start
from mixexp.estimators._progress import CallbackSupportMixin, FitTask, make_monitor, with_callbacks
from mixexp.estimators._routing import RoutedPrediction
from mixexp.estimators._validation import (
    BOOLEAN,
    N_INIT,
    N_JOBS,
    RANDOM_STATE,
    VERBOSE,
    Rule,
    check_acceleration,
    check_exposure,
    check_features,
    check_parameters,
    check_per_row,
    check_same_length,
    check_weights,
    one_of,
    real,
    select_columns,
    whole,
)
from mixexp.gates import GATES
from mixexp.model import (
    Model,
    Parameters,
    Penalty,
    Posterior,
    Prediction,
    Ties,
    piece_rows,
    posterior_of_block,
    predict_block,
    row_stable_product,
)
from mixexp.tree import GatingTree

_RULES: dict[str, Rule] = {
    "gate": one_of(*GATES),
    "alpha": real(0.0),
    "gate_alpha": real(0.0),
    "dispersion_prior": real(0.0),
    "balance": real(0.0),
    "n_init": N_INIT,
    "n_moves": whole(0),
    "max_iter": whole(1),
    "tol": real(0.0),
    "acceleration": one_of("auto", "newton", "anderson", "none"),
    "responsibility": one_of(*RESPONSIBILITIES),
    "warm_start": BOOLEAN,
    "random_state": RANDOM_STATE,
    "n_jobs": N_JOBS,
    "verbose": VERBOSE,
}


def store_parameters(estimator: Any, arguments: dict[str, Any]) -> None:
    """Store the arguments of a constructor untouched, as scikit-learn wants it.

    Parameters
    ----------
    estimator : object
    arguments : dict
        ``locals()`` at the start of ``__init__``.
    """
    for name, value in arguments.items():
        if name not in ("self", "__class__"):
            setattr(estimator, name, value)


@per_row_docs
class MixtureOfExperts(
    CallbackSupportMixin,
    RoutedPrediction,
    Criteria,
    Inferential,
    Resampled,
    FittedHTML,
    BaseEstimator,
):
    """Base of flat and hierarchical mixtures of experts."""

    #: Targets that experts may be for.
    _targets: ClassVar[tuple[str, ...]]

    expert: Any
    gate: str
    expert_features: Any
    gate_features: Any
    constraints: Any
    alpha: float
    gate_alpha: float
    dispersion_prior: float
    balance: float
    n_init: int | str
    n_moves: int
    init: Any
    max_iter: int
    tol: float
    acceleration: str
    responsibility: str
    warm_start: bool
    random_state: Any
    n_jobs: int | None
    verbose: int

    # What the subclasses add.

    def _make_tree(self) -> GatingTree:
        raise NotImplementedError

    def _check_target(self, y: Any) -> np.ndarray:
        """Return y as a one-dimensional array that is fit to learn from."""
        raise NotImplementedError

    def _learn_target(self, y: np.ndarray) -> None:
        """Learn what is to be learned of y in rows with positive weight."""

    def _encode_target(self, y: np.ndarray) -> np.ndarray:
        """Return y as the float64 numbers that experts see."""
        return y

    def _expert_spec(self) -> Any:
        """Return the ``expert`` parameter with defaults that depend on y filled in."""
        return self.expert

    # Fitting.

    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        offset: Any = None,
        exposure: Any = None,
        trials: Any = None,
    ) -> "MixtureOfExperts":
        """Fit gates and experts by EM.

        Parameters
        ----------
        X : array-like of shape (n, n_features)
            Numbers in any unit; NumPy array, or pandas or polars frame.
        y : array-like of shape (n,)
            Target.
        sample_weight : array-like of shape (n,), default=None
            Real-valued: weight 2 is the row twice, weight 0 the row absent.
        <PER_ROW>

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            If a hyper-parameter or an argument is not as described; the message names it.

        Warns
        -----
        ConvergenceWarning
            If the winning start stopped before the criterion was met.
        RankDeficientWarning
            If some coefficients are not determined by the data.
        DegenerateExpertWarning
            If an expert's dispersion is at its floor, or next to no rows are left to it.
        SeparationWarning
            If, without a ridge, a gate or a logistic expert separates its rows.
        """
        before, is_complete = dict(vars(self)), False
        try:
            troubles = self._fit(X, y, sample_weight, offset, exposure, trials)
            is_complete = True
        finally:
            if not is_complete:  # refused or interrupted: as it was, never half fitted
                self.__dict__.clear()
                self.__dict__.update(before)
        for message, category in troubles:
            warnings.warn(message, category, stacklevel=2)
        return self

    @with_callbacks  # inside the restoring of `fit`, for its cleaning up needs what it set
    def _fit(
        self, X: Any, y: Any, sample_weight: Any, offset: Any, exposure: Any, trials: Any
    ) -> list[Trouble]:
        """Check everything, fit, and return what the user should be warned of."""
        check_parameters(self, _RULES)
        check_acceleration(self.responsibility, self.acceleration)
        tree = self._make_tree()
        given = {"offset": offset, "exposure": exposure, "trials": trials}
        begin_task = partial(FitTask.begin, self, X, y, {"sample_weight": sample_weight, **given})
        X = check_features(self, X, reset=True)
        if y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is None."
            )
        y = self._check_target(y)
        check_same_length(len(X), y)
        per_row = self._check_per_row(len(X), sample_weight, offset, exposure, trials)
        is_used = per_row.weight > 0.0
        _check_enough_rows(int(is_used.sum()), len(X), tree.n_leaves)
        if not is_used.all():
            y, per_row = y[is_used], per_row.take(is_used)
        self._learn_target(y)
        target = self._encode_target(y)
        families = resolve_families(self._expert_spec(), tree.n_leaves, self._targets)
        check_per_row_use(families, exposure, offset, trials)
        check_support(families, target, per_row, np.flatnonzero(is_used))
        columns = self._select_columns()
        with single_threaded_blas():
            return self._fit_rows(X, target, per_row, tree, families, columns, is_used, begin_task)

    def _check_per_row(
        self, n: int, sample_weight: Any, offset: Any, exposure: Any, trials: Any
    ) -> PerRow:
        """Return what is known of each row, exposure as part of the offset."""
        total = None if offset is None else check_per_row(offset, "offset", n)
        if exposure is not None:
            log_exposure = np.log(check_exposure(exposure, n))
            total = log_exposure if total is None else total + log_exposure
        counts = None if trials is None else check_per_row(trials, "trials", n)
        return PerRow(check_weights(sample_weight, n), total, counts)

    def _select_columns(self) -> Columns:
        names = getattr(self, "feature_names_in_", None)
        p = self.n_features_in_
        return Columns(
            select_columns(self.expert_features, "expert_features", names, p),
            select_columns(self.gate_features, "gate_features", names, p),
            select_columns(self._dispersion_spec(), "dispersion_features", names, p),
        )

    def _tie(self, model: Model, scaling: Scaling) -> Ties | None:
        names = getattr(self, "feature_names_in_", None)
        return make_ties(self.constraints, model, scaling, names)

    def _dispersion_spec(self) -> Any:
        """Return which features dispersions look at."""
        return []

    def _fit_rows(
        self,
        X: np.ndarray,
        y: np.ndarray,
        per_row: PerRow,
        tree: GatingTree,
        families: Sequence[Any],
        columns: Columns,
        is_used: np.ndarray,
        begin_task: Callable[[int], FitTask],
    ) -> list[Trouble]:
        problem, pooled, scaling = build_problem(
            X,
            y,
            per_row,
            tree=tree,
            families=families,
            gate=self.gate,
            columns=columns,
            penalty=Penalty(self.alpha, self.gate_alpha, self.dispersion_prior, self.balance),
            n_threads=effective_n_jobs(self.n_jobs),
            chosen=None if is_used.all() else np.flatnonzero(is_used),
            tie=self._tie,
        )
        problem = replace(problem, power=RESPONSIBILITIES[self.responsibility].power)
        previous = self if self.warm_start and hasattr(self, "_state") else None
        init = self.init if previous is None else previous
        given = given_start(init, problem, pooled, scaling, is_used)
        task = begin_task(self._n_starts(problem) if given is None else 1)
        learn = partial(
            set_fitted_attributes, model=problem.model, scaling=scaling, columns=columns
        )
        options = Options(int(self.max_iter), self.tol, self.acceleration)
        monitor = make_monitor(task, learn)
        if given is None:
            found = self._search(problem, pooled, options, monitor)
        else:
            found = compete(problem, self._prepare(problem, [given]), options.near(), monitor)
        order = learn(self, found)
        self.diagnostics_ = diagnose(problem, found.best, self._state.params)
        task.end()
        return find_troubles(self, problem, found.best, order)

    def _n_starts(self, problem: Problem) -> int:
        if problem.model.tree.n_leaves == 1:
            return 1
        return affordable_starts(problem) if self.n_init == "auto" else int(self.n_init)

    def _search(
        self, problem: Problem, pooled: Parameters, options: Options, monitor: Monitor
    ) -> Search:
        """Try starts of the strategy that ``init`` names."""
        n_starts = self._n_starts(problem)
        # Drawn all at once, so that the first m of more starts are those of m starts.
        random = check_random_state(self.random_state)
        seed, *seeds = random.randint(np.iinfo(np.int32).max, size=1 + n_starts)

        def draw(problem: Problem) -> list[tuple[str, Parameters]]:
            starts = enumerate(draw_starts(problem, pooled, self.init, seeds))
            named = [(f"{self.init} {number}", start) for number, start in starts]
            return self._prepare(problem, named, seeds)

        return search(
            problem, draw, np.random.default_rng(seed), options, monitor, int(self.n_moves)
        )

    def _prepare(
        self,
        problem: Problem,
        starts: Sequence[tuple[str, Parameters]],
        seeds: Sequence[int] | None = None,
    ) -> list[tuple[str, Parameters]]:
        """Do with starts what ``responsibility`` wants done in front of EM."""
        if seeds is None:
            random = check_random_state(self.random_state)
            seeds = random.randint(np.iinfo(np.int32).max, size=len(starts)).tolist()
        prepare = RESPONSIBILITIES[self.responsibility].prepare
        prepared = prepare(problem, [start for _, start in starts], seeds)
        return [(name, start) for (name, _), start in zip(starts, prepared, strict=True)]

    # What gates and experts say.

    def _predictions(
        self, X: Any, offset: Any = None, exposure: Any = None, trials: Any = None
    ) -> Iterator[Prediction]:
        check_is_fitted(self)
        X = check_features(self, X, reset=False)
        per_row = self._check_per_row(len(X), None, offset, exposure, trials)
        state: FitState = self._state
        for block in cut_features(X, state.scaling, per_row, block_rows=piece_rows(state.model)):
            yield predict_block(state.model, state.params, block)

    def _posteriors(
        self, X: Any, y: Any, offset: Any = None, exposure: Any = None, trials: Any = None
    ) -> Iterator[Posterior]:
        check_is_fitted(self)
        X = check_features(self, X, reset=False)
        target = self._encode_target(self._check_target(y))
        check_same_length(len(X), target)
        per_row = self._check_per_row(len(X), None, offset, exposure, trials)
        state: FitState = self._state
        blocks = cut_features(X, state.scaling, per_row)
        for block, rows in zip(blocks, cut_rows(len(X)), strict=True):
            known = with_target(state.model, block, target[rows])
            yield posterior_of_block(state.model, state.params, known, row_stable_product)

    def gate_proba(self, X: Any) -> np.ndarray:
        """Return the probability of each expert before y is seen.

        Parameters
        ----------
        X : array-like of shape (n, n_features)

        Returns
        -------
        ndarray of shape (n, n_experts)
            Rows sum to one. In a tree, products of gates along each path.
        """
        return np.concatenate([block.prior.T for block in self._predictions(X)])

    def responsibilities(
        self, X: Any, y: Any, *, offset: Any = None, exposure: Any = None, trials: Any = None
    ) -> np.ndarray:
        """Return the probability of each expert after y is seen.

        Parameters
        ----------
        X : array-like of shape (n, n_features)
        y : array-like of shape (n,)
        <PER_ROW>

        Returns
        -------
        ndarray of shape (n, n_experts)
            Rows sum to one. A row that no expert explains keeps the gate's probabilities.
        """
        found = self._posteriors(X, y, offset, exposure, trials)
        return np.concatenate([block.node_resp[self.tree_.leaves].T for block in found])

    def predict_expert(
        self,
        X: Any,
        y: Any = None,
        *,
        offset: Any = None,
        exposure: Any = None,
        trials: Any = None,
    ) -> np.ndarray:
        """Return the most probable expert of each row, by the gate or, given y, posterior.

        Parameters
        ----------
        X : array-like of shape (n, n_features)
        y : array-like of shape (n,), default=None
        <PER_ROW>

        Returns
        -------
        ndarray of shape (n,), int
        """
        if y is None:
            return self.gate_proba(X).argmax(axis=1)
        known = {"offset": offset, "exposure": exposure, "trials": trials}
        return self.responsibilities(X, y, **known).argmax(axis=1)

    def predict_experts(
        self, X: Any, *, offset: Any = None, exposure: Any = None, trials: Any = None
    ) -> np.ndarray:
        """Return what each expert predicts, whoever is responsible.

        Parameters
        ----------
        X : array-like of shape (n, n_features)
        <PER_ROW>

        Returns
        -------
        ndarray of shape (n, n_experts) or (n, n_experts, n_classes)
            Means in the unit of y; class probabilities for classifiers.
        """
        found = self._predictions(X, offset, exposure, trials)
        return np.concatenate([np.moveaxis(block.mean, -1, 0) for block in found])

    def log_density(
        self, X: Any, y: Any, *, offset: Any = None, exposure: Any = None, trials: Any = None
    ) -> np.ndarray:
        """Return the log density of each y given its x, natural log.

        Parameters
        ----------
        X : array-like of shape (n, n_features)
        y : array-like of shape (n,)
        <PER_ROW>

        Returns
        -------
        ndarray of shape (n,)
            Per unit of y; log probability for classes and counts, -inf for y outside of the
            support of every expert.
        """
        found = self._posteriors(X, y, offset, exposure, trials)
        return np.concatenate([block.log_density for block in found])


def _check_enough_rows(n_weighted: int, n: int, n_experts: int) -> None:
    if n_weighted < n_experts:
        raise ValueError(
            f"Found n_samples={n} ({n_weighted} with positive weight), fewer than the "
            f"n_experts={n_experts} experts; give more rows or ask for fewer experts."
        )
