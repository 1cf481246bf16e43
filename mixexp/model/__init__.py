"""The model that is fitted: tree, gates, experts and penalties, and its sums over rows.

No data handling, no iteration, no scikit-learn. Functions take a `Model`, `Parameters`
and a block of rows; what they return for several blocks adds up.
"""

from mixexp.model._information import (
    assemble_information,
    complete_scores,
    observed_statistics,
)
from mixexp.model._model import ExpertGroup, Model, Parameters, Penalty
from mixexp.model._penalty import PenaltyTerms, penalty_terms
from mixexp.model._prediction import Prediction, predict_block, row_stable_product
from mixexp.model._statistics import (
    GroupStatistics,
    Posterior,
    Reassign,
    Statistics,
    add_statistics,
    em_statistics,
    flat_gradient,
    group_heads,
    linear_predictors,
    map_statistics,
    posterior_of_block,
)
from mixexp.model._tempering import assign, draw_labels, temper

__all__ = [
    "ExpertGroup",
    "GroupStatistics",
    "Model",
    "Parameters",
    "Penalty",
    "PenaltyTerms",
    "Posterior",
    "Prediction",
    "Reassign",
    "Statistics",
    "add_statistics",
    "assemble_information",
    "assign",
    "complete_scores",
    "draw_labels",
    "em_statistics",
    "flat_gradient",
    "group_heads",
    "linear_predictors",
    "map_statistics",
    "observed_statistics",
    "penalty_terms",
    "posterior_of_block",
    "predict_block",
    "row_stable_product",
    "temper",
]
