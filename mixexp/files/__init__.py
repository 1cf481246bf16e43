"""Fitted models outside of the process that fitted them: as JSON, SQL and ONNX."""

from mixexp.files._codec import Codec, Record
from mixexp.files._envelope import (
    Kind,
    as_path,
    read_text,
    refuse_no_folder,
    seal,
    unseal,
    write_whole,
)
from mixexp.files._onnx import OPSET, OnnxOptions, onnx_of
from mixexp.files._records import by_fields, by_options, of_parameters, random_generators
from mixexp.files._sql import SqlSource, sql_of
from mixexp.files._state import check_state

__all__ = [
    "OPSET",
    "Codec",
    "Kind",
    "OnnxOptions",
    "Record",
    "SqlSource",
    "as_path",
    "by_fields",
    "by_options",
    "check_state",
    "of_parameters",
    "onnx_of",
    "random_generators",
    "read_text",
    "refuse_no_folder",
    "seal",
    "sql_of",
    "unseal",
    "write_whole",
]
