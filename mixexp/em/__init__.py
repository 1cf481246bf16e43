"""Expectation-maximization: from a start to an optimum of the penalised log-likelihood."""

from mixexp.em._degeneracy import collapsed_experts, experts_at_floor, experts_without_rows
from mixexp.em._effort import lay_course
from mixexp.em._initial_params import (
    params_from_afar,
    params_from_responsibilities,
    pooled_params,
    smooth_labels,
)
from mixexp.em._initial_partitions import STARTS, draw_starts
from mixexp.em._iteration import run_em, stack_parameters
from mixexp.em._journal import Journal
from mixexp.em._monitor import ASKED_TO_STOP, Monitor
from mixexp.em._multistart import compete, follow_given, search
from mixexp.em._newton import is_small
from mixexp.em._objective import Evaluation, Problem, evaluation_of
from mixexp.em._online import (
    RunningSums,
    batch_rows,
    begin_sums,
    learn_batch,
    learned_parameters,
    resume_sums,
)
from mixexp.em._proximal import smooth_gradient
from mixexp.em._recording import Progress, Recording
from mixexp.em._regrow import unchanged_and_even, without_leaves
from mixexp.em._relabel import canonical_order, reorder
from mixexp.em._respawn import respawn_experts, restrict_parameters, surviving_leaves
from mixexp.em._results import EMResult, Optimum, Options, Restart, Search
from mixexp.em._screening import find_on_columns, has_many_columns
from mixexp.em._split_merge import Split, split_experts
from mixexp.em._subsample import (
    LEAST_RATIO,
    affordable_starts,
    draw_rows,
    drawn_rows,
    join_rows,
)
from mixexp.em._totals import rows_per_weight
from mixexp.em._unit_information import slope_unit

__all__ = [
    "ASKED_TO_STOP",
    "LEAST_RATIO",
    "STARTS",
    "EMResult",
    "Evaluation",
    "Journal",
    "Monitor",
    "Optimum",
    "Options",
    "Problem",
    "Progress",
    "Recording",
    "Restart",
    "RunningSums",
    "Search",
    "Split",
    "affordable_starts",
    "batch_rows",
    "begin_sums",
    "canonical_order",
    "collapsed_experts",
    "compete",
    "draw_rows",
    "draw_starts",
    "drawn_rows",
    "evaluation_of",
    "experts_at_floor",
    "experts_without_rows",
    "find_on_columns",
    "follow_given",
    "has_many_columns",
    "is_small",
    "join_rows",
    "lay_course",
    "learn_batch",
    "learned_parameters",
    "params_from_afar",
    "params_from_responsibilities",
    "pooled_params",
    "reorder",
    "respawn_experts",
    "restrict_parameters",
    "resume_sums",
    "rows_per_weight",
    "run_em",
    "search",
    "slope_unit",
    "smooth_gradient",
    "smooth_labels",
    "split_experts",
    "stack_parameters",
    "surviving_leaves",
    "unchanged_and_even",
    "without_leaves",
]
