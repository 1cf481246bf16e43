"""Mixtures of experts and hierarchical mixtures of experts, fitted by EM."""

from importlib import import_module
from types import ModuleType

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

# What fits do not need is imported when it is asked for.
_LATER = ("datasets", "displays", "ensemble", "metrics")


def __getattr__(name: str) -> ModuleType:
    if name in _LATER:
        return import_module(f"mixexp.{name}")
    raise AttributeError(f"module 'mixexp' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})
