"""The scikit-learn surface: estimators, and nothing that could stand without scikit-learn."""

from mixexp.estimators._checkpoint import Checkpoint
from mixexp.estimators._classifiers import HMEClassifier, MoEClassifier
from mixexp.estimators._conformal import ConformalRegressor
from mixexp.estimators._export import export_text
from mixexp.estimators._files import from_json
from mixexp.estimators._regressors import HMERegressor, MoERegressor
from mixexp.estimators._solver import EM

__all__ = [
    "EM",
    "Checkpoint",
    "ConformalRegressor",
    "HMEClassifier",
    "HMERegressor",
    "MoEClassifier",
    "MoERegressor",
    "export_text",
    "from_json",
]
