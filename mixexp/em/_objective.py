"""The function that is maximised: penalised log-likelihood of a model on blocks of rows."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial, reduce
from typing import NamedTuple, TypeVar

import numpy as np

from mixexp.data import Block, Design, RowBlocks, SourceBlocks, mean_of_groups, run_blocks
from mixexp.em._journal import Journal
from mixexp.em._totals import Totals, totals_of
from mixexp.model import (
    Model,
    Parameters,
    PenaltyTerms,
    Statistics,
    SumHeads,
    TransformResp,
    add_statistics,
    assemble_information,
    classify,
    em_statistics,
    flat_gradient,
    gradients_alone,
    gradients_and_factors,
    gradients_and_grams,
    group_information,
    map_parameters,
    map_statistics,
    observed_statistics,
    sample_gram,
    truncated_statistics,
    window_block,
    with_fixed_grams,
)

# Responsibilities in a block, nodes times rows, from which on two threads are faster than one:
# with less they pass the interpreter's lock back and forth between short calls.
FEWEST_ELEMENTS = 1 << 15

Sums = TypeVar("Sums")
Result = TypeVar("Result")

#: From a slice of rows and their posterior responsibilities, shape (n_leaves, ..., rows), to the
#: responsibilities that the M-step uses.
Responsibilities = Callable[[slice, np.ndarray], np.ndarray]


class Evaluation(NamedTuple):
    """All that one pass over the data tells about some parameters.

    Parameters
    ----------
    params : Parameters
    stats : Statistics
    penalty : PenaltyTerms
    objective : ndarray of shape (...)
        Log-likelihood, its excess and penalty.
    gradient : ndarray of shape (..., n_flat)
        Of the objective; the least subgradient where slopes have an L1 penalty.
    """

    params: Parameters
    stats: Statistics
    penalty: PenaltyTerms
    objective: np.ndarray
    gradient: np.ndarray

    def take(self, index: int | Sequence[int]) -> "Evaluation":
        """Return some of the starts, or without their axis the one with a number."""
        # The ellipsis makes an object an array without axes, as it does a number.
        return map_evaluations(lambda array: array[index, ...], self)


def map_evaluations(function: Callable[..., np.ndarray], *parts: Evaluation) -> Evaluation:
    """Apply a function to the arrays that stand in the same place in all parts."""
    return Evaluation(
        map_parameters(function, *(part.params for part in parts)),
        map_statistics(function, *(part.stats for part in parts)),
        PenaltyTerms(*(function(*same) for same in zip(*(p.penalty for p in parts), strict=True))),
        function(*(part.objective for part in parts)),
        function(*(part.gradient for part in parts)),
    )


def evaluation_of(model: Model, params: Parameters, stats: Statistics) -> Evaluation:
    """Return sums of rows beside the priors of some parameters, and the gradient of both."""
    flat = model.flatten(params)
    penalty = model.prior.at(flat)
    own_priors = (
        other.log_prior(own) for other, own in zip(model.others, params.others, strict=True)
    )
    gradient = flat_gradient(model, stats) + penalty.gradient
    if model.prior.has_l1:
        gradient = model.prior.least_gradient(flat, gradient)
    objective = stats.log_likelihood + stats.objective_offset + sum(own_priors, penalty.value)
    return Evaluation(params, stats, penalty, objective, gradient)


def _as_known(resp: np.ndarray, block: Block) -> np.ndarray:
    """Return responsibilities (n_leaves, ..., rows) that are one for a group, and as is known."""
    resp = mean_of_groups(resp, block.group_starts)
    evidence = block.known.evidence
    if evidence is None:
        return resp
    allowed = np.isfinite(evidence).reshape(len(evidence), *(1,) * (resp.ndim - 2), -1)
    kept = np.where(allowed, resp, 0.0)
    total = kept.sum(axis=0)
    return np.where(
        total > 0.0, kept / np.where(total > 0.0, total, 1.0), allowed / allowed.sum(axis=0)
    )


@dataclass(frozen=True, eq=False)
class Problem:
    """A model and the blocks of rows it is fitted to.

    Parameters
    ----------
    model : Model
    blocks : RowBlocks or SourceBlocks
    n_threads : int
    is_classification : bool
        Whether rows belong to one expert each, see `classify`, and the objective is the
        classification log-likelihood.
    whole : Totals, optional
        Of all rows, where these are a partition of them.
    journal : Journal
        Follows all iterations on it.
    """

    model: Model
    blocks: RowBlocks | SourceBlocks
    n_threads: int = 1
    is_classification: bool = False
    journal: Journal = field(default_factory=Journal)
    whole: Totals | None = None

    def total(
        self, function: Callable[["Problem"], Sums], add: Callable[[Sums, Sums], Sums]
    ) -> Sums:
        """Return what a function sums over the rows: of rows in memory what it returns.

        Parameters
        ----------
        function : callable
            Takes the problem on the rows of one partition, which are in memory. May be sent to
            another process.
        add : callable
            Adds what it returns for two partitions.
        """
        if isinstance(self.blocks, RowBlocks):
            return function(self)
        return self.blocks.total(partial(_sum_partition, self.alone, function), add)

    @property
    def alone(self) -> "Problem":
        """The problem without rows and followers, for those of a partition."""
        return replace(
            self,
            blocks=RowBlocks(_no_features, ()),
            whole=self.totals,
            journal=Journal(),
            n_threads=self.n_threads if self.blocks.is_local else 1,
        )

    def each_block(self, function: Callable[[int], Result]) -> Iterator[Result]:
        """Return what a function returns for each block of rows in memory, by their numbers."""
        numbers = range(len(self.held.without_features))
        return run_blocks(function, numbers, self.n_useful_threads)

    @cached_property
    def held(self) -> RowBlocks:
        """The rows, which have to be in memory.

        Raises
        ------
        ValueError
            If they are not.
        """
        if isinstance(self.blocks, SourceBlocks):
            raise ValueError(
                "This needs all rows in memory, but they come from a source: give arrays, or a "
                "sample of the rows."
            )
        return self.blocks

    def gradients(self, params: Parameters, resp: Responsibilities | None = None) -> Evaluation:
        """Return what `evaluate` does without curvature, which steps need: O(n p), not p**2."""
        return self.evaluate(params, resp, gradients_alone)

    def evaluate(
        self,
        params: Parameters,
        resp: Responsibilities | None = None,
        sum_all: SumHeads = gradients_and_grams,
    ) -> Evaluation:
        """Pass once over the data, with responsibilities given or from the parameters.

        Parameters
        ----------
        params : Parameters
            One set of coefficients, or several with a leading axis.
        resp : callable, optional
            Returns the responsibilities of some rows, shape (n_leaves, ..., rows), from these and
            those of the parameters. The objective has then no part in them.
        sum_all : callable
            What is to be summed over heads.
        """
        is_apart = sum_all is gradients_and_grams and resp is None and self._has_fixed_shares
        sum_all = gradients_and_factors if is_apart else sum_all
        pass_over = partial(_pass_over, params=params, resp=resp, sum_all=sum_all)
        if isinstance(self.blocks, RowBlocks):
            stats = reduce(_add_statistics, self.each_block(partial(pass_over, self)))
        else:
            stats = self.total(partial(_sum_blocks, pass_over), _add_statistics)
        if is_apart:
            stats = with_fixed_grams(self.model, stats, self._fixed_gram)
        self.journal.count(self.n_rows, stats.log_likelihood.size)
        return evaluation_of(self.model, params, stats)

    @cached_property
    def _has_fixed_shares(self) -> bool:
        """Whether all rows, which are in memory, belong to one expert as a whole.

        In blocks of more than one row, for of one all numbers are the same.
        """
        is_single = self.model.tree.n_leaves == 1 and not self.model.others
        if not is_single or not isinstance(self.blocks, RowBlocks):
            return False
        sizes = [len(block.weight) for block in self.blocks.without_features]
        return min(sizes) > 1 and self.blocks.pattern.window is None

    def _fixed_gram(self, a: int, b: int) -> np.ndarray:
        """Return the Gram matrix between two designs with the sample weights."""

        def form() -> np.ndarray:
            return self.total(partial(_sample_gram, designs=(a, b)), np.add)

        columns = [self.model.designs[design].astype(np.int64).tobytes() for design in (a, b)]
        return self.held.remember_product(
            b"/".join([str(len(columns[0])).encode(), *columns]), form
        )

    def with_weak_priors(self) -> "Problem":
        """Return the problem with priors that hardly hold experts together, or itself.

        Hard labels need priors: without, one expert takes all rows.
        """
        penalty = self.model.weak_penalty
        is_costly = not self.model.is_monotone  # other people's learners, fitted at every step
        if penalty == self.model.penalty or self.is_classification or is_costly:
            return self
        model = replace(self.model, penalty=penalty)
        return replace(self, model=model, whole=self.totals)

    def transform_resp(
        self, rows: slice, resp: Responsibilities | None, block: Block
    ) -> TransformResp | None:
        if resp is not None:
            return lambda found: (_as_known(resp(rows, found), block), 0.0)
        return classify if self.is_classification else None

    def pseudo_weight(self, block: Block) -> np.ndarray | None:
        """Return the weight of the pseudo-rows that balance gates, None if there are none."""
        balance = self.model.penalty.balance
        # Weights by their total first, for weights may be tiny.
        return None if balance == 0.0 else balance * (block.gate_weight / self.total_gate_weight)

    def information(self, params: Parameters) -> np.ndarray:
        """Return the observed information of log-likelihood and balance, (n_flat, n_flat).

        Of the likelihood itself, in classification EM too.
        """
        total = self.total(partial(_observe, params=params), _add_arrays)
        self.journal.count(self.n_rows, 1)
        return total[0] if self.blocks.has_groups else assemble_information(self.model, total)

    @cached_property
    def n_useful_threads(self) -> int:
        n_elements = self.model.tree.n_nodes * len(self.blocks.pattern.known.weight)
        return self.n_threads if n_elements >= FEWEST_ELEMENTS else 1

    @cached_property
    def totals(self) -> Totals:
        """What is counted once, of all rows."""
        if self.whole is not None:
            return self.whole
        if isinstance(self.blocks, RowBlocks):
            return totals_of(self.model, self.blocks)
        return self.blocks.total(partial(totals_of, self.model), Totals.plus)

    @property
    def n_rows(self) -> int:
        return self.totals.n_rows

    @property
    def n_classes(self) -> int:
        """How many rows, or groups of rows, have a class of their own."""
        return self.totals.n_classes

    @cached_property
    def class_numbers(self) -> np.ndarray:
        """Number of the row, or the group of rows, that each row shares its class with."""
        if not self.blocks.has_groups:
            return np.arange(self.held.partition[-1].stop)
        groups = np.concatenate(
            [np.asarray(block.known.groups) for block in self.held.without_features]
        )
        return np.unique(groups, return_inverse=True)[1]

    @property
    def total_weight(self) -> float:
        return self.totals.weight

    @property
    def total_gate_weight(self) -> float:
        return self.totals.gate_weight

    @property
    def log_unit(self) -> float:
        """What the log-likelihood owes to y's unit, see `Totals`."""
        return self.totals.log_unit

    def magnitude(self, objective: float) -> float:
        """Return the size of an objective, which tolerances are shares of, in any unit of y."""
        return abs(objective - self.log_unit)

    @property
    def n_weighed(self) -> float:
        """Rows that a unit of weight counts for, see `rows_per_weight`."""
        return self.totals.rows_per_weight

    def gate_gram(self, design: int) -> np.ndarray:
        """Return the weighted Gram matrix of a design: the fixed part of Bohning's bound."""
        if design not in self._gate_grams:
            gram = self.total(partial(_gate_gram, design=design), np.add)
            # Pseudo-rows bend as rows do, and are spread as they are.
            gram = gram + self.model.penalty.balance * (gram / self.total_gate_weight)
            self._gate_grams[design] = gram
        return self._gate_grams[design]

    @cached_property
    def _gate_grams(self) -> dict[int, np.ndarray]:
        return {}


