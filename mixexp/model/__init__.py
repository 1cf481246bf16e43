"""The model that is fitted: tree, gates, experts and penalties, and its sums over rows.

No data handling, no iteration, no scikit-learn. Functions take a `Model`, `Parameters`
and a block of rows; what they return for several blocks adds up.
"""

from mixexp.model._classification import classify
from mixexp.model._column_groups import Blocks, ColumnGroups, join_blocks
from mixexp.model._e_step import (
    Posterior,
    allocate,
    gate_logits,
    gate_probabilities,
    group_heads,
    linear_predictors,
    posterior_of_block,
)
from mixexp.model._fitted import FittedModel
from mixexp.model._fixed_curvature import (
    gradients_and_factors,
    sample_gram,
    with_fixed_grams,
)
from mixexp.model._group import ExpertGroup, has_mass
from mixexp.model._group_information import complete_information, group_information
from mixexp.model._information import (
    assemble_information,
    complete_scores,
    observed_statistics,
)
from mixexp.model._joint_group import JointGroup
from mixexp.model._lasso import count_nonzero, movable_basis, pressing_rows
from mixexp.model._model import Model
from mixexp.model._narrowing import (
    NarrowModel,
    columns_of,
    indispensable_columns,
    narrow_model,
    seen_by,
)
from mixexp.model._others import PlacedSubmodel, object_array
from mixexp.model._parameters import Parameters, map_parameters, unstack_parameters
from mixexp.model._penalty_terms import PenaltyTerms
from mixexp.model._polyhedron import step_within
from mixexp.model._prediction import (
    Prediction,
    batch_invariant_product,
    block_priors,
    leaf_means,
    mean_of_block,
    piece_rows,
    predict_block,
)
from mixexp.model._prior import Prior
from mixexp.model._restricted_l1 import step_with_l1
from mixexp.model._routing import (
    Route,
    Rows,
    greedy_leaf,
    greedy_route,
    routed_mean,
    top_route,
)
from mixexp.model._statistics import (
    GroupStatistics,
    Statistics,
    SumHeads,
    TransformResp,
    add_statistics,
    em_statistics,
    flat_gradient,
    gradients_alone,
    gradients_and_grams,
    map_statistics,
)
from mixexp.model._strengths import Penalty, share_taken
from mixexp.model._targets import with_targets
from mixexp.model._ties import EqualityConstraints
from mixexp.model._truncation import truncated_statistics, window_block

__all__ = [
    "Blocks",
    "ColumnGroups",
    "EqualityConstraints",
    "ExpertGroup",
    "FittedModel",
    "GroupStatistics",
    "JointGroup",
    "Model",
    "NarrowModel",
    "Parameters",
    "Penalty",
    "PenaltyTerms",
    "PlacedSubmodel",
    "Posterior",
    "Prediction",
    "Prior",
    "Route",
    "Rows",
    "Statistics",
    "SumHeads",
    "TransformResp",
    "add_statistics",
    "allocate",
    "assemble_information",
    "batch_invariant_product",
    "block_priors",
    "classify",
    "columns_of",
    "complete_information",
    "complete_scores",
    "count_nonzero",
    "em_statistics",
    "flat_gradient",
    "gate_logits",
    "gate_probabilities",
    "gradients_alone",
    "gradients_and_factors",
    "gradients_and_grams",
    "greedy_leaf",
    "greedy_route",
    "group_heads",
    "group_information",
    "has_mass",
    "indispensable_columns",
    "join_blocks",
    "leaf_means",
    "linear_predictors",
    "map_parameters",
    "map_statistics",
    "mean_of_block",
    "movable_basis",
    "narrow_model",
    "object_array",
    "observed_statistics",
    "piece_rows",
    "posterior_of_block",
    "predict_block",
    "pressing_rows",
    "routed_mean",
    "sample_gram",
    "seen_by",
    "share_taken",
    "step_with_l1",
    "step_within",
    "top_route",
    "truncated_statistics",
    "unstack_parameters",
    "window_block",
    "with_fixed_grams",
    "with_targets",
]
