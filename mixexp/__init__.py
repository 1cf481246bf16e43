"""Mixtures of experts and hierarchical mixtures of experts, fitted by EM."""

from mixexp._version import __version__
from mixexp.estimators import (
    ConformalRegressor,
    HMEClassifier,
    HMERegressor,
    MoEClassifier,
    MoERegressor,
    export_text,
)
from mixexp.selection import select_n_experts

__all__ = [
    "ConformalRegressor",
    "HMEClassifier",
    "HMERegressor",
    "MoEClassifier",
    "MoERegressor",
    "__version__",
    "export_text",
    "select_n_experts",
]
