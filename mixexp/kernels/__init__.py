"""Compiled loops: the only code that numba sees.

Every kernel works on float64 C-contiguous arrays with the rows of the data in the
last axis, writes into arrays that the caller owns, and stands alone in its file. Transcendental
functions are those of `_fused`, or left to NumPy's ufuncs between kernel calls.
"""

from mixexp.kernels._classes import softmax_derivatives
from mixexp.kernels._fused import (
    exponential_excesses,
    exponential_terms,
    logistic_terms,
    square_terms,
    tree_posterior,
)
from mixexp.kernels._gamma import gamma_remainders
from mixexp.kernels._gram import head_sums, packed_grams
from mixexp.kernels._group_lasso import group_lasso_each
from mixexp.kernels._jumps import jump_sums
from mixexp.kernels._lasso import lasso_each
from mixexp.kernels._linear import linear_predictor
from mixexp.kernels._louis import louis_weights
from mixexp.kernels._mixing import tree_mixture_mean
from mixexp.kernels._routing import (
    find_top_leaves,
    greedy_dropped_mass,
    greedy_leaf,
    row_predictors,
    select_top,
)
from mixexp.kernels._rows import count_outside, standardize_rows, standardize_transposed
from mixexp.kernels._solve import SMALLEST_DIAGONAL as SMALLEST_DIAGONAL
from mixexp.kernels._solve import solve_definite_each
from mixexp.kernels._sparse import (
    sparse_adjoint,
    sparse_grams,
    sparse_moments,
    sparse_predictor,
    sparse_squares,
    split_frequent,
    standardize_grams,
)
from mixexp.kernels._tree import CHUNK as CHUNK
from mixexp.kernels._tree import (
    gate_weights,
    leaf_prior,
    normalize_siblings,
    shift_siblings,
)

__all__ = [
    "count_outside",
    "exponential_excesses",
    "exponential_terms",
    "find_top_leaves",
    "gamma_remainders",
    "gate_weights",
    "greedy_dropped_mass",
    "greedy_leaf",
    "group_lasso_each",
    "head_sums",
    "jump_sums",
    "lasso_each",
    "leaf_prior",
    "linear_predictor",
    "logistic_terms",
    "louis_weights",
    "normalize_siblings",
    "packed_grams",
    "row_predictors",
    "select_top",
    "shift_siblings",
    "softmax_derivatives",
    "solve_definite_each",
    "sparse_adjoint",
    "sparse_grams",
    "sparse_moments",
    "sparse_predictor",
    "sparse_squares",
    "split_frequent",
    "square_terms",
    "standardize_grams",
    "standardize_rows",
    "standardize_transposed",
    "tree_mixture_mean",
    "tree_posterior",
]