# Sums over the rows of one partition, which may be in another process.


def _no_features(at: int) -> Design:
    raise IndexError(at)


def _sum_partition(alone: Problem, function: Callable[[Problem], Sums], blocks: RowBlocks) -> Sums:
    return function(replace(alone, blocks=blocks))


def _sum_blocks(pass_over: Callable[[Problem, int], Statistics], problem: Problem) -> Statistics:
    return reduce(_add_statistics, problem.each_block(partial(pass_over, problem)))


def _pass_over(
    problem: Problem,
    at: int,
    params: Parameters,
    resp: Responsibilities | None,
    sum_all: SumHeads,
) -> Statistics:
    """Return the sums of one block of rows."""
    block, model = problem.held[at], problem.model
    transform_resp, weight = None, None
    if resp is not None or problem.is_classification:
        transform_resp = problem.transform_resp(problem.held.partition[at], resp, block)
    if model.penalty.balance > 0.0:
        weight = problem.pseudo_weight(block)
    found = em_statistics(model, params, block, transform_resp, weight, sum_all)
    if resp is not None or block.window is None:
        return found
    unseen = truncated_statistics(model, params, block, sum_all)
    return found if unseen is None else add_statistics([found, unseen])


def _add_statistics(total: Statistics, part: Statistics) -> Statistics:
    return add_statistics([total, part])


def _observe(problem: Problem, params: Parameters) -> list[np.ndarray]:
    def of_block(block: Block) -> list[np.ndarray]:
        pseudo_weight = problem.pseudo_weight(block)
        if problem.blocks.has_groups:
            return [group_information(problem.model, params, block, pseudo_weight)]
        found = observed_statistics(problem.model, params, block, pseudo_weight)
        window = window_block(block)
        if window is None:
            return found
        seen_for = observed_statistics(problem.model, params, window)
        return list(map(np.subtract, found, seen_for))

    return reduce(_add_arrays, run_blocks(of_block, problem.held, problem.n_useful_threads))


def _add_arrays(total: list[np.ndarray], part: list[np.ndarray]) -> list[np.ndarray]:
    return list(map(np.add, total, part))


def _sample_gram(problem: Problem, designs: tuple[int, int]) -> np.ndarray:
    form = partial(sample_gram, problem.model, *designs)
    first, *others = run_blocks(form, problem.held, problem.n_useful_threads)
    for part in others:
        first += part
    return first


def _gate_gram(problem: Problem, design: int) -> np.ndarray:
    parts = [problem.model.design(b, design).gram(b.gate_weight) for b in problem.held]
    return np.asarray(np.sum(parts, axis=0))
