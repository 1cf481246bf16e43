"""Gates: what hands rows down the tree."""

from mixexp.gates.softmax import SOFTMAX_GATES, SoftmaxGates, node_information, node_laplacian
from mixexp.submodels import EstimatorGate as Estimator
from mixexp.submodels import GaussianGate as Gaussian
from mixexp.submodels import QuadraticGate as Quadratic

#: Gates by name; None where they are softmax gates.
GATES = {**dict.fromkeys(SOFTMAX_GATES), "gaussian": Gaussian, "quadratic": Quadratic}

__all__ = [
    "GATES",
    "SOFTMAX_GATES",
    "Estimator",
    "Gaussian",
    "Quadratic",
    "SoftmaxGates",
    "node_information",
    "node_laplacian",
]
