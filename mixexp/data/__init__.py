"""Rows of data on their way to the model: standardised, cut into blocks, spread over threads."""

from mixexp.data._blocks import (
    Block,
    RowArguments,
    RowBlocks,
    cut_features,
    mean_of_groups,
    sums_of_groups,
)
from mixexp.data._executor import map_blocks, single_threaded_blas
from mixexp.data._rows import ColumnRows, cut_rows
from mixexp.data._scaling import Scaling, weighted_scaling

__all__ = [
    "Block",
    "ColumnRows",
    "RowArguments",
    "RowBlocks",
    "Scaling",
    "cut_features",
    "cut_rows",
    "map_blocks",
    "mean_of_groups",
    "single_threaded_blas",
    "sums_of_groups",
    "weighted_scaling",
]
