"""Compiled loops: the only code that numba sees.

Every kernel works on float64 C-contiguous arrays with the rows of the data in the
last axis, writes into arrays that the caller owns, and stands alone in its file.
Transcendental functions are left to NumPy's vectorised ufuncs between kernel calls.
"""

from mixexp.kernels._gram import packed_grams
from mixexp.kernels._linear import linear_predictor
from mixexp.kernels._louis import observed_weights
from mixexp.kernels._mixing import average_up
from mixexp.kernels._posterior import share_rows
from mixexp.kernels._routing import (
    descend,
    dropped_on_way,
    find_top_leaves,
    row_predictors,
    select_top,
)
from mixexp.kernels._rows import scale_rows, turn_rows
from mixexp.kernels._solve import SMALLEST_DIAGONAL as SMALLEST_DIAGONAL
from mixexp.kernels._solve import solve_definite_each
from mixexp.kernels._tree import CHUNK as CHUNK
from mixexp.kernels._tree import (
    gate_weights,
    leaf_prior,
    normalize_siblings,
    shift_siblings,
)

__all__ = [
    "average_up",
    "descend",
    "dropped_on_way",
    "find_top_leaves",
    "gate_weights",
    "leaf_prior",
    "linear_predictor",
    "normalize_siblings",
    "observed_weights",
    "packed_grams",
    "row_predictors",
    "scale_rows",
    "select_top",
    "share_rows",
    "shift_siblings",
    "solve_definite_each",
    "turn_rows",
]
