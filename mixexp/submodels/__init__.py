"""Gates and experts that are no linear predictors: other people's estimators, and closed forms."""

from mixexp.submodels._learning import is_estimator
from mixexp.submodels.estimator_expert import EstimatorExpert
from mixexp.submodels.estimator_gate import EstimatorGate
from mixexp.submodels.frozen import Frozen
from mixexp.submodels.gaussian_gate import GaussianGate, GaussianGateParams
from mixexp.submodels.quadratic_gate import QuadraticGate

__all__ = [
    "EstimatorExpert",
    "EstimatorGate",
    "Frozen",
    "GaussianGate",
    "GaussianGateParams",
    "QuadraticGate",
    "is_estimator",
]
