"""Rows of data on their way to the model: standardised, cut into blocks, spread over threads."""

from mixexp.data._blocks import (
    Block,
    RowArguments,
    RowBlocks,
    cut_features,
    mean_of_groups,
    sums_of_groups,
)
from mixexp.data._dask import (
    DaskRows,
    is_dask,
    lazy_array,
    read_source,
    refuse_dask,
)
from mixexp.data._design import (
    PRODUCT_ROWS,
    DenseDesign,
    Design,
    Excess,
    RowGradients,
    as_kernel_array,
    cross_grams,
    sees_all,
    unpacking,
    use_packed_products,
)
from mixexp.data._executor import run_blocks, single_threaded_blas
from mixexp.data._moments import ColumnMoments
from mixexp.data._rows import LARGE_BLOCK_ROWS, ColumnRows, RowSource, cut_rows
from mixexp.data._scaling import Scaling, weighted_scaling
from mixexp.data._source_blocks import SourceBlocks, check_count
from mixexp.data._sources import Batch, Batches, NamedRows, ParquetRows, Rows, Source
from mixexp.data._sparse import SparseRows, as_array, rows_to_expand
from mixexp.data._writing import write_parquet

__all__ = [
    "LARGE_BLOCK_ROWS",
    "PRODUCT_ROWS",
    "Batch",
    "Batches",
    "Block",
    "ColumnMoments",
    "ColumnRows",
    "DaskRows",
    "DenseDesign",
    "Design",
    "Excess",
    "NamedRows",
    "ParquetRows",
    "RowArguments",
    "RowBlocks",
    "RowGradients",
    "RowSource",
    "Rows",
    "Scaling",
    "Source",
    "SourceBlocks",
    "SparseRows",
    "as_array",
    "as_kernel_array",
    "check_count",
    "cross_grams",
    "cut_features",
    "cut_rows",
    "is_dask",
    "lazy_array",
    "mean_of_groups",
    "read_source",
    "refuse_dask",
    "rows_to_expand",
    "run_blocks",
    "sees_all",
    "single_threaded_blas",
    "sums_of_groups",
    "unpacking",
    "use_packed_products",
    "weighted_scaling",
    "write_parquet",
]
