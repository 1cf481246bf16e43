"""Expectation-maximization: from a start to an optimum of the penalised log-likelihood."""

from mixexp.em._collapse import respawn_experts, restrict_parameters, surviving_leaves
from mixexp.em._degenerate import experts_at_floor, experts_without_rows
from mixexp.em._driver import Options, Outcome, run_em
from mixexp.em._monitor import ASKED_TO_STOP, Monitor
from mixexp.em._moves import Split, split_experts
from mixexp.em._newton import is_small
from mixexp.em._order import canonical_order, reorder
from mixexp.em._partitions import STARTS, draw_starts
from mixexp.em._problem import Evaluation, Problem, rows_per_weight
from mixexp.em._sample import affordable_starts
from mixexp.em._search import Optimum, Restart, Search, compete, search
from mixexp.em._starts import params_from_responsibilities, pooled_params, soften

__all__ = [
    "ASKED_TO_STOP",
    "STARTS",
    "Evaluation",
    "Monitor",
    "Optimum",
    "Options",
    "Outcome",
    "Problem",
    "Restart",
    "Search",
    "Split",
    "affordable_starts",
    "canonical_order",
    "compete",
    "draw_starts",
    "experts_at_floor",
    "experts_without_rows",
    "is_small",
    "params_from_responsibilities",
    "pooled_params",
    "reorder",
    "respawn_experts",
    "restrict_parameters",
    "rows_per_weight",
    "run_em",
    "search",
    "soften",
    "split_experts",
    "surviving_leaves",
]
