"""A fit to a source: passes that measure the rows, and the problem whose rows are its partitions.

Three passes come before those of EM: what columns and weights are like; a sample, on which starts
compete, with the ends of y; and the unit of y.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from joblib import effective_n_jobs
from sklearn.base import clone

from mixexp.data import (
    Batch,
    Block,
    Design,
    RowBlocks,
    Scaling,
    Source,
    SourceBlocks,
    check_count,
    cut_features,
    single_threaded_blas,
)
from mixexp.em import LEAST_RATIO, Problem, draw_rows, drawn_rows, join_rows
from mixexp.estimators._build import (
    anchor_problem,
    check_fixed_support,
    check_per_row_use,
    lay_out_model,
    resolve_families,
)
from mixexp.estimators._gates import columns_seen
from mixexp.estimators._groups import FixedFamily, TargetUnit, find_rivals, place_group
from mixexp.estimators._source_rows import Facts, Reader, find_facts, make_shell, merge_facts
from mixexp.estimators._source_targets import (
    FreeRange,
    TargetMoments,
    fix_by_sample,
    merge_targets,
)
from mixexp.experts import Expert
from mixexp.model import ExpertGroup, Model, Parameters, with_targets
from mixexp.submodel import Submodel

# Rows drawn of a partition, and the range of y per family.
_Drawn = tuple[RowBlocks | None, list[FreeRange]]
# Parameters per expert and feature that a sample is large enough for, with a gate and a dispersion.
_HEADS = 3


class _Opener(NamedTuple):
    """Makes blocks of a partition, with y as the families of a model see it if there is one."""

    reader: Reader
    scaling: Scaling
    model: Model | None = None

    def __call__(self, number: int, batch: Batch) -> RowBlocks | None:
        rows = self.reader.read(number, batch)
        if rows is None:
            return None
        blocks = cut_features(rows.X, self.scaling, rows.known, rows.chosen)
        if self.model is not None:
            blocks = with_targets(self.model, blocks, rows.y)
        return blocks.map_blocks(_with_y, (rows.y[at] for at in blocks.partition))


def _with_y(block: Block, y: np.ndarray) -> Block:
    return block._replace(y=y, read_raw=None)  # what reads it holds the whole partition


class SourceRows(NamedTuple):
    """What is known of the rows of a source after the first pass.

    Parameters
    ----------
    source : Source
    reader : Reader
    parts : list of Facts or None
        By partition.
    facts : Facts
        Of all rows.
    scaling : Scaling
    """

    source: Source
    reader: Reader
    parts: list[Facts | None]
    facts: Facts
    scaling: Scaling

    @classmethod
    def measure(cls, source: Source, estimator: Any, n_leaves: int) -> "SourceRows":
        """Pass over the rows, and set what the estimator learns of columns and classes."""
        shell = make_shell(estimator)
        first = Reader(shell, n_leaves)
        parts = list(source.each(partial(find_facts, first)))
        facts, scaling = merge_facts(parts)
        for learner in (shell, estimator):
            learner.n_features_in_ = facts.n_features
            if facts.names is not None:
                learner.feature_names_in_ = np.array(facts.names, dtype=object)
            learner._learn_target(facts.labels, facts.labels)
        is_sampled = estimator.weight_type == "sampling"
        factor = facts.n_used / facts.weight if is_sampled else 1.0
        expected = tuple(
            (0, 0.0) if part is None else (part.n_used, part.weight * factor) for part in parts
        )
        facts = facts._replace(gate_weight=facts.gate_weight * factor)
        return cls(source, Reader(shell, n_leaves, factor, expected), parts, facts, scaling)

    def draw(self, fresh: Sequence[FixedFamily], n_parameters: int) -> tuple[RowBlocks, list[Any]]:
        """Return a sample of the rows, all if they are few, and the range of y per family."""
        n_drawn, opened = drawn_rows(n_parameters), _Opener(self.reader, self.scaling)
        is_all = self.facts.n_used < LEAST_RATIO * n_drawn
        share = self.facts.gate_weight / n_drawn
        points = (np.arange(n_drawn) + np.random.default_rng(0).random(n_drawn)) * share
        weights = [0.0 if part is None else part.gate_weight for part in self.parts]
        before = np.cumsum([0.0, *weights]) * self.reader.factor

        look = _Draw(opened, tuple(fresh), is_all, points, share, before)
        parts: Iterator[_Drawn | None] = self.source.each(look.__call__)
        every = list(parts)
        check_count(len(every), len(self.parts))
        found = [each for each in every if each is not None]
        ranges = [_sum(parts) for parts in zip(*(of for _, of in found), strict=True)]
        return join_rows([drawn for drawn, _ in found if drawn is not None]), ranges

    def measure_target(
        self, fixed: Sequence[FixedFamily], families: Sequence[Expert], check: Callable[..., None]
    ) -> list[TargetUnit]:
        """Return the unit of y per family; check that every y is in some support."""

        look = partial(_look_at_target, self.reader, fixed, families, check)
        found = list(self.source.each(look))
        check_count(len(found), len(self.parts))
        return merge_targets([each for each in found if each is not None], fixed)


class _Draw(NamedTuple):
    """Draws rows of a partition, or takes all, beside the range of y per family."""

    opened: _Opener
    fresh: tuple[FixedFamily, ...]
    is_all: bool
    points: np.ndarray
    share: float
    before: np.ndarray

    def __call__(self, number: int, batch: Batch) -> _Drawn | None:
        rows, blocks = self.opened.reader.read(number, batch), self.opened(number, batch)
        if rows is None or blocks is None:
            return None
        ranges = [FreeRange.of(family, rows.y, rows.known) for family in self.fresh]
        if self.is_all:
            return blocks.keep_features(), ranges
        reached = float(self.before[number])
        ahead = self.points[np.searchsorted(self.points, reached) :]
        return draw_rows(blocks, ahead, self.share, reached), ranges


def _look_at_target(
    reader: Reader,
    fixed: Sequence[FixedFamily],
    families: Sequence[Expert],
    check: Callable[..., None],
    number: int,
    batch: Batch,
) -> list[TargetMoments | None] | None:
    rows = reader.read(number, batch)
    if rows is None:
        return None
    try:
        check_fixed_support(fixed, families, rows.y, rows.known, rows.chosen)
        check(rows.X, rows.known, rows.chosen, given=rows.given)
    except ValueError as error:
        raise ValueError(f"Partition {number} of the source: {error}") from error
    return [TargetMoments.of(family, rows.y, rows.known) for family in fixed]


def _sum(parts: Sequence[Any]) -> Any:
    total = parts[0]
    for part in parts[1:]:
        total = total.plus(part)
    return total


def fit_source(
    estimator: Any,
    source: Source,
    beside: dict[str, Any],
    tree: Any,
    begin_task: Any,
    record: Any,
) -> Any:
    """Fit an estimator to a source, and return what the user should be warned of."""
    check_source_options(estimator, beside)
    with single_threaded_blas():
        rows = SourceRows.measure(source, estimator, tree.n_leaves)
        families = resolve_families(estimator._expert_spec(), tree.n_leaves, estimator._targets)
        columns, gates = estimator._select_columns(tree)
        build = make_build(rows, estimator, effective_n_jobs(estimator.n_jobs))
        size = estimator.init, None, rows.facts.n_used
        return estimator._fit_rows(build, tree, families, columns, gates, size, begin_task, record)


def restore_problem(estimator: Any, source: Source) -> Problem:
    """Return the fitted model on the rows of a source."""
    rows = SourceRows.measure(source, clone(estimator), estimator.tree_.n_leaves)
    state = estimator.fitted_model_
    shell = rows.reader.shell
    if "regression" not in estimator._targets:
        shell.classes_ = estimator.classes_
    opened = _Opener(rows.reader, state.scaling, state.model)
    found = source.each(partial(_first_bare, opened))
    pattern = next(blocks for blocks in found if blocks is not None)
    return Problem(
        state.model,
        SourceBlocks(source, opened, pattern, len(rows.parts)),
        effective_n_jobs(estimator.n_jobs),
    )


def _first_bare(opened: _Opener, number: int, batch: Batch) -> RowBlocks | None:
    """Return the first block of a partition without features, None if it has no row."""
    blocks = opened(number, batch)
    return None if blocks is None else RowBlocks(_no_features, blocks.without_features[:1])


def _no_features(at: int) -> Design:
    raise IndexError(at)


def make_build(
    rows: SourceRows, estimator: Any, n_threads: int
) -> Callable[..., tuple[Problem, Parameters, Scaling]]:
    """Return what makes the problem of a tree, families and gates on the rows of a source."""

    def build(tree: Any, families: Any, node_gates: Any) -> tuple[Problem, Parameters, Scaling]:
        _refuse_submodels([*families, *(gate.submodel for gate in node_gates)])
        check_per_row_use(families, dict.fromkeys(rows.facts.given, True))
        columns, _ = estimator._select_columns(tree)
        fresh = find_rivals(families)
        n_parameters = _HEADS * tree.n_leaves * (1 + rows.facts.n_features)
        sample, ranges = rows.draw(fresh, n_parameters)
        fixed = [fix_by_sample(*each, sample) for each in zip(fresh, ranges, strict=True)]

        seen = columns_seen(tree, node_gates)
        check = partial(rows.reader.shell._check_groups, columns=seen)
        units = rows.measure_target(fixed, families, check)
        placed = [(found, _placing(unit)) for found, unit in zip(fixed, units, strict=True)]
        model = lay_out_model(
            tree,
            families,
            placed,
            node_gates,
            columns,
            estimator._penalty(),
            rows.scaling,
            has_known_leaves="known_expert" in rows.facts.given,
        )
        y = np.concatenate([np.asarray(block.y) for block in sample.without_features])

        def blocks_of(model: Model) -> SourceBlocks:
            opened = _Opener(rows.reader, rows.scaling, model)
            found = with_targets(model, sample, y)
            return SourceBlocks(rows.source, opened, found, len(rows.parts))

        return anchor_problem(model, blocks_of, n_threads, estimator._tie, rows.scaling)

    return build


def _placing(unit: TargetUnit) -> Callable[[FixedFamily, tuple[int, ...]], ExpertGroup]:
    return lambda found, seen: place_group(found.group(seen), unit)


def _refuse_submodels(parts: Sequence[Any]) -> None:
    for part in parts:
        if isinstance(part, Submodel):
            raise ValueError(
                f"A {part.title} is fitted to all rows at once, but these come from a source, "
                "partition by partition; use the library's own families and softmax gates, or "
                "give arrays."
            )


def check_source_options(estimator: Any, beside: dict[str, Any]) -> None:
    """Refuse what a fit to a source cannot do.

    Raises
    ------
    ValueError
        Naming the argument.
    """
    for name, value in beside.items():
        if value is not None:
            raise ValueError(
                f"{name} comes with the rows of a source, not beside them; leave it out, and "
                "name its column, or put it into the batches."
            )
    if not isinstance(estimator.init, str) and not hasattr(estimator.init, "get_params"):
        raise ValueError(
            "The 'init' parameter must be a name or a fitted estimator where rows come from a "
            "source, for labels would have to be in memory."
        )
    if estimator._solver.on_collapse == "respawn":
        raise ValueError(
            "The 'on_collapse' parameter of EM must be 'warn', 'drop' or 'error' where rows come "
            "from a source, for places are drawn from all rows."
        )
