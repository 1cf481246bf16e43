"""Mixtures of experts and hierarchical mixtures of experts, fitted by EM."""

from mixexp._version import __version__
from mixexp.estimators import (
    EM,
    Checkpoint,
    ConformalRegressor,
    HMEClassifier,
    HMERegressor,
    MoEClassifier,
    MoERegressor,
    export_text,
    from_json,
)
from mixexp.formula import FormulaModel, from_formula
from mixexp.selection import select_n_experts
from mixexp.submodel import Setting, Submodel, SubmodelRows
from mixexp.submodels import EstimatorExpert, Frozen

__all__ = [
    "EM",
    "Checkpoint",
    "ConformalRegressor",
    "EstimatorExpert",
    "FormulaModel",
    "Frozen",
    "HMEClassifier",
    "HMERegressor",
    "MoEClassifier",
    "MoERegressor",
    "Setting",
    "Submodel",
    "SubmodelRows",
    "__version__",
    "export_text",
    "from_formula",
    "from_json",
    "select_n_experts",
]
